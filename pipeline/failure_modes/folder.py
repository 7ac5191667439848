"""What the folder of an experiment holds besides its report."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from pipeline.cells import versions
from pipeline.config import STRESS, write_yaml
from pipeline.experiment import Run, hardware
from pipeline.failure_modes.settings import StressSettings
from pipeline.files import write_atomically, write_csv

Interval = tuple[float, float, float]  # value, low, high


def interval_where(metrics: pd.DataFrame, **wanted: Any) -> Interval | None:
    """``(value, low, high)`` of the first row whose columns have these values (NaN for none); None if there is none."""
    for column, value in wanted.items():
        metrics = metrics[metrics[column].isna() if pd.isna(value) else metrics[column] == value]
    if metrics.empty:
        return None
    value, low, high = (float(metrics[name].iloc[0]) for name in ("value", "low", "high"))
    return value, low, high


def write_folder(
    run: Run,
    experiment: str,
    settings: StressSettings,
    tables: Mapping[str, pd.DataFrame],
    predictions: pd.DataFrame,
    learners: Sequence[str],
    sentences: Sequence[str],
) -> None:
    """Write ``config.yaml`` (which makes the same run again), the tables as CSV, the predictions and ``run.json``.

    Parameters
    ----------
    experiment : str
        Its name on the command line.
    tables : mapping
        From the name of a file, without its ending, to what it holds.
    """
    said = run.config.as_dict() | {STRESS: {experiment: settings.as_dict()}}
    write_atomically(run.out / "config.yaml", write_yaml(said))
    for name, table in {"refused": run.table.refused, **tables}.items():
        write_csv(run.out / f"{name}.csv", table)
    write_atomically(run.out / "predictions.parquet", predictions.to_parquet(index=False))
    info = {
        "settings": said,
        "table": run.table.fingerprint(),
        "learners": list(learners),
        "versions": versions(),
        "hardware": hardware(),
        "sentences": list(sentences),
    }
    write_atomically(run.out / "run.json", json.dumps(info, indent=1, ensure_ascii=False))
