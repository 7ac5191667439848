"""Metrics over weighted rows, for many weightings at once: one pass scores all bootstrap resamples.

Every function takes ``weights`` of shape (B, n) and returns shape (B,). With weights of one they
equal the functions of scikit-learn and SciPy of the same name (a test asserts it). A weighting
for which a metric is undefined (one class, constant truth) gives NaN.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pipeline.evaluation.estimates import effective_number, group_sizes

REGRESSION_METRICS = ("mae", "rmse", "r2", "spearman", "relative_mae")
CLASS_METRICS = ("auroc", "auprc", "mcc", "recall", "balanced_accuracy", "brier", "accuracy")
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
    "recall": True,
    "balanced_accuracy": True,
    "brier": False,
    "accuracy": True,
}
_INFINITE = float("inf")
BY_CLASS = ("auroc", "auprc", "mcc", "recall", "balanced_accuracy")  # what they say hangs on the rarest class
RANGE = {  # of the values that a metric can take
    "mae": (0.0, _INFINITE),
    "rmse": (0.0, _INFINITE),
    "r2": (-_INFINITE, 1.0),
    "spearman": (-1.0, 1.0),
    "relative_mae": (0.0, _INFINITE),
    "auroc": (0.0, 1.0),
    "auprc": (0.0, 1.0),
    "mcc": (-1.0, 1.0),
    "recall": (0.0, 1.0),
    "balanced_accuracy": (0.0, 1.0),
    "brier": (0.0, 2.0),
    "accuracy": (0.0, 1.0),
    "log_loss": (0.0, _INFINITE),
}
LEAST_CHANCE = 1e-3  # of a class, where the log-loss is taken: a chance of zero would cost without bound
LABELS = {
    "mae": "MAE",
    "rmse": "RMSE",
    "r2": "R²",
    "spearman": "Spearman ρ",
    "relative_mae": "MAE / MAE of the mean",
    "auroc": "AUROC",
    "auprc": "AUPRC",
    "mcc": "MCC",
    "recall": "recall of the rarer class",
    "balanced_accuracy": "balanced accuracy",
    "brier": "Brier score",
    "accuracy": "accuracy",
    "log_loss": "log-loss",
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


def regression_slope(truth: np.ndarray, prediction: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """By how much the prediction rises with the truth, by least squares; NaN for a truth of one value."""
    total, spread = weights.sum(axis=1), float(truth.std()) or 1.0
    x, y = (truth - truth.mean()) / spread, prediction - prediction.mean()  # so that no digits are lost
    mean_x, mean_y = divide(weights @ x, total), divide(weights @ y, total)
    return divide(weights @ (x * y) - total * mean_x * mean_y, weights @ x**2 - total * mean_x**2) / spread


def tied(scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Ascending order of the scores, and where each run of equal scores starts in it."""
    order = np.argsort(scores, kind="stable")
    ordered = scores[order]
    return order, np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]])


def _ranks(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Mid-ranks of the values in each weighting. Shape (B, n)."""
    order, starts = tied(values)
    mass, ties = weights[:, order], len(starts) < len(values)
    if ties:
        mass = np.add.reduceat(mass, starts, axis=1)
    middle = np.cumsum(mass, axis=1) - 0.5 * mass + 0.5
    ranks = np.empty_like(weights)
    ranks[:, order] = np.repeat(middle, np.diff(np.r_[starts, len(values)]), axis=1) if ties else middle
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


def auroc_parts(truth: np.ndarray, probabilities: np.ndarray, classes: Sequence[str]) -> np.ndarray:
    """Each row's part in the AUROC of `class_scores`, of which that is the mean: the AUROC plus the row's influence.

    The influence of a positive is the share of negatives below it less the AUROC, times rows over positives; that of a
    negative likewise (DeLong et al. 1988). NaN where a class has no row or all rows.

    Parameters
    ----------
    truth : ndarray of shape (n,)
    probabilities : ndarray of shape (n, classes)

    Returns
    -------
    ndarray of shape (n,)
    """
    columns = [1] if len(classes) == 2 else range(len(classes))
    return np.mean([_influences(truth == classes[c], probabilities[:, c]) for c in columns], axis=0)


def _influences(positive: np.ndarray, score: np.ndarray) -> np.ndarray:
    n, up = len(positive), int(positive.sum())
    if up in (0, n):
        return np.full(n, np.nan)
    below = np.empty(n)
    for own in (True, False):
        others = np.sort(score[positive != own])
        left, right = (np.searchsorted(others, score[positive == own], side=side) for side in ("left", "right"))
        share = (left + right) / (2 * len(others))
        below[positive == own] = share if own else 1 - share
    area = float(below[positive].mean())
    return area + (below - area) * n / np.where(positive, up, n - up)


def chance_deviation(truth: np.ndarray, groups: np.ndarray, classes: Sequence[str]) -> float:
    """The standard deviation of the AUROC of scores that say nothing (Mann and Whitney 1947), the root of the mean
    square over the classes that `class_scores` averages; each side counts by its effective number of groups."""
    squares = []
    for label in classes[1:] if len(classes) == 2 else classes:
        sides = [groups[truth == label], groups[truth != label]]
        if min(map(len, sides)):
            up, down = (effective_number(group_sizes(side)) for side in sides)
            squares.append((up + down + 1) / (12 * up * down))
    return float(np.sqrt(np.mean(squares))) if squares else float("nan")


def without_opinion(probabilities: np.ndarray, failed: Sequence[bool] | np.ndarray) -> np.ndarray:
    """The chances as they are ranked: all alike where the answer was no class. Shape (n, classes)."""
    return np.where(np.asarray(failed, dtype=bool)[:, None], 1.0 / probabilities.shape[1], probabilities)


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
    """Mean recall over the classes; NaN where one does not occur."""
    return divide(np.einsum("bii->bi", confusion), confusion.sum(axis=2)).mean(axis=1)


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
    positive: str = "",
) -> dict[str, np.ndarray]:
    """All class metrics.

    With two classes AUPRC is that of ``positive``, or of the second in sorted order (AUROC is the same for both); with
    more classes both are means over one class against the rest. Recall is that of ``positive`` for any number of
    classes; where it is not given, of the second of two, and of more of the one that has `fewest_rows` here. The Brier
    score sums over classes and is halved for two, so that it is the usual one.
    """
    k = len(classes)
    codes = np.searchsorted(classes, truth)
    confusion = _confusion(codes, np.searchsorted(classes, predicted), k, weights)
    one_hot = np.eye(k)[codes]
    asked = classes.index(positive or (classes[1] if k == 2 else fewest_rows(truth, classes)))
    columns = [asked] if k == 2 else list(range(k))
    with np.errstate(invalid="ignore"):
        ranking = np.mean([auroc(one_hot[:, c], probabilities[:, c], weights) for c in columns], axis=0)
        precision = np.mean([average_precision(one_hot[:, c], probabilities[:, c], weights) for c in columns], axis=0)
    squared = squared_errors(probabilities, codes)
    return {
        "auroc": ranking,
        "auprc": precision,
        "mcc": matthews(confusion),
        "recall": divide(confusion[:, asked, asked], confusion[:, asked].sum(axis=1)),
        "balanced_accuracy": balanced_accuracy(confusion),
        "brier": divide(weights @ squared, weights.sum(axis=1)),
        "accuracy": divide(np.einsum("bii->b", confusion), confusion.sum(axis=(1, 2))),
    }


def log_losses(truth: np.ndarray, probabilities: np.ndarray, classes: Sequence[str]) -> np.ndarray:
    """What each row adds to the log-loss, in nats; chances below `LEAST_CHANCE` count as that. Shape (n,)."""
    codes = np.searchsorted(classes, truth)
    return -np.log(np.maximum(probabilities[np.arange(len(codes)), codes], LEAST_CHANCE))


def row_errors(truth: np.ndarray, said: np.ndarray, classes: Sequence[str]) -> np.ndarray:
    """The error of each row: absolute, or the log-loss where there are classes. Shape (n,).

    Parameters
    ----------
    said : ndarray of shape (n,), or (n, classes)
        Predictions, or probabilities.
    """
    if classes:
        return log_losses(truth.astype(str), said, classes)
    return np.abs(np.asarray(said) - truth.astype(np.float64))


def log_loss(truth: np.ndarray, probabilities: np.ndarray, classes: Sequence[str], weights: np.ndarray) -> np.ndarray:
    """The mean of `log_losses`."""
    return divide(weights @ log_losses(truth, probabilities, classes), weights.sum(axis=1))


def fewest_rows(truth: np.ndarray, classes: Sequence[str]) -> str:
    """The class with fewest rows, which may be none; the first one of equals."""
    return min(classes, key=lambda label: int((truth == label).sum()))


def rarer_class(truth: Sequence[str], classes: Sequence[str]) -> str:
    """The class that AUPRC is about when there are two: the one with fewer rows, the last in sorted order of equal
    ones; empty for more classes."""
    if len(classes) != 2:
        return ""
    labels = np.asarray(truth).astype(str)
    counts = [int((labels == label).sum()) for label in classes]
    return classes[0] if counts[0] < counts[1] else classes[1]
