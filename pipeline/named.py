"""Functions of the user's own, named ``module:function`` where names of built-in things stand otherwise."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any

from pipeline.errors import InputError, first_line


def is_own(name: str) -> bool:
    return ":" in name


def function_named(name: str, what: str) -> Callable[..., Any]:
    """The function of a name; its module is looked for in the working directory and where Python looks for modules.

    Parameters
    ----------
    what : str
        What the function is for, in errors: such as ``arm``.

    Raises
    ------
    InputError
        If there is no such function, or its module cannot be imported.
    """
    module, _, function = name.partition(":")
    with _here_first():
        try:
            found = getattr(import_module(module), function, None)
        except (Exception, SystemExit) as error:  # a module of the user's may raise anything while it is imported
            raise InputError(f"{what} {name!r}: {module} cannot be imported: {first_line(error)}") from error
    if not callable(found):
        raise InputError(f"{what} {name!r}: {module} has no function {function!r}")
    return found  # type: ignore[no-any-return]


@contextmanager
def _here_first() -> Iterator[None]:
    """Look for modules in the working directory as well."""
    here = os.getcwd()
    sys.path.insert(0, here)
    try:
        yield
    finally:
        sys.path.remove(here)
