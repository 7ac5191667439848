"""Writing so that a reader never sees half a file, and finding what travels with the package."""

from __future__ import annotations

import hashlib
import os
import tempfile
from pathlib import Path
from typing import Any

import pandas as pd
from platformdirs import user_cache_dir

_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")


def write_atomically(path: Path, content: str | bytes) -> None:
    """Write ``content`` to ``path`` in one step: the old file or the new one, never a part."""
    path.parent.mkdir(parents=True, exist_ok=True)
    data = content.encode("utf-8") if isinstance(content, str) else content
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def spreadsheet_safe(value: Any) -> Any:
    """Text that a spreadsheet would run as a formula gets a leading apostrophe; numbers stay."""
    if isinstance(value, str) and value.startswith(_FORMULA_STARTS):
        try:
            float(value)
        except ValueError:
            return "'" + value
    return value


def write_csv(path: Path, frame: pd.DataFrame) -> None:
    """Write a table atomically, its text cells safe to open in a spreadsheet."""
    write_atomically(path, spreadsheet_frame(frame).to_csv(index=False))


def spreadsheet_frame(frame: pd.DataFrame) -> pd.DataFrame:
    """A table whose header and text cells are `spreadsheet_safe`."""
    safe = frame.copy()
    for column in safe.columns:
        if not pd.api.types.is_numeric_dtype(safe[column]):
            safe[column] = safe[column].map(spreadsheet_safe)
    return safe.rename(columns=spreadsheet_safe)


def sha256(path: Path) -> str:
    """SHA-256 of a file, read in pieces."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def cache_folder() -> Path:
    """``$CHEMTUNE_CACHE``, or the platform's cache folder for chemtune."""
    return Path(os.environ.get("CHEMTUNE_CACHE") or user_cache_dir("chemtune"))


def shipped_folder(name: str) -> Path:
    """``data`` or ``configs``: inside the package in a wheel, beside it in a checkout."""
    package = Path(__file__).resolve().parent
    inside = package / name
    return inside if inside.is_dir() else package.parent / name
