"""From what the user asked for to checked splits of a table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path

import numpy as np
import pandas as pd

from pipeline.errors import InputError, nearest
from pipeline.splits.catalogue import Deal, Edge, Rung, class_strata, component_of, fold_column, rung_of
from pipeline.splits.groups import column_groups, twin_groups, twin_groups_by_row
from pipeline.splits.splitters import (
    ORDERS,
    TOLERANCE,
    Fold,
    Order,
    Split,
    fold_numbers,
    hold_out,
    testable,
    without_copies,
)
from pipeline.tables.molecules import MoleculeError
from pipeline.tables.reactions import canonical_component
from pipeline.tables.reading import read_table, require_column
from pipeline.tables.table import Table, class_counts
from pipeline.tables.targets import CLASSES

_ROLES = {"train": "train", "test": "test", "valid": "train", "validation": "train", "val": "train"}
MOST_FOLDS = 20
ROWS_COUNT = "test rows count one by one, apart from variants of a molecule"
SEEDS_TRIED = 10  # before it is said that a seed makes no difference


def build_splits(
    table: Table, name: str, *, test_size: float, folds: int, seed: int, n_train: int = 0, repeats: int = 1
) -> list[Split]:
    """Make the splits of a table that a name stands for (a file may hold several) and check their invariants.

    Parameters
    ----------
    name : str
        ``random``, ``scaffold``, ``generic-scaffold``, ``cluster`` (``cluster:SIMILARITY``), ``similarity``
        (``similarity:BOUND``), ``size``, ``label-high``, ``label-low``, ``time:COLUMN``, ``group:COLUMN``,
        ``column:COLUMN`` (a column that says train or test), ``fold:COLUMN`` (one that numbers folds), or the path of a
        ``splits.csv`` of an earlier run. For reactions ``component:COLUMN`` (values of a component that are tested are
        not trained on), ``component:COLUMN+COLUMN`` (combinations of values) and ``component:COLUMN=VALUE|VALUE``
        (which ones). For compositions ``chemical-system`` and ``element:SYMBOL``.
    test_size : float
        Share of rows in a hold-out; used when ``folds`` is 0.
    folds : int
        Number of folds, 0 for a hold-out.
    n_train : int
        At most this many training rows per fold, drawn by seed; a larger draw holds a smaller one. 0 for all.
    repeats : int
        How often the same groups are dealt anew, each time by another seed; the first is that of ``repeats=1``. A
        split whose division is given, or lies at an edge, is made once.

    Raises
    ------
    InputError
        If the groups do not allow the split, or a fold would lack a class.
    """
    row, value = rung_of(name)
    if row is None:
        made = _from_file(table, name)
    elif row.name == "column":
        made = [_from_column(table, name)]
    elif row.name == "fold":
        made = [_from_folds(table, name)]
    else:
        row.check(table, name)
        if row.edge is not None:
            made = [_beyond(row.edge, table, value, test_size, folds)]
        elif row.name == "component" and "=" in value and component_of(table, value) != value:
            made = [_from_values(table, name, value)]
        else:
            made = [_from_groups(table, row, name, value, Deal(test_size, folds, seed), repeats)]
            repeats = 1  # said there
            if row.name == "group":  # one molecule may have been measured in several of the groups
                made = [_without_straddlers(table, split, twin_groups_by_row(table)) for split in made]
    if repeats > 1:
        made = [_said_to_be_one(split) if len(split.folds) == 1 else split for split in made]
    if n_train:
        made = [_fewer_trained(split, n_train, seed) for split in made]
    for split in made:
        _check(table, split)
    return made


def _beyond(edge: Edge, table: Table, value: str, test_size: float, folds: int) -> Split:
    """A test set beyond an edge of the training rows; there is one such set, so that folds are not made."""
    split = _without_straddlers(table, edge(table, value, test_size))
    return replace(split, notes=(*split.notes, "a hold-out: an edge makes no folds")) if folds else split


def _from_values(table: Table, name: str, asked: str) -> Split:
    """Chosen values of a component are tested, all others trained on."""
    column = component_of(table, asked)
    values = table.column(column)
    chosen = set()
    for text in asked.removeprefix(f"{column}=").split("|"):
        try:
            value = text.strip() if column in table.names else canonical_component(text)
        except MoleculeError as error:
            raise InputError(f"split {name!r}: {error}") from None
        if value not in set(values):
            raise InputError(
                f"split {name!r}: no reaction has {text.strip()!r} as {column!r}{nearest(text.strip(), set(values))}; "
                f"there are {values.nunique()} values, such as {min(values)!r}"
            )
        chosen.add(value)
    ids = table.frame["row_id"].to_numpy(dtype=object)
    test = values.isin(chosen).to_numpy()
    labels = dict(zip(ids, column_groups(table, column), strict=True))
    fold = Fold(0, 0, tuple(ids[~test]), tuple(ids[test]))
    return Split(name, (fold,), labels, f"{len(chosen)} of {values.nunique()} values of {column!r} held out")


def _fewer_trained(split: Split, n_train: int, seed: int) -> Split:
    """The split with the training rows of each fold reduced to a draw; the test rows stay as they are."""
    folds = []
    for fold in split.folds:
        ids = np.array(sorted(fold.train), dtype=object)
        drawn = np.random.default_rng(seed_of_repeat(seed, fold.repeat)).permutation(len(ids))[:n_train]
        folds.append(replace(fold, train=tuple(ids[np.sort(drawn)])))
    pairs = dict.fromkeys(f"{len(new.train)} of {len(old.train)}" for new, old in zip(folds, split.folds, strict=True))
    sizes = ", ".join(pairs)
    return replace(split, folds=tuple(folds), notes=(*split.notes, f"trained on {sizes} training rows, drawn by seed"))


def _said_to_be_one(split: Split) -> Split:
    return replace(split, notes=(*split.notes, "one division only: there is no other way to draw it"))


def seed_of_repeat(seed: int, repeat: int) -> int:
    """The seed that deals the groups of a repeat: the one given for the first, others that follow from it."""
    return seed if repeat == 0 else int(np.random.SeedSequence([seed, repeat]).generate_state(1)[0])


def _from_groups(table: Table, row: Rung, name: str, value: str, deal: Deal, repeats: int) -> Split:
    """Whole groups, dealt to folds or held out; what is a copy of another repeat is left out, and said to be."""
    assert row.groups is not None, f"{name} is made of groups"
    groups, how = row.groups(table, value, deal)
    folds, test_size, seed = deal.folds, deal.test_size, deal.seed
    strata = _strata(table, acyclic=row.by_scaffold and not folds)
    seeds = [seed_of_repeat(seed, repeat) for repeat in range(repeats)]
    n_groups = len(set(groups.astype(str)))
    if n_groups < max(2, folds):
        raise InputError(
            f"split {name!r}: {folds} folds need at least {folds} groups; there are {n_groups}. "
            "Ask for fewer folds or another split"
            if folds
            else f"split {name!r}: all {len(table)} rows are one group; at least two are needed"
        )
    if folds:
        made, asked, notes = _dealt(table, groups, strata, folds, seeds)
    else:
        free = testable(groups, strata, test_size) if row.capped else None
        made, asked, notes = _held_out(table, groups, strata, test_size, seeds, seed, free)
        if row.name == "similarity":
            notes += _test_on_outliers(table, groups, made)
    labels = dict(zip(table.frame["row_id"], groups, strict=True))
    return _without_copies(Split(name, tuple(made), labels, asked, (*([how] if how else []), *notes)))


def _dealt(
    table: Table, groups: np.ndarray, strata: np.ndarray, folds: int, seeds: Sequence[int]
) -> tuple[list[Fold], str, list[str]]:
    """Folds of whole groups, what was asked for, and what there is to say of them."""
    ids, made = table.frame["row_id"].to_numpy(dtype=object), []
    for repeat, seed in enumerate(seeds):
        numbers = fold_numbers(groups, strata, folds, seed)
        made += [Fold(repeat, k, tuple(ids[numbers != k]), tuple(ids[numbers == k])) for k in range(folds)]
    sizes = np.unique(groups.astype(str), return_counts=True)[1]
    return made, f"{folds} folds{_times(len(seeds))}", _uneven(made[:folds], len(table), sizes)


def _held_out(
    table: Table,
    groups: np.ndarray,
    strata: np.ndarray,
    share: float,
    seeds: Sequence[int],
    seed: int,
    free: np.ndarray | None,
) -> tuple[list[Fold], str, list[str]]:
    """Hold-outs of whole groups, what was asked for, and what there is to say of them; one where every seed gives the
    same, which is tried with some more seeds than were asked for."""
    ids, notes = table.frame["row_id"].to_numpy(dtype=object), _never_tested(groups, free)
    tests = [hold_out(groups, strata, share, each, free) for each in seeds]
    got, sizes = float(np.mean(tests)), np.unique(groups.astype(str), return_counts=True)[1]
    if abs(got - share) > TOLERANCE:
        notes.append(
            f"asked for {share:.0%} of the rows, got {got:.0%}: the {len(sizes)} groups (the largest has "
            f"{sizes.max()} of {len(table)} rows) allow nothing nearer"
        )
    more = (
        hold_out(groups, strata, share, seed_of_repeat(seed, other), free) for other in range(len(seeds), SEEDS_TRIED)
    )
    if all((test == tests[0]).all() for test in chain(tests, more)):
        copies = f": repeated {len(seeds)} times it would be copies, so that it is made once" if len(seeds) > 1 else ""
        notes.append(f"every seed gives the same test set{copies}")
        tests = tests[:1]
    made = [Fold(repeat, 0, tuple(ids[~test]), tuple(ids[test])) for repeat, test in enumerate(tests)]
    return made, f"{share:.0%} of rows held out{_times(len(tests))}", notes


def _test_on_outliers(table: Table, groups: np.ndarray, folds: Sequence[Fold]) -> list[str]:
    """What a hold-out of similar structures is where one group of them has most of the rows; else nothing."""
    names, sizes = np.unique(groups.astype(str), return_counts=True)
    if sizes.max() <= len(table) / 2:
        return []
    outside = set(table.frame["row_id"][groups.astype(str) != names[sizes.argmax()]])
    which = "are the" if all(set(fold.test) == outside for fold in folds) else "come from the"
    return [
        f"most of the table is linked by similar structures ({sizes.max()} of {len(table)} {table.rows_are}), and "
        f"the test rows {which} {len(outside)} unlike it: this rung is a test on outliers"
    ]


def _without_copies(split: Split) -> Split:
    """The split without repeats that are copies of others, which it says: they would count as evidence and be none."""
    made = replace(split, folds=without_copies(split.folds))
    copies = split.repeats - made.repeats
    if not copies:
        return split
    said = f"{copies} of {split.repeats} repeats would test the same rows as another: a copy, and left out"
    return replace(made, notes=(*split.notes, said))


def _never_tested(groups: np.ndarray, free: np.ndarray | None) -> list[str]:
    """That some groups are too large to be tested, where they are."""
    if free is None or free.all():
        return []
    large = set(groups[~free])
    biggest = pd.Series(groups[free].astype(str)).value_counts().iloc[0]
    which = f"the {len(large)} groups" if len(large) > 1 else "the group"
    return [
        f"{which} of more than {biggest} rows always {'stay' if len(large) > 1 else 'stays'} in training, so that no "
        "single one makes much of a test set"
    ]


def _times(repeats: int) -> str:
    return f", {repeats} times" if repeats > 1 else ""


def _strata(table: Table, acyclic: bool) -> np.ndarray:
    """What test and training rows should hold equal shares of: classes, and acyclic molecules.

    Where one ring system is too large for a test set, a scaffold hold-out drawn without regard to
    this would be mostly acyclic.
    """
    marks = np.where(acyclic & (table.frame["scaffold"] == ""), "|acyclic", "").astype(object)
    return class_strata(table) + marks


def _uneven(folds: list[Fold], n: int, sizes: np.ndarray) -> list[str]:
    got = [len(fold.test) for fold in folds]
    if max(got) - min(got) <= max(1, TOLERANCE * n):
        return []
    return [
        f"folds are uneven ({', '.join(map(str, got))} test rows): the largest group alone has {sizes.max()} "
        f"of {n} rows"
    ]


def _from_column(table: Table, name: str) -> Split:
    column = name.partition(":")[2]
    roles = table.column(column).str.strip().str.lower()
    strange = sorted(set(roles) - set(_ROLES))
    if strange:
        line = int(table.frame["line"][roles == strange[0]].iloc[0])
        raise InputError(f"split {name!r}: line {line} says {strange[0]!r}; the column must say train, valid or test")
    ids = table.frame["row_id"].to_numpy(dtype=object)
    test = (roles.map(_ROLES) == "test").to_numpy()
    notes = ["rows marked valid were used for training"] if roles.isin(["valid", "validation", "val"]).any() else []
    groups = twin_groups(table)
    for component in table.components:
        values = table.column(component).to_numpy(dtype=object)
        if not set(values[test]) & set(values[~test]):
            groups = column_groups(table, component)
            notes.append(f"no tested {component} is trained on, so rows that share one count as a group")
            break
    else:
        notes.append(
            f"{ROWS_COUNT}; where they come from sources, such as laboratories, group:COLUMN with the column of these "
            "counts each as one"
        )
    labels = dict(zip(ids, groups, strict=True))
    fold = Fold(0, 0, tuple(ids[~test]), tuple(ids[test]))
    return _without_straddlers(table, Split(name, (fold,), labels, f"column {column!r}", tuple(notes)))


def _from_folds(table: Table, name: str) -> Split:
    """The rows of each value of a column are tested in turn, or those of one value alone."""
    column, asked = fold_column(name.partition(":")[2])
    values, ids = table.column(column).str.strip(), table.frame["row_id"].to_numpy(dtype=object)
    found = sorted(values.unique(), key=lambda value: (len(value), value))
    if not 2 <= len(found) <= MOST_FOLDS:
        raise InputError(
            f"split {name!r}: the column has {len(found)} value{'s' * (len(found) != 1)}; each is a fold, and there "
            f"must be 2 to {MOST_FOLDS}"
        )
    folds = [
        Fold(0, number, tuple(ids[values != value]), tuple(ids[values == value])) for number, value in enumerate(found)
    ]
    if asked and asked not in found:
        raise InputError(f"split {name!r}: no row has {asked!r} in {column!r}; there are {', '.join(found)}")
    made = [replace(folds[found.index(asked)], fold=0)] if asked else folds
    groups = dict(zip(ids, twin_groups(table), strict=True))
    said = f"{asked!r} of column {column!r} held out" if asked else f"{len(folds)} folds of column {column!r}"
    counted = (
        f"{ROWS_COUNT}, not by {column!r}; where its values are sources, such as laboratories, group:{column} --folds "
        f"{len(found)} counts each as one"
    )
    return _without_straddlers(table, Split(name, tuple(made), groups, said, (counted,)))


def _from_file(table: Table, path: str) -> list[Split]:
    """The splits in a file with the columns ``row_id`` and ``role``, and if it has them ``split``,
    ``repeat``, ``fold``, ``group``, and ``order``, ``place`` and ``share``, as ``splits.csv`` of a run."""
    raw = read_table(path)
    frame = pd.DataFrame({column: require_column(raw, column, "--split") for column in ("row_id", "role")})
    for column in ("order", "place", "share"):
        frame[column] = raw.frame[column] if column in raw.frame.columns else ""
    for column in ("repeat", "fold"):
        frame[column] = _whole_numbers(raw.frame[column], path, column) if column in raw.frame.columns else 0
    frame["split"] = raw.frame["split"] if "split" in raw.frame.columns else Path(path).stem
    frame["role"] = frame["role"].str.strip().str.lower().map(_ROLES)
    if frame["role"].isna().any():
        line = int(frame.index[frame["role"].isna()][0])
        raise InputError(f"{path}, line {line}: the role {raw.frame['role'][line]!r} is not train, valid or test")
    again = frame.duplicated(["split", "repeat", "fold", "row_id"])
    if again.any():
        line = int(frame.index[again][0])
        raise InputError(f"{path}, line {line}: row id {frame['row_id'][line]!r} stands twice in one division")
    missing = frame[~frame["row_id"].isin(set(table.frame["row_id"]))]
    if len(missing):
        raise InputError(
            f"{path}: {len(missing)} row ids are not in the table, the first is {missing['row_id'].iloc[0]!r} "
            f"(line {missing.index[0]}). A run with a split by time:, group: or column: keeps the rows of one molecule "
            "apart that differ there; name that split here too"
        )
    twins = twin_groups_by_row(table)
    frame["group"] = raw.frame["group"] if "group" in raw.frame.columns else frame["row_id"].map(twins)
    return [_split_from_rows(table, str(name), rows, twins, path) for name, rows in frame.groupby("split", sort=False)]


def _order_from_rows(rows: pd.DataFrame, path: str) -> Order | None:
    """The order that an earlier run wrote beside a split that tests one end of it."""
    if (rows["order"] == "").all():
        return None
    of, shares = str(rows["order"].iloc[0]), pd.to_numeric(rows["share"], errors="coerce")
    wrong = (rows["order"] != of) | ~shares.between(0, 1, inclusive="neither") | (of not in ORDERS)
    if wrong.any():
        line = int(rows.index[wrong][0])
        raise InputError(
            f"{path}, line {line}: order is {rows['order'][line]!r} and share {rows['share'][line]!r}; expected, for "
            f"all rows of a split, one of {', '.join(map(repr, ORDERS))} and a share between 0 and 1"
        )
    places = _whole_numbers(rows["place"], path, "place")
    return Order(of, dict(zip(rows["row_id"], map(int, places), strict=True)), float(shares.iloc[0]))


def _whole_numbers(values: pd.Series, path: str, column: str) -> pd.Series:
    numbers = pd.to_numeric(values, errors="coerce")
    wrong = numbers.isna() | (numbers % 1 != 0)
    if wrong.any():
        line = values.index[wrong][0]
        raise InputError(f"{path}, line {line}: {column} is {values[line]!r}; expected a whole number")
    return numbers.astype(int)


def _split_from_rows(table: Table, name: str, rows: pd.DataFrame, twins: dict[str, str], path: str) -> Split:
    folds = []
    for _, part in rows.groupby(["repeat", "fold"], sort=True):
        test = part["role"] == "test"
        repeat, fold = int(part["repeat"].iloc[0]), int(part["fold"].iloc[0])
        folds.append(Fold(repeat, fold, tuple(sorted(part["row_id"][~test])), tuple(sorted(part["row_id"][test]))))
    labels = twins | dict(zip(rows["row_id"], rows["group"], strict=True))
    made = Split(name, tuple(folds), labels, f"file {path}", order=_order_from_rows(rows, path))
    return _without_straddlers(table, _without_copies(made))


def _without_straddlers(table: Table, split: Split, variants: dict[str, str] | None = None) -> Split:
    """Take training rows out of which a variant is tested: a division by a column, or made elsewhere, may have them on
    both sides.

    Parameters
    ----------
    variants : dict, optional
        From each row to the set of variants of one molecule that it belongs to; the split's own groups if not given.
    """
    label = split.groups if variants is None else variants
    folds, dropped, both = [], 0, set()
    for fold in split.folds:
        tested = {label[row_id] for row_id in fold.test}
        train = tuple(row_id for row_id in fold.train if label[row_id] not in tested)
        both |= {label[row_id] for row_id in fold.train} & tested
        dropped += len(fold.train) - len(train)
        folds.append(Fold(fold.repeat, fold.fold, train, fold.test))
    if not dropped:
        return split
    many = len(both) != 1
    note = (
        f"{len(both)} {table.kind.one}{'s' * many} (with {table.kind.variants} and mates of a group) "
        f"stand{'s' * (not many)} on both sides; {dropped} training row{'s' * (dropped != 1)} of "
        f"{'them' if many else 'it'} left out, the tested rows stay"
    )
    return replace(split, folds=tuple(folds), notes=(*split.notes, note))


def _check(table: Table, split: Split) -> None:
    """The invariants every split must have, asserted with the value that broke them."""
    target = table.targets
    twins = twin_groups_by_row(table)
    for fold in split.folds:
        where = f"split {split.name!r}" + split.named(fold)
        if not fold.train or not fold.test:
            raise InputError(f"{where}: {len(fold.train)} training and {len(fold.test)} test rows; both must have some")
        if not table.exact.loc[list(fold.test)].any():
            raise InputError(f"{where}: every test row holds a bound, none a value; use another split or seed")
        both = set(fold.train) & set(fold.test)
        assert not both, f"{where}: row {sorted(both)[0]} is trained on and tested"
        for name, label in (("group", split.groups), ("twin group", twins)):
            shared = {label[i] for i in fold.train} & {label[i] for i in fold.test}
            assert not shared, f"{where}: {name} {sorted(shared)[0]!r} stands on both sides"
        if table.task == CLASSES:
            for role, ids in (("training", fold.train), ("test", fold.test)):
                missing = set(table.classes) - set(target.loc[list(ids)])
                if missing:
                    raise InputError(
                        f"{where}: no {role} row of class {sorted(missing)[0]!r} (there are {class_counts(table)}); "
                        "use fewer folds or repeats, another seed or another split, or leave rare classes out with "
                        "--min-class-rows"
                    )
