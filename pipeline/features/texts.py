"""What texts are compared by."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
from scipy.sparse import hstack
from sklearn.feature_extraction.text import HashingVectorizer

FINGERPRINT_SIZE = 2_048  # half for words, half for runs of characters
GRAM = 4


@cache
def _vectorizers() -> tuple[Any, Any]:
    options = {"n_features": FINGERPRINT_SIZE // 2, "binary": True, "norm": None, "alternate_sign": False}
    return (
        HashingVectorizer(token_pattern=r"(?u)\b\w+\b", **options),
        HashingVectorizer(analyzer="char_wb", ngram_range=(GRAM, GRAM), **options),
    )


def text_bits(texts: Sequence[str]) -> np.ndarray:
    """Which words and runs of four characters a text holds, by their hash. Shape (n, 2048), 0 or 1."""
    blocks = [vectorizer.transform(texts) for vectorizer in _vectorizers()]
    return np.asarray(hstack(blocks).todense() > 0, dtype=np.uint8)
