"""From a cell as a user writes it to the text that arms are given, for the kinds of rows that stand in one column."""

from __future__ import annotations

from pipeline.tables.compositions import reduced_formula
from pipeline.tables.kinds import COMPOSITIONS, TEXTS, Kind
from pipeline.tables.molecules import canonical_smiles
from pipeline.tables.structures import SMILES, as_smiles
from pipeline.tables.texts import normal_text


def canonical_text(text: str, kind: Kind, largest_fragment: bool = False, notation: str = SMILES) -> str:
    """Raise `MoleculeError` where it cannot be read.

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
