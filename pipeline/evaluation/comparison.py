"""From predictions to metrics with intervals, and to paired differences between arms."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np

from pipeline.evaluation.bootstrap import MIN_GROUPS
from pipeline.evaluation.estimates import (
    LEVEL,
    Estimate,
    holm,
)
from pipeline.evaluation.evaluations import CONTROL, REFERENCE, Evaluation
from pipeline.evaluation.metrics import (
    HIGHER_IS_BETTER,
    PRIMARY,
    RANGE,
)
from pipeline.tables.targets import CLASSES

BETTER, WORSE, EQUIVALENT, CANNOT_TELL = "better", "worse", "equivalent", "cannot tell"
FIRST, PLANNED, OTHER = "primary", "planned", "other"  # families of comparisons, each corrected for itself


@dataclass(frozen=True)
class Difference:
    """Arm minus other in the primary metric, with an interval and what follows from it.

    ``family`` says with which comparisons it is corrected together: the primary one stands alone, the planned ones are
    those that the verdict rests on, the others are all that is left (Holm's method in each). ``p`` is adjusted in this
    way, and ``low`` and ``high`` are the interval at the level that belongs to it, so that it excludes zero just where
    the ``answer`` is better or worse. The answer is about the arm; ``small`` says that the whole interval lies within
    ``margin`` of zero. It is equivalent where zero is not excluded and ``p_equivalent`` (of two one-sided tests,
    adjusted in the family) is below 5 %. A ``margin`` of 0 is none. ``smallest`` is the true difference that this test
    finds four times in five.
    """

    split: str
    arm: str
    other: str
    metric: str
    value: float
    low: float
    high: float
    p: float
    margin: float
    p_equivalent: float
    answer: str
    family: str = OTHER
    smallest: float = np.nan

    @property
    def small(self) -> bool:
        return self.margin > 0 and max(abs(self.low), abs(self.high)) <= self.margin

    def turned(self) -> Difference:
        """The same, of the other minus the arm."""
        answer = {BETTER: WORSE, WORSE: BETTER}.get(self.answer, self.answer)
        return replace(
            self, arm=self.other, other=self.arm, value=-self.value, low=-self.high, high=-self.low, answer=answer
        )


@dataclass(frozen=True)
class Comparisons:
    """All comparisons of one split: each two arms are compared once, and have one answer wherever it is printed."""

    evaluation: Evaluation
    found: tuple[Difference, ...]

    def between(self, arm: str, other: str) -> Difference | None:
        """The comparison of an arm with another, seen from the arm; None where there is none.

        `REFERENCE` is the preferred baseline itself where it is the same one in all divisions.
        """
        names = _name(self.evaluation, arm), _name(self.evaluation, other)
        for item in self.found:
            if (item.arm, item.other) == names:
                return _named(item, arm, other)
            if (item.other, item.arm) == names:
                return _named(item.turned(), arm, other)
        return None

    def against(self, arms: Sequence[str], other: str) -> list[Difference]:
        """The comparisons of arms with another, those that there are."""
        return [item for arm in arms if (item := self.between(arm, other))]


def _named(item: Difference, arm: str, other: str) -> Difference:
    return replace(item, arm=arm, other=other)


def _name(evaluation: Evaluation, arm: str) -> str:
    return evaluation.only_reference or arm if arm == REFERENCE else arm


def compare(
    evaluation: Evaluation, arms: Sequence[str], lm_arms: Sequence[str], primary: str, margin: float
) -> Comparisons:
    """Compare every two arms of a split, and the preferred baseline with them.

    The primary comparison, named beforehand, is that of the arm ``primary`` with the preferred baseline. Planned are
    those of the language models with it, and of it, the language models and the arm ``primary`` with the constant. The
    margin never holds against the constant: an arm that is no better than that has learned nothing.

    Parameters
    ----------
    primary : str
        Empty for none.
    margin : float
        Largest difference of no consequence, in the primary metric; 0 for none.
    """
    control = CONTROL[evaluation.task]
    known = [arm for arm in [*arms, REFERENCE] if arm in evaluation.scores]
    first = [(primary, REFERENCE)]
    planned = [(arm, REFERENCE) for arm in lm_arms if arm != primary]
    planned += [(arm, control) for arm in (REFERENCE, *lm_arms, *filter(None, [primary]))]
    taken: set[frozenset[str]] = set()
    found: list[Difference] = []
    for family, pairs in ((FIRST, first), (PLANNED, planned), (OTHER, list(combinations(known, 2)))):
        chosen = []
        for arm, other in pairs:
            names = _name(evaluation, arm), _name(evaluation, other)
            if not {arm, other} <= set(known) or len(set(names)) < 2 or frozenset(names) in taken:
                continue
            taken.add(frozenset(names))
            chosen.append(names)
        found += _family(evaluation, chosen, family, margin)
    return Comparisons(evaluation, tuple(found))


def _family(evaluation: Evaluation, pairs: Sequence[tuple[str, str]], family: str, margin: float) -> list[Difference]:
    control = CONTROL[evaluation.task]
    margins = [0.0 if control in pair else margin for pair in pairs]
    estimates = [evaluation.estimate(*pair) for pair in pairs]
    adjusted = holm([estimate.p_difference() for estimate in estimates])
    same = holm([estimate.p_equivalence(width) for estimate, width in zip(estimates, margins, strict=True)])
    metric = PRIMARY[evaluation.task]
    result = []
    for (arm, other), width, estimate, (p, level), (p_same, _) in zip(
        pairs, margins, estimates, adjusted, same, strict=True
    ):
        result.append(
            Difference(
                evaluation.split,
                arm,
                other,
                metric,
                estimate.value,
                *_attainable(evaluation, arm, other, estimate.interval(level)),
                p,
                width,
                p_same,
                _answer(evaluation, estimate, p, p_same),
                family,
                estimate.smallest(level),
            )
        )
    return result


def _attainable(evaluation: Evaluation, arm: str, other: str, interval: tuple[float, float]) -> tuple[float, float]:
    """The part of an interval of a difference that the bounds of the metric allow; the constant has a known score."""
    metric, control = PRIMARY[evaluation.task], CONTROL[evaluation.task]
    least, most = RANGE[metric]
    low, high = least - most, most - least
    if evaluation.task == CLASSES and control in (arm, other):
        constant = float(evaluation.scores[control][metric][0])
        low, high = (constant - most, constant - least) if arm == control else (least - constant, most - constant)
    return (max(interval[0], low), min(interval[1], high)) if np.isfinite(interval[0]) else interval


def _answer(evaluation: Evaluation, estimate: Estimate, p: float, p_equivalent: float) -> str:
    if evaluation.effective_groups < MIN_GROUPS or not estimate.known:
        return CANNOT_TELL
    if p < 1 - LEVEL:
        return BETTER if (estimate.value > 0) == HIGHER_IS_BETTER[PRIMARY[evaluation.task]] else WORSE
    return EQUIVALENT if p_equivalent < 1 - LEVEL else CANNOT_TELL


def drop(easy: Evaluation, hard: Evaluation, arm: str) -> Estimate:
    """Change of the primary metric from one split to another; their test sets are taken as independent."""
    return hard.estimate(arm).minus(easy.estimate(arm))
