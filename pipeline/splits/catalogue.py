"""Every way to split a table, a row each with all that the program knows of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.errors import InputError, unknown
from pipeline.splits import rungs
from pipeline.splits.groups import column_groups, scaffold_groups, system_groups, twin_groups
from pipeline.splits.splitters import LABELS_DOWN, LABELS_UP, SIZES, Split
from pipeline.tables.kinds import COMPOSITIONS, KINDS, MOLECULES, REACTIONS, Kind
from pipeline.tables.table import Table
from pipeline.tables.targets import CLASSES, REGRESSION

COLUMN, SIMILARITY = "COLUMN", "SIMILARITY"  # what can stand behind the colon of a name
FILE = "FILE.csv"


@dataclass(frozen=True)
class Deal:
    """What groups are made for: a hold-out of this share of the rows (no folds), or so many folds, by a seed."""

    test_size: float
    folds: int
    seed: int

    @property
    def share(self) -> float:
        """Of the rows, those of one test set."""
        return 1 / self.folds if self.folds else self.test_size


Groups = Callable[[Table, str, Deal], tuple[np.ndarray, str]]
Edge = Callable[[Table, str, float], Split]


@dataclass(frozen=True)
class Rung:
    """What the program knows of a way to split.

    Attributes
    ----------
    name, does : str
        As users name it, and what is tested, in words.
    behind : str
        What stands behind a colon in its name, and whether it may be left out (``optional``).
    kinds, tasks : tuple of str
        The kinds of rows and of targets that it is for.
    groups : callable, optional
        From the table, what stands behind the colon and the `Deal` to the group of each row, shape (n,), and what
        there is to say of them; whole groups are then dealt to folds or held out.
    edge : callable, optional
        From the table, what stands behind the colon and the share of rows to test to the one split that there is.
    stands_for : callable, optional
        From the table to the names of the splits that this one is short for.
    ladder : bool
        Whether it is a rung of the ladder.
    by_scaffold : bool
        Whether test and training rows hold equal shares of acyclic molecules, which are groups of their own.
    capped : bool
        Whether groups that would make much of a test set stay in training.
    """

    name: str
    does: str
    behind: str = ""
    optional: bool = False
    kinds: tuple[Kind, ...] = tuple(KINDS.values())
    tasks: tuple[str, ...] = (REGRESSION, CLASSES)
    groups: Groups | None = None
    edge: Edge | None = None
    stands_for: Callable[[Table], list[str]] | None = None
    ladder: bool = False
    by_scaffold: bool = False
    capped: bool = True

    @property
    def forms(self) -> list[str]:
        """How it can be written."""
        named = [f"{self.name}:{self.behind}"] if self.behind else []
        return [self.name] * (self.optional or not named) + named

    def check(self, table: Table, name: str) -> None:
        """Raise `InputError` unless it is for this kind of table."""
        if table.kind not in self.kinds:
            raise InputError(f"split {name!r} is for {self.kinds[0]}; {_instead(table, self.kinds[0])}")
        if table.task not in self.tasks:
            raise InputError(f"split {name!r} is for numbers; the target is a class")


def _instead(table: Table, kind: Kind) -> str:
    """What a user may do whose split is for rows of another kind."""
    if table.kind is REACTIONS:
        return f"for reactions use components, or component:COLUMN for one of {', '.join(table.components)}"
    if kind is REACTIONS:
        return "name them with --reaction or --components"
    return f"for {table.kind} there are {', '.join(row.name for row in _ROWS if table.kind in row.kinds)}"


def _by_molecule(table: Table, _: str, deal: Deal) -> tuple[np.ndarray, str]:
    return twin_groups(table), ""


def _by_scaffold(table: Table, _: str, deal: Deal) -> tuple[np.ndarray, str]:
    return scaffold_groups(table), ""


def _by_system(table: Table, _: str, deal: Deal) -> tuple[np.ndarray, str]:
    return system_groups(table), ""


def _with_element(table: Table, symbol: str, share: float) -> Split:
    return rungs.with_element(table, symbol)


def _by_shape(table: Table, _: str, deal: Deal) -> tuple[np.ndarray, str]:
    return rungs.generic_scaffold_groups(table), ""


def _by_cluster(table: Table, similarity: str, deal: Deal) -> tuple[np.ndarray, str]:
    return rungs.cluster_groups(table, float(similarity or rungs.CLUSTER_SIMILARITY), deal.seed)


def _by_similarity(table: Table, bound: str, deal: Deal) -> tuple[np.ndarray, str]:
    bounds = (float(bound),) if bound else rungs.BOUNDS
    groups, found = rungs.similarity_groups(table, bounds, deal.share, class_strata(table), deal.seed)
    return groups, f"no tested structure is more similar to one of the training rows than {found:g} (Tanimoto)"


def _by_component(table: Table, component: str, deal: Deal) -> tuple[np.ndarray, str]:
    return column_groups(table, *components_of(table, component)), ""


def _by_column(table: Table, column: str, deal: Deal) -> tuple[np.ndarray, str]:
    return table.column(column).to_numpy(dtype=object), ""


def _largest(table: Table, _: str, share: float) -> Split:
    return rungs.beyond_edge(table, "size", rungs.heavy_atoms(table), share, SIZES, "number of heavy atoms")


def _highest_labels(table: Table, _: str, share: float) -> Split:
    return rungs.beyond_edge(table, "label-high", _labels(table), share, LABELS_UP, "label")


def _lowest_labels(table: Table, _: str, share: float) -> Split:
    return rungs.beyond_edge(table, "label-low", _labels(table), share, LABELS_DOWN, "label", highest=False)


def _labels(table: Table) -> np.ndarray:
    return table.targets.to_numpy(dtype=np.float64)


def _latest(table: Table, column: str, share: float) -> Split:
    return rungs.later(table, f"time:{column}", rungs.times(table, column), share)


def class_strata(table: Table) -> np.ndarray:
    """Of what test and training rows should hold equal shares: the classes; nothing for numbers. Shape (n,)."""
    if table.task == CLASSES:
        return table.frame["target"].astype(str).to_numpy(dtype=object)
    return np.full(len(table), "", dtype=object)


def component_of(table: Table, wanted: str) -> str:
    """The component that stands behind ``component:``, before an equals sign if there is one."""
    for column in (wanted, wanted.partition("=")[0]):
        if column in table.components:
            return column
    raise unknown("component", wanted.partition("=")[0], table.components)


def components_of(table: Table, wanted: str) -> tuple[str, ...]:
    """The component whose values are held out, or those, joined by plus signs, of which combinations are."""
    if wanted in table.components or "+" not in wanted or "=" in wanted:
        return (component_of(table, wanted),)
    return tuple(component_of(table, part) for part in wanted.split("+"))


def _varied_components(table: Table) -> list[str]:
    varied = [column for column in table.components if table.column(column).nunique() > 1]
    return [f"component:{column}" for column in varied]


def _rungs_of(table: Table) -> list[str]:
    fitting = [row for row in _ROWS if row.ladder and table.kind in row.kinds and table.task in row.tasks]
    return [row.name for row in fitting if row.stands_for is None or row.stands_for(table)]


_ROWS = (
    Rung("random", "molecules like those of training", groups=_by_molecule, ladder=True, capped=False),
    Rung(
        "components",
        "every component that differs between reactions, one after another",
        kinds=(REACTIONS,),
        stands_for=_varied_components,
        ladder=True,
    ),
    Rung(
        "scaffold",
        "Bemis-Murcko scaffolds that training has not seen",
        kinds=(MOLECULES,),
        groups=_by_scaffold,
        ladder=True,
        by_scaffold=True,
    ),
    Rung(
        "generic-scaffold",
        "scaffolds whose shape alone training has not seen",
        kinds=(MOLECULES,),
        groups=_by_shape,
        ladder=True,
        by_scaffold=True,
    ),
    Rung(
        "chemical-system",
        "sets of elements that training has not seen together",
        kinds=(COMPOSITIONS,),
        groups=_by_system,
        ladder=True,
    ),
    Rung(
        "element",
        "compositions with an element that training has not seen",
        "SYMBOL",
        kinds=(COMPOSITIONS,),
        edge=_with_element,
    ),
    Rung(
        "elements",
        "the most frequent elements, left out one after another",
        kinds=(COMPOSITIONS,),
        stands_for=lambda table: [f"element:{symbol}" for symbol in rungs.common_elements(table)],
        ladder=True,
    ),
    Rung("cluster", "clusters of similar structures", SIMILARITY, optional=True, groups=_by_cluster, ladder=True),
    Rung(
        "similarity",
        "structures that are like none of training",
        "BOUND",
        optional=True,
        groups=_by_similarity,
        ladder=True,
        capped=False,
    ),
    Rung("size", "molecules larger than those of training", kinds=(MOLECULES,), edge=_largest, ladder=True),
    Rung(
        "label-tail",
        "both ends of the labels",
        tasks=(REGRESSION,),
        stands_for=lambda table: ["label-high", "label-low"],
    ),
    Rung("label-high", "labels above those of training", tasks=(REGRESSION,), edge=_highest_labels, ladder=True),
    Rung("label-low", "labels below those of training", tasks=(REGRESSION,), edge=_lowest_labels, ladder=True),
    Rung("time", "rows later than those of training", COLUMN, edge=_latest),
    Rung(
        "component",
        "values of a component that training has not seen; behind an equals sign, which ones",
        "COLUMN[=VALUE]",
        kinds=(REACTIONS,),
        groups=_by_component,
    ),
    Rung("group", "groups of a column that training has not seen", COLUMN, groups=_by_column),
    Rung("fold", "each value of a column in turn, such as published folds; or one of them", "COLUMN[=VALUE]"),
    Rung("column", "the rows for which a column says test", COLUMN),
    Rung("ladder", "every rung that the table allows", stands_for=_rungs_of),
)
RUNGS = {row.name: row for row in _ROWS}  # in the order of the ladder
FORMS = [*(form for row in _ROWS for form in row.forms), FILE]


def rung_of(name: str) -> tuple[Rung | None, str]:
    """The row of a split, and what stands behind the colon of its name; None for a file.

    Raises
    ------
    InputError
        If there is no such split, or what stands behind the colon is not what belongs there.
    """
    if name.endswith(".csv"):
        return None, name
    kind, colon, value = name.partition(":")
    row = RUNGS.get(kind)
    if row is None or (not value and (colon or not (row.optional or not row.behind))) or (value and not row.behind):
        raise unknown("split", name, FORMS)
    if value and row.behind in (SIMILARITY, "BOUND"):
        _check_similarity(name, value)
    return row, value


def _check_similarity(name: str, value: str) -> None:
    try:
        found = float(value)
    except ValueError:
        found = 0.0
    if not 0 < found < 1:
        raise InputError(f"split {name!r}: {value!r} is not a similarity between 0 and 1, such as 0.4")


def columns_needed(splits: Sequence[str]) -> list[str]:
    """The columns of the source that the splits read."""
    found = [rung_of(name) for name in splits]
    return [
        fold_column(value)[0] if row.name == "fold" else value
        for row, value in found
        if row is not None and (row.behind == COLUMN or row.name == "fold")
    ]


def fold_column(value: str) -> tuple[str, str]:
    """The column and the value that stand behind ``fold:``; no value stands for all of the column."""
    column, equals, asked = value.rpartition("=")
    return (column, asked) if equals else (value, "")


def expand_names(names: Sequence[str], table: Table) -> list[str]:
    """The splits asked for, those that stand for several replaced by these; with ``ladder`` none twice.

    Raises
    ------
    InputError
        If one of them is for other tables, or stands for none that this table can make.
    """
    expanded: list[str] = []
    for name in names:
        row, _ = rung_of(name)
        if row is None or row.stands_for is None:
            expanded.append(name)
            continue
        if table.kind not in row.kinds:
            row.check(table, name)
        made = row.stands_for(table)
        if not made:
            raise InputError(f"split {name!r}: there is none of these that this table can make ({row.does})")
        expanded += expand_names(made, table)
    return list(dict.fromkeys(expanded)) if "ladder" in names else expanded


def makes_folds(name: str) -> bool:
    """Whether a split of this name can be made as folds: one whose division is given, or lies at an edge, cannot."""
    row, value = rung_of(name)
    return row is not None and row.groups is not None and not (row.name == "component" and "=" in value)
