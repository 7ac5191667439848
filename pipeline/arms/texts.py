"""The classical arm over texts that the other kinds of rows have not."""

from __future__ import annotations

from typing import Any

from sklearn.feature_extraction.text import TfidfVectorizer

from pipeline.arms import baselines
from pipeline.arms.baselines import CharacterGrams


class WordGrams(CharacterGrams):
    """TF-IDF of single words and pairs of them, upper and lower case alike, with the context columns beside it."""

    def _vectorizer(self) -> TfidfVectorizer:
        return TfidfVectorizer(ngram_range=(1, 2), token_pattern=r"(?u)\b\w+\b", sublinear_tf=True)


def word_ridge(task: str, seed: int, threads: int) -> Any:
    """Ridge, or logistic regression, on words."""
    return baselines.over(task, WordGrams(), baselines.sparse_linear(task))
