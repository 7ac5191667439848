"""Plain sentences, made from the numbers and from nothing else."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from pipeline.evaluation.bootstrap import MIN_GROUPS
from pipeline.evaluation.comparison import BETTER, CANNOT_TELL, EQUIVALENT, FIRST, WORSE, Comparisons, Difference, drop
from pipeline.evaluation.divisions import ASSUMED
from pipeline.evaluation.evaluations import CONTROL, REFERENCE, Evaluation
from pipeline.evaluation.metrics import HIGHER_IS_BETTER, LABELS, PRIMARY, RANGE
from pipeline.evaluation.numbers import enumerated, number, signed
from pipeline.tables.targets import CLASSES

UNEQUAL = 0.5  # groups that tell less than this share of what equal ones would are said to
WANTED = 0.1  # the difference, as a share of the reference's error, of which is said what would find it
FOLDED = 1 + ASSUMED  # rows that folds take for one of a hold-out: what the training rows add to the error


@dataclass(frozen=True)
class Verdict:
    """The answer for one split.

    ``learned`` says whether some arm beats the constant prediction; ``use`` names the arm to use (None where nothing
    was learned or nothing can be told), never one that is shown to be worse than the preferred baseline; ``sentence``
    says it in words.
    """

    split: str
    learned: bool
    use: str | None
    sentence: str
    comparisons: tuple[Difference, ...]
    against_control: tuple[Difference, ...]

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class Words:
    """What sentences call things, and what they must know of the arms, splits and rows.

    ``structureless`` baselines know no structure and ``text_only`` ones read the notation alone: where validation
    prefers one of them, that is said. ``foldable`` are the splits that can be made as folds, and ``rows`` is the number
    of rows of the table that can be scored.
    """

    units: str = ""
    rows_are: str = "molecules"
    structureless: Collection[str] = ()
    text_only: Collection[str] = ()
    foldable: Collection[str] = ()
    rows: int = 0
    even: bool = True


def verdicts(
    compared: Sequence[Comparisons], lm_arms: Sequence[str], words: Words, baselines: Sequence[str] = ()
) -> list[Verdict]:
    """One verdict per split.

    Where one of the ``baselines`` turns out better than the one that validation prefers, that is said, and not acted
    upon.
    """
    result = []
    for comparisons in compared:
        evaluation = comparisons.evaluation
        control = CONTROL[evaluation.task]
        named = [item.arm for item in comparisons.found if item.family == FIRST]  # it may be a baseline
        candidates = list(dict.fromkeys([*named, *lm_arms]))
        found = _verdict(comparisons, candidates, words)
        others = [arm for arm in baselines if arm not in (*named, control)]
        missed = [item for item in comparisons.against(others, REFERENCE) if item.answer == BETTER]
        more = _missed(missed, _called(evaluation, REFERENCE), words.units) + _power(found, comparisons, words)
        result.append(replace(found, sentence=found.sentence + more))
    return result


def _verdict(comparisons: Comparisons, candidates: Sequence[str], words: Words) -> Verdict:
    """The verdict over the preferred baseline and the ``candidates``."""
    evaluation = comparisons.evaluation
    compared = comparisons.against(candidates, REFERENCE)
    controlled = comparisons.against([REFERENCE, *candidates], CONTROL[evaluation.task])

    def made(learned: bool, use: str | None, sentence: str) -> Verdict:
        said = f"{_where(evaluation, words)} {sentence}"
        return Verdict(evaluation.split, learned, use, said, tuple(compared), tuple(controlled))

    constant = "predicting the training mean" if evaluation.task == "regression" else "always answering the majority"
    if not controlled and not evaluation.reference:
        return made(False, None, f"there is nothing to compare: no arm but {constant} was run.")
    if evaluation.effective_groups < MIN_GROUPS:
        equal = " of equal size" if evaluation.n_groups >= MIN_GROUPS else ""
        return made(
            False,
            None,
            f"it cannot be told which arm is better: {MIN_GROUPS} independent test groups{equal} are needed.",
        )
    if set(evaluation.reference) == {CONTROL[evaluation.task]} and not controlled:
        return made(
            False,
            None,
            f"no arm can be recommended: of the baselines, validation on the training rows prefers {constant}.",
        )
    shown = [item.arm for item in controlled if item.answer == BETTER]
    if not shown:
        return made(False, None, _none_learned(evaluation, controlled, constant))
    learned = _learned(comparisons, [item.arm for item in controlled], shown)
    return made(True, *_recommended(evaluation, compared, shown, learned, constant, words))


def _learned(comparisons: Comparisons, arms: Sequence[str], shown: Sequence[str]) -> list[str]:
    """The arms that are better than a constant, the best first: those ``shown`` to be, and those shown to be better
    than one of them, though the comparison with the constant by itself may not show it."""
    scores, metric = comparisons.evaluation.scores, PRIMARY[comparisons.evaluation.task]
    pairs = {arm: [item for one in shown for item in comparisons.against([arm], one)] for arm in arms}
    found = [arm for arm in arms if arm in shown or any(item.answer == BETTER for item in pairs[arm])]
    sign = -1 if HIGHER_IS_BETTER[metric] else 1
    return sorted(found, key=lambda arm: sign * scores[arm][metric][0])


def _where(evaluation: Evaluation, words: Words) -> str:
    """``On the random split (77 test molecules in 60 groups)``."""
    n, groups, alike = len(set(evaluation.row_ids)), evaluation.n_groups, evaluation.effective_groups
    divisions = f", {evaluation.divisions} divisions" if evaluation.divisions > 1 else ""
    few = alike < MIN_GROUPS <= groups
    tell = f"{alike:.1f}" if few else f"{alike:.0f}"
    unequal = f", which tell as much as {tell} of equal size" if few or alike < UNEQUAL * groups else ""
    counted = f"{n} test {words.rows_are} in {groups} group{'s' * (groups != 1)}{unequal}{divisions}"
    return f"On the {evaluation.split} split ({counted}{_class_counts(evaluation)})"


def _none_learned(evaluation: Evaluation, controlled: Sequence[Difference], constant: str) -> str:
    """That no arm is better than a constant."""
    parts = []
    for relation, answers in (("worse than", (WORSE,)), ("not shown to be better than", (CANNOT_TELL, EQUIVALENT))):
        arms = [_label(evaluation, item.arm) for item in controlled if item.answer in answers]
        if arms:
            parts.append(f"{enumerated(arms)} {_is(arms)} {relation} {constant}")
    return f"no arm can be recommended: {', and '.join(parts)}."


def _recommended(
    evaluation: Evaluation,
    compared: list[Difference],
    shown: Sequence[str],
    learned: Sequence[str],
    constant: str,
    words: Words,
) -> tuple[str, str]:
    """The arm to use, and why; ``shown`` and ``learned`` as in `_learned`.

    That an arm is shown to be better than a constant and the baseline is not does not show the arm to be better than
    the baseline (Gelman and Stern 2006). Such an arm is named where its score is the better one, else the baseline is.
    """
    units = words.units
    if REFERENCE not in evaluation.scores:
        best = learned[0]
        return best, (
            f"{best} is better than {constant}: {_score(evaluation, best, units)}."
            f"{_of_classes(evaluation, best, words)} No baseline was run, so it cannot be told whether it was needed."
        )
    called = _called(evaluation, REFERENCE)
    rest = _rest(evaluation, compared, learned, constant, units, called)
    found_better = [item for item in compared if item.answer == BETTER and item.arm in learned]
    winners = sorted(found_better, key=_edge, reverse=True)
    if winners:
        winner = winners[0]
        also = [item.arm for item in winners[1:]]
        more = f" ({enumerated(also)} {_is(also)} better than {called} too)" if also else ""
        more += f": {called} serves as well" if winner.small else ""
        return winner.arm, (
            f"use {winner.arm}: {_score(evaluation, winner.arm, units)}, better than "
            f"{_preferred(evaluation)}, by {_amount(winner, units)}{more}."
            f"{_of_classes(evaluation, winner.arm, words)}{rest}"
        )
    ahead = {item.arm for item in compared if (item.value > 0) == HIGHER_IS_BETTER[item.metric]}
    leading = [arm for arm in learned if arm in ahead]
    if REFERENCE not in learned and leading:
        return leading[0], (
            f"use {leading[0]}: {_score(evaluation, leading[0], units)}, better than "
            f"{constant}, which {_preferred(evaluation)}, is not shown to be; that does not show it to be better than "
            f"{called}.{_of_classes(evaluation, leading[0], words)}{rest}"
        )
    alone = ""
    if REFERENCE not in shown:
        behind = [arm for arm in shown if arm not in ahead]
        alone = (
            f" By itself {called} is not shown to be better than {constant}; {enumerated(behind)} {_is(behind)}, but "
            "with no better score."
        )
    use = evaluation.main_baseline
    apart = "" if evaluation.only_reference else "with the one of each division, "
    return use, (
        f"use {_preferred(evaluation)}: {apart}{_score(evaluation, REFERENCE, units)}.{alone}{_blind(use, words)}"
        f"{_of_classes(evaluation, REFERENCE, words)}{rest}"
    )


def _blind(use: str, words: Words) -> str:
    """A word on an arm that knows no chemistry."""
    if use in words.text_only:
        return (
            f" {use} reads the notation as text and knows no chemistry: see with chemtune audit whether the notation "
            "gives the answer away."
        )
    if use in words.structureless:
        return f" {use} knows no structures: nothing here shows that chemistry helps."
    return ""


def _class_counts(evaluation: Evaluation) -> str:
    """How many test rows each class has, the rarest first; each row counts once."""
    if evaluation.task != CLASSES:
        return ""
    truth = dict(zip(evaluation.row_ids, evaluation.truth, strict=True))
    counts = sorted(Counter(truth.values()).items(), key=lambda pair: pair[::-1])
    return "; " + ", ".join(f"{count} of class {label}" for label, count in counts)


def _of_classes(evaluation: Evaluation, arm: str, words: Words) -> str:
    """What the answers of a recommended arm are worth; and classes that it never answers, although there are test rows
    of them."""
    if evaluation.task != CLASSES:
        return ""
    scores = {metric: float(evaluation.scores[arm][metric][0]) for metric in ("auprc", "mcc", "recall")}
    said, name = "", _called(evaluation, arm)
    if len(evaluation.classes) == 2:
        positive = evaluation.positive or evaluation.classes[1]
        share = np.mean(evaluation.truth == positive)
        said = (
            f" It finds {scores['recall']:.0%} of class {positive} ({LABELS['mcc']} {number(scores['mcc'])};"
            f" {LABELS['auprc']} {number(scores['auprc'])}, where a random order has {number(share)})."
        )
    missing = sorted(set(evaluation.truth) - set(evaluation.predicted[arm]))
    if missing:
        ranks = "It ranks, but its answers do not say so: " if said else ""
        hint = " --threshold mcc chooses another threshold on held-out training rows." if said and words.even else ""
        said += f" {ranks}{name} never answers {enumerated(missing)} ({LABELS['mcc']} {number(scores['mcc'])}).{hint}"
    return said


def _power(verdict: Verdict, comparisons: Comparisons, words: Words) -> str:
    """The smallest difference that the test finds, and what it would take to find one of a tenth.

    It is about the primary comparison; without one, about the constant where nothing is shown to be better than that.
    """
    evaluation = comparisons.evaluation
    item = next((one for one in comparisons.found if one.family == FIRST), None)
    item = item or next(iter(verdict.comparisons), None)
    if item is None and not verdict.learned:
        item = next(iter(verdict.against_control), None)
    if item is None or not item.smallest > 0 or evaluation.effective_groups < MIN_GROUPS:
        return ""
    arm, other = (_called(evaluation, name) for name in (item.arm, item.other))
    error = float(evaluation.scores[item.other][item.metric][0])
    if item.smallest > RANGE[item.metric][1] - error:
        perfect = f"{LABELS[item.metric]} of {number(RANGE[item.metric][1])}"
        return f" The power to tell even an {perfect} from that of {other} is below 80 %."
    said = f" The power to find a difference between {arm} and {other} is 80 % if it is {number(item.smallest)}"
    said += _suffix(item, words.units)
    if HIGHER_IS_BETTER[item.metric] or not error > item.smallest:
        return f"{said} or more."
    share = item.smallest / error
    said += f" ({share:.0%} of the {LABELS[item.metric]} of {other}) or more"
    if share <= WANTED or evaluation.seed_errors(item.arm, item.other):  # more rows do not lessen what seeds add
        return f"{said}."
    rows, everyone = len(set(evaluation.row_ids)), words.rows
    needed = float(f"{rows * (share / WANTED) ** 2:.2g}")
    how = f"; {WANTED:.0%} would take about {number(needed)} test {words.rows_are}"
    if evaluation.divisions == 1 and evaluation.split in words.foldable and needed * FOLDED <= everyone:
        how += f" (--folds 5 tests all {everyone})"
    elif needed > everyone:
        how += f", more than the {everyone} of this table"
    return f"{said}{how}."


def _missed(better: list[Difference], preferred: str, units: str) -> str:
    """Baselines that do better on the test rows than the one that validation on training rows prefers."""
    if not better:
        return ""
    listed = enumerated([f"{item.arm} (by {_amount(item, units)})" for item in sorted(better, key=_edge, reverse=True)])
    return f" Not preferred by validation, but better than {preferred} on these test rows: {listed}."


def _of_divisions(evaluation: Evaluation) -> str:
    """In how many divisions the main baseline is preferred, where they differ."""
    if evaluation.only_reference:
        return ""
    return f" in {evaluation.reference.count(evaluation.main_baseline)} of {len(evaluation.reference)} divisions"


def reference_name(evaluation: Evaluation) -> str:
    """The preferred baseline; where divisions differ, the one that most of them prefer, and in how many."""
    return evaluation.main_baseline + _of_divisions(evaluation)


def _preferred(evaluation: Evaluation) -> str:
    return f"{evaluation.main_baseline}, the baseline that validation prefers{_of_divisions(evaluation)}"


def _label(evaluation: Evaluation, arm: str) -> str:
    """An arm as a list names it; the reference is the baseline behind it."""
    if arm != REFERENCE:
        return arm
    return f"{evaluation.main_baseline} (preferred by validation{_of_divisions(evaluation)})"


def _called(evaluation: Evaluation, arm: str) -> str:
    """An arm by its name; the reference by that of the baseline, or as such where divisions prefer several."""
    return (evaluation.only_reference or "the preferred baseline") if arm == REFERENCE else arm


def _is(items: Sequence[str]) -> str:
    return "is" if len(items) == 1 else "are"


def _edge(item: Difference) -> float:
    """The side of the interval nearest to no difference, as a gain."""
    return item.low if HIGHER_IS_BETTER[item.metric] else -item.high


def _rest(
    evaluation: Evaluation,
    compared: list[Difference],
    learned: Sequence[str],
    constant: str,
    units: str,
    name: str,
) -> str:
    """What is said of the other arms in question against the preferred baseline, which is named."""
    parts = []
    unproven = [item for item in compared if item.answer == BETTER and item.arm not in learned]
    if unproven:
        listed = enumerated([f"{item.arm} by {_amount(item, units)}" for item in unproven])
        parts.append(f" Better than {name}, but not shown to be better than {constant}: {listed}.")
    worse = [f"{item.arm} by {_amount(item, units)}" for item in compared if item.answer == WORSE]
    if worse:
        parts.append(f" Worse than {name}: {enumerated(worse)}.")
    same = [f"{item.arm} ({_signed(item, units)})" for item in compared if item.answer == EQUIVALENT]
    if same:
        within = f"{number(compared[0].margin)}{_suffix(compared[0], units)}"
        parts.append(f" Equivalent to {name}, within {within}: {enumerated(same)}.")
    unknown = [f"{item.arm} ({_signed(item, units)})" for item in compared if item.answer == CANNOT_TELL]
    if unknown:
        parts.append(f" Whether better or worse than {name} this test cannot tell: {enumerated(unknown)}.")
    for arm in (item.arm for item in compared if item.arm in evaluation.unanswered):
        count, rows = evaluation.unanswered[arm], len(evaluation.row_ids)
        instead = "wrong" if evaluation.task == CLASSES else "the training mean"
        parts.append(f" {arm} gave no answer of its own on {count} of {rows} rows: they are scored as {instead}.")
    return "".join(parts)


def _score(evaluation: Evaluation, arm: str, units: str) -> str:
    metric = PRIMARY[evaluation.task]
    low, high = evaluation.interval(arm, metric)
    suffix = f" {units}" if units and metric == "mae" else ""
    return f"{LABELS[metric]} {number(evaluation.scores[arm][metric][0])}{suffix} [{number(low)} to {number(high)}]"


def _amount(item: Difference, units: str) -> str:
    low, high = sorted((abs(item.low), abs(item.high)))  # on one side of zero: it is better or worse
    less = f" (less than matters, {number(item.margin)}{_suffix(item, units)})" if item.small else ""
    return f"{number(abs(item.value))}{_suffix(item, units)} [{number(low)} to {number(high)}]{less}"


def _signed(item: Difference, units: str) -> str:
    return f"{signed(item.value)}{_suffix(item, units)} [{signed(item.low)} to {signed(item.high)}]"


def _suffix(item: Difference, units: str) -> str:
    return f" {units}" if units and item.metric == "mae" else ""


def ladder_sentence(found: Sequence[Verdict], compared: Sequence[Comparisons]) -> str:
    """Where along the splits the arm to use changes; nothing to say of fewer than three.

    It changes where another arm is shown to be better than the one used so far. Where validation only prefers another
    one, that is said as such.
    """
    if len(found) < 3:
        return ""
    told = [(verdict, of) for verdict, of in zip(found, compared, strict=True) if verdict.use]
    unknown = [verdict.split for verdict in found if not verdict.use]
    rest = f" No arm can be named on {enumerated(unknown)}." if unknown else ""
    if not told:
        return ""
    runs: list[tuple[str, list[str]]] = [(str(told[0][0].use), [])]
    preferred: dict[str, list[str]] = {}
    for verdict, of in told:
        use, current = str(verdict.use), runs[-1][0]
        item = of.between(use, current) if use != current else None
        if item is not None and item.answer == BETTER:
            runs.append((use, []))
        elif use != current:
            preferred.setdefault(f"{use} in place of {current}", []).append(verdict.split)
        runs[-1][1].append(verdict.split)
    if preferred:
        listed = "; ".join(f"{what} on {enumerated(splits)}" for what, splits in preferred.items())
        rest = f" Single verdicts name another arm, which is not shown to be better: {listed}.{rest}"
    if len(runs) == 1:
        return f"No arm that a later split names is shown to beat {runs[0][0]} ({enumerated(runs[0][1])}).{rest}"
    said = "; ".join(f"{arm} on {enumerated(splits)}" for arm, splits in runs)
    return f"From split to split the arm to use changes first at {runs[1][1][0]}: {said}.{rest}"


def drop_sentence(easy: Evaluation, hard: Evaluation, arm: str, label: str, units: str) -> str:
    """How an arm's metric changes from one split to the other; the two test sets are taken as independent."""
    metric = PRIMARY[easy.task]
    changed = drop(easy, hard, arm)
    low, high = changed.interval()
    suffix = f" {units}" if units and metric == "mae" else ""
    few = min(easy.effective_groups, hard.effective_groups) < MIN_GROUPS
    between = ", without an interval: too few groups" if few else f" [{signed(low)} to {signed(high)}]"
    return (
        f"From {easy.split} to {hard.split} the {LABELS[metric]} of {label} goes from "
        f"{number(easy.scores[arm][metric][0])} to {number(hard.scores[arm][metric][0])}{suffix} "
        f"({signed(changed.value)}{between})."
    )
