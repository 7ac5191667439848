"""A sheet of a workbook as a table of text: which sheet, which header, and what had to be assumed."""

from __future__ import annotations

import warnings
import zipfile
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

from pipeline.errors import InputError, first_line
from pipeline.tables.header import plain_name
from pipeline.tables.values import cell_text

_EXACT = 2.0**53  # whole numbers below it are stored with all their digits


@dataclass(frozen=True)
class Sheet:
    """Header cells and rows of text; ``lines`` are the row numbers that the spreadsheet shows, ``remarks`` plain
    sentences about what was read and how."""

    header: list[str]
    rows: list[list[str]]
    lines: list[int]
    remarks: tuple[str, ...]


def read_workbook(path: Path) -> Sheet:
    """The first visible sheet with anything in it.

    Cells of a merged range all hold its value. Rows above the header that hold nothing but a title are left out, and
    a header of two rows (one with cells merged over several columns) becomes one.

    Raises
    ------
    InputError
        If the file is not a workbook, or no visible sheet has a row below its header.
    """
    book = _opened(path, values=True)
    sheet, remarks = _chosen_sheet(path, book)
    cells = _grid(sheet)
    formulas = _without_values(_opened(path, values=False)[sheet.title], cells) if _has_formulas(path) else []
    errors = [cell for row in cells for cell in row if cell.data_type == "e"]
    grid = [["" if cell.data_type == "e" else excel_text(cell.value) for cell in row] for row in cells]
    numeric = [[cell.data_type in "nbd" and cell.value is not None for cell in row] for row in cells]
    spread = _spread_merged(sheet, grid)
    top = _header_row(grid, numeric, sheet)
    header, below = _header_cells(grid, numeric, sheet, top)
    rows, lines = _rows_below(grid, below)
    if not rows:
        raise InputError(f"{path}: the sheet {sheet.title!r} has no rows below its header")
    remarks += [f"row {top + 1} of the sheet was read as the header, what stands above it as a title"] if top else []
    remarks += [f"rows {below - 1} and {below} of the sheet were read as one header"] if below > top + 1 else []
    remarks += _remark(
        [place for row, place in spread if row >= below],
        "is part of a merged one and was given its value",
        "are parts of merged ones and were given the values of these",
    )
    remarks += _remark(
        [cell.coordinate for cell in errors],
        f"holds an error of the spreadsheet ({errors[0].value if errors else ''}) and was read as empty",
        f"hold errors of the spreadsheet (such as {errors[0].value if errors else ''}) and were read as empty",
    )
    remarks += _remark(
        formulas,
        "holds a formula without its value and was read as empty; open the file in a spreadsheet program and save it",
        "hold formulas without their values and were read as empty; open the file in a spreadsheet program and save it",
    )
    return Sheet(header, rows, lines, tuple(remarks))


def excel_text(value: Any) -> str:
    """A cell as text; a whole number is written without a decimal point, as the spreadsheet shows it."""
    if isinstance(value, float) and value.is_integer() and abs(value) < _EXACT:
        return str(int(value))
    if isinstance(value, str) and "_x" in value:
        from openpyxl.utils.escape import unescape

        return unescape(value)
    return cell_text(value)


def _opened(path: Path, values: bool) -> Any:
    import openpyxl

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about styles and drop-down lists, which no table needs
            return openpyxl.load_workbook(path, data_only=values)
    except Exception as error:  # openpyxl raises many kinds; each means: not readable as a workbook
        raise InputError(f"{path}: not a readable Excel file ({first_line(error)})") from error


def _chosen_sheet(path: Path, book: Any) -> tuple[Any, list[str]]:
    """The first visible sheet that is not empty, and what to say of the others."""
    visible = [sheet for sheet in book.worksheets if sheet.sheet_state == "visible"]
    filled = [sheet for sheet in visible if any(cell.value is not None for row in sheet.iter_rows() for cell in row)]
    if not filled:
        raise InputError(f"{path}: no visible sheet of the workbook holds a table")
    chosen = filled[0]
    before = book.worksheets[: book.worksheets.index(chosen)]
    hidden = [sheet.title for sheet in before if sheet not in visible]
    if hidden:
        are = "is" if len(hidden) == 1 else "are"
        return chosen, [f"the first visible sheet, {chosen.title!r}, was read; {_listed(hidden)} {are} hidden"]
    others = [sheet.title for sheet in filled[1:]]
    if others:
        return chosen, [f"the first sheet, {chosen.title!r}, was read; the workbook also holds {_listed(others)}"]
    return chosen, []


def _listed(names: list[str]) -> str:
    shown = ", ".join(map(repr, names[:5]))
    return shown if len(names) <= 5 else f"{shown} and {len(names) - 5} more"


def _grid(sheet: Any) -> list[list[Any]]:
    """The cells of a sheet from its first row and column to the last ones with anything in them."""
    rows = [list(row) for row in sheet.iter_rows(min_row=1, min_col=1)]
    while rows and all(cell.value is None for cell in rows[-1]):
        rows.pop()
    width = max((n for row in rows for n, cell in enumerate(row, start=1) if cell.value is not None), default=0)
    return [row[:width] for row in rows]


def _has_formulas(path: Path) -> bool:
    with zipfile.ZipFile(path) as archive:
        sheets = [name for name in archive.namelist() if name.startswith("xl/worksheets/")]
        return any(b"<f>" in data or b"<f " in data for data in map(archive.read, sheets))


def _without_values(sheet: Any, cells: list[list[Any]]) -> list[str]:
    """Where a sheet has formulas of which the file does not hold the value."""
    empty = {cell.coordinate for row in cells for cell in row if cell.value is None}
    return [
        cell.coordinate
        for row in sheet.iter_rows()
        for cell in row
        if cell.data_type == "f" and (cell.coordinate in empty or cell.row > len(cells))
    ]


def _spread_merged(sheet: Any, grid: list[list[str]]) -> list[tuple[int, str]]:
    """Write the value of each merged range into all of its cells; the places of those that were empty before."""
    from openpyxl.utils import get_column_letter

    written = []
    for merged in sheet.merged_cells.ranges:
        if merged.min_row > len(grid) or merged.min_col > len(grid[0]):
            continue
        value = grid[merged.min_row - 1][merged.min_col - 1]
        for row in range(merged.min_row - 1, min(merged.max_row, len(grid))):
            for column in range(merged.min_col - 1, min(merged.max_col, len(grid[0]))):
                if value and (row, column) != (merged.min_row - 1, merged.min_col - 1):
                    grid[row][column] = value
                    written.append((row, f"{get_column_letter(column + 1)}{row + 1}"))
    return written


def _header_row(grid: list[list[str]], numeric: list[list[bool]], sheet: Any) -> int:
    """The place of the first row that names columns: titles above it are one text, over one cell or merged over all."""
    top = _next_filled(grid, 0)
    while _is_title(grid, numeric, sheet, top):
        top = _next_filled(grid, top + 1)
    return top


def _next_filled(grid: list[list[str]], start: int) -> int:
    return next((row for row in range(start, len(grid)) if any(map(str.strip, grid[row]))), len(grid))


def _is_title(grid: list[list[str]], numeric: list[list[bool]], sheet: Any, row: int) -> bool:
    """Whether a row is a single text, and the next row names more columns than that."""
    following = _next_filled(grid, row + 1)
    if following >= len(grid) or any(numeric[row]):
        return False
    texts = {text for text in grid[row] if text.strip()}
    names = [plain_name(text) for text in grid[following] if text.strip()]
    if len(texts) != 1 or len(set(names)) < 2 or any(numeric[following]):
        return False
    filled = sum(1 for text in grid[row] if text.strip())
    if filled > 1:  # a text merged over columns
        return filled > len(grid[0]) / 2 and _merged_width(sheet, row) > 1 and not _is_under(sheet, row)
    return any(  # below a header there are numbers in the columns that it names
        numeric[below][column]
        for below in range(following + 1, len(grid))
        for column, text in enumerate(grid[following])
        if text.strip()
    )


def _merged_width(sheet: Any, row: int) -> int:
    """Over how many columns the widest merged cell that starts in a row goes."""
    return max((r.max_col - r.min_col + 1 for r in sheet.merged_cells.ranges if r.min_row == row + 1), default=1)


def _is_under(sheet: Any, row: int) -> bool:
    """Whether a merged cell that starts in a row goes on in the next one."""
    return any(r.min_row == row + 1 < r.max_row for r in sheet.merged_cells.ranges)


def _header_cells(grid: list[list[str]], numeric: list[list[bool]], sheet: Any, top: int) -> tuple[list[str], int]:
    """The header's cells and the place of the first row below it.

    Where a cell of the header is merged over columns and the next row holds only texts, all of them under such a
    cell or part of one that goes down, the two rows are one header.
    """
    if top >= len(grid):
        return [], top
    header, below = grid[top], top + 1
    wide = [r for r in sheet.merged_cells.ranges if r.min_row == r.max_row == top + 1 and r.max_col > r.min_col]
    tall = [r for r in sheet.merged_cells.ranges if r.min_row == top + 1 and r.max_row == top + 2]
    if not wide or below >= len(grid) or any(numeric[below]):
        return header, below
    named = {column for column, text in enumerate(grid[below]) if text.strip()}
    covered = {column for r in (*wide, *tall) for column in range(r.min_col - 1, r.max_col)}
    if not named <= covered or not any(column in named for r in wide for column in range(r.min_col - 1, r.max_col)):
        return header, below
    pairs = zip(header, grid[below], strict=True)
    return [" ".join(text for text, _ in groupby(pair) if text.strip()) for pair in pairs], below + 1


def _rows_below(grid: list[list[str]], start: int) -> tuple[list[list[str]], list[int]]:
    places = range(_next_filled(grid, start), len(grid))
    return [grid[place] for place in places], [place + 1 for place in places]


def _remark(places: list[str], one: str, several: str) -> list[str]:
    if not places:
        return []
    if len(places) == 1:
        return [f"the cell {places[0]} {one}"]
    return [f"{len(places)} cells (the first is {places[0]}) {several}"]
