"""One formula to everything the rest of the program needs to know about the composition."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from math import gcd, lcm
from typing import ClassVar

from pipeline.tables.elements import elements, order_of_elements
from pipeline.tables.kinds import COMPOSITIONS, Kind
from pipeline.tables.molecules import MoleculeError, Parent

MAX_FORMULA_LENGTH = 500
MOST_ATOMS = 1_000  # of a formula in whole numbers; others are written as shares of one atom
SHARE_DIGITS = 6
_NUMBER = r"(?:\d+(?:\.\d*)?|\.\d+)"
_SYMBOL = "[A-Z][a-z]?"
_TOKEN = re.compile(rf"({_SYMBOL})|({_NUMBER})|([(\[{{])|([)\]}}])|(.)")
_CLOSING = {"(": ")", "[": "]", "{": "}"}
# What joins the parts of a hydrate or a mixture. A point can also stand before decimals: see `_at_points`.
_JOINS = re.compile(r"\s*[·•∙⋅‧・×*]\s*|\s+[xX.]\s+(?=\d)")
_PLAIN = {0x2212: "-", 0x2013: "-", 0x200B: None, 0xFEFF: None, 0xAD: None}  # minus signs; what cannot be seen
_SOLVENT = re.compile(rf"\.({_NUMBER}?\(?(?:H2O|NH3|HF|HCl|HBr|N2H4|CH3OH|C2H5OH)\)?)(?=$|\.)")
_SURE_POINT = re.compile(r"\.(?=\d+\.\d)|(?<=[A-Za-z)\]}])\.(?=[A-Z(\[{])")
_POINT = re.compile(r"(?<![\d.])(\d*)\.(?=\d+[A-Z(\[{])")
_STATE = re.compile(r"\((?:I{1,3}|I?V|VI{1,3}|I?X)\)")
_PHASE = re.compile(r"\s\([A-Z]\)\s*$")
_APART = re.compile(rf"(?:{_SYMBOL}\s+{_NUMBER}\s*){{2,}}")
_CHARGE = re.compile(r"(\^?\d*[+-]+|[+-]\d+|\^\d*[+-]?)$")


@dataclass(frozen=True)
class Composition:
    """A parsed formula.

    ``smiles`` is the reduced formula, the elements in the order of their electronegativity, which is what all others
    of the same shares become; ``scaffold`` is the chemical system, such as ``Ag-Au-S``. The names are those of the
    other kinds of rows.
    """

    kind: ClassVar[Kind] = COMPOSITIONS
    smiles: str
    identity: str
    parent: Parent
    scaffold: str


def parse_composition(text: str) -> Composition:
    """Parse a formula such as ``Ag(AuS)2``, ``CuSO4·5H2O`` or ``Fe0.7Ni0.3``.

    Raises
    ------
    MoleculeError
        If it is empty, too long, charged, holds an element that does not exist or an amount that is no number.
    """
    formula = reduced_formula(text)
    system = "-".join(sorted(amounts_of(formula)))
    return Composition(formula, f"formula={formula}", Parent(formula, (formula, formula)), system)


def reduced_formula(text: str) -> str:
    """The reduced formula; raises as `parse_composition`."""
    if len(text) > MAX_FORMULA_LENGTH:
        raise MoleculeError(f"formula of {len(text)} characters; the limit is {MAX_FORMULA_LENGTH}")
    spaced = unicodedata.normalize("NFKC", text).translate(_PLAIN).strip()
    if not spaced:
        raise MoleculeError("empty formula")
    _check_readable(spaced)
    parts = [part for piece in _JOINS.split(spaced) for part in _at_points(re.sub(r"\s", "", piece), spaced)]
    total: dict[str, Fraction] = {}
    for part in parts:
        times = re.match(_NUMBER, part)
        factor = Fraction(times[0]) if times else Fraction(1)
        _add(total, _parsed(part[times.end() :] if times else part, spaced), factor)
    return _written({symbol: amount for symbol, amount in total.items() if amount}, spaced)


def _check_readable(spaced: str) -> None:
    """Refuse what would be read as other elements or amounts than are meant."""
    plain = re.sub(r"\s", "", spaced)
    if _CHARGE.search(plain):
        raise MoleculeError(f"charged formula ({plain[-1]} at its end); give the neutral compound")
    if state := _STATE.search(plain):
        raise MoleculeError(f"unparsable formula: {state[0]} in {spaced!r} looks like an oxidation state; leave it out")
    if phase := _PHASE.search(spaced):
        raise MoleculeError(f"unparsable formula: {phase[0].strip()} in {spaced!r} looks like a phase; leave it out")
    whole = _JOINS.sub("·", spaced)
    if re.search(r"\s\.?\d", whole) and not _APART.fullmatch(whole):
        raise MoleculeError(
            f"unparsable formula: a number in {spaced!r} stands apart; write amounts behind their element, and "
            "· between the parts of a hydrate or a mixture"
        )


def _at_points(text: str, whole: str) -> list[str]:
    """The parts of a formula at the points that join parts; the others stand before decimals.

    A point joins in front of a solvent (``CuSO4.5H2O``), between letters or brackets, where a number would have two
    points (``CaSO4.0.5H2O``), and where an element stands on both sides, as oxygen in ``Al2O3.2SiO2``: in
    ``Cu1.8S`` none does.

    Raises
    ------
    MoleculeError
        Where brackets leave that open.
    """
    for found in _SOLVENT.finditer(text):
        left, rest = text[: found.start()], text[found.end() + 1 :]
        if re.search(_SYMBOL, left):
            return [*_at_points(left, whole), found[1], *(_at_points(rest, whole) if rest else [])]
    for found in _SURE_POINT.finditer(text):
        left, right = text[: found.start()], text[found.end() :]
        if re.search(_SYMBOL, left):
            return [*_at_points(left, whole), *_at_points(right, whole)]
    for found in _POINT.finditer(text):
        left, right = text[: found.end() - 1], text[found.end() :]
        if found[1].startswith("0") or not set(re.findall(_SYMBOL, left)) & set(re.findall(_SYMBOL, right)):
            continue
        if re.search(r"[(\[{)\]}]", text):
            raise MoleculeError(
                f"unparsable formula: the point in {whole!r} may join two parts or stand before decimals; write · "
                "between parts"
            )
        return [*_at_points(left, whole), *_at_points(right, whole)]
    return [text]


def amounts_of(formula: str) -> dict[str, float]:
    """The amount of each element in a reduced formula."""
    pairs = re.findall(r"([A-Z][a-z]?)(\d+(?:\.\d+)?)?", formula)
    return {symbol: float(amount or 1) for symbol, amount in pairs}


def _parsed(text: str, whole: str) -> dict[str, Fraction]:
    """The amounts of a formula without separators, by element."""
    if not text:
        raise MoleculeError(f"unparsable formula: {whole!r} has an empty part")
    stack: list[tuple[str, dict[str, Fraction]]] = [("", {})]
    last: dict[str, Fraction] | None = None  # what an amount that follows multiplies

    def close() -> None:
        nonlocal last
        if last is not None:
            _add(stack[-1][1], last, Fraction(1))
            last = None

    for symbol, amount, opening, closing, other in _TOKEN.findall(text):
        if symbol:
            close()
            last = {_known(symbol): Fraction(1)}
        elif amount:
            if last is None:
                raise MoleculeError(f"unparsable formula: the amount {amount} in {whole!r} follows no element")
            _add(stack[-1][1], last, Fraction(amount))
            last = None
        elif opening:
            close()
            stack.append((_CLOSING[opening], {}))
        elif closing:
            close()
            wanted, inner = stack.pop()
            if wanted != closing or not stack:
                raise MoleculeError(f"unparsable formula: the bracket {closing} in {whole!r} closes none")
            last = inner
        else:
            raise MoleculeError(_strange(other, whole))
    close()
    if len(stack) > 1:
        raise MoleculeError(f"unparsable formula: a bracket of {whole!r} is not closed")
    return stack[0][1]


def _strange(character: str, whole: str) -> str:
    variable = re.search(r"(?<=[a-z\d)\]+-])[xyznδ]", whole)
    if variable:
        return f"unparsable formula: {variable[0]} in {whole!r} is no number; amounts must be given"
    if character in "+-":
        return (
            f"charged formula: {whole!r} has a {character}; give the neutral compound, and mixtures with a dot "
            "(MgO·SiO2)"
        )
    return f"unparsable formula: {character!r} in {whole!r}"


def _known(symbol: str) -> str:
    if symbol not in elements().index:
        hint = "; write H for deuterium and tritium" if symbol in ("D", "T") else ""
        hint = "; amounts such as x must be given as numbers" if symbol[1:] in ("x", "y", "z") else hint
        raise MoleculeError(f"no element {symbol!r}{hint}")
    return symbol


def _add(total: dict[str, Fraction], more: Mapping[str, Fraction], factor: Fraction) -> None:
    for symbol, amount in more.items():
        total[symbol] = total.get(symbol, Fraction(0)) + factor * amount


def _written(amounts: Mapping[str, Fraction], whole: str) -> str:
    """The formula in the smallest whole numbers, or as shares where those are large."""
    if not amounts:
        raise MoleculeError(f"unparsable formula: {whole!r} holds no atoms")
    scale = lcm(*(amount.denominator for amount in amounts.values()))
    counts = {symbol: int(amount * scale) for symbol, amount in amounts.items()}
    divisor = gcd(*counts.values())
    ordered = sorted(counts, key=lambda symbol: order_of_elements()[symbol])
    total = sum(counts.values()) // divisor
    if total <= MOST_ATOMS:
        return "".join(symbol + (str(count) if (count := counts[symbol] // divisor) != 1 else "") for symbol in ordered)
    shares = {symbol: f"{counts[symbol] / divisor / total:.{SHARE_DIGITS}f}" for symbol in ordered}
    least = min(ordered, key=lambda symbol: counts[symbol])
    if counts[least] / divisor / total < 10**-SHARE_DIGITS:
        raise MoleculeError(f"amount of {least} in {whole!r} below one in a million atoms, which are told apart here")
    falling = sorted(ordered, key=lambda symbol: (-float(shares[symbol]), symbol))
    return "".join(f"{symbol}{shares[symbol].rstrip('0')}" for symbol in falling)
