"""What happens beyond the data, in sentences."""

from __future__ import annotations

from pipeline.evaluation.numbers import Interval, decimals_of, enumerated, number, written
from pipeline.studies.edges.directions import (
    DISAGREEMENT_RISE,
    ERROR,
    ERROR_RISE,
    LESS,
    MORE,
    QUOTIENT,
    AlongDirections,
)
from pipeline.studies.edges.labels import (
    BEYOND,
    SHORTFALL,
    SLOPE,
    SLOPE_CONTROL,
    BeyondLabels,
)
from pipeline.studies.edges.rows import ASKED, LITTLE, MUCH, PERMUTED, RANDOM, Direction, Edge
from pipeline.studies.failure import NO, UNTOLD, YES, Failure, Outcome
from pipeline.studies.words import error_name, in_percent

LIMITS = (
    "What this cannot show: rows outside are still of this table, and rows of other tables can lie much farther out; "
    "directions are linear combinations of descriptors, and what bends between them is not seen; training in the "
    "middle also takes away rows with labels that differ from those left; beyond an edge of the labels errors of "
    "measurement count as truth.",
)


def sentences(along: AlongDirections, beyond: BeyondLabels) -> list[str]:
    """The answers, in the order of importance."""
    of_directions = [_worst(along), *_arms(along), _warning(along), *_nulls(along)] if along.directions else []
    return [
        *of_directions,
        *[_edge(beyond, edge) for edge in beyond.edges],
        *LIMITS,
    ]


def times(found: Interval) -> str:
    """``×1.3 [1.1 to 1.5]``."""
    return f"×{in_decimals(found)}"


def in_decimals(found: Interval) -> str:
    """A value with as many decimals as its interval allows: of a slope that is about zero, others say nothing."""
    value, between = written(found, decimals_of([found]))
    return f"{value} [{between}]" if between else value


def in_words(direction: Direction) -> str:
    """``direction 1 of much variance (+ weight, + logP, − rings)``."""
    of = {MUCH: "of much variance", LITTLE: "of little variance"}.get(direction.kind, direction.kind)
    return f"direction {direction.number} {of} ({', '.join(direction.names)})"


def _error(along: AlongDirections) -> str:
    return error_name(along)


def _worst(along: AlongDirections) -> str:
    """On which direction which arm suffers most."""
    context, shown = along.context, along.shown(ASKED, ERROR, MORE)
    start = f"Directions, {len(along.test)} test {context.table.rows_are}"
    asked = len(along.arms) * sum(one.kind in ASKED for one in along.directions)
    if not shown:
        return (
            f"{start}: training in the middle of a direction was not shown to cost anything outside of it, of "
            f"{asked} arms and directions."
        )
    arm, worst = shown[0]
    out = int(along.outside(worst).sum())
    return (
        f"{start}: {arm} suffers most, along {in_words(worst)}: trained on the middle {len(worst.train)} rows its "
        f"{_error(along)} on the {out} {context.table.rows_are} outside is {times(along.ratio(arm, [worst], ERROR))} "
        f"that of as many rows over the full width. A cost was shown for {len(shown)} of {asked} arms and directions."
    )


def _arms(along: AlongDirections) -> list[str]:
    """What each arm loses outside, over the directions of a kind."""
    words = {MUCH: "with much variance", LITTLE: "with little", RANDOM: "at random"}
    kinds = [kind for kind in along.kinds if kind in words]
    said = []
    for arm in along.arms:
        costs = [f"{times(along.ratio(arm, along.of_kind(kind), ERROR))} {words[kind]}" for kind in kinds]
        error, apart = (along.ratio(arm, along.of_kind(kinds[0]), one) for one in (ERROR_RISE, DISAGREEMENT_RISE))
        said.append(
            f"{arm}: {_error(along)} outside is {enumerated(costs)} (outside over inside, {words[kinds[0]]}: the error "
            f"rises {times(error)}, disagreement between models {times(apart)})."
        )
    return said


def _warning(along: AlongDirections) -> str:
    """Whether models that disagree show where they are wrong."""
    costly = along.shown(ASKED, ERROR, MORE)
    if not costly:
        return "Whether disagreement between models warns cannot be told where no error was shown to rise."
    more = [place for place in costly if along.told[place[0], place[1].name, QUOTIENT] == MORE]
    less = [place for place in costly if along.told[place[0], place[1].name, QUOTIENT] == LESS]
    counts = (
        f"where a cost was shown ({len(costly)}), disagreement between models rises less than the error in "
        f"{len(more)}, more in {len(less)}, and is not told apart in {len(costly) - len(more) - len(less)}"
    )
    if not more:
        return f"Disagreement was not shown to fall behind the error: {counts}."
    arm, one = max(more, key=lambda place: along.ratio(place[0], [place[1]], QUOTIENT)[0])
    error, apart, quotient = (along.ratio(arm, [one], measure) for measure in (ERROR_RISE, DISAGREEMENT_RISE, QUOTIENT))
    return (
        f"Models can agree where they are wrong: {counts}. Most with {arm} along {in_words(one)}: "
        f"outside over inside the error rises {times(error)}, disagreement {times(apart)}, the quotient is "
        f"{times(quotient)}."
    )


def _nulls(along: AlongDirections) -> list[str]:
    """What came out where nothing can, and along directions at random."""
    said = []
    asked = len(along.arms) * len(along.of_kind(PERMUTED))
    if asked:
        found = along.shown([PERMUTED], ERROR, MORE) + along.shown([PERMUTED], ERROR, LESS)
        values = [along.ratio(arm, [one], ERROR)[0] for arm in along.arms for one in along.of_kind(PERMUTED)]
        between = f"ratios {number(min(values))} to {number(max(values))}"
        said.append(
            f"Warning: with permuted scores, where the rows outside are any rows, {len(found)} of {asked} ratios were "
            f"told apart from 1 ({between}); take ratios of this size for nothing."
            if found
            else f"With permuted scores nothing was found, as it must be: {asked} {between}."
        )
    if along.of_kind(RANDOM):
        found = along.shown([RANDOM], ERROR, MORE)
        asked = len(along.arms) * len(along.of_kind(RANDOM))
        said.append(f"Along directions drawn at random a cost was shown for {len(found)} of {asked}.")
    return said


def phrase(verdict: str, edge: Edge) -> str:
    """A verdict as it is said of one edge."""
    return verdict.replace("most extreme", "largest" if edge.upwards else "smallest")


def _edge(beyond: BeyondLabels, edge: Edge) -> str:
    """What the arms do beyond an edge."""
    units = f" {beyond.context.table.units}" if beyond.context.table.units else ""
    rows, up = int(beyond.rows_beyond(edge).sum()), edge.upwards
    arms = "; ".join(
        f"{arm} {phrase(beyond.verdicts[arm, edge.name], edge)} ({_numbers(beyond, arm, edge, units)})"
        for arm in beyond.arms
    )
    return (
        f"Trained on labels {'up' if up else 'down'} to {number(edge.last)}{units}, on the {rows} test "
        f"{beyond.context.table.rows_are} {'above' if up else 'below'}: {arms}."
    )


def _numbers(beyond: BeyondLabels, arm: str, edge: Edge, units: str) -> str:
    slope, control, past, short = (
        beyond.interval(arm, edge, measure) for measure in (SLOPE, SLOPE_CONTROL, BEYOND, SHORTFALL)
    )
    return (
        f"slope {in_decimals(slope)}, that of as many rows of the whole range {in_decimals(control)}; "
        f"{in_percent(past)} of predictions beyond; short by {in_decimals(short)}{units} on average"
    )


def failure(along: AlongDirections) -> tuple[Failure, ...]:
    """What the directions say, for the page over all failure modes; nothing where there are none."""
    asked = [one for one in along.directions if one.kind in ASKED]
    if not asked:
        return ()
    states = {MORE: YES, LESS: NO}
    null = [along.ratio(arm, [one], ERROR)[0] for arm in along.arms for one in along.of_kind(PERMUTED)]
    return (
        Failure(
            f"{len(along.test)} test {along.context.table.rows_are}, outside of the middle of {len(asked)} directions "
            f"of the descriptors, {along.context.settings.models} models each",
            "error outside of what was trained in, over that of as many rows of the full width",
            1.0,
            [
                Outcome(
                    arm, one.name, along.ratio(arm, [one], ERROR), states.get(along.told[arm, one.name, ERROR], UNTOLD)
                )
                for arm in along.arms
                for one in asked
            ],
            f"permuted scores: ratios {number(min(null))} to {number(max(null))}" if null else "",
            "measure rows at the ends of these directions; ask the domain of a model, not whether models disagree",
            "rows outside are still of this table",
        ),
    )
