"""An arm that reads molecules in other notations than canonical SMILES."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator

from pipeline.features.inputs import as_frame
from pipeline.features.notations import CANONICAL, Representation, repeated
from pipeline.prompts.templates import Pieces, PromptTemplate

_OF_ONE = ("reading_", "format_", "curve_", "lower_", "upper_", "medians_", "theta_", "adapter_", "head_", "settings_")


def shown_as(X: Any, one: Representation, seed: int) -> pd.DataFrame:
    """The rows in a notation; the spellings of one molecule stand behind each other, under its index.

    Raises
    ------
    MoleculeError
        If the notation cannot write one of them.
    """
    frame = as_frame(X)
    if one.notation == CANONICAL:
        return frame
    return with_texts(frame, [one.texts(str(smiles), seed) for smiles in frame.iloc[:, 0]])


def with_texts(X: Any, texts: Sequence[Sequence[str]]) -> pd.DataFrame:
    """The rows with other texts in place of their molecules, each row once for each of its texts.

    Parameters
    ----------
    texts : sequence of sequences of str
        For each row.
    """
    frame = as_frame(X)
    shown = frame.iloc[np.repeat(np.arange(len(frame)), [len(own) for own in texts])].copy()
    shown.isetitem(0, np.array([text for own in texts for text in own], dtype=object))
    return shown


def prompts_in(template: PromptTemplate, X: Any, one: Representation, seed: int) -> list[Pieces]:
    """The prompts of the rows in a notation, as `shown_as` has them; one without symbols is plain text."""
    return replace(template, symbols=one.has_symbols).pieces_all(shown_as(X, one, seed))


class Spelled(BaseEstimator):
    """An arm of its own for each notation, whose predictions are averaged.

    Of random SMILES it is trained on all spellings of a training row, for as many steps as on one, and its prediction
    is the mean over those of a new row.

    Parameters
    ----------
    members : dict
        From the representation, as users write it, to an unfitted arm that reads it; they are fitted in place.
    seed : int
        Of random spellings.
    """

    def __init__(self, members: dict[str, Any], seed: int = 0) -> None:
        self.members = members
        self.seed = seed

    def __getattr__(self, name: str) -> Any:
        """What a single arm of one spelling knows beyond a prediction."""
        members = self.__dict__.get("members", {})
        if name in _OF_ONE and len(members) == 1 and Representation.of(next(iter(members))).spellings == 1:
            return getattr(next(iter(members.values())), name)
        raise AttributeError(name)

    @property
    def uses_censoring(self) -> bool:
        return any(getattr(member, "uses_censoring", False) for member in self.members.values())

    def fit(self, X: Any, y: np.ndarray, groups: Any = None, censoring: np.ndarray | None = None) -> Spelled:
        from pipeline.arms.ladder import fit_arm

        for text, member in self.members.items():
            one = Representation.of(text)
            if one.spellings > 1 and hasattr(member, "steps_for"):
                member.steps = member.steps_for(len(y))
            sides = repeated(censoring, one.spellings)
            fit_arm(
                member, shown_as(X, one, self.seed), repeated(y, one.spellings), repeated(groups, one.spellings), sides
            )
        first = next(iter(self.members.values()))
        if hasattr(first, "classes_"):
            self.classes_ = first.classes_
        return self

    def _mean(self, X: Any, method: str) -> np.ndarray:
        found = []
        for text, member in self.members.items():
            one = Representation.of(text)
            values = np.asarray(getattr(member, method)(shown_as(X, one, self.seed)))
            found.append(values.reshape(len(as_frame(X)), one.spellings, *values.shape[1:]).mean(axis=1))
        return np.mean(found, axis=0)

    def predict(self, X: Any) -> np.ndarray:
        if hasattr(self, "classes_"):
            return self.classes_[self.predict_proba(X).argmax(axis=1)]
        return self._mean(X, "predict")

    def predict_proba(self, X: Any) -> np.ndarray:
        return self._mean(X, "predict_proba")
