"""Which dose of failures is enough: found with an interval, and said in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.evaluation.bootstrap import MIN_GROUPS
from pipeline.evaluation.seeded import APART, bounded_interval, effective_groups, over_seeds

RANKING, REFUSING = "ranking", "refusing"
METRICS = {RANKING: "auroc", REFUSING: "fpr"}
GAPS = {RANKING: 0.02, REFUSING: 0.05}  # a dose is enough where it comes as near as that to the largest one
_SIGNS = {RANKING: 1.0, REFUSING: -1.0}  # accepting fewer failures is better
_ROWS = {RANKING: "rarer of successes and failures", REFUSING: "failures"}

Curve = Mapping[float, Sequence[np.ndarray]]  # by dose, of each seed the metric on the test rows and its resamples


@dataclass(frozen=True)
class Enough:
    """The smallest dose from which on a metric comes near to that at the largest dose.

    Attributes
    ----------
    dose : float
        By the values alone.
    low, high : float
        A 95 % interval: any smaller dose than ``low`` is shown not to be enough, and from ``high`` on all are shown to
        be. The largest dose is enough by definition.
    doses : tuple of float
        Those that were tried, ascending.
    groups : float
        Independent groups that the metric rests on, as many as would be of equal size.
    """

    what: str
    dose: float
    low: float
    high: float
    doses: tuple[float, ...]
    groups: float

    @property
    def few(self) -> bool:
        """Whether there are too few groups to tell."""
        return self.groups < MIN_GROUPS

    @property
    def told(self) -> bool:
        """Whether the test tells anything of the dose."""
        return not self.few and (self.low, self.high) != (self.doses[0], self.doses[-1])


def smallest_enough(what: str, curve: Curve, groups: np.ndarray) -> Enough:
    """The smallest dose that is enough, with its interval.

    Each dose is compared with the largest one on the same test rows and seeds, by a two-sided 95 % interval of the
    difference. The true dose lies below ``low`` only if it is wrongly found not to be enough, and above ``high`` only
    if the next smaller one is wrongly found to be enough: 2.5 % each, however many doses there are.

    Parameters
    ----------
    what : {"ranking", "refusing"}
    groups : ndarray of shape (n,)
        The groups of the test rows that the metric rests on.
    """
    doses = tuple(sorted(curve))
    gap, largest = GAPS[what], curve[doses[-1]]
    near, shown, refuted = [], [], []
    for dose in doses[:-1]:
        pairs = zip(curve[dose], largest, strict=True)
        apart = over_seeds([_SIGNS[what] * (some - most) for some, most in pairs], groups)
        low, high = bounded_interval(apart, APART, groups)
        near.append(apart.value >= -gap)
        shown.append(low > -gap)
        refuted.append(high < -gap)
    return Enough(
        what,
        doses[_first_of_all(near)],
        doses[next((place for place, no in enumerate(refuted) if not no), len(refuted))],
        doses[_first_of_all(shown)],
        doses,
        effective_groups(groups),
    )


def _first_of_all(true: Sequence[bool]) -> int:
    """The place from which on all are true; one past the end if the last is not."""
    return next((place for place in range(len(true)) if all(true[place:])), len(true))


def enough_in_words(learner: str, found: Enough, rows: str = "") -> str:
    """One sentence: from which dose on, within which limits, or that it cannot be told.

    Parameters
    ----------
    rows : str
        What the metric rests on, where that is not called successes and failures.
    """
    smallest, largest = found.doses[0], found.doses[-1]
    aim = {
        RANKING: f"ranks as well as at dose {largest:g} % (AUROC within {GAPS[RANKING]})",
        REFUSING: f"accepts no more failures than at dose {largest:g} % (false-positive rate within {GAPS[REFUSING]})",
    }[found.what]
    if found.few:
        return (
            f"From which dose on {learner} {aim} cannot be told: the {rows or _ROWS[found.what]} among the test rows "
            f"have only {found.groups:.3g} effective groups, and {MIN_GROUPS} are needed."
        )
    if not found.told:
        return f"From which dose on {learner} {aim} cannot be told: any from {smallest:g} to {largest:g} % may be it."
    if found.low == largest:
        short = {RANKING: "ranks worse", REFUSING: "accepts more failures"}[found.what]
        return (
            f"{learner} {short} at every smaller dose than at {largest:g} %, by more than "
            f"{GAPS[found.what]}; whether still more of them would help was not tried."
        )
    if found.high == largest:
        verb, rest = aim.split(" ", 1)
        alone = f" (by the values alone, {found.dose:g} % is)" if found.dose < largest else ""
        return (
            f"{learner} needs a dose of at least {found.low:g} % to {verb.removesuffix('s')} {rest}; no dose "
            f"below {largest:g} % is shown to be enough{alone}."
        )
    if found.low == found.high:
        rest = ", the smallest dose tried" if found.low == smallest else ""
        return f"{learner} {aim} from {found.dose:g} % on{rest}."
    return f"{learner} {aim} from {found.dose:g} % on [{found.low:g} to {found.high:g} %]."


def needs_in_words(ours: str, mine: Enough, theirs: str, other: Enough) -> str:
    """Which of two learners needs fewer failures for its ranking, if their intervals are apart."""
    if not mine.told or not other.told:
        return "which of the two needs fewer failures for its ranking cannot be told"
    if mine.low > other.high or mine.high < other.low:
        more, fewer = (ours, theirs) if mine.low > other.high else (theirs, ours)
        return f"{more} needs more failures than {fewer} to rank as well as with {mine.doses[-1]:g} % of them"
    return (
        "which of the two needs fewer failures for its ranking cannot be told "
        f"({mine.low:g} to {mine.high:g} against {other.low:g} to {other.high:g} %)"
    )
