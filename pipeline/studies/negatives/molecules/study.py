"""What a model of two classes of molecules cannot know that has seen one of them alone, and what stands in for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from pipeline.arms.catalogue import ARMS
from pipeline.cells.cell import Cell
from pipeline.evaluation.metrics import auroc
from pipeline.runs.budget import Reduction
from pipeline.runs.context import Context
from pipeline.runs.estimates import Probe
from pipeline.studies.budget import curve_budget, seconds_of_arm
from pipeline.studies.fitting import trained
from pipeline.studies.negatives.molecules.experiment import (
    DECOYS,
    TRUE,
    experiment_of,
    experiments,
    left_out,
    prepare,
)
from pipeline.studies.negatives.molecules.findings import Findings
from pipeline.studies.negatives.molecules.page import sections
from pipeline.studies.negatives.molecules.words import failures, sentences
from pipeline.studies.negatives.molecules.work import plan, training_of, trainings
from pipeline.studies.study import Conclusion

NAME = "negatives"
__all__ = ["BUDGET", "NAME", "conclude", "described", "facts", "line", "plan", "prepare", "title"]
SECONDS_OVER_COUNTS = 2.0  # of what is no arm


def title(context: Context) -> str:
    return f"{context.table.name}: what happens when only positives are known"


def facts(context: Context) -> list[str]:
    seeds = context.settings.seeds
    return [f"positive: {context.positive}", f"{seeds} training seed{'s' * (seeds > 1)}"]


def described(context: Context) -> list[str]:
    """The rows of each split, what is left out of it, and how much is trained."""
    said = []
    for one in experiments(context):
        positives, negatives = map(len, one.trained)
        tested = int(one.positive_tested.sum())
        decoys = f"; decoys: {one.most_decoys[0]} to train on, {one.most_decoys[1]} held out" if one.has_decoys else ""
        said.append(
            f"Split {one.split.name}: {positives} positives ({context.positive}) and {negatives} negatives to train "
            f"on, {tested} and {len(one.tested.test) - tested} to test on{decoys}. Equal numbers: {2 * one.half} rows."
        )
        said += [f"  Left out: {reason}." for reason in left_out(one)]
    count = sum(len(trainings(one)) for one in experiments(context))
    return [*said, f"{count} trainings of {', '.join(context.arms)} and controls. Folder: {context.folder}"]


def line(context: Context, content: Mapping[str, Any]) -> str:
    """How well a model ranks, against true negatives and against matched decoys."""
    tags, scores = content["tags"], content["scores"]
    positive = experiment_of(context, tags["split"]).positive_tested
    test = np.array(scores[TRUE])
    parts = []
    for name, below in (
        (TRUE, test[~positive]),
        *((kind, np.array(scores[kind])) for kind in DECOYS if kind in scores),
    ):
        both = np.r_[test[positive], below]
        value = auroc(np.arange(len(both)) < positive.sum(), both, np.ones((1, len(both))))[0]
        parts.append(f"{'AUROC' if name == TRUE else name} {value:.3f}")
    return f"{training_of(tags).label:<62} {', '.join(parts)}  {content['seconds']:6.1f} s"


def conclude(context: Context, contents: Sequence[Mapping[str, Any]]) -> Conclusion:
    """What was found on each split; results of earlier settings in the folder do not count."""
    found = []
    for one in experiments(context):
        wanted, here = set(trainings(one)), [each for each in contents if each["tags"]["split"] == one.split.name]
        found.append(Findings(one, [content for content in here if training_of(content["tags"]) in wanted]))
    tables = {"matching": pd.concat([one.matching() for one in found], ignore_index=True)}
    return Conclusion(
        pd.concat([one.metrics() for one in found], ignore_index=True),
        pd.concat([one.predictions() for one in found], ignore_index=True),
        trained(contents),
        tuple(sentence for one in found for sentence in sentences(one)),
        tuple(sections(found)),
        tables,
        failures=failures(found),
    )


def seconds_of(context: Context, cell: Cell, measured: Probe) -> float:
    """Seconds of a cell, from what was timed; held-out decoys are predicted as well."""
    if cell.tags["arm"] not in ARMS:
        return SECONDS_OVER_COUNTS
    experiment = experiment_of(context, cell.tags["split"])
    shown = len(experiment.tested.test) + len(DECOYS) * experiment.most_decoys[1]
    return seconds_of_arm(context, cell, measured, -(-shown // len(experiment.tested.test)))


def _ends(context: Context) -> Context | None:
    """Only the smallest and the largest dose."""
    settings = context.settings
    ends, ends_of_lm = ((min(doses), max(doses)) for doses in (settings.doses, settings.lm_doses))
    if len(settings.doses) < 3 and len(settings.lm_doses) < 3:
        return None
    return replace(context, settings=replace(settings, doses=ends, lm_doses=ends_of_lm))


BUDGET = curve_budget(plan, seconds_of, first={"the doses between": Reduction(_ends, "doses")}, sized=False)
