"""The classical ladder over compositions."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, RegressorMixin, clone
from sklearn.ensemble import ExtraTreesClassifier, ExtraTreesRegressor

from pipeline.arms import baselines
from pipeline.arms.gaussian_process import GaussianProcess, GaussianProcessLabels
from pipeline.features.compositions import element_shares, element_statistics
from pipeline.features.inputs import MoleculeFeatures, smiles_of
from pipeline.features.structures import CleanDescriptors
from pipeline.tables.targets import CLASSES

LEAST_FLOOR = 0.1  # share of the rows with the most frequent value, from which on that is a class of its own


class CompositionGaussianProcess(GaussianProcess):
    """The sum of a Tanimoto kernel on the shares of elements and an RBF on statistics over their properties."""

    def _features(self) -> Any:
        return _statistics()

    def _blocks(self, X: Any) -> tuple[np.ndarray, np.ndarray]:
        return element_shares(smiles_of(X)), self.features_.transform(X)


class CompositionGaussianProcessLabels(GaussianProcessLabels):
    """Its classes, as `GaussianProcessLabels` makes them."""

    def _member(self) -> GaussianProcess:
        return CompositionGaussianProcess(seed=self.seed)


class TwoPart(RegressorMixin, BaseEstimator):
    """A number that is often exactly one value, such as a band gap of 0: first whether it is, then how large.

    Where that value is more probable than not it is the prediction, which is the median; else what a regression over
    the other rows says. Without a value that `LEAST_FLOOR` of the rows have it is that regression over all rows.

    Parameters
    ----------
    gate, model : estimators
        A classifier and a regression.
    """

    def __init__(self, gate: Any, model: Any) -> None:
        self.gate = gate
        self.model = model

    def fit(self, X: np.ndarray, y: np.ndarray) -> TwoPart:
        value, count = Counter(np.asarray(y).tolist()).most_common(1)[0]
        rest = np.asarray(y) != value
        self.floor_ = float(value)
        self.gated_ = bool(count >= LEAST_FLOOR * len(y) and rest.sum() > 1)
        if self.gated_:
            self.gate_ = clone(self.gate).fit(X, rest)
        self.model_ = clone(self.model).fit(X[rest] if self.gated_ else X, y[rest] if self.gated_ else y)
        return self

    def predict(self, X: np.ndarray) -> np.ndarray:
        found = self.model_.predict(X)
        return np.where(self.gate_.predict_proba(X)[:, 1] < 0.5, self.floor_, found) if self.gated_ else found


def _statistics() -> MoleculeFeatures:
    return MoleculeFeatures((element_statistics,), (CleanDescriptors(),))


def fractions_ridge(task: str, seed: int, threads: int) -> Any:
    return baselines.over(task, MoleculeFeatures((element_shares,), (None,)), baselines.linear(task))


def magpie_extratrees(task: str, seed: int, threads: int) -> Any:
    kind = ExtraTreesClassifier if task == CLASSES else ExtraTreesRegressor
    return baselines.over(task, _statistics(), kind(n_estimators=baselines.TREES, random_state=seed, n_jobs=threads))


def magpie_lightgbm(task: str, seed: int, threads: int) -> Any:
    features = MoleculeFeatures((element_shares, element_statistics), (None, CleanDescriptors()))
    return baselines.over(task, features, baselines.boosting(task, seed, threads))


def magpie_gp(task: str, seed: int, threads: int) -> Any:
    return (CompositionGaussianProcessLabels if task == CLASSES else CompositionGaussianProcess)(seed=seed)


def magpie_two_part(task: str, seed: int, threads: int) -> Any:
    options: dict[str, Any] = {"n_estimators": baselines.TREES, "random_state": seed, "n_jobs": threads}
    model = TwoPart(ExtraTreesClassifier(**options), ExtraTreesRegressor(**options))
    return baselines.over(task, _statistics(), model)
