"""How far probabilities are from the shares of right answers."""

from __future__ import annotations

import numpy as np

from pipeline.evaluation.detection import expected_calibration_error

LEAST_CHANCE = 1e-6  # of a true class, where a logarithmic loss is taken


def top_calibration_error(chances: np.ndarray, codes: np.ndarray) -> float:
    """Expected calibration error of the most probable class (`expected_calibration_error`).

    It is above zero for perfectly calibrated chances too, the more so the fewer the rows, and more so on bootstrap
    resamples: it is read against `perfect_calibration_error`, without an interval.
    """
    right, top = chances.argmax(axis=1) == codes, chances.max(axis=1)
    return float(expected_calibration_error(right, top, np.ones((1, len(top))))[0])


def perfect_calibration_error(chances: np.ndarray, simulations: int = 200) -> float:
    """What `top_calibration_error` is on average if the chances are the true ones."""
    rng, top = np.random.default_rng(0), chances.max(axis=1)
    once = np.ones((1, len(top)))
    return float(
        np.mean([expected_calibration_error(rng.random(len(top)) < top, top, once)[0] for _ in range(simulations)])
    )


def truth_losses(chances: np.ndarray, codes: np.ndarray) -> np.ndarray:
    """Minus the logarithm of the chance of each row's true class; chances below `LEAST_CHANCE` count as that.
    Shape (n,)."""
    losses: np.ndarray = -np.log(np.maximum(chances[np.arange(len(codes)), codes], LEAST_CHANCE))
    return losses
