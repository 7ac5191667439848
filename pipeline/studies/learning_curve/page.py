"""Learning curves on a page."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np

from pipeline.evaluation.curves import limits
from pipeline.evaluation.metrics import LABELS, PRIMARY
from pipeline.evaluation.numbers import Interval, number
from pipeline.report.blocks import Figure, Grid, Section, Text, Verdict, Written, note
from pipeline.report.figures import colour_of, svg
from pipeline.report.sections import explained_arms, file_name, warning_notes
from pipeline.runs.context import Context
from pipeline.studies.learning_curve.findings import Curves
from pipeline.studies.words import error_name, error_with_units
from pipeline.tables.targets import CLASSES

HOW = (
    "Square brackets and ranges are 95 % intervals: for the test rows from 1,000 bootstrap resamples of whole test "
    "groups, for the training from the spread of the seeds, widened for draws from one pool (one seed leaves that "
    "out), both stretched to Student's t. Within a seed a larger training set holds a smaller one. An arm counts as "
    "better or worse where its p-value by Holm's method over all arms and sizes is below 5 %; one seed tells nothing."
)
OF_FACTORS = (
    "How many training rows the preferred baseline needs for the error that an arm has with so many: between the "
    "measured sizes, straight on logarithmic scales. Fewer than the arm has speaks against the arm."
)
OF_LAWS = (
    "The law is floor + scale × rows^−exponent. A larger exponent is a steeper fall; the floor is what more rows of "
    "this kind would not take away (none is fitted to fewer than four sizes). The last column is what the law of the "
    "smaller sizes expected of the largest one, beside what was measured there."
)


def sections(context: Context, by_split: Sequence[Curves], said: Sequence[str]) -> list[Section]:
    """All of the page."""
    return [
        Section("", [Verdict(said), note(HOW)]),
        *[_of_split(curves) for curves in by_split],
        Section(
            "What the arms are",
            [
                Grid((), explained_arms(context.arms), wrapped=frozenset({1})),
                Text(warning_notes(context)),
            ],
        ),
    ]


def _of_split(curves: Curves) -> Section:
    name = curves.split.name
    metric = error_name(curves)
    blocks: list[Any] = [
        Figure(f"curves-{file_name(name)}", _figure(curves), f"{metric} against the number of training rows, {name}"),
        _errors(curves),
    ]
    if curves.context.task == CLASSES:
        blocks += [_scores(curves, PRIMARY[CLASSES]), _scores(curves, "accuracy")]
    if curves.preferred and len(curves.compared) > 1:
        blocks.append(_factors(curves))
    return Section(f"{name} split", [*blocks, _laws(curves)])


def _header(curves: Curves) -> tuple[str, ...]:
    return ("arm", *(f"{size} rows" for size in curves.sizes))


def _errors(curves: Curves) -> Grid:
    rows = [(arm, *(curves.error(arm, size) for size in curves.sizes)) for arm in curves.arms]
    caption = f"{error_with_units(curves)} on the test rows; lower is better."
    return Grid(_header(curves), rows, name="errors", caption=caption)


def _scores(curves: Curves, metric: str) -> Grid:
    """The metric that other tables lead with."""
    rows = [(arm, *(curves.interval(metric, arm, size) for size in curves.sizes)) for arm in curves.arms]
    return Grid(_header(curves), rows, name=metric, caption=f"{LABELS[metric]} on the test rows; higher is better.")


def _factors(curves: Curves) -> Grid:
    rows = [
        (arm, *(rows_cell(curves.needed(arm, curves.preferred, size), curves.sizes) for size in curves.sizes))
        for arm in curves.compared
        if arm != curves.preferred
    ]
    return Grid(_header(curves), rows, name="rows needed", caption=f"Baseline: {curves.preferred}. {OF_FACTORS}")


def rows_cell(needed: Interval, sizes: Sequence[int]) -> Written:
    """A number of rows with its interval, what lies beyond the measured sizes as such."""

    def short(rows: float) -> str:
        return f"< {sizes[0]}" if rows == 0 else f"> {sizes[-1]}" if np.isinf(rows) else f"{rows:.0f}"

    value, low, high = map(short, needed)
    return Written(value, "" if low == high == value else f"{low} to {high}", needed[0])


def _laws(curves: Curves) -> Grid:
    more, last = curves.context.settings.more, curves.sizes[-1]
    header = ["arm", "exponent", f"with {last + more} rows"]
    if curves.has_floor:
        header.insert(2, "floor")
    if curves.can_check:
        header += [f"with {last} rows, expected", "measured"]
    rows = []
    for arm in curves.compared:
        law, ahead = curves.law(arm), curves.ahead(arm)
        parts = [law.exponent, law.floor, ahead] if curves.has_floor else [law.exponent, ahead]
        if curves.can_check:
            parts.append(curves.law(arm, len(curves.sizes) - 1).at(last))
        cells: list[Any] = [(float(part[0]), *limits(part[1:])) for part in parts]
        if not curves.falls(arm):
            cells[0] = "may be level"
        rows.append((arm, *cells, *([float(curves.errors[arm][0, -1])] if curves.can_check else [])))
    return Grid(header, rows, name="laws", caption=OF_LAWS)


def _figure(curves: Curves) -> str:
    """Error against size on logarithmic scales, each with its law as far as it looks ahead."""
    figure, axis = plt.subplots(figsize=(7.0, 4.4))
    sizes, last = np.array(curves.sizes), curves.sizes[-1]
    beyond = np.geomspace(last, last + curves.context.settings.more, 20)
    for arm in curves.arms:
        values = np.array([curves.error(arm, size) for size in curves.sizes])
        axis.plot(sizes, values[:, 0], "o-", color=colour_of(arm), label=arm, ms=4)
        axis.fill_between(sizes, values[:, 1], values[:, 2], color=colour_of(arm), alpha=0.10, lw=0)
        if arm in curves.compared:
            law = curves.law(arm)
            ahead = [float(values[-1, 0] * law.at(rows)[0] / law.at(last)[0]) for rows in beyond]
            axis.plot(beyond, ahead, ":", color=colour_of(arm), lw=1.4)
    noise = curves.noise()
    if np.isfinite(noise):
        axis.axhline(noise, color="#777777", lw=0.9, ls="--", label="noise of the measurements")
    in_error_and_rows(axis, curves, [round(beyond[-1])])
    axis.legend(frameon=False, fontsize=8)
    return svg(figure)


def in_error_and_rows(axis: Any, curves: Curves, beyond: Sequence[int] = ()) -> None:
    """Label the axes of error against training rows, both logarithmic; a tick without a name where more rows are."""
    axis.set(xscale="log", yscale="log", xlabel="training rows", ylabel=error_with_units(curves))
    axis.set_xticks([*curves.sizes, *beyond], [*map(number, curves.sizes), *("" for _ in beyond)])
    axis.yaxis.set_major_formatter(lambda value, _: number(value))
    axis.yaxis.set_minor_formatter(lambda value, _: number(value))
    axis.tick_params(axis="y", which="minor", labelsize=7)
    axis.xaxis.minorticks_off()
    axis.grid(axis="y", which="both", alpha=0.25)
