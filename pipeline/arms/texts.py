"""The classical arm over texts that the other kinds of rows have not."""

from __future__ import annotations

from typing import Any

from sklearn.base import BaseEstimator
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.pipeline import make_pipeline

from pipeline.arms import baselines
from pipeline.arms.baselines import ClassifierOverFeatures, RegressorOverFeatures, SparseRidge
from pipeline.features.inputs import MoleculeFeatures, as_frame, smiles_of
from pipeline.tables.targets import CLASSES


class WordGrams(BaseEstimator):
    """TF-IDF of single words and pairs of them, upper and lower case alike, with the context columns beside it."""

    def fit(self, X: Any, y: Any = None) -> WordGrams:
        self.vectorizer_ = TfidfVectorizer(ngram_range=(1, 2), token_pattern=r"(?u)\b\w+\b", sublinear_tf=True)
        self.vectorizer_.fit(smiles_of(X))
        self.context_ = MoleculeFeatures((), ()).fit(X) if as_frame(X).shape[1] > 1 else None
        return self

    def transform(self, X: Any) -> Any:
        from scipy.sparse import csr_matrix, hstack

        words = self.vectorizer_.transform(smiles_of(X))
        return words if self.context_ is None else hstack([words, csr_matrix(self.context_.transform(X))]).tocsr()


def word_ridge(task: str, seed: int, threads: int) -> Any:
    """Ridge, or logistic regression, on words."""
    model = baselines.linear(task) if task == CLASSES else make_pipeline(SparseRidge())
    return (ClassifierOverFeatures if task == CLASSES else RegressorOverFeatures)(WordGrams(), model)
