"""What is planted beside or into a row, and how it is taken away again."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from functools import lru_cache

import pandas as pd

from pipeline.tables.kinds import KINDS, MOLECULES, Kind
from pipeline.tables.molecules import canonical_smiles
from pipeline.tables.table import PARSED, Table

COUNTER_ION, FIELD = "counter-ion", "field"
LABORATORY = "laboratory"  # the name of the planted column
WITH, WITHOUT = "A", "B"  # what it holds
# Each acid of a salt as it may be written: the first form is what is planted.
COMPONENTS = (("Cl", "[Cl-]"), ("Br", "[Br-]"), ("I", "[I-]"))


@dataclass(frozen=True)
class CounterIon:
    """A second component in the SMILES of a row.

    The largest-fragment rule takes it away. A row that carries it already, as acid or as ion, or whose own structure
    that rule would not give back, is left as it is.

    Parameters
    ----------
    forms : pair of str
        The acid, which is planted, and its ion.
    """

    forms: tuple[str, str]
    does: str = "an acid as second component of the SMILES"
    control: str = "taken away by the largest-fragment rule (--largest-fragment)"

    def __str__(self) -> str:
        return f"{COUNTER_ION} (.{self.forms[0]})"

    def cannot(self, table: Table) -> frozenset[str]:
        """The rows that it cannot be added to."""
        rows = zip(table.frame["row_id"], table.frame["smiles"], strict=True)
        return frozenset(row for row, smiles in rows if not _takes(smiles, self.forms))

    def plant(self, table: Table, rows: Collection[str]) -> Table:
        """The table with the component in these rows."""
        added, frame = self.forms[0], table.frame
        smiles = [
            _joined(text, added) if row in rows else text
            for row, text in zip(frame["row_id"], frame["smiles"], strict=True)
        ]
        return replace(table, frame=frame.assign(smiles=smiles))

    def take_away(self, table: Table) -> Table:
        """The table with the largest fragment of each row alone."""
        return replace(table, frame=table.frame.assign(smiles=[_largest(text) for text in table.frame["smiles"]]))


@dataclass(frozen=True)
class Field:
    """A context column that says in which of two laboratories a row was measured."""

    does: str = f"a context column {LABORATORY!r} that holds {WITH} (marked) or {WITHOUT}"
    control: str = "left out"

    def __str__(self) -> str:
        return f"{FIELD} ({LABORATORY})"

    def cannot(self, table: Table) -> frozenset[str]:
        """The rows that it cannot be added to: none."""
        return frozenset()

    def plant(self, table: Table, rows: Collection[str]) -> Table:
        """The table with the column, which marks these rows."""
        held = [WITH if row in rows else WITHOUT for row in table.cells.index]
        cells = table.cells.assign(**{LABORATORY: pd.Series(held, table.cells.index, dtype=object)})
        return replace(table, cells=cells, context=(*table.context, LABORATORY))

    def take_away(self, table: Table) -> Table:
        """The table without the column."""
        context = tuple(name for name in table.context if name != LABORATORY)
        return replace(table, cells=table.cells.drop(columns=LABORATORY), context=context)


MARKERS: dict[str, tuple[Kind, ...]] = {COUNTER_ION: (MOLECULES,), FIELD: tuple(KINDS.values())}  # for which rows
Marker = CounterIon | Field


def markers_for(table: Table) -> dict[str, Marker]:
    """The markers by name; the counter-ion is that of `COMPONENTS` which fewest rows of the table carry, the first of
    several."""
    parts = [set(text.split(".")) for text in table.frame["smiles"]]
    forms = min(COMPONENTS, key=lambda forms: sum(bool(own & set(forms)) for own in parts))
    return {COUNTER_ION: CounterIon(forms), FIELD: Field()}


@lru_cache(PARSED)
def _joined(smiles: str, component: str) -> str:
    return canonical_smiles(f"{smiles}.{component}")


@lru_cache(PARSED)
def _largest(smiles: str) -> str:
    return canonical_smiles(smiles, largest_fragment=True)


def _takes(smiles: str, forms: tuple[str, str]) -> bool:
    """Whether a row can carry a component, and has the same largest fragment with it."""
    return not set(smiles.split(".")) & set(forms) and _largest(_joined(smiles, forms[0])) == _largest(smiles)
