"""Resampling whole test groups, since the rows of a group are not independent."""

from __future__ import annotations

import numpy as np

RESAMPLES = 2_000
LEVEL = 0.95
MIN_GROUPS = 10


def group_weights(groups: np.ndarray, seed: int, resamples: int = RESAMPLES) -> np.ndarray:
    """How often each row stands in each bootstrap resample of the groups. Shape (resamples, n).

    The groups are taken in sorted order, so the result does not depend on the order of the rows.
    """
    labels, index = np.unique(np.asarray(groups).astype(str), return_inverse=True)
    rng = np.random.default_rng(seed)
    counts = rng.multinomial(len(labels), np.full(len(labels), 1.0 / len(labels)), size=resamples)
    return counts[:, index].astype(np.float64)


def interval(samples: np.ndarray, level: float = LEVEL) -> tuple[float, float]:
    """Percentile interval; NaN resamples (an undefined metric) are left out."""
    finite = samples[np.isfinite(samples)]
    if len(finite) < 0.5 * len(samples):
        return float("nan"), float("nan")
    low, high = np.quantile(finite, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def two_sided_p(differences: np.ndarray) -> float:
    """Two-sided bootstrap p-value of a difference of zero (Efron and Tibshirani 1993, ch. 16)."""
    finite = differences[np.isfinite(differences)]
    if not len(finite):
        return 1.0
    tail = min((finite <= 0).sum(), (finite >= 0).sum())
    return float(min(1.0, 2.0 * (tail + 1) / (len(finite) + 1)))


def holm(p_values: list[float]) -> list[float]:
    """Holm's step-down adjustment for several comparisons (Holm 1979)."""
    order = np.argsort(p_values)
    adjusted = np.empty(len(p_values))
    running = 0.0
    for rank, index in enumerate(order):
        running = max(running, (len(p_values) - rank) * p_values[index])
        adjusted[index] = min(1.0, running)
    return adjusted.tolist()
