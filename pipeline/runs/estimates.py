"""How long a run will take on this machine, from a short probe."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from math import log

import numpy as np

from pipeline.arms.catalogue import ARMS, SEARCHED
from pipeline.arms.ladder import CONTROLS, LANGUAGE_MODELS, fitted_arms, make_arm
from pipeline.arms.spelled import prompts_in
from pipeline.cells.store import Store
from pipeline.features.notations import representations
from pipeline.lm.defaults import training_settings
from pipeline.prompts.numbers import NumberFormat
from pipeline.prompts.templates import completion
from pipeline.runs.context import Context, Machine
from pipeline.runs.fits import costly_features, missing_fits
from pipeline.runs.held_out import INNER_FOLD_ROWS, INNER_FOLDS
from pipeline.splits.splitters import INNER_EDGES, Split
from pipeline.tables.table import STRUCTURE
from pipeline.tables.targets import CLASSES

PROBE_ROWS = (160, 480)  # of the two fits of each baseline, where there are so many training rows
WARM_ROWS = 40  # of a fit before these: libraries load what they need at the first one
PROBE_PROMPTS = 96
PROBE_STEPS, PROBE_STEPS_ON_GPU = 7, 30
PROBE_READ = 16
BUSY = 0.75  # load for each core from which on a machine is said to be busy
Timed = tuple[tuple[int, float], ...]  # rows and seconds of fits


@dataclass(frozen=True)
class Probe:
    """Seconds measured on this machine.

    ``baseline`` are fits of each arm on few and on more rows; of each language-model arm, ``step`` is per training
    step of the run's batch and ``frozen`` per text through the layers below the trained ones; ``read`` is per text
    that `lm-text` reads.
    """

    baseline: dict[str, Timed]
    descriptors: float
    step: dict[str, float]
    frozen: dict[str, float]
    read: float


def probe(context: Context, machine: Machine) -> Probe:
    """Time a few real operations on rows of the table; nothing of it is kept."""
    leaves = sorted({leaf for arm in context.arms for leaf in fitted_arms(arm)})
    step, frozen, read = {}, {}, 0.0
    baseline: dict[str, Timed] = {}
    smiles = context.table.inputs[STRUCTURE]
    sample = smiles.iloc[np.linspace(0, len(smiles) - 1, 12).astype(int)]
    computed = costly_features(context.table, leaves).values()
    for compute in computed:
        compute(sample.iloc[:1])  # what is loaded at the first one
    started = time.perf_counter()
    for compute in computed:
        compute(sample)
    per_molecule = (time.perf_counter() - started) / max(1, len(sample) - 1)
    for number, arm in enumerate(leaves):
        machine.reporter.step("timing a short probe", number, len(leaves))
        if arm in LANGUAGE_MODELS:
            step[arm], frozen[arm], reading = _probe_engine(context, machine, arm)
            read = max(read, reading)
        else:
            baseline[arm] = _probe_baseline(context, machine, arm)
    return Probe(baseline, per_molecule, step, frozen, read)


def _probe_baseline(context: Context, machine: Machine, arm: str) -> Timed:
    """Fits on some of the training rows of the first division; features are computed before."""
    fold = context.splits[0].folds[0]
    y, train = context.targets(fold), list(fold.train)
    found: list[tuple[int, float]] = []
    for number in (WARM_ROWS, *PROBE_ROWS):
        rows = train[:number]
        if context.task == CLASSES and y.loc[rows].nunique() < 2:
            rows = train[:: max(1, len(train) // number)][:number]
        if context.task == CLASSES and y.loc[rows].nunique() < 2:
            rows = train
        if found and len(rows) <= found[-1][0]:
            break
        X = context.table.inputs.loc[rows]
        for compute in costly_features(context.table, (arm,)).values():
            compute(X[STRUCTURE])
        kind = context.table.kind
        made = make_arm(arm, context.task, seed=0, threads=machine.threads, kind=kind, columns=context.columns)
        started = time.perf_counter()
        made.fit(X, y.loc[rows].to_numpy())
        found.append((len(rows), time.perf_counter() - started))
    return tuple(found[1:] or found)


def _probe_engine(context: Context, machine: Machine, arm: str) -> tuple[float, float, float]:
    """Seconds per training step, per text through the frozen layers, and per text read."""
    from pipeline.lm.decoders import shared_tokens
    from pipeline.lm.training import Head, train

    engine = machine.engine(context, arm)
    first = representations(context.config.representation)[0]
    shown = prompts_in(context.template, context.table.inputs, first, context.config.seed)
    prompts = sorted({engine.prompt(context.template, pieces) for pieces in shown})
    chosen = np.random.default_rng(0).permutation(len(prompts))[:PROBE_PROMPTS]
    sample = [prompts[index] for index in chosen]
    shared = shared_tokens(prompts)
    started = time.perf_counter()
    engine.prepare(sample, shared)
    frozen = (time.perf_counter() - started) / len(sample)
    if arm == "lm-frozen":
        return 0.0, frozen, 0.0
    steps = PROBE_STEPS_ON_GPU if engine.on_gpu else PROBE_STEPS
    settings = training_settings(len(sample), arm, steps, batch_size=context.config.batch)
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


def busy_note() -> str:
    """That other work keeps the cores, where it does; nothing on a quiet machine."""
    cores, load = os.cpu_count() or 1, os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
    if load < BUSY * cores:
        return ""
    return f"This machine is busy (a load of {load:.1f} on {cores} cores): all will take longer than on a quiet one."


def estimate(context: Context, machine: Machine, measured: Probe) -> dict[str, float]:
    """Seconds per arm over all cells that are still missing, and for the features they share."""
    seconds: dict[str, float] = {}
    missing = missing_fits(context, machine, Store(context.folder))
    shown = representations(context.config.representation)
    texts = sum(one.spellings for one in shown)
    for split, fold, arm in missing:
        n, tested = len(fold.train), len(fold.test)
        if arm in LANGUAGE_MODELS:
            cost = 0.0
            if arm not in seconds:  # kept from then on
                cost += measured.frozen[arm] * len(context.table) * texts
            if arm != "lm-frozen":
                trainings = 2 if context.config.calibrate_lm else 1
                steps = training_settings(n, arm, context.config.steps or None).steps
                cost += trainings * measured.step[arm] * steps * len(shown)
            cost += texts * (tested * measured.read if arm == "lm-text" else (n + tested) * measured.frozen[arm] * 0.5)
        else:
            cost = _baseline_cost(measured.baseline.get(arm, ()), arm, n, split)
        seconds[arm] = seconds.get(arm, 0.0) + cost
    if any(arm not in LANGUAGE_MODELS and arm not in CONTROLS.values() for _, _, arm in missing):
        seconds["features"] = measured.descriptors * len(context.table)
    return seconds


def _baseline_cost(timed: Timed, arm: str, n: int, split: Split) -> float:
    """One fit on all rows, the inner fits on which a baseline is chosen, and, beyond an edge, those without a part."""
    folds = [n * (INNER_FOLDS - 1) / INNER_FOLDS] * INNER_FOLDS
    edge = split.order is not None and split.order.of in INNER_EDGES
    inner = [0.8 * n] if edge or n > INNER_FOLD_ROWS else folds
    inner += folds if split.order is not None and inner != folds else []
    return sum(seconds_of_fit(timed, arm, rows) for rows in [n, *inner])


def seconds_of_fit(timed: Timed, arm: str, rows: float) -> float:
    """Of a fit on so many rows: a constant, and a part that grows with the power of the arm, through what was timed.

    Past `SEARCHED` rows the settings of some arms are no longer searched on all of them (`Growth`).
    """
    if not timed:
        return 0.0
    growth = ARMS[arm].growth
    power = growth.power if growth else 1.0
    within = min(rows, SEARCHED) if growth else rows
    (first, least), (last, most) = timed[0], timed[-1]
    if last > first:
        slope = max(0.0, most - least) / (last**power - first**power)
        base = least - slope * first**power
        if base < 0:  # it grows faster than that
            power = log(most / least) / log(last / first)
            slope, base = least / first**power, 0.0
    else:
        slope, base = least / first**power, 0.0
    seconds = base + slope * within**power
    return seconds * (1 + growth.share * ((rows - within) / SHARE_ROWS) ** growth.later) if growth else seconds


SHARE_ROWS = 160  # rows by which `Growth` counts what comes past the search
