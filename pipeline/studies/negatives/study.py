"""What a model cannot know that has seen only what worked: of reactions successes, of molecules one of two classes.

The two have one command and one class of settings; how they are asked stands in `pipeline.studies.negatives.reactions`
and in `pipeline.studies.negatives.molecules.study`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pipeline.cells.cell import Cell
from pipeline.errors import InputError
from pipeline.reporter import Reporter
from pipeline.runs.context import Context, Machine
from pipeline.settings.run import RunConfig
from pipeline.studies.negatives import reactions
from pipeline.studies.negatives.molecules import study as molecules
from pipeline.studies.negatives.settings import NegativesSettings
from pipeline.studies.study import Conclusion, Study
from pipeline.tables.kinds import MOLECULES, REACTIONS

NAME = "negatives"
Settings = NegativesSettings
BUDGET = molecules.BUDGET
# Options of a run that do nothing for rows of a kind, and what does instead.
UNUSED = {
    REACTIONS: {
        "budget": "--seeds, --positives and --lm-steps make it shorter",
        "steps": "--lm-steps says how long the language model is trained",
        "batch": "the language model is trained on 8 rows a step",
    }
}
__all__ = ["BUDGET", "NAME", "UNUSED", "Settings", "conclude", "described", "facts", "line", "plan", "prepare", "title"]


def prepare(config: RunConfig, settings: NegativesSettings, reporter: Reporter) -> Context:
    """The table, with the splits that the settings name; an error where it has neither reactions nor molecules."""
    if config.kind not in (REACTIONS, MOLECULES):
        raise InputError(f"{config.table}: the study is about reactions and molecules; this table holds {config.kind}")
    settings.check_kind(config.kind)
    return (molecules if config.kind is MOLECULES else reactions).prepare(config, settings, reporter)


def _study_of(context: Context) -> Study:
    if context.table.kind is MOLECULES:
        return molecules
    return reactions


def title(context: Context) -> str:
    return _study_of(context).title(context)


def facts(context: Context) -> list[str]:
    return _study_of(context).facts(context)


def described(context: Context) -> list[str]:
    return _study_of(context).described(context)


def plan(context: Context, machine: Machine) -> list[Cell]:
    return _study_of(context).plan(context, machine)


def line(context: Context, content: Mapping[str, Any]) -> str:
    return _study_of(context).line(context, content)


def conclude(context: Context, contents: Sequence[Mapping[str, Any]]) -> Conclusion:
    return _study_of(context).conclude(context, contents)
