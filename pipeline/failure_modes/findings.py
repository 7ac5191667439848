"""From the cells of the negatives experiment to tables, intervals and plain sentences."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from pipeline.arms.ladder import is_language_model
from pipeline.evaluation.bootstrap import MIN_GROUPS, group_weights
from pipeline.evaluation.detection import BOUNDS, Scored, detection_scores, prior_corrected, rests_on
from pipeline.evaluation.metrics import auroc
from pipeline.evaluation.seeded import APART, bounded_interval, effective_groups, over_seeds, rarer, too_few
from pipeline.evaluation.verdict import number
from pipeline.experiment import settle
from pipeline.failure_modes.doses import (
    METRICS,
    RANKING,
    REFUSING,
    Enough,
    enough_in_words,
    needs_in_words,
    smallest_enough,
)
from pipeline.failure_modes.folder import Interval, interval_where, write_folder
from pipeline.failure_modes.negatives import (
    ALWAYS_YES,
    ANYWHERE,
    DECOYS,
    DOSE,
    FIXED_POSITIVES,
    NAME,
    RECOMBINED,
    YIELDS_ALONE,
    Experiment,
    Training,
    at_threshold,
    scored_of,
    sensitivity_trainings,
    train_and_judge,
    trainings,
)

RESAMPLES = 1_000
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
    sentences: tuple[str, ...]

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


def execute(experiments: Sequence[Experiment]) -> list[Findings]:
    """Train all that is not there yet, and write what the folder of the experiment holds except for the report."""
    found = []
    for experiment in experiments:
        settle(experiment.run)
        cells = []
        reporter = experiment.run.reporter
        for training in trainings(experiment):
            cells.append((training, train_and_judge(experiment, training)))
            reporter.say(_line(experiment, *cells[-1]))
        found.append(_found(experiment, cells, _sensitivity(experiment)))
    _write(found)
    return found


def _line(experiment: Experiment, training: Training, cell: dict[str, Any]) -> str:
    scored, success = scored_of(cell), experiment.success.loc[experiment.test].to_numpy()
    one = np.ones((1, len(success)))
    accepted = float((scored.score >= scored.threshold)[~success].mean())
    shown = f"AUROC {auroc(success, scored.score, one)[0]:.3f}  accepts {accepted:4.0%} of failures"
    return f"{training.label:<72} {shown}  {cell['seconds']:6.1f} s"


def _found(experiment: Experiment, cells: list[tuple[Training, dict[str, Any]]], sensitivity: pd.DataFrame) -> Findings:
    metrics, samples = _metrics(experiment, cells)
    success = experiment.success.loc[experiment.test].to_numpy()
    foreign: list[dict[str, Any]] = []
    trained = []
    for training, members in _grouped(cells).items():
        foreign += _foreign_rows(experiment, training, members, success)
        for cell in members:
            trained.append(
                {**_named(experiment, training), "seed": cell["key"]["training"]["seed"], **_particulars(cell)}
            )
    findings = Findings(
        experiment,
        metrics,
        pd.DataFrame(trained),
        _prediction_table(experiment, cells),
        pd.DataFrame(foreign),
        _differences(experiment, samples),
        _enough(experiment, samples),
        sensitivity,
        (),
    )
    return replace(findings, sentences=tuple(sentences(findings)))


# Of each training, whatever its seed: each metric on the test rows and in resamples of their groups, a list by seed.
Samples = dict[Training, dict[str, list[np.ndarray]]]


def _groups(experiment: Experiment) -> np.ndarray:
    return np.array([experiment.split.groups[row] for row in experiment.test], dtype=object)


def _metrics(experiment: Experiment, cells: list[tuple[Training, dict[str, Any]]]) -> tuple[pd.DataFrame, Samples]:
    """Every metric of every way of training with its interval, and the resamples of the models as they are."""
    success = experiment.success.loc[experiment.test].to_numpy()
    yields = experiment.yields.loc[experiment.test].to_numpy()
    groups = _groups(experiment)
    weights = np.vstack([np.ones((1, len(success))), group_weights(groups, experiment.run.config.seed, RESAMPLES)])
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


def _sensitivity(experiment: Experiment) -> pd.DataFrame:
    """Ranking and acceptance of the classical learners at other thresholds of success."""
    parts = []
    for threshold in experiment.settings.sensitivity:
        moved = at_threshold(experiment, threshold)
        if moved is None:
            experiment.run.reporter.say(f"Success from {threshold:g} % leaves too few of one kind and is left out.")
            continue
        cells = []
        for training in sensitivity_trainings(moved):
            cells.append((training, train_and_judge(moved, training)))
            experiment.run.reporter.say(f"from {threshold:g} %: {_line(moved, *cells[-1])}")
        metrics, _ = _metrics(moved, cells)
        kept = metrics[metrics["metric"].isin(("auroc", "fpr")) & (metrics["reading"] == RAW)]
        share = float(moved.success.loc[moved.test].mean())
        parts.append(kept.assign(threshold=threshold, test_successes=share))
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()


def _grouped(cells: list[tuple[Training, dict[str, Any]]]) -> dict[Training, list[dict[str, Any]]]:
    """The cells of the same training with different seeds."""
    found: dict[Training, list[dict[str, Any]]] = {}
    for training, cell in cells:
        found.setdefault(replace(training, seed=0), []).append(cell)
    return found


def _named(experiment: Experiment, training: Training) -> dict[str, Any]:
    names = ("split", "scheme", "learner", "variant", "dose")
    return dict(zip(names, _where(experiment, training), strict=True))


def _where(experiment: Experiment, training: Training) -> tuple[Any, ...]:
    dose = np.nan if training.dose is None else training.dose
    return experiment.split.name, training.scheme, training.learner, training.variant, dose


def _particulars(cell: dict[str, Any]) -> dict[str, Any]:
    return {**cell["about"], "seconds": cell["seconds"], "peak_mb": cell["peak_mb"], "cell_id": cell["id"]}


def _readings(
    scored: list[Scored], cells: list[dict[str, Any]], success: np.ndarray, base_rate: float
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


def _trained_rate(cell: dict[str, Any]) -> float | None:
    """Share of successes among real training rows; None where a model has seen only one kind, or none."""
    about = cell["about"]
    if not about["successes"] or not about["failures"]:
        return None
    return about["successes"] / (about["successes"] + about["failures"])


def _foreign_rows(
    experiment: Experiment, training: Training, cells: list[dict[str, Any]], success: np.ndarray
) -> list[dict[str, Any]]:
    """AUROC of the score for three questions, mean over seeds, with an interval over both sets of rows."""
    found = []
    seed, groups = experiment.run.config.seed, _groups(experiment)
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


def _prediction_table(experiment: Experiment, cells: list[tuple[Training, dict[str, Any]]]) -> pd.DataFrame:
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


# -- in words --------------------------------------------------------------------------------


def sentences(findings: Findings) -> list[str]:
    """How permissive a model of successes is, what dose of failures mends what, and who needs fewer."""
    experiment = findings.experiment
    n, groups = int(findings.metrics["n"].iloc[0]), int(findings.metrics["groups"].iloc[0])
    share = float(experiment.success.loc[experiment.test].mean())
    said = [
        f"Split {experiment.split.name}: {n} test reactions in {groups} groups, {share:.0%} of them successes "
        f"(yield of at least {experiment.settings.success:g} %)."
    ]
    said += few_groups(findings.groups) + one_seed(int(findings.metrics["seeds"].max()))
    yes = findings.value(ALWAYS_YES, "none", "fpr")
    if yes:
        said.append(
            f"Trained on successes alone, a label model of any kind says yes to everything: it accepts {yes[0]:.0%} of "
            "the failures and cannot rank (AUROC 0.5)."
        )
    for learner in experiment.learners:
        said += _permissive(findings, learner)
        said += _doses(findings, learner)
    said += _compared(findings)
    said += _contamination(findings)
    return said


def few_groups(groups: np.ndarray, what: str = "independent test groups") -> list[str]:
    """A word of caution where there are too few independent test groups, or some are so large that they tell no more.

    Parameters
    ----------
    groups : ndarray of shape (n,)
        The group of each test row.
    """
    if not too_few(groups):
        return []
    count, alike = len(set(groups)), effective_groups(groups)
    unequal = f" ({count} that tell as much as {alike:.3g} of equal size)" if count >= MIN_GROUPS else ""
    return [f"Fewer than {MIN_GROUPS} {what}{unequal}: intervals say little here."]


def one_seed(seeds: int) -> list[str]:
    """What the intervals of a single training seed leave out."""
    return ["One training seed: how much another draw of the training rows changes is in no interval."] * (seeds == 1)


def with_interval(found: Interval) -> str:
    """``0.81 [0.78 to 0.84]``."""
    value, low, high = found
    return f"{number(value)} [{number(low)} to {number(high)}]" if np.isfinite([low, high]).all() else number(value)


def in_percent(found: Interval) -> str:
    """A share as ``81 % [78 to 84]``; what is not quite all or none is not rounded to it."""
    value, low, high = (_whole_percent(part) for part in found)
    return f"{value} % [{low} to {high}]" if np.isfinite(found[1:]).all() else f"{value} %"


def _whole_percent(share: float) -> str:
    percent = 100 * share
    if 0 < percent < 0.5 or 99.5 <= percent < 100:
        return f"{min(max(percent, 0.1), 99.9):.1f}"
    return f"{percent:.0f}"


def can_be_chance(found: Interval) -> bool:
    """Whether a difference may be none: its interval holds zero, or is not known."""
    return not (found[1] > 0 or found[2] < 0)


def biased(found: Interval) -> str:
    """``12 [8 to 16] yield points too much``, or too little; said where it can be chance."""
    value, low, high = found if found[0] >= 0 else (-found[0], -found[2], -found[1])
    side = "too much" if found[0] >= 0 else "too little"
    return (
        f"{with_interval((value, low, high))} yield points {side}{' (can be chance)' if can_be_chance(found) else ''}"
    )


def _permissive(findings: Findings, learner: str) -> list[str]:
    ranking = findings.value(YIELDS_ALONE, learner, "auroc")
    accepted = findings.value(YIELDS_ALONE, learner, "fpr")
    bias = findings.value(YIELDS_ALONE, learner, "yield_bias")
    if not ranking or not accepted or not bias:
        return []
    return [
        f"{learner} as a regression of the yields of successes ranks with AUROC {with_interval(ranking)}, accepts "
        f"{in_percent(accepted)} of the failures, and predicts {biased(bias)} on average."
    ]


def _doses(findings: Findings, learner: str) -> list[str]:
    found = [findings.enough.get((learner, "", what)) for what in (RANKING, REFUSING)]
    told = [one for one in found if one is not None]
    if not told:
        return []
    parts = []
    for dose in sorted({*(one.dose for one in told if one.told), told[0].doses[0], told[0].doses[-1]}):
        ranking = findings.value(DOSE, learner, "auroc", dose=dose)
        accepted = findings.value(DOSE, learner, "fpr", dose=dose)
        if ranking and accepted:
            parts.append(
                f"at {dose:g} % AUROC is {with_interval(ranking)}, and {in_percent(accepted)} of the failures are "
                "accepted"
            )
    return [*(enough_in_words(learner, one) for one in told), f"{learner}: {'; '.join(parts)}."]


def _compared(findings: Findings) -> list[str]:
    learners = findings.experiment.learners
    language_models = [learner for learner in learners if is_language_model(learner)]
    classical = [learner for learner in learners if learner not in language_models]
    return [
        sentence
        for ours in language_models
        for theirs in classical
        if (sentence := _language_model_against(findings, ours, theirs))
    ]


def _language_model_against(findings: Findings, ours: str, theirs: str) -> str:
    parts = []
    at = findings.compared
    for dose in sorted(at.loc[(at["ours"] == ours) & (at["theirs"] == theirs), "dose"].unique()):
        one, two = (findings.value(DOSE, learner, "auroc", dose=dose) for learner in (ours, theirs))
        apart = findings.difference(ours, theirs, dose, "auroc")
        if one and two and apart:
            parts.append(f"{number(one[0])} against {number(two[0])} at {dose:g} % (difference {with_interval(apart)})")
    if not parts:
        return ""
    mine, other = (findings.enough.get((*pair, RANKING)) for pair in ((ours, theirs), (theirs, ours)))
    need = f"; {needs_in_words(ours, mine, theirs, other)}" if mine and other else ""
    return f"On the same rows {ours} and {theirs} have AUROC {', '.join(parts)}{need}."


def _contamination(findings: Findings) -> list[str]:
    part = findings.decoys
    part = part[part["scheme"] == RECOMBINED] if len(part) else part
    if part.empty:
        return []
    known, successes, made = (int(part[name].sum()) for name in ("decoys_known", "decoys_successes", "decoys"))
    if not known:
        return _avoiding(findings)
    return [
        f"Of {made} recombined decoys {known} were measured after all, and {successes / known:.0%} of those were "
        "successes: as stand-ins for failures these are wrong.",
        *_avoiding(findings),
    ]


def _avoiding(findings: Findings) -> list[str]:
    """That decoys keep clear of the test reactions, and what it was worth."""
    parts = []
    for learner in findings.experiment.learners:
        apart = findings.difference(f"{learner} {ANYWHERE}", f"{learner} {RECOMBINED}", np.nan, "auroc")
        if apart:
            parts.append(f"{learner} by {with_interval(apart)}{' (can be chance)' if can_be_chance(apart) else ''}")
    measured = f" Decoys drawn without a look at them change its AUROC: {'; '.join(parts)}." if parts else ""
    return [
        "The recombined decoys keep clear of the test reactions, which a chemist who draws them cannot: what is shown "
        f"of them is optimistic.{measured}"
    ]


# -- writing ---------------------------------------------------------------------------------


def _write(found: Sequence[Findings]) -> None:
    first = found[0].experiment
    tables = {
        "splits": [one.experiment.split.frame() for one in found],
        "metrics": [one.metrics for one in found],
        "trained": [one.trained for one in found],
        "foreign": [one.foreign for one in found],
        "compared": [one.compared for one in found],
        "enough": [enough_table(one) for one in found],
        "sensitivity": [one.sensitivity for one in found],
    }
    write_folder(
        first.run,
        NAME,
        first.settings,
        {name: pd.concat(parts, ignore_index=True) for name, parts in tables.items()},
        pd.concat([one.predictions for one in found], ignore_index=True),
        first.learners,
        [sentence for one in found for sentence in one.sentences],
    )
