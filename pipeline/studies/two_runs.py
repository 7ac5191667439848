"""Two finished runs beside each other, on the rows that both have tested."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pipeline.errors import InputError
from pipeline.evaluation.bootstrap import MIN_GROUPS
from pipeline.evaluation.divisions import over_divisions
from pipeline.evaluation.estimates import Estimate, effective_degrees, effective_number, variance_of_mean
from pipeline.evaluation.metrics import HIGHER_IS_BETTER, LABELS, PRIMARY, auroc_parts
from pipeline.evaluation.verdict import number
from pipeline.tables.targets import CLASSES

KEYS = ["split", "repeat", "fold", "row_id", "arm"]


@dataclass(frozen=True)
class Finished:
    """A finished run, from its files."""

    folder: Path
    info: dict[str, Any]
    predictions: pd.DataFrame
    splits: pd.DataFrame

    @classmethod
    def read(cls, folder: Path) -> Finished:
        """Raise `InputError` if the folder holds no finished run."""
        try:
            info = json.loads((folder / "run.json").read_text(encoding="utf-8"))
            predictions = pd.read_parquet(folder / "predictions.parquet")
            splits = pd.read_csv(folder / "splits.csv", dtype={"row_id": str, "group": str})
        except (OSError, ValueError) as error:
            raise InputError(f"{folder}: not the folder of a finished run (no readable run.json)") from error
        if "task" not in info:
            raise InputError(f"{folder}: the folder of a study; runs of chemtune run can be compared")
        return cls(folder, info, predictions, splits)


@dataclass(frozen=True)
class Pair:
    """One arm on one split in both runs: its score in each, and the second minus the first."""

    split: str
    arm: str
    n: int
    groups: int
    first: float
    second: float
    low: float
    high: float
    answer: str


def compare_runs(first: Finished, second: Finished) -> list[Pair]:
    """Every arm that both runs have, on every split that both have, on the rows that both tested in the same division.

    Raises
    ------
    InputError
        If the runs have another task, or no row with the same measured value in common.
    """
    if first.info["task"] != second.info["task"]:
        raise InputError(f"{first.folder} has {first.info['task']}, {second.folder} {second.info['task']}")
    task = first.info["task"]
    joined = _scorable(first.predictions).merge(_scorable(second.predictions), on=KEYS, suffixes=("_1", "_2"))
    joined = joined[joined["truth_1"] == joined["truth_2"]]
    if joined.empty:
        raise InputError(
            f"{first.folder} and {second.folder} tested no row with the same measured value by the same arm on the "
            "same split: there is nothing to compare"
        )
    return [
        _pair(str(split), str(arm), part, first, task)
        for (split, arm), part in joined.groupby(["split", "arm"], sort=False)
    ]


def _scorable(predictions: pd.DataFrame) -> pd.DataFrame:
    return predictions[predictions["bound"] == ""] if "bound" in predictions else predictions


def _pair(split: str, arm: str, part: pd.DataFrame, first: Finished, task: str) -> Pair:
    groups_of = first.splits[first.splits["split"] == split].drop_duplicates("row_id").set_index("row_id")["group"]
    part = part.sort_values(["repeat", "fold", "row_id"])
    division = part.groupby(["repeat", "fold"]).ngroup().to_numpy()
    groups = groups_of.loc[part["row_id"]].to_numpy().astype(str)
    scores = [_parts(part, suffix, division, task) for suffix in ("_1", "_2")]
    apart = scores[1] - scores[0]
    if division.max():
        rows = part["row_id"].to_numpy()
        found = over_divisions(apart, division, rows, groups, groups_of.to_numpy().astype(str))
    else:
        error = math.sqrt(variance_of_mean(apart, groups)) if len(set(groups)) > 1 else math.nan
        found = Estimate(float(apart.mean()), error, effective_degrees(groups))
    low, high = found.interval()
    sizes = np.unique(groups, return_counts=True)[1]
    told = found.known and effective_number(sizes) >= MIN_GROUPS
    return Pair(
        split,
        arm,
        part["row_id"].nunique(),
        len(sizes),
        _mean(scores[0], division),
        _mean(scores[1], division),
        low,
        high,
        _answer(low, high, task) if told else "cannot tell",
    )


def _parts(part: pd.DataFrame, suffix: str, division: np.ndarray, task: str) -> np.ndarray:
    """Each row's part in the primary metric of its division. Shape (n,)."""
    truth = part[f"truth{suffix}"].to_numpy()
    if task != CLASSES:
        return np.abs(truth.astype(np.float64) - part[f"prediction{suffix}"].to_numpy(dtype=np.float64))
    columns = [column for column in part.columns if column.startswith("p_") and column.endswith(suffix)]
    classes = [column.removeprefix("p_").removesuffix(suffix) for column in columns]
    chances = part[columns].to_numpy(dtype=np.float64)
    chances[part[f"parse_failed{suffix}"].to_numpy(dtype=bool)] = 1 / len(classes)
    found = np.full(len(part), np.nan)
    for one in range(division.max() + 1):
        rows = division == one
        found[rows] = auroc_parts(truth[rows].astype(str), chances[rows], classes)
    return found


def _mean(scores: np.ndarray, division: np.ndarray) -> float:
    return float(pd.Series(scores).groupby(division).mean().mean())


def _answer(low: float, high: float, task: str) -> str:
    if low <= 0 <= high:
        return "not shown to differ"
    return "better" if (low > 0) == HIGHER_IS_BETTER[PRIMARY[task]] else "worse"


def differences(first: Finished, second: Finished) -> list[str]:
    """What the two runs differ in besides their folder: settings, table, versions, training rows."""
    said = []
    for name, (one, two) in _changed(first.info["settings"], second.info["settings"]).items():
        if name != "out":
            said.append(f"{name}: {_shown(one)} and {_shown(two)}")
    for name, (one, two) in _changed(first.info["versions"], second.info["versions"]).items():
        said.append(f"version of {name}: {_shown(one)} and {_shown(two)}")
    if first.info["table"] != second.info["table"]:
        said.append("the cleaned table")
    keys = ["split", "repeat", "fold", "row_id", "role"]
    rows = [set(map(tuple, run.splits[keys].astype(str).to_numpy())) for run in (first, second)]
    shared = set(first.splits["split"]) & set(second.splits["split"])
    if any({row for row in rows[0] if row[0] == name} != {row for row in rows[1] if row[0] == name} for name in shared):
        said.append(
            "which rows are trained on and tested (only rows that both tested in the same division are compared)"
        )
    return said


def _changed(one: Mapping[str, Any], two: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    names = dict.fromkeys([*one, *two])
    return {name: (one.get(name), two.get(name)) for name in names if one.get(name) != two.get(name)}


def _shown(value: Any) -> str:
    if isinstance(value, list):
        return ",".join(map(str, value)) or "none"
    return "none" if value in (None, "", 0) else str(value)


def pair_rows(pairs: list[Pair], task: str) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """The pairs as a table for the terminal: header and rows."""
    metric = LABELS[PRIMARY[task]]
    header = (
        "split",
        "arm",
        "rows",
        "groups",
        f"{metric} of the first",
        "of the second",
        "difference",
        "the second is",
    )
    return header, [
        (
            pair.split,
            pair.arm,
            str(pair.n),
            str(pair.groups),
            number(pair.first),
            number(pair.second),
            f"{number(pair.second - pair.first)} [{number(pair.low)} to {number(pair.high)}]",
            pair.answer,
        )
        for pair in pairs
    ]
