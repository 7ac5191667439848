"""How far the work in a folder is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.cells.store import PLANNED, Store
from pipeline.errors import InputError


@dataclass(frozen=True)
class Status:
    """How far the cells of a run are.

    Attributes
    ----------
    failed : tuple of str
        What could not be made when it was last tried, and why.
    running : tuple of str
        What is worked on now.
    seconds_left : float or None
        By the times of finished cells, with as many workers as there are now (one if there is none); None where
        nothing is finished yet.
    """

    folder: Path
    total: int
    done: int
    running: tuple[str, ...]
    failed: tuple[str, ...]
    seconds_left: float | None

    @property
    def finished(self) -> bool:
        return self.done == self.total


def statuses(folder: Path) -> list[Status]:
    """That of a run, or of the runs of several targets below the folder.

    Raises
    ------
    InputError
        If nothing was started there.
    """
    runs = [folder] if (folder / PLANNED).exists() else sorted(path.parent for path in folder.glob(f"*/{PLANNED}"))
    if not runs:
        raise InputError(f"{folder}: not the folder of a run (no {PLANNED} in it)")
    return [_status(run) for run in runs]


def _status(run: Path) -> Status:
    store = Store(run)
    seconds: dict[str, list[float]] = {}
    waiting, running, failed = [], [], []
    planned = store.plan() or []
    for cell in planned:
        content = store.read(cell["id"])
        if content is not None:
            spent = content.get("seconds", 0.0) + content.get("validation_seconds", 0.0)
            if content["work"].endswith(":mean"):  # its seconds are those of its members
                spent = 0.0
            seconds.setdefault(cell["kind"], []).append(spent)
            continue
        waiting.append(cell)
        if store.is_claimed(cell["id"]):
            running.append(cell["label"])
        elif failure := store.failure(cell["id"]):
            failed.append(f"{cell['label']}: {failure['error']}")
    left = _left(waiting, seconds, max(1, len(running)))
    return Status(run, len(planned), len(planned) - len(waiting), tuple(running), tuple(failed), left)


def _left(waiting: list[dict[str, Any]], seconds: Mapping[str, list[float]], workers: int) -> float | None:
    """Seconds for the cells that are waiting, by those of the same kind, or else by all."""
    if not waiting:
        return 0.0
    if not seconds:
        return None
    all_of_them = [spent for of_kind in seconds.values() for spent in of_kind]
    each = [float(np.median(seconds.get(cell["kind"], all_of_them))) for cell in waiting]
    return sum(each) / workers
