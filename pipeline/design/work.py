"""Proposing molecules and checking them: the work of a cell."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, astuple
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.arms.ladder import LANGUAGE_MODEL_CODE, code_behind
from pipeline.arms.writing import MoleculeWriter, Sample
from pipeline.cells.cell import Cell, digest, measured
from pipeline.cells.reach import code_of
from pipeline.defaults import PLAIN
from pipeline.design.experiment import WRITER_ARM, Experiment
from pipeline.design.settings import (
    BY_MODEL,
    CHOSEN_BY_MODEL,
    FRAGMENTS,
    GENETIC,
    LM,
    RANKED,
    SHUFFLED,
    TRAINING,
    WRITERS,
)
from pipeline.errors import InputError
from pipeline.features.notations import CANONICAL
from pipeline.lm.defaults import training_settings
from pipeline.lm.pretrained import MOLECULE_WRITERS, pretrained_adapter
from pipeline.models.folder import describe_folder
from pipeline.oracles.oracle import Value
from pipeline.proposing.drawing import INVALID, KNOWN, NEW, Draw
from pipeline.proposing.goals import ASKED, BEYOND, EDGE, Goal
from pipeline.proposing.strategies import (
    GENERATIONS,
    PARENTS,
    POOL,
    drawn_from,
    evolve,
    recombined,
    version_of_operators,
)
from pipeline.runs.context import Context, Machine, language_model_inputs
from pipeline.runs.fits import OBJECTS
from pipeline.studies.oracle import Truth, inputs_of_oracle, numbers_of
from pipeline.tables.kinds import MOLECULES

MODULE = "pipeline.design.work"
WRITE, CHECK, SEARCH, DESCRIBE = (f"{MODULE}:{name}" for name in ("write", "check", "search", "describe"))
BATCH = 16  # rows of each optimiser step
MOST_WRITTEN = 4  # samples of a language model for each molecule that is checked
NO_MOLECULE_IN = 1_000  # samples without a single molecule, after which nothing can be expected
# For which goals an arm designs, besides what was asked for: at the edge and beyond what the language model does, and
# the genetic algorithm for what can be had there at all.
GOALS = {LM: (ASKED, EDGE, BEYOND), SHUFFLED: (ASKED, EDGE), GENETIC: (ASKED, EDGE, BEYOND)}


def goals_of(arm: str) -> tuple[str, ...]:
    """For which goals an arm designs."""
    return GOALS.get(arm, (ASKED,))


def calls_for(experiment: Experiment, goal: str) -> int:
    """Molecules that an arm may have checked for a goal: half as many for a control."""
    return experiment.settings.n if goal == ASKED else max(1, experiment.settings.n // 2)


def texts_for(experiment: Experiment, arm: str, goal: str) -> int:
    """Texts that an arm writes at least for a goal, for another to take the best of; 0 where none does."""
    ranked = any(RANKED.get(other) == arm and goal in goals_of(other) for other in experiment.settings.arms)
    return POOL * calls_for(experiment, goal) if ranked else 0


def plan(context: Context, machine: Machine) -> list[Cell]:
    """The arms without a language model, then what each training of it wrote; last what the fitted model says."""
    experiment, found = Experiment(context), []
    arms = experiment.settings.arms
    for arm in (arm for arm in arms if arm not in WRITERS):
        for seed in range(experiment.seeds_of(arm)):
            found += [_search_cell(experiment, machine, arm, seed, goal) for goal in goals_of(arm)]
    for own in dict.fromkeys(RANKED.get(arm, arm) for arm in arms if arm in WRITERS):
        for seed in range(experiment.seeds_of(own)):
            writer = _write_cell(experiment, machine, own, seed)
            found.append(writer)
            for arm in (arm for arm in arms if own in (arm, RANKED.get(arm))):
                found += [_check_cell(experiment, arm, seed, goal, writer) for goal in goals_of(arm)]
    checked = tuple(cell for cell in found if cell.work != WRITE)
    return [*found, _describe_cell(experiment, checked)]


def of_table(experiment: Experiment, *code: str) -> dict[str, Any]:
    return {
        "code": code_of(*code, *OBJECTS),
        "table": experiment.context.once("fingerprint", experiment.table.fingerprint),
        "known": experiment.context.once("digest of the known", lambda: digest(sorted(experiment.known))),
        "constraints": asdict(experiment.constraints),
    }


def of_judge(experiment: Experiment) -> dict[str, Any]:
    """What the predictions of the fitted model depend on."""
    asked, context = experiment.settings, experiment.context
    if asked.model_of:
        files = context.once("files of the model", lambda: describe_folder(Path(asked.model_of))["files"])
        return {"model_of": digest(sorted(files.items()))}
    code = code_of("pipeline.models.fitting:fit_model", *code_behind(asked.judge, MOLECULES))
    return {"judge": asked.judge, "judge_code": code}


def _write_cell(experiment: Experiment, machine: Machine, arm: str, seed: int) -> Cell:
    asked = experiment.settings
    inputs = of_table(experiment, WRITE, *LANGUAGE_MODEL_CODE) | {
        "language_model": language_model_inputs(experiment.context, machine),
        "settings": [asked.generator_steps, asked.notation, asked.temperatures],
        "start": start_of(experiment),
        "goals": [
            (*astuple(experiment.goal(name)), calls_for(experiment, name), texts_for(experiment, arm, name))
            for name in goals_of(arm)
        ],
        "seed": experiment.seed + seed,
    }
    return Cell(WRITE, {"arm": arm, "seed": seed}, inputs, (), f"{arm}, seed {seed}: written", True)


def start_of(experiment: Experiment) -> str:
    """The checksum of the adapter that the language model starts from; empty for none."""
    config, asked = experiment.context.config, experiment.settings
    depth, trained = experiment.context.layers(WRITER_ARM)
    start = config.start if asked.notation == CANONICAL else PLAIN
    settings = training_settings(len(experiment.smiles), MoleculeWriter.steps_of, asked.generator_steps)
    found = pretrained_adapter(
        start, config.model, depth, trained, settings, experiment.context.template, MOLECULE_WRITERS
    )
    return found.sha256 if found else ""


def tuned_writer(experiment: Experiment, machine: Machine, arm: str, seed: int, label: str) -> MoleculeWriter:
    """A language model tuned to write the molecules of the table."""
    asked, context = experiment.settings, experiment.context
    writer = MoleculeWriter(
        engine=machine.engine(context, WRITER_ARM),
        template=context.template,
        notation=asked.notation,
        start=context.config.start,
        steps=asked.generator_steps,
        settings={"batch_size": BATCH},
        seed=experiment.seed + seed,
        progress=lambda done, total: machine.reporter.step(label, done, total),
    )
    return writer.fit(experiment.stated(arm, seed).tolist(), experiment.smiles)


def write(context: Context, machine: Machine, cell: Cell, needed: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Tune a language model to write molecules, and let it write until there are enough to be checked for each goal."""
    experiment, (arm, seed) = Experiment(context), (cell.tags["arm"], cell.tags["seed"])
    made: dict[str, Any] = {}
    with measured(made):
        writer = tuned_writer(experiment, machine, arm, seed, f"{arm}, seed {seed}")
        made["draws"] = {}
        for name in goals_of(arm):
            goal = experiment.goal(name)
            calls, least = calls_for(experiment, name), texts_for(experiment, arm, name)
            made["draws"][name] = written(experiment, writer, experiment.asking(arm, goal), calls, least)
    return made


def written(experiment: Experiment, writer: MoleculeWriter, asking: float, calls: int, least: int = 0) -> list[Draw]:
    """All that a language model writes until enough of it is new, or it has written for long; and so many at least."""
    draws: list[Draw] = []
    sieve = experiment.sieve(written=True)

    def enough(samples: list[Sample]) -> bool:
        for temperature, text in samples[len(draws) :]:
            draws.append(sieve.read(text) | {"temperature": temperature})
        nothing = all(draw["status"] == INVALID for draw in draws)
        if nothing and len(draws) >= NO_MOLECULE_IN:
            raise InputError(
                f"the language model wrote no molecule in {len(draws)} samples; train it for longer with "
                "--generator-steps, or let it write SELFIES with --notation selfies"
            )
        found = sum(draw["status"] == NEW for draw in draws)
        return not nothing and len(draws) >= least and (found >= calls or len(draws) >= MOST_WRITTEN * calls)

    writer.texts(asking, experiment.settings.temperatures, enough)
    return draws[: max(least, len(_until(draws, calls)))]


def _until(draws: list[Draw], calls: int) -> list[Draw]:
    """Draws as far as there are so many new molecules among them."""
    ends = [place for place, draw in enumerate(draws) if draw["status"] == NEW][calls - 1 : calls]
    return draws[: ends[0] + 1] if ends else draws


def _check_cell(experiment: Experiment, arm: str, seed: int, goal: str, writer: Cell) -> Cell:
    tags = {"arm": arm, "seed": seed, "goal": goal}
    inputs = {
        "oracle": inputs_of_oracle(experiment.context),
        "code": code_of(CHECK, *OBJECTS),
        "calls": calls_for(experiment, goal),
    }
    if arm in RANKED:
        inputs |= of_table(experiment, CHECK) | of_judge(experiment)
    return Cell(CHECK, tags, inputs, (writer,), f"{arm}, seed {seed}: {goal}, checked")


def look_at(truth: Truth, draws: Sequence[Draw]) -> None:
    """Write into draws what their true value is, or why it is not known."""
    found = truth.values([draw["smiles"] for draw in draws])
    for draw, value in zip(draws, found, strict=True):
        draw |= _looked_at(value)


def _looked_at(found: Value) -> Draw:
    return {"checked": True, "value": found.value, "no_value": found.reason}


def check(context: Context, machine: Machine, cell: Cell, needed: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Ask the oracle for the new molecules that a language model wrote."""
    experiment, (writer,) = Experiment(context), needed
    made: dict[str, Any] = {}
    goal, calls = experiment.goal(cell.tags["goal"]), cell.inputs["calls"]
    with measured(made):
        truth = experiment.truth(machine, cell.label)
        draws = [dict(draw) for draw in writer["draws"][goal.name]]  # others look at the same ones
        if cell.tags["arm"] in RANKED:
            draws = draws[: POOL * calls]
            look_at(truth, _liked(experiment, machine, goal, [draw for draw in draws if draw["status"] == NEW])[:calls])
        else:
            draws = _until(draws, calls)
            look_at(truth, [draw for draw in draws if draw["status"] == NEW])
    return made | {"draws": draws}


def _liked(experiment: Experiment, machine: Machine, goal: Goal, draws: list[Draw]) -> list[Draw]:
    """Draws with what the fitted model says of them as their reward, the best for a goal first."""
    if not draws:
        return []
    predicted = experiment.predicted(experiment.judge(machine.reporter), [draw["smiles"] for draw in draws])
    for draw, value in zip(draws, predicted.tolist(), strict=True):
        draw["reward"] = value
    order = np.argsort(goal.distance(predicted) + 1e-9 * abs(predicted - goal.stated), kind="stable")
    return [draws[place] for place in order]


def _search_cell(experiment: Experiment, machine: Machine, arm: str, seed: int, goal: str) -> Cell:
    inputs = of_table(experiment, SEARCH) | {
        "oracle": inputs_of_oracle(experiment.context),
        "goal": astuple(experiment.goal(goal)),
        "calls": calls_for(experiment, goal),
        "seed": experiment.seed + seed,
    }
    if arm in CHOSEN_BY_MODEL:
        inputs |= of_judge(experiment)
    if arm in (GENETIC, BY_MODEL):
        inputs["mol_ga"] = version_of_operators()
    return Cell(SEARCH, {"arm": arm, "seed": seed, "goal": goal}, inputs, (), f"{arm}, seed {seed}: {goal}")


def search(context: Context, machine: Machine, cell: Cell, needed: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Propose molecules without a language model and ask the oracle for them, as far as the arm may."""
    made: dict[str, Any] = {}
    experiment = Experiment(context)
    goal, calls, seed = experiment.goal(cell.tags["goal"]), cell.inputs["calls"], cell.inputs["seed"]
    with measured(made):
        truth = experiment.truth(machine, cell.label)
        made["draws"] = _SEARCHES[cell.tags["arm"]](experiment, machine, truth, goal, calls, seed)
    return made


def _from_table(
    experiment: Experiment, machine: Machine, truth: Truth, goal: Goal, calls: int, seed: int
) -> list[Draw]:
    sieve, rng = experiment.sieve(), np.random.default_rng([seed, 1])
    draws = sieve.read_all(drawn_from(experiment.smiles, len(experiment.smiles), rng))
    allowed = [draw for draw in draws if draw["status"] == KNOWN][:calls]
    look_at(truth, allowed)
    return allowed


def _from_fragments(
    experiment: Experiment, machine: Machine, truth: Truth, goal: Goal, calls: int, seed: int
) -> list[Draw]:
    draws = recombined(experiment.smiles, experiment.sieve(), POOL * calls, seed)
    chosen = _liked(experiment, machine, goal, draws)[:calls]
    look_at(truth, chosen)
    return chosen


def _start(experiment: Experiment, goal: Goal) -> list[tuple[float, str]]:
    """The molecules of the table that come nearest to a goal, with their scores, the best first."""
    why_not = experiment.constraints.why_not
    scores = -goal.distance(experiment.values)
    order = [place for place in np.argsort(-scores, kind="stable") if not why_not(experiment.smiles[place])]
    return [(float(scores[place]), experiment.smiles[place]) for place in order[:PARENTS]]


def _genetic(experiment: Experiment, machine: Machine, truth: Truth, goal: Goal, calls: int, seed: int) -> list[Draw]:
    """Scored by the oracle: every new molecule is a call."""
    draws: list[Draw] = []
    said: dict[str, Value] = {}

    def valued(smiles: Sequence[str]) -> np.ndarray:
        found = truth.values(smiles)
        said.update(zip(smiles, found, strict=True))
        return numbers_of(found)

    def told(generation: int, fresh: list[Draw], values: np.ndarray) -> bool:
        draws.extend(draw | {"generation": generation} | _looked_at(said[draw["smiles"]]) for draw in fresh)
        return len(draws) >= calls

    children = max(1, calls // GENERATIONS)
    evolve(_start(experiment, goal), goal, experiment.sieve(), valued, children, seed, told)
    return draws[:calls]


def _genetic_by_model(
    experiment: Experiment, machine: Machine, truth: Truth, goal: Goal, calls: int, seed: int
) -> list[Draw]:
    """Scored by the fitted model; of each generation the oracle looks at those that the model likes best."""
    draws: list[Draw] = []
    model, best = experiment.judge(machine.reporter), max(1, calls // GENERATIONS)

    def valued(smiles: Sequence[str]) -> np.ndarray:
        return experiment.predicted(model, list(smiles))

    def told(generation: int, fresh: list[Draw], values: np.ndarray) -> bool:
        for place in np.argsort(goal.distance(values), kind="stable")[:best]:
            draws.append(fresh[place] | {"generation": generation, "reward": float(values[place])})
        return len(draws) >= calls

    evolve(_start(experiment, goal), goal, experiment.sieve(), valued, POOL * best, seed, told)
    look_at(truth, draws[:calls])
    return draws[:calls]


_SEARCHES = {TRAINING: _from_table, FRAGMENTS: _from_fragments, GENETIC: _genetic, BY_MODEL: _genetic_by_model}


def _describe_cell(experiment: Experiment, checked: tuple[Cell, ...]) -> Cell:
    inputs = of_table(experiment, DESCRIBE) | of_judge(experiment)
    return Cell(DESCRIBE, {"arm": experiment.settings.judge}, inputs, checked, "what the fitted model says")


def describe(context: Context, machine: Machine, cell: Cell, needed: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What the fitted model says of every molecule that was checked: its value with an interval, and its domain."""
    made: dict[str, Any] = {}
    experiment = Experiment(context)
    with measured(made):
        checked = (draw["smiles"] for one in needed for draw in one["draws"] if draw.get("checked"))
        smiles = sorted(set(checked))
        made["described"] = _described(experiment, machine, smiles) if smiles else []
    return made


def _described(experiment: Experiment, machine: Machine, smiles: list[str]) -> list[dict[str, Any]]:
    model = experiment.judge(machine.reporter)
    found = model.describe(smiles)
    ends = [model.scale.forward(found[name].to_numpy(dtype=np.float64)) for name in ("lower", "upper")]
    found["predicted"] = model.scale.forward(found["prediction"].to_numpy(dtype=np.float64))
    found["lower"], found["upper"] = ends[::-1] if model.scale.decreasing else ends
    kept = found.rename(columns={model.nearest_column: "nearest"})
    columns = ["predicted", "lower", "upper", "nearest", "similarity", "in_domain", "domain_note"]
    records = kept[columns].astype(object).where(kept[columns].notna(), None).to_dict("records")
    return [
        {"smiles": text, **{str(name): value for name, value in record.items()}}
        for text, record in zip(smiles, records, strict=True)
    ]
