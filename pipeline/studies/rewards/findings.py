"""What training by rewards brought on held-out reactions, by the measured truth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from pipeline.evaluation.bootstrap import group_weights
from pipeline.evaluation.estimates import Estimate, signs
from pipeline.evaluation.numbers import Interval
from pipeline.evaluation.seeded import APART, SHARE, bounded_interval, over_seeds
from pipeline.studies.rewards.experiment import Experiment
from pipeline.studies.rewards.settings import TRUTH
from pipeline.studies.rewards.work import BEST, POPULAR, RANDOM
from pipeline.studies.verifier.experiment import Question
from pipeline.studies.words import RESAMPLES, few_groups, in_percent, one_seed

START = "start"
SPREAD = 0.35  # a usual standard deviation, over reactions, of the difference of two shares


@dataclass(frozen=True)
class Findings:
    """All that was written and rewarded.

    Attributes
    ----------
    contents : sequence of mapping
        The results of all cells.
    """

    experiment: Experiment
    contents: Sequence[Mapping[str, Any]]

    @property
    def rewards(self) -> tuple[str, ...]:
        return self.experiment.settings.rewards

    @cached_property
    def tested(self) -> list[Question]:
        """All tested reactions, fold by fold. Length n."""
        return [one for fold in range(len(self.experiment.parts)) for one in self.experiment.tested(fold)]

    @cached_property
    def groups(self) -> np.ndarray:
        """The held-out combination of each tested reaction. Shape (n,)."""
        return np.array([one.group for one in self.tested], dtype=object)

    @cached_property
    def _weights(self) -> np.ndarray:
        drawn = group_weights(self.groups, self.experiment.seed, RESAMPLES)
        return np.vstack([np.ones((1, len(self.groups))), drawn])

    def _values(self, *keys: str) -> np.ndarray:
        """A figure of each tested reaction, by seed. Shape (seeds, n)."""
        found = []
        for seed in range(self.experiment.settings.seeds):
            own = sorted(
                (one for one in self.contents if one["tags"]["seed"] == seed), key=lambda one: one["tags"]["fold"]
            )
            found.append([value for one in own for value in _inside(one, keys)])
        return np.array(found, dtype=np.float64)

    def values(self, what: str) -> np.ndarray:
        """The share of successes of each tested reaction. Shape (seeds, n)."""
        if what == START:
            return self._values("start", self.rewards[0], "true")
        return self._values("ends", what, "true") if what in self.rewards else self._values("others", what)

    @cached_property
    def proposers(self) -> list[str]:
        """All that proposes: the generator as it was tuned, by what it was rewarded, and what stands beside it."""
        return [START, *self.rewards, *self.contents[0]["others"]]

    def estimate(self, values: np.ndarray) -> Estimate:
        """The mean over reactions of figures of shape (seeds, n), its error over held-out combinations and seeds."""
        weights = self._weights
        return over_seeds([weights @ own / weights.sum(axis=1) for own in values], self.groups)

    def success(self, what: str) -> Interval:
        found = self.estimate(self.values(what))
        return (found.value, *bounded_interval(found, SHARE, self.groups))

    def of_written(self, what: str, name: str, at_end: bool = True) -> float:
        """The mean of another figure of what the generator writes: ``called`` successes by its reward, ``valid``,
        ``distinct``."""
        if what == START:
            return float(self._values("start", self.rewards[0], name).mean())
        return float(self._values("ends" if at_end else "start", what, name).mean())

    @cached_property
    def compared(self) -> pd.DataFrame:
        """The share of successes less that of the generator before any reward, a row each; ``shown`` by Holm's method
        over all; ``smallest`` is the least true difference that would be shown in four of five such studies."""
        others = [what for what in self.proposers if what != START]
        found = [self.estimate(self.values(what) - self.values(START)) for what in others]
        rows = []
        for what, one, sign in zip(others, found, signs(found), strict=True):
            low, high = one.interval(bounds=APART) if one.error else bounded_interval(one, APART, self.groups)
            rows.append(
                {"proposals": what, "difference": one.value, "low": low, "high": high, "shown": sign}
                | {"smallest": one.smallest()}
            )
        return pd.DataFrame(rows)

    def metrics(self) -> pd.DataFrame:
        """Shares of successes with intervals, and what else is known of what was written."""
        n, groups, seeds = len(self.groups), len(set(self.groups)), self.experiment.settings.seeds
        rows = []
        for what in self.proposers:
            value, low, high = self.success(what)
            tags = {"proposals": what, "n": n, "groups": groups, "seeds": seeds}
            rows.append(tags | {"metric": "success", "value": value, "low": low, "high": high})
            if what == START or what in self.rewards:
                rows += [
                    tags | {"metric": name, "value": self.of_written(what, name), "low": np.nan, "high": np.nan}
                    for name in (*(() if what == START else ("called",)), "valid", "distinct")
                ]
        return pd.DataFrame(rows)

    @cached_property
    def training(self) -> pd.DataFrame:
        """By reward, seed, fold and round: what the reward says of what was written in training, the share that it
        calls successes, and the share that are."""
        return pd.DataFrame(
            [
                {"reward": name, **one["tags"], "round": number_ + 1, **of_round}
                for one in self.contents
                for name, rounds in one["training"].items()
                for number_, of_round in enumerate(rounds)
            ]
        )

    def predictions(self) -> pd.DataFrame:
        """The share of successes of each tested reaction, by seed and by what proposes."""
        asked = {
            "row_id": [one.row for one in self.tested],
            "dataset": self.experiment.table.name,
            "fold": [one.fold for one in self.tested],
        }
        parts = [
            pd.DataFrame(asked | {"seed": seed, "group": self.groups, "proposals": what, "success": values})
            for what in self.proposers
            for seed, values in enumerate(self.values(what))
        ]
        return pd.concat(parts, ignore_index=True)


def _inside(content: Mapping[str, Any], keys: Sequence[str]) -> Sequence[float]:
    found: Any = content
    for key in keys:
        found = found[key]
    return list(found)


def detectable(count: int) -> float:
    """The difference of two shares, in points, that a study of so many reactions finds in four of five cases, if the
    differences between reactions have a standard deviation of `SPREAD`."""
    return 100 * Estimate(0.0, SPREAD / np.sqrt(count), max(1, count - 1)).smallest()


# -- in words --


def sentences(found: Findings) -> list[str]:
    """The verdict."""
    settings, n = found.experiment.settings, len(found.groups)
    said = [
        f"A language model tuned on successes wrote proposals of {settings.wanted_name} for {n} reactions of held-out "
        f"combinations of {settings.held_out_name}: {in_percent(found.success(START))} of them succeed; of the most "
        f"popular conditions {in_percent(found.success(POPULAR))}, of any at random "
        f"{in_percent(found.success(RANDOM))}."
    ]
    rows = {str(row["proposals"]): row for row in found.compared.to_dict("records")}
    said += [_of_reward(found, name, rows[name]) for name in found.rewards]
    said += [_of_best(found, rows), _smallest(found)]
    said += few_groups(found.groups, "held-out combinations") + one_seed(settings.seeds)
    return [sentence for sentence in said if sentence]


def _of_reward(found: Findings, name: str, row: Mapping[Any, Any]) -> str:
    success = found.success(name)
    told = {1: "more than chance", -1: "a loss that is more than chance", 0: "which can be chance"}[int(row["shown"])]
    changed = f"Rewarded by {name}, {in_percent(success)} succeed: a change of {_points(row)} points, {told}."
    if name == TRUTH:
        return changed
    before, after = (100 * found.of_written(name, "called", at_end) for at_end in (False, True))
    return (
        f"{changed} The reward calls {after:.0f} % of them successes, {after - 100 * success[0]:+.0f} points beside "
        f"the truth ({before - 100 * found.success(START)[0]:+.0f} before)."
    )


def _of_best(found: Findings, rows: Mapping[str, Mapping[Any, Any]]) -> str:
    """What a verifier brings that does not train the generator, but chooses among what it wrote."""
    parts = [
        f"{in_percent(found.success(what))} if it knows {what.removeprefix(BEST)} ({_points(rows[what])} points)"
        for what in found.proposers
        if what.startswith(BEST)
    ]
    if not parts:
        return ""
    return (
        f"Without training, a verifier that takes the best of {found.experiment.settings.best_of} proposals comes to "
        f"{'; '.join(parts)}."
    )


def _smallest(found: Findings) -> str:
    least = found.compared.loc[found.compared["proposals"].isin(found.rewards), "smallest"].max()
    if not least > 0:  # not known, or no proposal changed
        return ""
    return (
        f"By the spread that was found, a change of {100 * least:.0f} points would be shown in four of five such "
        f"studies; {detectable(len(found.groups)):.0f} were expected beforehand."
    )


def _points(row: Mapping[Any, Any]) -> str:
    value, low, high = (100 * float(row[name]) for name in ("difference", "low", "high"))
    return f"{round(value):+d} [{round(low)} to {round(high)}]" if np.isfinite(low) else f"{round(value):+d}"


def missing(found: Findings) -> str:
    """What the design could not have shown."""
    return (
        "A proposal that was never measured counts as no success. Combinations are held out, not their parts: nothing "
        f"is said of a {found.experiment.settings.held_out_components[0].replace('_', ' ')} that no reaction had. One "
        "table is one kind of reaction."
    )
