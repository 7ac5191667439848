"""Oracles: the true values of molecules, computed."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Optional

import typer
from rich.markup import escape
from rich.table import Column
from rich.table import Table as Grid

from pipeline.cli import terminal
from pipeline.cli.app import app
from pipeline.cli.options import OUTPUT, PARALLEL, with_output
from pipeline.cli.terminal import TerminalReporter, console
from pipeline.oracles.built_in import BUILT_IN

OWN = "MODULE:FUNCTION"
_LINES = [
    f"[b]{name}[/b]: {row.does}{f', in {row.units}' if row.units else ''}; needs {escape(row.needs)}."
    for name, row in BUILT_IN.items()
]


def _list(wanted: bool) -> None:
    """Print the oracles, and what each needs."""
    if not wanted:
        return
    grid = Grid(Column("oracle", no_wrap=True), "column", "units", "what it is", "needs", title="Oracles")
    for name, row in BUILT_IN.items():
        grid.add_row(name, row.target, row.units, row.does, escape(row.needs))
    console.print(grid)
    console.print(f"Your own: {OWN}, a function from a SMILES to a number, in a file of this folder.", markup=False)
    raise typer.Exit


@app.command(epilog="\n\n".join([*_LINES, f"[b]{OWN}[/b]: a function of your own from a SMILES to a number."]))
@with_output
def label(
    oracle: Annotated[str, typer.Argument(help=f"{', '.join(BUILT_IN)}, or your own as {OWN}.")],
    source: Annotated[
        str, typer.Argument(help="A CSV, TSV (also .gz), Parquet, Excel or SDF file of molecules, or a built-in table.")
    ],
    smiles: Annotated[str, typer.Option(help="Its column of SMILES; found by its name if not given.")] = "",
    largest_fragment: Annotated[
        bool,
        typer.Option("--largest-fragment", help="Compute the largest fragment, without counter-ions and solvents."),
    ] = False,
    seconds: Annotated[float, typer.Option(help="Time limit for each molecule, in seconds.")] = 30.0,
    workers: Annotated[
        int, typer.Option(help="Processes that compute; 0 for one per core.", min=0, rich_help_panel=PARALLEL)
    ] = 1,
    out: Annotated[
        Optional[Path],
        typer.Option(
            "--out",
            "-o",
            help="Output: .csv, .tsv (also .gz) or .parquet; <table>-<column>.csv here if not given.",
            rich_help_panel=OUTPUT,
        ),
    ] = None,
    listed: Annotated[
        bool, typer.Option("--list", is_eager=True, callback=_list, help="Show what each oracle needs and exit.")
    ] = False,
) -> None:
    """Compute the true value of every molecule of a table by an oracle, such as a quantum chemical method."""
    terminal.begin(source)
    from pipeline.oracles.labelling import label_file
    from pipeline.oracles.oracle import oracle_named
    from pipeline.tables.reading import table_name

    asked = oracle_named(oracle)
    target = out or Path(f"{table_name(source)}-{asked.target}.csv")
    reporter = TerminalReporter()
    with reporter.running():
        found = label_file(
            asked,
            source,
            target,
            reporter,
            smiles=smiles,
            largest_fragment=largest_fragment,
            workers=workers,
            seconds=seconds,
        )
    units = f" in {asked.units}" if asked.units else ""
    console.print(
        f"{found.with_value} of {found.rows} rows have a value of {asked.name} (column {found.column!r}{units}). "
        f"Written: {found.out}",
        markup=False,
    )
    for reason, count in found.reasons.most_common(5):
        console.print(f"  {count} without: {reason}", markup=False)
    terminal.found.update(
        out=str(found.out),
        column=found.column,
        rows=found.rows,
        with_value=found.with_value,
        version=asked.version,
        reasons=dict(found.reasons),
    )
