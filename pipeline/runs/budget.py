"""What of a run fits into a time: what is given up for it, in which order, and what is said of that."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from math import ceil
from typing import Any

from pipeline.arms.ladder import CONTROLS, LANGUAGE_MODELS, fitted_arms, resolve_arms
from pipeline.cells.store import Store
from pipeline.errors import InputError
from pipeline.files import write_atomically
from pipeline.lm.defaults import TEXT_STEPS, training_settings
from pipeline.reporter import Reporter
from pipeline.runs.context import Context, Machine
from pipeline.runs.estimates import Probe, estimate
from pipeline.runs.fits import again_trained
from pipeline.runs.prepare import with_splits

CHOICE = "plan.json"  # in the folder of a run: what was given up for a budget
Change = Callable[[Context], Context | None]


@dataclass(frozen=True)
class Reduction:
    """Something that a run can do without.

    Attributes
    ----------
    change : callable
        The run without it; None where there is nothing to give up.
    of : str
        The setting that it changes.
    arms : tuple of str
        Those that it leaves out.
    """

    change: Change
    of: str
    arms: tuple[str, ...] = ()

    def is_named(self, context: Context) -> bool:
        """Whether the user asked by name for what it gives up."""
        config = context.config
        if self.of != "arms":
            asked = context.settings if hasattr(context.settings, self.of) else config
            return bool(getattr(asked, self.of) != type(asked).__dataclass_fields__[self.of].default)
        given_up = set(context.arms) & set(self.arms)
        named = [name for name in context.arms if name in config.arms]
        return any(given_up & {name, *fitted_arms(name)} for name in named)


def _fewer_repeats(repeats: int) -> Reduction:
    def reduce(context: Context) -> Context | None:
        if context.config.repeats <= repeats:
            return None
        return with_splits(replace(context, config=replace(context.config, repeats=repeats)), Reporter())

    return Reduction(reduce, "repeats")


def _fewer_rows(n: int) -> Reduction:
    def reduce(context: Context) -> Context | None:
        if len(context.table) <= n:
            return None
        return with_splits(replace(context, table=context.table.sample(n, context.config.seed)), Reporter())

    return Reduction(reduce, "max_rows")


def most_steps(context: Context) -> int:
    """Most optimiser steps that a language-model arm of this run takes."""
    rows = max(len(fold.train) for split in context.splits for fold in split.folds)
    return context.config.steps or training_settings(rows, "lm-head").steps


def fewer_steps(steps: int) -> Reduction:
    """Language-model arms that take so many optimiser steps."""

    def reduce(context: Context) -> Context | None:
        if most_steps(context) <= steps or not _language_models(context):
            return None
        return replace(context, config=replace(context.config, steps=steps))

    return Reduction(reduce, "steps")


def _one_seed(context: Context) -> Context | None:
    return replace(context, config=replace(context.config, lm_seeds=1)) if again_trained(context) else None


def _without(*arms: str) -> Reduction:
    def reduce(context: Context) -> Context | None:
        kept = [arm for arm in context.arms if not set(arms) & {arm, *fitted_arms(arm)}]
        if kept == list(context.arms) or set(kept) <= set(CONTROLS.values()):
            return None
        return replace(context, arms=tuple(resolve_arms(kept, context.task, context.table.kind)))

    return Reduction(reduce, "arms", arms)


def _language_models(context: Context) -> bool:
    return any(set(fitted_arms(arm)) & set(LANGUAGE_MODELS) for arm in context.arms)


STEP_LIMITS = (TEXT_STEPS, 240, 160, 120)  # from more, lm-text would take more steps than by itself
REDUCTIONS = (  # of a comparison of arms
    Reduction(_one_seed, "lm_seeds"),
    _fewer_repeats(3),
    _fewer_rows(4_000),
    fewer_steps(STEP_LIMITS[0]),
    _fewer_repeats(1),
    _fewer_rows(2_000),
    fewer_steps(STEP_LIMITS[1]),
    _without("lm-text"),
    fewer_steps(STEP_LIMITS[2]),
    _fewer_rows(1_000),
    fewer_steps(STEP_LIMITS[3]),
    _fewer_rows(500),
    _without(*LANGUAGE_MODELS),
    _without("svr", "gp", "components-gp", "drfp-gp"),
    _without("extratrees", "lightgbm"),
    _without("chemprop"),  # of arms that stand in no group, and are named
    _without("svr-counts", "minimol-svr"),
)


@dataclass(frozen=True)
class Budget:
    """How a study keeps within a time.

    Attributes
    ----------
    reductions : tuple of Reduction
        What is given up first stands first, but for what the user asked for by name, which comes after all else.
    estimate : callable
        Seconds by arm of all that is still to be done, from the run, the machine and what was timed.
    left_out : callable
        What the smaller of two runs lacks, a line each.
    """

    reductions: tuple[Reduction, ...]
    estimate: Callable[[Context, Machine, Probe], Mapping[str, float]]
    left_out: Callable[[Context, Context], list[str]]

    def seconds(self, context: Context, machine: Machine, measured: Probe) -> float:
        """All that is still to be done."""
        return sum(self.estimate(context, machine, measured).values())


def fit_budget(
    context: Context, machine: Machine, measured: Probe, seconds: float, budget: Budget, at_once: int = 1
) -> Context:
    """Reduce the run until its estimate fits, and keep the choice in the run's folder.

    What was asked for by name is given up last. Then what was given up is taken back, the most valuable first, where
    that fits after all. A later start of the same command in the same folder takes the same choice, whatever its own
    probe says, so that finished cells are found again.

    Parameters
    ----------
    at_once : int
        Machines that share the work.
    """
    with Store(context.folder).decision():
        if _stored_choice(context) is None:
            content = {
                **_identity(context),
                "reductions": chosen(context, machine, measured, seconds * at_once, budget),
            }
            write_atomically(context.folder / CHOICE, json.dumps(content, indent=1))
    return as_reduced(context, budget)


def chosen(context: Context, machine: Machine, measured: Probe, seconds: float, budget: Budget) -> list[int]:
    """Places in the reductions of what is given up for a time, in the order in which it is."""

    @cache
    def reduced(places: tuple[int, ...]) -> Context:
        return _apply(reduced(places[:-1]), budget, places[-1:]) if places else context

    @cache
    def fits(places: tuple[int, ...]) -> bool:
        return budget.seconds(reduced(places), machine, measured) <= seconds

    found: tuple[int, ...] = ()
    kinds = budget.reductions
    for place in sorted(range(len(kinds)), key=lambda place: kinds[place].is_named(context)):
        if fits(found):
            break
        if reduced((*found, place)) is not reduced(found):
            found = (*found, place)
    for place in reversed(found):
        without = tuple(other for other in found if other != place)
        if fits(without):
            found = without
    return list(found)


def _apply(context: Context, budget: Budget, places: Sequence[int]) -> Context:
    for place in places:
        context = _reduced(context, budget.reductions[place]) or context
    return context


def as_reduced(context: Context, budget: Budget) -> Context:
    """The run with the reductions that an earlier start chose for a budget; as it is if there were none."""
    smaller = _apply(context, budget, _stored_choice(context) or [])
    return replace(smaller, asked=context, left_out=(*context.left_out, *budget.left_out(context, smaller)))


def _reduced(context: Context, reduction: Reduction) -> Context | None:
    """The reduced run; None where there is nothing to give up, or what would be left cannot be divided."""
    try:
        return reduction.change(context)
    except InputError:
        return None


def _identity(context: Context) -> dict[str, Any]:
    """What a choice belongs to."""
    settings = {key: value for key, value in context.config.as_dict().items() if key != "out"}
    own = {"study": context.settings.as_dict()} if context.settings else {}
    return {"settings": settings, **own, "table": context.table.fingerprint()}


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
    if _language_models(smaller) and most_steps(smaller) < most_steps(whole):
        notes.append(
            f"optimiser steps of the language-model arms: {most_steps(smaller)} instead of {most_steps(whole)}"
        )
    return notes


COMPARISON = Budget(REDUCTIONS, estimate, _left_out)


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


def duration_option(seconds: float) -> str:
    """A time as ``--budget`` takes it, rounded up: ``90s``, ``12m``."""
    return f"{ceil(seconds / 10) * 10}s" if seconds < 90 else f"{ceil(seconds / 60)}m"


def check_room(context: Context) -> None:
    """Raise `InputError` if the disk has clearly no room for the run's folder."""
    import shutil

    context.folder.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(context.folder).free
    if free < 50_000_000:
        raise InputError(f"{context.folder}: only {free / 1e6:.0f} MB are free on this disk; a run needs about 50 MB")
