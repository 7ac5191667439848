"""Raw rows of reactions and their yields to a clean table."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd

from pipeline.errors import InputError, unknown
from pipeline.tables.measurements import MeasurementReader, TargetError
from pipeline.tables.reactions import (
    FAILURE,
    FRACTION,
    HIGHEST_YIELD,
    PERCENT,
    ROLES,
    SUCCESS,
    YIELD_UNITS,
    ComponentError,
    Reaction,
    ReactionReader,
    appearing_rows,
    check_yields,
    holds_structures,
)
from pipeline.tables.reading import RawTable, require_column, table_name
from pipeline.tables.scales import IN_PERCENT, Scale
from pipeline.tables.table import Refusal, Source, Table, check_enough, cleaned
from pipeline.tables.targets import CLASSES, REGRESSION

NAME = ":name"
RESERVED = (
    "row_id",
    "line",
    "given",
    "smiles",
    "inchikey",
    "twins",
    "scaffold",
    "target",
    "bound",
    "n_merged",
    "spread",
    "n_values",
    "variance",
    "yield",
)


def build_reaction_table(
    raw: RawTable,
    *,
    target: str,
    reaction: str = "",
    components: Sequence[str] = (),
    yield_unit: str = PERCENT,
    success: float = 0.0,
    name: str | None = None,
    property_name: str | None = None,
    context: Sequence[str] = (),
    keep: Sequence[str] = (),
    apart: Sequence[str] = (),
    progress: Callable[[Iterable[Any], int], Iterable[Any]] = lambda rows, n: rows,
) -> Table:
    """Clean a raw table of reactions and their yields.

    Parameters
    ----------
    raw : RawTable
    target : str
        Column of the yields.
    reaction : str
        Column of reaction SMILES; may be empty where the components say all.
    components : sequence of str
        Columns with one component each, as SMILES or as a name: a column of which at least half of the distinct
        values parse holds SMILES, unless ``:name`` is written behind it. A product stands behind the arrow. Without
        any, the reactants, agents and products of the reaction SMILES are the components.
    yield_unit : {"percent", "fraction"}
    success : float
        If not 0: the target is whether the yield reaches this many percent.
    context, keep
        As for `build_table`.
    apart : sequence of str
        Columns to keep; rows of one reaction that differ in them are not merged.

    Raises
    ------
    InputError
        If a column is missing, the yields are not in the stated unit, or too little is left to learn from.
    """
    if yield_unit not in YIELD_UNITS:
        raise unknown("yield unit", yield_unit, YIELD_UNITS)
    values = require_column(raw, target, "--yield")
    forced = {component_column(column) for column in components if column.endswith(NAME)}
    components = tuple(map(component_column, components))
    cells = {column: require_column(raw, column, "--components") for column in components}
    if reaction:
        cells[reaction] = require_column(raw, reaction, "--reaction")
    extra = {column: require_column(raw, column, "--context") for column in context}
    extra |= {column: require_column(raw, column, "a split") for column in (*keep, *apart)}
    structures = [column for column in components if column not in forced and holds_structures(cells[column])]
    names = [column for column in components if column not in structures]
    if not reaction and not structures:
        raise InputError(
            f"{raw.source}: none of the components ({', '.join(components)}) holds SMILES; give at least one that "
            "does, or the reaction SMILES with --reaction"
        )
    taken = next((column for column in (*components, *context) if column in RESERVED), None)
    if taken:
        raise InputError(f"{raw.source}: chemtune uses the name {taken!r} itself; rename that column")
    reader = ReactionReader(reaction, structures, names, components)
    scale = Scale(IN_PERCENT if yield_unit == FRACTION else "", "" if yield_unit == FRACTION else "%")
    measurements = MeasurementReader(scale, raw.decimal_comma)

    def structure(line: int) -> Reaction | Refusal:
        row = {column: series.loc[line] for column, series in cells.items()}
        try:
            return reader.read(row)
        except ComponentError as error:
            return error.column, row.get(error.column, ""), str(error)

    def measure(cell: str) -> tuple[float, str]:
        value, bound = measurements.read(cell)
        if not 0 <= value <= HIGHEST_YIELD:
            raise TargetError(f"yield is not between 0 and {HIGHEST_YIELD:.0f} %: {cell.strip()!r} ({yield_unit})")
        return value, bound

    check_yields(_numbers(values, measurements), yield_unit, raw.source, target)
    given = cells[reaction] if reaction else pd.concat(cells, axis=1).agg(".".join, axis=1)
    source = Source(raw, target, values, given, extra, tuple(context), tuple(apart))
    frame, refused, warnings = cleaned(source, structure, measure, REGRESSION, progress)
    shown = tuple(components) or tuple(role for role in ROLES if len(frame) and (frame[role] != "").any())
    frame = frame.assign(**{"yield": frame["target"]})
    if success:
        frame["target"] = np.where(frame["yield"] >= success, SUCCESS, FAILURE)
        if frame["target"].nunique() == 1:
            missing = "failure" if frame["target"].iloc[0] == SUCCESS else "success"
            raise InputError(
                f"{raw.source}: no reaction is a {missing} at a threshold of {success:g} % (yields from "
                f"{frame['yield'].min():g} to {frame['yield'].max():g} %); move it with --success"
            )
        reason = f"success is a yield of at least {success:g} %"
    else:
        reason = "yields are numbers"
    table = Table(
        name=name or table_name(raw.source),
        frame=frame,
        refused=refused,
        task=CLASSES if success else REGRESSION,
        task_reason=reason,
        property_name=property_name or ("outcome" if success else "yield"),
        units="" if success else "%",
        context=tuple(context),
        n_read=len(raw.frame) + len(raw.ragged),
        warnings=(*warnings, *_appearing_warnings(frame), *_mixed_warnings(refused, structures)),
        classes=tuple(sorted(frame["target"].unique())) if success else (),
        scale=Scale() if success else scale,
        components=shown,
        names=tuple(names),
    )
    check_enough(table, raw.source, target)
    return table


def component_column(text: str) -> str:
    """The column that an item of ``components`` names."""
    return text.removesuffix(NAME)


def _numbers(cells: pd.Series, reader: MeasurementReader) -> np.ndarray:
    """The values of a column as they stand in it, without those that cannot be read."""
    found = []
    for cell in cells:
        try:
            found.append(reader.read(cell)[0])
        except TargetError:
            continue
    return reader.scale.back(found)


def _mixed_warnings(refused: pd.DataFrame, structures: Sequence[str]) -> list[str]:
    counts = refused["column"][refused["column"].isin(structures)].value_counts()
    return [
        f"{count} row{' was' if count == 1 else 's were'} refused because {column!r} holds SMILES elsewhere and none "
        f"there; if the column holds names, write {column}{NAME} in --components"
        for column, count in counts.items()
    ]


def _appearing_warnings(frame: pd.DataFrame) -> list[str]:
    found = appearing_rows(frame)
    if not found:
        return []
    return [
        f"{len(found)} {'reaction has' if len(found) == 1 else 'reactions have'} a product with elements that nothing "
        f"before the arrow holds; the first is on line {found[0]['line']} ({', '.join(found[0]['elements'])})"
    ]
