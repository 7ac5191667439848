"""Studies: one command for each of the catalogue, loaded when it is asked for."""

from __future__ import annotations

from dataclasses import fields, replace
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Optional

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command_from_info
from typer.models import CommandInfo

from pipeline.cli import terminal
from pipeline.cli.app import app
from pipeline.cli.options import OUTPUT, ExecutorOption, ShardOption, WorkersOption, with_settings
from pipeline.cli.runs import say_done
from pipeline.cli.terminal import TerminalReporter, console
from pipeline.settings.run import RunConfig
from pipeline.settings.studies import STUDIES

OutOption = Annotated[
    Optional[str],
    typer.Option("--out", "-o", help="Folder; runs/<table>-<name of the study> if not given.", rich_help_panel=OUTPUT),
]


class StudyCommand(TyperCommand):
    """The command of a study; its options are those of its settings, which are read when they are needed."""

    @cached_property
    def real(self) -> Any:
        from pipeline.studies.study import study_named

        name = str(self.name)
        study = study_named(name)

        @with_settings((RunConfig, STUDIES[name].options), (study.Settings, "study"))
        def command(
            source: Annotated[str, typer.Argument(help="A YAML file of settings, or a table.")],
            given: dict[str, Any],
            quick: Annotated[bool, typer.Option("--quick", help="Fewer rows, seeds and steps: a first look.")] = False,
            executor: ExecutorOption = None,
            workers: WorkersOption = None,
            shard: ShardOption = None,
            out: OutOption = None,
        ) -> None:
            run_named(name, source, given, quick, (executor or "", workers or 0, shard or ""), out)

        return get_command_from_info(
            CommandInfo(name=name, callback=command, help=self.help),
            pretty_exceptions_short=True,
            rich_markup_mode="rich",
        )

    def get_params(self, ctx: Any) -> list[Any]:
        return list(self.real.get_params(ctx))

    def invoke(self, ctx: Any) -> Any:
        return self.real.invoke(ctx)


def run_named(
    name: str, source: str, given: dict[str, Any], quick: bool, who: tuple[str, int, str], out: str | None
) -> None:
    """Run a study with what a YAML file or a table and the options say.

    Options that the study has a setting for are its own, all others those of the run.
    """
    terminal.begin(source)
    from pipeline.cells.executors import Executor
    from pipeline.files import check_folder
    from pipeline.settings.fields import quick_values
    from pipeline.settings.reading import default_folder, make_config, read_study
    from pipeline.studies.study import run_study, study_named

    study, how = study_named(name), Executor.of(*who)
    own = {field.name for field in fields(study.Settings)}  # type: ignore[arg-type]
    said = read_study(source, name) | (quick_values(study.Settings) if quick else {})
    settings = study.Settings.read(
        said | {key: value for key, value in given.items() if key in own}, f"settings of {name}"
    )
    of_run = {key: value for key, value in given.items() if key not in own} | {"out": out}
    config = make_config(source, of_run, terminal.tell)
    if config.out == default_folder(config.table):  # none was named, here or in a YAML
        config = replace(config, out=f"{config.out}-{name}")
    check_folder(Path(config.out))
    reporter = TerminalReporter()
    with reporter.running():
        done = run_study(study, config, settings, reporter, how)
    if done is None:
        console.print("Other shares are still to be done; the command that does the last one writes the report.")
        return
    found, page = done
    say_done([found], page)


_ATLAS_EPILOG = "Each study has a folder and a page of its own below that of the atlas; docs/atlas.md says more."


@app.command(epilog=_ATLAS_EPILOG)
@with_settings((RunConfig, "study"))
def atlas(
    source: Annotated[str, typer.Argument(help="A YAML file of settings, or a table.")],
    given: dict[str, Any],
    modes: Annotated[
        Optional[str],
        typer.Option(help="Failure modes, with commas: shift and those of stress; all if not given."),
    ] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Fewer rows, seeds and steps: a first look.")] = False,
    executor: ExecutorOption = None,
    workers: WorkersOption = None,
    shard: ShardOption = None,
    out: Annotated[
        Optional[str],
        typer.Option("--out", "-o", help="Folder; runs/<table>-atlas if not given.", rich_help_panel=OUTPUT),
    ] = None,
) -> None:
    """Test every failure mode that a table allows, and say on one page where models fail."""
    terminal.begin(source)
    from pipeline.cells.executors import Executor
    from pipeline.errors import unknown
    from pipeline.files import check_folder
    from pipeline.settings.reading import default_folder, make_config, read_study
    from pipeline.studies.atlas.atlas import run_atlas
    from pipeline.studies.atlas.modes import QUESTIONS, Asked

    named = [name.strip() for name in modes.split(",") if name.strip()] if modes else list(QUESTIONS)
    for name in named:
        if name not in QUESTIONS:
            raise unknown("failure mode", name, QUESTIONS)
    asked = [Asked(name, quick, read_study(source, name) if name in STUDIES else {}) for name in dict.fromkeys(named)]
    config = make_config(source, {**given, "out": out}, terminal.tell)
    if config.out == default_folder(config.table):
        config = replace(config, out=f"{config.out}-atlas")
    check_folder(Path(config.out))
    reporter = TerminalReporter()
    with reporter.running():
        found = run_atlas(config, asked, reporter, Executor.of(executor or "", workers or 0, shard or ""))
    if found is None:
        console.print("Other shares are still to be done; the command that does the last one writes the page.")
        return
    say_done([], found.page, found)
    terminal.found["folders"] = [str(one.context.folder) for one in found.done.values()]


def _group(name: str, about: str, failure_modes: bool) -> None:
    group = TyperGroup(name=name, help=about, no_args_is_help=True, rich_markup_mode="rich")
    for study, row in STUDIES.items():
        if row.failure_mode is failure_modes and not row.own_verb:
            group.add_command(StudyCommand(study, help=row.question, rich_markup_mode="rich"))
    app.groups[name] = group


_group("stress", "Studies that show where a model fails, and what mends it.", True)
_group("study", "Other studies of a table.", False)
for _name, _row in STUDIES.items():
    if _row.own_verb:
        app.groups[_name] = StudyCommand(_name, help=_row.question, rich_markup_mode="rich")
