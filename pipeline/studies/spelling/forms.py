"""In what ways a test molecule is written in the study of spellings."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec

from pipeline.features.notations import (
    DEEPSMILES,
    SELFIES,
    kekulised,
    other_spellings,
    spelling_of_like_length,
    written,
)
from pipeline.tables.molecules import MoleculeError

CANONICAL, RANDOM, LIKE_LENGTH, KEKULE = "canonical", "other SMILES", "SMILES of like length", "Kekulé SMILES"


@dataclass(frozen=True)
class Form:
    """A way to write a molecule.

    Attributes
    ----------
    texts : callable
        From a canonical SMILES, the number of spellings and a seed to its texts in this form; none where it has none
        that differs from the canonical SMILES.
    does : str
        For people.
    is_smiles : bool
        Whether any arm can read it; the others are for arms that read text.
    """

    texts: Callable[[str, int, int], list[str]]
    does: str
    is_smiles: bool = True


def _like_length(smiles: str, count: int, seed: int) -> list[str]:
    text = spelling_of_like_length(smiles, seed)
    return [text] if text else []


def _kekule(smiles: str, count: int, seed: int) -> list[str]:
    text = kekulised(smiles)
    return [text] if text != smiles else []


def _notation(notation: str) -> Callable[[str, int, int], list[str]]:
    def texts(smiles: str, count: int, seed: int) -> list[str]:
        try:
            text = written(smiles, notation)
        except MoleculeError:  # such a row is not asked about in this form
            return []
        return [text] if text != smiles else []

    return texts


FORMS: dict[str, Form] = {
    RANDOM: Form(other_spellings, "other SMILES, which begin at random atoms"),
    LIKE_LENGTH: Form(_like_length, "of 50 of those the one whose length is nearest to that of the canonical SMILES"),
    KEKULE: Form(_kekule, "the canonical order with single and double bonds in place of aromatic ones"),
    "DeepSMILES": Form(_notation(DEEPSMILES), "the canonical SMILES as DeepSMILES", is_smiles=False),
    "SELFIES": Form(_notation(SELFIES), "the canonical SMILES as SELFIES", is_smiles=False),
}
_PACKAGES = {"DeepSMILES": "deepsmiles", "SELFIES": "selfies"}


def forms_of(reads_text: bool) -> tuple[str, ...]:
    """The forms in which an arm is shown test molecules, those whose package is not installed left out."""
    return tuple(
        name
        for name, form in FORMS.items()
        if (form.is_smiles or reads_text) and (name not in _PACKAGES or find_spec(_PACKAGES[name]))
    )
