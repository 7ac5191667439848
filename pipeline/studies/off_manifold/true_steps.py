"""The true change of each step from molecule to molecule against what models of the table say of it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from pipeline.arms.ladder import CONTROLS, is_language_model, resolve_arms
from pipeline.cells.cell import Cell, measured
from pipeline.evaluation.bootstrap import group_weights
from pipeline.evaluation.estimates import Estimate, signs
from pipeline.evaluation.metrics import divide
from pipeline.evaluation.numbers import Interval
from pipeline.evaluation.seeded import UNBOUNDED, Bounds, bounded_interval, of_one_pool, over_seeds
from pipeline.features.structures import morgan_bits, nearest_rows
from pipeline.runs.context import Context, Machine
from pipeline.runs.fits import new_arm
from pipeline.studies.fitting import answers, drawn, fit_inputs, fit_on
from pipeline.studies.off_manifold import steps as making
from pipeline.studies.off_manifold.models import MLP, outputs_without_training
from pipeline.studies.off_manifold.steps import ADDED, KINDS, OUT, STEPS, WITHIN
from pipeline.studies.oracle import asked_oracle
from pipeline.studies.words import RESAMPLES
from pipeline.tables.table import STRUCTURE

WORK = "pipeline.studies.off_manifold.true_steps:train_and_step"
TRAINED, PERMUTED, UNTRAINED = "steps, trained", "steps, permuted labels", "steps, not trained"
TREATMENTS = (TRAINED, PERMUTED, UNTRAINED)
BASIS = "ridge"  # the arm whose features a network reads
FOLLOWED, MISSED, ERROR, LOST = "followed", "missed", "mae_of_change", "missed_more"
MEASURES: dict[str, Bounds] = {
    FOLLOWED: UNBOUNDED,
    MISSED: (0.0, np.inf),
    ERROR: (0.0, np.inf),
    LOST: UNBOUNDED,
}
DRAWN = 0.8  # of the training rows that each model is trained on
CLEARLY = 0.1  # of the true change: what has to be missed more or less to be called that
LEAST_STEPS = 8  # of a kind, below which nothing is said of it


def arms_of(context: Context) -> list[str]:
    """The arms that predict the ends of steps; none that is a constant."""
    named = resolve_arms(context.settings.arms, context.task, context.table.kind)
    return [arm for arm in named if arm not in CONTROLS.values()]


def cells_of(context: Context, machine: Machine) -> list[Cell]:
    """What makes the steps, and each model that predicts their ends; nothing without an oracle."""
    if asked_oracle(context) is None:
        return []
    maker = making.cell_of(context)
    models = [
        _cell(context, machine, arm, treatment, seed, maker)
        for arm, treatment in _models(sorted(arms_of(context), key=is_language_model))
        for seed in range(context.settings.seeds)
    ]
    return [maker, *models]


def _models(arms: Sequence[str]) -> list[tuple[str, str]]:
    """The network that is not trained, then each arm as it is and with permuted labels."""
    return [(MLP, UNTRAINED), *((arm, treatment) for arm in arms for treatment in (TRAINED, PERMUTED))]


def _cell(context: Context, machine: Machine, arm: str, treatment: str, seed: int, maker: Cell) -> Cell:
    split, rows = context.splits[0], _drawn(context, seed)
    inputs = fit_inputs(context, machine, split, rows, split.folds[0].test, BASIS if arm == MLP else arm, WORK)
    inputs |= {"seed": context.config.seed + seed}
    tags = {"split": split.name, "arm": arm, "treatment": treatment, "size": len(rows), "seed": seed}
    return Cell(WORK, tags, inputs, (maker,), f"{arm}, {treatment}, seed {seed}", is_language_model(arm))


def _drawn(context: Context, seed: int) -> list[str]:
    """The rows of one model: its share of the training rows, sorted."""
    rows = drawn(context, context.splits[0], 0)
    order = np.random.default_rng([context.config.seed, seed]).permutation(len(rows))
    return sorted(rows[place] for place in order[: round(DRAWN * len(rows))])


def train_and_step(
    context: Context, machine: Machine, cell: Cell, needed: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """Train a model on its draw of the training rows, and by how much it says that each step changes the target."""
    steps, made = needed[0]["steps"], dict[str, Any]()
    with measured(made):
        ends = [*steps["start"], *steps["end"]]
        said = _said(context, machine, cell, ends) if ends else np.zeros(0)
        of_start, of_end = said.reshape(2, -1)
        made["of_steps"] = (of_end - of_start).tolist()
    return made


def _said(context: Context, machine: Machine, cell: Cell, asked: list[str]) -> np.ndarray:
    """What the model of a cell says of molecules. Shape (n,)."""
    split, seed, treatment = context.splits[0], cell.inputs["seed"], cell.tags["treatment"]
    rows = _drawn(context, cell.tags["seed"])
    X, y = context.table.inputs.loc[rows], context.targets(split.folds[0]).loc[rows].to_numpy()
    if treatment == UNTRAINED:
        return outputs_without_training([*map(str, X[STRUCTURE])], y.astype(np.float64), asked, seed)
    if treatment == PERMUTED:  # each model its own
        y = np.random.default_rng(seed).permutation(y)
    model = new_arm(context, machine, cell.tags["arm"], seed, cell.label, split.reach)
    fit_on(context, split, model, X, y, None if treatment == PERMUTED else context.table.censoring(rows))
    said = answers(context, model, pd.DataFrame({STRUCTURE: asked}, dtype=object))["prediction"]
    return np.asarray(said, dtype=np.float64)


@dataclass(frozen=True)
class TrueSteps:
    """What models say of steps whose true change is known.

    Attributes
    ----------
    contents : sequence of mapping
        The results of all cells of the study.
    """

    context: Context
    contents: Sequence[Mapping[str, Any]]
    _samples: dict[tuple[str, str, str], dict[str, np.ndarray]] = field(default_factory=dict, init=False, repr=False)

    @cached_property
    def maker(self) -> Mapping[str, Any]:
        return next(one for one in self.contents if one["tags"]["treatment"] == STEPS)

    @cached_property
    def steps(self) -> pd.DataFrame:
        """A row for each step, with its true change, the group of the molecule at which it begins, and how like its end
        is to the training molecule that is nearest."""
        found, split = pd.DataFrame(self.maker["steps"]), self.context.splits[0]
        texts = self.context.table.inputs[STRUCTURE].loc[drawn(self.context, split, 0)]
        similar = nearest_rows(morgan_bits(found["end"]), morgan_bits(texts))[0] if len(found) else np.zeros(0)
        return found.assign(similarity=similar, group=[split.groups[row] for row in found["row_id"]])

    @cached_property
    def arms(self) -> list[str]:
        return arms_of(self.context)

    @cached_property
    def kinds(self) -> list[str]:
        """The kinds of which there are enough steps that change anything."""
        changes = self.steps["change"].astype(float)
        return [
            kind for kind in KINDS if (self.of(kind)).sum() >= LEAST_STEPS and changes[self.of(kind)].abs().sum() > 0
        ]

    @property
    def asked(self) -> list[str]:
        """The kinds that are compared with exchanges within the table; none where there are too few of these."""
        return [kind for kind in (ADDED, *OUT) if kind in self.kinds] if WITHIN in self.kinds else []

    def of(self, kind: str) -> np.ndarray:
        """Which steps are of a kind. Shape (steps,)."""
        found: np.ndarray = (self.steps["kind"] == kind).to_numpy()
        return found

    @cached_property
    def _weights(self) -> np.ndarray:
        """The steps as they are, then resamples of the groups that they begin in. Shape (1 + resamples, steps)."""
        groups = self.steps["group"].to_numpy(dtype=object)
        return np.vstack([np.ones((1, len(groups))), group_weights(groups, self.context.config.seed, RESAMPLES)])

    def said(self, treatment: str, arm: str) -> np.ndarray:
        """The predicted changes. Shape (seeds, steps)."""
        own = [one for one in self.contents if one["tags"]["treatment"] == treatment and one["tags"]["arm"] == arm]
        ordered = sorted(own, key=lambda one: one["tags"]["seed"])
        return np.array([one["of_steps"] for one in ordered], dtype=np.float64)

    def _of(self, treatment: str, arm: str, kind: str) -> dict[str, np.ndarray]:
        """Each measure by seed. Shapes (seeds, 1 + resamples)."""
        key = treatment, arm, kind
        if key not in self._samples:
            rows = self.of(kind)
            true, said = self.steps["change"].to_numpy(dtype=np.float64)[rows], self.said(treatment, arm)[:, rows]
            weights, off = self._weights[:, rows].T, np.abs(said - true)
            found = {
                FOLLOWED: divide((said * true) @ weights, (true**2 @ weights)[None, :]),
                MISSED: divide(off @ weights, (np.abs(true) @ weights)[None, :]),
                ERROR: divide(off @ weights, weights.sum(axis=0)[None, :]),
            }
            found = {name: of_one_pool(values, DRAWN) for name, values in found.items()}
            self._samples[key] = found
            if kind != WITHIN and WITHIN in self.kinds:
                found[LOST] = found[MISSED] - self._of(treatment, arm, WITHIN)[MISSED]
        return self._samples[key]

    def groups_of(self, kind: str) -> np.ndarray:
        """The group of the molecule at which each step of a kind begins."""
        return self.steps["group"].to_numpy(dtype=object)[self.of(kind)]

    def estimate(self, arm: str, kind: str, measure: str, treatment: str = TRAINED) -> Estimate:
        return over_seeds(list(self._of(treatment, arm, kind)[measure]), self.groups_of(kind))

    def interval(self, arm: str, kind: str, measure: str, treatment: str = TRAINED) -> Interval:
        found = self.estimate(arm, kind, measure, treatment)
        return found.value, *bounded_interval(found, MEASURES[measure], self.groups_of(kind))

    @cached_property
    def told(self) -> dict[tuple[str, str], int]:
        """Whether an arm is shown to miss clearly more (1) or less (-1) of the changes of a kind than of those of
        exchanges within the table, by `CLEARLY`, or neither (0): p-values by Holm's method over arms and kinds."""
        places = [(arm, kind) for arm in self.arms for kind in self.asked]
        lost = [self.estimate(*place, LOST) for place in places]
        clearly = [replace(one, value=_beyond(one.value)) for one in lost]
        return dict(zip(places, signs(clearly), strict=True))

    def metrics(self) -> pd.DataFrame:
        """All measures by arm, treatment and kind."""
        return pd.DataFrame(
            self._row(arm, kind, measure, treatment)
            for arm, treatment in _models(self.arms)
            for measure in MEASURES
            for kind in (self.asked if measure == LOST else self.kinds)
        )

    def _row(self, arm: str, kind: str, measure: str, treatment: str) -> dict[str, Any]:
        value, low, high = self.interval(arm, kind, measure, treatment)
        groups = self.groups_of(kind)
        about = {"model": arm, "treatment": treatment, "direction": kind, "metric": measure}
        counts = {"n": len(groups), "groups": len(set(groups)), "seeds": self.context.settings.seeds}
        return about | {"value": value, "low": low, "high": high} | counts

    def predictions(self, content: Mapping[str, Any]) -> pd.DataFrame:
        """The predicted changes of a cell, one row for each step."""
        found = self.steps[["row_id"]].assign(direction=self.steps["kind"], step=0, change=content["of_steps"])
        return found.assign(**content["tags"], cell_id=content["id"])


def _beyond(value: float) -> float:
    """By how much a share lies beyond `CLEARLY` on its side of zero."""
    return math.copysign(max(abs(value) - CLEARLY, 0.0), value)
