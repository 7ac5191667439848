"""What a study says of one failure mode, in a shape that one page can hold of all of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pipeline.evaluation.numbers import Interval

YES, NO, UNTOLD = "yes", "no", "not told"  # shown, the opposite shown, or neither
SHOWN = {1: YES, -1: NO, 0: UNTOLD}  # by whether something is shown to lie above zero or below (`signs`)


@dataclass(frozen=True)
class Outcome:
    """How much worse one arm gets.

    Attributes
    ----------
    where : str
        On what, where there are several; such as the name of a split.
    worse : Interval
        In the measure of the failure mode.
    shown : str
        `YES` where it is shown to be worse, `NO` where it is shown to be better, else `UNTOLD`.
    """

    arm: str
    where: str
    worse: Interval
    shown: str


@dataclass(frozen=True)
class Failure:
    """A failure mode as it was tested.

    Attributes
    ----------
    tested : str
        What was done, with how many rows.
    measure : str
        What ``worse`` of an outcome is.
    nothing : float
        Its value where nothing gets worse.
    outcomes : sequence of Outcome
    null : str
        What the same measure gives where there is nothing to find.
    mend : str
        What mends it, as far as that was tried, or what to do.
    limits : str
        What the design could not have shown.
    """

    tested: str
    measure: str
    nothing: float
    outcomes: Sequence[Outcome]
    null: str
    mend: str
    limits: str

    def of_least(self) -> Outcome | None:
        """The arm that suffers least where it suffers most; None without outcomes."""
        return self._extreme(min)

    def of_most(self) -> Outcome | None:
        """The arm that suffers most; None without outcomes."""
        return self._extreme(max)

    def _extreme(self, choose: Callable[..., Outcome]) -> Outcome | None:
        worst: dict[str, Outcome] = {}
        for one in self.outcomes:
            if one.arm not in worst or one.worse[0] > worst[one.arm].worse[0]:
                worst[one.arm] = one
        return choose(worst.values(), key=lambda one: one.worse[0]) if worst else None

    @property
    def shown(self) -> bool:
        """Whether some arm is shown to get worse."""
        return any(one.shown == YES for one in self.outcomes)
