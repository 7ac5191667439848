"""What a design asks of a table: goals, what counts as a molecule, the truth and the fitted model."""

from __future__ import annotations

from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd

from pipeline.arms.writing import ANY_VALUE
from pipeline.design.settings import ANY, GENETIC, SHUFFLED, WRITERS, Settings
from pipeline.errors import InputError
from pipeline.models.fitting import fit_model
from pipeline.models.folder import SavedModel, load_model
from pipeline.oracles.oracle import Oracle, OracleWorkers
from pipeline.proposing.constraints import Constraints
from pipeline.proposing.drawing import Sieve, notation_of
from pipeline.proposing.goals import Goal, asked_goal, control_goals
from pipeline.reporter import Reporter
from pipeline.runs.context import Context, Machine
from pipeline.runs.prepare import cleaned
from pipeline.settings.run import RunConfig
from pipeline.studies.experiment import StudyExperiment
from pipeline.studies.oracle import NONE, Truth, asked_oracle, check_units, oracle_of
from pipeline.tables.kinds import MOLECULES
from pipeline.tables.molecules import MoleculeError, molecule_identity
from pipeline.tables.scales import Scale
from pipeline.tables.table import STRUCTURE
from pipeline.tables.targets import REGRESSION

WRITER_ARM = "lm-head"  # whose layers and tokens the language model that writes has


@dataclass(frozen=True)
class Experiment(StudyExperiment[Settings]):
    """A table of molecules, and what is wanted of new ones."""

    @cached_property
    def smiles(self) -> list[str]:
        """The molecules of the table, canonical. Length n."""
        return [str(text) for text in self.table.inputs[STRUCTURE]]

    @cached_property
    def values(self) -> np.ndarray:
        """Their values, as they are modelled. Shape (n,)."""
        return self.table.targets.to_numpy(dtype=np.float64)

    @cached_property
    def goals(self) -> list[Goal]:
        """What was asked for, then a goal at the edge of the table's values and one beyond them, as controls."""
        asked = asked_goal(self.settings.want, self.settings.tolerance, self.values, self.table.scale)
        return [asked, *control_goals(asked, self.values)]

    def goal(self, name: str) -> Goal:
        return next(goal for goal in self.goals if goal.name == name)

    @cached_property
    def constraints(self) -> Constraints:
        asked = self.settings
        return Constraints(asked.contains, asked.max_weight, asked.elements, asked.alerts, asked.max_sa)

    @property
    def known(self) -> frozenset[str]:
        """The identities of all molecules of the user's file: rows that were not drawn and refused ones as well."""
        found: frozenset[str] = self.context.once("known", self._known)
        return found

    def _known(self) -> frozenset[str]:
        found = {*self.table.frame["identity"], *self.table.not_drawn}
        for text in self.table.refused["structure"].unique():
            with suppress(MoleculeError):
                found.add(molecule_identity(str(text)))
        return frozenset(found)

    def sieve(self, written: bool = False, seen: Collection[str] = ()) -> Sieve:
        """A new reader of what an arm proposes.

        Parameters
        ----------
        written : bool
            For a language model, which has a notation of its own.
        seen : collection of str
            Identities of molecules that count as written before.
        """
        notation = notation_of(self.settings.notation) if written else notation_of("")
        return Sieve(self.known, self.constraints, notation, seen)

    def stated(self, arm: str, seed: int) -> np.ndarray:
        """The values that are stated for the training molecules to an arm that writes, NaN for none. Shape (n,)."""
        if arm == ANY:
            return np.full(len(self.values), ANY_VALUE)
        return np.random.default_rng([self.seed, seed]).permutation(self.values) if arm == SHUFFLED else self.values

    def asking(self, arm: str, goal: Goal) -> float:
        """The value that is asked of an arm that writes."""
        return ANY_VALUE if arm == ANY else goal.stated

    @property
    def oracle(self) -> Oracle | None:
        return asked_oracle(self.context)

    def truth(self, machine: Machine, label: str) -> Truth:
        """The oracle at work, in processes that end with the run."""
        oracle, seconds = self.oracle, self.settings.seconds
        workers: OracleWorkers | None = None
        if oracle:
            workers = self.context.once(
                "oracle", lambda: OracleWorkers(oracle, workers=machine.threads, seconds=seconds)
            )
        return Truth(workers, self.context, machine, label)

    def judge(self, reporter: Reporter) -> SavedModel:
        """The model that predicts the property: the user's, or one fitted on the rows of the table."""
        found: SavedModel = self.context.once("judge", lambda: self._judge(reporter))
        return found

    def _judge(self, reporter: Reporter) -> SavedModel:
        if self.settings.model_of:
            return load_model(Path(self.settings.model_of))
        return fit_model(self.context.config, self.settings.judge, reporter)

    def predicted(self, model: SavedModel, smiles: list[str]) -> np.ndarray:
        """What a fitted model says of molecules, as the property is modelled. Shape (n,)."""
        found: np.ndarray = model.arm.predict(pd.DataFrame({STRUCTURE: smiles}, dtype=object))
        return found.astype(np.float64)

    def seeds_of(self, arm: str) -> int:
        """How many seeds an arm has."""
        return self.settings.lm_seeds if arm in WRITERS else self.settings.seeds


def prepare(config: RunConfig, settings: Settings, reporter: Reporter) -> Context:
    """The table, with what is wanted checked against it.

    Raises
    ------
    InputError
        If the rows are no molecules with numbers, or what is asked makes no sense for them.
    """
    if not settings.want:
        raise InputError("say with --want which value is wanted, such as --want 2.0 or --want '>-1'")
    if config.kind is not MOLECULES:
        raise InputError(f"{config.table}: design is for tables of molecules, and this one is of {config.kind}")
    if config.beside:
        raise InputError(
            f"{config.table}: design states no column beside the molecule ({', '.join(config.beside)}); leave it out "
            "with --context ''"
        )
    oracle = oracle_of(config, settings.oracle)
    settings = replace(settings, oracle=oracle.name if oracle else NONE)
    if oracle is None and GENETIC in settings.arms:
        settings = replace(settings, arms=tuple(arm for arm in settings.arms if arm != GENETIC))
        reporter.say(f"Left out: {GENETIC}, which needs an oracle; no design can be checked by a truth without one.")
    if settings.reinforce and oracle is None:
        raise InputError("--reinforce is judged by a truth: name an oracle with --oracle")
    config = replace(config, max_rows=config.max_rows or settings.rows)
    context = replace(cleaned(config, (WRITER_ARM,), reporter), settings=settings)
    if context.task != REGRESSION:
        raise InputError(f"{config.table}: the target {config.target!r} holds classes; design wants a number")
    if oracle is not None:
        check_units(context.table, oracle)
    experiment = Experiment(context)
    experiment.goals  # noqa: B018 (an error where what is wanted makes no sense)
    _check(experiment, reporter)
    return context


def _check(experiment: Experiment, reporter: Reporter) -> None:
    """Raise `InputError` for constraints or a model that do not fit the table."""
    constraints = experiment.constraints
    if constraints.any and all(constraints.why_not(smiles) for smiles in experiment.smiles):
        raise InputError(
            f"{experiment.context.config.table}: none of its {len(experiment.smiles)} molecules meets the constraints "
            f"(the first one: {constraints.why_not(experiment.smiles[0])}); ask for less"
        )
    if not experiment.settings.model_of:
        return
    about = experiment.judge(reporter).about
    if about["task"] != REGRESSION or about["rows"] != MOLECULES.name or about["context"] or about["reactions"]:
        raise InputError(
            f"--model-of {experiment.settings.model_of}: is no model of a number of molecules alone; fit one with "
            "chemtune fit"
        )
    own, of_model = experiment.table.scale, Scale(**about["scale"])
    if own != of_model:
        raise InputError(
            f"--model-of {experiment.settings.model_of}: predicts {_scaled(of_model)}, and the table has "
            f"{_scaled(own)}; read the table with the same --units and --transform, or fit a model on it"
        )
    if about["target"] != experiment.context.config.target:
        reporter.say(
            f"--model-of {experiment.settings.model_of}: was fitted on {about['target']!r}; the target here is "
            f"{experiment.context.config.target!r}."
        )


def _scaled(scale: Scale) -> str:
    units = f"values in {scale.units}" if scale.units else "values without units"
    return f"{units}, {scale.explained()}" if scale.transform else units
