"""What models of positives lack, in sentences."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pipeline.evaluation.numbers import enumerated, number
from pipeline.studies.failure import SHOWN, Failure, Outcome
from pipeline.studies.negatives.doses import enough_in_words
from pipeline.studies.negatives.molecules.experiment import (
    ALONE,
    BAGGING,
    DOSE,
    EQUAL,
    MATCHED,
    ONE_CLASS,
    TRUE,
    UNLABELLED,
    Training,
    left_out,
)
from pipeline.studies.negatives.molecules.findings import ACCEPTED, NOTHING, Findings
from pipeline.studies.negatives.molecules.pool import pool_of
from pipeline.studies.words import few_groups, in_percent, one_seed, with_interval


def sentences(found: Findings) -> list[str]:
    """What was found on one split, in the order of importance."""
    experiment = found.experiment
    positives, negatives = (len(rows) for rows in experiment.trained)
    tested = int(found.positive.sum()), int((~found.positive).sum())
    named = "as asked" if experiment.context.config.positive else "the rarer class"
    said = [
        f"Split {experiment.split.name}: {sum(tested)} test molecules, {tested[0]} of them positives "
        f"({experiment.context.positive}, {named}); {positives} positives and {negatives} negatives to train on. Equal "
        f"numbers are {2 * experiment.half} rows in all."
    ]
    for arm in found.arms:
        said += _flattered(found, arm)
    said += _of_properties(found)
    for arm in found.arms:
        said += _without_negatives(found, arm)
    said += _alone(found)
    said += _doses(found)
    said += _null(found)
    said += [f"Left out: {reason}." for reason in left_out(experiment)]
    said += few_groups(found.rests_on("positives", TRUE), "independent groups of the rarer class in the test")
    said += _untold(found)
    return said + one_seed(found.seeds)


def _flattered(found: Findings, arm: str) -> list[str]:
    """What held-out decoys say of a model of decoys, beside the truth, where numbers are equal."""
    said = []
    for kind in reversed(found.kinds):  # matched ones first
        training = Training(kind, arm, EQUAL, None, 0)
        if training not in found.flattery:
            continue
        told = found.flattery[training][1]
        gap = with_interval(found.flattery_interval(training))
        verdict = {
            1: f"decoys flatter it by {gap}",
            -1: f"decoys make it look worse than it is, by {gap}",
            0: f"the difference of {gap} {_untold_by(found)}",
        }[told]
        mixed = found.ranking(training, kind, TRUE)
        said.append(
            f"{arm} trained with {kind} ranks held-out positives above held-out {kind} with AUROC "
            f"{with_interval(found.ranking(training, kind))}, above true negatives with "
            f"{with_interval(found.ranking(training))}: {verdict}. It ranks true negatives above these decoys with "
            f"{with_interval(mixed)} ({number(NOTHING)} if it did not know the table from the pool)."
        )
    return said


def _untold_by(found: Findings) -> str:
    """Why a difference is not shown."""
    return "can be chance" if found.seeds > 1 else "one training seed cannot tell from chance"


def _of_properties(found: Findings) -> list[str]:
    """Whether logP and polar surface alone tell decoys, and the true negatives."""
    if not found.kinds:
        return []
    parts = []
    for kind in found.kinds:
        ranked, told = found.of_properties[kind]
        verdict = {
            1: "a bad decoy set: whoever reads these two looks good on it",
            0: "not shown to tell them apart",
            -1: "below chance",
        }[told]
        parts.append(f"{kind} with AUROC {with_interval(ranked)} ({verdict})")
    truth, told = found.of_properties[TRUE]
    tail = (
        " Where these two properties tell part of the truth, decoys that are matched in them hide that part."
        if told == 1 and MATCHED in found.kinds
        else ""
    )
    return [
        f"Control: a model of logP and TPSA alone tells positives from held-out {'; from held-out '.join(parts)}. "
        f"Trained with true negatives it tells positives from these with {with_interval(truth)}.{tail}"
    ]


def _without_negatives(found: Findings, arm: str) -> list[str]:
    """What an arm ranks with as many rows of each kind."""
    best = Training(DOSE, arm, EQUAL, found.most, 0)
    parts = []
    for scheme in (*reversed(found.kinds), UNLABELLED):
        training = Training(scheme, arm, EQUAL, None, 0)
        lost = with_interval(found.lost_interval(training))
        verdict = {1: f"{lost} lost", -1: f"{lost} lost: better", 0: f"{lost} lost, which {_untold_by(found)}"}
        parts.append(f"{with_interval(found.ranking(training))} with {scheme} ({verdict[found.lost[training][1]]})")
    rate = found.rate(best, ACCEPTED)
    return [
        f"{arm} with equal numbers ranks test molecules with AUROC {with_interval(found.ranking(best))} after true "
        f"negatives (and accepts {in_percent(rate)} of them), with {'; '.join(parts)}."
    ]


def _alone(found: Findings) -> list[str]:
    """What one class alone, and learning from unlabelled rows, come to over the same features."""
    reference = found.with_negatives(Training(ALONE, ONE_CLASS[0], EQUAL, None, 0))
    rows = [one for one in found.lost if one.arm not in found.arms]
    alone = [one for one in rows if one.scheme == ALONE]
    learned = [one for one in rows if one.scheme == UNLABELLED]

    def listed(several: Sequence[Training]) -> str:
        return ", ".join(f"{with_interval(found.ranking(one))} ({one.arm})" for one in several)

    hidden = found.hidden(Training(UNLABELLED, BAGGING, EQUAL, None, 0))
    return [
        f"Over Morgan counts and with equal numbers, AUROC is {listed(alone)} of positives alone, {listed(learned)} "
        f"with unlabelled rows, of which {100 * hidden:.0f} % are positives that nobody knows of, and "
        f"{with_interval(found.ranking(reference))} of a forest with true negatives.",
        *_analogues(found),
    ]


def _analogues(found: Findings) -> list[str]:
    """How far similarity to the positives alone tells decoys, which are drawn to be unlike these."""
    if not found.kinds:
        return []
    near, most = Training(ALONE, ONE_CLASS[2], EQUAL, None, 0), found.experiment.settings.decoy_similarity
    ranked = [found.ranking(near, kind) for kind in found.kinds]
    parts = [f"{kind} with AUROC {with_interval(one)}" for kind, one in zip(found.kinds, ranked, strict=True)]
    told = ", and likeness alone tells them" if min(low for _, low, _ in ranked) > NOTHING else ""
    return [
        f"Control: {near.arm}, which have seen no decoy, rank positives above held-out {' and '.join(parts)}, above "
        f"true negatives with {with_interval(found.ranking(near))}: decoys are drawn to be unlike the positives "
        f"(similarity of at most {most:g}){told}."
    ]


def _doses(found: Findings) -> list[str]:
    return [
        enough_in_words(f"{arm} ({frame})", one, "rarer of positives and negatives")
        for (arm, frame), one in found.enough.items()
    ]


def _null(found: Findings) -> list[str]:
    """What models say whose classes were dealt at random."""
    parts = ", ".join(f"{with_interval(ranked)} ({arm})" for arm, (ranked, _) in found.null.items())
    start = f"Null: with the classes dealt to the training rows at random AUROC is {parts}"
    if found.seeds == 1:
        return [f"{start}; from one seed it cannot be told whether that differs from {NOTHING}."]
    wrong = [arm for arm, (_, told) in found.null.items() if told]
    if not wrong:
        return [f"{start}; none is shown to differ from {NOTHING}, as it must be."]
    return [
        f"Warning: {start[0].lower()}{start[1:]}; {enumerated(wrong)} should not differ from {NOTHING}: labels may "
        "reach the test by another way. (It can be chance: in about one of twenty tables it is.)"
    ]


def _untold(found: Findings) -> list[str]:
    """How small a loss would have been missed."""
    smallest = [one.smallest() for one, _ in found.lost.values() if one.known]
    if found.seeds == 1 or not smallest:
        return []
    return [
        f"What would have been missed: a loss of AUROC below {number(float(np.median(smallest)))} (median over what "
        "was compared) is found less often than in four of five tables, before the correction for several."
    ]


def failures(found: Sequence[Findings]) -> tuple[Failure, ...]:
    """For the page over all failure modes: what is lost without true negatives, and how far decoys flatter."""
    several = len(found) > 1
    first = found[0]
    tested = ", ".join(f"{one.experiment.split.name} split, {len(one.positive)} test molecules" for one in found)
    null = "; ".join(f"{arm} {with_interval(ranked)}" for one in found for arm, (ranked, _) in one.null.items())

    def where(one: Findings, training: Training) -> str:
        frame = "" if training.frame == EQUAL else f", {training.frame}"
        return f"{training.scheme}{frame}" + (f", {one.experiment.split.name}" if several else "")

    lost = [
        Outcome(training.arm, where(one, training), one.lost_interval(training), SHOWN[told])
        for one in found
        for training, (_, told) in one.lost.items()
    ]
    flattered = [
        Outcome(training.arm, where(one, training), one.flattery_interval(training), SHOWN[told])
        for one in found
        for training, (_, told) in one.flattery.items()
    ]
    made = [
        Failure(
            f"{tested}; {2 * first.experiment.half} training rows whatever stands beside the positives",
            "AUROC that is lost without true negatives",
            0.0,
            lost,
            f"AUROC with classes dealt at random: {null}",
            "true negatives: the page says from which dose on",
            "decoys are not measured, and come from the built-in tables or one file; other molecules may do otherwise",
        )
    ]
    if flattered:
        control = "; ".join(
            f"{kind} {with_interval(one.of_properties[kind][0])}" for one in found for kind in one.kinds
        )
        made.append(
            Failure(
                f"{tested}; decoys of {len(pool_of(first.experiment.context))} molecules of other tables",
                "AUROC against held-out decoys less that against true negatives",
                0.0,
                flattered,
                f"AUROC of logP and TPSA alone against decoys: {control}",
                "measure against true negatives",
                "how many decoys are positives is not known",
            )
        )
    return tuple(made)
