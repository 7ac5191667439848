"""The study of edges on a page."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np

from pipeline.report.blocks import Figure, Folded, Grid, Group, Listed, Section, Text, Verdict, Written, note
from pipeline.report.figures import PLAIN, colour_of, svg
from pipeline.report.sections import explained_arms, warning_notes
from pipeline.studies.edges.directions import (
    DISAGREEMENT,
    DISAGREEMENT_RISE,
    ERROR,
    ERROR_RISE,
    LESS,
    MORE,
    QUOTIENT,
    UNTOLD,
    AlongDirections,
)
from pipeline.studies.edges.labels import MEASURES as OF_LABELS
from pipeline.studies.edges.labels import BeyondLabels
from pipeline.studies.edges.rows import Edge, control_of, rows_of
from pipeline.studies.edges.words import phrase
from pipeline.studies.words import error_name

HOW = (
    "All tests are on held-out rows. Of the others, models are trained on the middle 60 % along a direction, or up to "
    "an edge of the labels; the control is as many rows drawn from all of them. Each model has its own 80 % of its "
    "rows. Square brackets and ranges are 95 % intervals over test groups (1,000 bootstrap resamples) and models "
    "(widened for draws from one pool), by Student's t. A cost or a verdict is shown where its "
    "p-value by Holm's method over all arms and directions, or arms and edges, is below 5 %. The largest of many "
    "ratios is somewhat too large, since chance helped to make it that."
)
OF_DIRECTIONS = (
    "Directions come from standardised descriptors of training rows, without labels; of descriptors that go along with "
    "one another (correlation above 0.95) one is kept. Much variance: the first principal directions. Little: the last "
    "of those that together hold 95 % of the variance. Random: a random weight for each descriptor. Permuted scores: "
    "scores of the first directions, dealt to other rows, so that the rows outside are any rows: the null, with ratios "
    "of 1. Disagreement is the standard deviation between the models of an arm; its interval holds what the models and "
    "test rows change, not what other training rows would."
)
OF_RATIOS = (
    "Trained in the middle, relative to as many rows over the full width, on the same test rows outside: 1 is no "
    "difference. Rise: outside over inside, relative to the same of the full width. Quotient: the rise of the error by "
    "that of the disagreement; above 1 the models agree more than they err. Means over directions are geometric."
)
OF_SLOPES = (
    "By how much the prediction rises with the truth: 1 goes on, 0 is flat. Predictions of a model that errs rise less "
    "than the truth even inside the range, so that an arm is judged beside its control on the same rows beyond. Goes "
    "on: its slope is above half of the control's, and not shown to be below nine tenths of it (rows that are chosen "
    "by noisy labels flatten any fit a little). More slowly: it rises, and is shown to be below that. Flattens: it is "
    "not shown to rise, and shown to be below half. Stops: no prediction lies beyond the last label trained on, where "
    "some of the control do."
)


def sections(
    along: AlongDirections, beyond: BeyondLabels, said: Sequence[str], further: Sequence[Section] = ()
) -> list[Section]:
    """All of the page; ``further`` is what stands behind the edges of the labels."""
    context = along.context
    left = [*rows_of(context).left_out, *context.left_out]
    parts = [Section("", [Verdict(said), note(HOW), *([Listed(left, "Left out", box=True)] if left else [])])]
    if along.directions:
        alt = f"Rise of {error_name(along)} and of disagreement outside of the middle, by direction and arm"
        blocks = [Figure("directions", _ratios_drawn(along), alt), _by_kind(along)]
        folded = Folded("Each direction", [_by_direction(along)])
        parts.append(
            Section("Along directions of the descriptors", [*blocks, folded, _explained(along), note(OF_DIRECTIONS)])
        )
    if beyond.edges:
        alt = "Predicted against true beyond the edge, by arm and edge"
        blocks = [Figure("beyond", _beyond_drawn(beyond), alt), *(_of_edge(beyond, edge) for edge in beyond.edges)]
        parts.append(Section("Beyond the labels", [*blocks, note(OF_SLOPES)]))
    arms = Grid((), explained_arms(context.arms), wrapped=frozenset({1}))
    return [*parts, *further, Section("What the arms are", [arms, Text(warning_notes(context))])]


RATIOS = (ERROR, DISAGREEMENT, ERROR_RISE, DISAGREEMENT_RISE, QUOTIENT)


def _named(along: AlongDirections) -> tuple[str, ...]:
    error = error_name(along)
    return (f"{error} outside", "disagreement outside", f"rise of {error}", "rise of disagreement", "quotient")


def _by_kind(along: AlongDirections) -> Grid:
    rows = [
        Group(
            f"{kind} ({len(along.of_kind(kind))} direction{'s' * (len(along.of_kind(kind)) > 1)})",
            [(arm, *(along.ratio(arm, along.of_kind(kind), measure) for measure in RATIOS)) for arm in along.arms],
        )
        for kind in along.kinds
    ]
    return Grid(("arm", *_named(along)), rows, name="ratios by kind", caption=OF_RATIOS)


def _by_direction(along: AlongDirections) -> Grid:
    words = {MORE: "higher", LESS: "lower", UNTOLD: UNTOLD}
    rows = [
        (
            one.name,
            arm,
            *(along.ratio(arm, [one], measure) for measure in (ERROR, *RATIOS[2:])),
            words[along.told[arm, one.name, ERROR]],
            words[along.told[arm, one.name, QUOTIENT]],
        )
        for one in along.directions
        for arm in along.arms
    ]
    header = ("direction", "arm", _named(along)[0], *_named(along)[2:], "error shown", "quotient shown")
    caption = "Each direction for itself, and whether error outside and quotient are shown to differ from 1."
    return Grid(header, rows, frozenset({1, 6, 7}), name="ratios by direction", caption=caption)


def _explained(along: AlongDirections) -> Grid:
    rows = [
        (name, words, Written(f"{100 * share:.1f} %", key=share), *counts)
        for name, words, share, *counts in along.described().to_numpy(dtype=object).tolist()
    ]
    header = ("direction", "largest loadings", "variance", "training rows", "test rows outside", "inside")
    return Grid(header, rows, frozenset({1}), name="directions", caption="What the directions are.")


def _of_edge(beyond: BeyondLabels, edge: Edge) -> Grid:
    units = f" ({beyond.context.table.units})" if beyond.context.table.units else ""
    header = (
        "arm",
        "slope beyond",
        "of the control",
        "slope inside",
        "share past the edge",
        "of the control",
        f"shortfall{units}",
        "of the control",
        "verdict",
    )
    rows = [
        (arm, *(beyond.interval(arm, edge, measure) for measure in OF_LABELS), phrase(beyond.verdict(arm, edge), edge))
        for arm in beyond.arms
    ]
    count, where = int(beyond.rows_beyond(edge).sum()), "above" if edge.upwards else "below"
    caption = (
        f"{edge.name.capitalize()}: {len(edge.train)} training rows with labels {'up' if edge.upwards else 'down'} to "
        f"{edge.last:.4g}; {count} test {beyond.context.table.rows_are} {where} it."
    )
    return Grid(header, rows, frozenset({8}), name=edge.name, caption=caption)


def _ratios_drawn(along: AlongDirections) -> str:
    """A panel for each arm, a line for each direction: the error filled, the disagreement hollow."""
    count, names = len(along.arms), [one.name for one in along.directions]
    figure, axes = plt.subplots(
        1, count, figsize=(1.6 + 1.9 * count, 1.1 + 0.3 * len(names)), sharey=True, squeeze=False
    )
    for axis, arm in zip(axes.flat, along.arms, strict=True):
        for place, one in enumerate(reversed(along.directions)):
            for measure, beside, face in ((ERROR_RISE, 0.14, colour_of(arm)), (DISAGREEMENT_RISE, -0.14, "white")):
                value, low, high = along.ratio(arm, [one], measure)
                axis.plot([low, high], [place + beside] * 2, color=colour_of(arm), lw=1.2, alpha=0.7)
                axis.plot(value, place + beside, "o", color=colour_of(arm), mfc=face, ms=4.5)
        axis.axvline(1, color=PLAIN, lw=0.8, ls=":")
        axis.set(title=arm, xscale="log", xlabel="rise")
        low, high = axis.get_xlim()
        shown = [tick for tick in (0.25, 0.5, 1, 2, 4, 8) if low <= tick <= high]
        axis.set_xticks(shown, [f"{tick:g}" for tick in shown])
        axis.xaxis.minorticks_off()
    axes[0][0].set_yticks(range(len(names)), list(reversed(names)))
    handles = [
        plt.Line2D([], [], color=PLAIN, marker="o", mfc=face, ls="", label=label)
        for face, label in ((PLAIN, "error"), ("white", "disagreement between models"))
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=2, frameon=False, fontsize=8)
    return svg(figure)


def _beyond_drawn(beyond: BeyondLabels) -> str:
    """Predicted against true beyond the edge, the mean over seeds: a panel for each arm and edge."""
    across, down = len(beyond.arms), len(beyond.edges)
    figure, axes = plt.subplots(down, across, figsize=(0.6 + 2.3 * across, 2.5 * down), squeeze=False)
    for line, edge in zip(axes, beyond.edges, strict=True):
        rows = beyond.rows_beyond(edge)
        truth = beyond.values[rows]
        means = {
            (arm, name): beyond.said[name, arm].mean(axis=0)[rows]
            for arm in beyond.arms
            for name in (edge.name, control_of(edge))
        }
        ends = np.quantile(np.concatenate([truth, *means.values()]), [0.002, 0.998])
        for axis, arm in zip(line, beyond.arms, strict=True):
            style: dict[str, Any] = {"s": 9, "lw": 0, "rasterized": len(truth) > 400}
            axis.scatter(truth, means[arm, control_of(edge)], color="#bbbbbb", label="whole range", **style)
            axis.scatter(truth, means[arm, edge.name], color=colour_of(arm), alpha=0.7, label="up to the edge", **style)
            axis.axhline(edge.last, color="#333333", lw=0.9, ls="--", label="last label trained on")
            axis.plot(ends, ends, color=PLAIN, lw=0.7, ls=":")
            axis.set(title=f"{arm}, {edge.name}", xlabel="measured", ylabel="predicted", ylim=_wider(ends))
    handles, labels = axes[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3, frameon=False, fontsize=8)
    return svg(figure)


def _wider(ends: np.ndarray) -> tuple[float, float]:
    margin = 0.05 * float(ends[1] - ends[0])
    return float(ends[0]) - margin, float(ends[1]) + margin
