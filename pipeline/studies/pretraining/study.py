"""What is learned before the first label?

The same trainings on the same rows, from the published weights and from weights (or inputs, or labels) that lack one
thing each; and what each layer knows without any training, beside a model that was never trained.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from pipeline.arms.ladder import is_language_model
from pipeline.arms.language_model import frozen
from pipeline.cells.cell import Cell, digest, measured
from pipeline.lm.altered import altered_engine
from pipeline.reporter import Reporter
from pipeline.runs.budget import Reduction
from pipeline.runs.context import Context, Machine
from pipeline.runs.estimates import Probe
from pipeline.runs.fits import new_arm, starting_adapter, training_inputs
from pipeline.runs.prepare import prepare as prepare_run
from pipeline.settings.run import RunConfig
from pipeline.settings.study import require_canonical
from pipeline.studies.budget import curve_budget, seconds_of_arm
from pipeline.studies.fitting import fit_and_predict, fit_inputs, ordered, trained
from pipeline.studies.learning_curve.findings import check_sizes, sizes_of
from pipeline.studies.pretraining.findings import Findings
from pipeline.studies.pretraining.page import sections
from pipeline.studies.pretraining.probes import OTHER_ROWS, PROBE, PROBED, probe_code
from pipeline.studies.pretraining.settings import Settings
from pipeline.studies.pretraining.starts import ALWAYS, DESCRIPTORS, STARTS, ShuffledSymbols, Start
from pipeline.studies.pretraining.words import sentences
from pipeline.studies.study import Conclusion

__all__ = ["NAME", "Settings", "conclude", "described", "facts", "line", "plan", "prepare", "title"]
NAME = "pretraining"
WORK = "pipeline.studies.pretraining.study:train_and_predict"
TUNED_HEAD = "lm-head"
TEXT_WITHOUT_A_MODEL = "ngram-ridge"
LAYERS_MORE = 6  # than `lm-head` uses are asked by a probe


def prepare(config: RunConfig, settings: Settings, reporter: Reporter) -> Context:
    """The table and its hold-out; starts that this model does not have are left out, and said to be."""
    require_canonical(config, "takes away parts of the usual one")
    arms = (TEXT_WITHOUT_A_MODEL, TUNED_HEAD)
    config = replace(config, arms=arms, split=settings.split, folds=0, repeats=1, n_train=0)
    context = prepare_run(config, reporter)
    starts = [name for name in STARTS if name in (*settings.starts, *ALWAYS)]
    if DESCRIPTORS in starts and starting_adapter(context, TUNED_HEAD) is None:
        starts.remove(DESCRIPTORS)
        reporter.say(f"Left out: {DESCRIPTORS}, since there are no such adapters for this model and these settings.")
    context = replace(context, settings=replace(settings, starts=tuple(starts)))
    check_sizes(context, context.splits[0])
    return context


def plan(context: Context, machine: Machine) -> list[Cell]:
    """A cell for each start or arm, seed and size; then one for the layers of each kind of weights."""
    split = context.splits[0]
    names = [arm for arm in context.arms if not is_language_model(arm)] + list(context.settings.starts)
    seeds = range(context.settings.seeds)
    cells = [
        _cell(context, machine, name, size, seed)
        for name in names
        for seed in seeds
        for size in sizes_of(context, split)
    ]
    return cells + [_probe(context, machine, weights) for weights in (PROBED if context.settings.probed else ())]


def _cell(context: Context, machine: Machine, name: str, size: int, seed: int) -> Cell:
    split = context.splits[0]
    train, arm = sorted(ordered(context, split, seed)[:size]), TUNED_HEAD if name in STARTS else name
    inputs = fit_inputs(context, machine, split, train, split.folds[0].test, arm, WORK)
    inputs |= {"seed": context.config.seed + seed}
    tags = {"split": split.name, "arm": name, "size": size, "seed": seed}
    return Cell(WORK, tags, inputs, (), f"{name}, {size} rows, seed {seed}", name in STARTS)


def _probe(context: Context, machine: Machine, weights: str) -> Cell:
    split = context.splits[0]
    train = sorted(ordered(context, split, 0)[: context.settings.probed])
    inputs = {
        "table": context.table.fingerprint(),
        "rows": digest(train, split.folds[0].test),
        "bins": context.config.bins,
        "seed": context.config.seed,
        "language_model": training_inputs(context, machine, TUNED_HEAD, len(train)),
        "code": probe_code(),
    }
    tags = {"split": split.name, "arm": f"layers of {weights}", "size": len(train), "seed": 0, "weights": weights}
    return Cell(PROBE, tags, inputs, (), f"layers of {weights}", True)


def train_and_predict(
    context: Context, machine: Machine, cell: Cell, needed: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """Train from a start, or fit an arm, on so many rows, and predict the test rows."""
    table, name, split = context.table, cell.tags["arm"], context.splits[0]
    y = context.targets(split.folds[0])
    train = sorted(ordered(context, split, cell.tags["seed"])[: cell.tags["size"]])
    labels, sides = y.loc[train].to_numpy(), table.censoring(train)
    made: dict[str, Any] = {}
    with measured(made):
        if name in STARTS:
            model = _started(context, machine, STARTS[name], cell)
            if not STARTS[name].labelled:
                dealt = np.random.default_rng(cell.inputs["seed"]).permutation(len(labels))
                labels, sides = labels[dealt], None if sides is None else sides[dealt]
        else:
            model = new_arm(context, machine, name, cell.inputs["seed"], cell.label, split.reach)
        made |= fit_and_predict(context, split, model, train, labels, sides)
    return made


def _started(context: Context, machine: Machine, start: Start, cell: Cell) -> Any:
    """`lm-head`, or a linear model on frozen states, over the engine and the prompts of a start."""
    seed, engine = cell.inputs["seed"], machine.engine(context, TUNED_HEAD)
    if start.alteration:
        depth, trained = context.layers(TUNED_HEAD)
        engine = altered_engine(context.config.model, trained, machine.dtype, depth, start.alteration, seed)
    template = context.template if start.in_order else ShuffledSymbols.of(context.template)
    if not start.tuned:
        return frozen(context.task, engine=engine, template=template, seed=seed)
    model = new_arm(context, machine, TUNED_HEAD, seed, cell.label, context.splits[0].reach)
    return model.set_params(engine=engine, template=template, start=start.adapters)


def described(context: Context) -> list[str]:
    """What is trained, on how many rows."""
    split = context.splits[0]
    sizes = ", ".join(map(str, sizes_of(context, split)))
    return [
        f"Split {split.name}: {sizes} of {len(split.folds[0].train)} training rows, tested on the same "
        f"{len(split.folds[0].test)}.",
        f"Starts: {', '.join(context.settings.starts)}; {context.settings.seeds} seeds. Folder: {context.folder}",
    ]


def line(context: Context, content: Mapping[str, Any]) -> str:
    """What was trained, and how long it took."""
    tags = content["tags"]
    return f"{tags['arm']}, {tags['size']} rows, seed {tags['seed']}".ljust(52) + f" {content['seconds']:6.1f} s"


def title(context: Context) -> str:
    return f"{context.table.name}: what is learned before the first label?"


def facts(context: Context) -> list[str]:
    return [context.config.model, f"{context.settings.seeds} training seed{'s' * (context.settings.seeds > 1)}"]


def conclude(context: Context, contents: Sequence[Mapping[str, Any]]) -> Conclusion:
    """The curves of the starts, and what the layers know."""
    of_starts = [one for one in contents if "weights" not in one["tags"]]
    found = Findings(context, context.splits[0], of_starts)
    probes = [one for one in contents if "weights" in one["tags"]]
    layers, beyond = found.layers(probes), found.beyond_random(probes)
    said = sentences(found, layers, beyond)
    predictions = pd.concat([found.predictions(one) for one in of_starts], ignore_index=True)
    tables = {"rows_worth": found.worth(), "layers": layers}
    return Conclusion(
        found.metrics(),
        predictions,
        trained(contents),
        tuple(said),
        tuple(sections(found, layers, beyond, said)),
        tables,
    )


def seconds_of(context: Context, cell: Cell, measured: Probe) -> float:
    """Seconds of a cell, from what was timed; the layers of a probe cost as many times the few of `lm-head`."""
    name = cell.tags["arm"]
    if name not in STARTS and "weights" not in cell.tags:
        return seconds_of_arm(context, cell, measured)
    trained = replace(cell, tags={**cell.tags, "arm": TUNED_HEAD})
    if name in STARTS and STARTS[name].tuned:
        return seconds_of_arm(context, trained, measured)
    rows = cell.tags["size"] + len(context.splits[0].folds[0].test)
    return measured.frozen[TUNED_HEAD] * (rows if name in STARTS else LAYERS_MORE * (rows + OTHER_ROWS))


def _without_probes(context: Context) -> Context | None:
    return replace(context, settings=replace(context.settings, probed=0)) if context.settings.probed else None


BUDGET = curve_budget(plan, seconds_of, {"what each layer knows": Reduction(_without_probes, "probed")})
