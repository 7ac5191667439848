"""Gaussian processes over count fingerprints (Tanimoto) and descriptors (RBF)."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.linalg import cho_factor, cho_solve, solve_triangular
from scipy.optimize import minimize
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.linear_model import LogisticRegression

from pipeline.features.inputs import MoleculeFeatures
from pipeline.features.structures import CleanDescriptors, descriptors, morgan_counts, tanimoto

EXACT_ROWS = 5_000
HYPERPARAMETER_ROWS = 1_500
LANDMARKS = 2_500
_BOUNDS = [(-6.0, 3.0), (-6.0, 3.0), (-2.0, 3.0), (-7.0, 1.0)]
_START = np.array([0.0, -1.0, 0.5, -2.0])


def squared_distances(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Mean squared difference per column between rows. Shape (n_a, n_b)."""
    total = (a * a).sum(axis=1)[:, None] + (b * b).sum(axis=1)[None, :] - 2.0 * a @ b.T
    return np.maximum(total, 0.0) / max(a.shape[1], 1)


def _kernel(theta: np.ndarray, similarity: np.ndarray, distance: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The two parts of the covariance: exp(theta0) * Tanimoto and exp(theta1) * RBF(length exp(theta2))."""
    return np.exp(theta[0]) * similarity, np.exp(theta[1] - 0.5 * distance * np.exp(-2.0 * theta[2]))


def _negative_evidence(
    theta: np.ndarray, similarity: np.ndarray, distance: np.ndarray, y: np.ndarray
) -> tuple[float, np.ndarray]:
    """Negative log marginal likelihood and its gradient (Rasmussen and Williams 2006, eq. 5.8-5.9)."""
    n = len(y)
    by_tanimoto, by_rbf = _kernel(theta, similarity, distance)
    noise = np.exp(theta[3])
    covariance = by_tanimoto + by_rbf
    covariance[np.diag_indices(n)] += noise + 1e-8
    try:
        factor = cho_factor(covariance, lower=True)
    except np.linalg.LinAlgError:
        return 1e10, np.zeros_like(theta)
    inverse = cho_solve(factor, np.eye(n))
    alpha = inverse @ y
    value = 0.5 * y @ alpha + np.log(np.diag(factor[0])).sum() + 0.5 * n * np.log(2 * np.pi)
    outer = inverse - np.outer(alpha, alpha)
    rbf_slope = by_rbf * distance * np.exp(-2.0 * theta[2])
    gradient = 0.5 * np.array(
        [(outer * by_tanimoto).sum(), (outer * by_rbf).sum(), (outer * rbf_slope).sum(), noise * np.trace(outer)]
    )
    return float(value), gradient


class GaussianProcess(RegressorMixin, BaseEstimator):
    """Exact GP regression with the sum of a Tanimoto kernel on Morgan counts and an RBF on descriptors.

    Hyperparameters maximise the marginal likelihood, on at most ``hyperparameter_rows`` random
    training rows. Past ``exact_rows`` training rows the posterior is that of the subset of
    regressors with ``landmarks`` random landmark rows (Rasmussen and Williams 2006, section 8.3.1).

    Parameters
    ----------
    seed : int
        For the choice of rows.
    """

    def __init__(
        self,
        seed: int = 0,
        exact_rows: int = EXACT_ROWS,
        hyperparameter_rows: int = HYPERPARAMETER_ROWS,
        landmarks: int = LANDMARKS,
    ) -> None:
        self.seed = seed
        self.exact_rows = exact_rows
        self.hyperparameter_rows = hyperparameter_rows
        self.landmarks = landmarks

    def fit(self, X: Any, y: np.ndarray, groups: Any = None) -> GaussianProcess:
        y = np.asarray(y, dtype=np.float64)
        self.features_ = self._features().fit(X)
        self.counts_, self.scaled_ = self._blocks(X)
        self.mean_, self.scale_ = float(y.mean()), float(y.std()) or 1.0
        z = (y - self.mean_) / self.scale_
        rng = np.random.default_rng(self.seed)
        rows = rng.permutation(len(z))[: self.hyperparameter_rows]
        inner = self.counts_[rows], self.scaled_[rows]
        similarity, distance = self._pairs(inner, inner)
        best = minimize(
            _negative_evidence,
            _START,
            args=(similarity, distance, z[rows]),
            jac=True,
            method="L-BFGS-B",
            bounds=_BOUNDS,
            options={"maxiter": 60},
        )
        self.theta_ = best.x
        if len(z) > self.exact_rows:
            self._solve_with_landmarks(z, rng)
        else:
            covariance = np.add(*_kernel(self.theta_, *self._between(self.counts_, self.scaled_)))
            covariance[np.diag_indices(len(z))] += np.exp(self.theta_[3]) + 1e-8
            self.factor_ = np.linalg.cholesky(covariance)
            self.alpha_ = cho_solve((self.factor_, True), z)
        return self

    def _features(self) -> Any:
        """What becomes the columns under the RBF."""
        return MoleculeFeatures((descriptors,), (CleanDescriptors(),))

    def _blocks(self, X: Any) -> tuple[np.ndarray, np.ndarray]:
        from pipeline.features.inputs import smiles_of

        return morgan_counts(smiles_of(X)), self.features_.transform(X)

    def _pairs(
        self, a: tuple[np.ndarray, np.ndarray], b: tuple[np.ndarray, np.ndarray]
    ) -> tuple[np.ndarray, np.ndarray]:
        """Similarity (1 for rows that are alike) and squared distance (0) between blocks of rows. Shapes (n_a, n_b)."""
        return tanimoto(a[0], b[0]).astype(np.float64), squared_distances(a[1], b[1])

    def _between(self, counts: np.ndarray, scaled: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return self._pairs((counts, scaled), (self.counts_, self.scaled_))

    def _solve_with_landmarks(self, z: np.ndarray, rng: np.random.Generator) -> None:
        counts, scaled = self.counts_, self.scaled_
        chosen = np.sort(rng.permutation(len(z))[: self.landmarks])
        self.counts_, self.scaled_ = counts[chosen], scaled[chosen]
        cross = np.add(*_kernel(self.theta_, *self._between(counts, scaled)))
        inner = np.add(*_kernel(self.theta_, *self._between(self.counts_, self.scaled_)))
        system = cross.T @ cross + np.exp(self.theta_[3]) * (inner + 1e-6 * np.eye(len(chosen)))
        self.factor_ = np.linalg.cholesky(system)
        self.alpha_ = cho_solve((self.factor_, True), cross.T @ z)
        self.approximate_ = True

    def predict(self, X: Any, return_std: bool = False) -> Any:
        """Posterior mean of shape (n,), and with ``return_std`` the standard deviation of a new measurement."""
        counts, scaled = self._blocks(X)
        cross = np.add(*_kernel(self.theta_, *self._between(counts, scaled)))
        mean = self.mean_ + self.scale_ * (cross @ self.alpha_)
        if not return_std:
            return mean
        half = solve_triangular(self.factor_, cross.T, lower=True)
        noise = np.exp(self.theta_[3])
        if getattr(self, "approximate_", False):
            variance = noise * (half**2).sum(axis=0) + noise
        else:
            variance = np.exp(self.theta_[0]) + np.exp(self.theta_[1]) - (half**2).sum(axis=0) + noise
        return mean, self.scale_ * np.sqrt(np.maximum(variance, 1e-12))


class GaussianProcessLabels(ClassifierMixin, BaseEstimator):
    """GP classification by least squares: one GP per class on its indicator, then a calibrated link.

    Least-squares classification with a GP is the approximation of Rasmussen and Williams 2006,
    section 6.5. The posterior means of held-out rows (two-fold, within the training rows) are turned into
    probabilities by a multinomial logistic regression (Platt scaling where there are two classes). The
    folds keep groups together unless one has most of the rows.
    """

    def __init__(self, seed: int = 0) -> None:
        self.seed = seed

    def fit(self, X: Any, y: np.ndarray, groups: Any = None) -> GaussianProcessLabels:
        from pipeline.features.inputs import as_frame
        from pipeline.splits.splitters import inner_fold_numbers

        frame, y = as_frame(X), np.asarray(y)
        self.classes_ = np.unique(y)
        halves = inner_fold_numbers(groups, y, 2, self.seed)
        scores = np.zeros((len(y), self._n_scores()))
        for half in (0, 1):
            members = self._fit_members(frame[halves != half], y[halves != half])
            scores[halves == half] = self._scores(members, frame[halves == half])
        self.link_ = LogisticRegression(C=10.0).fit(scores, y)
        self.members_ = self._fit_members(frame, y)
        return self

    def _n_scores(self) -> int:
        return 1 if len(self.classes_) == 2 else len(self.classes_)

    def _fit_members(self, X: Any, y: np.ndarray) -> list[GaussianProcess]:
        positive = self.classes_[-self._n_scores() :]
        return [self._member().fit(X, np.where(y == label, 1.0, -1.0)) for label in positive]

    def _member(self) -> GaussianProcess:
        return GaussianProcess(seed=self.seed)

    @staticmethod
    def _scores(members: list[GaussianProcess], X: Any) -> np.ndarray:
        return np.column_stack([member.predict(X) for member in members])

    def predict_proba(self, X: Any) -> np.ndarray:
        return self.link_.predict_proba(self._scores(self.members_, X))

    def predict(self, X: Any) -> np.ndarray:
        return self.classes_[self.predict_proba(X).argmax(axis=1)]
