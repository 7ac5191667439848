"""What a planted marker does, in sentences."""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.evaluation.numbers import Interval, enumerated, number
from pipeline.studies.failure import NO, UNTOLD, YES, Failure, Outcome
from pipeline.studies.fitting import drawn
from pipeline.studies.shortcut.findings import RANDOM, REVERSED, SAME, Findings, Reliance
from pipeline.studies.shortcut.markers import FIELD, MARKERS
from pipeline.studies.shortcut.planting import Training, cannot_carry, favoured, marker_of, why_not
from pipeline.studies.shortcut.settings import NULL
from pipeline.studies.words import error_name, few_groups, in_percent, one_seed, units_of, with_interval
from pipeline.tables.targets import CLASSES

SHOWN = 6  # arms that are listed behind the first one


def sentences(found: Findings) -> list[str]:
    """What the markers do, in the order of importance."""
    context = found.context
    rows = len(drawn(context, found.split, 0))
    start = f"Split {found.split.name}, {rows} training {context.table.rows_are}, {len(found.test)} to test"
    said = [sentence for marker in found.markers for sentence in _of_marker(found, marker)]
    return [
        f"{start}. {said[0]}",
        *said[1:],
        *_nulls(found),
        *[_control(found, marker) for marker in found.markers],
        *_carriers(found),
        *_not_planted(found),
        *few_groups(found.groups),
        *one_seed(found.seeds),
    ]


def _of_marker(found: Findings, marker: str) -> list[str]:
    """Which arm relies most on a marker, and by how much; the others; from which strength on; what it costs."""
    strength = found.strengths[-1]
    ranked = found.ranked(marker)
    if not ranked:
        return ["No arm but the constant was trained, which cannot rely on anything."]
    first = ranked[0]
    name, start = error_name(found), f"{_named(found, marker)} at strength {strength:g}"
    training = Training(marker, strength)
    turned, random, same = (with_interval(found.error(first.arm, training, test)) for test in (REVERSED, RANDOM, SAME))
    how_much = (
        f"its {name} is {random}{units_of(found)} with the marker on any row at random, and {turned} with it on the "
        f"wrong rows. Less what the marker does by being there, that is {_in_units(found, first.value)} "
        f"({in_percent(first.relative)}) more error. A test with the marker as in training would have said {same}"
    )
    if not first.shown:
        return [f"{start}: no arm is shown to rely on it. {first.arm} does most: {how_much}, which can be chance."]
    said = [f"{start}: {first.arm} relies on it most: {how_much}."]
    others = [one for one in ranked[1:] if one.shown]
    rest = [one.arm for one in ranked[1:] if not one.shown]
    parts = [f"{one.arm} by {_in_units(found, one.value)}" for one in others[:SHOWN]]
    if len(others) > SHOWN:
        parts.append(f"{len(others) - SHOWN} more by less")
    if parts:
        said.append(f"Others that rely on the {marker}: {', '.join(parts)}.")
    if rest:
        said.append(f"Not shown to rely on the {marker}: {', '.join(rest)}.")
    return [*said, *_onset(found, marker), _cost(found, first)]


def _named(found: Findings, marker: str) -> str:
    text = str(marker_of(found.context, marker))
    return f"{text[0].upper()}{text[1:]}"


def _in_units(found: Findings, value: Interval) -> str:
    return f"{with_interval(value)}{units_of(found)}"


def _onset(found: Findings, marker: str) -> list[str]:
    """From which strength on each arm is shown to rely on a marker, where several were planted."""
    planted = [strength for strength in found.strengths if strength > NULL]
    if len(planted) < 2:
        return []
    first: dict[float, list[str]] = {}
    for arm in found.compared:
        shown = [strength for strength in planted if found.reliance[marker, arm, strength].shown]
        if shown:
            first.setdefault(shown[0], []).append(arm)
    parts = [f"from strength {strength:g} on for {enumerated(arms)}" for strength, arms in sorted(first.items())]
    return [f"Reliance on the {marker} is shown {'; '.join(parts)}."]


def _cost(found: Findings, one: Reliance) -> str:
    """What a marker costs that is not even reversed."""
    cost = found.cost(one.arm, Training(one.marker, one.strength))
    plain = f"{_in_units(found, found.unmarked_error(one.arm, one.marker))}"
    start = f"Trained without any marker {one.arm} has a {error_name(found)} of {plain}: the {one.marker}"
    if cost[1] > 0:
        return f"{start} costs it {with_interval(cost)} even where it is at random in the test."
    return f"{start} is not shown to cost it anything where it is at random in the test ({with_interval(cost)})."


def _nulls(found: Findings) -> list[str]:
    """What the markers do at the strength that goes with nothing."""
    if found.seeds == 1 or not found.compared:
        return [f"What a marker does that goes with nothing ({NULL}) cannot be told from one seed."]
    return [_null(found, marker, found.at_null(marker)) for marker in found.markers]


def _null(found: Findings, marker: str, nulls: Sequence[Reliance]) -> str:
    """Nothing; or what a component does by being there; or the design is broken."""
    start = f"At strength {NULL}, where the {marker} goes with nothing,"
    what = "to be off by more with it on the wrong rows than with it at random"
    differ = [one for one in nulls if one.differs]
    listed = ", ".join(f"{one.arm} by {with_interval(one.value)}{units_of(found)}" for one in differ)
    if not differ:
        most = max(nulls, key=lambda one: abs(one.value[0]))
        return (
            f"{start} no arm is shown {what}, as it must be; the largest difference is that of {most.arm}, "
            f"{_in_units(found, most.value)}."
        )
    if marker == FIELD:
        return (
            f"Warning: {start[0].lower()}{start[1:]} arms are shown {what}: {listed}. Both values of the field mean "
            "the same there, so that labels reach the model by another way than the training rows; trust nothing of "
            "this page."
        )
    return (
        f"{start} it changes errors by being there: with it on the wrong rows less at random, {listed}. A second "
        "component can make rows on one side of the median harder to predict than those on the other. That is no "
        "reliance, and is taken off above."
    )


def _control(found: Findings, marker: str) -> str:
    """What is left of a marker that was taken away again."""
    left, how = found.left_of_control(marker), marker_of(found.context, marker).control
    count = f"{len(found.arms)} arms and {found.seeds} seed{'s' * (found.seeds > 1)}"
    if left == 0:
        return f"Control: with the {marker} {how} nothing is left of it: exactly 0 in every test row, of {count}."
    return (
        f"Warning: with the {marker} {how} an error still changes by up to {number(left)}{units_of(found)}; it must "
        "not. Trust nothing that is said of this marker."
    )


def _carriers(found: Findings) -> list[str]:
    """Rows that a marker cannot be added to, and which class carries it."""
    context, said = found.context, []
    for marker in found.markers:
        cannot = cannot_carry(context, marker)
        in_test = len(found.test) - int(found.usable[marker].sum())
        if cannot:
            said.append(
                f"{len(cannot)} of {len(context.table)} {context.table.rows_are} cannot be given the {marker} (they "
                f"carry it already, or taking it away would not give them back): they are trained on as they are, and "
                f"the {in_test} of them in the test are not scored for it."
            )
    if context.task == CLASSES:
        label = favoured(context, found.split)
        how = "" if len(context.classes) == 2 else ", the most frequent one in training, against all others"
        said.append(f"The marker goes with class {label!r}{how}.")
    return said


def failure(found: Findings) -> Failure:
    """What it says, for the page over all failure modes."""
    strongest = found.strengths[-1]
    told = [found.reliance[marker, arm, strongest] for marker in found.markers for arm in found.compared]
    most = max((one for marker in found.markers for one in found.at_null(marker)), key=lambda one: abs(one.value[0]))
    left = max(map(found.left_of_control, found.markers))
    return Failure(
        f"{found.split.name} split, {len(found.test)} test {found.context.table.rows_are}: "
        f"{enumerated(list(found.markers))} planted with strength {strongest:g}",
        "error that the marker adds where it turns, as a share of the error with it at random",
        0.0,
        [
            Outcome(one.arm, one.marker, one.relative, YES if one.shown else NO if one.differs else UNTOLD)
            for one in told
        ],
        f"at strength {NULL} the largest difference is {_in_units(found, most.value)} ({most.arm}, {most.marker}); a "
        f"marker that was taken away again changes an error by at most {number(left)}",
        "take salts off (--largest-fragment), leave columns out that say where a row comes from",
        "a planted marker is cleaner than a real one",
    )


def _not_planted(found: Findings) -> list[str]:
    """Markers that the table does not allow."""
    reasons = {name: why_not(found.context, name) for name in MARKERS if name not in found.markers}
    return [f"Not planted: the {name}: {reason}." for name, reason in reasons.items() if reason]
