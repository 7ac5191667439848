"""A quantity estimated on test rows, with its standard error: from resampled groups, or from repeated divisions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

LEVEL = 0.95


@dataclass(frozen=True)
class Estimate:
    """A value with a standard error of so many degrees of freedom."""

    value: float
    error: float
    degrees: float

    @classmethod
    def over_groups(cls, value: float, samples: np.ndarray, groups: np.ndarray) -> Estimate:
        """A quantity on one test set, its error from bootstrap resamples of whole groups.

        The spread of the resamples is widened by ``sqrt(G / (G - 1))`` for G groups, and Student's t has one degree of
        freedom less than the effective number of groups, ``n² / sum of squared group sizes``. Percentiles of the
        resamples alone call equal arms different in 9 % of tests on twelve groups (`scripts/null_rates.py`).

        Parameters
        ----------
        samples : ndarray of shape (resamples,)
        groups : ndarray of shape (n,)
            The group of each test row.
        """
        finite = defined(samples)
        if not len(finite) or not np.isfinite(value):
            return cls(value, math.nan, math.nan)
        return cls(value, float(finite.std()) * widening(groups), effective_degrees(groups))

    @classmethod
    def over_divisions(cls, values: np.ndarray, dependence: float) -> Estimate:
        """The mean of a quantity over repeated divisions of the same rows, which are not independent.

        The variance of the mean is that of the values times ``1 / divisions + dependence`` instead of
        ``1 / divisions`` (the corrected resampled t of Nadeau and Bengio 2003; Bouckaert and Frank 2004 for repeated
        folds). It is a heuristic; `tests/evaluation/test_nulls.py` holds it to its level.

        Parameters
        ----------
        values : ndarray of shape (divisions,)
            NaN where the quantity is undefined.
        dependence : float
            As `dependence_of` finds it.
        """
        known = values[np.isfinite(values)]
        count = len(known)
        if count < 2 or not math.isfinite(dependence):
            return cls(float(np.mean(known)) if count else math.nan, math.nan, math.nan)
        variance = float(np.var(known, ddof=1)) * (1 / count + dependence)
        return cls(float(np.mean(known)), math.sqrt(variance), count - 1)

    @property
    def known(self) -> bool:
        return math.isfinite(self.value) and math.isfinite(self.error)

    def interval(self, level: float = LEVEL) -> tuple[float, float]:
        """Symmetric interval by Student's t; NaN where nothing is known."""
        reach = float(stats.t.ppf((1 + level) / 2, self.degrees)) * self.error
        return self.value - reach, self.value + reach

    def p_difference(self) -> float:
        """P-value of the hypothesis that the quantity is zero; 1 where nothing is known."""
        return min(1.0, 2.0 * self._tail(-abs(self.value))) if self.known else 1.0

    def p_equivalence(self, margin: float) -> float:
        """P-value of the hypothesis that the quantity lies outside of ``± margin``: the larger of two one-sided tests
        (Schuirmann 1987); 1 without a margin."""
        return self._tail(abs(self.value) - margin) if self.known and margin else 1.0

    def _tail(self, distance: float) -> float:
        if self.error == 0:  # the same in every resample or division
            return float(distance >= 0)
        return float(stats.t.cdf(distance / self.error, self.degrees))

    def minus(self, other: Estimate) -> Estimate:
        """The difference of two independent estimates; degrees of freedom by Welch and Satterthwaite."""
        squares = self.error**2, other.error**2
        pooled = squares[0] ** 2 / self.degrees + squares[1] ** 2 / other.degrees
        degrees = sum(squares) ** 2 / pooled if pooled else math.inf
        return Estimate(self.value - other.value, math.sqrt(sum(squares)), degrees)


def dependence_of(tested: Sequence[Sequence[str]], pool: int) -> float:
    """How far divisions depend on one another, as a ratio of variances.

    For test sets drawn from all rows it is ``test rows / other rows`` (Nadeau and Bengio 2003). Where a large group can
    never be tested, the test sets are drawn from the rest and overlap more: with a mean overlap r of two of them, the
    correlation of their scores is about r and the ratio ``r / (1 - r)``. The larger of the two is taken; infinite where
    all divisions test the same rows.

    Parameters
    ----------
    tested : sequence of sequences of row ids
        The test rows of each division.
    pool : int
        Rows that are divided.
    """
    rows = {row: place for place, row in enumerate(dict.fromkeys(row for ids in tested for row in ids))}
    member = np.zeros((len(tested), len(rows)), dtype=np.float32)
    for division, ids in enumerate(tested):
        member[division, [rows[row] for row in ids]] = 1.0
    sizes = member.sum(axis=1)
    shared = (member @ member.T) / np.sqrt(np.outer(sizes, sizes))
    overlap = float(shared[~np.eye(len(tested), dtype=bool)].mean()) if len(tested) > 1 else 1.0
    drawn = float(np.mean(sizes / np.maximum(pool - sizes, 1)))
    return max(drawn, overlap / (1 - overlap)) if overlap < 1 - 1e-6 else math.inf


def effective_degrees(groups: np.ndarray) -> float:
    """One less than the number of equal groups that would say as much as these; at least 1."""
    sizes = np.unique(groups.astype(str), return_counts=True)[1]
    return max(1.0, float(sizes.sum() ** 2 / (sizes.astype(float) ** 2).sum()) - 1)


def widening(groups: np.ndarray) -> float:
    """By how much the spread of bootstrap resamples of the groups is too small."""
    count = len(np.unique(groups.astype(str)))
    return math.sqrt(count / (count - 1)) if count > 1 else math.nan


def score_interval(samples: np.ndarray, groups: np.ndarray, level: float = LEVEL) -> tuple[float, float]:
    """Percentiles of bootstrap resamples of the groups, as far out as those of Student's t lie beyond the normal ones.

    Unlike a symmetric interval it keeps within the bounds of a metric. (The expanded percentile interval of Hesterberg
    2015, with the effective number of groups.)
    """
    reach = stats.t.ppf((1 + level) / 2, effective_degrees(groups)) * widening(groups)
    return percentiles(samples, float(stats.norm.cdf(-reach)))


def defined(samples: np.ndarray) -> np.ndarray:
    """The resamples in which a metric is defined; none of them where these are fewer than half."""
    finite = samples[np.isfinite(samples)]
    return finite if len(finite) >= 0.5 * len(samples) else finite[:0]


def percentiles(samples: np.ndarray, tail: float) -> tuple[float, float]:
    """The values between which all resamples lie but for this share on either side; NaN where nothing is known."""
    finite = defined(samples)
    if not len(finite) or not math.isfinite(tail):
        return math.nan, math.nan
    low, high = np.quantile(finite, [tail, 1 - tail])
    return float(low), float(high)


def holm(p_values: list[float]) -> list[float]:
    """Holm's step-down adjustment for several comparisons (Holm 1979)."""
    order = np.argsort(p_values)
    adjusted = np.empty(len(p_values))
    running = 0.0
    for rank, index in enumerate(order):
        running = max(running, (len(p_values) - rank) * p_values[index])
        adjusted[index] = min(1.0, running)
    return adjusted.tolist()
