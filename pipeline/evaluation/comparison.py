"""From predictions to metrics with intervals, and to paired differences between arms."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from pipeline.evaluation.bootstrap import LEVEL, MIN_GROUPS, group_weights, holm, interval, two_sided_p
from pipeline.evaluation.metrics import (
    HIGHER_IS_BETTER,
    PRIMARY,
    class_scores,
    regression_scores,
)
from pipeline.tables.targets import CLASSES

CONTROL = {"regression": "mean", "classes": "majority"}
REFERENCE = "reference"  # the baseline that validation prefers, fold by fold
BETTER, WORSE, NO_DIFFERENCE, CANNOT_TELL = "better", "worse", "no difference", "cannot tell"


@dataclass(frozen=True)
class Evaluation:
    """Predictions of one split, aligned over arms.

    ``truth`` and ``groups`` have shape (n,); ``predicted[arm]`` shape (n,); ``probabilities[arm]``
    shape (n, classes) for class tasks. ``scores[arm][metric]`` are ``1 + resamples`` values, the
    first of them on the test set as it is.
    """

    split: str
    task: str
    classes: tuple[str, ...]
    row_ids: np.ndarray
    truth: np.ndarray
    groups: np.ndarray
    predicted: dict[str, np.ndarray]
    probabilities: dict[str, np.ndarray]
    scores: dict[str, dict[str, np.ndarray]]
    reference: tuple[str, ...]

    @property
    def n_groups(self) -> int:
        return len(set(self.groups))


def evaluate(
    predictions: pd.DataFrame,
    *,
    task: str,
    classes: Sequence[str],
    groups: dict[str, str],
    preferred: dict[tuple[int, int], str],
    seed: int = 0,
) -> Evaluation:
    """Score every arm on one split.

    Parameters
    ----------
    predictions : DataFrame
        The rows of one split, with columns as in ``predictions.parquet``.
    groups : dict
        Row id to group label.
    preferred : dict
        ``(repeat, fold)`` to the baseline that validation on that fold's training rows prefers.
    """
    keys = ["repeat", "fold", "row_id"]
    wide = predictions.set_index([*keys, "arm"]).sort_index()
    arms = list(dict.fromkeys(predictions["arm"]))
    index = wide.xs(arms[0], level="arm").index
    truth = wide.xs(arms[0], level="arm")["truth"].to_numpy()
    truth = truth.astype(str) if task == CLASSES else truth.astype(np.float64)
    row_ids = index.get_level_values("row_id").to_numpy()
    labels = np.array([groups[row_id] for row_id in row_ids], dtype=object)
    predicted, probabilities = {}, {}
    for arm in arms:
        part = wide.xs(arm, level="arm").loc[index]
        predicted[arm] = np.array(part["prediction"], dtype=truth.dtype if task != CLASSES else str)
        if task == CLASSES:
            probabilities[arm] = np.array(part[[f"p_{label}" for label in classes]], dtype=np.float64)
            _score_failures_as_wrong(
                part["parse_failed"].to_numpy(), truth, classes, predicted[arm], probabilities[arm]
            )
    if preferred:
        chosen = [preferred[key[0], key[1]] for key in index]
        predicted[REFERENCE] = np.array([predicted[arm][row] for row, arm in enumerate(chosen)])
        if task == CLASSES:
            probabilities[REFERENCE] = np.stack([probabilities[arm][row] for row, arm in enumerate(chosen)])
    weights = np.vstack([np.ones((1, len(truth))), group_weights(labels, seed)])
    control = CONTROL[task]
    scores = {
        arm: (
            class_scores(truth, predicted[arm], probabilities[arm], classes, weights)
            if task == CLASSES
            else regression_scores(truth, predicted[arm], predicted[control], weights)
        )
        for arm in predicted
    }
    split = str(predictions["split"].iloc[0])
    reference = tuple(preferred[key] for key in sorted(preferred))
    return Evaluation(split, task, tuple(classes), row_ids, truth, labels, predicted, probabilities, scores, reference)


def _score_failures_as_wrong(
    failed: np.ndarray, truth: np.ndarray, classes: Sequence[str], predicted: np.ndarray, probabilities: np.ndarray
) -> None:
    """An answer that is no class counts as a class other than the true one, with no opinion on the ranking."""
    wrong = np.where(truth == classes[0], classes[1], classes[0])
    predicted[failed] = wrong[failed]
    probabilities[failed] = 1.0 / len(classes)


def metric_table(evaluation: Evaluation) -> pd.DataFrame:
    """One row per arm and metric: ``split, arm, metric, value, low, high, n, groups``."""
    rows = []
    for arm, metrics in evaluation.scores.items():
        if arm == REFERENCE:
            continue
        for metric, samples in metrics.items():
            low, high = interval(samples[1:])
            rows.append(
                (
                    evaluation.split,
                    arm,
                    metric,
                    float(samples[0]),
                    low,
                    high,
                    len(evaluation.truth),
                    evaluation.n_groups,
                )
            )
    return pd.DataFrame(rows, columns=["split", "arm", "metric", "value", "low", "high", "n", "groups"])


@dataclass(frozen=True)
class Difference:
    """Arm minus other in the primary metric, with an interval and what follows from it.

    ``answer`` is about the arm: better, worse, no difference that this test set can show, or
    cannot tell (under ten test groups). It follows from ``p``, which Holm's method has adjusted
    for all comparisons of the family; ``low`` and ``high`` are the plain 95 % interval.
    """

    split: str
    arm: str
    other: str
    metric: str
    value: float
    low: float
    high: float
    p: float
    answer: str


def differences(evaluations: Sequence[Evaluation], arms: Sequence[str], other: str) -> list[Difference]:
    """Paired comparison of arms with another on the same resampled groups, over all splits as one family."""
    found: list[tuple[Evaluation, str, np.ndarray]] = []
    for evaluation in evaluations:
        metric = PRIMARY[evaluation.task]
        for arm in arms:
            if arm in evaluation.scores and other in evaluation.scores:
                found.append((evaluation, arm, evaluation.scores[arm][metric] - evaluation.scores[other][metric]))
    adjusted = holm([two_sided_p(samples[1:]) for _, _, samples in found])
    result = []
    for (evaluation, arm, samples), p in zip(found, adjusted, strict=True):
        metric = PRIMARY[evaluation.task]
        low, high = interval(samples[1:])
        value = float(samples[0])
        result.append(
            Difference(evaluation.split, arm, other, metric, value, low, high, p, _answer(evaluation, metric, value, p))
        )
    return result


def _answer(evaluation: Evaluation, metric: str, value: float, p: float) -> str:
    if evaluation.n_groups < MIN_GROUPS or not np.isfinite(value):
        return CANNOT_TELL
    if p >= 1 - LEVEL:
        return NO_DIFFERENCE
    return BETTER if (value > 0) == HIGHER_IS_BETTER[metric] else WORSE


def drop(easy: Evaluation, hard: Evaluation, arm: str) -> tuple[float, float, float]:
    """Change of the primary metric from one split to another, with its 95 % interval.

    The two test sets are resampled independently.
    """
    metric = PRIMARY[easy.task]
    change = hard.scores[arm][metric] - easy.scores[arm][metric]
    return (float(change[0]), *interval(change[1:]))
