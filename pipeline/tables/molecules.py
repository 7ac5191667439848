"""One SMILES to everything the rest of the program needs to know about the molecule."""

from __future__ import annotations

from dataclasses import dataclass

from rdkit import Chem, rdBase
from rdkit.Chem import Descriptors, rdMolHash
from rdkit.Chem.MolStandardize import rdMolStandardize
from rdkit.Chem.Scaffolds import MurckoScaffold

MAX_SMILES_LENGTH = 2_000
_INCHI = "InChI="
_UNCHARGER = rdMolStandardize.Uncharger()


@dataclass(frozen=True)
class Molecule:
    """A parsed molecule.

    ``parent_keys`` are two tautomer- and stereo-blind names of the neutral largest fragment;
    two molecules that share either are twins for the purpose of leakage. ``scaffold`` is the
    canonical Bemis-Murcko framework of that parent, an empty string if it has no ring.
    """

    smiles: str
    inchikey: str
    parent_keys: tuple[str, str]
    scaffold: str


class MoleculeError(ValueError):
    """The structure cannot be used; the message is the reason given to the user."""


def parse_molecule(text: str, largest_fragment: bool = False) -> Molecule:
    """Parse a SMILES as given and name it canonically.

    Parameters
    ----------
    text : str
        A SMILES, with or without a trailing name, or an InChI.
    largest_fragment : bool
        Keep only the largest fragment (drops counter-ions and solvents).

    Raises
    ------
    MoleculeError
        If the text is empty, too long, not a SMILES, or not a molecule of known atoms.
    """
    with rdBase.BlockLogs():
        molecule = _parse(text, largest_fragment)
        smiles = Chem.MolToSmiles(molecule)
        inchikey = Chem.MolToInchiKey(molecule) or f"SMILES={smiles}"
        parent = _parent(molecule)
        scaffold = Chem.MolToSmiles(MurckoScaffold.GetScaffoldForMol(parent), isomericSmiles=False)
        return Molecule(smiles, inchikey, _parent_keys(parent), scaffold)


def canonical_smiles(text: str, largest_fragment: bool = False) -> str:
    """The canonical SMILES that `parse_molecule` gives, without the names that only a split needs."""
    with rdBase.BlockLogs():
        return Chem.MolToSmiles(_parse(text, largest_fragment))


def molecular_weight(smiles: str) -> float:
    """Average molecular weight in g/mol, counter-ions included."""
    return float(Descriptors.MolWt(Chem.MolFromSmiles(smiles)))  # type: ignore[attr-defined]


def _parse(text: str, largest_fragment: bool) -> Chem.Mol:
    text = text.strip()
    if not text:
        raise MoleculeError("empty SMILES")
    if len(text) > MAX_SMILES_LENGTH:
        raise MoleculeError(f"SMILES of {len(text)} characters; the limit is {MAX_SMILES_LENGTH}")
    if text.startswith(_INCHI):
        molecule = Chem.MolFromInchi(text)
        if molecule is None:
            raise MoleculeError("unparsable InChI")
    else:
        molecule = Chem.MolFromSmiles(text)
    if molecule is None:
        raise MoleculeError(f"unparsable SMILES{_problem(text)}")
    if molecule.GetNumAtoms() == 0:
        raise MoleculeError("SMILES without atoms")
    if any(atom.GetAtomicNum() == 0 for atom in molecule.GetAtoms()):
        raise MoleculeError("SMILES with a wildcard atom (*)")
    for atom in molecule.GetAtoms():
        atom.SetAtomMapNum(0)
    return rdMolStandardize.LargestFragmentChooser().choose(molecule) if largest_fragment else molecule


def _problem(text: str) -> str:
    """What RDKit finds wrong with a SMILES whose syntax is right, such as a valence."""
    unsanitised = Chem.MolFromSmiles(text, sanitize=False)
    if unsanitised is None:
        return ""
    problems = Chem.DetectChemistryProblems(unsanitised)
    return f": {problems[0].Message()}" if problems else ""


def _parent(molecule: Chem.Mol) -> Chem.Mol:
    try:
        parent = _UNCHARGER.uncharge(rdMolStandardize.FragmentParent(molecule))
        Chem.SanitizeMol(parent)
        return parent
    except (ValueError, RuntimeError):  # metals and odd valences that the standardiser gives up on
        return molecule


def _parent_keys(parent: Chem.Mol) -> tuple[str, str]:
    """Connectivity block of the InChIKey, and RDKit's tautomer hash of the flattened parent.

    The InChIKey block joins tautomers that move a hydrogen between heteroatoms; the hash also
    joins keto-enol pairs.
    """
    flat = Chem.Mol(parent)
    Chem.RemoveStereochemistry(flat)
    connectivity = Chem.MolToInchiKey(flat)[:14]
    tautomer = rdMolHash.MolHash(flat, rdMolHash.HashFunction.HetAtomTautomerv2)
    return connectivity or f"SMILES={Chem.MolToSmiles(flat)}", tautomer
