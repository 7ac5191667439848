"""Raw rows to a clean table: parsed, merged, grouped, and every refused row kept with its reason."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from pipeline.errors import InputError, unknown
from pipeline.tables.measurements import (
    ABOVE,
    ACCEPT,
    BELOW,
    CENSORED,
    REFUSE,
    MeasurementReader,
    TargetError,
    units_of_column,
)
from pipeline.tables.molecules import Molecule, MoleculeError, parse_molecule
from pipeline.tables.reactions import Reaction
from pipeline.tables.reading import RawTable, find_smiles_column, require_column, table_name
from pipeline.tables.scales import Scale
from pipeline.tables.targets import CLASSES, REGRESSION, infer_task, parse_class

MIN_ROWS = 20
SPREAD_WARNING = 0.5  # of the target's standard deviation
REFUSED_COLUMNS = ["line", "column", "value", "reason"]


@dataclass(frozen=True)
class Table:
    """Clean rows, ready to be split.

    ``frame`` has one row per molecule (per molecule and context, where there is context), sorted
    by ``row_id``, with columns ``row_id``, ``line`` (of the first source row), ``given`` (its
    SMILES as written), ``smiles`` (canonical), ``inchikey``, ``twins`` (leakage group),
    ``scaffold`` (empty if acyclic), ``target``, ``bound`` (``<`` or ``>`` where the truth lies below
    or above the target, else empty), ``n_merged``, ``spread`` (largest minus smallest merged value),
    ``n_values`` and ``variance`` (how many values the target is the mean of, and theirs; 0 for a single one),
    the context columns, and any column kept for splitting. ``refused`` has one row per source row
    that was left out: ``line``, ``column``, ``value``, ``reason``. Targets are on the modelled scale,
    of which ``units`` are the units; ``scale`` leads back to the user's. ``bounds`` says what became
    of values such as ``>10``.

    A table of reactions names the columns of its ``components`` (in ``names`` those that hold names instead of
    structures). Its ``smiles`` are canonical reaction SMILES, ``inchikey`` and ``twins`` stand for the whole
    reaction without its context, and a column ``yield`` holds the yield in percent, whatever the target is.
    """

    name: str
    frame: pd.DataFrame
    refused: pd.DataFrame
    task: str
    task_reason: str
    property_name: str
    units: str = ""
    context: tuple[str, ...] = ()
    n_read: int = 0
    warnings: tuple[str, ...] = ()
    classes: tuple[str, ...] = ()
    card: dict[str, Any] = field(default_factory=dict)
    scale: Scale = field(default_factory=Scale)
    bounds: str = REFUSE
    components: tuple[str, ...] = ()
    names: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.frame)

    @property
    def has_reactions(self) -> bool:
        return bool(self.components)

    @property
    def rows_are(self) -> str:
        """What a row of the table is, in the plural."""
        return "reactions" if self.has_reactions else "molecules"

    @property
    def inputs(self) -> pd.DataFrame:
        """What an arm is given as ``X``: the canonical SMILES, a reaction's components, and the context columns."""
        return self.frame.set_index("row_id")[["smiles", *self.components, *self.context]]

    @property
    def targets(self) -> pd.Series:
        return self.frame.set_index("row_id")["target"]

    @property
    def exact(self) -> pd.Series:
        """Whether a target is a value rather than a bound, by ``row_id``; only values can be scored."""
        return self.frame.set_index("row_id")["bound"] == ""

    def censoring(self, row_ids: Sequence[str]) -> np.ndarray | None:
        """1 where the truth lies above the target of a row, -1 where below, 0 where it is the target. Shape (n,).

        None unless the user wants bounds used as such.
        """
        if self.bounds != CENSORED:
            return None
        sides = self.frame.set_index("row_id")["bound"].map({ABOVE: 1, BELOW: -1, "": 0})
        return sides.loc[list(row_ids)].to_numpy()

    def fingerprint(self) -> str:
        """Hash of all that a prediction can depend on: rows, structures, context, targets and bounds."""
        columns = ["row_id", "smiles", "target", "bound", *self.components, *self.context]
        said = (self.task, self.property_name, self.units, self.bounds, self.scale, self.names)
        text = self.frame[columns].to_csv(index=False) + repr(said)
        return hashlib.sha256(text.encode()).hexdigest()

    def refuse(self, reasons: dict[str, str], column: str = "smiles") -> Table:
        """The table without the rows named in ``reasons`` (``row_id`` to reason)."""
        if not reasons:
            return self
        leaving = self.frame["row_id"].isin(reasons.keys())
        gone = self.frame[leaving]
        refused = pd.DataFrame(
            {
                "line": gone["line"],
                "column": column,
                "value": gone["given"],
                "reason": gone["row_id"].map(reasons),
            }
        )
        kept = self.frame[~leaving].reset_index(drop=True)
        return replace(self, frame=kept, refused=pd.concat([self.refused, refused], ignore_index=True))

    def sample(self, n: int, seed: int) -> Table:
        """At most ``n`` rows drawn by seed, independent of the order of the source rows."""
        if len(self) <= n:
            return self
        chosen = np.sort(np.random.default_rng(seed).permutation(len(self))[:n])
        return replace(self, frame=self.frame.iloc[chosen].reset_index(drop=True))


def build_table(
    raw: RawTable,
    *,
    smiles: str | None,
    target: str,
    task: str = "auto",
    name: str | None = None,
    property_name: str | None = None,
    units: str = "",
    transform: str = "",
    bounds: str = REFUSE,
    annotated: str = REFUSE,
    context: Sequence[str] = (),
    keep: Sequence[str] = (),
    largest_fragment: bool = False,
    card: dict[str, Any] | None = None,
    progress: Callable[[Iterable[Any], int], Iterable[Any]] = lambda rows, n: rows,
) -> Table:
    """Clean a raw table.

    Parameters
    ----------
    raw : RawTable
    smiles, target : str
        Column names; ``smiles=None`` looks for a column called SMILES.
    task : {"auto", "regression", "classes"}
    units : str
        Of the target column; empty takes the unit that its cells carry, if ``annotated`` accepts one.
    transform : {"", "log10", "pIC50"}
        Scale on which the target is modelled.
    bounds, annotated : str
        What becomes of ``>10`` and of ``5 µM``; see `MeasurementReader`.
    context : sequence of str
        Columns that the prompt states and the baselines get as features.
    keep : sequence of str
        Further columns to carry along (for a split by column).
    largest_fragment : bool
        Keep only the largest fragment of each structure.

    Raises
    ------
    InputError
        If a column is missing, or too little is left to learn from.
    """
    smiles = smiles or find_smiles_column(list(raw.frame.columns), raw.source)
    structures = require_column(raw, smiles, "--smiles")
    values = require_column(raw, target, "--target")
    extra = {column: require_column(raw, column, "--context") for column in context}
    extra |= {column: require_column(raw, column, "a split") for column in keep}
    if task == "auto":
        task, reason = infer_task(list(values), raw.decimal_comma, raw.source, target)
    elif task in (REGRESSION, CLASSES):
        reason = "set by the user"
    else:
        raise unknown("task", task, ("auto", REGRESSION, CLASSES))
    if task == CLASSES and (transform or bounds != REFUSE or annotated != REFUSE):
        raise InputError(
            f"{raw.source}: {target!r} holds classes; --transform, --bounds and --annotated are for numbers "
            "(--task regression reads it as numbers)"
        )
    if annotated == ACCEPT and not units:
        units = units_of_column(values, raw.decimal_comma, raw.source, target)
    scale = Scale(transform, units)
    reader = MeasurementReader(scale, raw.decimal_comma, bounds, annotated)

    parsed: dict[str, Molecule | str] = {}

    def structure(line: int) -> Molecule | Refusal:
        given = structures.loc[line]
        if given not in parsed:
            parsed[given] = _parse_or_reason(given, largest_fragment)
        found = parsed[given]
        return (smiles, given, found) if isinstance(found, str) else found

    def measure(cell: str) -> tuple[Any, str]:
        return reader.read(cell) if task == REGRESSION else (parse_class(cell), "")

    source = Source(raw, target, values, structures, extra, tuple(context))
    frame, refused, warnings = cleaned(source, structure, measure, task, progress)
    table = Table(
        name=name or table_name(raw.source),
        frame=frame,
        refused=refused,
        task=task,
        task_reason=reason,
        property_name=property_name or scale.name_for(_readable(target)),
        units=scale.modelled_units,
        context=tuple(context),
        n_read=len(raw.frame) + len(raw.ragged),
        warnings=tuple(warnings),
        classes=tuple(sorted(frame["target"].unique())) if task == CLASSES else (),
        card=card or {},
        scale=scale,
        bounds=bounds,
    )
    check_enough(table, raw.source, target)
    return table


Refusal = tuple[str, str, str]  # column, value, reason


@dataclass(frozen=True)
class Source:
    """The columns of a raw table that a table is made from; ``given`` is the structure as written.

    Rows of one structure are merged where they agree in the ``context`` and in the columns that are kept ``apart``.
    """

    raw: RawTable
    target: str
    values: pd.Series
    given: pd.Series
    extra: dict[str, pd.Series]
    context: tuple[str, ...]
    apart: tuple[str, ...] = ()


def cleaned(
    source: Source,
    structure: Callable[[int], Molecule | Reaction | Refusal],
    measure: Callable[[str], tuple[Any, str]],
    task: str,
    progress: Callable[[Iterable[Any], int], Iterable[Any]],
) -> tuple[pd.DataFrame, pd.DataFrame, list[str]]:
    """``(rows, refused rows, warnings)`` of a table, duplicates merged.

    Parameters
    ----------
    structure : callable
        From the line of a row to its structure, or to why it has none that can be used.
    measure : callable
        From a target's cell to its value and bound; raises `TargetError`.
    """
    raw, values = source.raw, source.values
    rows: list[_Row] = []
    refused: list[tuple[int, str, str, str]] = [(line, "", text, why) for line, text, why in raw.ragged]
    for line, value in progress(zip(raw.frame.index, values, strict=True), len(raw.frame)):
        try:
            measured = measure(value)
        except TargetError as error:
            refused.append((line, source.target, value, str(error)))
            continue
        found = structure(line)
        if isinstance(found, tuple):
            refused.append((line, *found))
            continue
        cells = {column: series.loc[line].strip() for column, series in source.extra.items()}
        blank = next((column for column in source.context if not cells[column]), None)
        if blank is not None:
            refused.append((line, blank, "", "missing context value"))
            continue
        rows.append((line, source.given.loc[line].strip(), found, measured, cells))
    frame, conflicts, warnings = _merge(rows, task, source.target, [*source.context, *source.apart])
    refused += [(line, source.target, values.loc[line], reason) for line, reason in conflicts]
    return (
        _with_twin_groups(frame),
        pd.DataFrame(refused, columns=REFUSED_COLUMNS).sort_values("line", ignore_index=True),
        warnings,
    )


def check_enough(table: Table, source: str, target: str) -> None:
    """Refuse a table from which nothing can be learned, saying what is there and what is needed."""
    if len(table) < MIN_ROWS:
        why = ""
        if len(table.refused):
            reasons = table.refused["reason"].str.split(":").str[0].value_counts()
            why = f"; {len(table.refused)} rows were refused, most often for {reasons.index[0]!r} ({reasons.iloc[0]})"
        raise InputError(f"{source}: {len(table)} usable rows; at least {MIN_ROWS} are needed{why}")
    distinct = table.frame["target"].unique()
    exact = int(table.exact.sum())
    if exact < MIN_ROWS:
        raise InputError(
            f"{source}: {exact} of {len(table)} usable rows hold a value in {target!r}, the others bounds; "
            f"at least {MIN_ROWS} values are needed"
        )
    if len(distinct) == 1:
        kind = "class" if table.task == CLASSES else "value"
        raise InputError(
            f"{source}: all {len(table)} usable rows have the same {kind} in {target!r} ({distinct[0]}); "
            "at least two are needed"
        )


def _parse_or_reason(text: str, largest_fragment: bool) -> Molecule | str:
    try:
        return parse_molecule(text, largest_fragment)
    except MoleculeError as error:
        return str(error)


# Line, structure as given, structure, value and bound, cells of other columns.
_Row = tuple[int, str, Molecule | Reaction, tuple[Any, str], dict[str, str]]


def _merge(
    rows: list[_Row], task: str, target: str, apart: list[str]
) -> tuple[pd.DataFrame, list[tuple[int, str]], list[str]]:
    """One row per InChIKey and values of the columns ``apart``: numbers averaged, conflicts refused."""
    groups: dict[str, list[_Row]] = {}
    for row in rows:
        groups.setdefault(_row_id(row[2].inchikey, [row[4][column] for column in apart]), []).append(row)
    merged: list[dict[str, Any]] = []
    conflicts: list[tuple[int, str]] = []
    for row_id, members in groups.items():
        line, given, molecule, _, cells = members[0]
        measured = [member[3] for member in members]
        conflict = _conflict(measured, task)
        if conflict:
            lines = ", ".join(str(member[0]) for member in members)
            conflicts += [(member[0], f"{conflict} (lines {lines})") for member in members]
            continue
        value, bound, values = _combined(measured) if task == REGRESSION else (measured[0][0], "", [])
        merged.append(
            {
                "row_id": row_id,
                "line": line,
                "given": given,
                "smiles": min(member[2].smiles for member in members),
                "inchikey": molecule.inchikey,
                "parent_keys": molecule.parent_keys,
                "scaffold": molecule.scaffold,
                "target": value,
                "bound": bound,
                "n_merged": len(members),
                "spread": values[-1] - values[0] if values else 0.0,
                "n_values": len(values),
                "variance": float(np.var(values, ddof=1)) if len(values) > 1 else 0.0,
                **(molecule.components if isinstance(molecule, Reaction) else {}),
                **cells,
            }
        )
    columns = ["row_id", "line", "given", "smiles", "inchikey", "parent_keys", "scaffold", "target", "bound"]
    frame = pd.DataFrame(merged, columns=None if merged else [*columns, "n_merged", "spread", "n_values", "variance"])
    frame = frame.sort_values("row_id", ignore_index=True)
    if task != REGRESSION or len(frame) < 2:
        return frame, conflicts, []
    kind = "reaction" if isinstance(rows[0][2], Reaction) else "molecule"
    return frame, conflicts, _spread_warnings(frame, target, kind)


def _conflict(measured: list[tuple[Any, str]], task: str) -> str:
    """Why the measurements of one molecule cannot be made one; empty if they can."""
    if task == CLASSES:
        found = sorted({value for value, _ in measured})
        return f"conflicting classes for one molecule: {', '.join(found)}" if len(found) > 1 else ""
    sides = {bound for _, bound in measured}
    return "bounds of one molecule on both sides, and no value" if sides == {ABOVE, BELOW} else ""


def _combined(measured: list[tuple[float, str]]) -> tuple[float, str, list[float]]:
    """``(value, bound, values)`` of one molecule: the mean of its values in order, or its tightest bound if it has
    none."""
    values = sorted(value for value, bound in measured if not bound)
    if values:
        return float(np.mean(values)), "", values
    bound = measured[0][1]
    limits = [value for value, _ in measured]
    return (max(limits) if bound == ABOVE else min(limits)), bound, []


def _spread_warnings(frame: pd.DataFrame, target: str, kind: str) -> list[str]:
    limit = SPREAD_WARNING * float(frame["target"].std())
    wide = frame[frame["spread"] > limit].sort_values("spread", ascending=False)
    if wide.empty:
        return []
    worst = wide.iloc[0]
    given = shortened(worst["given"])
    return [
        f"{len(wide)} {f'{kind} was' if len(wide) == 1 else f'{kind}s were'} measured more than once with values of "
        f"{target!r} further apart than half the standard deviation of the table; the widest, {given} "
        f"(line {worst['line']}), spans {worst['spread']:.4g}"
    ]


def shortened(text: str, width: int = 90) -> str:
    """A text that fits into a line of words, its end cut off where it is too long."""
    return text if len(text) <= width else f"{text[: width - 1]}…"


def _row_id(inchikey: str, apart: list[str]) -> str:
    if not apart:
        return inchikey
    return f"{inchikey}/{hashlib.sha256(repr(apart).encode()).hexdigest()[:8]}"


def _with_twin_groups(frame: pd.DataFrame) -> pd.DataFrame:
    """Replace the parent keys by one group label per set of molecules that share any of them."""
    if frame.empty:
        return frame.drop(columns="parent_keys").assign(twins="")
    return frame.drop(columns="parent_keys").assign(twins=twin_labels(frame["parent_keys"], frame["inchikey"]))


def twin_labels(parent_keys: Iterable[tuple[str, str]], inchikeys: Iterable[str]) -> np.ndarray:
    """One label per set of molecules that share any name. Shape (n,)."""
    # A structure whose InChI failed is still its own molecule, so the full key is a third name.
    names = [(*pair, inchikey) for pair, inchikey in zip(parent_keys, inchikeys, strict=True)]
    return joined_labels(*zip(*names, strict=True))


def joined_labels(*labels: Iterable[str]) -> np.ndarray:
    """The finest grouping in which rows that share any of the given labels share a group.

    Each group is named by the smallest of the first label's values in it, so the names do not
    depend on the order of the rows.
    """
    columns = [np.asarray(list(column), dtype=object) for column in labels]
    n, offset, edges = len(columns[0]), len(columns[0]), []
    for column in columns:
        codes = pd.factorize(column)[0]
        edges.append(np.stack([np.arange(n), codes + offset]))
        offset += int(codes.max(initial=-1)) + 1
    left, right = np.concatenate(edges, axis=1)
    graph = coo_matrix((np.ones(len(left), dtype=np.int8), (left, right)), shape=(offset, offset))
    component = connected_components(graph, directed=False)[1][:n]
    return pd.Series(columns[0]).groupby(component).transform("min").to_numpy(dtype=object)


def _readable(column: str) -> str:
    return re.sub(r"\s+", " ", column.replace("_", " ")).strip()
