"""What the settings of the language-model arms are worth, one lever at a time.

    python scripts/ablate_lm.py --tables freesolv photoswitch --seeds 0 1 2 --levers default depth=10 tokenization=model
    python scripts/ablate_lm.py --arm lm-text --levers default learning_rate=2e-3+steps=720 --out found.jsonl
    python scripts/ablate_lm.py --tables freesolv esol lipophilicity --bins 2 --n-train 50 --levers default steps=60
    python scripts/ablate_lm.py --summary found.jsonl

A lever changes one or more settings of `lm-head` or `lm-text` (``depth``, ``trained_layers``, ``tokenization``,
``steps``, ``learning_rate``, ``batch_size``, ``rank``, ``pooling``, ``start``); several are joined by ``+``;
``ensemble`` stands for the classical reference. Errors are those on a validation part of the *training* rows (of the
random hold-out with seed 0; its test rows are never looked at); the seed draws the validation part and, of the other
rows, the ``--n-train`` that are trained on, and is that of the training. For classes the error is the mean negative
log-probability, beside the accuracy; for `lm-text` the errors of the means and of the medians of its distributions
stand beside that of what it predicts. One line of JSON per run; runs that stand in the output file are not repeated.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from validation_rows import validation_rows

from pipeline import LoraClassifier, LoraRegressor
from pipeline.arms.ladder import make_whole
from pipeline.evaluation.estimates import Estimate
from pipeline.reporter import Reporter
from pipeline.runs.context import binned
from pipeline.runs.prepare import load_table
from pipeline.settings.reading import make_config
from pipeline.splits.splitters import Fold
from pipeline.tables.targets import CLASSES

ALL_ROWS = 10**9
KINDS = {
    "depth": int,
    "trained_layers": int,
    "tokenization": str,
    "steps": int,
    "learning_rate": float,
    "batch_size": int,
    "rank": int,
    "pooling": str,
    "start": str,
}


def settings_of(lever: str) -> dict[str, Any]:
    """``depth=3+steps=480`` as keyword arguments of `LoraRegressor`."""
    pairs = [] if lever == "default" else [part.split("=", 1) for part in lever.split("+")]
    return {name: KINDS[name](value) for name, value in pairs}


def run(table: Any, arm: str, lever: str, seed: int, n_train: int, bins: int) -> dict[str, Any]:
    """Fit once and score on the validation rows; with ``bins``, classes by quantiles of the rows that are fitted on."""
    fit, check = validation_rows(table, seed)
    if n_train < len(fit):
        fit = fit[np.sort(np.random.default_rng(seed).permutation(len(fit))[:n_train])]
    task = CLASSES if bins else table.task
    targets = binned(table.targets, Fold(0, 0, tuple(fit), tuple(check)), bins) if bins else table.targets
    y, truth = targets.loc[fit].to_numpy(), targets.loc[check].to_numpy()
    started = time.perf_counter()
    if lever == "ensemble":
        model = make_whole("ensemble", task, seed=seed, threads=2).fit(table.inputs.loc[fit], y)
    else:
        kind = LoraClassifier if task == CLASSES else LoraRegressor
        readout, template = arm.removeprefix("lm-"), make_config(table.name, {}).template
        model = kind(
            table.property_name, table.units, readout, template=template, random_state=seed, **settings_of(lever)
        )
        model.fit(table.inputs.loc[fit], y)
    seconds = time.perf_counter() - started
    found = {"n": len(fit), "seconds": round(seconds, 1)}
    if task == CLASSES:
        predicted = model.predict_proba(table.inputs.loc[check])
        truth = np.searchsorted(model.classes_, truth)
        found["accuracy"] = float((predicted.argmax(axis=1) == truth).mean())
    else:
        predicted = model.predict(table.inputs.loc[check])
        read: Any = getattr(model, "arm_", None)
        if read is not None and hasattr(read, "medians_"):
            means = np.where(read.reading_.parse_failed, y.mean(), read.reading_.probabilities @ read.format_.values)
            found |= {"error_of_means": error(means, truth), "error_of_medians": error(read.medians_, truth)}
    return found | {"error": error(predicted, truth), "predicted": predicted.tolist(), "truth": truth.tolist()}


def error(predicted: np.ndarray, truth: np.ndarray) -> float:
    """Mean absolute error; for class probabilities of shape (n, classes) the mean negative log-probability."""
    if predicted.ndim == 1:
        return float(np.abs(predicted - truth).mean())
    return float(-np.log(np.maximum(predicted[np.arange(len(truth)), truth], 1e-12)).mean())


def summary(path: Path, base: str) -> None:
    """Mean error of each lever by table, and its ratio to the base over the runs both have, with a 95 % interval."""
    runs = [{"bins": 0} | json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    frame = pd.DataFrame([run | {"kind": kind_of(run)} for run in runs])
    for kind, part in frame.groupby("kind", sort=False):
        errors = part.pivot_table(index=["table", "seed"], columns="lever", values="error")
        averages = part.reindex(columns=["lever", "seconds", "accuracy"]).groupby("lever").mean()
        for lever in errors.columns:
            both = errors[[base, lever]].dropna()
            ratios = (both.iloc[:, -1] / both.iloc[:, 0]).to_numpy()
            shown = ""
            if lever != base and len(ratios) > 1:
                mean = Estimate.of_mean(np.log(ratios))
                mid, low, high = np.exp([mean.value, *mean.interval()])
                shown = f"{mid:.2f} ({low:.2f} to {high:.2f}, {len(ratios)} runs)"
            means = errors[lever].dropna().groupby("table").agg(["mean", "count"])
            by_table = ", ".join(f"{name} {row['mean']:.4g} (n={row['count']:.0f})" for name, row in means.iterrows())
            accuracy, spent = averages.accuracy[lever], averages.seconds[lever]
            correct = "" if np.isnan(accuracy) else f"accuracy {accuracy:.3f} | "
            print(f"{kind} | {lever} | {by_table} | {shown} | {correct}{spent:.0f} s")


def kind_of(run: dict[str, Any]) -> str:
    """What makes a run comparable with others: its arm, its number of classes and its number of training rows."""
    classes = f", {run['bins']} classes" if run["bins"] else ""
    return run["arm"] + classes + (f", {run['n_train']} rows" if run["n_train"] < ALL_ROWS else "")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tables", nargs="+", default=["freesolv", "photoswitch"])
    parser.add_argument("--arm", choices=["lm-head", "lm-text"], default="lm-head")
    parser.add_argument("--levers", nargs="+", default=["default"])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--n-train", type=int, default=ALL_ROWS)
    parser.add_argument("--bins", type=int, default=0, help="so many classes of a number, by quantiles")
    parser.add_argument("--out", type=Path, default=Path("ablation.jsonl"))
    parser.add_argument("--summary", type=Path, help="Print the table of such a file instead.")
    parser.add_argument("--base", default="default", help="The lever that the others are compared with.")
    options = parser.parse_args()
    if options.summary:
        summary(options.summary, options.base)
        return
    lines = options.out.read_text(encoding="utf-8").splitlines() if options.out.exists() else []
    names = ("table", "arm", "lever", "seed", "n_train", "bins")
    done = {tuple(json.loads(line).get(name, 0) for name in names) for line in lines}
    tables = {name: load_table(make_config(name, {}), Reporter()) for name in options.tables}
    for lever in options.levers:
        settings_of(lever) if lever != "ensemble" else None
        for name, table in tables.items():
            for seed in options.seeds:
                key = (name, options.arm, lever, seed, options.n_train, options.bins)
                if key in done:
                    continue
                found = dict(zip(names, key, strict=True)) | run(table, *key[1:])
                print(json.dumps(found), flush=True)
                with options.out.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    main()
