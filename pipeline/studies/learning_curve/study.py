"""How the error of each arm falls with the number of measurements it is trained on.

For each training seed the training rows of a split are put in one random order, and every arm is trained on the first
so many of them: a larger training set holds a smaller one, and all sizes and arms are tested on the same rows. The rows
of the first seed are those that ``chemtune run --n-train`` trains on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import compress
from typing import Any

import numpy as np
import pandas as pd

from pipeline.arms.ladder import is_language_model
from pipeline.cells.cell import Cell, digest, measured
from pipeline.evaluation.metrics import row_errors
from pipeline.reporter import Reporter
from pipeline.runs.context import Context, Machine
from pipeline.runs.fits import new_arm
from pipeline.runs.held_out import listed, predicted_by, training_groups
from pipeline.runs.prepare import prepare as prepare_run
from pipeline.settings.run import RunConfig
from pipeline.splits.splitters import Split
from pipeline.studies.budget import curve_budget, seconds_of_arm
from pipeline.studies.fitting import fit_and_predict, fit_inputs, ordered, trained
from pipeline.studies.learning_curve.findings import Curves, check_sizes, sizes_of
from pipeline.studies.learning_curve.page import sections
from pipeline.studies.learning_curve.settings import FEW_ARMS, Settings
from pipeline.studies.learning_curve.words import sentences
from pipeline.studies.study import Conclusion

__all__ = ["NAME", "Settings", "conclude", "described", "facts", "line", "plan", "prepare", "title"]
NAME = "learning-curve"
WORK = "pipeline.studies.learning_curve.study:train_and_predict"
MOST_REST = 300  # training rows outside of a draw on which baselines are compared


def prepare(config: RunConfig, settings: Settings, reporter: Reporter) -> Context:
    """The table and its hold-outs; an error where a split has no two sizes."""
    settings = replace(settings, arms=settings.arms or FEW_ARMS[config.kind])
    config = replace(config, arms=settings.arms, split=settings.split, folds=0, repeats=1, n_train=0)
    context = replace(prepare_run(config, reporter), settings=settings)
    for split in context.splits:
        check_sizes(context, split)
    return context


def plan(context: Context, machine: Machine) -> list[Cell]:
    """One cell for each split, seed, size and arm, cheap arms first."""
    arms = sorted(context.arms, key=is_language_model)
    return [
        _cell(context, machine, split, arm, size, seed)
        for split in context.splits
        for arm in arms
        for size in sizes_of(context, split)
        for seed in range(context.settings.seeds)
    ]


def _cell(context: Context, machine: Machine, split: Split, arm: str, size: int, seed: int) -> Cell:
    order, test = ordered(context, split, seed), split.folds[0].test
    train, on_model = sorted(order[:size]), is_language_model(arm)
    inputs = fit_inputs(context, machine, split, train, test, arm, WORK) | {"seed": context.config.seed + seed}
    if not on_model:  # it is scored on the rest of the training rows, too, by their groups
        inputs |= {"rest": digest(order[size:]), "groups": digest([split.groups[row] for row in order])}
    tags = {"split": split.name, "arm": arm, "size": size, "seed": seed}
    return Cell(WORK, tags, inputs, (), f"{split.name} {arm}, {size} rows, seed {seed}", on_model)


def train_and_predict(
    context: Context, machine: Machine, cell: Cell, needed: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """Train an arm on so many rows, and predict the test rows; a baseline other training rows, too."""
    table, tags = context.table, cell.tags
    split = context.split_named(tags["split"])
    X, y = table.inputs, context.targets(split.folds[0])
    order = ordered(context, split, tags["seed"])
    train = sorted(order[: tags["size"]])
    made: dict[str, Any] = {}
    with measured(made):
        model = new_arm(context, machine, tags["arm"], cell.inputs["seed"], cell.label, split.reach)
        made |= fit_and_predict(context, split, model, train, y.loc[train].to_numpy(), table.censoring(train))
    if not cell.on_model:
        rest = _rest(context, split, order, tags["size"])
        made["rest"] = len(rest)
        made["rest_error"] = _error(context, model, X.loc[rest], y.loc[rest].to_numpy()) if rest else 0.0
    return made


def _rest(context: Context, split: Split, order: Sequence[str], size: int) -> list[str]:
    """Training rows outside of a draw, of groups that it has no row of (as the test rows are), as far as their target
    is a value."""
    groups = training_groups(context, split, replace(split.folds[0], train=tuple(order)))
    seen, exact = set(groups[:size]), context.table.exact
    rest = [row for row, group in zip(order[size:], groups[size:], strict=True) if group not in seen]
    return list(compress(rest, exact.loc[rest]))[:MOST_REST]


def _error(context: Context, model: Any, X: Any, truth: np.ndarray) -> float:
    """The mean error of a model on rows, by the metric that curves are made of."""
    said = np.asarray(listed(context, predicted_by(context, model, X)))
    return float(row_errors(truth, said, context.classes).mean())


def described(context: Context) -> list[str]:
    """The sizes of each split, and those that are left out."""
    said = []
    for split in context.splits:
        sizes, rows = sizes_of(context, split), len(split.folds[0].train)
        line = (
            f"Split {split.name}: {', '.join(map(str, sizes))} of {rows} training rows, tested on the same "
            f"{len(split.folds[0].test)}."
        )
        large = [size for size in sorted(set(context.settings.sizes)) if size > rows]
        small = [size for size in sorted(set(context.settings.sizes)) if size not in sizes and size <= rows]
        if large:
            line += f" Left out: {', '.join(map(str, large))}, more than there are."
        if small:
            line += f" Left out: {', '.join(map(str, small))}, where a draw has rows of one class alone."
        said.append(line)
    return [*said, f"Arms: {', '.join(context.arms)}; {context.settings.seeds} seeds. Folder: {context.folder}"]


def line(context: Context, content: Mapping[str, Any]) -> str:
    """What was trained, and how long it took."""
    tags = content["tags"]
    where = f"{tags['split']} {tags['arm']}, {tags['size']} rows, seed {tags['seed']}"
    return f"{where:<52} {content['seconds']:6.1f} s"


def title(context: Context) -> str:
    return f"{context.table.name}: how much data does it take?"


def facts(context: Context) -> list[str]:
    seeds = context.settings.seeds
    return [f"{seeds} training seed{'s' * (seeds > 1)}"]


def conclude(context: Context, contents: Sequence[Mapping[str, Any]]) -> Conclusion:
    """The curves of each split with what follows from them."""
    by_split = [
        Curves(context, split, [one for one in contents if one["tags"]["split"] == split.name])
        for split in context.splits
    ]
    said = [sentence for curves in by_split for sentence in sentences(curves)]
    predictions = pd.concat(
        [curves.predictions(content) for curves in by_split for content in curves.contents], ignore_index=True
    )
    tables = {
        "data_factors": pd.concat([curves.factors() for curves in by_split], ignore_index=True),
        "laws": pd.concat([curves.laws() for curves in by_split], ignore_index=True),
    }
    found = [
        {"split": one.split.name, "preferred": one.preferred, "use": {str(n): arms for n, arms in one.to_use.items()}}
        for one in by_split
    ]
    return Conclusion(
        pd.concat([curves.metrics() for curves in by_split], ignore_index=True),
        predictions,
        trained(contents),
        tuple(said),
        tuple(sections(context, by_split, said)),
        tables,
        info={"curves": found},
    )


BUDGET = curve_budget(plan, seconds_of_arm)
