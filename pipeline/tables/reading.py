"""Files as chemists have them, read as text with the line each row stands on."""

from __future__ import annotations

import codecs
import csv
import gzip
import io
import re
import zlib
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from pipeline.errors import InputError, first_line, nearest

EXCEL = (".xlsx", ".xlsm")
SDF_STRUCTURE = "structure"  # the column that holds the SMILES of an SDF record
UNREADABLE = "(unreadable record)"
_SMILES_NAMES = ("smiles", "canonical_smiles", "isomeric_smiles", "structure", "molecule")
DELIMITERS = {",": "comma", ";": "semicolon", "\t": "tab", "|": "bar"}
_ENDINGS = re.compile(r"(\.(csv|tsv|txt|parquet|pq|xlsx|xlsm|sdf))?(\.gz)?$", re.IGNORECASE)
_HUGGING_FACE_ID = re.compile(r"^(hf:)?[\w.-]+/[\w.-]+(:[\w.-]+)?$")


@dataclass(frozen=True)
class RawTable:
    """Rows as text, before anything is understood.

    ``frame`` holds one string column per header cell, indexed by the line (1 is the header) each
    row starts on; ``ragged`` lists ``(line, text, reason)`` for rows whose cells do not fit the
    header; ``decimal_comma`` says that numbers are written as ``1,5``.
    """

    source: str
    frame: pd.DataFrame
    ragged: list[tuple[int, str, str]]
    decimal_comma: bool = False


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
        return _from_frame(source, _read_parquet(path))
    if path.suffix.lower() in EXCEL:
        return _from_frame(source, _read_excel(path))
    if is_sdf(path):
        return _read_sdf(source, path)
    return _read_delimited(source, path)


def table_name(source: str) -> str:
    """What a table is called: its file without folder and ending, or the last part of a dataset id."""
    base = re.split(r"[/\\]", source.removeprefix("hf:"))[-1]
    return _ENDINGS.sub("", base) or "table"


def _read_parquet(path: Path) -> pd.DataFrame:
    try:
        return pd.read_parquet(path)
    except Exception as error:  # pyarrow raises many kinds; each means: not readable as Parquet
        raise InputError(f"{path}: not a readable Parquet file ({first_line(error)})") from error


def is_sdf(path: Path) -> bool:
    return path.name.lower().endswith((".sdf", ".sdf.gz"))


def _read_excel(path: Path) -> pd.DataFrame:
    """The first sheet of a workbook; its row numbers are the lines of the table."""
    try:
        return pd.read_excel(path, engine="openpyxl", dtype=object, keep_default_na=False)
    except Exception as error:  # openpyxl raises many kinds; each means: not readable as a workbook
        raise InputError(f"{path}: not a readable Excel file ({first_line(error)})") from error


def _read_sdf(source: str, path: Path) -> RawTable:
    """One row per record: its structure as SMILES, and its data fields. Lines are record numbers."""
    from rdkit import Chem, rdBase

    data = _decode(source, _read_bytes(source, path)).encode("utf-8")  # RDKit takes its fields for UTF-8
    records: list[dict[str, str]] = []
    with rdBase.BlockLogs():
        for molecule in Chem.ForwardSDMolSupplier(io.BytesIO(data)):
            if molecule is None:
                records.append({SDF_STRUCTURE: UNREADABLE})
                continue
            fields = {name: str(value) for name, value in molecule.GetPropsAsDict(autoConvertStrings=False).items()}
            records.append({SDF_STRUCTURE: Chem.MolToSmiles(molecule), **fields})
    if not records or all(record == {SDF_STRUCTURE: UNREADABLE} for record in records):
        raise InputError(f"{source}: not a readable SDF file (no record holds a structure)")
    raw = _from_frame(source, pd.DataFrame(records))
    raw.frame.index = pd.RangeIndex(1, len(records) + 1, name="line")
    return raw


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
    return _from_frame(source, data.to_pandas())


def _from_frame(source: str, frame: pd.DataFrame) -> RawTable:
    if frame.empty:
        raise InputError(f"{source}: the table has no rows")
    text = frame.map(lambda value: "" if pd.isna(value) else str(value)) if frame.size else frame
    text.columns = [str(column).strip() for column in frame.columns]
    text.index = pd.RangeIndex(2, len(text) + 2, name="line")
    return RawTable(source, text, [])


def _read_delimited(source: str, path: Path) -> RawTable:
    text = _decode(source, _read_bytes(source, path))
    if not text.strip():
        raise InputError(f"{source}: the file is empty")
    delimiter = guess_delimiter(text, path)
    header, rows = _parse(source, text, delimiter)
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
    return RawTable(source, frame, ragged, decimal_comma=delimiter != ",")


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
    return check_header(source, rows[0][1]), rows[1:]


def trim_cells(cells: list[str], width: int) -> tuple[list[str], str]:
    """A row without empty cells beyond the header's, and what is wrong with the number of the others."""
    if len(cells) > width and not any(cell.strip() for cell in cells[width:]):
        cells = cells[:width]
    return cells, "" if len(cells) == width else f"row has {len(cells)} cells where the header has {width}"


def check_header(source: str, cells: list[str]) -> list[str]:
    """Column names from the header's cells; an empty one is called by its position.

    Raises
    ------
    InputError
        If a name stands twice.
    """
    header = [cell.strip() for cell in cells]
    repeated = sorted({name for name in header if name and header.count(name) > 1})
    if repeated:
        raise InputError(f"{source}: the header names {repeated[0]!r} more than once; give each column its own name")
    return [name or f"column_{position + 1}" for position, name in enumerate(header)]


def require_column(raw: RawTable, column: str, option: str) -> pd.Series:
    """The named column, or an error that lists the columns there are and the nearest one."""
    return raw.frame[check_column(list(raw.frame.columns), column, option, raw.source)]


def check_column(columns: list[str], column: str, option: str, source: str) -> str:
    """The name itself, or an error that lists the columns there are and the nearest one."""
    if column in columns:
        return column
    hint = ""
    if len(columns) == 1:
        hint = "; only one column was found: is the delimiter a comma, semicolon, tab or bar?"
    raise InputError(
        f"{source}: no column {column!r} for {option}{nearest(column, columns)}; "
        f"the columns are {_listed(columns)}{hint}"
    )


def find_smiles_column(columns: list[str], source: str) -> str:
    """The column that is called SMILES or the like, when the user named none."""
    by_lower = {column.lower().replace(" ", "_"): column for column in columns}
    for name in _SMILES_NAMES:
        if name in by_lower:
            return by_lower[name]
    raise InputError(
        f"{source}: which column holds the SMILES? Name it with --smiles; the columns are {_listed(columns)}"
    )


def _listed(columns: list[str]) -> str:
    return ", ".join(map(repr, columns[:30]))
