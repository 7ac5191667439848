"""The study of origins on a page."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np

from pipeline.report.blocks import Figure, Grid, Section, Text, Verdict, note
from pipeline.report.figures import PLAIN, svg
from pipeline.report.sections import explained_arms, warning_notes
from pipeline.studies.origin.findings import ALONE, PERMUTED, PREDICTED, RANDOM, Findings
from pipeline.studies.words import error_with_units
from pipeline.tables.targets import CLASSES

HOW = (
    "All rows are predicted out of fold: once with folds of random molecules, once with folds of whole sources. A "
    "random forest on the bits of the structure tells the source; the label by the source alone is the mean of the "
    "training rows of the one source that is held most likely (of classes their shares). Square brackets and ranges "
    "are 95 % intervals over molecules on random folds and over whole sources where these are apart (1,000 bootstrap "
    "resamples), and over repeats, both stretched to Student's t. What is said to be shown has a p-value below 5 % by "
    "Holm's method. For the predicted source it rests on squared errors (of classes the log-loss), for which the mean "
    "is the best constant. Sources dealt to other rows may be a little better than a constant and mean nothing: "
    "the rows that a row is most like have a part in the mean label of their source. The predicted source has to be "
    "better than these, too."
)
SHOWN = 30  # sources in the table of the page
OF_SOURCES = "Errors are those of {arm}: on random folds, and with sources apart. All sources are in sources.csv."


def sections(found: Findings, said: Sequence[str]) -> list[Section]:
    """All of the page."""
    alt = f"{error_with_units(found)} of each arm on random folds and with sources apart"
    explained = [*explained_arms(found.context.arms), *ALONE.items()]
    return [
        Section("", [Verdict(said), note(HOW)]),
        Section("Errors on the same rows", [Figure("errors", _figure(found), alt), _errors(found), _recognised(found)]),
        Section("The sources", [_sources(found)]),
        Section(
            "What the arms are",
            [Grid((), explained, wrapped=frozenset({1})), Text(warning_notes(found.context))],
        ),
    ]


def _splits(found: Findings) -> list[tuple[str, str]]:
    """The splits by their names, and what they are called."""
    return [(RANDOM, "random folds"), *([(found.apart.name, "sources apart")] if found.apart else [])]


def _errors(found: Findings) -> Grid:
    splits = _splits(found)
    rows = [
        (arm, *(found.error(name, arm) if arm in found.arms(name) else None for name, _ in splits))
        for arm in found.arms(RANDOM)
    ]
    caption = f"{error_with_units(found)}, out of fold, {len(found.rows)} rows; lower is better."
    return Grid(("arm", *(called for _, called in splits)), rows, name="errors", caption=caption)


def _recognised(found: Findings) -> Grid:
    rows = [
        (called, found.share(found.hit_scores(what)), found.share(found.recall_scores(what)))
        for what, called in ((PREDICTED, "by the structure"), (PERMUTED, "sources dealt to other rows"))
    ]
    sources = len(set(found.sources))
    floor = found.share([found.floor_scores])
    return Grid(
        ("the source is recognised", "share of the rows", "mean over sources"),
        [*rows, ("the largest source always", floor, 1 / sources)],
        name="recognised",
        caption="On random folds; shares from 0 to 1.",
    )


def _sources(found: Findings) -> Grid:
    table = found.by_source().head(SHOWN)
    names = {
        "source": found.context.settings.origin,
        "rows": "rows",
        "molecules": "molecules",
        "mean_label": "mean label",
        "recognised": "recognised",
        "error": "error",
        "error_apart": "error, apart",
    }
    columns = [column for column in names if column in table]
    rows = [tuple(one) for one in table[columns].itertuples(index=False, name=None)]
    whole = len(set(found.sources))
    more = f" The largest {SHOWN} of {whole}." if whole > SHOWN else ""
    return Grid(
        tuple(names[column] for column in columns),
        [tuple(value.item() if isinstance(value, np.generic) else value for value in row) for row in rows],
        name="sources",
        caption=OF_SOURCES.format(arm=found.main) + more,
    )


def _figure(found: Findings) -> str:
    """The error of each arm with its interval, a mark for each split."""
    splits = _splits(found)
    arms = found.arms(RANDOM)[::-1]
    figure, axis = plt.subplots(figsize=(7.0, 1.1 + 0.36 * len(arms)))
    for (name, called), colour, shift in zip(splits, ("#277da1", "#c1121f"), (0.12, -0.12), strict=False):
        there = [place for place, arm in enumerate(arms) if arm in found.arms(name)]
        values = np.array([found.error(name, arms[place]) for place in there])
        places = np.array(there) + shift
        axis.hlines(places, values[:, 1], values[:, 2], color=colour, lw=1.6)
        axis.plot(values[:, 0], places, "o", color=colour, ms=5, label=called)
    axis.axvline(found.error(RANDOM, found.control)[0], color=PLAIN, lw=0.8, ls=":")
    axis.set_yticks(range(len(arms)), arms)
    axis.set_xlabel(error_with_units(found))
    if found.context.task != CLASSES:
        axis.set_xlim(left=0)
    axis.legend(frameon=False, fontsize=8, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2)
    return svg(figure)
