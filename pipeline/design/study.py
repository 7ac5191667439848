"""Can new molecules with a wanted value be designed, by which arm, and is what a model promises true?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from pipeline.cells.cell import Cell
from pipeline.design import reinforce, work
from pipeline.design.experiment import Experiment, prepare
from pipeline.design.findings import Findings
from pipeline.design.page import sections
from pipeline.design.reinforced import Reinforced
from pipeline.design.settings import Settings
from pipeline.design.words import sentences
from pipeline.design.work import BATCH, WRITE
from pipeline.runs.context import Context, Machine
from pipeline.studies.fitting import trained
from pipeline.studies.study import Conclusion
from pipeline.tables.kinds import MOLECULES

__all__ = ["NAME", "UNUSED", "Settings", "conclude", "described", "facts", "line", "plan", "prepare", "title"]
NAME = "design"
UNUSED = {
    MOLECULES: {
        "budget": "--quick, --n, --seeds and fewer --arms make it shorter",
        "steps": "--generator-steps says how long the language model is trained",
        "batch": f"the language model is trained on {BATCH} rows a step",
    }
}


def plan(context: Context, machine: Machine) -> list[Cell]:
    """All that is designed and checked, and the language model reinforced where that is asked for."""
    experiment, found = Experiment(context), work.plan(context, machine)
    return found + reinforce.cells(experiment, machine) if context.settings.reinforce else found


def title(context: Context) -> str:
    return f"{context.table.name}: molecules with a wanted {context.table.property_name}"


def facts(context: Context) -> list[str]:
    goal = Experiment(context).goals[0]
    return [f"wanted: {goal.written(context.table.units)}"]


def described(context: Context) -> list[str]:
    """What is wanted, and what it takes."""
    experiment, settings = Experiment(context), context.settings
    goal, oracle = experiment.goals[0], experiment.oracle
    truth = f"checked by {oracle.name}" if oracle else "not checked: no oracle was named"
    return [
        f"Wanted: {context.table.property_name} of {goal.written(context.table.units)}, {truth}. "
        f"{len(experiment.smiles)} molecules of the table are used.",
        f"Arms: {', '.join(settings.arms)}; {settings.n} molecules of each are checked; {settings.seeds} seeds, "
        f"{settings.lm_seeds} of those with a language model. Folder: {context.folder}",
    ]


def line(context: Context, content: Mapping[str, Any]) -> str:
    """What a cell did: how many hits, for a cell that checks."""
    tags = content["tags"]
    if content["work"] == WRITE:
        written = sum(map(len, content["draws"].values()))
        return f"{tags['arm']}, seed {tags['seed']}: {written} written".ljust(52) + f" {content['seconds']:6.1f} s"
    if content["work"] == reinforce.WORK:
        return f"reinforced, seed {tags['seed']}".ljust(52) + f" {content['seconds']:6.1f} s"
    if "draws" not in content:
        return ""
    goal = Experiment(context).goal(tags["goal"])
    checked = [draw for draw in content["draws"] if draw.get("checked")]
    values = pd.to_numeric(pd.Series([draw["value"] for draw in checked], dtype=object)).to_numpy(dtype=float)
    hits = f": {int(goal.is_hit(values).sum())} of {len(checked)} hit" if Experiment(context).oracle else ""
    return f"{tags['arm']}, {goal.name}, seed {tags['seed']}{hits}".ljust(52) + f" {content['seconds']:6.1f} s"


def conclude(context: Context, contents: Sequence[Mapping[str, Any]]) -> Conclusion:
    """How often each arm hits, what its molecules are like, and the designs themselves."""
    found, reinforced = Findings(Experiment(context), contents), Reinforced(Experiment(context), contents)
    said = [*sentences(found), *reinforced.sentences()]
    return Conclusion(
        found.metrics(),
        found.molecules,
        trained(contents),
        tuple(said),
        tuple(sections(found, reinforced, said)),
        {"designs": found.designs, "compared": found.compared, "reinforced": reinforced.table()},
    )
