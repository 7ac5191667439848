"""What few rows of a class leave of the certainty of an AUROC."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from pipeline.evaluation.estimates import Estimate, effective_number, group_sizes
from pipeline.evaluation.metrics import chance_deviation


@dataclass(frozen=True)
class ClassLimits:
    """The limits that the tested classes set to an AUROC, or to the difference of two on the same rows.

    Attributes
    ----------
    fewest : float
        The effective number of groups of the class that has fewest.
    chance : float
        The standard deviation of the AUROC of a ranking that says nothing.
    """

    fewest: float
    chance: float

    @classmethod
    def of(cls, truth: np.ndarray, groups: np.ndarray, classes: Sequence[str]) -> ClassLimits:
        """Of tested rows.

        Parameters
        ----------
        truth, groups : ndarray of shape (n,)
        """
        fewest = min(effective_number(group_sizes(groups[truth == label])) for label in set(truth))
        return cls(fewest, chance_deviation(truth, groups, classes))

    @property
    def degrees(self) -> float:
        """One less than the effective number of groups of the class that has fewest; at least 1."""
        return max(1.0, self.fewest - 1)

    @property
    def widening(self) -> float:
        """By how much an error from resamples is too small, if all of it comes from the class with fewest groups; NaN
        for a single group, which does not vary."""
        return math.sqrt(self.fewest / (self.fewest - 1)) if self.fewest > 1 else math.nan

    def applied(self, found: Estimate, *parts: np.ndarray) -> Estimate:
        """An estimate within these limits.

        Resamples of rows that all have one part in the score, as with a constant or a perfect ranking, do not vary: the
        error is then at least that of a ranking that says nothing.

        Parameters
        ----------
        parts : ndarray of shape (n,)
            Of each score that enters, each row's part in it.
        """
        if not found.known:
            return found
        found = replace(found, degrees=min(found.degrees, self.degrees))
        return found.at_least(self.chance) if any(np.ptp(one[np.isfinite(one)]) == 0.0 for one in parts) else found
