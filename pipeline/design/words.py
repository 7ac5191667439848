"""What came of a design, in words."""

from __future__ import annotations

import numpy as np

from pipeline.design.findings import FEW_SEEDS, Findings
from pipeline.design.settings import ANY, CHOSEN_BY_MODEL, LM, SHUFFLED, WRITERS
from pipeline.evaluation.estimates import LEVEL
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
    rates = [f"{arm} {in_percent(found.rate(arm, goal))}" for arm in order]
    return f"Of the molecules that each arm had checked so many are hits: {', '.join(rates)}."


def _against(found: Findings) -> list[str]:
    """Whether a language model finds more than the others."""
    said = []
    for own, rows in found.compared.groupby("of", sort=False):
        parts = [
            f"{how} {enumerated(list(rows.loc[rows['shown'] == sign, 'arm']))}"
            for sign, how in (
                (1, "is shown to hit more often than"),
                (-1, "is shown to hit less often than"),
                (0, "cannot be told apart from"),
            )
            if (rows["shown"] == sign).any()
        ]
        said.append(f"{own} {'; it '.join(parts)} (Holm's method, 5 %).")
    return said


def _reads(found: Findings) -> list[str]:
    """Whether the language model reads the value at all."""
    if not {LM, SHUFFLED} <= set(found.arms):
        return []
    own, dealt = found.follows(LM), found.follows(SHUFFLED)
    apart = own.minus(dealt)
    if not apart.known:
        return []
    edge, units = found.experiment.goal(EDGE), found.experiment.table.units
    unit = f" {units}" if units else ""
    shares = [in_percent(found.interval(one, found.checks(arm, edge))) for one, arm in ((own, LM), (dealt, SHUFFLED))]
    asked = " and ".join(number(goal.stated) for goal in found.experiment.goals[:2])
    reads = "reads" if apart.value > 0 and apart.p_difference() < 1 - LEVEL else "is not shown to read"
    return [
        f"{LM} {reads} the value: of pairs of molecules, one written for each of {asked}{unit}, {shares[0]} have the "
        "larger value where it was asked for (50 % by chance); tuned on values dealt to other "
        f"molecules, {shares[1]}."
    ]


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
        hits = found.rate(LM, goal)
        median = number(float(np.nanmedian(values)))
        parts.append(
            f"{place} (asked for {number(goal.stated)}{f' {units}' if units else ''}) {in_percent(hits)} hit, with a "
            f"median of {median}"
        )
    return [f"Asked for other values, {LM}: {'; '.join(parts)}."] if parts else []


def _reward(found: Findings) -> list[str]:
    """Whether what the fitted model chose is what it says."""
    if found.judged:
        return []
    parts = []
    for arm in (arm for arm in found.arms if arm in CHOSEN_BY_MODEL):
        said, true, count = found.promised(arm, found.experiment.goals[0])
        if count:
            parts.append(f"{arm} {100 * said:.0f} and {100 * true:.0f} % (n = {count})")
    if not parts:
        return []
    return [f"Of what the fitted model chose, so much is a hit by that model and in truth: {'; '.join(parts)}."]


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
