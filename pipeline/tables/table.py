"""Raw rows to a clean table: parsed, merged, grouped, and every refused row kept with its reason."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache, partial
from typing import Any

import numpy as np
import pandas as pd

from pipeline.errors import InputError
from pipeline.tables.beside import Beside, ContextError, Refusal
from pipeline.tables.canonical import parsed_row
from pipeline.tables.context import ContextColumn
from pipeline.tables.guess import structure_column
from pipeline.tables.kinds import MOLECULES, Kind
from pipeline.tables.measurements import ABOVE, BELOW, CENSORED, REFUSE, TargetError
from pipeline.tables.merging import Found, TableRow, merge, with_twin_groups
from pipeline.tables.molecules import Molecule, MoleculeError, molecular_weight, names_said
from pipeline.tables.reactions import HIGHEST_YIELD
from pipeline.tables.reading import RawTable, require_column, table_name
from pipeline.tables.scales import Scale
from pipeline.tables.structures import SELFIES, SMILES, structure_notation
from pipeline.tables.target_column import TargetColumn, TargetSettings, marks_stated, target_column
from pipeline.tables.targets import CLASSES

MIN_ROWS = 20
PARSED = 50_000  # structures that are remembered: the targets of a table share them
STRUCTURE = " structure"  # the first column of what an arm is given; no header has a name that begins with a space
REFUSED_COLUMNS = ["line", "column", "value", "reason", "structure", "id"]


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
    of values such as ``>10``. ``drawn_from`` is the number of rows that these were drawn from (0: they are all),
    ``not_drawn`` holds the identities of the others, and ``merged_before`` is how many had been merged before.
    ``remarks`` say how columns were taken and which rules were applied.

    A table of reactions names the columns of its ``components`` (in ``names`` those that hold names instead of
    structures). Its ``smiles`` are canonical reaction SMILES, ``identity`` and ``twins`` stand for the whole
    reaction without its context, and where the target was made of yields a column ``yield`` of ``frame`` holds them in
    percent. A table of compositions or of texts has those in ``smiles``, and chemical systems in ``scaffold``.
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
    scale: Scale = field(default_factory=Scale)
    bounds: str = REFUSE
    components: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    context_columns: tuple[ContextColumn, ...] = ()
    drawn_from: int = 0
    not_drawn: tuple[str, ...] = ()
    merged_before: int = 0
    kind: Kind = MOLECULES

    def __len__(self) -> int:
        return len(self.frame)

    @property
    def rows_are(self) -> str:
        """What a row of the table is, in the plural."""
        return self.kind.name

    def column(self, name: str) -> pd.Series:
        """The cells of a column of the user's, in the order of ``frame`` and with its index."""
        return self.cells[name].loc[self.frame["row_id"]].set_axis(self.frame.index)

    @cached_property
    def by_row(self) -> pd.DataFrame:
        """``frame``, indexed by ``row_id``."""
        return self.frame.set_index("row_id")

    @property
    def inputs(self) -> pd.DataFrame:
        """What an arm is given as ``X``, by ``row_id``: canonical SMILES in the first column, called `STRUCTURE`,
        then a reaction's components, then the context columns."""
        return self._inputs.copy(deep=False)

    @cached_property
    def _inputs(self) -> pd.DataFrame:
        ids = self.frame["row_id"]
        beside = self.cells.loc[ids, [*self.components, *self.context]]
        beside.insert(0, STRUCTURE, self.frame["smiles"].to_numpy(dtype=object))
        return beside.rename_axis("row_id")

    @property
    def possible(self) -> tuple[float, float]:
        """The lowest and the highest value that the truth can have, in modelled units: of yields 0 and 100 %, or as far
        above as they are accepted where some were measured above 100 %; infinite where nothing is known."""
        if self.task == CLASSES or "yield" not in self.frame:
            return -np.inf, np.inf
        return 0.0, 100.0 if self.frame["yield"].max() <= 100 else HIGHEST_YIELD

    @property
    def bounded(self) -> int:
        """Targets that are bounds."""
        return int((~self.exact).sum())

    @property
    def merged(self) -> int:
        """Rows of the file that were merged into others, before any rows were drawn."""
        return self.merged_before if self.drawn_from else int(self.frame["n_merged"].sum() - len(self))

    @property
    def targets(self) -> pd.Series:
        return self.by_row["target"]

    @cached_property
    def exact(self) -> pd.Series:
        """Whether a target is a value rather than a bound, by ``row_id``; only values can be scored."""
        return self.by_row["bound"] == ""

    @property
    def origins(self) -> pd.DataFrame:
        """Where each row comes from, by ``row_id``: ``line``, ``structure`` as given, and the user's ``id`` if there is
        one."""
        found = self.by_row[["line", "given", "id"]].rename(columns={"given": "structure"})
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
        sides = self.by_row["bound"].map({ABOVE: 1, BELOW: -1, "": 0})
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
        frame = self.frame.iloc[chosen].reset_index(drop=True)
        left = (*self.not_drawn, *np.delete(self.frame["identity"].to_numpy(dtype=object), chosen))
        return replace(
            self, frame=frame, drawn_from=self.drawn_from or len(self), not_drawn=left, merged_before=self.merged
        )


def build_table(
    raw: RawTable,
    *,
    smiles: str | None,
    target: str,
    kind: Kind = MOLECULES,
    name: str | None = None,
    property_name: str | None = None,
    context: Sequence[str] = (),
    keep: Sequence[str] = (),
    largest_fragment: bool = False,
    min_class_rows: int = 0,
    id_column: str = "",
    progress: Callable[[Iterable[Any], int], Iterable[Any]] = lambda rows, n: rows,
    **settings: str,
) -> Table:
    """Clean a raw table of molecules, or of another kind of rows that stand in one column.

    Parameters
    ----------
    smiles, target : str
        Column names; ``smiles=None`` takes drawn molecules, or looks for a column called SMILES.
    kind : Kind
        What a cell of that column is.
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
    smiles, how = (smiles, "") if smiles else structure_column(raw)
    structures = require_column(raw, smiles, f"--{kind.setting}")
    said = TargetSettings(**settings)
    measured = target_column(raw, target, said)
    notation = structure_notation(structures) if kind is MOLECULES else SMILES
    stated = marks_stated(said.decimal, said.thousands)
    beside = Beside.of(raw, target, context, keep, id_column=id_column, stated=stated)
    parse = partial(_parse_or_reason, largest_fragment=largest_fragment, notation=notation, kind=kind)
    found = cleaned(raw, measured, structures, partial(_parsed_line, parse, smiles, structures), beside, progress)
    said_first = [how] if how else []
    said_first += [f"{smiles!r} holds SELFIES; they are read as such"] if notation == SELFIES else []
    read = structures.drop(found[2]["line"], errors="ignore")
    said_first += names_said(smiles, read.items()) if kind is MOLECULES else []
    named = name or table_name(raw.source), property_name or measured.scale.name_for(readable(target))
    made = replace(_made(raw, measured, beside, found, said_first, *named), kind=kind)
    return finished(made, raw.source, target, min_class_rows)


def _made(
    raw: RawTable,
    measured: TargetColumn,
    beside: Beside,
    found: tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame, Sequence[str]],
    said_first: Sequence[str],
    name: str,
    property_name: str,
) -> Table:
    """The table of what `cleaned` found."""
    frame, cells, refused, warnings = found
    return Table(
        name=name,
        frame=frame,
        cells=cells,
        refused=refused,
        task=measured.task,
        task_reason=measured.reason,
        property_name=property_name,
        units=measured.scale.modelled_units,
        context=beside.context,
        n_read=len(raw.frame) + len(raw.ragged),
        warnings=(*measured.warnings, *warnings),
        remarks=(*said_first, *raw.remarks, *measured.remarks(), *beside.said),
        scale=measured.scale,
        bounds=measured.bounds,
        context_columns=beside.columns,
    )


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


def cleaned(
    raw: RawTable,
    measured: TargetColumn,
    given: pd.Series,
    structure: Callable[[int], Found | Refusal],
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
    rows: list[TableRow] = []
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
        rows.append(TableRow(line, given.loc[line].strip(), beside.id_of(line), found, target, bound, context, kept))
    frame, cells, conflicts, warnings = merge(rows, measured.task, measured.name, beside)
    refused += [(line, measured.name, measured.values.loc[line], reason) for line, reason in conflicts]
    known = set(raw.frame.index)
    whole = [(*row, *((given.loc[row[0]], beside.id_of(row[0])) if row[0] in known else ("", ""))) for row in refused]
    return (
        with_twin_groups(frame),
        cells,
        pd.DataFrame(whole, columns=REFUSED_COLUMNS).sort_values("line", ignore_index=True),
        warnings,
    )


def _weight(structure: Callable[[int], Found | Refusal], line: int) -> float | None:
    found = structure(line)
    return molecular_weight(found.smiles) if isinstance(found, Molecule) else None


def check_enough(table: Table, source: str, target: str) -> None:
    """Refuse a table from which nothing can be learned, saying what is there and what is needed."""
    if len(table) < MIN_ROWS:
        why = ""
        if table.merged:
            joined = "one" if len(table) == 1 else f"{len(table)}"
            why = f"; {len(table) + table.merged} rows are {joined} of the {table.kind} that the table tells apart"
        if len(table.refused):
            reasons = table.refused["reason"].str.split(":").str[0].value_counts()
            why += f"; {len(table.refused)} rows were refused, most often for {reasons.index[0]!r} ({reasons.iloc[0]})"
        usable = f"{len(table)} usable row{'s' * (len(table) != 1)}"
        raise InputError(f"{source}: {usable} with a value of {target!r}; at least {MIN_ROWS} are needed{why}")
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


def _parsed_line(parse: Callable[[str], Found | str], column: str, given: pd.Series, line: int) -> Found | Refusal:
    """The row of a line, or why there is none."""
    found = parse(given.loc[line])
    return (column, given.loc[line], found) if isinstance(found, str) else found


@lru_cache(PARSED)
def _parse_or_reason(text: str, largest_fragment: bool, notation: str, kind: Kind) -> Found | str:
    try:
        return parsed_row(text, kind, largest_fragment, notation)
    except MoleculeError as error:
        return str(error)


def readable(column: str) -> str:
    return re.sub(r"\s+", " ", column.replace("_", " ")).strip()
