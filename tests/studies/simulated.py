"""Arms whose learning curve is known: the nearest of n points on a circle is 1 / (2 (n + 1)) of the way round away."""

from __future__ import annotations

import numpy as np
from sklearn.base import BaseEstimator, RegressorMixin

SHARE = 0.4


def height(places):
    """What is to be predicted: it goes up and down once on the way round, with a slope of one."""
    return 0.5 - np.abs(np.asarray(places) - 0.5)


class Nearest(RegressorMixin, BaseEstimator):
    """The value of the nearest training point, of a share of them drawn by seed."""

    def __init__(self, share=1.0, seed=0):
        self.share, self.seed = share, seed

    def fit(self, X, y):
        kept = np.random.default_rng(self.seed).permutation(len(y))[: int(self.share * len(y))]
        self.places_, self.values_ = _places(X)[kept], np.asarray(y, dtype=float)[kept]
        return self

    def predict(self, X):
        apart = np.abs(_places(X)[:, None] - self.places_[None])
        return self.values_[np.minimum(apart, 1 - apart).argmin(axis=1)]


def _places(X):
    return np.array([float(text.split()[-1]) for text in X])


def nearest(task, seed):
    return Nearest(1.0, seed)


def nearest_of_some(task, seed):
    return Nearest(SHARE, seed)
