"""The bias of a real literature: models trained on published tables, tested on the rows that hold the failures.

The papers of a table are dealt into folds. For each, models are trained on the rows of one origin alone (the tables of
what worked), on the successes of any origin, or on all rows, as many each time, and predict the yields of the papers
that none of them has seen.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from pipeline.arms.ladder import is_language_model
from pipeline.cells.cell import Cell, digest, measured
from pipeline.errors import InputError, unknown
from pipeline.reporter import Reporter
from pipeline.runs.context import Context, Machine, language_model_inputs
from pipeline.runs.prepare import load_raw, load_table, with_rows, with_splits
from pipeline.settings.run import RunConfig
from pipeline.settings.study import require_reactions
from pipeline.splits.splitters import Fold, Split
from pipeline.studies.experiment import StudyExperiment
from pipeline.studies.learners import code_of_learner, resolve_learners, short_arm
from pipeline.studies.published_only.settings import PublishedSettings
from pipeline.tables.reading import RawTable, require_column

WORK = "pipeline.studies.published_only.experiment:train_and_predict"
# Of the fingerprints, those that are told the conditions that a table gives by name.
CLASSICAL = ("components-rf", "components-lightgbm")
PUBLISHED, SUCCESSES, EVERYTHING = "published rows", "all successes", "all rows"
EXPLAINED = {
    PUBLISHED: "the rows of the published tables alone",
    SUCCESSES: "successes of either origin",
    EVERYTHING: "rows of either origin, failures among them",
}
MIN_TRAINED = 10


@dataclass(frozen=True)
class Training:
    """One learner, trained on one kind of rows of the papers outside a fold."""

    rows: str
    learner: str
    fold: int
    seed: int

    @property
    def label(self) -> str:
        return f"{self.rows}, {self.learner}, fold {self.fold + 1}, seed {self.seed}"


@dataclass(frozen=True)
class Experiment(StudyExperiment[PublishedSettings]):
    """The table of yields, its papers in folds, and what is asked of it."""

    @classmethod
    def of(cls, context: Context) -> Experiment:
        return context.once("papers", lambda: cls(context))

    @property
    def split(self) -> Split:
        return self.context.splits[0]

    @cached_property
    def yields(self) -> pd.Series:
        """In percent, by row id."""
        return self.table.targets

    @cached_property
    def success(self) -> pd.Series:
        return self.yields >= self.settings.success

    @cached_property
    def origin(self) -> pd.Series:
        return self.table.cells.loc[self.table.frame["row_id"], self.settings.origin]


def prepare(config: RunConfig, settings: PublishedSettings, reporter: Reporter) -> Context:
    """The table, with its papers in folds.

    Raises
    ------
    InputError
        If the table holds no reactions, a column or what it should say is missing, or too little is left to train on.
    """
    require_reactions(config)
    learners = resolve_learners(settings.arms, CLASSICAL)
    config = replace(
        config, success=0.0, split=(f"group:{settings.paper}",), folds=settings.folds, repeats=1, n_train=0
    )
    raw = _of_two_origins(load_raw(config.table, config.data_dir), settings, reporter)
    table = load_table(config, reporter, raw, apart=(settings.origin, settings.paper))
    context = with_splits(with_rows(Context(config, table, (), learners, settings=settings)), reporter)
    _check(Experiment.of(context))
    return context


def _of_two_origins(raw: RawTable, settings: PublishedSettings, reporter: Reporter) -> RawTable:
    """The rows of the two origins."""
    require_column(raw, settings.paper, "--paper")
    said = require_column(raw, settings.origin, "--origin").str.strip()
    for name, wanted in (("--published", settings.published), ("--tested", settings.tested)):
        if wanted not in set(said):
            raise unknown(f"value for {name} in column {settings.origin!r}", wanted, sorted(set(said)))
    kept = said.isin((settings.published, settings.tested))
    if not kept.all():
        reporter.say(f"{int((~kept).sum())} rows of another origin than these two are left out.")
    return replace(raw, frame=raw.frame[kept])


def _check(experiment: Experiment) -> None:
    settings = experiment.settings
    tested = experiment.success[experiment.origin == settings.tested]
    if tested.nunique() < 2:
        kind = "success" if tested.iloc[0] else "failure"
        raise InputError(
            f"all {len(tested)} {settings.tested} rows are a {kind} at {settings.success:g} %; move the threshold with "
            "--success"
        )
    for fold in experiment.split.folds:
        for kind, rows in pools(experiment, fold).items():
            if len(rows) < MIN_TRAINED:
                raise InputError(
                    f"fold {fold.fold + 1}: {len(rows)} rows to train on ({kind}); at least {MIN_TRAINED} are needed"
                )


def pools(experiment: Experiment, fold: Fold) -> dict[str, list[str]]:
    """Ids of the training rows of each kind, sorted."""
    train = sorted(fold.train)
    published = experiment.origin.loc[train] == experiment.settings.published
    success = experiment.success.loc[train]
    return {
        PUBLISHED: [row for row in train if published[row]],
        SUCCESSES: [row for row in train if success[row]],
        EVERYTHING: train,
    }


def trainings(experiment: Experiment) -> list[Training]:
    """All that is trained, cheap ones first."""
    settings = experiment.settings
    found = []
    for learner in sorted(experiment.learners, key=is_language_model):
        seeds = settings.lm_seeds if is_language_model(learner) else settings.seeds
        for seed in range(seeds):
            for fold in experiment.split.folds:
                found += [Training(rows, learner, fold.fold, seed) for rows in EXPLAINED]
    return found


def draw(experiment: Experiment, training: Training) -> list[str]:
    """Rows by seed, equally many of each kind: the first of one order that all kinds share."""
    by_kind = pools(experiment, experiment.split.folds[training.fold])
    size = min(map(len, by_kind.values()))
    if experiment.settings.rows:
        size = min(size, experiment.settings.rows)
    rng = np.random.default_rng([experiment.seed, training.fold, training.seed])
    order = rng.permutation(np.array(by_kind[EVERYTHING], dtype=object))
    chosen = set(by_kind[training.rows])
    return [row for row in order if row in chosen][:size]


def plan(context: Context, machine: Machine) -> list[Cell]:
    """A cell for each training."""
    experiment = Experiment.of(context)
    return [training_cell(experiment, machine, training) for training in trainings(experiment)]


def training_cell(experiment: Experiment, machine: Machine, training: Training) -> Cell:
    """The cell of a training."""
    context, settings = experiment.context, experiment.settings
    fold = experiment.split.folds[training.fold]
    inputs: dict[str, Any] = {
        "code": code_of_learner(WORK, training.learner),
        "table": context.table.fingerprint(),
        "origins": digest(experiment.origin.to_json()),
        "rows": digest(fold.train, fold.test),
        "settings": [settings.origin, settings.published, settings.success, settings.rows],
        "seed": experiment.seed,
    }
    on_model = is_language_model(training.learner)
    if on_model:
        inputs["language_model"] = {**language_model_inputs(context, machine), "steps": settings.lm_steps}
    return Cell(WORK, asdict(training), inputs, (), training.label, on_model)


def train_and_predict(
    context: Context, machine: Machine, cell: Cell, needed: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """Train a model, and predict the yields of its fold's test rows."""
    experiment, training = Experiment.of(context), Training(**cell.tags)
    rows, X = draw(experiment, training), experiment.table.inputs
    made: dict[str, Any] = {}
    with measured(made):
        seed, steps = experiment.seed + training.seed, experiment.settings.lm_steps
        arm = short_arm(context, machine, training.learner, seed, training.label, steps)
        arm.fit(X.loc[rows], experiment.yields.loc[rows].to_numpy())
        predicted = arm.predict(X.loc[list(experiment.split.folds[training.fold].test)])
    about = {"n": len(rows), "successes": int(experiment.success.loc[rows].sum())}
    return made | {"about": about, "predicted": np.asarray(predicted, dtype=np.float64).tolist()}
