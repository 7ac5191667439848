"""The page of the study of negatives, for molecules."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from pipeline.report.blocks import Figure, Grid, Group, Section, Text, Verdict, note
from pipeline.report.figures import PLAIN, colour_of, svg
from pipeline.report.sections import counted, explained_arms, file_name, language_model_note, warning_notes
from pipeline.studies.negatives.figures import dose_curves
from pipeline.studies.negatives.molecules.experiment import (
    ALL_ROWS,
    DOES,
    DOSE,
    EQUAL,
    MATCHED,
    MEANS,
    TRUE,
    Training,
)
from pipeline.studies.negatives.molecules.findings import ACCEPTED, EVEN, FOUND, Findings
from pipeline.studies.negatives.molecules.pool import pool_of, sources
from pipeline.studies.negatives.molecules.words import sentences

HOW = (
    "All models are judged on the same test molecules, none of which any was given: by the AUROC of positives above "
    "true negatives, and, as benchmarks of decoys are, above held-out decoys, which are made for the positives of the "
    "test as those for training are, from another part of the pool. With equal numbers each has as many rows in all: "
    "half of them decoys, unlabelled rows or (dose 100 %) true negatives, at a smaller dose that share of the half; "
    "positives are the rest. Square brackets and ranges are 95 % intervals by Student's t, over whole test groups and "
    "held-out decoys (1,000 bootstrap resamples) and over training seeds; what compares two models is made on the same "
    "resamples. What is shown has a p-value below 5 % by Holm's method over all that stands beside it; one seed shows "
    "nothing."
)
LIMITS = (
    "What this cannot show: no decoy was measured, and how many are positives is not known. The pool are molecules of "
    "other tables; a model may know a decoy by its source, and those of another pool may do better or worse. Decoys "
    "keep clear of variants of all molecules of the table, those of the test included, and of molecules similar to "
    "positives of training: the first is optimistic by the few that a chemist would have drawn. Unlabelled rows are a "
    "random draw of the table, and known positives one of all positives; in use both are chosen by somebody. Where all "
    "rows are trained on, intervals leave out what other rows would change."
)


def sections(found: Sequence[Findings]) -> list[Section]:
    """All of the page: a part for each split, and what its words mean."""
    parts = [section for one in found for section in _of_split(one)]
    context = found[0].experiment.context
    learners = dict.fromkeys(one.arm for one in found[0].by_training)
    schemes = dict.fromkeys(one.scheme for one in found[0].by_training)
    words = [
        Grid((), [(name, MEANS[name]) for name in MEANS if name in schemes], wrapped=frozenset({1})),
        Grid(
            (),
            [*explained_arms(context.arms), *((name, text) for name, text in DOES.items() if name in learners)],
            wrapped=frozenset({1}),
        ),
        Text([*language_model_note(context, context.config.steps, context.config.batch), *warning_notes(context)]),
    ]
    return [*parts, Section("What the words mean", words)]


def _of_split(found: Findings) -> list[Section]:
    name = found.experiment.split.name
    return [
        Section(f"{name} split", [Verdict(sentences(found)), note(HOW, LIMITS)]),
        *_decoys(found),
        Section(
            "How many true negatives it takes",
            [
                Figure(
                    f"doses-{file_name(name)}",
                    _curves(found),
                    f"AUROC and true negatives accepted against the dose of true negatives, {name}",
                ),
                note(
                    "Full lines: equal numbers in all, of which true negatives are half at a dose of 100 %. Dashed: "
                    "all positives, and that share of all negatives. Dotted: the decision of the models of equal "
                    "numbers moved to even odds, as if both classes were as frequent, which changes what is accepted "
                    "and not the ranking. Crosses: matched decoys in place of negatives."
                ),
            ],
            level=3,
        ),
        _all(found),
    ]


def _decoys(found: Findings) -> list[Section]:
    if not found.kinds:
        return []
    experiment = found.experiment
    name, pool = experiment.split.name, len(pool_of(experiment.context))
    trained, held = experiment.most_decoys
    matching = found.matching()
    header = ("property", "positives", *found.kinds, "true negatives")
    rows = []
    for word in dict.fromkeys(matching["property"]):
        part = matching[matching["property"] == word].set_index("of")
        rows.append(
            (word, float(part["positives"].iloc[0]), *(float(part.loc[of, "others"]) for of in (*found.kinds, TRUE)))
        )
    ranked = [found.of_properties[of][0] for of in (*found.kinds, TRUE)]
    rows.append(("AUROC of logP and TPSA alone", None, *ranked))
    return [
        Section(
            "What decoys say, and what is true",
            [
                Figure(
                    f"decoys-{file_name(name)}",
                    _gaps(found),
                    f"AUROC against held-out decoys and against true negatives, a line for each model, {name}",
                ),
                note(
                    f"Decoys are drawn from {pool} molecules of {', '.join(sources(experiment.context))} that are "
                    f"in no variant in the table: at most {trained} to train on, {held} held out."
                ),
                Grid(
                    header,
                    rows,
                    name="matching",
                    aligned=False,
                    caption="Means of the test's positives, of the held-out decoys and of the true negatives of the "
                    "test. In the last row each model was trained with what it is judged against.",
                ),
            ],
            level=3,
        )
    ]


def _all(found: Findings) -> Section:
    header = (
        "beside the positives",
        "learner",
        "positives",
        "others",
        "AUROC",
        *(f"AUROC, {kind}" for kind in found.kinds),
        "negatives accepted",
        "positives found",
        "accepted at even odds",
    )
    groups = []
    for frame, text in ((EQUAL, "as many rows in all"), (ALL_ROWS, "all positives of the training rows")):
        rows = [_row(found, one) for one in found.by_training if one.frame == frame]
        if rows:
            groups.append(Group(f"{frame}: {text}", rows))
    caption = (
        "AUROC of positives above true negatives, and above held-out decoys; then the shares of true negatives and of "
        "positives that are taken for positives: a chance of one half, or the line that leaves out 5 % of positives "
        "held back for one class alone; last the share of true negatives as if both classes had been as frequent in "
        "training."
    )
    return Section(
        "All ways of training", [Grid(header, groups, frozenset({1, 3}), name="trainings", caption=caption)], 3
    )


def _row(found: Findings, one: Training) -> tuple[Any, ...]:
    about = pd.DataFrame([content["about"] for content in found.by_training[one]])
    kinds = [kind for kind in ("negatives", "unlabelled rows", "decoys") if kind in about and about[kind].sum()]
    others = ", ".join(f"{counted(about[kind])} {kind}" for kind in kinds)
    scheme = one.scheme if one.dose is None else f"{one.scheme}, {one.dose:g} %"
    return (
        scheme,
        one.arm,
        counted(about["positives"]),
        others or "none",
        found.ranking(one),
        *(found.ranking(one, kind) for kind in found.kinds),
        found.rate(one, ACCEPTED),
        found.rate(one, FOUND),
        found.rate(one, ACCEPTED, even=True) if one.scheme == DOSE else None,
    )


def _gaps(found: Findings) -> str:
    """For each model of decoys AUROC against decoys of its kind (open) and against true negatives (filled)."""
    rows = [one for one in found.flattery if one.frame == EQUAL]
    figure, axis = plt.subplots(figsize=(7.4, 1.2 + 0.42 * len(rows)))
    for height, one in enumerate(reversed(rows)):
        colour = colour_of(one.arm)
        for below, by, face in ((one.scheme, 0.1, "white"), (TRUE, -0.1, colour)):
            value, low, high = found.ranking(one, below)
            axis.plot([low, high], [height + by] * 2, color=colour, lw=1.4, alpha=0.6)
            axis.plot(value, height + by, "o", color=colour, mfc=face, ms=6)
    axis.set_yticks(range(len(rows)), [f"{one.arm}, {one.scheme}" for one in reversed(rows)])
    axis.axvline(0.5, color=PLAIN, lw=0.8, ls=":")
    axis.set(xlabel="AUROC of held-out positives; open: above held-out decoys, filled: above true negatives")
    axis.grid(axis="x", alpha=0.25)
    return svg(figure)


def _curves(found: Findings) -> str:
    curves, flat = [], []
    for arm in found.arms:
        for frame, style in ((EQUAL, "-"), (ALL_ROWS, "--")):
            doses = sorted(
                (one for one in found.by_training if (one.scheme, one.arm, one.frame) == (DOSE, arm, frame)),
                key=lambda one: one.dose or 0.0,
            )
            if doses:
                curves.append(
                    {"label": f"{arm}, {frame}", "learner": arm, "style": style, "ranks_as": False}
                    | {"doses": np.array([one.dose for one in doses])}
                    | {"auroc": np.array([found.ranking(one) for one in doses])}
                    | {"fpr": np.array([found.rate(one, ACCEPTED) for one in doses])}
                )
            if doses and frame == EQUAL:
                even = np.array([found.rate(one, ACCEPTED, even=True) for one in doses])
                moved = {"label": f"{arm}, {EVEN}", "style": ":", "ranks_as": True, "fpr": even}
                curves.append(curves[-1] | moved)
        decoys = Training(MATCHED, arm, EQUAL, None, 0)
        if decoys in found.by_training:
            flat.append(
                {"label": f"{arm}, {MATCHED}", "learner": arm}
                | {"auroc": found.ranking(decoys)[0], "fpr": found.rate(decoys, ACCEPTED)[0]}
            )
    return dose_curves(curves, flat, DOSE, "negatives")
