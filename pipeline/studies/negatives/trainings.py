"""What is trained, and on which rows."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from pipeline.arms.ladder import is_language_model
from pipeline.studies.negatives import decoys
from pipeline.studies.negatives.experiment import (
    ALL_ROWS,
    ALWAYS_YES,
    ANYWHERE,
    AS_PUBLISHED,
    DECOYS,
    DOSE,
    FAMILIARITY,
    FEW_KNOWN,
    FIXED_N,
    FIXED_POSITIVES,
    HIDING,
    KNOWN_SHARE,
    LABELS_ALONE,
    LIKELIHOOD,
    MIN_KNOWN,
    ONE_CLASS,
    PUBLISHED,
    SENSITIVITY_DOSES,
    SPIES,
    UNLABELLED,
    YIELDS_ALONE,
    Experiment,
    Training,
)


def trainings(experiment: Experiment) -> list[Training]:
    """All that is trained, in the order of work: cheap ones first, seeds outermost for the language model."""
    settings = experiment.settings
    found = [Training(ALWAYS_YES, "none", FIXED_POSITIVES, None, 0)]
    for seed in range(settings.seeds):
        for learner in experiment.learners:
            found += _of_learner(experiment, learner, seed)
    dropped = left_out(experiment)
    found = [training for training in found if training.scheme not in dropped]
    return sorted(found, key=lambda training: is_language_model(training.learner) or training.learner == LIKELIHOOD)


def left_out(experiment: Experiment) -> tuple[str, ...]:
    """Schemes that hide most successes, where too few would be left."""
    return HIDING if _known_at_most(experiment) < MIN_KNOWN else ()


def _known_at_most(experiment: Experiment) -> int:
    """Successes that are left known where most are hidden."""
    return round(KNOWN_SHARE * int(experiment.success.loc[list(experiment.train)].sum()))


def heading(experiment: Experiment, scheme: str) -> str:
    """Under which a scheme is compared: a heading of its own where it cannot have as many successes as the others."""
    if scheme in HIDING and _known_at_most(experiment) < wanted_successes(experiment, FIXED_POSITIVES, 0):
        return FEW_KNOWN
    if scheme == PUBLISHED:
        wanted = wanted_successes(experiment, FIXED_POSITIVES, 0)
        seeds = range(experiment.settings.seeds)
        if any(len(literature(experiment, seed).positives) < wanted for seed in seeds):
            return AS_PUBLISHED
    return FIXED_POSITIVES


def wanted_successes(experiment: Experiment, variant: str, seed: int) -> int:
    """How many successes are trained on under a heading; with `FIXED_N` before a dose takes the place of some."""
    every = int(experiment.success.loc[list(experiment.train)].sum())
    if variant == ALL_ROWS:
        return every
    wanted = min(experiment.settings.positives or every, every)
    if variant == FEW_KNOWN:
        return min(wanted, _known_at_most(experiment))
    return min(wanted, len(literature(experiment, seed).positives)) if variant == AS_PUBLISHED else wanted


def sensitivity_trainings(experiment: Experiment) -> list[Training]:
    """What the classical models are trained on at another threshold: successes alone, and the doses."""
    settings = experiment.settings
    variant = ALL_ROWS if settings.positives else FIXED_POSITIVES
    doses = [dose for dose in settings.doses if dose in SENSITIVITY_DOSES] or list(settings.doses)
    return [
        Training(scheme, learner, variant, dose, seed)
        for learner in experiment.learners
        if not is_language_model(learner)
        for seed in range(settings.seeds)
        for scheme, dose in ((YIELDS_ALONE, None), *((DOSE, dose) for dose in doses))
    ]


def _of_learner(experiment: Experiment, learner: str, seed: int) -> list[Training]:
    if is_language_model(learner):
        return _of_language_model(experiment, learner, seed)
    settings = experiment.settings
    schemes = [LABELS_ALONE, YIELDS_ALONE, PUBLISHED, *_decoy_schemes(experiment)]
    if learner == "drfp-rf":
        schemes += [*ONE_CLASS, *UNLABELLED]
    found = [Training(scheme, learner, heading(experiment, scheme), None, seed) for scheme in schemes]
    variants = (FIXED_POSITIVES, FIXED_N, *([ALL_ROWS] if settings.positives else []))
    found += [Training(DOSE, learner, variant, dose, seed) for variant in variants for dose in settings.doses]
    if settings.positives:
        found.append(Training(YIELDS_ALONE, learner, ALL_ROWS, None, seed))
    return found + _controls(experiment, found, settings.doses)


def _of_language_model(experiment: Experiment, learner: str, seed: int) -> list[Training]:
    """The curve and its ends with every seed, what else there is with the first: minutes of work each."""
    settings, stand_ins = experiment.settings, _decoy_schemes(experiment)
    schemes = [LABELS_ALONE, YIELDS_ALONE, *stand_ins[:1]]
    found = [Training(DOSE, learner, FIXED_POSITIVES, dose, seed) for dose in settings.lm_doses]
    if settings.lm_extras:
        found.append(Training(FAMILIARITY, LIKELIHOOD, FIXED_POSITIVES, None, seed))
    if settings.lm_extras and seed == 0:
        schemes += [*(scheme for scheme in stand_ins[1:] if scheme != ANYWHERE), PUBLISHED, SPIES]
        middle = sorted(settings.lm_doses)[len(settings.lm_doses) // 2]
        found.append(Training(DOSE, learner, FIXED_N, middle, seed))
    found += [Training(scheme, learner, heading(experiment, scheme), None, seed) for scheme in schemes]
    return found + _controls(experiment, found, settings.lm_doses)


def _controls(experiment: Experiment, found: list[Training], doses: tuple[float, ...]) -> list[Training]:
    """Real failures beside as few successes as some schemes must do with: the largest dose, under their heading."""
    dropped = left_out(experiment)
    of_heading = {
        replace(training, scheme=DOSE, dose=max(doses))
        for training in found
        if training.variant in (FEW_KNOWN, AS_PUBLISHED) and training.scheme not in dropped
    }
    return sorted(of_heading, key=lambda training: training.variant)


def _decoy_schemes(experiment: Experiment) -> list[str]:
    return list(DECOYS) if decoys.PRODUCT in experiment.table.components else []


@dataclass(frozen=True)
class Draw:
    """The training rows of one training: ids of successes and of failures."""

    positives: list[str]
    negatives: list[str]


def draw(experiment: Experiment, training: Training) -> Draw:
    """Rows by seed: a larger dose holds a smaller one, and all learners get the same.

    At a dose of k percent there are k percent as many failures as the training rows hold for so many successes; with
    ``fixed N`` they take the place of successes, so that the number of rows stays that of the successes alone.
    """
    train, success = experiment.train, experiment.success
    rng = np.random.default_rng([experiment.seed, training.seed])
    hit = success.loc[list(train)].to_numpy()
    positives, negatives = rng.permutation(train[hit]), rng.permutation(train[~hit])
    count = wanted_successes(experiment, training.variant, training.seed)
    share = count / len(positives)
    failing = round((training.dose or 0.0) / 100 * share * len(negatives))
    failing = max(failing, 1) if training.dose else 0
    kept = count
    if training.variant == FIXED_N:
        failing = round(count * failing / (count + failing))  # the same mixture, in so many rows
        failing = max(failing, 1) if training.dose else 0
        kept = count - failing
    return Draw(list(positives[:kept]), list(negatives[:failing]))


def literature(experiment: Experiment, seed: int) -> Draw:
    """Training rows drawn as a literature that prefers high yields has them, all of them or up to so many successes."""
    settings = experiment.settings
    rng = np.random.default_rng([experiment.seed, seed, 1])
    order = rng.permutation(experiment.train)
    yields = experiment.yields.loc[list(order)].to_numpy()
    chance = 1 / (1 + np.exp(-(yields - settings.published_from) / settings.published_width))
    kept = order[rng.random(len(order)) < chance]
    hit = experiment.success.loc[list(kept)].to_numpy()
    if settings.positives:
        within = np.cumsum(hit) <= settings.positives
        kept, hit = kept[within], hit[within]
    return Draw(list(kept[hit]), list(kept[~hit]))
