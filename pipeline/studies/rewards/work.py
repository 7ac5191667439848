"""Training a generator by rewards and asking it about held-out reactions: the work of a cell."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch

from pipeline.arms.ladder import LANGUAGE_MODEL_CODE
from pipeline.cells.cell import Cell, measured
from pipeline.cells.reach import code_of
from pipeline.runs.context import Context, Machine, language_model_inputs
from pipeline.runs.fits import OBJECTS
from pipeline.studies.learners import LM_BATCH, code_of_learner
from pipeline.studies.negatives.work import judge_of
from pipeline.studies.rewards.experiment import WRITER_ARM, Experiment
from pipeline.studies.rewards.settings import TRUTH
from pipeline.studies.rewards.writer import ConditionWriter
from pipeline.studies.verifier.experiment import known_successes, popularity
from pipeline.studies.verifier.generator import generator_template
from pipeline.studies.verifier.work import inputs_of_fold, row_of

WORK = "pipeline.studies.rewards.work:reward"
Values = tuple[str, ...] | None
Said = tuple[float, bool]  # how good a reward finds a proposal, and whether it calls it a success
Reward = Callable[[str, Sequence[Values]], list[Said]]  # of the reaction of a row under proposed conditions
POPULAR, RANDOM, BEST = "popular", "random", "best by "  # what stands beside the generator
NOTHING: Said = (0.0, False)  # for what is no proposal


def plan(context: Context, machine: Machine) -> list[Cell]:
    """A cell for each fold and seed: all rewards begin with the same generator."""
    experiment = Experiment.of(context)
    return [
        _cell(experiment, machine, fold, seed)
        for seed in range(experiment.settings.seeds)
        for fold in range(len(experiment.parts))
    ]


def _cell(experiment: Experiment, machine: Machine, fold: int, seed: int) -> Cell:
    asked = experiment.settings
    verifiers = [code_of_learner(WORK, learner) for learner in experiment.verifiers]
    code = [code_of(WORK, *OBJECTS, *LANGUAGE_MODEL_CODE), *verifiers]
    inputs = inputs_of_fold(experiment, fold, code) | {
        "language_model": language_model_inputs(experiment.context, machine),
        "settings": [asked.propose, asked.generator_steps, asked.rewards],
        "training": [asked.rounds, asked.steps, asked.reactions, asked.group, asked.rate],
        "tested": [asked.written, asked.best_of, [question.row for question in experiment.tested(fold)]],
    }
    return Cell(WORK, {"fold": fold, "seed": seed}, inputs, (), f"fold {fold + 1}, seed {seed}", True)


def reward(context: Context, machine: Machine, cell: Cell, needed: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """A generator tuned on successes, and trained on by each reward.

    ``start`` and ``ends`` (by reward) hold what is written for each held-out reaction (`_tested`); ``training`` by
    reward and round what the rewards said of all that was written in training, and how much of it is true; ``others``
    what popular, random and verified proposals come to.
    """
    experiment, (fold, seed) = Experiment.of(context), (cell.tags["fold"], cell.tags["seed"])
    made: dict[str, Any] = {"training": {}, "ends": {}}
    with measured(made):
        writer = _tuned(experiment, machine, cell)
        rewards = {name: _reward(experiment, machine, fold, name, seed) for name in experiment.settings.rewards}
        written = _written(experiment, writer, fold, seed)
        made["start"] = {name: _tested(experiment, fold, written, rewards[name]) for name in rewards}
        made["others"] = _others(experiment, fold, seed, written, rewards)
        for name, judged in rewards.items():
            own = copy.copy(writer)
            own.out_ = copy.deepcopy(writer.out_)
            made["training"][name] = _trained(experiment, own, fold, seed, judged)
            made["ends"][name] = _tested(experiment, fold, _written(experiment, own, fold, seed), judged)
    return made | {"about": {"successes": len(known_successes(experiment, fold, seed))}}


def _tuned(experiment: Experiment, machine: Machine, cell: Cell) -> ConditionWriter:
    settings, X = experiment.settings, experiment.table.inputs
    known = known_successes(experiment, cell.tags["fold"], cell.tags["seed"])
    template = generator_template(
        settings.propose, experiment.given, experiment.table.names, experiment.context.template
    )
    writer = ConditionWriter(
        engine=machine.engine(experiment.context, WRITER_ARM),
        template=template,
        steps=settings.generator_steps,
        settings={"batch_size": LM_BATCH},
        seed=experiment.seed + cell.tags["seed"],
        progress=lambda done, total: machine.reporter.step(cell.label, done, total),
    )
    return writer.fit(experiment.stated_cells, known, X.loc[known, list(settings.propose)], experiment.proposed_names)


def _reward(experiment: Experiment, machine: Machine, fold: int, name: str, seed: int) -> Reward:
    """What a reward says."""
    training = experiment.verifying(fold, name, seed)
    if training is None:
        return lambda row, proposed: [
            (float(success), success) for success in (experiment.succeeded(row, values) for values in proposed)
        ]
    judge, _ = judge_of(experiment.parts[fold], machine, training)
    known: dict[tuple[str, Values], Said] = {}

    def said(row: str, proposed: Sequence[Values]) -> list[Said]:
        new = [values for values in dict.fromkeys(proposed) if values is not None and (row, values) not in known]
        if new:
            rows = [row_of(experiment, row, values) for values in new]
            found = judge(pd.DataFrame(rows, columns=experiment.table.inputs.columns))
            for values, score in zip(new, found.score.tolist(), strict=True):
                known[row, values] = (score, score >= found.threshold)
        return [known.get((row, values), NOTHING) for values in proposed]

    return said


def _trained(
    experiment: Experiment, writer: ConditionWriter, fold: int, seed: int, judged: Reward
) -> list[dict[str, Any]]:
    """Rounds of training; of each how good all that was written is by the reward, and in truth."""
    settings, rows = experiment.settings, np.array(experiment.trained(fold), dtype=object)
    rng = np.random.default_rng([experiment.seed, seed, fold, 13])
    found = []
    for _ in range(settings.rounds):
        seen: list[tuple[float, bool, bool]] = []  # what the reward says of each proposal, and whether it succeeds

        def rewarded(row: str, texts: list[str], seen: list[tuple[float, bool, bool]] = seen) -> np.ndarray:
            values = [writer.read(text, 1.0).values for text in texts]
            said = judged(row, values)
            seen += [(*one, experiment.succeeded(row, own)) for one, own in zip(said, values, strict=True)]
            return np.array([good for good, _ in said])

        drawn = np.resize(rng.permutation(rows), (settings.steps, settings.reactions))
        writer.improve(drawn.tolist(), rewarded, settings.group, settings.rate)
        writer.seed += 1
        said, called, true = np.array(seen, dtype=np.float64).mean(axis=0).tolist()
        found.append({"score": said, "called": called, "true": true, "written": len(seen)})
    return found


def _written(experiment: Experiment, writer: ConditionWriter, fold: int, seed: int) -> list[list[Values]]:
    """What is written for each held-out reaction; at equal seeds the same draws, as far as the models are alike."""
    rng = torch.Generator().manual_seed(experiment.seed + seed)
    with writer.with_adapters(), torch.no_grad(), writer.engine.precision():
        asked = [question.row for question in experiment.tested(fold)]
        return [
            [one.values for one in proposals] for proposals in writer.proposals(asked, experiment.settings.written, rng)
        ]


def _tested(experiment: Experiment, fold: int, written: list[list[Values]], judged: Reward) -> dict[str, list[float]]:
    """For each held-out reaction shares of what was written: that succeed, that the reward calls successes, that can be
    read; and how many different ones there are, as a share."""
    found: dict[str, list[float]] = {name: [] for name in ("true", "called", "valid", "distinct")}
    for question, values in zip(experiment.tested(fold), written, strict=True):
        found["true"].append(float(np.mean([experiment.succeeded(question.row, own) for own in values])))
        found["called"].append(float(np.mean([called for _, called in judged(question.row, values)])))
        found["valid"].append(float(np.mean([own is not None for own in values])))
        found["distinct"].append(len({own for own in values if own is not None}) / len(values))
    return found


def _others(
    experiment: Experiment, fold: int, seed: int, written: list[list[Values]], rewards: Mapping[str, Reward]
) -> dict[str, list[float]]:
    """For each held-out reaction whether other proposals succeed: the most popular conditions, any at random, and of
    the first that the generator wrote the one that a verifier likes best."""
    counts = popularity(experiment, fold, seed)
    popular = min(counts, key=lambda values: (-counts[values], values))
    world = experiment.combinations[fold]
    found: dict[str, list[float]] = {POPULAR: [], RANDOM: []}
    for question, values in zip(experiment.tested(fold), written, strict=True):
        found[POPULAR].append(float(experiment.succeeded(question.row, popular)))
        found[RANDOM].append(float(np.mean([experiment.succeeded(question.row, own) for own in world])))
        for name, judged in rewards.items():
            if name != TRUTH:
                first = values[: experiment.settings.best_of]
                best = first[int(np.argmax([good for good, _ in judged(question.row, first)]))]
                found.setdefault(f"{BEST}{name}", []).append(float(experiment.succeeded(question.row, best)))
    return found
