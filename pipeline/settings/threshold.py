"""How the threshold between two classes is to be found, as users write it."""

from __future__ import annotations

import re
from dataclasses import dataclass

from pipeline.errors import InputError

EVEN = "0.5"
MCC, COST, FIXED = "mcc", "cost", "fixed"
_COST = re.compile(r"cost:(fn|fp)=(\d+(?:\.\d+)?),(fn|fp)=(\d+(?:\.\d+)?)")


@dataclass(frozen=True)
class Rule:
    """How the threshold is found.

    Attributes
    ----------
    kind : {"fixed", "mcc", "cost"}
        A number; the threshold with the highest Matthews correlation on held-out rows; that with the lowest cost there.
    value : float
        Of a fixed one.
    missed, false_alarm : float
        What a positive that is called negative costs, and a negative that is called positive.
    """

    kind: str
    value: float = 0.5
    missed: float = 1.0
    false_alarm: float = 1.0

    @classmethod
    def of(cls, text: str) -> Rule:
        """As users write it: ``0.3``, ``mcc`` or ``cost:FN=5,FP=1``.

        Raises
        ------
        InputError
            For anything else.
        """
        plain = text.strip().lower().replace(" ", "")
        costs = _COST.fullmatch(plain)
        if plain == MCC:
            return cls(MCC)
        if costs and costs[1] != costs[3]:
            of = {costs[1]: float(costs[2]), costs[3]: float(costs[4])}
            if min(of.values()) > 0:
                return cls(COST, missed=of["fn"], false_alarm=of["fp"])
        try:
            value = float(plain)
        except ValueError:
            value = 0.0
        if not 0 < value < 1:
            raise InputError(
                f"threshold is {text!r}; expected a probability between 0 and 1, mcc, or cost:FN=5,FP=1 (what a missed "
                "positive and a false alarm cost, both above 0)"
            )
        return cls(FIXED, value)

    @property
    def even(self) -> bool:
        """Whether the more probable class is the answer."""
        return self.kind == FIXED and self.value == 0.5

    @property
    def chosen(self) -> bool:
        """Whether held-out rows choose it."""
        return self.kind != FIXED
