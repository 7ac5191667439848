"""What the pages of several studies say in the same words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from pipeline.arms.catalogue import ARMS
from pipeline.arms.ladder import is_language_model
from pipeline.evaluation.numbers import Interval
from pipeline.runs.context import Context


def file_name(text: str) -> str:
    """The name of a split as it stands in the name of a figure."""
    return "".join(character if character.isalnum() else "-" for character in text)


def counted(counts: pd.Series) -> str:
    """``300``, or ``290 to 300`` where trainings differ; nothing of none."""
    if counts.empty:
        return ""
    least, most = int(counts.min()), int(counts.max())
    return f"{least}" if least == most else f"{least} to {most}"


def explained_arms(arms: Sequence[str]) -> list[tuple[str, str]]:
    """What each arm of a study is, for a table of two columns."""
    return [(arm, ARMS[arm].does) for arm in arms]


def language_model_note(context: Context, steps: int, rows: int) -> list[str]:
    """For how long the language model of a study is trained; nothing where there is none."""
    if not any(map(is_language_model, context.arms)):
        return []
    return [
        f"The language model is {context.config.model}, trained for {steps} steps of {rows} rows each time, so that "
        "the whole stays within its time; longer training may do better."
    ]


def warning_notes(context: Context) -> list[str]:
    """The warnings of the table."""
    return [f"Warning: {warning}." for warning in context.table.warnings]


def interval_where(metrics: pd.DataFrame, **wanted: Any) -> Interval | None:
    """``(value, low, high)`` of the first row whose columns have these values (NaN for none); None if there is none."""
    for column, value in wanted.items():
        metrics = metrics[metrics[column].isna() if pd.isna(value) else metrics[column] == value]
    if metrics.empty:
        return None
    value, low, high = (float(metrics[name].iloc[0]) for name in ("value", "low", "high"))
    return value, low, high


def interval_of(row: Any) -> Interval:
    """``(value, low, high)`` of a row of metrics."""
    return float(row["value"]), float(row["low"]), float(row["high"])
