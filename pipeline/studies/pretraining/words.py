"""What is learned before the first label, in sentences."""

from __future__ import annotations

import math
from collections.abc import Mapping

import pandas as pd

from pipeline.evaluation.metrics import LABELS
from pipeline.evaluation.numbers import Interval
from pipeline.report.sections import interval_of
from pipeline.studies.learning_curve.findings import BETTER, UNTOLD, WORSE
from pipeline.studies.learning_curve.words import listed, rows_in_words
from pipeline.studies.pretraining.findings import LEAST_SEEDS_FOR_NULL, Findings
from pipeline.studies.pretraining.probes import PUBLISHED, TARGET
from pipeline.studies.pretraining.questions import QUESTIONS
from pipeline.studies.pretraining.starts import DESCRIPTORS, FROM_RANDOM, PERMUTED, PRETRAINED
from pipeline.studies.words import error_name, few_groups, one_seed, units_of, with_interval
from pipeline.tables.targets import CLASSES


def sentences(found: Findings, layers: pd.DataFrame, beyond: Mapping[str, Interval]) -> list[str]:
    """The answers, in the order of importance."""
    start = f"Split {found.split.name}, {len(found.test)} test {found.context.table.rows_are}"
    asked = [question for question in QUESTIONS if {question[0], question[1]} <= set(found.arms)]
    if found.context.task == CLASSES:  # there those adapters start from a linear classifier, and the others do not
        asked = [question for question in asked if question[0] != DESCRIPTORS]
    return [
        f"{start}: {_worth(found)}",
        *[_answer(found, *question) for question in asked],
        _null(found),
        *_of_layers(layers, beyond),
        *few_groups(found.groups),
        *one_seed(found.seeds),
    ]


def _worth(found: Findings) -> str:
    """How many labels pretraining saves, where it was shown to help."""
    size = found.sizes[-1]
    if found.answers[PRETRAINED, FROM_RANDOM, size] != BETTER:
        return (
            f"pretraining was not shown to save labels: with {size} of them random weights are not shown to be worse."
        )
    rows, low, high = (rows_in_words(end, found.sizes) for end in found.needed(FROM_RANDOM, PRETRAINED, size))
    said = f"the error that random weights have with {size} labels, the published weights have with {rows}"
    return f"{said}." if rows == low == high else f"{said} [{low} to {high}]."


def _answer(found: Findings, one: str, other: str, better: str, worse: str, untold: str) -> str:
    """Whether one start does better than another, with the errors of the largest size."""
    by_state = {
        state: [size for size in found.sizes if found.answers[one, other, size] == state]
        for state in (BETTER, WORSE, UNTOLD)
    }
    said = [
        f"{words} with {listed(by_state[state])} rows"
        for state, words in ((BETTER, better), (WORSE, worse))
        if by_state[state]
    ]
    if by_state[UNTOLD]:
        everywhere = len(by_state[UNTOLD]) == len(found.sizes)
        said.append(untold if everywhere else f"not shown with {listed(by_state[UNTOLD])}")
    size, name = found.sizes[-1], error_name(found)
    first, second = (with_interval(found.error(arm, size)) for arm in (one, other))
    errors = f"{first}{units_of(found)} from {one}, {second} from {other}"
    return f"{'; '.join(said)}: with {size} rows the {name} is {errors}."


def _null(found: Findings) -> str:
    """What was learned from permuted labels: nothing, or the design is broken."""
    size, name = found.sizes[-1], error_name(found)
    permuted, constant = (with_interval(found.error(arm, size)) for arm in (PERMUTED, found.control))
    what = "an AUROC beyond a half" if found.context.task == CLASSES else "a rank correlation with the truth"
    low, high = found.null.interval(bounds=(-1.0, 1.0)) if found.seeds > 1 else (math.nan, math.nan)
    numbers = (
        f"their predictions have {what} of {with_interval((found.null.value, low, high))}, and the {name} is "
        f"{permuted}{units_of(found)} with {size} rows, that of a constant {constant}"
    )
    if found.leaks:
        return (
            f"Warning: something was learned from permuted labels: {numbers}. Labels reach the model by another way "
            "than the training rows; trust nothing of this page."
        )
    if found.seeds < LEAST_SEEDS_FOR_NULL:
        return (
            f"Whether anything is learned from permuted labels cannot be told from fewer than {LEAST_SEEDS_FOR_NULL} "
            f"seeds: {numbers}."
        )
    return f"From permuted labels nothing was shown to be learned, as it must be: {numbers}."


def _of_layers(layers: pd.DataFrame, beyond: Mapping[str, Interval]) -> list[str]:
    """What the layer that training rows choose says of the target, beside weights that were never trained."""
    tops = layers[layers["chosen"] & (layers["property"] == TARGET) & (layers["weights"] == PUBLISHED)]
    if tops.empty:
        return []
    best, layer = tops.iloc[0], int(tops["layer"].iloc[0])
    nothing = 0.5 if best["metric"] == "auroc" else 0.0
    where = f"layer {layer}" if layer else "the embeddings"
    score = with_interval(interval_of(best))
    said = f"{LABELS[best['metric']]} {score} of a linear model on {int(best['n'])} test rows"
    if not best["low"] > nothing:
        return [f"Before any training no layer is shown to say anything of the target: {said}, at {where}."]
    _, low, high = beyond[TARGET]
    told = "more than" if low > 0 else "less than" if high < 0 else "not shown to be more than"
    return [
        f"Before any training {where} says most of the target, by training rows: {said}; {told} random weights say "
        f"(by {with_interval(beyond[TARGET])})."
    ]
