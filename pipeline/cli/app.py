"""The application that the verbs are registered with."""

from __future__ import annotations

from typing import Annotated, Any, Optional

import typer
from typer.core import TyperGroup

from pipeline import __version__
from pipeline.cli.terminal import console, quiet_libraries

ORDER = (
    "init",
    "run",
    "atlas",
    "fit",
    "predict",
    "label",
    "audit",
    "prompts",
    "data",
    "arms",
    "models",
    "report",
    "compare",
    "status",
    "show",
)


class Verbs(TyperGroup):
    """The verbs, and the groups of studies."""

    def list_commands(self, ctx: Any) -> list[str]:
        known = [*super().list_commands(ctx), *app.groups]
        return sorted(known, key=lambda name: ORDER.index(name) if name in ORDER else len(ORDER))

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        return app.groups.get(cmd_name) or super().get_command(ctx, cmd_name)


class Application(typer.Typer):
    """A Typer application with groups that are no Typer applications themselves."""

    groups: dict[str, Any] = {}  # noqa: RUF012 (there is one application)


app = Application(
    name="chemtune",
    cls=Verbs,
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    help="Fine-tune a small language model on a table of molecules or reactions, next to strong classical baselines "
    "on the same rows, and see where each fails.",
)


def _version(value: bool) -> None:
    if value:
        console.print(f"chemtune {__version__}")
        raise typer.Exit


@app.callback()
def main(
    version: Annotated[
        Optional[bool], typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = None,
) -> None:
    """Set up what all verbs share."""
    quiet_libraries()
