"""The elements, and what is known of them."""

from __future__ import annotations

from functools import cache

import pandas as pd

from pipeline.files import shipped_folder


@cache
def elements() -> pd.DataFrame:
    """Properties of the elements by symbol, in the order of their numbers; `scripts/element_properties.py` says what
    each column is and where it comes from. NaN for what is not known."""
    return pd.read_csv(
        shipped_folder("data") / "elements.csv", index_col="symbol", keep_default_na=False, na_values=[""]
    )


@cache
def order_of_elements() -> dict[str, int]:
    """The place of each element in a formula: by electronegativity, as is usual, those without one first."""
    known = elements()["electronegativity"].fillna(0.0)
    ranked = sorted(known.index, key=lambda symbol: (known[symbol], symbol))
    return {symbol: place for place, symbol in enumerate(ranked)}
