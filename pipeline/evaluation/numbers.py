"""How numbers are written: as many digits as their interval allows, and never with an e."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

Interval = tuple[float, float, float]  # value, low, high
DIGITS = 3  # of a number without an interval
OF_WIDTH = 2  # digits of half the width of an interval that are shown
MOST_DECIMALS = 6
_RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def number(value: float, digits: int = DIGITS) -> str:
    """So many significant digits, and all that stand before the point.

    >>> number(0.12345), number(12345.6), number(-8.25e-06), number(2.5e12)
    ('0.123', '12346', '-8.25 × 10⁻⁶', '2.50 × 10¹²')
    """
    if not np.isfinite(value):
        return "n/a"
    size = _magnitude(value)
    if value and not (digits - 1 - MOST_DECIMALS <= size < 9):
        return f"{value / 10.0**size:.{digits - 1}f} × 10{str(size).translate(_RAISED)}"
    return f"{value:.0f}" if abs(value) >= 10**digits - 0.5 else f"{value:.{digits}g}"


def signed(value: float, digits: int = DIGITS) -> str:
    """`number` with its sign.

    >>> signed(0.5), signed(-0.5)
    ('+0.5', '-0.5')
    """
    return number(value, digits) if value < 0 or not np.isfinite(value) else f"+{number(value, digits)}"


def enumerated(items: Sequence[str]) -> str:
    """``a``, ``a and b``, or ``a, b and c``."""
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} and {items[-1]}"


def plain(value: Any) -> str:
    """A number with three digits, or a class label as it is."""
    return number(float(value)) if isinstance(value, (float, np.floating)) else str(value)


def probability(p: float) -> str:
    """A p-value.

    >>> probability(0.0), probability(0.0312), probability(1.0)
    ('< 0.001', '0.031', '1.000')
    """
    return "n/a" if not np.isfinite(p) else "< 0.001" if p < 0.001 else f"{p:.3f}"


def decimals_of(intervals: Sequence[Interval]) -> int | None:
    """Decimals that show two digits of half the width of the typical one of these intervals; None where that is
    nothing to go by.

    >>> decimals_of([(12.345, 11.0, 13.7), (0.5, 0.2, 3.0)])
    1
    """
    halves = [(high - low) / 2 for value, low, high in intervals if np.isfinite([value, low, high]).all()]
    wide = [half for half in halves if half > 0]
    if not wide:
        return None
    decimals = OF_WIDTH - 1 - _magnitude(float(np.median(wide)))
    return max(0, decimals) if decimals <= MOST_DECIMALS else None


def written(interval: Interval, decimals: int | None = None) -> tuple[str, str]:
    """A value and its range, which is empty where there is no interval.

    >>> written((12.345, 11.02, 13.7), 1), written((0.5, float("nan"), float("nan")))
    (('12.3', '11.0 to 13.7'), ('0.5', ''))
    """
    value, low, high = interval
    if not np.isfinite([low, high]).all():
        return (number(value) if decimals is None or not np.isfinite(value) else f"{value:.{decimals}f}"), ""
    if decimals is None:
        return number(value), f"{number(low)} to {number(high)}"
    return f"{value:.{decimals}f}", f"{low:.{decimals}f} to {high:.{decimals}f}"


def _magnitude(value: float) -> int:
    """The power of ten of the first digit; 0 of nothing."""
    return int(np.floor(np.log10(abs(value)))) if value else 0
