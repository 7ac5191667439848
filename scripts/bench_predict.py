"""How fast `chemtune predict` streams a file through a saved model, and whether its memory stays flat.

    chemtune fit esol --arm ensemble --out models/esol
    python scripts/recombined_molecules.py 200000 molecules.csv
    python scripts/bench_predict.py models/esol molecules.csv

Memory is that of the command and its worker processes together (resident, pages they share counted once for each),
sampled every two seconds and given as the largest value of each tenth of the run.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import psutil

from pipeline.tables.streaming import open_stream


def resident(process: psutil.Process) -> int:
    """Bytes held by a process and its children; those that end meanwhile count nothing."""
    total = 0
    for member in [process, *process.children(recursive=True)]:
        try:
            total += member.memory_info().rss
        except psutil.NoSuchProcess:
            continue
    return total


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("table", type=Path)
    options = parser.parse_args()
    rows = open_stream(str(options.table)).n_rows
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "predicted.csv"
        started = time.perf_counter()
        command = [sys.executable, "-m", "pipeline.cli", "predict", str(options.model), str(options.table)]
        running = subprocess.Popen([*command, "--out", str(out)])
        process, samples = psutil.Process(running.pid), []
        while running.poll() is None:
            time.sleep(2)
            if process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
                samples.append(resident(process) / 1e6)
        seconds = time.perf_counter() - started
        if running.returncode:
            sys.exit(running.returncode)
        written = open_stream(str(out)).n_rows
    tenths = [f"{part.max():.0f}" for part in np.array_split(np.array(samples), 10) if len(part)]
    print(f"{written} of {rows} rows written in {seconds:.0f} s, {rows / seconds:.0f} a second", flush=True)
    print(f"largest resident memory of each tenth of the time, MB: {' '.join(tenths)}")
    if rows < 1_000_000:
        print(f"extrapolated, not run: a million rows in {1e6 / rows * seconds / 3600:.1f} hours")


if __name__ == "__main__":
    main()
