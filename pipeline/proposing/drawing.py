"""What arms write, read strictly: is it a molecule, a new one, and one that is wanted?"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

from rdkit import rdBase

from pipeline.features import notations
from pipeline.proposing.constraints import Constraints
from pipeline.tables.molecules import MoleculeError, with_identity
from pipeline.tables.structures import SELFIES, SMILES, as_smiles

NEW, KNOWN, REPEATED, UNWANTED, INVALID = "new", "in the table", "written before", "not wanted", "no molecule"
Draw = dict[str, Any]  # text, smiles, status, reason; and what its arm and the oracle say of it


class Sieve:
    """Reads what one arm writes for one goal, and remembers what was written before.

    Parameters
    ----------
    known : collection of str
        Identities of the molecules of the table, which tautomers share (`pipeline.tables.molecules.Molecule`).
    constraints : Constraints
    notation : str
        In which molecules are written.
    seen : collection of str
        Identities of what counts as written before.
    """

    def __init__(
        self, known: Collection[str], constraints: Constraints, notation: str = SMILES, seen: Collection[str] = ()
    ) -> None:
        self.known, self.constraints, self.notation = known, constraints, notation
        self.seen = set(seen)

    def read(self, text: str) -> Draw:
        """A draw: ``status`` is `NEW` where it is a molecule to be checked, else ``reason`` says why not."""
        text = text.strip()
        try:
            smiles, identity = self._parsed(text)
        except MoleculeError as error:
            return self._draw(text, "", INVALID, str(error))
        if identity in self.seen:
            return self._draw(text, smiles, REPEATED)
        self.seen.add(identity)
        if reason := "several fragments" if "." in smiles else self.constraints.why_not(smiles):
            return self._draw(text, smiles, UNWANTED, reason)
        return self._draw(text, smiles, KNOWN if identity in self.known else NEW)

    def read_all(self, texts: Iterable[str]) -> list[Draw]:
        return [self.read(text) for text in texts]

    def _parsed(self, text: str) -> tuple[str, str]:
        with rdBase.BlockLogs():
            return with_identity(as_smiles(text, self.notation))

    @staticmethod
    def _draw(text: str, smiles: str, status: str, reason: str = "") -> Draw:
        return {"text": text, "smiles": smiles, "status": status, "reason": reason}


def notation_of(representation: str) -> str:
    """What `as_smiles` calls the notation that a language model writes."""
    return SELFIES if representation == notations.SELFIES else SMILES
