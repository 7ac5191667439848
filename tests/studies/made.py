"""The results of all cells of a study, made here."""

from __future__ import annotations

from dataclasses import replace

from pipeline.cells.cell import work_on
from pipeline.cells.executors import Executor
from pipeline.cells.store import Store
from pipeline.reporter import Reporter
from pipeline.runs.context import settled
from pipeline.studies.compare import study as comparison
from pipeline.studies.study import execute


def contents_of(study, context):
    """What a study concludes from."""
    machine = settled(context, Reporter())
    cells = study.plan(context, machine)
    return list(Executor().fill(cells, context, machine, Store(context.folder)).values())


def compared(context):
    """A finished comparison of arms, with its folder but for the page."""
    return execute(comparison, context)


def with_settings(experiment, **settings):
    """An experiment of a study with some settings changed."""
    changed = replace(experiment.settings, **settings)
    return replace(experiment, context=replace(experiment.context, settings=changed))


def result_of(cell, context, *needed):
    """The result of one cell, which is not kept."""
    return work_on(cell, context, settled(context, Reporter()), needed)
