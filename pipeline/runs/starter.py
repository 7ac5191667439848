"""A file of settings to start from, with a word on each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import yaml

from pipeline.settings.run import RunConfig
from pipeline.tables.kinds import REACTIONS
from pipeline.tables.table import Table

_ABOUT = {
    "table": "beside this file, or a path",
    "smiles": "the column of structures",
    "reaction": "the column of reaction SMILES",
    "components": "a column for each component; NAME:name holds names instead of structures",
    "target": "the column of measured values",
    "property_name": "what the prompt calls it",
    "units": "stated in the prompt and the report",
    "task": "regression or classes",
    "split": "",
    "arms": "",
}
_FIRST = ("table", "smiles", "reaction", "components", "target", "yield_unit", "property_name", "units", "task")


def starter(config: RunConfig, table: Table, reasons: Mapping[str, str], hints: Sequence[str], name: str) -> str:
    """The text of a YAML file.

    Parameters
    ----------
    config : RunConfig
        What is known of the table.
    reasons : mapping
        Why a setting is what it is, where it was guessed.
    table : Table
        As it was read.
    hints : sequence of str
        What the user may want to change.
    name : str
        Of the file.
    """
    known: dict[str, Any] = {key: getattr(config, key) for key in _FIRST}
    known |= {"task": table.task, "property_name": table.property_name}
    lines = [f"# What chemtune knows of {config.table}. Change what is wrong, then: chemtune run {name}", ""]
    for key, value in known.items():
        if value:
            lines.append(_line(key, value, reasons.get(key) or _ABOUT.get(key, "")))
    for hint in hints:
        lines.append(f"# Hint: {hint}.")
    splits = "components; component:NAME; column:NAME" if config.kind is REACTIONS else "ladder for all; time:COLUMN"
    lines += [
        "",
        "# What is compared, and on what",
        _line("split", config.split, f"how rows are held out; also {splits}"),
        _line("arms", ("baselines", "lm-head"), "all, baselines, lm, or names (README); lm-head is the language model"),
        "# folds: 5                      # test every row once instead of a fifth of them: five times the time",
        "# budget: 30m                   # choose what fits into a time, and say what was left out",
        "# context: [solvent]            # columns that belong to a measurement",
        "# seed: 0",
    ]
    return "\n".join(lines) + "\n"


def _line(key: str, value: Any, about: str) -> str:
    plain = list(value) if isinstance(value, tuple) else value
    written = yaml.safe_dump(plain, default_flow_style=True, allow_unicode=True, width=1_000)
    text = f"{key}: {written.removesuffix('...' + chr(10)).strip()}"
    return f"{text:<31} # {about}" if about else text
