"""What the study of rewards asks of a table of reactions."""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property
from math import ceil

import numpy as np

from pipeline.arms.ladder import is_language_model
from pipeline.errors import InputError
from pipeline.reporter import Reporter
from pipeline.runs.context import Context
from pipeline.settings.run import RunConfig
from pipeline.studies.negatives.experiment import DOSE, FIXED_POSITIVES, RECOMBINED, Training
from pipeline.studies.negatives.trainings import heading
from pipeline.studies.rewards.settings import DECOYS, FAILURES, SUCCESSES, TRUTH, Settings
from pipeline.studies.verifier import experiment as verifier
from pipeline.studies.verifier.experiment import ALL_FAILURES, ClosedWorld, Question
from pipeline.tables.table import STRUCTURE

WRITER_ARM = "lm-head"  # whose layers the generator has
NEIGHBOURS = "successes, nearest neighbours"  # of `pipeline.studies.negatives.experiment.ONE_CLASS`


class Experiment(ClosedWorld[Settings]):
    """The reactions that the generator is trained on and tested on, and what rewards it."""

    def tested(self, fold: int) -> list[Question]:
        """The held-out reactions of a fold that conditions are written for."""
        settings, found = self.settings, self.asked(fold)
        if not settings.asked:
            return found
        order = np.random.default_rng([self.seed, fold, 11]).permutation(len(found))
        return [found[place] for place in sorted(order[: ceil(settings.asked / len(self.parts))])]

    def trained(self, fold: int) -> list[str]:
        """A row for each reaction, but for what is proposed, of the training rows of a fold."""
        rows = self.table.inputs.loc[list(self.parts[fold].train), list(self.given)]
        return [str(row) for row in rows.drop_duplicates().sort_index().index]

    @cached_property
    def stated_cells(self) -> dict[str, dict[str, str]]:
        """What a question about the reaction of each row states, by column: nothing of what is proposed."""
        names = (STRUCTURE, *self.given)
        return {row: {name: cells[name] for name in names} for row, cells in self.cells.items()}

    def succeeded(self, row: str, values: tuple[str, ...] | None) -> bool:
        """Whether the reaction of a row was measured to succeed under other conditions."""
        if values is None:
            return False
        return self.outcomes.get(self.reaction(row, values), ("", False))[1]

    def verifying(self, fold: int, reward: str, seed: int) -> Training | None:
        """How the verifier behind a reward is trained; None for the truth."""
        (learner,) = self.verifiers
        if reward == TRUTH:
            return None
        if reward == FAILURES:
            return Training(DOSE, learner, FIXED_POSITIVES, ALL_FAILURES, seed)
        if reward == DECOYS:
            return Training(RECOMBINED, learner, heading(self.parts[fold], RECOMBINED), None, seed)
        assert reward == SUCCESSES
        return Training(NEIGHBOURS, learner, FIXED_POSITIVES, None, seed)


def prepare(config: RunConfig, settings: Settings, reporter: Reporter) -> Context:
    """The table and its folds.

    Raises
    ------
    InputError
        As the study of verifiers, or if not one verifier is named that is no language model.
    """
    context = verifier.prepare(config, settings, reporter, Experiment)
    experiment = Experiment.of(context)
    verifiers = experiment.verifiers
    if len(verifiers) != 1 or is_language_model(verifiers[0]):
        raise InputError(f"arms is {', '.join(settings.arms)}; name one verifier that is no language model")
    if DECOYS in settings.rewards and not experiment.decoyed:
        reporter.say(f"Left out: the reward by {DECOYS}, for which this table has no product or too few successes.")
        rewards = tuple(name for name in settings.rewards if name != DECOYS)
        context = replace(context, settings=replace(settings, rewards=rewards))
    return context
