"""Which rows are trained on and which are tested: along directions of the descriptors, and beyond edges of the labels.

All comes from one hold-out. Of the other rows, the pool, some are trained on; the control is as many rows drawn from
all of the pool. Directions are found on the pool without its labels.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from zlib import crc32

import numpy as np
import pandas as pd

from pipeline.evaluation.bootstrap import MIN_GROUPS
from pipeline.evaluation.seeded import too_few
from pipeline.features.compositions import element_statistics, statistic_names
from pipeline.features.structures import PROPERTIES, CleanDescriptors, descriptor_names, descriptors
from pipeline.runs.context import Context
from pipeline.tables.kinds import COMPOSITIONS, MOLECULES, Kind
from pipeline.tables.targets import CLASSES

CENTRAL = 0.6  # of the scores that are trained on
DRAWN = 0.8  # of the training rows that each model is trained on
COLLINEAR = 0.95  # correlation from which on two descriptors count as one
VARIANCE = 0.95  # of the descriptors, in the directions of which the last ones have little
LEAST_TRAINED = 10  # rows of a model
NAMED = 3  # descriptors that name a direction
MUCH, LITTLE, RANDOM, PERMUTED = "much variance", "little variance", "random", "permuted scores"
ASKED, NULLS = (MUCH, LITTLE), (RANDOM, PERMUTED)
FULL_WIDTH = "full width"
DIRECTIONS, LABELS = "directions", "labels"  # the parts of the study
UPPER, LOWER = "upper edge", "lower edge"
Described = tuple[Callable[[Iterable[str]], np.ndarray], Callable[[], list[str]]]
DESCRIBED: dict[Kind, Described] = {
    MOLECULES: (descriptors, descriptor_names),
    COMPOSITIONS: (element_statistics, statistic_names),
}


@dataclass(frozen=True)
class Direction:
    """A direction of the descriptors.

    Attributes
    ----------
    kind, number
        Of `ASKED` or of `NULLS`, counted from 1.
    share : float
        Of the variance of the standardised descriptors along it.
    names : tuple of str
        The descriptors with the largest loadings, each behind its sign.
    train : tuple of str
        The rows of the pool in the middle.
    outside : dict of str to bool
        By row that is tested: whether its score lies outside of those.
    """

    kind: str
    number: int
    share: float
    names: tuple[str, ...]
    train: tuple[str, ...]
    outside: Mapping[str, bool]

    @property
    def name(self) -> str:
        return f"{self.kind} {self.number}"


@dataclass(frozen=True)
class Edge:
    """An edge of the labels.

    Attributes
    ----------
    last : float
        The label nearest to the edge that is trained on.
    train, control : tuple of str
        The rows of the pool up to the edge, and as many of all.
    """

    name: str
    last: float
    train: tuple[str, ...]
    control: tuple[str, ...]

    @property
    def upwards(self) -> bool:
        return self.name == UPPER

    def beyond(self, values: np.ndarray) -> np.ndarray:
        """Whether values lie beyond the last label that is trained on. Shape (n,)."""
        slack = 1e-9 * max(1.0, abs(self.last))  # the last digit of a mean over trees
        return values > self.last + slack if self.upwards else values < self.last - slack


@dataclass(frozen=True)
class Rows:
    """What is trained on and tested, and what was left out, a line each."""

    directions: tuple[Direction, ...] = ()
    edges: tuple[Edge, ...] = ()
    left_out: tuple[str, ...] = ()
    pool: tuple[str, ...] = ()
    sets: Mapping[tuple[str, str], tuple[str, ...]] = field(default_factory=dict)

    def drawn(self, part: str, trained_on: str, number: int, seed: int) -> list[str]:
        """The rows that one model of a part is trained on, sorted: `DRAWN` of them.

        A model draws by the same random number for a row whatever it is trained on, so that two sets lose the same of
        the rows that they share, and their difference does not hang on these.
        """
        whole = self.sets[part, trained_on]
        keys = np.random.default_rng([seed, number]).random(len(self.pool))
        key_of = dict(zip(self.pool, keys, strict=True))
        return sorted(sorted(whole, key=key_of.__getitem__)[: round(DRAWN * len(whole))])


def rows_of(context: Context) -> Rows:
    """The rows of a run, found once."""
    found: Rows = context.once(("edges", context.settings), lambda: _rows(context))
    return found


def _rows(context: Context) -> Rows:
    kinds, left = _directions(context)
    edges, none = _edges(context)
    pool = _pool(context)
    full = _any_of(context, FULL_WIDTH, pool, round(CENTRAL * len(pool)))
    sets = {(DIRECTIONS, one.name): one.train for one in kinds}
    if kinds:
        sets = {(DIRECTIONS, FULL_WIDTH): full} | sets
    for edge in edges:
        sets |= {(LABELS, edge.name): edge.train, (LABELS, control_of(edge)): edge.control}
    return Rows(tuple(kinds), tuple(edges), (*left, *none), tuple(pool), sets)


def control_of(edge: Edge) -> str:
    """What the training rows beside those of an edge are called; two edges with as many rows share them."""
    return f"whole range, {len(edge.control)} rows"


def _rng(context: Context, what: str) -> np.random.Generator:
    return np.random.default_rng([context.config.seed, crc32(what.encode())])


def _any_of(context: Context, what: str, rows: list[str], count: int) -> tuple[str, ...]:
    """So many rows, drawn by seed, sorted."""
    order = _rng(context, what).permutation(len(rows))
    return tuple(sorted(rows[place] for place in order[:count]))


# -- directions --


def _directions(context: Context) -> tuple[list[Direction], list[str]]:
    """The directions that can be tested, and why others cannot."""
    count, kind = context.settings.directions, context.table.kind
    if not count:
        return [], []
    if kind not in DESCRIBED:
        return [], [f"directions: {kind} have no descriptors here, so that only edges of the labels are tested"]
    values, names = _standardised(context)
    if values.shape[1] < 2:
        return [], ["directions: fewer than two descriptors differ between the training rows"]
    found, left = [], []
    for one, number, weights in _weightings(context, values, count):
        scores = values.to_numpy() @ weights
        total = values.loc[_pool(context)].to_numpy().var(axis=0).sum()
        share = float(pd.Series(scores, values.index).loc[_pool(context)].var(ddof=0) / total)
        if one == PERMUTED:
            scores = _rng(context, f"{PERMUTED} {number}").permutation(scores)
        direction = _along(context, one, number, share, _named(weights, names), pd.Series(scores, values.index))
        reason = _unusable(context, direction)
        if reason:
            left.append(f"direction {direction.name!r} ({', '.join(direction.names)}): {reason}")
        else:
            found.append(direction)
    asked = sum(one.kind == LITTLE for one in found) + sum(LITTLE in line for line in left)
    if asked < count:
        left.append(f"directions with little variance: {asked} of {count}, as the descriptors have no more")
    return found, left


def _pool(context: Context) -> list[str]:
    return sorted(context.splits[0].folds[0].train)


def _standardised(context: Context) -> tuple[pd.DataFrame, list[str]]:
    """The descriptors of all rows by row, standardised by what the pool shows, without those that are constant there or
    go along with an earlier one; and their names."""
    compute, named = DESCRIBED[context.table.kind]
    texts, names = context.table.by_row["smiles"], named()
    raw = compute(texts)
    pool = texts.index.isin(_pool(context))
    cleaner = CleanDescriptors().fit(raw[pool])
    clean, names = cleaner.transform(raw), [names[place] for place in cleaner.kept_]
    first = sorted(range(len(names)), key=lambda place: names[place] not in PROPERTIES)  # those with plain names stay
    with np.errstate(invalid="ignore"):
        alike = np.abs(np.atleast_2d(np.corrcoef(clean[pool].T))) if names else np.zeros((0, 0))
    kept: list[int] = []
    for place in first:
        if not kept or not (alike[place, kept] > COLLINEAR).any():
            kept.append(place)
    return pd.DataFrame(clean[:, kept], index=texts.index), [names[place] for place in kept]


def _weightings(context: Context, values: pd.DataFrame, count: int) -> Iterable[tuple[str, int, np.ndarray]]:
    """The kind, number and weights of each direction.

    Those of much variance are the first principal directions of the pool; those of little the last of as many as make
    up `VARIANCE`. Scores are permuted along the first ones.
    """
    of_pool = values.loc[_pool(context)].to_numpy()
    _, lengths, axes = np.linalg.svd(of_pool - of_pool.mean(axis=0), full_matrices=False)
    shares = np.cumsum(lengths**2) / (lengths**2).sum()
    within = int(np.searchsorted(shares, VARIANCE)) + 1
    axes = axes * np.sign(axes[np.arange(len(axes)), np.abs(axes).argmax(axis=1)])[:, None]
    much = range(min(count, within))
    yield from ((MUCH, number + 1, axes[number]) for number in much)
    little = range(within - 1, max(within - count, len(much)) - 1, -1)
    yield from ((LITTLE, number, axes[place]) for number, place in enumerate(little, 1))
    for number in range(1, count + 1):
        drawn = _rng(context, f"{RANDOM} {number}").normal(size=values.shape[1])
        yield RANDOM, number, drawn / np.linalg.norm(drawn)
    yield from ((PERMUTED, number + 1, axes[number]) for number in much)


def _named(weights: np.ndarray, names: list[str]) -> tuple[str, ...]:
    largest = np.argsort(-np.abs(weights), kind="stable")[:NAMED]
    return tuple(f"{'+' if weights[place] > 0 else '−'} {names[place]}" for place in largest)


def _along(
    context: Context, kind: str, number: int, share: float, names: tuple[str, ...], scores: pd.Series
) -> Direction:
    """The middle of the pool by score, and which tested rows lie outside of it."""
    pool = scores.loc[_pool(context)].sort_values(kind="stable")
    count = round(CENTRAL * len(pool))
    middle = pool.iloc[(len(pool) - count) // 2 :][:count]
    test = scores.loc[list(context.splits[0].folds[0].test)]
    beyond = ~test.between(middle.iloc[0], middle.iloc[-1])
    outside = {str(row): bool(value) for row, value in beyond.items()}
    return Direction(kind, number, share, names, tuple(sorted(middle.index)), outside)


def _unusable(context: Context, direction: Direction) -> str:
    """Why a direction cannot be tested; nothing where it can."""
    reason = _untrainable(context, direction.train)
    if reason:
        return f"the training rows in the middle {reason}"
    for side, where in ((True, "outside"), (False, "inside")):
        rows = [row for row, outside in direction.outside.items() if outside is side and context.table.exact[row]]
        if _few(context, rows):
            return f"{len(rows)} test rows {where} are fewer than {MIN_GROUPS} independent groups"
    return ""


def _few(context: Context, rows: list[str]) -> bool:
    groups = context.splits[0].groups
    return too_few(np.array([groups[row] for row in rows], dtype=object))


def _untrainable(context: Context, rows: Iterable[str]) -> str:
    """Why models cannot be trained on draws of these rows."""
    labels = context.targets(context.splits[0].folds[0]).loc[list(rows)]
    if round(DRAWN * len(labels)) < LEAST_TRAINED:
        return f"are {len(labels)}, too few to train on"
    counts = labels.value_counts()
    rest = len(labels) - int(counts.iloc[0])
    if not rest:
        return f"have labels of one value ({counts.index[0]})"
    if context.task == CLASSES and rest <= len(labels) - round(DRAWN * len(labels)):
        return f"have {rest} of other classes than {counts.index[0]!r}, so that a draw may have none"
    return ""


# -- edges of the labels --


def _edges(context: Context) -> tuple[list[Edge], list[str]]:
    """The edges that can be tested, and why others cannot."""
    if context.task == CLASSES:
        return [], ["edges of the labels: these are for numbers; the target has classes"]
    found, left = [], []
    exact = context.table.exact
    labels = context.table.targets.astype(np.float64)
    pool = labels.loc[[row for row in _pool(context) if exact[row]]]
    for name in (UPPER, LOWER):
        edge = _edge(context, name, pool)
        tested = labels.loc[[row for row in context.splits[0].folds[0].test if exact[row]]]
        beyond = edge.beyond(tested.to_numpy())
        reason = _untrainable(context, edge.train)
        if reason:
            left.append(f"{name} of the labels: the training rows up to it {reason}")
        elif _few(context, list(tested.index[beyond])) or _few(context, list(tested.index[~beyond])):
            left.append(
                f"{name} of the labels: {beyond.sum()} of {len(tested)} test rows lie beyond it; at least {MIN_GROUPS} "
                "independent groups on either side are needed"
            )
        else:
            found.append(edge)
    return found, left


def _edge(context: Context, name: str, pool: pd.Series) -> Edge:
    share = context.settings.edge / 100
    kept = pool[pool <= pool.quantile(share)] if name == UPPER else pool[pool >= pool.quantile(1 - share)]
    last = float(kept.max() if name == UPPER else kept.min())
    return Edge(name, last, tuple(sorted(kept.index)), _any_of(context, "whole range", list(pool.index), len(kept)))
