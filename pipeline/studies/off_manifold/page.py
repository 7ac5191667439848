"""Steps along and across the data, in sentences and on a page."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np

from pipeline.evaluation.numbers import Interval
from pipeline.report.blocks import Figure, Grid, Section, Text, Verdict, note
from pipeline.report.figures import PLAIN, svg
from pipeline.report.sections import file_name, warning_notes
from pipeline.runs.context import Context
from pipeline.studies.failure import NO, YES, Failure, Outcome
from pipeline.studies.off_manifold.findings import (
    ACROSS,
    ALONG,
    DIRECTIONS,
    PERMUTED,
    STEEPEST,
    TRAINED,
    Findings,
)
from pipeline.studies.off_manifold.models import MODELS
from pipeline.studies.words import few_groups, with_interval
from pipeline.tables.targets import CLASSES

HOW = (
    "Steps at a molecule have one length: half the distance to its nearest neighbour. Along: a random combination of "
    "the differences to its ten nearest neighbours, in the directions that make up 90 % of them. Across: a random "
    "direction in which molecules of the table differ, less those. Steepest: where the model of the first seed changes "
    "most. Agreement is the correlation, about zero, of the changes that two models of different seeds predict for the "
    "same steps; 1 is full agreement. Ranges are 95 % intervals over groups of molecules (1,000 bootstrap resamples) "
    "and seeds (the jackknife), stretched to Student's t."
)
LIMITS = (
    "What this cannot show: a step in what a model reads need not be a molecule; ten neighbours span what a plane "
    "through them holds, and the table may bend away from it; who agrees need not be right. The language model is "
    "moved in the mean of its tokens alone."
)
LOST = "agreement along less agreement across"


def sentences(found: Findings) -> list[str]:
    """What a kind of model says."""
    along, across = found.agreement(TRAINED, ALONG), found.agreement(TRAINED, ACROSS)
    told = {YES: "agree less", NO: "agree more"}.get(found.answers[TRAINED], "are not shown to agree less")
    said = [
        f"{found.model}: models of different seeds {told} about steps across what the neighbours span than about steps "
        f"along it: correlation {with_interval(across)} against {with_interval(along)} (difference "
        f"{with_interval(_lost(found, TRAINED))}; {len(found.groups)} "
        f"molecules, {found.seeds} models)."
    ]
    null = [f"{with_interval(found.agreement(name, ALONG))} ({name})" for name in found.treatments if name != TRAINED]
    said.append(f"{found.model}, null: the correlation along is {', '.join(null)}.")
    if found.agreement(PERMUTED, ALONG)[1] > 0.5:
        said.append(
            f"Warning: {found.model} agrees about steps although each model learned other permuted labels; the "
            "agreement comes from what they share before training."
        )
    sizes = [f"{kind} {with_interval(found.size(TRAINED, kind))}" for kind in DIRECTIONS]
    unit = "log-odds" if found.context.task == CLASSES else "standard deviations of the labels"
    said.append(f"{found.model}: mean change of a prediction in {unit}, steps of one length: {', '.join(sizes)}.")
    return [*said, *few_groups(found.groups, "independent training groups")]


def failure(found: Sequence[Findings]) -> Failure:
    """For the page over all failure modes."""
    null = [
        f"{one.model}, {name}: {with_interval(_lost(one, name))}"
        for one in found
        for name in one.treatments
        if name != TRAINED
    ]
    return Failure(
        f"steps at {len(found[0].groups)} training molecules, {found[0].seeds} models of each kind",
        LOST,
        0.0,
        [Outcome(one.model, "steps across", _lost(one, TRAINED), one.answers[TRAINED]) for one in found],
        "; ".join(null),
        "train several models, and keep within the domain of the table; rows that span more directions",
        "a step in what a model reads need not be a molecule; who agrees need not be right",
    )


def _lost(found: Findings, treatment: str) -> Interval:
    lost = found.lost(treatment)
    return lost.value, *lost.interval()


def sections(
    context: Context, found: Sequence[Findings], said: Sequence[str], further: Sequence[Section] = ()
) -> list[Section]:
    """All of the page; ``further`` is what stands behind the models that were moved."""
    return [
        Section("", [Verdict(said), note(HOW, LIMITS)]),
        *[_of_model(one) for one in found],
        *further,
        Section(
            "What was moved",
            [
                Grid((), [(one.model, MODELS[one.model]) for one in found], wrapped=frozenset({1})),
                Text(warning_notes(context)),
            ],
        ),
    ]


def _of_model(found: Findings) -> Section:
    rows: list[Any] = []
    for treatment in found.treatments:
        cells = [found.agreement(treatment, kind) for kind in DIRECTIONS]
        sizes = [found.size(treatment, kind) for kind in DIRECTIONS]
        rows.append((treatment, *cells, *sizes))
    header = ("", *(f"agreement, {kind}" for kind in DIRECTIONS), *(f"change, {kind}" for kind in DIRECTIONS))
    unit = "log-odds" if found.context.task == CLASSES else "standard deviations of the training labels"
    caption = f"{len(found.groups)} molecules, {found.seeds} models; changes in {unit}."
    alt = f"Changes that two models of {found.model} predict for the same steps"
    return Section(
        found.model,
        [
            Figure(f"changes-{file_name(found.model)}", _clouds(found), alt),
            Grid(header, rows, name=f"steps {found.model}", caption=caption),
        ],
    )


def _clouds(found: Findings) -> str:
    """What the second model says of each step against what the first one says."""
    figure, axes = plt.subplots(1, len(DIRECTIONS), figsize=(9.6, 3.3))
    for axis, kind in zip(axes, DIRECTIONS, strict=True):
        one, other = (found.changes[TRAINED, seed, kind].ravel() for seed in (0, 1))
        end = 1.05 * float(np.quantile(np.abs([one, other]), 0.99)) or 1.0
        axis.plot(one, other, ".", ms=3, alpha=0.5, color="#277da1" if kind != STEEPEST else "#c1121f", rasterized=True)
        axis.plot([-end, end], [-end, end], color=PLAIN, lw=0.7, ls=":")
        axis.set(xlim=(-end, end), ylim=(-end, end), xlabel="first model", title=kind)
        axis.set_aspect("equal")
    axes[0].set_ylabel("second model")
    return svg(figure)
