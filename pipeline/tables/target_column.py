"""The column of the measured property: numbers or classes, how they are written, their relations and units."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from pipeline.errors import InputError, unknown
from pipeline.tables.measurements import (
    ACCEPT,
    REFUSE,
    RELATIONS,
    MeasurementReader,
    TargetError,
    parse_measurement,
    parse_relation,
    units_of_column,
    written_numbers,
)
from pipeline.tables.notation import Notation, decimal_of_file, notation_of
from pipeline.tables.reading import RawTable, require_column
from pipeline.tables.scales import Scale, is_unit
from pipeline.tables.targets import CLASSES, REGRESSION, ClassReader, infer_task

LOST_TO_LOGARITHM = 0.05  # share of values without a logarithm up to which their rows are refused one by one
MOST_UNITS = 12  # different ones in a column that is thought to hold units


@dataclass(frozen=True)
class TargetSettings:
    """What the user says of the target column; see `pipeline.settings.run.RunConfig` for the fields."""

    task: str = "auto"
    units: str = ""
    transform: str = ""
    bounds: str = ""
    annotated: str = ""
    decimal: str = ""
    thousands: str = ""
    relation: str = ""
    units_column: str = ""


@dataclass(frozen=True)
class TargetColumn:
    """A target column, ready to be read row by row.

    ``read`` leads from the line of a row, and a function that gives the molecular weight of its molecule, to its
    value and bound; it raises `TargetError`. ``decided`` says how the column was taken, ``warnings`` what the user
    should look at; `remarks` also counts the rules that were applied while reading.
    """

    name: str
    values: pd.Series
    task: str
    reason: str
    scale: Scale
    bounds: str
    read: Callable[[int, Callable[[], float | None]], tuple[Any, str]]
    decided: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    rules: Counter[str] = field(default_factory=Counter)

    def remarks(self) -> tuple[str, ...]:
        """How the column was taken, and how often each rule was applied."""
        counted = [f"{rule}: {count} row{'s' * (count != 1)}" for rule, count in sorted(self.rules.items())]
        return (*self.decided, *counted)


def column_notation(
    raw: RawTable, column: str, decimal: str = "", thousands: str = "", below_thousand: bool = False
) -> Notation:
    """How the numbers of a column of a table are written; see `notation_of`."""
    others = (raw.frame.iloc[:, place] for place, name in enumerate(raw.frame.columns) if name != column)
    return notation_of(
        written_numbers(raw.frame[column]),
        of_file=decimal_of_file(others),
        below_thousand=below_thousand,
        source=raw.source,
        column=column,
        **marks_stated(decimal, thousands),
        delimiter=raw.delimiter,
    )


def marks_stated(decimal: str, thousands: str) -> dict[str, str]:
    """The user's word on marks, as `notation_of` takes it."""
    return {"decimal": decimal, "thousands": thousands}


def target_column(raw: RawTable, target: str, settings: TargetSettings, option: str = "--target") -> TargetColumn:
    """How the cells of the target are read.

    Raises
    ------
    InputError
        If a column is missing, its numbers can be read in two ways, or settings for numbers are given for classes.
    """
    values = require_column(raw, target, option)
    column = str(values.name)
    task, reason = settings.task, "set by the user"
    if task not in ("auto", REGRESSION, CLASSES):
        raise unknown("task", task, ("auto", REGRESSION, CLASSES))
    notation = Notation()
    if task != CLASSES:
        notation = column_notation(raw, column, settings.decimal, settings.thousands)
    if task == "auto":
        task, reason = infer_task(list(values), notation, raw.source, target)
    if task == CLASSES:
        return _classes(raw, target, values, reason, settings)
    return _numbers(raw, target, values, reason, notation, settings)


def _classes(raw: RawTable, target: str, values: pd.Series, reason: str, settings: TargetSettings) -> TargetColumn:
    given = ("transform", "relation", "units_column")
    if any(getattr(settings, name) for name in given) or {settings.bounds, settings.annotated} - {"", REFUSE}:
        raise InputError(
            f"{raw.source}: {target!r} holds classes; --transform, --bounds, --annotated, --relation and "
            "--units-column are for numbers (--task regression reads it as numbers)"
        )
    reader = ClassReader.of(values)

    def read(line: int, weight: Callable[[], float | None]) -> tuple[str, str]:
        return reader.read(values.loc[line]), ""

    decided = tuple(f"in {target!r} {rule}" for rule in reader.rules)
    return TargetColumn(target, values, CLASSES, reason, Scale("", settings.units), REFUSE, read, decided)


def _numbers(
    raw: RawTable, target: str, values: pd.Series, reason: str, notation: Notation, settings: TargetSettings
) -> TargetColumn:
    bounds, annotated = settings.bounds or REFUSE, settings.annotated or REFUSE
    relations = require_column(raw, settings.relation, "--relation") if settings.relation else None
    carried = require_column(raw, settings.units_column, "--units-column") if settings.units_column else None
    decided = [said] if (said := notation.said(target)) else []
    units = settings.units
    if carried is not None and not units:
        units = _most_common_unit(carried, raw.source)
        decided.append(f"{target!r} is read in {units}, the most common unit of {settings.units_column!r}")
    elif annotated == ACCEPT and not units:
        units = units_of_column(values, notation, raw.source, target)
    scale = Scale(settings.transform, units)
    reader = MeasurementReader(scale, notation, bounds, annotated)
    blank_is_equal = relations is not None and not any(map(_says_equal, relations))
    if relations is not None and blank_is_equal and (relations.str.strip() == "").any():
        decided.append(f"an empty cell of {settings.relation!r} is read as =, since no cell says so itself")

    def read(line: int, weight: Callable[[], float | None]) -> tuple[float, str]:
        relation = ""
        if relations is not None and not (blank_is_equal and not relations.loc[line].strip()):
            relation = parse_relation(relations.loc[line])
        unit = None if carried is None else carried.loc[line]
        return reader.read(values.loc[line], relation, unit, weight() if unit and unit.strip() != units else None)

    _check_logarithm(values, reader, raw.source, target)
    warnings = _columns_beside(raw, target, settings)
    return TargetColumn(
        target, values, REGRESSION, reason, scale, bounds, read, tuple(decided), tuple(warnings), reader.rules
    )


def _says_equal(cell: str) -> bool:
    try:
        return parse_relation(cell) == ""
    except TargetError:
        return False


def _most_common_unit(cells: pd.Series, source: str) -> str:
    counts = Counter(cell.strip() for cell in cells if cell.strip())
    if not counts:
        raise InputError(f"{source}: the column of units {cells.name!r} is empty; leave --units-column out")
    return min(counts, key=lambda unit: (-counts[unit], unit))


def _check_logarithm(values: Iterable[str], reader: MeasurementReader, source: str, target: str) -> None:
    """Ask, where a logarithm would cost more than single rows."""
    if not reader.scale.needs_positive:
        return
    numbers = []
    for cell in values:
        try:
            numbers.append(parse_measurement(cell, reader.notation).number)
        except TargetError:
            continue
    lost = sum(number <= 0 for number in numbers)
    if lost > max(1, LOST_TO_LOGARITHM * len(numbers)):
        raise InputError(
            f"{source}: {lost} of {len(numbers)} values of {target!r} are zero or negative and have no logarithm; "
            f"leave --transform {reader.scale.transform} out, or take these rows out of the file yourself"
        )


def _columns_beside(raw: RawTable, target: str, settings: TargetSettings) -> list[str]:
    """A word on columns that look as if they held the relations or the units of the target and are not named."""
    said = []
    for name in raw.frame.columns:
        if name == target or name in raw.repeated:
            continue
        cells = raw.frame[name].str.strip()
        counts = Counter(cells[cells != ""])
        if not counts or len(counts) > MOST_UNITS:
            continue
        if not settings.relation and all(text.strip("'\"").strip().lower() in RELATIONS for text in counts):
            others = sum(count for text, count in counts.items() if not _says_equal(text))
            said.append(
                f"{name!r} looks like the relations of {target!r}: {others} of {sum(counts.values())} rows do not say "
                f"'=' and are taken for values all the same; --relation {name!r} reads them as bounds"
            )
        elif (
            not settings.units_column
            and "unit" in name.lower()
            and all(text == "%" or is_unit(text) for text in counts)
        ):
            listed = ", ".join(f"{unit} ({count})" for unit, count in counts.most_common(5))
            said.append(f"{name!r} looks like the units of {target!r}: {listed}; --units-column {name!r} converts them")
    return said
