"""The fits of a run: which there are, what each depends on, and the work itself."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

import numpy as np
import pandas as pd

from pipeline.arms.catalogue import ARMS, EXTRAS
from pipeline.arms.ladder import (
    BLENDS,
    CONTROLS,
    HEAD,
    LANGUAGE_MODELS,
    MEANS,
    REACTION_CONTROLS,
    TUNED,
    class_chances,
    code_behind,
    fit_arm,
    fitted_arms,
    is_language_model,
    layers_of,
    make_whole,
    mean_of,
    reads_notation,
)
from pipeline.cells.cell import Cell, digest, measured, version_of
from pipeline.cells.reach import code_of
from pipeline.cells.store import Store
from pipeline.defaults import PLAIN
from pipeline.errors import InputError
from pipeline.evaluation.blending import Share, chosen_blend
from pipeline.features.compositions import element_statistics
from pipeline.features.notations import CANONICAL
from pipeline.features.structures import descriptors, differential_bits
from pipeline.features.texts import text_bits
from pipeline.files import write_atomically
from pipeline.lm.defaults import training_settings
from pipeline.lm.pretrained import PretrainedAdapter, pretrained_adapter
from pipeline.named import is_own
from pipeline.runs.context import Context, Machine, device_kind, language_model_inputs
from pipeline.runs.held_out import (
    held_out_predictions,
    listed,
    predicted_by,
    seed_of,
    training_folds,
    training_groups,
    training_parts,
)
from pipeline.splits.splitters import Fold, Split
from pipeline.tables.kinds import COMPOSITIONS, MOLECULES, REACTIONS, TEXTS
from pipeline.tables.table import Table
from pipeline.tables.targets import CLASSES, REGRESSION

SEED_STEP = 1_000  # from a training seed of an arm to the next one on the same rows
MOST_TRAINED_AGAIN = 1_000  # training rows up to which a language model is trained with a second seed by itself
# What every worker is given.
OBJECTS = (
    "pipeline.tables.table:Table",
    "pipeline.splits.splitters:Split",
    "pipeline.runs.context:binned",
)
FIT, MEAN = "pipeline.runs.fits:fit", "pipeline.runs.fits:mean"
WORKERS = (FIT, MEAN, *OBJECTS)
SHARED = {
    MOLECULES: ("descriptors", descriptors),
    REACTIONS: ("fingerprints", differential_bits),
    COMPOSITIONS: ("features of compositions", element_statistics),
    TEXTS: ("features of texts", text_bits),
}


# -- which there are --


def primary_arm(context: Context) -> str:
    """The arm whose comparison with the preferred baseline is the primary one: the one named, or else the first of the
    language models, `lm-head` before others; empty where there is none."""
    if context.config.primary:
        return context.config.primary
    lm_arms = [arm for arm in context.arms if is_language_model(arm)]
    return HEAD if HEAD in lm_arms else next(iter(lm_arms), "")


def again_trained(context: Context) -> list[tuple[Split, Fold, str, int]]:
    """Which trainings of language models are done with further seeds, counted from 1.

    With ``lm_seeds`` every one on every hold-out; else the primary arm on the first split, with one more seed, if that
    is a hold-out of few enough rows. Divisions have seeds of their own.
    """
    whole = [split for split in context.splits if len(split.folds) == 1]
    arms = [arm for arm in context.arms if arm in TUNED]
    count = context.config.lm_seeds
    if not count:
        small = context.splits[0] in whole and len(context.splits[0].folds[0].train) <= MOST_TRAINED_AGAIN
        whole, arms, count = whole[: int(small)], [arm for arm in arms if arm == primary_arm(context)], 2
    return [(split, split.folds[0], arm, again) for split in whole for arm in arms for again in range(1, count)]


def plan_fits(context: Context, machine: Machine) -> list[Cell]:
    """All fits in the order of work, means of arms behind their members, further training seeds last."""
    divisions = [(split, fold) for split in context.splits for fold in split.folds]
    found = [
        cell
        for split, fold in divisions
        for arm in context.arms
        for cell in _with_members(context, machine, split, fold, arm)
    ]
    found += [fit_cell(context, machine, *again) for again in again_trained(context)]
    return list({cell.id: cell for cell in found}.values())


def _with_members(context: Context, machine: Machine, split: Split, fold: Fold, arm: str) -> Iterable[Cell]:
    """The cell of an arm behind those that it needs."""
    cell = fit_cell(context, machine, split, fold, arm)
    for member in cell.needs:
        yield from _with_members(context, machine, split, fold, member.tags["arm"])
    yield cell


def missing_fits(context: Context, machine: Machine, store: Store) -> list[tuple[Split, Fold, str]]:
    """What is still to be fitted; means of arms cost nothing and are not listed."""
    leaves = list(dict.fromkeys(leaf for arm in context.arms for leaf in fitted_arms(arm)))
    first = [(split, fold, arm, 0) for split in context.splits for fold in split.folds for arm in leaves]
    return [
        fit[:3] for fit in [*first, *again_trained(context)] if store.read(fit_cell(context, machine, *fit).id) is None
    ]


class Fits:
    """The results of the fits of a run by split, division, arm and number of the training seed."""

    def __init__(self, contents: Iterable[Mapping[str, Any]]) -> None:
        self.contents = [content for content in contents if content["work"] in (FIT, MEAN)]
        names = ("split", "repeat", "fold", "arm", "again")
        self._by_tags = {tuple(content["tags"][name] for name in names): content for content in self.contents}

    def of(self, split: Split, fold: Fold, arm: str, again: int = 0) -> Mapping[str, Any]:
        found = self._by_tags.get((split.name, fold.repeat, fold.fold, arm, again))
        if found is None:
            raise InputError(
                f"no result of {arm} on {split.name}{split.named(fold)}: the settings in the folder are not those that "
                "its cells were made with; run the command again"
            )
        return found

    def shown(self, context: Context) -> list[Mapping[str, Any]]:
        """Those of the arms of the run, split by split and division by division, with their first seed."""
        return [self.of(split, fold, arm) for split in context.splits for fold in split.folds for arm in context.arms]

    @property
    def dtype(self) -> str | None:
        """The number type of the language models; None where there is none."""
        of_models = (content["inputs"].get("language_model") for content in self.contents)
        return next((one["dtype"] for one in of_models if one), None)

    @property
    def fitted(self) -> list[Mapping[str, Any]]:
        """All that were trained: members of means and further seeds included, means themselves not."""
        return [content for content in self.contents if content["work"] == FIT]

    @property
    def seconds(self) -> float:
        """What all trainings took, with those for held-out training rows."""
        return sum(map(seconds_of, self.fitted))


def seconds_of(fit: Mapping[str, Any]) -> float:
    """What a training took, with those for held-out training rows."""
    return float(fit["seconds"] + fit.get("validation_seconds", 0.0))


def shared_features(table: Table) -> tuple[str, Callable[[Any], np.ndarray]]:
    """What takes longest to compute of what several arms share, by name, and the function of the structures."""
    return SHARED[table.kind]


def costly_features(table: Table, arms: Iterable[str]) -> dict[str, Callable[[Any], np.ndarray]]:
    """`shared_features`, and what some of these arms need besides that takes longer than their fit."""
    found = dict([shared_features(table)])
    for label, function in dict.fromkeys(ARMS[arm].computed for arm in arms if ARMS[arm].computed):
        found[label] = resolve_name(function)
    return found


def compute_features(context: Context, machine: Machine, store: Store) -> None:
    """Compute what several arms share, with its progress, if one of them is still to be fitted."""
    without = (*LANGUAGE_MODELS, *CONTROLS.values(), *REACTION_CONTROLS)
    missing = sorted({arm for _, _, arm in missing_fits(context, machine, store)} - set(without))
    if not missing:
        return
    for label, compute in costly_features(context.table, missing).items():
        for smiles in machine.reporter.each(label)(context.table.frame["smiles"], len(context.table)):
            compute([smiles])


# -- what they depend on --


def fit_cell(context: Context, machine: Machine, split: Split, fold: Fold, arm: str, again: int = 0) -> Cell:
    """The cell of an arm in a division; ``again`` counts further training seeds on the same rows."""
    seed = seed_of(context, split, fold) + SEED_STEP * again
    inputs: dict[str, Any] = {
        "table": context.table.fingerprint(),
        "rows": context.once(("rows", split.name, fold.repeat, fold.fold), lambda: digest(fold.train, fold.test)),
        "groups": context.once(("groups", split.name), lambda: digest(sorted(split.groups.items()))),
        "order": split.order.digest() if split.order else None,
        "task": context.task,
        "bins": context.config.bins,
        "code": code_of(*WORKERS, *code_behind(arm, context.table.kind)),
    }
    on_model = is_language_model(arm)
    if reads_notation(arm) and context.config.representation != (CANONICAL,):
        inputs["representation"] = context.config.representation
    if on_model:
        calibrated = context.config.calibrate_lm and not again
        inputs["language_model"] = training_inputs(context, machine, arm, len(fold.train)) | {"calibrated": calibrated}
    if ARMS[arm].extra:
        inputs["packages"] = {package: version_of(package) for package in EXTRAS[ARMS[arm].extra]}
    if ARMS[arm].on_gpu:
        inputs["device"] = device_kind()
    where = {"split": split.name, "repeat": fold.repeat, "fold": fold.fold}
    return Cell(
        MEAN if arm in MEANS else FIT,
        {**where, "arm": arm, "seed": seed, "again": again},
        inputs,
        tuple(fit_cell(context, machine, split, fold, member) for member in MEANS.get(arm, ())),
        f"{split.name}{split.named(fold)} {arm}" + (f", seed {again + 1}" if again else ""),
        on_model and arm not in MEANS,
    )


def training_inputs(context: Context, machine: Machine, arm: str, n: int) -> dict[str, Any]:
    """All that the language model of an arm and its training on so many rows depend on, but for the rows."""
    depth, trained = context.layers(arm)
    settings = training_settings(n, arm, context.config.steps or None, batch_size=context.config.batch)
    start = starting_adapter(context, arm)
    return {
        **language_model_inputs(context, machine),
        "settings": asdict(settings),
        "start": start.sha256 if start else PLAIN,
        "depth": depth,
        "trained_layers": trained,
    }


def starting_adapter(context: Context, arm: str) -> PretrainedAdapter | None:
    """What the training of an arm, or of the member of a mean, starts from; None if there is nothing to start from."""
    if HEAD not in fitted_arms(arm) or CANONICAL not in context.config.representation:
        return None
    settings = training_settings(len(context.table), HEAD)
    return pretrained_adapter(context.config.start, context.config.model, *layers_of(HEAD), settings, context.template)


# -- the work --


def mean(context: Context, machine: Machine, cell: Cell, needed: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Combine the members' predictions; nothing is fitted.

    All members count alike. Where the members of a blend with a language model were all tried on held-out training
    rows, its share is what does best there.
    """
    made: dict[str, Any] = {
        "row_id": needed[0]["row_id"],
        "seconds": sum(member["seconds"] for member in needed),
        "peak_mb": max(member["peak_mb"] for member in needed),
    }
    share = None
    if cell.tags["arm"] in BLENDS and all("validation" in member for member in needed):
        chosen, validation = _chosen(context, cell, needed)
        made["validation"] = validation.tolist()
        if chosen:
            made["share"], share = asdict(chosen), chosen.value
    if context.task == CLASSES:
        chances = mean_of([np.array(member["probabilities"]) for member in needed], share)
        made["probabilities"] = chances.tolist()
        made["prediction"] = [context.classes[code] for code in chances.argmax(axis=1)]
    else:
        made["prediction"] = mean_of([np.array(member["prediction"]) for member in needed], share).tolist()
    made["parse_failed"] = [False] * len(made["row_id"])
    for name in ("validation", "without_part"):
        if name not in made and all(name in member for member in needed):
            made[name] = mean_of([np.array(member[name]) for member in needed]).tolist()
    return made


def _chosen(context: Context, cell: Cell, needed: Sequence[Mapping[str, Any]]) -> tuple[Share | None, np.ndarray]:
    """The share of the second member, chosen on held-out training rows with a value, and what a blend whose share was
    chosen on others of them predicts there."""
    split, fold = context.division(cell.tags)
    first, second = (np.array(member["validation"], dtype=np.float64) for member in needed)
    return chosen_blend(
        first,
        second,
        context.targets(fold).loc[list(fold.train)].to_numpy(),
        training_groups(context, split, fold),
        context.table.exact.loc[list(fold.train)].to_numpy(),
        cell.tags["seed"],
        context.classes if context.task == CLASSES else (),
    )


def fit(context: Context, machine: Machine, cell: Cell, needed: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Fit an arm, predict the test rows of its division, and held-out training rows for choosing and calibrating."""
    split, fold = context.division(cell.tags)
    arm, seed, again = cell.tags["arm"], cell.tags["seed"], cell.tags["again"]
    X, y = context.table.inputs, context.targets(fold)
    train, test = list(fold.train), list(fold.test)
    made: dict[str, Any] = {"row_id": test}

    def new(label: str, done: int = 0, total: int = 1) -> Any:
        return new_arm(context, machine, arm, seed, label, split.reach, of=(done, total))

    with measured(made), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # convergence and rank warnings of single fits; results are validated
        groups, sides = training_groups(context, split, fold), context.table.censoring(train)
        model = fit_arm(new(cell.label), X.loc[train], y.loc[train].to_numpy(), groups, sides)
        if context.task == CLASSES:
            chances = class_chances(model, context.classes, X.loc[test])
            made["probabilities"] = chances.tolist()
            made["prediction"] = [context.classes[code] for code in chances.argmax(axis=1)]
        else:
            made["prediction"] = [float(value) for value in model.predict(X.loc[test])]
    made |= _particulars(model, context.task, X.loc[test], y.loc[test])
    if again:
        return made
    if context.config.keep_models and not is_own(arm):
        _keep(_model_path(context, split, fold, arm), arm, model)
    if arm not in LANGUAGE_MODELS or context.config.calibrate_lm:
        started = time.perf_counter()
        made |= _fitted_without(context, new, split, fold, arm)
        made["validation_seconds"] = time.perf_counter() - started
    return made


def new_arm(
    context: Context,
    machine: Machine,
    arm: str,
    seed: int,
    label: str,
    reach: tuple[float, float] = (0.0, 0.0),
    steps: int = 0,
    of: tuple[int, int] = (0, 1),
) -> Any:
    """An unfitted estimator of a run.

    Parameters
    ----------
    label : str
        Names it in the progress.
    reach : tuple of float
        That of its split.
    steps : int
        Optimiser steps of a language model; those of the settings if 0.
    of : tuple of int
        Fits that are done, and all of them, for the progress.
    """
    machine.reporter.step(label, *of)
    options: dict[str, Any] = {}
    if is_language_model(arm):
        options = {
            "engine": lambda name: machine.engine(context, name),
            "template": context.template,
            "steps": steps or context.config.steps or None,
            "settings": {"batch_size": context.config.batch},
            "start": context.config.start,
            "reach": reach,
            "progress": lambda done, total: machine.reporter.step(label, done, total),
        }
    return make_whole(
        arm,
        context.task,
        seed=seed,
        threads=machine.threads,
        kind=context.table.kind,
        columns=context.columns,
        representation=context.config.representation,
        **options,
    )


def _particulars(model: Any, task: str, X: Any, truth: pd.Series) -> dict[str, Any]:
    """What single arms know beyond a prediction: bounds, parse failures, the training curve; and the share of the
    true labels that an arm which writes its answers had no way to write."""
    extra: dict[str, Any] = {"parse_failed": [False] * len(X)}
    if hasattr(model, "reading_"):
        extra["parse_failed"] = model.reading_.parse_failed.tolist()
        extra["well_formed"] = float(model.reading_.well_formed.mean())
    if task == REGRESSION and hasattr(model, "lower_"):
        extra |= {"lower": model.lower_.tolist(), "upper": model.upper_.tolist(), "median": model.medians_.tolist()}
    elif task == REGRESSION and hasattr(model, "theta_"):
        mean, deviation = model.predict(X, return_std=True)
        extra |= {"lower": (mean - 1.645 * deviation).tolist(), "upper": (mean + 1.645 * deviation).tolist()}
    if hasattr(model, "curve_"):
        extra["curve"] = [round(value, 5) for value in model.curve_]
    if hasattr(model, "format_"):
        extra["number_format"] = {
            "decimals": model.format_.decimals,
            "low": model.format_.low,
            "high": model.format_.high,
        }
        extra["unreachable"] = float(1 - model.format_.can_write(truth.to_numpy(dtype=np.float64)).mean())
    return extra


def _fitted_without(context: Context, new: Callable[..., Any], split: Split, fold: Fold, arm: str) -> dict[str, Any]:
    """What an arm predicts that is fitted without some of the training rows.

    ``validation`` are out-of-fold predictions of training rows, for choosing a baseline and for calibration; NaN where
    a row was not predicted. ``without_part``, beyond an edge, are predictions of the test rows without each part of
    `training_parts`. A language model is trained once more alone, without the first of the inner folds.
    """
    train, test = list(fold.train), list(fold.test)
    X, y, groups = context.table.inputs, context.targets(fold), training_groups(context, split, fold)
    masks, _ = training_folds(context, split, fold, y)
    parts = training_parts(context, split, fold, y)
    if is_language_model(arm):
        masks, parts = masks[:1], []
    label, tested = f"held-out training rows: {arm}", []

    def held_out(masks: Sequence[np.ndarray], seen: Callable[[Any, np.ndarray], None] | None) -> np.ndarray:
        def made(number: int) -> Any:
            return new(label, number, len(masks))

        return held_out_predictions(context, masks, made, X.loc[train], y.loc[train], groups, seen)

    def predict_test(model: Any, held: np.ndarray) -> None:
        tested.append(listed(context, predicted_by(context, model, X.loc[test])))

    same = len(parts) == len(masks) and all(map(np.array_equal, parts, masks))
    found = {"validation": listed(context, held_out(masks, predict_test if parts and same else None))}
    if parts and not same:
        held_out(parts, predict_test)
    return found | ({"without_part": tested} if tested else {})


def _keep(path: Path, arm: str, model: Any) -> None:
    """Keep a fitted arm for the user: the adapter and head of a language model, a baseline as it is."""
    if arm in LANGUAGE_MODELS and hasattr(model, "adapter_"):
        from safetensors.torch import save

        tensors = {name: tensor.contiguous() for name, tensor in model.adapter_.items()}
        if hasattr(model, "head_"):
            tensors |= {
                f"head.{name}": value.detach().cpu().contiguous() for name, value in model.head_.state_dict().items()
            }
        write_atomically(path.with_name(f"{path.name}.safetensors"), save(tensors))
    else:
        from skops.io import dumps

        write_atomically(path.with_name(f"{path.name}.skops"), dumps(make_plain(model)))


def make_plain(model: Any) -> Any:
    """A fitted arm without what only the run needs: the engine and the progress callback."""
    for name in ("engine", "progress"):
        if hasattr(model, name):
            setattr(model, name, None)
    return model


def _model_path(context: Context, split: Split, fold: Fold, arm: str) -> Path:
    """Where an arm of a division is kept, without its ending."""
    return context.folder / "models" / f"{split.name.replace(':', '_')}-{fold.repeat}-{fold.fold}-{arm}"
