"""Two finished runs beside each other, on the rows that both have tested."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pipeline.arms.ladder import trained_shares
from pipeline.errors import InputError
from pipeline.evaluation.bootstrap import MIN_GROUPS
from pipeline.evaluation.class_limits import ClassLimits
from pipeline.evaluation.comparison import BETTER, CANNOT_TELL, WORSE
from pipeline.evaluation.divisions import effective_tested, over_divisions
from pipeline.evaluation.estimates import LEVEL, Estimate, effective_degrees, holm, variance_of_mean
from pipeline.evaluation.evaluations import exact_rows
from pipeline.evaluation.metrics import HIGHER_IS_BETTER, LABELS, PRIMARY, auroc_parts, without_opinion
from pipeline.evaluation.numbers import number
from pipeline.tables.targets import CLASSES

DIVIDED = ["repeat", "fold", "row_id"]
ALIKE = "not shown to differ"


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
            columns = ["split", "repeat", "fold", "row_id", "role", "group"]
            texts = dict.fromkeys(("split", "row_id", "role", "group"), str)
            splits = pd.read_csv(folder / "splits.csv", usecols=columns, dtype=texts, keep_default_na=False)
        except (OSError, ValueError) as error:
            raise InputError(f"{folder}: not the folder of a finished run (no readable run.json)") from error
        if "task" not in info:
            raise InputError(f"{folder}: the folder of a study; runs of chemtune run can be compared")
        return cls(folder, info, predictions, splits)


@dataclass(frozen=True)
class Pair:
    """One arm on one split in both runs: its score in each, and the second minus the first.

    ``apart`` is that difference with its error, and ``low`` and ``high`` the interval at the level that belongs to its
    correction, which excludes zero just where the second is called better or worse. ``same`` says that the predictions
    make no difference in any row: there is then nothing to test.
    """

    split: str
    arm: str
    n: int
    groups: int
    first: float
    second: float
    apart: Estimate
    same: bool
    told: bool
    low: float = math.nan
    high: float = math.nan
    answer: str = ""


def compare_runs(first: Finished, second: Finished) -> list[Pair]:
    """Every arm that both runs have, on every split that both have, on the rows that both tested.

    Where both divided the rows alike, division by division; else each row counts once, with its mean over the divisions
    that tested it. The arms of a split that differ at all are corrected together (Holm). What another training seed
    adds is in the error where a run was trained with several.

    Raises
    ------
    InputError
        If the runs have another task, or no row with the same measured value in common.
    """
    if first.info["task"] != second.info["task"]:
        raise InputError(f"{first.folder} has {first.info['task']}, {second.folder} {second.info['task']}")
    columns = [{str(name) for name in run.predictions if str(name).startswith("p_")} for run in (first, second)]
    bins = [run.info["settings"].get("bins") for run in (first, second)]
    if columns[0] != columns[1] or bins[0] != bins[1]:
        raise InputError(f"{first.folder} and {second.folder} predict different classes: there is nothing to compare")
    task, pairs = first.info["task"], []
    for split, arm in first.predictions[["split", "arm"]].drop_duplicates().itertuples(index=False):
        parts = [_part(run, split, arm) for run in (first, second)]
        if parts[1].empty:
            continue
        keys = DIVIDED if _divided_alike(first, second, split) else ["row_id"]
        joined = parts[0].merge(parts[1], on=keys, suffixes=("_1", "_2"))
        joined = joined[joined["truth_1"] == joined["truth_2"]]
        if not joined.empty:
            seeds = [one for run in (first, second) for one in _seeds(run, split, arm)]
            pairs.append(_pair(split, arm, joined, keys, first, task, seeds))
    if not pairs:
        raise InputError(
            f"{first.folder} and {second.folder} tested no row with the same measured value by the same arm on the "
            "same split: there is nothing to compare"
        )
    return [pair for split in dict.fromkeys(one.split for one in pairs) for pair in _answered(pairs, split, task)]


def _seeds(run: Finished, split: str, arm: str) -> list[tuple[float, int]]:
    """The variance that another training seed adds to the score of an arm, and its degrees of freedom; none where it is
    not known."""
    shares = (one.get("share") for one in run.info.get("cells", ()) if (one["split"], one["arm"]) == (split, arm))
    made_of = trained_shares(arm, (next(shares, None) or {}).get("value"))
    return [
        (made_of[one["arm"]] ** 2 * one["variance"], len(one["scores"]) - 1)
        for one in run.info.get("training_seeds", ())
        if one["split"] == split and one["variance"] > 0 and one["arm"] in made_of
    ]


def _part(run: Finished, split: str, arm: str) -> pd.DataFrame:
    """The predictions of an arm on a split that can be scored, in a fixed order."""
    found = exact_rows(run.predictions)
    found = found[(found["split"] == split) & (found["arm"] == arm)]
    return found.sort_values(DIVIDED, ignore_index=True)


def _divided_alike(first: Finished, second: Finished, split: str) -> bool:
    """Whether both runs train on, and test, the same rows in every division of a split."""
    keys = ["repeat", "fold", "row_id", "role"]
    one, two = (
        set(map(tuple, run.splits.loc[run.splits["split"] == split, keys].astype(str).to_numpy()))
        for run in (first, second)
    )
    return one == two


def _pair(
    split: str,
    arm: str,
    joined: pd.DataFrame,
    keys: list[str],
    first: Finished,
    task: str,
    seeds: list[tuple[float, int]],
) -> Pair:
    groups_of = first.splits[first.splits["split"] == split].drop_duplicates("row_id").set_index("row_id")["group"]
    scores = [_scores(joined, suffix, keys, task) for suffix in ("_1", "_2")]
    if keys != DIVIDED:  # each row once
        rows = joined["row_id"].to_numpy()
        scores = [pd.Series(score).groupby(rows).mean().to_numpy() for score in scores]
        joined = joined.drop_duplicates("row_id").sort_values("row_id").assign(repeat=0, fold=0)
    division = joined.groupby(["repeat", "fold"]).ngroup().to_numpy()
    groups = groups_of.loc[joined["row_id"]].to_numpy().astype(str)
    apart = scores[1] - scores[0]
    if division.max():
        rows = joined["row_id"].to_numpy()
        found = over_divisions(apart, division, rows, groups, groups_of.to_numpy().astype(str))
    else:
        error = math.sqrt(variance_of_mean(apart, groups)) if len(set(groups)) > 1 else math.nan
        found = Estimate(float(apart.mean()), error, effective_degrees(groups))
    same = not apart.any()
    if task == CLASSES and not same:
        truth = joined["truth_1"].to_numpy().astype(str)
        found = ClassLimits.of(truth, groups, sorted(set(truth))).applied(found, *scores)
    for variance, degrees in [] if same else seeds:
        found = found.with_more_error(math.sqrt(variance), degrees)
    return Pair(
        split,
        arm,
        joined["row_id"].nunique(),
        len(set(groups)),
        _mean(scores[0], division),
        _mean(scores[1], division),
        found,
        same,
        found.known and effective_tested(groups, division) >= MIN_GROUPS,
    )


def _scores(joined: pd.DataFrame, suffix: str, keys: list[str], task: str) -> np.ndarray:
    """Each row's part in the primary metric of the division in which its run tested it. Shape (n,)."""
    truth = joined[f"truth{suffix}"].to_numpy()
    if task != CLASSES:
        return np.abs(truth.astype(np.float64) - joined[f"prediction{suffix}"].to_numpy(dtype=np.float64))
    columns = [column for column in joined.columns if column.startswith("p_") and column.endswith(suffix)]
    classes = [column.removeprefix("p_").removesuffix(suffix) for column in columns]
    chances = without_opinion(np.array(joined[columns], dtype=np.float64), joined[f"parse_failed{suffix}"].to_numpy())
    names = [name if name in keys else f"{name}{suffix}" for name in ("repeat", "fold")]
    division = joined.groupby(names).ngroup().to_numpy()
    found = np.full(len(joined), np.nan)
    for one in range(division.max() + 1):
        rows = division == one
        found[rows] = auroc_parts(truth[rows].astype(str), chances[rows], classes)
    return found


def _mean(scores: np.ndarray, division: np.ndarray) -> float:
    return float(pd.Series(scores).groupby(division).mean().mean())


def _answered(pairs: list[Pair], split: str, task: str) -> list[Pair]:
    """The pairs of a split with what they say; those that differ in some row are corrected together."""
    found = [pair for pair in pairs if pair.split == split]
    tested = [place for place, pair in enumerate(found) if not pair.same]
    adjusted = dict(zip(tested, holm([found[place].apart.p_difference() for place in tested]), strict=True))
    said = []
    for place, pair in enumerate(found):
        p, level = adjusted.get(place, (1.0, LEVEL))
        low, high = pair.apart.interval(level)
        better = (pair.apart.value > 0) == HIGHER_IS_BETTER[PRIMARY[task]]
        answer = (BETTER if better else WORSE) if p < 1 - LEVEL else ALIKE
        said.append(replace(pair, low=low, high=high, answer=answer if pair.told else CANNOT_TELL))
    return said


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
    shared = [split for split in dict.fromkeys(first.splits["split"]) if split in set(second.splits["split"])]
    if not all(_divided_alike(first, second, split) for split in shared):
        said.append("which rows are trained on and tested (every row that both tested counts once)")
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
