"""Tangent and normal: what training pinned down, and what it did not.

At training molecules the inputs of models that were trained on the same rows with other seeds are moved by the same
steps: along what the neighbours of the molecule span, across it, and along the direction to which the first model
answers most. What the labels pinned down the models agree about.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from pipeline.arms.ladder import HEAD
from pipeline.cells.cell import Cell, digest, measured
from pipeline.errors import InputError
from pipeline.reporter import Reporter
from pipeline.runs.context import Context, Machine
from pipeline.runs.estimates import Probe
from pipeline.runs.fits import new_arm
from pipeline.runs.prepare import prepare as prepare_run
from pipeline.settings.run import RunConfig
from pipeline.settings.study import require_canonical, require_molecules
from pipeline.studies.budget import curve_budget, seconds_of_arm
from pipeline.studies.fitting import drawn, fit_inputs, fit_on, trained
from pipeline.studies.off_manifold import steps_page, true_steps
from pipeline.studies.off_manifold.directions import LEAST_ACROSS, NEIGHBOURS, room_across, steps_at
from pipeline.studies.off_manifold.findings import (
    ACROSS,
    ALONG,
    DIRECTIONS,
    PERMUTED,
    STEEPEST,
    TRAINED,
    UNTRAINED,
    Findings,
    steps_of,
)
from pipeline.studies.off_manifold.models import MLP, Moved, Network, Read, places_of_network, places_of_tokens
from pipeline.studies.off_manifold.page import failure, sections, sentences
from pipeline.studies.off_manifold.settings import Settings
from pipeline.studies.off_manifold.steps import KINDS, STEPS
from pipeline.studies.off_manifold.true_steps import BASIS
from pipeline.studies.oracle import asked_oracle, name_of, with_oracle
from pipeline.studies.study import Conclusion
from pipeline.tables.targets import CLASSES

__all__ = ["NAME", "Settings", "conclude", "described", "facts", "line", "plan", "prepare", "title"]
NAME = "off-manifold"
WORK = "pipeline.studies.off_manifold.study:train_and_move"
LEAST_ROWS = 30  # training rows
SECONDS_OF_NETWORK = 3.0
SECONDS_OF_CALL = 0.1  # of an oracle; xtb_gap took 0.08 on 20 molecules of ESOL
SLOPE = 3  # readings that take as long as one with its gradient


def prepare(config: RunConfig, settings: Settings, reporter: Reporter) -> Context:
    """The table and its hold-out; an error where it has no numbers or two classes, too few rows, or no directions."""
    require_molecules(config)
    require_canonical(config, "reads canonical SMILES")
    arms = (HEAD,) if HEAD in settings.models else (BASIS,)
    further = settings.arms if name_of(config, settings.oracle) else ()
    config = replace(config, arms=(*arms, *further), split=settings.split, folds=0, repeats=1, n_train=0)
    context = prepare_run(config, reporter)
    context = replace(context, settings=with_oracle(context, settings, reporter))
    if asked_oracle(context) and not true_steps.arms_of(context):
        raise InputError(f"arms is {', '.join(settings.arms)}: a constant follows no step; name an arm that learns")
    if context.task == CLASSES and len(context.classes) != 2:
        raise InputError(
            f"{config.table}: the study is for numbers and for two classes; there are {len(context.classes)}"
        )
    rows = _rows(context)
    if len(rows) < LEAST_ROWS:
        raise InputError(f"{config.table}: {len(rows)} training rows; the study needs {LEAST_ROWS}")
    if context.targets(context.splits[0].folds[0]).loc[rows].nunique() < 2:
        raise InputError(f"{config.table}: all training rows have one value of {config.target!r}")
    left = room_across(places_of_network(_smiles(context, rows)))
    if left < LEAST_ACROSS:
        raise InputError(
            f"{config.table}: the training rows differ in too few directions of the descriptors; the {NEIGHBOURS} "
            "nearest neighbours of a molecule span them all, so that none leads across"
        )
    return context


def _rows(context: Context) -> list[str]:
    """The training rows, the same for all models."""
    return drawn(context, context.splits[0], 0)


def _smiles(context: Context, rows: Sequence[str]) -> list[str]:
    return [str(text) for text in context.table.inputs.loc[list(rows)].iloc[:, 0]]


def _points(context: Context) -> np.ndarray:
    """The numbers of the training rows at which steps are made. Shape (points,)."""
    rows = _rows(context)
    rng = np.random.default_rng(context.config.seed)
    return np.sort(rng.permutation(len(rows))[: context.settings.points])


def plan(context: Context, machine: Machine) -> list[Cell]:
    """One cell for each model, treatment and seed; those of later seeds need the steepest steps of the first. With an
    oracle, behind them those of steps from molecule to molecule."""
    cells = []
    for model in context.settings.models:
        for treatment in (TRAINED, PERMUTED, *([UNTRAINED] if model == MLP else [])):
            first = _cell(context, machine, model, treatment, 0, ())
            later = range(1, context.settings.seeds)
            cells += [first, *(_cell(context, machine, model, treatment, seed, (first,)) for seed in later)]
    return cells + true_steps.cells_of(context, machine)


def _cell(context: Context, machine: Machine, model: str, treatment: str, seed: int, needs: tuple[Cell, ...]) -> Cell:
    rows, split, on_model = _rows(context), context.splits[0], model != MLP
    arm = HEAD if on_model else BASIS
    inputs = fit_inputs(context, machine, split, rows, split.folds[0].test, arm, WORK) | {
        "points": digest(_points(context).tolist()),
        "steps_by": context.config.seed,
        "seed": context.config.seed + seed,
    }
    tags = {
        "split": context.splits[0].name,
        "arm": model,
        "treatment": treatment,
        "size": len(rows),
        "seed": seed,
    }
    return Cell(WORK, tags, inputs, needs, f"{model}, {treatment}, seed {seed}", on_model)


def train_and_move(
    context: Context, machine: Machine, cell: Cell, needed: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """Train a model, and how its predictions change with each step."""
    points, made = _points(context), dict[str, Any]()
    with measured(made):
        model, places = _model(context, machine, cell)
        along, across = steps_at(places, points, cell.inputs["steps_by"])
        steepest = np.array(needed[0]["steepest"]) if needed else model.steepest(points)
        lengths = np.linalg.norm(along[:, 0], axis=1)
        steps = {ALONG: along, ACROSS: across, STEEPEST: (steepest * lengths[:, None])[:, None, :]}
        stay = model.say(points, np.zeros_like(steepest))
        made["changes"] = {
            kind: np.stack(
                [model.say(points, steps[kind][:, number]) - stay for number in range(steps_of(kind))], axis=1
            ).tolist()
            for kind in DIRECTIONS
        }
    return made | ({} if needed else {"steepest": np.round(steepest, 6).tolist()})


def _model(context: Context, machine: Machine, cell: Cell) -> tuple[Moved, np.ndarray]:
    """A model of a cell, and the places of all training rows in what it reads."""
    rows, seed, split = _rows(context), cell.inputs["seed"], context.splits[0]
    y = context.targets(split.folds[0]).loc[rows].to_numpy()
    of_classes = context.task == CLASSES
    if cell.tags["treatment"] == PERMUTED:  # each model its own, so that they have nothing in common to agree about
        y = np.random.default_rng(seed).permutation(y)
    if cell.tags["arm"] == MLP:
        places = places_of_network(_smiles(context, rows))
        numbers = (y.astype(str) == context.classes[1]).astype(float) if of_classes else y.astype(float)
        labels = numbers if of_classes else (numbers - numbers.mean()) / (numbers.std() or 1.0)
        return Network(places, None if cell.tags["treatment"] == UNTRAINED else labels, of_classes, seed), places
    X = context.table.inputs.loc[rows]
    arm = new_arm(context, machine, HEAD, seed, cell.label, split.reach)
    fit_on(context, split, arm, X, y, None if cell.tags["treatment"] == PERMUTED else context.table.censoring(rows))
    return Read(arm, X), places_of_tokens(arm, X)


def described(context: Context) -> list[str]:
    """What is trained and moved."""
    settings = context.settings
    asked = f" Oracle {settings.oracle}: steps to other molecules, arms {', '.join(true_steps.arms_of(context))}."
    return [
        f"{len(_rows(context))} training rows, steps at {len(_points(context))} of them; models: "
        f"{', '.join(settings.models)}, {settings.seeds} seeds each.{asked if asked_oracle(context) else ''} "
        f"Folder: {context.folder}"
    ]


def line(context: Context, content: Mapping[str, Any]) -> str:
    """What was trained or made, and how long it took."""
    tags = content["tags"]
    if tags["treatment"] == STEPS:
        return f"{len(content['steps']['end'])} {STEPS}".ljust(52) + f" {content['seconds']:6.1f} s"
    return f"{tags['arm']}, {tags['treatment']}, seed {tags['seed']}".ljust(52) + f" {content['seconds']:6.1f} s"


def title(context: Context) -> str:
    return f"{context.table.name}: steps off the manifold of the data"


def facts(context: Context) -> list[str]:
    return [f"{len(_points(context))} molecules moved", f"{context.settings.seeds} models of each kind"]


def conclude(context: Context, contents: Sequence[Mapping[str, Any]]) -> Conclusion:
    """What each kind of model says."""
    rows, split = _rows(context), context.splits[0]
    moved = [rows[point] for point in _points(context)]
    groups = np.array([split.groups[row] for row in moved], dtype=object)
    found = [
        Findings(context, model, [one for one in contents if _is_moved(one) and one["tags"]["arm"] == model], groups)
        for model in context.settings.models
    ]
    stepped = [true_steps.TrueSteps(context, contents)] if asked_oracle(context) else []
    said = [sentence for one in found for sentence in sentences(one)]
    said += [sentence for one in stepped for sentence in steps_page.sentences(one)]
    predictions = [one.predictions(cell, moved) for one in found for cell in one.contents]
    predictions += [one.predictions(cell) for one in stepped for cell in contents if "of_steps" in cell]
    return Conclusion(
        pd.concat([*(one.metrics() for one in found), *(one.metrics() for one in stepped)], ignore_index=True),
        pd.concat(predictions, ignore_index=True),
        trained(contents),
        tuple(said),
        tuple(sections(context, found, said, [steps_page.section(one) for one in stepped])),
        {name: one.steps for one in stepped for name in ("steps",)},
        failures=(failure(found), *(told for one in stepped for told in steps_page.failure(one))),
    )


def _is_moved(content: Mapping[str, Any]) -> bool:
    """Whether a result is that of a model whose input was moved, and not one of molecules."""
    return "changes" in content


def seconds_of(context: Context, cell: Cell, measured: Probe) -> float:
    """Seconds of a cell: a training, and reading each point in every step."""
    if cell.tags["arm"] == MLP:
        return SECONDS_OF_NETWORK
    if cell.tags["treatment"] == STEPS:
        return 2 * len(KINDS) * len(_points(context)) * SECONDS_OF_CALL
    if cell.tags["treatment"] in true_steps.TREATMENTS:
        return seconds_of_arm(context, cell, measured)
    reads = len(_points(context)) * (1 + sum(map(steps_of, DIRECTIONS)) + SLOPE)
    return seconds_of_arm(context, cell, measured, -(-reads // len(context.splits[0].folds[0].test)))


BUDGET = curve_budget(plan, seconds_of, sized=False)
