"""What learning curves say: errors with intervals, data factors, the law of each curve, and which arm to use."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from pipeline.arms.catalogue import ARMS
from pipeline.arms.ladder import CONTROLS, is_language_model
from pipeline.errors import InputError
from pipeline.evaluation.bootstrap import group_weights
from pipeline.evaluation.curves import SIZES_FOR_A_FLOOR, Law, limits, redrawn, rows_needed
from pipeline.evaluation.estimates import LEVEL, holm
from pipeline.evaluation.metrics import PRIMARY, RANGE, class_scores, log_loss, regression_scores
from pipeline.evaluation.noise import best_scores, measurement_noise
from pipeline.evaluation.numbers import Interval
from pipeline.evaluation.seeded import bounded_interval, over_seeds, rarer
from pipeline.runs.context import Context
from pipeline.splits.splitters import Split
from pipeline.studies.words import RESAMPLES
from pipeline.tables.targets import CLASSES

ERROR = {CLASSES: "log_loss"}  # what curves are fitted and inverted on; MAE for numbers
BETTER, WORSE, UNTOLD = "better", "worse", "not told apart"
MIN_REST = 20  # rows outside of a draw from which on they count for the choice of a baseline
LEAST_SIZES_TO_CHECK = 3
NEGLIGIBLE = 0.01  # of an error, by which a law may be off


def sizes_of(context: Context, split: Split) -> list[int]:
    """The sizes for which a split has enough training rows, and that hold a row of each class, in order."""
    least = len(context.classes) if context.task == CLASSES else 2
    return [size for size in sorted(set(context.settings.sizes)) if least <= size <= len(split.folds[0].train)]


def error_of(context: Context) -> str:
    """The name of the metric that curves are made of."""
    return ERROR.get(context.task, PRIMARY[context.task])


@dataclass(frozen=True)
class Curves:
    """The curves of a split's arms on its test rows.

    Attributes
    ----------
    contents : sequence of mapping
        The results of the cells of this split.
    """

    context: Context
    split: Split
    contents: Sequence[Mapping[str, Any]]
    _scores: dict[tuple[str, str, int], np.ndarray] = field(default_factory=dict, init=False, repr=False)
    _laws: dict[tuple[str, int], Law] = field(default_factory=dict, init=False, repr=False)

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
        drawn = group_weights(self.groups, self.context.config.seed, RESAMPLES)
        return np.vstack([np.ones((1, len(self.test))), drawn])

    @cached_property
    def cells(self) -> dict[tuple[str, int, int], Mapping[str, Any]]:
        """The results by arm, size and seed."""
        return {(one["tags"]["arm"], one["tags"]["size"], one["tags"]["seed"]): one for one in self.contents}

    @cached_property
    def seeds(self) -> int:
        return int(self.context.settings.seeds)

    def scores(self, metric: str, arm: str, size: int) -> np.ndarray:
        """A metric by training seed, on the test rows and in resamples. Shape (seeds, 1 + resamples)."""
        key = (metric, arm, size)
        if key not in self._scores:
            cells = [self.cells[arm, size, seed] for seed in range(self.seeds)]
            self._scores[key] = np.stack([self._score(metric, cell) for cell in cells])
        return self._scores[key]

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
        rests = self._rests(metric)
        found = over_seeds(list(self.scores(metric, arm, size)), rests)
        return found.value, *bounded_interval(found, RANGE[metric], rests)

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
        """The baseline with the lowest error on training rows outside of each draw, over all sizes and seeds (by the
        geometric mean); the first one where no draw leaves any; empty where there is no baseline."""
        baselines = [arm for arm in self.compared if not is_language_model(arm)]
        found = {}
        for arm in baselines:
            cells = [self.cells[arm, size, seed] for size in self.sizes for seed in range(self.seeds)]
            losses = [cell["rest_error"] for cell in cells if cell.get("rest", 0) >= MIN_REST]
            found[arm] = float(np.mean(np.log(np.maximum(losses, 1e-12)))) if losses else 0.0
        return min(found, key=found.__getitem__) if found else ""

    @cached_property
    def against(self) -> dict[tuple[str, int], str]:
        """How each arm stands beside the preferred baseline, see `beside`."""
        return self.beside(self.preferred, self.compared) if self.preferred else {}

    def beside(self, reference: str, arms: Sequence[str]) -> dict[tuple[str, int], str]:
        """For each arm and size, whether its error is `BETTER` or `WORSE` than that of a reference, or `UNTOLD`: by
        Student's t over groups and seeds, p-values by Holm's method over all of them."""
        metric, places, p_values, below = error_of(self.context), [], [], []
        for arm in arms:
            for size in self.sizes if arm != reference else ():
                apart = self.scores(metric, arm, size) - self.scores(metric, reference, size)
                found = over_seeds(list(apart), self.groups)
                places.append((arm, size))
                p_values.append(found.p_difference())
                below.append(found.value < 0)
        told = [p < 1 - LEVEL for p, _ in holm(p_values)]
        return {
            place: (BETTER if lower else WORSE) if known else UNTOLD
            for place, known, lower in zip(places, told, below, strict=True)
        }

    @cached_property
    def to_use(self) -> dict[int, str]:
        """The arm to use with each size: the preferred baseline, or of the arms that are `BETTER` the one with the
        lowest error."""
        found = {}
        for at, size in enumerate(self.sizes):
            better = [arm for arm in self.compared if self.against.get((arm, size)) == BETTER]
            found[size] = min(better, key=lambda arm: self.errors[arm][0, at]) if better else self.preferred
        return found

    # -- rows for an error, and the law --

    def needed(self, arm: str, reference: str, size: int) -> Interval:
        """How many rows a reference needs for the error that an arm has with this many: 0 for fewer than the smallest
        size, infinity for more than the largest."""
        curves, errors = self.errors[reference], self.errors[arm][:, self.sizes.index(size)]
        found = rows_needed(np.array(self.sizes), curves, errors)
        return float(found[0]), *limits(found[1:])

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
        """Whether the sizes but the largest are enough for a law."""
        return len(self.sizes) > LEAST_SIZES_TO_CHECK

    def missed(self, arm: str) -> bool:
        """Whether the law of the smaller sizes clearly missed the largest one, by more than is of any consequence."""
        expected = self.law(arm, len(self.sizes) - 1).at(self.sizes[-1])
        low, high = limits(np.log(expected / self.errors[arm][:, -1])[1:])
        return low > NEGLIGIBLE or high < -NEGLIGIBLE

    def noise(self) -> float:
        """The MAE that a model without any error would have on these test rows; NaN where repeated measurements do not
        say, or an arm contradicts what they say."""
        table = self.context.table
        noise = measurement_noise(table.frame) if self.context.task != CLASSES else None
        if noise is None or not noise.deviation or noise.doubtful:
            return math.nan
        counts = table.frame.set_index("row_id")["n_values"].loc[self.test].to_numpy()
        least = best_scores(noise, self.truth.astype(np.float64), counts)["mae"]
        return least if all(curve[0].min() > least for curve in self.errors.values()) else math.nan


def check_sizes(context: Context, split: Split) -> None:
    """Raise `InputError` where fewer than two sizes can be made of a split."""
    found, rows = sizes_of(context, split), len(split.folds[0].train)
    if len(found) < 2:
        many = f" of {len(context.classes)} classes" if context.task == CLASSES else ""
        usable = f"of the sizes asked for only {found[0]} can be made" if found else "none of the sizes can be made"
        raise InputError(
            f"split {split.name!r} has {rows} training rows{many}: {usable}; name two or more between "
            f"{max(2, len(context.classes))} and {rows} with --sizes"
        )
