"""What a model cannot know that has seen only successes, and how many failures mend it.

One fixed test set with real successes and failures; training sets that differ in what they hold besides
successes: nothing, decoys, a dose of real failures, unlabelled rows. Every model is judged on the same test rows,
and on reactions that are foreign to the table.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pipeline.arms.ladder import is_language_model
from pipeline.cells import get_or_make, measured
from pipeline.config import RunConfig, make_config
from pipeline.errors import InputError
from pipeline.evaluation.detection import Scored
from pipeline.experiment import Run, language_model_key, limit_rows, load_raw, load_table, make_splits
from pipeline.failure_modes import decoys, judges
from pipeline.failure_modes.learners import LM_BATCH, code_of_learner, of_yields, resolve_learners, short_arm
from pipeline.failure_modes.settings import StressSettings, require_reactions
from pipeline.lm.defaults import WRITER
from pipeline.reporter import Reporter
from pipeline.splits.splitters import Split
from pipeline.tables.catalogue import cards
from pipeline.tables.reactions import FAILURE, SUCCESS, split_reaction
from pipeline.tables.table import Table
from pipeline.tables.targets import REGRESSION

NAME = "negatives"  # on the command line
CLASSICAL = ("drfp-rf", "components-lightgbm")
LIKELIHOOD = "lm-likelihood"  # the language model that writes reactions, as a learner
# Headings under which ways of training are compared: each has one number of successes for all that stands under it,
# but for FIXED_N, where a dose takes the place of successes.
FIXED_POSITIVES, FIXED_N, ALL_ROWS = "fixed positives", "fixed N", "all rows"
FEW_KNOWN, AS_PUBLISHED = "few known", "as published"
FOREIGN = "foreign table"
SCRAMBLED = "scrambled products"
FOREIGN_ROWS = 100
# Where stand-ins for failures are made from what is not known, most successes are hidden first: in a full-factorial
# table all that is left beside them would be exactly the failures.
KNOWN_SHARE = 0.2
MIN_KNOWN = 20  # successes that must be left known, or there is nothing to learn from them
SENSITIVITY_DOSES = (1.0, 10.0, 100.0)
MIN_TRAINED = 5  # successes and failures each, among the rows to train on


@dataclass(frozen=True)
class NegativesSettings(StressSettings):
    """The settings of the experiment, under ``stress: negatives:`` in a YAML file.

    Attributes
    ----------
    arms : tuple of str
        What is trained: ``baselines``, ``lm``, ``all``, or names of arms.
    split : tuple of str
        Each has one fixed test set.
    success : float
        A yield from which on a reaction is a success, in percent.
    sensitivity : tuple of float
        Other thresholds of success at which the classical models are trained and tested as well.
    seeds : int
        Training seeds; each draws its own training rows.
    doses, lm_doses : tuple of float
        Percent of the failures of the training rows, for the classical models and the language model.
    positives : int
        Successes to train on; 0 for all. With a language model, classical models are shown on all rows as well. Where
        a way of training must do with fewer, its control with real failures does too.
    test_rows : int
        At most this many test rows, drawn by seed; 0 for all.
    base_rate : float
        Share of successes that the user expects where the model will be used; 0 if not stated.
    published_from, published_width : float
        A reaction is published with probability ``1 / (1 + exp(-(yield - from) / width))``, yields in percent.
    lm_steps : int
        Optimiser steps of each training of the language model, 8 rows each.
    lm_extras : bool
        Also train the language model to write reactions (each seed), and with the other decoys, unlabelled rows,
        published rows and a fixed number of rows (first seed).
    """

    arms: tuple[str, ...] = ("all",)
    split: tuple[str, ...] = ("random",)
    success: float = 20.0
    sensitivity: tuple[float, ...] = (5.0, 50.0)
    seeds: int = 3
    doses: tuple[float, ...] = (1.0, 5.0, 10.0, 25.0, 50.0, 100.0)
    lm_doses: tuple[float, ...] = (1.0, 10.0, 100.0)
    positives: int = 300
    test_rows: int = 300
    base_rate: float = 0.0
    published_from: float = 50.0
    published_width: float = 10.0
    lm_steps: int = 150
    lm_extras: bool = True

    def __post_init__(self) -> None:
        for threshold in (self.success, *self.sensitivity):
            self.check_success(threshold)
        self.check_counts("seeds", "lm_steps")
        self.check_doses((*self.doses, *self.lm_doses))
        if not 0 <= self.base_rate < 1:
            raise InputError(f"base_rate is {self.base_rate}; it is a share of successes, between 0 and 1")
        self.check_counts("positives", "test_rows", least=0)


QUICK = {
    "seeds": 1,
    "lm_doses": (10, 100),
    "doses": (1, 10, 100),
    "positives": 150,
    "test_rows": 200,
    "lm_steps": 100,
    "lm_extras": False,
    "sensitivity": (),
}


@dataclass(frozen=True)
class Training:
    """One way of training, by one learner, from one draw of the rows."""

    scheme: str
    learner: str
    variant: str
    dose: float | None
    seed: int

    @property
    def label(self) -> str:
        dose = "" if self.dose is None else f" {self.dose:g} %"
        return f"{self.scheme}{dose}, {self.learner}, {self.variant}, seed {self.seed}"


@dataclass
class Experiment:
    """The table with success and failure as classes, its test rows, and what is asked of it."""

    run: Run
    settings: NegativesSettings
    learners: tuple[str, ...]
    split: Split
    test: list[str]
    foreign: dict[str, pd.DataFrame]

    @property
    def table(self) -> Table:
        return self.run.table

    @cached_property
    def yields(self) -> pd.Series:
        return self.table.frame.set_index("row_id")["yield"]

    @cached_property
    def success(self) -> pd.Series:
        return self.table.targets == SUCCESS

    @cached_property
    def train(self) -> np.ndarray:
        """Ids of the rows that may be trained on, sorted."""
        return np.array(sorted(self.split.folds[0].train), dtype=object)


ALWAYS_YES = "always yes"
LABELS_ALONE = "successes, labels"
YIELDS_ALONE = "successes, yields"
DOSE = "with real failures"
PUBLISHED = "published, labels"
ONE_CLASS: dict[str, Callable[[int], Any]] = {
    "successes, one-class SVM": judges.support_vectors,
    "successes, isolation forest": judges.isolation,
    "successes, nearest neighbours": judges.neighbours,
}
FAMILIARITY = "successes, likelihood"
RECOMBINED, ANYWHERE = "with decoys, recombined", "with decoys, recombined anywhere"
WRONG_PRODUCTS, SHUFFLED_PRODUCTS = "with decoys, wrong products", "with decoys, shuffled products"
DECOYS = (RECOMBINED, ANYWHERE, WRONG_PRODUCTS, SHUFFLED_PRODUCTS)
UNLABELLED = {"unlabelled, bagging": "bagging", "unlabelled, Elkan-Noto": "elkan-noto"}
SPIES = "unlabelled, spies"
HIDING = (*DECOYS, *UNLABELLED, SPIES)  # schemes that hide most successes first
EXPLAINED = {
    ALWAYS_YES: "accepts every reaction; nothing is trained",
    LABELS_ALONE: "a label model that has seen successes alone: it can only say yes",
    **dict.fromkeys(ONE_CLASS, "familiarity with the successes, over DRFP; the line leaves out 5 % of those held back"),
    FAMILIARITY: "log p(reaction) tuned on the successes minus that of the base model, per token; the line as above",
    YIELDS_ALONE: "regression of the yield on successes alone, accepted from the threshold on",
    RECOMBINED: "stand-ins for failures: the substrates of one success under the conditions of others; none is a test "
    "reaction, which is optimistic: who draws decoys does not know what will be asked",
    ANYWHERE: "the same, drawn without a look at the test reactions: some of them are among the decoys",
    WRONG_PRODUCTS: "stand-ins: successes with a product of coupling at a C-H",
    SHUFFLED_PRODUCTS: "stand-ins: successes with the product of another",
    DOSE: "a share of the real failures of the training rows",
    PUBLISHED: "rows kept with a probability that rises with the yield, as in a literature of successes",
    "unlabelled, bagging": "successes against unlabelled rows, averaged over draws (random forest on DRFP)",
    "unlabelled, Elkan-Noto": "successes against unlabelled rows, corrected for those not known (the same)",
    SPIES: "successes against unlabelled rows that look less likely than hidden successes",
}


# -- preparing -------------------------------------------------------------------------------


def prepare(config: RunConfig, settings: NegativesSettings, reporter: Reporter) -> list[Experiment]:
    """The table, and one experiment for each split that the settings name.

    Raises
    ------
    InputError
        If the table holds no reactions, or no success or no failure.
    """
    require_reactions(config)
    learners = resolve_learners(settings.arms, CLASSICAL)
    config = replace(config, success=settings.success, split=settings.split, folds=0, n_train=0)
    run = Run(config, with_product(load_table(config, reporter)), [], list(learners), Path(config.out), reporter)
    limit_rows(run)
    make_splits(run)
    if not any(map(is_language_model, learners)):
        settings = replace(settings, positives=0, test_rows=0)
    return [_experiment(run, settings, learners, split) for split in run.splits]


def with_product(table: Table) -> Table:
    """The table with the product as a component, so that a model that reads components can see a wrong one."""
    products = table.frame["smiles"].map(lambda text: split_reaction(text)[2])
    if decoys.PRODUCT in table.cells or "products" in table.components or not (products != "").any():
        return table
    cells = table.cells.assign(**{decoys.PRODUCT: products.set_axis(table.frame["row_id"])})
    return replace(table, cells=cells, components=(*table.components, decoys.PRODUCT))


def _experiment(run: Run, settings: NegativesSettings, learners: tuple[str, ...], split: Split) -> Experiment:
    rng = np.random.default_rng(run.config.seed)
    test = np.array(sorted(split.folds[0].test), dtype=object)
    if settings.test_rows and len(test) > settings.test_rows:
        test = np.sort(rng.permutation(test)[: settings.test_rows])
    tested = run.table.targets.loc[list(test)]
    if tested.nunique() < 2:
        raise InputError(f"split {split.name!r}: all {len(test)} test rows are a {tested.iloc[0]}; use another split")
    trained = run.table.targets.loc[list(split.folds[0].train)].value_counts()
    if trained.min() < MIN_TRAINED or len(trained) < 2:
        counts = ", ".join(f"{count} of {label}" for label, count in trained.items())
        raise InputError(
            f"split {split.name!r}: too few rows to train on ({counts}); at least {MIN_TRAINED} successes and as many "
            "failures are needed"
        )
    X = run.table.inputs
    foreign = {FOREIGN: _foreign_table(run, X)}
    if decoys.PRODUCT in run.table.components:
        successes = X.loc[[row for row in test if tested[row] == SUCCESS]]
        scrambled = decoys.shuffled_products(successes, FOREIGN_ROWS, np.random.default_rng(run.config.seed))
        foreign[SCRAMBLED] = scrambled.X
    return Experiment(
        run, settings, learners, split, list(test), {name: rows for name, rows in foreign.items() if len(rows)}
    )


def _foreign_table(run: Run, X: pd.DataFrame) -> pd.DataFrame:
    """Rows of a built-in table of another reaction."""
    name = next(
        name for name, card in cards().items() if card.reaction and not card.fetched and name != run.config.table
    )
    config = make_config(name, {})
    raw = load_raw(config.table)
    some = replace(raw, frame=raw.frame.sample(FOREIGN_ROWS, random_state=run.config.seed))
    other = with_product(load_table(config, Reporter(), some))
    return decoys.foreign_rows(X, other.inputs, run.table.components, other.components)


# -- the trainings ---------------------------------------------------------------------------


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


def at_threshold(experiment: Experiment, threshold: float) -> Experiment | None:
    """The experiment with success from another yield on; None where it leaves too little of one kind."""
    table = experiment.table
    said = np.where(table.frame["yield"] >= threshold, SUCCESS, FAILURE)
    run = replace(experiment.run, table=replace(table, frame=table.frame.assign(target=said)))
    moved = replace(experiment, run=run, settings=replace(experiment.settings, success=threshold), foreign={})
    trained = moved.success.loc[list(moved.train)]
    if moved.success.loc[moved.test].nunique() < 2 or min(trained.sum(), (~trained).sum()) < MIN_TRAINED:
        return None
    return moved


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
    rng = np.random.default_rng([experiment.run.config.seed, training.seed])
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
    rng = np.random.default_rng([experiment.run.config.seed, seed, 1])
    order = rng.permutation(experiment.train)
    yields = experiment.yields.loc[list(order)].to_numpy()
    chance = 1 / (1 + np.exp(-(yields - settings.published_from) / settings.published_width))
    kept = order[rng.random(len(order)) < chance]
    hit = experiment.success.loc[list(kept)].to_numpy()
    if settings.positives:
        within = np.cumsum(hit) <= settings.positives
        kept, hit = kept[within], hit[within]
    return Draw(list(kept[hit]), list(kept[~hit]))


def _learner(experiment: Experiment, learner: str, seed: int, label: str, task: str = "") -> Any:
    """An unfitted arm, for classes unless ``task`` says otherwise."""
    run = experiment.run
    if task == REGRESSION:
        run = replace(run, table=of_yields(run.table))
    return short_arm(run, learner, seed, label, experiment.settings.lm_steps)


def judge_of(experiment: Experiment, training: Training) -> tuple[judges.Judge, dict[str, Any]]:
    """A trained model, and what it was trained on."""
    X, run, settings = experiment.table.inputs, experiment.run, experiment.settings
    seed = run.config.seed + training.seed
    is_published = training.scheme == PUBLISHED
    rows = literature(experiment, training.seed) if is_published else draw(experiment, training)
    about: dict[str, Any] = {"successes": len(rows.positives), "failures": len(rows.negatives)}
    positives = X.loc[rows.positives]

    def make(task: str = "") -> Any:
        return _learner(experiment, training.learner, seed, training.label, task)

    if training.scheme == ALWAYS_YES:
        return judges.always_yes, about | {"successes": 0}
    if training.scheme in (LABELS_ALONE, DOSE, PUBLISHED):
        return judges.by_labels(make(), *_beside(positives, X.loc[rows.negatives])), about
    if training.scheme == YIELDS_ALONE:
        yields = experiment.yields.loc[rows.positives].to_numpy()
        return judges.by_yields(make(REGRESSION), positives, yields, settings.success), about
    if training.scheme in ONE_CLASS:
        return judges.by_familiarity(ONE_CLASS[training.scheme](seed), positives, seed), about
    if training.scheme == FAMILIARITY:
        return judges.by_familiarity(lambda known: _likelihood(experiment, seed, known), positives, seed), about
    if training.scheme in DECOYS:
        made = make_decoys(experiment, training.scheme, positives, np.random.default_rng([seed, 2]))
        about |= {
            "failures": 0,
            "decoys": len(made.X),
            "decoys_known": made.known,
            "decoys_successes": made.successes,
            "decoys_tested": made.tested,
        }
        return judges.by_labels(make(), *_beside(positives, made.X)), about
    pool = _unlabelled_pool(experiment, rows.positives, seed)
    about |= {"failures": 0, "unlabelled": len(pool), "unlabelled_successes": int(experiment.success.loc[pool].sum())}
    both, known = _beside(positives, X.loc[pool])
    if training.scheme == SPIES:
        return judges.by_spies(make, both, known, seed), about
    return judges.unlabelled(UNLABELLED[training.scheme], both, known, seed, run.threads), about


def _beside(successes: pd.DataFrame, others: pd.DataFrame) -> tuple[pd.DataFrame, np.ndarray]:
    """Both as one, and which rows are the successes. Shapes (n, columns) and (n,)."""
    return pd.concat([successes, others]), np.arange(len(successes) + len(others)) < len(successes)


def _likelihood(experiment: Experiment, seed: int, known: pd.DataFrame) -> Callable[[pd.DataFrame], np.ndarray]:
    run = experiment.run
    model = judges.Likelihood(
        engine=run.engine(WRITER),
        template=run.template,
        steps=experiment.settings.lm_steps,
        seed=seed,
        settings={"batch_size": LM_BATCH},
        progress=lambda done, total: run.reporter.step("likelihood", done, total),
    )
    return model.fit(known).familiarity


def _unlabelled_pool(experiment: Experiment, known: list[str], seed: int) -> list[str]:
    """Training rows whose outcome is not looked at: all others, or as many as there are known successes."""
    rest = sorted(set(experiment.train) - set(known))
    size = len(known) if experiment.settings.positives else len(rest)
    return list(np.random.default_rng([seed, 3]).permutation(np.array(rest, dtype=object))[:size])


def make_decoys(
    experiment: Experiment, scheme: str, positives: pd.DataFrame, rng: np.random.Generator
) -> decoys.Decoys:
    """As many decoys as successes, none of them a known success; only `ANYWHERE` gives test reactions."""
    n = len(positives)
    if scheme == WRONG_PRODUCTS:
        return decoys.wrong_products(positives, n, rng)
    if scheme == SHUFFLED_PRODUCTS:
        return decoys.shuffled_products(positives, n, rng)
    components = experiment.table.components
    measured = experiment.table.inputs.assign(**{decoys.REACHED: experiment.success})
    known = {*map(tuple, positives[list(components)].to_numpy(dtype=object))}
    tested = {*map(tuple, measured.loc[experiment.test, list(components)].to_numpy(dtype=object))}
    barred = known if scheme == ANYWHERE else known | tested
    return decoys.recombined(positives, measured, barred, n, components, rng, tested)


# -- cells -----------------------------------------------------------------------------------


def training_key(experiment: Experiment, training: Training) -> dict[str, Any]:
    """All that the numbers of a training depend on, besides the package versions."""
    run = experiment.run
    rows = repr((sorted(experiment.train), experiment.test))
    key: dict[str, Any] = {
        "experiment": NAME,
        "code": code_of_learner("negatives:train_and_judge", training.learner),
        "table": run.table.fingerprint(),
        "yields": hashlib.sha256(experiment.yields.to_json().encode()).hexdigest(),
        "split": experiment.split.name,
        "rows": hashlib.sha256(rows.encode()).hexdigest(),
        "settings": {name: value for name, value in asdict(experiment.settings).items() if name not in _UNUSED},
        "training": asdict(training),
        "seed": run.config.seed,
    }
    if is_language_model(training.learner) or training.learner == LIKELIHOOD:
        key["language_model"] = language_model_key(run)
    return key


# Settings that say which trainings there are or how they are read, and change none of them.
_UNUSED = ("arms", "split", "sensitivity", "seeds", "doses", "lm_doses", "lm_extras", "base_rate")


def train_and_judge(experiment: Experiment, training: Training) -> dict[str, Any]:
    """The cell of a training: from the folder, or made and kept there."""

    def make() -> dict[str, Any]:
        cell: dict[str, Any] = {}
        with measured(cell):
            judge, about = judge_of(experiment, training)
            test = judge(experiment.table.inputs.loc[experiment.test])
            foreign = {name: judge(rows).score.tolist() for name, rows in experiment.foreign.items()}
        return cell | {"about": about, "test": _plain(test), "foreign": foreign}

    return get_or_make(experiment.run.out / "cells", training_key(experiment, training), make, experiment.run.threads)


def _plain(scored: Scored) -> dict[str, Any]:
    return {
        "score": scored.score.tolist(),
        "threshold": float(scored.threshold),
        "chance": None if scored.chance is None else scored.chance.tolist(),
        "predicted": None if scored.predicted is None else scored.predicted.tolist(),
    }


def scored_of(cell: dict[str, Any]) -> Scored:
    """What the model of a cell says of the test rows."""
    test = cell["test"]
    chance, predicted = (None if test[name] is None else np.array(test[name]) for name in ("chance", "predicted"))
    return Scored(np.array(test["score"], dtype=np.float64), test["threshold"], chance, predicted)
