"""From the cells of the study of verifiers to metrics, intervals and plain sentences."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from pipeline.evaluation.bootstrap import group_weights
from pipeline.evaluation.estimates import Estimate, signs
from pipeline.evaluation.metrics import divide
from pipeline.evaluation.numbers import Interval
from pipeline.evaluation.seeded import APART, SHARE, Bounds, bounded_interval, over_seeds
from pipeline.report.sections import interval_where
from pipeline.studies.verifier.experiment import Check, Experiment, Question, checks, popularity
from pipeline.studies.verifier.work import PROPOSE, candidates, check_of
from pipeline.studies.words import RESAMPLES, few_groups, in_percent, one_seed

GENERATOR, EVERYTHING, POPULAR, RANDOM = "generator", "every combination", "most popular", "random"
UNFILTERED, VALID, LIKELIHOOD = "none", "validity", "own likelihood"
PRECISION, COVERAGE, GAIN, OVER_POPULAR = "precision", "coverage", "gain over no filter", "gain over most popular"
VALID_SHARE, DISTINCT, OUTSIDE = "valid", "distinct", "outside the table"


@dataclass(frozen=True)
class Answered:
    """A question with what was proposed for it, and how each candidate is scored by filter.

    ``samples`` holds the proposed values in the order they were written, None where one was refused; ``valid`` are
    the first so many ``candidates``.
    """

    question: Question
    samples: list[tuple[str, ...] | None]
    candidates: list[tuple[str, ...]]
    valid: int
    success: np.ndarray  # of the candidates; False where not measured
    known: np.ndarray  # whether a candidate was measured
    scores: dict[str, np.ndarray]
    popular: list[int]  # candidates, the most popular combination first
    successes: int  # measured ones of the question, whatever the candidates


@dataclass(frozen=True)
class Findings:
    """What the experiment found.

    ``metrics`` has the columns ``proposals``, ``filter``, ``top`` (0 where it does not apply), ``metric``, ``value``,
    ``low``, ``high``, ``seeds``, ``n`` (questions), ``groups`` (held-out values) and ``shown``, the sign of a change
    that the verdict speaks of and that is shown by Holm's method over all of these; ``trained`` one row per training;
    ``predictions`` one row per seed, question and candidate.
    """

    experiment: Experiment
    metrics: pd.DataFrame
    trained: pd.DataFrame
    predictions: pd.DataFrame

    def shown(self, chosen: str, metric: str, top: int) -> bool:
        """Whether a change of the generator's proposals by a filter is shown."""
        rows = self.metrics
        there = (rows["filter"] == chosen) & (rows["metric"] == metric) & (rows["top"] == top)
        return bool(rows.loc[there & (rows["proposals"] == GENERATOR), "shown"].any())

    def value(self, proposals: str, chosen: str, metric: str, top: int = 0) -> Interval | None:
        """``(value, low, high)``; None where it was not found."""
        return interval_where(self.metrics, proposals=proposals, filter=chosen, metric=metric, top=top)


def found_in(experiment: Experiment, contents: Sequence[Mapping[str, Any]]) -> Findings:
    """What the cells say."""
    answered, trained = [], []
    for seed in range(experiment.settings.seeds):
        of_seed: list[Answered] = []
        for fold in range(len(experiment.parts)):
            here = [one for one in contents if (one["tags"]["fold"], one["tags"]["seed"]) == (fold, seed)]
            (generator,) = (one for one in here if one["work"] == PROPOSE)
            by_check = {check_of(one["tags"]): one for one in here if one["work"] != PROPOSE}
            trained += [_trained("generator", generator), *(_trained(*pair) for pair in _labelled(by_check))]
            of_seed += _answered(experiment, fold, seed, generator, by_check)
        answered.append(of_seed)
    predictions = pd.concat(
        [_prediction_table(experiment, of_seed, seed) for seed, of_seed in enumerate(answered)], ignore_index=True
    )
    return Findings(experiment, _metrics(experiment, answered), pd.DataFrame(trained), predictions)


def _labelled(by_check: Mapping[Check, Mapping[str, Any]]) -> list[tuple[str, Mapping[str, Any]]]:
    return [(check.label, cell) for check, cell in by_check.items()]


def _trained(what: str, cell: Mapping[str, Any]) -> dict[str, Any]:
    where = {"trained": what, "fold": cell["tags"]["fold"], "seed": cell["tags"]["seed"]}
    return where | cell["about"] | {name: cell[name] for name in ("seconds", "peak_mb")} | {"cell_id": cell["id"]}


def generator_line(cell: Mapping[str, Any]) -> str:
    """How many proposals a generator wrote."""
    fold, seed = cell["tags"]["fold"], cell["tags"]["seed"]
    written = [one for proposals in cell["proposals"] for one in proposals]
    valid = sum(one["values"] is not None for one in written)
    return f"generator, fold {fold + 1}, seed {seed}: {len(written)} proposals, {valid} valid  {cell['seconds']:6.1f} s"


def _answered(
    experiment: Experiment, fold: int, seed: int, cell: Mapping[str, Any], by_check: Mapping[Check, Mapping[str, Any]]
) -> list[Answered]:
    counts = popularity(experiment, fold, seed)
    found = []
    questions = experiment.asked(fold)
    known_combinations = set(experiment.combinations[fold])
    for place, (question, proposals) in enumerate(zip(questions, cell["proposals"], strict=True)):
        samples = [None if one["values"] is None else tuple(one["values"]) for one in proposals]
        ranked = candidates(experiment, fold, samples)
        outcomes = [experiment.outcomes.get(experiment.reaction(question.row, values)) for values in ranked]
        order = sorted(
            (number for number, values in enumerate(ranked) if values in known_combinations),
            key=lambda number: (-counts.get(ranked[number], 0), ranked[number]),
        )
        found.append(
            Answered(
                question,
                samples,
                ranked,
                len({values for values in samples if values is not None}),
                np.array([outcome is not None and outcome[1] for outcome in outcomes]),
                np.array([outcome is not None for outcome in outcomes]),
                {LIKELIHOOD: np.array(cell["likelihood"][place])}
                | {check.label: np.array(scored["scores"][place]) for check, scored in by_check.items()},
                order,
                experiment.successes[experiment.stated(question.row)],
            )
        )
    return found


# -- metrics ---------------------------------------------------------------------------------


def _hits(answer: Answered, proposals: str, chosen: str) -> np.ndarray:
    """Which proposals of a question succeed, in the order in which a filter puts them. Shape (proposals,)."""
    if proposals == POPULAR:
        return answer.success[answer.popular]
    if chosen == UNFILTERED:
        place = {values: number for number, values in enumerate(answer.candidates)}
        return np.array([values is not None and bool(answer.success[place[values]]) for values in answer.samples])
    allowed = np.arange(answer.valid) if proposals == GENERATOR else np.array(sorted(answer.popular))
    if chosen == VALID or not len(allowed):
        return answer.success[allowed]
    return answer.success[allowed[np.argsort(-answer.scores[chosen][allowed], kind="stable")]]


def precision_at(hits: np.ndarray, top: int) -> float:
    """Share of successes among the first proposals; of those there are, if they are fewer; 0 where there is none."""
    return float(hits[:top].mean()) if len(hits) else 0.0


def rankings(experiment: Experiment) -> list[tuple[str, str]]:
    """All pairs of where proposals come from and what puts them in order."""
    scored = [LIKELIHOOD, *(check.label for check in checks(experiment))]
    return [
        *((GENERATOR, chosen) for chosen in (UNFILTERED, VALID, *scored)),
        *((EVERYTHING, chosen) for chosen in scored),
        (POPULAR, UNFILTERED),
        (RANDOM, UNFILTERED),
    ]


def _metrics(experiment: Experiment, answered: list[list[Answered]]) -> pd.DataFrame:
    questions = [answer.question for answer in answered[0]]
    groups = np.array([question.group for question in questions], dtype=object)
    seed = experiment.seed
    weights = np.vstack([np.ones((1, len(groups))), group_weights(groups, seed, RESAMPLES)])

    def samples(of: Callable[[Answered], float]) -> Sampled:
        """The mean over questions in every resample; questions for which there is no value are left out."""
        per_seed, everywhere = [], np.ones(len(groups), dtype=bool)
        for of_seed in answered:
            values = np.array([of(answer) for answer in of_seed])
            there = np.isfinite(values)
            everywhere &= there
            per_seed.append(divide(weights[:, there] @ values[there], weights[:, there].sum(axis=1)))
        return Sampled(per_seed, groups[everywhere])

    rows: list[dict[str, Any]] = []
    spoken: list[tuple[dict[str, Any], Estimate]] = []  # of what the verdict speaks
    ends, first = {check.label for check in _ends(experiment)}, experiment.settings.top[0]

    def add(proposals: str, chosen: str, top: int, metric: str, drawn: Sampled, bounds: Bounds = SHARE) -> None:
        value = over_seeds(drawn.per_seed, drawn.groups)
        low, high = bounded_interval(value, bounds, drawn.groups)
        rows.append(
            {"proposals": proposals, "filter": chosen, "top": top, "metric": metric}
            | {"value": value.value, "low": low, "high": high}
            | {"seeds": len(answered), "n": len(questions), "groups": len(set(groups)), "shown": 0}
        )
        if metric in (GAIN, OVER_POPULAR) and chosen in ends and top == first:
            spoken.append((rows[-1], value))

    for top in experiment.settings.top:
        found = {}
        for proposals, chosen in rankings(experiment):
            found[proposals, chosen] = samples(partial(_precision, proposals=proposals, chosen=chosen, top=top))
            add(proposals, chosen, top, PRECISION, found[proposals, chosen])
        for proposals, chosen in rankings(experiment):
            mine = found[proposals, chosen]
            if proposals == GENERATOR and chosen != UNFILTERED:
                add(proposals, chosen, top, GAIN, mine.minus(found[GENERATOR, UNFILTERED]), APART)
            if proposals == GENERATOR:
                add(proposals, chosen, top, OVER_POPULAR, mine.minus(found[POPULAR, UNFILTERED]), APART)
    budget = len(experiment.settings.temperatures) * experiment.settings.samples
    for proposals in (GENERATOR, POPULAR, RANDOM):
        drawn = samples(partial(_coverage, proposals=proposals, budget=budget))
        add(proposals, UNFILTERED, 0, COVERAGE, drawn)
    for metric, of, bounds in (
        (VALID_SHARE, lambda answer: float(np.mean([values is not None for values in answer.samples])), SHARE),
        (DISTINCT, lambda answer: float(answer.valid), (0.0, float(budget))),
        (OUTSIDE, lambda answer: float(1 - answer.known[: answer.valid].mean()) if answer.valid else np.nan, SHARE),
    ):
        add(GENERATOR, UNFILTERED, 0, metric, samples(of), bounds)
    for (row, _), sign in zip(spoken, signs([value for _, value in spoken]), strict=True):
        row["shown"] = sign
    return pd.DataFrame(rows)


@dataclass(frozen=True)
class Sampled:
    """A mean over questions, of each seed as it is and in resamples, and the groups of the questions that have it."""

    per_seed: list[np.ndarray]
    groups: np.ndarray

    def minus(self, other: Sampled) -> Sampled:
        """The difference on the same questions."""
        return Sampled([one - two for one, two in zip(self.per_seed, other.per_seed, strict=True)], self.groups)


def _precision(answer: Answered, proposals: str, chosen: str, top: int) -> float:
    if proposals == RANDOM:  # what any draw has on average
        return float(answer.success[answer.popular].mean())
    return precision_at(_hits(answer, proposals, chosen), top)


def _coverage(answer: Answered, proposals: str, budget: int) -> float:
    """Share of the measured successes of a question among so many proposals; NaN where it has none."""
    if not answer.successes:
        return np.nan
    if proposals == RANDOM:  # so many different ones
        return float(answer.success[answer.popular].sum() * min(1.0, budget / len(answer.popular)) / answer.successes)
    chosen = answer.popular[:budget] if proposals == POPULAR else range(answer.valid)
    return float(answer.success[list(chosen)].sum() / answer.successes)


def _prediction_table(experiment: Experiment, answered: Sequence[Answered], seed: int) -> pd.DataFrame:
    parts = []
    for answer in answered:
        number = len(answer.candidates)
        written = [values for values in answer.samples if values is not None]
        part = pd.DataFrame(
            {
                "row_id": answer.question.row,
                "dataset": experiment.table.name,
                "fold": answer.question.fold,
                "seed": seed,
                "group": answer.question.group,
                **dict(zip(experiment.settings.propose, zip(*answer.candidates, strict=True), strict=True)),
                "times_proposed": [written.count(values) for values in answer.candidates],
                "measured": answer.known,
                "success": pd.array(np.where(answer.known, answer.success, False), dtype="boolean"),
            },
            index=range(number),
        )
        part.loc[~answer.known, "success"] = pd.NA
        for name, scores in answer.scores.items():
            part[name] = scores
        parts.append(part)
    return pd.concat(parts, ignore_index=True)


# -- in words --------------------------------------------------------------------------------


def sentences(found: Findings) -> list[str]:
    """What was proposed, how much of it succeeds by filter, and against what."""
    experiment, settings = found.experiment, found.experiment.settings
    n, groups = (int(found.metrics[name].iloc[0]) for name in ("n", "groups"))
    budget = len(settings.temperatures) * settings.samples
    numbers = {metric: found.value(GENERATOR, UNFILTERED, metric) for metric in (VALID_SHARE, DISTINCT, OUTSIDE)}
    assert all(numbers.values())
    distinct = numbers[DISTINCT]
    assert distinct
    valid, outside = (_percent(numbers[metric]) for metric in (VALID_SHARE, OUTSIDE))
    written = (
        f"{valid} are valid, {distinct[0]:.1f} of {budget} are distinct on average, and of those {outside} were never "
        "measured (counted as no success)"
        if distinct[0]
        else "none is valid, so that there is nothing to check; more steps or successes may help"
    )
    said = [
        f"For {n} reactions of {groups} values of {settings.held_out_name} that no model has seen, a "
        f"language model tuned on successes wrote {budget} proposals of {settings.wanted_name} each: {written}."
    ]
    asked = np.array([question.group for question in experiment.questions], dtype=object)
    said += few_groups(asked, "held-out values") + one_seed(settings.seeds)
    top = settings.top[0]
    first = "The first proposal" if top == 1 else f"Of the first {top} proposals"
    succeeds = "succeeds for" if top == 1 else "succeed"
    parts = [
        f"{_percent(found.value(GENERATOR, chosen, PRECISION, top))} by {_spoken(chosen)}"
        for proposals, chosen in rankings(experiment)
        if proposals == GENERATOR
    ]
    popular, random = (found.value(source, UNFILTERED, PRECISION, top) for source in (POPULAR, RANDOM))
    said.append(
        f"{first} {succeeds} {'; '.join(parts)}. The most popular conditions: {_percent(popular)}; conditions drawn at "
        f"random: {_percent(random)}."
    )
    said += [sentence for check in _ends(experiment) if (sentence := _gain(found, check, top))]
    return said


def _ends(experiment: Experiment) -> list[Check]:
    """Of each learner, the verifier with decoys and those with most failures."""
    largest = max(experiment.settings.doses)
    return [check for check in checks(experiment) if check.dose in (None, largest)]


def _gain(found: Findings, check: Check, top: int) -> str:
    gain = found.value(GENERATOR, check.label, GAIN, top)
    beyond = found.value(GENERATOR, check.label, OVER_POPULAR, top)
    if gain is None or beyond is None:
        return ""
    chance = "" if found.shown(check.label, OVER_POPULAR, top) else ", which is not significant"
    gained = "" if found.shown(check.label, GAIN, top) else " (not significant)"
    value, low, high = beyond
    side, away = ("above", beyond) if value >= 0 else ("below", (-value, -high, -low))
    return (
        f"A verifier ({check.label}) changes the precision of the proposals as written by {_points(gain)} points"
        f"{gained}, which puts them {_points(away)} points {side} the most popular conditions{chance}."
    )


def _points(found: Interval) -> str:
    if not np.isfinite(found).all():
        return f"{round(100 * found[0])}"
    value, low, high = (round(100 * part) for part in found)  # whole numbers have no -0
    return f"{value} [{low} to {high}]"


def _percent(found: Interval | None) -> str:
    return in_percent(found) if found else "an unknown share"


def _spoken(chosen: str) -> str:
    return {UNFILTERED: "no filter", LIKELIHOOD: "the generator's own likelihood"}.get(chosen, chosen)
