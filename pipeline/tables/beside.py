"""What stands beside the structure in a row: context, columns that are kept, the user's id."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import pandas as pd

from pipeline.errors import InputError
from pipeline.tables.context import ContextColumn, context_column_name, read_column
from pipeline.tables.measurements import TargetError
from pipeline.tables.notation import decimal_of_file
from pipeline.tables.reading import RawTable, require_column

Refusal = tuple[str, str, str]  # column, value, reason


@dataclass(frozen=True)
class Beside:
    """The user's columns beside structure and target.

    Rows of one structure are merged where they agree in the context and in the columns that are kept ``apart``; in
    those that are kept for a split (``keep``) they have to agree too, but only where they do not is it seen in the
    row's id.
    """

    columns: tuple[ContextColumn, ...]
    context_cells: dict[str, pd.Series]
    kept: dict[str, pd.Series]
    apart: tuple[str, ...]
    ids: pd.Series | None
    said: tuple[str, ...]

    @property
    def context(self) -> tuple[str, ...]:
        return tuple(column.name for column in self.columns)

    @classmethod
    def of(
        cls,
        raw: RawTable,
        target: str,
        context: Sequence[str],
        keep: Sequence[str],
        apart: Sequence[str] = (),
        id_column: str = "",
        stated: Mapping[str, str] | None = None,
    ) -> Beside:
        """Raise `InputError` for a column that is missing, or is the target itself.

        Parameters
        ----------
        stated : mapping, optional
            What the user says of marks in numbers, as `marks_stated` gives it.
        """
        columns, cells, said = [], {}, []
        decimal = decimal_of_file(raw.frame.iloc[:, place] for place in range(raw.frame.shape[1])) if context else ""
        for item in context:
            wanted = item if item in raw.frame.columns else context_column_name(item)
            if wanted == target:
                raise InputError(f"{raw.source}: {target!r} is the target; it cannot be context too")
            series = require_column(raw, wanted, "--context or --features")
            marks = {"of_file": decimal, "delimiter": raw.delimiter, "source": raw.source, **(stated or {})}
            column, words = read_column(item if wanted != item else wanted, list(series), **marks)
            columns.append(replace(column, name=wanted))
            cells[wanted] = series
            said += words
        kept = {column: require_column(raw, column, "a split") for column in (*keep, *apart)}
        ids = require_column(raw, id_column, "--id") if id_column else None
        return cls(tuple(columns), cells, kept, tuple(apart), ids, tuple(said))

    def row(self, line: int) -> tuple[dict[str, str], dict[str, str]]:
        """The context and the kept cells of a row.

        Raises
        ------
        ContextError
            If a context cell cannot be used.
        """
        found = {}
        for column in self.columns:
            cell = self.context_cells[column.name].loc[line]
            try:
                found[column.name] = column.read(cell)
            except TargetError as error:
                raise ContextError(column.name, cell, str(error)) from None
        return found, {column: series.loc[line].strip() for column, series in self.kept.items()}

    def id_of(self, line: int) -> str:
        return "" if self.ids is None else self.ids.loc[line].strip()


class ContextError(ValueError):
    """A context cell that cannot be used; ``refusal`` is its column, the cell and the reason."""

    def __init__(self, column: str, cell: str, reason: str) -> None:
        super().__init__(reason)
        self.refusal: Refusal = (column, cell, reason)
