"""One way from what a YAML file or an option says to a setting of a stated type."""

from __future__ import annotations

from typing import Any, get_args, get_origin

from pipeline.errors import InputError

_EXPECTED = {bool: "true or false", int: "a whole number", float: "a number", str: "text"}


def coerced(value: Any, kind: Any, where: str) -> Any:
    """A value as a setting of this type: a bool, int, float, str, or a tuple of one of these of any length.

    Nothing is rounded or guessed: 2.9 is no whole number, and a number in quotes none at all. A list may be written as
    one text with commas; one value is a list of one.

    Parameters
    ----------
    where : str
        What the setting is called, for an error.

    Raises
    ------
    InputError
        If it is none.
    """
    if get_origin(kind) is tuple:
        of = get_args(kind)[0]
        items = value.split(",") if isinstance(value, str) else value
        items = items if isinstance(items, (list, tuple)) else (items,)
        return tuple(_of_list(item, of, where) for item in items if str(item).strip())
    if kind is bool and isinstance(value, bool):
        return value
    if kind is int and isinstance(value, int) and not isinstance(value, bool):
        return value
    if kind is float and isinstance(value, (int, float)) and not isinstance(value, bool):
        return float(value)
    if kind is str and isinstance(value, (str, int, float)) and not isinstance(value, bool):
        return str(value).strip()
    raise InputError(f"{where} is {value!r}; expected {_EXPECTED[kind]}")


def _of_list(item: Any, kind: Any, where: str) -> Any:
    """One value of a list, which may have been cut out of a text."""
    if isinstance(item, str) and kind in (int, float):
        try:
            return kind(item)
        except ValueError:
            raise InputError(f"{where} is {item!r}; expected {_EXPECTED[kind]}") from None
    if kind is str and not isinstance(item, (str, int, float)):
        raise InputError(f"{where} is {item!r}; expected a list of names")
    return coerced(item, kind, where)
