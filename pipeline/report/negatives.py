"""The page of the negatives experiment."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from markupsafe import Markup

from pipeline import __version__
from pipeline.arms.ladder import DESCRIPTIONS, is_language_model
from pipeline.cells import versions
from pipeline.evaluation.detection import LABELS
from pipeline.experiment import hardware
from pipeline.failure_modes.findings import ORACLE, RAW, STATED, Findings
from pipeline.failure_modes.negatives import (
    ALL_ROWS,
    DOSE,
    EXPLAINED,
    FIXED_POSITIVES,
    LM_BATCH,
    YIELDS_ALONE,
)
from pipeline.files import write_atomically
from pipeline.report import figures
from pipeline.report.page import page_environment

SHOWN = ("auroc", "auprc", "fpr", "tpr", "fpr_at_95_tpr", "precision_top_10", "brier", "ece", "yield_bias")


def write_report(found: Sequence[Findings], out: Path) -> Path:
    """Write ``report.html``, with the figures beside it; returns the path of the page."""
    environment = page_environment()
    template = environment.get_template("negatives.html.j2")
    drawn = [dose_figure(one) for one in found]
    for one, svg in zip(found, drawn, strict=True):
        name = "".join(character if character.isalnum() else "-" for character in one.experiment.split.name)
        write_atomically(out / "figures" / f"doses-{name}.svg", svg)
    first = found[0].experiment
    content = template.render(
        title=first.table.name,
        version=__version__,
        settings=first.settings,
        config=first.run.config,
        refused=len(first.table.refused),
        rows=len(first.table),
        warnings=first.table.warnings,
        parts=[_part(one) for one in found],
        drawn=drawn,
        labels=[LABELS[metric] for metric in SHOWN],
        explained=[(name, text) for name, text in EXPLAINED.items() if name in set(found[0].metrics["scheme"])],
        learners=[(arm, DESCRIPTIONS[arm]) for arm in first.learners],
        language_model=next((first.run.config.model for arm in first.learners if is_language_model(arm)), ""),
        lm_batch=LM_BATCH,
        command=f"chemtune stress negatives {shlex.quote(str(out / 'config.yaml'))} --out {shlex.quote(str(out))}",
        versions=versions(),
        hardware=hardware(),
        seconds=sum(float(one.trained["seconds"].sum()) for one in found),
    )
    page = environment.get_template("page.html.j2").render(
        title=f"{first.table.name}: successes and failures", version=__version__, targets=[], runs=[Markup(content)]
    )
    path = out / "report.html"
    write_atomically(path, page)
    return path


def _part(found: Findings) -> dict[str, Any]:
    """What the page says of one split."""
    experiment = found.experiment
    return {
        "split": experiment.split.name,
        "sentences": found.sentences,
        "n": int(found.metrics["n"].iloc[0]),
        "groups": int(found.metrics["groups"].iloc[0]),
        "seeds": int(found.metrics["seeds"].max()),
        "rows": arm_rows(found),
        "decoys": _decoy_rows(found),
        "foreign": found.foreign.to_dict("records"),
    }


def arm_rows(found: Findings) -> list[dict[str, Any]]:
    """One row per way of training, learner, variant, dose and reading, with its metrics in the order of `SHOWN`."""
    keys = ["scheme", "learner", "variant", "dose", "reading"]
    rows = []
    for values, part in found.metrics.groupby(keys, dropna=False, sort=False):
        assert isinstance(values, tuple)
        by_metric, dose = part.set_index("metric"), float(str(values[3]))
        rows.append(
            dict(zip(keys, values, strict=True))
            | {
                "dose": f"{dose:g} %" if np.isfinite(dose) else "",
                "cells": [
                    by_metric.loc[metric, ["value", "low", "high"]].to_dict() if metric in by_metric.index else None
                    for metric in SHOWN
                ],
            }
        )
    return rows


def _decoy_rows(found: Findings) -> list[dict[str, Any]]:
    rows = []
    for scheme, members in found.decoys.groupby("scheme", sort=False):
        made, known, successes = (int(members[name].sum()) for name in ("decoys", "decoys_known", "decoys_successes"))
        share = f"{successes / known:.0%}" if known else "not measured"
        rows.append({"scheme": scheme, "made": made, "known": known, "contamination": share})
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
