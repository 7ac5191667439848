"""Names of columns, as they stand over the cells of a table."""

from __future__ import annotations

from collections.abc import Collection, Iterable


def plain_name(cell: str) -> str:
    """A header's cell with each line break or run of white space as one space."""
    return " ".join(cell.split())


def column_names(cells: Iterable[str]) -> tuple[list[str], dict[str, tuple[int, ...]]]:
    """``(names, repeated)``: one name per header cell, none twice; and over which columns, counted from 1, a name
    stands that was given to several.

    The first column of a repeated name keeps it, the next ones are called ``name (2)`` and so on; a column without
    a name is called by its position.
    """
    given = [plain_name(cell) for cell in cells]
    places: dict[str, tuple[int, ...]] = {}
    for place, name in enumerate(given, start=1):
        places[name] = (*places.get(name, ()), place)
    names: dict[str, None] = {}
    for place, name in enumerate(given, start=1):
        fresh = name and place == places[name][0]
        names[name if fresh else free_name(name or f"column_{place}", {*places, *names})] = None
    return list(names), {name: found for name, found in places.items() if name and len(found) > 1}


def free_name(name: str, taken: Collection[str]) -> str:
    """The name itself, or the first of ``name (2)``, ``name (3)``, ... that is not taken."""
    free, number = name, 2
    while free in taken:
        free, number = f"{name} ({number})", number + 1
    return free


def free_names(ours: Iterable[str], theirs: Collection[str]) -> dict[str, str]:
    """The program's columns under names that a table of the user's does not have: ``chemtune_name`` where it must."""
    names: dict[str, str] = {}
    for name in ours:
        free = name
        while free in theirs:
            free = f"chemtune_{free}"
        names[name] = free
    return names
