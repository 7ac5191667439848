"""Measured values as chemists write them: ``1.5e-3``, ``>10``, ``1.2±0.3``, ``5 µM``."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from pipeline.errors import InputError
from pipeline.tables.notation import NUMBER, PLAIN, Notation
from pipeline.tables.scales import UNIT, Scale, UnitError, conversion, molar_conversion

ERRORS_OF_SHEETS = ("#n/a", "#na", "#value!", "#ref!", "#div/0!", "#num!", "#name?", "#null!")
MISSING = {"", "na", "n/a", "<na>", "nan", "none", "null", "-", "--", "nd", "n.d.", *ERRORS_OF_SHEETS}
REFUSE, LIMIT, CENSORED, ACCEPT = "refuse", "limit", "censored", "accept"
BOUNDS = (REFUSE, LIMIT, CENSORED)
ANNOTATED = (REFUSE, ACCEPT)
BELOW, ABOVE = "<", ">"

_FORM = re.compile(
    rf"(?P<sign>(?:<{{1,2}}|>{{1,2}})=?|[≤≥~≈]=?|=|ca\.?)?\s*(?P<number>{NUMBER})"
    rf"(?:\s*(?:±|\+/-|\+-)\s*(?P<spread>{NUMBER}))?"
    rf"\s*(?P<unit>{UNIT})?"
    r"\s*(?P<note>\([^()]*\)|\[[^\[\]]*\])?"
)
_SIDE = {"<": BELOW, "≤": BELOW, ">": ABOVE, "≥": ABOVE}
RELATIONS = {
    **dict.fromkeys(("=", "==", "'='"), ""),
    **dict.fromkeys(("<", "<=", "<<", "≤"), BELOW),
    **dict.fromkeys((">", ">=", ">>", "≥"), ABOVE),
    **dict.fromkeys(("~", "≈", "ca", "ca."), "~"),
}


class TargetError(ValueError):
    """The value cannot be used; the message is the reason given to the user."""


def parse_number(text: str, notation: Notation = PLAIN) -> float:
    """A finite number from a cell; accepts exponents and the minus sign U+2212.

    Raises
    ------
    TargetError
        For a missing or infinite value, and for text that is more than a number.
    """
    cleaned = text.strip().replace("\u2212", "-")
    if cleaned.lower() in MISSING:
        raise TargetError("missing target")
    try:
        value = float(notation.plain(cleaned)) if "_" not in cleaned else math.nan
    except ValueError:
        raise TargetError(f"target is not a number: {text.strip()!r}") from None
    if not math.isfinite(value):
        raise TargetError(f"target is not a finite number: {text.strip()!r}")
    return value


@dataclass(frozen=True)
class Measurement:
    """What a cell says: a number, and what stands beside it.

    ``bound`` is ``<`` where the truth lies below the number, ``>`` where above, else empty; ``about``
    says that the number is approximate; ``spread``, ``unit`` and ``note`` (text in brackets behind the number) are as
    written, empty if absent.
    """

    number: float
    bound: str = ""
    about: bool = False
    spread: str = ""
    unit: str = ""
    note: str = ""

    @property
    def annotation(self) -> str:
        """What makes the cell more than a number or a bound, in words; empty for nothing."""
        if self.spread:
            return "carries its spread"
        if self.unit:
            return "carries a unit or other text"
        if self.note:
            return "carries a remark in brackets"
        return "is approximate" if self.about else ""


def parse_measurement(text: str, notation: Notation = PLAIN) -> Measurement:
    """Read a cell.

    Raises
    ------
    TargetError
        If the cell is missing or holds no number.
    """
    try:
        return Measurement(parse_number(text, notation))
    except TargetError as error:
        found = _FORM.fullmatch(text.strip().replace("\u2212", "-"))
        if not found:
            raise
        try:
            number = parse_number(found["number"], notation)
        except TargetError:
            raise error from None
    sign = (found["sign"] or "").rstrip("=.")
    unit = " ".join((found["unit"] or "").split())
    about = sign in ("~", "≈", "ca")
    return Measurement(number, _SIDE.get(sign[:1], ""), about, found["spread"] or "", unit, found["note"] or "")


def written_numbers(cells: Iterable[str]) -> list[str]:
    """The numbers of cells as they are written, without bounds, units and spreads; cells without one are left out."""
    found = (_FORM.fullmatch(str(cell).strip().replace("\u2212", "-")) for cell in cells)
    return [match["number"] for match in found if match]


def parse_relation(cell: str) -> str:
    """``<``, ``>``, ``~`` or nothing (for equality) from the cell of a relation column, quoted or not.

    Raises
    ------
    TargetError
        If it says neither.
    """
    cleaned = cell.strip().strip("'\"").strip().lower()
    if cleaned not in RELATIONS:
        raise TargetError(f"relation is not one of =, <, >, ≤, ≥, ~: {cell.strip()!r}")
    return RELATIONS[cleaned]


@dataclass(frozen=True)
class MeasurementReader:
    """Cells to modelled values, by the user's choice of what to accept.

    Parameters
    ----------
    scale : Scale
    notation : Notation
        How the numbers of the column are written.
    bounds : {"refuse", "limit", "censored"}
        What becomes of ``>10``: refused; or taken at the limit, and marked.
    annotated : {"refuse", "accept"}
        What becomes of ``1.2±0.3``, ``5 µM``, ``5 (n=3)`` and ``~5``: refused; or taken as the number, its unit
        converted.

    Attributes
    ----------
    rules : Counter
        How often each rule was applied that made something of a cell that it does not say by itself, in words.
    """

    scale: Scale
    notation: Notation = PLAIN
    bounds: str = REFUSE
    annotated: str = REFUSE
    rules: Counter[str] = field(default_factory=Counter, compare=False)

    def read(
        self, text: str, relation: str = "", unit: str | None = None, weight: float | None = None
    ) -> tuple[float, str]:
        """The modelled value of a cell and its bound (``<``, ``>`` or empty) on the modelled scale.

        Parameters
        ----------
        relation : {"", "<", ">", "~"}
            What a relation column says of the row.
        unit : str, optional
            What a column of units says of the row.
        weight : float, optional
            Molecular weight of the row's molecule in g/mol, to convert between mass and amount.

        Raises
        ------
        TargetError
            If the cell cannot be used; the message is the reason given to the user.
        """
        found, cell = parse_measurement(text, self.notation), text.strip()
        if relation in (BELOW, ABOVE) and found.bound not in ("", relation):
            raise TargetError(f"relation {relation!r} contradicts the value: {cell!r}")
        side = found.bound or (relation if relation in (BELOW, ABOVE) else "")
        shown = f"{relation}{cell}" if relation and not found.bound else cell
        if side and self.bounds == REFUSE:
            raise TargetError(f"target is a bound, not a value (--bounds limit or censored uses it): {shown!r}")
        annotation = found.annotation or ("is approximate" if relation == "~" else "")
        if annotation and self.annotated == REFUSE:
            raise TargetError(f"target {annotation} (--annotated accept uses the number): {shown!r}")
        if unit is not None and not unit.strip():
            raise TargetError(f"unit is missing: {cell!r}")
        value = self._in_units(found.number, found.unit or (unit or "").strip(), weight, cell)
        if not math.isfinite(value):
            raise TargetError(f"target is too large in {self.scale.units}: {cell!r}")
        if self.scale.needs_positive and value <= 0:
            raise TargetError(f"target is not positive and has no logarithm: {cell!r}")
        if annotation:
            self.rules[f"the number was taken of a cell that {annotation}"] += 1
        turned = {BELOW: ABOVE, ABOVE: BELOW, "": ""}[side] if self.scale.decreasing else side
        return float(self.scale.forward(value)), turned

    def _in_units(self, number: float, unit: str, weight: float | None, cell: str) -> float:
        if not unit or unit == self.scale.units:
            return number
        try:
            factor, offset = conversion(unit, self.scale.units)
            how = ""
        except UnitError as error:
            molar = molar_conversion(unit, self.scale.units, weight)
            if molar is None:
                raise TargetError(f"target is not in the column's units ({error}): {f'{cell} {unit}'!r}") from error
            factor, offset, how = molar, 0.0, " by the molecular weight of its molecule"
        self.rules[f"converted from {unit} to {self.scale.units}{how}"] += 1
        return factor * number + offset


def units_of_column(cells: Iterable[str], notation: Notation, source: str, column: str) -> str:
    """The one unit that the cells of a column carry; empty if none does.

    Raises
    ------
    InputError
        If they carry several.
    """
    seen: Counter[str] = Counter()
    for cell in cells:
        try:
            seen[parse_measurement(cell, notation).unit] += 1
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
