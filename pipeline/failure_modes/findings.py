"""From the cells of the negatives experiment to tables, intervals and plain sentences."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from pipeline.arms.ladder import is_language_model
from pipeline.evaluation.bootstrap import MIN_GROUPS, group_weights, interval
from pipeline.evaluation.detection import Scored, detection_scores, over_seeds, prior_corrected
from pipeline.evaluation.metrics import auroc
from pipeline.evaluation.verdict import number
from pipeline.failure_modes.folder import Interval, interval_where, write_folder
from pipeline.failure_modes.negatives import (
    ALWAYS_YES,
    DECOYS,
    DOSE,
    FIXED_POSITIVES,
    NAME,
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
RANKING_GAP, ACCEPTANCE_GAP = 0.02, 0.05  # from there on a dose counts as enough
COLUMNS = ["split", "scheme", "learner", "variant", "dose", "reading", "metric", "value", "low", "high"]


@dataclass(frozen=True)
class Findings:
    """What the experiment found on one split.

    ``metrics`` has the columns `COLUMNS` with ``n``, ``groups`` and ``seeds``; ``trained`` one row per training, with
    what it was trained on; ``predictions`` one row per training and test row; ``foreign`` how well a score tells
    successes and failures from foreign reactions; ``compared`` how far the language model is from each classical
    learner on the same rows (``ours`` minus ``theirs``); ``sensitivity`` what other thresholds of success give.
    """

    experiment: Experiment
    metrics: pd.DataFrame
    trained: pd.DataFrame
    predictions: pd.DataFrame
    foreign: pd.DataFrame
    compared: pd.DataFrame
    sensitivity: pd.DataFrame
    sentences: tuple[str, ...]

    def part(self, **where: str) -> pd.DataFrame:
        """The metrics whose columns have these values."""
        found = self.metrics
        for column, wanted in where.items():
            found = found[found[column] == wanted]
        return found

    @property
    def decoys(self) -> pd.DataFrame:
        """The trainings with decoys, each kind once a seed: all learners are given the same."""
        part = self.trained[self.trained["scheme"].isin(DECOYS)]
        return part.drop_duplicates(["scheme", "seed"])

    def difference(self, ours: str, theirs: str, dose: float, metric: str) -> Interval | None:
        """``(value, low, high)`` of one learner minus another at a dose; None where it was not found."""
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
    metrics, curves = _metrics(experiment, cells)
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
        _differences(experiment, curves),
        sensitivity,
        (),
    )
    return replace(findings, sentences=tuple(sentences(findings)))


Curves = dict[tuple[str, float], dict[str, np.ndarray]]  # resamples of each metric, by learner and dose


def _metrics(experiment: Experiment, cells: list[tuple[Training, dict[str, Any]]]) -> tuple[pd.DataFrame, Curves]:
    """Every metric of every way of training with its interval, and the resamples of the dose curves."""
    success = experiment.success.loc[experiment.test].to_numpy()
    yields = experiment.yields.loc[experiment.test].to_numpy()
    groups = np.array([experiment.split.groups[row] for row in experiment.test], dtype=object)
    seed = experiment.run.config.seed
    weights = np.vstack([np.ones((1, len(success))), group_weights(groups, seed, RESAMPLES)])
    rows = []
    curves: Curves = {}
    for training, members in _grouped(cells).items():
        readings = _readings([scored_of(cell) for cell in members], members, success, experiment.settings.base_rate)
        for reading, per_seed in readings.items():
            scores = [detection_scores(success, yields, scored, weights) for scored in per_seed]
            for metric in scores[0]:
                samples = over_seeds([one[metric] for one in scores], seed)
                if reading == RAW and training.scheme == DOSE and training.variant == FIXED_POSITIVES:
                    curves.setdefault((training.learner, training.dose or 0.0), {})[metric] = samples
                where = _where(experiment, training)
                rows.append((*where, reading, metric, float(samples[0]), *interval(samples[1:]), len(members)))
    metrics = pd.DataFrame(rows, columns=[*COLUMNS, "seeds"])
    metrics["n"], metrics["groups"] = len(success), len(set(groups))
    return metrics, curves


def _differences(experiment: Experiment, curves: Curves) -> pd.DataFrame:
    """The language model minus each classical learner at each dose that both have, on the same resamples."""
    rows = []
    for (ours, dose), mine in curves.items():
        for (theirs, other), their in curves.items():
            if dose != other or not is_language_model(ours) or is_language_model(theirs):
                continue
            for metric in ("auroc", "fpr"):
                samples = mine[metric] - their[metric]
                where = (experiment.split.name, ours, theirs, dose, metric)
                rows.append((*where, float(samples[0]), *interval(samples[1:])))
    return pd.DataFrame(rows, columns=["split", "ours", "theirs", "dose", "metric", "value", "low", "high"])


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
        parts.append(kept.assign(threshold=threshold, successes=share))
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
    rng = np.random.default_rng(experiment.run.config.seed)
    for kind in experiment.foreign:
        for question, chosen, other in (
            ("successes above foreign", success, np.zeros(len(success), dtype=bool)),
            ("failures above foreign", ~success, np.zeros(len(success), dtype=bool)),
            ("successes above failures and foreign", success, ~success),
        ):
            samples = []
            n = len(experiment.foreign[kind])
            kept = np.flatnonzero(chosen | other)
            truth = np.r_[chosen[kept], np.zeros(n, dtype=bool)]
            draws = rng.multinomial(len(kept), np.full(len(kept), 1 / len(kept)), size=RESAMPLES // 4)
            others = rng.multinomial(n, np.full(n, 1 / n), size=RESAMPLES // 4)
            weights = np.vstack([np.ones((1, len(truth))), np.hstack([draws, others])])
            for cell in cells:
                score = np.r_[np.array(cell["test"]["score"])[kept], cell["foreign"][kind]]
                samples.append(auroc(truth, score, weights))
            mean = over_seeds(samples, experiment.run.config.seed)
            low, high = interval(mean[1:])
            found.append(
                {**_named(experiment, training), "foreign": kind, "question": question}
                | {"auroc": float(mean[0]), "low": low, "high": high, "n": len(truth), "seeds": len(cells)}
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
    said += few_groups(groups)
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


def few_groups(groups: int) -> list[str]:
    """A word of caution where there are too few independent test groups."""
    few = groups < MIN_GROUPS
    return [f"Fewer than {MIN_GROUPS} independent test groups: intervals say little here."] if few else []


def with_interval(found: Interval) -> str:
    """``0.81 [0.78 to 0.84]``."""
    return f"{number(found[0])} [{number(found[1])} to {number(found[2])}]"


def in_percent(found: Interval) -> str:
    """A share as ``81 % [78 to 84]``."""
    value, low, high = (100 * part for part in found)
    return f"{value:.0f} % [{low:.0f} to {high:.0f}]"


def _permissive(findings: Findings, learner: str) -> list[str]:
    ranking = findings.value(YIELDS_ALONE, learner, "auroc")
    accepted = findings.value(YIELDS_ALONE, learner, "fpr")
    bias = findings.value(YIELDS_ALONE, learner, "yield_bias")
    if not ranking or not accepted or not bias:
        return []
    return [
        f"{learner} as a regression of the yields of successes ranks with AUROC {with_interval(ranking)}, accepts "
        f"{in_percent(accepted)} of the failures, and predicts {with_interval(bias)} yield points too much."
    ]


def enough(findings: Findings, learner: str, variant: str) -> tuple[float | None, float | None]:
    """The smallest dose that ranks, and the smallest that refuses, nearly as well as the largest one."""
    part = findings.part(scheme=DOSE, learner=learner, variant=variant, reading=RAW)
    ranking = part[part["metric"] == "auroc"].set_index("dose")["value"].sort_index()
    accepted = part[part["metric"] == "fpr"].set_index("dose")["value"].sort_index()
    if len(ranking) < 2:
        return None, None
    ranks = ranking.index[ranking >= ranking.iloc[-1] - RANKING_GAP]
    refuses = accepted.index[accepted <= accepted.iloc[-1] + ACCEPTANCE_GAP]
    return float(ranks[0]), float(refuses[0])


def _doses(findings: Findings, learner: str) -> list[str]:
    ranks, refuses = enough(findings, learner, FIXED_POSITIVES)
    if ranks is None or refuses is None:
        return []
    parts = []
    for dose in sorted({ranks, refuses, *_asked(findings, learner)[-1:]}):
        ranking = findings.value(DOSE, learner, "auroc", dose=dose)
        accepted = findings.value(DOSE, learner, "fpr", dose=dose)
        if ranking and accepted:
            parts.append(
                f"at {dose:g} % AUROC {with_interval(ranking)} and {in_percent(accepted)} of the failures accepted"
            )
    return [f"{learner} {_from_dose(findings, learner, ranks, refuses)}: {'; '.join(parts)}."]


def _from_dose(findings: Findings, learner: str, ranks: float, refuses: float) -> str:
    """What a dose mends, in words; the largest one is not called enough, since nothing larger was tried."""
    largest = _asked(findings, learner)[-1]
    ranking = (
        f"ranks as well as with {largest:g} % of the failures (AUROC within {RANKING_GAP}) from {ranks:g} % on"
        if ranks < largest
        else f"ranks better with {largest:g} % of the failures than with any smaller dose"
    )
    refusing = (
        f"refuses as well (false-positive rate within {ACCEPTANCE_GAP}) from {refuses:g} % on"
        if refuses < largest
        else f"accepts fewer of them only with {largest:g} %"
    )
    return f"{ranking}, and {refusing}"


def _asked(findings: Findings, learner: str) -> list[float]:
    return sorted(findings.part(scheme=DOSE, learner=learner)["dose"].unique())


def _compared(findings: Findings) -> list[str]:
    learners = findings.experiment.learners
    language_models = [learner for learner in learners if is_language_model(learner)]
    classical = [learner for learner in learners if learner not in language_models]
    said = []
    for ours in language_models:
        for theirs in classical:
            shared = sorted(set(_asked(findings, ours)) & set(_asked(findings, theirs)))
            parts = []
            for dose in shared:
                one, two = (findings.value(DOSE, learner, "auroc", dose=dose) for learner in (ours, theirs))
                apart = findings.difference(ours, theirs, dose, "auroc")
                if one and two and apart:
                    parts.append(
                        f"{number(one[0])} against {number(two[0])} at {dose:g} % (difference {with_interval(apart)})"
                    )
            mine, other = (enough(findings, learner, FIXED_POSITIVES)[0] for learner in (ours, theirs))
            if not parts:
                continue
            need = ""
            if mine is not None and other is not None and mine != other:
                more = "more" if mine > other else "fewer"
                need = f"; {ours} needs {more} failures to come as far as it comes ({mine:g} against {other:g} %)"
            said.append(f"On the same rows {ours} and {theirs} have AUROC {', '.join(parts)}{need}.")
    return said


def _contamination(findings: Findings) -> list[str]:
    part = findings.decoys
    part = part[part["decoys_known"] > 0] if len(part) else part
    if part.empty:
        return []
    known, successes, made = (int(part[name].sum()) for name in ("decoys_known", "decoys_successes", "decoys"))
    return [
        f"{known} of {made} recombined decoys were measured after all, and {successes / known:.0%} of those were "
        "successes: that share of the stand-ins for failures is wrong."
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
