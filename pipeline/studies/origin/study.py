"""How much of what a model predicts it could know from the source of a row alone.

On the same rows, once dealt to folds at random and once by whole sources: an arm on the structure, a model that knows
nothing of a row but the source that its structure gives away, the true source, and nulls in which sources are dealt to
other rows, or their mean labels to other sources.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from pipeline.arms.ladder import is_language_model
from pipeline.cells.cell import Cell, digest, measured
from pipeline.cells.reach import code_of
from pipeline.errors import InputError
from pipeline.features.similarity import row_bits
from pipeline.reporter import Reporter
from pipeline.runs.budget import STEP_LIMITS, Budget, fewer_steps
from pipeline.runs.context import Context, Machine
from pipeline.runs.estimates import Probe
from pipeline.runs.fits import OBJECTS, new_arm
from pipeline.runs.held_out import listed, predicted_by
from pipeline.runs.origins import (
    TREES,
    by_source,
    dealt,
    label_means,
    named_sources,
    origin_column,
    recognised,
    small_sources,
)
from pipeline.runs.prepare import cleaned, load_raw, with_rows
from pipeline.settings.run import RunConfig
from pipeline.splits.build import build_splits, seed_of_repeat
from pipeline.splits.splitters import Fold, Split
from pipeline.studies.budget import fewer, left_out_of, seconds_of_arm, summed
from pipeline.studies.fitting import fit_inputs, fit_on, trained
from pipeline.studies.origin.findings import DEALT, PERMUTED, PREDICTED, TRUE, Findings, sources_of, structured
from pipeline.studies.origin.page import sections
from pipeline.studies.origin.settings import ORIGIN_ARMS, Settings
from pipeline.studies.origin.words import failure, sentences
from pipeline.studies.study import Conclusion

__all__ = ["NAME", "Settings", "conclude", "described", "facts", "line", "plan", "prepare", "title"]
NAME = "origin"
FIT = "pipeline.studies.origin.study:fit_and_predict"
ASK = "pipeline.studies.origin.study:ask_for_source"
SECONDS = 3e-5, 8e-5  # of a tree for each training row, and where sources are dealt to any row; two slow cores


def prepare(config: RunConfig, settings: Settings, reporter: Reporter) -> Context:
    """The table without rows of small sources, and its folds; without those of whole sources where none can be made."""
    raw = load_raw(config.table, config.data_dir)
    column, how = origin_column(config, raw, settings.origin)
    if how:
        reporter.say(f"Origin: {column} ({how})")
    settings = replace(settings, origin=column, arms=settings.arms or ORIGIN_ARMS[config.kind])
    config = replace(
        config,
        arms=settings.arms,
        split=("random", f"group:{column}"),
        folds=settings.folds,
        repeats=settings.repeats,
        n_train=0,
    )
    context = replace(cleaned(replace(config, max_rows=0), config.arms, reporter, raw), settings=settings)
    if not structured(context):
        raise InputError(f"arms is {', '.join(settings.arms)}; name one that is shown a structure, such as rf-bits")
    context = _of_large_sources(replace(context, config=config), reporter)
    if config.max_rows:
        context = _of_large_sources(with_rows(context), reporter)
    return _with_folds(context, reporter)


def _of_large_sources(context: Context, reporter: Reporter) -> Context:
    """The rows of sources with enough of them; the others are refused, with their reason."""
    table, column, least = context.table, context.settings.origin, context.settings.least_rows
    named, said = named_sources(column, table.column(column))
    if said:
        reporter.say(f"Origin: {said}")
    sources = named.set_axis(table.frame["row_id"])
    leaving = small_sources(sources, least)
    kept = sources.drop(list(leaving))
    where = f"{context.config.table}: the column of origin {column!r}"
    counts = sources[sources != ""].value_counts()
    if counts.empty:
        raise InputError(f"{where} is empty in all rows that can be used; name another with --origin")
    if len(counts) == 1:
        raise InputError(
            f"{where} names one source alone, {counts.index[0]!r}; two or more are needed to tell them apart"
        )
    if kept.nunique() < 2:
        raise InputError(
            f"{where} names {len(counts)} sources, of which {kept.nunique() or 'none'} with {least} or more "
            f"{table.rows_are} (the largest has {counts.iloc[0]}); two are needed: take a smaller --least-rows, or "
            "another column with --origin"
        )
    left = table.refuse(leaving, column)
    return replace(context, table=replace(left, cells=left.cells.assign(**{column: named_by_row(left.cells, sources)})))


def named_by_row(cells: pd.DataFrame, sources: pd.Series) -> pd.Series:
    """The source of each row of the user's cells, also of those that were refused."""
    return sources.reindex(cells.index).fillna("")


def _with_folds(context: Context, reporter: Reporter) -> Context:
    table, settings, seed = context.table, context.settings, context.config.seed
    splits = build_splits(table, "random", test_size=0.2, folds=settings.folds, seed=seed, repeats=settings.repeats)
    name, left_out = f"group:{settings.origin}", []
    folds = min(settings.folds, sources_of(table, settings.origin).nunique())
    try:
        splits += build_splits(table, name, test_size=0.2, folds=folds, seed=seed, repeats=settings.repeats)
        context = replace(context, splits=tuple(splits))
        for split in context.splits if context.config.bins else ():
            for fold in split.folds:
                context.targets(fold)  # an error where a class has no row
    except InputError as error:
        left_out = [f"sources apart, since whole sources cannot be dealt to folds ({error})"]
        reporter.say(f"Left out: {left_out[0]}")
        context = replace(context, splits=tuple(splits[:1]))
    return replace(context, rungs_left_out=tuple(left_out))


def plan(context: Context, machine: Machine) -> list[Cell]:
    """For each division the arms, then what asks for the source; with sources dealt to other rows on random folds."""
    folds = [
        (split, fold) for split in context.splits for fold in split.folds if fold.repeat < context.settings.repeats
    ]
    arms = sorted(context.arms, key=is_language_model)
    cells = [_fit(context, machine, split, fold, arm) for split, fold in folds for arm in arms]
    asked = [_ask(context, split, fold, PREDICTED) for split, fold in folds]
    return [*asked, *(_ask(context, split, fold, PERMUTED) for split, fold in folds if split.name == "random"), *cells]


def _tags(split: Split, fold: Fold, arm: str) -> dict[str, Any]:
    return {"split": split.name, "arm": arm, "repeat": fold.repeat, "fold": fold.fold, "size": len(fold.train)}


def _seed(context: Context, fold: Fold) -> int:
    return seed_of_repeat(context.config.seed, fold.repeat) + fold.fold


def _fit(context: Context, machine: Machine, split: Split, fold: Fold, arm: str) -> Cell:
    inputs = fit_inputs(context, machine, split, fold.train, fold.test, arm, FIT) | {"seed": _seed(context, fold)}
    label = f"{split.name}{split.named(fold)} {arm}"
    return Cell(FIT, _tags(split, fold, arm), inputs, (), label, is_language_model(arm))


def _ask(context: Context, split: Split, fold: Fold, what: str) -> Cell:
    sources = sources_of(context.table, context.settings.origin)
    inputs = {
        "table": context.once("fingerprint", context.table.fingerprint),
        "rows": digest(fold.train, fold.test),
        "sources": context.once("sources", lambda: digest(sorted(sources.items()))),
        "bins": context.config.bins,
        "seed": _seed(context, fold),
        "dealt": seed_of_repeat(context.config.seed, fold.repeat),
        "code": code_of(ASK, *OBJECTS),
    }
    return Cell(ASK, _tags(split, fold, what), inputs, (), f"{split.name}{split.named(fold)} {what}")


def fit_and_predict(
    context: Context, machine: Machine, cell: Cell, needed: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """Fit an arm on the training rows of a division and predict its test rows."""
    split, fold = context.division(cell.tags)
    X, y, train = context.table.inputs, context.targets(fold), list(fold.train)
    made: dict[str, Any] = {}
    with measured(made):
        model = new_arm(context, machine, cell.tags["arm"], cell.inputs["seed"], cell.label, split.reach)
        fit_on(context, split, model, X.loc[train], y.loc[train].to_numpy(), context.table.censoring(train))
        made["said"] = {cell.tags["arm"]: listed(context, predicted_by(context, model, X.loc[list(fold.test)]))}
    return made


def ask_for_source(
    context: Context, machine: Machine, cell: Cell, needed: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """Tell the source of test rows from their structure, and the label from that source alone.

    Returns
    -------
    dict
        ``found``: the source told for each test row; ``given``: the one that it has; ``said``: the label by the
        source told, by the one that it has, and by the one told with the means of other sources.
    """
    split, fold = context.division(cell.tags)
    sources, what = sources_of(context.table, context.settings.origin), cell.tags["arm"]
    if what == PERMUTED:
        order = np.random.default_rng(cell.inputs["dealt"]).permutation(len(sources))
        sources = pd.Series(sources.to_numpy()[order], index=sources.index)
    train, test, y = list(fold.train), list(fold.test), context.targets(fold)
    smiles = context.table.by_row["smiles"]
    made: dict[str, Any] = {}
    with measured(made):
        machine.reporter.step(cell.label, 0, 1)
        of_train, of_test = (row_bits(list(smiles.loc[rows]), context.table.kind) for rows in (train, test))
        known, given = sources.loc[train].to_numpy().astype(str), sources.loc[test].tolist()
        found = recognised(of_train, known, of_test, cell.inputs["seed"])
        means = label_means(known, y.loc[train].to_numpy(), context.classes)
        others = dealt(means, np.random.default_rng(cell.inputs["seed"]))
        said = {what: by_source(means, found)}
        if what == PREDICTED:
            said[DEALT] = by_source(others, found)
            if split.name == "random":
                said[TRUE] = by_source(means, given)
        made |= {"found": found.tolist(), "given": given}
        made["said"] = {name: values.tolist() for name, values in said.items()}
    return made


def described(context: Context) -> list[str]:
    """What is asked about, and what is left out."""
    settings, table = context.settings, context.table
    sources = sources_of(table, settings.origin)
    reasons = table.refused["reason"].astype(str)
    blank = int((reasons == "no origin: the cell is empty").sum())
    small = int(reasons.str.startswith("no origin: the source").sum())
    lines = [f"Sources: {sources.nunique()} in {settings.origin!r}, {len(sources)} {table.rows_are}."]
    if small:
        lines.append(f"Left out: {small} {table.rows_are} of sources with fewer than {settings.least_rows}.")
    if blank:
        lines.append(f"Left out: {blank} {table.rows_are} without a source.")
    arms = ", ".join(context.arms)
    return [*lines, f"Arms: {arms}; {settings.folds} folds, {settings.repeats} times. Folder: {context.folder}"]


def line(context: Context, content: Mapping[str, Any]) -> str:
    """What was done, and how long it took."""
    tags = content["tags"]
    where = f"{tags['split']} {tags['arm']}, repeat {tags['repeat'] + 1}, fold {tags['fold'] + 1}"
    return f"{where:<52} {content['seconds']:6.1f} s"


def title(context: Context) -> str:
    return f"{context.table.name}: the label, or where it comes from?"


def facts(context: Context) -> list[str]:
    sources = sources_of(context.table, context.settings.origin)
    return [f"{sources.nunique()} sources in {context.settings.origin!r}"]


def conclude(context: Context, contents: Sequence[Mapping[str, Any]]) -> Conclusion:
    """How well sources are recognised, and what they say of the label."""
    found = Findings(context, contents)
    said = sentences(found, described(context)[1:-1])
    return Conclusion(
        found.metrics(),
        found.predictions(),
        trained(contents),
        tuple(said),
        tuple(sections(found, said)),
        {"sources": found.by_source()},
        failures=(failure(found),),
    )


def seconds_of(context: Context, cell: Cell, measured: Probe) -> float:
    """Seconds of a cell, from what was timed; trees that tell sources are not timed, and left_out_of by their rows."""
    if cell.work == FIT:
        return seconds_of_arm(context, cell, measured)
    return TREES * cell.tags["size"] * SECONDS[cell.tags["arm"] == PERMUTED]


BUDGET = Budget(
    (fewer("repeats", 2), fewer_steps(STEP_LIMITS[2]), fewer("repeats", 1), fewer_steps(STEP_LIMITS[3])),
    summed(plan, seconds_of),
    left_out_of({"repeats": "repeats"}),
)
