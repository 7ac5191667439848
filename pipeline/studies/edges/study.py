"""What happens beyond the data?

Models are trained on the rows in the middle of a direction of the descriptors, or up to an edge of the labels, and
tested beyond; beside them models of as many rows that are drawn from all. All are tested on the same held-out rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pandas as pd

from pipeline.arms.catalogue import ARMS
from pipeline.arms.ladder import CONTROLS, is_language_model
from pipeline.cells.cell import Cell, measured
from pipeline.errors import InputError
from pipeline.reporter import Reporter
from pipeline.runs.budget import STEP_LIMITS, Budget, fewer_steps
from pipeline.runs.context import Context, Machine
from pipeline.runs.fits import new_arm
from pipeline.runs.prepare import prepare as prepare_run
from pipeline.settings.run import RunConfig
from pipeline.splits.splitters import LABELS_DOWN, LABELS_UP, Order
from pipeline.studies.budget import fewer, left_out_of, seconds_of_arm, summed
from pipeline.studies.edges.directions import AlongDirections
from pipeline.studies.edges.labels import BeyondLabels
from pipeline.studies.edges.page import sections
from pipeline.studies.edges.rows import LABELS, UPPER, rows_of
from pipeline.studies.edges.settings import FEW_ARMS, Settings
from pipeline.studies.edges.words import failure, sentences
from pipeline.studies.fitting import fit_and_predict, fit_inputs, trained
from pipeline.studies.study import Conclusion

__all__ = ["NAME", "Settings", "conclude", "described", "facts", "line", "plan", "prepare", "title"]
NAME = "edges"
WORK = "pipeline.studies.edges.study:train_and_predict"


def prepare(config: RunConfig, settings: Settings, reporter: Reporter) -> Context:
    """The table and its hold-out; directions and edges that cannot be tested are left out, and said to be."""
    settings = replace(settings, arms=settings.arms or FEW_ARMS[config.kind])
    config = replace(config, arms=settings.arms, split=("random",), folds=0, repeats=1, n_train=0)
    config = replace(config, test_size=settings.test_size)
    context = replace(prepare_run(config, reporter), settings=settings)
    arms = tuple(arm for arm in context.arms if arm not in CONTROLS.values() and not ARMS[arm].structureless)
    if not arms:
        raise InputError(f"arms is {', '.join(settings.arms)}: a constant has no edge; name an arm that learns")
    context = replace(context, arms=arms)
    rows = rows_of(context)
    if not rows.sets:
        raise InputError(f"{config.table}: nothing can be tested beyond its edges; {'; '.join(rows.left_out)}")
    for reason in rows.left_out:
        reporter.say(f"Left out: {reason}.")
    return context


def plan(context: Context, machine: Machine) -> list[Cell]:
    """A cell for each model: by arm, cheap ones first, the rows that it is trained on, and the draw of these."""
    return [
        _cell(context, machine, part, name, arm, number)
        for arm in sorted(context.arms, key=is_language_model)
        for part, name in rows_of(context).sets
        for number in range(context.settings.models)
    ]


def _cell(context: Context, machine: Machine, part: str, name: str, arm: str, number: int) -> Cell:
    split = context.splits[0]
    train = rows_of(context).drawn(part, name, number, context.config.seed)
    inputs = fit_inputs(context, machine, split, train, split.folds[0].test, arm, WORK)
    inputs |= {"reach": _reach(context, part, name), "seed": context.config.seed + number}
    tags = {"split": split.name, "part": part, "trained_on": name, "arm": arm, "size": len(train), "model": number}
    return Cell(WORK, tags, inputs, (), f"{arm}, {name}, model {number + 1}", is_language_model(arm))


def _reach(context: Context, part: str, name: str) -> tuple[float, float]:
    """How far from the training labels those of the test rows are to be expected, by the share beyond the edge."""
    edge = next((edge for edge in rows_of(context).edges if part == LABELS and edge.name == name), None)
    if edge is None:
        return 0.0, 0.0
    end = Order(LABELS_UP if edge.name == UPPER else LABELS_DOWN, {}, 1 - context.settings.edge / 100)
    return replace(context.splits[0], order=end).reach


def train_and_predict(
    context: Context, machine: Machine, cell: Cell, needed: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """Train one model on its draw of rows, and predict the held-out rows."""
    split, tags = context.splits[0], cell.tags
    train = rows_of(context).drawn(tags["part"], tags["trained_on"], tags["model"], context.config.seed)
    labels = context.targets(split.folds[0]).loc[train].to_numpy()
    made: dict[str, Any] = {}
    with measured(made):
        reach = _reach(context, tags["part"], tags["trained_on"])
        model = new_arm(context, machine, tags["arm"], cell.inputs["seed"], cell.label, reach)
        made |= fit_and_predict(context, split, model, train, labels, context.table.censoring(train))
    return made


def described(context: Context) -> list[str]:
    """What is trained, on how many rows."""
    rows, fold = rows_of(context), context.splits[0].folds[0]
    said = [f"{len(fold.test)} of {len(context.table)} {context.table.rows_are} are held out."]
    if rows.directions:
        said.append(
            f"{len(rows.directions)} directions: {len(rows.directions[0].train)} of {len(fold.train)} training rows, "
            f"{context.settings.models} models each."
        )
    for edge in rows.edges:
        said.append(f"{edge.name.capitalize()} of the labels: {len(edge.train)} training rows up to {edge.last:g}.")
    return [*said, f"Arms: {', '.join(context.arms)}. Folder: {context.folder}"]


def line(context: Context, content: Mapping[str, Any]) -> str:
    """What was trained, and how long it took."""
    tags = content["tags"]
    return f"{tags['arm']}, {tags['trained_on']}, model {tags['model'] + 1}".ljust(52) + f" {content['seconds']:6.1f} s"


def title(context: Context) -> str:
    return f"{context.table.name}: what happens beyond the data?"


def facts(context: Context) -> list[str]:
    return [f"{len(context.splits[0].folds[0].test)} {context.table.rows_are} held out"]


def conclude(context: Context, contents: Sequence[Mapping[str, Any]]) -> Conclusion:
    """What is lost along each direction, whether disagreement shows it, and what comes beyond the labels."""
    along, beyond = (
        AlongDirections(context, context.splits[0], contents),
        BeyondLabels(context, context.splits[0], contents),
    )
    said = sentences(along, beyond)
    predictions = pd.concat([along.predictions(one) for one in contents], ignore_index=True)
    return Conclusion(
        pd.concat([along.metrics(), beyond.metrics()], ignore_index=True),
        predictions,
        trained(contents),
        tuple(said),
        tuple(sections(along, beyond, said)),
        {"directions": along.described()},
        info={"beyond_labels": beyond.verdicts_by_name, "left_out": list(rows_of(context).left_out)},
        failures=failure(along),
    )


BUDGET = Budget(
    (
        fewer("models", 6),
        fewer_steps(STEP_LIMITS[2]),
        fewer("directions", 2),
        fewer("models", 4),
        fewer_steps(STEP_LIMITS[3]),
        fewer("directions", 1),
        fewer("models", 3),
    ),
    summed(plan, seconds_of_arm),
    left_out_of({"models": "models", "directions": "directions of each kind"}),
)
