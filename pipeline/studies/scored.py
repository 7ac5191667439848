"""The test rows of a hold-out on which a study scores, with resamples of their groups."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from pipeline.evaluation.bootstrap import group_weights
from pipeline.runs.context import Context
from pipeline.splits.splitters import Split
from pipeline.studies.words import RESAMPLES


@dataclass(frozen=True)
class Scored:
    """The test rows of a split whose target is a value, and not a bound."""

    context: Context
    split: Split

    @cached_property
    def kept(self) -> np.ndarray:
        """Whether the target of each test row is a value. Shape (test rows,)."""
        kept: np.ndarray = self.context.table.exact.loc[list(self.split.folds[0].test)].to_numpy()
        return kept

    @cached_property
    def test(self) -> list[str]:
        """The test rows that are scored."""
        return [row for row, kept in zip(self.split.folds[0].test, self.kept, strict=True) if kept]

    @cached_property
    def truth(self) -> np.ndarray:
        truth: np.ndarray = self.context.targets(self.split.folds[0]).loc[self.test].to_numpy()
        return truth

    @cached_property
    def groups(self) -> np.ndarray:
        """The group of each test row. Shape (n,)."""
        return np.array([self.split.groups[row] for row in self.test], dtype=object)

    @cached_property
    def weights(self) -> np.ndarray:
        """The rows as they are, then resamples of their groups. Shape (1 + resamples, n)."""
        found: np.ndarray = self.context.once(("weights of test rows", self.split.name), self._weights)
        return found

    def _weights(self) -> np.ndarray:
        drawn = group_weights(self.groups, self.context.config.seed, RESAMPLES)
        return np.vstack([np.ones((1, len(self.test))), drawn])

    @cached_property
    def seeds(self) -> int:
        return int(self.context.settings.seeds)
