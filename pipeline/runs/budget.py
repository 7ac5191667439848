"""How long a run will take on this machine, from a short probe, and what fits into a budget."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from pipeline.arms.catalogue import ARMS, SEARCHED
from pipeline.arms.ladder import CONTROLS, LANGUAGE_MODELS, fitted_arms, make_arm, resolve_arms
from pipeline.cells.store import Store
from pipeline.errors import InputError
from pipeline.files import write_atomically
from pipeline.lm.defaults import TEXT_STEPS, training_settings
from pipeline.prompts.numbers import NumberFormat
from pipeline.prompts.templates import completion
from pipeline.reporter import Reporter
from pipeline.runs.context import Context, Machine
from pipeline.runs.fits import again_trained, missing_fits, shared_features
from pipeline.runs.held_out import INNER_FOLD_ROWS, INNER_FOLDS
from pipeline.runs.prepare import with_splits
from pipeline.splits.splitters import INNER_EDGES, Split
from pipeline.tables.table import STRUCTURE
from pipeline.tables.targets import CLASSES

CHOICE = "plan.json"  # in the folder of a run: what was given up for a budget
PROBE_ROWS = 160
PROBE_PROMPTS = 96
PROBE_STEPS, PROBE_STEPS_ON_GPU = 7, 30
PROBE_READ = 16


@dataclass(frozen=True)
class Probe:
    """Seconds measured on this machine.

    ``baseline`` is per fit at `PROBE_ROWS` rows; of each language-model arm, ``step`` is per training step of the
    run's batch and ``frozen`` per text through the layers below the trained ones; ``read`` is per text that `lm-text`
    reads.
    """

    baseline: dict[str, float]
    descriptors: float
    step: dict[str, float]
    frozen: dict[str, float]
    read: float


def probe(context: Context, machine: Machine) -> Probe:
    """Time a few real operations on rows of the table; nothing of it is kept."""
    smiles = context.table.inputs[STRUCTURE]
    sample = smiles.iloc[np.linspace(0, len(smiles) - 1, 12).astype(int)]
    started = time.perf_counter()
    shared_features(context.table)[1](sample)
    per_molecule = (time.perf_counter() - started) / len(sample)
    leaves = {leaf for arm in context.arms for leaf in fitted_arms(arm)}
    step, frozen, read = {}, {}, 0.0
    for arm in sorted(leaves & set(LANGUAGE_MODELS)):
        step[arm], frozen[arm], reading = _probe_engine(context, machine, arm)
        read = max(read, reading)
    return Probe(_probe_baselines(context, machine, leaves - set(LANGUAGE_MODELS)), per_molecule, step, frozen, read)


def _probe_baselines(context: Context, machine: Machine, arms: set[str]) -> dict[str, float]:
    fold = context.splits[0].folds[0]
    y = context.targets(fold)
    rows = list(fold.train)[:PROBE_ROWS]
    if context.task == CLASSES and y.loc[rows].nunique() < 2:
        rows = list(fold.train)[:: max(1, len(fold.train) // PROBE_ROWS)]
    X = context.table.inputs.loc[rows]
    shared_features(context.table)[1](X[STRUCTURE])
    seconds = {}
    for arm in sorted(arms):
        started = time.perf_counter()
        make_arm(arm, context.task, seed=0, threads=machine.threads, columns=context.columns).fit(
            X, y.loc[rows].to_numpy()
        )
        seconds[arm] = time.perf_counter() - started
    return seconds


def _probe_engine(context: Context, machine: Machine, arm: str) -> tuple[float, float, float]:
    """Seconds per training step, per text through the frozen layers, and per text read."""
    from pipeline.lm.decoders import shared_tokens
    from pipeline.lm.training import Head, train

    engine = machine.engine(context, arm)
    prompts = sorted(
        {engine.prompt(context.template, pieces) for pieces in context.template.pieces_all(context.table.inputs)}
    )
    chosen = np.random.default_rng(0).permutation(len(prompts))[:PROBE_PROMPTS]
    sample = [prompts[index] for index in chosen]
    shared = shared_tokens(prompts)
    started = time.perf_counter()
    engine.prepare(sample, shared)
    frozen = (time.perf_counter() - started) / len(sample)
    if arm == "lm-frozen":
        return 0.0, frozen, 0.0
    settings = training_settings(len(sample), arm, PROBE_STEPS_ON_GPU if engine.on_gpu else PROBE_STEPS)
    with engine.adapted(rank=settings.rank, alpha=settings.alpha, dropout=0.0, seed=0) as model:
        head = Head(engine.model.config.hidden_size, 1).to(engine.device)
        parameters = [p for p in model.parameters() if p.requires_grad] + list(head.parameters())
        marks: list[float] = []
        train(
            engine,
            sample,
            shared,
            lambda rows: (head(rows) ** 2).mean(),
            lambda members: (),
            parameters,
            settings,
            0,
            lambda done, total: marks.append(time.perf_counter()),
        )
        read = (
            _probe_reading(context, machine, sample[: engine.at_once(PROBE_READ)], shared) if arm == "lm-text" else 0.0
        )
    seconds = np.diff(marks)
    step = np.median(seconds[len(seconds) // 2 :]) if engine.on_gpu else seconds.mean()  # there the first are recorded
    return float(step), frozen, read


def _probe_reading(context: Context, machine: Machine, prompts: list[tuple[int, ...]], shared: int) -> float:
    """Seconds per text; an untrained model walks more of the tree than a trained one, so this is on the safe side."""
    from pipeline.lm.answers import AnswerTree, read_answers

    engine = machine.engine(context, "lm-text")
    answers = context.classes if context.task == CLASSES else NumberFormat.fit(context.table.targets.to_numpy()).texts()
    tree = AnswerTree([(*engine.encode(completion(answer)), engine.end_token) for answer in answers])
    started = time.perf_counter()
    read_answers(engine, prompts, shared, tree)
    return (time.perf_counter() - started) / len(prompts)


def estimate(context: Context, machine: Machine, measured: Probe) -> dict[str, float]:
    """Seconds per arm over all cells that are still missing, and for the features they share."""
    seconds: dict[str, float] = {}
    missing = missing_fits(context, machine, Store(context.folder))
    for split, fold, arm in missing:
        n, tested = len(fold.train), len(fold.test)
        if arm in LANGUAGE_MODELS:
            cost = 0.0
            if arm not in seconds:  # kept from then on
                cost += measured.frozen[arm] * len(context.table)
            if arm != "lm-frozen":
                trainings = 2 if context.config.calibrate_lm else 1
                cost += trainings * measured.step[arm] * training_settings(n, arm, context.config.steps or None).steps
            cost += tested * measured.read if arm == "lm-text" else (n + tested) * measured.frozen[arm] * 0.5
        else:
            cost = _baseline_cost(measured.baseline.get(arm, 0.0), arm, n, split)
        seconds[arm] = seconds.get(arm, 0.0) + cost
    if any(arm not in LANGUAGE_MODELS and arm not in CONTROLS.values() for _, _, arm in missing):
        seconds["features"] = measured.descriptors * len(context.table)
    return seconds


def _baseline_cost(at_probe: float, arm: str, n: int, split: Split) -> float:
    """One fit on all rows, the inner fits on which a baseline is chosen, and, beyond an edge, those without a part."""
    folds = [n * (INNER_FOLDS - 1) / INNER_FOLDS] * INNER_FOLDS
    edge = split.order is not None and split.order.of in INNER_EDGES
    inner = [0.8 * n] if edge or n > INNER_FOLD_ROWS else folds
    inner += folds if split.order is not None and inner != folds else []
    return sum(_growth(at_probe, arm, rows) for rows in [n, *inner])


def _growth(at_probe: float, arm: str, n: float) -> float:
    ratio = n / PROBE_ROWS
    growth = ARMS[arm].growth
    if growth:
        capped = min(ratio, SEARCHED / PROBE_ROWS)
        return at_probe * capped**growth.power * (1 + growth.share * (ratio - capped) ** growth.later)
    return at_probe * max(ratio, 0.5)


Reduction = Callable[[Context], Context | None]


def _fewer_repeats(repeats: int) -> Reduction:
    def reduce(context: Context) -> Context | None:
        if context.config.repeats <= repeats:
            return None
        return with_splits(replace(context, config=replace(context.config, repeats=repeats)), Reporter())

    return reduce


def _fewer_rows(n: int) -> Reduction:
    def reduce(context: Context) -> Context | None:
        if len(context.table) <= n:
            return None
        return with_splits(replace(context, table=context.table.sample(n, context.config.seed)), Reporter())

    return reduce


def _steps(context: Context) -> int:
    """Most optimiser steps that a language-model arm of this run takes."""
    rows = max(len(fold.train) for split in context.splits for fold in split.folds)
    return context.config.steps or training_settings(rows, "lm-head").steps


def _fewer_steps(steps: int) -> Reduction:
    def reduce(context: Context) -> Context | None:
        if _steps(context) <= steps or not _language_models(context):
            return None
        return replace(context, config=replace(context.config, steps=steps))

    return reduce


def _one_seed(context: Context) -> Context | None:
    return replace(context, config=replace(context.config, lm_seeds=1)) if again_trained(context) else None


def _without(*arms: str) -> Reduction:
    def reduce(context: Context) -> Context | None:
        kept = [arm for arm in context.arms if not set(arms) & {arm, *fitted_arms(arm)}]
        if kept == list(context.arms) or set(kept) <= set(CONTROLS.values()):
            return None
        return replace(context, arms=tuple(resolve_arms(kept, context.task, context.table.kind)))

    return reduce


def _language_models(context: Context) -> bool:
    return any(set(fitted_arms(arm)) & set(LANGUAGE_MODELS) for arm in context.arms)


STEP_LIMITS = (TEXT_STEPS, 240, 160, 120)  # from more, lm-text would take more steps than by itself
# What is given up first stands first; each is applied only if the estimate is still over the budget.
REDUCTIONS: tuple[Reduction, ...] = (
    _one_seed,
    _fewer_repeats(3),
    _fewer_rows(4_000),
    _fewer_steps(STEP_LIMITS[0]),
    _fewer_repeats(1),
    _fewer_rows(2_000),
    _fewer_steps(STEP_LIMITS[1]),
    _without("lm-text"),
    _fewer_steps(STEP_LIMITS[2]),
    _fewer_rows(1_000),
    _fewer_steps(STEP_LIMITS[3]),
    _fewer_rows(500),
    _without(*LANGUAGE_MODELS),
    _without("svr", "gp", "components-gp", "drfp-gp"),
    _without("extratrees", "lightgbm"),
)


def fit_budget(context: Context, machine: Machine, measured: Probe, seconds: float) -> Context:
    """Reduce the run until its estimate fits, and keep the choice in the run's folder.

    A later start of the same command in the same folder takes the same choice, whatever its own
    probe says, so that finished cells are found again.
    """
    with Store(context.folder).decision():
        chosen = _stored_choice(context)
        if chosen is None:
            applied, smaller = [], context
            for index, reduction in enumerate(REDUCTIONS):
                over = sum(estimate(smaller, machine, measured).values()) > seconds
                reduced = _reduced(smaller, reduction) if over else None
                if reduced is not None:
                    smaller = reduced
                    applied.append(index)
            content = {**_identity(context), "reductions": applied}
            write_atomically(context.folder / CHOICE, json.dumps(content, indent=1))
    return as_reduced(context)


def as_reduced(context: Context) -> Context:
    """The run with the reductions that an earlier start chose for a budget; as it is if there were none."""
    smaller = context
    for index in _stored_choice(context) or ():
        smaller = _reduced(smaller, REDUCTIONS[index]) or smaller
    return replace(smaller, asked=context.config, left_out=(*context.left_out, *_left_out(context, smaller)))


def _reduced(context: Context, reduction: Reduction) -> Context | None:
    """The reduced run; None where there is nothing to give up, or what would be left cannot be divided."""
    try:
        return reduction(context)
    except InputError:
        return None


def _identity(context: Context) -> dict[str, Any]:
    """What a choice belongs to."""
    settings = {key: value for key, value in context.config.as_dict().items() if key != "out"}
    return {"settings": settings, "table": context.table.fingerprint()}


def _left_out(whole: Context, smaller: Context) -> list[str]:
    """What the smaller run lacks, a line each."""
    notes = []
    if smaller.config.repeats < whole.config.repeats:
        notes.append(f"repeats: {smaller.config.repeats} of {whole.config.repeats}")
    if len(again_trained(smaller)) < len(again_trained(whole)) and _language_models(smaller):
        notes.append("further training seeds of language models")
    if len(smaller.table) < len(whole.table):
        kept = len(smaller.table)
        notes.append(f"{len(whole.table) - kept} of {len(whole.table)} rows: {kept} were drawn by seed")
    dropped = [arm for arm in whole.arms if arm not in smaller.arms]
    if dropped:
        notes.append(f"arms: {', '.join(dropped)}")
    if _language_models(smaller) and _steps(smaller) < _steps(whole):
        notes.append(f"optimiser steps of the language-model arms: {_steps(smaller)} instead of {_steps(whole)}")
    return notes


def _stored_choice(context: Context) -> list[int] | None:
    try:
        stored = json.loads((context.folder / CHOICE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    identity = _identity(context)
    return stored["reductions"] if {key: stored.get(key) for key in identity} == identity else None


def duration(seconds: float) -> str:
    """Seconds in words: ``40 s``, ``12 min``, ``1 h 20 min``."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def check_room(context: Context) -> None:
    """Raise `InputError` if the disk has clearly no room for the run's folder."""
    import shutil

    context.folder.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(context.folder).free
    if free < 50_000_000:
        raise InputError(f"{context.folder}: only {free / 1e6:.0f} MB are free on this disk; a run needs about 50 MB")
