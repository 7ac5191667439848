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
_TOKEN = re.compile(r"([A-Z][a-z]?)|(\d+(?:\.\d*)?|\.\d+)|([(\[{])|([)\]}])|(.)")
_CLOSING = {"(": ")", "[": "]", "{": "}"}
# What joins the parts of a hydrate or a mixture. A point does in front of water, and between letters or brackets; else
# it stands before decimals.
_JOINS = re.compile(r"[·•∙⋅*]|\.(?=\d*H2O$)|(?<=[A-Za-z)\]}])\.(?=[A-Z(\[{])")
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
    plain = re.sub(r"\s", "", unicodedata.normalize("NFKC", text))
    if not plain:
        raise MoleculeError("empty formula")
    if _CHARGE.search(plain):
        raise MoleculeError(f"charged formula ({plain[-1]} at its end); give the neutral compound")
    total: dict[str, Fraction] = {}
    for part in _JOINS.split(plain):
        times = re.match(r"\d+(?:\.\d*)?|\.\d+", part)
        factor = Fraction(times[0]) if times else Fraction(1)
        _add(total, _parsed(part[times.end() :] if times else part, plain), factor)
    return _written({symbol: amount for symbol, amount in total.items() if amount}, plain)


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
    falling = sorted((symbol for symbol in ordered if float(shares[symbol])), key=lambda s: (-float(shares[s]), s))
    return "".join(f"{symbol}{shares[symbol].rstrip('0')}" for symbol in falling)
