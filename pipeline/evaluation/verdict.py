"""Plain sentences, made from the numbers and from nothing else."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from pipeline.evaluation.bootstrap import MIN_GROUPS
from pipeline.evaluation.comparison import (
    BETTER,
    CANNOT_TELL,
    CONTROL,
    EQUIVALENT,
    REFERENCE,
    WORSE,
    Difference,
    Evaluation,
    differences,
    drop,
)
from pipeline.evaluation.estimates import effective_degrees
from pipeline.evaluation.metrics import HIGHER_IS_BETTER, LABELS, PRIMARY

UNEQUAL = 0.5  # groups that tell less than this share of what equal ones would are said to


@dataclass(frozen=True)
class Verdict:
    """The answer for one split.

    ``learned`` says whether some arm beats the constant prediction; ``use`` names the arm to
    use (None where nothing was learned or nothing can be told); ``sentence`` says it in words.
    """

    split: str
    learned: bool
    use: str | None
    sentence: str
    comparisons: tuple[Difference, ...]
    against_control: tuple[Difference, ...]

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def verdicts(
    evaluations: Sequence[Evaluation],
    lm_arms: Sequence[str],
    units: str,
    rows_are: str = "molecules",
    structureless: Sequence[str] = (),
    margin: float = 0.0,
    baselines: Sequence[str] = (),
) -> list[Verdict]:
    """One verdict per split; the comparisons of all splits are corrected as one family.

    ``structureless`` names baselines that know no structure; where validation prefers one of them, that is said.
    Differences within ``margin`` of the primary metric are of no consequence; 0 for none. Where one of the
    ``baselines`` turns out better than the one that validation prefers, that is said, and not acted upon.
    """
    control = CONTROL[evaluations[0].task]
    against_reference = differences(evaluations, lm_arms, REFERENCE, margin)
    against_control = differences(evaluations, [REFERENCE, *lm_arms], control, margin)
    among_baselines = differences(evaluations, baselines, REFERENCE, margin)
    result = []
    for evaluation in evaluations:
        compared = [item for item in against_reference if item.split == evaluation.split]
        controlled = [item for item in against_control if item.split == evaluation.split]
        missed = [item for item in among_baselines if item.split == evaluation.split and item.answer == BETTER]
        preferred = reference_name(evaluation) if evaluation.reference else ""
        found = _verdict(evaluation, compared, controlled, units, rows_are, structureless)
        result.append(replace(found, sentence=found.sentence + _missed(missed, preferred, units)))
    return result


def _verdict(
    evaluation: Evaluation,
    compared: list[Difference],
    controlled: list[Difference],
    units: str,
    rows_are: str,
    structureless: Sequence[str],
) -> Verdict:
    def made(learned: bool, use: str | None, sentence: str) -> Verdict:
        return Verdict(evaluation.split, learned, use, sentence, tuple(compared), tuple(controlled))

    n, groups = len(set(evaluation.row_ids)), evaluation.n_groups
    divisions = f", {evaluation.divisions} divisions" if evaluation.divisions > 1 else ""
    alike = effective_degrees(evaluation.groups) + 1
    unequal = f", which tell as much as {alike:.0f} of equal size" if not divisions and alike < UNEQUAL * groups else ""
    where = f"On the {evaluation.split} split ({n} test {rows_are} in {groups} groups{divisions}{unequal})"
    constant = "predicting the training mean" if evaluation.task == "regression" else "always answering the majority"
    if groups < MIN_GROUPS:
        return made(
            False,
            None,
            f"{where} it cannot be told which arm is better: {MIN_GROUPS} independent test groups are needed.",
        )
    learned = [item.arm for item in controlled if item.answer == BETTER]
    if not controlled:
        return made(False, None, f"{where} there is nothing to compare: no arm but {constant} was run.")
    if not learned:
        compared_arms = [_label(evaluation, item.arm) for item in controlled]
        names = _names(compared_arms)
        return made(
            False,
            None,
            f"{where} no arm can be recommended: {names} {_is(compared_arms)} not shown to be better than {constant}.",
        )
    winners = sorted((item for item in compared if item.answer == BETTER), key=_edge, reverse=True)
    if REFERENCE not in evaluation.scores:
        best = learned[0]
        return made(
            True,
            best,
            f"{where} {best} is better than {constant}: {_score(evaluation, best, units)}. "
            "No baseline was run, so it cannot be told whether it was needed.",
        )
    name = reference_name(evaluation)
    if winners:
        winner = winners[0]
        also = [item.arm for item in winners[1:]]
        more = f" ({_names(also)} {_is(also)} better than it too)" if also else ""
        return made(
            True,
            winner.arm,
            f"{where} use {winner.arm}: {_score(evaluation, winner.arm, units)}, better than "
            f"{name}, the baseline that validation prefers, by {_amount(winner, units)}{more}.{_rest(compared, units)}",
        )
    if REFERENCE not in learned:
        return made(
            True,
            learned[0],
            f"{where} use {learned[0]}: {_score(evaluation, learned[0], units)}, better than "
            f"{constant}, which {name}, the baseline that validation prefers, is not shown to be."
            f"{_rest(compared, units)}",
        )
    use = _single_name(evaluation)
    blind = f" {use} knows no structures: nothing here shows that chemistry helps." if use in structureless else ""
    return made(
        True,
        use,
        f"{where} use {name}, the baseline that validation prefers: "
        f"{_score(evaluation, REFERENCE, units)}.{blind}{_rest(compared, units)}",
    )


def _missed(better: list[Difference], preferred: str, units: str) -> str:
    """Baselines that do better on the test rows than the one that validation on training rows prefers."""
    if not better:
        return ""
    listed = _names([f"{item.arm} (by {_amount(item, units)})" for item in sorted(better, key=_edge, reverse=True)])
    return f" Not preferred by validation, but better than {preferred} on these test rows: {listed}."


def reference_name(evaluation: Evaluation) -> str:
    """The preferred baseline, or baselines where folds differ."""
    counts = Counter(evaluation.reference)
    if len(counts) == 1:
        return evaluation.reference[0]
    return " / ".join(
        f"{arm} ({count} {'division' if count == 1 else 'divisions'})" for arm, count in counts.most_common()
    )


def _label(evaluation: Evaluation, arm: str) -> str:
    """An arm as a sentence names it; the reference is the baseline, or baselines, behind it."""
    return f"{reference_name(evaluation)} (preferred by validation)" if arm == REFERENCE else arm


def _is(items: Sequence[str]) -> str:
    return "is" if len(items) == 1 else "are"


def _single_name(evaluation: Evaluation) -> str:
    return Counter(evaluation.reference).most_common(1)[0][0]


def _edge(item: Difference) -> float:
    """The side of the interval nearest to no difference, as a gain."""
    return item.low if HIGHER_IS_BETTER[item.metric] else -item.high


def _rest(compared: list[Difference], units: str) -> str:
    parts = []
    worse = [f"{item.arm} by {_amount(item, units)}" for item in compared if item.answer == WORSE]
    if worse:
        parts.append(f" Worse than it: {_names(worse)}.")
    same = [f"{item.arm} ({_signed(item, units)})" for item in compared if item.answer == EQUIVALENT]
    if same:
        within = f"{number(compared[0].margin)}{_suffix(compared[0], units)}"
        parts.append(f" Equivalent to it, within {within}: {_names(same)}.")
    unknown = [f"{item.arm} ({_signed(item, units)})" for item in compared if item.answer == CANNOT_TELL]
    if unknown:
        parts.append(f" Better, worse or the same, this test cannot tell: {_names(unknown)}.")
    if any(item.answer == CANNOT_TELL and item.low * item.high > 0 for item in compared):
        parts.append(" The intervals are those of single comparisons; the answers are corrected for their number.")
    return "".join(parts)


def _score(evaluation: Evaluation, arm: str, units: str) -> str:
    metric = PRIMARY[evaluation.task]
    low, high = evaluation.interval(arm, metric)
    suffix = f" {units}" if units and metric == "mae" else ""
    return f"{LABELS[metric]} {number(evaluation.scores[arm][metric][0])}{suffix} [{number(low)} to {number(high)}]"


def _amount(item: Difference, units: str) -> str:
    low, high = sorted((abs(item.low), abs(item.high))) if item.low * item.high > 0 else (item.low, item.high)
    return f"{number(abs(item.value))}{_suffix(item, units)} [{number(low)} to {number(high)}]"


def _signed(item: Difference, units: str) -> str:
    return f"{item.value:+.3g}{_suffix(item, units)} [{item.low:+.3g} to {item.high:+.3g}]"


def _suffix(item: Difference, units: str) -> str:
    return f" {units}" if units and item.metric == "mae" else ""


def number(value: float) -> str:
    """Three significant digits, without an exponent where that is readable."""
    if not np.isfinite(value):
        return "n/a"
    return f"{value:.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def _names(items: Sequence[str]) -> str:
    return items[0] if len(items) == 1 else ", ".join(items[:-1]) + " and " + items[-1]


def ladder_sentence(found: Sequence[Verdict]) -> str:
    """Where along the splits the arm to use changes; nothing to say of fewer than three."""
    if len(found) < 3:
        return ""
    told = [verdict for verdict in found if verdict.use]
    unknown = [verdict.split for verdict in found if not verdict.use]
    rest = f" No arm can be named on {_names(unknown)}." if unknown else ""
    if not told:
        return ""
    runs: list[tuple[str, list[str]]] = []
    for verdict in told:
        if not runs or runs[-1][0] != verdict.use:
            runs.append((str(verdict.use), []))
        runs[-1][1].append(verdict.split)
    if len(runs) == 1:
        return f"Along the ladder the arm to use stays the same, {runs[0][0]} on {_names(runs[0][1])}.{rest}"
    said = "; ".join(f"{arm} on {_names(splits)}" for arm, splits in runs)
    return f"Along the ladder the arm to use changes first at {runs[1][1][0]}: {said}.{rest}"


def drop_sentence(easy: Evaluation, hard: Evaluation, arm: str, label: str, units: str) -> str:
    """How an arm's metric changes from one split to the other."""
    metric = PRIMARY[easy.task]
    changed = drop(easy, hard, arm)
    low, high = changed.interval()
    suffix = f" {units}" if units and metric == "mae" else ""
    return (
        f"From {easy.split} to {hard.split} the {LABELS[metric]} of {label} goes from "
        f"{number(easy.scores[arm][metric][0])} to {number(hard.scores[arm][metric][0])}{suffix} "
        f"({changed.value:+.3g} [{low:+.3g} to {high:+.3g}])."
    )
