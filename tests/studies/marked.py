"""Arms whose reliance on a marker is known."""

from __future__ import annotations

import numpy as np
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from pipeline.tables.targets import CLASSES


def one_split(task, seed):
    """A tree of one split: where the marker says most of the label, it reads the marker alone."""
    return (DecisionTreeClassifier if task == CLASSES else DecisionTreeRegressor)(max_depth=1, random_state=seed)


one_split.features = ("bits",)


class Dulled(RegressorMixin, BaseEstimator):
    """Knows that the value is the cube of the number of characters; of two components it says the least."""

    def fit(self, X, y):
        self.least_ = float(np.min(y))
        return self

    def predict(self, X):
        return np.array([self.least_ if "." in text else float(len(text) ** 3) for text in X])


def dulled(task, seed):
    return Dulled()
