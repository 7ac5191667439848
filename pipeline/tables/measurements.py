"""Measured values as chemists write them: ``1.5e-3``, ``>10``, ``1.2±0.3``, ``5 µM``."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from pipeline.errors import InputError
from pipeline.tables.scales import UNIT, Scale, UnitError, conversion

MISSING = {"", "na", "n/a", "nan", "none", "null", "-", "--", "nd", "n.d."}
REFUSE, LIMIT, CENSORED, ACCEPT = "refuse", "limit", "censored", "accept"
BOUNDS = (REFUSE, LIMIT, CENSORED)
ANNOTATED = (REFUSE, ACCEPT)
BELOW, ABOVE = "<", ">"

_NUMBER = r"[-+]?(?:\d+[.,]?\d*|[.,]\d+)(?:[eE][-+]?\d+)?"
_FORM = re.compile(
    rf"(?P<sign>[<>≤≥~≈]=?|ca\.?)?\s*(?P<number>{_NUMBER})"
    rf"(?:\s*(?:±|\+/-|\+-)\s*(?P<spread>{_NUMBER}))?"
    rf"\s*(?P<unit>{UNIT})?"
)
_SIDE = {"<": BELOW, "≤": BELOW, ">": ABOVE, "≥": ABOVE}


class TargetError(ValueError):
    """The value cannot be used; the message is the reason given to the user."""


def parse_number(text: str, decimal_comma: bool = False) -> float:
    """A finite number from a cell; accepts exponents and the minus sign U+2212.

    Raises
    ------
    TargetError
        For a missing or infinite value, and for text that is more than a number.
    """
    cleaned = text.strip().replace("\u2212", "-")
    if cleaned.lower() in MISSING:
        raise TargetError("missing target")
    if decimal_comma and re.fullmatch(r"[-+]?\d*,\d+([eE][-+]?\d+)?", cleaned):
        cleaned = cleaned.replace(",", ".")
    try:
        value = float(cleaned) if "_" not in cleaned else math.nan
    except ValueError:
        raise TargetError(f"target is not a number: {text.strip()!r}") from None
    if not math.isfinite(value):
        raise TargetError(f"target is not a finite number: {text.strip()!r}")
    return value


@dataclass(frozen=True)
class Measurement:
    """What a cell says: a number, and what stands beside it.

    ``bound`` is ``<`` where the truth lies below the number, ``>`` where above, else empty; ``about``
    says that the number is approximate; ``spread`` and ``unit`` are as written, empty if absent.
    """

    number: float
    bound: str = ""
    about: bool = False
    spread: str = ""
    unit: str = ""

    @property
    def annotation(self) -> str:
        """What makes the cell more than a number or a bound, in words; empty for nothing."""
        if self.spread:
            return "carries its spread"
        if self.unit:
            return "carries a unit or other text"
        return "is approximate" if self.about else ""


def parse_measurement(text: str, decimal_comma: bool = False) -> Measurement:
    """Read a cell.

    Raises
    ------
    TargetError
        If the cell is missing or holds no number.
    """
    try:
        return Measurement(parse_number(text, decimal_comma))
    except TargetError as error:
        found = _FORM.fullmatch(text.strip().replace("\u2212", "-"))
        if not found:
            raise
        try:
            number = parse_number(found["number"], decimal_comma)
        except TargetError:
            raise error from None
    sign = (found["sign"] or "").rstrip("=.")
    unit = " ".join((found["unit"] or "").split())
    return Measurement(number, _SIDE.get(sign, ""), sign in ("~", "≈", "ca"), found["spread"] or "", unit)


@dataclass(frozen=True)
class MeasurementReader:
    """Cells to modelled values, by the user's choice of what to accept.

    Parameters
    ----------
    scale : Scale
    decimal_comma : bool
        Numbers are written as ``1,5``.
    bounds : {"refuse", "limit", "censored"}
        What becomes of ``>10``: refused; or taken at the limit, and marked.
    annotated : {"refuse", "accept"}
        What becomes of ``1.2±0.3``, ``5 µM`` and ``~5``: refused; or taken as the number, its unit converted.
    """

    scale: Scale
    decimal_comma: bool = False
    bounds: str = REFUSE
    annotated: str = REFUSE

    def read(self, text: str) -> tuple[float, str]:
        """The modelled value of a cell and its bound (``<``, ``>`` or empty) on the modelled scale.

        Raises
        ------
        TargetError
            If the cell cannot be used; the message is the reason given to the user.
        """
        found = parse_measurement(text, self.decimal_comma)
        cell = text.strip()
        if found.bound and self.bounds == REFUSE:
            raise TargetError(f"target is a bound, not a value (--bounds limit or censored uses it): {cell!r}")
        if found.annotation and self.annotated == REFUSE:
            raise TargetError(f"target {found.annotation} (--annotated accept uses the number): {cell!r}")
        value = self._in_units(found, cell)
        if not math.isfinite(value):
            raise TargetError(f"target is too large in {self.scale.units}: {cell!r}")
        if self.scale.needs_positive and value <= 0:
            raise TargetError(f"target is not positive and has no logarithm: {cell!r}")
        bound = {BELOW: ABOVE, ABOVE: BELOW, "": ""}[found.bound] if self.scale.decreasing else found.bound
        return float(self.scale.forward(value)), bound

    def _in_units(self, found: Measurement, cell: str) -> float:
        if not found.unit:
            return found.number
        try:
            factor, offset = conversion(found.unit, self.scale.units)
        except UnitError as error:
            raise TargetError(f"target is not in the column's units ({error}): {cell!r}") from error
        return factor * found.number + offset


def units_of_column(cells: Iterable[str], decimal_comma: bool, source: str, column: str) -> str:
    """The one unit that the cells of a column carry; empty if none does.

    Raises
    ------
    InputError
        If they carry several.
    """
    seen: Counter[str] = Counter()
    for cell in cells:
        try:
            seen[parse_measurement(cell, decimal_comma).unit] += 1
        except TargetError:
            continue
    seen.pop("", None)
    if len(seen) > 1:
        listed = ", ".join(f"{unit} ({count})" for unit, count in seen.most_common(5))
        raise InputError(
            f"{source}: the values of {column!r} carry different units: {listed}. Say with --units in which one the "
            "column is to be read; the others are converted"
        )
    return next(iter(seen), "")
