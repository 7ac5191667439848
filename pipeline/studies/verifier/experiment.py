"""Generating is harder than checking: proposals of a model of successes, filtered by models that check.

A closed world with real truth. Values of one component (such as the aryl halide) are held out in folds. A language
model tuned on successes proposes the conditions (such as ligand and base) for reactions of the held-out values; every
proposal is looked up in the measured table. Filters put the proposals of a reaction in order: none, validity, the
generator's own likelihood, verifiers trained on successes and decoys, and on successes and real failures.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Self, TypeVar

import numpy as np

from pipeline.arms.ladder import is_language_model
from pipeline.errors import InputError, unknown
from pipeline.reporter import Reporter
from pipeline.runs.context import Context
from pipeline.runs.prepare import load_table, with_rows, with_splits
from pipeline.settings.run import RunConfig
from pipeline.settings.study import require_reactions
from pipeline.splits.groups import TOGETHER
from pipeline.studies.experiment import StudyExperiment
from pipeline.studies.learners import resolve_learners
from pipeline.studies.negatives import decoys
from pipeline.studies.negatives.experiment import (
    DOSE,
    FEW_KNOWN,
    FIXED_POSITIVES,
    RECOMBINED,
    with_product,
)
from pipeline.studies.negatives.experiment import Experiment as NegativesExperiment
from pipeline.studies.negatives.experiment import Training as NegativesTraining
from pipeline.studies.negatives.settings import NegativesSettings
from pipeline.studies.negatives.trainings import draw, heading, left_out
from pipeline.studies.verifier.settings import ClosedWorldSettings, VerifierSettings
from pipeline.tables.reactions import SUCCESS

CLASSICAL = ("drfp-rf",)
GENERATOR_ARM = "lm-text"  # whose layers and prompts are like those of the generator
ALL_FAILURES = 100.0  # percent
MOST_COMBINATIONS = 5_000  # of the proposed components


@dataclass(frozen=True)
class Question:
    """A reaction but for the components that are to be proposed: a row that stands for it, and its held-out value."""

    row: str
    group: str
    fold: int


Asked = TypeVar("Asked", bound=ClosedWorldSettings)


@dataclass(frozen=True)
class ClosedWorld(StudyExperiment[Asked]):
    """The table, its folds, and the reactions that conditions are proposed for."""

    parts: list[NegativesExperiment]  # one per fold

    @classmethod
    def of(cls, context: Context) -> Self:
        found: Self = context.once("questions", lambda: cls(context, _parts(context)))
        return found

    @property
    def verifiers(self) -> tuple[str, ...]:
        """All arms but the generator's."""
        return self.learners[:-1]

    @cached_property
    def questions(self) -> list[Question]:
        """The distinct reactions of each fold's test rows but for what is proposed, some per held-out value by seed."""
        settings, rng = self.settings, np.random.default_rng(self.seed)
        found = []
        for fold, part in enumerate(self.parts):
            rows = self.table.inputs.loc[part.test, list(self.given)].drop_duplicates().sort_index()
            for value, members in rows.groupby(settings.held_out_components):
                order = rng.permutation(np.array(members.index, dtype=object))
                kept = order[: settings.questions] if settings.questions else order
                found += [Question(row, TOGETHER.join(map(str, value)), fold) for row in sorted(kept)]
        return found

    def asked(self, fold: int) -> list[Question]:
        """The questions of a fold."""
        return [question for question in self.questions if question.fold == fold]

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

    def reaction(self, row: str, values: Sequence[str]) -> tuple[str, ...]:
        """All components of the reaction of a row under proposed conditions."""
        return self._named(self.cells[row] | dict(zip(self.settings.propose, values, strict=True)))

    def stated(self, row: str) -> tuple[str, ...]:
        """What a question about the reaction of a row states."""
        return tuple(self.cells[row][name] for name in self.given)

    @cached_property
    def successes(self) -> Counter[tuple[str, ...]]:
        """How many conditions succeed, by what a question states."""
        return Counter(self.stated(row) for row, success in self.outcomes.values() if success)

    @cached_property
    def decoyed(self) -> bool:
        """Whether stand-ins for failures can be made: there is a product, and there are enough successes to hide."""
        return decoys.PRODUCT in self.table.components and not any(map(left_out, self.parts))

    @cached_property
    def combinations(self) -> list[list[tuple[str, ...]]]:
        """Per fold, every combination of the values that the proposed components have in its training rows, sorted."""
        X, found = self.table.inputs, []
        for part in self.parts:
            rows = X.loc[list(part.train)]
            found.append(sorted(itertools.product(*(sorted(set(rows[name])) for name in self.settings.propose))))
        return found


class Experiment(ClosedWorld[VerifierSettings]):
    """What the study of verifiers asks."""


def prepare(
    config: RunConfig,
    settings: ClosedWorldSettings,
    reporter: Reporter,
    world: type[ClosedWorld[Any]] = Experiment,
) -> Context:
    """The table and its folds.

    Raises
    ------
    InputError
        If the table holds no reactions, states conditions beside their components, lacks a component or a success or
        failure, or has too many combinations.
    """
    require_reactions(config)
    if config.beside:
        raise InputError(
            f"{config.table}: a proposal is known by its components here, and {', '.join(config.beside)} is stated "
            "beside them; name it among --components, or leave it out with --context ''"
        )
    verifiers = resolve_learners(settings.arms, CLASSICAL)
    split = (f"component:{settings.held_out}",)
    config = replace(config, success=settings.success, split=split, folds=settings.folds, repeats=1, n_train=0)
    table = with_product(load_table(config, reporter))
    for name in (*settings.held_out_components, *settings.propose):
        if name not in table.components:
            raise unknown("component", name, table.components)
    # With the generator as an arm that reads prompts, for its limit of tokens.
    limited = with_rows(Context(config, table, (), (*verifiers, GENERATOR_ARM), settings=settings))
    context = with_splits(limited, reporter)
    count = len(world.of(context).combinations[0])
    if count > MOST_COMBINATIONS:
        raise InputError(
            f"{', '.join(settings.propose)}: {count} combinations; propose fewer components with --propose (at most "
            f"{MOST_COMBINATIONS} combinations)"
        )
    return context


def _parts(context: Context) -> list[NegativesExperiment]:
    settings, whole = context.settings, context.splits[0]
    negatives = NegativesSettings(
        success=settings.success, positives=settings.positives, lm_steps=settings.lm_steps, test_rows=0
    )
    of_parts = replace(context, settings=negatives)
    return [NegativesExperiment(of_parts, replace(whole, folds=(fold,)), sorted(fold.test), {}) for fold in whole.folds]


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
        what = "decoys" if self.dose is None else f"dose {self.dose:g} %"
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
    doses = experiment.settings.doses
    found = []
    for learner in learners:
        if experiment.decoyed:
            found.append(Check(learner, None))
        if experiment.decoyed and any(heading(part, RECOMBINED) == FEW_KNOWN for part in experiment.parts):
            found.append(Check(learner, max(doses), few=True))
        found += [Check(learner, dose) for dose in doses]
    return found


def known_successes(experiment: ClosedWorld[Any], fold: int, seed: int) -> list[str]:
    """The successes that the generator and the verifiers of a fold are trained on."""
    anything = Check(experiment.verifiers[0], ALL_FAILURES)
    return draw(experiment.parts[fold], anything.training(seed)).positives


def popularity(experiment: ClosedWorld[Any], fold: int, seed: int) -> Counter[tuple[str, ...]]:
    """How many of the known successes each combination of the proposed components has."""
    known = known_successes(experiment, fold, seed)
    rows = experiment.table.inputs.loc[known, list(experiment.settings.propose)].to_numpy(dtype=object)
    return Counter(map(tuple, rows))
