"""Starting: a look at a table, and a file of settings for it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any, Optional

import typer

from pipeline.cli import terminal
from pipeline.cli.app import app
from pipeline.cli.options import with_settings
from pipeline.cli.tables import Source
from pipeline.cli.terminal import TerminalReporter, console
from pipeline.errors import InputError
from pipeline.settings.run import RunConfig

MOST_REASONS = 6  # of refused rows


@app.command()
@with_settings((RunConfig, "audit"))
def init(
    source: Source,
    given: dict[str, Any],
    out: Annotated[
        Optional[Path], typer.Option("--out", "-o", help="The file to write; <table>.yaml here if not given.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Write over a file that is there.")] = False,
) -> None:
    """Look at a table, guess what its columns hold, and write a file of settings with a word on each."""
    terminal.begin(source)
    from pipeline.files import check_output, write_atomically
    from pipeline.runs.hints import hints, seen
    from pipeline.runs.prepare import load_raw, load_table
    from pipeline.runs.starter import starter
    from pipeline.settings.reading import make_config, without_aliases
    from pipeline.tables.catalogue import is_built_in
    from pipeline.tables.guess import Guess, guess
    from pipeline.tables.reading import table_name

    path = out or Path(f"{table_name(source)}.yaml")
    if path.exists() and not force:
        raise InputError(f"{path} is there already; name another file with --out, or write over it with --force")
    check_output(path)
    raw, named = load_raw(source), without_aliases(given, "command line")
    found = Guess() if is_built_in(source) else guess(raw, str(named.get("target", "")))
    if not found.sure and not named.get("target") and found.candidates and sys.stdin.isatty():
        given["target"] = named["target"] = _asked(found.candidates)
        found = guess(raw, given["target"])
    found = found.beside(named)
    for line in found.said():
        terminal.tell(line)
    config = make_config(source, {**found.settings, **given})
    reporter = TerminalReporter()
    with reporter.running():
        table = load_table(config, reporter, raw)
    for line in (*_became(table), *seen(table)):
        terminal.tell(line)
    said = hints(table)
    write_atomically(path, starter(config, table, found, said, path, [str(column) for column in raw.frame.columns]))
    load_table(make_config(str(path), {}), reporter, raw)  # what was written is read as it was meant
    terminal.found.update(written=str(path), hints=said)
    console.print(f"\nWritten: {path}. Read it, change what is wrong, then: chemtune run {path}", markup=False)


def _became(table: Any) -> list[str]:
    """What became of the rows, a line each."""
    merged = f", {table.merged} merged into others" if table.merged else ""
    lines = [f"{len(table)} {table.rows_are} from {table.n_read} rows: {len(table.refused)} refused{merged}."]
    reasons = table.refused["reason"].value_counts()
    lines += [f"  refused {count}: {reason}" for reason, count in reasons.head(MOST_REASONS).items()]
    return [*lines, f"Task: {table.task} of {table.property_name!r} ({table.task_reason})."]


def _asked(candidates: tuple[str, ...]) -> str:
    """The target, where a table has several columns that may be it, and somebody is there to say."""
    for number, column in enumerate(candidates, 1):
        terminal.tell(f"  {number}: {column}")
    chosen: str = typer.prompt("Which column is the target? Its name or number")
    return candidates[int(chosen) - 1] if chosen.isdigit() and 0 < int(chosen) <= len(candidates) else chosen
