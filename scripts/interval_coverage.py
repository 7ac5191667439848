"""How often the intervals of `chemtune predict` hold the truth on molecules held out.

    python scripts/interval_coverage.py --table esol --arm ridge --repeats 20

For each repeat a hold-out is drawn (random and scaffold), the arm is calibrated and fitted on the
other rows exactly as `chemtune fit` does it, and the share of held-out molecules inside the
interval is counted.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np

from pipeline.arms.ladder import make_whole
from pipeline.config import make_config
from pipeline.evaluation.intervals import conformal_radius
from pipeline.experiment import Run, load_table
from pipeline.fitting import calibrate
from pipeline.reporter import Reporter
from pipeline.splits.groups import GROUPINGS, twin_groups
from pipeline.splits.splitters import hold_out


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
        inside: dict[float, list[float]] = {level: [] for level in options.levels}
        for seed in range(options.repeats):
            tested = hold_out(grouping(table), np.zeros(len(table)), config.test_size, seed)
            train = replace(table, frame=table.frame[~tested].reset_index(drop=True))
            run = Run(replace(config, seed=seed), train, [], [options.arm], Path(), Reporter())
            groups = twin_groups(train)
            residuals, _ = calibrate(run, options.arm, train.inputs, train.targets, groups)
            arm = make_whole(options.arm, run.task, seed=seed, threads=run.threads)
            arm.fit(train.inputs, train.targets.to_numpy(), groups=groups)
            error = np.abs(arm.predict(table.inputs[tested]) - table.targets[tested].to_numpy(dtype=np.float64))
            for level in options.levels:
                inside[level].append(float((error <= conformal_radius(residuals, level)).mean()))
        for level, shares in inside.items():
            print(
                f"{options.table}, {options.arm}, {name} hold-out, level {level:.2f}: coverage {np.mean(shares):.3f} "
                f"(mean of {len(shares)}, standard error {np.std(shares, ddof=1) / np.sqrt(len(shares)):.3f})",
                flush=True,
            )


if __name__ == "__main__":
    main()
