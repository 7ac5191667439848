"""From the cells of the study of negatives to metrics and intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from pipeline.arms.ladder import is_language_model
from pipeline.evaluation.bootstrap import group_weights
from pipeline.evaluation.detection import BOUNDS, Scored, detection_scores, prior_corrected, rests_on
from pipeline.evaluation.metrics import auroc
from pipeline.evaluation.numbers import Interval
from pipeline.evaluation.seeded import APART, bounded_interval, effective_groups, over_seeds, rarer
from pipeline.report.sections import interval_where
from pipeline.studies.negatives.doses import METRICS, Enough, smallest_enough
from pipeline.studies.negatives.experiment import (
    ANYWHERE,
    DECOYS,
    DOSE,
    FIXED_POSITIVES,
    RECOMBINED,
    Experiment,
    Training,
)
from pipeline.studies.negatives.work import scored_of, thresholds, training_of
from pipeline.studies.words import RESAMPLES

Cells = list[tuple[Training, Mapping[str, Any]]]
RAW, STATED, ORACLE = "raw", "stated base rate", "test base rate (oracle)"
COLUMNS = ["split", "scheme", "learner", "variant", "dose", "reading", "metric", "value", "low", "high"]
TRAINED_ON = ("successes", "failures", "decoys", "unlabelled")  # rows; the mean over seeds where they differ


@dataclass(frozen=True)
class Findings:
    """What the experiment found on one split.

    ``metrics`` has the columns `COLUMNS` with `TRAINED_ON`, ``n``, ``groups`` and ``seeds``; ``trained`` one row per
    training, with what it was trained on; ``predictions`` one row per training and test row; ``foreign`` how well a
    score tells successes and failures from foreign reactions; ``compared`` how far one training is from another on the
    same rows (``ours`` minus ``theirs``): the language model from each classical learner at a dose, and decoys drawn
    anywhere from those that avoid the test reactions; ``enough`` the smallest dose that is enough, by learner and, for
    a comparison on the doses that both have, the learner that it is compared with; ``sensitivity`` what other
    thresholds of success give.
    """

    experiment: Experiment
    metrics: pd.DataFrame
    trained: pd.DataFrame
    predictions: pd.DataFrame
    foreign: pd.DataFrame
    compared: pd.DataFrame
    enough: dict[tuple[str, str, str], Enough]
    sensitivity: pd.DataFrame

    def part(self, **where: str) -> pd.DataFrame:
        """The metrics whose columns have these values."""
        found = self.metrics
        for column, wanted in where.items():
            found = found[found[column] == wanted]
        return found

    @property
    def groups(self) -> np.ndarray:
        """The group of each test row."""
        return _groups(self.experiment)

    @property
    def decoys(self) -> pd.DataFrame:
        """The trainings with decoys, each kind once a seed: all learners are given the same."""
        part = self.trained[self.trained["scheme"].isin(DECOYS)]
        return part.drop_duplicates(["scheme", "seed"])

    def difference(self, ours: str, theirs: str, dose: float, metric: str) -> Interval | None:
        """``(value, low, high)`` of one minus another, at a dose or NaN; None where it was not found."""
        return interval_where(self.compared, ours=ours, theirs=theirs, dose=dose, metric=metric)

    def value(
        self,
        scheme: str,
        learner: str,
        metric: str,
        dose: float = np.nan,
        variant: str = FIXED_POSITIVES,
        reading: str = RAW,
    ) -> Interval | None:
        """``(value, low, high)`` of a metric; None where it was not found."""
        wanted = {"scheme": scheme, "learner": learner, "metric": metric, "variant": variant, "reading": reading}
        return interval_where(self.metrics, **wanted, dose=dose)


def found_in(experiment: Experiment, contents: Sequence[Mapping[str, Any]]) -> Findings:
    """What the cells say of one split."""
    here = [content for content in contents if content["tags"]["split"] == experiment.split.name]

    def at(success: float) -> Cells:
        return [(training_of(cell["tags"]), cell) for cell in here if cell["tags"]["success"] == success]

    sensitivity = [_sensitivity(moved, at(moved.settings.success)) for moved, _ in thresholds(experiment)]
    joined = pd.concat(sensitivity, ignore_index=True) if sensitivity else pd.DataFrame()
    return _found(experiment, at(experiment.settings.success), joined)


def _found(experiment: Experiment, cells: Cells, sensitivity: pd.DataFrame) -> Findings:
    metrics, samples = _metrics(experiment, cells)
    success = experiment.success.loc[experiment.test].to_numpy()
    foreign: list[dict[str, Any]] = []
    trained = []
    for training, members in _grouped(cells).items():
        foreign += _foreign_rows(experiment, training, members, success)
        for cell in members:
            trained.append({**_named(experiment, training), "seed": cell["tags"]["seed"], **_particulars(cell)})
    return Findings(
        experiment,
        metrics,
        pd.DataFrame(trained),
        _prediction_table(experiment, cells),
        pd.DataFrame(foreign),
        _differences(experiment, samples),
        _enough(experiment, samples),
        sensitivity,
    )


# Of each training, whatever its seed: each metric on the test rows and in resamples of their groups, a list by seed.
Samples = dict[Training, dict[str, list[np.ndarray]]]


def _groups(experiment: Experiment) -> np.ndarray:
    return np.array([experiment.split.groups[row] for row in experiment.test], dtype=object)


def _metrics(experiment: Experiment, cells: Cells) -> tuple[pd.DataFrame, Samples]:
    """Every metric of every way of training with its interval, and the resamples of the models as they are."""
    success = experiment.success.loc[experiment.test].to_numpy()
    yields = experiment.yields.loc[experiment.test].to_numpy()
    groups = _groups(experiment)
    weights = np.vstack([np.ones((1, len(success))), group_weights(groups, experiment.seed, RESAMPLES)])
    rows = []
    kept: Samples = {}
    for training, members in _grouped(cells).items():
        readings = _readings([scored_of(cell) for cell in members], members, success, experiment.settings.base_rate)
        counts = [float(np.mean([cell["about"].get(name, 0) for cell in members])) for name in TRAINED_ON]
        for reading, per_seed in readings.items():
            scores = [detection_scores(success, yields, scored, weights) for scored in per_seed]
            samples = {metric: [one[metric] for one in scores] for metric in scores[0]}
            if reading == RAW:
                kept[training] = samples
            constant = all(np.ptp(scored.score) == 0 for scored in per_seed)
            for metric, found in samples.items():
                rests = rests_on(metric, success, groups)
                value, low, high = summary(found, metric, rests, constant)
                where = (*_where(experiment, training), reading, metric)
                rows.append((*where, value, low, high, *counts, len(members), effective_groups(rests)))
    metrics = pd.DataFrame(rows, columns=[*COLUMNS, *TRAINED_ON, "seeds", "effective_groups"])
    metrics["n"], metrics["groups"] = len(success), len(set(groups))
    return metrics, kept


def summary(per_seed: list[np.ndarray], metric: str, groups: np.ndarray, constant: bool = False) -> Interval:
    """Mean over seeds with its 95 % interval.

    Parameters
    ----------
    groups : ndarray of shape (n,)
        The groups of the rows that the metric rests on.
    constant : bool
        All rows have the same score, so that what is accepted and how it is ranked follows without a measurement.
    """
    found = over_seeds(per_seed, groups)
    if constant and metric in ("auroc", "fpr", "tpr", "fpr_at_95_tpr"):
        return found.value, found.value, found.value
    return found.value, *bounded_interval(found, BOUNDS[metric], groups)


def _curves(samples: Samples) -> dict[str, dict[float, dict[str, list[np.ndarray]]]]:
    """The dose curves on fixed positives, by learner and dose."""
    found: dict[str, dict[float, dict[str, list[np.ndarray]]]] = {}
    for training, by_metric in samples.items():
        if training.scheme == DOSE and training.variant == FIXED_POSITIVES and training.dose:
            found.setdefault(training.learner, {})[training.dose] = by_metric
    return found


def _differences(experiment: Experiment, samples: Samples) -> pd.DataFrame:
    """One training minus another, on the same resamples and training seeds."""
    success, groups = experiment.success.loc[experiment.test].to_numpy(), _groups(experiment)
    curves = _curves(samples)
    pairs = [
        (ours, theirs, dose, mine, curves[theirs][dose])
        for ours, by_dose in curves.items()
        for dose, mine in by_dose.items()
        for theirs in curves
        if is_language_model(ours) and not is_language_model(theirs) and dose in curves[theirs]
    ]
    for training, mine in samples.items():
        avoiding = replace(training, scheme=RECOMBINED)
        if training.scheme == ANYWHERE and avoiding in samples:
            ours, theirs = (f"{training.learner} {scheme}" for scheme in (ANYWHERE, RECOMBINED))
            pairs.append((ours, theirs, np.nan, mine, samples[avoiding]))
    rows = []
    for ours, theirs, dose, mine, their in pairs:
        for metric in METRICS.values():
            rests = rests_on(metric, success, groups)
            apart = over_seeds([one - other for one, other in zip(mine[metric], their[metric], strict=True)], rests)
            where = (experiment.split.name, ours, theirs, dose, metric)
            rows.append((*where, apart.value, *bounded_interval(apart, APART, rests)))
    return pd.DataFrame(rows, columns=["split", "ours", "theirs", "dose", "metric", "value", "low", "high"])


def _enough(experiment: Experiment, samples: Samples) -> dict[tuple[str, str, str], Enough]:
    """By learner, learner that it is compared with ("" for none) and what is asked; two doses at least."""
    success, groups = experiment.success.loc[experiment.test].to_numpy(), _groups(experiment)
    curves = _curves(samples)
    found = {}
    for learner, by_dose in curves.items():
        for other in ("", *(name for name in curves if is_language_model(name) != is_language_model(learner))):
            doses = [dose for dose in by_dose if not other or dose in curves[other]]
            for what, metric in METRICS.items() if len(doses) > 1 else ():
                curve = {dose: by_dose[dose][metric] for dose in doses}
                found[learner, other, what] = smallest_enough(what, curve, rests_on(metric, success, groups))
    return found


def enough_table(findings: Findings) -> pd.DataFrame:
    """One row per learner, learner that it is compared with, and what is asked."""
    rows = [
        {"split": findings.experiment.split.name, "learner": learner, "compared_with": other, "asked": what}
        | {"dose": one.dose, "low": one.low, "high": one.high, "doses": " ".join(f"{dose:g}" for dose in one.doses)}
        | {"effective_groups": one.groups, "answer": "told" if one.told else "cannot tell"}
        for (learner, other, what), one in findings.enough.items()
    ]
    return pd.DataFrame(rows)


def _sensitivity(moved: Experiment, cells: Cells) -> pd.DataFrame:
    """Ranking and acceptance of the classical learners at another threshold of success."""
    metrics, _ = _metrics(moved, cells)
    kept = metrics[metrics["metric"].isin(("auroc", "fpr")) & (metrics["reading"] == RAW)]
    share = float(moved.success.loc[moved.test].mean())
    return kept.assign(threshold=moved.settings.success, test_successes=share)


def _grouped(cells: Cells) -> dict[Training, list[Mapping[str, Any]]]:
    """The cells of the same training with different seeds."""
    found: dict[Training, list[Mapping[str, Any]]] = {}
    for training, cell in cells:
        found.setdefault(replace(training, seed=0), []).append(cell)
    return found


def _named(experiment: Experiment, training: Training) -> dict[str, Any]:
    names = ("split", "scheme", "learner", "variant", "dose")
    return dict(zip(names, _where(experiment, training), strict=True))


def _where(experiment: Experiment, training: Training) -> tuple[Any, ...]:
    dose = np.nan if training.dose is None else training.dose
    return experiment.split.name, training.scheme, training.learner, training.variant, dose


def _particulars(cell: Mapping[str, Any]) -> dict[str, Any]:
    return {**cell["about"], "seconds": cell["seconds"], "peak_mb": cell["peak_mb"], "cell_id": cell["id"]}


def _readings(
    scored: list[Scored], cells: list[Mapping[str, Any]], success: np.ndarray, base_rate: float
) -> dict[str, list[Scored]]:
    """The models as they are, and with the decision moved to another base rate; the ranking stays."""
    readings = {RAW: scored}
    rates = [_trained_rate(cell) for cell in cells]
    if any(rate is None for rate in rates) or any(one.chance is None for one in scored):
        return readings
    targets = {ORACLE: float(success.mean())} | ({STATED: base_rate} if base_rate else {})
    for name, target in targets.items():
        readings[name] = [
            _moved(one, rate, target) for one, rate in zip(scored, rates, strict=True) if rate is not None
        ]
    return readings


def _moved(scored: Scored, trained_rate: float, target: float) -> Scored:
    assert scored.chance is not None
    chance = prior_corrected(scored.chance, trained_rate, target)
    return Scored(chance, 0.5, chance)


def _trained_rate(cell: Mapping[str, Any]) -> float | None:
    """Share of successes among real training rows; None where a model has seen only one kind, or none."""
    about = cell["about"]
    if not about["successes"] or not about["failures"]:
        return None
    return about["successes"] / (about["successes"] + about["failures"])


def _foreign_rows(
    experiment: Experiment, training: Training, cells: list[Mapping[str, Any]], success: np.ndarray
) -> list[dict[str, Any]]:
    """AUROC of the score for three questions, mean over seeds, with an interval over both sets of rows."""
    found = []
    seed, groups = experiment.seed, _groups(experiment)
    for kind, rows in experiment.foreign.items():
        n = len(rows)
        # Each foreign row is a group of its own; no group of test rows has a name that begins with a space.
        others = np.array([f" foreign {number}" for number in range(n)], dtype=object)
        for question, chosen, other in (
            ("successes above foreign", success, np.zeros(len(success), dtype=bool)),
            ("failures above foreign", ~success, np.zeros(len(success), dtype=bool)),
            ("successes above failures and foreign", success, ~success),
        ):
            kept = np.flatnonzero(chosen | other)
            truth, labels = np.r_[chosen[kept], np.zeros(n, dtype=bool)], np.r_[groups[kept], others]
            draws = group_weights(groups[kept], seed, RESAMPLES // 4), group_weights(others, seed + 1, RESAMPLES // 4)
            weights = np.vstack([np.ones((1, len(truth))), np.hstack(draws)])
            samples = [
                auroc(truth, np.r_[np.array(cell["test"]["score"])[kept], cell["foreign"][kind]], weights)
                for cell in cells
            ]
            value, low, high = summary(samples, "auroc", rarer(truth, labels))
            found.append(
                {**_named(experiment, training), "foreign": kind, "question": question}
                | {"auroc": value, "low": low, "high": high, "n": len(truth), "seeds": len(cells)}
            )
    return found


def _prediction_table(experiment: Experiment, cells: Cells) -> pd.DataFrame:
    success, yields = (values.loc[experiment.test].to_numpy() for values in (experiment.success, experiment.yields))
    parts = []
    for training, cell in cells:
        scored = scored_of(cell)
        part = pd.DataFrame({"cell_id": cell["id"], "row_id": experiment.test, "dataset": experiment.table.name})
        for name, value in (_named(experiment, training) | {"seed": training.seed}).items():
            part[name] = value
        part["success"], part["yield"] = success, yields
        part["score"], part["accepted"] = scored.score, scored.score >= scored.threshold
        part["chance"] = np.nan if scored.chance is None else scored.chance
        part["predicted_yield"] = np.nan if scored.predicted is None else scored.predicted
        parts.append(part)
    return pd.concat(parts, ignore_index=True)
