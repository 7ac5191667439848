"""Scores over several targets of one table: a mean, and how far it hangs on the rows tested and on the targets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from pipeline.evaluation.bootstrap import group_draws
from pipeline.evaluation.estimates import Estimate
from pipeline.evaluation.evaluations import CONTROL, REFERENCE, Evaluation, mean_scores
from pipeline.evaluation.metrics import RANGE, auroc, average_precision, divide, mean_absolute_error, r2
from pipeline.tables.targets import CLASSES, REGRESSION

MEAN_METRICS = {CLASSES: ("auroc", "auprc"), REGRESSION: ("relative_mae", "r2")}  # of which targets share a scale
RESAMPLES = 1_000
LEAST_TARGETS = 3  # of an interval over targets


@dataclass(frozen=True)
class OverTargets:
    """The scores of the arms on one split of several targets.

    Attributes
    ----------
    targets : tuple of str
        Those on which all of the arms were tested on this split.
    samples : mapping
        By arm and metric ``1 + resamples`` means over the targets, the first of them of the test rows as they are, the
        others of resamples of the groups of all targets together. `REFERENCE` is the baseline that validation prefers
        for each target.
    each : mapping
        By arm and metric the score on each target. Shape (targets,).
    groups : ndarray
        The group of each row that is tested for some target.
    """

    split: str
    task: str
    targets: tuple[str, ...]
    samples: Mapping[tuple[str, str], np.ndarray]
    each: Mapping[tuple[str, str], np.ndarray]
    groups: np.ndarray

    @property
    def arms(self) -> list[str]:
        return list(dict.fromkeys(arm for arm, _ in self.samples))

    def mean(self, arm: str, metric: str, other: str = "") -> tuple[float, Estimate, Estimate]:
        """The mean over the targets, of an arm or of its difference to another; its estimates over other molecules
        and over other targets, the second unknown for fewer than `LEAST_TARGETS`."""
        samples, each = self.samples[arm, metric], self.each[arm, metric]
        if other:
            samples, each = samples - self.samples[other, metric], each - self.each[other, metric]
        value = float(samples[0])
        over_targets = Estimate.of_mean(each if len(each) >= LEAST_TARGETS else each[:0])
        return value, Estimate.over_groups(value, samples[1:], self.groups), over_targets

    def table(self) -> pd.DataFrame:
        """One row per arm and metric: ``split, arm, metric, value, low, high, low_targets, high_targets, targets,
        groups``."""
        rows = []
        for arm, metric in self.samples:
            if arm != REFERENCE:
                value, molecules, targets = self.mean(arm, metric)
                counts = len(self.targets), len(set(self.groups))
                intervals = [*molecules.interval(bounds=RANGE[metric]), *targets.interval(bounds=RANGE[metric])]
                rows.append((self.split, arm, metric, value, *intervals, *counts))
        header = ["split", "arm", "metric", "value", "low", "high", "low_targets", "high_targets", "targets", "groups"]
        return pd.DataFrame(rows, columns=header)


def over_targets(evaluations: Mapping[str, Evaluation], seed: int = 0) -> OverTargets:
    """Means over targets, from the evaluation of each on one split; all are of one task.

    A group of rows that several targets share is drawn for all of them together, since its molecules are hard or easy
    for all.
    """
    first = next(iter(evaluations.values()))
    shared = [arm for arm in first.scores if all(arm in one.scores for one in evaluations.values())]
    labels = np.unique(np.concatenate([one.groups.astype(str) for one in evaluations.values()]))
    draws, _ = group_draws(labels, seed, RESAMPLES)
    found = {
        name: _scores(one, shared, draws[:, np.searchsorted(labels, one.groups.astype(str))])
        for name, one in evaluations.items()
    }
    pairs = [(arm, metric) for arm in shared for metric in MEAN_METRICS[first.task]]
    known = {
        row_id: group for one in evaluations.values() for row_id, group in zip(one.row_ids, one.groups, strict=True)
    }
    return OverTargets(
        first.split,
        first.task,
        tuple(evaluations),
        {pair: np.mean([scores[pair] for scores in found.values()], axis=0) for pair in pairs},
        {pair: np.array([scores[pair][0] for scores in found.values()]) for pair in pairs},
        np.array(list(known.values()), dtype=object),
    )


def _scores(evaluation: Evaluation, arms: Sequence[str], weights: np.ndarray) -> dict[tuple[str, str], np.ndarray]:
    """``1 + resamples`` scores of each arm and metric."""
    divided: dict[str, list[dict[str, np.ndarray]]] = {arm: [] for arm in arms}
    for number in range(evaluation.divisions):
        rows = np.flatnonzero(evaluation.division == number)
        drawn = np.vstack([np.ones((1, len(rows))), weights[:, rows]])
        for arm in arms:
            divided[arm].append(_of_division(evaluation, arm, rows, drawn))
    return {(arm, metric): values for arm in arms for metric, values in mean_scores(divided[arm]).items()}


def _of_division(evaluation: Evaluation, arm: str, rows: np.ndarray, weights: np.ndarray) -> dict[str, np.ndarray]:
    truth = evaluation.truth[rows]
    if evaluation.task != CLASSES:
        predicted, mean = evaluation.predicted[arm][rows], evaluation.predicted[CONTROL[evaluation.task]][rows]
        mae = mean_absolute_error(truth, predicted, weights)
        return {
            "relative_mae": divide(mae, mean_absolute_error(truth, mean, weights)),
            "r2": r2(truth, predicted, weights),
        }
    chances, classes = evaluation.probabilities[arm][rows], evaluation.classes
    asked = [evaluation.positive or classes[1]] if len(classes) == 2 else list(classes)
    of_classes = [(truth == label, chances[:, classes.index(label)]) for label in asked]
    return {
        "auroc": np.mean([auroc(hit, score, weights) for hit, score in of_classes], axis=0),
        "auprc": np.mean([average_precision(hit, score, weights) for hit, score in of_classes], axis=0),
    }
