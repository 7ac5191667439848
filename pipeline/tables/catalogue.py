"""The built-in tables: one card each, saying what it is and where it comes from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from pipeline.errors import InputError, unknown
from pipeline.files import sha256, shipped_folder
from pipeline.tables.fetched import Origin, fetched_table


@dataclass(frozen=True)
class Card:
    """What is known of a built-in table; ``range`` is where its values must lie, in ``units``.

    A table of molecules names its column of ``smiles``, one of materials that of ``composition``; one of reactions its
    ``reaction`` SMILES, its ``components`` and the ``yield_unit``. Its file is shipped, or ``fetched`` when it is first
    asked for; ``sha256`` is that of the file as it is kept. A table with several columns that can be the target names
    each in ``targets`` with its property; ``target`` is the one that is taken where none is named. ``context`` are the
    columns that are stated beside a structure unless others are named, ``origin`` is the column of where a row comes
    from, ``oracle`` computes its values for other molecules, and ``note`` is what else has to be known.
    """

    name: str
    title: str
    task: str
    target: str
    property_name: str
    units: str
    source: str
    licence: str
    citation: str
    rows: int
    sha256: str
    smiles: str = ""
    composition: str = ""
    reaction: str = ""
    components: tuple[str, ...] = ()
    yield_unit: str = ""
    range: tuple[float, float] | None = None
    fetched: Origin | None = None
    targets: Mapping[str, str] = field(default_factory=dict)
    context: tuple[str, ...] = ()
    origin: str = ""
    oracle: str = ""
    note: str = ""

    @property
    def structure(self) -> dict[str, str]:
        """The setting that names the column of the molecules or formulas."""
        return {"composition": self.composition} if self.composition else {"smiles": self.smiles}

    @property
    def path(self) -> Path:
        return shipped_folder("data") / f"{self.name}.csv.gz"

    def file(self, data_dir: str = "") -> Path:
        """The file of the table, checked; fetched, or read from a folder of the user's, if it is not shipped.

        Raises
        ------
        InputError
            If it is not there or not the one that the card describes.
        """
        if self.fetched:
            return fetched_table(self.name, self.fetched, self.sha256, data_dir)
        if not self.path.exists() or sha256(self.path) != self.sha256:
            raise InputError(f"{self.path}: missing, or not the file its card describes; reinstall chemtune")
        return self.path


@cache
def cards() -> dict[str, Card]:
    """All built-in tables by name."""
    entries: dict[str, dict[str, Any]] = yaml.safe_load(
        (shipped_folder("data") / "cards.yaml").read_text(encoding="utf-8")
    )
    return {name: Card(name=name, **_with_tuples(entry)) for name, entry in entries.items()}


def _with_tuples(entry: dict[str, Any]) -> dict[str, Any]:
    fields = {key: tuple(value) if isinstance(value, list) else value for key, value in entry.items()}
    return fields | ({"fetched": Origin(**entry["fetched"])} if "fetched" in entry else {})


def card(name: str) -> Card:
    """The card of a built-in table."""
    if name not in cards():
        raise unknown("built-in table", name, cards())
    return cards()[name]


def is_built_in(table: str) -> bool:
    """Whether a table is meant by the name of a built-in one: a file of that name comes first."""
    return table in cards() and not Path(table).exists()
