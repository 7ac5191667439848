"""Prediction intervals and calibrated chances, from predictions of rows that the model was not trained on."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from scipy.optimize import minimize_scalar
from sklearn.isotonic import IsotonicRegression
from sklearn.model_selection import KFold

from pipeline.splits.splitters import inner_groups

DEFAULT_LEVEL = 0.9
PARTS = 10
LEAST_SIZE = 0.2  # an expected error is at least this share of the mean one
DISTANCE, SPREAD = "distance", "spread"
ONE_RADIUS = "one radius"
METHODS = {
    ONE_RADIUS: "the prediction plus or minus one number, the same for all",
    f"by {DISTANCE}": "wider the further a structure is from the nearest training structure (1 - Tanimoto similarity)",
    f"by {SPREAD}": "wider the more the members of the ensemble differ",
}
LEAST_TO_ADAPT = 40  # residuals
JUDGED_AT = (0.5, 0.8, 0.9)
CLEARLY, LEAST_GAIN = 2.0, 0.005  # standard errors; share of the score
COOLEST, HOTTEST = 0.05, 20.0


def conformal_radius(residuals: np.ndarray, level: float) -> float:
    """Half-width of an interval that covers a new value with probability ``level``.

    The ``ceil((n + 1) * level)``-th smallest absolute residual (split conformal prediction, Lei et
    al. 2018, section 2.2). The promise holds for molecules drawn like the calibration rows; under a
    shift it does not.

    Parameters
    ----------
    residuals : ndarray of shape (n,)
        Truth minus prediction on rows held out of training.
    level : float
        Between 0 and 1.

    Returns
    -------
    float
        Infinite if there are too few residuals for the level.
    """
    rank = math.ceil((len(residuals) + 1) * level)
    if rank > len(residuals):
        return math.inf
    return float(np.sort(np.abs(residuals))[rank - 1])


def conformal_sides(residuals: np.ndarray, level: float, by_side: bool) -> tuple[float, float]:
    """How far below and above a prediction an interval reaches that covers a new value with probability ``level``.

    Parameters
    ----------
    residuals : ndarray of shape (n,)
        Truth minus prediction on rows held out of training.
    by_side : bool
        Whether each side has a size of its own, from the residuals of its sign: half of the allowed misses lie on each
        (Linusson et al. 2014, signed-error conformal regression), and a prediction lies in its own interval. For models
        that err to one side; else `conformal_radius` for both.
    """
    if not by_side:
        radius = conformal_radius(residuals, level)
        return radius, radius
    one_sided = (1 + level) / 2
    below, above = (conformal_radius(np.maximum(sign * residuals, 0), one_sided) for sign in (-1, 1))
    return below, above


def adaptive_radius(
    residuals: np.ndarray,
    difficulty: np.ndarray,
    new_difficulty: np.ndarray,
    level: float,
    groups: np.ndarray | None = None,
) -> np.ndarray:
    """Half-widths that grow with the difficulty of a row. Shape (m,).

    The residuals over the error to be expected at their difficulty take the place of the residuals (normalised
    conformal prediction, Papadopoulos et al. 2011). What to expect is an isotonic regression of the absolute residuals,
    not less than a fifth of their mean; for a held-out row it comes from the others, or the intervals were too narrow.

    Parameters
    ----------
    residuals, difficulty : ndarray of shape (n,)
        Of rows held out of training; larger is more difficult.
    new_difficulty : ndarray of shape (m,)
    groups : ndarray of shape (n,), optional
        Rows whose errors are not independent share one: the others of a row are those of other groups.
    """
    of_others, of_new = expected_errors(residuals, difficulty, new_difficulty, groups)
    return conformal_radius(residuals / of_others, level) * of_new


def expected_errors(
    residuals: np.ndarray, difficulty: np.ndarray, new_difficulty: np.ndarray, groups: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """The absolute error to be expected of held-out rows, by those of other groups, and of new ones.

    Rows are by themselves without groups, or where one group has most of them. Shapes (n,) and (m,).
    """
    sizes = np.abs(residuals)
    group, names = pd.factorize(inner_groups(groups, len(sizes)))
    expected = IsotonicRegression(y_min=max(LEAST_SIZE * float(sizes.mean()), 1e-12), out_of_bounds="clip")
    of_others = np.empty(len(sizes))
    for _, part in KFold(min(PARTS, len(names)), shuffle=True, random_state=0).split(names):
        held = np.isin(group, part)
        of_others[held] = expected.fit(difficulty[~held], sizes[~held]).predict(difficulty[held])
    return of_others, expected.fit(difficulty, sizes).predict(new_difficulty)


def interval_score(errors: np.ndarray, radius: np.ndarray, level: float) -> np.ndarray:
    """Width of the interval, and 2 / (1 - level) times how far outside of it the truth lies. Shape (n,).

    Less is better; intervals of the true quantiles have the least on average (Gneiting and Raftery 2007, equation 43).
    """
    return 2 * radius + 2 / (1 - level) * np.maximum(np.abs(errors) - radius, 0)


def interval_method(residuals: np.ndarray, signals: Mapping[str, np.ndarray], groups: np.ndarray) -> str:
    """Which of `METHODS` the residuals themselves ask for.

    Half-widths follow the signal that betters the `interval_score` most (`score_gain`), if it does so by more than two
    standard errors and half a percent; else, and with fewer than 40 residuals, there is one radius. The order of the
    rows does not matter. The threshold comes from Lipophilicity and B3DB logBB: below it new molecules gained nothing.

    Parameters
    ----------
    residuals : ndarray of shape (n,)
        Of rows held out of training.
    signals : mapping of str to ndarray of shape (n,)
        By `DISTANCE` or `SPREAD`; larger is more difficult.
    groups : ndarray of shape (n,)
        Rows whose errors are not independent share one.
    """
    if len(residuals) < LEAST_TO_ADAPT:
        return ONE_RADIUS
    gains = {name: score_gain(residuals, difficulty, groups) for name, difficulty in signals.items()}
    clear = {name: gain for name, (gain, error) in gains.items() if gain > max(CLEARLY * error, LEAST_GAIN)}
    return f"by {max(clear, key=lambda name: clear[name])}" if clear else ONE_RADIUS


def score_gain(residuals: np.ndarray, difficulty: np.ndarray, groups: np.ndarray) -> tuple[float, float]:
    """By how much `adaptive_radius` betters the interval score of one radius, and the standard error of that.

    As a share of the score of one radius, a mean over the levels 0.5, 0.8 and 0.9. Each row's half-widths come from
    the other parts of the residuals, so that a difficulty that says nothing costs what it does on new rows. The
    standard error takes groups as drawn, not rows. ``(0, inf)`` where too few residuals are left for a level.
    """
    better = np.zeros(len(residuals))
    for level, radii in zip(JUDGED_AT, radii_of_others(residuals, difficulty, groups, JUDGED_AT), strict=True):
        if not np.isfinite(radii).all():
            return 0.0, math.inf
        fixed, adaptive = (interval_score(residuals, radius, level) for radius in radii)
        better += (fixed - adaptive) / (max(float(fixed.mean()), 1e-12) * len(JUDGED_AT))
    _, codes = np.unique(groups, return_inverse=True)
    of_groups = np.bincount(codes, weights=better - better.mean())
    return float(better.mean()), float(np.sqrt((of_groups**2).sum()) / len(better))


def radii_of_others(
    residuals: np.ndarray, difficulty: np.ndarray, groups: np.ndarray, levels: Sequence[float]
) -> np.ndarray:
    """Half-widths of each row by `conformal_radius` and by `adaptive_radius` over the other parts.

    Infinite where too few residuals are left. Shape (levels, 2, n).
    """
    order = np.lexsort((np.abs(residuals), difficulty))  # whatever the order of the rows
    residuals, difficulty, groups = residuals[order], difficulty[order], groups[order]
    parts = _parts(residuals, difficulty, groups)
    radii = np.full((len(levels), 2, len(order)), np.inf)
    for part in range(parts.max() + 1):
        held, kept = parts == part, parts != part
        if kept.sum() < 2:
            continue
        of_others, of_held = expected_errors(residuals[kept], difficulty[kept], difficulty[held], groups[kept])
        for number, level in enumerate(levels):
            radii[number, 0, order[held]] = conformal_radius(residuals[kept], level)
            radii[number, 1, order[held]] = conformal_radius(residuals[kept] / of_others, level) * of_held
    return radii


def _parts(residuals: np.ndarray, difficulty: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """Ten parts of whole groups, dealt in the order of their mean difficulty. Shape (n,)."""
    _, codes, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    size, hardness = (np.bincount(codes, weights=values) / sizes for values in (np.abs(residuals), difficulty))
    number = np.empty(len(sizes), dtype=int)
    number[np.lexsort((size, hardness))] = np.arange(len(sizes)) % PARTS
    return number[codes]


def calibrated_coverage(
    residuals: np.ndarray,
    signals: Mapping[str, np.ndarray],
    groups: np.ndarray,
    method: str,
    level: float = DEFAULT_LEVEL,
) -> list[float]:
    """Coverage in each quarter of distance by ``method``, each row's interval from the others; empty for few rows."""
    if len(residuals) < LEAST_TO_ADAPT:
        return []
    difficulty = signals.get(method.removeprefix("by "), signals[DISTANCE])
    ((fixed, adaptive),) = radii_of_others(residuals, difficulty, groups, [level])
    return coverage_by_quarter(residuals, fixed if method == ONE_RADIUS else adaptive, signals[DISTANCE])


def coverage_by_quarter(residuals: np.ndarray, radius: np.ndarray, distance: np.ndarray) -> list[float]:
    """Share of rows inside of their interval, in each quarter of the rows by distance, the nearest first.

    Empty where so many rows are of one distance that a quarter has none.
    """
    quarters = quarters_of(distance)
    inside = np.abs(residuals) <= radius
    return [float(inside[quarter].mean()) for quarter in quarters] if quarters.any(axis=1).all() else []


def within(ends: np.ndarray, possible: tuple[float, float], predicted: np.ndarray) -> np.ndarray:
    """Ends of intervals that leave out what no true value can be, but not a prediction that lies there. Shape (n,)."""
    low, high = possible
    return np.clip(ends, np.minimum(low, predicted), np.maximum(high, predicted))


def quarters_of(distance: np.ndarray) -> np.ndarray:
    """Which rows lie in each quarter by distance, the nearest first; rows of one distance in one. Shape (4, n)."""
    number = np.searchsorted(np.quantile(distance, [0.25, 0.5, 0.75]), distance)
    return number == np.arange(4)[:, None]


def temperature(chances: np.ndarray, codes: np.ndarray) -> float:
    """The temperature at which chances have the least logarithmic loss (Guo et al. 2017, section 4.2).

    Parameters
    ----------
    chances : ndarray of shape (n, classes)
        Of rows held out of training.
    codes : ndarray of int, shape (n,)
        The true classes.
    """

    def loss(logarithm: float) -> float:
        scaled = at_temperature(chances, math.exp(logarithm))
        return -float(np.log(np.maximum(scaled[np.arange(len(codes)), codes], 1e-12)).mean())

    bounds = (math.log(COOLEST), math.log(HOTTEST))
    return math.exp(float(minimize_scalar(loss, bounds=bounds, method="bounded").x))


def at_temperature(chances: np.ndarray, heat: float) -> np.ndarray:
    """Chances nearer to one another (over 1) or further apart (under 1); their order stays. Shape (n, classes)."""
    logits = np.log(np.maximum(chances, 1e-6)) / heat
    raised = np.exp(logits - logits.max(axis=1, keepdims=True))
    return raised / raised.sum(axis=1, keepdims=True)
