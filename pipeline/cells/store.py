"""Where the results of cells are kept, and who works on which of them."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from pipeline.cells.cell import Cell
from pipeline.errors import InputError
from pipeline.files import write_atomically

PLANNED = "cells.json"  # in the folder of a run


class Store:
    """The folder ``cells`` of a run: a file for each finished cell, written at once or not at all.

    Work on a cell is claimed by a lock on a file beside it, which the system gives free when a process ends, however it
    ends: several commands on one folder share the work, and a killed one loses the cell that it was at.
    """

    def __init__(self, run: Path) -> None:
        self.folder = run / "cells"
        self.planned = run / PLANNED

    def read(self, cell: str) -> dict[str, Any] | None:
        """The result of a finished cell by its id; None if it is not there (or was damaged, and must be made again)."""
        try:
            content = json.loads((self.folder / f"{cell}.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        return content if content.get("id") == cell else None

    def write(self, content: Mapping[str, Any]) -> None:
        write_atomically(self.folder / f"{content['id']}.json", json.dumps(content))
        (self.folder / f"{content['id']}.failed").unlink(missing_ok=True)

    def write_failure(self, cell: Cell, error: BaseException) -> None:
        """Keep why a cell could not be made, for `chemtune status`."""
        said = {"label": cell.label, "error": f"{type(error).__name__}: {error}", "when": time.time()}
        write_atomically(self.folder / f"{cell.id}.failed", json.dumps(said))

    def failure(self, cell: str) -> dict[str, Any] | None:
        """Why a cell could not be made when it was last tried."""
        try:
            return dict(json.loads((self.folder / f"{cell}.failed").read_text(encoding="utf-8")))
        except (OSError, ValueError):
            return None

    @contextmanager
    def claim(self, cell: str) -> Iterator[bool]:
        """Whether this process may work on the cell in the block: not where another one does, here or elsewhere."""
        self.folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(self.folder / f"{cell}.lock", timeout=0)
        try:
            lock.acquire()
        except Timeout:
            yield False
            return
        try:
            yield True
        finally:
            if self.read(cell) is not None:  # who finds another file with this name finds the result, too
                Path(lock.lock_file).unlink(missing_ok=True)
            lock.release()

    def is_claimed(self, cell: str) -> bool:
        """Whether a process works on the cell."""
        path = self.folder / f"{cell}.lock"
        if not path.exists():
            return False
        lock = FileLock(path, timeout=0)
        try:
            lock.acquire()
        except Timeout:
            return True
        lock.release()
        return False

    @contextmanager
    def decision(self) -> Iterator[None]:
        """What this process decides for the folder in the block, no other one decides meanwhile."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with FileLock(self.folder / "decision.lock"):
            yield

    def write_plan(self, cells: list[Cell]) -> None:
        """Keep which cells the run is made of, for `chemtune status`."""
        listed = [{"id": cell.id, "label": cell.label, "kind": cell.kind} for cell in cells]
        write_atomically(self.planned, json.dumps(listed, indent=1, ensure_ascii=False))

    def finished(self) -> list[dict[str, Any]]:
        """The results of all cells that were planned.

        Raises
        ------
        InputError
            If nothing was planned here, or some cells are not there.
        """
        run, planned = self.planned.parent, self.plan()
        if planned is None:
            raise InputError(f"{run}: not the folder of a run (no {PLANNED} in it)")
        found = [self.read(cell["id"]) for cell in planned]
        contents = [content for content in found if content is not None]
        if len(contents) < len(planned):
            raise InputError(
                f"{run}: {len(planned) - len(contents)} of {len(planned)} cells are not done; the command that made "
                "the folder goes on with them"
            )
        return contents

    def plan(self) -> list[dict[str, Any]] | None:
        """What `write_plan` kept; None if nothing was planned here."""
        try:
            return list(json.loads(self.planned.read_text(encoding="utf-8")))
        except (OSError, ValueError):
            return None
