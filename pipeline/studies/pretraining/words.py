"""What is learned before the first label, in sentences."""

from __future__ import annotations

import math

import pandas as pd

from pipeline.evaluation.metrics import LABELS
from pipeline.evaluation.numbers import number
from pipeline.studies.learning_curve.findings import BETTER, UNTOLD, WORSE, error_of
from pipeline.studies.learning_curve.words import listed, rows_in_words, units_of
from pipeline.studies.pretraining.findings import Findings
from pipeline.studies.pretraining.probes import PUBLISHED, TARGET
from pipeline.studies.pretraining.starts import (
    DESCRIPTORS,
    FROM_RANDOM,
    FROZEN,
    FROZEN_RANDOM,
    PERMUTED,
    PRETRAINED,
    SHUFFLED_EMBEDDINGS,
    SHUFFLED_LAYERS,
    SHUFFLED_SYMBOLS,
)
from pipeline.studies.words import few_groups, one_seed, with_interval

# What it means that the first does better than the second, that it does worse, and that neither was shown.
QUESTIONS = (
    (PRETRAINED, FROM_RANDOM, "Pretraining helps", "Pretraining harms", "Pretraining was not shown to help"),
    (
        PRETRAINED,
        SHUFFLED_EMBEDDINGS,
        "What the tokens mean helps",
        "Tokens of other meanings do better",
        "What the tokens mean was not shown to help",
    ),
    (
        PRETRAINED,
        SHUFFLED_LAYERS,
        "The order of the layers helps",
        "Layers in another order do better",
        "The order of the layers was not shown to help",
    ),
    (
        PRETRAINED,
        SHUFFLED_SYMBOLS,
        "It reads the order of the symbols",
        "Symbols in any order do better",
        "It was not shown to read the order of the symbols",
    ),
    (PRETRAINED, FROZEN, "Tuning layers helps", "Tuning layers harms", "Tuning layers was not shown to help"),
    (
        FROZEN,
        FROZEN_RANDOM,
        "Untuned, the published weights say more than random ones",
        "Untuned, random weights say more than the published ones",
        "Untuned, the published weights were not shown to say more than random ones",
    ),
    (
        DESCRIPTORS,
        PRETRAINED,
        "Learning descriptors first helps",
        "Learning descriptors first harms",
        "Learning descriptors first was not shown to help",
    ),
    (
        PRETRAINED,
        "ngram-ridge",
        "It does better than counts of character n-grams",
        "It does worse than counts of character n-grams",
        "It was not told apart from counts of character n-grams",
    ),
)


def sentences(found: Findings, layers: pd.DataFrame) -> list[str]:
    """The answers, in the order of importance."""
    start = f"Split {found.split.name}, {len(found.test)} test {found.context.table.rows_are}"
    asked = [question for question in QUESTIONS if {question[0], question[1]} <= set(found.arms)]
    return [
        f"{start}: {_worth(found)}",
        *[_answer(found, *question) for question in asked],
        _null(found),
        *_of_layers(layers),
        *few_groups(found.groups),
        *one_seed(found.seeds),
    ]


def _worth(found: Findings) -> str:
    """How many labels pretraining saves, where it was shown to help."""
    size = found.sizes[-1]
    if found.beside(FROM_RANDOM, [PRETRAINED])[PRETRAINED, size] != BETTER:
        return (
            f"pretraining was not shown to save labels: with {size} of them random weights are not shown to be worse."
        )
    rows, low, high = (rows_in_words(end, found.sizes) for end in found.needed(FROM_RANDOM, PRETRAINED, size))
    said = f"the error that random weights have with {size} labels, the published weights have with {rows}"
    return f"{said}." if rows == low == high else f"{said} [{low} to {high}]."


def _answer(found: Findings, one: str, other: str, better: str, worse: str, untold: str) -> str:
    """Whether one start does better than another, with the errors of the largest size."""
    states = found.beside(other, [one])
    by_state = {
        state: [size for size in found.sizes if states[one, size] == state] for state in (BETTER, WORSE, UNTOLD)
    }
    said = [
        f"{words} with {listed(by_state[state])} rows"
        for state, words in ((BETTER, better), (WORSE, worse))
        if by_state[state]
    ]
    if by_state[UNTOLD]:
        everywhere = len(by_state[UNTOLD]) == len(found.sizes)
        said.append(untold if everywhere else f"not shown with {listed(by_state[UNTOLD])}")
    size, name = found.sizes[-1], LABELS[error_of(found.context)]
    first, second = (with_interval(found.error(arm, size)) for arm in (one, other))
    return (
        f"{'; '.join(said)}: with {size} rows the {name} is {first}{units_of(found)} from {one}, {second} from {other}."
    )


def _null(found: Findings) -> str:
    """What was learned from permuted labels: nothing, or the design is broken."""
    size, name = found.sizes[-1], LABELS[error_of(found.context)]
    permuted, constant = (with_interval(found.error(arm, size)) for arm in (PERMUTED, found.control))
    errors = f"{name} {permuted}{units_of(found)} with {size} rows, that of the constant is {constant}"
    better = [size for size, state in found.null.items() if state == BETTER]
    if better:
        return (
            f"Warning: permuted labels did better than the constant with {listed(better)} rows ({errors}). Labels "
            "reach the model by another way than the training rows; trust nothing of this page."
        )
    return f"From permuted labels nothing is learned, as it must be: {errors}."


def _of_layers(layers: pd.DataFrame) -> list[str]:
    """Which layer knows most of the target, beside weights that were never trained."""
    tops = {
        str(weights): part.sort_values("value").iloc[-1]
        for weights, part in layers[layers["property"] == TARGET].groupby("weights", sort=False)
    }
    if PUBLISHED not in tops or not math.isfinite(tops[PUBLISHED]["value"]):
        return []
    best = tops.pop(PUBLISHED)
    where = f"layer {int(best['layer'])}" if best["layer"] else "the embeddings"
    score = with_interval((float(best["value"]), float(best["low"]), float(best["high"])))
    beside = ", ".join(f"{number(float(top['value']))} from {weights}" for weights, top in tops.items())
    return [
        f"Before any training {where} says most of the target: {LABELS[best['metric']]} {score} of a linear model on "
        f"{int(best['n'])} test rows (at best {beside})."
    ]
