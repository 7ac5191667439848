"""Runs: comparing arms, reporting a finished folder again, comparing two, and how far one is."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Optional

import typer
from rich.table import Table as Grid

from pipeline.cli import terminal
from pipeline.cli.app import app
from pipeline.cli.options import OUTPUT, ExecutorOption, ShardOption, WorkersOption, with_output, with_settings
from pipeline.cli.terminal import TerminalReporter, console
from pipeline.settings.run import RunConfig

_DEFAULTS = "Defaults were chosen on validation parts of training rows: docs/engine.md says how."


@app.command(epilog=_DEFAULTS)
@with_settings((RunConfig, "run"))
def run(
    source: Annotated[str, typer.Argument(help="A YAML file of settings, or a table as for [b]audit[/b].")],
    given: dict[str, Any],
    executor: ExecutorOption = None,
    workers: WorkersOption = None,
    shard: ShardOption = None,
    out: Annotated[
        Optional[str],
        typer.Option("--out", "-o", help="Folder of the run; runs/<table> if not given.", rich_help_panel=OUTPUT),
    ] = None,
) -> None:
    """Compare a fine-tuned language model with classical baselines on random and shifted splits."""
    given = {**given, "out": out}
    terminal.begin(source)
    from pipeline.cells.executors import Executor
    from pipeline.files import check_folder, write_atomically
    from pipeline.runs.context import settled
    from pipeline.runs.prepare import open_job
    from pipeline.settings.reading import of_targets, write_yaml
    from pipeline.settings.run import budget_seconds
    from pipeline.studies.compare.targets import write_reports

    how = Executor.of(executor or "", workers or 0, shard or "")
    job = open_job(source, given, terminal.tell)
    configs, folder = job.configs, Path(job.settings["out"])
    check_folder(folder)
    reporter = TerminalReporter()
    with reporter.running():
        contexts = _prepared(job, reporter)
        prepared = [(context, settled(context, reporter)) for context in contexts]
        share = budget_seconds(configs[0].budget) / len(prepared) if configs[0].budget else 0.0
        found = [_done(*one, share, how) for one in prepared]
        if len(prepared) > 1:
            kept = of_targets(job.settings, [context.config for context in contexts])
            write_atomically(folder / "config.yaml", write_yaml(kept))
        if None in found and len(found) > 1:  # another share may have ended meanwhile
            found = [done or _done(*one, share, how) for done, one in zip(found, prepared, strict=True)]
        if None in found:
            console.print("Other shares are still to be done; the command that does the last one writes the report.")
            return
        reporter.step("the report", 0, 1)
        page, together = write_reports(found, folder)
    say_done(found, page, together)


def _prepared(job: Any, reporter: Any) -> list[Any]:
    """What is run for each target."""
    from pipeline.runs.budget import check_room
    from pipeline.runs.prepare import prepare
    from pipeline.studies.compare import study as comparison

    contexts = []
    for _, made in job.each(lambda config: prepare(config, reporter, job.raw), reporter.say):
        check_room(made)
        contexts.append(made)
        for line in comparison.described(made):
            reporter.say(line)
    return contexts


def say_done(done: Sequence[Any], page: Path, together: Any = None) -> None:
    """What was found for each target, or of more than fit a screen what they say together; and where the page is."""
    from pipeline.report.page import TARGETS_ON_A_PAGE

    for sentence in together.sentences if together else ():
        console.print(f"\n{sentence}", markup=False)
    for one in done if len(done) <= TARGETS_ON_A_PAGE else ():
        name = f"{one.context.config.target}: " if len(done) > 1 else ""
        for sentence in one.conclusion.sentences:
            console.print(f"\n{name}{sentence}", markup=False)
    console.print(f"\nReport: {page}", markup=False)
    if len(done) == 1 and any(_used(done[0]).values()):
        console.print(f"Next: {terminal.called()} {_next(_used(done[0]), done[0].context.folder)}", markup=False)
    terminal.found.update(
        report=str(page),
        **({"together": list(together.sentences)} if together else {}),
        folders=[str(one.context.folder) for one in done],
        found=[
            {"target": one.context.config.target, "verdict": list(one.conclusion.sentences), "use": _used(one)}
            for one in done
        ],
    )


def _used(done: Any) -> dict[str, str | None]:
    """The arm to use on each split, where the study names one."""
    return {verdict["split"]: verdict["use"] for verdict in done.conclusion.info.get("verdicts", ())}


def _next(used: Mapping[str, str | None], folder: Path) -> str:
    """How the arm to use is fitted; where the verdict on some split names none, that on the last one that does."""
    split = "" if all(used.values()) else f" --split {shlex.quote([name for name, arm in used.items() if arm][-1])}"
    return f"fit --run {shlex.quote(str(folder))}{split} --arm best"


def _done(context: Any, machine: Any, seconds: float, how: Any) -> Any:
    """Fill the cells of a run, within a budget (0 for none)."""
    from pipeline.cells.store import Store
    from pipeline.runs.fits import compute_features
    from pipeline.studies.compare import study
    from pipeline.studies.study import execute, within_time

    context = within_time(study, context, machine, seconds, how)
    compute_features(context, machine, Store(context.folder))
    return execute(study, context, machine, how)


@app.command()
@with_output
def report(folder: Annotated[Path, typer.Argument(help="Folder of a finished run or study.")]) -> None:
    """Make tables and page of a finished folder again, without fitting anything."""
    terminal.begin(folder)
    from pipeline.studies.again import report_again

    reporter = TerminalReporter()
    with reporter.running():
        found, page, together = report_again(folder, reporter)
    say_done(found, page, together)


@app.command()
def compare(
    first: Annotated[Path, typer.Argument(help="Folder of a finished run.")],
    second: Annotated[Path, typer.Argument(help="Folder of another one.")],
) -> None:
    """Compare two finished runs on the rows that both tested, arm by arm, and say what differs in their settings."""
    from pipeline.studies.two_runs import Finished, compare_runs, differences, pair_rows

    one, two = Finished.read(first), Finished.read(second)
    pairs = compare_runs(one, two)
    header, rows = pair_rows(pairs, one.info["task"])
    grid = Grid(*header, title=f"{second} against {first}")
    for row in rows:
        grid.add_row(*row)
    console.print(grid)
    console.print(
        "Differences are of the second to the first on the same rows, with intervals by whole groups: 95 % ones, which "
        "are wider where several arms of a split differ, since these are corrected together (Holm). What another "
        "training seed changes is in them where a run was trained with several on one test set, and what other "
        "training rows change where there are folds or repeats.",
        markup=False,
    )
    for said in differences(one, two) or ["nothing in their settings"]:
        console.print(f"They differ in {said}.", markup=False)


@app.command()
def status(folder: Annotated[Path, typer.Argument(help="Folder of a run or study, under way or finished.")]) -> None:
    """Say what of a run is done, what is worked on, what failed, and how long the rest may take."""
    from pipeline.cells.status import statuses
    from pipeline.runs.budget import duration

    for one in statuses(folder):
        line = f"{one.folder}: {one.done} of {one.total} cells done, {len(one.running)} worked on"
        if one.failed:
            line += f", {len(one.failed)} failed"
        if not one.finished and one.seconds_left is not None:
            line += f"; about {duration(one.seconds_left)} left at this pace"
        console.print(f"{line}.", markup=False)
        for label in one.running:
            console.print(f"  now: {label}", markup=False)
        for said in one.failed:
            console.print(f"  failed: {said}", markup=False)
