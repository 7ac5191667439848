"""What came of a design: how often each arm hits, and what its molecules are like."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from pipeline.design.experiment import Experiment
from pipeline.design.settings import CHOSEN_BY_MODEL, LM, LM_BY_MODEL, RANKED, TRAINING
from pipeline.design.work import CHECK, DESCRIBE, SEARCH
from pipeline.evaluation.bootstrap import group_weights
from pipeline.evaluation.estimates import Estimate, signs
from pipeline.evaluation.metrics import auroc
from pipeline.evaluation.numbers import Interval
from pipeline.evaluation.seeded import APART, SHARE, bounded_interval
from pipeline.proposing.constraints import sa_score
from pipeline.proposing.drawing import INVALID, KNOWN, NEW, REPEATED, UNWANTED, Draw
from pipeline.proposing.goals import ASKED, EDGE, Goal
from pipeline.proposing.measures import ENOUGH, diversity, frechet_distance

FEW_SEEDS = 3  # from which on an interval is that over runs; below, each molecule counts as a trial of its own


@dataclass(frozen=True)
class Findings:
    """All that was drawn and checked.

    Attributes
    ----------
    contents : sequence of mapping
        The results of all cells.
    """

    experiment: Experiment
    contents: Sequence[Mapping[str, Any]]

    @property
    def judged(self) -> bool:
        """Whether hits are counted by the fitted model, since there is no oracle."""
        return self.experiment.oracle is None

    @cached_property
    def runs(self) -> dict[tuple[str, str], list[list[Draw]]]:
        """What was drawn, in order, by arm and goal, a list for each seed."""
        found: dict[tuple[str, str], list[list[Draw]]] = {}
        for one in self.contents:
            if one["work"] in (CHECK, SEARCH):
                found.setdefault((one["tags"]["arm"], one["tags"]["goal"]), []).append(one["draws"])
        return found

    @cached_property
    def described(self) -> dict[str, Mapping[str, Any]]:
        """What the fitted model says of each molecule that was checked."""
        return {said["smiles"]: said for one in self.contents if one["work"] == DESCRIBE for said in one["described"]}

    @property
    def arms(self) -> list[str]:
        return [arm for arm in self.experiment.settings.arms if (arm, ASKED) in self.runs]

    def checked(self, draws: Iterable[Draw]) -> list[Draw]:
        """Those that were looked at, in order."""
        return [draw for draw in draws if draw.get("checked")]

    def value(self, draw: Draw) -> float:
        """The value of a molecule that was checked: the true one, or what the model says where there is no oracle."""
        found = self.described[draw["smiles"]]["predicted"] if self.judged else draw["value"]
        return float("nan") if found is None else float(found)

    def values(self, draws: Sequence[Draw]) -> np.ndarray:
        return np.array([self.value(draw) for draw in self.checked(draws)], dtype=np.float64)

    def hits(self, arm: str, goal: Goal) -> list[np.ndarray]:
        """Whether each molecule that was checked is wanted, by seed."""
        return [goal.is_hit(self.values(draws)) for draws in self.runs[arm, goal.name]]

    # -- shares --

    def per_call(self, arm: str, goal: Goal) -> Estimate:
        """The share of the molecules checked that are hits."""
        return share([(int(hits.sum()), len(hits)) for hits in self.hits(arm, goal)])

    def per_sample(self, arm: str, goal: Goal) -> Estimate:
        """The share of all that was written that are new hits: what is no molecule counts as well.

        Not known of arms that write more than is looked at, and have a model choose.
        """
        if arm in RANKED:
            return Estimate(float("nan"), float("nan"), float("nan"))
        runs = zip(self.hits(arm, goal), self.runs[arm, goal.name], strict=True)
        return share([(int(hits.sum()), len(draws)) for hits, draws in runs])

    def interval(self, estimate: Estimate, count: int) -> Interval:
        """With the bounds of a share of ``count`` trials."""
        return estimate.value, *bounded_interval(estimate, SHARE, np.arange(max(1, count)))

    def rate(self, arm: str, goal: Goal) -> Interval:
        """`per_call` with its interval."""
        return self.interval(self.per_call(arm, goal), self.checks(arm, goal))

    def samples(self, arm: str, goal: Goal) -> int:
        """How much was written, over all seeds."""
        return sum(map(len, self.runs[arm, goal.name]))

    def checks(self, arm: str, goal: Goal) -> int:
        """How many molecules were checked, over all seeds."""
        return sum(map(len, self.hits(arm, goal)))

    @cached_property
    def compared(self) -> pd.DataFrame:
        """The share of hits among those checked of a language model minus that of another arm, a row each.

        Arms in which the fitted model chooses stand against the language model in which it does; all others against the
        one without. ``shown`` is the sign of a difference that is shown, by Holm's method over all rows.
        """
        goal, pairs = self.experiment.goals[0], list(self._pairs())
        found = [self.per_call(own, goal).minus(self.per_call(arm, goal)) for own, arm in pairs]
        rows = []
        for (own, arm), one, sign in zip(pairs, found, signs(found), strict=True):
            count = self.checks(own, goal) + self.checks(arm, goal)
            low, high = bounded_interval(one, APART, np.arange(max(1, count)))
            rows.append({"of": own, "arm": arm, "difference": one.value, "low": low, "high": high, "shown": sign})
        return pd.DataFrame(rows, columns=["of", "arm", "difference", "low", "high", "shown"])

    def _pairs(self) -> Iterator[tuple[str, str]]:
        for own, chosen in ((LM, False), (LM_BY_MODEL, True)):
            if own in self.arms:
                yield from ((own, arm) for arm in self.arms if arm != own and (arm in CHOSEN_BY_MODEL) == chosen)

    def follows(self, arm: str) -> Estimate:
        """Of pairs of molecules checked, one for what was asked and one for the edge of the table, the share in which
        the larger value stands where it was asked for: one half where nothing is read."""
        asked, edge = self.experiment.goals[:2]
        above, below = (edge, asked) if edge.stated > asked.stated else (asked, edge)
        found, count = [], 0
        for pair in zip(self.runs.get((arm, above.name), []), self.runs.get((arm, below.name), []), strict=False):
            values = [own[np.isfinite(own)] for own in map(self.values, pair)]
            if not all(map(len, values)):
                continue
            is_above = np.repeat([True, False], [len(own) for own in values])
            each = np.arange(len(is_above))
            weights = np.vstack([np.ones((1, len(each))), group_weights(each, self.experiment.seed)])
            found.append(auroc(is_above, np.concatenate(values), weights))
            count += min(map(len, values))  # which the rarer side tells
        if len(found) >= FEW_SEEDS:
            return Estimate.of_mean(np.array([own[0] for own in found]))
        if not found:
            return Estimate(float("nan"), float("nan"), float("nan"))
        mean = np.mean(found, axis=0)
        return Estimate.over_groups(float(mean[0]), mean[1:], np.arange(count))

    # -- curves --

    def curve(self, arm: str, goal: Goal) -> np.ndarray:
        """Hits found after each call, by seed. Shape (seeds, calls); a run that ended earlier stays where it was."""
        runs = [np.cumsum(hits) for hits in self.hits(arm, goal)]
        longest = max(map(len, runs))
        padded = [np.concatenate([run, np.full(longest - len(run), run[-1] if len(run) else 0)]) for run in runs]
        return np.stack(padded)

    def rewards(self, arm: str, goal: Goal) -> pd.DataFrame:
        """By generation: what the fitted model said of those that it chose, what is true, and how near the nearest
        molecule of the table is; a row each."""
        rows = [
            {
                "generation": draw["generation"],
                "predicted": draw["reward"],
                "value": self.value(draw),
                "similarity": self.described[draw["smiles"]]["similarity"],
            }
            for run in self.runs.get((arm, goal.name), [])
            for draw in self.checked(run)
            if "reward" in draw and "generation" in draw
        ]
        return pd.DataFrame(rows, columns=["generation", "predicted", "value", "similarity"])

    def promised(self, arm: str, goal: Goal) -> tuple[float, float, int]:
        """Of the molecules that the fitted model chose: the share that it calls hits, the share that are, and how
        many have both a prediction and a true value."""
        draws = [draw for run in self.runs.get((arm, goal.name), []) for draw in self.checked(run) if "reward" in draw]
        said, true = (np.array([of(draw) for draw in draws]) for of in (lambda draw: draw["reward"], self.value))
        known = np.isfinite(true)
        if not known.any():
            return float("nan"), float("nan"), 0
        return float(goal.is_hit(said[known]).mean()), float(goal.is_hit(true[known]).mean()), int(known.sum())

    # -- tables --

    @cached_property
    def molecules(self) -> pd.DataFrame:
        """Every molecule that was drawn, a row each: what was wanted, what it is and what is said of it."""
        rows = []
        for (arm, name), runs in self.runs.items():
            goal = self.experiment.goal(name)
            for seed, draws in enumerate(runs):
                rows += [self._row(arm, goal, seed, place, draw) for place, draw in enumerate(draws)]
        header = self._row(
            "", self.experiment.goals[0], 0, 0, dict.fromkeys(("text", "smiles", "status", "reason"), "")
        )
        return pd.DataFrame(rows, columns=list(header))

    def _row(self, arm: str, goal: Goal, seed: int, place: int, draw: Draw) -> dict[str, Any]:
        said = self.described.get(draw["smiles"], {}) if draw.get("checked") else {}
        value = self.value(draw) if draw.get("checked") else float("nan")
        return {
            "arm": arm,
            "goal": goal.name,
            "seed": seed,
            "sample": place,
            "written": draw["text"],
            "smiles": draw["smiles"],
            "status": draw["status"],
            "reason": draw["reason"] or draw.get("no_value", ""),
            "wanted_low": goal.low,
            "wanted_high": goal.high,
            "predicted": said.get("predicted", np.nan),
            "lower": said.get("lower", np.nan),
            "upper": said.get("upper", np.nan),
            "value": np.nan if self.judged else value,
            "hit": bool(goal.is_hit(np.array([value]))[0]) if draw.get("checked") else None,
            "in_domain": said.get("in_domain"),
            "nearest": said.get("nearest", ""),
            "similarity": said.get("similarity", np.nan),
            "sa_score": sa_score(draw["smiles"]) if draw.get("checked") else np.nan,
            "temperature": draw.get("temperature", np.nan),
            "generation": draw.get("generation", np.nan),
        }

    @cached_property
    def designs(self) -> pd.DataFrame:
        """New molecules that are hits of what was asked for, each once, the nearest to it first."""
        goal, found = self.experiment.goals[0], self.molecules
        found = found[(found["goal"] == ASKED) & (found["status"] == NEW) & found["hit"].eq(True)]
        values = found["predicted"] if self.judged else found["value"]
        order = np.argsort(np.abs(values.to_numpy(dtype=np.float64) - goal.stated), kind="stable")
        once = found.iloc[order].drop_duplicates("smiles")
        by = found.groupby("smiles")["arm"].agg(lambda arms: ", ".join(dict.fromkeys(arms)))
        columns = ["smiles", "value", "predicted", "lower", "upper", "in_domain", "nearest", "similarity", "sa_score"]
        return once[columns].assign(designed_by=once["smiles"].map(by)).reset_index(drop=True)

    def metrics(self) -> pd.DataFrame:
        """Shares of hits with intervals, and what the molecules are like, by arm and goal."""
        rows = []
        for arm, name in self.runs:
            goal = self.experiment.goal(name)
            tags = {"arm": arm, "goal": name}
            n, seeds = self.checks(arm, goal), len(self.runs[arm, name])
            written = self.samples(arm, goal)
            for metric, estimate, count in (
                ("hits per call", self.per_call(arm, goal), n),
                ("hits per sample", self.per_sample(arm, goal), written),
            ):
                value, low, high = self.interval(estimate, count)
                rows.append(tags | _figure(metric, value, count, seeds, low, high))
            if goal.name == EDGE and np.isfinite((followed := self.follows(arm)).value):
                value, low, high = self.interval(followed, n)
                rows.append(tags | _figure("follows what is asked", value, n, seeds, low, high))
            rows += [
                tags | _figure(metric, value, written, seeds)
                for metric, value in self.described_sets[arm, name].items()
            ]
        return pd.DataFrame(rows)

    @cached_property
    def described_sets(self) -> dict[tuple[str, str], dict[str, float]]:
        """By arm and goal: shares of all that was written, and what the molecules that were checked are like.

        Of arms that go through a sieve before the first molecule is counted (fragments, the genetic algorithm) the
        shares are 1 by their making.
        """
        return {key: self._described_set(*key, runs) for key, runs in self.runs.items()}

    @cached_property
    def compared_sizes(self) -> dict[str, int]:
        """By goal how many molecules the Fréchet distance of each arm is of, which falls with their number: as many as
        the arm with fewest has, of those that have enough."""
        found: dict[str, int] = {}
        for (_, goal), runs in self.runs.items():
            count = len(_smiles_of(self.checked(draw for run in runs for draw in run)))
            if count >= ENOUGH:
                found[goal] = min(found.get(goal, count), count)
        return found

    def _described_set(self, arm: str, goal: str, runs: Sequence[Sequence[Draw]]) -> dict[str, float]:
        draws = [draw for run in runs for draw in run]
        counts = Counter(draw["status"] for draw in draws)

        def of(status: str) -> float:
            return counts[status] / len(draws) if draws else float("nan")

        good = _smiles_of(self.checked(draws))
        places = np.random.default_rng(self.experiment.seed).permutation(len(good))[: self.compared_sizes.get(goal)]
        as_many = [good[place] for place in np.sort(places)]
        valid = 1 - of(INVALID)
        return {
            "valid": valid,
            "unique": 1 - of(REPEATED) / valid if valid else float("nan"),
            "in the table": of(KNOWN),
            "not wanted": of(UNWANTED),
            "new": of(NEW),
            "diversity": diversity(good),
            "Fréchet distance": float("nan") if arm == TRAINING else frechet_distance(as_many, self.experiment.smiles),
            "SA score": float(np.mean([sa_score(smiles) for smiles in good])) if good else float("nan"),
        }


def _smiles_of(draws: Sequence[Draw]) -> list[str]:
    """Each molecule once, in order."""
    return list(dict.fromkeys(draw["smiles"] for draw in draws))


def _figure(
    metric: str, value: float, n: int, seeds: int, low: float = float("nan"), high: float = float("nan")
) -> dict[str, Any]:
    return {"metric": metric, "value": value, "low": low, "high": high, "n": n, "groups": n, "seeds": seeds}


def share(counted: Sequence[tuple[int, int]]) -> Estimate:
    """A share from ``(successes, trials)`` of each run.

    From `FEW_SEEDS` runs on its error is that of the mean over runs, whose molecules need not be independent; of fewer
    it is that of as many independent trials.
    """
    counted = [one for one in counted if one[1]]
    shares = np.array([good / trials for good, trials in counted])
    if len(counted) >= FEW_SEEDS and shares.std() > 0:
        return Estimate.of_mean(shares)
    good, trials = (sum(part) for part in zip(*counted, strict=True)) if counted else (0, 0)
    if not trials:
        return Estimate(float("nan"), float("nan"), float("nan"))
    return Estimate(good / trials, smoothed(good, trials)[1], max(1, trials - 1))


def smoothed(good: int, trials: int) -> tuple[float, float]:
    """A share of independent trials and its error, drawn towards one half so that none of ten has an error, too."""
    trials = max(1, trials)
    share = (good + 1) / (trials + 2)
    return share, math.sqrt(share * (1 - share) / trials)
