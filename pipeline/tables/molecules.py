"""One SMILES to everything the rest of the program needs to know about the molecule."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from rdkit import Chem, rdBase
from rdkit.Chem import Descriptors, rdMolDescriptors, rdMolHash
from rdkit.Chem.MolStandardize import rdMolStandardize
from rdkit.Chem.Scaffolds import MurckoScaffold

from pipeline.tables.kinds import MOLECULES, Kind

MAX_SMILES_LENGTH = 2_000
_INCHI = "InChI="
# A SMILES, the block of a CXSMILES, and a name.
_CELL = re.compile(r"(?P<smiles>\S*)(?:\s+(?P<block>\|[^|]*\|))?(?:\s+(?P<name>.*))?", re.DOTALL)
_FOREIGN = re.compile(r"[^!-~]")
_NAME = re.compile(r"[\w'\"]|[(\[{][\w'\"+\-\u2212\u00b1]")  # how a name begins, (+)-menthol and the like among them
_ADDED = re.compile(r"(?:[x\u00d7]\s*)?(?:\d+(?:[.,/]\d+)?)?\s*(?:HF|HCl|HBr|HI|H2O|H2SO4|HNO3|H3PO4|HClO4|TFA)")
# Characters that look like those of a SMILES: Cyrillic and Greek letters, dashes, dots, a triple bond.
_ALIKE = str.maketrans(
    "\u0412\u0421\u041d\u041e\u0420\u0405\u0406\u0441\u043e\u0440\u0455\u0392\u039d\u039f\u03a1\u0399\u0397\u03bf"
    "\u2010\u2011\u2012\u2013\u2014\u2212\u00b7\u2022\u2219\u22c5\u2261",
    "BCHOPSIcopsBNOPIHo------....#",
)
_WITHOUT_NAMES = Chem.SmilesParserParams()
_WITHOUT_NAMES.parseName = False  # type: ignore[assignment]
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


@dataclass(frozen=True)
class Written:
    """What a cell holds: a ``smiles`` without white space, the ``block`` of a CXSMILES, and a ``name`` behind them,
    each of the latter empty where there is none."""

    smiles: str
    block: str = ""
    name: str = ""


def _split(text: str) -> Written:
    found = _CELL.fullmatch(text.strip())
    assert found  # whatever the text is: the name takes all that is left
    return Written(**found.groupdict(""))


def written(text: str) -> Written:
    """A SMILES, or a reaction SMILES, apart from the name behind it; `parse_molecule` says what a name can be.

    Raises
    ------
    MoleculeError
        If the SMILES has a character that no SMILES has, or more stands behind it than a name: RDKit would pass over
        either, and read another molecule.
    """
    found = _split(text)
    foreign = foreign_character(found.smiles)
    if foreign:
        raise MoleculeError(f"a character that no SMILES has: {foreign}; write the SMILES in plain ASCII")
    if len(text.strip().splitlines()) > 1 or (found.name and not _is_name(found)):
        raise MoleculeError(
            f"more than a name behind the SMILES: {found.name!r} behind {found.smiles!r}; write one structure without "
            "spaces (its parts joined by dots), and names in a column of their own"
        )
    return found


def foreign_character(text: str) -> str:
    """The first character that no SMILES or SMARTS has, with its place and what may be meant; empty for none."""
    found = _FOREIGN.search(text)
    if not found:
        return ""
    named, place = unicodedata.name(found[0], ""), found.start() + 1
    said = f"{found[0]!r} (U+{ord(found[0]):04X}{f', {named}' if named else ''}) at place {place}"
    alike = _with_ascii(found[0])
    return f"{said}, where {alike!r} may be meant" if alike.strip() and not _FOREIGN.search(alike) else said


def _with_ascii(text: str) -> str:
    """The text with the characters of a SMILES in place of those that look like them."""
    return unicodedata.normalize("NFKC", text).translate(_ALIKE)


def _is_name(cell: Written) -> bool:
    """Whether what stands behind a SMILES is a name: it begins like one, and is no reaction, no acid or water of a
    salt, and no structure, neither by itself nor as the end of the SMILES."""
    name = _with_ascii(cell.name)
    if not _NAME.match(cell.name) or ">" in name or _ADDED.fullmatch(name):
        return False
    first, last = name.split()[0], cell.smiles.rpartition(">")[2]
    with rdBase.BlockLogs():
        return all(_read(text) is None for text in (first, f"{cell.smiles}{first}", f"{last}{first}"))


def _read(smiles: str, block: str = "") -> Chem.Mol | None:
    return Chem.MolFromSmiles(f"{smiles} {block}" if block else smiles, _WITHOUT_NAMES)


def is_smiles(text: str) -> bool:
    """Whether a text is the SMILES of a molecule, with or without a name behind it."""
    try:
        cell = written(text)
    except MoleculeError:
        return False
    return _read(cell.smiles, cell.block) is not None


def names_said(column: str, cells: Iterable[tuple[Any, str]]) -> list[str]:
    """A sentence on the names that stand behind the SMILES of a column; none where there are none.

    Parameters
    ----------
    cells : iterable of (int, str)
        The lines of the rows that were read, and their cells.
    """
    found = [(line, name) for line, text in cells if (name := _split(text).name)]
    if not found:
        return []
    rows = f"{len(found)} row{'s'[: len(found) > 1]} of {column!r} hold{'s'[: len(found) == 1]}"
    (line, name), first = found[0], " is the first" if len(found) > 1 else ""
    return [f"{rows} a name behind the SMILES ({name!r} on line {line}{first}); it is passed over"]


def parse_molecule(text: str, largest_fragment: bool = False) -> Molecule:
    """Parse a SMILES as given and name it canonically.

    Parameters
    ----------
    text : str
        A SMILES, or an InChI. Behind a SMILES may stand the block of a CXSMILES, and a name, which is passed over: it
        begins with a letter, a digit or a bracket, stands on the same line, and is no structure itself.
    largest_fragment : bool
        Keep only the largest fragment (drops counter-ions and solvents).

    Raises
    ------
    MoleculeError
        If the text is empty, too long, not a SMILES, more than one, or not a molecule of known atoms.
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


def with_identity(text: str, largest_fragment: bool = False) -> tuple[str, str]:
    """The canonical SMILES and the identity of `parse_molecule`, in a fraction of its time."""
    with rdBase.BlockLogs():
        molecule = _parse(text, largest_fragment)
        smiles = Chem.MolToSmiles(molecule)
        return smiles, _identity(smiles, Chem.MolToInchi(molecule))


def _identity(smiles: str, inchi: str) -> str:
    """The InChIKey, which tautomers share; of what has none its SMILES."""
    return Chem.InchiToInchiKey(inchi) if inchi else f"SMILES={smiles}"


def molecule_identity(text: str) -> str:
    """The ``identity`` of the `Molecule` of a SMILES; two SMILES that share it are one row of a table."""
    return with_identity(text)[1]


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
        cell = written(text)
        molecule = _read(cell.smiles, cell.block)
        if molecule is None:
            raise MoleculeError(f"unparsable SMILES{_problem(cell.smiles)}")
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
