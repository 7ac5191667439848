"""Units of a column, and the scale on which its values are modelled: as they are, in percent, log10, or pIC50."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from pipeline.errors import InputError

LOG10, PIC50 = "log10", "pIC50"
TRANSFORMS = ("", LOG10, PIC50)
IN_PERCENT = "percent"  # of a column of fractions; not for the user to ask for, it follows from the unit of a yield
_FACTOR = r"[A-Za-zµμΩ°%]+(?:\^?-?\d)?"
UNIT = rf"(?![xX]\d){_FACTOR}(?:[/*·. ]{_FACTOR})*"  # 2x10^3 is a number written otherwise, not 2 of some unit
_POTENCY = re.compile(r"\b([A-Za-z]{2}50|K[idDI])\b")


class UnitError(ValueError):
    """A unit that is not known, or that cannot be turned into the one asked for; the message says which."""


@cache
def _registry() -> Any:
    import pint

    return pint.UnitRegistry()


def _parsed(unit: str) -> Any:
    import pint

    # Only what looks like a unit reaches the parser: it would compute 10**10**10 for as long as that takes.
    if len(unit) > 40 or not re.fullmatch(UNIT, unit):
        raise UnitError(f"{unit!r} is not a unit that can be converted")
    joined = re.sub(r"[·. ]+", "*", unit.strip(". "))
    text = re.sub(r"([A-Za-zµμΩ°%])\^?(-?\d)", r"\1**\2", joined)
    try:
        return _registry().parse_units(text)
    except (pint.PintError, ValueError, TypeError, SyntaxError) as error:
        raise UnitError(f"{unit!r} is not a unit that can be converted") from error


@cache
def conversion(unit: str, target: str) -> tuple[float, float]:
    """``(factor, offset)`` so that a value in ``unit`` is ``factor * value + offset`` in ``target``.

    Raises
    ------
    UnitError
        If one of the two is unknown or they measure different things.
    """
    import pint

    if unit == target:
        return 1.0, 0.0
    source, goal = _parsed(unit), _parsed(target)
    quantity = _registry().Quantity
    try:
        zero, one = (float(quantity(value, source).to(goal).magnitude) for value in (0.0, 1.0))
    except pint.PintError as error:
        raise UnitError(f"{unit} cannot be converted to {target}") from error
    return one - zero, zero


def is_unit(text: str) -> bool:
    """Whether a text is a unit that can be converted."""
    try:
        _parsed(text)
    except UnitError:
        return False
    return True


@cache
def _grams_per_mole(unit: str, target: str) -> tuple[float, int] | None:
    """The factor between two units at 1 g/mol, and the power of the molecular weight that goes with it."""
    for power, per_mole in ((-1, "mol/g"), (1, "g/mol")):
        try:
            return float((_parsed(unit) * _registry().parse_units(per_mole) * 1.0).to(_parsed(target)).magnitude), power
        except Exception as error:  # pint raises many kinds; each means: not to be had that way
            if isinstance(error, UnitError):
                return None
    return None


def molar_conversion(unit: str, target: str, weight: float | None) -> float | None:
    """The factor from a mass (per volume, say) to an amount or back, for a molecular weight in g/mol.

    None where the weight is not known or the two units do not differ in that.
    """
    if not weight or not unit or not target:
        return None
    found = _grams_per_mole(unit, target)
    return None if found is None else found[0] * weight ** found[1]


@dataclass(frozen=True)
class Scale:
    """How the values of a column become those that are modelled, and back.

    Parameters
    ----------
    transform : {"", "log10", "pIC50", "percent"}
        ``pIC50`` is the negative decimal logarithm of the value in mol/L; ``percent`` is 100 times a fraction of 1.
    units : str
        Of the column.

    Raises
    ------
    InputError
        For ``pIC50`` without units that are an amount per volume.
    """

    transform: str = ""
    units: str = ""

    def __post_init__(self) -> None:
        if self.transform == PIC50:
            try:
                conversion(self.units, "mol/L")
            except UnitError as error:
                stated = f"they are {self.units!r}" if self.units else "they were not given"
                raise InputError(
                    f"--transform pIC50 needs the units of the column, as an amount per volume such as nM; {stated}. "
                    "State them with --units"
                ) from error

    @property
    def decreasing(self) -> bool:
        """Whether a larger value becomes a smaller one."""
        return self.transform == PIC50

    @property
    def needs_positive(self) -> bool:
        """Whether a value must be positive, since its logarithm is taken."""
        return self.transform in (LOG10, PIC50)

    @property
    def modelled_units(self) -> str:
        """Units of the values that are modelled."""
        return {"": self.units, LOG10: f"log10 {self.units}".strip(), PIC50: "", IN_PERCENT: "%"}[self.transform]

    def name_for(self, column: str) -> str:
        """What the modelled property is called where the user gave it no name."""
        if self.transform != PIC50:
            return column
        found = _POTENCY.search(column)
        return f"p{found[1]}" if found else "pIC50"

    def explained(self) -> str:
        """The transform in words; empty where there is none."""
        units = self.units or "the units of the column"
        return {
            "": "",
            LOG10: f"modelled as the decimal logarithm of the value in {units}",
            PIC50: f"modelled as the negative decimal logarithm of the value in mol/L (the column is in {units})",
            IN_PERCENT: "modelled in percent (the column holds fractions of 1)",
        }[self.transform]

    def forward(self, values: Any) -> np.ndarray:
        """From the column's values to the modelled ones; values must be positive where a logarithm is taken."""
        array = np.asarray(values, dtype=np.float64)
        if self.transform == LOG10:
            return np.log10(array)
        if self.transform == PIC50:
            return -np.log10(array) - np.log10(conversion(self.units, "mol/L")[0])
        return 100.0 * array if self.transform == IN_PERCENT else array

    def back(self, values: Any) -> np.ndarray:
        """From modelled values to those of the column."""
        array = np.asarray(values, dtype=np.float64)
        with np.errstate(over="ignore"):  # a wild prediction may lie beyond what a float holds: infinity
            if self.transform == LOG10:
                return 10.0**array
            if self.transform == PIC50:
                return 10.0 ** (-array - np.log10(conversion(self.units, "mol/L")[0]))
        return array / 100.0 if self.transform == IN_PERCENT else array
