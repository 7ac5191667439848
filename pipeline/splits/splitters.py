"""Hold-outs and folds over groups, sized by rows, the same for a seed whatever the row order.

scikit-learn's group splitters size a hold-out by groups rather than rows, and take no seed where
they balance folds by rows, so the assignment here is our own.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from pipeline.errors import InputError

LISTED = 5  # divisions whose sizes are said one by one
LARGEST = 0.1  # of the rows of a test set: the most that one group takes of it, where the groups allow
CHOICE = 1.25  # times the rows of a test set that there are at least to choose from
GROWTH = 1.25  # of the most that a group may have, from one try to the next
TOLERANCE = 0.05  # a hold-out is within five points of what was asked, where the groups allow it
REACH = 4.0  # with a fifth of the rows tested one training range: enough for all test labels of Lipophilicity and B3DB
LABELS_UP, LABELS_DOWN, SIZES, TIMES = "labels, upwards", "labels, downwards", "sizes", "times"
ORDERS = {  # what they test
    LABELS_UP: "highest labels",
    LABELS_DOWN: "lowest labels",
    SIZES: "largest molecules",
    TIMES: "latest rows",
}
INNER_EDGES = (LABELS_UP, LABELS_DOWN)  # elsewhere random folds rank arms as well or better: docs/comparisons.md


@dataclass(frozen=True)
class Fold:
    """Row ids of one train/test division; ``repeat`` and ``fold`` count from 0."""

    repeat: int
    fold: int
    train: tuple[str, ...]
    test: tuple[str, ...]


@dataclass(frozen=True)
class Order:
    """The order of the rows whose far end a split tests on.

    Attributes
    ----------
    of : str
        What lies in order: one of `ORDERS`.
    place : dict
        From row id to its place, counted from 1; rows of one value share a place. Those tested have the last.
    share : float
        Of the rows that are tested, before any training rows are left out; to four decimals.
    """

    of: str
    place: dict[str, int]
    share: float

    @classmethod
    def by(cls, of: str, ids: np.ndarray, values: np.ndarray, share: float) -> Order:
        """The order of rows by ascending values. Shapes (n,)."""
        places = np.unique(values, return_inverse=True)[1] + 1
        return cls(of, dict(zip(ids, places.tolist(), strict=True)), round(share, 4))

    def digest(self) -> str:
        """A hash of all that it holds, whatever the order of the rows."""
        return hashlib.sha256(repr((self.of, self.share, sorted(self.place.items()))).encode()).hexdigest()

    def __post_init__(self) -> None:
        if self.of not in ORDERS:
            raise ValueError(f"an order of {self.of!r}; there are {', '.join(ORDERS)}")


@dataclass(frozen=True)
class Split:
    """A named set of folds over one table, with the group label of every row.

    A split that tests one end of an order has that ``order``.
    """

    name: str
    folds: tuple[Fold, ...]
    groups: dict[str, str]
    asked: str
    notes: tuple[str, ...] = ()
    order: Order | None = None

    @property
    def rows(self) -> set[str]:
        """The rows that some division tests or trains on."""
        return {row_id for fold in self.folds for row_id in (*fold.train, *fold.test)}

    @property
    def repeats(self) -> int:
        """How many times the rows were divided anew."""
        return len({fold.repeat for fold in self.folds})

    def beyond_inner_edge(self, fold: Fold, groups: np.ndarray) -> np.ndarray | None:
        """The training rows at the far end of the order, as large a share of them as the split tests of all rows.

        Parameters
        ----------
        groups : ndarray of shape (training rows,)
            Rows of one group stay on one side: where the nearest of them stands.

        Returns
        -------
        ndarray of bool, shape (training rows,), or None
            None for a split whose training rows are held out otherwise, or where all of them have one place.
        """
        if self.order is None or self.order.of not in INNER_EDGES:
            return None
        place = pd.Series([self.order.place[row_id] for row_id in fold.train])
        nearest = place.groupby(groups).transform("min").to_numpy()
        edge = edge_at(nearest, self.order.share)
        return None if edge is None else nearest > edge

    @property
    def reach(self) -> tuple[float, float]:
        """How far below and above the training labels those of the test rows are to be expected, in training ranges.

        By the share of rows that the split tests alone, never by their labels: where it tests one end of the labels,
        `REACH` times what labels spread evenly would need there, at least one range; 0 elsewhere.
        """
        if self.order is None or self.order.of not in (LABELS_UP, LABELS_DOWN):
            return 0.0, 0.0
        needed = max(1.0, REACH * self.order.share / (1 - self.order.share))
        return (0.0, needed) if self.order.of == LABELS_UP else (needed, 0.0)

    def sizes(self) -> str:
        """Training and test rows of each division, such as ``80/20``; those of many as a range."""
        pairs = [(len(fold.train), len(fold.test)) for fold in self.folds]
        if len(pairs) <= LISTED:
            return ", ".join(f"{train}/{test}" for train, test in pairs)
        low, high = np.min(pairs, axis=0), np.max(pairs, axis=0)
        spans = "/".join(f"{a} to {b}" if a < b else str(a) for a, b in zip(low, high, strict=True))
        return f"{spans} in {len(pairs)} divisions"

    def named(self, fold: Fold) -> str:
        """Which of several divisions this is, such as ``, repeat 2, fold 3``; nothing where there is one."""
        repeat = f", repeat {fold.repeat + 1}" if self.repeats > 1 else ""
        return repeat + (f", fold {fold.fold + 1}" if len(self.folds) > self.repeats else "")

    def frame(self) -> pd.DataFrame:
        """One row per (repeat, fold, row): ``split, repeat, fold, row_id, role, group``, and of a split with an order
        ``order, place, share``."""
        rows = [
            (self.name, fold.repeat, fold.fold, row_id, role, self.groups[row_id])
            for fold in self.folds
            for role, ids in (("train", fold.train), ("test", fold.test))
            for row_id in ids
        ]
        frame = pd.DataFrame(rows, columns=["split", "repeat", "fold", "row_id", "role", "group"])
        if self.order is None:
            return frame
        return frame.assign(order=self.order.of, place=frame["row_id"].map(self.order.place), share=self.order.share)


def without_copies(folds: Sequence[Fold]) -> tuple[Fold, ...]:
    """The folds without the repeats that divide the rows as an earlier one did; if there are such, counted anew."""
    of_repeat: dict[int, list[Fold]] = {}
    for fold in folds:
        of_repeat.setdefault(fold.repeat, []).append(fold)
    distinct: dict[frozenset[tuple[frozenset[str], frozenset[str]]], list[Fold]] = {}
    for members in of_repeat.values():
        distinct.setdefault(frozenset((frozenset(fold.train), frozenset(fold.test)) for fold in members), members)
    if len(distinct) == len(of_repeat):
        return tuple(folds)
    return tuple(replace(fold, repeat=repeat) for repeat, kept in enumerate(distinct.values()) for fold in kept)


def edge_at(values: np.ndarray, share: float) -> float | None:
    """The value beyond which the share of rows is nearest to the one asked for; None where all values are the same."""
    steps = np.unique(values)[:-1]
    if not len(steps):
        return None
    shares = np.array([(values > step).mean() for step in steps])
    return float(steps[int(np.argmin(np.abs(shares - share)))])


def testable(groups: np.ndarray, classes: np.ndarray, share: float) -> np.ndarray:
    """Rows whose group may be tested in a hold-out of this share: groups of at most `LARGEST` of its rows, or more
    where these are too few. Shape (n,).

    A test set that is mostly one group tells little of others (`pipeline.evaluation.estimates.effective_number`). The
    bound grows until every class has `CHOICE` times the rows that are tested of it to choose from; if that takes
    groups as large as the test set, all are free.
    """
    counts, group = _class_counts(groups, classes)
    sizes, wanted = counts.sum(axis=1), share * len(groups)
    needed = np.minimum(CHOICE * share, 1.0) * counts.sum(axis=0)
    most = max(1.0, LARGEST * wanted)
    while most < wanted and np.any(counts[sizes <= most].sum(axis=0) < needed):
        most *= GROWTH
    return (sizes <= most)[group] if most < wanted else np.ones(len(groups), dtype=bool)


def hold_out(
    groups: np.ndarray, classes: np.ndarray, share: float, seed: int, free: np.ndarray | None = None
) -> np.ndarray:
    """Choose whole groups for a test set of about ``share`` of the rows.

    Groups are taken in a random order as long as no class exceeds its share; where that leaves
    the size off by more than `TOLERANCE` although some choice of groups would fit, such a choice
    is taken instead.

    Parameters
    ----------
    groups : ndarray of shape (n,)
        Group labels; rows in any order.
    classes : ndarray of shape (n,)
        Class labels to stratify by; a constant for regression.
    share : float
        Fraction of rows asked for, between 0 and 1.
    seed : int
    free : ndarray of bool, shape (n,), optional
        Rows of the groups that may be chosen; all if not given.

    Returns
    -------
    ndarray of bool, shape (n,)
        True for test rows.
    """
    counts, group = _class_counts(groups, classes)
    quota = np.ceil(share * counts.sum(axis=0))
    wanted = round(share * len(groups))
    order = np.random.default_rng(seed).permutation(len(counts))
    if free is not None:
        order = order[np.isin(order, group[free])]
    chosen = np.zeros(len(counts), dtype=bool)
    total = np.zeros(counts.shape[1])
    for limits in (quota, np.full_like(quota, np.inf)):  # the second pass gives up the class shares
        for index in order:
            grown = total + counts[index]
            if not chosen[index] and grown.sum() <= wanted and np.all(grown <= limits):
                chosen[index], total = True, grown
        if abs(total.sum() - wanted) <= TOLERANCE * len(groups):
            break
    if abs(total.sum() - wanted) > TOLERANCE * len(groups) or not chosen.any():
        chosen = _closest_sum(counts.sum(axis=1), wanted, order)
    return chosen[group]


def half_of_groups(groups: np.ndarray, seed: int) -> np.ndarray:
    """The rows of a random half of the groups. Shape (n,)."""
    names, group = np.unique(groups.astype(str), return_inverse=True)
    return np.isin(group, np.random.default_rng(seed).permutation(len(names))[: len(names) // 2])


def _class_counts(groups: np.ndarray, classes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """How many rows of each class every group has, groups in sorted order, and the place of each row's group."""
    given = (np.asarray(one, dtype=object) for one in (groups, classes))
    (group, labels), (kind, kinds) = (pd.factorize(one, sort=True) for one in given)
    counts = np.bincount(group * len(kinds) + kind, minlength=len(labels) * len(kinds))
    return counts.reshape(len(labels), len(kinds)), group


def _closest_sum(sizes: np.ndarray, wanted: int, order: np.ndarray) -> np.ndarray:
    """The groups whose sizes add up nearest to ``wanted``, never all or none (subset sum)."""
    reached: dict[int, list[int]] = {0: []}
    for index in order:
        for total, members in list(reached.items()):
            bigger = total + int(sizes[index])
            if bigger not in reached and bigger < sizes.sum():
                reached[bigger] = [*members, int(index)]
    reached.pop(0)
    chosen = np.zeros(len(sizes), dtype=bool)
    if reached:
        chosen[reached[min(reached, key=lambda total: (abs(total - wanted), total))]] = True
    return chosen


def fold_numbers(groups: np.ndarray, classes: np.ndarray, k: int, seed: int) -> np.ndarray:
    """Assign whole groups to ``k`` folds, largest group first, each to the emptiest fold.

    "Emptiest" is measured per class, relative to the size of the class, so folds are stratified
    as far as the groups allow. Ties are broken at random by the seed.

    Returns
    -------
    ndarray of int, shape (n,)
        The fold in which a row is tested.
    """
    counts, group = _class_counts(groups, classes)
    if len(counts) < k:
        raise InputError(f"{k} folds need at least {k} groups; there are {len(counts)}")
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(counts))
    order = order[np.argsort(-counts[order].sum(axis=1), kind="stable")]
    weight = counts / counts.sum(axis=0)
    load = np.zeros((k, counts.shape[1]))
    fold_of = np.empty(len(counts), dtype=int)
    squares = np.zeros(k)
    for index in order:
        grown = load + weight[index]
        after = (grown * grown).sum(axis=1)
        cost = after - squares
        least = cost.min()
        best = np.flatnonzero(cost - least <= 1e-15 + 1e-12 * abs(least))
        chosen = best[0] if len(best) == 1 else rng.choice(best)
        fold_of[index], load[chosen], squares[chosen] = chosen, grown[chosen], after[chosen]
    return fold_of[group]


def inner_groups(groups: np.ndarray | None, n: int) -> np.ndarray:
    """What is held out together of the training rows of one arm: its groups, or rows by themselves without groups, or
    where one group has most of the rows.

    Parameters
    ----------
    groups : ndarray of shape (n,), or None

    Returns
    -------
    ndarray of str, shape (n,)
    """
    labels = np.arange(n) if groups is None else np.asarray(groups)
    if np.unique(labels.astype(str), return_counts=True)[1].max() > n / 2:
        labels = np.arange(n)
    return labels.astype(str)


def inner_fold_numbers(groups: np.ndarray | None, classes: np.ndarray, k: int, seed: int) -> np.ndarray:
    """`fold_numbers` of the `inner_groups`; fewer folds where there are fewer of them. Shape (n,)."""
    labels = inner_groups(groups, len(classes))
    return fold_numbers(labels, classes, min(k, len(np.unique(labels))), seed)
