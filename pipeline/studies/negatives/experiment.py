"""What a model cannot know that has seen only successes, and how many failures mend it.

One fixed test set with real successes and failures; training sets that differ in what they hold besides
successes: nothing, decoys, a dose of real failures, unlabelled rows. Every model is judged on the same test rows,
and on reactions that are foreign to the table.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from pipeline.arms.ladder import is_language_model
from pipeline.errors import InputError
from pipeline.reporter import Reporter
from pipeline.runs.context import Context
from pipeline.runs.prepare import load_raw, load_table, with_rows, with_splits
from pipeline.settings.reading import make_config
from pipeline.settings.run import RunConfig
from pipeline.settings.study import require_reactions
from pipeline.splits.splitters import Split
from pipeline.studies.experiment import StudyExperiment
from pipeline.studies.learners import resolve_learners
from pipeline.studies.negatives import decoys, judges
from pipeline.studies.negatives.settings import NegativesSettings
from pipeline.tables.catalogue import cards
from pipeline.tables.reactions import FAILURE, SUCCESS, split_reaction
from pipeline.tables.table import Table

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


@dataclass(frozen=True)
class Experiment(StudyExperiment[NegativesSettings]):
    """One split of the table with success and failure as classes, its test rows, and what is asked of it."""

    split: Split
    test: list[str]
    foreign: dict[str, pd.DataFrame]

    @cached_property
    def yields(self) -> pd.Series:
        return self.table.by_row["yield"]

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
    LABELS_ALONE: "a two-class model that has seen successes alone: it can only predict success",
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


def prepare(config: RunConfig, settings: NegativesSettings, reporter: Reporter) -> Context:
    """The table, with the splits that the settings name.

    Raises
    ------
    InputError
        If the table holds no reactions, or no success or no failure.
    """
    require_reactions(config)
    learners = resolve_learners(settings.arms, CLASSICAL)
    config = replace(config, success=settings.success, split=settings.split, folds=0, repeats=1, n_train=0)
    if not any(map(is_language_model, learners)):
        settings = replace(settings, positives=0, test_rows=0)
    table = with_product(load_table(config, reporter))
    context = with_splits(with_rows(Context(config, table, (), learners, settings=settings)), reporter)
    experiments(context)  # an error where there is too little to train on or to test
    return context


def experiments(context: Context) -> list[Experiment]:
    """One for each split."""
    return context.once("experiments", lambda: [_experiment(context, split) for split in context.splits])


def experiment_at(context: Context, split: str, threshold: float) -> Experiment:
    """That of a split, at a threshold of success."""
    found = next(one for one in experiments(context) if one.split.name == split)
    moved = found if threshold == found.settings.success else at_threshold(found, threshold)
    assert moved is not None, f"{threshold} leaves too few of one kind: nothing is trained there"
    return moved


def with_product(table: Table) -> Table:
    """The table with the product as a component, so that a model that reads components can see a wrong one."""
    products = table.frame["smiles"].map(lambda text: split_reaction(text)[2])
    if decoys.PRODUCT in table.cells or "products" in table.components or not (products != "").any():
        return table
    cells = table.cells.assign(**{decoys.PRODUCT: products.set_axis(table.frame["row_id"])})
    return replace(table, cells=cells, components=(*table.components, decoys.PRODUCT))


def _experiment(context: Context, split: Split) -> Experiment:
    settings, table = context.settings, context.table
    rng = np.random.default_rng(context.config.seed)
    test = np.array(sorted(split.folds[0].test), dtype=object)
    if settings.test_rows and len(test) > settings.test_rows:
        test = np.sort(rng.permutation(test)[: settings.test_rows])
    tested = table.targets.loc[list(test)]
    if tested.nunique() < 2:
        raise InputError(f"split {split.name!r}: all {len(test)} test rows are a {tested.iloc[0]}; use another split")
    trained = table.targets.loc[list(split.folds[0].train)].value_counts()
    if trained.min() < MIN_TRAINED or len(trained) < 2:
        counts = ", ".join(f"{count} of {label}" for label, count in trained.items())
        raise InputError(
            f"split {split.name!r}: too few rows to train on ({counts}); at least {MIN_TRAINED} successes and as many "
            "failures are needed"
        )
    X = table.inputs
    foreign = {FOREIGN: _foreign_table(context, X)}
    if decoys.PRODUCT in table.components:
        successes = X.loc[[row for row in test if tested[row] == SUCCESS]]
        scrambled = decoys.shuffled_products(successes, FOREIGN_ROWS, np.random.default_rng(context.config.seed))
        foreign[SCRAMBLED] = scrambled.X
    foreign = {name: rows for name, rows in foreign.items() if len(rows)}
    return Experiment(context, split, list(test), foreign)


def _foreign_table(context: Context, X: pd.DataFrame) -> pd.DataFrame:
    """Rows of a built-in table of another reaction."""
    name = next(
        name for name, card in cards().items() if card.reaction and not card.fetched and name != context.config.table
    )
    config = make_config(name, {})
    raw = load_raw(config.table)
    some = replace(raw, frame=raw.frame.sample(FOREIGN_ROWS, random_state=context.config.seed))
    other = with_product(load_table(config, Reporter(), some))
    return decoys.foreign_rows(X, other.inputs, context.table.components, other.components)


def at_threshold(experiment: Experiment, threshold: float) -> Experiment | None:
    """The experiment with success from another yield on; None where it leaves too little of one kind."""
    table = experiment.table
    said = np.where(table.frame["yield"] >= threshold, SUCCESS, FAILURE)
    context = replace(
        experiment.context,
        table=replace(table, frame=table.frame.assign(target=said)),
        settings=replace(experiment.settings, success=threshold),
    )
    moved = replace(experiment, context=context, foreign={})
    trained = moved.success.loc[list(moved.train)]
    if moved.success.loc[moved.test].nunique() < 2 or min(trained.sum(), (~trained).sum()) < MIN_TRAINED:
        return None
    return moved
