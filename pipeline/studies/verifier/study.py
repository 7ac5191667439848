"""Generate conditions for held-out reactions, filter them by models that check, and look the truth up."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pipeline.runs.context import Context
from pipeline.studies.study import Conclusion
from pipeline.studies.verifier.experiment import Experiment, prepare
from pipeline.studies.verifier.findings import found_in, generator_line, sentences
from pipeline.studies.verifier.page import sections
from pipeline.studies.verifier.settings import VerifierSettings
from pipeline.studies.verifier.work import PROPOSE, plan

NAME = "verifier"
Settings = VerifierSettings
__all__ = ["NAME", "Settings", "conclude", "described", "facts", "line", "plan", "prepare", "title"]


def title(context: Context) -> str:
    return f"{context.table.name}: generate, then verify"


def facts(context: Context) -> list[str]:
    settings = context.settings
    return [
        f"success: a yield of at least {settings.success:g} %",
        f"{settings.held_out_name} held out in {settings.folds} folds",
    ]


def described(context: Context) -> list[str]:
    """What is asked."""
    experiment = Experiment.of(context)
    asked = experiment.questions
    return [
        f"{len(asked)} reactions of {len({question.group for question in asked})} held-out values of "
        f"{context.settings.held_out_name}; verifiers {', '.join(experiment.verifiers)}. Folder: {context.folder}"
    ]


def line(context: Context, content: Mapping[str, Any]) -> str:
    """How many proposals a generator wrote; nothing of a verifier, whose scores say little one by one."""
    return generator_line(content) if content["work"] == PROPOSE else ""


def conclude(context: Context, contents: Sequence[Mapping[str, Any]]) -> Conclusion:
    """What was found."""
    found = found_in(Experiment.of(context), contents)
    return Conclusion(
        found.metrics,
        found.predictions,
        found.trained,
        tuple(sentences(found)),
        tuple(sections(found)),
    )
