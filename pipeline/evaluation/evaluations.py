"""Predictions of one split, aligned over arms, and their scores with intervals."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import pandas as pd

from pipeline.evaluation.bootstrap import group_draws
from pipeline.evaluation.class_limits import ClassLimits
from pipeline.evaluation.divisions import effective_tested, over_divisions
from pipeline.evaluation.estimates import (
    Estimate,
    effective_degrees,
    jackknife,
    score_interval,
)
from pipeline.evaluation.metrics import (
    BY_CLASS,
    PRIMARY,
    RANGE,
    auroc_parts,
    class_scores,
    divide,
    fewest_rows,
    regression_scores,
    without_opinion,
)
from pipeline.splits.splitters import Split
from pipeline.tables.targets import CLASSES

CONTROL = {"regression": "mean", "classes": "majority"}


REFERENCE = "reference"  # the baseline that validation prefers, fold by fold


MOST_UNANSWERED = 20  # one in so many rows without an answer is not worth a word in the verdict


def exact_rows(predictions: pd.DataFrame) -> pd.DataFrame:
    """The predictions that can be scored: those of rows whose truth is a value rather than a bound."""
    return predictions[predictions["bound"] == ""] if "bound" in predictions.columns else predictions


@dataclass(frozen=True)
class Evaluation:
    """Predictions of one split, aligned over arms.

    ``truth``, ``groups`` and ``division`` (which fold of which repeat, counted from 0) have shape (n,);
    ``predicted[arm]`` shape (n,); ``probabilities[arm]`` shape (n, classes) for class tasks.
    ``scores[arm][metric]`` are ``1 + resamples`` values, the mean over the divisions, the first of them on the test
    sets as they are. ``parts[arm]`` is each row's part in the primary metric of its division, of which that is the
    mean, shape (n,). ``everyone`` is the group of each row of the table, shape (rows of the table,).
    ``seeds[arm]`` is the variance that another training seed adds to the primary metric of an arm, and its degrees of
    freedom, where the arm was trained with several; ``seed_shares[arm]`` says of which of these an arm is made, and how
    much of it each makes, where it is not one of them alone. ``refits[arm]`` is its primary metric after training
    without each of k parts of the training groups, shape (k,), where a split tests beyond an edge. ``unanswered``
    counts the tested rows on which an arm that writes its answers wrote none, where that is more than one in
    `MOST_UNANSWERED`.
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
    parts: dict[str, np.ndarray]
    reference: tuple[str, ...]
    everyone: np.ndarray
    positive: str = ""
    seeds: Mapping[str, tuple[float, int]] = field(default_factory=dict)
    seed_shares: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    refits: Mapping[str, np.ndarray] = field(default_factory=dict)
    unanswered: Mapping[str, int] = field(default_factory=dict)

    @property
    def n_groups(self) -> int:
        return len(set(self.groups))

    @property
    def divisions(self) -> int:
        return int(self.division.max()) + 1

    @property
    def main_baseline(self) -> str:
        """The baseline preferred in most divisions, the first of them in a tie; the control where none was run."""
        return Counter(self.reference).most_common(1)[0][0] if self.reference else CONTROL[self.task]

    @cached_property
    def effective_groups(self) -> float:
        """The number of equal groups that would tell as much as these test groups."""
        return effective_tested(self.groups, self.division)

    @property
    def only_reference(self) -> str:
        """The preferred baseline where it is the same in every division; empty where there are several or none."""
        return self.reference[0] if len(set(self.reference)) == 1 else ""

    def estimate(self, arm: str, other: str | None = None) -> Estimate:
        """The primary metric of an arm, or by how much it exceeds that of another on the same rows."""
        found = self._by_rows(arm, other)
        for more in self.seed_errors(arm, other):
            found = found.with_more_error(*more)
        return found.with_more_error(*self._training(arm, other)) if self.refits else found

    def seed_errors(self, arm: str, other: str | None = None) -> list[tuple[float, int]]:
        """What other training seeds add to the error of an arm, or of its difference to another, with degrees of
        freedom: of each arm with seeds of its own the share that it makes of the one and not of the other."""
        found = []
        for name, (variance, degrees) in self.seeds.items():
            one, two = (self.seed_shares.get(of, {of: 1.0}).get(name, 0.0) if of else 0.0 for of in (arm, other))
            if one != two:
                found.append((abs(one - two) * math.sqrt(variance), degrees))
        return found

    def _training(self, arm: str, other: str | None) -> tuple[float, float]:
        """What another draw of the training rows adds, with its degrees of freedom.

        Of arms that were not trained without parts of the rows, the most that it adds for one that was.
        """

        def stands_for(name: str) -> list[str]:
            known = [one for one in self.refits if one not in (CONTROL[self.task], REFERENCE)]
            return [name] if name in self.refits else known or list(self.refits)

        if other is None:
            return max(jackknife(self.refits[one]) for one in stands_for(arm))
        pairs = [(one, two) for one in stands_for(arm) for two in stands_for(other) if one != two]
        apart = [self.refits[one] - self.refits[two] for one, two in pairs]
        return max(map(jackknife, apart or [self.refits[stands_for(arm)[0]]]))

    def parts_of(self, row_ids: Sequence[str], predicted: np.ndarray) -> np.ndarray:
        """Each tested row's part in the primary metric by other predictions of a hold-out, in the order of
        ``row_ids`` here. Shape (n,).

        Parameters
        ----------
        row_ids : sequence of str
            Of the predictions, which may be of more rows.
        predicted : ndarray of shape (rows,), or (rows, classes) with probabilities
        """
        place = {row_id: index for index, row_id in enumerate(row_ids)}
        found = predicted[[place[row_id] for row_id in self.row_ids]]
        if self.task == CLASSES:
            return auroc_parts(self.truth, found, self.classes)
        return np.abs(self.truth - found)

    def _by_rows(self, arm: str, other: str | None = None) -> Estimate:
        """The estimate without what another training seed adds."""
        metric = PRIMARY[self.task]
        if self.divisions > 1:
            apart = self.parts[arm] - (self.parts[other] if other else 0.0)
            found = over_divisions(apart, self.division, self.row_ids, self.groups, self.everyone)
        else:
            samples = self.scores[arm][metric] - (self.scores[other][metric] if other else 0.0)
            found = Estimate.over_groups(float(samples[0]), samples[1:], self.groups)
        if self.task == CLASSES:
            found = self.class_limits.applied(found, *(self.parts[name] for name in (arm, other) if name))
        return found

    @cached_property
    def class_limits(self) -> ClassLimits:
        return ClassLimits.of(self.truth, self.groups, self.classes)

    def interval(self, arm: str, metric: str) -> tuple[float, float]:
        """The 95 % interval of a score of an arm."""
        degrees = self.class_limits.degrees if metric in BY_CLASS else effective_degrees(self.groups)
        low, high = score_interval(self.scores[arm][metric][1:], self.groups, degrees=degrees, bounds=RANGE[metric])
        if metric != PRIMARY[self.task] or not self.seed_errors(arm):
            return low, high
        plain = self._by_rows(arm).error
        wider = self.estimate(arm).error / plain if plain else 1.0
        value, (least, most) = float(self.scores[arm][metric][0]), RANGE[metric]
        return max(least, value - wider * (value - low)), min(most, value + wider * (high - value))


def evaluate(
    predictions: pd.DataFrame,
    *,
    task: str,
    classes: Sequence[str],
    split: Split,
    preferred: dict[tuple[int, int], str],
    seed: int = 0,
    positive: str = "",
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
    positive : str
        Of two classes the one that AUPRC is about; the last in sorted order if not given.
    """
    keys = ["repeat", "fold", "row_id"]
    wide = predictions.set_index([*keys, "arm"]).sort_index()
    arms = list(dict.fromkeys(predictions["arm"]))
    index = wide.xs(arms[0], level="arm").index
    truth = wide.xs(arms[0], level="arm")["truth"].to_numpy()
    truth = truth.astype(str) if task == CLASSES else truth.astype(np.float64)
    row_ids = index.get_level_values("row_id").to_numpy()
    labels = np.array([split.groups[row_id] for row_id in row_ids], dtype=object)
    failed = predictions.loc[predictions["parse_failed"].astype(bool), "arm"].value_counts()
    predicted, probabilities = _predicted(predictions, wide, index, truth, task, classes, preferred)
    division = index.to_frame(index=False).groupby(["repeat", "fold"]).ngroup().to_numpy()
    asked = positive
    if task == CLASSES and len(classes) > 2:  # one class for all divisions, of which each may have fewest of another
        asked = fewest_rows(truth[np.unique(row_ids, return_index=True)[1]], classes)
    scored, parts = _scored(truth, labels, division, predicted, probabilities, task, classes, seed, asked)
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
        {arm: mean_scores(divided) for arm, divided in scored.items()},
        parts,
        tuple(preferred[key] for key in sorted(preferred)),
        np.array([split.groups[row_id] for row_id in sorted(split.rows)], dtype=object),
        positive,
        unanswered={str(arm): int(count) for arm, count in failed.items() if count > len(truth) / MOST_UNANSWERED},
    )


def _predicted(
    predictions: pd.DataFrame,
    wide: pd.DataFrame,
    index: pd.Index,
    truth: np.ndarray,
    task: str,
    classes: Sequence[str],
    preferred: Mapping[tuple[int, int], str],
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """What each arm, and the baseline that validation prefers, says of each row, with the probabilities of classes."""
    predicted: dict[str, np.ndarray] = {}
    probabilities: dict[str, np.ndarray] = {}
    for arm in dict.fromkeys(predictions["arm"]):
        part = wide.xs(arm, level="arm").loc[index]
        predicted[arm] = np.array(part["prediction"], dtype=truth.dtype if task != CLASSES else str)
        if task == CLASSES:
            failed = part["parse_failed"].to_numpy()
            chances = np.array(part[[f"p_{label}" for label in classes]], dtype=np.float64)
            probabilities[arm] = without_opinion(chances, failed)
            wrong = np.where(truth == classes[0], classes[1], classes[0])
            predicted[arm][failed] = wrong[failed]  # an answer that is no class is not the true one
    if preferred:
        chosen = [preferred[key[0], key[1]] for key in index]
        predicted[REFERENCE] = np.array([predicted[arm][row] for row, arm in enumerate(chosen)])
        if task == CLASSES:
            probabilities[REFERENCE] = np.stack([probabilities[arm][row] for row, arm in enumerate(chosen)])
    return predicted, probabilities


def _scored(
    truth: np.ndarray,
    labels: np.ndarray,
    division: np.ndarray,
    predicted: Mapping[str, np.ndarray],
    probabilities: Mapping[str, np.ndarray],
    task: str,
    classes: Sequence[str],
    seed: int,
    positive: str,
) -> tuple[dict[str, list[dict[str, np.ndarray]]], dict[str, np.ndarray]]:
    """Of each arm the scores by division, in resamples of the groups too, and each row's part in the primary one."""
    counts, group_of = group_draws(labels, seed)
    scored: dict[str, list[dict[str, np.ndarray]]] = {arm: [] for arm in predicted}
    parts = {arm: np.full(len(truth), np.nan) for arm in predicted}
    for number in range(division.max() + 1):
        rows = np.flatnonzero(division == number)
        weights = np.vstack([np.ones((1, len(rows))), counts[:, group_of[rows]]])
        for arm in predicted:
            found = predicted[arm][rows]
            if task == CLASSES:
                chances = probabilities[arm][rows]
                scored[arm].append(class_scores(truth[rows], found, chances, classes, weights, positive))
                parts[arm][rows] = auroc_parts(truth[rows], chances, classes)
            else:
                mean = predicted[CONTROL[task]][rows]
                scored[arm].append(regression_scores(truth[rows], found, mean, weights))
                parts[arm][rows] = np.abs(truth[rows] - found)
    return scored, parts


def mean_scores(divided: Sequence[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """The mean of each metric over the divisions in which it is defined."""
    if len(divided) == 1:
        return divided[0]
    means = {}
    for metric in divided[0]:
        values = np.stack([scores[metric] for scores in divided])
        known = np.isfinite(values)
        means[metric] = divide(np.where(known, values, 0.0).sum(axis=0), known.sum(axis=0))
    return means


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
