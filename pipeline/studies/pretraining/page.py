"""The study of pretraining on a page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from pipeline.arms.catalogue import ARMS
from pipeline.evaluation.metrics import LABELS
from pipeline.evaluation.numbers import Interval, number
from pipeline.report.blocks import Figure, Grid, Section, Text, Verdict, note
from pipeline.report.figures import PLAIN, colour_of, svg
from pipeline.report.sections import warning_notes
from pipeline.studies.learning_curve.page import in_error_and_rows, rows_cell
from pipeline.studies.pretraining.findings import Findings
from pipeline.studies.pretraining.probes import PROBED, TARGET
from pipeline.studies.pretraining.starts import FROM_RANDOM, STARTS
from pipeline.studies.words import error_with_units

HOW = (
    "All trainings take the same rows and seeds, those that tune layers the same steps; each start lacks one thing. "
    "Square brackets and ranges are 95 % intervals, over test groups (1,000 bootstrap resamples) and training seeds "
    "(widened for draws from one pool), both stretched to Student's t. One does better than another with a number of "
    "rows where its p-value by Holm's method over all questions and sizes is below 5 %; one seed tells nothing."
)
LIMITS = (
    "What this cannot show: random weights are trained for as many steps, and might do better with more; one model "
    "stands for all; what tuning finds in a few hundred steps is not all that the weights hold; and a probe that finds "
    "a property does not say that the model uses it."
)
OF_WORTH = (
    "With how many labels each has the error that random weights have with so many: between the measured sizes, "
    "straight on logarithmic scales. The difference is what that start is worth in labels."
)
OF_LAYERS = (
    "A linear model on the mean state of a row's tokens, fitted on training rows and scored on the test rows, of no "
    "tuned model. Layer 0 are the embeddings."
)


def sections(
    found: Findings, layers: pd.DataFrame, beyond: Mapping[str, Interval], said: Sequence[str]
) -> list[Section]:
    """All of the page."""
    split = found.split.name
    alt = f"{error_with_units(found)} against the number of training rows, by start"
    parts = [
        Section("", [Verdict(said), note(HOW, LIMITS)]),
        Section(
            "The same training from each start",
            [
                Figure("starts", _curves(found), alt),
                _errors(found),
                Figure("worth", _worth_drawn(found), f"Labels for the error of random weights with {found.sizes[-1]}"),
                _worth(found),
            ],
        ),
    ]
    if len(layers):
        alt = f"Score of a linear model on each layer, by property and weights, {split}"
        blocks: list[Any] = [Figure("layers", _layers(layers), alt), _best_layers(layers, beyond), note(OF_LAYERS)]
        parts.append(Section("What each layer knows", blocks))
    explained = [(name, STARTS[name].does if name in STARTS else ARMS[name].does) for name in found.arms]
    return [
        *parts,
        Section(
            "What the starts are",
            [Grid((), explained, wrapped=frozenset({1})), Text(warning_notes(found.context))],
        ),
    ]


def _errors(found: Findings) -> Grid:
    header = ("from", *(f"{size} rows" for size in found.sizes))
    rows = [(name, *(found.error(name, size) for size in found.sizes)) for name in found.arms]
    return Grid(header, rows, name="errors", caption=f"{error_with_units(found)} on the test rows; lower is better.")


def _worth(found: Findings) -> Grid:
    header = ("from", *(f"random, {size}" for size in found.sizes))
    rows = [
        (name, *(rows_cell(found.needed(FROM_RANDOM, name, size), found.sizes) for size in found.sizes))
        for name in found.compared
        if name != FROM_RANDOM
    ]
    return Grid(header, rows, name="labels worth", caption=OF_WORTH)


def _best_layers(layers: pd.DataFrame, beyond: Mapping[str, Interval]) -> Grid:
    chosen = layers[layers["chosen"]]
    rows = []
    for name, part in chosen.groupby("property", sort=False):
        tops = part.set_index("weights")
        scores = [tuple(map(float, tops.loc[weights, ["value", "low", "high"]])) for weights in PROBED]
        metric = LABELS[tops["metric"].iloc[0]]
        rows.append((name, metric, int(tops["layer"].iloc[0]), *scores, beyond[str(name)]))
    header = ("property", "score", "layer", *PROBED, "published above random")
    caption = "Each at the layer that does best on training rows; the layer named is that of the published weights."
    return Grid(header, rows, frozenset({1}), name="layers", caption=caption)


def _colour(name: str) -> str:
    return STARTS[name].colour if name in STARTS else colour_of(name)


def _curves(found: Findings) -> str:
    """Error against rows, a line for each start."""
    figure, axis = plt.subplots(figsize=(7.4, 4.6))
    for name in found.arms:
        values = np.array([found.error(name, size) for size in found.sizes])
        style = "o-" if name in STARTS else "o:"
        axis.plot(found.sizes, values[:, 0], style, color=_colour(name), label=name, ms=4)
        axis.fill_between(found.sizes, values[:, 1], values[:, 2], color=_colour(name), alpha=0.06, lw=0)
    in_error_and_rows(axis, found)
    axis.legend(frameon=False, fontsize=8, loc="center left", bbox_to_anchor=(1.0, 0.5))
    return svg(figure)


def _worth_drawn(found: Findings) -> str:
    """With how many labels each start has the error of random weights with the most."""
    names = [name for name in found.compared if name != FROM_RANDOM]
    least, most = found.sizes[0], found.sizes[-1]
    ends = (least * 0.8, most * 1.25)  # where what lies beyond the sizes is drawn
    figure, axis = plt.subplots(figsize=(7.0, 0.9 + 0.26 * len(names)))
    for place, name in enumerate(reversed(names)):
        rows, low, high = np.clip(found.needed(FROM_RANDOM, name, most), *ends)
        axis.plot([low, high], [place, place], color=_colour(name), lw=1.6)
        axis.plot(rows, place, "<" if rows == ends[0] else ">" if rows == ends[1] else "o", color=_colour(name))
    axis.axvline(most, color=PLAIN, lw=0.8, ls=":")
    axis.set(
        xscale="log",
        xlim=(ends[0] * 0.93, ends[1] * 1.07),
        xlabel=f"labels for the error of random weights with {most}",
    )
    axis.set_xticks(found.sizes, [number(size) for size in found.sizes])
    axis.xaxis.minorticks_off()
    axis.set_yticks(range(len(names)), list(reversed(names)))
    return svg(figure)


def _layers(layers: pd.DataFrame) -> str:
    """Score against layer, a panel for each property."""
    names = list(dict.fromkeys(layers["property"]))
    across = min(3, len(names))
    down = -(-len(names) // across)
    figure, axes = plt.subplots(down, across, figsize=(3.4 * across, 2.4 * down), sharex=True, squeeze=False)
    for axis, name in zip(axes.flat, names, strict=False):
        part = layers[layers["property"] == name]
        for weights, line, colour in zip(PROBED, ("-", "--", ":"), ("#c1121f", "#6c757d", "#2a9d8f"), strict=True):
            one = part[part["weights"] == weights]
            if len(one):
                axis.plot(one["layer"], one["value"], line, color=colour, label=weights)
                axis.fill_between(one["layer"], one["low"], one["high"], color=colour, alpha=0.08, lw=0)
        axis.set_title("the target" if name == TARGET else str(name), fontsize=9)
        floor = 0.5 if part["metric"].iloc[0] == "auroc" else 0.0
        axis.axhline(floor, color=PLAIN, lw=0.6, ls=":")
        axis.set_ylim(max(floor - 0.25, float(part["value"].min()) - 0.05), 1.02)
        axis.set_ylabel(LABELS[part["metric"].iloc[0]])
        axis.set_xlabel("layer")
    for axis in axes.flat[len(names) :]:
        axis.axis("off")
    axes.flat[0].legend(frameon=False, fontsize=7)
    return svg(figure)
