"""The study of spellings on a page."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np

from pipeline.evaluation.numbers import number
from pipeline.report.blocks import Figure, Grid, Section, Text, Verdict, Written, note
from pipeline.report.figures import PLAIN, colour_of, svg
from pipeline.report.sections import explained_arms, file_name, warning_notes
from pipeline.runs.context import Context
from pipeline.studies.failure import YES
from pipeline.studies.spelling.findings import MEAN, Findings
from pipeline.studies.spelling.forms import CANONICAL, FORMS, RANDOM
from pipeline.studies.spelling.trainings import TRAININGS, USUAL
from pipeline.studies.spelling.words import percent
from pipeline.studies.words import error_with_units

HOW = (
    "Each test molecule is written in several ways and so given to the model: it is not made canonical again, as all "
    "other commands do. Square brackets and ranges are 95 % intervals over whole test groups (1,000 bootstrap "
    "resamples) and training seeds, both stretched to Student's t; one seed leaves the second out and tells nothing. "
    "An answer is given where its p-value by Holm's method over all arms and forms (or cures) is below 5 %."
)
LIMITS = (
    "What this cannot show: other programs write other SMILES than those that begin at a random atom; a cure was tried "
    "with one number of spellings and one weight; the penalty of ngram-ridge is chosen by leaving out rows, of which "
    "another spelling is left, and may be too small when it is trained on several."
)
OF_FORMS = "On the rows that have a text in this form which is not the canonical SMILES; n counts them."
OF_CURES = (
    "Extra error: that on other SMILES above the usual one on canonical SMILES of the same rows. Averaged: the mean "
    "over the predictions of other SMILES, whichever is given. Half and 5 % are answered yes or no where that is shown."
)


def sections(context: Context, found: Sequence[Findings], said: Sequence[str]) -> list[Section]:
    """All of the page."""
    ways = [(form, FORMS[form].does) for form in FORMS]
    trainings = [
        (name, TRAININGS[name].does.format(k=context.settings.spellings)) for name in (USUAL, *_asked(context))
    ]
    return [
        Section("", [Verdict(said), note(HOW, LIMITS)]),
        *[_of_split(one) for one in found],
        Section(
            "What was compared",
            [
                Grid((), [*ways, *trainings, *explained_arms(context.arms)], wrapped=frozenset({1})),
                Text(warning_notes(context)),
            ],
        ),
    ]


def _asked(context: Context) -> list[str]:
    return [name for name in TRAININGS if name in context.settings.trainings and name != USUAL]


def _of_split(found: Findings) -> Section:
    name = found.split.name
    blocks: list[Any] = [
        Figure(
            f"forms-{file_name(name)}",
            _forms(found),
            f"{error_with_units(found)} by the form in which molecules are written",
        ),
        _errors(found),
        _spreads(found),
    ]
    if any(found.cures(arm) for arm in found.readers):
        alt = f"{error_with_units(found)} on other SMILES against that on canonical ones, by training"
        blocks += [Figure(f"cures-{file_name(name)}", _cures_drawn(found), alt), _cures(found)]
    return Section(f"{name} split", blocks)


def _errors(found: Findings) -> Grid:
    """The error in each form, as usual trained, with its ratio to that on canonical SMILES."""
    forms = list(dict.fromkeys(form for arm in found.readers for form in found.forms(arm)))
    n = {form: max(int(found.rows(arm, form).sum()) for arm in found.readers) for form in forms}
    header = ("arm", CANONICAL, *(f"{form} (n = {n[form]})" for form in forms))
    rows = []
    for arm in found.arms:
        own = found.forms(arm)
        rows.append(
            (arm, found.error(arm, CANONICAL), *(found.error(arm, form) if form in own else None for form in forms))
        )
    return Grid(
        header,
        rows,
        name="errors",
        caption=f"{error_with_units(found)}, trained as usual; lower is better. {OF_FORMS}",
    )


def _spreads(found: Findings) -> Grid:
    header = ("arm", "error, times that of canonical SMILES", "spread over spellings", "AUROC for large errors")
    rows = [
        (arm, found.ratio(arm, RANDOM), found.spread(arm), found.doubt(arm))
        for arm in found.readers
        if MEAN in found.forms(arm)
    ]
    caption = (
        "Spread: the mean standard deviation of a molecule's predictions over its other SMILES. AUROC: how well the "
        "spread tells where the prediction from the canonical SMILES is far off; 0.5 says nothing."
    )
    return Grid(header, rows, name="spread", caption=caption, aligned=True)


def _cures(found: Findings) -> Grid:
    rows = []
    for (arm, cure), (halves, cheap) in found.verdicts.items():
        left, (cost, low, high) = found.left(arm, cure), found.cost(arm, cure)
        change = Written(f"{100 * cost:+.0f} %", f"{100 * low:+.0f} to {100 * high:+.0f}", cost)
        removed = percent(found.removed(arm, cure)) if found.worse[arm, RANDOM] == YES else None
        rows.append((f"{arm}, {cure.name}", (left.value, *left.interval()), removed, halves, change, cheap))
    header = ("cure", "extra error left", "taken away", "half", "on canonical SMILES", "at most 5 %")
    return Grid(header, rows, frozenset({3, 5}), name="cures", caption=OF_CURES)


def _forms(found: Findings) -> str:
    """The error in each form, a row for each arm and form."""
    places = [(arm, form) for arm in found.arms for form in (CANONICAL, *found.forms(arm))]
    figure, axis = plt.subplots(figsize=(7.4, 0.8 + 0.24 * len(places)))
    for height, (arm, form) in enumerate(reversed(places)):
        value, low, high = found.error(arm, form)
        axis.plot([low, high], [height, height], color=colour_of(arm), lw=1.6)
        axis.plot(value, height, "o" if form == CANONICAL else "s", color=colour_of(arm), ms=5, mfc=None)
    axis.set_yticks(range(len(places)), [f"{arm}: {form}" for arm, form in reversed(places)], fontsize=8)
    axis.set_xlabel(error_with_units(found))
    axis.xaxis.set_major_formatter(lambda value, _: number(value))
    axis.grid(axis="x", alpha=0.25)
    return svg(figure)


def _cures_drawn(found: Findings) -> str:
    """Error on other SMILES against that on canonical ones, a point for each training."""
    figure, axis = plt.subplots(figsize=(6.4, 4.6))
    signs = dict(zip(TRAININGS, ("o", "s", "^", "D"), strict=True))
    ends: list[float] = []
    for arm in found.readers:
        for training in found.trainings(arm):
            x, y = found.error(arm, CANONICAL, training, MEAN), found.error(arm, RANDOM, training, MEAN)
            axis.plot(x[1:], [y[0], y[0]], color=colour_of(arm), lw=0.8, alpha=0.6)
            axis.plot([x[0], x[0]], y[1:], color=colour_of(arm), lw=0.8, alpha=0.6)
            axis.plot(x[0], y[0], signs[training], color=colour_of(arm), ms=6, label=f"{arm}, {training}")
            ends += [x[0], y[0]]
    span = np.array([min(ends) * 0.9, max(ends) * 1.1])
    axis.plot(span, span, color=PLAIN, lw=0.8, ls=":")
    axis.set(
        xlabel=f"{error_with_units(found)}, canonical SMILES",
        ylabel=f"{error_with_units(found)}, other SMILES",
    )
    axis.legend(frameon=False, fontsize=7, loc="center left", bbox_to_anchor=(1.0, 0.5))
    return svg(figure)
