"""Structures drawn by RDKit."""

from __future__ import annotations

from rdkit import Chem, rdBase
from rdkit.Chem import rdChemReactions

from pipeline.errors import InputError
from pipeline.tables.reactions import is_reaction

try:
    from rdkit.Chem.Draw import rdMolDraw2D
except ImportError as error:  # RDKit is built for machines with a screen
    raise InputError(
        f"RDKit cannot draw molecules on this machine ({error}); install the system's libraries that it needs "
        "(Debian and Ubuntu: apt-get install libxrender1 libxext6)"
    ) from error


def structure(smiles: str, width: int = 210, height: int = 140) -> str:
    """A drawing of one molecule, or of a reaction."""
    with rdBase.BlockLogs():
        of_reaction = is_reaction(smiles)
        drawer = rdMolDraw2D.MolDraw2DSVG(4 * width if of_reaction else width, height)
        drawer.drawOptions().clearBackground = False  # type: ignore[assignment]
        if of_reaction:
            drawer.DrawReaction(rdChemReactions.ReactionFromSmarts(smiles, useSmiles=True))
        else:
            rdMolDraw2D.PrepareAndDrawMolecule(drawer, Chem.MolFromSmiles(smiles))
        drawer.FinishDrawing()
        return drawer.GetDrawingText()
