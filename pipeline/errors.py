"""The one error a user sees: a single line that says what is wrong and what to do."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class InputError(Exception):
    """Bad input from the user. The command line prints it as one line and exits with status 2."""


def first_line(error: BaseException) -> str:
    """What an error says, in one line; its kind where it says nothing."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


def nearest(name: str, choices: Iterable[str]) -> str:
    """`` (did you mean 'x'?)`` for the choice closest to ``name``, or an empty string."""
    by_lower = {choice.lower(): choice for choice in choices}
    match = difflib.get_close_matches(name.lower(), list(by_lower), n=1, cutoff=0.5)
    return f" (did you mean {by_lower[match[0]]!r}?)" if match else ""


def unknown(kind: str, name: str, choices: Iterable[str]) -> InputError:
    """The error for a name that is not among ``choices``: it lists them and names the nearest."""
    known = list(choices)
    return InputError(f"unknown {kind} {name!r}{nearest(name, known)}; there are: {', '.join(known)}")
