"""How the error of each arm falls with the number of measurements it is trained on.

For each training seed the training rows of a split are put in one random order, and every arm is trained on the first
so many of them: a larger training set holds a smaller one, and all sizes and arms are tested on the same rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from pipeline.arms.ladder import CONTROLS, class_chances, code_behind, fit_arm, is_language_model
from pipeline.cells.cell import Cell, digest, measured
from pipeline.cells.reach import code_of
from pipeline.errors import InputError
from pipeline.evaluation.bootstrap import group_weights
from pipeline.evaluation.metrics import LABELS, PRIMARY, RANGE, class_scores, regression_scores
from pipeline.evaluation.numbers import Interval, number
from pipeline.evaluation.seeded import bounded_interval, over_seeds, rarer
from pipeline.report.blocks import Figure, Grid, Section, Text, Verdict, note
from pipeline.report.figures import colour_of, svg
from pipeline.report.sections import explained_arms, file_name, interval_where, warning_notes
from pipeline.reporter import Reporter
from pipeline.runs.context import Context, Machine
from pipeline.runs.fits import OBJECTS, new_arm, training_inputs
from pipeline.runs.prepare import prepare as prepare_run
from pipeline.settings.run import RunConfig
from pipeline.settings.study import StudySettings, study_setting
from pipeline.splits.splitters import Split
from pipeline.studies.study import Conclusion
from pipeline.studies.words import RESAMPLES, few_groups, one_seed, with_interval
from pipeline.tables.targets import CLASSES

NAME = "learning-curve"
WORK = "pipeline.studies.learning_curve:train_and_predict"


@dataclass(frozen=True)
class Settings(StudySettings):
    """Under ``stress: learning-curve:`` in a YAML file."""

    arms: tuple[str, ...] = study_setting(
        ("knn", "ridge", "ensemble", "lm-head"), "Arms as for [b]run[/b].", quick=("ridge", "knn")
    )
    split: tuple[str, ...] = study_setting(("random",), "Splits as for [b]run[/b], each a hold-out with one test set.")
    sizes: tuple[int, ...] = study_setting(
        (10, 20, 50, 100, 200, 500), "Numbers of training rows.", least=2, quick=(20, 100)
    )
    seeds: int = study_setting(
        3, "Training seeds; each puts the training rows in an order of its own.", least=1, quick=1
    )


def prepare(config: RunConfig, settings: Settings, reporter: Reporter) -> Context:
    """The table and its hold-outs; an error where no size is as small as the training rows."""
    config = replace(config, arms=settings.arms, split=settings.split, folds=0, repeats=1, n_train=0, bins=0)
    context = replace(prepare_run(config, reporter), settings=settings)
    for split in context.splits:
        if not sizes_of(context, split):
            raise InputError(
                f"split {split.name!r} has {len(split.folds[0].train)} training rows, fewer than the smallest size "
                f"({min(settings.sizes)}); name smaller ones with --sizes"
            )
    return context


def sizes_of(context: Context, split: Split) -> list[int]:
    """The sizes for which a split has enough training rows, in order."""
    return [size for size in sorted(set(context.settings.sizes)) if size <= len(split.folds[0].train)]


def drawn(context: Context, split: Split, size: int, seed: int) -> list[str]:
    """The first rows of the order of a seed; of classes, each stands once in front, as long as there is room."""
    train = np.array(sorted(split.folds[0].train), dtype=object)
    order = np.random.default_rng([context.config.seed, seed]).permutation(train)
    if context.task == CLASSES:
        labels = context.table.targets.loc[list(order)].to_numpy()
        first = np.unique(labels, return_index=True)[1]
        order = np.r_[order[np.sort(first)], np.delete(order, first)]
    return list(order[:size])


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
    rows = drawn(context, split, size, seed)
    inputs: dict[str, Any] = {
        "table": context.table.fingerprint(),
        "rows": digest(rows, split.folds[0].test),
        "groups": digest([split.groups[row] for row in rows]),
        "reach": split.reach,
        "seed": context.config.seed + seed,
        "code": code_of(WORK, *OBJECTS, *code_behind(arm, context.table.kind)),
    }
    if is_language_model(arm):
        inputs["language_model"] = training_inputs(context, machine, arm, size)
    tags = {"split": split.name, "arm": arm, "size": size, "seed": seed}
    label = f"{split.name} {arm}, {size} rows, seed {seed}"
    return Cell(WORK, tags, inputs, (), label, is_language_model(arm))


def train_and_predict(
    context: Context, machine: Machine, cell: Cell, needed: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """Train an arm on so many rows, and predict the test rows."""
    table, tags = context.table, cell.tags
    split = context.split_named(tags["split"])
    train, X, y = drawn(context, split, tags["size"], tags["seed"]), table.inputs, table.targets
    made: dict[str, Any] = {}
    with measured(made):
        model = new_arm(context, machine, tags["arm"], cell.inputs["seed"], cell.label, split.reach)
        groups = np.array([split.groups[row] for row in train], dtype=object)
        fit_arm(model, X.loc[train], y.loc[train].to_numpy(), groups, table.censoring(train))
        tested = X.loc[list(split.folds[0].test)]
        if context.task == CLASSES:
            made["probabilities"] = class_chances(model, context.classes, tested).tolist()
        else:
            made["prediction"] = [float(value) for value in model.predict(tested)]
    return made


def described(context: Context) -> list[str]:
    """The sizes of each split."""
    said = [
        f"Split {split.name}: {', '.join(map(str, sizes_of(context, split)))} of {len(split.folds[0].train)} training "
        f"rows, tested on the same {len(split.folds[0].test)}."
        for split in context.splits
    ]
    return [*said, f"Arms: {', '.join(context.arms)}; {context.settings.seeds} seeds. Folder: {context.folder}"]


def line(context: Context, content: Mapping[str, Any]) -> str:
    """What was trained, and how long it took."""
    tags = content["tags"]
    where = f"{tags['split']} {tags['arm']}, {tags['size']} rows, seed {tags['seed']}"
    return f"{where:<52} {content['seconds']:6.1f} s"


def title(context: Context) -> str:
    return f"{context.table.name}: how much data does it take?"


def facts(context: Context) -> list[str]:
    return [f"{context.settings.seeds} training seeds"]


def conclude(context: Context, contents: Sequence[Mapping[str, Any]]) -> Conclusion:
    """The score of each arm and size over the seeds."""
    metrics = pd.concat([_metrics(context, split, contents) for split in context.splits], ignore_index=True)
    said = [sentence for split in context.splits for sentence in _sentences(context, split, metrics)]
    predictions = pd.concat([_predictions(context, content) for content in contents], ignore_index=True)
    trained = pd.DataFrame(
        {**content["tags"], **{name: content[name] for name in ("seconds", "peak_mb")}, "cell_id": content["id"]}
        for content in contents
    )
    return Conclusion(metrics, predictions, trained, tuple(said), tuple(_sections(context, metrics, said)))


def _scored(context: Context, split: Split) -> tuple[list[str], np.ndarray]:
    """The test rows whose target is a value, and the group of each. Shapes (n,)."""
    rows = [row for row in split.folds[0].test if context.table.exact[row]]
    return rows, np.array([split.groups[row] for row in rows], dtype=object)


def _metrics(context: Context, split: Split, contents: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    test, groups = _scored(context, split)
    kept = context.table.exact.loc[list(split.folds[0].test)].to_numpy()
    truth = context.table.targets.loc[test].to_numpy()
    weights = np.vstack([np.ones((1, len(test))), group_weights(groups, context.config.seed, RESAMPLES)])
    metric, rests = PRIMARY[context.task], groups
    if context.task == CLASSES:
        commonest = pd.Series(truth).mode().iloc[0]
        rests = rarer(truth == commonest, groups)
    rows = []
    for arm in context.arms:
        for size in sizes_of(context, split):
            where = {"split": split.name, "arm": arm, "size": size}
            cells = [content for content in contents if where.items() <= content["tags"].items()]
            found = over_seeds([_score(context, truth, cell, kept, weights) for cell in cells], rests)
            low, high = bounded_interval(found, RANGE[metric], rests)
            rows.append(
                {**where, "metric": metric, "value": found.value, "low": low, "high": high}
                | {"n": len(test), "groups": len(set(groups)), "seeds": len(cells)}
            )
    return pd.DataFrame(rows)


def _score(
    context: Context, truth: np.ndarray, cell: Mapping[str, Any], kept: np.ndarray, weights: np.ndarray
) -> np.ndarray:
    """The primary metric on the test rows as they are, and in resamples of their groups. Shape (1 + resamples,)."""
    if context.task != CLASSES:
        predicted = np.array(cell["prediction"])[kept]
        return regression_scores(truth.astype(np.float64), predicted, predicted, weights)["mae"]
    chances = np.array(cell["probabilities"])[kept]
    answers = np.array(context.classes)[chances.argmax(axis=1)]
    return class_scores(truth.astype(str), answers, chances, context.classes, weights)[PRIMARY[CLASSES]]


def _predictions(context: Context, content: Mapping[str, Any]) -> pd.DataFrame:
    split = context.split_named(content["tags"]["split"])
    rows = list(split.folds[0].test)
    part = pd.DataFrame({"cell_id": content["id"], "row_id": rows, "truth": context.table.targets.loc[rows].to_numpy()})
    for name, value in content["tags"].items():
        part[name] = value
    if context.task != CLASSES:
        return part.assign(prediction=content["prediction"])
    chances = np.array(content["probabilities"])
    return part.assign(**{f"p_{label}": chances[:, place] for place, label in enumerate(context.classes)})


def _value(metrics: pd.DataFrame, split: Split, arm: str, size: int) -> Interval:
    found = interval_where(metrics, split=split.name, arm=arm, size=size)
    assert found is not None
    return found


def _sentences(context: Context, split: Split, metrics: pd.DataFrame) -> list[str]:
    """What each arm has at the ends of its curve."""
    sizes = sizes_of(context, split)
    test, groups = _scored(context, split)
    name, units = LABELS[PRIMARY[context.task]], f" {context.table.units}" if context.table.units else ""
    said = [
        f"{arm}: {name} {with_interval(_value(metrics, split, arm, sizes[0]))}{units} with {sizes[0]} training rows, "
        f"{with_interval(_value(metrics, split, arm, sizes[-1]))} with {sizes[-1]}."
        for arm in context.arms
        if arm not in CONTROLS.values()
    ]
    start = f"Split {split.name}, {len(test)} test {context.table.rows_are}:"
    return [start, *said, *few_groups(groups), *one_seed(context.settings.seeds)]


def _sections(context: Context, metrics: pd.DataFrame, said: Sequence[str]) -> list[Section]:
    parts = [
        Section(
            "",
            [
                Verdict(said),
                note(
                    "Square brackets and ranges are 95 % intervals by Student's t: for the test rows from 1,000 "
                    "bootstrap resamples of whole test groups, for the training from the spread of the seeds (one "
                    "seed leaves that out). Within a seed a larger training set holds a smaller one."
                ),
            ],
        )
    ]
    for split in context.splits:
        sizes = sizes_of(context, split)
        rows = [(arm, *(_value(metrics, split, arm, size) for size in sizes)) for arm in context.arms]
        alt = f"{LABELS[PRIMARY[context.task]]} against the number of training rows, {split.name}"
        parts.append(
            Section(
                f"{split.name} split",
                [
                    Figure(f"curves-{file_name(split.name)}", _figure(context, split, metrics), alt),
                    Grid(("arm", *(f"{size} rows" for size in sizes)), rows, name="arms"),
                ],
            )
        )
    explained = Grid((), explained_arms(context.arms), wrapped=frozenset({1}))
    return [
        *parts,
        Section(
            "What the arms are",
            [
                explained,
                Text(warning_notes(context)),
            ],
        ),
    ]


def _figure(context: Context, split: Split, metrics: pd.DataFrame) -> str:
    """Score against size, both on logarithmic scales for numbers."""
    figure, axis = plt.subplots(figsize=(7.0, 4.4))
    sizes, metric = sizes_of(context, split), PRIMARY[context.task]
    for arm in context.arms:
        values = np.array([_value(metrics, split, arm, size) for size in sizes])
        axis.plot(sizes, values[:, 0], "o-", color=colour_of(arm), label=arm, ms=4)
        axis.fill_between(sizes, values[:, 1], values[:, 2], color=colour_of(arm), alpha=0.10, lw=0)
    units = f" ({context.table.units})" if context.table.units and context.task != CLASSES else ""
    axis.set(xscale="log", xlabel="training rows", ylabel=f"{LABELS[metric]}{units}")
    axis.set_xticks(sizes, [number(size) for size in sizes])
    axis.minorticks_off()
    axis.grid(axis="y", alpha=0.25)
    axis.legend(frameon=False, fontsize=8)
    return svg(figure)
