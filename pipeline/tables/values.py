"""Typed values as text: what stands in a cell of Parquet, of a Hugging Face dataset or of a workbook."""

from __future__ import annotations

import datetime
import json
import math
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from pipeline.tables.header import free_name

_ROW_NUMBERS = "__index_level_"  # how pandas calls an index without a name in Parquet


def cell_text(value: Any) -> str:
    """A value as text: empty where it is missing, whole numbers with all their digits, lists and the like as JSON."""
    if isinstance(value, str):
        return value
    if value is None or value is pd.NA or value is pd.NaT:
        return ""
    if isinstance(value, np.ndarray | np.generic) and not isinstance(value, np.floating):
        return cell_text(value.tolist())
    if isinstance(value, float | np.floating | Decimal) and math.isnan(value):
        return ""
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, bytes):
        return _bytes_text(value)
    if isinstance(value, datetime.datetime):
        midnight = value.time() == datetime.time() and value.tzinfo is None
        return value.date().isoformat() if midnight else value.isoformat(sep=" ")
    if isinstance(value, list | tuple | dict):
        return json.dumps(value, default=cell_text, ensure_ascii=False)
    return str(value)


def _bytes_text(value: bytes) -> str:
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        return value.hex()


def arrow_texts(column: pa.ChunkedArray | pa.Array) -> list[str]:
    """`cell_text` of each value of an Arrow column; numbers of single precision keep their few digits."""
    if pa.types.is_float16(column.type) or pa.types.is_float32(column.type):
        kind = np.float16 if pa.types.is_float16(column.type) else np.float32
        return ["" if value is None else cell_text(kind(value)) for value in column.to_pylist()]
    try:
        values = column.to_pylist()
    except (ValueError, OverflowError):  # a date beyond what Python knows
        values = column.cast(pa.string()).to_pylist()
    return [cell_text(value) for value in values]


def column_texts(column: pd.Series) -> list[str]:
    """`cell_text` of each value of a column."""
    if isinstance(column.dtype, pd.ArrowDtype):
        return arrow_texts(pa.array(column))
    return [cell_text(value) for value in column]


def plain_columns(table: pa.Table, start: int = 0) -> pa.Table:
    """A table as it is in the file, with the index that pandas wrote beside it as a column like any other.

    An index with a name is a column of that name. One without a name holds row numbers, which are left out, or
    texts, which are kept as a column ``index``. ``start`` is the place of the table's first row in the file.
    """
    about = json.loads((table.schema.metadata or {}).get(b"pandas", b"{}"))
    names = {column.get("field_name"): column.get("name") for column in about.get("columns", [])}
    for index in about.get("index_columns", []):
        if isinstance(index, dict):
            table = _with_counted_index(table, index, start)
            continue
        place = table.schema.get_field_index(index)
        if place < 0:
            continue
        name = names.get(index) or ("" if index.startswith(_ROW_NUMBERS) else index)
        if not name and pa.types.is_integer(table.schema.field(place).type):
            table = table.remove_column(place)
            continue
        called = [*table.column_names]
        called[place] = name or free_name("index", called)
        table = table.rename_columns(called)
    return _without_extensions(table).replace_schema_metadata()


def _with_counted_index(table: pa.Table, index: dict[str, Any], start: int) -> pa.Table:
    """A table with its named index of evenly spaced numbers, of which pandas writes only the rule."""
    if not index.get("name"):
        return table
    numbers = index["start"] + index["step"] * np.arange(start, start + table.num_rows, dtype=np.int64)
    return table.append_column(str(index["name"]), pa.array(numbers))


def _without_extensions(table: pa.Table) -> pa.Table:
    """A table whose columns of types beyond Arrow's own are text."""
    for place, column in enumerate(table.columns):
        if isinstance(column.type, pa.BaseExtensionType):
            table = table.set_column(place, table.column_names[place], pa.array(arrow_texts(column), pa.string()))
    return table
