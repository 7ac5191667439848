"""The page of the published-only experiment."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from pipeline.evaluation.detection import LABELS as DETECTION_LABELS
from pipeline.evaluation.metrics import LABELS
from pipeline.failure_modes.learners import LM_BATCH
from pipeline.failure_modes.published_findings import DIFFERENCE, Findings
from pipeline.failure_modes.published_only import EXPLAINED, NAME
from pipeline.report import figures
from pipeline.report.stress import counted, write_page

SHOWN = ("yield_bias", "fpr", "tpr", "yield_on_failures", "r2", "mae", "auroc", "precision_top_10")


def write_report(found: Findings, out: Path) -> Path:
    """Write ``report.html``, with the figure beside it; returns the path of the page."""
    experiment = found.experiment
    return write_page(
        experiment.run,
        NAME,
        out,
        experiment.learners,
        {"parity": parity_figure(found)},
        float(found.trained["seconds"].sum()),
        title=f"{experiment.table.name}: trained on published tables",
        settings=experiment.settings,
        sentences=found.sentences,
        composition=found.composition,
        labels=[_label(metric) for metric in SHOWN],
        parts=[
            (tested, _rows(found.metrics[found.metrics["tested"] == tested], found.trained))
            for tested in (experiment.settings.tested, experiment.settings.published)
        ],
        explained=EXPLAINED,
        difference=DIFFERENCE,
        lm_batch=LM_BATCH,
    )


def _label(metric: str) -> str:
    return DETECTION_LABELS.get(metric) or LABELS[metric]


def _rows(metrics: pd.DataFrame, trained: pd.DataFrame) -> list[dict[str, Any]]:
    """One row per learner and kind of training rows: what it was trained on, its metrics in the order of `SHOWN`."""
    found = []
    for (learner, kind), part in metrics.groupby(["learner", "rows"], sort=False):
        by_metric = part.set_index("metric")
        given = trained[(trained["learner"] == learner) & (trained["rows"] == kind)]
        found.append(
            {
                "learner": learner,
                "rows": kind,
                "n": int(part["n"].iloc[0]),
                "trained_on": tuple(map(counted, (given["successes"], given["n"] - given["successes"]))),
                "seeds": int(part["seeds"].iloc[0]),
                "cells": [by_metric.loc[metric, ["value", "low", "high"]].to_dict() for metric in SHOWN],
            }
        )
    return found


def parity_figure(found: Findings) -> str:
    """A line of panels per learner, a column per kind of training rows; predictions are means over the seeds."""
    experiment = found.experiment
    origins = (experiment.settings.published, experiment.settings.tested)
    panels = []
    for learner in experiment.learners:
        for kind in EXPLAINED:
            part = found.predictions
            part = part[(part["learner"] == learner) & (part["rows"] == kind)]
            mean = part.groupby(["origin", "row_id"])[["yield", "predicted_yield"]].mean()
            panels.append(
                {"title": f"{learner}, {kind}", **{origin: mean.loc[origin].to_numpy() for origin in origins}}
            )
    return figures.parity_by_origin(panels, origins, len(EXPLAINED))
