"""How much worse arms get from the first split to the others, for the page over all failure modes."""

from __future__ import annotations

import math

import numpy as np

from pipeline.arms.ladder import CONTROLS, REACTION_CONTROLS
from pipeline.evaluation.bootstrap import MIN_GROUPS
from pipeline.evaluation.comparison import drop
from pipeline.evaluation.estimates import LEVEL, Estimate, holm
from pipeline.evaluation.evaluations import Evaluation
from pipeline.evaluation.metrics import HIGHER_IS_BETTER, LABELS, PRIMARY
from pipeline.evaluation.numbers import Interval
from pipeline.studies.compare.findings import Findings
from pipeline.studies.failure import NO, UNTOLD, YES, Failure, Outcome
from pipeline.tables.targets import CLASSES


def shift(found: Findings) -> tuple[Failure, ...]:
    """One failure mode over all splits behind the first one; none where there is only that."""
    easy, *harder = found.evaluations
    if not harder:
        return ()
    metric, of_classes = PRIMARY[easy.task], easy.task == CLASSES
    controls = {*CONTROLS.values(), *REACTION_CONTROLS}
    arms = [arm for arm in found.context.arms if arm in easy.scores and arm not in controls]
    places = [(arm, hard) for hard in harder for arm in arms]
    changes = [drop(easy, hard, arm) for arm, hard in places]
    p_values = [
        one.p_difference() if one.known and hard.effective_groups >= MIN_GROUPS else 1.0
        for one, (_, hard) in zip(changes, places, strict=True)
    ]
    outcomes = []
    for (arm, hard), change, (p, _) in zip(places, changes, holm(p_values), strict=True):
        worse = (change.value < 0) if HIGHER_IS_BETTER[metric] else (change.value > 0)
        shown = (YES if worse else NO) if p < 1 - LEVEL else UNTOLD
        size = _lost(change) if of_classes else _ratio(easy, hard, arm)
        outcomes.append(Outcome(arm, hard.split, size, shown))
    sizes = ", ".join(f"{one.split} {len(one.truth)}" for one in found.evaluations)
    lost = f"{LABELS[metric]} lost against the {easy.split} split"
    return (
        Failure(
            f"splits with so many test rows: {sizes}",
            lost if of_classes else f"{LABELS[metric]} over that on the {easy.split} split",
            0.0 if of_classes else 1.0,
            outcomes,
            f"the {easy.split} split, {easy.n_groups} test groups",
            "measure some rows of the new kind and train on them, or use the arm that loses least",
            "test rows of two splits differ in difficulty as well; they are taken as independent",
        ),
    )


def _lost(change: Estimate) -> Interval:
    low, high = change.interval()
    return -change.value, -high, -low


def _ratio(easy: Evaluation, hard: Evaluation, arm: str) -> Interval:
    """Of two independent errors, its interval from that of its logarithm."""
    one, other = hard.estimate(arm), easy.estimate(arm)
    if min(one.value, other.value) <= 0:
        return (math.nan, math.nan, math.nan)
    apart = Estimate(math.log(one.value), one.error / one.value, one.degrees).minus(
        Estimate(math.log(other.value), other.error / other.value, other.degrees)
    )
    low, high = apart.interval() if apart.known else (math.nan, math.nan)
    return float(np.exp(apart.value)), float(np.exp(low)), float(np.exp(high))
