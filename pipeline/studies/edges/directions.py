"""What is lost along directions: the error outside of the middle, and whether models that disagree show it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from pipeline.evaluation.estimates import Estimate, signs
from pipeline.evaluation.metrics import divide, row_errors
from pipeline.evaluation.numbers import Interval
from pipeline.evaluation.seeded import of_one_pool, over_seeds, pseudo_values
from pipeline.studies.edges.rows import ASKED, DIRECTIONS, DRAWN, FULL_WIDTH, NULLS, Direction, rows_of
from pipeline.studies.tested import HeldOut
from pipeline.tables.targets import CLASSES

ERROR, DISAGREEMENT, QUOTIENT = "error_outside", "disagreement_outside", "quotient"
ERROR_RISE, DISAGREEMENT_RISE = "error_rise", "disagreement_rise"
MEASURES = (ERROR, DISAGREEMENT, ERROR_RISE, DISAGREEMENT_RISE, QUOTIENT)
TESTED = (ERROR, QUOTIENT)
MORE, LESS, UNTOLD = "more", "less", "not told apart"
STATES = {1: MORE, -1: LESS, 0: UNTOLD}


@dataclass(frozen=True)
class AlongDirections(HeldOut):
    """Ratios of models of the middle of a direction to models of as many rows over its full width.

    All are logarithms here: `ERROR` and `DISAGREEMENT` of the test rows outside of the middle, ``..._RISE`` outside
    over inside, relative to the same of the full width, and `QUOTIENT` the rise of the error by that of the
    disagreement.
    """

    _samples: dict[tuple[str, str, str], np.ndarray] = field(default_factory=dict, init=False, repr=False)

    @cached_property
    def directions(self) -> tuple[Direction, ...]:
        return rows_of(self.context).directions

    @property
    def kinds(self) -> list[str]:
        """The kinds of directions that there are."""
        return list(dict.fromkeys(one.kind for one in self.directions))

    def of_kind(self, kind: str) -> list[Direction]:
        return [one for one in self.directions if one.kind == kind]

    @property
    def arms(self) -> tuple[str, ...]:
        return self.context.arms

    def outside(self, direction: Direction) -> np.ndarray:
        """Which test rows lie outside of the middle. Shape (n,)."""
        return np.array([direction.outside[row] for row in self.test], dtype=bool)

    @cached_property
    def _said(self) -> dict[tuple[str, str], np.ndarray]:
        """What each model says of the test rows by what it was trained on and arm. Shapes (models, n, 1 or classes)."""
        found: dict[tuple[str, str], list[np.ndarray]] = {}
        for one in sorted(self.contents, key=lambda one: one["tags"]["model"]):
            if one["tags"]["part"] == DIRECTIONS:
                said = np.array(one.get("probabilities", one.get("prediction")), dtype=np.float64)[self.kept]
                found.setdefault((one["tags"]["trained_on"], one["tags"]["arm"]), []).append(
                    said.reshape(len(said), -1)
                )
        return {key: np.stack(models) for key, models in found.items()}

    def _losses(self, trained_on: str, arm: str) -> np.ndarray:
        """The error of each model at each row. Shape (models, n)."""
        said = self._said[trained_on, arm]
        if self.context.task == CLASSES:
            return np.stack([row_errors(self.truth, chances, self.context.classes) for chances in said])
        return row_errors(self.truth, said[:, :, 0], ())

    def _errors(self, trained_on: str, arm: str, rows: np.ndarray) -> np.ndarray:
        """The logarithm of the mean error of each model on rows, as they are and resampled. Shape (models, 1 +
        resamples)."""
        return self._log_mean(self._losses(trained_on, arm), rows)

    def _disagreements(self, trained_on: str, arm: str, rows: np.ndarray) -> np.ndarray:
        """The logarithm of the mean standard deviation between models, by what each model contributes. Shape (models,
        1 + resamples)."""
        said = self._said[trained_on, arm]
        spread = [_spread(said), *(_spread(np.delete(said, model, axis=0)) for model in range(len(said)))]
        whole, *without = self._log_mean(np.stack(spread), rows)
        return pseudo_values(whole, np.stack(without))

    def _log_mean(self, values: np.ndarray, rows: np.ndarray) -> np.ndarray:
        weights = self.weights[:, rows]
        means = divide(values[:, rows] @ weights.T, weights.sum(axis=1)[None, :])
        return np.log(np.where(means > 0, means, np.nan))  # no ratio where models do not err, or do not differ

    def samples(self, arm: str, direction: Direction, measure: str) -> np.ndarray:
        """A measure by model, on the test rows as they are and resampled. Shape (models, 1 + resamples)."""
        key = arm, direction.name, measure
        if key not in self._samples:
            out = self.outside(direction)
            errors, spreads = (
                {
                    side: of(direction.name, arm, rows) - of(FULL_WIDTH, arm, rows)
                    for side, rows in (("out", out), ("in", ~out))
                }
                for of in (self._errors, self._disagreements)
            )
            errors = {side: of_one_pool(found, DRAWN) for side, found in errors.items()}
            made = {
                ERROR: errors["out"],
                DISAGREEMENT: spreads["out"],
                ERROR_RISE: errors["out"] - errors["in"],
                DISAGREEMENT_RISE: spreads["out"] - spreads["in"],
            }
            made[QUOTIENT] = made[ERROR_RISE] - made[DISAGREEMENT_RISE]
            self._samples.update({(arm, direction.name, name): values for name, values in made.items()})
        return self._samples[key]

    def estimate(self, arm: str, directions: Sequence[Direction], measure: str) -> Estimate:
        """The mean of a measure over directions."""
        found = np.mean([self.samples(arm, one, measure) for one in directions], axis=0)
        out = np.any([self.outside(one) for one in directions], axis=0)
        return over_seeds(list(found), self.groups[out])

    def ratio(self, arm: str, directions: Sequence[Direction], measure: str) -> Interval:
        """The ratio itself with its interval; the geometric mean of several directions."""
        found = self.estimate(arm, directions, measure)
        value, low, high = np.exp([found.value, *found.interval()])
        return float(value), float(low), float(high)

    @cached_property
    def told(self) -> dict[tuple[str, str, str], str]:
        """By arm, direction and measure of `TESTED` whether the ratio is shown to be `MORE` or `LESS` than 1: p-values
        by Holm's method for each measure over arms and directions, those of each null apart."""
        found: dict[tuple[str, str, str], str] = {}
        for measure in TESTED:
            for family in (ASKED, *((one,) for one in NULLS)):
                places = [(arm, one) for arm in self.arms for one in self.directions if one.kind in family]
                told = signs([self.estimate(arm, [one], measure) for arm, one in places])
                found |= {(arm, one.name, measure): STATES[sign] for (arm, one), sign in zip(places, told, strict=True)}
        return found

    def shown(self, kinds: Sequence[str], measure: str, state: str, arm: str = "") -> list[tuple[str, Direction]]:
        """Arms and directions of which so much was shown, the largest ratio first."""
        places = [
            (name, one)
            for name in self.arms
            for one in self.directions
            if one.kind in kinds and arm in ("", name) and self.told[name, one.name, measure] == state
        ]
        return sorted(places, key=lambda place: -self.ratio(place[0], [place[1]], measure)[0])

    def described(self) -> pd.DataFrame:
        """What the directions are, a row each."""
        counts = [(len(one.train), int(self.outside(one).sum())) for one in self.directions]
        return pd.DataFrame(
            [
                (one.name, ", ".join(one.names), one.share, trained, outside, len(self.test) - outside)
                for one, (trained, outside) in zip(self.directions, counts, strict=True)
            ],
            columns=["direction", "descriptors", "share", "training_rows", "outside", "inside"],
        )

    def metrics(self) -> pd.DataFrame:
        """All ratios with their intervals: of each direction, and of all directions of a kind together."""
        several = [(f"all of {kind}", self.of_kind(kind)) for kind in self.kinds]
        return pd.DataFrame(
            self._row(arm, name, directions, measure)
            for measure in MEASURES
            for arm in self.arms
            for name, directions in [*((one.name, [one]) for one in self.directions), *several]
        )

    def _row(self, arm: str, name: str, directions: Sequence[Direction], measure: str) -> dict[str, Any]:
        out = np.any([self.outside(one) for one in directions], axis=0)
        value, low, high = self.ratio(arm, directions, measure)
        about = {"split": self.split.name, "part": DIRECTIONS, "trained_on": name, "arm": arm, "metric": measure}
        counts = {"n": int(out.sum()), "groups": len(set(self.groups[out])), "seeds": self.context.settings.models}
        return about | {"value": value, "low": low, "high": high} | counts


def _spread(said: np.ndarray) -> np.ndarray:
    """The standard deviation between models at each row, the mean over classes. Shape (n,)."""
    spread: np.ndarray = said.std(axis=0, ddof=1).mean(axis=1)
    return spread
