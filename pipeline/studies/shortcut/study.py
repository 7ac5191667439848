"""If a marker goes with high labels in training, does a model rely on it, and how wrong is it where that turns?

The marker is planted: in training rows at random, more often where the label is above the median. Each model predicts
every test row with the marker and without it, from which its error follows for any way in which the two go together.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pandas as pd

from pipeline.arms.ladder import is_language_model
from pipeline.cells.cell import Cell, digest, measured
from pipeline.errors import InputError
from pipeline.reporter import Reporter
from pipeline.runs.budget import Reduction
from pipeline.runs.context import Context, Machine
from pipeline.runs.estimates import Probe
from pipeline.runs.fits import new_arm
from pipeline.runs.prepare import cleaned, with_splits, without_long_rows
from pipeline.settings.run import RunConfig
from pipeline.settings.study import require_canonical
from pipeline.studies.budget import curve_budget, seconds_of_arm
from pipeline.studies.fitting import answers, drawn, fit_inputs, fit_on, trained
from pipeline.studies.learning_curve.settings import FEW_ARMS
from pipeline.studies.shortcut.findings import Findings
from pipeline.studies.shortcut.markers import MARKERS
from pipeline.studies.shortcut.page import sections
from pipeline.studies.shortcut.planting import (
    Training,
    cannot_carry,
    check_rows,
    dealt,
    marker_of,
    stands_for,
    tests,
    trained_on,
    trainings,
    why_not,
)
from pipeline.studies.shortcut.settings import Settings
from pipeline.studies.shortcut.words import failure, sentences
from pipeline.studies.study import Conclusion

__all__ = ["NAME", "Settings", "conclude", "described", "facts", "line", "plan", "prepare", "title"]
NAME = "shortcut"
WORK = "pipeline.studies.shortcut.study:train_and_predict"


def prepare(config: RunConfig, settings: Settings, reporter: Reporter) -> Context:
    """The table and its hold-out; markers that the table does not allow are left out, and said to be."""
    require_canonical(config, "shows molecules as canonical SMILES")
    settings = replace(settings, arms=settings.arms or FEW_ARMS[config.kind])
    config = replace(config, arms=settings.arms, split=settings.split, folds=0, repeats=1, n_train=0)
    context = cleaned(config, config.arms, reporter)
    asked = settings.markers or tuple(MARKERS)
    left_out = {name: reason for name in asked if (reason := why_not(context, name))}
    for name, reason in left_out.items():
        reporter.say(f"Left out: the marker {name}: {reason}.")
    possible = tuple(name for name in asked if name not in left_out)
    if not possible:
        reasons = "; ".join(f"{name}: {reason}" for name, reason in left_out.items())
        raise InputError(f"{config.table}: no marker can be planted in this table: {reasons}")
    context = _that_fit(replace(context, settings=replace(settings, markers=possible)))
    context = with_splits(context, reporter)
    check_rows(context, context.splits[0])
    return context


def _that_fit(context: Context) -> Context:
    """Without the rows that are too long for the language model once they carry a marker; they are refused."""
    if not any(map(is_language_model, context.arms)):
        return context
    table = context.table
    for name in context.settings.markers:
        marked = marker_of(context, name).plant(table, frozenset(table.frame["row_id"]) - cannot_carry(context, name))
        left = set(without_long_rows(replace(context, table=marked)).frame["row_id"])
        long = [row for row in table.frame["row_id"] if row not in left]
        table = table.refuse(dict.fromkeys(long, f"too long for {context.config.model} with the {name}"))
    return replace(context, table=table)


def plan(context: Context, machine: Machine) -> list[Cell]:
    """One cell for each arm, training and seed, cheap arms first."""
    return [
        _cell(context, machine, arm, training, seed)
        for arm in sorted(context.arms, key=is_language_model)
        for training in trainings(context)
        for seed in range(context.settings.seeds)
    ]


def _cell(context: Context, machine: Machine, arm: str, training: Training, seed: int) -> Cell:
    split = context.splits[0]
    rows = drawn(context, split, seed)
    inputs = fit_inputs(context, machine, split, rows, split.folds[0].test, arm, WORK) | {
        "marked": digest(dealt(context, split, training, seed) if training.marker else []),
        "stands_for": [vars(one) for one in stands_for(context, training)],
        "seed": context.config.seed + seed,
    }
    tags = {"split": split.name, "arm": arm, **vars(training), "size": len(rows), "seed": seed}
    return Cell(WORK, tags, inputs, (), f"{arm}, {_named(tags)}, seed {seed}", is_language_model(arm))


def _named(tags: Mapping[str, Any]) -> str:
    """What a model was trained on."""
    if not tags["marker"]:
        return "no marker"
    return f"{tags['marker']} " + ("taken away" if tags["removed"] else f"at {tags['strength']:g}")


def train_and_predict(
    context: Context, machine: Machine, cell: Cell, needed: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """Train an arm on rows that carry the marker as they should, and predict all test rows with it and without."""
    split, tags = context.splits[0], cell.tags
    training = Training(tags["marker"], tags["strength"], tags["removed"])
    rows = drawn(context, split, tags["seed"])
    labels = context.targets(split.folds[0]).loc[rows].to_numpy()
    made: dict[str, Any] = {}
    with measured(made):
        model = new_arm(context, machine, tags["arm"], cell.inputs["seed"], cell.label, split.reach)
        X = trained_on(context, split, training, tags["seed"])
        fit_on(context, split, model, X, labels, context.table.censoring(rows))
        made["answers"] = [
            {**vars(of), "carried": carried, **answers(context, model, given)}
            for of, carried, given in tests(context, split, training)
        ]
    return made


def described(context: Context) -> list[str]:
    """What is planted and trained."""
    split, settings = context.splits[0], context.settings
    named = " and ".join(str(marker_of(context, name)) for name in settings.markers)
    strengths = ", ".join(f"{strength:g}" for strength in settings.strengths)
    rows = len(drawn(context, split, 0))
    return [
        f"Split {split.name}: {rows} of {len(split.folds[0].train)} training rows, tested on the same "
        f"{len(split.folds[0].test)}. Planted: {named}, at strengths {strengths}.",
        f"Arms: {', '.join(context.arms)}; {settings.seeds} seeds. Folder: {context.folder}",
    ]


def line(context: Context, content: Mapping[str, Any]) -> str:
    """What was trained, and how long it took."""
    tags = content["tags"]
    return f"{tags['arm']}, {_named(tags)}, seed {tags['seed']}".ljust(52) + f" {content['seconds']:6.1f} s"


def title(context: Context) -> str:
    return f"{context.table.name}: does a model rely on a marker?"


def facts(context: Context) -> list[str]:
    seeds = context.settings.seeds
    return [f"{seeds} training seed{'s' * (seeds > 1)}"]


def conclude(context: Context, contents: Sequence[Mapping[str, Any]]) -> Conclusion:
    """How far each arm relies on each marker, and what that costs."""
    found = Findings(context, context.splits[0], contents)
    said = sentences(found)
    return Conclusion(
        found.metrics(),
        pd.concat([found.predictions(one) for one in contents], ignore_index=True),
        trained(contents),
        tuple(said),
        tuple(sections(found, said)),
        {"reliance": found.reliances()},
        failures=(failure(found),),
    )


def seconds_of(context: Context, cell: Cell, measured: Probe) -> float:
    """Seconds of a cell, from what was timed; its test rows are predicted with the marker and without."""
    return seconds_of_arm(context, cell, measured, times=2)


def _ends(context: Context) -> Context | None:
    """Only the null and the strongest marker."""
    strengths = context.settings.strengths
    if len(strengths) < 3:
        return None
    return replace(context, settings=replace(context.settings, strength=(strengths[0], strengths[-1])))


BUDGET = curve_budget(plan, seconds_of, first={"the strengths between": Reduction(_ends, "strength")}, sized=False)
