"""A language model that writes conditions for a reaction, and can be trained by reward."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from pipeline.arms.writer import Writer
from pipeline.studies.verifier.generator import Proposal, WritesConditions


class ConditionWriter(WritesConditions, Writer):
    """Writes the proposed components of a reaction as answer to a question that states the rest.

    A row is the id of a reaction.
    """

    def fit(
        self,
        cells: Mapping[str, Mapping[str, str]],
        rows: Sequence[str],
        proposals: pd.DataFrame,
        names: Sequence[str] = (),
    ) -> ConditionWriter:
        """Tune on successes.

        Parameters
        ----------
        cells : mapping
            By row and column what questions state; those that are asked later among them.
        rows : sequence of str of length n
            The successes.
        proposals : DataFrame of shape (n, proposed components)
        names : sequence of str
            Those of the proposed components that hold names, no SMILES.
        """
        self.cells_, self.proposed_, self.names_ = cells, tuple(proposals.columns), frozenset(names)
        answers = [self.answer(tuple(row)) for row in proposals.to_numpy(dtype=object)]
        self._open(answers)
        self._train(rows, answers, None)
        return self

    def prompts(self, X: Sequence[str]) -> list[tuple[int, ...]]:
        return super().prompts(pd.DataFrame([self.cells_[row] for row in X]))

    def proposals(self, rows: Sequence[str], count: int, rng: Any) -> list[list[Proposal]]:
        """What it writes for each question, at temperature 1."""
        written = self._sample(rows, 1.0, rng, count)
        return [[self.read(self._text(ids), 1.0) for ids in own] for own in written]
