"""What is far beyond all labels, in sentences and on the page."""

from __future__ import annotations

from typing import Any

import matplotlib.pyplot as plt
import numpy as np

from pipeline.evaluation.numbers import enumerated, number
from pipeline.report.blocks import Figure, Grid, Section, note
from pipeline.report.figures import PLAIN, colour_of, svg
from pipeline.studies.edges.far import (
    ALIKE,
    BEYOND,
    ERROR,
    ERROR_MADE,
    ERROR_TEST,
    LOST,
    PERMUTED,
    SLOPE,
    SLOPE_MADE,
    SLOPE_TEST,
    TRAINED,
    FarBeyond,
)
from pipeline.studies.edges.made import ABOVE, BELOW, DISTANCES, INSIDE, SIDES
from pipeline.studies.edges.words import in_decimals
from pipeline.studies.failure import SHOWN, Failure, Outcome
from pipeline.studies.words import few_groups, in_percent

LESS_LIKE = 0.1  # of the median Tanimoto similarity
MUCH_APART = 0.5  # standard deviations of the labels from which on the oracle does not compute what the table holds
LIMITS = (
    "What the made molecules cannot show: they differ from the table's in other ways than their label, which those "
    "made inside tell apart only as far as they are as strange; a search finds what its oracle rewards, among it "
    "molecules that nobody can make; what the oracle computes is the truth here, and measured values may go another "
    "way."
)
HOW = (
    "Made: a genetic algorithm that the oracle scores begins with the molecules of the table that have the most "
    f"extreme labels, and is asked for values {', '.join(f'{one:g}' for one in DISTANCES)} standard deviations beyond "
    "the last of all labels; elements and numbers of atoms stay those of the table, and those are taken that are most "
    "like it. Made inside: the same algorithm begins with these molecules and is asked for values in the middle of the "
    "labels; those are taken that are as large and as like the table. What goes wrong with them is due to strangeness "
    "alone. Models are trained on 80 % of all training rows each. Slope: by how much the prediction rises with the "
    "truth; 1 goes on, 0 is flat. The verdict compares the slope beyond with that of molecules made inside, as it does "
    "on the edges within the table; an arm stops if no prediction lies beyond the last label of all training rows. "
    f"Intervals are over groups of made molecules that are alike (Tanimoto from {ALIKE:g}) and over models. Permuted: "
    "models of labels that were dealt to other rows, whose slopes must be 0."
)


def sentences(far: FarBeyond) -> list[str]:
    """The answers, in the order of importance."""
    said = [_edge(far, side) for side in far.sides]
    said += [_null(far)] if far.sides else []
    said += [_made(far), *_apart(far), *_too_few(far)]
    return [*said, *_few(far), LIMITS]


def _units(far: FarBeyond) -> str:
    return f" {far.context.table.units}" if far.context.table.units else ""


def _edge(far: FarBeyond, side: str) -> str:
    """What the arms do on one side."""
    low, high = far.ends
    truth = far.molecules["truth"].to_numpy(dtype=np.float64)[far.of(side)]
    between = f"{number(float(truth.min()))} to {number(float(truth.max()))}"
    arms = "; ".join(f"{arm} {_phrase(far, arm, side)} ({_numbers(far, arm, side)})" for arm in far.arms)
    return (
        f"{side.capitalize()} all labels (training labels {number(low)} to {number(high)}{_units(far)}): on "
        f"{len(truth)} made molecules with true values of {between}: {arms}."
    )


def _phrase(far: FarBeyond, arm: str, side: str) -> str:
    return far.verdict(arm, side).replace("most extreme", "largest" if side == ABOVE else "smallest")


def _numbers(far: FarBeyond, arm: str, side: str) -> str:
    slope, inside, test, past, error, strange, usual = (
        far.interval(arm, side, measure)
        for measure in (SLOPE, SLOPE_MADE, SLOPE_TEST, BEYOND, ERROR, ERROR_MADE, ERROR_TEST)
    )
    return (
        f"slope {in_decimals(slope)}, of molecules made inside {in_decimals(inside)}, of test molecules "
        f"{in_decimals(test)}; {in_percent(past)} of predictions beyond the training labels; MAE {in_decimals(error)}, "
        f"made inside {in_decimals(strange)}, test {in_decimals(usual)}{_units(far)}"
    )


def _null(far: FarBeyond) -> str:
    """What models of permuted labels do."""
    places = [(arm, side) for arm in far.arms for side in far.sides]
    slopes = [far.interval(*place, SLOPE, PERMUTED) for place in places]
    told = [f"{arm} {side} {in_decimals(one)}" for (arm, side), one in zip(places, slopes, strict=True)]
    rise = [text for text, (_, low, high) in zip(told, slopes, strict=True) if low > 0 or high < 0]
    if rise:
        return (
            f"Warning: models of permuted labels have a slope that is told from 0 by its own interval: "
            f"{enumerated(rise)}; take slopes of this size for nothing."
        )
    return f"Models of permuted labels have no slope beyond the labels, as it must be: {enumerated(told)}."


def _made(far: FarBeyond) -> str:
    """How many molecules there are, and how like the table."""
    found = far.molecules
    parts = [f"{int(far.of(side).sum())} {side} ({_medians(far, side)})" for side in SIDES if far.of(side).any()]
    calls, failed = (sum(one[what] for one in far.makers.values()) for what in ("calls", "failed"))
    named = f"the oracle {far.context.settings.oracle} computed {calls - failed} of {calls} molecules that it was asked"
    if not len(found):
        return f"No molecule was made: {named}."
    return (
        f"Made molecules, with median similarity to the nearest training molecule: {enumerated(parts)}; {named}."
        f"{_stranger(far)}"
    )


def _stranger(far: FarBeyond) -> str:
    """Where molecules beyond are less like the table than their control is."""
    medians = far.molecules.groupby("side")["similarity"].median()
    sides = [side for side in far.sides if medians[side] < medians[INSIDE] - LESS_LIKE]
    if not sides:
        return ""
    return (
        f" Those {' and '.join(sides)} are less like the table than those made inside: what goes wrong there may be "
        "due to that as well."
    )


def _medians(far: FarBeyond, side: str) -> str:
    own = far.molecules[far.of(side)]
    return f"Tanimoto {number(float(own['similarity'].median()), 2)}, {own['heavy_atoms'].median():g} heavy atoms"


def _apart(far: FarBeyond) -> list[str]:
    """Whether the oracle computes what the table holds."""
    apart, in_spreads, count = far.off_by()
    where = f"on {count} molecules of the table"
    if not count:
        return ["Warning: the oracle has no value for any molecule of the table that it was asked."]
    said = f"the oracle and the table differ by {number(apart)}{_units(far)} (median) {where}"
    if in_spreads > MUCH_APART:
        return [f"Warning: {said}: it computes something else than the table holds, and its values are no truth here."]
    return [f"{said[0].upper()}{said[1:]}."]


def _too_few(far: FarBeyond) -> list[str]:
    """Where nothing can be said since there are no molecules."""
    missing = [side for side in (ABOVE, BELOW) if side not in far.sides]
    if not missing:
        return []
    counts = [f"{int(far.of(side).sum())} {side}" for side in (*missing, INSIDE)]
    return [
        f"What models do {' and '.join(missing)} cannot be told: too few molecules were made ({enumerated(counts)})."
    ]


def _few(far: FarBeyond) -> list[str]:
    said = [one for side in far.sides for one in few_groups(far.groups_of(side), f"groups of molecules {side}")]
    return said + (few_groups(far.groups_of(INSIDE), "groups of molecules made inside") if far.sides else [])


def section(far: FarBeyond) -> Section:
    """A part of the page."""
    if not far.sides:
        return Section("Far beyond the labels", [note(_made(far), *_too_few(far))])
    alt = "Predicted against true of molecules made far beyond the labels and inside, by arm"
    blocks = [Figure("far", _drawn(far), alt), *(_grid(far, side) for side in far.sides)]
    return Section("Far beyond the labels", [*blocks, note(HOW)])


def _grid(far: FarBeyond, side: str) -> Grid:
    units = f" ({far.context.table.units})" if far.context.table.units else ""
    header = (
        "arm",
        "slope beyond",
        "made inside",
        "test",
        "permuted",
        "share beyond training",
        f"MAE beyond{units}",
        "made inside",
        "test",
        "verdict",
    )
    rows = [
        (
            arm,
            *(far.interval(arm, side, measure) for measure in (SLOPE, SLOPE_MADE, SLOPE_TEST)),
            far.interval(arm, side, SLOPE, PERMUTED),
            *(far.interval(arm, side, measure) for measure in (BEYOND, ERROR, ERROR_MADE, ERROR_TEST)),
            _phrase(far, arm, side),
        )
        for arm in far.arms
    ]
    caption = (
        f"{side.capitalize()}: {int(far.of(side).sum())} molecules in {len(set(far.groups_of(side)))} groups, and "
        f"{int(far.of(INSIDE).sum())} in {len(set(far.groups_of(INSIDE)))} made inside."
    )
    return Grid(header, rows, frozenset({9}), name=side, caption=caption)


def _drawn(far: FarBeyond) -> str:
    """Predicted against true, the mean over models: a panel for each arm."""
    across = len(far.arms)
    figure, axes = plt.subplots(1, across, figsize=(0.6 + 2.6 * across, 3.0), squeeze=False)
    truth, inside = far.molecules["truth"].to_numpy(dtype=np.float64), far.of(INSIDE)
    style: dict[str, Any] = {"s": 10, "lw": 0, "alpha": 0.8}
    for axis, arm in zip(axes.flat, far.arms, strict=True):
        of_made, of_test = (one.mean(axis=0) for one in far.said[TRAINED, arm])
        axis.scatter(far.truth.astype(np.float64), of_test, color="#cccccc", s=5, lw=0, rasterized=True, label="test")
        axis.scatter(truth[inside], of_made[inside], color="#555555", label="made inside", **style)
        axis.scatter(truth[~inside], of_made[~inside], color=colour_of(arm), label="made beyond", **style)
        for end in far.ends:
            axis.axhline(end, color="#333333", lw=0.9, ls="--")
            axis.axvline(end, color="#333333", lw=0.5, ls="--")
        ends = [float(np.min([truth.min(), far.ends[0]])), float(np.max([truth.max(), far.ends[1]]))]
        margin = 0.05 * (ends[1] - ends[0])
        axis.plot(ends, ends, color=PLAIN, lw=0.7, ls=":")
        axis.set(title=arm, xlabel="true (oracle)", ylabel="predicted", ylim=(ends[0] - margin, ends[1] + margin))
    handles, labels = axes[0][0].get_legend_handles_labels()
    handles.append(plt.Line2D([], [], color="#333333", lw=0.9, ls="--"))
    labels.append("first and last label trained on")
    figure.legend(handles, labels, loc="outside lower center", ncols=2, frameon=False, fontsize=8)
    return svg(figure)


def failure(far: FarBeyond) -> tuple[Failure, ...]:
    """What it says, for the page over all failure modes; nothing where no side can be asked."""
    places = [(arm, side) for arm in far.arms for side in far.sides]
    if not places:
        return ()
    null = [far.interval(*place, LOST, PERMUTED)[0] for place in places]
    count = int((far.of(ABOVE) | far.of(BELOW)).sum())
    return (
        Failure(
            f"{count} molecules made with true values far beyond all labels, {int(far.of(INSIDE).sum())} made alike "
            f"with values inside, {far.context.settings.models} models each",
            "slope of the prediction on the truth lost beyond the labels, of that on molecules made inside",
            0.0,
            [Outcome(*place, far.interval(*place, LOST), SHOWN[far.told[(*place, LOST)]]) for place in places],
            f"permuted labels: {number(min(null))} to {number(max(null))}",
            "measure molecules with more extreme values; take an arm that goes on where trees stop",
            "made molecules differ from the table's in other ways as well, as far as those made inside do not",
        ),
    )
