"""Of reactions: what a model cannot know that has seen only successes, and how many failures mend it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from pipeline.evaluation.metrics import auroc
from pipeline.runs.context import Context
from pipeline.studies.negatives.experiment import experiment_at, experiments, prepare
from pipeline.studies.negatives.findings import enough_table, found_in
from pipeline.studies.negatives.page import sections
from pipeline.studies.negatives.trainings import left_out, trainings
from pipeline.studies.negatives.words import sentences
from pipeline.studies.negatives.work import plan, scored_of, thresholds, training_of
from pipeline.studies.study import Conclusion

NAME = "negatives"
__all__ = ["NAME", "conclude", "described", "facts", "line", "plan", "prepare", "title"]


def title(context: Context) -> str:
    return f"{context.table.name}: what happens when only successes were published"


def facts(context: Context) -> list[str]:
    return [f"success: a yield of at least {context.settings.success:g} %"]


def described(context: Context) -> list[str]:
    """The rows of each split, and what is left out of it."""
    said = []
    for one in experiments(context):
        train, test = one.success.loc[list(one.train)], one.success.loc[one.test]
        said.append(
            f"Split {one.split.name}: {int(train.sum())} successes and {int((~train).sum())} failures to train on, "
            f"{int(test.sum())} and {int((~test).sum())} to test on (success: a yield of at least "
            f"{one.settings.success:g} %)."
        )
        if left_out(one):
            said.append(f"  Left out, since too few successes would be left known: {'; '.join(left_out(one))}.")
        kept = {moved.settings.success for moved, _ in thresholds(one)}
        for threshold in sorted(set(one.settings.sensitivity) - kept - {one.settings.success}):
            said.append(f"  Success from {threshold:g} % leaves too few of one kind and is left out.")
    count = sum(len(trainings(one)) for one in experiments(context))
    return [*said, f"{count} trainings of {', '.join(context.arms)}. Folder: {context.folder}"]


def line(context: Context, content: Mapping[str, Any]) -> str:
    """How well a model ranks, and how many failures it accepts."""
    tags, scored = content["tags"], scored_of(content)
    experiment = experiment_at(context, tags["split"], tags["success"])
    success = experiment.success.loc[experiment.test].to_numpy()
    ranked = auroc(success, scored.score, np.ones((1, len(success))))[0]
    accepted = float((scored.score >= scored.threshold)[~success].mean())
    moved = "" if tags["success"] == context.settings.success else f"from {tags['success']:g} %: "
    label = f"{moved}{training_of(tags).label}"
    return f"{label:<72} AUROC {ranked:.3f}  accepts {accepted:4.0%} of failures  {content['seconds']:6.1f} s"


def conclude(context: Context, contents: Sequence[Mapping[str, Any]]) -> Conclusion:
    """What was found on each split."""
    found = [found_in(experiment, contents) for experiment in experiments(context)]

    def joined(parts: Sequence[pd.DataFrame]) -> pd.DataFrame:
        return pd.concat(parts, ignore_index=True)

    return Conclusion(
        joined([one.metrics for one in found]),
        joined([one.predictions for one in found]),
        joined([one.trained for one in found]),
        tuple(sentence for one in found for sentence in sentences(one)),
        tuple(sections(found)),
        {
            "foreign": joined([one.foreign for one in found]),
            "compared": joined([one.compared for one in found]),
            "enough": joined([enough_table(one) for one in found]),
            "sensitivity": joined([one.sensitivity for one in found]),
        },
    )
