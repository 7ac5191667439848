"""The page of the negatives experiment."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pipeline.evaluation.detection import LABELS
from pipeline.failure_modes.findings import ORACLE, RAW, STATED, Findings
from pipeline.failure_modes.learners import LM_BATCH
from pipeline.failure_modes.negatives import (
    ALL_ROWS,
    ANYWHERE,
    AS_PUBLISHED,
    DOSE,
    EXPLAINED,
    FEW_KNOWN,
    FIXED_N,
    FIXED_POSITIVES,
    NAME,
    YIELDS_ALONE,
)
from pipeline.report import figures
from pipeline.report.stress import counted, write_page

SHOWN = (
    "auroc",
    "auprc",
    "fpr",
    "tpr",
    "fpr_at_95_tpr",
    "precision_top_10",
    "brier",
    "ece",
    "yield_bias",
    "yield_on_failures",
)


HEADINGS = {
    FIXED_POSITIVES: "the same number of successes each (one-class models hold a fifth back to draw their line)",
    FEW_KNOWN: "fewer successes, since most are hidden so that stand-ins for failures can be made; real failures "
    "beside as few for comparison",
    AS_PUBLISHED: "fewer successes, since a literature of high yields holds no more; real failures beside as few for "
    "comparison",
    FIXED_N: "the same number of rows each: failures take the place of successes",
    ALL_ROWS: "all successes of the training rows",
}


def write_report(found: Sequence[Findings], out: Path) -> Path:
    """Write ``report.html``, with the figures beside it; returns the path of the page."""
    first = found[0].experiment
    drawn = {f"doses-{_file_name(one.experiment.split.name)}": dose_figure(one) for one in found}
    return write_page(
        first.run,
        NAME,
        out,
        first.learners,
        drawn,
        sum(float(one.trained["seconds"].sum()) for one in found),
        title=f"{first.table.name}: what happens when only successes were published",
        settings=first.settings,
        parts=[_part(one) for one in found],
        figures=list(drawn.values()),
        labels=[LABELS[metric] for metric in SHOWN],
        explained=[(name, text) for name, text in EXPLAINED.items() if name in set(found[0].metrics["scheme"])],
        lm_batch=LM_BATCH,
    )


def _file_name(text: str) -> str:
    return "".join(character if character.isalnum() else "-" for character in text)


def _part(found: Findings) -> dict[str, Any]:
    """What the page says of one split."""
    experiment = found.experiment
    return {
        "split": experiment.split.name,
        "sentences": found.sentences,
        "n": int(found.metrics["n"].iloc[0]),
        "groups": int(found.metrics["groups"].iloc[0]),
        "seeds": int(found.metrics["seeds"].max()),
        "headings": [
            (name, text, rows)
            for name, text in HEADINGS.items()
            if (rows := [row for row in arm_rows(found) if row["variant"] == name])
        ],
        "drawn_anywhere": not found.part(scheme=ANYWHERE).empty,
        "decoys": _decoy_rows(found),
        "foreign": found.foreign.to_dict("records"),
        "sensitivity": _sensitivity_rows(found),
    }


def arm_rows(found: Findings) -> list[dict[str, Any]]:
    """One row per way of training, learner, variant, dose and reading: what it was trained on, and its metrics in the
    order of `SHOWN`."""
    keys = ["scheme", "learner", "variant", "dose", "reading"]
    rows = []
    for values, part in found.metrics.groupby(keys, dropna=False, sort=False):
        assert isinstance(values, tuple)
        by_metric, dose = part.set_index("metric"), float(str(values[3]))
        rows.append(
            dict(zip(keys, values, strict=True))
            | {
                "dose": f"{dose:g} %" if np.isfinite(dose) else "",
                "seeds": int(part["seeds"].iloc[0]),
                "trained_on": trained_on(found.trained, *values[:4]),
                "cells": [
                    by_metric.loc[metric, ["value", "low", "high"]].to_dict() if metric in by_metric.index else None
                    for metric in SHOWN
                ],
            }
        )
    return rows


def trained_on(trained: pd.DataFrame, *where: Any) -> tuple[str, str]:
    """How many successes and how many others a way of training is given, from the least to the most over its seeds."""
    for column, value in zip(("scheme", "learner", "variant", "dose"), where, strict=True):
        trained = trained[trained[column].isna() if pd.isna(value) else trained[column] == value]
    others = [
        f"{counted(trained[kind])} {kind}"
        for kind in ("failures", "decoys", "unlabelled")
        if kind in trained and trained[kind].sum()
    ]
    return counted(trained["successes"]), ", ".join(others) or "none"


def _sensitivity_rows(found: Findings) -> list[dict[str, Any]]:
    """One row per threshold, learner and dose, with ranking and acceptance."""
    if found.sensitivity.empty:
        return []
    rows = []
    keys = ["threshold", "learner", "scheme", "dose"]
    for values, part in found.sensitivity.groupby(keys, dropna=False, sort=False):
        assert isinstance(values, tuple)
        by_metric = part.set_index("metric")
        cells = {metric: by_metric.loc[metric, ["value", "low", "high"]].to_dict() for metric in ("auroc", "fpr")}
        rows.append(dict(zip(keys, values, strict=True)) | {"successes": float(part["test_successes"].iloc[0])} | cells)
    return rows


def _decoy_rows(found: Findings) -> list[dict[str, Any]]:
    rows = []
    for scheme, members in found.decoys.groupby("scheme", sort=False):
        made, known, successes = (int(members[name].sum()) for name in ("decoys", "decoys_known", "decoys_successes"))
        share = f"{successes / known:.0%}" if known else "not measured"
        tested = int(members["decoys_tested"].sum())
        rows.append({"scheme": scheme, "made": made, "tested": tested, "known": known, "contamination": share})
    return rows


def dose_figure(found: Findings) -> str:
    """The dose curves, raw and prior-corrected, and what is reached without a failure."""
    curves, flat = [], []
    readings = (RAW, ORACLE if found.part(scheme=DOSE, reading=STATED).empty else STATED)
    for learner in found.experiment.learners:
        for variant in (FIXED_POSITIVES, ALL_ROWS):
            for reading in readings:
                part = found.part(scheme=DOSE, learner=learner, variant=variant, reading=reading)
                if part.empty or (variant == ALL_ROWS and reading != RAW):
                    continue
                curves.append(_curve(part, learner, variant, reading))
        point = found.value(YIELDS_ALONE, learner, "auroc"), found.value(YIELDS_ALONE, learner, "fpr")
        if point[0] and point[1]:
            flat.append(
                {
                    "label": f"{learner}, yields of successes",
                    "learner": learner,
                    "auroc": point[0][0],
                    "fpr": point[1][0],
                }
            )
    return figures.dose_curves(curves, flat)


def _curve(part: pd.DataFrame, learner: str, variant: str, reading: str) -> dict[str, Any]:
    words = [learner, *([variant] if variant == ALL_ROWS else []), *([reading] if reading != RAW else [])]
    auroc = part[part["metric"] == "auroc"].sort_values("dose")
    fpr = part[part["metric"] == "fpr"].sort_values("dose")
    bounds = ["value", "low", "high"]
    return {
        "label": ", ".join(words),
        "learner": learner,
        "style": "--" if variant == ALL_ROWS else (":" if reading != RAW else "-"),
        "ranks_as": reading != RAW,
        "doses": np.array(auroc["dose"]),
        "auroc": auroc[bounds].to_numpy(),
        "fpr": fpr[bounds].to_numpy(),
    }
