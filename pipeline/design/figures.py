"""The figures of a design."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np

from pipeline.design.findings import Findings
from pipeline.design.settings import (
    ANY,
    ANY_BY_MODEL,
    BY_MODEL,
    FRAGMENTS,
    GENETIC,
    LM,
    LM_BY_MODEL,
    SHUFFLED,
    TRAINING,
)
from pipeline.proposing.goals import Goal
from pipeline.report.figures import PLAIN, svg

COLOURS = {
    LM: "#d1495b",
    ANY: "#edae49",
    SHUFFLED: "#b5a6a9",
    LM_BY_MODEL: "#8c1c3f",
    ANY_BY_MODEL: "#c77f1a",
    TRAINING: "#8d99ae",
    FRAGMENTS: "#43aa8b",
    GENETIC: "#277da1",
    BY_MODEL: "#7b5ea7",
}


def curves(found: Findings) -> str:
    """Hits found against calls of the oracle, by arm: the mean over seeds, between the least and the most."""
    goal = found.experiment.goals[0]
    figure, axis = plt.subplots(figsize=(6.4, 4.2))
    for arm in found.arms:
        hits = found.curve(arm, goal)
        if not hits.shape[1]:
            continue
        calls, colour = np.arange(1, hits.shape[1] + 1), COLOURS[arm]
        axis.plot(calls, hits.mean(axis=0), color=colour, label=arm, lw=1.8)
        axis.fill_between(calls, hits.min(axis=0), hits.max(axis=0), color=colour, alpha=0.15, lw=0)
    axis.set(xlabel="molecules checked" if found.judged else "calls of the oracle", ylabel="hits", xlim=(0, None))
    axis.set_ylim(bottom=0)
    axis.grid(alpha=0.25)
    if axis.lines:
        axis.legend(frameon=False, fontsize=8, loc="center left", bbox_to_anchor=(1.0, 0.5))
    return svg(figure)


def obtained(found: Findings) -> str:
    """The values of what was checked for each goal, a row of points for each arm, on the range that was wanted."""
    goals = [goal for goal in found.experiment.goals if any((arm, goal.name) in found.runs for arm in found.arms)]
    figure, axes = plt.subplots(
        1, len(goals), figsize=(3.2 * len(goals) + 1.2, 0.36 * len(found.arms) + 1.2), sharey=True
    )
    rng = np.random.default_rng(0)
    for axis, goal in zip(np.atleast_1d(axes), goals, strict=True):
        low, high = (max(goal.low, -1e300), min(goal.high, 1e300))
        drawn = []
        for height, arm in enumerate(reversed(found.arms)):
            if (arm, goal.name) not in found.runs:
                continue
            values = np.concatenate([found.values(draws) for draws in found.runs[arm, goal.name]])
            values = values[np.isfinite(values)]
            drawn.append(values)
            axis.plot(
                values,
                height + rng.uniform(-0.25, 0.25, len(values)),
                ".",
                color=COLOURS[arm],
                ms=3,
                alpha=0.5,
                rasterized=True,
            )
            if len(values):
                axis.plot([np.median(values)] * 2, [height - 0.35, height + 0.35], color="black", lw=1.4)
        shown = np.concatenate([*drawn, found.experiment.values])
        axis.set_xlim(np.quantile(shown, 0.002), np.quantile(shown, 0.998))
        left, right = axis.get_xlim()
        axis.axvspan(max(low, left), min(high, right), color=PLAIN, alpha=0.2, lw=0)
        axis.set_title(f"{goal.name}: {goal.written('')}", fontsize=9)
        axis.set_xlabel(_named(found))
    np.atleast_1d(axes)[0].set_yticks(range(len(found.arms)), list(reversed(found.arms)))
    return svg(figure)


def gamed(found: Findings) -> str:
    """What the fitted model says of the molecules that it chose, and what is true of them, by generation; beside it how
    near the table they are."""
    goal, rows = found.experiment.goals[0], found.rewards(BY_MODEL, found.experiment.goals[0])
    figure, (left, right) = plt.subplots(1, 2, figsize=(8.2, 3.4))
    by = rows.groupby("generation")
    for column, colour, label in (("predicted", PLAIN, "by the model"), ("value", "#d1495b", "true")):
        away = by[column].apply(lambda values: _mean_distance(goal, values.dropna().to_numpy()))
        left.plot(away.index + 1, away, "o-", color=colour, ms=3, label=label)
    right.plot(by["similarity"].mean().index + 1, by["similarity"].mean(), "o-", color=PLAIN, ms=3)
    left.set(xlabel="generation", ylabel="mean distance to what is wanted")
    right.set(xlabel="generation", ylabel="similarity to the nearest of the table")
    left.set_ylim(bottom=0)
    left.legend(frameon=False, fontsize=8)
    for axis in (left, right):
        axis.grid(alpha=0.25)
    return svg(figure)


def _mean_distance(goal: Goal, values: np.ndarray) -> float:
    return float(goal.distance(values).mean()) if len(values) else float("nan")


def _named(found: Findings) -> str:
    table = found.experiment.table
    return f"{table.property_name} ({table.units})" if table.units else table.property_name
