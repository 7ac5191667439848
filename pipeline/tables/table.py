"""Raw rows to a clean table: parsed, merged, grouped, and every refused row kept with its reason."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from pipeline.errors import InputError
from pipeline.tables.context import ContextColumn, context_column_name, read_column
from pipeline.tables.kinds import MOLECULES, REACTIONS, Kind
from pipeline.tables.measurements import ABOVE, BELOW, CENSORED, REFUSE, TargetError
from pipeline.tables.molecules import Molecule, MoleculeError, Parent, molecular_weight, parse_molecule
from pipeline.tables.notation import decimal_of_file
from pipeline.tables.reactions import Reaction
from pipeline.tables.reading import RawTable, find_smiles_column, require_column, table_name
from pipeline.tables.scales import Scale
from pipeline.tables.structures import SELFIES, as_smiles, structure_notation
from pipeline.tables.target_column import TargetColumn, TargetSettings, marks_stated, target_column
from pipeline.tables.targets import CLASSES, REGRESSION
from pipeline.tables.tautomers import tautomer_names

MIN_ROWS = 20
SPREAD_WARNING = 0.5  # of the target's standard deviation
STRUCTURE = " structure"  # the first column of what an arm is given; no header has a name that begins with a space
REFUSED_COLUMNS = ["line", "column", "value", "reason", "structure", "id"]
FRAME_COLUMNS = [
    *("row_id", "line", "id", "given", "restated", "smiles", "identity", "parent", "scaffold", "target", "bound"),
    *("n_merged", "spread", "n_values", "variance"),
]


@dataclass(frozen=True)
class Table:
    """Clean rows, ready to be split.

    ``frame`` has one row per molecule (per molecule and context, where there is context), sorted
    by ``row_id``, with columns ``row_id``, ``line`` (of the first source row), ``id`` (the user's), ``given`` (its
    structure as written), ``restated`` (the same in canonical form, for comparison with it), ``smiles`` (canonical),
    ``identity``, ``twins`` (leakage group),
    ``scaffold`` (empty if acyclic), ``target``, ``bound`` (``<`` or ``>`` where the truth lies below
    or above the target, else empty), ``n_merged``, ``spread`` (largest minus smallest merged value),
    ``n_values`` and ``variance`` (how many values the target is the mean of, and theirs; 0 for a single one).
    ``cells`` holds the user's columns, under the user's names and indexed by ``row_id``: context, components of
    reactions, and those that are kept for splitting. ``refused`` has one row per source row
    that was left out: ``line``, ``column``, ``value``, ``reason``, ``structure``, ``id``. Targets are on the modelled
    scale, of which ``units`` are the units; ``scale`` leads back to the user's. ``bounds`` says what became
    of values such as ``>10``. ``remarks`` say how columns were taken and which rules were applied.

    A table of reactions names the columns of its ``components`` (in ``names`` those that hold names instead of
    structures). Its ``smiles`` are canonical reaction SMILES, ``identity`` and ``twins`` stand for the whole
    reaction without its context, and where the target was made of yields a column ``yield`` of ``frame`` holds them in
    percent.
    """

    name: str
    frame: pd.DataFrame
    cells: pd.DataFrame
    refused: pd.DataFrame
    task: str
    task_reason: str
    property_name: str
    units: str = ""
    context: tuple[str, ...] = ()
    n_read: int = 0
    warnings: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()
    classes: tuple[str, ...] = ()
    card: dict[str, Any] = field(default_factory=dict)
    scale: Scale = field(default_factory=Scale)
    bounds: str = REFUSE
    components: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    context_columns: tuple[ContextColumn, ...] = ()

    def __len__(self) -> int:
        return len(self.frame)

    @property
    def rows_are(self) -> str:
        """What a row of the table is, in the plural."""
        return self.kind.name

    @property
    def kind(self) -> Kind:
        """What a row is."""
        return REACTIONS if self.components else MOLECULES

    def column(self, name: str) -> pd.Series:
        """The cells of a column of the user's, in the order of ``frame`` and with its index."""
        return self.cells[name].loc[self.frame["row_id"]].set_axis(self.frame.index)

    @property
    def inputs(self) -> pd.DataFrame:
        """What an arm is given as ``X``, by ``row_id``: canonical SMILES in the first column, called `STRUCTURE`,
        then a reaction's components, then the context columns."""
        ids = self.frame["row_id"]
        beside = self.cells.loc[ids, [*self.components, *self.context]]
        beside.insert(0, STRUCTURE, self.frame["smiles"].to_numpy(dtype=object))
        return beside.rename_axis("row_id")

    @property
    def targets(self) -> pd.Series:
        return self.frame.set_index("row_id")["target"]

    @property
    def exact(self) -> pd.Series:
        """Whether a target is a value rather than a bound, by ``row_id``; only values can be scored."""
        return self.frame.set_index("row_id")["bound"] == ""

    @property
    def origins(self) -> pd.DataFrame:
        """Where each row comes from, by ``row_id``: ``line``, ``structure`` as given, and the user's ``id`` if there is
        one."""
        found = self.frame.set_index("row_id")[["line", "given", "id"]].rename(columns={"given": "structure"})
        return found if self.has_ids else found.drop(columns="id")

    @property
    def has_ids(self) -> bool:
        """Whether the user named the rows."""
        return bool((self.frame["id"] != "").any() or (self.refused["id"] != "").any())

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
        text = self.frame[["row_id", "smiles", "target", "bound"]].to_csv(index=False)
        text += self.inputs.iloc[:, 1:].to_csv()
        said = (self.task, self.property_name, self.units, self.bounds, self.scale, self.names)
        return hashlib.sha256((text + repr(said)).encode()).hexdigest()

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
                "structure": gone["given"],
                "id": gone["id"],
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
    name: str | None = None,
    property_name: str | None = None,
    context: Sequence[str] = (),
    keep: Sequence[str] = (),
    largest_fragment: bool = False,
    min_class_rows: int = 0,
    id_column: str = "",
    card: dict[str, Any] | None = None,
    progress: Callable[[Iterable[Any], int], Iterable[Any]] = lambda rows, n: rows,
    **settings: str,
) -> Table:
    """Clean a raw table.

    Parameters
    ----------
    raw : RawTable
    smiles, target : str
        Column names; ``smiles=None`` takes drawn molecules, or looks for a column called SMILES.
    context : sequence of str
        Columns that the prompt states and the baselines get as features; ``NAME:number`` and ``NAME:name`` say what
        one holds.
    keep : sequence of str
        Further columns to carry along for a split; rows of one molecule that differ in them are not merged.
    largest_fragment : bool
        Keep only the largest fragment of each structure.
    min_class_rows : int
        Refuse the rows of classes with fewer rows than this.
    id_column : str
        Column with the user's own name of each row.
    settings
        Of the target; see `TargetSettings`.

    Raises
    ------
    InputError
        If a column is missing, or too little is left to learn from.
    """
    smiles = smiles or find_smiles_column(list(raw.frame.columns), raw.source, raw.structure)
    structures = require_column(raw, smiles, "--smiles")
    said = TargetSettings(**settings)
    measured = target_column(raw, target, said)
    notation = structure_notation(structures)
    stated = marks_stated(said.decimal, said.thousands)
    beside = Beside.of(raw, target, context, keep, id_column=id_column, stated=stated)
    parsed: dict[str, Molecule | str] = {}

    def structure(line: int) -> Molecule | Refusal:
        given = structures.loc[line]
        if given not in parsed:
            parsed[given] = _parse_or_reason(given, largest_fragment, notation)
        found = parsed[given]
        return (smiles, given, found) if isinstance(found, str) else found

    frame, cells, refused, warnings = cleaned(raw, measured, structures, structure, beside, progress)
    remarks = [*raw.remarks, *measured.remarks(), *beside.said]
    if notation == SELFIES:
        remarks.insert(0, f"{smiles!r} holds SELFIES; they are read as such")
    scale = measured.scale
    table = Table(
        name=name or table_name(raw.source),
        frame=frame,
        cells=cells,
        refused=refused,
        task=measured.task,
        task_reason=measured.reason,
        property_name=property_name or scale.name_for(readable(target)),
        units=scale.modelled_units,
        context=beside.context,
        n_read=len(raw.frame) + len(raw.ragged),
        warnings=(*measured.warnings, *warnings),
        remarks=tuple(remarks),
        card=card or {},
        scale=scale,
        bounds=measured.bounds,
        context_columns=beside.columns,
    )
    return finished(table, raw.source, target, min_class_rows)


def finished(table: Table, source: str, target: str, min_class_rows: int = 0) -> Table:
    """The table with its classes, without those that are too rare; refused if too little is left."""
    if table.task == CLASSES:
        table = _without_rare_classes(table, source, target, min_class_rows)
        table = replace(table, classes=tuple(sorted(table.frame["target"].unique())))
    check_enough(table, source, target)
    return table


def _without_rare_classes(table: Table, source: str, target: str, least: int) -> Table:
    counts = table.frame["target"].value_counts()
    if least:
        by_row = dict(zip(table.frame["row_id"], table.frame["target"], strict=True))
        rare = {row_id: label for row_id, label in by_row.items() if counts[label] < least}
        reasons = {
            row_id: f"class too rare: {label!r} stands in {counts[label]} of the rows, {least} are asked for"
            for row_id, label in rare.items()
        }
        return table.refuse(reasons, target)
    if len(table) >= MIN_ROWS and len(counts) > 2 and counts.min() < 2:
        raise InputError(
            f"{source}: a class needs rows to train on and to test on; {target!r} has {class_counts(table)}. "
            "--min-class-rows 5 goes on without the classes that have fewer than 5 rows"
        )
    return table


def class_counts(table: Table) -> str:
    """The classes of a table with their rows, the most frequent first."""
    return ", ".join(f"{label!r} ({count})" for label, count in table.frame["target"].value_counts().items())


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
            series = require_column(raw, wanted, "--context")
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


@dataclass(frozen=True)
class _Row:
    line: int
    given: str
    id: str
    found: Molecule | Reaction
    value: Any
    bound: str
    context: dict[str, str]
    kept: dict[str, str]


def cleaned(
    raw: RawTable,
    measured: TargetColumn,
    given: pd.Series,
    structure: Callable[[int], Molecule | Reaction | Refusal],
    beside: Beside,
    progress: Callable[[Iterable[Any], int], Iterable[Any]],
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame, list[str]]:
    """``(rows, the user's cells, refused rows, warnings)`` of a table, duplicates merged.

    Parameters
    ----------
    given : Series
        The structure of each row as written, by line.
    structure : callable
        From the line of a row to its structure, or to why it has none that can be used.
    """
    rows: list[_Row] = []
    refused: list[tuple[int, str, str, str]] = [(line, "", text, why) for line, text, why in raw.ragged]
    for line, value in progress(zip(raw.frame.index, measured.values, strict=True), len(raw.frame)):
        try:
            target, bound = measured.read(line, partial(_weight, structure, line))
        except TargetError as error:
            refused.append((line, measured.name, value, str(error)))
            continue
        found = structure(line)
        if isinstance(found, tuple):
            refused.append((line, *found))
            continue
        try:
            context, kept = beside.row(line)
        except ContextError as error:
            refused.append((line, *error.refusal))
            continue
        rows.append(_Row(line, given.loc[line].strip(), beside.id_of(line), found, target, bound, context, kept))
    frame, cells, conflicts, warnings = _merge(rows, measured.task, measured.name, beside)
    refused += [(line, measured.name, measured.values.loc[line], reason) for line, reason in conflicts]
    known = set(raw.frame.index)
    whole = [(*row, *((given.loc[row[0]], beside.id_of(row[0])) if row[0] in known else ("", ""))) for row in refused]
    return (
        _with_twin_groups(frame),
        cells,
        pd.DataFrame(whole, columns=REFUSED_COLUMNS).sort_values("line", ignore_index=True),
        warnings,
    )


def _weight(structure: Callable[[int], Molecule | Reaction | Refusal], line: int) -> float | None:
    found = structure(line)
    return molecular_weight(found.smiles) if isinstance(found, Molecule) else None


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


def _parse_or_reason(text: str, largest_fragment: bool, notation: str) -> Molecule | str:
    try:
        return parse_molecule(as_smiles(text, notation), largest_fragment)
    except MoleculeError as error:
        return str(error)


def _merge(
    rows: list[_Row], task: str, target: str, beside: Beside
) -> tuple[pd.DataFrame, pd.DataFrame, list[tuple[int, str]], list[str]]:
    """One row per identity, context and kept cells: numbers averaged, conflicts refused."""
    merged: list[dict[str, Any]] = []
    cells: list[dict[str, str]] = []
    conflicts: list[tuple[int, str]] = []
    for row_id, members in _members(rows, beside.apart).items():
        # What is said of the structure follows from the one that is kept, whatever the order of the rows.
        kept = min((member.found for member in members), key=lambda found: found.smiles)
        conflict = _conflict([(member.value, member.bound) for member in members], task)
        if conflict:
            lines = ", ".join(str(member.line) for member in members)
            conflicts += [(member.line, f"{conflict} (lines {lines})") for member in members]
            continue
        merged.append({"row_id": row_id, **_merged(members, kept, task)})
        components = kept.components if isinstance(kept, Reaction) else {}
        cells.append({**members[0].kept, **members[0].context, **components})
    frame = pd.DataFrame(merged, columns=FRAME_COLUMNS).sort_values("row_id", ignore_index=True)
    beside_rows = pd.DataFrame(cells, index=pd.Index([row["row_id"] for row in merged], dtype=object), dtype=object)
    beside_rows = beside_rows.reindex(columns=list(cells[0]) if cells else [*beside.kept, *beside.context])
    if task != REGRESSION or len(frame) < 2:
        return frame, beside_rows, conflicts, []
    kind = "reaction" if isinstance(rows[0].found, Reaction) else "molecule"
    return frame, beside_rows, conflicts, _spread_warnings(frame, target, kind)


def _members(rows: list[_Row], apart: Sequence[str]) -> dict[str, list[_Row]]:
    """The rows that are merged, by the id of the row that they become."""
    together: dict[tuple[str, ...], list[_Row]] = {}
    for row in rows:
        key = (row.found.identity, *row.context.values(), *(row.kept[column] for column in apart))
        together.setdefault(key, []).append(row)
    found: dict[str, list[_Row]] = {}
    for (identity, *differ), members in together.items():
        for member in members:
            own = list(member.kept.values()) if len({tuple(one.kept.values()) for one in members}) > 1 else []
            found.setdefault(_row_id(identity, [*differ, *own]), []).append(member)
    return found


def _merged(members: list[_Row], kept: Molecule | Reaction, task: str) -> dict[str, Any]:
    """The row of the clean table that some source rows become, without its id."""
    measured = [(member.value, member.bound) for member in members]
    value, bound, values = _combined(measured) if task == REGRESSION else (measured[0][0], "", [])
    return {
        "line": members[0].line,
        "id": "; ".join(dict.fromkeys(member.id for member in members if member.id)),
        "given": members[0].given,
        "restated": kept.restated if isinstance(kept, Reaction) else kept.smiles,
        "smiles": kept.smiles,
        "identity": kept.identity,
        "parent": kept.parent,
        "scaffold": kept.scaffold,
        "target": value,
        "bound": bound,
        "n_merged": len(members),
        "spread": values[-1] - values[0] if values else 0.0,
        "n_values": len(values),
        "variance": float(np.var(values, ddof=1)) if len(values) > 1 else 0.0,
    }


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


def _row_id(identity: str, apart: list[str]) -> str:
    if not apart:
        return identity
    return f"{identity}/{hashlib.sha256(repr(apart).encode()).hexdigest()[:8]}"


def _with_twin_groups(frame: pd.DataFrame) -> pd.DataFrame:
    """Replace the parents by one group label per set of twins."""
    if frame.empty:
        return frame.drop(columns="parent").assign(twins="")
    return frame.drop(columns="parent").assign(twins=twin_labels(list(frame["parent"]), frame["identity"]))


def twin_labels(parents: Sequence[Parent], identities: Iterable[str]) -> np.ndarray:
    """One label per set of molecules that share any name, those of their tautomers included. Shape (n,).

    Tautomers have one skeleton, so they are looked for where molecules of one skeleton have no name in common.
    """
    # A structure whose InChI failed is still its own molecule, so the full key is a third name.
    labels = joined_labels(*zip(*(parent.names for parent in parents), strict=True), identities)
    skeletons, smiles = [parent.skeleton for parent in parents], [parent.smiles for parent in parents]
    alike = pd.DataFrame({"skeleton": skeletons, "smiles": smiles, "label": labels}).drop_duplicates()
    alike = alike[(alike["skeleton"] != "") & (alike.groupby("skeleton")["label"].transform("nunique") > 1)]
    named = [
        (label, f"{skeleton} {name}")
        for skeleton, text, label in alike.itertuples(index=False)
        for name in tautomer_names(text)
    ]
    if not named:
        return labels
    apart, names = zip(*named, strict=True)
    together = dict(zip(apart, joined_labels(apart, names), strict=True))
    return np.array([together.get(label, label) for label in labels], dtype=object)


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


def readable(column: str) -> str:
    return re.sub(r"\s+", " ", column.replace("_", " ")).strip()
