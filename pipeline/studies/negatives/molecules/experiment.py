"""What a model of two classes of molecules cannot know that has seen one of them alone, and what stands in for it.

One fixed test set with true positives and true negatives; training sets that differ in what stands beside the
positives: nothing, decoys, rows whose class is not looked at, a dose of true negatives. Every model is judged on the
same test rows, and, as benchmarks of decoys are, on decoys that were held out.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import pandas as pd

from pipeline.arms.ladder import CONTROLS, is_language_model
from pipeline.errors import InputError
from pipeline.reporter import Reporter
from pipeline.runs.context import Context
from pipeline.runs.prepare import cleaned, with_splits
from pipeline.settings.run import RunConfig
from pipeline.settings.study import require_canonical, require_molecules
from pipeline.settings.threshold import EVEN
from pipeline.splits.splitters import Split
from pipeline.studies.experiment import StudyExperiment
from pipeline.studies.negatives.molecules.pool import nearest_in_properties, pool_of, unlike
from pipeline.studies.negatives.settings import NegativesSettings
from pipeline.studies.tested import Tested, check_test_groups
from pipeline.tables.targets import CLASSES

CLASSICAL = ("rf-bits", "extratrees")
# What stands beside the positives.
ALONE, RANDOM, MATCHED, UNLABELLED = "positives alone", "random decoys", "matched decoys", "unlabelled rows"
DOSE, PERMUTED = "true negatives", "permuted labels"
DECOYS = (RANDOM, MATCHED)
# How many rows are trained on: as many in all whatever they are, or all that there are.
EQUAL, ALL_ROWS = "equal numbers", "all rows"
# What is trained besides the arms: over Morgan counts, and over two properties alone.
ONE_CLASS = ("one-class SVM", "isolation forest", "nearest neighbours")
BAGGING, ELKAN_NOTO, FOREST = "PU bagging", "Elkan-Noto", "forest"
OVER_COUNTS = (*ONE_CLASS, BAGGING, ELKAN_NOTO, FOREST)
PROPERTIES = "logP and TPSA"
DOES = {
    ONE_CLASS[0]: "one-class support vector machine, Tanimoto kernel on Morgan counts",
    ONE_CLASS[1]: "isolation forest on Morgan counts",
    ONE_CLASS[2]: "mean similarity to the five nearest positives, Tanimoto on Morgan counts",
    BAGGING: "positives against draws of the unlabelled rows, averaged (Mordelet and Vert 2014); forests on the same",
    ELKAN_NOTO: "positives against unlabelled rows, corrected for those not known (Elkan and Noto 2008); the same",
    FOREST: "random forest on Morgan counts: what those above are with true negatives",
    PROPERTIES: "control: logistic regression on logP and polar surface, their squares and product",
}
MEANS = {
    ALONE: "one class alone; the line leaves out 5 % of the positives that were held back",
    RANDOM: "molecules of other tables, drawn at random, as negatives: the control of the next",
    MATCHED: "the same, each the nearest to a positive in molecular weight, logP, polar surface, rings, donors, "
    "acceptors, rotatable bonds and charge, and not taken yet",
    UNLABELLED: "training rows whose class is not looked at, as negatives or as what they are (PU learning)",
    DOSE: "a share of the true negatives",
    PERMUTED: "null: true negatives, the classes dealt to the rows at random",
}
TRUE = "true negatives of the test"  # what models are judged against; or held-out decoys of a kind
LEAST_HALF = 10  # rows of each class to train on where numbers are equal
LEAST_OF_DOSE = 5  # true negatives
LEAST_TESTED = 5  # test rows of each class
LEAST_DECOYS = 10  # of a kind to train on, and to be held out
TAKEN = 0.5  # of the pool at most, or the nearest that is left is far


@dataclass(frozen=True)
class Training:
    """One way of training, by one learner, from one draw of the rows."""

    scheme: str
    arm: str
    frame: str
    dose: float | None
    seed: int

    @property
    def label(self) -> str:
        dose = "" if self.dose is None else f" {self.dose:g} %"
        return f"{self.scheme}{dose}, {self.arm}, {self.frame}, seed {self.seed}"


@dataclass(frozen=True)
class Draw:
    """The training rows of one training.

    Attributes
    ----------
    positives, others : tuple of str
        Rows; the others are negatives, or unlabelled.
    decoys : tuple of str
        SMILES; each stands beside the positive of its place.
    """

    positives: tuple[str, ...]
    others: tuple[str, ...] = ()
    decoys: tuple[str, ...] = ()


@dataclass(frozen=True)
class Experiment(StudyExperiment[NegativesSettings]):
    """One split of the table, and what is asked of it."""

    split: Split

    @cached_property
    def tested(self) -> Tested:
        return Tested(self.context, self.split)

    @cached_property
    def positive(self) -> pd.Series:
        """Whether each row is a positive, by ``row_id``."""
        return self.context.targets(self.split.folds[0]).astype(str) == self.context.positive

    @property
    def positive_tested(self) -> np.ndarray:
        """Whether each test row is a positive. Shape (n,)."""
        found: np.ndarray = self.positive.loc[self.tested.test].to_numpy()
        return found

    @cached_property
    def trained(self) -> tuple[np.ndarray, np.ndarray]:
        """Positives and negatives among the training rows, sorted."""
        rows = np.array(sorted(self.split.folds[0].train), dtype=object)
        own = self.positive.loc[list(rows)].to_numpy()
        return rows[own], rows[~own]

    def smiles(self, rows: np.ndarray) -> list[str]:
        return [str(text) for text in self.table.inputs.loc[list(rows)].iloc[:, 0]]

    # -- decoys --

    @cached_property
    def _pool(self) -> tuple[list[str], list[str]]:
        """The molecules that decoys for training are drawn from, and those for the test: unlike the positives of the
        training rows, and for the test, as benchmarks have it, unlike those of the test as well."""
        pool = np.array(pool_of(self.context), dtype=object)
        order = np.random.default_rng([self.seed, 1]).permutation(len(pool))
        held = order[: round(self.context.config.test_size * len(pool))]
        positives, most = self.smiles(self.trained[0]), self.settings.decoy_similarity
        of_training = list(pool[np.sort(order[len(held) :])])
        of_test = list(pool[np.sort(held)])
        tested = self.smiles(np.array(self.tested.test, dtype=object)[self.positive_tested])
        return (
            [text for text, kept in zip(of_training, unlike(of_training, positives, most), strict=True) if kept],
            [text for text, kept in zip(of_test, unlike(of_test, positives + tested, most), strict=True) if kept],
        )

    @cached_property
    def most_decoys(self) -> tuple[int, int]:
        """How many decoys can be trained on at most, and how many are held out; (0, 0) where that is too few."""
        found = [
            min(int(TAKEN * len(pool)), count)
            for pool, count in zip(self._pool, (len(self.trained[0]), int(self.positive_tested.sum())), strict=True)
        ]
        return (found[0], found[1]) if min(found) >= LEAST_DECOYS else (0, 0)

    @property
    def has_decoys(self) -> bool:
        return self.most_decoys[1] > 0

    def decoys(self, kind: str, seed: int) -> list[str]:
        """Decoys for training, in the order of the positives of a seed."""
        return self.context.once(
            ("decoys", self.split.name, kind, seed),
            lambda: self._drawn(kind, self._pool[0], self.order(seed)[0][: self.most_decoys[0]], [self.seed, seed, 2]),
        )

    def held_out(self, kind: str) -> list[str]:
        """Decoys for positives of the test, which no model is trained on."""
        return self.context.once(
            ("held out", self.split.name, kind),
            lambda: self._drawn(kind, self._pool[1], self.held_out_for, [self.seed, 4]),
        )

    @cached_property
    def held_out_for(self) -> np.ndarray:
        """The positives of the test that held-out decoys stand beside."""
        tested = np.array(self.tested.test, dtype=object)[self.positive_tested]
        return np.random.default_rng([self.seed, 3]).permutation(tested)[: self.most_decoys[1]]

    def _drawn(self, kind: str, pool: list[str], beside: np.ndarray, seed: list[int]) -> list[str]:
        if kind == RANDOM:
            return [pool[place] for place in np.random.default_rng(seed).permutation(len(pool))[: len(beside)]]
        return [pool[place] for place in nearest_in_properties(self.smiles(beside), pool)]

    # -- rows --

    @cached_property
    def half(self) -> int:
        """Rows of each class where numbers are equal; twice as many positives are what one class alone has."""
        positives, negatives = map(len, self.trained)
        limits = [negatives, positives // 2]
        if self.settings.positives:
            limits.append(self.settings.positives // 2)
        if self.has_decoys:
            limits.append(self.most_decoys[0])
        return min(limits)

    def order(self, seed: int) -> tuple[np.ndarray, np.ndarray]:
        """Positives and negatives of the training rows in the order of a seed."""
        rng = np.random.default_rng([self.seed, seed, 7])
        positives, negatives = self.trained
        return rng.permutation(positives), rng.permutation(negatives)

    def draw(self, training: Training) -> Draw:
        """Rows by seed: a larger dose holds a smaller one, and all learners get the same.

        Where numbers are equal there are twice `half` rows, of which what stands beside the positives are `half`, or
        at a dose of k percent k percent of that; positives are the rest.
        """
        positives, negatives = self.order(training.seed)
        half, equal, scheme = self.half, training.frame == EQUAL, training.scheme
        if scheme == ALONE:
            return Draw(tuple(positives[: 2 * half] if equal else positives))
        if scheme in DECOYS:
            decoys = self.decoys(scheme, training.seed)
            known = positives[:half] if equal else positives
            return Draw(tuple(known), (), tuple(decoys[: len(known)]))
        if scheme == UNLABELLED:
            rest = np.sort(np.concatenate([positives[half:], negatives]))
            rng = np.random.default_rng([self.seed, training.seed, 5])
            return Draw(tuple(positives[:half]), tuple(rng.permutation(rest)[:half]))
        share = 1.0 if training.dose is None else training.dose / 100
        most = half if equal else len(negatives)
        count = min(max(round(share * most), LEAST_OF_DOSE), most)
        return Draw(tuple(positives[: 2 * half - count] if equal else positives), tuple(negatives[:count]))


# -- preparing -------------------------------------------------------------------------------


def prepare(config: RunConfig, settings: NegativesSettings, reporter: Reporter) -> Context:
    """The table with two classes, and the splits that the settings name.

    Raises
    ------
    InputError
        If the table holds no classes of molecules, no positive class is known, or there is too little of either class.
    """
    require_molecules(config)
    require_canonical(config, "shows molecules as canonical SMILES")
    arms = tuple(name for arm in settings.arms for name in (CLASSICAL if arm == "classical" else (arm,)))
    positive = settings.positive or config.positive
    config = replace(config, arms=arms, positive="", threshold=EVEN, steps=config.steps or settings.lm_steps)
    config = replace(config, split=settings.split, folds=0, repeats=1, n_train=0)
    context = cleaned(config, arms, reporter)
    context = _of_two_classes(context, positive)
    names = tuple(arm for arm in context.arms if arm not in CONTROLS.values())
    if not any(map(is_language_model, names)):
        settings = replace(settings, positives=0, test_rows=0)
    context = with_splits(replace(context, arms=names, settings=settings), reporter)
    context = replace(context, splits=tuple(_fewer_tested(context, split) for split in context.splits))
    for experiment in experiments(context):
        _check(experiment)
    return context


def _of_two_classes(context: Context, positive: str) -> Context:
    """The context with one class as positive, and all others as one."""
    table, config = context.table, context.config
    if context.task != CLASSES:
        raise InputError(
            f"{config.table}: {config.target!r} holds numbers; of molecules the study is about two classes (--bins 2 "
            "makes two of them)"
        )
    classes = context.classes
    if positive and positive not in classes:
        raise InputError(f"positive is {positive!r}; the classes of {config.target!r} are {', '.join(classes)}")
    if len(classes) == 2:
        return replace(context, config=replace(config, positive=positive))
    if not positive:
        raise InputError(
            f"{config.table}: {config.target!r} has {len(classes)} classes ({', '.join(classes)}); say with --positive "
            "which one is known, against all others"
        )
    if config.bins:
        raise InputError(f"bins is {config.bins}; of molecules the study is about two classes (--bins 2)")
    other = f"not {positive}"
    targets = table.frame["target"].astype(str)
    frame = table.frame.assign(target=np.where(targets == positive, positive, other))
    table = replace(table, frame=frame, classes=tuple(sorted((positive, other))))
    return replace(context, table=table, config=replace(config, positive=positive))


def _fewer_tested(context: Context, split: Split) -> Split:
    """The split with at most as many test rows as the settings say; of both classes as many as there are of each."""
    (fold,), most = split.folds, context.settings.test_rows
    if not most or len(fold.test) <= most:
        return split
    rows = np.random.default_rng([context.config.seed, 6]).permutation(np.array(sorted(fold.test), dtype=object))
    own = context.targets(fold).astype(str).loc[list(rows)].to_numpy() == context.positive
    positives, negatives = rows[own], rows[~own]
    fewer = min(len(negatives), most - min(len(positives), most // 2))
    kept = [*positives[: most - fewer], *negatives[:fewer]]
    return replace(split, folds=(replace(fold, test=tuple(sorted(kept))),))


def _check(experiment: Experiment) -> None:
    name, said = experiment.split.name, experiment.context.positive
    tested = int(experiment.positive_tested.sum()), int((~experiment.positive_tested).sum())
    if min(tested) < LEAST_TESTED:
        raise InputError(
            f"split {name!r} tests {tested[0]} positives ({said}) and {tested[1]} negatives; at least {LEAST_TESTED} "
            "of each are needed (another split, or a larger --test-size)"
        )
    check_test_groups(experiment.context, experiment.split)
    positives, negatives = map(len, experiment.trained)
    if experiment.half < LEAST_HALF:
        raise InputError(
            f"split {name!r}: {positives} positives ({said}) and {negatives} negatives to train on; at least "
            f"{2 * LEAST_HALF} positives and {LEAST_HALF} negatives are needed"
            + (f" (positives is {experiment.settings.positives})" if experiment.settings.positives else "")
        )


def experiments(context: Context) -> list[Experiment]:
    """One for each split."""
    return context.once("experiments", lambda: [Experiment(context, split) for split in context.splits])


def experiment_of(context: Context, split: str) -> Experiment:
    """That of a split, by its name."""
    return next(one for one in experiments(context) if one.split.name == split)


def left_out(experiment: Experiment) -> list[str]:
    """What is not trained, and why."""
    if experiment.has_decoys:
        return []
    tested = int(experiment.positive_tested.sum())
    if tested < LEAST_DECOYS:
        return [f"{RANDOM} and {MATCHED}: the test has {tested} positives; {LEAST_DECOYS} are needed"]
    kept = min(int(TAKEN * len(pool)) for pool in experiment._pool)
    return [
        f"{RANDOM} and {MATCHED}: {kept} can be drawn of {len(pool_of(experiment.context))} molecules that are not in "
        f"the table, and unlike its positives; {LEAST_DECOYS} are needed (--pool names a file of others)"
    ]
