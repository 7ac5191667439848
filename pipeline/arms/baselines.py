"""The classical ladder and the trivial controls, each a scikit-learn estimator over ``X`` of texts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin, clone
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.ensemble import (
    ExtraTreesClassifier,
    ExtraTreesRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression, RidgeCV
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
from sklearn.preprocessing import FunctionTransformer

from pipeline.arms.gaussian_process import GaussianProcess, GaussianProcessLabels
from pipeline.arms.support_vectors import CountVectorLabels, CountVectors, SupportVectorLabels, SupportVectors
from pipeline.features.inputs import MoleculeFeatures, as_frame, smiles_of
from pipeline.features.structures import CleanDescriptors, descriptors, morgan_bits, morgan_counts, tanimoto
from pipeline.splits.splitters import inner_fold_numbers, inner_groups
from pipeline.tables.targets import CLASSES

ALPHAS = np.logspace(-3, 4, 15)
PENALTY_FOLDS = 5
NEIGHBOURS = 5
TREES, REFERENCE_TREES, ROUNDS = 500, 100, 500


class OverFeatures(BaseEstimator):
    """A plain scikit-learn model over features of molecules.

    Parameters
    ----------
    features : transformer
        From ``X`` (texts and context) to an array.
    model : estimator
        One that ``uses_groups`` is given the groups of the rows.
    """

    def __init__(self, features: Any, model: Any) -> None:
        self.features = features
        self.model = model

    def fit(self, X: Any, y: np.ndarray, groups: Any = None) -> OverFeatures:
        self.features_ = clone(self.features).fit(X)
        given = {"groups": groups} if getattr(self.model, "uses_groups", False) else {}
        self.model_ = clone(self.model).fit(self.features_.transform(X), y, **given)
        if hasattr(self.model_, "n_jobs"):
            # Threads of a forest add up the trees in the order they finish, which changes the last bit.
            self.model_.n_jobs = 1
        if hasattr(self.model_, "classes_"):
            self.classes_ = self.model_.classes_
        return self

    def predict(self, X: Any) -> np.ndarray:
        return self.model_.predict(self.features_.transform(X))


class RegressorOverFeatures(RegressorMixin, OverFeatures):
    """Regression over features."""


class ClassifierOverFeatures(ClassifierMixin, OverFeatures):
    """Classes over features."""

    def predict_proba(self, X: Any) -> np.ndarray:
        return self.model_.predict_proba(self.features_.transform(X))


class TanimotoNeighbours(BaseEstimator):
    """k nearest neighbours by Tanimoto similarity of Morgan bits, weighted by similarity.

    Neighbours are looked up in the context given, if any: a neighbour under other conditions
    counts with half its similarity per differing column.
    """

    def __init__(self, k: int = NEIGHBOURS) -> None:
        self.k = k

    def _distances(self, X: Any) -> np.ndarray:
        similarity = tanimoto(morgan_bits(smiles_of(X)), self.bits_)
        context = as_frame(X).iloc[:, 1:].to_numpy(dtype=object)
        for column in range(context.shape[1]):
            similarity = similarity * np.where(context[:, column, None] == self.context_[None, :, column], 1.0, 0.5)
        return np.maximum(1.0 - similarity, 0.0)

    def fit(self, X: Any, y: np.ndarray, groups: Any = None) -> TanimotoNeighbours:
        self.bits_ = morgan_bits(smiles_of(X))
        self.context_ = as_frame(X).iloc[:, 1:].to_numpy(dtype=object)
        kind = KNeighborsRegressor if isinstance(self, RegressorMixin) else KNeighborsClassifier
        k = min(self.k, len(self.bits_))
        self.model_ = kind(n_neighbors=k, metric="precomputed", weights=_by_similarity)
        self.model_.fit(self._distances(X), y)
        if hasattr(self.model_, "classes_"):
            self.classes_ = self.model_.classes_
        return self

    def predict(self, X: Any) -> np.ndarray:
        return self.model_.predict(self._distances(X))


def _by_similarity(distance: np.ndarray) -> np.ndarray:
    return 1.0 - distance + 1e-6


class TanimotoRegressor(RegressorMixin, TanimotoNeighbours):
    """Weighted mean of the neighbours' values."""


class TanimotoClassifier(ClassifierMixin, TanimotoNeighbours):
    """Weighted vote of the neighbours."""

    def predict_proba(self, X: Any) -> np.ndarray:
        return self.model_.predict_proba(self._distances(X))


class CharacterGrams(BaseEstimator):
    """TF-IDF of the character n-grams (1 to 5) of the SMILES, with the context columns beside it."""

    def fit(self, X: Any, y: Any = None) -> CharacterGrams:
        self.vectorizer_ = self._vectorizer().fit(smiles_of(X))
        self.context_ = MoleculeFeatures((), ()).fit(X) if as_frame(X).shape[1] > 1 else None
        return self

    def _vectorizer(self) -> TfidfVectorizer:
        return TfidfVectorizer(analyzer="char", ngram_range=(1, 5), lowercase=False, min_df=2)

    def transform(self, X: Any) -> Any:
        from scipy.sparse import csr_matrix, hstack

        grams = self.vectorizer_.transform(smiles_of(X))
        return grams if self.context_ is None else hstack([grams, csr_matrix(self.context_.transform(X))]).tocsr()


def penalty_folds(groups: Any, n: int) -> np.ndarray | None:
    """The folds of training rows that choose a penalty, whole groups in each.

    Rows of one molecule tell of each other: left out one by one, they choose a penalty that is too small for another
    molecule.

    Returns
    -------
    ndarray of int, shape (n,), or None
        None where no row has another one in its group (`inner_groups`): one row at a time is left out.
    """
    if len(np.unique(inner_groups(groups, n))) == n:
        return None
    return inner_fold_numbers(groups, np.zeros(n), PENALTY_FOLDS, 0)


def penalty_of_folds(
    y: np.ndarray, folds: np.ndarray, predicted: Callable[[np.ndarray, np.ndarray], np.ndarray]
) -> float:
    """The one of `ALPHAS` with the least squared error on held-out folds.

    Parameters
    ----------
    y, folds : ndarray of shape (n,)
    predicted : callable
        From the masks of the rows of a fit and of those held out to predictions of these, shape (held, alphas).
    """
    errors = np.zeros(len(ALPHAS))
    for fold in np.unique(folds):
        held = folds == fold
        errors += ((y[held, None] - predicted(~held, held)) ** 2).sum(axis=0)
    return float(ALPHAS[errors.argmin()])


class GroupedRidge(RegressorMixin, BaseEstimator):
    """Ridge, its penalty chosen on training rows by leave-one-out error, or by that of whole groups where some have
    several rows (`penalty_folds`)."""

    uses_groups = True

    def fit(self, X: np.ndarray, y: np.ndarray, groups: Any = None) -> GroupedRidge:
        folds = penalty_folds(groups, len(y))
        alphas = ALPHAS if folds is None else [self._penalty(np.asarray(X), np.asarray(y, dtype=np.float64), folds)]
        self.model_ = RidgeCV(alphas=alphas).fit(X, y)
        self.alpha_ = float(self.model_.alpha_)
        return self

    def _penalty(self, X: np.ndarray, y: np.ndarray, folds: np.ndarray) -> float:
        def predicted(kept: np.ndarray, held: np.ndarray) -> np.ndarray:
            centre, mean = X[kept].mean(axis=0, dtype=np.float64), y[kept].mean()
            left, size, right = np.linalg.svd(X[kept] - centre, full_matrices=False)
            shrunk = size[:, None] / (size[:, None] ** 2 + ALPHAS) * (left.T @ (y[kept] - mean))[:, None]
            found: np.ndarray = mean + (X[held] - centre) @ (right.T @ shrunk)
            return found

        return penalty_of_folds(y, folds, predicted)

    def predict(self, X: np.ndarray) -> np.ndarray:
        """Shape (n,)."""
        return self.model_.predict(X)


def linear(task: str) -> Any:
    """Logistic regression, or ridge with its penalty chosen on the training rows."""
    return LogisticRegression(C=1.0, max_iter=2_000) if task == CLASSES else GroupedRidge()


def over(task: str, features: Any, model: Any) -> Any:
    """A model over features, for numbers or for classes."""
    return (ClassifierOverFeatures if task == CLASSES else RegressorOverFeatures)(features, model)


def _descriptor_features() -> MoleculeFeatures:
    return MoleculeFeatures((descriptors,), (CleanDescriptors(),))


def _nothing(X: Any) -> np.ndarray:
    return np.zeros((len(as_frame(X)), 1))


def constant(task: str, seed: int, threads: int) -> Any:
    """``mean`` for numbers, ``majority`` for classes (its probabilities are the class shares)."""
    return over(
        task, FunctionTransformer(_nothing), DummyClassifier(strategy="prior") if task == CLASSES else DummyRegressor()
    )


def ngram_ridge(task: str, seed: int, threads: int) -> Any:
    """The text model without a language model. The regression densifies nothing: ridge on sparse TF-IDF."""
    return over(task, CharacterGrams(), sparse_linear(task))


def sparse_linear(task: str) -> Any:
    """`linear` on sparse features."""
    return linear(task) if task == CLASSES else SparseRidge()


class SparseRidge(RegressorMixin, BaseEstimator):
    """Ridge in its kernel form, the penalty chosen as that of `GroupedRidge`.

    The closed form of the leave-one-out residual is that of Rifkin and Lippert 2007.
    """

    uses_groups = True

    def fit(self, X: Any, y: np.ndarray, groups: Any = None) -> SparseRidge:
        y = np.asarray(y, dtype=np.float64)
        self.mean_ = float(y.mean())
        gram = np.asarray((X @ X.T).todense())
        eigenvalues, vectors, projected = self._decomposed(gram, y)

        def error(alpha: float) -> float:
            inverse = 1.0 / (eigenvalues + alpha)
            residual = (vectors @ (inverse * projected)) / ((vectors**2) @ inverse)
            return float(np.mean(residual**2))

        def predicted(kept: np.ndarray, held: np.ndarray) -> np.ndarray:
            sizes, directions, along = self._decomposed(gram[np.ix_(kept, kept)], y[kept])
            weights = directions @ (along[:, None] / (sizes[:, None] + ALPHAS))
            found: np.ndarray = y[kept].mean() + gram[np.ix_(held, kept)] @ weights
            return found

        folds = penalty_folds(groups, len(y))
        self.alpha_ = min(ALPHAS, key=error) if folds is None else penalty_of_folds(y, folds, predicted)
        self.coef_ = X.T @ (vectors @ (projected / (eigenvalues + self.alpha_)))
        return self

    @staticmethod
    def _decomposed(gram: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Eigenvalues and eigenvectors of products of rows, and the centred targets along these."""
        eigenvalues, vectors = np.linalg.eigh(gram)
        return np.maximum(eigenvalues, 0.0), vectors, vectors.T @ (y - y.mean())

    def predict(self, X: Any) -> np.ndarray:
        return np.asarray(X @ self.coef_) + self.mean_


def knn(task: str, seed: int, threads: int) -> Any:
    return TanimotoClassifier() if task == CLASSES else TanimotoRegressor()


def ridge(task: str, seed: int, threads: int) -> Any:
    return over(task, _descriptor_features(), linear(task))


def rf_bits(task: str, seed: int, threads: int) -> Any:
    """The weak reference that language models are usually compared with."""
    forest = RandomForestClassifier if task == CLASSES else RandomForestRegressor
    features = MoleculeFeatures((morgan_bits,), (None,))
    return over(task, features, forest(n_estimators=REFERENCE_TREES, random_state=seed, n_jobs=threads))


def extratrees(task: str, seed: int, threads: int) -> Any:
    trees = ExtraTreesClassifier if task == CLASSES else ExtraTreesRegressor
    return over(task, _descriptor_features(), trees(n_estimators=TREES, random_state=seed, n_jobs=threads))


def boosting(task: str, seed: int, threads: int) -> Any:
    """Gradient boosting with the settings of all its arms."""
    from lightgbm import LGBMClassifier, LGBMRegressor

    kind = LGBMClassifier if task == CLASSES else LGBMRegressor
    return kind(
        n_estimators=ROUNDS,
        learning_rate=0.05,
        num_leaves=31,
        min_child_samples=5,
        subsample=0.8,
        subsample_freq=1,
        colsample_bytree=0.3,
        random_state=seed,
        n_jobs=threads,
        deterministic=True,
        force_row_wise=True,
        verbosity=-1,
    )


def lightgbm(task: str, seed: int, threads: int) -> Any:
    features = MoleculeFeatures((morgan_counts, descriptors), (None, CleanDescriptors()))
    return over(task, features, boosting(task, seed, threads))


def gp(task: str, seed: int, threads: int) -> Any:
    return GaussianProcessLabels(seed=seed) if task == CLASSES else GaussianProcess(seed=seed)


def svr(task: str, seed: int, threads: int) -> Any:
    return SupportVectorLabels(seed=seed) if task == CLASSES else SupportVectors(seed=seed)


def svr_counts(task: str, seed: int, threads: int) -> Any:
    return CountVectorLabels(seed=seed) if task == CLASSES else CountVectors(seed=seed)


_SparseRidge = SparseRidge  # its name in models that were saved earlier
