"""What came of a design, in words."""

from __future__ import annotations

import numpy as np

from pipeline.design.findings import FEW_SEEDS, Findings
from pipeline.design.settings import ANY, BY_MODEL, LM, SHUFFLED, WRITERS
from pipeline.evaluation.numbers import enumerated, number
from pipeline.proposing.goals import BEYOND, EDGE, Goal
from pipeline.studies.words import in_percent


def sentences(found: Findings) -> list[str]:
    """The verdict, in the order of importance."""
    goal = found.experiment.goals[0]
    said = [_designs(found, goal), _rates(found, goal)]
    said += [*_against(found), *_reads(found), *_beyond(found), *_reward(found), *_of_one(found)]
    return [sentence for sentence in said if sentence]


def _designs(found: Findings, goal: Goal) -> str:
    designs, units = found.designs, found.experiment.table.units
    wanted = f"{found.experiment.table.property_name} of {goal.written(units)}"
    how = "by the fitted model alone; nothing was checked by a truth" if found.judged else "by the oracle"
    if designs.empty:
        return f"No new molecule with a {wanted} was found ({how})."
    return f"{len(designs)} new molecules with a {wanted} ({how})."


def _rates(found: Findings, goal: Goal) -> str:
    order = sorted(found.arms, key=lambda arm: -np.nan_to_num(found.per_call(arm, goal).value))
    rates = [f"{arm} {in_percent(found.interval(found.per_call(arm, goal), arm, goal))}" for arm in order]
    return f"Of the molecules that each arm had checked so many are hits: {', '.join(rates)}."


def _against(found: Findings) -> list[str]:
    """Whether the language model finds more than the others."""
    rows = found.compared
    if rows.empty:
        return []
    more = list(rows.loc[rows["shown"] > 0, "arm"])
    less = list(rows.loc[rows["shown"] < 0, "arm"])
    untold = list(rows.loc[rows["shown"] == 0, "arm"])
    parts = []
    if more:
        parts.append(f"is shown to hit more often than {enumerated(more)}")
    if less:
        parts.append(f"is shown to hit less often than {enumerated(less)}")
    if untold:
        parts.append(f"cannot be told apart from {enumerated(untold)}")
    return [f"{LM} {'; it '.join(parts)} (Holm's method, 5 %)."]


def _reads(found: Findings) -> list[str]:
    """Whether the language model reads the value at all."""
    if not {LM, SHUFFLED} <= set(found.arms):
        return []
    row = found.compared.set_index("arm").loc[SHUFFLED]
    if row["shown"] > 0:
        return ["It reads the value: tuned on values dealt to other molecules it hits less often."]
    return ["It is not shown to read the value: tuned on values dealt to other molecules it hits about as often."]


def _beyond(found: Findings) -> list[str]:
    """What becomes of values at the edge of the table and beyond."""
    if (LM, BEYOND) not in found.runs or found.judged:
        return []
    units = found.experiment.table.units
    parts = []
    for name, place in ((EDGE, "at the edge of the table's values"), (BEYOND, "beyond all of them")):
        goal = found.experiment.goal(name)
        values = np.concatenate([found.values(draws) for draws in found.runs[LM, name]])
        if not np.isfinite(values).any():
            continue
        hits = found.interval(found.per_call(LM, goal), LM, goal)
        median = number(float(np.nanmedian(values)))
        parts.append(
            f"{place} (asked for {number(goal.stated)}{f' {units}' if units else ''}) {in_percent(hits)} hit, with a "
            f"median of {median}"
        )
    return [f"Asked for other values, {LM}: {'; '.join(parts)}."] if parts else []


def _reward(found: Findings) -> list[str]:
    """Whether a search that is scored by a model finds what the model says."""
    goal = found.experiment.goals[0]
    rows = found.rewards(BY_MODEL, goal)
    if rows.empty or found.judged:
        return []
    rows = rows.dropna(subset=["value"])
    if rows.empty:
        return []
    rewarded = goal.is_hit(rows["predicted"].to_numpy()).mean()
    true = goal.is_hit(rows["value"].to_numpy()).mean()
    return [
        f"Scored by the fitted model, the genetic algorithm chose molecules of which the model calls "
        f"{100 * rewarded:.0f} % hits; {100 * true:.0f} % are (n = {len(rows)})."
    ]


def _of_one(found: Findings) -> list[str]:
    few = [arm for arm in found.arms if found.experiment.seeds_of(arm) < FEW_SEEDS]
    if not few:
        return []
    trained = " of one training" if set(few) <= set(WRITERS) and found.experiment.settings.lm_seeds == 1 else ""
    return [
        f"Intervals of {enumerated(few)} are those{trained} of independent molecules and leave out what another seed "
        f"would do; with {FEW_SEEDS} seeds or more they are over seeds."
    ]


def missing(found: Findings) -> str:
    """What the design could not have shown."""
    oracle = found.experiment.oracle
    truth = (
        f"The truth here is what {oracle.name} computes ({oracle.version}); a measured value may differ."
        if oracle
        else "There is no truth here: hits are what the fitted model says, and it can be wrong about molecules that "
        "were made to please it. Name an oracle with --oracle."
    )
    once = f" {ANY} is asked once for all goals." if ANY in found.arms else ""
    return f"{truth} Nothing says that a design can be made: the SA score is a guess from fragments.{once}"
