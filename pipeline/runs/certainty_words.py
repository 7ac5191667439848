"""What the intervals and the signals of doubt of a run are worth, in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from pipeline.evaluation.bootstrap import MIN_GROUPS
from pipeline.evaluation.evaluations import REFERENCE, Evaluation
from pipeline.evaluation.intervals import (
    DEFAULT_LEVEL,
)
from pipeline.runs.certainty import CALIBRATED, FIXED, LEAST_RESIDUALS, OWN, RAW, Certainty
from pipeline.tables.targets import CLASSES


def sentences(certainty: Certainty, evaluations: Sequence[Evaluation]) -> list[str]:
    """What the intervals (or probabilities) of the preferred baselines are worth along the splits, and which signal
    tells which of their predictions to doubt."""
    said = []
    table, judged = certainty.intervals, certainty.signals
    covered, told, untold, without = [], [], [], []
    for evaluation in evaluations:
        known = {"split": evaluation.split, "arm": evaluation.main_baseline}
        for row in _chosen(table, **known, method=FIXED, metric="coverage"):
            covered.append(
                f"{row['value']:.0%} on {evaluation.split} [{row['low']:.0%} to {row['high']:.0%}] ({row['arm']})"
            )
        for row in _chosen(table, **known, method=CALIBRATED, metric="ece"):
            (raw,) = _chosen(table, **known, method=RAW, metric="ece")
            perfect, before = (
                _chosen(table, **known, method=method, metric="ece_if_perfect")[0]["value"]
                for method in (CALIBRATED, RAW)
            )
            covered.append(
                f"{row['value']:.1%} on {evaluation.split} ({row['arm']}; {perfect:.1%} if they were perfect; not "
                f"calibrated {raw['value']:.1%} and {before:.1%})"
            )
        if evaluation.reference and not _chosen(table, **known, method=FIXED, metric="coverage"):
            without.append(evaluation.split)
        found = _chosen(judged, split=evaluation.split, arm=REFERENCE, metric="error_auroc")
        useful = [row for row in found if row["useful"]]
        if useful:
            best = max(useful, key=lambda row: row["value"])
            signal = "the arm's own uncertainty" if best["signal"] == OWN else best["signal"]
            told.append(f"{signal} on {evaluation.split} (error AUROC {best['value']:.2f})")
        elif found:
            untold.append(f"{evaluation.split} ({_why_untold(evaluation, found)})")
    if covered:
        what = (
            "Expected calibration error of the probabilities, calibrated on training rows"
            if evaluations[0].task == CLASSES
            else f"Of the nominal {DEFAULT_LEVEL:.0%} intervals, so many contain the measured value"
        )
        said.append(f"{what}: {'; '.join(covered)}.")
    said += _how_calibrated(certainty, evaluations)
    if without and evaluations[0].task != CLASSES:
        said.append(f"No intervals on {', '.join(without)}: fewer than {LEAST_RESIDUALS} held-out training rows.")
    if told:
        said.append(f"Large errors of the preferred baseline are flagged by {'; '.join(told)}.")
    if untold:
        said.append(f"No signal is shown to flag large errors of the preferred baseline on {'; '.join(untold)}.")
    return said


def _how_calibrated(certainty: Certainty, evaluations: Sequence[Evaluation]) -> list[str]:
    """On which training rows arms were chosen and calibrated where that is not by the groups of the split."""
    said, table = [], certainty.intervals
    calibrated = set(table["split"][table["method"].isin([FIXED, CALIBRATED])])
    for evaluation in evaluations:
        split = evaluation.split
        done = ["the baseline was chosen"] * bool(evaluation.reference)
        done += ["the arms were calibrated"] * (split in calibrated)
        if not done:
            continue
        if split in certainty.by_edge:
            said.append(
                f"On {split}, {' and '.join(done)} on the training rows with the {certainty.by_edge[split]}, predicted "
                "from the others."
            )
        elif split in certainty.by_twins:
            said.append(
                f"On {split} the training rows left no group to hold out (one has most of them): {' and '.join(done)} "
                "on training rows held out at random, variants of one structure together, which is no test of that "
                "shift."
            )
    return said


def _why_untold(evaluation: Evaluation, found: Sequence[Mapping[str, Any]]) -> str:
    """Why no signal is shown to tell which predictions of the preferred baseline to doubt."""
    if not any(np.isfinite(row["value"]) for row in found):
        return "no wrong answer"
    return "too few test groups" if evaluation.effective_groups < MIN_GROUPS else f"of {len(found)} tried"


def _chosen(table: pd.DataFrame, **values: str) -> list[dict[str, Any]]:
    """The rows that have these values."""
    wanted = np.logical_and.reduce([table[column] == value for column, value in values.items()])
    return [{str(name): value for name, value in row.items()} for row in table[wanted].to_dict("records")]
