"""How a setting is declared: once, with what its option, its YAML key and its check need."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, Field, field, fields
from typing import Any

from pipeline.errors import InputError, unknown
from pipeline.tables.kinds import Kind

MOST_SHOWN = 30  # characters of a default in the help


def setting(
    default: Any,
    help: str,
    verbs: str = "",
    *,
    panel: str = "",
    choices: Sequence[str] = (),
    least: float | None = None,
    quick: Any = MISSING,
    common: bool = False,
    kinds: Sequence[Kind] = (),
    **per_verb: str,
) -> Any:
    """A field of a dataclass of settings.

    Parameters
    ----------
    help : str
        What it is, for people; ``per_verb`` says it otherwise for a command (``help_fit="..."``).
    verbs : str
        Names of the commands that have an option for it, separated by spaces; none if empty.
    panel : str
        Under which heading the option stands.
    choices : sequence of str
        The values that it can have; an empty default stands for none of them.
    least : float, optional
        The smallest value that it can have.
    quick : object
        Its value with ``--quick``.
    common : bool
        Whether most users need it: the others are shown by ``--help-all``.
    kinds : sequence of Kind
        Of the rows that it is for; all if empty.
    """
    metadata = {
        "help": help,
        "verbs": frozenset(verbs.split()),
        "panel": panel,
        "choices": tuple(choices),
        "least": least,
        "common": common,
        "kinds": tuple(kinds),
        **per_verb,
    }
    if quick is not MISSING:
        metadata["quick"] = quick
    return field(default=default, metadata=metadata)


def check(settings: Any) -> None:
    """Raise `InputError` for a value that is none of the choices, smaller than the least, or no finite number."""
    for one in fields(settings):
        value, about = getattr(settings, one.name), one.metadata
        choices = about.get("choices", ())
        if choices and value not in choices and (value or one.default):
            raise unknown(one.name, value, choices)
        least = about.get("least")
        for part in value if isinstance(value, tuple) else (value,):
            if isinstance(part, float) and not math.isfinite(part):
                raise InputError(f"{one.name} is {part}; it must be a number")
            if least is not None and part < least:
                said = "must not be negative" if least == 0 else f"must be at least {least:g}"
                raise InputError(f"{one.name} is {part}; it {said}")


def quick_values(kind: Any) -> dict[str, Any]:
    """The settings of a study with ``--quick``."""
    return {one.name: one.metadata["quick"] for one in fields(kind) if "quick" in one.metadata}


def help_of(one: Field[Any], verb: str) -> str:
    """What a setting is, in the help of a command, and its default where that says something."""
    about: Mapping[str, Any] = one.metadata
    said = str(about.get(f"help_{verb}", about["help"]))
    default = ",".join(map(str, one.default)) if isinstance(one.default, tuple) else one.default
    if not default or default is True or "default" in said or len(str(default)) > MOST_SHOWN:
        return said
    return f"{said} [dim](default: {default})[/dim]"
