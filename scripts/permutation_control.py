"""How often the verdict claims that something was learned when the labels are shuffled.

    python scripts/permutation_control.py --permutations 100

Runs cheap arms on Photoswitch with permuted labels, random and scaffold hold-out, and counts the
permutations in which the verdict of any split says that something was learned. At the nominal
5 % level, more than 9 of 100 would be a sign that the verdict claims too much.
"""

from __future__ import annotations

import argparse
import tempfile
from dataclasses import replace

import numpy as np

from pipeline.reporter import Reporter
from pipeline.runs.prepare import prepare
from pipeline.settings.reading import make_config
from pipeline.studies.compare import study as comparison
from pipeline.studies.study import execute


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--table", default="photoswitch")
    parser.add_argument("--arms", default="ngram-ridge,knn,ridge,rf-bits")
    parser.add_argument("--permutations", type=int, default=100)
    options = parser.parse_args()
    run = prepare(make_config(options.table, {"arms": options.arms}), Reporter())
    claims: list[int] = []
    for number in range(options.permutations):
        shuffled = np.random.default_rng(number).permutation(run.table.frame["target"].to_numpy())
        table = replace(run.table, frame=run.table.frame.assign(target=shuffled))
        with tempfile.TemporaryDirectory() as folder:
            config = replace(run.config, out=folder)
            done = execute(comparison, replace(run, config=config, table=table))
        assert done is not None
        if any(verdict["learned"] for verdict in done.conclusion.info["verdicts"]):
            claims.append(number)
        print(f"{number + 1} permutations, {len(claims)} claims that something was learned", flush=True)


if __name__ == "__main__":
    main()
