"""Prediction intervals from residuals on rows the model was not trained on."""

from __future__ import annotations

import math

import numpy as np

DEFAULT_LEVEL = 0.9


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
