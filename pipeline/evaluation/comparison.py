"""From predictions to metrics with intervals, and to paired differences between arms."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import combinations

import numpy as np
import pandas as pd

from pipeline.evaluation.bootstrap import MIN_GROUPS, group_draws
from pipeline.evaluation.divisions import over_divisions
from pipeline.evaluation.estimates import (
    LEVEL,
    Estimate,
    effective_degrees,
    effective_number,
    holm,
    jackknife,
    score_interval,
)
from pipeline.evaluation.metrics import (
    BY_CLASS,
    HIGHER_IS_BETTER,
    PRIMARY,
    RANGE,
    auroc_parts,
    chance_deviation,
    class_scores,
    divide,
    regression_scores,
)
from pipeline.splits.splitters import Split
from pipeline.tables.targets import CLASSES

CONTROL = {"regression": "mean", "classes": "majority"}
REFERENCE = "reference"  # the baseline that validation prefers, fold by fold
MOST_UNANSWERED = 20  # one in so many rows without an answer is not worth a word in the verdict
BETTER, WORSE, EQUIVALENT, CANNOT_TELL = "better", "worse", "equivalent", "cannot tell"
FIRST, PLANNED, OTHER = "primary", "planned", "other"  # families of comparisons, each corrected for itself


@dataclass(frozen=True)
class Evaluation:
    """Predictions of one split, aligned over arms.

    ``truth``, ``groups`` and ``division`` (which fold of which repeat, counted from 0) have shape (n,);
    ``predicted[arm]`` shape (n,); ``probabilities[arm]`` shape (n, classes) for class tasks.
    ``scores[arm][metric]`` are ``1 + resamples`` values, the mean over the divisions, the first of them on the test
    sets as they are. ``parts[arm]`` is each row's part in the primary metric of its division, of which that is the
    mean, shape (n,). ``everyone`` is the group of each row of the table, shape (rows of the table,).
    ``seeds[arm]`` is the variance that another training seed adds to the primary metric of an arm, and its degrees of
    freedom, where the arm was trained with several. ``refits[arm]`` is its primary metric after training without each
    of k parts of the training groups, shape (k,), where a split tests beyond an edge. ``unanswered`` counts the tested
    rows on which an arm that writes its answers wrote none, where that is more than one in `MOST_UNANSWERED`.
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
        sizes = np.bincount(self.division)
        weight = 1 / sizes[self.division]
        number = effective_number(np.bincount(np.unique(self.groups.astype(str), return_inverse=True)[1], weight))
        return round(number, 9)  # ten equal groups are ten

    @property
    def only_reference(self) -> str:
        """The preferred baseline where it is the same in every division; empty where there are several or none."""
        return self.reference[0] if len(set(self.reference)) == 1 else ""

    def estimate(self, arm: str, other: str | None = None) -> Estimate:
        """The primary metric of an arm, or by how much it exceeds that of another on the same rows."""
        found = self._by_rows(arm, other)
        for name in {arm, other} & set(self.seeds):
            variance, degrees = self.seeds[str(name)]
            found = found.with_more_error(math.sqrt(variance), degrees)
        return found.with_more_error(*self._training(arm, other)) if self.refits else found

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
        if self.task == CLASSES and found.known:
            found = replace(found, degrees=min(found.degrees, self._class_degrees))
            if any(self._says_nothing(name) for name in (arm, other) if name):
                found = found.at_least(self._chance)
        return found

    def _says_nothing(self, arm: str) -> bool:
        """Whether all rows have one part in the score, as with a constant or a perfect ranking: resamples of them do
        not vary."""
        return arm == CONTROL[self.task] or float(np.ptp(self.parts[arm])) == 0.0

    @cached_property
    def _chance(self) -> float:
        return chance_deviation(self.truth, self.groups, self.classes)

    @cached_property
    def _class_degrees(self) -> float:
        """One less than the effective number of groups of the class that has fewest."""
        return min(effective_degrees(self.groups[self.truth == label]) for label in set(self.truth))

    def interval(self, arm: str, metric: str) -> tuple[float, float]:
        """The 95 % interval of a score of an arm."""
        degrees = self._class_degrees if metric in BY_CLASS else effective_degrees(self.groups)
        low, high = score_interval(self.scores[arm][metric][1:], self.groups, degrees=degrees, bounds=RANGE[metric])
        if metric != PRIMARY[self.task] or arm not in self.seeds:
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
    predicted, probabilities = {}, {}
    for arm in arms:
        part = wide.xs(arm, level="arm").loc[index]
        predicted[arm] = np.array(part["prediction"], dtype=truth.dtype if task != CLASSES else str)
        if task == CLASSES:
            probabilities[arm] = np.array(part[[f"p_{label}" for label in classes]], dtype=np.float64)
            _score_failures_as_wrong(
                part["parse_failed"].to_numpy(), truth, classes, predicted[arm], probabilities[arm]
            )
    failed = predictions.loc[predictions["parse_failed"].astype(bool), "arm"].value_counts()
    if preferred:
        chosen = [preferred[key[0], key[1]] for key in index]
        predicted[REFERENCE] = np.array([predicted[arm][row] for row, arm in enumerate(chosen)])
        if task == CLASSES:
            probabilities[REFERENCE] = np.stack([probabilities[arm][row] for row, arm in enumerate(chosen)])
    division = index.to_frame(index=False).groupby(["repeat", "fold"]).ngroup().to_numpy()
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
        {arm: _mean_scores(divided) for arm, divided in scored.items()},
        parts,
        tuple(preferred[key] for key in sorted(preferred)),
        np.array([split.groups[row_id] for row_id in sorted(split.rows)], dtype=object),
        positive,
        unanswered={str(arm): int(count) for arm, count in failed.items() if count > len(truth) / MOST_UNANSWERED},
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

    ``family`` says with which comparisons it is corrected together: the primary one stands alone, the planned ones are
    those that the verdict rests on, the others are all that is left (Holm's method in each). ``p`` is adjusted in this
    way, and ``low`` and ``high`` are the interval at the level that belongs to it, so that it excludes zero just where
    the ``answer`` is better or worse. The answer is about the arm; ``small`` says that the whole interval lies within
    ``margin`` of zero. It is equivalent where zero is not excluded and ``p_equivalent`` (of two one-sided tests,
    adjusted in the family) is below 5 %. A ``margin`` of 0 is none. ``smallest`` is the true difference that this test
    finds four times in five.
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
    family: str = OTHER
    smallest: float = np.nan

    @property
    def small(self) -> bool:
        return self.margin > 0 and max(abs(self.low), abs(self.high)) <= self.margin

    def turned(self) -> Difference:
        """The same, of the other minus the arm."""
        answer = {BETTER: WORSE, WORSE: BETTER}.get(self.answer, self.answer)
        return replace(
            self, arm=self.other, other=self.arm, value=-self.value, low=-self.high, high=-self.low, answer=answer
        )


@dataclass(frozen=True)
class Comparisons:
    """All comparisons of one split: each two arms are compared once, and have one answer wherever it is printed."""

    evaluation: Evaluation
    found: tuple[Difference, ...]

    def between(self, arm: str, other: str) -> Difference | None:
        """The comparison of an arm with another, seen from the arm; None where there is none.

        `REFERENCE` is the preferred baseline itself where it is the same one in all divisions.
        """
        names = _name(self.evaluation, arm), _name(self.evaluation, other)
        for item in self.found:
            if (item.arm, item.other) == names:
                return _named(item, arm, other)
            if (item.other, item.arm) == names:
                return _named(item.turned(), arm, other)
        return None

    def against(self, arms: Sequence[str], other: str) -> list[Difference]:
        """The comparisons of arms with another, those that there are."""
        return [item for arm in arms if (item := self.between(arm, other))]


def _named(item: Difference, arm: str, other: str) -> Difference:
    return replace(item, arm=arm, other=other)


def _name(evaluation: Evaluation, arm: str) -> str:
    return evaluation.only_reference or arm if arm == REFERENCE else arm


def compare(
    evaluation: Evaluation, arms: Sequence[str], lm_arms: Sequence[str], primary: str, margin: float
) -> Comparisons:
    """Compare every two arms of a split, and the preferred baseline with them.

    The primary comparison, named beforehand, is that of the arm ``primary`` with the preferred baseline. Planned are
    those of the language models with it, and of it, the language models and the arm ``primary`` with the constant. The
    margin never holds against the constant: an arm that is no better than that has learned nothing.

    Parameters
    ----------
    primary : str
        Empty for none.
    margin : float
        Largest difference of no consequence, in the primary metric; 0 for none.
    """
    control = CONTROL[evaluation.task]
    known = [arm for arm in [*arms, REFERENCE] if arm in evaluation.scores]
    first = [(primary, REFERENCE)]
    planned = [(arm, REFERENCE) for arm in lm_arms if arm != primary]
    planned += [(arm, control) for arm in (REFERENCE, *lm_arms, *filter(None, [primary]))]
    taken: set[frozenset[str]] = set()
    found: list[Difference] = []
    for family, pairs in ((FIRST, first), (PLANNED, planned), (OTHER, list(combinations(known, 2)))):
        chosen = []
        for arm, other in pairs:
            names = _name(evaluation, arm), _name(evaluation, other)
            if not {arm, other} <= set(known) or len(set(names)) < 2 or frozenset(names) in taken:
                continue
            taken.add(frozenset(names))
            chosen.append(names)
        found += _family(evaluation, chosen, family, margin)
    return Comparisons(evaluation, tuple(found))


def _family(evaluation: Evaluation, pairs: Sequence[tuple[str, str]], family: str, margin: float) -> list[Difference]:
    control = CONTROL[evaluation.task]
    margins = [0.0 if control in pair else margin for pair in pairs]
    estimates = [evaluation.estimate(*pair) for pair in pairs]
    adjusted = holm([estimate.p_difference() for estimate in estimates])
    same = holm([estimate.p_equivalence(width) for estimate, width in zip(estimates, margins, strict=True)])
    metric = PRIMARY[evaluation.task]
    result = []
    for (arm, other), width, estimate, (p, level), (p_same, _) in zip(
        pairs, margins, estimates, adjusted, same, strict=True
    ):
        result.append(
            Difference(
                evaluation.split,
                arm,
                other,
                metric,
                estimate.value,
                *_attainable(evaluation, arm, other, estimate.interval(level)),
                p,
                width,
                p_same,
                _answer(evaluation, estimate, p, p_same),
                family,
                estimate.smallest(level),
            )
        )
    return result


def _attainable(evaluation: Evaluation, arm: str, other: str, interval: tuple[float, float]) -> tuple[float, float]:
    """The part of an interval of a difference that the bounds of the metric allow; the constant has a known score."""
    metric, control = PRIMARY[evaluation.task], CONTROL[evaluation.task]
    least, most = RANGE[metric]
    low, high = least - most, most - least
    if evaluation.task == CLASSES and control in (arm, other):
        constant = float(evaluation.scores[control][metric][0])
        low, high = (constant - most, constant - least) if arm == control else (least - constant, most - constant)
    return (max(interval[0], low), min(interval[1], high)) if np.isfinite(interval[0]) else interval


def _answer(evaluation: Evaluation, estimate: Estimate, p: float, p_equivalent: float) -> str:
    if evaluation.effective_groups < MIN_GROUPS or not estimate.known:
        return CANNOT_TELL
    if p < 1 - LEVEL:
        return BETTER if (estimate.value > 0) == HIGHER_IS_BETTER[PRIMARY[evaluation.task]] else WORSE
    return EQUIVALENT if p_equivalent < 1 - LEVEL else CANNOT_TELL


def drop(easy: Evaluation, hard: Evaluation, arm: str) -> Estimate:
    """Change of the primary metric from one split to another; their test sets are taken as independent."""
    return hard.estimate(arm).minus(easy.estimate(arm))
