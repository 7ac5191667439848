"""Options of the command line, made from the dataclasses of settings: no command can forget one."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import fields
from functools import wraps
from keyword import iskeyword
from typing import Annotated, Any, Optional, get_type_hints

import typer

from pipeline.settings.fields import help_of
from pipeline.settings.run import ALIASES, TABLE, RunConfig

GIVEN = "given"  # the parameter of a command in whose place the options stand
ExecutorOption = Annotated[
    Optional[str],
    typer.Option(
        help="How fits run: serial (default), processes, ray or slurm; the results are the same.",
        rich_help_panel="Running in parallel",
    ),
]
WorkersOption = Annotated[
    Optional[int],
    typer.Option(help="Parallel workers; one per core if not given.", rich_help_panel="Running in parallel"),
]
ShardOption = Annotated[
    Optional[str],
    typer.Option(
        help="Do this share of the work, such as 2/5, under a scheduler of your own; the last one reports.",
        rich_help_panel="Running in parallel",
    ),
]


def with_settings(*kinds: tuple[type, str]) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command an option for each setting of these dataclasses that belongs to the verb beside it.

    They stand in place of its parameter ``given``, which gets those that were named, by the name of the setting. A
    setting of a later class hides that of the same name in an earlier one.
    """

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        made = {name: parameter for kind, verb in kinds for name, parameter in _parameters(kind, verb).items()}
        own = inspect.signature(command, eval_str=True).parameters
        order: list[inspect.Parameter] = []
        for name, parameter in own.items():
            order += made.values() if name == GIVEN else [parameter]

        @wraps(command)
        def called(**values: Any) -> None:
            given = {_setting(name): values.pop(name) for name in made}
            command(**values, given={name: value for name, value in given.items() if value is not None})

        by_keyword = [one.replace(kind=inspect.Parameter.KEYWORD_ONLY) for one in order]
        called.__signature__ = inspect.Signature(by_keyword)  # type: ignore[attr-defined]
        called.__annotations__ = {one.name: one.annotation for one in by_keyword}
        del called.__wrapped__  # type: ignore[attr-defined]
        return called

    return decorate


def _setting(parameter: str) -> str:
    return parameter.removesuffix("_")


def _parameters(kind: type, verb: str) -> dict[str, inspect.Parameter]:
    """A parameter for each field that the verb has an option for, and for the name that a target has for reactions."""
    hints, found = get_type_hints(kind), {}
    for one in fields(kind):  # type: ignore[arg-type]
        if verb in one.metadata.get("verbs", ()):
            plain = hints[one.name] if hints[one.name] in (bool, int, float, str) else str  # a list: with commas
            found[one.name] = _option(one.name, plain, help_of(one, verb), one.metadata["panel"])
        if kind is RunConfig and one.name == ALIASES["yield"]:
            found["yield"] = _option("yield", str, "Column that holds the yields of reactions.", TABLE)
    return {parameter.name: parameter for parameter in found.values()}


def _option(name: str, kind: type, about: str, panel: str) -> inspect.Parameter:
    shown = name.replace("_", "-")
    names = f"--{shown}/--no-{shown}" if kind is bool else f"--{shown}"
    declared = typer.Option(names, help=about, rich_help_panel=panel or None)
    annotation = Annotated[Optional[kind], declared]  # type: ignore[valid-type]
    parameter = f"{name}_" if iskeyword(name) else name
    return inspect.Parameter(parameter, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation)
