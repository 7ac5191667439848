"""What the parts of the page of a comparison share."""

from __future__ import annotations

from typing import Any

import pandas as pd

from pipeline.arms.catalogue import ARMS
from pipeline.evaluation.metrics import HIGHER_IS_BETTER, PRIMARY
from pipeline.studies.compare.findings import Findings


def task_of(found: Findings) -> str:
    return found.evaluations[0].task


def scores_of(found: Findings, metric: str) -> list[dict[str, Any]]:
    return [dict(row) for _, row in found.metrics[found.metrics["metric"] == metric].iterrows()]


def named(arm: str) -> str:
    """An arm with its note, such as ``rf-bits (weak reference)``."""
    return f"{arm} ({ARMS[arm].note})" if ARMS[arm].note else arm


def sorted_arms(found: Findings) -> list[str]:
    """The best first: by the mean place of an arm on the splits."""
    metric = PRIMARY[task_of(found)]
    frame = pd.DataFrame(scores_of(found, metric)).pivot(index="arm", columns="split", values="value")
    places = frame.rank(ascending=not HIGHER_IS_BETTER[metric]).mean(axis=1)
    return sorted(found.context.arms, key=lambda arm: float(places[arm]))


def count_of(count: int, what: str) -> str:
    return f"{count} {what}{'s' * (count != 1)}"
