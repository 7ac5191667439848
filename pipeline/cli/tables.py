"""Tables: looking at one before training, what a model reads of it, and those that come with chemtune."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, Optional

import typer
from rich.table import Column
from rich.table import Table as Grid

from pipeline.cli import terminal
from pipeline.cli.app import app
from pipeline.cli.options import with_settings
from pipeline.cli.terminal import TerminalReporter, console
from pipeline.settings.run import RunConfig

END_MARK = "<|end|>"
Source = Annotated[
    str,
    typer.Argument(help="A CSV, TSV (also .gz), Parquet, Excel or SDF file, a built-in table, or a Hugging Face id."),
]


@app.command()
@with_settings((RunConfig, "audit"))
def audit(
    source: Source,
    given: dict[str, Any],
    origin: Annotated[
        Optional[str],
        typer.Option(
            "--origin",
            help="Column that says where a row comes from, such as paper or assay; those named so if not given.",
        ),
    ] = None,
    out: Annotated[Optional[str], typer.Option("--out", "-o", help="Folder for audit.json and refused.csv.")] = None,
    geometry: Annotated[
        bool,
        typer.Option(
            "--geometry",
            help="Also measure the shape of the table: in how many directions its rows vary, and how the label changes "
            "between similar rows. A minute.",
        ),
    ] = False,
    states: Annotated[
        bool,
        typer.Option("--states", help="Geometry of what the language model says of the rows, too; it loads the model."),
    ] = False,
) -> None:
    """Look at a table before training: refused rows, duplicates, values, scaffolds, leaks of notation and origin."""
    terminal.begin(source)
    import pandas as pd

    from pipeline.files import check_folder, write_atomically, write_csv
    from pipeline.runs.audit import audit_lines, audit_table
    from pipeline.runs.folder import refused_rows
    from pipeline.runs.geometry import geometry_of_table
    from pipeline.runs.geometry_words import COLUMNS, geometry_lines, geometry_rows, geometry_title
    from pipeline.runs.origins import origins_to_look_at
    from pipeline.runs.prepare import load_table, open_job

    check_folder(Path(out) if out else None)
    job = open_job(source, given, terminal.tell)
    reporter, geometry = TerminalReporter(), geometry or states

    def audited(config: RunConfig) -> tuple[Any, dict[str, Any]]:
        with reporter.running():
            table = load_table(config, reporter, job.raw)
            found = audit_table(table, origins_to_look_at(config, job.raw, origin or ""))
            if geometry:
                found["geometry"] = geometry_of_table(table, config, reporter, states)
            return table, found

    for config, (table, found) in job.each(audited, reporter.say):
        terminal.found.setdefault("audits", []).append(found)
        for line in audit_lines(found):
            console.print(line, markup=False)
        if geometry:
            grid = Grid(*COLUMNS, title=geometry_title(found["geometry"]), title_justify="left")
            for row in geometry_rows(found["geometry"]):
                grid.add_row(*row)
            console.print(grid)
            for line in geometry_lines(found["geometry"], found["units"]):
                console.print(line, markup=False)
        if not out:
            continue
        folder = job.folder(config, Path(out))
        write_atomically(folder / "audit.json", json.dumps(found, indent=1, ensure_ascii=False))
        write_csv(folder / "refused.csv", refused_rows(table))
        written = [folder / "audit.json", folder / "refused.csv"]
        if geometry:
            write_csv(folder / "geometry.csv", pd.DataFrame(found["geometry"]["figures"]))
            written.append(folder / "geometry.csv")
        console.print(f"Written: {', '.join(map(str, written))}", markup=False)


@app.command()
@with_settings((RunConfig, "prompts"))
def prompts(
    source: Source,
    given: dict[str, Any],
    out: Annotated[
        Optional[Path], typer.Option("--out", "-o", help="Write all pairs as JSON lines to this file.")
    ] = None,
    rows: Annotated[int, typer.Option(help="How many to show.")] = 5,
) -> None:
    """Show what the language model will read and write."""
    from pipeline.arms.spelled import prompts_in
    from pipeline.features.notations import repeated, representations
    from pipeline.files import check_output, write_atomically
    from pipeline.prompts.numbers import NumberFormat
    from pipeline.prompts.templates import joined, pairs
    from pipeline.runs.context import template_of
    from pipeline.runs.prepare import load_table, open_job
    from pipeline.tables.targets import CLASSES

    check_output(out)
    job = open_job(source, given, terminal.tell)
    reporter, lines = TerminalReporter(), []

    def loaded(config: RunConfig) -> Any:
        with reporter.running():
            return load_table(config, reporter, job.raw)

    for config, table in job.each(loaded, reporter.say):
        template_used = template_of(table, config)
        values = table.targets.to_numpy()
        form = None if table.task == CLASSES else NumberFormat.fit(values)
        answers = [str(value) if form is None else form.write(value) for value in values]
        texts: list[str] = []
        written: list[str] = []
        for one in representations(config.representation):
            texts += map(joined, prompts_in(template_used, table.inputs, one, config.seed))
            written += list(repeated(answers, one.spellings))
        dataset = pairs(texts, written, END_MARK)
        lines += [json.dumps(row, ensure_ascii=False) for row in dataset]
        for row in dataset.select(range(min(rows, len(dataset)))):
            console.print(
                f"{row['prompt']}[bold]{_escaped(row['completion'])}[/bold]"
                if console.is_terminal
                else f"{row['prompt']}{row['completion']}",
                markup=console.is_terminal,
            )
        if form is not None:
            console.print(
                f"\nNumbers are written in steps of {form.resolution:g}, fitted on these {len(values)} rows; "
                f"a run fits them on its training rows.",
                markup=False,
            )
    console.print(f"{END_MARK} stands for the end-of-text token of the model in use.", markup=False)
    if out:
        write_atomically(out, "\n".join(lines) + "\n")
        console.print(f"Written: {out} ({len(lines)} pairs)", markup=False)


def _escaped(text: str) -> str:
    from rich.markup import escape

    return escape(text)


@app.command()
def data() -> None:
    """List the built-in tables."""
    from pipeline.tables.catalogue import cards

    grid = Grid(
        Column("name", no_wrap=True), "rows", "task", "target", "units", "licence", "citation", title="Built-in tables"
    )
    for card in cards().values():
        target = f"{len(card.targets)} targets: {', '.join(card.targets)}" if card.targets else card.property_name
        grid.add_row(card.name, str(card.rows), card.task, target, card.units, card.licence, card.citation)
    console.print(grid)


@app.command()
def arms() -> None:
    """List the arms: the methods that can be compared and fitted."""
    from pipeline.arms.catalogue import ARMS
    from pipeline.tables.kinds import KINDS

    grid = Grid(Column("arm", no_wrap=True), "for", "what it is", title="Arms (--arms)")
    for name, arm in ARMS.items():
        needs = f" (extra {arm.extra})" if arm.extra else ""
        grid.add_row(name, ", ".join(kind.name for kind in KINDS.values() if arm.is_for(kind)), arm.does + needs)
    console.print(grid)
    alone = ", ".join(name for name, arm in ARMS.items() if arm.by_name)
    console.print(f"Groups: baselines, lm (language models), all. In no group: {alone}. Your own: MODULE:FUNCTION.")
