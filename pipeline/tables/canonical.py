"""From a cell as a user writes it to what is known of its row, for the kinds of rows that stand in one column."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pipeline.tables.compositions import parse_composition, reduced_formula
from pipeline.tables.kinds import COMPOSITIONS, MOLECULES, TEXTS, Kind
from pipeline.tables.merging import Found
from pipeline.tables.molecules import canonical_smiles, molecule_identity, parse_molecule, with_identity
from pipeline.tables.structures import SMILES, as_smiles
from pipeline.tables.texts import normal_text, parse_text, text_identity


def parsed_row(text: str, kind: Kind, largest_fragment: bool = False, notation: str = SMILES) -> Found:
    """All that is known of a row; raises and takes as `canonical_text`."""
    if kind is COMPOSITIONS:
        return parse_composition(text)
    if kind is TEXTS:
        return parse_text(text)
    return parse_molecule(as_smiles(text, notation), largest_fragment)


def canonical_text(text: str, kind: Kind, largest_fragment: bool = False, notation: str = SMILES) -> str:
    """What arms are given, without what a table alone needs; raises `MoleculeError` where it cannot be read.

    Parameters
    ----------
    largest_fragment : bool
        Of a molecule: keep only that.
    notation : str
        Of a molecule; see `pipeline.tables.structures`.
    """
    if kind is COMPOSITIONS:
        return reduced_formula(text)
    if kind is TEXTS:
        return normal_text(text)
    return canonical_smiles(as_smiles(text, notation), largest_fragment)


def identity_of(text: str, kind: Kind) -> str:
    """What a table tells rows apart by, of a text of `canonical_text`; a reaction and a formula name themselves."""
    if kind is MOLECULES:
        return molecule_identity(text)
    return text_identity(text) if kind is TEXTS else text


def identified_text(text: str, kind: Kind, largest_fragment: bool = False, notation: str = SMILES) -> tuple[str, str]:
    """`canonical_text` and its `identity_of`, a molecule read once."""
    if kind is MOLECULES:
        return with_identity(as_smiles(text, notation), largest_fragment)
    plain = canonical_text(text, kind, largest_fragment, notation)
    return plain, identity_of(plain, kind)


def as_known(texts: Sequence[str], identities: Sequence[str], known: Mapping[str, str]) -> list[str]:
    """Each text as the rows that are known have it: one that has its identity, or itself where there is none.

    Parameters
    ----------
    known : Mapping of str to str
        From identity to text.
    """
    return [known.get(identity, text) for text, identity in zip(texts, identities, strict=True)]
