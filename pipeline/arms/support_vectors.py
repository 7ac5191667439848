"""Support vector machines over molecules; folds within the training rows choose their settings."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import product
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.svm import SVC, SVR

from pipeline.arms.gaussian_process import squared_distances
from pipeline.features.inputs import MoleculeFeatures, as_frame
from pipeline.features.structures import (
    FINGERPRINT_SIZE,
    CleanDescriptors,
    descriptors,
    morgan_counts,
    tanimoto,
)
from pipeline.splits.splitters import inner_fold_numbers

GAMMAS = (0.1, 0.3, 1.0, 2.0)  # of the mean squared difference per descriptor, about 2 between two molecules
COSTS = (1.0, 4.0, 16.0, 64.0)
TUBES = (0.1, 0.02, 0.3)  # epsilon in standard deviations of the target; the first while gamma and C are chosen
FOLDS = 5
GRID_ROWS = 1_500
PART_ROWS = 5_000
MOST_ITERATIONS = 200_000  # of libsvm in one fit, which needs thousands; by itself it would go on to ten million
Setting = tuple[float, float, float]
Machine = dict[str, Any]
Kernel = Callable[[float, np.ndarray, np.ndarray], np.ndarray]


def settings_tried(gammas: Sequence[float] = GAMMAS) -> list[Setting]:
    """Gamma, C and epsilon of the first round: each gamma with each C."""
    return [(gamma, cost, TUBES[0]) for gamma, cost in product(gammas, COSTS)]


def _kernel(gamma: float, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.exp(-gamma * squared_distances(a, b))


class OnDescriptors:
    """What machines are over, and the kernel between rows of that: an RBF on descriptors and the context columns."""

    def _features(self) -> MoleculeFeatures:
        return MoleculeFeatures((descriptors,), (CleanDescriptors(),))

    def _kernel(self, gamma: float, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        """Shape (n_a, n_b)."""
        return _kernel(gamma, a, b)

    def _gammas(self, rows: np.ndarray) -> tuple[float, ...]:
        """Those that are tried on rows of these columns."""
        return GAMMAS


class OnCounts(OnDescriptors):
    """Tanimoto similarity of Morgan counts, times an RBF on the context columns where there are any.

    The similarity is that of `gp`, a.b / (a.a + b.b - a.b), which is a kernel (Ralaivola et al. 2005) and has no width
    to choose; gamma is that of the context.
    """

    def _features(self) -> MoleculeFeatures:
        return MoleculeFeatures((morgan_counts,), (None,))

    def _kernel(self, gamma: float, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        similarity = tanimoto(a[:, :FINGERPRINT_SIZE], b[:, :FINGERPRINT_SIZE]).astype(np.float64)
        return similarity * _kernel(gamma, a[:, FINGERPRINT_SIZE:], b[:, FINGERPRINT_SIZE:])

    def _gammas(self, rows: np.ndarray) -> tuple[float, ...]:
        return GAMMAS if rows.shape[1] > FINGERPRINT_SIZE else GAMMAS[:1]


class SupportVectors(RegressorMixin, OnDescriptors, BaseEstimator):
    """Support vector regression on standardised, imputed and clipped descriptors, and the context columns.

    Gamma and C, then epsilon, are those with the least mean absolute error on held-out groups of the training rows
    (five folds over at most ``grid_rows`` of them). Past ``part_rows`` training rows the prediction is the mean of
    machines for equal random parts, so that the cost grows with the rows and not with their square (as Zhang, Duchi
    and Wainwright 2015 do for kernel ridge regression).

    Parameters
    ----------
    seed : int
        For the folds, the choice of rows and the parts.
    """

    def __init__(self, seed: int = 0, grid_rows: int = GRID_ROWS, part_rows: int = PART_ROWS) -> None:
        self.seed = seed
        self.grid_rows = grid_rows
        self.part_rows = part_rows

    def fit(self, X: Any, y: np.ndarray, groups: Any = None) -> SupportVectors:
        y = np.asarray(y, dtype=np.float64)
        self.mean_, self.scale_ = float(y.mean()), float(y.std()) or 1.0
        target = (y - self.mean_) / self.scale_
        self.features_ = self._features().fit(X)
        rows = self.features_.transform(X)
        rng = np.random.default_rng(self.seed)
        order = rng.permutation(len(y))
        some = np.sort(order[: self.grid_rows])
        folds = inner_fold_numbers(groups, np.zeros(len(y)), FOLDS, self.seed)[some]

        def error(setting: Setting) -> float:
            held_out = _held_out(SVR, setting, rows[some], target[some], folds, self.part_rows, self._kernel)
            return float(np.abs(held_out - target[some]).mean())

        gamma, cost, _ = _least(error, settings_tried(self._gammas(rows)))
        self.setting_ = _least(error, [(gamma, cost, tube) for tube in TUBES])
        self.machines_ = _machines(SVR, self.setting_, rows[order], target[order], self.part_rows, self._kernel)
        return self

    def predict(self, X: Any) -> np.ndarray:
        """Shape (n,)."""
        rows = self.features_.transform(X)
        return self.mean_ + self.scale_ * _scores(self.machines_, self.setting_, rows, self._kernel)


class SupportVectorLabels(ClassifierMixin, OnDescriptors, BaseEstimator):
    """Support vector classification on the same columns, one class against the others, then a calibrated link.

    Gamma and C are those with the least log loss on held-out groups. Scores of held-out training rows are turned into
    probabilities by a multinomial logistic regression (Platt scaling where there are two classes). Rows are bounded
    as in `SupportVectors`; every class has a row or more among those on which the settings are chosen.
    """

    def __init__(self, seed: int = 0, grid_rows: int = GRID_ROWS, part_rows: int = PART_ROWS) -> None:
        self.seed = seed
        self.grid_rows = grid_rows
        self.part_rows = part_rows

    def fit(self, X: Any, y: np.ndarray, groups: Any = None) -> SupportVectorLabels:
        y = np.asarray(y)
        self.classes_ = np.unique(y)
        positive = self.classes_[1:] if len(self.classes_) == 2 else self.classes_
        targets = [np.where(y == label, 1.0, -1.0) for label in positive]
        self.features_ = self._features().fit(X)
        rows = self.features_.transform(X)
        order = np.random.default_rng(self.seed).permutation(len(y))
        first_of_class = order[np.unique(y[order], return_index=True)[1]]
        some = np.union1d(order[: self.grid_rows], first_of_class)
        folds = inner_fold_numbers(groups, y, FOLDS, self.seed)

        def held_out(setting: Setting, used: np.ndarray) -> np.ndarray:
            found = [
                _held_out(SVC, setting, rows[used], t[used], folds[used], self.part_rows, self._kernel) for t in targets
            ]
            return np.column_stack(found)

        def loss(setting: Setting) -> float:
            scores = held_out(setting, some)
            return float(log_loss(y[some], _link(scores, y[some]).predict_proba(scores), labels=self.classes_))

        self.setting_ = _least(loss, settings_tried(self._gammas(rows)))
        self.link_ = _link(held_out(self.setting_, np.arange(len(y))), y)
        self.machines_ = [
            _machines(SVC, self.setting_, rows[order], t[order], self.part_rows, self._kernel) for t in targets
        ]
        return self

    def predict_proba(self, X: Any) -> np.ndarray:
        """Shape (n, classes)."""
        rows = self.features_.transform(as_frame(X))
        return self.link_.predict_proba(
            np.column_stack([_scores(machines, self.setting_, rows, self._kernel) for machines in self.machines_])
        )

    def predict(self, X: Any) -> np.ndarray:
        return self.classes_[self.predict_proba(X).argmax(axis=1)]


class CountVectors(OnCounts, SupportVectors):
    """`SupportVectors` with the Tanimoto kernel on Morgan counts."""


class CountVectorLabels(OnCounts, SupportVectorLabels):
    """`SupportVectorLabels` with the Tanimoto kernel on Morgan counts."""


def _link(scores: np.ndarray, y: np.ndarray) -> LogisticRegression:
    return LogisticRegression(C=10.0, max_iter=1_000).fit(scores, y)


def _least(loss: Callable[[Setting], float], settings: Sequence[Setting]) -> Setting:
    """The setting of least loss, of equal ones the first."""
    return min(settings, key=loss)


def _held_out(
    kind: type[SVR] | type[SVC],
    setting: Setting,
    rows: np.ndarray,
    target: np.ndarray,
    folds: np.ndarray,
    part_rows: int,
    kernel: Kernel = _kernel,
) -> np.ndarray:
    """Scores of all rows, each by machines for the rows of the other folds. Shape (n,)."""
    scores = np.zeros(len(target))
    for fold in np.unique(folds):
        held = folds == fold
        machines = _machines(kind, setting, rows[~held], target[~held], part_rows, kernel)
        scores[held] = _scores(machines, setting, rows[held], kernel)
    return scores


def _machines(
    kind: type[SVR] | type[SVC],
    setting: Setting,
    rows: np.ndarray,
    target: np.ndarray,
    part_rows: int,
    kernel: Kernel = _kernel,
) -> list[Machine]:
    """A fitted machine for each of the fewest equal parts that are small enough; rows far apart share a part."""
    parts = max(1, -(-len(rows) // part_rows))
    return [_machine(kind, setting, rows[part::parts], target[part::parts], kernel) for part in range(parts)]


def _machine(
    kind: type[SVR] | type[SVC], setting: Setting, rows: np.ndarray, target: np.ndarray, kernel: Kernel = _kernel
) -> Machine:
    """The support vectors, their weights and the intercept: all that a prediction needs."""
    if not len(target) or target.min() == target.max():  # such as a class that these rows lack
        return {"rows": rows[:0], "weights": np.zeros(0), "intercept": float(target[0]) if len(target) else 0.0}
    gamma, cost, tube = setting
    extra = {"epsilon": tube} if kind is SVR else {}
    model = kind(kernel="precomputed", C=cost, cache_size=500, max_iter=MOST_ITERATIONS, **extra)
    model.fit(kernel(gamma, rows, rows), target)
    return {"rows": rows[model.support_], "weights": model.dual_coef_[0], "intercept": float(model.intercept_[0])}


def _scores(machines: Sequence[Machine], setting: Setting, rows: np.ndarray, kernel: Kernel = _kernel) -> np.ndarray:
    """Mean score of machines. Shape (n,)."""
    found = [kernel(setting[0], rows, part["rows"]) @ part["weights"] + part["intercept"] for part in machines]
    return np.mean(np.stack(found), axis=0)
