"""Record what a probe says and what a run then takes, for `tests/test_budget.py`. Run it on a machine that does nothing
else.

    python scripts/record_timings.py photoswitch photoswitch
    python scripts/record_timings.py esol esol --arms baselines --split random,label-high

The first argument names the recording in ``tests/recorded``.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from dataclasses import asdict
from pathlib import Path

from pipeline.cells.store import Store
from pipeline.reporter import Reporter
from pipeline.runs.context import settled
from pipeline.runs.estimates import probe
from pipeline.runs.fits import compute_features
from pipeline.runs.prepare import prepare
from pipeline.settings.reading import make_config
from pipeline.studies.compare import study as comparison
from pipeline.studies.study import execute

RECORDED = Path(__file__).resolve().parent.parent / "tests" / "recorded"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name")
    parser.add_argument("table")
    parser.add_argument("--arms", default="all")
    parser.add_argument("--split", default="random,scaffold")
    parser.add_argument("--max-rows", type=int, default=0)
    options = parser.parse_args()
    settings = {"arms": options.arms, "split": options.split, "max_rows": options.max_rows}
    with tempfile.TemporaryDirectory() as folder:
        context = prepare(make_config(options.table, {**settings, "out": folder}), Reporter())
        machine = settled(context, Reporter())
        measured = probe(context, machine)
        started = time.perf_counter()
        compute_features(context, machine, Store(context.folder))
        seconds = {"features": time.perf_counter() - started}
        done = execute(comparison, context, machine)
        assert done is not None
        for row in done.conclusion.trained.to_dict("records"):
            seconds[str(row["arm"])] = seconds.get(str(row["arm"]), 0.0) + float(row["seconds"])
    content = {"table": options.table, "settings": settings, "probe": asdict(measured), "seconds": seconds}
    RECORDED.mkdir(exist_ok=True)
    (RECORDED / f"{options.name}.json").write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(content["seconds"], indent=1))


if __name__ == "__main__":
    main()
