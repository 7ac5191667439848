"""Training rows that are held out: to choose a baseline, to calibrate, and to see what another draw of them changes."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd

from pipeline.arms.ladder import class_chances, fit_arm
from pipeline.evaluation.metrics import auroc
from pipeline.runs.context import Context
from pipeline.splits.splitters import Fold, Split, fold_numbers, hold_out
from pipeline.tables.merging import joined_labels
from pipeline.tables.targets import CLASSES, REGRESSION

INNER_FOLDS = 5  # with three, intervals calibrated on them were wider than they need be
LEAST_PARTS = 3  # of the training rows, to tell what another draw of them would change
INNER_FOLD_ROWS = 1_500  # past this many training rows one inner hold-out is enough to choose a baseline
INNER_HOLD_OUT = 0.2
MOST_HELD_OUT = 0.5
EDGE, GROUPS, TWINS = "edge", "groups", "twins"  # what of a split its held-out training rows keep


def seed_of(context: Context, split: Split, fold: Fold) -> int:
    """The seed of the arms in a division: another in each, so that what it changes is part of what divisions differ
    in."""
    return context.config.seed + split.folds.index(fold)


def training_groups(context: Context, split: Split, fold: Fold) -> np.ndarray:
    """The group of each training row, groups that share variants of one molecule joined. Shape (n,)."""
    own = np.array([split.groups[row_id] for row_id in fold.train], dtype=object)
    return joined_labels(own, context.table.by_row["twins"].loc[list(fold.train)])


def training_folds(context: Context, split: Split, fold: Fold, y: pd.Series) -> tuple[list[np.ndarray], str]:
    """The masks of training rows that are held out in turn, to choose a baseline and to calibrate.

    A baseline is chosen for the kind of test it will face: by folds that keep the groups of the split, or, where the
    split tests one end of an order, by one hold-out of the training rows at that end. Where neither leaves anything to
    hold out (training rows that are one group), the folds keep twins together.

    Parameters
    ----------
    y : Series
        The targets as the arms of this fold see them, by ``row_id``.

    Returns
    -------
    masks : list of ndarray of bool, shape (training rows,)
    kept : {"edge", "groups", "twins"}
        What of the split they keep: `EDGE`, `GROUPS`, or, which is no test of its kind of shift, `TWINS`.
    """
    train, seed = list(fold.train), seed_of(context, split, fold)
    groups = training_groups(context, split, fold)
    edge = split.beyond_inner_edge(fold, groups)
    if (
        edge is not None
        and context.table.exact.loc[train][edge].any()
        and usable_masks([edge], y.loc[train], context.task)
    ):
        return [edge], EDGE
    masks = inner_folds(y.loc[train], groups, context.task, seed)
    if masks:
        return masks, GROUPS
    twins = context.table.by_row["twins"].loc[train].to_numpy(dtype=object)
    return inner_folds(y.loc[train], twins, context.task, seed), TWINS


def training_parts(context: Context, split: Split, fold: Fold, y: pd.Series) -> list[np.ndarray]:
    """Masks of the training rows that are left out in turn where a split tests beyond an edge, to see how much hangs on
    the draw of the training rows there: `INNER_FOLDS` parts of whole groups; none where fewer than `LEAST_PARTS` can
    be made."""
    if split.order is None or len(split.folds) > 1:
        return []
    of_training, groups = y.loc[list(fold.train)], training_groups(context, split, fold)
    parts = usable_masks(
        _in_folds(of_training, groups, context.task, seed_of(context, split, fold)), of_training, context.task
    )
    return parts if len(parts) >= LEAST_PARTS else []


def held_out_predictions(
    context: Context,
    masks: Sequence[np.ndarray],
    make: Callable[[int], Any],
    X: pd.DataFrame,
    y: pd.Series,
    groups: np.ndarray,
    seen: Callable[[Any, np.ndarray], None] | None = None,
) -> np.ndarray:
    """Predict each mask's rows by an arm fitted on the others; NaN where no mask holds a row.

    Parameters
    ----------
    masks : sequence of ndarray of bool, shape (n,)
    make : callable
        From the number of the mask to an unfitted arm.
    y : Series of shape (n,)
        By ``row_id``.
    seen : callable, optional
        Is given each fitted arm, and the mask of the rows that it was fitted without.

    Returns
    -------
    ndarray of shape (n, 1), or (n, classes) with probabilities
    """
    result = np.full((len(y), len(context.classes) if context.task == CLASSES else 1), np.nan)
    for number, held in enumerate(masks):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # convergence and rank warnings of single fits; results are scored
            sides = context.table.censoring(list(y.index[~held]))
            model = fit_arm(make(number), X[~held], y[~held].to_numpy(), groups[~held], sides)
            result[held] = predicted_by(context, model, X[held])
            if seen is not None:
                seen(model, held)
    return result


def predicted_by(context: Context, model: Any, X: pd.DataFrame) -> np.ndarray:
    """Shape (n, 1), or (n, classes) with probabilities."""
    return class_chances(model, context.classes, X) if context.task == CLASSES else model.predict(X)[:, None]


def listed(context: Context, predicted: np.ndarray) -> list[Any]:
    """What `predicted_by` gives as a cell keeps it: a number for each row, or a list of probabilities."""
    return (predicted if context.task == CLASSES else predicted[:, 0]).tolist()


def inner_folds(y: pd.Series, groups: np.ndarray, task: str, seed: int) -> list[np.ndarray]:
    """Masks of the rows held out within the training rows; whole groups, stratified by class.

    A fold with more than half of the rows (one large group) is left out: what is fitted on the rest says little.
    """
    strata = y.to_numpy() if task == CLASSES else np.zeros(len(y))
    if len(set(groups)) < 2:
        return []
    if len(y) > INNER_FOLD_ROWS:
        masks = [hold_out(groups, strata, INNER_HOLD_OUT, seed)]
    else:
        masks = _in_folds(y, groups, task, seed)
    return usable_masks(masks, y, task)


def _in_folds(y: pd.Series, groups: np.ndarray, task: str, seed: int) -> list[np.ndarray]:
    """The masks of `INNER_FOLDS` folds of whole groups, or of as many as there are groups."""
    k = min(INNER_FOLDS, len(set(groups)))
    numbers = fold_numbers(groups, y.to_numpy() if task == CLASSES else np.zeros(len(y)), k, seed)
    return [numbers == number for number in range(k)]


def usable_masks(masks: list[np.ndarray], y: pd.Series, task: str) -> list[np.ndarray]:
    """Those that hold out some rows, at most half of them, and leave every class something to learn from."""
    labels = y.to_numpy()
    usable = [mask for mask in masks if task != CLASSES or len(set(labels[~mask])) == len(set(labels))]
    return [mask for mask in usable if 0 < mask.mean() <= MOST_HELD_OUT]


def validation_score(validation: list[Any], y: pd.Series, task: str, classes: tuple[str, ...]) -> float:
    """The primary metric on the out-of-fold predictions, larger is better; -inf without any."""
    predicted = np.array(validation, dtype=np.float64)
    if len(predicted) == 0:
        return -np.inf
    known = np.isfinite(predicted if predicted.ndim == 1 else predicted[:, 0])
    if not known.any():
        return -np.inf
    if task == REGRESSION:
        return -float(np.abs(predicted[known] - y.to_numpy(dtype=np.float64)[known]).mean())
    truth, weights = y.to_numpy().astype(str)[known], np.ones((1, int(known.sum())))
    columns = [1] if len(classes) == 2 else range(len(classes))
    values = [auroc(truth == classes[c], predicted[known][:, c], weights)[0] for c in columns]
    finite = [value for value in values if np.isfinite(value)]
    return float(np.mean(finite)) if finite else -np.inf
