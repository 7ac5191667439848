"""Columns of conditions beside a structure: what each holds, how a cell is read, and whether training has seen it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from difflib import get_close_matches
from typing import Any

from pipeline.errors import InputError
from pipeline.tables.measurements import (
    ERRORS_OF_SHEETS,
    MISSING,
    Measurement,
    TargetError,
    parse_measurement,
    written_numbers,
)
from pipeline.tables.notation import PLAIN, Notation, notation_of
from pipeline.tables.scales import UnitError, conversion

NUMBER_SUFFIX, NAME_SUFFIX = ":number", ":name"
NUMBERS_SHARE = 0.8  # of the cells of a column that are numbers, from which on it holds numbers
MISSING_NAME = {"", "na", "n/a", "<na>", "nan", "null", *ERRORS_OF_SHEETS}
_SHOWN = 3


@dataclass(frozen=True)
class ContextColumn:
    """A column that the prompt states and the baselines get.

    Parameters
    ----------
    name : str
    number : bool
        Whether it holds numbers; names otherwise.
    notation : Notation
        How its numbers are written.
    units : str
        Those that its cells carry; others are converted.
    low, high : float
        Smallest and largest number of the training rows.
    values : tuple of str
        The names of the training rows, in order.
    """

    name: str
    number: bool
    notation: Notation = PLAIN
    units: str = ""
    low: float = float("nan")
    high: float = float("nan")
    values: tuple[str, ...] = ()

    @classmethod
    def stored(cls, about: Mapping[str, Any]) -> ContextColumn:
        """As a model's description keeps it."""
        kept = {**about, "notation": Notation.stored(about["notation"]), "values": tuple(about["values"])}
        return cls(**{name: kept[name] for name in cls.__dataclass_fields__ if name in kept})

    def as_dict(self) -> dict[str, Any]:
        """As a model's description keeps it."""
        about = asdict(self) | {"notation": {"decimal": self.notation.decimal, "thousands": self.notation.thousands}}
        return about | {end: about[end] if about[end] == about[end] else None for end in ("low", "high")}

    def read(self, cell: str) -> str:
        """The cell as the rest of the program sees it: a number in the column's units, or a name without odd spaces.

        Raises
        ------
        TargetError
            If it is missing, or no number where the column holds numbers.
        """
        text = " ".join(cell.split())
        if not self.number:
            if text.lower() in MISSING_NAME:
                raise TargetError("missing context value")
            return text
        if text.lower() in MISSING:
            raise TargetError("missing context value")
        try:
            found = parse_measurement(text, self.notation)
        except TargetError:
            raise TargetError(f"context value is not a number: {text!r}") from None
        if found.bound:
            raise TargetError(f"context value is a bound, not a number: {text!r}")
        return f"{self._in_units(found, text):.12g}"

    def _in_units(self, found: Measurement, text: str) -> float:
        if not found.unit or found.unit == self.units:
            return found.number
        if not self.units:
            raise TargetError(f"context value carries a unit, and the column has none: {text!r}")
        try:
            factor, offset = conversion(found.unit, self.units)
        except UnitError as error:
            raise TargetError(f"context value is not in the column's units ({error}): {text!r}") from None
        return factor * found.number + offset

    def seen(self, cells: Iterable[str]) -> ContextColumn:
        """The column with what its training rows hold; ``cells`` are as `read` gives them."""
        distinct = sorted(set(cells))
        if not self.number:
            return replace(self, values=tuple(distinct))
        numbers = [float(cell) for cell in distinct]
        return replace(self, low=min(numbers), high=max(numbers))

    def unlike_training(self, cell: str) -> str:
        """Why a cell, as `read` gives it, lies outside of what training has seen; empty where it does not."""
        if self.number:
            if self.low is None or not (float(cell) < self.low or float(cell) > self.high):
                return ""
            return f"{self.name} {cell} is outside of the training range {self.low:.6g} to {self.high:.6g}"
        return unseen_name(self.name, cell, self.values)


def unseen_name(column: str, value: str, known: Sequence[str]) -> str:
    """Why a name is not one of those of training, with the one that is probably meant; empty where it is one."""
    if not known or value in known:
        return ""
    if not value:
        return f"{column} is absent, and never was in training"
    by_folded = {name.casefold(): name for name in known}
    near = by_folded.get(value.casefold()) or next(iter(get_close_matches(value, known, n=1, cutoff=0.8)), "")
    hint = f" (did you mean {near!r}?)" if near else ""
    return f"{column} {value!r} was not in training{hint}"


def context_column_name(text: str) -> str:
    """The column that an item of ``context`` names: ``temp:number`` and ``temp:name`` say what it holds."""
    return text.removesuffix(NUMBER_SUFFIX).removesuffix(NAME_SUFFIX)


def read_column(item: str, cells: Sequence[str], **marks: Any) -> tuple[ContextColumn, list[str]]:
    """What a context column holds, and what is to be said of how it was taken.

    Parameters
    ----------
    item : str
        The column's name, with ``:number`` or ``:name`` behind it where the user says what it holds.
    cells : sequence of str
        All of its cells.
    marks
        For `notation_of`; what the user says of marks (of the target, that is) settles a column that can be read in two
        ways.
    """
    name = context_column_name(item)
    present = [cell for cell in cells if cell.strip().lower() not in MISSING]
    notation = _notation_of_context(item, name, present, marks)
    found, odd = [], []
    for cell in present:
        try:
            measured = parse_measurement(cell, notation)
            if measured.bound:
                raise TargetError("a bound")
            found.append(measured)
        except TargetError:
            odd.append(cell.strip())
    number = len(found) >= NUMBERS_SHARE * len(present) > 0
    if item != name:
        number = item.endswith(NUMBER_SUFFIX)
    elif found and len({cell.strip() for cell in cells}) > 1 and not number and len(found) >= 0.2 * len(present):
        return ContextColumn(name, False), [
            f"the context column {name!r} is taken for names: {len(found)} of its {len(present)} cells are numbers, "
            f"the others are not, such as {odd[0]!r}; --context {name}{NUMBER_SUFFIX} takes it for numbers"
        ]
    if not number:
        return ContextColumn(name, False), _spellings(name, cells)
    units = Counter(one.unit for one in found if one.unit)
    column = ContextColumn(name, True, notation, units.most_common(1)[0][0] if units else "")
    said = [notation.said(name)] if notation.said(name) else []
    if units:
        plain = sum(not one.unit for one in found)
        said.append(
            f"{sum(units.values())} cells of {name!r} carry units and are read in {column.units}"
            + (f", as are the {plain} without" if plain else "")
        )
    if odd:
        shown = ", ".join(map(repr, dict.fromkeys(odd[:_SHOWN])))
        said.append(
            f"the context column {name!r} holds numbers ({len(found)} of {len(present)} cells); rows with something "
            f"else there are refused, such as {shown}; --context {name}{NAME_SUFFIX} takes it for names"
        )
    return column, said


def _notation_of_context(item: str, name: str, present: Sequence[str], marks: Mapping[str, Any]) -> Notation:
    """How the numbers of the column are written; plainly where it holds names."""
    numbers = written_numbers(present)
    if item.endswith(NAME_SUFFIX) and item != name:
        return PLAIN
    own = {key: value for key, value in marks.items() if key not in ("decimal", "thousands")}
    try:
        return notation_of(numbers, column=name, **own)
    except InputError:
        if marks.get("decimal") or marks.get("thousands"):
            return notation_of(numbers, column=name, **marks)
        if item == name and len(numbers) < NUMBERS_SHARE * len(present):
            return PLAIN  # names, some of which look like numbers
        raise


def _spellings(name: str, cells: Sequence[str]) -> list[str]:
    """A word on names that differ in upper and lower case alone."""
    ways: dict[str, Counter[str]] = {}
    for cell in cells:
        text = " ".join(cell.split())
        ways.setdefault(text.casefold(), Counter())[text] += 1
    several = [
        " and ".join(f"{text!r} ({count})" for text, count in one.items()) for one in ways.values() if len(one) > 1
    ]
    if not several:
        return []
    return [
        f"{name!r} holds names that differ in upper and lower case alone, and counts as different: {'; '.join(several)}"
    ]
