"""Generating is harder than checking: proposals of a model of successes, filtered by models that check.

A closed world with real truth. Values of one component (such as the aryl halide) are held out in folds. A language
model tuned on successes proposes the conditions (such as ligand and base) for reactions of the held-out values; every
proposal is looked up in the measured table. Filters put the proposals of a reaction in order: none, validity, the
generator's own likelihood, verifiers trained on successes and decoys, and on successes and real failures.
"""

from __future__ import annotations

import hashlib
import itertools
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pipeline.arms.ladder import LANGUAGE_MODEL_CODE, is_language_model
from pipeline.cells import get_or_make, measured
from pipeline.config import RunConfig
from pipeline.errors import InputError, unknown
from pipeline.experiment import OBJECTS, Run, language_model_key, limit_rows, load_table, make_splits
from pipeline.failure_modes import decoys
from pipeline.failure_modes.generator import Generator, generator_template
from pipeline.failure_modes.learners import LM_BATCH, code_of_learner, resolve_learners
from pipeline.failure_modes.negatives import (
    DOSE,
    FEW_KNOWN,
    FIXED_POSITIVES,
    RECOMBINED,
    NegativesSettings,
    draw,
    heading,
    judge_of,
    left_out,
    with_product,
)
from pipeline.failure_modes.negatives import Experiment as NegativesExperiment
from pipeline.failure_modes.negatives import Training as NegativesTraining
from pipeline.failure_modes.settings import StressSettings, require_reactions
from pipeline.lm.defaults import WRITER
from pipeline.reach import code_of
from pipeline.reporter import Reporter
from pipeline.tables.reactions import SUCCESS
from pipeline.tables.table import STRUCTURE, Table

NAME = "verifier"  # on the command line
CLASSICAL = ("drfp-rf",)
MOST_COMBINATIONS = 5_000  # of the proposed components


@dataclass(frozen=True)
class VerifierSettings(StressSettings):
    """The settings of the experiment, under ``stress: verifier:`` in a YAML file.

    Attributes
    ----------
    arms : tuple of str
        The verifiers: ``baselines``, ``lm``, ``all``, or names of arms. The generator is always a language model.
    held_out : str
        The component whose values are held out.
    propose : tuple of str
        The components to propose.
    success : float
        A yield from which on a reaction is a success, in percent.
    folds : int
        Into which the values of the held-out component are dealt.
    seeds : int
        Training seeds; each draws its own training rows.
    questions : int
        At most so many reactions to propose conditions for, per held-out value; drawn by seed; 0 for all.
    temperatures : tuple of float
        At which the generator is sampled.
    samples : int
        Per reaction and temperature.
    doses : tuple of float
        Percent of the failures of the training rows that verifiers are trained with.
    top : tuple of int
        Proposals of a reaction that are counted, the first by filter.
    positives : int
        Successes that the generator and the verifiers are trained on; 0 for all. Where those with decoys must do with
        fewer, verifiers with as few successes and real failures are trained as well.
    generator_steps, lm_steps : int
        Optimiser steps of the generator and of a verifier that is a language model, 8 rows each.
    """

    arms: tuple[str, ...] = ("all",)
    held_out: str = "aryl_halide"
    propose: tuple[str, ...] = ("ligand", "base")
    success: float = 20.0
    folds: int = 3
    seeds: int = 1
    questions: int = 4
    temperatures: tuple[float, ...] = (0.7, 1.0, 1.3)
    samples: int = 2
    doses: tuple[float, ...] = (1.0, 10.0, 100.0)
    top: tuple[int, ...] = (1, 3)
    positives: int = 300
    generator_steps: int = 150
    lm_steps: int = 150

    def __post_init__(self) -> None:
        self.check_success(self.success)
        self.check_counts("folds", least=2)
        self.check_counts("seeds", "samples", "generator_steps", "lm_steps")
        self.check_counts("questions", "positives", least=0)
        self.check_doses(self.doses)
        for temperature in self.temperatures:
            if not 0 < temperature <= 5:
                raise InputError(f"a temperature is {temperature}; it must be above 0 and up to 5")
        if not self.propose or self.held_out in self.propose:
            raise InputError(f"propose is {', '.join(self.propose)!r}; name components other than {self.held_out!r}")
        if min(self.top) < 1:
            raise InputError(f"top is {min(self.top)}; it must be at least 1")


QUICK = {
    "arms": ("drfp-rf",),
    "folds": 2,
    "questions": 1,
    "doses": (100,),
    "positives": 150,
    "lm_steps": 60,
}


@dataclass(frozen=True)
class Question:
    """A reaction but for the components that are to be proposed: a row that stands for it, and its held-out value."""

    row: str
    group: str
    fold: int


@dataclass
class Experiment:
    """The table, its folds, and the reactions that conditions are proposed for."""

    run: Run
    settings: VerifierSettings
    verifiers: tuple[str, ...]
    parts: list[NegativesExperiment]  # one per fold
    questions: list[Question]

    @property
    def table(self) -> Table:
        return self.run.table

    @property
    def given(self) -> tuple[str, ...]:
        """The components that a question states, the product among them."""
        return tuple(name for name in self.table.components if name not in self.settings.propose)

    @cached_property
    def proposed_names(self) -> tuple[str, ...]:
        return tuple(name for name in self.settings.propose if name in self.table.names)

    @cached_property
    def cells(self) -> dict[str, dict[str, str]]:
        """What an arm is given for each row of the table, by row id and column."""
        X = self.table.inputs
        return {row: dict(zip(X.columns, cells, strict=True)) for row, *cells in X.itertuples()}

    @cached_property
    def outcomes(self) -> dict[tuple[str, ...], tuple[str, bool]]:
        """From the components of a measured reaction to its row and whether it was a success."""
        rows = zip(self.table.frame["row_id"], self.table.targets == SUCCESS, strict=True)
        return {self._named(self.cells[row]): (row, success) for row, success in rows}

    def _named(self, cells: Mapping[str, str]) -> tuple[str, ...]:
        return tuple(cells[name] for name in self.table.components)

    def reaction(self, question: Question, values: Sequence[str]) -> tuple[str, ...]:
        """All components of a question's reaction under proposed conditions."""
        return self._named(self.cells[question.row] | dict(zip(self.settings.propose, values, strict=True)))

    def stated(self, row: str) -> tuple[str, ...]:
        """What a question about the reaction of a row states."""
        return tuple(self.cells[row][name] for name in self.given)

    @cached_property
    def successes(self) -> Counter[tuple[str, ...]]:
        """How many conditions succeed, by what a question states."""
        return Counter(self.stated(row) for row, success in self.outcomes.values() if success)

    @cached_property
    def combinations(self) -> list[list[tuple[str, ...]]]:
        """Per fold, every combination of the values that the proposed components have in its training rows, sorted."""
        X, found = self.table.inputs, []
        for part in self.parts:
            rows = X.loc[list(part.train)]
            found.append(sorted(itertools.product(*(sorted(set(rows[name])) for name in self.settings.propose))))
        return found


# -- preparing -------------------------------------------------------------------------------


def prepare(config: RunConfig, settings: VerifierSettings, reporter: Reporter) -> Experiment:
    """The table, its folds and questions.

    Raises
    ------
    InputError
        If the table holds no reactions, lacks a component or a success or failure, or has too many combinations.
    """
    require_reactions(config)
    verifiers = resolve_learners(settings.arms, CLASSICAL)
    split = (f"component:{settings.held_out}",)
    config = replace(config, success=settings.success, split=split, folds=settings.folds, n_train=0)
    table = with_product(load_table(config, reporter))
    for name in (settings.held_out, *settings.propose):
        if name not in table.components:
            raise unknown("component", name, table.components)
    run = Run(config, table, [], [*verifiers, "lm-text"], Path(config.out), reporter)
    limit_rows(run)  # with the generator as an arm that reads prompts, for its limit of tokens
    make_splits(run)
    negatives = NegativesSettings(
        success=settings.success, positives=settings.positives, lm_steps=settings.lm_steps, test_rows=0
    )
    whole = run.splits[0]
    parts = [
        NegativesExperiment(run, negatives, verifiers, replace(whole, folds=(fold,)), sorted(fold.test), {})
        for fold in whole.folds
    ]
    experiment = Experiment(run, settings, verifiers, parts, [])
    experiment.questions = _questions(experiment)
    count = len(experiment.combinations[0])
    if count > MOST_COMBINATIONS:
        raise InputError(
            f"{', '.join(settings.propose)}: {count} combinations; propose fewer components with --propose (at most "
            f"{MOST_COMBINATIONS} combinations)"
        )
    return experiment


def _questions(experiment: Experiment) -> list[Question]:
    """The distinct reactions of each fold's test rows but for what is proposed, some per held-out value by seed."""
    settings = experiment.settings
    rng = np.random.default_rng(experiment.run.config.seed)
    found = []
    for fold, part in enumerate(experiment.parts):
        rows = experiment.table.inputs.loc[part.test, list(experiment.given)].drop_duplicates().sort_index()
        for value, members in rows.groupby(settings.held_out):
            order = rng.permutation(np.array(members.index, dtype=object))
            kept = order[: settings.questions] if settings.questions else order
            found += [Question(row, str(value), fold) for row in sorted(kept)]
    return found


# -- trainings -------------------------------------------------------------------------------


@dataclass(frozen=True)
class Check:
    """One verifier: what it is trained with besides successes (a dose of failures, or decoys), by which learner.

    ``few`` is a control: as few successes as those with decoys must do with.
    """

    learner: str
    dose: float | None  # None: decoys
    few: bool = False

    @property
    def label(self) -> str:
        what = "decoys" if self.dose is None else f"{self.dose:g} % of the failures"
        return f"{self.learner}, {what}{', as few successes as with decoys' if self.few else ''}"

    def training(self, seed: int) -> NegativesTraining:
        if self.dose is None:
            return NegativesTraining(RECOMBINED, self.learner, FEW_KNOWN, None, seed)
        return NegativesTraining(DOSE, self.learner, FEW_KNOWN if self.few else FIXED_POSITIVES, self.dose, seed)


def checks(experiment: Experiment) -> list[Check]:
    """All verifiers, cheap learners first; none with decoys where there is no product, or too few successes to hide.

    Where those with decoys know fewer successes than the others, each learner has a control that knows as few.
    """
    learners = sorted(experiment.verifiers, key=is_language_model)
    decoyed = decoys.PRODUCT in experiment.table.components and not any(map(left_out, experiment.parts))
    doses = experiment.settings.doses
    found = []
    for learner in learners:
        if decoyed:
            found.append(Check(learner, None))
        if decoyed and any(heading(part, RECOMBINED) == FEW_KNOWN for part in experiment.parts):
            found.append(Check(learner, max(doses), few=True))
        found += [Check(learner, dose) for dose in doses]
    return found


def known_successes(experiment: Experiment, fold: int, seed: int) -> list[str]:
    """The successes that the generator and the verifiers of a fold are trained on."""
    anything = Check(experiment.verifiers[0], experiment.settings.doses[0])
    return draw(experiment.parts[fold], anything.training(seed)).positives


def _key(experiment: Experiment, what: str, fold: int, seed: int, code: str) -> dict[str, Any]:
    run, part = experiment.run, experiment.parts[fold]
    rows = repr((sorted(part.train), part.test))
    return {
        "experiment": NAME,
        "code": code,
        "what": what,
        "table": run.table.fingerprint(),
        "rows": hashlib.sha256(rows.encode()).hexdigest(),
        "fold": fold,
        "training_seed": seed,
        "seed": run.config.seed,
        "success": experiment.settings.success,
        "positives": experiment.settings.positives,
    }


def propose(experiment: Experiment, fold: int, seed: int) -> dict[str, Any]:
    """The cell of a generator: what it wrote for each question of its fold, and how likely it finds every combination.

    ``proposals`` holds per question a list of ``text``, ``temperature``, ``values`` (None if refused), ``reason``;
    ``likelihood`` per question the log-probability per token of each of the `candidates`.
    """
    settings, run = experiment.settings, experiment.run
    questions = [question for question in experiment.questions if question.fold == fold]
    code = code_of("pipeline.failure_modes.verifier:propose", *OBJECTS, *LANGUAGE_MODEL_CODE)
    key = _key(experiment, "generator", fold, seed, code) | {
        "language_model": language_model_key(run),
        "settings": [settings.propose, settings.temperatures, settings.samples, settings.generator_steps],
        "questions": [question.row for question in questions],
    }

    def make() -> dict[str, Any]:
        X, given = experiment.table.inputs, list(experiment.given)
        known = known_successes(experiment, fold, seed)
        cell: dict[str, Any] = {}
        with measured(cell):
            label = f"generator, fold {fold + 1}, seed {seed}"
            generator = Generator(
                engine=run.engine(WRITER),
                template=generator_template(settings.propose, given, experiment.table.names, run.template),
                steps=settings.generator_steps,
                settings={"batch_size": LM_BATCH},
                seed=run.config.seed + seed,
                progress=lambda done, total: run.reporter.step(label, done, total),
            )
            columns = [STRUCTURE, *given]
            generator.fit(X.loc[known, columns], X.loc[known, list(settings.propose)], experiment.proposed_names)
            asked = X.loc[[question.row for question in questions], columns]
            written = generator.propose(asked, settings.temperatures, settings.samples)
            ranked = [candidates(experiment, fold, [one.values for one in proposals]) for proposals in written]
            repeated = asked.iloc[np.repeat(np.arange(len(asked)), [len(values) for values in ranked])]
            likelihood = generator.log_probabilities(repeated, [values for of_one in ranked for values in of_one])
        return cell | {
            "about": {"successes": len(known), "failures": 0},
            "proposals": [[asdict(one) for one in proposals] for proposals in written],
            "likelihood": _parted(likelihood.tolist(), ranked),
        }

    return get_or_make(run.out / "cells", key, make, run.threads)


def candidates(experiment: Experiment, fold: int, proposed: Sequence[Any]) -> list[tuple[str, ...]]:
    """What is ranked for a question: the valid proposals, in order of appearance, then all other combinations."""
    valid = [tuple(values) for values in proposed if values is not None]
    return list(dict.fromkeys([*valid, *experiment.combinations[fold]]))


def verify(experiment: Experiment, check: Check, fold: int, seed: int, cell: dict[str, Any]) -> dict[str, Any]:
    """The cell of a verifier: its score of each candidate of each question of its fold.

    Parameters
    ----------
    cell : dict
        That of the generator.
    """
    questions = [question for question in experiment.questions if question.fold == fold]
    wanted = [candidates(experiment, fold, [one["values"] for one in proposals]) for proposals in cell["proposals"]]
    key = _key(experiment, "verifier", fold, seed, code_of_learner("verifier:verify", check.learner)) | {
        "check": asdict(check),
        "candidates": hashlib.sha256(repr((wanted, [one.row for one in questions])).encode()).hexdigest(),
        "lm_steps": experiment.settings.lm_steps,
    }
    if is_language_model(check.learner):
        key["language_model"] = language_model_key(experiment.run)

    def make() -> dict[str, Any]:
        found: dict[str, Any] = {}
        with measured(found):
            judge, about = judge_of(experiment.parts[fold], check.training(seed))
            rows = [
                _row(experiment, question, values)
                for question, of_question in zip(questions, wanted, strict=True)
                for values in of_question
            ]
            frame = pd.DataFrame(rows, columns=experiment.table.inputs.columns)
            scores = judge(frame).score.tolist()
        return found | {"about": about, "scores": _parted(scores, wanted)}

    return get_or_make(experiment.run.out / "cells", key, make, experiment.run.threads)


def _parted(values: list[float], like: Sequence[Sequence[Any]]) -> list[list[float]]:
    """A list cut into parts as long as those of another."""
    ends = np.cumsum([len(part) for part in like])
    return [values[start:end] for start, end in zip([0, *ends[:-1]], ends, strict=True)]


def _row(experiment: Experiment, question: Question, values: Sequence[str]) -> dict[str, str]:
    """What an arm is given for a question under proposed conditions; the measured reaction where there is one."""
    key = experiment.reaction(question, values)
    if key in experiment.outcomes:
        return experiment.cells[experiment.outcomes[key][0]]
    row = experiment.cells[question.row] | dict(zip(experiment.table.components, key, strict=True))
    return row | {STRUCTURE: decoys.assembled(row, list(experiment.table.components))}
