"""Names of a molecule that its tautomers share.

Finding them takes milliseconds to a second a molecule, so it is for the few molecules of a table that have the formula
and the connections of another one. All tautomers have those in common, but for rings that open.
"""

from __future__ import annotations

from rdkit import Chem, rdBase
from rdkit.Chem import rdChemReactions, rdMolHash
from rdkit.Chem.MolStandardize import rdMolStandardize

MOST_TAUTOMERS = 50  # enumerated of a molecule
_MOST_STEPS = 1_000
_NOT_ALL = "not all tautomers enumerated"
_INCHI_OPTIONS = "/KET /15T"  # keto-enol and 1,5-shifts, which the standard InChI tells apart
_COMPLETED = rdMolStandardize.TautomerEnumeratorStatus.Completed
_SHIFTS = [
    rdChemReactions.ReactionFromSmarts(rule)
    for rule in (
        "[CX4;!H0:1][C,N;+0:2]=[N,O,S;+0:3]>>[*:1]=[*:2][*:3]",
        "[CX4;!H0:1][C,N;+0:2]=[C,N;+0:3][C,N;+0:4]=[N,O,S;+0:5]>>[*:1]=[*:2][*:3]=[*:4][*:5]",
    )
]


def tautomer_names(smiles: str) -> frozenset[str]:
    """Names of a neutral molecule without stereochemistry; each tautomer of it has at least one of them too.

    They are the tautomers that RDKit enumerates by the rules of Sitzmann, Ihlenfeldt and Nicklaus (J. Comput.-Aided
    Mol. Des. 2010); those in which one hydrogen moves from a saturated carbon to a heteroatom two or four bonds away,
    which the rules leave out in azo compounds, amidines and pyrroles; RDKit's hash of mobile hydrogens; and the InChI
    with keto-enol and 1,5-shifts. Where there are more than `MOST_TAUTOMERS`, the molecule has a further name, which
    all such molecules have: of one formula and connections, they cannot be told apart.
    """
    with rdBase.BlockLogs():
        molecule = Chem.MolFromSmiles(smiles)
        names = {
            smiles,
            rdMolHash.MolHash(molecule, rdMolHash.HashFunction.HetAtomTautomer),
            Chem.MolToInchi(molecule, options=_INCHI_OPTIONS) or smiles,
        }
        return frozenset(names | _enumerated(molecule) | _shifted(molecule))


def _enumerated(molecule: Chem.Mol) -> set[str]:
    enumerator = rdMolStandardize.TautomerEnumerator()
    enumerator.SetMaxTautomers(MOST_TAUTOMERS)
    enumerator.SetMaxTransforms(_MOST_STEPS)
    try:
        found = enumerator.Enumerate(molecule)
    except (ValueError, RuntimeError):  # RDKit cannot make sense of what a rule made of an odd valence
        return {_NOT_ALL}
    return {*found.smiles, *([] if found.status == _COMPLETED else [_NOT_ALL])}


def _shifted(molecule: Chem.Mol) -> set[str]:
    """The tautomers with one hydrogen moved from carbon to a heteroatom."""
    products = [product for shift in _SHIFTS for (product,) in shift.RunReactants((molecule,))]
    sound = [one for one in products if Chem.SanitizeMol(one, catchErrors=True) == Chem.SANITIZE_NONE]
    return {Chem.MolToSmiles(one, isomericSmiles=False) for one in sound}
