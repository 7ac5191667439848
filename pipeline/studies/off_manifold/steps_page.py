"""Steps from molecule to molecule, in sentences and on the page."""

from __future__ import annotations

from typing import Any

import matplotlib.pyplot as plt
import numpy as np

from pipeline.evaluation.numbers import enumerated, number
from pipeline.report.blocks import Figure, Grid, Group, Section, note
from pipeline.report.figures import PLAIN, colour_of, svg
from pipeline.studies.failure import SHOWN, YES, Failure, Outcome
from pipeline.studies.off_manifold.models import MLP
from pipeline.studies.off_manifold.steps import ADDED, KINDS, OUT, WITHIN
from pipeline.studies.off_manifold.true_steps import (
    CLEARLY,
    ERROR,
    FOLLOWED,
    LEAST_STEPS,
    LOST,
    MISSED,
    PERMUTED,
    TRAINED,
    UNTRAINED,
    TrueSteps,
)
from pipeline.studies.words import few_groups, with_interval

COLOURS = dict(zip(KINDS, ("#277da1", "#90be6d", "#c1121f", "#f3722c", "#7b2cbf"), strict=True))
HOW = (
    "Steps lead from a training molecule to one that is not in the table; the oracle says what truly changes. Exchange "
    "within: a substituent for another one, as between two other molecules of the training rows that differ in "
    "nothing else. Frequent group: a hydrogen of a carbon by one of the ten most frequent substituents. Rare element, "
    "strained ring, long chain: the same hydrogen by what no training molecule holds. Followed: the predicted change "
    "by the true one, by least squares through zero; 1 is right, 0 is no answer. Missed: the mean error of the "
    "predicted change over that of saying that nothing changes; 0 is right, 1 is no better than that. Shown is that an "
    f"arm misses more of a kind than of exchanges within by more than {CLEARLY:g}. Each model has its own 80 % of the "
    "training rows. Intervals are over groups of molecules at which steps begin and over models (widened for draws "
    "from one pool). Nulls: models of labels that were dealt to other rows, and networks over descriptors with their "
    "first weights, whose outputs vary as much as the labels."
)
LIMITS = (
    "What steps of molecules cannot show: kinds of steps differ in how much they truly change, which the share that is "
    "missed takes out only on average; a step within may lead to a molecule as strange as one out; what the oracle "
    "computes is the truth here."
)


def sentences(found: TrueSteps) -> list[str]:
    """What the arms know of the changes, in the order of importance."""
    said = [_arm(found, arm) for arm in found.arms] if found.asked else []
    said += [_null(found)] if found.kinds else []
    said.append(_made(found))
    few = [one for kind in found.kinds for one in few_groups(found.groups_of(kind), f"groups of steps, {kind},")]
    return [*said, *few, LIMITS]


def _arm(found: TrueSteps, arm: str) -> str:
    """On which kinds of steps an arm misses more than on exchanges within the table."""
    shown = [kind for kind in found.asked if kind != ADDED and SHOWN[found.told[arm, kind]] == YES]
    told = f"misses more of {enumerated(shown)}" if shown else "is not shown to miss more of any step out"
    parts = [
        f"{kind} {with_interval(found.interval(arm, kind, MISSED))} (followed "
        f"{with_interval(found.interval(arm, kind, FOLLOWED))})"
        for kind in found.kinds
    ]
    shares = f"share of the true change that is missed: {enumerated(parts)}"
    return f"Steps of molecules, {arm}: {told} than of exchanges within the table; {shares}."


def _null(found: TrueSteps) -> str:
    """How much of the changes models follow that have learned nothing."""
    nulls = [(arm, PERMUTED) for arm in found.arms] + [(MLP, UNTRAINED)]
    values = {
        f"{_learned_nothing(*null)}, {kind}": found.interval(null[0], kind, FOLLOWED, null[1])
        for null in nulls
        for kind in found.kinds
    }
    told = [f"{name} ({with_interval(one)})" for name, one in values.items() if one[1] > 0 or one[2] < 0]
    between = f"{number(min(one[0] for one in values.values()))} to {number(max(one[0] for one in values.values()))}"
    if told:
        return (
            f"Steps of molecules, nulls: models of permuted labels and networks that are not trained follow {between} "
            f"of the changes, which its own interval tells from 0 for {enumerated(told)}; take shares of this size for "
            "nothing."
        )
    return (
        "Steps of molecules, nulls: models of permuted labels and networks that are not trained are not shown to "
        f"follow any change, as it must be ({between})."
    )


def _learned_nothing(arm: str, treatment: str) -> str:
    return "network that is not trained" if treatment == UNTRAINED else f"{arm} of permuted labels"


def _made(found: TrueSteps) -> str:
    """How many steps there are, and how like the table they end."""
    parts = [
        f"{int(found.of(kind).sum())} of {kind} (Tanimoto {number(_similar(found, kind), 2)}, true change "
        f"{number(_changed(found, kind))})"
        for kind in KINDS
        if found.of(kind).any()
    ]
    failed = f"; {found.maker['failed']} steps have no value by the oracle" if found.maker["failed"] else ""
    if not parts:
        return f"No step from molecule to molecule could be made{failed}."
    missing = [kind for kind in KINDS if kind not in found.kinds]
    left = f"; nothing is said of {enumerated(missing)}: fewer than {LEAST_STEPS} change anything" if missing else ""
    return (
        "Steps of molecules, with the median similarity of their end to the nearest training molecule and the mean "
        f"size of the change: {enumerated(parts)}{failed}{left}."
    )


def _similar(found: TrueSteps, kind: str) -> float:
    return float(found.steps["similarity"][found.of(kind)].median())


def _changed(found: TrueSteps, kind: str) -> float:
    return float(found.steps["change"].astype(float)[found.of(kind)].abs().mean())


def section(found: TrueSteps) -> Section:
    """A part of the page."""
    if not found.kinds:
        return Section("Steps from molecule to molecule", [note(_made(found))])
    alt = "Predicted against true change of each step from molecule to molecule, by arm and kind of step"
    return Section(
        "Steps from molecule to molecule", [Figure("steps", _drawn(found), alt), _grid(found), note(HOW, LIMITS)]
    )


def _grid(found: TrueSteps) -> Grid:
    units = f" ({found.context.table.units})" if found.context.table.units else ""
    header = (
        "kind of step",
        "steps",
        "similarity",
        "missed",
        "more than within",
        "followed",
        f"MAE{units}",
        "permuted: followed",
    )
    groups = [Group(arm, [_row(found, kind, arm, TRAINED) for kind in found.kinds]) for arm in found.arms]
    first = Group("not trained (null)", [_row(found, kind, MLP, UNTRAINED) for kind in found.kinds])
    rows = [*groups, first]
    caption = f"Changes by steps from molecule to molecule, {found.context.settings.seeds} models of each arm."
    return Grid(header, rows, name="steps of molecules", caption=caption)


def _row(found: TrueSteps, kind: str, arm: str, treatment: str) -> tuple[Any, ...]:
    """What a model says of the steps of a kind; of an arm beside it the same with permuted labels."""
    return (
        kind,
        int(found.of(kind).sum()),
        _similar(found, kind),
        found.interval(arm, kind, MISSED, treatment),
        found.interval(arm, kind, LOST, treatment) if kind in found.asked else None,
        found.interval(arm, kind, FOLLOWED, treatment),
        found.interval(arm, kind, ERROR, treatment),
        found.interval(arm, kind, FOLLOWED, PERMUTED) if treatment == TRAINED else None,
    )


def _drawn(found: TrueSteps) -> str:
    """Predicted against true change, the mean over seeds: a panel for each arm."""
    across, true = len(found.arms), found.steps["change"].to_numpy(dtype=np.float64)
    figure, axes = plt.subplots(1, across, figsize=(0.6 + 2.6 * across, 3.2), squeeze=False)
    end = 1.05 * float(np.abs(true).max())
    for axis, arm in zip(axes.flat, found.arms, strict=True):
        said = found.said(TRAINED, arm).mean(axis=0)
        for kind in found.kinds:
            rows = found.of(kind)
            axis.plot(true[rows], said[rows], "o", ms=3, alpha=0.7, color=COLOURS[kind], label=kind)
        axis.plot([-end, end], [-end, end], color=PLAIN, lw=0.7, ls=":")
        axis.axhline(0, color=PLAIN, lw=0.5)
        axis.set(xlim=(-end, end), ylim=(-end, end), xlabel="true change (oracle)")
        axis.set_title(arm, color=colour_of(arm))
    axes[0][0].set_ylabel("predicted change")
    handles, labels = axes[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3, frameon=False, fontsize=8)
    return svg(figure)


def failure(found: TrueSteps) -> tuple[Failure, ...]:
    """For the page over all failure modes; nothing where no step out can be asked."""
    places = [(arm, kind) for arm in found.arms for kind in found.asked if kind in OUT]
    if not places:
        return ()
    null = [found.interval(*place, LOST, PERMUTED)[0] for place in places]
    count = sum(int(found.of(kind).sum()) for kind in found.asked if kind in OUT)
    return (
        Failure(
            f"{count} steps from training molecules to what the table does not hold, "
            f"{int(found.of(WITHIN).sum())} by exchanges within it, {found.context.settings.seeds} models of each arm",
            "share of the true change that is missed, less that of exchanges within the table",
            0.0,
            [Outcome(*place, found.interval(*place, LOST), SHOWN[found.told[place]]) for place in places],
            f"permuted labels: {number(min(null))} to {number(max(null))}",
            "measure molecules with the new element, ring or chain; until then keep to exchanges that occur",
            "kinds of steps differ in how much they truly change",
        ),
    )
