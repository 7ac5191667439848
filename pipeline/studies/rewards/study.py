"""Train a generator of conditions by rewards, and look up whether what it proposes for held-out reactions succeeds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pipeline.runs.context import Context
from pipeline.studies.fitting import trained
from pipeline.studies.rewards.experiment import Experiment, prepare
from pipeline.studies.rewards.findings import Findings, detectable, sentences
from pipeline.studies.rewards.page import sections
from pipeline.studies.rewards.settings import Settings
from pipeline.studies.rewards.work import plan
from pipeline.studies.study import Conclusion

NAME = "rewards"
__all__ = ["NAME", "Settings", "conclude", "described", "facts", "line", "plan", "prepare", "title"]


def title(context: Context) -> str:
    return f"{context.table.name}: a generator trained by rewards"


def facts(context: Context) -> list[str]:
    settings = context.settings
    return [
        f"success: a yield of at least {settings.success:g} %",
        f"combinations of {settings.held_out_name} held out in {settings.folds} folds",
    ]


def described(context: Context) -> list[str]:
    """What is asked, and what the study can show."""
    experiment = Experiment.of(context)
    count = sum(len(experiment.tested(fold)) for fold in range(len(experiment.parts)))
    return [
        f"{count} held-out reactions; rewards {', '.join(context.settings.rewards)}; verifier "
        f"{', '.join(experiment.verifiers)}. Folder: {context.folder}",
        f"So many reactions show a change of {detectable(count):.0f} points in four of five such studies, if reactions "
        "differ as usual.",
    ]


def line(context: Context, content: Mapping[str, Any]) -> str:
    """How much succeeded before and after each reward."""
    tags, names = content["tags"], list(content["ends"])
    start = _percent(content["start"][names[0]]["true"])
    ends = ", ".join(f"{name} {_percent(content['ends'][name]['true'])}" for name in names)
    return (
        f"fold {tags['fold'] + 1}, seed {tags['seed']}: {start} % succeed, then by {ends}  {content['seconds']:6.1f} s"
    )


def _percent(shares: Sequence[float]) -> str:
    return f"{100 * sum(shares) / len(shares):.0f}"


def conclude(context: Context, contents: Sequence[Mapping[str, Any]]) -> Conclusion:
    """What the rewards brought."""
    found = Findings(Experiment.of(context), contents)
    return Conclusion(
        found.metrics(),
        found.predictions(),
        trained(contents),
        tuple(sentences(found)),
        tuple(sections(found)),
        {"compared": found.compared, "training": found.training},
    )
