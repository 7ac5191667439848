"""Prediction intervals and calibrated chances, from predictions of rows that the model was not trained on."""

from __future__ import annotations

import math

import numpy as np
from scipy.optimize import minimize_scalar
from sklearn.isotonic import IsotonicRegression
from sklearn.model_selection import KFold, cross_val_predict

DEFAULT_LEVEL = 0.9
PARTS = 10
LEAST_SIZE = 0.2  # an expected error is at least this share of the mean one
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


def adaptive_radius(
    residuals: np.ndarray, difficulty: np.ndarray, new_difficulty: np.ndarray, level: float
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
    """
    sizes = np.abs(residuals)
    expected = IsotonicRegression(y_min=max(LEAST_SIZE * float(sizes.mean()), 1e-12), out_of_bounds="clip")
    parts = KFold(min(PARTS, len(sizes)), shuffle=True, random_state=0)
    of_others = cross_val_predict(expected, difficulty[:, None], sizes, cv=parts)
    return conformal_radius(residuals / of_others, level) * expected.fit(difficulty, sizes).predict(new_difficulty)


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
