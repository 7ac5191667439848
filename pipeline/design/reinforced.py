"""What training by a reward brought, as the oracle sees it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from pipeline.design.experiment import Experiment
from pipeline.design.findings import smoothed
from pipeline.design.reinforce import LEAST_BESIDE, LOOKED_AT, WORK
from pipeline.design.settings import BY_TRUTH, GRADIENT, NEAR, OF_HITS, OF_MODEL, REWARDS
from pipeline.evaluation.estimates import Estimate, signs
from pipeline.evaluation.numbers import Interval, number
from pipeline.report.blocks import Figure, Grid, Section, Text
from pipeline.report.figures import svg
from pipeline.studies.words import with_interval

COLOURS = {BY_TRUTH: "#277da1", OF_MODEL: "#d1495b", NEAR: "#edae49", OF_HITS: "#43aa8b"}
HOW = (
    "In each round the language model writes molecules for the value asked for. By expert iteration those that are new "
    f"and accepted are trained on, with as many molecules of the table and at least {LEAST_BESIDE}; by policy gradient "
    "(grpo) it writes about as many texts again, in groups, and is rewarded for the new ones that are accepted. Hits "
    f"are those of the oracle, on up to {LOOKED_AT} new molecules of each round, as a share of all that was written; a "
    "molecule that was trained on counts as written before, and not as new. The gap is the share of these molecules "
    "that the reward accepts less the share that are hits: what of the reward is not true. Divergence: how far the "
    "model is from where it began, in nats. Texts and calls: how much was written in all, and how many molecules the "
    "oracle was asked about, for a reward or to judge it. A change is more than chance by Holm's method over the "
    "rewards; all of them begin with the same training and the same texts."
)


@dataclass(frozen=True)
class Reinforced:
    """The rounds of every reward and seed.

    Attributes
    ----------
    contents : sequence of mapping
        The results of all cells of the design.
    """

    experiment: Experiment
    contents: Sequence[Mapping[str, Any]]

    @cached_property
    def runs(self) -> dict[str, list[list[dict[str, Any]]]]:
        """The rounds by reward, a list for each seed; the first is the start."""
        found: dict[str, list[list[dict[str, Any]]]] = {}
        for one in self.contents:
            if one["work"] == WORK:
                for reward, rounds in one["rounds"].items():
                    found.setdefault(reward, []).append(rounds)
        return found

    def hits(self, one: Mapping[str, Any]) -> float:
        """The share of all that was written in a round that are new and true hits."""
        return one["new"] / one["written"] * self.true_share(one)

    def true_share(self, one: Mapping[str, Any]) -> float:
        """The share of hits among the new molecules that were looked at; 0 where there is none."""
        values = np.array(
            [np.nan if draw["value"] is None else draw["value"] for draw in one["looked_at"]], dtype=float
        )
        return float(self.experiment.goals[0].is_hit(values).mean()) if len(values) else 0.0

    def gap(self, one: Mapping[str, Any]) -> float:
        """What the reward accepts of the molecules looked at beyond what is true."""
        accepted = [draw["accepted"] for draw in one["looked_at"]]
        return float(np.mean(accepted)) - self.true_share(one) if accepted else 0.0

    def gain(self, reward: str) -> Estimate:
        """The share of hits in the last round less that before the first, over seeds."""
        runs = self.runs[reward]
        changes = np.array([self.hits(rounds[-1]) - self.hits(rounds[0]) for rounds in runs])
        of_samples = np.array([math.hypot(self._error(rounds[0]), self._error(rounds[-1])) for rounds in runs])
        if len(changes) > 1:  # at least what samples of that size vary by: two seeds may agree by chance
            found = Estimate.of_mean(changes)
            least = float(np.sqrt((of_samples**2).mean() / len(changes)))
            return replace(found, error=max(found.error, least))
        return Estimate(float(changes[0]), float(of_samples[0]), max(1, len(runs[0][-1]["looked_at"]) - 1))

    def _error(self, one: Mapping[str, Any]) -> float:
        """Of the share of hits of one round, a product: of the texts that are new, and of the molecules looked at that
        are hits; all of them independent trials."""
        new, new_error = smoothed(one["new"], one["written"])
        hits, hits_error = smoothed(round(self.true_share(one) * len(one["looked_at"])), len(one["looked_at"]))
        return math.hypot(new * hits_error, hits * new_error)

    @cached_property
    def told(self) -> dict[str, int]:
        """The sign of each change that is more than chance, by Holm's method over the rewards."""
        return dict(zip(self.runs, signs([self.gain(reward) for reward in self.runs]), strict=True))

    def table(self) -> pd.DataFrame:
        """A row for each reward, seed and round; round 0 is the start."""
        rows = [
            {
                "reward": reward,
                "seed": seed,
                "round": number_,
                "written": one["written"],
                "new": one["new"],
                "accepted": one["accepted"],
                "looked_at": len(one["looked_at"]),
                "hits_per_sample": self.hits(one),
                "gap": self.gap(one),
                "diversity": one["diversity"],
                "similarity": one["similarity"],
                "divergence": one["divergence"],
                "texts": one["texts"],
                "calls": one["calls"],
            }
            for reward, runs in self.runs.items()
            for seed, rounds in enumerate(runs)
            for number_, one in enumerate(rounds)
        ]
        return pd.DataFrame(rows)

    def sentences(self) -> list[str]:
        return [self._sentence(reward) for reward in self.runs]

    def _sentence(self, reward: str) -> str:
        gain, runs = self.gain(reward), self.runs[reward]
        before, after = (float(np.mean([self.hits(rounds[place]) for rounds in runs])) for place in (0, -1))
        change: Interval = (gain.value, *gain.interval(bounds=(-1.0, 1.0)))
        in_points: Interval = (100 * change[0], 100 * change[1], 100 * change[2])
        shown = "is more than chance" if self.told[reward] else "can be chance"
        over = f"over {len(runs)} seeds" if len(runs) > 1 else "of one training"
        gap = float(np.mean([self.gap(rounds[-1]) for rounds in runs]))
        gamed = (
            ""
            if reward.startswith(BY_TRUTH)
            else f" In the end the reward accepts {100 * gap:+.0f} points more than is true."
        )
        return (
            f"Reinforced, {REWARDS[reward].partition(':')[0]}: new hits among all that is written went from "
            f"{100 * before:.0f} to {100 * after:.0f} %, a change of {with_interval(in_points)} points {over}, which "
            f"{shown}.{gamed}"
        )

    def section(self) -> list[Section]:
        """The part of the page; nothing where nothing was reinforced."""
        if not self.runs:
            return []
        header = (
            *("reward", "hits before", "after", "gain", "gap", "diversity", "divergence", "similarity to the table"),
            *("texts", "calls"),
        )
        rows = []
        for reward, runs in self.runs.items():
            gain = self.gain(reward)
            first, last = ([rounds[place] for rounds in runs] for place in (0, -1))
            rows.append(
                (
                    reward,
                    _mean(map(self.hits, first)),
                    _mean(map(self.hits, last)),
                    (gain.value, *gain.interval(bounds=(-1.0, 1.0))),
                    _mean(map(self.gap, last)),
                    " to ".join(number(_mean(one["diversity"] for one in end)) for end in (first, last)),
                    _mean(one["divergence"] for one in last),
                    _mean(one["similarity"] for one in last),
                    round(_mean(one["texts"] for one in last)),
                    round(_mean(one["calls"] for one in last)),
                )
            )
        figure = Figure("reinforced", self._drawn(), "share accepted by each reward and share of true hits, by round")
        return [Section("Reinforced", [Text([HOW]), figure, Grid(header, rows, frozenset({5}), name="reinforced")])]

    def _drawn(self) -> str:
        """For each reward what it accepts and what is true, as shares of all that is written, by round."""
        names = list(self.runs)
        figure, axes = plt.subplots(1, len(names), figsize=(2.6 * len(names) + 0.8, 3.0), sharey=True, squeeze=False)
        for axis, reward in zip(axes[0], names, strict=True):
            runs = self.runs[reward]
            true = np.array([[self.hits(one) for one in rounds] for rounds in runs])
            said = np.array([[one["accepted"] / one["written"] for one in rounds] for rounds in runs])
            rounds = np.arange(true.shape[1])
            for values, style, label in ((said, "o--", "accepted"), (true, "o-", "true hits")):
                axis.plot(
                    rounds, values.mean(axis=0), style, color=COLOURS[reward.removesuffix(GRADIENT)], ms=4, label=label
                )
                axis.fill_between(
                    rounds,
                    values.min(axis=0),
                    values.max(axis=0),
                    color=COLOURS[reward.removesuffix(GRADIENT)],
                    alpha=0.12,
                    lw=0,
                )
            axis.set(title=reward, xlabel="round", xticks=rounds)
            axis.grid(alpha=0.25)
        axes[0][0].set_ylabel("share of all that is written")
        axes[0][0].set_ylim(bottom=0)
        axes[0][0].legend(frameon=False, fontsize=8)
        return svg(figure)


def _mean(values: Any) -> float:
    found = np.array(list(values), dtype=np.float64)
    return float(np.nanmean(found)) if np.isfinite(found).any() else float("nan")
