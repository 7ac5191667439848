"""Tables too large for memory: read and written in chunks, every row in its place."""

from __future__ import annotations

import csv
import gzip
import io
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import IO, Any

import pandas as pd
import pyarrow as pa
from pyarrow import parquet

from pipeline.errors import InputError, first_line
from pipeline.files import csv_text
from pipeline.tables.header import column_names
from pipeline.tables.reading import (
    EXCEL,
    guess_delimiter,
    is_sdf,
    read_table,
    refuse_binary,
    trim_cells,
)
from pipeline.tables.values import column_texts, plain_columns

_SAMPLE = 1_000_000
_CELL_LIMIT = 1_000_000  # characters; a quote that is never closed would swallow the rest of the file

# Rows as they are in the file, and for each why its cells do not fit the header, or an empty string.
Chunk = tuple[pd.DataFrame, list[str]]


@dataclass(frozen=True)
class Stream:
    """A table that is read in chunks.

    ``columns`` are the names over the columns, ``n_rows`` the number of rows below them; ``structure``,
    ``repeated`` and ``remarks`` are as in `RawTable`. `chunks` gives frames of text (Parquet: of the file's own
    types), and beside each what was wrong with its rows.
    """

    path: Path
    columns: list[str]
    n_rows: int
    layout: dict[str, Any]
    structure: str = ""
    repeated: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    remarks: tuple[str, ...] = ()

    def chunks(self, size: int) -> Iterator[Chunk]:
        if self.layout["kind"] == "parquet":
            for frame in _parquet_chunks(self.path, self.columns, size):
                yield frame, [""] * len(frame)
            return
        if self.layout["kind"] == "frame":
            frame = self.layout["frame"]
            for start in range(0, len(frame), size):
                part = frame.iloc[start : start + size].reset_index(drop=True)
                yield part, [""] * len(part)
            return
        _, rows = _header_and_rows(self.path, self.layout)
        while held := list(islice(rows, size)):
            fitted = [_fitted_to(cells, len(self.columns)) for cells in held]
            frame = pd.DataFrame([cells for cells, _ in fitted], columns=self.columns, dtype=str)
            yield frame, [damage for _, damage in fitted]


def open_stream(source: str) -> Stream:
    """Look through a CSV or TSV (also gzipped), Parquet, Excel or SDF file once: header, layout, number of rows.

    Raises
    ------
    InputError
        If there is no such file, or it is empty, binary, damaged, or has a header only.
    """
    path = Path(source)
    if not path.is_file():
        read_table(source)  # says why not
        raise InputError(f"{source}: give a file on this machine")
    if path.suffix.lower() in (".parquet", ".pq"):
        return _open_parquet(path)
    if path.suffix.lower() in EXCEL or is_sdf(path):  # such files are small enough to be read whole
        raw = read_table(source)
        layout: dict[str, Any] = {"kind": "frame", "frame": raw.frame}
        columns = list(raw.frame.columns)
        return Stream(path, columns, len(raw.frame), layout, raw.structure, raw.repeated, raw.remarks)
    with _opened(path) as file:
        sample = _start(source, file)
    refuse_binary(source, sample)
    problems = []
    for encoding in _encodings(sample):
        for strict in (True, False):
            layout = {"kind": "text", "encoding": encoding, "strict": strict}
            try:
                text = sample.decode(encoding, errors="ignore")
                if not text.strip():
                    raise InputError(f"{source}: the file is empty")
                layout["delimiter"] = guess_delimiter(text, path)
                header, rows = _header_and_rows(path, layout)
                columns, repeated = column_names(header)
                n_rows = sum(1 for _ in rows)
            except UnicodeDecodeError as error:
                problems.append(str(error))
                break
            except csv.Error as error:
                if "unexpected end of data" in str(error) or "field larger" in str(error):
                    raise InputError(f"{source}: a double quote is opened and never closed ({error})") from error
                problems.append(str(error))
                continue
            except (OSError, EOFError) as error:
                raise InputError(f"{source}: the file is damaged or cut short ({error})") from error
            if n_rows == 0:
                raise InputError(f"{source}: the file has a header but no rows")
            return Stream(path, columns, n_rows, layout, repeated=repeated)
    raise InputError(f"{source}: not readable as a table of text ({problems[-1]})")


def _start(source: str, file: IO[bytes]) -> bytes:
    try:
        return file.read(_SAMPLE)
    except (OSError, EOFError) as error:
        raise InputError(f"{source}: the gzip file is damaged or cut short ({error})") from error


def _opened(path: Path) -> IO[bytes]:
    with open(path, "rb") as file:
        packed = file.read(2) == b"\x1f\x8b"
    return gzip.open(path, "rb") if packed else open(path, "rb")  # type: ignore[return-value]


def _encodings(sample: bytes) -> list[str]:
    if sample.startswith((b"\xff\xfe", b"\xfe\xff")):
        return ["utf-16"]
    return ["utf-8-sig", "cp1252", "latin-1"]


def _rows(path: Path, layout: dict[str, Any]) -> Iterator[list[str]]:
    csv.field_size_limit(_CELL_LIMIT)
    with _opened(path) as binary, io.TextIOWrapper(binary, encoding=layout["encoding"], newline="") as text:
        yield from csv.reader(text, delimiter=layout["delimiter"], strict=layout["strict"])


def _header_and_rows(path: Path, layout: dict[str, Any]) -> tuple[list[str], Iterator[list[str]]]:
    """The first line with anything in it, and the rows below it.

    A blank line is no row, except where there is one column: there it is an empty cell.
    """
    rows = _rows(path, layout)
    header = next((cells for cells in rows if any(cell.strip() for cell in cells)), None)
    if header is None:
        raise InputError(f"{path}: the file has no cell with anything in it")
    return header, (cells or [""] for cells in rows if cells or len(header) == 1)


def _fitted_to(cells: list[str], width: int) -> tuple[list[str], str]:
    """The cells of a row, as many as the header has, and what was wrong with their number."""
    cells, damage = trim_cells(cells, width)
    return [*cells[:width], *[""] * (width - len(cells))], damage


def _open_parquet(path: Path) -> Stream:
    try:
        file = parquet.ParquetFile(path)
    except (OSError, pa.ArrowException) as error:
        raise InputError(f"{path}: not a readable Parquet file ({first_line(error)})") from error
    if file.metadata.num_rows == 0:
        raise InputError(f"{path}: the table has no rows")
    columns, repeated = column_names(plain_columns(file.schema_arrow.empty_table()).column_names)
    return Stream(path, columns, file.metadata.num_rows, {"kind": "parquet"}, repeated=repeated)


def _parquet_chunks(path: Path, columns: list[str], size: int) -> Iterator[pd.DataFrame]:
    """Frames of exactly ``size`` rows (the last may be smaller), whatever the row groups; in Arrow's types, which
    pandas keeps as they are."""
    start = 0
    rest: list[pa.Table] = []
    file = parquet.ParquetFile(path)
    for batch in file.iter_batches(batch_size=size):
        rest.append(pa.Table.from_batches([batch]).replace_schema_metadata(file.schema_arrow.metadata))
        while sum(map(len, rest)) >= size:
            whole = pa.concat_tables(rest)
            yield _in_own_types(whole[:size], columns, start)
            start, rest = start + size, [whole[size:]]
    if sum(map(len, rest)):
        yield _in_own_types(pa.concat_tables(rest), columns, start)


def _in_own_types(table: pa.Table, columns: list[str], start: int) -> pd.DataFrame:
    table = plain_columns(table, start).rename_columns(columns).unify_dictionaries()
    return table.to_pandas(types_mapper=pd.ArrowDtype)


# -- writing ---------------------------------------------------------------------------------

FORMATS = (".csv", ".csv.gz", ".tsv", ".tsv.gz", ".parquet")


def output_format(path: Path) -> str:
    """Which of `FORMATS` a file name asks for.

    Raises
    ------
    InputError
        If it asks for none of them.
    """
    for suffix in sorted(FORMATS, key=len, reverse=True):
        if path.name.lower().endswith(suffix):
            return suffix
    raise InputError(f"--out {path}: the name must end in {', '.join(FORMATS)}")


def encode_chunk(frame: pd.DataFrame, form: str, first: bool, own: Collection[str] = ()) -> bytes:
    """A chunk in the output's format; chunks of text formats can be joined byte by byte.

    In text, the program's ``own`` columns have the digits that mean something; all others are the user's, whose cells
    stay as they are unless a spreadsheet would run them.
    """
    if form == ".parquet":
        buffer = io.BytesIO()
        frame.to_parquet(buffer, index=False)
        return buffer.getvalue()
    frame = frame.assign(**{name: column_texts(frame[name]) for name in frame.columns if name not in own})
    data = csv_text(frame, "\t" if ".tsv" in form else ",", header=first).encode("utf-8")
    # Members of a gzip file may follow one another; without a time stamp equal content gives equal bytes.
    return gzip.compress(data, mtime=0) if form.endswith(".gz") else data


def join_chunks(parts: list[Path], form: str, out: Path) -> None:
    """Put chunks together as one file, in one step."""
    import os
    import shutil

    temporary = out.with_name(f".{out.name}.joining")
    if form == ".parquet":
        _join_parquet(parts, temporary)
    else:
        with open(temporary, "wb") as target:
            for part in parts:
                with open(part, "rb") as source:
                    shutil.copyfileobj(source, target)
    os.replace(temporary, out)


def _join_parquet(parts: list[Path], target: Path) -> None:
    schema = pa.unify_schemas([parquet.read_schema(part) for part in parts], promote_options="permissive")
    schema = schema.remove_metadata()
    with parquet.ParquetWriter(target, schema) as writer:
        for part in parts:
            writer.write_table(parquet.read_table(part).replace_schema_metadata().cast(schema))
