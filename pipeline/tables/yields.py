"""Yields as chemists write them: ``45%``, ``<5``, ``21 (NMR)``, ``trace``, ``no reaction``, ``n.d.``."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Sequence

import numpy as np

from pipeline.errors import InputError
from pipeline.tables.measurements import (
    ACCEPT,
    BELOW,
    LIMIT,
    MeasurementReader,
    TargetError,
    parse_measurement,
    parse_relation,
)
from pipeline.tables.notation import Notation
from pipeline.tables.reactions import FRACTION, HIGHEST_YIELD, PERCENT, check_yields
from pipeline.tables.reading import RawTable, require_column
from pipeline.tables.scales import IN_PERCENT, Scale
from pipeline.tables.target_column import TargetColumn, TargetSettings, column_notation
from pipeline.tables.targets import REGRESSION

FAILURE_WORDS = (
    *("trace", "traces", "nr", "no reaction", "no rxn", "no conversion", "no product", "no desired product"),
    *("not detected", "not observed", "decomposed", "decomposition", "decomp", "dec", "failed", "messy"),
    *("complex mixture",),
)
QUANTITATIVE = ("quant", "quantitative")
OPEN_WORDS = ("nd", "n/d")  # not determined, or not detected: nobody but the user knows
FRACTION_RANGE = (0.1, 1.0)
MIXED_SHARE = 0.1


def plain_word(cell: str) -> str:
    """A cell in lower case without points and without what stands in brackets behind it."""
    return re.sub(r"\s+", " ", re.sub(r"[\(\[].*$", "", cell).replace(".", "").strip().lower())


def words_of_failure(said: Sequence[str]) -> set[str]:
    """The words that stand for a yield of zero; see `yield_column`."""
    own = [word for word in said if not word.startswith("+")]
    added = [word.removeprefix("+") for word in said if word.startswith("+")]
    return {plain_word(word) for word in (*(own or FAILURE_WORDS), *added)}


def yield_column(
    raw: RawTable, target: str, unit: str, settings: TargetSettings, failure_words: Sequence[str] = ()
) -> TargetColumn:
    """How the cells of a column of yields are read; values come out in percent.

    Bounds are taken at their limit and remarks are passed over unless the settings say otherwise: to refuse such rows
    would throw failures away.

    Parameters
    ----------
    unit : {"percent", "fraction"}
    failure_words : sequence of str
        Words that stand for a yield of zero, in place of `FAILURE_WORDS`, or beside them where a plus stands before
        the word.

    Raises
    ------
    InputError
        If the column is missing, or its yields are not in the stated unit or in two units.
    """
    values = require_column(raw, target, "--yield")
    notation = column_notation(raw, str(values.name), settings.decimal, settings.thousands, below_thousand=True)
    scale = Scale(IN_PERCENT if unit == FRACTION else "", "" if unit == FRACTION else "%")
    bounds, annotated = settings.bounds or LIMIT, settings.annotated or ACCEPT
    reader = MeasurementReader(scale, notation, bounds, annotated)
    of_percent = MeasurementReader(Scale("", "%"), notation, bounds, annotated, reader.rules)
    words = words_of_failure(failure_words)
    relations = require_column(raw, settings.relation, "--relation") if settings.relation else None

    def read(line: int, weight: Callable[[], float | None]) -> tuple[float, str]:
        cell = values.loc[line]
        word = plain_word(cell)
        if word in words:
            reader.rules[f"{word!r} is read as a yield of 0 (--failure-words changes the list)"] += 1
            return 0.0, ""
        if word in QUANTITATIVE:
            reader.rules[f"{word!r} is read as a yield of 100 %"] += 1
            return 100.0, ""
        if word in OPEN_WORDS:
            raise TargetError("n.d. may mean not determined or not detected (--failure-words +n.d. makes it a failure)")
        relation = parse_relation(relations.loc[line]) if relations is not None and relations.loc[line].strip() else ""
        value, bound = of_percent.read(cell.replace("%", ""), relation) if "%" in cell else reader.read(cell, relation)
        if not 0 <= value <= HIGHEST_YIELD:
            raise TargetError(f"yield is not between 0 and {HIGHEST_YIELD:.0f} %: {cell.strip()!r} ({unit})")
        if bound:
            reader.rules[f"a yield {'below' if bound == BELOW else 'above'} a limit is taken at the limit"] += 1
        return value, bound

    _check_unit(values, notation, unit, raw.source, target)
    warnings = _open_warnings(values, words, target)
    decided, why = [said] if (said := notation.said(target)) else [], "yields are numbers"
    return TargetColumn(
        target, values, REGRESSION, why, scale, bounds, read, tuple(decided), tuple(warnings), reader.rules
    )


def _open_warnings(values: Iterable[str], words: Collection[str], target: str) -> list[str]:
    """A word on cells that may mean two things."""
    open_cells = sum(plain_word(cell) in OPEN_WORDS and plain_word(cell) not in words for cell in values)
    if not open_cells:
        return []
    return [
        f"{open_cells} rows of {target!r} say n.d., which may mean not determined or not detected; they are left out. "
        "--failure-words +n.d. counts them as failures"
    ]


def _check_unit(values: Iterable[str], notation: Notation, unit: str, source: str, column: str) -> None:
    """Raise `InputError` where a column cannot be in the unit that was stated, or holds two.

    Percentages of a real column lie as densely between 1 and 10 as between 0.1 and 1; where fractions of 1 stand among
    percentages there is a gap.
    """
    bare, marked = [], 0
    for cell in values:
        try:
            found = parse_measurement(cell, notation)
        except TargetError:
            continue
        if found.unit == "%":
            marked += 1
        elif not found.unit:
            bare.append(found.number)
    numbers = np.array(bare, dtype=np.float64)
    if not len(numbers):
        return
    low, high = FRACTION_RANGE
    fractions = int(((numbers > low) & (numbers <= high)).sum())
    between, large = int(((numbers > high) & (numbers <= 10)).sum()), int((numbers > 10).sum())
    two = min(fractions, large) >= MIXED_SHARE * len(numbers) and between < 0.5 * fractions
    if two or (marked and unit == PERCENT and len(numbers) >= 3 and 0 < numbers.max() <= 1):
        raise InputError(
            f"{source}: the yields in {column!r} seem to be fractions of 1 in some rows and percentages in others "
            f"({fractions} values between 0.1 and 1, {large + marked} above 10 or with %); write all in one unit"
        )
    if unit == PERCENT and marked:
        return
    check_yields(numbers, unit, source, column)
