"""Error by the notation in which molecules are shown, and tokens per molecule.

    python scripts/notations.py photoswitch --steps 100 --n-train 300 --seeds 3 --arms ngram-ridge,lm-frozen,lm-head

Random hold-outs of a fifth, another for each seed; lm-head starts plain, since the other start knows canonical SMILES
alone. Runs are kept in ``runs/notations`` and go on where they were.
"""

from __future__ import annotations

import argparse
from dataclasses import replace

import numpy as np
import pandas as pd

from pipeline.arms.spelled import shown_as
from pipeline.features.notations import Representation
from pipeline.lm.decoders import prompt_limit
from pipeline.reporter import Reporter
from pipeline.runs.prepare import prepare
from pipeline.settings.reading import make_config
from pipeline.studies.compare import study as comparison
from pipeline.studies.study import execute

SHOWN = ("canonical", "randomised:1", "selfies", "deepsmiles", "inchi", "name")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("table")
    parser.add_argument("--arms", default="ngram-ridge,lm-frozen,lm-head,lm-text")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=0)
    parser.add_argument("--n-train", type=int, default=0)
    parser.add_argument("--shown", default=",".join(SHOWN))
    given = parser.parse_args()
    rows = []
    for shown in given.shown.split(","):
        for seed in range(given.seeds):
            settings = {
                "arms": given.arms.split(","),
                "split": ["random"],
                "representation": [shown],
                "start": "plain",
                "lm_seeds": 1,
                "seed": seed,
                "steps": given.steps,
                "n_train": given.n_train,
                "out": f"runs/notations/{given.table}-{shown.replace(':', '-')}-{seed}",
            }
            context = prepare(make_config(given.table, settings), Reporter())
            done = execute(comparison, context)
            assert done is not None
            found = done.conclusion.metrics
            mae = found[found["metric"] == "mae"].set_index("arm")["value"]
            rows += [
                {"shown": shown, "seed": seed, "arm": arm, "mae": mae[arm], "tokens": _tokens(context, shown)}
                for arm in given.arms.split(",")
            ]
        part = pd.DataFrame([row for row in rows if row["shown"] == shown])
        means = part.groupby("arm")["mae"].agg(["mean", "std"]).round(3).to_dict("index")
        print(f"{given.table} {shown}: {part['tokens'].mean():.1f} tokens; {means}", flush=True)


def _tokens(context, shown: str) -> float:  # type: ignore[no-untyped-def]
    """Tokens of a prompt beyond those of an empty one, on average."""
    one = Representation.of(shown)
    template = replace(context.template, symbols=one.has_symbols)
    count, _ = prompt_limit(context.config.model, template, ["1"])
    prompts = template.pieces_all(shown_as(context.table.inputs, one, context.config.seed))
    return float(np.mean([count(prompt) for prompt in prompts])) - count(template.pieces(""))


if __name__ == "__main__":
    main()
