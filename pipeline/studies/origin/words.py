"""What is learned of the label and what of the source, in sentences."""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.evaluation.numbers import Interval
from pipeline.studies.failure import UNTOLD, YES, Failure, Outcome
from pipeline.studies.origin.findings import (
    DEALT,
    LEARNED,
    LEARNED_APART,
    LEAST_REPEATS_FOR_NULL,
    PERMUTED,
    PREDICTED,
    RANDOM,
    RECOGNISED,
    TOLD,
    TOLD_APART,
    TRUE,
    Findings,
)
from pipeline.studies.words import error_name, few_groups, in_percent, units_of, with_interval

LIMITS = (
    "What this cannot show: sources differ in chemistry for good reasons. A paper studies one scaffold, so that its "
    "molecules have a label and a source of their own at once, and knowing the scaffold is knowing both. How much of "
    "what is predicted on random folds is owed to the source, and how much to the chemistry, cannot be told apart by "
    "this alone: with sources apart, the chemistry is new as well."
)


def sentences(found: Findings, left_out: Sequence[str] = ()) -> list[str]:
    """The answers, in the order of importance."""
    repeats = len(found.repeats())
    return [
        _recognised(found),
        _told(found),
        *_apart(found),
        _bound(found),
        *_classes(found),
        _null(found),
        LIMITS,
        *left_out,
        *few_groups(found.molecules, "independent molecules"),
        *(few_groups(found.sources, "independent sources, where sources are apart") if found.apart else []),
        *(["Dealt to folds once: no interval includes the variation between divisions."] if repeats == 1 else []),
    ]


def _error(found: Findings, split: str, arm: str) -> str:
    return f"{with_interval(found.error(split, arm))}{units_of(found)}"


def _recognised(found: Findings) -> str:
    """How often the structure gives away the source."""
    share, recall = (found.share(scores(PREDICTED)) for scores in (found.hit_scores, found.recall_scores))
    floor = 100 * float(found.floor_scores[0])
    rows, sources = len(found.rows), len(set(found.sources))
    where = f"{rows} {found.context.table.rows_are} of {sources} sources ({found.context.settings.origin})"
    beside = f"the largest source holds {floor:.0f} %; mean over the sources {in_percent(recall)}"
    if found.shown[RECOGNISED]:
        return f"{where}: the structure gives away the source of {in_percent(share)} of the rows ({beside})."
    return (
        f"{where}: the structure was not shown to give away the source: it is recognised in {in_percent(share)} of the "
        f"rows ({beside})."
    )


def _told(found: Findings) -> str:
    """What the predicted source alone says of the label, beside the structure."""
    arm = found.main
    numbers = (
        f"{error_name(found)} {_error(found, RANDOM, PREDICTED)}, that of a constant "
        f"{_error(found, RANDOM, found.control)}, of {arm} {_error(found, RANDOM, arm)}"
    )
    if not found.shown[TOLD]:
        return (
            "On random folds a model that knows nothing but the predicted source was not shown to be better than a "
            f"constant and than sources that mean nothing: {numbers}."
        )
    if not found.shown[LEARNED]:
        return (
            f"On random folds a model that knows nothing but the predicted source is better than a constant, and {arm} "
            f"was not shown to be: {numbers}."
        )
    if not found.shown[RECOGNISED]:
        return (
            "On random folds the predicted source says something of the label, though it was not shown to be "
            f"recognised: {numbers}. Sources that are mistaken for each other may have much the same labels."
        )
    return (
        f"On random folds a model that knows nothing but the predicted source already has {_part(found)} of the "
        f"advantage of {arm} over a constant: {numbers}. So far a random split flatters: it asks for molecules of "
        "sources that training has seen."
    )


def _part(found: Findings) -> str:
    """A share that may be above one or below zero, in percent."""
    return _as_percent(found.advantage(RANDOM))


def _as_percent(share: Interval) -> str:
    value, low, high = (f"{100 * part:.0f}" for part in share)
    return f"{value} % [{low} to {high}]" if low != "nan" else f"{value} %"


def _apart(found: Findings) -> list[str]:
    """The errors with whole sources kept apart."""
    if found.apart is None:
        return [f"Not tested: {reason}." for reason in found.context.rungs_left_out]
    name, arm = found.apart.name, found.main
    times = found.harder(arm)
    numbers = (
        f"the {error_name(found)} of {arm} is {_error(found, name, arm)}, {with_interval(times)} times that on random "
        f"folds of the same rows; that of a constant is {_error(found, name, found.control)}, and of the source that a "
        f"row is most like {_error(found, name, PREDICTED)}"
    )
    said = [f"With sources kept apart {numbers}."]
    if not found.shown[LEARNED_APART]:
        said.append(f"With sources apart {arm} was not shown to be better than a constant.")
    elif found.shown[TOLD_APART]:
        said.append("With sources apart the source that a row is most like still says something of its label.")
    return said


def _bound(found: Findings) -> str:
    error = _error(found, RANDOM, TRUE)
    return f"Control: the true source alone has an {error_name(found)} of {error} on random folds."


def _classes(found: Findings) -> list[str]:
    if not found.of_one_class:
        return []
    return [
        "Each source holds one class alone: whatever tells the sources apart tells the classes apart, and no model of "
        "this table can be shown to know more than the source."
    ]


def _null(found: Findings) -> str:
    """What comes out where sources or their labels are dealt to others: nothing, or the design is broken."""
    share = in_percent(found.share(found.hit_scores(PERMUTED)))
    numbers = (
        f"with sources dealt to other rows {share} of them are recognised, and the {error_name(found)} by the source "
        f"told is {_error(found, RANDOM, PERMUTED)}; by the labels of another source it is "
        f"{_error(found, RANDOM, DEALT)}"
    )
    if found.leaks:
        return (
            "Warning: sources that mean nothing are recognised, so that nothing of this page can be trusted: "
            f"{numbers}."
        )
    if len(found.repeats()) < LEAST_REPEATS_FOR_NULL:
        return f"Null (tested from {LEAST_REPEATS_FOR_NULL} repeats on): {numbers}."
    return f"Null: {numbers}. No more is recognised than must be."


def failure(found: Findings) -> Failure:
    """What it says, for the page over all failure modes."""
    told = found.shown[TOLD] and found.shown[RECOGNISED]
    null = found.error(RANDOM, PERMUTED)
    return Failure(
        f"{len(found.rows)} {found.context.table.rows_are} of {len(set(found.sources))} sources "
        f"({found.context.settings.origin}) on random folds",
        f"share of the advantage of {found.main} over a constant that the predicted source alone has",
        0.0,
        [Outcome(found.main, RANDOM, found.advantage(RANDOM), YES if told else UNTOLD)],
        f"with sources dealt to other rows the predicted source has an {error_name(found)} of "
        f"{with_interval(null)}{units_of(found)}, the constant {_error(found, RANDOM, found.control)}",
        "judge arms with sources kept apart (--split group:COLUMN)",
        "sources differ in chemistry for good reasons",
    )
