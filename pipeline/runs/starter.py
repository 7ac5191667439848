"""A file of settings to start from, with a word on each."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import yaml

from pipeline.settings.run import RunConfig
from pipeline.tables.guess import Guess
from pipeline.tables.kinds import COMPOSITIONS, REACTIONS
from pipeline.tables.table import Table

_ABOUT = {
    "table": "from the folder of this file",
    "smiles": "the column of structures",
    "reaction": "the column of reaction SMILES",
    "components": "a column for each component; NAME:name holds names instead of structures",
    "target": "the column of measured values",
    "property_name": "what the prompt calls it",
    "units": "stated in the prompt and the report",
    "task": "regression or classes",
}
_FIRST = (
    "table",
    "smiles",
    "reaction",
    "components",
    "target",
    "yield_unit",
    "success",
    "property_name",
    "units",
    "task",
)
_SPLITS = {
    REACTIONS: "components; component:NAME; column:NAME",
    COMPOSITIONS: "ladder for all; elements; element:SYMBOL; fold:COLUMN",
}
_HERE = ("table", "split", "arms", "out", "template")  # said by themselves, or not at all


def starter(
    config: RunConfig, table: Table, found: Guess, hints: Sequence[str], path: Path, columns: Sequence[str]
) -> str:
    """The text of a YAML file; every setting that is not the usual one is in it.

    Parameters
    ----------
    config : RunConfig
        What is known of the table.
    table : Table
        As it was read.
    found : Guess
        What was guessed, and why.
    hints : sequence of str
        What the user may want to change.
    path : Path
        Of the file.
    columns : sequence of str
        Of the table.
    """
    known = _known(config, table) | {"table": _from(path, config.table)}
    order = sorted(known, key=lambda name: _FIRST.index(name) if name in _FIRST else len(_FIRST))
    lines = [f"# What chemtune knows of {config.table}. Change what is wrong, then: chemtune run {path}", ""]
    for name in order:
        if known[name]:
            lines.append(_line(name, known[name], found.reasons.get(name) or _ABOUT.get(name, "")))
    lines += [f"# Hint: {_as_keys(hint)}." for hint in hints]
    splits = _SPLITS.get(config.kind, "ladder for all; time:COLUMN")
    lines += [
        "",
        "# What is compared, and on what",
        _line("split", config.split, f"how rows are held out; also {splits}"),
        _line("arms", ("baselines", "lm-head"), "all, baselines, lm, or names (chemtune arms)"),
        *(f"# {line}" for line in _offered(config, {*map(str, known.values())}, found, columns)),
        f"# {_line('folds', 5, 'test every row once instead of a fifth of them: five times the time')}",
        f"# {_line('budget', '30m', 'choose what fits into a time, and say what was left out')}",
        f"# {_line('seed', 0, '')}",
    ]
    return "\n".join(lines) + "\n"


def _known(config: RunConfig, table: Table) -> dict[str, Any]:
    """The settings that are not the usual ones, and what was found of the table."""
    known: dict[str, Any] = {}
    for one in fields(RunConfig):
        value = getattr(config, one.name)
        if one.name not in _HERE and value != one.default:
            known[one.name] = value
    known["property_name"] = table.property_name
    if not (config.success or config.bins):
        known["task"] = table.task
    return known


def _offered(config: RunConfig, used: set[str], found: Guess, columns: Sequence[str]) -> list[str]:
    """Lines for columns that nothing was said of: names of rows, and conditions."""
    used |= {*config.beside, *(name.removesuffix(":name") for name in config.components)}
    free = [name for name in columns if name not in used]
    ids, beside = ([name for name in free if (name in found.named) == named] for named in (True, False))
    lines = []
    if ids and not config.id:
        lines.append(_line("id", ids[0], "your names of the rows, copied to all outputs"))
    if beside and not config.context:
        lines.append(_line("context", tuple(beside[:4]), "conditions, such as a solvent; drop what is none"))
    return lines


def _from(path: Path, table: str) -> str:
    """The table as a file in the folder of the settings names it."""
    if not Path(table).is_file() or Path(table).is_absolute():
        return table
    return os.path.relpath(table, path.parent or Path())


def _as_keys(hint: str) -> str:
    """Options as keys of a file of settings."""
    said = re.sub(r"--transform (\w+)", r"transform: \1", hint)
    return re.sub(r"--([a-z][a-z-]*)", lambda found: found[1].replace("-", "_"), said)


def _line(key: str, value: Any, about: str) -> str:
    plain = list(value) if isinstance(value, tuple) else value
    written = yaml.safe_dump(plain, default_flow_style=True, allow_unicode=True, width=1_000)
    text = f"{key}: {written.removesuffix('...' + chr(10)).strip()}"
    return f"{text:<31} # {about}" if about else text
