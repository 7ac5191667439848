"""From which probability of one of two classes on that class is the answer."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pipeline.evaluation.metrics import matthews
from pipeline.settings.threshold import COST, Rule


def choose(rule: Rule, positive: np.ndarray, score: np.ndarray) -> float:
    """The threshold by rows whose class is known and whose probability was predicted without them.

    Of thresholds that are as good the one nearest to 0.5; where there are no rows of both classes, 0.5.

    Parameters
    ----------
    positive : ndarray of bool, shape (n,)
    score : ndarray of shape (n,)
        The probability of the positive class; rows with NaN are left out.
    """
    if not rule.chosen:
        return rule.value
    known = np.isfinite(score)
    hit, score = positive[known], score[known]
    if not hit.any() or hit.all():
        return 0.5
    levels = np.unique(score)
    cuts = np.r_[levels[0] / 2, (levels[:-1] + levels[1:]) / 2, (levels[-1] + 1) / 2]
    gain = _gain(rule, _at_least(score[hit], cuts), _at_least(score[~hit], cuts), int(hit.sum()), int((~hit).sum()))
    best = np.flatnonzero(np.isclose(gain, gain.max(), rtol=0, atol=1e-12))
    return float(min(cuts[best], key=lambda cut: abs(cut - 0.5)))


def _gain(rule: Rule, true: np.ndarray, false: np.ndarray, positives: int, negatives: int) -> np.ndarray:
    if rule.kind == COST:
        return -(rule.missed * (positives - true) + rule.false_alarm * false)
    return matthews_of(true, false, positives, negatives)


def _at_least(scores: np.ndarray, cuts: np.ndarray) -> np.ndarray:
    """How many scores reach each cut."""
    return len(scores) - np.searchsorted(np.sort(scores), cuts, side="left")


def matthews_of(true: np.ndarray, false: np.ndarray, positives: int, negatives: int) -> np.ndarray:
    """Matthews correlation from the numbers of true and of false positives. Shape (n,)."""
    confusion = np.array([[negatives - false, false], [positives - true, true]], dtype=np.float64)
    return matthews(np.moveaxis(confusion, -1, 0))


def answers(chances: np.ndarray, classes: Sequence[str], positive: str, threshold: float) -> np.ndarray:
    """The class of each row of probabilities by a threshold on one of two. Shape (n,)."""
    at = list(classes).index(positive)
    other = classes[1 - at]
    return np.where(chances[:, at] >= threshold, positive, other).astype(object)
