"""In how many directions points vary locally, by the distances to their nearest neighbours.

Both estimators take points for a uniform sample of a manifold around each of them, so that the number of neighbours
within a distance grows with the power of the dimension. Both come out too low for ten dimensions and more unless there
are very many points, and both depend on the scale: on half of the points neighbours lie farther away.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from sklearn.metrics.pairwise import euclidean_distances

NEIGHBOURS = 10
MIN_POINTS = 50  # different ones; half of them still have NEIGHBOURS twice over
HALVES = 5
CENSORED = 0.1  # share of the largest ratios that TwoNN knows to be large and no more (Facco et al. 2017)
DECIMALS = 4  # of a coordinate; rows that agree in these are one point


@dataclass(frozen=True)
class Dimension:
    """Estimates of an intrinsic dimension.

    Attributes
    ----------
    estimates : dict
        By estimator and part of the points, such as ``"TwoNN, all rows"``.
    points : int
        Different points.
    tied : float
        Share of the points whose two nearest neighbours are equally far away: coordinates are whole numbers, or rows
        are regular, and TwoNN comes out too high.
    """

    estimates: dict[str, float]
    points: int
    tied: float

    @property
    def low(self) -> float:
        return min(self.estimates.values())

    @property
    def high(self) -> float:
        return max(self.estimates.values())

    @property
    def middle(self) -> float:
        """The geometric mean of the estimates."""
        return float(np.exp(np.mean(np.log(list(self.estimates.values())))))


def two_nn(distances: np.ndarray) -> float:
    """TwoNN (Facco, d'Errico, Rodriguez, Laio, Sci. Rep. 2017).

    The ratio of the distances to the second and the first neighbour has a Pareto distribution whose exponent is the
    dimension. It is fitted by maximum likelihood (Denti et al., Sci. Rep. 2022) with the largest tenth censored:
    ``(k - 1) / (sum of the k smallest log ratios + (n - k) times the largest of these)``.

    Parameters
    ----------
    distances : ndarray of shape (n, 2 or more)
        To the nearest neighbours of each point in rising order, none of them 0.
    """
    ratios = np.sort(np.log(distances[:, 1] / distances[:, 0]))
    n = len(ratios)
    kept = int(n * (1 - CENSORED))
    total = ratios[:kept].sum() + (n - kept) * ratios[kept - 1]
    return float((kept - 1) / total) if total > 0 else np.inf


def maximum_likelihood(distances: np.ndarray) -> float:
    """The estimator of Levina and Bickel (NeurIPS 2004), averaged as MacKay and Ghahramani (2005) say: the inverse of
    the mean of ``log(r_k / r_j)`` over all points and their neighbours j before the last one, k.

    Parameters
    ----------
    distances : ndarray of shape (n, k)
        As for `two_nn`.
    """
    mean = float(np.log(distances[:, -1:] / distances[:, :-1]).mean())
    return 1 / mean if mean > 0 else np.inf


ESTIMATORS = {"TwoNN": two_nn, "maximum likelihood": maximum_likelihood}


def distinct(points: np.ndarray) -> np.ndarray:
    """The different rows: a duplicate has a neighbour at distance 0, and would make the dimension 0. Shape (m, d)."""
    return np.unique(np.round(np.asarray(points, dtype=np.float64), DECIMALS), axis=0)


def intrinsic_dimension(points: np.ndarray, seed: int) -> Dimension | None:
    """`ESTIMATORS` on the different points and, as the mean of `HALVES` draws, on half of them.

    None where fewer than `MIN_POINTS` differ, or all neighbours are equally far away.

    Parameters
    ----------
    points : ndarray of shape (n, d)
        Compared by Euclidean distance.
    """
    points = distinct(points)
    if len(points) < MIN_POINTS:
        return None
    squared = euclidean_distances(points, squared=True)
    rng = np.random.default_rng(seed)
    near = _nearest(squared)
    halves = [_nearest(squared[np.ix_(half, half)]) for half in _halves(len(points), rng)]
    estimates = {}
    for name, estimator in ESTIMATORS.items():
        estimates[f"{name}, all rows"] = estimator(near)
        estimates[f"{name}, half of the rows"] = float(np.mean([estimator(half) for half in halves]))
    finite = {name: value for name, value in estimates.items() if np.isfinite(value)}  # none where all are equally far
    if not finite:
        return None
    return Dimension(finite, len(points), float((near[:, 1] - near[:, 0] < 1e-9 * near[:, 1]).mean()))


def gaussian_like(points: np.ndarray, seed: int) -> np.ndarray:
    """As many points as differ, from a normal distribution with their covariance: the null of a dimension, without any
    structure but which columns go together. Shape (m, d)."""
    points = distinct(points)
    centred = points - points.mean(axis=0)
    drawn = np.random.default_rng(seed).normal(size=(len(points), len(points)))
    return drawn @ centred / np.sqrt(max(1, len(points) - 1))


def _halves(n: int, rng: np.random.Generator) -> list[np.ndarray]:
    return [np.sort(rng.permutation(n)[: n // 2]) for _ in range(HALVES)]


def _nearest(squared: np.ndarray) -> np.ndarray:
    """Distances to the nearest neighbours in rising order. Shape (n, NEIGHBOURS)."""
    apart = squared.copy()
    np.fill_diagonal(apart, np.inf)
    near = np.sort(np.partition(apart, NEIGHBOURS - 1, axis=1)[:, :NEIGHBOURS], axis=1)
    return np.sqrt(np.maximum(near, (0.1 * 10.0**-DECIMALS) ** 2))  # rounding can make the least of them 0
