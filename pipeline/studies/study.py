"""What a study is: a question with settings of its own, a plan of cells, and a conclusion from their results.

A study is a module (or a package) with the names of `Study`. Its folder, command, resuming, executors and page come
from here.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol, cast

import pandas as pd

from pipeline.cells.cell import Cell, versions_of
from pipeline.cells.executors import Executor
from pipeline.cells.store import Store
from pipeline.errors import InputError
from pipeline.evaluation.evaluations import Evaluation
from pipeline.files import write_atomically, write_csv
from pipeline.report.blocks import Section
from pipeline.report.page import Part, write_page
from pipeline.reporter import Reporter
from pipeline.runs.budget import Budget, check_room, duration, duration_option, fit_budget
from pipeline.runs.context import Context, Machine, hardware, settled
from pipeline.runs.estimates import busy_note, probe
from pipeline.runs.folder import write_inputs
from pipeline.settings.reading import study_key
from pipeline.settings.run import RunConfig, budget_seconds
from pipeline.settings.studies import STUDIES
from pipeline.settings.study import StudySettings
from pipeline.studies.failure import Failure


@dataclass(frozen=True)
class Conclusion:
    """What a study found.

    Attributes
    ----------
    metrics : DataFrame
        What names a figure, then ``metric, value, low, high, n, groups, seeds``.
    predictions : DataFrame
        One row per prediction.
    trained : DataFrame
        One row per training: what names it, ``seconds``, ``peak_mb``, ``cell_id``.
    sentences : tuple of str
        What a chemist should know, in the order of importance.
    sections : tuple of Section
        The page.
    tables, of_rows : mapping
        Further tables by the name of their file, without its ending: CSV, and Parquet for those with many rows.
    info : mapping
        What ``run.json`` holds besides what those of all studies do.
    evaluations : tuple of Evaluation
        Of a comparison of arms, by split; for what several targets say together.
    failures : tuple of Failure
        What it says of failure modes, for the page over all of them.
    """

    metrics: pd.DataFrame
    predictions: pd.DataFrame
    trained: pd.DataFrame
    sentences: tuple[str, ...]
    sections: tuple[Section, ...]
    tables: Mapping[str, pd.DataFrame] = field(default_factory=dict)
    of_rows: Mapping[str, pd.DataFrame] = field(default_factory=dict)
    info: Mapping[str, Any] = field(default_factory=dict)
    evaluations: tuple[Evaluation, ...] = ()
    failures: tuple[Failure, ...] = ()


class Study(Protocol):
    """What a module of a study has.

    ``title`` and ``facts`` stand over the page; ``described`` are lines in front of the work, and ``line`` is said of
    each finished cell, where it is not empty.
    """

    NAME: str

    def described(self, context: Context) -> list[str]: ...
    def plan(self, context: Context, machine: Machine) -> list[Cell]: ...
    def line(self, context: Context, content: Mapping[str, Any]) -> str: ...
    def conclude(self, context: Context, contents: Sequence[Mapping[str, Any]]) -> Conclusion: ...
    def title(self, context: Context) -> str: ...
    def facts(self, context: Context) -> list[str]: ...


class NamedStudy(Study, Protocol):
    """A study of the catalogue: it has settings of its own, and makes the table and the splits that it needs.

    It may have a ``BUDGET``, and ``UNUSED``: by kind of rows the options of a run that do nothing for these, and what
    does instead.
    """

    Settings: type[StudySettings]

    def prepare(self, config: RunConfig, settings: Any, reporter: Reporter) -> Context: ...


def study_named(name: str) -> NamedStudy:
    """The study of a name on the command line."""
    return cast(NamedStudy, import_module(STUDIES[name].module))


@dataclass(frozen=True)
class Done:
    """A finished run of a study, whose folder is written except for the page."""

    study: Study
    context: Context
    conclusion: Conclusion
    versions: Mapping[str, str]

    def part(self) -> Part:
        """What a page says of it."""
        found = self.conclusion
        return Part(
            self.context,
            self.study.title(self.context),
            self.study.facts(self.context),
            found.sections,
            f"chemtune {_command_of(self.study.NAME)}",
            found.trained,
            self.versions,
        )


def write_report(done: Sequence[Done], out: Path, overview: Sequence[Section] = ()) -> Path:
    """Write the page over one run, or over those of several targets with what they say together; returns its path."""
    return write_page([one.part() for one in done], out, overview)


def run_study(
    study: NamedStudy, config: RunConfig, settings: Any, reporter: Reporter, executor: Executor | None = None
) -> tuple[Done, Path] | None:
    """Do all that a study asks for; what was done, and the page. None where shares of other commands are not done."""
    check_used(study, config)
    context = study.prepare(config, settings, reporter)
    seconds = budget_seconds(config.budget) if config.budget else 0.0
    done = run_prepared(study, context, seconds, reporter, executor or Executor())
    return None if done is None else (done, write_report([done], context.folder))


def run_prepared(
    study: Study, context: Context, seconds: float | None, reporter: Reporter, executor: Executor
) -> Done | None:
    """Say what a study is about, and do it within a time (0 for any, None to ask nothing of the machine before); what
    was done, without the page. None where shares of other commands are not done."""
    check_room(context)
    machine = settled(context, reporter)
    for line in study.described(context):
        reporter.say(line)
    if budget_of(study, context) and seconds is not None:
        context = within_time(study, context, machine, seconds, executor)
    return execute(study, context, machine, executor)


def budget_of(study: Study, context: Context) -> Budget | None:
    """How a study keeps within a time; None for one that cannot, or not with rows of this kind."""
    return None if "budget" in _unused(study, context.config) else getattr(study, "BUDGET", None)


def _unused(study: Study, config: RunConfig) -> Mapping[str, str]:
    """The options of a run that a study has, and that do nothing for rows of this kind; what does instead."""
    return getattr(study, "UNUSED", {}).get(config.kind, {})


def check_used(study: Study, config: RunConfig) -> None:
    """Raise `InputError` for an option that was given and does nothing for rows of this kind."""
    for name, instead in _unused(study, config).items():
        if getattr(config, name) != RunConfig.__dataclass_fields__[name].default:
            raise InputError(f"{name} does nothing for {config.kind} in this study; {instead}")


def within_time(study: Study, context: Context, machine: Machine, seconds: float, executor: Executor) -> Context:
    """The run as far as it fits into a time (0 for any), after a short probe of this machine; as it is where all cells
    are done."""
    budget, store = budget_of(study, context), Store(context.folder)
    if budget is None or all(store.read(cell.id) is not None for cell in study.plan(context, machine)):
        return context
    say = machine.reporter.say
    if note := busy_note():
        say(note)
    measured = probe(context, machine)
    if seconds:
        context = fit_budget(context, machine, measured, seconds, budget, executor.machines)
    for left_out in context.left_out:
        say(f"Left out for the budget of {context.config.budget}: {left_out}.")
    total = budget.seconds(context, machine, measured) / executor.machines
    say(f"Estimated time on this machine, from a short probe: {duration(total)}.")
    if seconds and total > seconds:
        say(
            f"The budget of {context.config.budget} cannot be met: this is the least that can be compared. "
            f"--budget {duration_option(total)} would do."
        )
    return context


def execute(
    study: Study, context: Context, machine: Machine | None = None, executor: Executor | None = None
) -> Done | None:
    """Fill all cells, conclude, and write the folder except for the page.

    Returns
    -------
    Done or None
        None where the executor does a share of the cells, and others are not done yet.
    """
    machine, executor = machine or settled(context, Reporter()), executor or Executor()

    def told(cell: Cell, content: Mapping[str, Any]) -> None:
        said = study.line(context, content)
        if said:
            machine.reporter.say(said)

    asked = context.asked or context
    write_inputs(context, asked.config.as_dict() | _own(study, asked))
    results = executor.fill(study.plan(context, machine), context, machine, Store(context.folder), told)
    if results is None:
        return None
    machine.reporter.step("what it says", 0, 1)
    return concluded(study, context, list(results.values()))


def concluded(study: Study, context: Context, contents: Sequence[Mapping[str, Any]]) -> Done:
    """Conclude from the results of all cells, and write the folder except for the page, ``run.json`` last."""
    found = study.conclude(context, contents)
    folder, made_with = context.folder, versions_of(contents)
    for name, table in {"metrics": found.metrics, "trained": found.trained, **found.tables}.items():
        write_csv(folder / f"{name}.csv", table)
    for name, table in {"predictions": found.predictions, **found.of_rows}.items():
        write_atomically(folder / f"{name}.parquet", table.to_parquet(index=False))
    info = {
        "study": study.NAME,
        "settings": context.config.as_dict() | _own(study, context),
        "table": context.table.fingerprint(),
        "learners": list(context.arms),
        "versions": made_with,
        "hardware": hardware(),
        "sentences": list(found.sentences),
        **found.info,
    }
    write_atomically(folder / "run.json", json.dumps(info, indent=1, ensure_ascii=False))
    return Done(study, context, found, made_with)


def _own(study: Study, context: Context) -> dict[str, Any]:
    """The settings of a study, where it has some of its own, as they stand in a file of settings."""
    return {study_key(study.NAME): {study.NAME: context.settings.as_dict()}} if study.NAME in STUDIES else {}


def _command_of(name: str) -> str:
    """How a study is called on the command line, behind ``chemtune``."""
    return f"{study_key(name)} {name}" if name in STUDIES and not STUDIES[name].own_verb else name
