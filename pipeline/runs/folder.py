"""What the folders of all runs hold, and how rows are named in their files."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from pipeline.files import write_atomically, write_csv
from pipeline.runs.context import Context
from pipeline.settings.reading import write_yaml
from pipeline.tables.table import Table


def with_origins(frame: pd.DataFrame, table: Table) -> pd.DataFrame:
    """A table with a ``row_id`` and, behind it, the line of each row in the user's file, its structure as given, and
    the user's id."""
    origins = table.origins.loc[frame["row_id"]].reset_index(drop=True)
    place = list(frame.columns).index("row_id") + 1
    parts = [frame.iloc[:, :place].reset_index(drop=True), origins, frame.iloc[:, place:].reset_index(drop=True)]
    return pd.concat(parts, axis=1)


def refused_rows(table: Table) -> pd.DataFrame:
    """The rows that were left out, with the user's ids where there are some."""
    return table.refused if table.has_ids else table.refused.drop(columns="id")


def write_inputs(context: Context, settings: Mapping[str, Any]) -> None:
    """Write ``refused.csv``, ``splits.csv`` where there are splits, and ``config.yaml`` with the settings that make the
    same run again."""
    write_atomically(context.folder / "config.yaml", write_yaml(settings))
    write_csv(context.folder / "refused.csv", refused_rows(context.table))
    if not context.splits:
        return
    splits = pd.concat([split.frame() for split in context.splits], ignore_index=True)
    write_csv(context.folder / "splits.csv", with_origins(splits, context.table))
