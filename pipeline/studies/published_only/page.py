"""The page of the study of published tables."""

from __future__ import annotations

import pandas as pd

from pipeline.evaluation.detection import LABELS as DETECTION_LABELS
from pipeline.evaluation.metrics import LABELS
from pipeline.report.blocks import Figure, Grid, Section, Verdict, note
from pipeline.report.sections import counted, explained_arms, interval_of, language_model_note, warning_notes
from pipeline.studies.learners import LM_BATCH
from pipeline.studies.published_only.experiment import EXPLAINED
from pipeline.studies.published_only.figures import parity_by_origin
from pipeline.studies.published_only.findings import DIFFERENCE, Findings, sentences

SHOWN = ("yield_bias", "fpr", "tpr", "yield_on_failures", "r2", "mae", "auroc", "precision_top_10")


def sections(found: Findings) -> list[Section]:
    """The page."""
    experiment = found.experiment
    context, settings = experiment.context, experiment.settings
    return [
        Section(
            "",
            [
                Verdict(sentences(found)),
                note(
                    "Square brackets and ranges are 95 % intervals by Student's t: for the test rows from 1,000 "
                    "bootstrap resamples of whole groups of papers, for the training from the spread of the seeds "
                    "(one seed leaves that out). A share of failures has as many degrees of freedom as the failures "
                    "have groups, and shares stay between 0 and 1. A failure is accepted where the predicted yield "
                    "reaches the threshold of success. Every reaction is predicted by the models of the fold in which "
                    "its paper was left out."
                ),
            ],
        ),
        Section(
            "Predicted against true yield",
            [
                Figure(
                    "parity",
                    parity_figure(found),
                    "Predicted against true yield by origin, a panel per learner and kind of training rows",
                ),
            ],
        ),
        *(_tested_on(found, tested) for tested in (settings.tested, settings.published)),
        _composition(found.composition),
        Section(
            "What the models are trained on",
            [
                Grid((), [*EXPLAINED.items(), *explained_arms(context.arms)], wrapped=frozenset({1})),
                note(
                    "All three sets of a fold have the same number of rows, the first of one random order.",
                    *language_model_note(context, settings.lm_steps, LM_BATCH),
                    *warning_notes(context),
                ),
            ],
        ),
    ]


def _tested_on(found: Findings, tested: str) -> Section:
    """The figures of each learner and kind of training rows on the test rows of an origin."""
    metrics = found.metrics[found.metrics["tested"] == tested]
    rows: list[tuple[object, ...]] = []
    marked: set[int] = set()
    for (learner, kind), part in metrics.groupby(["learner", "rows"], sort=False):
        by_metric = part.set_index("metric")
        given = found.trained[(found.trained["learner"] == learner) & (found.trained["rows"] == kind)]
        trained_on = map(counted, (given["successes"], given["n"] - given["successes"]))
        if kind == DIFFERENCE:
            marked.add(len(rows))
        cells = [interval_of(by_metric.loc[metric]) for metric in SHOWN]
        rows.append((learner, kind, *trained_on, int(part["seeds"].iloc[0]), *cells))
    header = ("learner", "trained on", "successes", "failures", "seeds", *map(_label, SHOWN))
    grid = Grid(header, rows, frozenset({1}), name="arms", marked=frozenset(marked))
    return Section(
        f"Tested on {tested} rows",
        [
            grid,
        ],
    )


def _composition(composition: pd.DataFrame) -> Section:
    rows = [
        (
            name.replace("_", " "),
            *(f"{100 * value:.0f}%" if name == "successes" else float(value) for value in composition[name]),
        )
        for name in composition.columns[1:]
    ]
    return Section(
        "What the two kinds of rows are",
        [
            Grid(("", *composition["origin"]), rows),
            note(
                "Values among so many rows: distinct values of a component, mean over 20 draws of that many rows of "
                "each kind."
            ),
        ],
    )


def _label(metric: str) -> str:
    return DETECTION_LABELS.get(metric) or LABELS[metric]


def parity_figure(found: Findings) -> str:
    """A line of panels per learner, a column per kind of training rows; predictions are means over the seeds."""
    experiment = found.experiment
    origins = (experiment.settings.published, experiment.settings.tested)
    panels = []
    for learner in experiment.learners:
        for kind in EXPLAINED:
            part = found.predictions
            part = part[(part["learner"] == learner) & (part["rows"] == kind)]
            mean = part.groupby(["origin", "row_id"])[["yield", "predicted_yield"]].mean()
            panels.append(
                {"title": f"{learner}, {kind}", **{origin: mean.loc[origin].to_numpy() for origin in origins}}
            )
    return parity_by_origin(panels, origins, len(EXPLAINED))
