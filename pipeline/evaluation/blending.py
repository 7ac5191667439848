"""How much of a blend is made by the second of two arms, chosen on rows that neither had seen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pipeline.arms.ladder import MEANS, mean_of
from pipeline.evaluation.bootstrap import MIN_GROUPS, group_weights, interval
from pipeline.splits.splitters import half_of_groups

SHARES = np.linspace(0.0, 1.0, 101)
RESAMPLES = 500
LEAST_ROWS = 10  # with a value and in two groups or more, to choose by
LEAST_CHANCE = 1e-6  # of a true class, so that a certain mistake costs much and not everything


@dataclass(frozen=True)
class Share:
    """The share of the second arm, its 95 % interval over resampled groups, and on how many rows it was chosen.

    Fewer than `MIN_GROUPS` groups say nothing of how sure it is: the interval is then all there is, from 0 to 1.
    """

    value: float
    low: float
    high: float
    n: int


def chosen_blend(
    first: np.ndarray,
    second: np.ndarray,
    truth: np.ndarray,
    groups: np.ndarray,
    exact: np.ndarray,
    seed: int,
    classes: Sequence[str] = (),
) -> tuple[Share | None, np.ndarray]:
    """The share with the smallest mean absolute error, or with classes the smallest logarithmic loss.

    That is stacking (Wolpert 1992; Breiman 1996) with weights that are not negative and add up to 1. Of shares that
    are as good the smallest one is taken: an arm that brings nothing gets nothing.

    Parameters
    ----------
    first, second : ndarray of shape (n,), or (n, classes) with probabilities
        Predictions by fits without these rows; NaN where there is none.
    truth : ndarray of shape (n,)
    groups : ndarray of shape (n,)
        Rows of a group stay together where rows are resampled or halved.
    exact : ndarray of bool, shape (n,)
        False where the truth is a bound, by which nothing is chosen.

    Returns
    -------
    share : Share or None
        None where there are fewer than `LEAST_ROWS` rows to choose by, or one group; both arms then count alike.
    predicted : ndarray of the shape of ``first``
        The blend of each row with the share that the other half of the groups chooses, so that no row has a part in
        its own.
    """
    known = np.isfinite(np.column_stack([first, second])).all(axis=1)
    judged = known & exact
    tried = len(set(groups[judged].astype(str)))
    if judged.sum() < LEAST_ROWS or tried < 2:
        return None, mean_of([first, second])
    losses = np.full((len(truth), len(SHARES)), np.nan)
    losses[judged] = _losses(first[judged], second[judged], truth[judged], classes)
    predicted = np.full(first.shape, np.nan)
    in_half = half_of_groups(groups, seed)
    for half in (in_half, ~in_half):
        others = losses[judged & ~half]
        predicted[half] = mean_of([first[half], second[half]], _best(others) if len(others) else None)
    low, high = 0.0, 1.0
    if tried >= MIN_GROUPS:
        drawn = group_weights(groups[judged], seed, RESAMPLES) @ losses[judged]
        low, high = interval(SHARES[drawn.argmin(axis=1)])
    return Share(_best(losses[judged]), float(low), float(high), int(judged.sum())), predicted


def share_said(arm: str, share: Mapping[str, Any]) -> str:
    """The share of a blend's second arm, as it is kept with a model or a result."""
    made = f"{MEANS[arm][1]} makes {share['value']:.0%} of {arm} [{share['low']:.0%} to {share['high']:.0%}]"
    return f"{made}, the share that did best on {share['n']} held-out training rows."


def _best(losses: np.ndarray) -> float:
    return float(SHARES[losses.sum(axis=0).argmin()])


def _losses(first: np.ndarray, second: np.ndarray, truth: np.ndarray, classes: Sequence[str]) -> np.ndarray:
    """The loss of each row with each of `SHARES`. Shape (n, shares)."""
    if not classes:
        off = truth.astype(np.float64) - first
        return np.abs(off[:, None] - (second - first)[:, None] * SHARES)
    code = {name: number for number, name in enumerate(classes)}
    place = np.arange(len(truth)), np.array([code[str(label)] for label in truth], dtype=int)
    one, two = first[place], second[place]
    return -np.log(np.maximum(one[:, None] + (two - one)[:, None] * SHARES, LEAST_CHANCE))
