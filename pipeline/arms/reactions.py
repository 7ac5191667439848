"""Baselines and controls for reactions, each a scikit-learn estimator over ``X`` of reactions."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin, TransformerMixin
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor
from sklearn.feature_selection import VarianceThreshold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder

from pipeline.arms import baselines
from pipeline.arms.gaussian_process import GaussianProcess, GaussianProcessLabels, squared_distances
from pipeline.features.inputs import MoleculeFeatures, ReactionColumns, as_frame, smiles_of
from pipeline.features.structures import differential_bits, morgan_counts, tanimoto
from pipeline.tables.targets import CLASSES

BARCODE_LENGTH = 8
TREES = 300
DIFFERENTIAL, COMPONENTS, ONE_HOT, BARCODES = "differential", "components", "one-hot", "barcodes"
CONTEXT = "(context)"


class ReactionFeatures(TransformerMixin, BaseEstimator):
    """Features of reactions: of one kind, with the context columns behind them.

    Parameters
    ----------
    kind : {"differential", "components", "one-hot", "barcodes"}
        Differential reaction fingerprint of the reaction SMILES; Morgan counts (radius 2) of each component side by
        side, those that are names one-hot encoded; every component one-hot encoded; or a random vector for each
        value of a component, that carries nothing but which one it is.
    columns : ReactionColumns
    """

    def __init__(self, kind: str, columns: ReactionColumns) -> None:
        self.kind = kind
        self.columns = columns

    def fit(self, X: Any, y: Any = None) -> ReactionFeatures:
        frame = as_frame(X)
        hot = {ONE_HOT: self.columns.components, COMPONENTS: self.columns.names}.get(self.kind, ())
        self.encoders_ = {
            name: OneHotEncoder(handle_unknown="ignore", sparse_output=False).fit(frame[[name]]) for name in hot
        }
        rest = self.columns.without(X)
        self.context_ = MoleculeFeatures((), ()).fit(rest) if rest.shape[1] > 1 else None
        return self

    def blocks(self, X: Any) -> dict[str, np.ndarray]:
        """The features of each component, or of the whole reaction, by name. Shapes (n, .)."""
        frame = as_frame(X)
        if self.kind == DIFFERENTIAL:
            found = {DIFFERENTIAL: differential_bits(smiles_of(X))}
        else:
            found = {name: self._component(name, frame) for name in self.columns.components}
        if self.context_ is not None:
            found[CONTEXT] = self.context_.transform(self.columns.without(X))
        return {name: np.asarray(block, dtype=np.float32) for name, block in found.items()}

    def _component(self, name: str, frame: pd.DataFrame) -> np.ndarray:
        if name in self.encoders_:
            return self.encoders_[name].transform(frame[[name]])
        if self.kind == BARCODES:
            return np.stack([barcode(name, value) for value in frame[name]])
        return component_counts(frame[name])

    def transform(self, X: Any) -> np.ndarray:
        """Shape (n, number of features), float32."""
        return np.hstack(list(self.blocks(X).values()))


def component_counts(values: Any) -> np.ndarray:
    """Morgan counts of a component of each reaction, zeros where it is absent. Shape (n, 2048)."""
    distinct = sorted({str(value) for value in values} - {""})
    counts = dict(zip(distinct, morgan_counts(distinct), strict=True)) if distinct else {}
    nothing = np.zeros_like(morgan_counts(["C"])[0])
    return np.stack([counts.get(str(value), nothing) for value in values])


def barcode(component: str, value: str) -> np.ndarray:
    """A random vector that belongs to one value of one component, the same in every run. Shape (8,)."""
    digest = hashlib.sha256(f"{component}\0{value}".encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:8], "big")).normal(size=BARCODE_LENGTH).astype(np.float32)


class Popularity(BaseEstimator):
    """How well each component did on average: the mean, over the components, of the mean target of its value.

    A value's mean is drawn towards the mean of all training rows as if one more row had that; a value that was not
    seen has it whole. Nothing is known of structures, nor of how components act together.

    Parameters
    ----------
    columns : ReactionColumns
    """

    def __init__(self, columns: ReactionColumns) -> None:
        self.columns = columns

    def _fit_means(self, X: Any, targets: np.ndarray) -> None:
        frame = as_frame(X)
        self.mean_ = targets.mean(axis=0)
        self.means_: dict[str, dict[str, np.ndarray]] = {}
        for name in self.columns.components:
            values = frame[name].to_numpy(dtype=object)
            self.means_[name] = {
                str(value): (targets[values == value].sum(axis=0) + self.mean_) / (np.sum(values == value) + 1)
                for value in sorted(set(values))
            }

    def _average(self, X: Any) -> np.ndarray:
        frame = as_frame(X)
        parts = [
            np.stack([self.means_[name].get(str(value), self.mean_) for value in frame[name]])
            for name in self.columns.components
        ]
        return np.mean(parts, axis=0)


class PopularityRegressor(RegressorMixin, Popularity):
    """Mean yields."""

    def fit(self, X: Any, y: np.ndarray, groups: Any = None) -> PopularityRegressor:
        self._fit_means(X, np.asarray(y, dtype=np.float64)[:, None])
        return self

    def predict(self, X: Any) -> np.ndarray:
        return self._average(X)[:, 0]


class PopularityClassifier(ClassifierMixin, Popularity):
    """Mean shares of the classes."""

    def fit(self, X: Any, y: np.ndarray, groups: Any = None) -> PopularityClassifier:
        self.classes_, codes = np.unique(np.asarray(y), return_inverse=True)
        self._fit_means(X, np.eye(len(self.classes_))[codes])
        return self

    def predict_proba(self, X: Any) -> np.ndarray:
        return self._average(X)

    def predict(self, X: Any) -> np.ndarray:
        return self.classes_[self.predict_proba(X).argmax(axis=1)]


class ReactionGaussianProcess(GaussianProcess):
    """A GP over reactions.

    Its kernel is the mean of the Tanimoto similarities T of the components (for names: whether they are the same),
    which adds up what each component does, and the product over the components of ``exp(-(1 - T) / (2 l^2))``, in which
    two reactions are alike where all of their components are; numbers of a context come into the product as an RBF.
    The second is positive definite since T is: it is the exponential of a kernel, times a constant. Differential
    fingerprints are one component.

    Parameters
    ----------
    kind : {"differential", "components"}
    columns : ReactionColumns
    seed : int
        For the choice of rows.
    """

    def __init__(self, kind: str, columns: ReactionColumns, seed: int = 0) -> None:
        super().__init__(seed=seed)
        self.kind = kind
        self.columns = columns

    def _features(self) -> Any:
        return ReactionFeatures(self.kind, self.columns)

    def _blocks(self, X: Any) -> tuple[np.ndarray, np.ndarray]:
        blocks = self.features_.blocks(X)
        dense = blocks.pop(CONTEXT, np.zeros((len(as_frame(X)), 1)))
        self.ends_ = np.cumsum([block.shape[1] for block in blocks.values()])
        return np.hstack(list(blocks.values())), dense

    def _pairs(
        self, a: tuple[np.ndarray, np.ndarray], b: tuple[np.ndarray, np.ndarray]
    ) -> tuple[np.ndarray, np.ndarray]:
        starts = [0, *self.ends_[:-1]]
        similar = np.zeros((len(a[0]), len(b[0])))
        for start, end in zip(starts, self.ends_, strict=True):
            similar += tanimoto(a[0][:, start:end], b[0][:, start:end])
        return similar / len(self.ends_), len(self.ends_) - similar + squared_distances(a[1], b[1])


class ReactionGaussianProcessLabels(GaussianProcessLabels):
    """Its classes, as `GaussianProcessLabels` makes them."""

    def __init__(self, kind: str, columns: ReactionColumns, seed: int = 0) -> None:
        super().__init__(seed=seed)
        self.kind = kind
        self.columns = columns

    def _member(self) -> GaussianProcess:
        return ReactionGaussianProcess(self.kind, self.columns, self.seed)


class VaryingFeatures(VarianceThreshold):
    """The features that differ between training rows; all of them where none does."""

    def fit(self, X: np.ndarray, y: Any = None) -> VaryingFeatures:
        if np.ptp(X, axis=0).any():
            return super().fit(X, y)
        self.n_features_in_, self.variances_ = X.shape[1], np.ones(X.shape[1])
        return self


def _over(task: str, kind: str, columns: ReactionColumns, model: Any) -> Any:
    features = make_pipeline(ReactionFeatures(kind, columns), VaryingFeatures())
    return baselines.over(task, features, model)


def _forest(task: str, seed: int, threads: int, share: float = 1 / 3) -> Any:
    """A random forest; each split of a regression tree looks at this share of the features."""
    if task == CLASSES:
        return RandomForestClassifier(n_estimators=TREES, max_features="sqrt", random_state=seed, n_jobs=threads)
    return RandomForestRegressor(n_estimators=TREES, max_features=share, random_state=seed, n_jobs=threads)


def _on_forest(
    task: str, seed: int, threads: int, columns: ReactionColumns, features: str, share: float = 1 / 3
) -> Any:
    return _over(task, features, columns, _forest(task, seed, threads, share))


def _process(task: str, seed: int, columns: ReactionColumns, features: str) -> Any:
    return (ReactionGaussianProcessLabels if task == CLASSES else ReactionGaussianProcess)(features, columns, seed)


def constant(task: str, seed: int, threads: int, columns: ReactionColumns) -> Any:
    return baselines.constant(task, seed, threads)


def popularity(task: str, seed: int, threads: int, columns: ReactionColumns) -> Any:
    return (PopularityClassifier if task == CLASSES else PopularityRegressor)(columns)


def ngram_ridge(task: str, seed: int, threads: int, columns: ReactionColumns) -> Any:
    """The text model without a language model, over reaction SMILES."""
    inner = baselines.ngram_ridge(task, seed, threads)
    features = make_pipeline(FunctionTransformer(columns.without), inner.features)
    return type(inner)(features, inner.model)


def barcodes(task: str, seed: int, threads: int, columns: ReactionColumns) -> Any:
    return _on_forest(task, seed, threads, columns, BARCODES)


def onehot_rf(task: str, seed: int, threads: int, columns: ReactionColumns) -> Any:
    return _on_forest(task, seed, threads, columns, ONE_HOT, share=1.0)


def components_rf(task: str, seed: int, threads: int, columns: ReactionColumns) -> Any:
    return _on_forest(task, seed, threads, columns, COMPONENTS)


def components_lightgbm(task: str, seed: int, threads: int, columns: ReactionColumns) -> Any:
    return _over(task, COMPONENTS, columns, baselines.boosting(task, seed, threads))


def components_gp(task: str, seed: int, threads: int, columns: ReactionColumns) -> Any:
    return _process(task, seed, columns, COMPONENTS)


def drfp_rf(task: str, seed: int, threads: int, columns: ReactionColumns) -> Any:
    return _on_forest(task, seed, threads, columns, DIFFERENTIAL)


def drfp_lightgbm(task: str, seed: int, threads: int, columns: ReactionColumns) -> Any:
    return _over(task, DIFFERENTIAL, columns, baselines.boosting(task, seed, threads))


def drfp_gp(task: str, seed: int, threads: int, columns: ReactionColumns) -> Any:
    return _process(task, seed, columns, DIFFERENTIAL)
