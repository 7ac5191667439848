"""From predictions to metrics with intervals, and to paired differences between arms."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd

from pipeline.evaluation.bootstrap import MIN_GROUPS, group_draws
from pipeline.evaluation.estimates import LEVEL, Estimate, dependence_of, holm, score_interval
from pipeline.evaluation.metrics import (
    HIGHER_IS_BETTER,
    PRIMARY,
    class_scores,
    divide,
    regression_scores,
)
from pipeline.splits.splitters import Split
from pipeline.tables.targets import CLASSES

CONTROL = {"regression": "mean", "classes": "majority"}
REFERENCE = "reference"  # the baseline that validation prefers, fold by fold
BETTER, WORSE, EQUIVALENT, CANNOT_TELL = "better", "worse", "equivalent", "cannot tell"


@dataclass(frozen=True)
class Evaluation:
    """Predictions of one split, aligned over arms.

    ``truth``, ``groups`` and ``division`` (which fold of which repeat, counted from 0) have shape (n,);
    ``predicted[arm]`` shape (n,); ``probabilities[arm]`` shape (n, classes) for class tasks.
    ``divided[arm]`` is the primary metric in each division, shape (divisions,). ``scores[arm][metric]`` are
    ``1 + resamples`` values, the mean over the divisions, the first of them on the test sets as they are.
    ``dependence`` is how far the divisions depend on one another (`dependence_of`).
    """

    split: str
    task: str
    classes: tuple[str, ...]
    row_ids: np.ndarray
    truth: np.ndarray
    groups: np.ndarray
    division: np.ndarray
    predicted: dict[str, np.ndarray]
    probabilities: dict[str, np.ndarray]
    scores: dict[str, dict[str, np.ndarray]]
    divided: dict[str, np.ndarray]
    reference: tuple[str, ...]
    dependence: float

    @property
    def n_groups(self) -> int:
        return len(set(self.groups))

    @property
    def divisions(self) -> int:
        return int(self.division.max()) + 1

    @property
    def main_baseline(self) -> str:
        """The baseline preferred in most divisions, or the control where no baseline was run."""
        if not self.reference:
            return CONTROL[self.task]
        return max(set(self.reference), key=lambda arm: (self.reference.count(arm), arm))

    def estimate(self, arm: str, other: str | None = None) -> Estimate:
        """The primary metric of an arm, or by how much it exceeds that of another on the same rows."""
        if self.divisions > 1:
            values = self.divided[arm] - (self.divided[other] if other else 0.0)
            return Estimate.over_divisions(values, self.dependence)
        metric = PRIMARY[self.task]
        samples = self.scores[arm][metric] - (self.scores[other][metric] if other else 0.0)
        return Estimate.over_groups(float(samples[0]), samples[1:], self.groups)

    def interval(self, arm: str, metric: str) -> tuple[float, float]:
        """The 95 % interval of a score of an arm."""
        return score_interval(self.scores[arm][metric][1:], self.groups)


def evaluate(
    predictions: pd.DataFrame,
    *,
    task: str,
    classes: Sequence[str],
    split: Split,
    preferred: dict[tuple[int, int], str],
    seed: int = 0,
) -> Evaluation:
    """Score every arm on one split.

    Parameters
    ----------
    predictions : DataFrame
        The rows of one split, with columns as in ``predictions.parquet``.
    split : Split
        Which rows are a group, and how the rows were divided.
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
    labels = np.array([split.groups[row_id] for row_id in row_ids], dtype=object)
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
    division = index.to_frame(index=False).groupby(["repeat", "fold"]).ngroup().to_numpy()
    counts, group_of = group_draws(labels, seed)
    parts: dict[str, list[dict[str, np.ndarray]]] = {arm: [] for arm in predicted}
    for number in range(division.max() + 1):
        rows = np.flatnonzero(division == number)
        weights = np.vstack([np.ones((1, len(rows))), counts[:, group_of[rows]]])
        for arm in predicted:
            parts[arm].append(
                class_scores(truth[rows], predicted[arm][rows], probabilities[arm][rows], classes, weights)
                if task == CLASSES
                else regression_scores(truth[rows], predicted[arm][rows], predicted[CONTROL[task]][rows], weights)
            )
    return Evaluation(
        str(predictions["split"].iloc[0]),
        task,
        tuple(classes),
        row_ids,
        truth,
        labels,
        division,
        predicted,
        probabilities,
        {arm: _mean_scores(scored) for arm, scored in parts.items()},
        {arm: np.array([scores[PRIMARY[task]][0] for scores in scored]) for arm, scored in parts.items()},
        tuple(preferred[key] for key in sorted(preferred)),
        dependence_of([fold.test for fold in split.folds], len(split.rows)),
    )


def _mean_scores(divided: Sequence[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """The mean of each metric over the divisions in which it is defined."""
    if len(divided) == 1:
        return divided[0]
    means = {}
    for metric in divided[0]:
        values = np.stack([scores[metric] for scores in divided])
        known = np.isfinite(values)
        means[metric] = divide(np.where(known, values, 0.0).sum(axis=0), known.sum(axis=0))
    return means


def _score_failures_as_wrong(
    failed: np.ndarray, truth: np.ndarray, classes: Sequence[str], predicted: np.ndarray, probabilities: np.ndarray
) -> None:
    """An answer that is no class counts as a class other than the true one, with no opinion on the ranking."""
    wrong = np.where(truth == classes[0], classes[1], classes[0])
    predicted[failed] = wrong[failed]
    probabilities[failed] = 1.0 / len(classes)


def metric_table(evaluation: Evaluation) -> pd.DataFrame:
    """One row per arm and metric: ``split, arm, metric, value, low, high, n, groups``; n counts a row once."""
    rows = []
    for arm, metrics in evaluation.scores.items():
        if arm == REFERENCE:
            continue
        for metric, samples in metrics.items():
            low, high = evaluation.interval(arm, metric)
            rows.append(
                (
                    evaluation.split,
                    arm,
                    metric,
                    float(samples[0]),
                    low,
                    high,
                    len(set(evaluation.row_ids)),
                    evaluation.n_groups,
                )
            )
    return pd.DataFrame(rows, columns=["split", "arm", "metric", "value", "low", "high", "n", "groups"])


@dataclass(frozen=True)
class Difference:
    """Arm minus other in the primary metric, with an interval and what follows from it.

    ``answer`` is about the arm: equivalent (within ``margin`` of the other), better, worse, or cannot tell (also
    under ten test groups). It follows from ``p_equivalent`` and ``p``, both adjusted by Holm's method for all
    comparisons of the family; ``low`` and ``high`` are the plain 95 % interval. A ``margin`` of 0 is none.
    """

    split: str
    arm: str
    other: str
    metric: str
    value: float
    low: float
    high: float
    p: float
    margin: float
    p_equivalent: float
    answer: str


def compare(pairs: Iterable[tuple[Evaluation, str, str]], margin: float = 0.0) -> list[Difference]:
    """Paired comparisons of an arm with another on a split, all of them as one family.

    On one division the error is that of resampled test groups (`Estimate.over_groups`); over several it is that of
    the corrected t (`Estimate.over_divisions`).
    """
    found = [(evaluation, arm, other, evaluation.estimate(arm, other)) for evaluation, arm, other in pairs]
    adjusted = holm([estimate.p_difference() for *_, estimate in found])
    equivalent = holm([estimate.p_equivalence(margin) for *_, estimate in found])
    return [
        Difference(
            evaluation.split,
            arm,
            other,
            PRIMARY[evaluation.task],
            estimate.value,
            *estimate.interval(),
            p,
            margin,
            same,
            _answer(evaluation, estimate, p, same),
        )
        for (evaluation, arm, other, estimate), p, same in zip(found, adjusted, equivalent, strict=True)
    ]


def differences(
    evaluations: Sequence[Evaluation], arms: Sequence[str], other: str, margin: float = 0.0
) -> list[Difference]:
    """Each arm against another, over all splits as one family."""
    return compare(
        [
            (evaluation, arm, other)
            for evaluation in evaluations
            for arm in arms
            if arm in evaluation.scores and other in evaluation.scores
        ],
        margin,
    )


def all_pairs(evaluation: Evaluation, arms: Sequence[str], margin: float = 0.0) -> list[Difference]:
    """Every two arms on one split, as one family."""
    return compare([(evaluation, arm, other) for arm, other in combinations(arms, 2)], margin)


def _answer(evaluation: Evaluation, estimate: Estimate, p: float, p_equivalent: float) -> str:
    if evaluation.n_groups < MIN_GROUPS or not estimate.known:
        return CANNOT_TELL
    if p_equivalent < 1 - LEVEL:
        return EQUIVALENT
    if p >= 1 - LEVEL:
        return CANNOT_TELL
    return BETTER if (estimate.value > 0) == HIGHER_IS_BETTER[PRIMARY[evaluation.task]] else WORSE


def drop(easy: Evaluation, hard: Evaluation, arm: str) -> Estimate:
    """Change of the primary metric from one split to another; their test sets are taken as independent."""
    return hard.estimate(arm).minus(easy.estimate(arm))
