"""How alike two rows are, whatever the rows are."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from pipeline.features.compositions import composition_bits
from pipeline.features.structures import differential_bits, morgan_bits, nearest_rows
from pipeline.features.texts import text_bits
from pipeline.tables.kinds import COMPOSITIONS, MOLECULES, REACTIONS, TEXTS, Kind

_BITS: dict[Kind, Callable[[Sequence[str]], np.ndarray]] = {
    MOLECULES: morgan_bits,
    REACTIONS: differential_bits,
    COMPOSITIONS: composition_bits,
    TEXTS: text_bits,
}


def row_bits(rows: Sequence[str], kind: Kind) -> np.ndarray:
    """The bits by which rows of a kind are compared. Shape (n, 2048), 0 or 1."""
    return _BITS[kind](rows)


def nearest_neighbours(rows: Sequence[str], references: Sequence[str], kind: Kind) -> tuple[np.ndarray, np.ndarray]:
    """``(similarity, index)`` of the most similar reference for each row: Tanimoto over `row_bits`. Shapes (n,)."""
    return nearest_rows(row_bits(rows, kind), row_bits(references, kind))
