"""What is wanted of a molecule: a value, or a range of values."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

import numpy as np

from pipeline.errors import InputError
from pipeline.evaluation.numbers import number
from pipeline.tables.scales import UNIT, Scale, UnitError, conversion

ASKED, EDGE, BEYOND = "asked", "edge", "beyond"
FARTHEST = 3.0  # training ranges beyond the training values from which on nobody can mean it
TOLERANCE_SHARE = 0.25  # of the standard deviation of the training values, where no tolerance is given
EDGE_QUANTILE = 0.99
FEW = 5  # training values in a range, below which its middle is asked for
_NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
_RANGE = re.compile(rf"({_NUMBER})\s*(?:\.\.|to)\s*({_NUMBER})\s*(.*)")
_BOUND = re.compile(rf"([<>])=?\s*({_NUMBER})\s*(.*)")
_VALUE = re.compile(rf"({_NUMBER})\s*(.*)")


@dataclass(frozen=True)
class Goal:
    """Values between ``low`` and ``high`` are a hit; ``stated`` is what a language model is asked for."""

    name: str
    low: float
    high: float
    stated: float

    def is_hit(self, values: np.ndarray) -> np.ndarray:
        """Whether each value is wanted; one that is not known (NaN) is not. Shape (n,)."""
        with np.errstate(invalid="ignore"):
            return (values >= self.low) & (values <= self.high)

    def distance(self, values: np.ndarray) -> np.ndarray:
        """How far each value lies from those wanted, 0 for a hit and infinite where it is not known. Shape (n,)."""
        away = np.maximum(np.maximum(self.low - values, values - self.high), 0.0)
        return np.where(np.isfinite(values), away, np.inf)

    def written(self, units: str) -> str:
        """``1.75 to 2.25 eV``, ``above -1``."""
        unit = f" {units}" if units else ""
        if math.isinf(self.high):
            return f"above {number(self.low)}{unit}"
        if math.isinf(self.low):
            return f"below {number(self.high)}{unit}"
        return f"{number(self.low)} to {number(self.high)}{unit}"


def asked_goal(want: str, tolerance: float, values: np.ndarray, scale: Scale) -> Goal:
    """The goal that a user writes: ``2.0``, ``2.0 eV``, ``1.8 to 2.2`` (or ``1.8..2.2``), ``>-1``, ``<3``.

    A number without units is one of the modelled values (a pIC50, say); one with units is one of the column's, as
    ``<100 nM``, and becomes one of these.

    Parameters
    ----------
    tolerance : float
        On both sides of a single value, in its units; 0 for `TOLERANCE_SHARE` of the standard deviation of the training
        values.
    values : ndarray of shape (n,)
        The training values, as they are modelled.
    scale : Scale
        That of the table.

    Raises
    ------
    InputError
        If it is no value, in other units than those of the table, or so far from the training values that nobody
        can mean it.
    """
    text = want.strip()
    if found := _RANGE.fullmatch(text):
        read = _Reader(want, scale, found[3])
        low, high = sorted(read.value(part) for part in found.group(1, 2))
        goal = Goal(ASKED, low, high, _stated(low, high, values))
    elif found := _BOUND.fullmatch(text):
        read = _Reader(want, scale, found[3])
        bound = read.value(found[2])
        low, high = (bound, math.inf) if (found[1] == ">") != read.turned else (-math.inf, bound)
        goal = Goal(ASKED, low, high, _stated(low, high, values))
    elif found := _VALUE.fullmatch(text):
        read = _Reader(want, scale, found[2])
        value = read.value(found[1])
        if tolerance:
            low, high = sorted(read.end(float(found[1]) + side * tolerance) for side in (-1, 1))
            goal = Goal(ASKED, low, high, value)
        else:
            goal = _around(ASKED, value, default_tolerance(values))
    else:
        raise InputError(f"--want {want!r}: expected a value (2.0), a range (1.8 to 2.2) or a bound (>-1, <3)")
    _check_sense(goal, values, scale.modelled_units, want)
    return goal


def default_tolerance(values: np.ndarray) -> float:
    """A quarter of the standard deviation of the training values, to one significant digit."""
    share = TOLERANCE_SHARE * float(np.std(values))
    return float(f"{share:.0e}") if share else 1.0


def control_goals(goal: Goal, values: np.ndarray) -> list[Goal]:
    """Goals as wide as the one asked for at the edge of the training values and beyond it, on the side where more
    room is: the median to the edge again beyond it."""
    width = (goal.high - goal.low) / 2
    width = width if math.isfinite(width) else default_tolerance(values)
    median = float(np.median(values))
    low, high = (float(np.quantile(values, level)) for level in (1 - EDGE_QUANTILE, EDGE_QUANTILE))
    upper = goal.stated <= median  # away from what is asked for
    edge = high if upper else low
    outermost = float(values.max() if upper else values.min())
    beyond = outermost + (edge - median) / 4
    return [_around(EDGE, edge, width), _around(BEYOND, beyond, width)]


def _around(name: str, value: float, tolerance: float) -> Goal:
    return Goal(name, value - tolerance, value + tolerance, value)


def _stated(low: float, high: float, values: np.ndarray) -> float:
    """A value in a range that the training rows know: their median there, or its middle, or just beyond its bound."""
    inside = values[(values >= low) & (values <= high)]
    if len(inside) >= FEW:
        return float(np.median(inside))
    if math.isfinite(low) and math.isfinite(high):
        return (low + high) / 2
    step = default_tolerance(values)
    return low + step if math.isfinite(low) else high - step


class _Reader:
    """Turns the numbers of a wish, which are in one unit, into modelled values.

    Parameters
    ----------
    want : str
        The wish, as the user wrote it.
    scale : Scale
        That of the table.
    unit : str
        Of the numbers; empty for those of the modelled values.
    """

    def __init__(self, want: str, scale: Scale, unit: str) -> None:
        self.want, self.scale, unit = want, scale, unit.strip()
        self.of_column = bool(unit) and unit != scale.modelled_units
        self.factor, self.offset = self._conversion(unit) if self.of_column else (1.0, 0.0)

    @property
    def turned(self) -> bool:
        """Whether a larger number is a smaller modelled value."""
        return self.of_column and self.scale.decreasing

    def _conversion(self, unit: str) -> tuple[float, float]:
        units = self.scale.units
        if not units:
            raise InputError(
                f"--want {self.want!r}: the table has no units; write the value without, or name them with --units"
            )
        if not re.fullmatch(UNIT, unit):
            raise InputError(f"--want {self.want!r}: {unit!r} is no unit; the table is in {units}")
        try:
            return conversion(unit, units)
        except UnitError as error:
            raise InputError(f"--want {self.want!r}: the table is in {units} ({error})") from None

    def value(self, text: str) -> float:
        """Of a number as it is written."""
        number_ = float(text)
        if not math.isfinite(number_):
            raise InputError(f"--want {self.want!r}: is too large for a number")
        found = self.end(number_)
        if not math.isfinite(found):
            raise InputError(f"--want {self.want!r}: there is no logarithm of {text}; name a value above 0")
        return found

    def end(self, number_: float) -> float:
        """Of the end of a range; infinite where it reaches 0 and a logarithm is taken."""
        if not self.of_column:
            return number_
        found = self.factor * number_ + self.offset
        if self.scale.needs_positive and found <= 0:
            return math.inf if self.scale.decreasing else -math.inf
        return float(self.scale.forward(found))


def _check_sense(goal: Goal, values: np.ndarray, units: str, want: str) -> None:
    """Raise `InputError` where no value that is wanted lies near the training values, or all do."""
    least, most = float(values.min()), float(values.max())
    room = FARTHEST * (most - least)
    unit = f" {units}" if units else ""
    between = f"the table's values lie between {number(least)} and {number(most)}{unit}"
    if goal.low > most + room or goal.high < least - room:
        raise InputError(f"--want {want!r}: {between}; name a value nearer to them")
    if goal.low <= least and goal.high >= most:
        raise InputError(f"--want {want!r}: every molecule of the table has such a value ({between}); ask for less")
