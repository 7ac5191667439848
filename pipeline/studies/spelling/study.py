"""One molecule, other strings.

A molecule has many SMILES, and all of them mean the same. Arms are trained as usual and predict each test molecule from
several; those that read fingerprints cannot tell the difference, those that read text can.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pandas as pd

from pipeline.arms.ladder import is_language_model, reads_notation
from pipeline.arms.spelled import with_texts
from pipeline.cells.cell import Cell, measured
from pipeline.errors import InputError
from pipeline.features.notations import repeated
from pipeline.reporter import Reporter
from pipeline.runs.context import Context, Machine
from pipeline.runs.estimates import Probe
from pipeline.runs.fits import new_arm
from pipeline.runs.held_out import listed, predicted_by
from pipeline.runs.prepare import prepare as prepare_run
from pipeline.settings.run import RunConfig
from pipeline.settings.study import require_canonical, require_molecules
from pipeline.splits.splitters import Split
from pipeline.studies.budget import curve_budget, seconds_of_arm
from pipeline.studies.fitting import drawn, fit_inputs, fit_on, trained
from pipeline.studies.spelling.findings import LEAST_ROWS, Findings
from pipeline.studies.spelling.forms import FORMS, RANDOM, forms_of
from pipeline.studies.spelling.page import sections
from pipeline.studies.spelling.settings import Settings
from pipeline.studies.spelling.trainings import TRAININGS, trainings_of
from pipeline.studies.spelling.words import failure, sentences
from pipeline.studies.study import Conclusion
from pipeline.studies.tested import check_test_groups

__all__ = ["NAME", "Settings", "conclude", "described", "facts", "line", "plan", "prepare", "title"]
NAME = "spelling"
WORK = "pipeline.studies.spelling.study:train_and_predict"


def prepare(config: RunConfig, settings: Settings, reporter: Reporter) -> Context:
    """The table and its hold-outs; an error where they are no molecules, or too few have other SMILES."""
    require_molecules(config)
    require_canonical(config, "writes molecules in other ways itself")
    config = replace(config, arms=settings.arms, split=settings.split, folds=0, repeats=1, n_train=0)
    context = replace(prepare_run(config, reporter), settings=settings)
    if not any(map(reads_notation, context.arms)):
        raise InputError(f"none of the arms {', '.join(context.arms)} reads text; name one, such as ngram-ridge")
    for split in context.splits:
        test = [row for row in split.folds[0].test if context.table.exact[row]]
        several = sum(len(_texts(context, row, RANDOM)) > 1 for row in test)
        if several < LEAST_ROWS:
            raise InputError(
                f"split {split.name!r} has {len(test)} test molecules with a measured value, of which {several} can be "
                f"written in several ways; the study needs {LEAST_ROWS}"
            )
        check_test_groups(context, split)
    return context


def _texts(context: Context, row: str, form: str) -> list[str]:
    """A test molecule in a form; the same in all cells."""
    smiles = str(context.table.inputs.loc[row].iloc[0])
    return FORMS[form].texts(smiles, context.settings.spellings, context.config.seed)


def plan(context: Context, machine: Machine) -> list[Cell]:
    """One cell for each split, arm, training and seed, arms without a language model first."""
    return [
        _cell(context, machine, split, arm, training, seed)
        for split in context.splits
        for arm in sorted(context.arms, key=is_language_model)
        for training in trainings_of(arm, context.settings.trainings)
        for seed in range(context.settings.seeds)
    ]


def _cell(context: Context, machine: Machine, split: Split, arm: str, training: str, seed: int) -> Cell:
    train = drawn(context, split, seed)
    inputs = fit_inputs(context, machine, split, train, split.folds[0].test, arm, WORK) | {
        "spellings": context.settings.spellings,
        "spelled_by": context.config.seed,
        "forms": forms_of(reads_notation(arm)),
        "seed": context.config.seed + seed,
    }
    tags = {"split": split.name, "arm": arm, "training": training, "size": len(train), "seed": seed}
    return Cell(WORK, tags, inputs, (), f"{split.name} {arm}, {training}, seed {seed}", is_language_model(arm))


def train_and_predict(
    context: Context, machine: Machine, cell: Cell, needed: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """Train an arm in one of the ways, and predict the test molecules from each of their texts."""
    tags, split = cell.tags, context.split_named(cell.tags["split"])
    X, test = context.table.inputs, list(split.folds[0].test)
    made: dict[str, Any] = {}
    with measured(made):
        model = _fitted(context, machine, cell, split)
        texts = {form: [_texts(context, row, form) for row in test] for form in cell.inputs["forms"]}
        shown = [with_texts(X.loc[test], one) for one in texts.values()]
        said = listed(context, predicted_by(context, model, pd.concat([X.loc[test], *shown])))
        made["canonical"] = listed(context, predicted_by(context, model, X.loc[test]))
    made["again"], said = said[: len(test)], said[len(test) :]
    made["forms"] = {}
    for form, by_row in texts.items():
        made["forms"][form] = []
        for own in by_row:
            made["forms"][form].append(said[: len(own)])
            said = said[len(own) :]
    return made | {"texts": texts if tags["seed"] == 0 else {}}


def _fitted(context: Context, machine: Machine, cell: Cell, split: Split) -> Any:
    """An arm trained in the way of a cell."""
    arm, training, seed = cell.tags["arm"], TRAININGS[cell.tags["training"]], cell.inputs["seed"]
    train = drawn(context, split, cell.tags["seed"])
    model = new_arm(context, machine, arm, seed, cell.label, split.reach)
    if training.settings:
        model.set_params(settings={**model.settings, **training.settings})
    X = context.table.inputs.loc[train]
    texts = [training.texts(str(smiles), context.settings.spellings, seed) for smiles in X.iloc[:, 0]]
    times = len(texts[0])
    if times > 1 and hasattr(model, "steps_for"):
        model.set_params(steps=model.steps_for(len(train)))  # as many as on one text each
    labels, sides = context.targets(split.folds[0]).loc[train].to_numpy(), context.table.censoring(train)
    fit_on(context, split, model, with_texts(X, texts), repeated(labels, times), repeated(sides, times))
    return model


def described(context: Context) -> list[str]:
    """The rows of each split, and how many of them have other SMILES."""
    said = []
    for split in context.splits:
        fold = split.folds[0]
        several = sum(len(_texts(context, row, RANDOM)) > 1 for row in fold.test)
        said.append(
            f"Split {split.name}: {len(drawn(context, split, 0))} of {len(fold.train)} training rows, {len(fold.test)} "
            f"test rows, {several} of which can be written in several ways."
        )
    missing = [form for form in FORMS if form not in forms_of(True)]
    if missing:
        said.append(f"Left out: {', '.join(missing)}, which need a package: pip install 'chemtune[notations]'.")
    return [*said, f"Arms: {', '.join(context.arms)}; {context.settings.seeds} seeds. Folder: {context.folder}"]


def line(context: Context, content: Mapping[str, Any]) -> str:
    """What was trained, and how long it took."""
    tags = content["tags"]
    where = f"{tags['split']} {tags['arm']}, {tags['training']}, seed {tags['seed']}"
    return f"{where:<52} {content['seconds']:6.1f} s"


def title(context: Context) -> str:
    return f"{context.table.name}: one molecule, other strings"


def facts(context: Context) -> list[str]:
    seeds, count = context.settings.seeds, context.settings.spellings
    return [f"{count} other SMILES of each molecule", f"{seeds} training seed{'s' * (seeds > 1)}"]


def conclude(context: Context, contents: Sequence[Mapping[str, Any]]) -> Conclusion:
    """What each split says."""
    found = [
        Findings(context, split, [one for one in contents if one["tags"]["split"] == split.name])
        for split in context.splits
    ]
    said = [sentence for one in found for sentence in sentences(one)]
    predictions = pd.concat([one.predictions(content) for one in found for content in one.contents], ignore_index=True)
    return Conclusion(
        pd.concat([one.metrics() for one in found], ignore_index=True),
        predictions,
        trained(contents),
        tuple(said),
        tuple(sections(context, found, said)),
        {"cures": pd.concat([one.cured() for one in found], ignore_index=True)},
        failures=tuple(map(failure, found)),
    )


def seconds_of(context: Context, cell: Cell, measured: Probe) -> float:
    """Seconds of a cell: each test molecule is read in all its texts."""
    texts = context.settings.spellings + len(cell.inputs["forms"]) + 1
    return seconds_of_arm(context, cell, measured, texts)


BUDGET = curve_budget(plan, seconds_of, sized=False)
