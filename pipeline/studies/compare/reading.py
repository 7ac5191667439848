"""How the comparisons of a run are to be read, and what changes from split to split: in words."""

from __future__ import annotations

import numpy as np

from pipeline.arms.ladder import is_language_model
from pipeline.evaluation.bootstrap import MIN_GROUPS
from pipeline.evaluation.comparison import FIRST, drop
from pipeline.evaluation.evaluations import REFERENCE, Evaluation
from pipeline.evaluation.numbers import number
from pipeline.evaluation.verdict import drop_sentence
from pipeline.runs.fits import primary_arm
from pipeline.runs.held_out import INNER_FOLDS
from pipeline.runs.training_seeds import seed_sentence
from pipeline.studies.compare.findings import Findings
from pipeline.tables.targets import CLASSES, REGRESSION


def how_to_read(found: Findings) -> list[str]:
    """What the intervals hold, when an arm is called better, and what is corrected: a paragraph each."""
    said = [_of_intervals(found), _of_answers(found), *_of_margins(found)]
    if any(evaluation.reference for evaluation in found.evaluations):
        said.append(
            "The baseline to compare with was chosen on validation parts of the training rows, not on the test rows."
        )
    return said


def _of_intervals(found: Findings) -> str:
    evaluations, tuned = found.evaluations, any(map(is_language_model, found.context.arms))
    perfect = ", and of perfect scores from the number of groups" if evaluations[0].task == CLASSES else ""
    said = [
        "Square brackets hold 95 % intervals; those of differences that are corrected for their number are wider. "
        "Those of scores come from 2,000 bootstrap resamples of whole test groups, widened where these are few or "
        f"unequal{perfect}."
    ]
    if len(evaluations) > 1:
        said.append(
            "Changes from split to split take the two test sets as independent, though they may share "
            f"{found.context.table.rows_are}."
        )
    whole = [one.split for one in evaluations if one.divisions == 1 and not one.refits]
    if whole:
        said.append(
            f"Arms on {', '.join(whole)} are compared on the same resamples; how another draw of training rows would "
            "change them is not in their intervals."
        )
    edges = [one.split for one in evaluations if one.refits]
    if edges:
        most = "; for language models, which are not, as much as it changes most among the baselines" if tuned else ""
        said.append(
            f"On {', '.join(edges)} much hangs on the draw of the training rows: the baselines are trained "
            f"{INNER_FOLDS} more times there, each time without a part of the training groups, and the intervals of "
            f"differences include what that changes{most}."
        )
    divided = [one.split for one in evaluations if one.divisions > 1]
    if divided:
        seeds = "; each division has a training seed of its own" if tuned else ""
        said.append(
            f"Scores on {', '.join(divided)} are means over the divisions, and their brackets reflect the sampling of "
            f"test rows alone, those of differences the sampling of test groups and of training rows{seeds}."
        )
    said.append(seed_sentence(found.seed_spreads, found.context.arms, evaluations))
    return " ".join(filter(None, said))


def _of_answers(found: Findings) -> str:
    said = (
        '"Better" and "worse" are said where the interval excludes zero and the test groups tell as much as ten of '
        "equal size, at the 5 % level for each kind of comparison on each split; splits are not corrected for one "
        "another; otherwise the test cannot tell. "
    )
    pairs = [pair for comparisons in found.comparisons for pair in comparisons.found]
    if any(pair.family == FIRST for pair in pairs):
        return (
            f"{said}The comparison of {primary_arm(found.context)} with the preferred baseline is pre-specified "
            "(primary) and not corrected; the others behind the verdict (planned) are corrected together (Holm), and "
            "all that are left (other) as a separate family."
        )
    return (
        f"{said}The comparisons behind the verdict (planned) are corrected together (Holm), and all that are left "
        "(other) as a separate family."
    )


def _of_margins(found: Findings) -> list[str]:
    units = found.context.table.units
    after = f" {units}" if units and found.context.task == REGRESSION else ""
    margins = [f"{number(margin)}{after} ({split})" for split, margin in found.margins.items() if margin]
    if not margins:
        return []
    chosen = (
        "as set"
        if found.context.config.margin
        else "the smaller of half the lower limit of the measurement noise and a tenth of the error of the preferred "
        "baseline on the same rows"
    )
    return [
        '"Equivalent" is said where two one-sided tests at that level put a difference that is not shown to differ '
        f"from zero within {', '.join(margins)}: {chosen}. That asks for the 90 % interval (a wider one where "
        "corrected), which is narrower than the one in brackets. It is never said against the trivial model (mean or "
        "majority)."
    ]


def changes(found: Findings) -> list[str]:
    """From the first split to each other: the preferred baseline and every language-model arm."""
    first, *others = found.evaluations
    return [sentence for other in others for _, sentence in _changed(found, first, other)]


def supported_changes(found: Findings) -> list[str]:
    """Those of `changes` whose interval excludes zero, where two splits are compared; a table says it of more."""
    if len(found.evaluations) != 2:
        return []
    first, other = found.evaluations
    if min(first.effective_groups, other.effective_groups) < MIN_GROUPS:
        return []
    return [sentence for arm, sentence in _changed(found, first, other) if _excludes_zero(first, other, arm)]


def _excludes_zero(first: Evaluation, other: Evaluation, arm: str) -> bool:
    low, high = drop(first, other, arm).interval()
    return bool(np.isfinite([low, high]).all() and (low > 0) == (high > 0))


def _changed(found: Findings, first: Evaluation, other: Evaluation) -> list[tuple[str, str]]:
    """The arms whose changes are told, each with its sentence."""
    followed = [(arm, arm) for arm in found.context.arms if is_language_model(arm)]
    if REFERENCE in first.scores and REFERENCE in other.scores:
        names = dict.fromkeys([first.main_baseline, other.main_baseline])
        followed.insert(0, (REFERENCE, f"the preferred baseline ({', then '.join(names)})"))
    return [(arm, drop_sentence(first, other, arm, label, found.context.table.units)) for arm, label in followed]
