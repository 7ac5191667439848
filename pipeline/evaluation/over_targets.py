"""Scores over several targets of one table: a mean, and how far it hangs on the rows tested and on the targets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from pipeline.evaluation.bootstrap import MIN_GROUPS, group_draws
from pipeline.evaluation.estimates import Estimate, effective_number, group_sizes, mean_estimate
from pipeline.evaluation.evaluations import CONTROL, REFERENCE, Evaluation, mean_scores
from pipeline.evaluation.metrics import PRIMARY, RANGE, auroc, average_precision, divide, mean_absolute_error, r2
from pipeline.tables.targets import CLASSES, REGRESSION

MEAN_METRICS = {CLASSES: ("auroc", "auprc"), REGRESSION: ("relative_mae", "r2")}  # of which targets share a scale
RESAMPLES = 1_000
LEAST_TARGETS = 3  # of an interval over targets


@dataclass(frozen=True)
class OverTargets:
    """The scores of the arms on one split of several targets.

    Attributes
    ----------
    evaluations : mapping
        By target that of the split, on which all of the arms were tested; numbers in units of the error of the mean.
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
    evaluations: Mapping[str, Evaluation]
    samples: Mapping[tuple[str, str], np.ndarray]
    each: Mapping[tuple[str, str], np.ndarray]
    groups: np.ndarray

    @property
    def arms(self) -> list[str]:
        return list(dict.fromkeys(arm for arm, _ in self.samples))

    @property
    def targets(self) -> tuple[str, ...]:
        return tuple(self.evaluations)

    @property
    def told(self) -> bool:
        """Whether the tested rows of all targets come in groups enough to show anything."""
        return round(effective_number(group_sizes(self.groups)), 9) >= MIN_GROUPS

    def mean(self, arm: str, metric: str) -> tuple[float, Estimate, Estimate]:
        """The mean of an arm over the targets; its estimates over other molecules and over other targets, the second
        unknown for fewer than `LEAST_TARGETS`."""
        samples, primary = self.samples[arm, metric], metric == MEAN_METRICS[self.task][0]
        found = Estimate.over_groups(float(samples[0]), samples[1:], self.groups)
        if self.task == CLASSES and found.known:
            of_targets = self._by_targets(arm, None)
            found = replace(found, degrees=min(found.degrees, of_targets.degrees if of_targets.known else 1.0))
        for one in self.evaluations.values():
            for error, degrees in one.seed_errors(arm) if primary else ():
                found = found.with_more_error(error / len(self.evaluations), degrees)
        return float(samples[0]), found, _over_other_targets(self.each[arm, metric])

    def difference(self, arm: str, other: str) -> tuple[Estimate, Estimate]:
        """By how much the mean of an arm exceeds that of another in the first of `MEAN_METRICS`: over other molecules,
        with all that the verdict on each target allows for, and over other targets."""
        metric = MEAN_METRICS[self.task][0]
        return self._by_targets(arm, other), _over_other_targets(self.each[arm, metric] - self.each[other, metric])

    def _by_targets(self, arm: str, other: str | None) -> Estimate:
        """From the estimate of each target.

        The errors of few positives are too small on each target, which its few degrees of freedom make up for; over
        many targets these add up, so that each error is widened here.
        """
        found = [one.estimate(arm, other) for one in self.evaluations.values()]
        if self.task == CLASSES:
            limits = [one.class_limits for one in self.evaluations.values()]
            found = [replace(of, error=of.error * limit.widening) for of, limit in zip(found, limits, strict=True)]
        return mean_estimate(found, self._shared(arm, other))

    def _shared(self, arm: str, other: str | None) -> float:
        """The variance of a mean over targets over what it would be if no two shared a group of rows; at least 1."""
        labels = np.unique(self.groups.astype(str))
        sums = []
        for one in self.evaluations.values():
            apart = one.parts[arm] - (one.parts[other] if other else 0.0)
            size = np.bincount(one.division)[one.division]
            deviation = np.nan_to_num(apart - np.nanmean(apart)) / size
            place = np.searchsorted(labels, one.groups.astype(str))
            sums.append(np.bincount(place, deviation, minlength=len(labels)))
        alone = sum(float(one @ one) for one in sums)
        together = np.sum(sums, axis=0)
        return max(1.0, float(together @ together) / alone) if alone else 1.0

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


def _over_other_targets(each: np.ndarray) -> Estimate:
    return Estimate.of_mean(each if len(each) >= LEAST_TARGETS else each[:0])


def _of_the_mean(evaluation: Evaluation) -> Evaluation:
    """An evaluation of numbers whose primary metric is in units of the error of predicting the training mean; the part
    of a row is that of the quotient, by the delta method."""
    primary, error = PRIMARY[evaluation.task], evaluation.parts[CONTROL[evaluation.task]]
    count = np.bincount(evaluation.division)
    unit = (np.bincount(evaluation.division, error) / count)[evaluation.division]
    parts = {}
    for arm, part in evaluation.parts.items():
        ratio = (np.bincount(evaluation.division, part) / count)[evaluation.division] / unit
        parts[arm] = ratio + (part - ratio * error) / unit
    return replace(
        evaluation,
        scores={arm: {**found, primary: found["relative_mae"]} for arm, found in evaluation.scores.items()},
        parts=parts,
        seeds={arm: (variance / unit[0] ** 2, degrees) for arm, (variance, degrees) in evaluation.seeds.items()},
        refits={arm: found / unit[0] for arm, found in evaluation.refits.items()},
    )


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
        {name: one if one.task == CLASSES else _of_the_mean(one) for name, one in evaluations.items()},
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
