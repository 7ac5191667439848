"""Learning curves: the law that describes one, and how many rows one arm needs for the error that another has.

The law is ``error = floor + scale * rows ** -exponent`` with a floor that is not below zero: what more rows of the same
kind can take away, and what they cannot (Hestness et al. 2017; Viering and Loog 2023 on where curves are no such law).
A curve that rises has a scale (or, with too few sizes for a floor, an exponent) below zero.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from sklearn.isotonic import isotonic_regression

from pipeline.evaluation.estimates import LEVEL, effective_degrees, widening

EXPONENTS = np.geomspace(0.02, 4.0, 160)  # tried; then again between the neighbours of the best one
FINER = 15
SIZES_FOR_A_FLOOR = 4  # with fewer there is nothing to tell a floor from a slower fall
LEAST = 1e-12
FARTHEST = 20.0  # of a draw from what was measured, as a logarithm: Student's t of two seeds has no end


def redrawn(scores: np.ndarray, groups: np.ndarray, seed: int) -> np.ndarray:
    """Mean errors over training seeds as other test groups and other seeds would have made them.

    Deviations are relative, so that errors stay above zero. Those of the groups are the resamples, widened as in
    `pipeline.evaluation.estimates`; those of the seeds are normal combinations of the seeds' deviations from their
    mean, which have the variance of that mean. Both are stretched to Student's t. One draw is shared by all leading
    axes: arms and sizes that go up and down together do so in the draws.

    Parameters
    ----------
    scores : ndarray of shape (..., seeds, 1 + resamples)
        Errors above zero on the same test rows; the first of each row of resamples is that of the rows as they are.
    groups : ndarray of shape (n,)
        The group of each test row.

    Returns
    -------
    ndarray of shape (..., 1 + resamples)
        The first is the mean as it was measured.
    """
    rng = np.random.default_rng(seed)
    seeds, resamples = scores.shape[-2], scores.shape[-1] - 1
    mean = np.maximum(scores.mean(axis=-2), LEAST)
    measured = mean[..., :1]
    of_groups = np.log(mean[..., 1:] / measured) * widening(groups)
    moved = of_groups * _stretch(rng, effective_degrees(groups), resamples)
    if seeds > 1:
        apart = scores[..., 0] / measured - 1
        drawn = rng.standard_normal((seeds, resamples)) / np.sqrt(seeds * (seeds - 1))
        moved = moved + apart @ drawn * _stretch(rng, seeds - 1, resamples)
    return np.concatenate([measured, measured * np.exp(np.clip(moved, -FARTHEST, FARTHEST))], axis=-1)


def _stretch(rng: np.random.Generator, degrees: float, n: int) -> np.ndarray:
    """What makes normal draws those of Student's t."""
    return np.sqrt(degrees / rng.chisquare(degrees, n))


@dataclass(frozen=True)
class Law:
    """``floor + scale * rows ** -exponent``, for each of several curves. Arrays of shape (curves,)."""

    floor: np.ndarray
    scale: np.ndarray
    exponent: np.ndarray

    def at(self, rows: float) -> np.ndarray:
        """The error with so many rows. Shape (curves,)."""
        return self.floor + self.scale * rows**-self.exponent

    @classmethod
    def fit(cls, sizes: np.ndarray, curves: np.ndarray) -> Law:
        """The laws of least squares of relative deviations, each size weighted by how well it is known.

        Deviations are relative to a first fit: to what was measured, they would count most where that is low by chance.

        Parameters
        ----------
        sizes : ndarray of shape (k,)
            At least two numbers of rows.
        curves : ndarray of shape (curves, k)
            The first as it was measured, the others as `redrawn`: their spread is how well a size is known.
        """
        spread = np.maximum(np.log(curves).std(axis=0), 0.01) if len(curves) > 2 else np.ones(len(sizes))
        level = isotonic_regression(curves[0], increasing=bool(curves[0, -1] > curves[0, 0]))
        found = cls._weighted(sizes, curves, 1 / (spread * level) ** 2)
        level = np.maximum([found.at(size)[0] for size in sizes], LEAST)
        return cls._weighted(sizes, curves, 1 / (spread * level) ** 2)

    @classmethod
    def _weighted(cls, sizes: np.ndarray, curves: np.ndarray, weights: np.ndarray) -> Law:
        """The laws of least squares with given weights. Shape (k,)."""
        with_floor = len(sizes) >= SIZES_FOR_A_FLOOR
        squares = _Squares(sizes, curves, weights, with_floor)
        tried = EXPONENTS if with_floor else np.r_[-EXPONENTS[::-1], EXPONENTS]
        best = np.argmin([squares.best(np.array([[one]]))[2] for one in tried], axis=0)
        below, above = tried[np.maximum(best - 1, 0)], tried[np.minimum(best + 1, len(tried) - 1)]
        between = np.linspace(below, above, FINER)
        found = [squares.best(one[:, None]) for one in between]
        chosen, every = np.argmin([loss for _, _, loss in found], axis=0), np.arange(len(curves))
        floors, scales = (np.array([one[part] for one in found]) for part in (0, 1))
        return cls(floors[chosen, every], scales[chosen, every], between[chosen, every])


class _Squares:
    """Weighted sums of squares of several curves at the same sizes, and the best law of a given exponent."""

    def __init__(self, sizes: np.ndarray, curves: np.ndarray, weights: np.ndarray, with_floor: bool) -> None:
        self.sizes, self.curves, self.weights, self.with_floor = sizes.astype(float), curves, weights, with_floor
        self.one, self.error = float(weights.sum()), curves @ weights

    def best(self, exponents: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Floor, scale and loss of each curve. The exponents of shape (curves or 1, 1), the others of (curves,)."""
        powers = self.sizes**-exponents
        power, squared = powers @ self.weights, powers**2 @ self.weights
        both = (powers * self.curves) @ self.weights
        floor = np.zeros(len(self.curves))
        if self.with_floor:
            apart = np.maximum(self.one * squared - power**2, LEAST * self.one * squared)
            floor = np.maximum((squared * self.error - power * both) / apart, 0.0)
        scale = (both - floor * power) / squared
        off = self.curves - floor[:, None] - scale[:, None] * powers
        return floor, scale, off**2 @ self.weights


def rows_needed(sizes: np.ndarray, curves: np.ndarray, errors: np.ndarray) -> np.ndarray:
    """With how many rows a curve has a given error: between two measured sizes, straight on logarithmic scales.

    A curve that goes up somewhere is first made the nearest one that does not (isotonic regression); where it is level
    at that error, it is the middle of the level part.

    Parameters
    ----------
    sizes : ndarray of shape (k,)
        Ascending.
    curves : ndarray of shape (b, k)
    errors : ndarray of shape (b,)

    Returns
    -------
    ndarray of shape (b,)
        0 where the smallest size does better than that, infinity where the largest one does not get there.
    """
    found = np.empty(len(curves))
    places = np.log(sizes)
    for row, (curve, error) in enumerate(zip(np.log(curves), np.log(errors), strict=True)):
        falling = isotonic_regression(curve, increasing=False)
        if error > falling[0] + 1e-9:
            found[row] = 0.0
        elif error < falling[-1] - 1e-9:
            found[row] = np.inf
        elif (level := np.isclose(falling, error, rtol=0, atol=1e-9)).any():
            found[row] = np.exp(places[level].mean())
        else:
            found[row] = np.exp(np.interp(-error, -falling, places))
    return found


def limits(draws: np.ndarray, level: float = LEVEL) -> tuple[float, float]:
    """The values between which so many of the draws lie; those at infinity count as the largest. Shape (b,) to two."""
    low, high = np.quantile(draws, [(1 - level) / 2, (1 + level) / 2], method="nearest")
    return float(low), float(high)
