"""Training a model, and what it says of the test rows: the work of a cell."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, fields, replace
from typing import Any

import numpy as np
import pandas as pd

from pipeline.arms.ladder import is_language_model
from pipeline.cells.cell import Cell, digest, measured
from pipeline.evaluation.detection import Scored
from pipeline.lm.defaults import WRITER
from pipeline.runs.context import Context, Machine, language_model_inputs
from pipeline.studies.learners import LM_BATCH, code_of_learner, of_yields, short_arm
from pipeline.studies.negatives import decoys, judges
from pipeline.studies.negatives.experiment import (
    ALWAYS_YES,
    ANYWHERE,
    DECOYS,
    DOSE,
    FAMILIARITY,
    LABELS_ALONE,
    LIKELIHOOD,
    ONE_CLASS,
    PUBLISHED,
    SHUFFLED_PRODUCTS,
    SPIES,
    UNLABELLED,
    WRONG_PRODUCTS,
    YIELDS_ALONE,
    Experiment,
    Training,
    at_threshold,
    experiment_at,
    experiments,
)
from pipeline.studies.negatives.settings import OF_MOLECULES, NegativesSettings
from pipeline.studies.negatives.trainings import draw, literature, sensitivity_trainings, trainings
from pipeline.tables.targets import REGRESSION

WORK = "pipeline.studies.negatives.work:train_and_judge"
# Settings that say which trainings there are or how they are read, and change none of them; and those of molecules.
_READ = ("arms", "split", "sensitivity", "seeds", "doses", "lm_doses", "lm_extras", "base_rate")
_UNUSED = (*_READ, *(one.name for one in fields(NegativesSettings) if one.metadata["kinds"] == OF_MOLECULES))


def plan(context: Context, machine: Machine) -> list[Cell]:
    """All trainings, split by split, then those of the classical learners at other thresholds of success."""
    return [
        cell
        for experiment in experiments(context)
        for one, made in ((experiment, trainings(experiment)), *thresholds(experiment))
        for cell in (training_cell(one, machine, training) for training in made)
    ]


def thresholds(experiment: Experiment) -> list[tuple[Experiment, list[Training]]]:
    """The experiment at other thresholds of success that leave enough of either kind, with what is trained there."""
    others = dict.fromkeys(one for one in experiment.settings.sensitivity if one != experiment.settings.success)
    found = (at_threshold(experiment, threshold) for threshold in others)
    return [(moved, sensitivity_trainings(moved)) for moved in found if moved is not None]


def training_cell(experiment: Experiment, machine: Machine, training: Training) -> Cell:
    """The cell of a training at the threshold of success of its experiment."""
    context, success = experiment.context, experiment.settings.success
    inputs: dict[str, Any] = {
        "code": code_of_learner(WORK, training.learner),
        "table": context.table.fingerprint(),
        "yields": digest(experiment.yields.to_json()),
        "rows": digest(sorted(experiment.train), experiment.test),
        "settings": {name: value for name, value in asdict(experiment.settings).items() if name not in _UNUSED},
        "seed": experiment.seed,
    }
    on_model = is_language_model(training.learner) or training.learner == LIKELIHOOD
    if on_model:
        inputs["language_model"] = language_model_inputs(context, machine)
    tags = {"split": experiment.split.name, "success": success, **asdict(training)}
    return Cell(WORK, tags, inputs, (), training.label, on_model)


def training_of(tags: Mapping[str, Any]) -> Training:
    """The training that the tags of a cell name."""
    return Training(*(tags[name] for name in Training.__dataclass_fields__))


def train_and_judge(
    context: Context, machine: Machine, cell: Cell, needed: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """Train a model; its scores of the test rows and of reactions foreign to the table."""
    experiment = experiment_at(context, cell.tags["split"], cell.tags["success"])
    made: dict[str, Any] = {}
    with measured(made):
        judge, about = judge_of(experiment, machine, training_of(cell.tags))
        test = judge(experiment.table.inputs.loc[experiment.test])
        foreign = {name: judge(rows).score.tolist() for name, rows in experiment.foreign.items()}
    return made | {"about": about, "test": _plain(test), "foreign": foreign}


def _learner(experiment: Experiment, machine: Machine, training: Training, seed: int, task: str = "") -> Any:
    """An unfitted arm, for classes unless ``task`` says otherwise."""
    context = experiment.context
    if task == REGRESSION:
        context = replace(context, table=of_yields(context.table))
    return short_arm(context, machine, training.learner, seed, training.label, experiment.settings.lm_steps)


def judge_of(experiment: Experiment, machine: Machine, training: Training) -> tuple[judges.Judge, dict[str, Any]]:
    """A trained model, and what it was trained on."""
    X, settings = experiment.table.inputs, experiment.settings
    seed = experiment.seed + training.seed
    is_published = training.scheme == PUBLISHED
    rows = literature(experiment, training.seed) if is_published else draw(experiment, training)
    about: dict[str, Any] = {"successes": len(rows.positives), "failures": len(rows.negatives)}
    positives = X.loc[rows.positives]

    def make(task: str = "") -> Any:
        return _learner(experiment, machine, training, seed, task)

    if training.scheme == ALWAYS_YES:
        return judges.always_yes, about | {"successes": 0}
    if training.scheme in (LABELS_ALONE, DOSE, PUBLISHED):
        return judges.by_labels(make(), *_beside(positives, X.loc[rows.negatives])), about
    if training.scheme == YIELDS_ALONE:
        yields = experiment.yields.loc[rows.positives].to_numpy()
        return judges.by_yields(make(REGRESSION), positives, yields, settings.success), about
    if training.scheme in ONE_CLASS:
        return judges.by_familiarity(ONE_CLASS[training.scheme](seed), positives, seed), about
    if training.scheme == FAMILIARITY:
        return judges.by_familiarity(
            lambda known: _likelihood(experiment, machine, seed, known), positives, seed
        ), about
    if training.scheme in DECOYS:
        made = make_decoys(experiment, training.scheme, positives, np.random.default_rng([seed, 2]))
        about |= {
            "failures": 0,
            "decoys": len(made.X),
            "decoys_known": made.known,
            "decoys_successes": made.successes,
            "decoys_tested": made.tested,
        }
        return judges.by_labels(make(), *_beside(positives, made.X)), about
    pool = _unlabelled_pool(experiment, rows.positives, seed)
    about |= {"failures": 0, "unlabelled": len(pool), "unlabelled_successes": int(experiment.success.loc[pool].sum())}
    both, known = _beside(positives, X.loc[pool])
    if training.scheme == SPIES:
        return judges.by_spies(make, both, known, seed), about
    return judges.unlabelled(UNLABELLED[training.scheme], both, known, seed, machine.threads), about


def _beside(successes: pd.DataFrame, others: pd.DataFrame) -> tuple[pd.DataFrame, np.ndarray]:
    """Both as one, and which rows are the successes. Shapes (n, columns) and (n,)."""
    return pd.concat([successes, others]), np.arange(len(successes) + len(others)) < len(successes)


def _likelihood(
    experiment: Experiment, machine: Machine, seed: int, known: pd.DataFrame
) -> Callable[[pd.DataFrame], np.ndarray]:
    context = experiment.context
    model = judges.Likelihood(
        engine=machine.engine(context, WRITER),
        template=context.template,
        steps=experiment.settings.lm_steps,
        seed=seed,
        settings={"batch_size": LM_BATCH},
        progress=lambda done, total: machine.reporter.step("likelihood", done, total),
    )
    return model.fit(known).familiarity


def _unlabelled_pool(experiment: Experiment, known: list[str], seed: int) -> list[str]:
    """Training rows whose outcome is not looked at: all others, or as many as there are known successes."""
    rest = sorted(set(experiment.train) - set(known))
    size = len(known) if experiment.settings.positives else len(rest)
    return list(np.random.default_rng([seed, 3]).permutation(np.array(rest, dtype=object))[:size])


def make_decoys(
    experiment: Experiment, scheme: str, positives: pd.DataFrame, rng: np.random.Generator
) -> decoys.Decoys:
    """As many decoys as successes, none of them a known success; only `ANYWHERE` gives test reactions."""
    n = len(positives)
    if scheme == WRONG_PRODUCTS:
        return decoys.wrong_products(positives, n, rng)
    if scheme == SHUFFLED_PRODUCTS:
        return decoys.shuffled_products(positives, n, rng)
    components = experiment.table.components
    measured = experiment.table.inputs.assign(**{decoys.REACHED: experiment.success})
    known = {*map(tuple, positives[list(components)].to_numpy(dtype=object))}
    tested = {*map(tuple, measured.loc[experiment.test, list(components)].to_numpy(dtype=object))}
    barred = known if scheme == ANYWHERE else known | tested
    return decoys.recombined(positives, measured, barred, n, components, rng, tested)


def _plain(scored: Scored) -> dict[str, Any]:
    return {
        "score": scored.score.tolist(),
        "threshold": float(scored.threshold),
        "chance": None if scored.chance is None else scored.chance.tolist(),
        "predicted": None if scored.predicted is None else scored.predicted.tolist(),
    }


def scored_of(cell: Mapping[str, Any]) -> Scored:
    """What the model of a cell says of the test rows."""
    test = cell["test"]
    chance, predicted = (None if test[name] is None else np.array(test[name]) for name in ("chance", "predicted"))
    return Scored(np.array(test["score"], dtype=np.float64), test["threshold"], chance, predicted)
