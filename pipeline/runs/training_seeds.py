"""What another training seed does to the score of a language model, where it was trained with several."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any

import numpy as np

from pipeline.arms.ladder import BLENDS, trained_shares
from pipeline.evaluation.estimates import variance_of_mean
from pipeline.evaluation.evaluations import Evaluation
from pipeline.evaluation.metrics import LABELS, PRIMARY, without_opinion
from pipeline.evaluation.numbers import number
from pipeline.runs.context import Context
from pipeline.runs.fits import Fits, again_trained
from pipeline.tables.targets import CLASSES


@dataclass(frozen=True)
class SeedSpread:
    """The primary metric of an arm by each training seed on one split, the first being that of the leaderboard.

    ``variance`` is what seeds differ in beyond what single rows do: the variance of the scores less that which follows
    from the rows on which the seeds differ, since that is in the error over rows already.
    """

    split: str
    arm: str
    scores: tuple[float, ...]
    variance: float


def spreads(context: Context, fits: Fits, evaluations: Sequence[Evaluation]) -> list[SeedSpread]:
    """What the further seeds of each arm and split show."""
    found: dict[tuple[str, str], list[np.ndarray]] = {}
    of = {evaluation.split: evaluation for evaluation in evaluations}
    for split, fold, arm, again in again_trained(context):
        evaluation = of[split.name]
        parts = found.setdefault((split.name, arm), [evaluation.parts[arm]])
        parts.append(_parts(evaluation, fits.of(split, fold, arm, again)))
    return [
        SeedSpread(split, arm, tuple(float(part.mean()) for part in parts), seed_variance(parts, of[split].groups))
        for (split, arm), parts in found.items()
    ]


def _parts(evaluation: Evaluation, cell: Mapping[str, Any]) -> np.ndarray:
    """Each row's part in the primary metric by another seed, in the order of the evaluation. Shape (n,)."""
    predicted = np.array(cell["probabilities" if evaluation.task == CLASSES else "prediction"], dtype=np.float64)
    if evaluation.task == CLASSES:
        predicted = without_opinion(predicted, cell["parse_failed"])
    return evaluation.parts_of(cell["row_id"], predicted)


def seed_variance(parts: Sequence[np.ndarray], groups: np.ndarray) -> float:
    """The variance between seeds of a score that is common to the rows; 0 where rows alone explain the difference.

    Parameters
    ----------
    parts : sequence of ndarray of shape (n,)
        Of each seed, each row's part in the score.
    groups : ndarray of shape (n,)
    """
    raw = float(np.var([part.mean() for part in parts], ddof=1))
    labels = groups.astype(str)
    of_rows = [variance_of_mean(one - two, labels) / 2 for one, two in combinations(parts, 2)]
    return max(0.0, raw - float(np.mean(of_rows)))


def with_seeds(
    evaluations: Sequence[Evaluation], found: Sequence[SeedSpread], cells: Sequence[Mapping[str, Any]] = ()
) -> list[Evaluation]:
    """The evaluations with what seeds add to the errors of the arms; of blends, which are among the ``cells``, to as
    much as the trained arm makes of them."""
    return [
        replace(
            evaluation,
            seeds={
                one.arm: (one.variance, len(one.scores) - 1)
                for one in found
                if one.split == evaluation.split and one.variance > 0
            },
            seed_shares={
                cell["tags"]["arm"]: trained_shares(cell["tags"]["arm"], (cell.get("share") or {}).get("value"))
                for cell in cells
                if cell["tags"]["arm"] in BLENDS and cell["tags"]["split"] == evaluation.split
            },
        )
        for evaluation in evaluations
    ]


def seed_sentence(found: Sequence[SeedSpread], arms: Sequence[str], evaluations: Sequence[Evaluation]) -> str:
    """What the seeds show, and where one seed leaves it open, of those of the ``arms`` that train an adapter or blend
    one that does."""
    trained = {arm: set(trained_shares(arm, None)) for arm in arms}
    said = []
    for one in found:
        metric = LABELS[PRIMARY[evaluations[0].task]]
        listed = ", ".join(map(number, one.scores[:-1])) + f" and {number(one.scores[-1])}"
        of = ", ".join(arm for arm in arms if one.arm in trained[arm])  # itself, and by its share what blends it
        more = (
            f"by which a standard deviation of {number(one.variance**0.5)} between seeds, beyond what the rows "
            f"explain, is in the intervals of {of} there"
            if one.variance > 0
            else "which differ by no more than the rows explain, and that is in its intervals already"
        )
        said.append(f"On {one.split} {one.arm} was trained with {len(one.scores)} seeds: {metric} {listed}, {more}.")
    known = {(one.split, one.arm) for one in found}
    open_ = [
        f"{arm} on {evaluation.split}"
        for evaluation in evaluations
        for arm in arms
        if evaluation.divisions == 1 and any((evaluation.split, name) not in known for name in trained[arm])
    ]
    if open_:
        said.append(
            f"One training seed leaves its own variation out of the intervals of {', '.join(open_)} (--lm-seeds)."
        )
    return " ".join(said)
