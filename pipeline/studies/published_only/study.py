"""How wrong models of published tables are about the reactions of unseen papers that also failed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pipeline.runs.context import Context
from pipeline.studies.published_only.experiment import (
    Experiment,
    Training,
    plan,
    prepare,
    trainings,
)
from pipeline.studies.published_only.findings import found_in, line_of, sentences
from pipeline.studies.published_only.page import sections
from pipeline.studies.published_only.settings import PublishedSettings
from pipeline.studies.study import Conclusion

NAME = "published-only"
Settings = PublishedSettings
__all__ = ["NAME", "Settings", "conclude", "described", "facts", "line", "plan", "prepare", "title"]


def title(context: Context) -> str:
    return f"{context.table.name}: trained on published tables"


def facts(context: Context) -> list[str]:
    settings = context.settings
    return [
        f"success: a yield of at least {settings.success:g} %",
        f"papers ({settings.paper}) in {settings.folds} folds",
    ]


def described(context: Context) -> list[str]:
    """What the two kinds of rows hold."""
    experiment, settings = Experiment.of(context), context.settings
    said = []
    for name in (settings.published, settings.tested):
        of_origin = experiment.success[experiment.origin == name]
        said.append(f"{name}: {len(of_origin)} reactions, {of_origin.mean():.0%} of them successes.")
    count = len(trainings(experiment))
    return [*said, f"{count} trainings of {', '.join(context.arms)}. Folder: {context.folder}"]


def line(context: Context, content: Mapping[str, Any]) -> str:
    """The bias of a model where it is tested, and how many failures it accepts."""
    return line_of(Experiment.of(context), Training(**content["tags"]), content)


def conclude(context: Context, contents: Sequence[Mapping[str, Any]]) -> Conclusion:
    """What was found."""
    found = found_in(Experiment.of(context), contents)
    return Conclusion(
        found.metrics,
        found.predictions,
        found.trained,
        tuple(sentences(found)),
        tuple(sections(found)),
        {"composition": found.composition},
    )
