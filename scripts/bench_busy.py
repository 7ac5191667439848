"""How long a training of lm-head takes beside other work, and what helps.

    python scripts/bench_busy.py --steps 40

On a machine that does nothing else: each way of running is timed alone, and beside as many busy processes as there are
cores. Ways: threads of torch that wait for each other by spinning (for so many turns, after which they sleep;
300,000 by default), that sleep at once (``OMP_WAIT_POLICY=PASSIVE``), and one thread. Each figure is the median
of three.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import subprocess
import sys

WAYS = {
    "default": {},
    "spin 10,000": {"GOMP_SPINCOUNT": "10000"},
    "spin 1,000": {"GOMP_SPINCOUNT": "1000"},
    "sleeping": {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "0"},
    "one thread": {"OMP_NUM_THREADS": "1"},
}
TRAINING = """
import sys, time, torch
from pipeline import LoraRegressor
from pipeline.tables.catalogue import card
import pandas as pd
about = card("photoswitch")
table = pd.read_csv(about.path).sample(100, random_state=0)
smiles, y = table[about.smiles].to_numpy(), table[about.target].to_numpy()
torch.set_num_threads(int(sys.argv[2]))
for steps in (2, int(sys.argv[1])):
    started = time.perf_counter()
    LoraRegressor(steps=steps, random_state=0, dtype="bfloat16").fit(smiles, y)
print(time.perf_counter() - started)
"""


def spin() -> None:
    while True:
        pass


def seconds(way: str, steps: int) -> float:
    environment = {
        name: value for name, value in os.environ.items() if name not in {key for of in WAYS.values() for key in of}
    }
    threads = "1" if way == "one thread" else str(os.cpu_count())
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", TRAINING, str(steps), threads],
        env={**environment, **WAYS[way]},
        capture_output=True,
        text=True,
        check=True,
    )
    return float(done.stdout.split()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--busy", type=int, default=os.cpu_count() or 1)
    options = parser.parse_args()
    print("busy processes   " + "".join(f"{way:>14}" for way in WAYS))
    for busy in (0, options.busy):
        others = [multiprocessing.Process(target=spin, daemon=True) for _ in range(busy)]
        for other in others:
            other.start()
        found = {way: sorted(seconds(way, options.steps) for _ in range(3))[1] for way in WAYS}
        print(f"{busy:14d}   " + "".join(f"{value:12.1f} s" for value in found.values()), flush=True)
        for other in others:
            other.terminate()


if __name__ == "__main__":
    main()
