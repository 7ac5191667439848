"""Raw rows of reactions and their yields to a clean table."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from pipeline.errors import InputError, unknown
from pipeline.tables.beside import Beside
from pipeline.tables.context import context_column_name
from pipeline.tables.kinds import REACTIONS
from pipeline.tables.measurements import ABOVE, BELOW, REFUSE
from pipeline.tables.molecules import names_said
from pipeline.tables.reactions import (
    FAILURE,
    PERCENT,
    SUCCESS,
    YIELD_UNITS,
    ComponentError,
    Reaction,
    ReactionReader,
    appearing_rows,
    holds_structures,
    without_spaces,
)
from pipeline.tables.reading import RawTable, require_column, table_name
from pipeline.tables.scales import Scale
from pipeline.tables.table import Refusal, Table, cleaned, finished, readable
from pipeline.tables.target_column import TargetColumn, TargetSettings, marks_stated, target_column
from pipeline.tables.targets import CLASSES
from pipeline.tables.yields import yield_column

NAME = ":name"
NO_YIELD = ""  # the target is something else


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
    failure_words: Sequence[str] = (),
    min_class_rows: int = 0,
    id_column: str = "",
    progress: Callable[[Iterable[Any], int], Iterable[Any]] = lambda rows, n: rows,
    **settings: str,
) -> Table:
    """Clean a raw table of reactions and what was measured of them; what is not named here is as for `build_table`.

    Parameters
    ----------
    target : str
        Column of the yields, or of another property.
    reaction : str
        Column of reaction SMILES; may be empty where the components say all.
    components : sequence of str
        Columns with one component each, as SMILES or as a name: a column of which at least half of the distinct
        values parse holds SMILES, unless ``:name`` is written behind it. A product stands behind the arrow. Without
        any, the reactants, agents and products of the reaction SMILES are the components.
    yield_unit : {"percent", "fraction", ""}
        Empty where the target is not a yield (enantiomeric excess, selectivity, a barrier).
    success : float
        If not 0: the target is whether the yield reaches this many percent.
    apart : sequence of str
        Columns to keep; rows of one reaction that differ in them are never one row, and all ids tell them apart.
    failure_words : sequence of str
        Words that stand for a yield of zero; empty for those that chemtune knows.
    settings
        Of the target; see `TargetSettings`.

    Raises
    ------
    InputError
        If a column is missing, the yields are not in the stated unit, or too little is left to learn from.
    """
    if yield_unit not in (NO_YIELD, *YIELD_UNITS):
        raise unknown("yield unit", yield_unit, YIELD_UNITS)
    said = TargetSettings(**settings)
    measured = (
        yield_column(raw, target, yield_unit, said, failure_words)
        if yield_unit
        else target_column(raw, target, said, "--target")
    )
    beside = Beside.of(raw, target, context, keep, apart, id_column, marks_stated(said.decimal, said.thousands))
    table = _read(
        raw, reaction, _reader(raw, reaction, components, (*context, *keep, *apart)), measured, beside, progress
    )
    of_yields = bool(yield_unit)
    table = replace(
        table,
        name=name or table.name,
        frame=table.frame.assign(**{"yield": table.frame["target"]}) if of_yields else table.frame,
        property_name=property_name or ("yield" if of_yields else measured.scale.name_for(readable(target))),
    )
    if success:
        table = _with_outcomes(table, success, property_name, raw.source)
    return finished(table, raw.source, target, min_class_rows)


def _read(
    raw: RawTable,
    reaction: str,
    reading: tuple[ReactionReader, dict[str, pd.Series]],
    measured: TargetColumn,
    beside: Beside,
    progress: Callable[[Iterable[Any], int], Iterable[Any]],
) -> Table:
    """The table of what stands in the rows; an error where a component is context as well."""
    reader, cells = reading
    twice = next((column for column in reader.order if column in beside.context), None)
    if twice:
        raise InputError(f"{raw.source}: {twice!r} is named as a component and as context; name it once")

    def structure(line: int) -> Reaction | Refusal:
        row = {column: series.loc[line] for column, series in cells.items()}
        try:
            return reader.read(row)
        except ComponentError as error:
            return error.column, row.get(error.column, ""), str(error)

    given = cells[reaction] if reaction else pd.concat(cells, axis=1).agg(".".join, axis=1)
    found = cleaned(raw, measured, given, structure, beside, progress)
    return _made(raw, reader, measured, beside, found, _names_said(reader, cells, found[2]["line"]))


def _names_said(reader: ReactionReader, cells: Mapping[str, pd.Series], refused: pd.Series) -> list[str]:
    """A sentence for each column whose SMILES have names behind them, of the rows that were read."""
    read = {column: series.drop(refused, errors="ignore") for column, series in cells.items()}
    said = names_said(reader.reaction, read[reader.reaction].map(without_spaces).items()) if reader.reaction else []
    for column in reader.order:
        said += names_said(column, read[column].items()) if column in reader.structures else []
    return said


def _made(
    raw: RawTable,
    reader: ReactionReader,
    measured: TargetColumn,
    beside: Beside,
    found: tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame, Sequence[str]],
    names: Sequence[str],
) -> Table:
    """The table of what `cleaned` found; ``names`` say what was passed over behind SMILES."""
    frame, user_cells, refused, warnings = found
    roles = tuple(name for name in reader.roles.values() if name in user_cells and (user_cells[name] != "").any())
    return Table(
        name=table_name(raw.source),
        frame=frame,
        cells=user_cells,
        refused=refused,
        task=measured.task,
        task_reason=measured.reason,
        property_name="",
        units=measured.scale.modelled_units,
        context=beside.context,
        n_read=len(raw.frame) + len(raw.ragged),
        warnings=(
            *measured.warnings,
            *warnings,
            *_appearing_warnings(frame),
            *_mixed_warnings(refused, sorted(reader.structures)),
        ),
        remarks=(*names, *raw.remarks, *measured.remarks(), *beside.said),
        scale=measured.scale,
        bounds=measured.bounds,
        components=reader.order or roles,
        names=tuple(column for column in reader.order if column in reader.names),
        context_columns=beside.columns,
        kind=REACTIONS,
    )


def _reader(
    raw: RawTable, reaction: str, components: Sequence[str], others: Sequence[str]
) -> tuple[ReactionReader, dict[str, pd.Series]]:
    """What reads the reaction of a row, and the columns that it reads."""
    forced = {component_column(column) for column in components if column.endswith(NAME)}
    components = tuple(map(component_column, components))
    cells = {column: require_column(raw, column, "--components") for column in components}
    if reaction:
        cells[reaction] = require_column(raw, reaction, "--reaction")
    structures = [column for column in components if column not in forced and holds_structures(cells[column])]
    names = [column for column in components if column not in structures]
    if not reaction and not structures:
        raise InputError(
            f"{raw.source}: none of the components ({', '.join(components)}) holds SMILES; give at least one that "
            "does, or the reaction SMILES with --reaction"
        )
    taken = () if components else [context_column_name(column) for column in others]
    return ReactionReader(reaction, structures, names, components, taken), cells


def _with_outcomes(table: Table, success: float, property_name: str | None, source: str) -> Table:
    """The table with success or failure for a target, without the rows whose bound does not tell which."""
    frame = table.frame
    reached = frame["yield"] >= success
    open_below = (frame["bound"] == BELOW) & (frame["yield"] > success)
    open_above = (frame["bound"] == ABOVE) & (frame["yield"] < success)
    reason = f"bound does not tell whether the yield reaches {success:g} %"
    table = table.refuse(dict.fromkeys(frame["row_id"][open_below | open_above], reason), "yield")
    reached = reached & ~((frame["bound"] == BELOW) & (frame["yield"] == success))
    labels = dict(zip(frame["row_id"], np.where(reached, SUCCESS, FAILURE), strict=True))
    frame = table.frame.assign(target=table.frame["row_id"].map(labels), bound="")
    if frame["target"].nunique() == 1:
        missing = "failure" if frame["target"].iloc[0] == SUCCESS else "success"
        raise InputError(
            f"{source}: no reaction is a {missing} at a threshold of {success:g} % (yields from "
            f"{frame['yield'].min():g} to {frame['yield'].max():g} %); move it with --success"
        )
    return replace(
        table,
        frame=frame,
        task=CLASSES,
        task_reason=f"success is a yield of at least {success:g} %",
        property_name=property_name or "outcome",
        units="",
        scale=Scale(),
        bounds=REFUSE,
    )


def component_column(text: str) -> str:
    """The column that an item of ``components`` names."""
    return text.removesuffix(NAME)


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
