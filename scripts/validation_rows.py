"""The rows that settings are judged on: a validation part of the training rows."""

from __future__ import annotations

from typing import Any

import numpy as np

from pipeline.splits.build import build_splits
from pipeline.splits.splitters import hold_out
from pipeline.tables.targets import CLASSES


def validation_rows(table: Any, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Ids to fit on and to check on, both from the training rows of the random hold-out with seed 0.

    The test rows of that split are never looked at. A fifth is held out, by groups; ``seed`` draws it.
    """
    (split,) = build_splits(table, "random", test_size=0.2, folds=0, seed=0)
    rows = np.array(split.folds[0].train, dtype=object)
    groups = np.array([split.groups[row] for row in rows], dtype=object)
    strata = table.targets.loc[rows].to_numpy() if table.task == CLASSES else np.zeros(len(rows))
    held = hold_out(groups, strata, 0.2, seed + 1)
    return rows[~held], rows[held]
