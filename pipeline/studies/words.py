"""How studies write shares, intervals and differences, and what they say of few groups and few seeds."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from pipeline.evaluation.bootstrap import MIN_GROUPS
from pipeline.evaluation.metrics import LABELS, PRIMARY
from pipeline.evaluation.numbers import Interval, number
from pipeline.evaluation.seeded import effective_groups, too_few
from pipeline.runs.context import Context
from pipeline.tables.targets import CLASSES

RESAMPLES = 1_000  # of whole test groups
ERROR = {CLASSES: "log_loss"}  # what studies compare errors by; the metric of a comparison of arms for numbers


def error_of(context: Context) -> str:
    """The name of the metric that studies compare errors by."""
    return ERROR.get(context.task, PRIMARY[context.task])


class Found(Protocol):
    """What a study found, as far as words need it."""

    @property
    def context(self) -> Context: ...


def error_name(found: Found) -> str:
    """What the metric of `error_of` is called."""
    return LABELS[error_of(found.context)]


def units_of(found: Found) -> str:
    """The units behind an error, with the space before them; none for classes."""
    table = found.context.table
    return f" {table.units}" if table.units and found.context.task != CLASSES else ""


def error_with_units(found: Found) -> str:
    """``MAE (nm)``, or ``log-loss``."""
    units = units_of(found).strip()
    return f"{error_name(found)} ({units})" if units else error_name(found)


def few_groups(groups: np.ndarray, what: str = "independent test groups") -> list[str]:
    """A word of caution where there are too few independent test groups, or some are so large that they tell no more.

    Parameters
    ----------
    groups : ndarray of shape (n,)
        The group of each test row.
    """
    if not too_few(groups):
        return []
    count, alike = len(set(groups)), effective_groups(groups)
    unequal = f" ({count} that tell as much as {alike:.3g} of equal size)" if count >= MIN_GROUPS else ""
    return [f"Fewer than {MIN_GROUPS} {what}{unequal}: intervals say little here."]


def one_seed(seeds: int) -> list[str]:
    """What the intervals of a single training seed leave out."""
    return ["One training seed: no interval includes the variation between draws of training rows."] * (seeds == 1)


def with_interval(found: Interval) -> str:
    """``0.81 [0.78 to 0.84]``."""
    value, low, high = found
    return f"{number(value)} [{number(low)} to {number(high)}]" if np.isfinite([low, high]).all() else number(value)


def in_percent(found: Interval) -> str:
    """A share as ``81 % [78 to 84]``; what is not quite all or none is not rounded to it."""
    value, low, high = (_whole_percent(part) for part in found)
    return f"{value} % [{low} to {high}]" if np.isfinite(found[1:]).all() else f"{value} %"


def _whole_percent(share: float) -> str:
    percent = 100 * share
    if 0 < percent < 0.5 or 99.5 <= percent < 100:
        return f"{min(max(percent, 0.1), 99.9):.1f}"
    return f"{percent:.0f}"


def can_be_chance(found: Interval) -> bool:
    """Whether a difference may be none: its interval holds zero, or is not known."""
    return not (found[1] > 0 or found[2] < 0)


def biased(found: Interval) -> str:
    """``12 [8 to 16] yield points too much``, or too little; said where it can be chance."""
    value, low, high = found if found[0] >= 0 else (-found[0], -found[2], -found[1])
    side = "too much" if found[0] >= 0 else "too little"
    return (
        f"{with_interval((value, low, high))} yield points {side}{' (not significant)' if can_be_chance(found) else ''}"
    )
