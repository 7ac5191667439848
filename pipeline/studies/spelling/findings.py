"""What spellings say: errors by form, spread, doubt, and what the cures bring back."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, TypeVar, cast

import numpy as np
import pandas as pd

from pipeline.arms.ladder import reads_notation
from pipeline.evaluation.error_ranking import error_auroc
from pipeline.evaluation.estimates import Estimate, signs
from pipeline.evaluation.metrics import RANGE, divide, row_errors
from pipeline.evaluation.numbers import Interval
from pipeline.evaluation.seeded import SHARE, Bounds, interval_over_seeds, over_seeds
from pipeline.studies.failure import SHOWN
from pipeline.studies.spelling.forms import CANONICAL, RANDOM
from pipeline.studies.spelling.trainings import USUAL
from pipeline.studies.tested import Tested
from pipeline.studies.words import error_of
from pipeline.tables.targets import CLASSES

T = TypeVar("T")
MEAN = "mean over other SMILES"
MOST_COST = 0.05  # of the usual error on canonical SMILES, that a cure may cost
HALF = 0.5  # of the extra error, that a cure has to take away
LEAST_ROWS = 10  # test molecules with a form, from which on it is reported


@dataclass(frozen=True)
class Cure:
    """A training, and whether the predictions of several SMILES are averaged."""

    training: str
    averaged: bool

    @property
    def form(self) -> str:
        """How its error on other SMILES is measured."""
        return MEAN if self.averaged else RANDOM

    @property
    def name(self) -> str:
        trained = "trained as usual" if self.training == USUAL else f"trained: {self.training}"
        return f"{trained}, averaged" if self.averaged else trained


@dataclass(frozen=True)
class Findings(Tested):
    """What the arms of a split say of its test rows in each form.

    Attributes
    ----------
    contents : sequence of mapping
        The results of the cells of this split.
    """

    contents: Sequence[Mapping[str, Any]]
    _made: dict[Hashable, Any] = field(default_factory=dict, init=False, repr=False)

    def _once(self, key: Hashable, make: Callable[[], T]) -> T:
        """What ``make`` returns, the first time that a key is asked for."""
        if key not in self._made:
            self._made[key] = make()
        return cast(T, self._made[key])

    @cached_property
    def cells(self) -> dict[tuple[str, str, int], Mapping[str, Any]]:
        """The results by arm, training and seed."""
        return {(one["tags"]["arm"], one["tags"]["training"], one["tags"]["seed"]): one for one in self.contents}

    @cached_property
    def arms(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(arm for arm, _, _ in self.cells))

    @cached_property
    def readers(self) -> tuple[str, ...]:
        """The arms that read text."""
        return tuple(arm for arm in self.arms if reads_notation(arm))

    def trainings(self, arm: str) -> tuple[str, ...]:
        return tuple(dict.fromkeys(training for name, training, _ in self.cells if name == arm))

    def forms(self, arm: str) -> tuple[str, ...]:
        """The forms in which enough test molecules were shown to an arm, the mean over other SMILES last."""
        cell = self.cells[arm, USUAL, 0]
        return tuple(form for form in (*cell["forms"], MEAN) if self.rows(arm, form).sum() >= LEAST_ROWS)

    def cures(self, arm: str) -> list[Cure]:
        """What may mend an arm: other trainings, and averaging."""
        found = [Cure(training, averaged) for training in self.trainings(arm) for averaged in (False, True)]
        return [one for one in found if one != Cure(USUAL, False)]

    # -- what was predicted --

    def said(self, arm: str, training: str, seed: int, form: str) -> list[np.ndarray]:
        """For each scored test row the predictions of its texts in a form, each of shape (texts,) or (texts,
        classes)."""
        return self._once(("said", arm, training, seed, form), lambda: self._said(arm, training, seed, form))

    def _said(self, arm: str, training: str, seed: int, form: str) -> list[np.ndarray]:
        cell = self.cells[arm, training, seed]
        if form == MEAN:
            others = self.said(arm, training, seed, RANDOM)
            return [one.mean(axis=0, keepdims=True) if len(one) else one for one in others]
        given = [[one] for one in cell["canonical"]] if form == CANONICAL else cell["forms"][form]
        return [np.array(one) for one, kept in zip(given, self.kept, strict=True) if kept]

    def rows(self, arm: str, form: str) -> np.ndarray:
        """Which of the scored rows have a text in a form. Bool, shape (n,)."""
        least = 2 if form == MEAN else 1  # a mean of one spelling is none
        texts = self.said(arm, USUAL, 0, RANDOM if form == MEAN else form)
        return np.array([len(one) >= least for one in texts], dtype=bool)

    def scores(self, arm: str, training: str, form: str, rows_of: str) -> np.ndarray:
        """The mean error in a form by training seed, on the rows that have a text in another form, and in resamples.
        Shape (seeds, 1 + resamples)."""
        return self._once(("scores", arm, training, form, rows_of), lambda: self._scores(arm, training, form, rows_of))

    def _scores(self, arm: str, training: str, form: str, rows_of: str) -> np.ndarray:
        weights = self.weights * self.rows(arm, rows_of)
        losses = [self._losses(arm, training, seed, form) for seed in range(self.seeds)]
        return np.stack([divide(weights @ one, weights.sum(axis=1)) for one in losses])

    def _losses(self, arm: str, training: str, seed: int, form: str) -> np.ndarray:
        """The mean error of each row over its texts; 0 where it has none. Shape (n,)."""
        found = np.zeros(len(self.test))
        for place, (said, truth) in enumerate(zip(self.said(arm, training, seed, form), self.truth, strict=True)):
            if len(said):
                found[place] = row_errors(np.full(len(said), truth), said, self.context.classes).mean()
        return found

    # -- estimates --

    def _over(self, values: np.ndarray, arm: str, form: str) -> Estimate:
        return over_seeds(list(values), self.groups[self.rows(arm, form)])

    def _interval(self, values: np.ndarray, bounds: Bounds, arm: str, form: str) -> Interval:
        return interval_over_seeds(values, self.groups[self.rows(arm, form)], bounds)

    def error(self, arm: str, form: str, training: str = USUAL, rows_of: str = "") -> Interval:
        """The mean error in a form, on the rows that have one (or another form)."""
        rows_of = rows_of or form
        found = self.scores(arm, training, form, rows_of)
        return self._interval(found, RANGE[error_of(self.context)], arm, rows_of)

    def extra(self, arm: str, form: str, training: str = USUAL) -> Estimate:
        """By how much the error in a form is above that on canonical SMILES of the same rows."""
        apart = self.scores(arm, training, form, form) - self.scores(arm, training, CANONICAL, form)
        return self._over(apart, arm, form)

    def ratio(self, arm: str, form: str, training: str = USUAL) -> Interval:
        """The error in a form over that on canonical SMILES of the same rows."""
        with np.errstate(divide="ignore", invalid="ignore"):
            apart = np.log(self.scores(arm, training, form, form) / self.scores(arm, training, CANONICAL, form))
        found = self._over(apart, arm, form)
        low, high = found.interval()
        return float(np.exp(found.value)), float(np.exp(low)), float(np.exp(high))

    def _spreads(self, arm: str, training: str, seed: int) -> np.ndarray:
        """The standard deviation of a row's predictions over its other SMILES, of classes the root of the sum over the
        classes of squared ones. Shape (n,)."""
        found = np.zeros(len(self.test))
        for place, said in enumerate(self.said(arm, training, seed, RANDOM)):
            if len(said) > 1 and (said != said[0]).any():  # equal numbers have a spread of rounding alone
                found[place] = np.sqrt(np.square(np.std(said, axis=0, ddof=1)).sum())
        return found

    def spread(self, arm: str, training: str = USUAL) -> Interval:
        """The mean standard deviation of a molecule's predictions over its other SMILES."""
        weights = self.weights * self.rows(arm, MEAN)
        found = [weights @ self._spreads(arm, training, seed) for seed in range(self.seeds)]
        return self._interval(divide(np.stack(found), weights.sum(axis=1)), (0.0, np.inf), arm, MEAN)

    def doubt(self, arm: str, training: str = USUAL) -> Interval:
        """How well the spread tells where the prediction from the canonical SMILES is far off: AUROC for the fifth of
        the rows with the largest errors (of classes, for wrong answers)."""
        rows = self.rows(arm, MEAN)
        found = []
        for seed in range(self.seeds):
            said = np.concatenate(self.said(arm, training, seed, CANONICAL))
            wrong = (
                np.array(self.context.classes)[said.argmax(axis=1)] != self.truth.astype(str)
                if self.context.task == CLASSES
                else np.abs(said - self.truth.astype(float))
            )
            spreads = self._spreads(arm, training, seed)
            found.append(error_auroc(wrong[rows], spreads[rows], self.weights[:, rows]))
        return self._interval(np.stack(found), SHARE, arm, MEAN)

    def largest_change(self, arm: str, form: str) -> float:
        """The largest difference of any prediction in a form from that of the canonical SMILES."""
        apart = [
            np.abs(said - canonical).max()
            for seed in range(self.seeds)
            for said, canonical in zip(
                self.said(arm, USUAL, seed, form), self.said(arm, USUAL, seed, CANONICAL), strict=True
            )
            if len(said)
        ]
        return float(max(apart, default=0.0))

    def noise(self, arm: str) -> float:
        """The largest difference of two predictions of one canonical SMILES, in other company."""
        cells = [self.cells[arm, USUAL, seed] for seed in range(self.seeds)]
        return max(float(np.abs(np.array(one["canonical"]) - np.array(one["again"])).max()) for one in cells)

    # -- answers --

    def _told(self, places: Sequence[Any], estimates: Sequence[Estimate]) -> dict[Any, str]:
        """Whether each is above zero (`YES`), below (`NO`) or `UNTOLD`; one seed tells nothing."""
        return dict(zip(places, (SHOWN[sign] for sign in signs(estimates, self.seeds > 1)), strict=True))

    @cached_property
    def worse(self) -> dict[tuple[str, str], str]:
        """Whether an arm trained as usual is more wrong in a form than on canonical SMILES."""
        places = [(arm, form) for arm in self.readers for form in self.forms(arm)]
        return self._told(places, [self.extra(*place) for place in places])

    def left(self, arm: str, cure: Cure) -> Estimate:
        """The error on other SMILES with a cure, above that of the usual training on canonical ones."""
        return self._over(self._cured(arm, cure) - self.scores(arm, USUAL, CANONICAL, MEAN), arm, MEAN)

    def cost(self, arm: str, cure: Cure) -> Interval:
        """The error on canonical SMILES with a cure over the usual one, less one. (With averaging the prediction is
        that of several SMILES whichever is given.)"""
        with np.errstate(divide="ignore", invalid="ignore"):
            found = self._over(np.log(self._priced(arm, cure) / self.scores(arm, USUAL, CANONICAL, MEAN)), arm, MEAN)
        value, low, high = np.exp([found.value, *found.interval()]) - 1
        return float(value), float(low), float(high)

    def removed(self, arm: str, cure: Cure) -> float:
        """The share of the extra error of the usual training that a cure takes away."""
        return 1 - self.left(arm, cure).value / self.extra(arm, RANDOM).value

    def _cured(self, arm: str, cure: Cure) -> np.ndarray:
        return self.scores(arm, cure.training, cure.form, MEAN)

    def _priced(self, arm: str, cure: Cure) -> np.ndarray:
        return self.scores(arm, cure.training, MEAN if cure.averaged else CANONICAL, MEAN)

    @cached_property
    def verdicts(self) -> dict[tuple[str, Cure], tuple[str, str]]:
        """For each arm and cure whether it takes away half of the extra error, and whether it costs at most
        `MOST_COST` on canonical SMILES."""
        places = [(arm, cure) for arm in self.readers for cure in self.cures(arm)]
        halves, costs = [], []
        for arm, cure in places:
            plain, usual = self.scores(arm, USUAL, CANONICAL, MEAN), self.scores(arm, USUAL, RANDOM, MEAN)
            halves.append(self._over(HALF * (plain + usual) - self._cured(arm, cure), arm, MEAN))
            costs.append(self._over((1 + MOST_COST) * plain - self._priced(arm, cure), arm, MEAN))
        keys = [(*place, what) for what in ("halves", "costs") for place in places]
        told = self._told(keys, [*halves, *costs])
        return {place: (told[*place, "halves"], told[*place, "costs"]) for place in places}

    # -- tables --

    def _figures(self) -> Iterator[dict[str, Any]]:
        metric = error_of(self.context)
        for arm in self.arms:
            for training in self.trainings(arm):
                where = {"split": self.split.name, "arm": arm, "training": training}
                for form in (CANONICAL, *self.forms(arm)):
                    rows = self.groups[self.rows(arm, form)]
                    about = {"n": len(rows), "groups": len(set(rows)), "seeds": self.seeds}
                    shown = [(metric, self.error(arm, form, training))]
                    if form != CANONICAL:
                        extra = self.extra(arm, form, training)
                        shown += [(f"{metric} above canonical", (extra.value, *extra.interval()))]
                        shown += [(f"{metric} over canonical", self.ratio(arm, form, training))]
                    if form == MEAN:
                        shown += [("spread", self.spread(arm, training)), ("error_auroc", self.doubt(arm, training))]
                    for name, (value, low, high) in shown:
                        yield {**where, "form": form, "metric": name, "value": value, "low": low, "high": high, **about}

    def metrics(self) -> pd.DataFrame:
        """All figures by arm, training and form."""
        return pd.DataFrame(self._figures())

    def cured(self) -> pd.DataFrame:
        """What each cure brings back and costs."""
        rows = []
        for (arm, cure), (halves, cheap) in self.verdicts.items():
            left = self.left(arm, cure)
            rows.append(
                {"split": self.split.name, "arm": arm, "training": cure.training, "averaged": cure.averaged}
                | dict(zip(("extra_error_left", "low", "high"), (left.value, *left.interval()), strict=True))
                | {"removed": self.removed(arm, cure), "halves_it": halves}
                | dict(zip(("cost", "cost_low", "cost_high"), self.cost(arm, cure), strict=True))
                | {"costs_at_most_5_percent": cheap, "n": int(self.rows(arm, MEAN).sum()), "seeds": self.seeds}
            )
        return pd.DataFrame(rows)

    def predictions(self, content: Mapping[str, Any]) -> pd.DataFrame:
        """The predictions of a cell, one row for each text."""
        fold = self.split.folds[0]
        truth = self.context.targets(fold).loc[list(fold.test)].to_numpy()
        given = {CANONICAL: [[one] for one in content["canonical"]], **content["forms"]}
        rows = []
        for form, by_row in given.items():
            texts = content["texts"].get(form)
            for place, said in enumerate(by_row):
                for number, one in enumerate(said):
                    about = {"row_id": fold.test[place], "truth": truth[place], "form": form}
                    about["text"] = texts[place][number] if texts else ""
                    if self.context.task == CLASSES:
                        about |= {f"p_{label}": p for label, p in zip(self.context.classes, one, strict=True)}
                    else:
                        about["prediction"] = one
                    rows.append(about)
        return pd.DataFrame(rows).assign(**content["tags"], cell_id=content["id"])
