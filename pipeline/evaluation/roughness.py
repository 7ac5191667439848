"""How a label changes from one row to similar ones: roughness, agreement of neighbours, cliffs.

Everything takes several labellings at once, so that the null, the labels dealt to other rows, is computed in the same
way as what it is compared with.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.cluster.hierarchy import linkage
from scipy.spatial.distance import squareform
from scipy.stats import rankdata

from pipeline.evaluation.bootstrap import group_weights
from pipeline.evaluation.estimates import Estimate, effective_degrees, score_interval

PERMUTATIONS = 200
RESAMPLES = 1_000
HALVES = 40  # of the groups, for the interval of the roughness
STEP = 0.01  # of the distance, at which roughness is integrated


@dataclass(frozen=True)
class Figure:
    """A figure of a table with its null.

    Attributes
    ----------
    value, low, high : float
        With a 95 % interval over whole groups.
    nulls : ndarray of shape (PERMUTATIONS,)
        The same with the labels dealt to other rows.
    n, groups : int
        Rows, and groups of rows, that it was made from.
    """

    value: float
    low: float
    high: float
    nulls: np.ndarray
    n: int
    groups: int

    @cached_property
    def null(self) -> tuple[float, float, float]:
        """The mean of the null, and between where 95 % of it lie."""
        low, high = np.quantile(self.nulls, [0.025, 0.975])
        return float(self.nulls.mean()), float(low), float(high)

    def p_value(self, rising: bool) -> float:
        """How often permuted labels give as large a figure (``rising``), or as small a one."""
        as_far = self.nulls >= self.value if rising else self.nulls <= self.value
        return float((1 + as_far.sum()) / (1 + len(self.nulls)))


def permuted(labels: np.ndarray, seed: int) -> np.ndarray:
    """Labels dealt to other rows. Shape (PERMUTATIONS, n)."""
    rng = np.random.default_rng(seed)
    return np.stack([rng.permutation(labels) for _ in range(PERMUTATIONS)])


def rogi(distances: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """ROGI, the roughness index of Aldeghi, Graff et al. (J. Chem. Inf. Model. 2022). Shape (labellings,).

    Labels are scaled to 0 to 1, rows are clustered by complete linkage, and twice the standard deviation of the labels
    is lost as rows are replaced by the mean of their cluster. The index is what it is at distance 0 less its integral
    over distances from 0 to 1 (trapezoids of `STEP` or more, as in the authors' program); 0 for equal labels.

    Parameters
    ----------
    distances : ndarray of shape (n, n)
        Between 0 and 1.
    labels : ndarray of shape (labellings, n)
        Numbers, or 0 and 1 for two classes.
    """
    merges = linkage(squareform(distances, checks=False), method="complete")
    heights, dispersion = merges[:, 2], _dispersion(merges, labels)
    thresholds = [heights[0]]
    for height in heights[1:]:
        if height >= thresholds[-1] + STEP:
            thresholds.append(height)
    at = np.searchsorted(heights, thresholds, side="right")  # merges up to this distance
    x = np.array([0.0, *thresholds, 1.0])
    y = np.vstack([dispersion[0], dispersion[at], np.zeros(len(labels))])
    return dispersion[0] - np.trapezoid(y, x, axis=0)


def _dispersion(merges: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Twice the standard deviation of the labels, scaled to 0 to 1, after each merge. Shape (n, labellings).

    To merge clusters of a and b rows takes ``a b / (a + b)`` times their squared difference off the sum of squares.
    """
    low, high = labels.min(axis=1, keepdims=True), labels.max(axis=1, keepdims=True)
    scaled = ((labels - low) / np.where(high > low, high - low, 1)).T
    n = len(scaled)
    means, sizes = np.vstack([scaled, np.zeros_like(scaled[1:])]), np.ones(2 * n - 1)
    lost = np.zeros_like(scaled)
    for step, (one, other) in enumerate(merges[:, :2].astype(int)):
        a, b = sizes[one], sizes[other]
        sizes[n + step] = a + b
        means[n + step] = (a * means[one] + b * means[other]) / (a + b)
        lost[step + 1] = a * b / (a + b) * (means[one] - means[other]) ** 2
    variance = scaled.var(axis=0) - lost.cumsum(axis=0) / n
    return 2 * np.sqrt(np.maximum(variance, 0))


def roughness(distances: np.ndarray, labels: np.ndarray, groups: np.ndarray, seed: int) -> Figure:
    """`rogi` of a table.

    Its interval is that of a jackknife that leaves out half of the groups (Shao and Wu 1989): clusters change too
    abruptly for one that leaves out few. No interval for fewer than four groups.
    """
    names, group = np.unique(groups.astype(str), return_inverse=True)
    value, *nulls = rogi(distances, np.vstack([labels, permuted(labels, seed)]))
    low = high = np.nan
    if len(names) >= 4:
        rng = np.random.default_rng(seed)
        kept = [np.flatnonzero(rng.permutation(len(names))[group] < len(names) // 2) for _ in range(HALVES)]
        half = np.array([rogi(distances[np.ix_(rows, rows)], labels[None, rows])[0] for rows in kept if len(rows) > 1])
        low, high = Estimate(value, float(half.std(ddof=1)), effective_degrees(groups)).interval(bounds=(0.0, 1.0))
    return Figure(float(value), low, high, np.array(nulls), len(labels), len(names))


def neighbour_correlation(labels: np.ndarray, neighbour: np.ndarray, groups: np.ndarray, seed: int) -> Figure:
    """The rank correlation of a row's label with that of its nearest neighbour.

    Parameters
    ----------
    labels : ndarray of shape (n,)
    neighbour : ndarray of shape (n,)
        The row that is nearest to each.
    groups : ndarray of shape (n,)
    """

    def of(values: np.ndarray, weight: np.ndarray) -> np.ndarray:
        return _correlation(rankdata(values), rankdata(values[neighbour]), weight)

    return _figure(labels, groups, of, (-1.0, 1.0), seed)


def neighbour_error(labels: np.ndarray, neighbour: np.ndarray, groups: np.ndarray, seed: int) -> Figure:
    """How far a row's label is from its nearest neighbour's, over how far it is from the mean of all: mean absolute
    differences. Parameters as for `neighbour_correlation`."""

    def of(values: np.ndarray, weight: np.ndarray) -> np.ndarray:
        return (weight @ np.abs(values - values[neighbour])) / (weight @ np.abs(values - values.mean()))

    return _figure(labels, groups, of, (0.0, np.inf), seed)


def neighbour_agreement(labels: np.ndarray, neighbour: np.ndarray, groups: np.ndarray, seed: int) -> Figure:
    """The share of rows whose nearest neighbour is of the same class. Parameters as for `neighbour_correlation`."""

    def of(values: np.ndarray, weight: np.ndarray) -> np.ndarray:
        return (weight @ (values == values[neighbour]).astype(float)) / weight.sum(axis=1)

    return _figure(labels, groups, of, (0.0, 1.0), seed)


def share_in_cliffs(labels: np.ndarray, pairs: np.ndarray, least: float, groups: np.ndarray, seed: int) -> Figure:
    """The share of rows with a similar row whose label differs by ``least`` or more.

    Parameters
    ----------
    pairs : ndarray of shape (pairs, 2)
        Rows that are similar.
    """

    def of(values: np.ndarray, weight: np.ndarray) -> np.ndarray:
        steep = pairs[np.abs(values[pairs[:, 0]] - values[pairs[:, 1]]) >= least * (1 - 1e-9)]
        in_cliff = np.zeros(len(values))
        in_cliff[steep.ravel()] = 1
        return (weight @ in_cliff) / weight.sum(axis=1)

    return _figure(labels, groups, of, (0.0, 1.0), seed)


def _figure(
    labels: np.ndarray,
    groups: np.ndarray,
    of: Callable[[np.ndarray, np.ndarray], np.ndarray],
    bounds: tuple[float, float],
    seed: int,
) -> Figure:
    """A figure from a function of labels and of weights of the rows, of shape (weightings, n)."""
    once, weights = np.ones((1, len(labels))), group_weights(groups, seed, RESAMPLES)
    low, high = score_interval(of(labels, weights), groups, bounds=bounds)
    nulls = np.array([of(values, once)[0] for values in permuted(labels, seed)])
    count = len(np.unique(groups.astype(str)))
    return Figure(float(of(labels, once)[0]), low, high, nulls, len(labels), count)


def _correlation(x: np.ndarray, y: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Pearson's correlation under each weighting; NaN where one of the two does not vary. Shape (weightings,)."""
    total = weight.sum(axis=1)
    x, y = x - x.mean(), y - y.mean()
    mean_x, mean_y = weight @ x / total, weight @ y / total
    covariance = weight @ (x * y) / total - mean_x * mean_y
    variances = (weight @ x**2 / total - mean_x**2) * (weight @ y**2 / total - mean_y**2)
    with np.errstate(all="ignore"):
        return np.where(variances > 0, covariance / np.sqrt(variances), np.nan)
