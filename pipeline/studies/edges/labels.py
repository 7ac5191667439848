"""What comes beyond the labels that were trained on: whether an arm goes on, flattens, or stops."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from pipeline.evaluation.estimates import Estimate, signs
from pipeline.evaluation.metrics import divide, regression_slope
from pipeline.evaluation.numbers import Interval
from pipeline.evaluation.seeded import SHARE, UNBOUNDED, Bounds, bounded_interval, of_one_pool, over_seeds
from pipeline.studies.edges.rows import DRAWN, LABELS, Edge, control_of, rows_of
from pipeline.studies.tested import HeldOut

SLOPE, SLOPE_CONTROL, SLOPE_INSIDE = "slope", "slope_control", "slope_inside"
BEYOND, BEYOND_CONTROL = "share_beyond", "share_beyond_control"
SHORTFALL, SHORTFALL_CONTROL = "shortfall", "shortfall_control"
MEASURES: dict[str, Bounds] = {
    SLOPE: UNBOUNDED,
    SLOPE_CONTROL: UNBOUNDED,
    SLOPE_INSIDE: UNBOUNDED,
    BEYOND: SHARE,
    BEYOND_CONTROL: SHARE,
    SHORTFALL: UNBOUNDED,
    SHORTFALL_CONTROL: UNBOUNDED,
}
RISES, SLOWER, OF_HALF, PASSES_LESS = "rises", "slower", "of half", "passes less"
# Shares of the slope of the control: an arm that goes on more slowly is below the first, one that flattens below the
# second. The first is not 1, since rows that are chosen by noisy labels flatten any fit a little.
ALMOST, HALF = 0.9, 0.5
GOES_ON, SLOWLY, FLATTENS, STOPS, UNTOLD = (
    "goes on",
    "goes on more slowly",
    "flattens",
    "stops at the most extreme value it has seen",
    "cannot be told",
)


@dataclass(frozen=True)
class BeyondLabels(HeldOut):
    """Models that were trained up to an edge of the labels, on the test rows beyond, beside models of as many rows over
    the whole range on the same test rows."""

    @cached_property
    def edges(self) -> tuple[Edge, ...]:
        return rows_of(self.context).edges

    @property
    def arms(self) -> tuple[str, ...]:
        return self.context.arms

    @cached_property
    def said(self) -> dict[tuple[str, str], np.ndarray]:
        """Predictions by what was trained on and arm. Shapes (models, n)."""
        found: dict[tuple[str, str], list[np.ndarray]] = {}
        for one in sorted(self.contents, key=lambda one: one["tags"]["model"]):
            if one["tags"]["part"] == LABELS:
                key = one["tags"]["trained_on"], one["tags"]["arm"]
                found.setdefault(key, []).append(np.array(one["prediction"], dtype=np.float64)[self.kept])
        return {key: np.stack(models) for key, models in found.items()}

    @cached_property
    def values(self) -> np.ndarray:
        """The labels of the test rows. Shape (n,)."""
        values: np.ndarray = self.truth.astype(np.float64)
        return values

    def rows_beyond(self, edge: Edge) -> np.ndarray:
        """Which test rows lie beyond an edge. Shape (n,)."""
        return edge.beyond(self.values)

    def _slopes(self, said: np.ndarray, rows: np.ndarray) -> np.ndarray:
        weights = self.weights[:, rows]
        return np.stack([regression_slope(self.values[rows], one[rows], weights) for one in said])

    def _means(self, values: np.ndarray, rows: np.ndarray) -> np.ndarray:
        weights = self.weights[:, rows]
        return divide(values[:, rows] @ weights.T, weights.sum(axis=1)[None, :])

    @cached_property
    def _samples(self) -> dict[tuple[str, str], dict[str, np.ndarray]]:
        """Each measure and what is tested by arm and edge. Shapes (models, 1 + resamples)."""
        return {(arm, edge.name): self._of(arm, edge) for arm in self.arms for edge in self.edges}

    def _of(self, arm: str, edge: Edge) -> dict[str, np.ndarray]:
        limited, control = self.said[edge.name, arm], self.said[control_of(edge), arm]
        rows, sign = self.rows_beyond(edge), 1.0 if edge.upwards else -1.0
        slope, beside = self._slopes(limited, rows), self._slopes(control, rows)
        past, past_beside = (self._means(edge.beyond(said).astype(float), rows) for said in (limited, control))
        found = {
            SLOPE: slope,
            SLOPE_CONTROL: beside,
            SLOPE_INSIDE: self._slopes(limited, ~rows),
            BEYOND: past,
            BEYOND_CONTROL: past_beside,
            SHORTFALL: self._means(sign * (self.values - limited), rows),
            SHORTFALL_CONTROL: self._means(sign * (self.values - control), rows),
            RISES: slope,
            SLOWER: slope - ALMOST * beside,
            OF_HALF: slope - HALF * beside,
            PASSES_LESS: past - past_beside,
        }
        return {name: of_one_pool(values, DRAWN) for name, values in found.items()}

    def estimate(self, arm: str, edge: Edge, measure: str) -> Estimate:
        rows = self.rows_beyond(edge)
        return over_seeds(
            list(self._samples[arm, edge.name][measure]), self.groups[~rows if measure == SLOPE_INSIDE else rows]
        )

    def interval(self, arm: str, edge: Edge, measure: str) -> Interval:
        found = self.estimate(arm, edge, measure)
        groups = self.groups[self.rows_beyond(edge)]
        return found.value, *bounded_interval(found, MEASURES[measure], groups)

    @cached_property
    def told(self) -> dict[tuple[str, str, str], int]:
        """What is shown to be above (1) or below zero (-1), or not (0), by arm, edge and question: p-values by Holm's
        method for each question over arms and edges."""
        places = [(arm, edge) for arm in self.arms for edge in self.edges]
        found: dict[tuple[str, str, str], int] = {}
        for question in (RISES, SLOWER, OF_HALF, PASSES_LESS):
            told = signs([self.estimate(arm, edge, question) for arm, edge in places])
            found |= {(arm, edge.name, question): sign for (arm, edge), sign in zip(places, told, strict=True)}
        return found

    def verdict(self, arm: str, edge: Edge) -> str:
        """How an arm goes on beyond an edge, in one phrase.

        It is judged beside the control, whose slope is below 1, too: predictions of any model that errs rise less than
        the truth does.
        """
        rises, slower, half, passes = (
            self.told[arm, edge.name, question] for question in (RISES, SLOWER, OF_HALF, PASSES_LESS)
        )
        if rises > 0 and half > 0 and slower >= 0:
            return GOES_ON
        if self.estimate(arm, edge, BEYOND).value == 0 and passes < 0:
            return STOPS
        if rises > 0 and slower < 0:
            return SLOWLY
        return FLATTENS if rises <= 0 and half < 0 else UNTOLD

    @cached_property
    def verdicts(self) -> dict[tuple[str, str], str]:
        return {(arm, edge.name): self.verdict(arm, edge) for arm in self.arms for edge in self.edges}

    @property
    def verdicts_by_name(self) -> dict[str, dict[str, str]]:
        """By edge and arm."""
        return {edge.name: {arm: self.verdicts[arm, edge.name] for arm in self.arms} for edge in self.edges}

    def metrics(self) -> pd.DataFrame:
        """All measures with their intervals."""
        return pd.DataFrame(
            self._row(arm, edge, measure) for measure in MEASURES for arm in self.arms for edge in self.edges
        )

    def _row(self, arm: str, edge: Edge, measure: str) -> dict[str, Any]:
        rows = self.rows_beyond(edge)
        rows = ~rows if measure == SLOPE_INSIDE else rows
        value, low, high = self.interval(arm, edge, measure)
        about = {"split": self.split.name, "part": LABELS, "trained_on": edge.name, "arm": arm, "metric": measure}
        counts = {"n": int(rows.sum()), "groups": len(set(self.groups[rows])), "seeds": self.context.settings.models}
        return about | {"value": value, "low": low, "high": high} | counts
