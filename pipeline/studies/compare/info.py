"""What ``run.json`` holds of a comparison of arms, besides what that of every study does."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from pipeline.evaluation.metrics import HIGHER_IS_BETTER
from pipeline.runs.fits import primary_arm
from pipeline.studies.compare.findings import Findings


def info_of(found: Findings) -> dict[str, Any]:
    """As plain data."""
    context, table = found.context, found.context.table
    return {
        "task": context.task,
        "task_reason": table.task_reason,
        "rows": {
            "read": table.n_read,
            "refused": len(table.refused),
            "used": len(table),
            "bounds": table.bounded,
        },
        "left_out": list(context.left_out),
        "rungs_left_out": list(context.rungs_left_out),
        "dtype": found.fits.dtype,
        "seconds": found.fits.seconds,
        "splits": list(found.split_cards),
        "preferred_baseline": {
            name: {f"{repeat}/{fold}": arm for (repeat, fold), arm in choices.items()}
            for name, choices in found.preferred.items()
        },
        "margins": found.margins,
        "primary": primary_arm(context),
        "training_seeds": [asdict(one) for one in found.seed_spreads],
        "positive": context.positive,
        "higher_is_better": HIGHER_IS_BETTER,
        "threshold": context.config.threshold,
        "verdicts": [verdict.as_dict() for verdict in found.verdicts],
        "cells": [_of_cell(cell) for cell in found.cells],
    }


def _of_cell(cell: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "id": cell["id"],
        **{name: cell["tags"][name] for name in ("split", "repeat", "fold", "arm", "seed")},
        "seconds": cell["seconds"],
        "peak_mb": cell["peak_mb"],
        **{name: cell[name] for name in ("gpu_peak_mb", "well_formed", "unreachable", "share") if name in cell},
        **({"settings": cell["inputs"]["language_model"]} if "language_model" in cell["inputs"] else {}),
    }
