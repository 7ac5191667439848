"""Options of the command line, made from the dataclasses of settings: no command can forget one."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import fields
from functools import wraps
from keyword import iskeyword
from typing import Annotated, Any, Optional, get_type_hints

import typer

from pipeline.cli import terminal
from pipeline.settings.fields import help_of
from pipeline.settings.run import ALIASES, TABLE, RunConfig

GIVEN = "given"  # the parameter of a command in whose place the options stand
QUIET, JSON, HELP_ALL = "quiet", "json_line", "help_all"
PARALLEL, OUTPUT = "Running in parallel", "Output"  # panels of the help
ExecutorOption = Annotated[
    Optional[str],
    typer.Option(
        help="How fits run: serial (default), processes, ray or slurm; the results are equal.",
        rich_help_panel=PARALLEL,
    ),
]
WorkersOption = Annotated[
    Optional[int],
    typer.Option(help="Parallel workers; one per core if not given.", rich_help_panel=PARALLEL, hidden=True),
]
ShardOption = Annotated[
    Optional[str],
    typer.Option(
        help="Do this share of the work, such as 2/5, under a scheduler of your own; the last one reports.",
        rich_help_panel=PARALLEL,
        hidden=True,
    ),
]


def _show_all(context: typer.Context, wanted: bool) -> None:
    """Print the help with the options that few users need."""
    if not wanted:
        return
    for parameter in context.command.get_params(context):
        parameter.hidden = False  # type: ignore[attr-defined]
    typer.echo(context.get_help())
    raise typer.Exit


_OUTPUTS: dict[str, tuple[Any, Any]] = {
    QUIET: (bool, typer.Option("--quiet", "-q", help="Say nothing but what goes wrong.", rich_help_panel=OUTPUT)),
    JSON: (
        bool,
        typer.Option("--json", help="Say one line of JSON at the end, and nothing else.", rich_help_panel=OUTPUT),
    ),
}
_ALL = typer.Option("--help-all", is_eager=True, callback=_show_all, help="Show all options and exit.")


def with_output(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command ``--quiet`` and ``--json``; what it found is in `pipeline.cli.terminal.found`."""
    return _with(command, {})


def with_settings(*kinds: tuple[type, str]) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command an option for each setting of these dataclasses that belongs to the verb beside it.

    They stand in place of its parameter ``given``, which gets those that were named, by the name of the setting. A
    setting of a later class hides that of the same name in an earlier one. Those that few users need are shown by
    ``--help-all`` alone. The command gets ``--quiet`` and ``--json`` as well.
    """

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        return _with(command, {key: one for kind, verb in kinds for key, one in _parameters(kind, verb).items()})

    return decorate


def _with(command: Callable[..., None], made: dict[str, inspect.Parameter]) -> Callable[..., None]:
    """The command with further parameters, and those about its output."""
    own = inspect.signature(command, eval_str=True).parameters
    order: list[inspect.Parameter] = []
    for name, parameter in own.items():
        order += made.values() if name == GIVEN else [parameter]
    order += [_parameter(name, kind, declared, False) for name, (kind, declared) in _OUTPUTS.items()]
    if made:
        order.append(_parameter(HELP_ALL, bool, _ALL, False))

    @wraps(command)
    def called(**values: Any) -> None:
        values.pop(HELP_ALL, None)
        with terminal.speaking(quiet=values.pop(QUIET), as_json=values.pop(JSON)):
            given = {_setting(name): values.pop(name) for name in made}
            named = {name: value for name, value in given.items() if value is not None}
            command(**values, **({GIVEN: named} if made else {}))

    by_keyword = [one.replace(kind=inspect.Parameter.KEYWORD_ONLY) for one in order]
    called.__signature__ = inspect.Signature(by_keyword)  # type: ignore[attr-defined]
    called.__annotations__ = {one.name: one.annotation for one in by_keyword}
    del called.__wrapped__  # type: ignore[attr-defined]
    return called


def _parameter(name: str, kind: Any, declared: Any, default: Any) -> inspect.Parameter:
    annotation = Annotated[kind, declared]
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)


def _setting(parameter: str) -> str:
    return parameter.removesuffix("_")


def _parameters(kind: type, verb: str) -> dict[str, inspect.Parameter]:
    """A parameter for each field that the verb has an option for, and for the name that a target has for reactions."""
    hints, found = get_type_hints(kind), {}
    for one in fields(kind):  # type: ignore[arg-type]
        if verb in one.metadata.get("verbs", ()):
            plain = hints[one.name] if hints[one.name] in (bool, int, float, str) else str  # a list: with commas
            hidden = not one.metadata["common"]
            found[one.name] = _option(one.name, plain, help_of(one, verb), one.metadata["panel"], hidden)
        if kind is RunConfig and one.name == ALIASES["yield"]:
            found["yield"] = _option("yield", str, "Column that holds the yields of reactions.", TABLE, False)
    return {parameter.name: parameter for parameter in found.values()}


def _option(name: str, kind: type, about: str, panel: str, hidden: bool) -> inspect.Parameter:
    shown = name.replace("_", "-")
    names = f"--{shown}/--no-{shown}" if kind is bool else f"--{shown}"
    declared = typer.Option(names, help=about, rich_help_panel=panel or None, hidden=hidden)
    return _parameter(f"{name}_" if iskeyword(name) else name, Optional[kind], declared, None)
