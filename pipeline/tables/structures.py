"""In which notation a column of structures is written: SMILES (and InChI, cell by cell), or SELFIES."""

from __future__ import annotations

import re
from collections.abc import Iterable

from pipeline.tables.molecules import MoleculeError

SMILES, SELFIES = "SMILES", "SELFIES"
_TOKENS = re.compile(r"(?:\[[^\[\]]+\]|\.)+")
_OWN = re.compile(r"\[(?:[=#/\\-]*(?:Branch|Ring)[^\]]*|[=#/\\][A-Z][^\]]*|nop|epsilon)\]")  # no SMILES has these
_BARE = re.compile(r"\[(?:C|N|O|S|P|F|Cl|Br|I)\]")
LEAST_SHARE = 0.8


def structure_notation(cells: Iterable[str]) -> str:
    """``SELFIES`` where most cells are SELFIES, else ``SMILES``.

    A cell of SELFIES (Krenn et al. 2020) is nothing but tokens in brackets, and most of them are such that a SMILES
    has not, or atoms without hydrogens: read as SMILES, ``[C][C][O]`` would be a chain of radicals.
    """
    present = [cell.strip() for cell in cells if cell.strip()]
    likely = sum(_is_selfies(cell) for cell in present)
    return SELFIES if present and likely >= LEAST_SHARE * len(present) else SMILES


def _is_selfies(cell: str) -> bool:
    if not _TOKENS.fullmatch(cell):
        return False
    return bool(_OWN.search(cell)) or len(_BARE.findall(cell)) >= 0.5 * cell.count("[")


def as_smiles(cell: str, notation: str) -> str:
    """The SMILES (or InChI) of a cell of a column in a notation; raises as `from_selfies`."""
    return from_selfies(cell) if notation == SELFIES else cell


def from_selfies(cell: str) -> str:
    """The SMILES of a SELFIES; a cell that is not made of its tokens stays as it is.

    Raises
    ------
    MoleculeError
        If it is not readable.
    """
    import selfies

    text = cell.strip()
    if not _TOKENS.fullmatch(text):
        return cell
    try:
        return str(selfies.decoder(text))
    except (selfies.DecoderError, KeyError, ValueError):
        raise MoleculeError("unreadable SELFIES") from None
