"""One text to what the rest of the program needs to know about it."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from dataclasses import dataclass
from typing import ClassVar

from pipeline.tables.kinds import TEXTS, Kind
from pipeline.tables.molecules import MoleculeError, Parent

MAX_TEXT_LENGTH = 20_000


@dataclass(frozen=True)
class PlainText:
    """A text with its white space made one; ``identity`` does not tell upper from lower case. The names are those of
    the other kinds of rows."""

    kind: ClassVar[Kind] = TEXTS
    smiles: str
    identity: str
    parent: Parent
    scaffold: str = ""


def parse_text(text: str) -> PlainText:
    """Raise `MoleculeError` for a text that is empty or too long."""
    plain = normal_text(text)
    name = text_identity(plain)
    return PlainText(plain, name, Parent(plain, (name, name)))


def text_identity(plain: str) -> str:
    """The ``identity`` of the `PlainText` of a text that `normal_text` gave."""
    return f"text={hashlib.sha256(plain.casefold().encode()).hexdigest()[:24]}"


def normal_text(text: str) -> str:
    """The text in Unicode's composed form, runs of white space made one; raises as `parse_text`."""
    plain = re.sub(r"\s+", " ", unicodedata.normalize("NFC", text)).strip()
    if not plain:
        raise MoleculeError("empty text")
    if len(plain) > MAX_TEXT_LENGTH:
        raise MoleculeError(f"text of {len(plain)} characters; the limit is {MAX_TEXT_LENGTH}")
    return plain
