"""One SMILES to everything the rest of the program needs to know about the molecule."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from rdkit import Chem, rdBase
from rdkit.Chem import Descriptors, rdMolDescriptors, rdMolHash
from rdkit.Chem.MolStandardize import rdMolStandardize
from rdkit.Chem.Scaffolds import MurckoScaffold

from pipeline.tables.kinds import MOLECULES, Kind

MAX_SMILES_LENGTH = 2_000
_INCHI = "InChI="
_UNCHARGER = rdMolStandardize.Uncharger()
_DISCONNECTOR = rdMolStandardize.MetalDisconnector()
_NORMALIZER = rdMolStandardize.Normalizer()
_REIONIZER = rdMolStandardize.Reionizer()
_CHOOSER = rdMolStandardize.LargestFragmentChooser()
_ELEMENTS = rdMolHash.HashFunction.ElementGraph


@dataclass(frozen=True)
class Parent:
    """The neutral largest fragment of a molecule, without stereochemistry.

    Two molecules whose parents share one of the ``names`` are twins for the purpose of leakage. ``skeleton`` is what
    all tautomers of a parent have in common, and others may: its formula and which atoms are bonded. It is empty where
    nothing is to be compared.
    """

    smiles: str
    names: tuple[str, str]
    skeleton: str = ""


@dataclass(frozen=True)
class Molecule:
    """A parsed molecule.

    ``scaffold`` is the canonical Bemis-Murcko framework of the ``parent``, neutralised once more, since an atom that is
    charged for the sake of a substituent (as in a quaternary ammonium or an N-oxide) need not be without it. It is an
    empty string if there is no ring.
    """

    kind: ClassVar[Kind] = MOLECULES
    smiles: str
    identity: str
    parent: Parent
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
        smiles, inchi = Chem.MolToSmiles(molecule), Chem.MolToInchi(molecule)
        identity = _identity(smiles, inchi)
        fragment = _neutral_fragment(molecule)
        framework = _UNCHARGER.uncharge(MurckoScaffold.GetScaffoldForMol(fragment))
        parent = _parent(fragment, {smiles: inchi})
        return Molecule(smiles, identity, parent, Chem.MolToSmiles(framework, isomericSmiles=False))


def canonical_smiles(text: str, largest_fragment: bool = False) -> str:
    """The canonical SMILES that `parse_molecule` gives, without the names that only a split needs."""
    with rdBase.BlockLogs():
        return Chem.MolToSmiles(_parse(text, largest_fragment))


def without_stereo(smiles: str) -> str:
    """The canonical SMILES of a molecule without its stereochemistry."""
    with rdBase.BlockLogs():
        molecule = _parse(smiles, False)
        Chem.RemoveStereochemistry(molecule)
        return Chem.MolToSmiles(molecule)


def with_identity(text: str) -> tuple[str, str]:
    """The canonical SMILES and the identity of `parse_molecule`, in a fraction of its time."""
    with rdBase.BlockLogs():
        molecule = _parse(text, False)
        smiles = Chem.MolToSmiles(molecule)
        return smiles, _identity(smiles, Chem.MolToInchi(molecule))


def _identity(smiles: str, inchi: str) -> str:
    """The InChIKey, which tautomers share; of what has none its SMILES."""
    return Chem.InchiToInchiKey(inchi) if inchi else f"SMILES={smiles}"


def with_bonded(text: str) -> tuple[str, str]:
    """The canonical SMILES of `parse_molecule`, and which elements are bonded in the largest fragment.

    The latter is the same for all variants of a molecule (salts, charges, stereoisomers, tautomers), and for others
    that differ in hydrogens alone; it takes a fraction of the time of the names of a `Parent`.
    """
    with rdBase.BlockLogs():
        molecule = _parse(text, False)
        smiles = Chem.MolToSmiles(molecule)
        Chem.RemoveStereochemistry(molecule)
        fragments = Chem.GetMolFrags(molecule, asMols=True, sanitizeFrags=False)
        graphs = [(-one.GetNumHeavyAtoms(), rdMolHash.MolHash(one, _ELEMENTS)) for one in fragments]
        return smiles, min(graphs)[1]


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
    return _CHOOSER.choose(molecule) if largest_fragment else molecule


def _problem(text: str) -> str:
    """What RDKit finds wrong with a SMILES whose syntax is right, such as a valence."""
    unsanitised = Chem.MolFromSmiles(text, sanitize=False)
    if unsanitised is None:
        return ""
    problems = Chem.DetectChemistryProblems(unsanitised)
    return f": {problems[0].Message()}" if problems else ""


def _neutral_fragment(molecule: Chem.Mol) -> Chem.Mol:
    """The steps of RDKit's ``FragmentParent``, which reads its rules anew for each molecule, by rules that are kept."""
    try:
        apart = _REIONIZER.reionize(_NORMALIZER.normalize(_DISCONNECTOR.Disconnect(Chem.RemoveHs(molecule))))
        Chem.AssignStereochemistry(apart, cleanIt=True, force=True)
        parent = _UNCHARGER.uncharge(_CHOOSER.choose(apart))
        Chem.SanitizeMol(parent)
        return parent
    except (ValueError, RuntimeError):  # metals and odd valences that the standardiser gives up on
        return molecule


def _parent(fragment: Chem.Mol, inchis: Mapping[str, str]) -> Parent:
    """Named by the connectivity block of the InChIKey, and by RDKit's tautomer hash.

    The first joins tautomers that move a hydrogen between heteroatoms, the second most that move one to a carbon.

    Parameters
    ----------
    inchis : Mapping of str to str
        From SMILES to InChI, as far as they are known; of a molecule the InChI takes longest.
    """
    flat = Chem.Mol(fragment)
    Chem.RemoveStereochemistry(flat)
    smiles = Chem.MolToSmiles(flat)
    inchi = inchis[smiles] if smiles in inchis else Chem.MolToInchi(flat)
    block = Chem.InchiToInchiKey(inchi)[:14] if inchi else f"SMILES={smiles}"
    tautomers = rdMolHash.MolHash(flat, rdMolHash.HashFunction.HetAtomTautomerv2)
    return Parent(smiles, (block, tautomers), _skeleton(flat, inchi))


def _skeleton(molecule: Chem.Mol, inchi: str) -> str:
    """The connections are a layer of the InChI; the formula is not the InChI's, which moves protons of charged ones."""
    connections = [layer for layer in inchi.split("/")[2:] if layer.startswith("c")]
    return "/".join([rdMolDescriptors.CalcMolFormula(molecule), *connections]) if inchi else ""
