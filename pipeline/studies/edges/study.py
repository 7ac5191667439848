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
from pipeline.runs.estimates import Probe
from pipeline.runs.fits import new_arm
from pipeline.runs.prepare import prepare as prepare_run
from pipeline.settings.run import RunConfig
from pipeline.splits.splitters import LABELS_DOWN, LABELS_UP, Order
from pipeline.studies.budget import fewer, left_out_of, seconds_of_arm, summed
from pipeline.studies.edges import far, far_page
from pipeline.studies.edges.directions import AlongDirections
from pipeline.studies.edges.labels import BeyondLabels
from pipeline.studies.edges.made import MADE, MOST_CALLS
from pipeline.studies.edges.page import sections
from pipeline.studies.edges.rows import LABELS, UPPER, rows_of
from pipeline.studies.edges.settings import FEW_ARMS, Settings
from pipeline.studies.edges.words import failure, sentences
from pipeline.studies.fitting import fit_and_predict, fit_inputs, trained
from pipeline.studies.oracle import asked_oracle, with_oracle
from pipeline.studies.study import Conclusion

__all__ = ["NAME", "Settings", "conclude", "described", "facts", "line", "plan", "prepare", "title"]
NAME = "edges"
WORK = "pipeline.studies.edges.study:train_and_predict"
SECONDS_OF_CALL = 0.1  # of an oracle, with the search around it; xtb_gap took 0.08 on 20 molecules of ESOL


def prepare(config: RunConfig, settings: Settings, reporter: Reporter) -> Context:
    """The table and its hold-out; directions and edges that cannot be tested are left out, and said to be."""
    settings = replace(settings, arms=settings.arms or FEW_ARMS[config.kind])
    config = replace(config, arms=settings.arms, split=("random",), folds=0, repeats=1, n_train=0)
    config = replace(config, test_size=settings.test_size)
    context = prepare_run(config, reporter)
    context = replace(context, settings=with_oracle(context, settings, reporter, "mol_ga"))
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
    """A cell for each model: by arm, cheap ones first, the rows that it is trained on, and the draw of these; with an
    oracle, behind them those of what is far beyond the labels."""
    cells = [
        _cell(context, machine, part, name, arm, number)
        for arm in sorted(context.arms, key=is_language_model)
        for part, name in rows_of(context).sets
        for number in range(context.settings.models)
    ]
    return cells + far.cells_of(context, machine)


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
    if asked_oracle(context):
        said.append(
            f"Oracle {context.settings.oracle}: up to {context.settings.made} molecules far above all labels, far "
            "below, and inside."
        )
    return [*said, f"Arms: {', '.join(context.arms)}. Folder: {context.folder}"]


def line(context: Context, content: Mapping[str, Any]) -> str:
    """What was trained or made, and how long it took."""
    tags = content["tags"]
    what = f"{tags['arm']}, {tags['trained_on']}, model {tags['model'] + 1}"
    if tags["part"] == MADE:
        what = f"{len(content['smiles'])} molecules {tags['trained_on']}"
    return what.ljust(52) + f" {content['seconds']:6.1f} s"


def title(context: Context) -> str:
    return f"{context.table.name}: what happens beyond the data?"


def facts(context: Context) -> list[str]:
    return [f"{len(context.splits[0].folds[0].test)} {context.table.rows_are} held out"]


def conclude(context: Context, contents: Sequence[Mapping[str, Any]]) -> Conclusion:
    """What is lost along each direction, whether disagreement shows it, and what comes beyond the labels."""
    split = context.splits[0]
    along, beyond = AlongDirections(context, split, contents), BeyondLabels(context, split, contents)
    looked = [far.FarBeyond(context, split, contents)] if asked_oracle(context) else []
    said = [*sentences(along, beyond), *(text for one in looked for text in far_page.sentences(one))]
    predictions = [along.predictions(one) for one in contents if one["tags"]["part"] != MADE]
    predictions += [one.of_made(content) for one in looked for content in contents if "of_made" in content]
    info: dict[str, Any] = {"beyond_labels": beyond.verdicts_by_name, "left_out": list(rows_of(context).left_out)}
    tables = {"directions": along.described()}
    for one in looked:
        info["far_beyond_labels"], tables["made"] = one.verdicts_by_name, one.molecules
    return Conclusion(
        pd.concat([along.metrics(), beyond.metrics(), *(one.metrics() for one in looked)], ignore_index=True),
        pd.concat(predictions, ignore_index=True),
        trained(contents),
        tuple(said),
        tuple(sections(along, beyond, said, [far_page.section(one) for one in looked])),
        tables,
        info=info,
        failures=(*failure(along), *(told for one in looked for told in far_page.failure(one))),
    )


def seconds_of(context: Context, cell: Cell, measured: Probe) -> float:
    """Seconds of a cell; of one that makes molecules by what an oracle takes, which is not timed."""
    if cell.tags["part"] == MADE:
        return MOST_CALLS * SECONDS_OF_CALL
    return seconds_of_arm(context, cell, measured, 2 if cell.tags["part"] == far.FAR else 1)


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
    summed(plan, seconds_of),
    left_out_of({"models": "models", "directions": "directions of each kind"}),
)
