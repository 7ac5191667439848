"""Files as chemists have them, read as text with the line each row stands on."""

from __future__ import annotations

import codecs
import csv
import gzip
import io
import re
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd
import pyarrow as pa
from pyarrow import parquet

from pipeline.errors import InputError, first_line, nearest
from pipeline.tables.excel import read_workbook
from pipeline.tables.header import column_names, plain_name
from pipeline.tables.sdf import DRAWN, UNREADABLE, sdf_columns
from pipeline.tables.values import arrow_texts, plain_columns

EXCEL = (".xlsx", ".xlsm")
_SMILES_NAMES = ("smiles", "canonical_smiles", "isomeric_smiles", "structure", "molecule")
DELIMITERS = {",": "comma", ";": "semicolon", "\t": "tab", "|": "bar"}
_ENDINGS = re.compile(r"(\.(csv|tsv|txt|parquet|pq|xlsx|xlsm|sdf))?(\.gz)?$", re.IGNORECASE)
_HUGGING_FACE_ID = re.compile(r"^(hf:)?[\w.-]+/[\w.-]+(:[\w.-]+)?$")


@dataclass(frozen=True)
class RawTable:
    """Rows as text, before anything is understood.

    ``frame`` holds one string column per header cell, indexed by the line (1 is the header) each
    row starts on; ``ragged`` lists ``(line, text, reason)`` for rows whose cells do not fit the
    header; ``delimiter`` is what stands between the cells of a text file. ``structure`` names the
    column that holds drawn molecules, if there is one. ``repeated`` holds the names that the header
    gives to several columns, and the places of these; no column can be asked for by such a name.
    ``remarks`` are plain sentences that the user is to see about what was read.
    """

    source: str
    frame: pd.DataFrame
    ragged: list[tuple[int, str, str]]
    delimiter: str = ","
    structure: str = ""
    repeated: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    remarks: tuple[str, ...] = ()


def read_table(source: str) -> RawTable:
    """Read a CSV, TSV (also gzipped), Parquet, Excel or SDF file, or a Hugging Face dataset by id.

    Raises
    ------
    InputError
        If there is no such file, it is empty, binary, or has a header only.
    """
    path = Path(source)
    if source.startswith("hf:") or (not path.exists() and _HUGGING_FACE_ID.match(source) and not path.suffix):
        return _read_hugging_face(source)
    if not path.exists():
        siblings = [p.name for p in path.parent.iterdir()] if path.parent.is_dir() else []
        raise InputError(f"no such file: {source}{nearest(path.name, siblings)}")
    if path.is_dir():
        raise InputError(f"{source} is a folder; give a table file (CSV, TSV, .gz of these, Parquet, Excel or SDF)")
    if path.suffix.lower() in (".parquet", ".pq"):
        return _from_arrow(source, _read_parquet(path))
    if path.suffix.lower() in EXCEL:
        return _read_excel(source, path)
    if is_sdf(path):
        return _read_sdf(source, path)
    return _read_delimited(source, path)


def table_name(source: str) -> str:
    """What a table is called: its file without folder and ending, or the last part of a dataset id."""
    base = re.split(r"[/\\]", source.removeprefix("hf:"))[-1]
    return _ENDINGS.sub("", base) or "table"


def _read_parquet(path: Path) -> pa.Table:
    try:
        return parquet.ParquetFile(path).read()
    except Exception as error:  # pyarrow raises many kinds; each means: not readable as Parquet
        raise InputError(f"{path}: not a readable Parquet file ({first_line(error)})") from error


def is_sdf(path: Path) -> bool:
    return path.name.lower().endswith((".sdf", ".sdf.gz"))


def _read_excel(source: str, path: Path) -> RawTable:
    sheet = read_workbook(path)
    names, repeated = column_names(sheet.header)
    frame = pd.DataFrame(sheet.rows, columns=names, index=pd.Index(sheet.lines, name="line"), dtype=str)
    return RawTable(source, frame, [], repeated=repeated, remarks=sheet.remarks)


def _read_sdf(source: str, path: Path) -> RawTable:
    """One row per record: the drawn molecule as SMILES, its title, its data fields. Lines are record numbers."""
    header, rows = sdf_columns(_decode(source, _read_bytes(source, path)))
    if all(row[0] == UNREADABLE for row in rows):
        raise InputError(f"{source}: not a readable SDF file (no record holds a structure)")
    names, repeated = column_names(header)
    frame = pd.DataFrame(rows, columns=names, index=pd.RangeIndex(1, len(rows) + 1, name="line"), dtype=str)
    return RawTable(source, frame, [], structure=DRAWN, repeated=repeated)


def _read_hugging_face(source: str) -> RawTable:
    import datasets

    name, _, split = source.removeprefix("hf:").partition(":")
    try:
        data = datasets.load_dataset(name, split=split or "train")
    except Exception as error:  # the hub client raises many kinds, all of them: not to be had
        raise InputError(
            f"{source}: no such file, and it could not be loaded as a Hugging Face dataset ({first_line(error)}); "
            "give the path of a local file, or check the id and the network"
        ) from error
    return _from_arrow(source, data.with_format("arrow")[:])


def _from_arrow(source: str, table: pa.Table) -> RawTable:
    if table.num_rows == 0:
        raise InputError(f"{source}: the table has no rows")
    table = plain_columns(table)
    names, repeated = column_names(table.column_names)
    lines = pd.RangeIndex(2, table.num_rows + 2, name="line")
    texts = {name: arrow_texts(column) for name, column in zip(names, table.columns, strict=True)}
    return RawTable(source, pd.DataFrame(texts, index=lines, dtype=str), [], repeated=repeated)


def _read_delimited(source: str, path: Path) -> RawTable:
    text = _decode(source, _read_bytes(source, path))
    if not text.strip():
        raise InputError(f"{source}: the file is empty")
    delimiter = guess_delimiter(text, path)
    cells, rows = _parse(source, text, delimiter)
    header, repeated = column_names(cells)
    if not rows:
        raise InputError(f"{source}: the file has a header but no rows")
    kept, lines, ragged = [], [], []
    for line, cells in rows:
        cells, damage = trim_cells(cells, len(header))
        if damage:
            ragged.append((line, delimiter.join(cells), damage))
            continue
        kept.append(cells)
        lines.append(line)
    if not kept:
        raise InputError(f"{source}: no row has as many cells as the header ({len(header)})")
    frame = pd.DataFrame(kept, columns=header, index=pd.Index(lines, name="line"), dtype=str)
    return RawTable(source, frame, ragged, delimiter=delimiter, repeated=repeated)


def _read_bytes(source: str, path: Path) -> bytes:
    data = path.read_bytes()
    if data[:2] != b"\x1f\x8b":
        return data
    try:
        return gzip.decompress(data)
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"{source}: the gzip file is damaged or cut short ({error})") from error


def _decode(source: str, data: bytes) -> str:
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        try:
            return data.decode("utf-16")
        except UnicodeDecodeError as error:
            raise InputError(f"{source}: starts like UTF-16 but is not ({error})") from error
    refuse_binary(source, data)
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("cp1252", errors="replace")


def refuse_binary(source: str, data: bytes) -> None:
    """Raise `InputError` for bytes that no table of text holds: zeros, or more than a few control characters."""
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return
    start = data[:4096]
    control = sum(1 for byte in start if byte < 32 and byte not in b"\t\r\n\f")
    if b"\x00" in data or control > 0.02 * len(start):
        raise InputError(
            f"{source}: a binary file, not a table of text (CSV, TSV, .gz of these, Parquet, Excel or SDF)"
        )


def guess_delimiter(text: str, path: Path) -> str:
    """The delimiter that splits the header, and most of the first rows alike, into most cells."""
    sample = [line for line in text.splitlines()[:50] if line.strip()]

    def score(delimiter: str) -> tuple[int, int]:
        widths = [len(row) for row in csv.reader(sample, delimiter=delimiter)]
        return sum(width == widths[0] for width in widths) if widths[0] > 1 else 0, widths[0]

    best = max(DELIMITERS, key=score)
    if score(best)[0] == 0:
        return "\t" if ".tsv" in path.name.lower() else ","
    return best


def _parse(source: str, text: str, delimiter: str) -> tuple[list[str], list[tuple[int, list[str]]]]:
    csv.field_size_limit(max(131_072, len(text) + 1))
    for strict in (True, False):
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=strict)
        rows, start = [], 1
        try:
            for cells in reader:
                if any(cell.strip() for cell in cells):
                    rows.append((start, cells))
                start = reader.line_num + 1
        except csv.Error as error:
            if "unexpected end of data" in str(error):
                raise InputError(
                    f"{source}, line {start}: a double quote is opened here and never closed; "
                    "close it, or double it if it belongs to the text"
                ) from error
            if strict:
                continue
            raise InputError(f"{source}, line {start}: {error}") from error
        break
    if not rows:
        raise InputError(f"{source}: the file has no cell with anything in it")
    return rows[0][1], rows[1:]


def trim_cells(cells: list[str], width: int) -> tuple[list[str], str]:
    """A row without empty cells beyond the header's, and what is wrong with the number of the others."""
    if len(cells) > width and not any(cell.strip() for cell in cells[width:]):
        cells = cells[:width]
    return cells, "" if len(cells) == width else f"row has {len(cells)} cells where the header has {width}"


def require_column(raw: RawTable, column: str, option: str) -> pd.Series:
    """The named column, or an error that lists the columns there are and the nearest one."""
    return raw.frame[check_column(list(raw.frame.columns), column, option, raw.source, raw.repeated)]


def check_column(
    columns: list[str], column: str, option: str, source: str, repeated: Mapping[str, tuple[int, ...]] | None = None
) -> str:
    """The name as the table has it, or an error that lists the columns there are and the nearest one.

    A line break or more than one space in a name counts as one space.

    Raises
    ------
    InputError
        If there is no such column, or the header gives its name to several.
    """
    name = plain_name(column)
    if repeated and name in repeated:
        *places, last = map(str, repeated[name])
        raise InputError(
            f"{source}: the header names {name!r}, asked for by {option}, more than once (columns "
            f"{', '.join(places)} and {last}); give each column a name of its own"
        )
    if column in columns or name in columns:
        return column if column in columns else name
    hint = ""
    if len(columns) == 1:
        hint = "; only one column was found: is the delimiter a comma, semicolon, tab or bar?"
    raise InputError(
        f"{source}: no column {column!r} for {option}{nearest(column, columns)}; "
        f"the columns are {_listed(columns)}{hint}"
    )


def find_smiles_column(columns: list[str], source: str, drawn: str = "") -> str:
    """The column of drawn molecules, or the one called SMILES or the like, when the user named none."""
    if drawn:
        return drawn
    by_lower = {column.lower().replace(" ", "_"): column for column in columns}
    for name in _SMILES_NAMES:
        if name in by_lower:
            return by_lower[name]
    raise InputError(
        f"{source}: which column holds the SMILES? Name it with --smiles; the columns are {_listed(columns)}"
    )


def _listed(columns: list[str]) -> str:
    return ", ".join(map(repr, columns[:30]))
