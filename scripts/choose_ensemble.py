"""Which baselines `ensemble` should be the mean of, on tables whose results are not reported anywhere.

    python scripts/choose_ensemble.py                        # fits what is missing, then prints the comparison
    python scripts/choose_ensemble.py --summary              # prints the comparison alone

Compared are the mean of extratrees, lightgbm and gp (`OLD`), of gp, svr and lightgbm, and of all four. Numbers:
Lipophilicity (2,500 rows drawn) and B3DB logBB, trained on 300, 600 and 1,000 rows (of logBB at most 846). Classes:
B3DB and two assays of Tox21 (1,800 rows drawn of each), trained on 300 and 1,000 rows. Each with random and scaffold
hold-outs of 20 % and five seeds, which draw the hold-out and the training rows of the others; smaller training sets
are part of the larger ones. Errors are the mean absolute error and the mean negative log-probability.

The rule, written down before any of these runs: a candidate takes the place of `OLD` if on tables of numbers (1) its
error is lower, the geometric mean of the ratios having a 95 % interval below 1, (2) on no table and split the mean
ratio is above 1.02, and (3) it takes no more than 1.5 times the time, for training and for 1,000 predictions; and if
(2) holds on the tables of classes too. Of two such candidates the one with the smaller error is taken, the cheaper one
where the interval of the ratio between them holds 1.

The interval: log ratios are averaged over splits and sizes for each seed and table; the variance of their mean over
seeds is corrected for training rows that hold-outs share (`corrected_t`), and tables count as independent
and as given. It says nothing of other tables. One line of JSON per fit stays in --out, and none is done twice.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from power import corrected_t

from pipeline.arms.ladder import class_chances, make_arm, mean_of
from pipeline.evaluation.estimates import Estimate
from pipeline.features.structures import descriptors, morgan_counts
from pipeline.reporter import Reporter
from pipeline.runs.prepare import load_table
from pipeline.settings.reading import make_config
from pipeline.splits.groups import GROUPINGS
from pipeline.splits.splitters import hold_out
from pipeline.tables.table import STRUCTURE, Table
from pipeline.tables.targets import CLASSES, REGRESSION

TOX21 = Path(__file__).resolve().parents[2] / "shared" / "data" / "tox21.csv.gz"
SOURCES: dict[str, tuple[str, dict[str, Any], int, tuple[int, ...]]] = {  # settings, rows drawn, training rows
    "lipophilicity": ("lipophilicity", {}, 2_500, (300, 600, 1_000)),
    "b3db-logbb": ("b3db-logbb", {}, 2_500, (300, 600, 1_000)),
    "b3db": ("b3db", {}, 1_800, (300, 1_000)),
    "SR-MMP": (str(TOX21), {"smiles": "smiles", "target": "SR-MMP", "task": CLASSES}, 1_800, (300, 1_000)),
    "NR-AhR": (str(TOX21), {"smiles": "smiles", "target": "NR-AhR", "task": CLASSES}, 1_800, (300, 1_000)),
}
ARMS = ("extratrees", "lightgbm", "svr", "gp")
OLD = ("extratrees", "lightgbm", "gp")
CANDIDATES = (("lightgbm", "svr", "gp"), ARMS)
SHARE = 0.2
SEEDS = (0, 1, 2, 3, 4)
MOST_WORSE, MOST_COST = 1.02, 1.5


def load(name: str) -> Table:
    source, settings, rows, _ = SOURCES[name]
    table = load_table(make_config(source, {"arms": "ridge", **settings}), Reporter())
    return table.sample(rows, 0) if len(table) > rows else table


def one_division(table: Table, split: str, size: int, seed: int) -> dict[str, Any]:
    """The truth of held-out rows, what each arm says of them, and its seconds: of training, and of 1,000 rows."""
    groups, y = GROUPINGS[split](table), table.targets.to_numpy()
    tested = hold_out(groups, y if table.task == CLASSES else np.zeros(len(y)), SHARE, seed)
    train = np.random.default_rng(seed).permutation(np.flatnonzero(~tested))[:size]
    new, classes = table.inputs[tested], sorted(set(y)) if table.task == CLASSES else []
    truth = np.searchsorted(classes, y[tested]) if classes else y[tested]
    found: dict[str, Any] = {"n": len(train), "truth": truth.tolist(), "predicted": {}, "seconds": {}}
    for arm in ARMS:
        started = time.process_time()
        model = make_arm(arm, table.task, seed=seed, threads=1).fit(table.inputs.iloc[train], y[train], groups[train])
        trained = time.process_time()
        predicted = class_chances(model, classes, new) if classes else model.predict(new)
        found["predicted"][arm] = np.round(predicted, 6).tolist()
        found["seconds"][arm] = [trained - started, (time.process_time() - trained) * 1_000 / len(new)]
    return found


def error_of(run: dict[str, Any], members: tuple[str, ...]) -> float:
    """Mean absolute error, or mean negative log-probability, of the mean of arms."""
    predicted, truth = mean_of([np.array(run["predicted"][arm]) for arm in members]), np.array(run["truth"])
    if predicted.ndim == 1:
        return float(np.abs(predicted - truth).mean())
    return float(-np.log(np.maximum(predicted[np.arange(len(truth)), truth], 1e-12)).mean())


def seconds_of(run: dict[str, Any], members: tuple[str, ...]) -> float:
    return float(sum(sum(run["seconds"][arm]) for arm in members))


def frame_of(runs: list[dict[str, Any]], members: tuple[str, ...], base: tuple[str, ...]) -> pd.DataFrame:
    """A row per division: log ratio of the errors, and seconds of both."""
    rows = [
        {
            **{key: run[key] for key in ("table", "split", "size", "seed")},
            "ratio": math.log(error_of(run, members) / error_of(run, base)),
            "seconds": seconds_of(run, members),
            "base seconds": seconds_of(run, base),
        }
        for run in runs
    ]
    return pd.DataFrame(rows)


def overall(frame: pd.DataFrame) -> Estimate:
    """Mean log ratio, each table counting once; degrees of freedom by Welch and Satterthwaite."""
    by_table = [
        corrected_t(part.groupby("seed")["ratio"].mean().to_numpy(), SHARE / (1 - SHARE))
        for _, part in frame.groupby("table")
    ]
    squares = np.array([found.error**2 for found in by_table])
    degrees = float(squares.sum() ** 2 / (squares**2 / [found.degrees for found in by_table]).sum())
    mean = float(np.mean([found.value for found in by_table]))
    return Estimate(mean, math.sqrt(squares.sum()) / len(squares), degrees)


def shown(estimate: Estimate) -> str:
    low, high = np.exp(estimate.interval())
    return f"{math.exp(estimate.value):.3f} [{low:.3f} to {high:.3f}]"


def judge(runs: list[dict[str, Any]], members: tuple[str, ...], task: str) -> bool:
    """Print the ratios of a candidate on the tables of a task, and tell whether it passes the rule there."""
    frame = frame_of(runs, members, OLD)
    found, cost = overall(frame), frame["seconds"].sum() / frame["base seconds"].sum()
    print(f"{' + '.join(members)}, {task}: {shown(found)} of the error, {cost:.2f} of the time, {len(frame)} divisions")
    bearable = True
    for (table, split), part in frame.groupby(["table", "split"], sort=False):
        ratio = math.exp(part["ratio"].mean())
        by_size = ", ".join(f"{n} {math.exp(value):.3f}" for n, value in part.groupby("size")["ratio"].mean().items())
        print(f"    {table}, {split}: {ratio:.3f} ({by_size})")
        bearable &= ratio <= MOST_WORSE
    return bearable and (task == CLASSES or (found.interval()[1] < 0 and cost <= MOST_COST))


def show_arms(runs: list[dict[str, Any]]) -> None:
    """Print the mean errors of single arms and of the candidates, and the time that each arm takes."""
    means = [*((arm,) for arm in ARMS), OLD, *CANDIDATES]
    for table, split, size in dict.fromkeys((run["table"], run["split"], run["size"]) for run in runs):
        part = [run for run in runs if (run["table"], run["split"], run["size"]) == (table, split, size)]
        errors = ", ".join(f"{' + '.join(m)} {np.mean([error_of(run, m) for run in part]):.3f}" for m in means)
        print(f"{table}, {split}, {part[0]['n']} rows, {len(part)} seeds: {errors}")
    for task, arm, size in product((REGRESSION, CLASSES), ARMS, (300, 600, 1_000)):
        seconds = [run["seconds"][arm] for run in runs if (run["task"], run["size"]) == (task, size)]
        if seconds:
            trained, predicted = np.mean(seconds, axis=0)
            print(f"{task}, {arm}, {size} rows: {trained:.2f} s of training, {predicted:.2f} s for 1,000 predictions")


def summary(path: Path) -> None:
    runs = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    show_arms(runs)
    by_task = {task: [run for run in runs if run["task"] == task] for task in (REGRESSION, CLASSES)}
    passed = []
    for members in CANDIDATES:
        if min([judge(some, members, task) for task, some in by_task.items() if some]):
            passed.append(" + ".join(members))
    between = overall(frame_of(by_task[REGRESSION], CANDIDATES[1], CANDIDATES[0]))
    print(f"{' + '.join(CANDIDATES[1])} over {' + '.join(CANDIDATES[0])}, numbers: {shown(between)}")
    print(f"pass the rule: {'; '.join(passed) or 'none'}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tables", nargs="+", choices=SOURCES, default=list(SOURCES))
    parser.add_argument("--out", type=Path, default=Path("runs/ensemble.jsonl"))
    parser.add_argument("--summary", action="store_true")
    options = parser.parse_args()
    options.out.parent.mkdir(parents=True, exist_ok=True)
    lines = options.out.read_text(encoding="utf-8").splitlines() if options.out.exists() else []
    names = ("table", "split", "size", "seed")
    done = {tuple(json.loads(line)[name] for name in names) for line in lines}
    for name in [] if options.summary else options.tables:
        missing = [key for key in product((name,), GROUPINGS, SOURCES[name][3], SEEDS) if key not in done]
        if not missing:
            continue
        table = load(name)
        descriptors(table.inputs[STRUCTURE])  # kept from then on: no arm's time holds that of the features
        morgan_counts(table.inputs[STRUCTURE])
        for key in missing:
            found = {**dict(zip(names, key, strict=True)), "task": table.task, **one_division(table, *key[1:])}
            with options.out.open("a", encoding="utf-8") as file:
                file.write(json.dumps(found) + "\n")
            print(*key, f"{sum(map(sum, found['seconds'].values())):.1f} s", flush=True)
    summary(options.out)


if __name__ == "__main__":
    main()
