"""The page of the study of negatives."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from pipeline.evaluation.detection import LABELS
from pipeline.report.blocks import Figure, Grid, Group, Section, Verdict, note
from pipeline.report.sections import counted, explained_arms, file_name, interval_of, language_model_note, warning_notes
from pipeline.studies.learners import LM_BATCH
from pipeline.studies.negatives.experiment import (
    ALL_ROWS,
    ANYWHERE,
    AS_PUBLISHED,
    DOSE,
    EXPLAINED,
    FEW_KNOWN,
    FIXED_N,
    FIXED_POSITIVES,
    YIELDS_ALONE,
)
from pipeline.studies.negatives.figures import dose_curves
from pipeline.studies.negatives.findings import ORACLE, RAW, STATED, Findings
from pipeline.studies.negatives.words import sentences

SHOWN = (
    "auroc",
    "auprc",
    "fpr",
    "tpr",
    "fpr_at_95_tpr",
    "precision_top_10",
    "brier",
    "ece",
    "yield_bias",
    "yield_on_failures",
)


HEADINGS = {
    FIXED_POSITIVES: "the same number of successes each (one-class models hold a fifth back to draw their line)",
    FEW_KNOWN: "fewer successes, since most are hidden so that stand-ins for failures can be made; real failures "
    "beside as few for comparison",
    AS_PUBLISHED: "fewer successes, since a literature of high yields holds no more; real failures beside as few for "
    "comparison",
    FIXED_N: "the same number of rows each: failures take the place of successes",
    ALL_ROWS: "all successes of the training rows",
}


def sections(found: Sequence[Findings]) -> list[Section]:
    """The page: a part for each split, and what the ways of training are."""
    parts = [section for one in found for section in _of_split(one)]
    return [*parts, _explained(found[0])]


def _of_split(found: Findings) -> list[Section]:
    """What the page says of one split."""
    experiment, metrics = found.experiment, found.metrics
    name, seeds = experiment.split.name, int(metrics["seeds"].max())
    n, groups = int(metrics["n"].iloc[0]), int(metrics["groups"].iloc[0])
    of_seeds = f", for the training from the spread of the {seeds} seeds" if seeds > 1 else ""
    drawn = not found.part(scheme=ANYWHERE).empty
    given = " but those with decoys recombined anywhere, where some came out as decoys" if drawn else ""
    return [
        Section(
            f"{name} split",
            [
                Verdict(sentences(found)),
                note(
                    "Square brackets and ranges are 95 % intervals by Student's t: for the test rows from 1,000 "
                    f"bootstrap resamples of whole test groups{of_seeds} (a way of training with one seed leaves that "
                    "out). A metric of failures has as many degrees of freedom as the failures have groups, a ranking "
                    "as many as the rarer outcome has; shares stay between 0 and 1. All ways of training are judged "
                    f"on the same {n} test reactions ({groups} groups), which none of them was given{given}. A "
                    "false-positive rate is the share of real failures that a model accepts at its own operating "
                    "point: a chance of one half; the threshold of success for a predicted yield; the line that "
                    "leaves out 5 % of successes held back for a one-class model."
                ),
            ],
        ),
        Section(
            "How many real failures it takes",
            [
                Figure(
                    f"doses-{file_name(name)}",
                    dose_figure(found),
                    f"AUROC and failures accepted against the dose of real failures, {name}",
                ),
                note(
                    "At dose 100 % there are as many failures per success as in all training rows, at 10 % a tenth of "
                    "that (one at least). Dotted: the decision of the same models moved to another base rate, which "
                    "changes what is accepted and not the ranking. Dashed: trained on all rows. Crosses: regression "
                    "of the yields of successes alone."
                ),
            ],
            level=3,
        ),
        *_decoy_section(found),
        _arms_section(found),
        *_sensitivity_section(found),
        *_foreign_section(found),
    ]


def _decoy_section(found: Findings) -> list[Section]:
    rows = _decoy_rows(found)
    if not rows:
        return []
    header = ("decoys", "made, over all seeds", "of those, test reactions", "measured after all", "of those, successes")
    return [
        Section(
            "Decoys, and how many of them are successes",
            [
                Grid(header, rows, name="decoys"),
                note(
                    "A recombined decoy is looked up in the table, where most reactions are measured in a "
                    "full-factorial screen. But for those drawn anywhere, decoys keep clear of the test reactions; a "
                    "chemist who draws decoys does not know what will be asked, and what is shown of the others is "
                    "optimistic. A reaction with another product is not in it: whether it would succeed was not "
                    "measured."
                ),
            ],
            level=3,
        )
    ]


def _arms_section(found: Findings) -> Section:
    labels = [LABELS[metric] for metric in SHOWN]
    rows = arm_rows(found)
    groups = [
        Group(f"{heading}: {text}", [row["shown"] for row in rows if row["variant"] == heading])
        for heading, text in HEADINGS.items()
        if any(row["variant"] == heading for row in rows)
    ]
    header = ("trained on successes,", "learner", "dose", "successes", "others", "seeds", "reading", *labels)
    return Section(
        "All ways of training",
        [
            note(
                "Under each heading compare what stands there: the columns say on how many successes, and on how many "
                "others, each was trained."
            ),
            Grid(header, groups, frozenset({1, 4, 6}), name="arms"),
        ],
        level=3,
    )


def _sensitivity_section(found: Findings) -> list[Section]:
    rows = _sensitivity_rows(found)
    if not rows:
        return []
    header = (
        "success from",
        "successes among the tested",
        "learner",
        "trained on",
        "dose",
        "AUROC",
        "false-positive rate",
    )
    return [
        Section(
            "Other thresholds of success",
            [
                note(
                    "The classical models, trained and tested again with success from another yield on, on the same "
                    "rows."
                ),
                Grid(header, rows, frozenset({2, 3}), name="sensitivity"),
            ],
            folded=True,
        )
    ]


def _foreign_section(found: Findings) -> list[Section]:
    if found.foreign.empty:
        return []
    header = ("trained on", "learner", "rows", "dose", "foreign", "question", "AUROC")
    rows = [
        (
            *(row["scheme"], row["learner"], row["variant"], _percent(row["dose"]), row["foreign"], row["question"]),
            (row["auroc"], row["low"], row["high"]),
        )
        for row in found.foreign.to_dict("records")
    ]
    return [
        Section(
            "Known failures, successes, and reactions unlike anything seen",
            [
                note(
                    "AUROC of the same score between the test rows and foreign reactions: those of another built-in "
                    "table, and successes with the product of another. 0.5: the score cannot tell them apart; below: "
                    "it finds the foreign ones the more likely."
                ),
                Grid(header, rows, frozenset({1, 2, 4, 5}), name="foreign"),
            ],
            folded=True,
        )
    ]


def _explained(found: Findings) -> Section:
    context, settings = found.experiment.context, found.experiment.settings
    schemes = set(found.metrics["scheme"])
    named = [(name, text) for name, text in EXPLAINED.items() if name in schemes]
    return Section(
        "What the ways of training are",
        [
            Grid((), [*named, *explained_arms(context.arms)], wrapped=frozenset({1})),
            note(
                "With fixed positives failures come on top of the successes; with fixed N they take their place, so "
                "that no row is gained; all rows are all successes of the training rows. Decoys and learning from "
                "unlabelled rows need most successes hidden, and a literature of high yields holds only some: where "
                "that leaves fewer successes than fixed positives, they stand under few known and as published, each "
                "beside a control with real failures and as many successes. Unlabelled rows are training rows whose "
                "outcome is not looked at; both ways of learning from them take the known successes for a random draw "
                "of all successes, which a literature of high yields is not. Published rows are kept with probability "
                f"1 / (1 + exp(−(yield − {settings.published_from:g}) / {settings.published_width:g})).",
                *language_model_note(context, settings.lm_steps, LM_BATCH),
                *warning_notes(context),
            ),
        ],
    )


def _percent(dose: float) -> str:
    return f"{dose:g} %" if np.isfinite(dose) else ""


def arm_rows(found: Findings) -> list[dict[str, Any]]:
    """One row per way of training, learner, variant, dose and reading: what it was trained on, and its metrics in the
    order of `SHOWN`."""
    keys = ["scheme", "learner", "variant", "dose", "reading"]
    rows = []
    for values, part in found.metrics.groupby(keys, dropna=False, sort=False):
        assert isinstance(values, tuple)
        scheme, learner, variant, dose, reading = values
        by_metric = part.set_index("metric")
        given = trained_on(found.trained, *values[:4])
        cells = [interval_of(by_metric.loc[metric]) if metric in by_metric.index else None for metric in SHOWN]
        shown = (scheme, learner, _percent(float(str(dose))), *given, int(part["seeds"].iloc[0]), reading, *cells)
        rows.append({"variant": variant, "trained_on": given, "shown": shown, **dict(zip(keys, values, strict=True))})
    return rows


def trained_on(trained: pd.DataFrame, *where: Any) -> tuple[str, str]:
    """How many successes and how many others a way of training is given, from the least to the most over its seeds."""
    for column, value in zip(("scheme", "learner", "variant", "dose"), where, strict=True):
        trained = trained[trained[column].isna() if pd.isna(value) else trained[column] == value]
    others = [
        f"{counted(trained[kind])} {kind}"
        for kind in ("failures", "decoys", "unlabelled")
        if kind in trained and trained[kind].sum()
    ]
    return counted(trained["successes"]), ", ".join(others) or "none"


def _sensitivity_rows(found: Findings) -> list[tuple[Any, ...]]:
    """One row per threshold, learner and dose, with ranking and acceptance."""
    if found.sensitivity.empty:
        return []
    rows = []
    keys = ["threshold", "learner", "scheme", "dose"]
    for values, part in found.sensitivity.groupby(keys, dropna=False, sort=False):
        assert isinstance(values, tuple)
        by_metric = part.set_index("metric")
        threshold, learner, scheme, dose = values
        share = float(part["test_successes"].iloc[0])
        cells = [interval_of(by_metric.loc[metric]) for metric in ("auroc", "fpr")]
        rows.append((f"{threshold:g} %", f"{100 * share:.0f} %", learner, scheme, _percent(float(str(dose))), *cells))
    return rows


def _decoy_rows(found: Findings) -> list[tuple[Any, ...]]:
    rows = []
    for scheme, members in found.decoys.groupby("scheme", sort=False):
        made, known, successes = (int(members[name].sum()) for name in ("decoys", "decoys_known", "decoys_successes"))
        share = f"{successes / known:.0%}" if known else "not measured"
        tested = int(members["decoys_tested"].sum())
        rows.append((scheme, made, tested, known, share))
    return rows


def dose_figure(found: Findings) -> str:
    """The dose curves, raw and prior-corrected, and what is reached without a failure."""
    curves, flat = [], []
    readings = (RAW, ORACLE if found.part(scheme=DOSE, reading=STATED).empty else STATED)
    for learner in found.experiment.learners:
        for variant in (FIXED_POSITIVES, ALL_ROWS):
            for reading in readings:
                part = found.part(scheme=DOSE, learner=learner, variant=variant, reading=reading)
                if part.empty or (variant == ALL_ROWS and reading != RAW):
                    continue
                curves.append(_curve(part, learner, variant, reading))
        point = found.value(YIELDS_ALONE, learner, "auroc"), found.value(YIELDS_ALONE, learner, "fpr")
        if point[0] and point[1]:
            flat.append(
                {
                    "label": f"{learner}, yields of successes",
                    "learner": learner,
                    "auroc": point[0][0],
                    "fpr": point[1][0],
                }
            )
    return dose_curves(curves, flat)


def _curve(part: pd.DataFrame, learner: str, variant: str, reading: str) -> dict[str, Any]:
    words = [learner, *([variant] if variant == ALL_ROWS else []), *([reading] if reading != RAW else [])]
    auroc = part[part["metric"] == "auroc"].sort_values("dose")
    fpr = part[part["metric"] == "fpr"].sort_values("dose")
    bounds = ["value", "low", "high"]
    return {
        "label": ", ".join(words),
        "learner": learner,
        "style": "--" if variant == ALL_ROWS else (":" if reading != RAW else "-"),
        "ranks_as": reading != RAW,
        "doses": np.array(auroc["dose"]),
        "auroc": auroc[bounds].to_numpy(),
        "fpr": fpr[bounds].to_numpy(),
    }
