"""What a study is: a question with settings of its own, a plan of cells, and a conclusion from their results.

A study is a module (or a package) with the names of `Study`. Its folder, command, resuming, executors and page come
from here.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol, cast

import pandas as pd

from pipeline.cells.cell import Cell, versions_of
from pipeline.cells.executors import Executor, Results
from pipeline.cells.store import Store
from pipeline.files import write_atomically, write_csv
from pipeline.report.sections import Section, write_page
from pipeline.reporter import Reporter
from pipeline.runs.budget import check_room
from pipeline.runs.context import Context, Machine, hardware, settled
from pipeline.runs.folder import write_inputs
from pipeline.settings.reading import STRESS
from pipeline.settings.run import RunConfig
from pipeline.settings.studies import STUDIES
from pipeline.settings.study import StudySettings


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
    tables : mapping
        Further tables by the name of their file, without its ending.
    """

    metrics: pd.DataFrame
    predictions: pd.DataFrame
    trained: pd.DataFrame
    sentences: tuple[str, ...]
    sections: tuple[Section, ...]
    tables: Mapping[str, pd.DataFrame] = field(default_factory=dict)

    @property
    def seconds(self) -> float:
        """That all trainings took."""
        return float(self.trained["seconds"].sum())


class Study(Protocol):
    """What a module of a study has.

    ``title`` and ``facts`` stand over the page; ``prepare`` makes the table and the splits; ``described`` are lines in
    front of the work, and ``line`` is said of each finished cell.
    """

    NAME: str
    Settings: type[StudySettings]

    def prepare(self, config: RunConfig, settings: Any, reporter: Reporter) -> Context: ...
    def described(self, context: Context) -> list[str]: ...
    def plan(self, context: Context, machine: Machine) -> list[Cell]: ...
    def line(self, context: Context, content: Mapping[str, Any]) -> str: ...
    def conclude(self, context: Context, contents: Sequence[Mapping[str, Any]]) -> Conclusion: ...
    def title(self, context: Context) -> str: ...
    def facts(self, context: Context) -> list[str]: ...


def study_named(name: str) -> Study:
    """The study of a name on the command line."""
    return cast(Study, import_module(STUDIES[name].module))


def run_study(
    study: Study, config: RunConfig, settings: Any, reporter: Reporter, executor: Executor | None = None
) -> tuple[Conclusion, Path] | None:
    """Do all that a study asks for; its conclusion and page. None where shares of other commands are not done yet."""
    context = study.prepare(config, settings, reporter)
    check_room(context)
    machine = settled(context, reporter)
    cells = study.plan(context, machine)
    for line in study.described(context):
        reporter.say(line)
    results = filled(context, machine, cells, executor or Executor(), study.line)
    return None if results is None else written(study, context, list(results.values()))


def filled(
    context: Context,
    machine: Machine,
    cells: Sequence[Cell],
    executor: Executor,
    line: Callable[[Context, Mapping[str, Any]], str],
) -> Results | None:
    """The results of all cells, with a line of each as soon as it is there; none where the line is empty."""

    def told(cell: Cell, content: Mapping[str, Any]) -> None:
        said = line(context, content)
        if said:
            machine.reporter.say(said)

    return executor.fill(cells, context, machine, Store(context.folder), told)


def written(study: Study, context: Context, contents: Sequence[Mapping[str, Any]]) -> tuple[Conclusion, Path]:
    """The conclusion, with all that the folder of a study holds: settings, tables, predictions, page."""
    found = study.conclude(context, contents)
    config = context.config
    made_with = versions_of(contents)
    said = config.as_dict() | {STRESS: {study.NAME: context.settings.as_dict()}}
    write_inputs(context, said)
    for name, table in {"metrics": found.metrics, "trained": found.trained, **found.tables}.items():
        write_csv(context.folder / f"{name}.csv", table)
    write_atomically(context.folder / "predictions.parquet", found.predictions.to_parquet(index=False))
    info = {
        "study": study.NAME,
        "settings": said,
        "table": context.table.fingerprint(),
        "learners": list(context.arms),
        "versions": made_with,
        "hardware": hardware(),
        "sentences": list(found.sentences),
    }
    verb = STRESS if STUDIES[study.NAME].failure_mode else "study"
    page = write_page(
        context,
        study.title(context),
        study.facts(context),
        found.sections,
        f"chemtune {verb} {study.NAME}",
        found.seconds,
        made_with,
    )
    write_atomically(context.folder / "run.json", json.dumps(info, indent=1, ensure_ascii=False))
    return found, page
