"""What learning curves say: errors with intervals, data factors, the law of each curve, and which arm to use."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from pipeline.arms.catalogue import ARMS
from pipeline.arms.ladder import CONTROLS, is_language_model
from pipeline.errors import InputError
from pipeline.evaluation.curves import SIZES_FOR_A_FLOOR, Law, limits, redrawn, rows_needed
from pipeline.evaluation.estimates import signs
from pipeline.evaluation.metrics import PRIMARY, RANGE, class_scores, log_loss, regression_scores
from pipeline.evaluation.noise import best_scores, measurement_noise
from pipeline.evaluation.numbers import Interval
from pipeline.evaluation.seeded import interval_over_seeds, of_one_pool, over_seeds, rarer
from pipeline.runs.context import Context
from pipeline.splits.splitters import Split
from pipeline.studies.fitting import ordered
from pipeline.studies.tested import HeldOut, check_test_groups
from pipeline.studies.words import error_of
from pipeline.tables.targets import CLASSES

BETTER, WORSE, UNTOLD = "better", "worse", "not told apart"
MIN_REST = 20  # rows outside of a draw from which on they count for the choice of a baseline
MOST_OF_POOL = 0.8  # of the training rows in a draw, from which on seeds draw much the same rows
NEGLIGIBLE = 0.01  # of an error, by which a law may be off


def sizes_of(context: Context, split: Split) -> list[int]:
    """The sizes for which a split has enough training rows, and whose draws all hold two classes, in order."""
    found: list[int] = context.once(("sizes", split.name, context.settings), lambda: _possible(context, split))
    return found


def _possible(context: Context, split: Split) -> list[int]:
    sizes = [size for size in sorted(set(context.settings.sizes)) if size <= len(split.folds[0].train)]
    if context.task != CLASSES:
        return sizes
    labels = context.targets(split.folds[0]).astype(str)
    orders = [labels.loc[ordered(context, split, seed)].to_numpy() for seed in range(context.settings.seeds)]
    return [size for size in sizes if all(len(set(order[:size])) > 1 for order in orders)]


@dataclass(frozen=True)
class Curves(HeldOut):
    """The curves of a split's arms on its test rows."""

    _scores: dict[tuple[str, str, int], np.ndarray] = field(default_factory=dict, init=False, repr=False)
    _laws: dict[tuple[str, int], Law] = field(default_factory=dict, init=False, repr=False)
    _needed: dict[tuple[str, str, int], Interval] = field(default_factory=dict, init=False, repr=False)

    @property
    def arms(self) -> tuple[str, ...]:
        return self.context.arms

    @cached_property
    def compared(self) -> tuple[str, ...]:
        """All arms but the controls."""
        controls = {*CONTROLS.values(), *(name for name in self.arms if ARMS[name].structureless)}
        return tuple(arm for arm in self.arms if arm not in controls)

    @cached_property
    def sizes(self) -> list[int]:
        return sizes_of(self.context, self.split)

    @cached_property
    def cells(self) -> dict[tuple[str, int, int], Mapping[str, Any]]:
        """The results by arm, size and seed."""
        return {(one["tags"]["arm"], one["tags"]["size"], one["tags"]["seed"]): one for one in self.contents}

    def scores(self, metric: str, arm: str, size: int) -> np.ndarray:
        """A metric by training seed, on the test rows and in resamples. Shape (seeds, 1 + resamples).

        The seeds draw from one pool of training rows (`of_one_pool`); their deviations are stretched by no more than
        for a share of `MOST_OF_POOL`.
        """
        key = (metric, arm, size)
        if key not in self._scores:
            cells = [self.cells[arm, size, seed] for seed in range(self.seeds)]
            found = np.stack([self._score(metric, cell) for cell in cells])
            share = min(size / len(self.split.folds[0].train), MOST_OF_POOL)
            self._scores[key] = of_one_pool(found, share)
        return self._scores[key]

    @cached_property
    def alike(self) -> list[int]:
        """The sizes at which the seeds draw nearly all training rows."""
        return [size for size in self.sizes if size > MOST_OF_POOL * len(self.split.folds[0].train)]

    def _score(self, metric: str, cell: Mapping[str, Any]) -> np.ndarray:
        if self.context.task != CLASSES:
            predicted = np.array(cell["prediction"])[self.kept]
            return regression_scores(self.truth.astype(np.float64), predicted, predicted, self.weights)[metric]
        classes, chances = self.context.classes, np.array(cell["probabilities"])[self.kept]
        if metric == "log_loss":
            return log_loss(self.truth.astype(str), chances, classes, self.weights)
        answers = np.array(classes)[chances.argmax(axis=1)]
        return class_scores(self.truth.astype(str), answers, chances, classes, self.weights)[metric]

    @cached_property
    def errors(self) -> dict[str, np.ndarray]:
        """The curve of each arm as it was measured, then as other rows and seeds would have made it. Each of shape
        (1 + resamples, sizes)."""
        metric = error_of(self.context)
        scores = np.array([[self.scores(metric, arm, size) for size in self.sizes] for arm in self.arms])
        drawn = redrawn(scores, self.groups, self.context.config.seed)
        return dict(zip(self.arms, drawn.transpose(0, 2, 1), strict=True))

    # -- metrics --

    def interval(self, metric: str, arm: str, size: int) -> Interval:
        """A metric over the training seeds."""
        return interval_over_seeds(self.scores(metric, arm, size), self._rests(metric), RANGE[metric])

    def error(self, arm: str, size: int) -> Interval:
        """The error that curves are made of."""
        return self.interval(error_of(self.context), arm, size)

    def metrics(self) -> pd.DataFrame:
        """The metrics of each arm and size over the training seeds."""
        names = [PRIMARY[self.context.task], error_of(self.context)]
        if self.context.task == CLASSES:
            names.append("accuracy")
        about = {"n": len(self.test), "groups": len(set(self.groups)), "seeds": self.seeds}
        return pd.DataFrame(
            {"split": self.split.name, "arm": arm, "size": size, "metric": metric}
            | dict(zip(("value", "low", "high"), self.interval(metric, arm, size), strict=True))
            | about
            for metric in dict.fromkeys(names)
            for arm in self.arms
            for size in self.sizes
        )

    def _rests(self, metric: str) -> np.ndarray:
        """The groups of the rows that a metric rests on."""
        if metric != PRIMARY[CLASSES]:
            return self.groups
        commonest = pd.Series(self.truth).mode().iloc[0]
        return rarer(self.truth == commonest, self.groups)

    # -- which baseline, and which arm --

    @cached_property
    def preferred(self) -> str:
        """The baseline with the lowest error on training rows of groups that a draw has no row of, over all sizes and
        seeds (by the geometric mean); the first one where no draw leaves enough (`chosen`); empty where there is no
        baseline."""
        baselines = [arm for arm in self.compared if not is_language_model(arm)]
        found = {}
        for arm in baselines:
            cells = [self.cells[arm, size, seed] for size in self.sizes for seed in range(self.seeds)]
            losses = [cell["rest_error"] for cell in cells if cell.get("rest", 0) >= MIN_REST]
            found[arm] = float(np.mean(np.log(np.maximum(losses, 1e-12)))) if losses else 0.0
        return min(found, key=found.__getitem__) if found else ""

    @cached_property
    def chosen(self) -> bool:
        """Whether training rows chose the preferred baseline."""
        return any(cell.get("rest", 0) >= MIN_REST for cell in self.contents)

    @cached_property
    def against(self) -> dict[tuple[str, int], str]:
        """How each arm stands beside the preferred baseline with each size."""
        arms = [arm for arm in self.compared if arm != self.preferred] if self.preferred else []
        found = self.told((arm, self.preferred) for arm in arms)
        return {(arm, size): state for (arm, _, size), state in found.items()}

    def told(self, pairs: Iterable[tuple[str, str]]) -> dict[tuple[str, str, int], str]:
        """For pairs of arms and each size, whether the error of the first is `BETTER` or `WORSE` than that of the
        second, or `UNTOLD`: by Student's t over groups and seeds, p-values by Holm's method over all pairs and sizes.
        One seed tells nothing."""
        metric, words = error_of(self.context), {-1: BETTER, 0: UNTOLD, 1: WORSE}
        places = [(one, other, size) for one, other in pairs for size in self.sizes]
        apart = [
            over_seeds(list(self.scores(metric, one, size) - self.scores(metric, other, size)), self.groups)
            for one, other, size in places
        ]
        return dict(zip(places, (words[sign] for sign in signs(apart, self.seeds > 1)), strict=True))

    @cached_property
    def to_use(self) -> dict[int, tuple[str, ...]]:
        """What to use with each size: the arms that are `BETTER` than the preferred baseline, or else that."""
        return {
            size: tuple(arm for arm in self.compared if self.against.get((arm, size)) == BETTER)
            or ((self.preferred,) if self.preferred else ())
            for size in self.sizes
        }

    # -- rows for an error, and the law --

    def needed(self, arm: str, reference: str, size: int) -> Interval:
        """How many rows a reference needs for the error that an arm has with this many: 0 for fewer than the smallest
        size, infinity for more than the largest."""
        key = (arm, reference, size)
        if key not in self._needed:
            curves, errors = self.errors[reference], self.errors[arm][:, self.sizes.index(size)]
            found = rows_needed(np.array(self.sizes), curves, errors)
            self._needed[key] = float(found[0]), *limits(found[1:])
        return self._needed[key]

    def factors(self) -> pd.DataFrame:
        """The data factor of each arm over each other one with each size: rows that the reference needs by rows of the
        arm."""
        rows = [
            {"split": self.split.name, "arm": arm, "reference": reference, "size": size}
            | dict(zip(("rows_needed", "low", "high"), self.needed(arm, reference, size), strict=True))
            for arm in self.compared
            for reference in self.compared
            if reference != arm and not is_language_model(reference)
            for size in self.sizes
        ]
        found = pd.DataFrame(rows, columns=["split", "arm", "reference", "size", "rows_needed", "low", "high"])
        for name, column in (("factor", "rows_needed"), ("factor_low", "low"), ("factor_high", "high")):
            found[name] = found[column] / found["size"]
        return found

    def law(self, arm: str, sizes: int | None = None) -> Law:
        """The law of the curve of an arm as measured and as drawn, over so many of the smallest sizes."""
        count = sizes or len(self.sizes)
        if (arm, count) not in self._laws:
            self._laws[arm, count] = Law.fit(np.array(self.sizes[:count]), self.errors[arm][:, :count])
        return self._laws[arm, count]

    def laws(self) -> pd.DataFrame:
        """The law of each curve, what it expects of more rows, and what the smaller sizes expected of the largest."""
        rows = []
        for arm in self.compared:
            law = self.law(arm)
            parts = {"exponent": law.exponent, "floor": law.floor, "scale": law.scale, "ahead": self.ahead(arm)}
            if not self.has_floor:
                del parts["floor"]
            if self.can_check:
                parts["largest_from_smaller"] = self.law(arm, len(self.sizes) - 1).at(self.sizes[-1])
            for name, values in parts.items():
                low, high = limits(values[1:])
                rows.append({"split": self.split.name, "arm": arm, "quantity": name, "value": values[0]})
                rows[-1] |= {"low": low, "high": high}
        return pd.DataFrame(rows)

    def ahead(self, arm: str) -> np.ndarray:
        """The error expected with `Settings.more` rows beyond the largest size. Shape (1 + resamples,).

        It is what was measured with the largest size times what the law says that further rows change: a law that
        runs past the last point would else say that rows cost or bring something at once.
        """
        law, last = self.law(arm), self.sizes[-1]
        ahead: np.ndarray = self.errors[arm][:, -1] * law.at(last + self.context.settings.more) / law.at(last)
        return ahead

    @property
    def has_floor(self) -> bool:
        return len(self.sizes) >= SIZES_FOR_A_FLOOR

    @property
    def can_check(self) -> bool:
        """Whether the sizes but the largest are enough for a law of the same kind."""
        return len(self.sizes) > SIZES_FOR_A_FLOOR

    def falls(self, arm: str) -> bool:
        """Whether the curve of an arm is shown to fall: its law has no exponent to speak of where it may be level."""
        law = self.law(arm)
        low, _ = limits((law.scale * np.sign(law.exponent))[1:])
        return low > 0

    def missed(self, arm: str) -> bool:
        """Whether the law of the smaller sizes clearly missed the largest one, by more than is of any consequence."""
        expected = self.law(arm, len(self.sizes) - 1).at(self.sizes[-1])
        low, high = limits(np.log(expected / self.errors[arm][:, -1])[1:])
        return low > NEGLIGIBLE or high < -NEGLIGIBLE

    def noise(self) -> float:
        """The MAE that a model without any error would have on these test rows, by the lower end of the interval of the
        noise; NaN where repeated measurements do not say, or an arm contradicts what they say."""
        table = self.context.table
        noise = measurement_noise(table.frame) if self.context.task != CLASSES else None
        if noise is None or not noise.deviation or noise.doubtful:
            return math.nan
        counts = table.by_row["n_values"].loc[self.test].to_numpy()
        noise = replace(noise, deviation=noise.low)
        least = best_scores(noise, self.truth.astype(np.float64), counts)["mae"]
        return least if all(curve[0].min() > least for curve in self.errors.values()) else math.nan


def check_sizes(context: Context, split: Split) -> None:
    """Raise `InputError` where fewer than two sizes can be made of a split, or it tests a single group."""
    found, rows = sizes_of(context, split), len(split.folds[0].train)
    check_test_groups(context, split)
    if len(found) < 2:
        usable = f"of the sizes asked for only {found[0]} can be made" if found else "none of the sizes can be made"
        classes = " (each must hold two classes)" if context.task == CLASSES else ""
        raise InputError(
            f"split {split.name!r} has {rows} training rows: {usable}{classes}; name two or more between 2 and {rows} "
            "with --sizes"
        )
