"""How the numbers of a column are written: which mark stands before the decimals, which between thousands.

``54,824`` is 54824 or 54.824, and no cell can tell alone. A column is decided from all of its cells; one that
stays ambiguous is refused, never guessed.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any

from pipeline.errors import InputError

POINT, COMMA = ".", ","
SPACES = " \u00a0\u2009\u202f"  # plain, no-break, thin, narrow no-break
APOSTROPHES = "'\u2019"
DECIMALS = ("", POINT, COMMA)  # for the user to choose from; empty decides from the column
THOUSANDS = ("", POINT, COMMA, "'", "space", "none")
STRAY = 0.05  # contradicting cells, of those that agree, that are slips of single cells and not of the column
LEAST_WHOLE = 0.1  # share of whole numbers without a mark from which on `1.815` beside `500` may be 1815
_GROUPS = rf"\d{{1,3}}(?:[.,{APOSTROPHES}{SPACES}]\d{{3}})+(?!\d)(?:[.,]\d*)?"
NUMBER = rf"[-+]?(?:{_GROUPS}|\d+[.,]?\d*|[.,]\d+)(?:[eE][-+]?\d+)?"
_BOTH = re.compile(r"\d{1,3}([.,])\d{3}(?:\1\d{3})*([.,])\d*")
_REPEATED = re.compile(r"\d{1,3}([.,])\d{3}(?:\1\d{3})+")
_SINGLE = re.compile(r"(\d*)([.,])(\d*)")
_FILE_ROWS = 1_000  # of the other columns that are looked at


@dataclass(frozen=True)
class Notation:
    """How numbers are written.

    ``decimal`` is the mark before the decimals: ``.``, ``,`` or both, each cell by itself. ``thousands`` are the
    marks that may stand between groups of three digits. ``why`` says what settled it, ``example`` shows it;
    both are empty where numbers are written plainly.
    """

    decimal: str = POINT
    thousands: str = ""
    why: str = ""
    example: str = ""

    @classmethod
    def stored(cls, about: Mapping[str, str]) -> Notation:
        """As a model's description keeps it."""
        return cls(about.get("decimal", POINT), about.get("thousands", ""))

    def plain(self, text: str) -> str:
        """A number as Python writes it; the text itself where it is not written in this notation."""
        sign = text[:1] if text[:1] in "+-" else ""
        body, exponent = _without_exponent(text.removeprefix(sign))
        for mark in self.thousands:
            if re.fullmatch(rf"[1-9]\d{{0,2}}(?:{re.escape(mark)}\d{{3}})+(?:[.,]\d*)?", body):
                head, tail = _split_decimals(body, mark)
                body = head.replace(mark, "") + tail
                break
        if self.decimal != POINT and body.count(COMMA) == 1 and POINT not in body and COMMA in self.decimal:
            body = body.replace(COMMA, POINT)
        elif POINT not in self.decimal and POINT in body:
            return text
        return sign + body + exponent

    def said(self, column: str) -> str:
        """The decision in words; empty where numbers are written plainly."""
        if not self.why:
            return ""
        marks = []
        if COMMA in self.decimal:
            marks.append("',' before the decimals" if self.decimal == COMMA else "'.' or ',' before the decimals")
        shown = [mark for mark in self.thousands if mark in self.example]
        if shown:
            marks.append(f"{shown[0]!r} between thousands")
        read = f": {self.example} is {float(self.plain(self.example)):.15g}" if self.example else ""
        return f"numbers of {column!r} are read with {' and '.join(marks) or 'a decimal point'}{read} ({self.why})"


PLAIN = Notation()


def _without_exponent(text: str) -> tuple[str, str]:
    found = re.search(r"[eE][-+]?\d+$", text)
    return (text[: found.start()], found[0]) if found else (text, "")


def _split_decimals(body: str, mark: str) -> tuple[str, str]:
    """The whole part and the decimals with their mark, where the thousands have another one."""
    other = next((sign for sign in (POINT, COMMA) if sign != mark and body.count(sign) == 1), "")
    if not other:
        return body, ""
    head, _, tail = body.partition(other)
    return head, other + tail


@dataclass
class _Evidence:
    """What the cells of a column say: for each mark how many cells show that it stands before decimals, that it
    stands between thousands, or leave it open; and how many whole numbers have up to three digits, or more."""

    decimal: Counter[str]
    thousands: Counter[str]
    open: Counter[str]
    small: int = 0
    large: int = 0
    examples: dict[str, str] | None = None


def _evidence(numbers: Iterable[str]) -> _Evidence:
    found = _Evidence(Counter(), Counter(), Counter(), examples={})
    assert found.examples is not None
    for number in numbers:
        body, exponent = _without_exponent(number.lstrip("+-"))
        body = re.sub(rf"(?<=\d)[{APOSTROPHES}{SPACES}](?=\d{{3}})", "", body)
        if body != number.lstrip("+-") and not exponent:
            found.examples.setdefault("marked", number)
        both, repeated, single = _BOTH.fullmatch(body), _REPEATED.fullmatch(body), _SINGLE.fullmatch(body)
        if both and both[1] != both[2]:
            found.thousands[both[1]] += 1
            found.decimal[both[2]] += 1
            found.examples[f"both{both[1]}"] = number
        elif repeated and not exponent:
            found.thousands[repeated[1]] += 1
            found.examples.setdefault(repeated[1], number)
        elif single:
            before, mark, after = single.groups()
            if len(after) == 3 and 1 <= len(before) <= 3 and before[0] != "0" and not exponent:
                found.open[mark] += 1
                found.examples.setdefault(f"open{mark}", number)
            else:
                found.decimal[mark] += 1
                found.examples.setdefault(f"decimal{mark}", number)
        elif body.isdigit() and not exponent:
            found.small += len(body) <= 3
            found.large += len(body) > 3
    return found


def _cells(count: int) -> str:
    return "1 cell" if count == 1 else f"{count} cells"


def notation_of(
    numbers: Iterable[str],
    *,
    decimal: str = "",
    thousands: str = "",
    of_file: str = "",
    delimiter: str = COMMA,
    below_thousand: bool = False,
    source: str = "",
    column: str = "",
) -> Notation:
    """The notation of a column, from all of its numbers as they are written.

    Parameters
    ----------
    numbers : iterable of str
        Without bounds, units and spreads.
    decimal, thousands : str
        What the user says (`DECIMALS`, `THOUSANDS`); empty where nothing is said.
    of_file : {"", ".", ","}
        The decimal mark that the other columns of the file show; empty where they show none or both.
    delimiter : str
        Between the cells of the file: where it is a comma, decimals stand behind points.
    below_thousand : bool
        Whether the values cannot reach a thousand (yields in percent), so that a mark stands before decimals.
    source, column : str
        For the error.

    Raises
    ------
    InputError
        If the cells leave open which mark means what; it names the options that settle it.
    """
    numbers = list(numbers)
    extra = SPACES + APOSTROPHES
    if decimal or thousands:
        return _as_stated(decimal, thousands)
    found = _evidence(numbers)
    examples = found.examples or {}
    if not (found.decimal or found.thousands or found.open):
        marked = examples.get("marked", "")
        return Notation(POINT, extra, "groups of three digits" if marked else "", marked)
    if not (found.decimal[COMMA] or found.thousands or found.open) and "marked" not in examples:
        return Notation(POINT, extra)
    clear = _clear_decimals(found, examples, extra)
    if clear:
        return clear
    if found.decimal[POINT] and found.decimal[COMMA]:
        if found.open or found.thousands:
            raise _ambiguous(found, examples, source, column, "some cells have decimals behind '.', others behind ','")
        return Notation(POINT + COMMA, extra, "cells of both kinds, each clear by itself", examples["decimal,"])
    for mark, other in ((COMMA, POINT), (POINT, COMMA)):
        if found.thousands[mark] and not found.thousands[other] and not found.decimal[mark]:
            why = f"{_cells(found.thousands[mark])} can only mean that"
            return Notation(other, extra + mark, why, examples.get(mark) or examples[f"both{mark}"])
    if len(+found.open) == 1 and not found.thousands:
        return _one_open_mark(found, of_file, delimiter, below_thousand, source, column)
    raise _ambiguous(found, examples, source, column, "its cells contradict one another")


def _clear_decimals(found: _Evidence, examples: Mapping[str, str], extra: str) -> Notation | None:
    """The notation where one mark alone can only stand before decimals; None where there is none."""
    for mark, other in ((POINT, COMMA), (COMMA, POINT)):
        if found.decimal[mark] and not found.decimal[other] and found.thousands[mark] <= STRAY * found.decimal[mark]:
            shown = examples.get(f"both{other}") or examples.get(f"open{other}") or examples.get(other)
            if mark == POINT and not shown and "marked" not in examples:
                return Notation(POINT, extra)
            why = f"{_cells(found.decimal[mark])} can only mean that, such as {examples.get(f'decimal{mark}', shown)}"
            shown = shown or examples.get("marked") or examples[f"decimal{mark}"]
            return Notation(mark, extra + other, why, shown)
    return None


def _one_open_mark(
    found: _Evidence, of_file: str, delimiter: str, below_thousand: bool, source: str, column: str
) -> Notation:
    """Every marked cell has one mark and three digits behind it."""
    (mark,) = +found.open
    other = COMMA if mark == POINT else POINT
    examples = found.examples or {}
    shown, extra = examples[f"open{mark}"], SPACES + APOSTROPHES
    whole = f"{_cells(found.small)} of whole numbers below 1000, and three digits behind every {mark!r}"
    beside_whole = not found.large and found.small >= LEAST_WHOLE * (found.small + found.open[mark]) > 0
    as_decimals = (
        Notation(mark, extra) if mark == POINT else Notation(mark, extra, "no cell means anything else", shown)
    )
    if below_thousand:
        return as_decimals
    if of_file == other:
        return Notation(other, extra + mark, f"other columns of the file have decimals behind {other!r}", shown)
    if of_file == mark and not beside_whole:
        return as_decimals
    if not of_file and beside_whole and (mark == COMMA or delimiter != COMMA):
        return Notation(other, extra + mark, whole, shown)
    if not of_file and mark == POINT and not beside_whole and (delimiter == COMMA or found.large):
        return as_decimals
    raise _ambiguous(
        found, examples, source, column, whole if found.small else f"every {mark!r} has three digits behind it"
    )


def _as_stated(decimal: str, thousands: str) -> Notation:
    marks = {"space": SPACES, "'": APOSTROPHES, "none": ""}.get(thousands, thousands)
    decimal = decimal or (POINT if COMMA in marks else COMMA if POINT in marks else POINT)
    if decimal in marks:
        raise InputError(f"decimal and thousands are both {decimal!r}; they must differ")
    if not thousands:
        marks = SPACES + APOSTROPHES + (COMMA if decimal == POINT else POINT)
    return Notation(decimal, marks, "", "")


def _ambiguous(found: _Evidence, examples: Mapping[str, str], source: str, column: str, why: str) -> InputError:
    shown = next((examples[key] for key in ("open,", "open.", ",", ".") if key in examples), "")
    if not shown:
        shown = next(iter(examples.values()), "")
    digits = re.sub(r"[.,]", "", shown)
    mark = next((sign for sign in (COMMA, POINT) if sign in shown), COMMA)
    other = POINT if mark == COMMA else COMMA
    small = shown.replace(mark, POINT)
    return InputError(
        f"{source}: numbers of {column!r} can be read in two ways, such as {shown}: {why}. Say --decimal {other!r} "
        f"(then it is {digits}) or --decimal {mark!r} (then it is {small})"
    )


def decimal_of_file(columns: Iterable[Any]) -> str:
    """The decimal mark that the columns of a file show: ``.``, ``,``, or nothing where they show none or both.

    Parameters
    ----------
    columns : iterable of sequences of str
        Of cells; what is no number is passed over.
    """
    counts: Counter[str] = Counter()
    for cells in columns:
        first = (cell.strip() for cell in islice(cells, _FILE_ROWS))
        clear = [cell for cell in first if re.fullmatch(NUMBER, cell)]
        counts.update(_evidence(clear).decimal)
    if bool(counts[POINT]) == bool(counts[COMMA]):
        return ""
    return POINT if counts[POINT] else COMMA
