"""The study of a planted marker on a page."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np

from pipeline.report.blocks import Figure, Grid, Section, Text, Verdict, note
from pipeline.report.figures import PLAIN, colour_of, svg
from pipeline.report.sections import explained_arms, warning_notes
from pipeline.studies.shortcut.findings import TESTS, Findings
from pipeline.studies.shortcut.planting import Training, marker_of
from pipeline.studies.shortcut.settings import NULL
from pipeline.studies.words import error_name, error_with_units

HOW = (
    "In training a row whose label is above the median of the training rows (or that is of the class named above) "
    "carries the marker with the strength as chance, any other row with the rest. Each model then predicts every test "
    "row with the marker and without it, from which its error follows for any way in which the marker may go. Reliance "
    "is the error with the marker on the wrong rows less that with the marker on any row at random, less the same at "
    "strength 0.5, which is what the marker does by being there. Square brackets and ranges are 95 % intervals, over "
    "test groups (1,000 bootstrap resamples) and over training seeds, each of which deals the marker anew, both "
    "stretched to Student's t. Reliance is shown where its p-value by Holm's method over all arms, markers and "
    "strengths is below 5 % (strength 0.5 is corrected for itself); one seed tells nothing."
)
LIMITS = (
    "What this cannot show: a planted marker is cleaner than a real one, which comes in many forms and with structures "
    "of its own, so that real reliance may be smaller, or harder to see. The marker is one of many features: an arm "
    "that does not rely on this one may rely on another. What is shown is what a marker does if it is there, not that "
    "your table has one. Where all training rows are taken, intervals leave out what other rows would change."
)
OF_TESTS = "How the marker goes with the label in the test:"


def sections(found: Findings, said: Sequence[str]) -> list[Section]:
    """All of the page."""
    return [
        Section("", [Verdict(said), note(HOW, LIMITS)]),
        *[_of_marker(found, marker) for marker in found.markers],
        Section(
            "What the words mean",
            [
                Text([OF_TESTS]),
                Grid((), list(TESTS.items()), wrapped=frozenset({1})),
                Grid((), explained_arms(found.arms), wrapped=frozenset({1})),
                Text(warning_notes(found.context)),
            ],
        ),
    ]


def _of_marker(found: Findings, marker: str) -> Section:
    planted = marker_of(found.context, marker)
    alt = f"Error with the {marker} reversed less that at random, against its strength, a line for each arm"
    blocks: list[Any] = [
        note(f"Planted: {planted.does}. The control is the same model with it {planted.control}."),
        Figure(f"reliance-{marker}", _figure(found, marker), alt),
        _reliance(found, marker),
        _errors(found, marker),
    ]
    return Section(f"{str(planted)[0].upper()}{str(planted)[1:]}", blocks)


def _reliance(found: Findings, marker: str) -> Grid:
    planted = [one for one in found.strengths if one > NULL]
    header = ("arm", *(f"strength {one:g}" for one in planted), f"taken off ({NULL:g})", "shown at")
    rows = []
    for arm in found.arms:
        shown = ", ".join(f"{one:g}" for one in planted if found.reliance[marker, arm, one].shown)
        values = [found.reliance[marker, arm, one].value for one in (*planted, NULL)]
        rows.append((arm, *values, shown or "none"))
    caption = (
        f"Reliance, in {error_with_units(found)}: how much worse it is on the wrong rows than at random, less that at "
        f"strength {NULL:g} (the column before the last)."
    )
    return Grid(header, rows, frozenset({len(header) - 1}), name=f"reliance {marker}", caption=caption)


def _errors(found: Findings, marker: str) -> Grid:
    training = Training(marker, found.strengths[-1])
    header = ("arm", "trained without", *TESTS, "cost at random")
    rows = [
        (
            arm,
            found.unmarked_error(arm, marker),
            *(found.error(arm, training, test) for test in TESTS),
            found.cost(arm, training),
        )
        for arm in found.arms
    ]
    caption = (
        f"{error_with_units(found)} by how the marker goes in the test, of models trained at strength "
        f"{training.strength:g}, beside those trained without any marker; the cost is the difference between the "
        "latter and a marker at random."
    )
    return Grid(header, rows, name=f"errors {marker}", caption=caption)


def _figure(found: Findings, marker: str) -> str:
    """Reliance against strength, a line for each arm."""
    figure, axis = plt.subplots(figsize=(7.4, 4.2))
    shift = np.linspace(-0.004, 0.004, len(found.arms))  # so that ranges stand beside one another
    for arm, by in zip(found.arms, shift, strict=True):
        values = np.array([found.reliance[marker, arm, one].turned for one in found.strengths])
        places = np.array(found.strengths) + by
        axis.plot(places, values[:, 0], "o-", color=colour_of(arm), label=arm, ms=4)
        axis.vlines(places, values[:, 1], values[:, 2], color=colour_of(arm), lw=1.2, alpha=0.6)
    axis.axhline(0.0, color=PLAIN, lw=0.8, ls=":")
    units = error_with_units(found).removeprefix(error_name(found))
    axis.set(
        xlabel="strength: chance of the marker above the median, in training",
        ylabel=f"{error_name(found)} reversed − at random{units}",
    )
    axis.set_xticks(found.strengths, [f"{one:g}" for one in found.strengths])
    axis.grid(axis="y", alpha=0.25)
    axis.legend(frameon=False, fontsize=8, loc="center left", bbox_to_anchor=(1.0, 0.5))
    return svg(figure)
