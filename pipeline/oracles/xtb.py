"""The gap between the highest occupied and the lowest empty orbital by GFN2-xTB, of one conformer of a molecule.

The method is Bannwarth, Ehlert and Grimme, J. Chem. Theory Comput. 2019, 15, 1652, as in tblite. The conformer is
RDKit's: distance geometry (ETKDGv3; Wang et al., J. Chem. Inf. Model. 2020), then MMFF94 (Halgren 1996), or UFF (Rappé
et al. 1992) where MMFF94 has no parameters. Nothing is relaxed by xTB itself.
"""

from __future__ import annotations

from importlib.metadata import version as version_of
from typing import Any

import numpy as np
import rdkit
from rdkit import Chem, rdBase
from rdkit.Chem import Descriptors, rdDistGeom, rdForceFieldHelpers

from pipeline.tables.molecules import MoleculeError

SEED = 7  # of the conformer, so that a molecule has one value
MOST_HEAVY_ATOMS = 150
HEAVIEST = 86  # radon, the last element of GFN2-xTB
ATTEMPTS = 30  # at a conformer; without a limit, a configuration that cannot be takes minutes to be given up
STEPS = 2_000  # of the force field
BOHR = 0.529177210903  # in Å (CODATA 2018)
HARTREE = 27.211386245988  # in eV (CODATA 2018)


def version() -> str:
    """All that a value depends on: whoever changes how values are made says so here, or old ones would be taken."""
    return (
        f"GFN2-xTB, tblite {version_of('tblite')}, rdkit {rdkit.__version__}, ETKDGv3 seed {SEED} of "
        f"{ATTEMPTS} attempts, MMFF94 or UFF of {STEPS} steps"
    )


def gap(smiles: str, seed: int = SEED) -> float:
    """The gap in eV of a molecule in the gas phase, with its formal charge and as many unpaired electrons as its SMILES
    shows.

    Of a radical, it is the gap between the highest singly occupied and the lowest empty orbital.

    Raises
    ------
    MoleculeError
        If the molecule is not for this method, has no conformer, or the electrons do not converge.
    """
    molecule = Chem.AddHs(Chem.MolFromSmiles(smiles))
    unpaired = _unpaired(molecule)
    return _gap(_conformer(molecule, seed), unpaired)


def _unpaired(molecule: Chem.Mol) -> int:
    """How many electrons are unpaired; raises for what the method is not for."""
    if len(Chem.GetMolFrags(molecule)) > 1:
        raise MoleculeError("several fragments, such as a salt or a solvate; give one molecule")
    heavy = molecule.GetNumHeavyAtoms()
    if heavy > MOST_HEAVY_ATOMS:
        raise MoleculeError(f"{heavy} heavy atoms; the limit is {MOST_HEAVY_ATOMS}")
    for atom in molecule.GetAtoms():
        if atom.GetAtomicNum() > HEAVIEST:
            raise MoleculeError(f"GFN2-xTB has no parameters for {atom.GetSymbol()}")
    unpaired = int(Descriptors.NumRadicalElectrons(molecule))  # type: ignore[attr-defined]
    electrons = sum(atom.GetAtomicNum() for atom in molecule.GetAtoms()) - Chem.GetFormalCharge(molecule)
    if (electrons - unpaired) % 2:
        raise MoleculeError(f"{electrons} electrons, of which its SMILES shows {unpaired} unpaired: these do not fit")
    return unpaired


def _conformer(molecule: Chem.Mol, seed: int) -> Chem.Mol:
    settings: Any = rdDistGeom.ETKDGv3()
    settings.randomSeed = seed
    settings.maxIterations = ATTEMPTS
    with rdBase.BlockLogs():
        found = rdDistGeom.EmbedMolecule(molecule, settings)
        if found < 0:  # crowded and bridged molecules
            settings.useRandomCoords = True
            found = rdDistGeom.EmbedMolecule(molecule, settings)
        if found < 0:
            raise MoleculeError(f"no conformer was found in {ATTEMPTS} attempts; is its stereochemistry possible?")
        if rdForceFieldHelpers.MMFFHasAllMoleculeParams(molecule):
            rdForceFieldHelpers.MMFFOptimizeMolecule(molecule, maxIters=STEPS)
        elif rdForceFieldHelpers.UFFHasAllMoleculeParams(molecule):
            rdForceFieldHelpers.UFFOptimizeMolecule(molecule, maxIters=STEPS)
        else:
            raise MoleculeError("neither MMFF94 nor UFF has parameters for it")
    return molecule


def _gap(molecule: Chem.Mol, unpaired: int) -> float:
    from tblite.interface import Calculator

    numbers = np.array([atom.GetAtomicNum() for atom in molecule.GetAtoms()])
    positions = molecule.GetConformer().GetPositions() / BOHR
    calculator = Calculator("GFN2-xTB", numbers, positions, float(Chem.GetFormalCharge(molecule)), unpaired)
    calculator.set("verbosity", 0)
    try:
        result = calculator.singlepoint()
    except RuntimeError as error:
        raise MoleculeError(f"GFN2-xTB: {' '.join(str(error).split())}") from error
    energies = np.atleast_1d(result.get("orbital-energies"))
    electrons = round(float(np.sum(result.get("orbital-occupations"))))  # spread over orbitals at 300 K
    highest = (electrons + unpaired) // 2
    if not 0 < highest < len(energies):
        raise MoleculeError("no occupied or no empty orbital among those of the method")
    return float(energies[highest] - energies[highest - 1]) * HARTREE
