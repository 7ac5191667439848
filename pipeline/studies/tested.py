"""The test rows of a hold-out that are scored, their groups, and resamples of these."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from pipeline.errors import InputError
from pipeline.evaluation.bootstrap import group_weights
from pipeline.runs.context import Context
from pipeline.splits.splitters import Split
from pipeline.studies.words import RESAMPLES
from pipeline.tables.targets import CLASSES


@dataclass(frozen=True)
class Tested:
    """What all arms of a hold-out are tested on."""

    context: Context
    split: Split

    @cached_property
    def kept(self) -> np.ndarray:
        """Whether the target of each test row is a value, and not a bound. Shape (test rows,)."""
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
        found: np.ndarray = self.context.once(("weights of test rows", tuple(self.test)), self._resampled)
        return found

    @cached_property
    def seeds(self) -> int:
        return int(self.context.settings.seeds)

    def _resampled(self) -> np.ndarray:
        drawn = group_weights(self.groups, self.context.config.seed, RESAMPLES)
        return np.vstack([np.ones((1, len(self.test))), drawn])

    def answered(self, cell_id: str, tags: Mapping[str, Any], said: Mapping[str, Any]) -> pd.DataFrame:
        """What was said of all test rows, one row each, bounds among them; ``said`` has ``probabilities`` in the order
        of the classes, or a ``prediction`` each."""
        fold = self.split.folds[0]
        truth = self.context.targets(fold).loc[list(fold.test)].to_numpy()
        part = pd.DataFrame({"cell_id": cell_id, "row_id": list(fold.test), "truth": truth}).assign(**tags)
        if self.context.task != CLASSES:
            return part.assign(prediction=said["prediction"])
        chances = np.array(said["probabilities"])
        return part.assign(**{f"p_{label}": chances[:, place] for place, label in enumerate(self.context.classes)})


@dataclass(frozen=True)
class HeldOut(Tested):
    """The test rows of a hold-out, and what was predicted of them.

    Attributes
    ----------
    contents : sequence of mapping
        The results of the cells of this split.
    """

    contents: Sequence[Mapping[str, Any]]

    def predictions(self, content: Mapping[str, Any]) -> pd.DataFrame:
        """The predictions of a cell, one row each."""
        return self.answered(content["id"], content["tags"], content)


def check_test_groups(context: Context, split: Split) -> None:
    """Raise `InputError` where a hold-out tests a single group."""
    if len(set(Tested(context, split).groups)) < 2:
        raise InputError(
            f"split {split.name!r} tests rows of a single group, from which no interval follows; take another split, "
            "or a larger --test-size"
        )
