"""Fits of a study on some training rows of a hold-out: which rows, what the result depends on, the fit itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from pipeline.arms.ladder import code_behind, fit_arm, is_language_model, reads_notation
from pipeline.cells.cell import digest
from pipeline.cells.reach import code_of
from pipeline.features.notations import CANONICAL
from pipeline.runs.context import Context, Machine
from pipeline.runs.fits import OBJECTS, training_inputs
from pipeline.runs.held_out import listed, predicted_by, training_groups
from pipeline.splits.build import seed_of_repeat
from pipeline.splits.splitters import Split
from pipeline.tables.targets import CLASSES


def ordered(context: Context, split: Split, seed: int) -> list[str]:
    """The training rows in the order of a seed; of classes, each beginning has about the shares of the whole."""
    found: list[str] = context.once(("order", split.name, seed), lambda: _ordered(context, split, seed))
    return found


def _ordered(context: Context, split: Split, seed: int) -> list[str]:
    rows = np.array(sorted(split.folds[0].train), dtype=object)
    rng = np.random.default_rng(seed_of_repeat(context.config.seed, seed))
    order = rows[rng.permutation(len(rows))]
    if context.task == CLASSES:
        labels = context.targets(split.folds[0]).loc[list(order)].to_numpy().astype(str)
        places = np.empty(len(order))
        for label in np.unique(labels):
            own = labels == label
            places[own] = (np.arange(own.sum()) + rng.random()) / own.sum()
        order = order[np.argsort(places, kind="stable")]
    return list(order)


def drawn(context: Context, split: Split, seed: int) -> list[str]:
    """The training rows of a seed, sorted: as many as the setting ``rows`` says, all of them if 0."""
    return sorted(ordered(context, split, seed)[: context.settings.rows or None])


def fit_inputs(
    context: Context, machine: Machine, split: Split, train: Sequence[str], test: Sequence[str], arm: str, worker: str
) -> dict[str, Any]:
    """All that a fit of an arm by a worker (``module:function``) on some training rows depends on, but for its seed."""
    inputs: dict[str, Any] = {
        "table": context.once("fingerprint", context.table.fingerprint),
        "rows": digest(train, test),
        "groups": digest([split.groups[row] for row in train]),
        "reach": split.reach,
        "bins": context.config.bins,
        "code": code_of(worker, *OBJECTS, *code_behind(arm, context.table.kind)),
    }
    if reads_notation(arm) and context.config.representation != (CANONICAL,):
        inputs["representation"] = context.config.representation
    if is_language_model(arm):
        inputs["language_model"] = training_inputs(context, machine, arm, len(train))
    return inputs


def fit_and_predict(
    context: Context, split: Split, model: Any, train: Sequence[str], labels: np.ndarray, sides: np.ndarray | None
) -> dict[str, Any]:
    """Fit a model on training rows with these labels, and what it says of the test rows."""
    X = context.table.inputs
    fit_on(context, split, model, X.loc[list(train)], labels, sides)
    return answers(context, model, X.loc[list(split.folds[0].test)])


def fit_on(
    context: Context, split: Split, model: Any, X: pd.DataFrame, labels: np.ndarray, sides: np.ndarray | None
) -> None:
    """Fit a model on what it is given of training rows, by ``row_id``, with these labels."""
    groups = training_groups(context, split, replace(split.folds[0], train=tuple(X.index)))
    fit_arm(model, X, labels, groups, sides)


def answers(context: Context, model: Any, X: pd.DataFrame) -> dict[str, Any]:
    """What a fitted model says of rows: ``probabilities`` in the order of the classes, or a ``prediction`` each."""
    name = "probabilities" if context.task == CLASSES else "prediction"
    return {name: listed(context, predicted_by(context, model, X))}


def trained(contents: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """What each cell took, a row each."""
    return pd.DataFrame(
        {**one["tags"], **{name: one[name] for name in ("seconds", "peak_mb")}, "cell_id": one["id"]}
        for one in contents
    )
