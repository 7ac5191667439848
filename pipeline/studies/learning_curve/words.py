"""Learning curves in sentences."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import groupby

import numpy as np

from pipeline.evaluation.curves import limits
from pipeline.evaluation.metrics import LABELS
from pipeline.evaluation.numbers import number
from pipeline.studies.learning_curve.findings import BETTER, UNTOLD, WORSE, Curves, error_of
from pipeline.studies.words import few_groups, one_seed, with_interval
from pipeline.tables.targets import CLASSES


def sentences(curves: Curves) -> list[str]:
    """What the curves of a split say, in the order of importance."""
    context = curves.context
    start = f"Split {curves.split.name}, {len(curves.test)} test {context.table.rows_are}"
    ordered = sorted(curves.compared, key=lambda arm: arm != curves.preferred)
    return [
        f"{start}: {_to_use(curves)}",
        *[_of_arm(curves, arm) for arm in ordered],
        *_ahead(curves),
        *_floor(curves),
        *few_groups(curves.groups),
        *one_seed(curves.seeds),
    ]


def units_of(curves: Curves) -> str:
    """The units behind an error, with the space before them."""
    table = curves.context.table
    return f" {table.units}" if table.units and curves.context.task != CLASSES else ""


def _to_use(curves: Curves) -> str:
    """Which arm to use with how many rows."""
    if not curves.preferred:
        return "no baseline was trained, so that no arm is named to be used."
    ranges = [
        (arm, [size for size, _ in sizes]) for arm, sizes in groupby(curves.to_use.items(), key=lambda item: item[1])
    ]
    if len(ranges) > 1:
        said = ", ".join(f"{arm} with {_from_to(sizes)} training rows" for arm, sizes in ranges)
        return f"the arm to use changes: {said}."
    arm = ranges[0][0]
    if arm != curves.preferred:
        return f"the arm to use is {arm} at every size; its error is below that of {curves.preferred}."
    others = [other for other in curves.compared if other != arm]
    if not others:
        return f"{arm} is the only arm."
    verb = "is" if len(others) == 1 else "are"
    worse = all(curves.against[other, size] == WORSE for other in others for size in curves.sizes)
    beside = "worse than it at every size" if worse else "not better at any size"
    return f"the arm to use is {arm} at every size; {_and(others)} {verb} {beside}."


def _from_to(sizes: Sequence[int]) -> str:
    return f"{sizes[0]}" if len(sizes) == 1 else f"{sizes[0]} to {sizes[-1]}"


def _and(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _of_arm(curves: Curves, arm: str) -> str:
    """The ends of a curve, what the arm is worth in rows of the preferred baseline, and how it stands beside that."""
    first, last = curves.sizes[0], curves.sizes[-1]
    small, large = (with_interval(curves.error(arm, size)) for size in (first, last))
    name, units = LABELS[error_of(curves.context)], units_of(curves)
    said = f"{arm}: {name} {small}{units} with {first} training rows, {large} with {last}"
    if arm == curves.preferred:
        return f"{said}; the preferred baseline, by training rows outside of each draw."
    if not curves.preferred:
        return f"{said}."
    states = [curves.against[arm, size] for size in curves.sizes]
    parts = []
    for state in (BETTER, WORSE, UNTOLD):
        sizes = [size for size, one in zip(curves.sizes, states, strict=True) if one == state]
        if sizes:
            everywhere = f"at {'any' if state == UNTOLD else 'every'} size"
            parts.append(f"{state} {everywhere if len(sizes) == len(states) else f'with {listed(sizes)} rows'}")
    return f"{said}. Beside {curves.preferred}: {', '.join(parts)}. {_worth(curves, arm)}"


def listed(sizes: Sequence[int]) -> str:
    """``10, 20 and 50``."""
    return _and([str(size) for size in sizes])


def _worth(curves: Curves, arm: str) -> str:
    """The data factor of an arm over the preferred baseline, with the most rows for which it could be measured."""
    reference = curves.preferred
    found = {size: curves.needed(arm, reference, size) for size in curves.sizes}
    within = [size for size, (rows, _, _) in found.items() if 0 < rows < math.inf]
    size = within[-1] if within else curves.sizes[-1]
    rows, low, high = found[size]
    said = f"With {size} rows it has the error that {reference} has with "
    if not within:
        side = "fewer" if not rows else "more"
        edge = curves.sizes[0] if not rows else curves.sizes[-1]
        return f"{said}{side} than {edge}: the data factor is beyond what was measured."
    between = f"[{rows_in_words(low, curves.sizes)} to {rows_in_words(high, curves.sizes)}]"
    least, most = (_end(rows, curves.sizes, size) for rows in (low, high))
    factor = f"{number(rows / size, 2)} [{least} to {most}]"
    return f"{said}{rows_in_words(rows, curves.sizes)} {between}: a data factor of {factor}."


def _end(rows: float, sizes: Sequence[int], size: int) -> str:
    """An end of the interval of a data factor."""
    if rows == 0:
        return f"less than {number(sizes[0] / size, 2)}"
    return f"more than {number(sizes[-1] / size, 2)}" if math.isinf(rows) else number(rows / size, 2)


def rows_in_words(rows: float, sizes: Sequence[int]) -> str:
    """A number of rows, or on which side of what was measured it lies."""
    if rows == 0:
        return f"fewer than {sizes[0]}"
    return f"more than {sizes[-1]}" if math.isinf(rows) else f"{rows:.0f}"


def _ahead(curves: Curves) -> list[str]:
    """What further measurements would bring to the arm to use, if its curve goes on, and how far to trust that."""
    arm, last = curves.to_use[curves.sizes[-1]], curves.sizes[-1]
    if not arm:
        return []
    more, ahead = curves.context.settings.more, curves.ahead(arm)
    here = curves.errors[arm][:, -1]
    gain, low, high = float(1 - ahead[0] / here[0]), *limits(1 - (ahead / here)[1:])
    said = (
        f"{more} more measurements would bring {arm} from {number(here[0])} to about "
        f"{with_interval((float(ahead[0]), *limits(ahead[1:])))}{units_of(curves)}, if its curve goes on as it did: "
        f"{_percent(gain)} less error [{_percent(low)} to {_percent(high)}]."
    )
    if not curves.can_check:
        return [f"{said} With so few sizes this cannot be checked."]
    expected = curves.law(arm, len(curves.sizes) - 1).at(last)
    checked = (
        f"The curve of the smaller sizes expected {with_interval((float(expected[0]), *limits(expected[1:])))} with "
        f"{last} rows, and {number(here[0])} was measured"
    )
    return [f"{said} {checked}{': it missed, so trust neither' if curves.missed(arm) else ''}."]


def _percent(share: float) -> str:
    return f"{number(100 * share, 2)} %"


def _floor(curves: Curves) -> list[str]:
    """What measurements leave of the error of any model."""
    noise = curves.noise()
    if not np.isfinite(noise):
        return []
    return [
        f"By repeated measurements no model can have an {LABELS[error_of(curves.context)]} below about "
        f"{number(noise)}{units_of(curves)} on these test rows."
    ]
