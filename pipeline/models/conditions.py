"""What training has seen beside the structures: ranges of numbers, categories, names of components."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from numbers import Real
from typing import Any

import pandas as pd

from pipeline.errors import InputError
from pipeline.tables.context import ContextColumn, unseen_name
from pipeline.tables.measurements import TargetError, written_numbers
from pipeline.tables.notation import Notation, notation_of
from pipeline.tables.table import Table


@dataclass(frozen=True)
class Conditions:
    """How the context of new rows is read, and whether training has seen the like.

    ``columns`` are the context columns, ``names`` the values of each component that holds names.
    """

    columns: tuple[ContextColumn, ...] = ()
    names: dict[str, tuple[str, ...]] = field(default_factory=dict)

    @classmethod
    def of(cls, table: Table) -> Conditions:
        """As the rows of a table show."""
        inputs = table.inputs
        columns = tuple(column.seen(inputs[column.name]) for column in table.context_columns)
        return cls(columns, {name: tuple(sorted(set(inputs[name]))) for name in table.names})

    @classmethod
    def stored(cls, about: Mapping[str, Any]) -> Conditions:
        """As a model's description keeps them; models of earlier formats know nothing of them."""
        if not about:
            return cls()
        names = {name: tuple(values) for name, values in about["names"].items()}
        return cls(tuple(map(ContextColumn.stored, about["context"])), names)

    def as_dict(self) -> dict[str, Any]:
        """As a model's description keeps them."""
        return {
            "context": [column.as_dict() for column in self.columns],
            "names": {name: list(values) for name, values in self.names.items()},
        }

    def written_as(self, cells: Mapping[str, Sequence[str]]) -> Conditions:
        """The same for a file whose numbers may be written otherwise than those of training.

        Where its cells leave open what a mark means, it is taken to mean what it meant in training.
        """
        columns = []
        for column in self.columns:
            if column.number and column.name in cells:
                column = replace(column, notation=_notation(cells[column.name], column.notation))
            columns.append(column)
        return replace(self, columns=tuple(columns))

    def read(self, name: str, cell: str) -> str:
        """A context cell as training has it.

        Raises
        ------
        TargetError
            If it is missing, or no number where training had numbers.
        """
        column = next((column for column in self.columns if column.name == name), None)
        if column is None:
            if not cell.strip():
                raise TargetError("missing context value")
            return cell
        try:
            return column.read(cell)
        except TargetError:
            own = _notation([cell], column.notation)
            if own == column.notation:
                raise
            return replace(column, notation=own).read(cell)

    def frame(self, X: pd.DataFrame) -> pd.DataFrame:
        """``X`` with its context columns as training has them.

        Raises
        ------
        ValueError
            For a cell that cannot be read, naming its position and column.
        """
        for column in self.columns:
            if column.name not in X:
                raise ValueError(f"X has no column {column.name!r}, which the model needs beside the structures")
            found = []
            for position, cell in enumerate(X[column.name]):
                if column.number and isinstance(cell, Real) and cell == cell:
                    found.append(f"{float(cell):.12g}")  # a number is one, however training wrote its own
                    continue
                try:
                    found.append(self.read(column.name, "" if pd.isna(cell) else str(cell)))
                except TargetError as error:
                    raise ValueError(f"X[{position}], column {column.name!r}: {error}") from None
            X = X.assign(**{column.name: found})
        return X

    def unlike_training(self, row: Mapping[str, str]) -> list[str]:
        """What of a row of ``X`` training has not seen, in words."""
        said = [column.unlike_training(str(row[column.name])) for column in self.columns]
        said += [unseen_name(name, str(row[name]), values) for name, values in self.names.items()]
        return [words for words in said if words]


def _notation(cells: Sequence[str], trained: Notation) -> Notation:
    mark = trained.decimal if len(trained.decimal) == 1 else ""
    try:
        found = notation_of(written_numbers(cells), of_file=mark)
    except InputError:
        return trained
    return found if found.why else trained
