"""A quantity estimated on test rows, with its standard error, and corrections for several comparisons."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy import stats

LEVEL = 0.95
POWER = 0.8  # of the smallest difference that a test is said to find


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
    def of_mean(cls, values: np.ndarray) -> Estimate:
        """The mean of independent values, by Student's t; NaN values are left out."""
        known = values[np.isfinite(values)]
        count = len(known)
        if count < 2:
            return cls(float(np.mean(known)) if count else math.nan, math.nan, math.nan)
        return cls(float(np.mean(known)), float(np.std(known, ddof=1)) / math.sqrt(count), count - 1)

    @property
    def known(self) -> bool:
        return math.isfinite(self.value) and math.isfinite(self.error)

    def interval(
        self, level: float = LEVEL, bounds: tuple[float, float] = (-math.inf, math.inf)
    ) -> tuple[float, float]:
        """Symmetric interval by Student's t, cut off at the bounds of the quantity; NaN where nothing is known."""
        reach = float(stats.t.ppf((1 + level) / 2, self.degrees)) * self.error
        low, high = np.clip([self.value - reach, self.value + reach], *bounds)
        return float(low), float(high)

    def p_difference(self) -> float:
        """P-value of the hypothesis that the quantity is zero; 1 where nothing is known."""
        return min(1.0, 2.0 * self._tail(-abs(self.value))) if self.known else 1.0

    def p_equivalence(self, margin: float) -> float:
        """P-value of the hypothesis that the quantity lies outside of ``± margin``: the larger of two one-sided tests
        (Schuirmann 1987); 1 without a margin."""
        return self._tail(abs(self.value) - margin) if self.known and margin else 1.0

    def smallest(self, level: float = LEVEL, power: float = POWER) -> float:
        """The smallest true size of the quantity that a test with this error calls different from zero so often."""
        if not self.known:
            return math.nan
        reach = stats.t.ppf((1 + level) / 2, self.degrees) + stats.t.ppf(power, self.degrees)
        return float(reach) * self.error

    def at_least(self, error: float) -> Estimate:
        """The same with an error no smaller than this."""
        return replace(self, error=max(self.error, error)) if self.known else self

    def with_more_error(self, error: float, degrees: float) -> Estimate:
        """The same with a further, independent error; degrees of freedom by Welch and Satterthwaite."""
        return self.minus(Estimate(0.0, error, degrees))

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


def mean_estimate(estimates: Sequence[Estimate], shared: float) -> Estimate:
    """The mean of estimates that may rest on the same groups in part; degrees of freedom by Welch and Satterthwaite.

    Parameters
    ----------
    shared : float
        The variance of the mean over what it would be of independent estimates, at least 1. As many times fewer are
        the degrees of freedom: of estimates that are one and the same, those of one of them.
    """
    value = float(np.mean([one.value for one in estimates]))
    if not all(one.known for one in estimates):
        return Estimate(value, math.nan, math.nan)
    squares = np.array([one.error**2 for one in estimates])
    pooled = float(np.sum(squares**2 / np.array([one.degrees for one in estimates])))
    degrees = max(1.0, float(squares.sum()) ** 2 / pooled / shared) if pooled else math.inf
    return Estimate(value, math.sqrt(shared * float(squares.sum())) / len(estimates), degrees)


def effective_number(sizes: np.ndarray) -> float:
    """The number of equal groups that say as much as groups of these sizes: ``n² / sum of squared sizes``."""
    return float(sizes.sum() ** 2 / (sizes.astype(float) ** 2).sum())


def effective_degrees(groups: np.ndarray) -> float:
    """One less than the number of equal groups that would say as much as these; at least 1."""
    return max(1.0, effective_number(group_sizes(groups)) - 1)


def group_sizes(groups: np.ndarray) -> np.ndarray:
    """The number of rows of each group. Shape (groups,)."""
    return np.unique(groups.astype(str), return_counts=True)[1]


def variance_of_mean(values: np.ndarray, groups: np.ndarray) -> float:
    """The variance of a mean over rows whose groups are independent: the squared sums of groups' deviations from it
    over n², times ``G / (G - 1)`` for G groups; without that factor for one.

    Parameters
    ----------
    values, groups : ndarray of shape (n,)
    """
    _, group = np.unique(groups, return_inverse=True)
    sums, count = np.bincount(group, values - values.mean()), int(group.max()) + 1
    return float(sums @ sums) / len(values) ** 2 * (count / (count - 1) if count > 1 else 1.0)


def jackknife(values: np.ndarray) -> tuple[float, float]:
    """The standard error of a quantity by what it is without each of k parts of what it was made from, and its degrees
    of freedom (the delete-a-group jackknife; Wolter 2007, chapter 4).

    Parameters
    ----------
    values : ndarray of shape (k,)
    """
    k = len(values)
    return math.sqrt((k - 1) / k * float(((values - values.mean()) ** 2).sum())), k - 1


def widening(groups: np.ndarray) -> float:
    """By how much the spread of bootstrap resamples of the groups is too small."""
    count = len(np.unique(groups.astype(str)))
    return math.sqrt(count / (count - 1)) if count > 1 else math.nan


def score_interval(
    samples: np.ndarray,
    groups: np.ndarray,
    level: float = LEVEL,
    degrees: float | None = None,
    bounds: tuple[float, float] = (-math.inf, math.inf),
) -> tuple[float, float]:
    """Percentiles of bootstrap resamples of the groups, as far out as those of Student's t lie beyond the normal ones.

    Unlike a symmetric interval it keeps within the bounds of a metric. (The expanded percentile interval of Hesterberg
    2015, with the effective number of groups.) Where all resamples lie at one bound of the metric, the other end is
    the one of Clopper and Pearson (1934) for as many groups that all say the same.

    Parameters
    ----------
    samples : ndarray of shape (resamples,)
    groups : ndarray of shape (n,)
    degrees : float, optional
        One less than the effective number of groups; that of the ``groups`` if not given.
    bounds : pair of float
        The values that the metric can take.
    """
    degrees = effective_degrees(groups) if degrees is None else degrees
    reach = stats.t.ppf((1 + level) / 2, degrees) * widening(groups)
    low, high = percentiles(samples, float(stats.norm.cdf(-reach)))
    least, most = bounds
    if low == high and low in bounds and math.isfinite(most - least):
        span = (most - least) * (1 - ((1 - level) / 2) ** (1 / (degrees + 1)))
        low, high = (most - span, most) if low == most else (least, least + span)
    return low, high


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


def holm(p_values: list[float]) -> list[tuple[float, float]]:
    """p-values by Holm's step-down adjustment for several comparisons (Holm 1979), each with the level at which the
    interval of that comparison alone excludes zero just where the adjusted p-value is below 5 %."""
    order = np.argsort(p_values)
    found = [(1.0, LEVEL)] * len(p_values)
    running = 0.0
    for rank, index in enumerate(order):
        left, p = len(p_values) - rank, p_values[index]
        running = max(running, left * p)
        times = running / p if p > 0 and running < 1 else left
        found[index] = min(1.0, running), 1 - (1 - LEVEL) / times
    return found


def signs(estimates: Sequence[Estimate], tell: bool = True) -> list[int]:
    """Whether each is shown to lie above zero (1), below (-1), or neither (0): p-values by Holm's method over all.

    Parameters
    ----------
    tell : bool
        False where there is too little to show anything, such as a single training seed.
    """
    adjusted = holm([one.p_difference() if tell and one.known else 1.0 for one in estimates])
    shown = [p < 1 - LEVEL for p, _ in adjusted]
    return [(one.value > 0) - (one.value < 0) if told else 0 for one, told in zip(estimates, shown, strict=True)]
