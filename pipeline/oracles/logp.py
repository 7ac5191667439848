"""The trivial oracle: logP by Crippen's atom contributions (Wildman and Crippen, J. Chem. Inf. Comput. Sci. 1999)."""

from __future__ import annotations

import rdkit
from rdkit import Chem
from rdkit.Chem import Crippen


def version() -> str:
    return f"Crippen, rdkit {rdkit.__version__}"


def logp(smiles: str) -> float:
    """Of a canonical SMILES, counter-ions included."""
    return float(Crippen.MolLogP(Chem.MolFromSmiles(smiles)))  # type: ignore[attr-defined]
