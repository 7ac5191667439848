"""How far measurements of one molecule differ, and so how good a score can be at best."""

from __future__ import annotations

from dataclasses import dataclass
from math import pi, sqrt

import numpy as np
import pandas as pd
from scipy.stats import chi2

from pipeline.evaluation.numbers import number

MIN_REPEATS = 5  # degrees of freedom from which on the noise is estimated at all
MOST_OF_ERROR = 0.1  # a margin is no larger share of the error that others are compared with
IDENTICAL = 0.5  # share of repeats without any spread from which on they are suspected to be one measurement


@dataclass(frozen=True)
class Noise:
    """What repeated measurements say of a single one.

    Attributes
    ----------
    deviation, low, high : float
        Standard deviation of one measurement, with its 95 % interval, in the target's units.
    repeated : int
        Rows of the table that are means of several values.
    identical : int
        Those of them whose values are all the same.
    """

    deviation: float
    low: float
    high: float
    repeated: int
    identical: int

    @property
    def doubtful(self) -> bool:
        """Whether so many repeats are identical that they may be one measurement, reported twice."""
        return self.identical >= IDENTICAL * self.repeated


def measurement_noise(frame: pd.DataFrame) -> Noise | None:
    """The pooled standard deviation of values that were merged; None where too few were.

    The interval is that of normal noise of the same size everywhere: the pooled variance times its degrees of freedom
    over the true one is chi-squared.

    Parameters
    ----------
    frame : DataFrame
        With the columns ``n_values`` and ``variance`` of a table.
    """
    several = frame[frame["n_values"] > 1]
    weight = several["n_values"] - 1
    degrees = int(weight.sum())
    if degrees < MIN_REPEATS:
        return None
    variance = float((weight * several["variance"]).sum() / degrees)
    low, high = (sqrt(degrees * variance / chi2.ppf(level, degrees)) for level in (0.975, 0.025))
    return Noise(sqrt(variance), low, high, len(several), int((several["variance"] == 0).sum()))


def noise_sentence(noise: Noise, units: str, rows_are: str) -> str:
    """What the repeats say, in words."""
    if not noise.deviation:
        return (
            f"{noise.repeated} {rows_are} were measured more than once (as far as the table tells them apart), with "
            "the same value each time. They may be single measurements reported twice: no noise can be estimated."
        )
    named = f" {units}" if units else ""
    doubt = (
        f"; {noise.identical} of them have the same value each time and may be one measurement reported twice, so that "
        "the noise may be larger"
        if noise.doubtful
        else ""
    )
    return (
        f"{noise.repeated} {rows_are} were measured more than once (as far as the table tells them apart), with a "
        f"standard deviation of {number(noise.deviation)}{named} [{number(noise.low)} to {number(noise.high)}]{doubt}."
    )


def negligible(noise: Noise, error: float) -> float:
    """The largest difference of two errors of no consequence: half the noise of a measurement by the lower end of its
    interval, and at most a tenth of the error that others are compared with; 0 where the repeats may be
    copies."""
    if noise.doubtful:
        return 0.0
    return min(noise.low / 2, MOST_OF_ERROR * error)


def best_scores(noise: Noise, truth: np.ndarray, n_values: np.ndarray) -> dict[str, float]:
    """The scores that a model without any error of its own has on measured labels: MAE, RMSE and R2.

    A label that is the mean of n values is off by a normal error of the noise over the root of n, of which the mean
    absolute size is the root of 2 / pi standard deviations.

    Parameters
    ----------
    truth : ndarray of shape (n,)
        The measured labels.
    n_values : ndarray of shape (n,)
        How many values each is the mean of.
    """
    deviations = noise.deviation / np.sqrt(np.maximum(n_values, 1))
    squared = float(np.mean(deviations**2))
    spread = float(np.var(truth))
    return {
        "mae": sqrt(2 / pi) * float(np.mean(deviations)),
        "rmse": sqrt(squared),
        "r2": 1 - squared / spread if spread else float("nan"),
    }
