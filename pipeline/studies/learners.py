"""The arms of a run as the experiments train them: many times, and each time for a short while."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from pipeline.arms.catalogue import ARMS, arms_of
from pipeline.arms.ladder import GROUPS, LANGUAGE_MODEL_CODE, LANGUAGE_MODELS, code_behind
from pipeline.cells.reach import code_of
from pipeline.errors import InputError, unknown
from pipeline.runs.context import Context, Machine
from pipeline.runs.fits import OBJECTS, new_arm
from pipeline.tables.kinds import REACTIONS
from pipeline.tables.table import Table
from pipeline.tables.targets import REGRESSION

LM_BATCH = 8  # rows a step: half as long a step as with 16, and better after as long a time


def resolve_learners(arms: Sequence[str], classical: Sequence[str]) -> tuple[str, ...]:
    """Names of arms and groups as the learners of a study of reactions.

    Parameters
    ----------
    classical : sequence of str
        What ``classical`` stands for; ``baselines``, ``lm`` and ``all`` are those of a run, as far as they can be
        trained here.
    """
    allowed = [arm for arm in arms_of(REACTIONS) if arm not in ("mean", "majority", "lm-frozen")]
    groups = {name: tuple(arm for arm in members if arm in allowed) for name, members in GROUPS[REACTIONS].items()}
    groups = {"classical": tuple(classical), **groups}
    chosen: list[str] = []
    for name in arms:
        if name not in groups and name not in allowed:
            raise unknown("arm", name, [*allowed, *groups])
        chosen += groups.get(name, (name,))
    if not chosen:
        raise InputError(f"no arm was named; give one or more of {', '.join([*groups, *allowed])}")
    return tuple(dict.fromkeys(chosen))


def code_of_learner(worker: str, learner: str) -> str:
    """A hash of the code behind what a worker (``module:function``) of a study makes with a learner."""
    writes = LANGUAGE_MODEL_CODE if learner.startswith("lm-") else ()  # a language model that is no arm
    arms = code_behind(learner, REACTIONS) if learner in ARMS else writes
    return code_of(worker, *OBJECTS, *arms)


def of_yields(table: Table) -> Table:
    """The table with the yield in percent as what is to be predicted."""
    return replace(table, task=REGRESSION, property_name="yield", units="%", classes=())


def short_arm(context: Context, machine: Machine, learner: str, seed: int, label: str, steps: int) -> Any:
    """An unfitted arm of a study; a language model takes so many steps of `LM_BATCH` rows."""
    arm = new_arm(context, machine, learner, seed, label, steps=steps)
    return arm.set_params(settings={"batch_size": LM_BATCH}) if learner in LANGUAGE_MODELS else arm
