"""Validation error of the language-model arms against steps and learning rate.

    python scripts/settle_lm_defaults.py freesolv b3db-logbb --steps 240 480 --learning-rates 1e-3 5e-4

Settings are chosen on a validation part of the *training* rows (of the random hold-out with
seed 0); the held-out test rows are never looked at. One line of JSON per run goes to standard
output.
"""

from __future__ import annotations

import argparse
import itertools
import json
import time

import numpy as np

from pipeline.arms import language_model
from pipeline.lm.engine import Engine
from pipeline.prompts.templates import PromptTemplate
from pipeline.splits.build import build_splits
from pipeline.splits.splitters import hold_out
from pipeline.tables.catalogue import card
from pipeline.tables.reading import read_table
from pipeline.tables.table import build_table
from pipeline.tables.targets import CLASSES


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tables", nargs="+")
    parser.add_argument("--arms", nargs="+", default=["head", "text"])
    parser.add_argument("--steps", nargs="+", type=int, default=[240, 480])
    parser.add_argument("--learning-rates", nargs="+", type=float, default=[1e-3])
    parser.add_argument("--n-train", type=int, default=10**9)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    options = parser.parse_args()
    engine = Engine.load("smollm2-135m", trained_layers=10)
    for name in options.tables:
        about = card(name)
        table = build_table(read_table(str(about.path)), smiles=about.smiles, target=about.target, task=about.task)
        (split,) = build_splits(table, "random", test_size=0.2, folds=0, seed=0)
        rows = np.array(split.folds[0].train, dtype=object)
        labels = np.array([split.groups[row] for row in rows], dtype=object)
        strata = table.targets.loc[rows].to_numpy() if table.task == CLASSES else np.zeros(len(rows))
        held = hold_out(labels, strata, 0.2, 1)
        fit, check = rows[~held][: options.n_train], rows[held]
        grid = itertools.product(options.arms, options.steps, options.learning_rates, options.seeds)
        for arm, steps, rate, seed in grid:
            model = getattr(language_model, arm)(
                table.task,
                engine=engine,
                template=PromptTemplate(about.property_name, about.units),
                steps=steps,
                settings={"learning_rate": rate},
                seed=seed,
            )
            started = time.perf_counter()
            model.fit(table.inputs.loc[fit], table.targets.loc[fit].to_numpy())
            truth = table.targets.loc[check].to_numpy()
            found = {"table": name, "arm": arm, "n": len(fit), "steps": steps, "rate": rate, "seed": seed}
            if table.task == CLASSES:
                chance = model.predict_proba(table.inputs.loc[check])
                codes = np.searchsorted(model.classes_, truth)
                found["log_loss"] = float(-np.log(np.maximum(chance[np.arange(len(codes)), codes], 1e-12)).mean())
            else:
                found["mae"] = float(np.abs(model.predict(table.inputs.loc[check]) - truth).mean())
                if arm == "text":
                    found["mae_of_median"] = float(np.abs(model.medians_ - truth).mean())
            found["seconds"] = round(time.perf_counter() - started, 1)
            print(json.dumps(found), flush=True)


if __name__ == "__main__":
    main()
