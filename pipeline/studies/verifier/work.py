"""Proposing and verifying: the work of a cell."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import pandas as pd

from pipeline.arms.ladder import LANGUAGE_MODEL_CODE, is_language_model
from pipeline.cells.cell import Cell, digest, measured
from pipeline.cells.reach import code_of
from pipeline.lm.defaults import WRITER
from pipeline.runs.context import Context, Machine, language_model_inputs
from pipeline.runs.fits import OBJECTS
from pipeline.studies.learners import LM_BATCH, code_of_learner
from pipeline.studies.negatives import decoys
from pipeline.studies.negatives.work import judge_of
from pipeline.studies.verifier.experiment import Check, ClosedWorld, Experiment, checks, known_successes
from pipeline.studies.verifier.generator import Generator, generator_template
from pipeline.tables.table import STRUCTURE

PROPOSE, VERIFY = "pipeline.studies.verifier.work:propose", "pipeline.studies.verifier.work:verify"


def plan(context: Context, machine: Machine) -> list[Cell]:
    """For each seed and fold the generator, and behind it the verifiers of what it proposes."""
    experiment, found = Experiment.of(context), []
    for seed in range(experiment.settings.seeds):
        for fold in range(len(experiment.parts)):
            generator = generator_cell(experiment, machine, fold, seed)
            found.append(generator)
            found += [verifier_cell(experiment, machine, check, generator) for check in checks(experiment)]
    return found


def inputs_of_fold(experiment: ClosedWorld[Any], fold: int, code: Any) -> dict[str, Any]:
    """What all that is trained on a fold depends on."""
    part = experiment.parts[fold]
    return {
        "code": code,
        "table": experiment.table.fingerprint(),
        "rows": digest(sorted(part.train), part.test),
        "seed": experiment.seed,
        "success": experiment.settings.success,
        "positives": experiment.settings.positives,
    }


def generator_cell(experiment: Experiment, machine: Machine, fold: int, seed: int) -> Cell:
    """The cell of a generator, which is tuned on the successes of the training rows of a fold."""
    settings, code = experiment.settings, code_of(PROPOSE, *OBJECTS, *LANGUAGE_MODEL_CODE)
    inputs = inputs_of_fold(experiment, fold, code) | {
        "language_model": language_model_inputs(experiment.context, machine),
        "settings": [settings.propose, settings.temperatures, settings.samples, settings.generator_steps],
        "questions": [question.row for question in experiment.asked(fold)],
    }
    return Cell(PROPOSE, {"fold": fold, "seed": seed}, inputs, (), f"generator, fold {fold + 1}, seed {seed}", True)


def propose(context: Context, machine: Machine, cell: Cell, needed: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What a generator writes for each question of its fold, and how likely it finds every combination.

    ``proposals`` holds per question a list of ``text``, ``temperature``, ``values`` (None if refused), ``reason``;
    ``likelihood`` per question the log-probability per token of each of the `candidates`.
    """
    experiment, fold, seed = Experiment.of(context), cell.tags["fold"], cell.tags["seed"]
    settings, X, given = experiment.settings, experiment.table.inputs, list(experiment.given)
    known = known_successes(experiment, fold, seed)
    made: dict[str, Any] = {}
    with measured(made):
        generator = Generator(
            engine=machine.engine(context, WRITER),
            template=generator_template(settings.propose, given, experiment.table.names, context.template),
            steps=settings.generator_steps,
            settings={"batch_size": LM_BATCH},
            seed=experiment.seed + seed,
            progress=lambda done, total: machine.reporter.step(cell.label, done, total),
        )
        columns = [STRUCTURE, *given]
        generator.fit(X.loc[known, columns], X.loc[known, list(settings.propose)], experiment.proposed_names)
        asked = X.loc[[question.row for question in experiment.asked(fold)], columns]
        written = generator.propose(asked, settings.temperatures, settings.samples)
        ranked = [candidates(experiment, fold, [one.values for one in proposals]) for proposals in written]
        repeated = asked.iloc[np.repeat(np.arange(len(asked)), [len(values) for values in ranked])]
        likelihood = generator.log_probabilities(repeated, [values for of_one in ranked for values in of_one])
    return made | {
        "about": {"successes": len(known), "failures": 0},
        "proposals": [[asdict(one) for one in proposals] for proposals in written],
        "likelihood": _parted(likelihood.tolist(), ranked),
    }


def candidates(experiment: Experiment, fold: int, proposed: Sequence[Any]) -> list[tuple[str, ...]]:
    """What is ranked for a question: the valid proposals, in order of appearance, then all other combinations."""
    valid = [tuple(values) for values in proposed if values is not None]
    return list(dict.fromkeys([*valid, *experiment.combinations[fold]]))


def verifier_cell(experiment: Experiment, machine: Machine, check: Check, generator: Cell) -> Cell:
    """The cell of a verifier, which scores what the generator of its fold proposes."""
    fold, seed = generator.tags["fold"], generator.tags["seed"]
    inputs = inputs_of_fold(experiment, fold, code_of_learner(VERIFY, check.learner))
    inputs["lm_steps"] = experiment.settings.lm_steps
    on_model = is_language_model(check.learner)
    if on_model:
        inputs["language_model"] = language_model_inputs(experiment.context, machine)
    label = f"{check.label}, fold {fold + 1}, seed {seed}"
    return Cell(VERIFY, {"fold": fold, "seed": seed, **asdict(check)}, inputs, (generator,), label, on_model)


def check_of(tags: Mapping[str, Any]) -> Check:
    """The verifier that the tags of a cell name."""
    return Check(*(tags[name] for name in Check.__dataclass_fields__))


def verify(context: Context, machine: Machine, cell: Cell, needed: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """A verifier's score of each candidate of each question of its fold."""
    experiment, fold = Experiment.of(context), cell.tags["fold"]
    questions, (generator,) = experiment.asked(fold), needed
    wanted = [candidates(experiment, fold, [one["values"] for one in found]) for found in generator["proposals"]]
    made: dict[str, Any] = {}
    with measured(made):
        judge, about = judge_of(experiment.parts[fold], machine, check_of(cell.tags).training(cell.tags["seed"]))
        rows = [
            row_of(experiment, question.row, values)
            for question, of_question in zip(questions, wanted, strict=True)
            for values in of_question
        ]
        frame = pd.DataFrame(rows, columns=experiment.table.inputs.columns)
        scores = judge(frame).score.tolist()
    return made | {"about": about, "scores": _parted(scores, wanted)}


def _parted(values: list[float], like: Sequence[Sequence[Any]]) -> list[list[float]]:
    """A list cut into parts as long as those of another."""
    ends = np.cumsum([len(part) for part in like])
    return [values[start:end] for start, end in zip([0, *ends[:-1]], ends, strict=True)]


def row_of(experiment: ClosedWorld[Any], asked: str, values: Sequence[str]) -> dict[str, str]:
    """What an arm is given for the reaction of a row under proposed conditions; the measured one where there is one."""
    key = experiment.reaction(asked, values)
    if key in experiment.outcomes:
        return experiment.cells[experiment.outcomes[key][0]]
    written = experiment.cells[asked]
    row = written | dict(zip(experiment.table.components, key, strict=True))
    return row | {STRUCTURE: decoys.exchanged(written, row, experiment.table.components)}
