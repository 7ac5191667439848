"""How well a score tells successes from failures, over many weightings of the rows at once.

Every function takes ``weights`` of shape (B, n) and returns shape (B,); NaN where a weighting leaves the metric
undefined.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pipeline.evaluation.metrics import auroc, average_precision, divide, tied
from pipeline.evaluation.seeded import SHARE, UNBOUNDED, rarer

CALIBRATION_BINS = 10
TOP_SHARE = 0.1
TRUE_POSITIVE_RATE = 0.95
LABELS = {
    "auroc": "AUROC",
    "auprc": "AUPRC",
    "fpr": "false-positive rate",
    "tpr": "true-positive rate",
    "fpr_at_95_tpr": "false-positive rate at 95 % TPR",
    "precision_top_10": "precision in the top 10 %",
    "brier": "Brier score",
    "ece": "ECE",
    "yield_on_failures": "mean predicted yield on failures (%)",
    "yield_bias": "mean predicted minus true yield (%)",
}
BOUNDS = {metric: UNBOUNDED if metric.startswith("yield") else SHARE for metric in LABELS}
_OF_FAILURES = ("fpr", "yield_on_failures")
_OF_BOTH = ("auroc", "auprc", "fpr_at_95_tpr")


@dataclass(frozen=True)
class Scored:
    """What a model says of the test rows.

    ``score`` is larger the more likely a success is; a row is accepted where it reaches ``threshold``.
    ``chance`` is the probability of success, ``predicted`` the yield in percent; None where the model has none.
    All of shape (n,).
    """

    score: np.ndarray
    threshold: float
    chance: np.ndarray | None = None
    predicted: np.ndarray | None = None


def rests_on(metric: str, success: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """The groups of the rows that a metric rests on: all, failures or successes alone, or the rarer of the two.

    However many successes there are, a ranking of them above ten failures is known no better than ten rows allow. Which
    rows are at the top of a ranking differs between models, so that a tenth of all rows stands for them.
    """
    if metric in _OF_FAILURES:
        return groups[~success]
    if metric == "tpr":
        return groups[success]
    if metric == "precision_top_10":
        return np.sort(groups.astype(str))[:: round(1 / TOP_SHARE)]
    return rarer(success, groups) if metric in _OF_BOTH else groups


def share(chosen: np.ndarray, among: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Weighted share of the chosen rows among some. Shape (B,)."""
    return divide(weights @ (chosen & among), weights @ among)


def false_positives_at(success: np.ndarray, score: np.ndarray, weights: np.ndarray, rate: float) -> np.ndarray:
    """Share of failures accepted at the highest threshold that accepts ``rate`` of the successes."""
    order, starts = tied(-score)  # rows of one score are accepted together
    up = np.cumsum(np.add.reduceat(weights[:, order] * success[order], starts, axis=1), axis=1)
    down = np.cumsum(np.add.reduceat(weights[:, order] * ~success[order], starts, axis=1), axis=1)
    first = (up >= rate * up[:, -1:] - 1e-9).argmax(axis=1)
    found = divide(down[np.arange(len(weights)), first], down[:, -1])
    return np.where(up[:, -1] > 0, found, np.nan)


def precision_at_top(success: np.ndarray, score: np.ndarray, weights: np.ndarray, top: float) -> np.ndarray:
    """Share of successes among the ``top`` share of the rows by score; rows of one score count alike."""
    order, starts = tied(-score)
    mass = np.add.reduceat(weights[:, order], starts, axis=1)
    hits = np.add.reduceat(weights[:, order] * success[order], starts, axis=1)
    wanted = top * mass.sum(axis=1, keepdims=True)
    before = np.cumsum(mass, axis=1) - mass
    part = np.clip((wanted - before) / np.maximum(mass, 1e-12), 0.0, 1.0)
    return (hits * part).sum(axis=1) / wanted[:, 0]


def expected_calibration_error(success: np.ndarray, chance: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Weighted mean of the gap between chance and outcome in ten bins of equal width (Guo et al. 2017)."""
    bins = np.minimum((chance * CALIBRATION_BINS).astype(int), CALIBRATION_BINS - 1)
    member = np.eye(CALIBRATION_BINS)[bins]
    gap = np.abs(weights @ (member * (chance - success)[:, None]))
    return gap.sum(axis=1) / weights.sum(axis=1)


def detection_scores(
    success: np.ndarray, yields: np.ndarray, scored: Scored, weights: np.ndarray
) -> dict[str, np.ndarray]:
    """All metrics that this kind of model allows.

    Parameters
    ----------
    success : ndarray of bool, shape (n,)
    yields : ndarray of shape (n,)
        In percent.
    weights : ndarray of shape (B, n)
    """
    accepted = scored.score >= scored.threshold
    found = {
        "auroc": auroc(success, scored.score, weights),
        "auprc": average_precision(success, scored.score, weights),
        "fpr": share(accepted, ~success, weights),
        "tpr": share(accepted, success, weights),
        "fpr_at_95_tpr": false_positives_at(success, scored.score, weights, TRUE_POSITIVE_RATE),
        "precision_top_10": precision_at_top(success, scored.score, weights, TOP_SHARE),
    }
    total = weights.sum(axis=1)
    if scored.chance is not None:
        found["brier"] = weights @ (scored.chance - success) ** 2 / total
        found["ece"] = expected_calibration_error(success, scored.chance, weights)
    if scored.predicted is not None:
        found["yield_on_failures"] = divide(weights @ np.where(success, 0.0, scored.predicted), weights @ ~success)
        found["yield_bias"] = weights @ (scored.predicted - yields) / total
    return found


def prior_corrected(chance: np.ndarray, trained_rate: float, rate: float) -> np.ndarray:
    """Chances moved from the base rate of the training rows to another (Saerens et al. 2002, eq. 4); ranking stays."""
    up = chance * rate / trained_rate
    down = (1 - chance) * (1 - rate) / (1 - trained_rate)
    return up / np.maximum(up + down, 1e-300)
