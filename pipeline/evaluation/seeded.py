"""A metric that is the mean over training seeds on one test set: its error, and an interval within its bounds."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np
from scipy import stats

from pipeline.evaluation.bootstrap import MIN_GROUPS
from pipeline.evaluation.estimates import LEVEL, Estimate, effective_degrees
from pipeline.evaluation.numbers import Interval

Bounds = tuple[float, float]
SHARE: Bounds = (0.0, 1.0)
APART: Bounds = (-1.0, 1.0)  # of the difference of two shares
UNBOUNDED: Bounds = (-math.inf, math.inf)


def over_seeds(per_seed: Sequence[np.ndarray], groups: np.ndarray) -> Estimate:
    """The mean over training seeds, its error from resampled test groups and from the spread of the seeds.

    The test groups are the same for all seeds. Their part of the variance is that of the mean over seeds in resamples
    of whole groups, widened as in `Estimate.over_groups`; that of the seeds is ``s² / seeds`` with one degree of
    freedom less than there are seeds. Both are added, which counts the noise of rows within seeds in both parts and so
    errs to the wide side; the degrees of freedom are those of Welch and Satterthwaite. One seed says nothing of its
    own spread: the error is then that of the groups alone.

    Parameters
    ----------
    per_seed : sequence of ndarray of shape (1 + resamples,)
        One per training seed, on the same resamples; the first value is on the rows as they are.
    groups : ndarray of shape (n,)
        The groups of the rows that the metric rests on (`rests_on`).
    """
    stacked = np.stack(per_seed)
    mean = stacked.mean(axis=0)
    if not len(groups):
        return Estimate(float(mean[0]), math.nan, math.nan)
    of_groups = Estimate.over_groups(float(mean[0]), mean[1:], groups)
    if len(stacked) < 2 or not of_groups.known:
        return of_groups
    spread = float(stacked[:, 0].std(ddof=1)) / math.sqrt(len(stacked))
    return of_groups.with_more_error(spread, len(stacked) - 1)


def of_one_pool(per_seed: np.ndarray, share: float) -> np.ndarray:
    """A quantity by training seed, each trained on its own draw of such a share of one pool of rows, for `over_seeds`.

    The more of the pool the seeds draw the more they have in common: their deviations from the mean are stretched by
    the root of 1 / (1 - share), as for samples of a finite population (Cochran 1977).

    Parameters
    ----------
    per_seed : ndarray of shape (seeds, 1 + resamples)
    """
    mean: np.ndarray = per_seed.mean(axis=0)
    return mean + (per_seed - mean) / math.sqrt(1 - share)


def pseudo_values(whole: np.ndarray, without: np.ndarray) -> np.ndarray:
    """A quantity of several models together by what each contributes, of which `over_seeds` takes the mean: the
    jackknife's pseudo-values (Tukey 1958).

    Parameters
    ----------
    whole : ndarray of shape (1 + resamples,)
    without : ndarray of shape (models, 1 + resamples)
        The quantity of all models but one.
    """
    count = len(without)
    return count * whole - (count - 1) * without


def rarer(positive: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """The groups of the rows of that of two classes which has fewer (effective) groups."""
    parts = groups[positive], groups[~positive]
    return min(parts, key=effective_groups)


def effective_groups(groups: np.ndarray) -> float:
    """How many groups of equal size would say as much as these; 0 of no rows."""
    several = len(np.unique(groups.astype(str))) > 1
    return effective_degrees(groups) + 1 if several else float(len(groups) > 0)


def too_few(groups: np.ndarray) -> bool:
    """Whether these are fewer (effective) groups than a claim needs."""
    return effective_groups(groups) < MIN_GROUPS


def bounded_interval(
    estimate: Estimate, bounds: Bounds, groups: np.ndarray, level: float = LEVEL
) -> tuple[float, float]:
    """Student's t on a scale without bounds: the logit between two of them, the logarithm from one; NaN if not known.

    The error goes to that scale by its slope at the value. A value on a bound of a `SHARE` has no spread that resamples
    could show; its interval is the exact one of Clopper and Pearson (1934) for as many trials as there are effective
    groups, none of which went the other way. So it is with two shares that differ in no row: in neither direction did
    any trial go.

    Parameters
    ----------
    groups : ndarray of shape (n,)
        The groups of the rows that the metric rests on.
    """
    value, (lower, upper) = estimate.value, bounds
    if not estimate.known:
        return math.nan, math.nan
    unseen = 1 - ((1 - level) / 2) ** (1 / effective_groups(groups))
    if bounds == SHARE and value in bounds:
        return (0.0, unseen) if value == 0 else (1 - unseen, 1.0)
    if bounds == APART and value == 0 and estimate.error == 0:
        return -unseen, unseen
    if bounds == APART and value in bounds:  # all against none: each share may be as far from its bound as above
        return (1 - 2 * unseen, 1.0) if value > 0 else (-1.0, 2 * unseen - 1)
    if bounds == UNBOUNDED or estimate.error == 0 or value in bounds:
        low, high = estimate.interval(level)
        return max(low, lower), min(high, upper)
    reach = float(stats.t.ppf((1 + level) / 2, estimate.degrees)) * estimate.error
    below, above = value - lower, upper - value
    with np.errstate(over="ignore"):
        if math.isinf(above):
            return lower + below * math.exp(-reach / below), lower + below * float(np.exp(reach / below))
        if math.isinf(below):
            return upper - above * float(np.exp(reach / above)), upper - above * math.exp(-reach / above)
        slope = (upper - lower) / (below * above)
        odds = below / above * np.exp(np.array([-reach, reach]) * slope)
    low, high = (upper - (upper - lower) / (1 + odds)).tolist()
    return low, high


def interval_over_seeds(per_seed: Iterable[np.ndarray], groups: np.ndarray, bounds: Bounds) -> Interval:
    """The mean over training seeds as `over_seeds` has it, with its `bounded_interval`."""
    found = over_seeds(list(per_seed), groups)
    return found.value, *bounded_interval(found, bounds, groups)
