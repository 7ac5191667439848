"""Values that an oracle has computed, kept by canonical SMILES: a file for each oracle and version."""

from __future__ import annotations

import hashlib
import json
import os
import re
from pathlib import Path
from typing import Any

from filelock import FileLock

from pipeline.errors import InputError

Entry = tuple[float | None, str]  # a value, or the reason why the molecule has none


class Kept:
    """A line of JSON for each molecule, which processes append to in turn.

    A line that a killed process left unfinished is passed over, and its molecule computed again.

    Parameters
    ----------
    folder : Path
    name, version : str
        Of the oracle.
    """

    def __init__(self, folder: Path, name: str, version: str) -> None:
        digest = hashlib.sha256(f"{name}\n{version}".encode()).hexdigest()[:12]
        self.path = folder / f"{re.sub('[^0-9A-Za-z_.-]+', '-', name)}-{digest}.jsonl"
        self._first = {"oracle": name, "version": version}
        self._lock = FileLock(f"{self.path}.lock")
        self._known: dict[str, Entry] = {}
        self._read = 0  # bytes

    def known(self) -> dict[str, Entry]:
        """All that is kept by now, by any process."""
        if self.path.exists():
            with open(self.path, "rb") as file:
                file.seek(self._read)
                whole, end, _ = file.read().rpartition(b"\n")
            self._read += len(whole + end)
            for line in whole.splitlines():
                self._known |= _entry(line)
        return self._known

    def keep(self, smiles: str, value: float | None, reason: str) -> None:
        """Add a line.

        Raises
        ------
        InputError
            If the folder or the file cannot be written.
        """
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self._lock, open(self.path, "ab+") as file:
                size = file.seek(0, os.SEEK_END)
                lines: list[dict[str, Any]] = [] if size else [self._first]
                lines.append({"smiles": smiles, "value": value, "reason": reason})
                if size:
                    file.seek(-1, os.SEEK_END)
                    unfinished = file.read(1) != b"\n"
                    file.write(b"\n" if unfinished else b"")
                file.write("".join(f"{json.dumps(line)}\n" for line in lines).encode())
        except OSError as error:
            raise InputError(
                f"{self.path}: values cannot be kept there ({error.strerror}); name another folder in the variable "
                "CHEMTUNE_CACHE"
            ) from error


def _entry(line: bytes) -> dict[str, Entry]:
    """What a line says; nothing where it is not whole."""
    try:
        content = json.loads(line)
        return {content["smiles"]: (content["value"], content["reason"])}
    except (ValueError, KeyError, TypeError):
        return {}
