"""Records of an SDF file: the title, the drawn molecule as SMILES, and the data fields."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from itertools import chain

from pipeline.tables.header import free_name, plain_name

DRAWN = "structure"  # the column that holds the drawn molecule as SMILES
TITLE = "name"  # the column that holds the first line of each record
UNREADABLE = "(unreadable record)"
_FIELD = re.compile(r">[^<]*<(?P<name>.*)>|>\s*(?P<number>DT\d+)")
_FIELD_AT_ONCE = re.compile(r">\s*<.+>")  # what ends a value that no blank line ends; ``>5 <10>`` is a value
_END = "M  END"

# Title, SMILES, and data fields; a field is known by its name and by how often it stood in the record before.
_Record = tuple[str, str, dict[tuple[str, int], str]]


def sdf_columns(text: str) -> tuple[list[str], list[list[str]]]:
    """``(header, rows)``, one row per record; the first column, `DRAWN`, holds the drawn molecules.

    A record that cannot be read as a molecule is `UNREADABLE` there, and keeps its title and data fields. A data
    field called as the columns of the structure or the title are is kept under another name. A field that stands
    more than once in one record gives as many columns of one name.
    """
    from rdkit import rdBase

    with rdBase.BlockLogs():
        records = [_read(lines) for lines in _blocks(text)]
    keys = list(dict.fromkeys(chain.from_iterable(fields for _, _, fields in records)))
    with_titles = any(title for title, _, _ in records)
    fields = {name for name, _ in keys}
    renamed = {DRAWN: free_name(f"{DRAWN} (field)", fields)} if DRAWN in fields else {}
    titles = [free_name(f"{TITLE} (title)", fields) if TITLE in fields else TITLE] if with_titles else []
    header = [DRAWN, *titles, *(renamed.get(name, name) for name, _ in keys)]
    rows = [
        [smiles, *([title] if with_titles else []), *(values.get(key, "") for key in keys)]
        for title, smiles, values in records
    ]
    return header, rows


def _blocks(text: str) -> Iterator[list[str]]:
    """The lines of each record, without the line of dollar signs that ends it."""
    lines: list[str] = []
    for line in re.split(r"\r\n|\n|\r", text):
        if line.startswith("$$$$"):
            yield lines
            lines = []
        else:
            lines.append(line)
    if any(line.strip() for line in lines):
        yield lines


def _read(lines: list[str]) -> _Record:
    from rdkit import Chem

    end = next((number for number, line in enumerate(lines, start=1) if line.startswith(_END)), len(lines))
    molecule = Chem.MolFromMolBlock("\n".join(lines[:end]) + "\n")
    smiles = UNREADABLE if molecule is None else Chem.MolToSmiles(molecule)
    return (lines[0].strip() if lines else ""), smiles, _fields(lines)


def _fields(lines: list[str]) -> dict[tuple[str, int], str]:
    """The data fields of a record; a value ends at a blank line or at the next field."""
    start = next((number for number, line in enumerate(lines, start=1) if line.startswith(_END)), 0)
    seen: Counter[str] = Counter()
    found: dict[tuple[str, int], list[str]] = {}
    value: list[str] | None = None
    for line in lines[start:]:
        field = _FIELD.match(line) if value is None or _FIELD_AT_ONCE.match(line) else None
        if field:
            name = plain_name(field["name"] or field["number"] or "")
            value = found.setdefault((name, seen[name]), []) if name else None
            seen[name] += 1
        elif not line.strip():
            value = None
        elif value is not None:
            value.append(line)
    return {key: "\n".join(value) for key, value in found.items()}
