"""What a row of a table can be, and what follows from that for all above."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Kind:
    """What a row is.

    Attributes
    ----------
    name, one : str
        In the plural, and in the singular.
    notation : str
        How a row is written, in the singular.
    field : str
        Of the prompt, for what is written.
    symbols : str
        What has tokens of its own where a prompt is cut atomwise, in the singular; empty where nothing has.
    target_option : str
        The option of the command line that names the column of the target.
    setting : str
        The setting that names the column of what is written; its option on the command line is of that name.
    apart : str
        What is kept on one side of every split, as a sentence.
    variants : str
        What rows of one group differ in, in the plural.
    similarity : str
        What the similarity of two rows compares.
    new : str
        What a shift for a model of such rows would bring, in the plural.
    has_scaffolds : bool
        Whether a row has one structure, with a scaffold and properties of a molecule.
    drawn : bool
        Whether a row can be drawn.
    """

    name: str
    one: str
    notation: str
    field: str
    setting: str
    apart: str
    variants: str
    similarity: str
    new: str
    symbols: str = ""
    target_option: str = "--target"
    has_scaffolds: bool = False
    drawn: bool = False

    def __str__(self) -> str:
        return self.name

    def __reduce__(self) -> tuple[Any, ...]:
        return kind_named, (self.name,)  # so that in another process it is the same object as there


MOLECULES = Kind(
    "molecules",
    "molecule",
    "SMILES",
    "molecule",
    "smiles",
    "Salts, tautomers and stereoisomers of one molecule were kept on the same side of every split.",
    "salts, tautomers, stereoisomers",
    "Morgan, radius 2",
    "scaffolds",
    "symbol of a SMILES",
    has_scaffolds=True,
    drawn=True,
)
REACTIONS = Kind(
    "reactions",
    "reaction",
    "reaction SMILES",
    "reaction",
    "reaction",
    "One reaction under several contexts was kept on the same side of every split.",
    "other contexts",
    "differential fingerprints",
    "components",
    "symbol of a SMILES",
    target_option="--yield",
    drawn=True,
)
COMPOSITIONS = Kind(
    "compositions",
    "composition",
    "formula",
    "composition",
    "composition",
    "One composition under several contexts was kept on the same side of every split.",
    "other contexts",
    "shares of elements, and of groups of the periodic table",
    "chemical systems",
    "element and digit of a formula",
)
TEXTS = Kind(
    "texts",
    "text",
    "text",
    "text",
    "text",
    "One text under several contexts was kept on the same side of every split.",
    "other contexts",
    "words, and runs of four characters",
    "subjects",
)
KINDS = {kind.name: kind for kind in (MOLECULES, REACTIONS, COMPOSITIONS, TEXTS)}


def kind_named(name: str) -> Kind:
    return KINDS[name]
