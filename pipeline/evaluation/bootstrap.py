"""Resampling whole test groups, since the rows of a group are not independent."""

from __future__ import annotations

import numpy as np

from pipeline.evaluation.estimates import LEVEL, percentiles

RESAMPLES = 2_000
MIN_GROUPS = 10


def group_draws(groups: np.ndarray, seed: int, resamples: int = RESAMPLES) -> tuple[np.ndarray, np.ndarray]:
    """Bootstrap resamples of the groups: how often each was drawn, shape (resamples, groups), and each row's group.

    The groups are taken in sorted order, so the result does not depend on the order of the rows.
    """
    labels, index = np.unique(np.asarray(groups).astype(str), return_inverse=True)
    rng = np.random.default_rng(seed)
    return rng.multinomial(len(labels), np.full(len(labels), 1.0 / len(labels)), size=resamples), index


def group_weights(groups: np.ndarray, seed: int, resamples: int = RESAMPLES) -> np.ndarray:
    """How often each row stands in each bootstrap resample of the groups. Shape (resamples, n)."""
    counts, index = group_draws(groups, seed, resamples)
    return counts[:, index].astype(np.float64)


def interval(samples: np.ndarray, level: float = LEVEL) -> tuple[float, float]:
    """Percentile interval; NaN resamples (an undefined metric) are left out."""
    return percentiles(samples, (1 - level) / 2)
