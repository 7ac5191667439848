"""What is trained on molecules, and what it says of the test and of held-out decoys: the work of a cell."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PolynomialFeatures, StandardScaler

from pipeline.arms.ladder import CONTROLS, class_chances, fit_arm, is_language_model
from pipeline.cells.cell import Cell, digest, measured
from pipeline.evaluation.detection import Scored
from pipeline.features.inputs import smiles_of
from pipeline.features.structures import PROPERTIES as COMPUTED
from pipeline.features.structures import properties
from pipeline.runs.context import Context, Machine
from pipeline.runs.fits import new_arm
from pipeline.runs.held_out import training_groups
from pipeline.studies.fitting import fit_inputs
from pipeline.studies.negatives import judges
from pipeline.studies.negatives.molecules.experiment import (
    ALL_ROWS,
    ALONE,
    BAGGING,
    DECOYS,
    DOSE,
    ELKAN_NOTO,
    EQUAL,
    FOREST,
    ONE_CLASS,
    OVER_COUNTS,
    PERMUTED,
    PROPERTIES,
    TRUE,
    UNLABELLED,
    Draw,
    Experiment,
    Training,
    experiment_of,
    experiments,
)
from pipeline.studies.negatives.molecules.pool import decoy_rows
from pipeline.tables.targets import CLASSES

WORK = "pipeline.studies.negatives.molecules.work:train_and_judge"
TREES = 100
_FAMILIARITY: dict[str, Callable[..., Any]] = dict(
    zip(ONE_CLASS, (judges.support_vectors, judges.isolation, judges.neighbours), strict=True)
)
_UNLABELLED = {BAGGING: "bagging", ELKAN_NOTO: "elkan-noto"}


# -- what is trained --


def trainings(experiment: Experiment) -> list[Training]:
    """All that is trained: cheap ones first, seeds outermost for the language model."""
    found = [
        training
        for seed in range(experiment.settings.seeds)
        for training in _of_seed(experiment, experiment.learners, seed)
    ]
    return sorted(found, key=lambda training: is_language_model(training.arm))


def _of_seed(experiment: Experiment, arms: Sequence[str], seed: int) -> list[Training]:
    settings, found = experiment.settings, []
    decoys = DECOYS if experiment.has_decoys else ()
    most = max(settings.doses)
    for arm in arms:
        on_model = is_language_model(arm)
        doses = settings.lm_doses if on_model else settings.doses
        found += [Training(DOSE, arm, EQUAL, dose, seed) for dose in sorted({*doses, most})]
        found += [Training(scheme, arm, EQUAL, None, seed) for scheme in (*decoys, UNLABELLED, PERMUTED)]
        if not on_model:
            found += [Training(DOSE, arm, ALL_ROWS, dose, seed) for dose in doses]
            found += [Training(scheme, arm, ALL_ROWS, None, seed) for scheme in decoys]
    found += [Training(ALONE, name, frame, None, seed) for name in ONE_CLASS for frame in (EQUAL, ALL_ROWS)]
    found += [Training(UNLABELLED, name, EQUAL, None, seed) for name in _UNLABELLED]
    found += [Training(DOSE, FOREST, frame, most, seed) for frame in (EQUAL, ALL_ROWS)]
    for frame in (EQUAL, ALL_ROWS):
        found += [Training(scheme, PROPERTIES, frame, None, seed) for scheme in decoys]
        found.append(Training(DOSE, PROPERTIES, frame, most, seed))
    return [*found, Training(PERMUTED, PROPERTIES, EQUAL, None, seed)]


def plan(context: Context, machine: Machine) -> list[Cell]:
    """One cell for each training, split by split."""
    return [
        _cell(experiment, machine, training)
        for experiment in experiments(context)
        for training in trainings(experiment)
    ]


def _cell(experiment: Experiment, machine: Machine, training: Training) -> Cell:
    context, split, rows = experiment.context, experiment.split, experiment.draw(training)
    given = [*rows.positives, *rows.others]
    # What is no arm stands for the constant: its code is that of the worker.
    arm = CONTROLS[CLASSES] if training.arm in (*OVER_COUNTS, PROPERTIES) else training.arm
    held_out = [experiment.held_out(kind) for kind in judged_kinds(experiment)]
    inputs = fit_inputs(context, machine, split, given, split.folds[0].test, arm, WORK) | {
        "positive": context.positive,
        "known": len(rows.positives),
        "decoys": digest(rows.decoys, held_out),
        "seed": context.config.seed + training.seed,
    }
    tags = {"split": split.name, **vars(training), "size": len(given) + len(rows.decoys)}
    return Cell(WORK, tags, inputs, (), training.label, is_language_model(training.arm))


def training_of(tags: Mapping[str, Any]) -> Training:
    """The training that the tags of a cell name."""
    return Training(*(tags[name] for name in Training.__dataclass_fields__))


def judged_kinds(experiment: Experiment) -> tuple[str, ...]:
    """The kinds of decoys that are held out."""
    return DECOYS if experiment.has_decoys else ()


# -- the work --


def train_and_judge(
    context: Context, machine: Machine, cell: Cell, needed: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """Train a model; what it says of the test rows and of the held-out decoys."""
    experiment, training = experiment_of(context, cell.tags["split"]), training_of(cell.tags)
    rows = experiment.draw(training)
    made: dict[str, Any] = {}
    with measured(made):
        judge = _judge(experiment, machine, training, rows, cell)
        scored = {TRUE: judge(experiment.table.inputs.loc[experiment.tested.test])}
        for kind in judged_kinds(experiment):
            scored[kind] = judge(decoy_rows(context, experiment.held_out(kind), list(experiment.held_out_for)))
    return made | {
        "scores": {name: one.score.tolist() for name, one in scored.items()},
        "threshold": float(scored[TRUE].threshold),
        "is_chance": scored[TRUE].chance is not None,
        "about": _about(experiment, training, rows),
    }


def _about(experiment: Experiment, training: Training, rows: Draw) -> dict[str, int]:
    """What the model was trained on; positives among the others are those that nobody knows of."""
    hidden = int(experiment.positive.loc[list(rows.others)].sum())
    kind = UNLABELLED if training.scheme == UNLABELLED else "negatives"
    return {"positives": len(rows.positives), "decoys": len(rows.decoys), kind: len(rows.others), "hidden": hidden}


def _judge(experiment: Experiment, machine: Machine, training: Training, rows: Draw, cell: Cell) -> judges.Judge:
    """A trained model."""
    seed, table = cell.inputs["seed"], experiment.table.inputs
    positives = table.loc[list(rows.positives)]
    if training.arm in _FAMILIARITY:
        return judges.by_familiarity(_FAMILIARITY[training.arm](seed, judges.over_molecules), positives, seed)
    decoys = decoy_rows(experiment.context, rows.decoys, rows.positives[: len(rows.decoys)])
    X = pd.concat([positives, table.loc[list(rows.others)], decoys])
    known = np.arange(len(X)) < len(positives)
    if training.arm in _UNLABELLED:
        kind = _UNLABELLED[training.arm]
        return judges.unlabelled(kind, X, known, seed, machine.threads, judges.over_molecules)
    if training.scheme == PERMUTED:
        known = np.random.default_rng([experiment.seed, training.seed, 6]).permutation(known)
    if training.arm == FOREST:
        return _by_chance(_forest(seed).fit(judges.over_molecules(X), known), judges.over_molecules)
    if training.arm == PROPERTIES:
        return _by_chance(_of_properties().fit(two_properties(X), known), two_properties)
    return _by_arm(experiment, machine, training.arm, X, known, cell)


def _by_arm(
    experiment: Experiment, machine: Machine, arm: str, X: pd.DataFrame, known: np.ndarray, cell: Cell
) -> judges.Judge:
    context, split = experiment.context, experiment.split
    positive, other = context.positive, next(one for one in context.classes if one != context.positive)
    real = X.index.isin(experiment.table.frame["row_id"])
    own = training_groups(context, split, replace(split.folds[0], train=tuple(X.index[real])))
    groups = np.array(X.index, dtype=object)  # a decoy is a group of its own
    groups[real] = own
    model = new_arm(context, machine, arm, cell.inputs["seed"], cell.label, split.reach)
    fit_arm(model, X, np.where(known, positive, other).astype(object), groups)
    place = context.classes.index(positive)

    def judge(new: pd.DataFrame) -> Scored:
        chance = class_chances(model, context.classes, new)[:, place]
        return Scored(chance, 0.5, chance)

    return judge


def _by_chance(model: Any, features: judges.Features) -> judges.Judge:
    """A fitted classifier of whether a row is a positive, over features of molecules."""

    def judge(new: pd.DataFrame) -> Scored:
        chance = model.predict_proba(features(new))[:, 1]
        return Scored(chance, 0.5, chance)

    return judge


def _forest(seed: int) -> RandomForestClassifier:
    return RandomForestClassifier(n_estimators=TREES, random_state=seed)


def two_properties(X: pd.DataFrame) -> np.ndarray:
    """logP and polar surface, 0 where RDKit knows none. Shape (n, 2)."""
    columns = [list(COMPUTED).index(name) for name in ("logP", "polar surface")]
    return np.nan_to_num(properties(smiles_of(X))[:, columns])


def _of_properties() -> Any:
    return make_pipeline(
        StandardScaler(), PolynomialFeatures(2, include_bias=False), LogisticRegression(max_iter=1_000)
    )
