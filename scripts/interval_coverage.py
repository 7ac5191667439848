"""How often the intervals of `chemtune predict` hold the truth on molecules held out, near and far from training.

    python scripts/interval_coverage.py --table esol --arm ridge --repeats 20

For each repeat a hold-out is drawn (random and scaffold), and the arm is calibrated and fitted on the other rows
exactly as `chemtune fit` does it. One line per level and way to make intervals: as ``fit`` chose, one radius for all,
and by each signal. Quarters are of the held-out molecules by their distance to the nearest training molecule, the
nearest first. ``score`` is the interval score over that of one radius: under 1 is better.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from pipeline.arms.ladder import make_whole
from pipeline.evaluation.intervals import (
    DISTANCE,
    ONE_RADIUS,
    SPREAD,
    adaptive_radius,
    conformal_radius,
    interval_score,
    quarters_of,
)
from pipeline.features.similarity import nearest_neighbours
from pipeline.models.fitting import calibrate
from pipeline.models.folder import prediction_and_spread
from pipeline.reporter import Reporter
from pipeline.runs.context import Context, this_machine
from pipeline.runs.prepare import load_table
from pipeline.settings.reading import make_config
from pipeline.splits.groups import GROUPINGS, twin_groups
from pipeline.splits.splitters import hold_out
from pipeline.tables.kinds import MOLECULES
from pipeline.tables.table import STRUCTURE, Table

CHOSEN = "as chosen"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--table", default="esol")
    parser.add_argument("--arm", default="ridge")
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--levels", type=float, nargs="+", default=[0.8, 0.9])
    options = parser.parse_args()
    config = make_config(options.table, {"arms": options.arm})
    table = load_table(config, Reporter())
    for name, grouping in GROUPINGS.items():
        rows: list[dict[str, object]] = []
        chosen: Counter[str] = Counter()
        for seed in range(options.repeats):
            tested = hold_out(grouping(table), np.zeros(len(table)), config.test_size, seed)
            train = replace(table, frame=table.frame[~tested].reset_index(drop=True))
            run = Context(replace(config, seed=seed), train, (), (options.arm,))
            method, found = one_hold_out(run, options.arm, table, tested, options.levels)
            chosen[method] += 1
            rows += found
        made = ", ".join(f"{method} {count}" for method, count in chosen.most_common())
        print(f"\n{options.table}, {options.arm}, {name} hold-out, {options.repeats} repeats; chosen: {made}")
        means = pd.DataFrame(rows).groupby(["level", "method"], sort=False)
        spread = means["coverage"].sem().rename("se")
        print(means.mean().join(spread).round(3).to_string(), flush=True)


def one_hold_out(
    run: Context, arm: str, table: Table, tested: np.ndarray, levels: list[float]
) -> tuple[str, list[dict[str, object]]]:
    """What was chosen, and per level and way to make intervals what they were worth on the rows ``tested``."""
    machine = this_machine(run.config, (arm,), Reporter())
    train, groups = run.table, twin_groups(run.table)
    residuals, calibration = calibrate(run, machine, arm, train.inputs, train.targets, groups)
    model = make_whole(arm, run.task, seed=run.config.seed, threads=machine.threads)
    model.fit(train.inputs, train.targets.to_numpy(), groups=groups)
    new = table.inputs[tested]
    predicted, spread = prediction_and_spread(model, new)
    errors = table.targets[tested].to_numpy(dtype=np.float64) - predicted
    distance = 1 - nearest_neighbours(list(new[STRUCTURE]), list(train.inputs[STRUCTURE]), MOLECULES)[0]
    of_new = {DISTANCE: distance, SPREAD: spread}
    found = []
    for level in levels:
        radii = _radii(residuals, calibration, of_new, level)
        radii = {CHOSEN: radii[calibration["interval"]], **radii}
        fixed = interval_score(errors, radii[ONE_RADIUS], level).mean()
        for method, radius in radii.items():
            row: dict[str, object] = {"level": level, "method": method}
            row["coverage"] = float((np.abs(errors) <= radius).mean())
            row["width"] = 2 * float(radius.mean())
            row["score"] = float(interval_score(errors, radius, level).mean() / fixed)
            for number, quarter in enumerate(quarters_of(distance), 1):
                if quarter.any():
                    row[f"cover{number}"] = float((np.abs(errors) <= radius)[quarter].mean())
                    row[f"width{number}"] = 2 * float(radius[quarter].mean())
            found.append(row)
    return calibration["interval"], found


def _radii(
    residuals: np.ndarray, calibration: Mapping[str, Any], of_new: Mapping[str, np.ndarray], level: float
) -> dict[str, np.ndarray]:
    """Half-widths of the new rows, by the name of the method. Shapes (m,)."""
    one = np.full(len(of_new[DISTANCE]), conformal_radius(residuals, level))
    return {ONE_RADIUS: one} | {
        f"by {name}": adaptive_radius(residuals, known, of_new[name], level, calibration["groups"])
        for name, known in calibration["difficulty"].items()
    }


if __name__ == "__main__":
    main()
