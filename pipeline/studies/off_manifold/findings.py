"""How models answer to steps along and across what the data span, and whether they agree about it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd

from pipeline.evaluation.bootstrap import group_weights
from pipeline.evaluation.estimates import Estimate, signs
from pipeline.evaluation.metrics import divide
from pipeline.evaluation.numbers import Interval
from pipeline.evaluation.seeded import APART, interval_over_seeds, over_seeds, pseudo_values
from pipeline.runs.context import Context
from pipeline.studies.failure import SHOWN
from pipeline.studies.off_manifold.directions import EACH
from pipeline.studies.words import RESAMPLES

ALONG, ACROSS, STEEPEST = "along", "across", "steepest"
DIRECTIONS = (ALONG, ACROSS, STEEPEST)
TRAINED, PERMUTED, UNTRAINED = "trained", "permuted labels", "not trained"
TREATMENTS = (TRAINED, PERMUTED, UNTRAINED)


@dataclass(frozen=True)
class Findings:
    """The answers of the models of one kind to the same steps.

    Attributes
    ----------
    contents : sequence of mapping
        The results of the cells of this model.
    groups : ndarray of shape (points,)
        The group of each training molecule at which steps were made.
    """

    context: Context
    model: str
    contents: Sequence[Mapping[str, Any]]
    groups: np.ndarray

    @cached_property
    def changes(self) -> dict[tuple[str, int, str], np.ndarray]:
        """By treatment, seed and kind of direction the changes of what is predicted, in standard deviations of the
        training labels (of classes in log-odds). Each of shape (points, steps)."""
        return {
            (one["tags"]["treatment"], one["tags"]["seed"], kind): np.array(one["changes"][kind])
            for one in self.contents
            for kind in DIRECTIONS
        }

    @cached_property
    def treatments(self) -> tuple[str, ...]:
        return tuple(name for name in TREATMENTS if any(key[0] == name for key in self.changes))

    @cached_property
    def seeds(self) -> int:
        return int(self.context.settings.seeds)

    @cached_property
    def _weights(self) -> np.ndarray:
        """The points as they are, then resamples of their groups. Shape (1 + resamples, points)."""
        drawn = group_weights(self.groups, self.context.config.seed, RESAMPLES)
        return np.vstack([np.ones((1, len(self.groups))), drawn])

    def _agreements(self, treatment: str, kind: str) -> np.ndarray:
        """The mean correlation of the changes over all pairs of seeds, as a pseudo-value for each seed: their mean is
        that, and their spread its error by the jackknife (Arvesen 1969). Shape (seeds, 1 + resamples)."""
        found = {
            pair: self._correlation(*(self.changes[treatment, seed, kind] for seed in pair))
            for pair in combinations(range(self.seeds), 2)
        }
        mean = np.mean(list(found.values()), axis=0)
        without = [
            np.mean([value for pair, value in found.items() if seed not in pair], axis=0) for seed in range(self.seeds)
        ]
        return pseudo_values(mean, np.stack(without))

    def _correlation(self, one: np.ndarray, other: np.ndarray) -> np.ndarray:
        """About zero, since a step and its opposite are as likely: of two vectors of changes the cosine. Shape (1 +
        resamples,)."""
        products = [self._weights @ (a * b).sum(axis=1) for a, b in ((one, other), (one, one), (other, other))]
        return np.nan_to_num(divide(products[0], np.sqrt(products[1] * products[2])))

    def _sizes(self, treatment: str, kind: str) -> np.ndarray:
        """The mean size of a change by seed. Shape (seeds, 1 + resamples)."""
        sizes = [np.abs(self.changes[treatment, seed, kind]).mean(axis=1) for seed in range(self.seeds)]
        return np.stack([divide(self._weights @ one, self._weights.sum(axis=1)) for one in sizes])

    def agreement(self, treatment: str, kind: str) -> Interval:
        """The correlation of the changes between models of different seeds."""
        return interval_over_seeds(self._agreements(treatment, kind), self.groups, APART)

    def size(self, treatment: str, kind: str) -> Interval:
        """The mean size of a change."""
        return interval_over_seeds(self._sizes(treatment, kind), self.groups, (0.0, np.inf))

    def lost(self, treatment: str) -> Estimate:
        """By how much models agree less about steps across than about steps along."""
        apart = self._agreements(treatment, ALONG) - self._agreements(treatment, ACROSS)
        return over_seeds(list(apart), self.groups)

    @cached_property
    def answers(self) -> dict[str, str]:
        """By treatment whether models agree less across than along; p-values by Holm's method over the treatments."""
        told = signs([self.lost(name) for name in self.treatments])
        return dict(zip(self.treatments, (SHOWN[sign] for sign in told), strict=True))

    def metrics(self) -> pd.DataFrame:
        """Agreement and size by treatment and kind of direction."""
        about = {"n": len(self.groups), "groups": len(set(self.groups)), "seeds": self.seeds}
        return pd.DataFrame(
            {"model": self.model, "treatment": treatment, "direction": kind, "metric": name}
            | dict(zip(("value", "low", "high"), found, strict=True))
            | about
            for treatment in self.treatments
            for kind in DIRECTIONS
            for name, found in (
                ("agreement", self.agreement(treatment, kind)),
                ("size", self.size(treatment, kind)),
            )
        )

    def predictions(self, content: Mapping[str, Any], rows: Sequence[str]) -> pd.DataFrame:
        """The changes of a cell, one row for each step."""
        parts = []
        for kind in DIRECTIONS:
            changes = np.array(content["changes"][kind])
            steps = changes.shape[1]
            parts.append(
                pd.DataFrame(
                    {
                        "row_id": np.repeat(np.array(rows, dtype=object), steps),
                        "direction": kind,
                        "step": np.tile(np.arange(steps), len(rows)),
                        "change": changes.ravel(),
                    }
                )
            )
        return pd.concat(parts, ignore_index=True).assign(**content["tags"], cell_id=content["id"])


def steps_of(kind: str) -> int:
    """Steps of a kind at each point."""
    return 1 if kind == STEEPEST else EACH
