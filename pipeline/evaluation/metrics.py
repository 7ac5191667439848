"""Metrics over weighted rows, for many weightings at once: one pass scores all bootstrap resamples.

Every function takes ``weights`` of shape (B, n) and returns shape (B,). With weights of one they
equal the functions of scikit-learn and SciPy of the same name (a test asserts it). A weighting
for which a metric is undefined (one class, constant truth) gives NaN.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

REGRESSION_METRICS = ("mae", "rmse", "r2", "spearman", "relative_mae")
CLASS_METRICS = ("auroc", "auprc", "mcc", "balanced_accuracy", "brier", "accuracy")
PRIMARY = {"regression": "mae", "classes": "auroc"}
HIGHER_IS_BETTER = {
    "mae": False,
    "rmse": False,
    "r2": True,
    "spearman": True,
    "relative_mae": False,
    "auroc": True,
    "auprc": True,
    "mcc": True,
    "balanced_accuracy": True,
    "brier": False,
    "accuracy": True,
}
LABELS = {
    "mae": "MAE",
    "rmse": "RMSE",
    "r2": "R²",
    "spearman": "Spearman ρ",
    "relative_mae": "MAE / MAE of the mean",
    "auroc": "AUROC",
    "auprc": "AUPRC",
    "mcc": "MCC",
    "balanced_accuracy": "balanced accuracy",
    "brier": "Brier score",
    "accuracy": "accuracy",
}


def divide(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Quotient, NaN where the divisor is zero."""
    return np.divide(a, b, out=np.full(np.broadcast(a, b).shape, np.nan), where=np.asarray(b) > 1e-12)


def mean_absolute_error(truth: np.ndarray, prediction: np.ndarray, weights: np.ndarray) -> np.ndarray:
    return divide(weights @ np.abs(truth - prediction), weights.sum(axis=1))


def root_mean_squared_error(truth: np.ndarray, prediction: np.ndarray, weights: np.ndarray) -> np.ndarray:
    return np.sqrt(divide(weights @ (truth - prediction) ** 2, weights.sum(axis=1)))


def r2(truth: np.ndarray, prediction: np.ndarray, weights: np.ndarray) -> np.ndarray:
    total = weights.sum(axis=1)
    mean = divide(weights @ truth, total)
    variance = weights @ truth**2 - total * mean**2
    return 1.0 - divide(weights @ (truth - prediction) ** 2, variance)


def tied(scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Ascending order of the scores, and where each run of equal scores starts in it."""
    order = np.argsort(scores, kind="stable")
    ordered = scores[order]
    return order, np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]])


def _ranks(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Mid-ranks of the values in each weighting. Shape (B, n)."""
    order, starts = tied(values)
    mass = np.add.reduceat(weights[:, order], starts, axis=1)
    middle = np.cumsum(mass, axis=1) - 0.5 * mass + 0.5
    ranks = np.empty_like(weights)
    ranks[:, order] = np.repeat(middle, np.diff(np.r_[starts, len(values)]), axis=1)
    return ranks


def spearman(truth: np.ndarray, prediction: np.ndarray, weights: np.ndarray) -> np.ndarray:
    total = weights.sum(axis=1, keepdims=True)
    a, b = _ranks(truth, weights), _ranks(prediction, weights)
    a = a - divide((weights * a).sum(axis=1, keepdims=True), total)
    b = b - divide((weights * b).sum(axis=1, keepdims=True), total)
    scale = np.sqrt((weights * a * a).sum(axis=1) * (weights * b * b).sum(axis=1))
    return divide((weights * a * b).sum(axis=1), scale)


def auroc(positive: np.ndarray, score: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Probability that a positive scores above a negative, ties counting half."""
    order, starts = tied(score)
    hit = positive[order].astype(bool)
    up = np.add.reduceat(np.where(hit, weights[:, order], 0.0), starts, axis=1)
    down = np.add.reduceat(np.where(hit, 0.0, weights[:, order]), starts, axis=1)
    below = np.cumsum(down, axis=1) - 0.5 * down
    return divide((up * below).sum(axis=1), up.sum(axis=1) * down.sum(axis=1))


def average_precision(positive: np.ndarray, score: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Area under the precision-recall curve as a step function."""
    order, starts = tied(-score)
    hit = positive[order].astype(bool)
    up = np.add.reduceat(np.where(hit, weights[:, order], 0.0), starts, axis=1)
    all_rows = np.add.reduceat(weights[:, order], starts, axis=1)
    precision = divide(np.cumsum(up, axis=1), np.cumsum(all_rows, axis=1))
    return divide((up * np.nan_to_num(precision)).sum(axis=1), up.sum(axis=1))


def _confusion(truth: np.ndarray, predicted: np.ndarray, k: int, weights: np.ndarray) -> np.ndarray:
    """Shape (B, k, k): truth by predicted."""
    cells = weights @ np.eye(k * k)[truth * k + predicted]
    return cells.reshape(-1, k, k)


def matthews(confusion: np.ndarray) -> np.ndarray:
    """Matthews correlation for any number of classes (Gorodkin 2004); 0 where undefined."""
    total = confusion.sum(axis=(1, 2))
    right = np.einsum("bii->b", confusion)
    truth, predicted = confusion.sum(axis=2), confusion.sum(axis=1)
    covariance = right * total - (truth * predicted).sum(axis=1)
    scale = np.sqrt((total**2 - (truth**2).sum(axis=1)) * (total**2 - (predicted**2).sum(axis=1)))
    return np.nan_to_num(divide(covariance, scale))


def balanced_accuracy(confusion: np.ndarray) -> np.ndarray:
    """Mean recall over the classes that occur."""
    recall = divide(np.einsum("bii->bi", confusion), confusion.sum(axis=2))
    with np.errstate(invalid="ignore"):
        return np.nanmean(recall, axis=1)


def regression_scores(
    truth: np.ndarray, prediction: np.ndarray, mean_prediction: np.ndarray, weights: np.ndarray
) -> dict[str, np.ndarray]:
    """All regression metrics; ``mean_prediction`` is the training mean of each row's fold."""
    mae = mean_absolute_error(truth, prediction, weights)
    return {
        "mae": mae,
        "rmse": root_mean_squared_error(truth, prediction, weights),
        "r2": r2(truth, prediction, weights),
        "spearman": spearman(truth, prediction, weights),
        "relative_mae": divide(mae, mean_absolute_error(truth, mean_prediction, weights)),
    }


def squared_errors(probabilities: np.ndarray, codes: np.ndarray) -> np.ndarray:
    """What each row adds to the Brier score: summed over classes, and halved for two. Shape (n,)."""
    k = probabilities.shape[1]
    return ((probabilities - np.eye(k)[codes]) ** 2).sum(axis=1) / (2 if k == 2 else 1)


def class_scores(
    truth: np.ndarray,
    predicted: np.ndarray,
    probabilities: np.ndarray,
    classes: Sequence[str],
    weights: np.ndarray,
) -> dict[str, np.ndarray]:
    """All class metrics.

    With two classes AUROC and AUPRC are those of the second in sorted order (see
    `positive_class`); with more they are means over one class against the rest. The Brier score
    sums over classes and is halved for two, so that it is the usual one.
    """
    k = len(classes)
    codes = np.searchsorted(classes, truth)
    confusion = _confusion(codes, np.searchsorted(classes, predicted), k, weights)
    one_hot = np.eye(k)[codes]
    columns = [1] if k == 2 else list(range(k))
    with np.errstate(invalid="ignore"):
        ranking = np.mean([auroc(one_hot[:, c], probabilities[:, c], weights) for c in columns], axis=0)
        precision = np.mean([average_precision(one_hot[:, c], probabilities[:, c], weights) for c in columns], axis=0)
    squared = squared_errors(probabilities, codes)
    return {
        "auroc": ranking,
        "auprc": precision,
        "mcc": matthews(confusion),
        "balanced_accuracy": balanced_accuracy(confusion),
        "brier": divide(weights @ squared, weights.sum(axis=1)),
        "accuracy": divide(np.einsum("bii->b", confusion), confusion.sum(axis=(1, 2))),
    }


def positive_class(classes: Sequence[str]) -> str:
    """The class that AUROC and AUPRC are about when there are two: the last in sorted order."""
    return sorted(classes)[-1]
