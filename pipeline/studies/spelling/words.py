"""Spellings in sentences."""

from __future__ import annotations

from pipeline.evaluation.numbers import enumerated, number
from pipeline.studies.failure import NO, YES, Failure, Outcome
from pipeline.studies.spelling.findings import MEAN, Cure, Findings
from pipeline.studies.spelling.forms import CANONICAL, KEKULE, LIKE_LENGTH, RANDOM
from pipeline.studies.spelling.trainings import USUAL
from pipeline.studies.words import error_name, few_groups, one_seed, units_of, with_interval
from pipeline.tables.targets import CLASSES

NO_CURE = "give RDKit's canonical SMILES, as predict does; no cure that was tried is shown to do"
SAME = 1e-6  # of the spread of the target, below which predictions count as equal


def sentences(found: Findings) -> list[str]:
    """What a split says, in the order of importance."""
    return [
        *[_of_reader(found, arm) for arm in found.readers],
        *_length(found),
        *_control(found),
        *[one for arm in found.readers for one in _cures(found, arm)],
        *[one for arm in found.readers for one in _doubt(found, arm)],
        *few_groups(found.groups),
        *one_seed(found.seeds),
    ]


def _of_reader(found: Findings, arm: str) -> str:
    """How an arm that reads text does on other SMILES."""
    rows = int(found.rows(arm, RANDOM).sum())
    ratio = with_interval(found.ratio(arm, RANDOM))
    state = found.worse[arm, RANDOM]
    start = f"Split {found.split.name}: {arm}"
    if state == YES:
        said = f"{start} is {ratio} times as wrong on other SMILES of the same molecules"
    elif state == NO:
        said = f"{start} is less wrong on other SMILES of the same molecules ({ratio} times the error)"
    else:
        said = f"{start} is not shown to be more wrong on other SMILES of the same molecules ({ratio} times the error)"
    other, canonical = (with_interval(found.error(arm, form, rows_of=RANDOM)) for form in (RANDOM, CANONICAL))
    errors = f"{error_name(found)} {other}{units_of(found)} against {canonical}"
    return f"{said}: {errors} on canonical ones, {rows} test {found.context.table.rows_are}."


def _length(found: Findings) -> list[str]:
    """Whether it is the length of the other SMILES, or aromatic bonds, that are to blame."""
    said = []
    for form in (LIKE_LENGTH, KEKULE):
        arms = [arm for arm in found.readers if (arm, form) in found.worse]
        worse = [arm for arm in arms if found.worse[arm, form] == YES]
        if worse:
            ratios = [f"{arm} {with_interval(found.ratio(arm, form))}" for arm in worse]
            what = "Of other SMILES that are about as long" if form == LIKE_LENGTH else "Of Kekulé SMILES"
            why = ", so that length is not all of it" if form == LIKE_LENGTH else ""
            said.append(f"{what} the error is also larger, in times that of canonical ones: {', '.join(ratios)}{why}.")
        elif arms and form == LIKE_LENGTH:
            verb = "is" if len(arms) == 1 else "are"
            said.append(f"On other SMILES that are about as long {enumerated(arms)} {verb} not shown to be more wrong.")
    return said


def _control(found: Findings) -> list[str]:
    """Arms that read no text say the same, whatever the spelling; and the same text has the same prediction."""
    scale = 1.0 if found.context.task == CLASSES else float(found.context.table.targets.std()) or 1.0
    others = [arm for arm in found.arms if arm not in found.readers]
    moved = {arm: found.largest_change(arm, RANDOM) for arm in others}
    same = [arm for arm in others if moved[arm] <= SAME * scale]
    said = []
    if same:
        largest = max(moved[arm] for arm in same)
        exactly = "exactly the same" if largest == 0 else f"the same (to {number(largest)})"
        said.append(f"Control: {enumerated(same)} {'says' if len(same) == 1 else 'say'} {exactly} of all spellings.")
    said += [
        f"Warning: {arm}, which reads no text, changes a prediction by up to {number(moved[arm])} with the spelling."
        for arm in others
        if arm not in same
    ]
    noise = {arm: found.noise(arm) for arm in found.readers}
    noisy = [f"{arm} {number(value)}" for arm, value in noise.items() if value > 1e-3 * scale]
    if noisy:
        said.append(f"The same SMILES read twice, beside others, differs by up to: {', '.join(noisy)} (rounding).")
    return said


def _cures(found: Findings, arm: str) -> list[str]:
    """What mends an arm that is more wrong on other SMILES."""
    cures = found.cures(arm) if found.worse.get((arm, RANDOM)) == YES else []
    if not cures:
        return []
    good = [cure for cure in cures if found.verdicts[arm, cure] == (YES, YES)]
    what = "to take away half of the extra error at a cost of at most 5 % on canonical SMILES"
    if good:
        return [f"{arm}: {'; '.join(_cure(found, arm, cure) for cure in good)} is shown {what}."]
    most = max(cures, key=lambda cure: found.removed(arm, cure))
    cheapest = min(cures, key=lambda cure: found.cost(arm, cure)[0])
    parts = [f"most is taken away by {_cure(found, arm, most)}"]
    if cheapest != most:
        parts.append(f"least is the cost of {_cure(found, arm, cheapest)}")
    return [f"{arm}: none of {len(cures)} cures is shown {what}; {', '.join(parts)}."]


def _cure(found: Findings, arm: str, cure: Cure) -> str:
    """``trained: spellings (64 % taken away, error on canonical SMILES +35 % [0 to 81])``."""
    value, low, high = (100 * part for part in found.cost(arm, cure))
    price = f"{value:+.0f} % [{low:+.0f} to {high:+.0f}]"
    return f"{cure.name} ({percent(found.removed(arm, cure))} taken away, error on canonical SMILES {price})"


def percent(share: float) -> str:
    """A share without a sign at zero."""
    return f"{round(100 * share) + 0} %"


def _doubt(found: Findings, arm: str) -> list[str]:
    """Whether the spread over spellings tells where the prediction is wrong."""
    if MEAN not in found.forms(arm):
        return []
    value, low, high = found.doubt(arm, USUAL)
    which = "wrong answers" if found.context.task == CLASSES else "the fifth with the largest errors"
    told = "tells" if low > 0.5 else "misleads about" if high < 0.5 else "is not shown to tell"
    spread = f"{with_interval(found.spread(arm))}{units_of(found)}"
    return [
        f"Over its spellings a molecule's prediction by {arm} has a standard deviation of {spread}; that {told} "
        f"{which} (AUROC {with_interval((value, low, high))})."
    ]


def failure(found: Findings) -> Failure:
    """What a split says, for the page over all failure modes."""
    control = [arm for arm in found.arms if arm not in found.readers]
    moved = max((found.largest_change(arm, RANDOM) for arm in control), default=None)
    cures = [(arm, cure) for arm in found.readers for cure in found.cures(arm)]
    shown = [f"{arm}, {cure.name}" for arm, cure in cures if found.verdicts[arm, cure] == (YES, YES)]
    mend = f"shown to take away half at no more than 5 %: {'; '.join(shown)}" if shown else NO_CURE
    return Failure(
        f"{found.split.name} split: each of {int(found.rows(found.readers[0], RANDOM).sum())} test molecules from "
        f"{found.context.settings.spellings} other SMILES",
        "error on other SMILES over that on canonical ones",
        1.0,
        [Outcome(arm, found.split.name, found.ratio(arm, RANDOM), found.worse[arm, RANDOM]) for arm in found.readers],
        f"{enumerated(control)}, which read no text: largest change {number(moved)}" if moved is not None else "",
        mend,
        "other programs write other SMILES than these",
    )
