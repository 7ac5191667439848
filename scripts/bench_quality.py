"""How good `lm-head` is: against fine-tuned GPT-3, and against the best baseline, on test rows, five seeds each.

    python scripts/bench_quality.py gptchem                  # the sizes of the founding paper, beside its figures
    python scripts/bench_quality.py full-size                # whole tables: the ratio of its error to the ensemble's
    python scripts/bench_quality.py unseen                   # the same on tables that no setting was chosen on

A seed is that of the random hold-out and of every arm. The runs stay in the folder --out, and what is in it already is
not run again. Further options go to ``chemtune run`` and want a folder of their own. Settings are never chosen from
these figures: `scripts/ablate_lm.py` has the validation rows for that.
"""

from __future__ import annotations

import argparse
import subprocess
from pathlib import Path

import numpy as np
import pandas as pd

from pipeline.evaluation.estimates import Estimate

# What is said to `chemtune run`, and the scores of fine-tuned GPT-3 (ada) that Jablonka et al. 2024 give: MAE, and
# accuracy for classes. 1,000 rows of Lipophilicity are enough for 500 training and 200 test molecules.
GPT3 = {
    "photoswitch-200": (["photoswitch", "--n-train", "200"], "mae", 28.2),
    "freesolv-200": (["freesolv", "--n-train", "200"], "mae", 1.43),
    "lipophilicity-500": (["lipophilicity", "--max-rows", "1000", "--n-train", "500"], "mae", 0.907),
    "photoswitch-2-classes-50": (["photoswitch", "--bins", "2", "--n-train", "50"], "accuracy", 0.809),
    "photoswitch-2-classes-200": (["photoswitch", "--bins", "2", "--n-train", "200"], "accuracy", 0.873),
}
FULL_SIZE = ("photoswitch", "freesolv", "esol")
UNSEEN = {"b3db-logbb": ["b3db-logbb"], "lipophilicity": ["lipophilicity", "--max-rows", "2100"]}
ARMS = ("ensemble", "lm-head")


def scores(said: list[str], seed: int, out: Path) -> pd.DataFrame:
    """Scores by arm and metric of one run."""
    if not (out / "metrics.csv").exists():
        command = ["chemtune", "run", *said, "--arms", ",".join(ARMS), "--split", "random", "--seed", str(seed)]
        command += ["--lm-seeds", "1"]
        subprocess.run([*command, "--out", str(out)], check=True, capture_output=True, text=True)
    frame = pd.read_csv(out / "metrics.csv")
    return frame.pivot_table(index="arm", columns="metric", values="value")


def with_interval(values: pd.Series) -> str:
    """Mean over seeds and a t interval, which takes the seeds' test sets for independent, as they are not quite."""
    mean = Estimate.of_mean(values.to_numpy())
    low, high = mean.interval()
    return f"{mean.value:.3g} [{low:.3g} to {high:.3g}]"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["gptchem", "full-size", "unseen"])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    parser.add_argument("--jobs", nargs="+", help="some of the runs alone, by name")
    parser.add_argument("--out", type=Path, default=Path("runs/quality"))
    options, more = parser.parse_known_args()
    tables = UNSEEN if options.what == "unseen" else {name: [name] for name in FULL_SIZE}
    jobs = GPT3 if options.what == "gptchem" else {name: (said, "mae", np.nan) for name, said in tables.items()}
    for job, (said, metric, published) in jobs.items():
        if options.jobs and job not in options.jobs:
            continue
        found = pd.DataFrame(
            [scores([*said, *more], seed, options.out / f"{job}-{seed}")[metric] for seed in options.seeds]
        )
        told = [f"{arm} {with_interval(found[arm])}" for arm in ARMS]
        print(f"{job}, {metric}: {'; '.join(told)}", flush=True)
        print(f"  lm-head by seed: {', '.join(f'{value:.3g}' for value in found['lm-head'])}", flush=True)
        if np.isfinite(published):
            print(f"  fine-tuned GPT-3: {published}", flush=True)
        else:
            print(f"  lm-head / ensemble: {with_interval(found['lm-head'] / found['ensemble'])}", flush=True)


if __name__ == "__main__":
    main()
