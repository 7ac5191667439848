"""Seconds and peak memory of cleaning, auditing and splitting tables of a thousand to a million molecules.

    python scripts/bench_tables.py                      # 1,000, 10,000 and 100,000 molecules
    python scripts/bench_tables.py --sizes 1000000 --json found.json

The molecules are those of `recombined_molecules.py`, distinct and drug-like, with a made-up number as label. Each size
runs in a process of its own, so that its peak memory is its own. The slope says how time grows: the logarithm of the
ratio of seconds over that of molecules, 1 for linear.
"""

from __future__ import annotations

import argparse
import json
import math
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

STAGES = ("clean", "audit", "random", "scaffold", "cluster")


def write_molecules(path: Path, number: int) -> None:
    """A table with the columns smiles and value; the value is a count of atoms with noise."""
    from recombined_molecules import molecules

    noise = np.random.default_rng(0).normal(size=number)
    with open(path, "w", encoding="utf-8") as file:
        file.write("smiles,value\n")
        for smiles, error in zip(molecules(), noise, strict=False):
            file.write(f"{smiles},{sum(letter.isupper() for letter in smiles) + error:.3f}\n")


def job(path: str) -> dict[str, Any]:
    """Clean, audit and split one table in this process."""
    from pipeline.cells.cell import measured
    from pipeline.reporter import Reporter
    from pipeline.runs.audit import audit_table
    from pipeline.runs.prepare import load_table
    from pipeline.settings.run import RunConfig
    from pipeline.splits.build import build_splits

    stages: dict[str, dict[str, Any]] = {name: {} for name in STAGES}
    with measured(stages["clean"]):
        table = load_table(RunConfig(table=path, smiles="smiles", target="value"), Reporter())
    with measured(stages["audit"]):
        audit_table(table)
    for name in ("random", "scaffold", "cluster"):
        with measured(stages[name]):
            build_splits(table, name, test_size=0.2, folds=0, seed=0)
    return {"molecules": len(table), "stages": stages}


def slope(small: dict[str, Any], large: dict[str, Any]) -> float:
    """How the seconds grow from one size to another; 1 is linear."""
    return math.log(total(large) / total(small)) / math.log(large["molecules"] / small["molecules"])


def total(found: dict[str, Any]) -> float:
    return float(sum(stage["seconds"] for stage in found["stages"].values()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[1_000, 10_000, 100_000])
    parser.add_argument("--json", type=Path, help="Write what was measured to this file.")
    parser.add_argument("--job", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.job:
        print(json.dumps(job(arguments.job)))
        return
    print("molecules " + "".join(f"{name:>10}" for name in STAGES) + "   total s   peak MB", flush=True)
    results: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        for size in arguments.sizes:
            path = Path(folder) / f"{size}.csv"
            write_molecules(path, size)
            done = subprocess.run(
                [sys.executable, __file__, "--job", str(path)], capture_output=True, text=True, check=True
            )
            found = json.loads(done.stdout.splitlines()[-1])
            seconds = "".join(f"{stage['seconds']:10.1f}" for stage in found["stages"].values())
            peak = max(stage["peak_mb"] for stage in found["stages"].values())
            grown = f"   slope {slope(results[-1], found):.2f}" if results else ""
            print(f"{found['molecules']:9d} {seconds}{total(found):10.1f}{peak:10.0f}{grown}", flush=True)
            results.append(found)
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
