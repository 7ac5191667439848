"""How a number is written for the model, and which numbers it may answer with."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

LEVELS_PER_DEVIATION = 10  # rounding then costs under 3 % of a standard deviation
MARGIN = 0.25  # how far beyond the training range an answer may lie, in ranges
MAX_ANSWERS = 4_000


@dataclass(frozen=True)
class NumberFormat:
    """Whole multiples of ``10**-decimals`` between two bounds.

    Parameters
    ----------
    decimals : int
        Digits behind the point; negative for multiples of ten and more.
    low, high : int
        Smallest and largest answer, as whole numbers of the resolution.
    """

    decimals: int
    low: int
    high: int

    @classmethod
    def fit(cls, values: Sequence[float] | np.ndarray, reach: tuple[float, float] = (0.0, 0.0)) -> NumberFormat:
        """The coarsest decimal resolution at or below a tenth of the standard deviation of the values.

        Coarser by powers of ten where there would be more than `MAX_ANSWERS` answers.

        Parameters
        ----------
        values : array of shape (n,)
            The training labels.
        reach : tuple of float
            How far below and above them answers must lie, in ranges of the values; less than `MARGIN` changes nothing.
        """
        array = np.asarray(values, dtype=np.float64)
        spread = float(array.std()) or max(abs(float(array[0])), 1.0)
        decimals = math.ceil(-math.log10(spread / LEVELS_PER_DEVIATION) - 1e-9)
        below, above = (max(MARGIN, share) * float(np.ptp(array)) for share in reach)
        while True:
            low, high = (round(bound * 10.0**decimals) for bound in (array.min() - below, array.max() + above))
            if high - low < MAX_ANSWERS:
                return cls(decimals, low, high)
            decimals -= 1

    @property
    def resolution(self) -> float:
        return 10.0**-self.decimals

    @property
    def values(self) -> np.ndarray:
        """All answers in ascending order. Shape (high - low + 1,)."""
        return np.array([self.number(whole) for whole in range(self.low, self.high + 1)])

    def can_write(self, values: np.ndarray) -> np.ndarray:
        """Whether each value, rounded, is an answer. Shape (n,)."""
        wholes = np.floor(values * 10.0**self.decimals + 0.5)
        return (wholes >= self.low) & (wholes <= self.high)

    def number(self, whole: int) -> float:
        return float(f"{whole}e{-self.decimals}")

    def write(self, value: float) -> str:
        """The value at this resolution, with all its decimals and no exponent."""
        rounded = self.number(math.floor(value * 10.0**self.decimals + 0.5))
        return f"{rounded + 0.0:.{max(self.decimals, 0)}f}"

    def texts(self) -> list[str]:
        """How each of `values` is written."""
        return [self.write(value) for value in self.values]
