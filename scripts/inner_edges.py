"""What held-out training rows say of a test set beyond an edge: random inner folds against an inner edge.

    python scripts/inner_edges.py lipophilicity 1500

For `label-high`, `label-low` and three made-up times (clusters of similar molecules come one after another, large ones
rather late): the rank correlation over the baselines of validation and test error, the arm chosen with its test error,
and the share of test labels in 90 % intervals, the median over the arms and that of the arm chosen. Minutes on a core.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import spearmanr

from pipeline.arms.ladder import MEANS, mean_of
from pipeline.evaluation.intervals import conformal_sides
from pipeline.reporter import Reporter
from pipeline.runs.context import Context, Machine
from pipeline.runs.fits import new_arm
from pipeline.runs.held_out import EDGE, held_out_predictions, training_folds, training_groups
from pipeline.runs.prepare import load_raw, prepare
from pipeline.settings.reading import config_per_target, merge_settings
from pipeline.splits import rungs
from pipeline.splits.splitters import LABELS_UP, Order, Split

TEST_SIZE = 0.2
ENSEMBLE = "ensemble"


def prepared(table: str, rows: int) -> Context:
    settings = merge_settings(
        table, {"split": ["label-high", "label-low"], "arms": ["baselines"], "max_rows": rows or None, "out": "unused"}
    )
    raw = load_raw(settings["table"])
    (config,) = config_per_target(settings, list(raw.frame.columns))
    return prepare(config, Reporter(), raw)


def drifts(run: Context) -> Iterator[Split]:
    """Splits at made-up times; their order is called that of labels, since only rows held out by it are looked at."""
    groups, _ = rungs.cluster_groups(run.table, rungs.CLUSTER_SIMILARITY, 0)
    codes, atoms = pd.factorize(groups)[0], pd.Series(rungs.heavy_atoms(run.table)).rank(pct=True).to_numpy()
    for seed in range(3):
        rng = np.random.default_rng(seed)
        when = (
            rng.permutation(codes.max() + 1)[codes] / codes.max()
            + 0.6 * atoms
            + rng.normal(scale=0.15, size=len(codes))
        )
        split = rungs.later(run.table, f"made-up time {seed}", when, TEST_SIZE)
        (fold,) = split.folds
        tested = {split.groups[row_id] for row_id in fold.test}
        train = tuple(row_id for row_id in fold.train if split.groups[row_id] not in tested)
        order = Order.by(LABELS_UP, run.table.frame["row_id"].to_numpy(dtype=object), when, TEST_SIZE)
        yield replace(split, folds=(replace(fold, train=train),), order=order)


def predictions(run: Context, split: Split, masks: list[list[np.ndarray]]) -> dict[str, list[np.ndarray]]:
    """By arm: of the rows of each set of masks over training and test rows. Shapes (n,)."""
    (fold,) = split.folds
    rows = [*fold.train, *fold.test]
    X, y = run.table.inputs.loc[rows], run.table.targets.loc[rows]
    groups = np.concatenate([training_groups(run, split, fold), [split.groups[row_id] for row_id in fold.test]])
    n, found = len(fold.train), {}
    for arm in (arm for arm in run.arms if arm not in MEANS):
        tested = held_out_predictions(run, [np.arange(len(rows)) >= n], _make(run, arm), X, y, groups)[n:, 0]
        held = [held_out_predictions(run, kind, _make(run, arm), X[:n], y[:n], groups[:n])[:, 0] for kind in masks]
        found[arm] = [tested, *held]
    return found | {ENSEMBLE: [mean_of(parts) for parts in zip(*(found[arm] for arm in MEANS[ENSEMBLE]), strict=True)]}


def _make(run: Context, arm: str) -> Any:
    return lambda _: new_arm(run, Machine(1), arm, run.config.seed, arm)


def report(run: Context, split: Split) -> None:
    (fold,) = split.folds
    y = run.table.targets
    truth, known = (y.loc[list(ids)].to_numpy(dtype=np.float64) for ids in (fold.test, fold.train))
    kinds = {"random folds": replace(split, order=None), "inner edge": split}
    masks = {name: training_folds(run, kind, fold, y) for name, kind in kinds.items()}
    found = predictions(run, split, [of_kind for of_kind, _ in masks.values()])
    tested = {arm: float(np.abs(values[0] - truth).mean()) for arm, values in found.items()}
    best = min(tested, key=lambda arm: tested[arm])
    print(f"{split.name}: {len(known)} training, {len(truth)} test rows; the best is {best}, MAE {tested[best]:.3g}")
    for place, (name, (_, kept)) in enumerate(masks.items(), start=1):
        errors, held = {}, {}
        for arm, values in found.items():
            residuals = (known - values[place])[np.isfinite(values[place])]
            errors[arm] = float(np.abs(residuals).mean())
            below, above = conformal_sides(residuals, 0.9, by_side=kept == EDGE)
            missed = truth - values[0]
            held[arm] = float(np.mean((missed >= -below) & (missed <= above)))
        chosen = min(errors, key=lambda arm: errors[arm])
        rank = spearmanr([errors[arm] for arm in tested], list(tested.values()))[0]
        print(
            f"  {name:12} rank correlation {rank:.2f}, chosen {chosen}, MAE {tested[chosen]:.3g}; intervals hold "
            f"{np.median(list(held.values())):.0%} (median), {held[chosen]:.0%} ({chosen})"
        )


if __name__ == "__main__":
    made = prepared(sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 0)
    for each in (*made.splits, *drifts(made)):
        report(made, each)
