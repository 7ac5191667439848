"""What of a study of sizes and seeds fits into a time."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from pipeline.arms.ladder import LANGUAGE_MODELS, fitted_arms
from pipeline.cells.cell import Cell
from pipeline.cells.store import Store
from pipeline.lm.defaults import training_settings
from pipeline.runs.budget import STEP_LIMITS, Budget, Reduction, fewer_steps, most_steps
from pipeline.runs.context import Context, Machine
from pipeline.runs.estimates import Probe, seconds_of_fit

SIZES = "sizes"  # the setting
Plan = Callable[[Context, Machine], list[Cell]]
SecondsOf = Callable[[Context, Cell, Probe], float]


def curve_budget(
    plan: Plan,
    seconds_of: SecondsOf,
    last: Mapping[str, Reduction] | None = None,
    first: Mapping[str, Reduction] | None = None,
    sized: bool = True,
) -> Budget:
    """The budget of a study whose settings have ``seeds`` and ``sizes``.

    Parameters
    ----------
    plan : callable
        That of the study.
    seconds_of : callable
        Seconds of a cell, from what was timed.
    last, first : mapping of str to Reduction, optional
        What else the study can give up after all others, or before, by what it is called.
    sized : bool
        Whether its settings have ``sizes``; ``seeds`` alone otherwise.
    """
    first, last = first or {}, last or {}
    own = {**first, **last}
    common = [one for one in _REDUCTIONS if sized or one.of != SIZES]

    def left_out(whole: Context, smaller: Context) -> list[str]:
        given_up = [name for name, one in own.items() if one.change(whole) is not None and one.change(smaller) is None]
        return [*left_out_of({"seeds": "training seeds"})(whole, smaller), *given_up]

    return Budget((*first.values(), *common, *last.values()), summed(plan, seconds_of), left_out)


def summed(plan: Plan, seconds_of: SecondsOf) -> Callable[[Context, Machine, Probe], dict[str, float]]:
    """The estimate of a `Budget`: seconds by what is trained, over all cells that are still missing."""

    def estimate(context: Context, machine: Machine, measured: Probe) -> dict[str, float]:
        seconds: dict[str, float] = {}
        store = Store(context.folder)
        for cell in plan(context, machine):
            if store.read(cell.id) is None:
                name = cell.tags["arm"]
                seconds[name] = seconds.get(name, 0.0) + seconds_of(context, cell, measured)
        return seconds

    return estimate


def seconds_of_arm(context: Context, cell: Cell, measured: Probe, times: int = 1) -> float:
    """Seconds of fitting the arm of a cell on so many rows and predicting its test rows so many times."""
    size, tested = cell.tags["size"], times * len(context.split_named(cell.tags["split"]).folds[0].test)
    seconds = 0.0
    for leaf in fitted_arms(cell.tags["arm"]):
        if leaf not in LANGUAGE_MODELS:
            seconds += seconds_of_fit(measured.baseline.get(leaf, ()), leaf, size)
            continue
        seconds += measured.frozen[leaf] * (size + tested) + measured.read * tested * (leaf == "lm-text")
        if leaf != "lm-frozen":
            seconds += measured.step[leaf] * training_settings(size, leaf, context.config.steps or None).steps
    return seconds


def fewer(setting: str, count: int) -> Reduction:
    """A setting of a study that is a number of things, of which so many are enough."""

    def reduce(context: Context) -> Context | None:
        if getattr(context.settings, setting) <= count:
            return None
        return replace(context, settings=replace(context.settings, **{setting: count}))

    return Reduction(reduce, setting)


def _sizes(change: Callable[[Sequence[int]], Sequence[int]]) -> Reduction:
    """Fewer sizes, where that leaves two or more."""

    def reduce(context: Context) -> Context | None:
        sizes = tuple(sorted(set(context.settings.sizes)))
        fewer = tuple(change(sizes))
        if len(fewer) < 2 or fewer == sizes:
            return None
        return replace(context, settings=replace(context.settings, sizes=fewer))

    return Reduction(reduce, SIZES)


def _every_second(sizes: Sequence[int]) -> Sequence[int]:
    return sizes[::-2][::-1] if len(sizes) > 4 else sizes


def _without_largest(sizes: Sequence[int]) -> Sequence[int]:
    return sizes[:-1]


def left_out_of(names: Mapping[str, str]) -> Callable[[Context, Context], list[str]]:
    """What is left out of settings that are numbers of things, by what these are called, of sizes, and of steps."""

    def left_out(whole: Context, smaller: Context) -> list[str]:
        counts = [(said, getattr(smaller.settings, one), getattr(whole.settings, one)) for one, said in names.items()]
        notes = [f"{said}: {less} of {all_of_them}" for said, less, all_of_them in counts if less < all_of_them]
        whole_sizes, sizes = (getattr(one.settings, SIZES, ()) for one in (whole, smaller))
        if dropped := sorted(set(whole_sizes) - set(sizes)):
            notes.append(f"sizes: {', '.join(map(str, dropped))}")
        if most_steps(smaller) < most_steps(whole):
            notes.append(f"optimiser steps of the language-model arms: {most_steps(smaller)}")
        return notes

    return left_out


_REDUCTIONS = (
    fewer("seeds", 5),
    fewer_steps(STEP_LIMITS[2]),
    fewer("seeds", 3),
    _sizes(_every_second),
    fewer("seeds", 2),
    fewer_steps(STEP_LIMITS[3]),
    *[_sizes(_without_largest)] * 3,
    fewer("seeds", 1),
)
