"""Learning curves in sentences."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from pipeline.evaluation.curves import SIZES_FOR_A_FLOOR, limits
from pipeline.evaluation.numbers import enumerated, number
from pipeline.studies.learning_curve.findings import BETTER, UNTOLD, WORSE, Curves
from pipeline.studies.words import error_name, few_groups, one_seed, units_of, with_interval


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
        *_alike(curves),
    ]


def _to_use(curves: Curves) -> str:
    """The preferred baseline, and what is shown to be better with how many rows."""
    if not curves.preferred:
        return "no baseline was trained, so that no arm is named to be used."
    others = [arm for arm in curves.compared if arm != curves.preferred]
    how = (
        "by training rows of groups that are in no draw"
        if curves.chosen
        else "the first one, as no rows were left to choose by"
    )
    said = f"the preferred baseline is {curves.preferred} ({how})"
    if not others:
        return f"{said}."
    better = {arm: [size for size in curves.sizes if curves.against[arm, size] == BETTER] for arm in others}
    shown = [f"{arm} with {listed(sizes)} rows" for arm, sizes in better.items() if sizes]
    if shown:
        return f"{said}; shown to be better: {', '.join(shown)}."
    if all(curves.against[arm, size] == WORSE for arm in others for size in curves.sizes):
        return f"{said}; {enumerated(others)} {'is' if len(others) == 1 else 'are'} worse at every size."
    return f"{said}; no other arm is shown to be better at any size."


def _of_arm(curves: Curves, arm: str) -> str:
    """The ends of a curve, what the arm is worth in rows of the preferred baseline, and how it stands beside that."""
    first, last = curves.sizes[0], curves.sizes[-1]
    small, large = (with_interval(curves.error(arm, size)) for size in (first, last))
    name, units = error_name(curves), units_of(curves)
    said = f"{arm}: {name} {small}{units} with {first} training rows, {large} with {last}"
    if arm == curves.preferred:
        return f"{said}; the preferred baseline."
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
    return enumerated([str(size) for size in sizes])


def _worth(curves: Curves, arm: str) -> str:
    """The data factor of an arm over the preferred baseline with the most rows."""
    reference, size = curves.preferred, curves.sizes[-1]
    rows, low, high = curves.needed(arm, reference, size)
    value, least, most = (rows_in_words(end, curves.sizes) for end in (rows, low, high))
    said = f"With {size} rows it has the error that {reference} has with {value}"
    if value == least == most:
        return f"{said}: the data factor is {_end(rows, curves.sizes, size)}."
    factor, lowest, highest = (_end(end, curves.sizes, size) for end in (rows, low, high))
    return f"{said} [{least} to {most}]: a data factor of {factor} [{lowest} to {highest}]."


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
    """What further measurements would bring, if the curve goes on, and how far to trust that."""
    last = curves.sizes[-1]
    arm = min(curves.to_use[last], key=lambda name: float(curves.errors[name][0, -1]), default="")
    if not arm:
        return []
    more, ahead, here = curves.context.settings.more, curves.ahead(arm), curves.errors[arm][:, -1]
    gain, low, high = float(1 - ahead[0] / here[0]), *limits(1 - (ahead / here)[1:])
    if not curves.falls(arm) or low <= 0:
        said = f"Whether {more} more measurements would bring {arm} anything cannot be told: its curve may be level"
        return [f"{said} ({_percent(gain)} less error [{_percent(low)} to {_percent(high)}])."]
    said = (
        f"{more} more measurements would bring {arm} from {number(here[0])} to about "
        f"{with_interval((float(ahead[0]), *limits(ahead[1:])))}{units_of(curves)}, if its curve goes on as it did: "
        f"{_percent(gain)} less error [{_percent(low)} to {_percent(high)}]."
    )
    if not curves.can_check:
        return [f"{said} With fewer than {SIZES_FOR_A_FLOOR + 1} sizes this cannot be checked."]
    expected = curves.law(arm, len(curves.sizes) - 1).at(last)
    checked = (
        f"The curve of the smaller sizes expected {with_interval((float(expected[0]), *limits(expected[1:])))} with "
        f"{last} rows, and {number(here[0])} was measured"
    )
    return [f"{said} {checked}{': it missed, so trust neither' if curves.missed(arm) else ''}."]


def _percent(share: float) -> str:
    return f"{number(100 * share, 2)} %"


def _alike(curves: Curves) -> list[str]:
    """What intervals leave out where the seeds draw nearly all training rows."""
    if not curves.alike or curves.seeds == 1:
        return []
    rows = len(curves.split.folds[0].train)
    return [
        f"With {listed(curves.alike)} of {rows} training rows the seeds draw much the same rows: intervals hold only "
        "part of what other rows would change."
    ]


def _floor(curves: Curves) -> list[str]:
    """What measurements leave of the error of any model."""
    noise = curves.noise()
    if not np.isfinite(noise):
        return []
    return [
        f"If the noise of repeated measurements is normal, no model can have an {error_name(curves)} "
        f"below about {number(noise)}{units_of(curves)} on these test rows."
    ]
