"""What a planted marker does: errors for each way in which it goes with labels in the test, and what follows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from pipeline.arms.ladder import CONTROLS
from pipeline.evaluation.estimates import LEVEL, Estimate, holm
from pipeline.evaluation.metrics import RANGE, divide, row_errors
from pipeline.evaluation.numbers import Interval
from pipeline.evaluation.seeded import interval_over_seeds, over_seeds
from pipeline.studies.shortcut.planting import (
    UNMARKED,
    Training,
    above,
    cannot_carry,
    controls,
    dealt,
    free_rows,
)
from pipeline.studies.shortcut.settings import NULL
from pipeline.studies.tested import Tested
from pipeline.studies.words import error_of

SAME, RANDOM, NONE, REVERSED = "as in training", "at random", "on no row", "reversed"  # how the marker goes in the test
TESTS = {
    SAME: "on rows above the median with the strength as chance, on the others with the rest",
    RANDOM: "on any row with the same chance, that of training rows",
    NONE: "on none, which in a field is the value of rows without it",
    REVERSED: "on the wrong rows: on those that are not above the median",
}
TURNED, RELIANCE, RELATIVE, COST = "reversed_less_random", "reliance", "relative_reliance", "cost"
UNBOUNDED = (-np.inf, np.inf)


@dataclass(frozen=True)
class Reliance:
    """How far an arm relies on a marker of a strength.

    Attributes
    ----------
    turned : Interval
        The error with the marker reversed less that with the marker at random.
    value : Interval
        That, less the same at strength `NULL`; at `NULL` itself the same as ``turned``. A second component can make a
        row harder to predict by being there, on one side of the median more than on the other: that is no reliance.
    relative : Interval
        ``value`` as a share of the error with the marker at random.
    p : float
        Of no difference from zero, adjusted by Holm's method.
    """

    marker: str
    arm: str
    strength: float
    turned: Interval
    value: Interval
    relative: Interval
    p: float

    @property
    def differs(self) -> bool:
        """Whether it is shown not to be zero."""
        return self.p < 1 - LEVEL

    @property
    def shown(self) -> bool:
        """Whether it is shown to be above zero."""
        return self.differs and self.value[0] > 0


@dataclass(frozen=True)
class Findings(Tested):
    """The errors of all arms on the test rows.

    What each arm loses on a row with the marker and without it says its error for any way in which the marker may go
    with the label: it is the mean over the rows, each with the chance that it carries the marker.
    """

    contents: Sequence[Mapping[str, Any]]
    _losses: dict[tuple[str, Training, int, bool], np.ndarray] = field(default_factory=dict, init=False, repr=False)

    @property
    def arms(self) -> tuple[str, ...]:
        return self.context.arms

    @cached_property
    def compared(self) -> tuple[str, ...]:
        """All arms but the constant, which cannot rely on anything."""
        return tuple(arm for arm in self.arms if arm not in CONTROLS.values())

    @property
    def markers(self) -> tuple[str, ...]:
        return tuple(self.context.settings.markers)

    @property
    def strengths(self) -> tuple[float, ...]:
        return tuple(self.context.settings.strengths)

    # -- losses --

    @cached_property
    def answers(self) -> dict[tuple[str, Training, int, bool], Mapping[str, Any]]:
        """What was predicted by arm, training, seed, and whether the test rows carry the marker."""
        found = {}
        for one in self.contents:
            for said in one["answers"]:
                training = Training(said["marker"], said["strength"], said["removed"])
                found[one["tags"]["arm"], training, one["tags"]["seed"], said["carried"]] = said
        return found

    def losses(self, arm: str, training: Training, seed: int, carried: bool) -> np.ndarray:
        """What each test row adds to the error. Shape (n,)."""
        key = (arm, training, seed, carried)
        if key not in self._losses:
            said = self.answers[key]
            answered = np.array(said.get("probabilities", said.get("prediction")))[self.kept]
            self._losses[key] = row_errors(self.truth, answered, self.context.classes)
        return self._losses[key]

    @cached_property
    def usable(self) -> dict[str, np.ndarray]:
        """By marker, whether each test row can carry it, and is scored for it. Each of shape (n,)."""
        carriers = {marker: cannot_carry(self.context, marker) for marker in self.markers}
        return {marker: np.array([row not in none for row in self.test]) for marker, none in carriers.items()}

    @cached_property
    def _weights(self) -> dict[str, np.ndarray]:
        """By marker, the weights of the rows that are scored for it. Each of shape (1 + resamples, rows)."""
        return {marker: self.weights[:, usable] for marker, usable in self.usable.items()}

    def groups_for(self, marker: str) -> np.ndarray:
        """The group of each row that is scored for a marker."""
        found: np.ndarray = self.groups[self.usable[marker]]
        return found

    @cached_property
    def high(self) -> np.ndarray:
        """Whether each test row is above the training median. Shape (n,)."""
        high: np.ndarray = above(self.context, self.split).loc[self.test].to_numpy(dtype=bool)
        return high

    def chances(self, training: Training, seed: int, test: str) -> np.ndarray:
        """With which chance each test row carries the marker. Shape (n,)."""
        if test == NONE:
            return np.zeros(len(self.test))
        if test == REVERSED:
            return np.where(self.high, 0.0, 1.0)
        if test == SAME:
            return np.where(self.high, training.strength, 1 - training.strength)
        marked = dealt(self.context, self.split, training, seed)
        free = free_rows(self.context, self.split, training.marker, seed)
        return np.full(len(self.test), len(marked) / len(free))

    # -- errors by seed --

    def _scores(self, marker: str, losses: np.ndarray) -> np.ndarray:
        """The mean loss over the rows that are scored for a marker, and in resamples. Shape (1 + resamples,)."""
        weights = self._weights[marker]
        return divide(weights @ losses[self.usable[marker]], weights.sum(axis=1))

    def errors(self, arm: str, training: Training, test: str) -> np.ndarray:
        """The error with the marker in the test as it says, by seed. Shape (seeds, 1 + resamples)."""
        found = []
        for seed in range(self.seeds):
            without, carried = (self.losses(arm, training, seed, state) for state in (False, True))
            # Written so that it is exactly the loss without the marker where both are the same.
            losses = without + self.chances(training, seed, test) * (carried - without)
            found.append(self._scores(training.marker, losses))
        return np.stack(found)

    def unmarked(self, arm: str, marker: str) -> np.ndarray:
        """The error of the model of the table as it is, on the rows that are scored for a marker. Shape
        (seeds, 1 + resamples)."""
        found = [self._scores(marker, self.losses(arm, UNMARKED, seed, False)) for seed in range(self.seeds)]
        return np.stack(found)

    def apart(self, arm: str, training: Training) -> np.ndarray:
        """The error with the marker reversed less that with the marker at random. Shape (seeds, 1 + resamples)."""
        return self.errors(arm, training, REVERSED) - self.errors(arm, training, RANDOM)

    # -- over seeds --

    def _estimate(self, per_seed: np.ndarray, marker: str) -> Estimate:
        return over_seeds(list(per_seed), self.groups_for(marker))

    def _interval(self, per_seed: np.ndarray, marker: str, bounds: tuple[float, float] = UNBOUNDED) -> Interval:
        return interval_over_seeds(per_seed, self.groups_for(marker), bounds)

    def error(self, arm: str, training: Training, test: str) -> Interval:
        """The error with the marker in the test as it says."""
        return self._interval(self.errors(arm, training, test), training.marker, RANGE[error_of(self.context)])

    def unmarked_error(self, arm: str, marker: str) -> Interval:
        """The error of the model of the table as it is."""
        return self._interval(self.unmarked(arm, marker), marker, RANGE[error_of(self.context)])

    def cost(self, arm: str, training: Training) -> Interval:
        """The error with the marker at random less that of the model of the table as it is."""
        per_seed = self.errors(arm, training, RANDOM) - self.unmarked(arm, training.marker)
        return self._interval(per_seed, training.marker)

    # -- what is relied on --

    @cached_property
    def reliance(self) -> dict[tuple[str, str, float], Reliance]:
        """By marker, arm and strength; the null is a family of its own for Holm's method. One seed tells nothing."""
        found: dict[tuple[str, str, float], Reliance] = {}
        for family in ([NULL], [strength for strength in self.strengths if strength > NULL]):
            keys = [(marker, arm, one) for marker in self.markers for arm in self.arms for one in family]
            per_seed = {key: self._relied(*key) for key in keys}
            tested = [key for key in keys if key[1] in self.compared]
            estimates = [self._estimate(per_seed[key], key[0]) for key in tested]
            adjusted = holm([one.p_difference() if self.seeds > 1 else 1.0 for one in estimates])
            p_values = {key: p for key, (p, _) in zip(tested, adjusted, strict=True)}
            found |= {key: self._reliance(*key, per_seed[key], p_values.get(key, 1.0)) for key in keys}
        return found

    def _relied(self, marker: str, arm: str, strength: float) -> np.ndarray:
        """`Reliance.value` by seed. Shape (seeds, 1 + resamples)."""
        turned = self.apart(arm, Training(marker, strength))
        return turned if strength == NULL else turned - self.apart(arm, Training(marker, NULL))

    def _reliance(self, marker: str, arm: str, strength: float, per_seed: np.ndarray, p: float) -> Reliance:
        training = Training(marker, strength)
        turned = self._interval(self.apart(arm, training), marker)
        relative = self._interval(divide(per_seed, self.errors(arm, training, RANDOM)), marker)
        return Reliance(marker, arm, strength, turned, self._interval(per_seed, marker), relative, p)

    def ranked(self, marker: str) -> list[Reliance]:
        """The reliance on the strongest marker, the largest first."""
        found = [self.reliance[marker, arm, self.strengths[-1]] for arm in self.compared]
        return sorted(found, key=lambda one: -one.value[0])

    def at_null(self, marker: str) -> list[Reliance]:
        """Each arm at the strength that goes with nothing."""
        return [self.reliance[marker, arm, NULL] for arm in self.compared]

    def left_of_control(self, marker: str) -> float:
        """The largest difference, over arms, seeds and rows, that a marker makes which was taken away again."""
        (control,) = (one for one in controls(self.context) if one.marker == marker)
        usable = self.usable[marker]
        return max(
            float(np.abs(self.losses(arm, control, seed, True) - self.losses(arm, control, seed, False))[usable].max())
            for arm in self.arms
            for seed in range(self.seeds)
        )

    # -- tables --

    def metrics(self) -> pd.DataFrame:
        """The errors and what follows from them, over the training seeds."""
        name, rows = error_of(self.context), []
        for marker, arm, strength in self.reliance:
            one, training = self.reliance[marker, arm, strength], Training(marker, strength)
            parts = {f"{name}, marker {test}": self.error(arm, training, test) for test in TESTS}
            parts |= {f"{name}, no marker in training": self.unmarked_error(arm, marker)}
            parts |= {TURNED: one.turned, COST: self.cost(arm, training)}
            if strength > NULL:
                parts |= {RELIANCE: one.value, RELATIVE: one.relative}
            groups = self.groups_for(marker)
            about = {"n": len(groups), "groups": len(set(groups)), "seeds": self.seeds}
            where = {"split": self.split.name, "marker": marker, "arm": arm, "strength": strength}
            rows += [
                {**where, "metric": metric, "value": value, "low": low, "high": high, **about}
                for metric, (value, low, high) in parts.items()
            ]
        return pd.DataFrame(rows)

    def reliances(self) -> pd.DataFrame:
        """The reliance with its p-value, a row for each marker, arm and strength; of the null what it takes off."""
        return pd.DataFrame(
            {"split": self.split.name, "marker": one.marker, "arm": one.arm, "strength": one.strength}
            | dict(zip((RELIANCE, "low", "high"), one.value, strict=True))
            | {"p_holm": one.p, "shown": one.shown and one.strength > NULL}
            for one in self.reliance.values()
        )

    def predictions(self, content: Mapping[str, Any]) -> pd.DataFrame:
        """The predictions of a cell: each test row with the marker (``carried``) and without it."""
        of_test = ("marker", "strength", "removed", "carried")
        return pd.concat(
            [
                self.answered(content["id"], {**content["tags"], **{name: said[name] for name in of_test}}, said)
                for said in content["answers"]
            ],
            ignore_index=True,
        )
