from __future__ import annotations

from time import process_time

import numpy as np
import pytest
from rdkit import Chem, rdBase
from rdkit.Chem import Descriptors

from pipeline.arms.ladder import make_arm
from pipeline.features.structures import compute_features, descriptors
from pipeline.tables.molecules import MAX_SMILES_LENGTH
from tests.conftest import SMILES

NAMES = [name for name, _ in Descriptors.descList]
INFORMATION = {"Ipc", "AvgIpc"}
PAIRS = {name for name in NAMES if "BCUT2D" in name or "EState" in name} | {"BalabanJ", "BertzCT"}
RINGS = {name for name in NAMES if name.startswith(("NumAliphatic", "NumBridgehead", "NumSaturated", "NumSpiro"))}


def rdkit_row(smiles: str, without: frozenset[str] | set[str] = frozenset()) -> np.ndarray:
    """RDKit's own values in RDKit's own order, NaN where left out or undefined."""
    molecule = Chem.MolFromSmiles(smiles)
    with rdBase.BlockLogs():
        row = [np.nan if name in without else function(molecule) for name, function in Descriptors.descList]
    return np.where(np.isfinite(row), row, np.nan)


def peptide(length: int) -> str:
    """SMILES of tyrosine and glycine by turns, of the length or a little less."""
    unit = "NC(Cc1ccc(O)cc1)C(=O)NCC(=O)"
    return unit * ((length - 1) // len(unit)) + "O"


def torus(around: int, along: int) -> str:
    """A closed surface of six-membered rings; brick walls joined at their edges."""
    molecule = Chem.RWMol()
    for _ in range(around * along):
        molecule.AddAtom(Chem.Atom(6))
    for row in range(along):
        for column in range(around):
            atom = row * around + column
            molecule.AddBond(atom, row * around + (column + 1) % around, Chem.BondType.SINGLE)
            if (row + column) % 2 == 0:
                molecule.AddBond(atom, (row + 1) % along * around + column, Chem.BondType.SINGLE)
    return Chem.MolToSmiles(molecule)


LARGE = {"chain": "C" * 600, "peptide": peptide(MAX_SMILES_LENGTH), "torus": torus(10, 10)}


@pytest.mark.parametrize("kind", LARGE)
def test_costly_descriptors_do_not_rule_the_time_of_a_large_molecule(kind):
    start = process_time()
    rdkit_row(LARGE[kind], INFORMATION | PAIRS | RINGS)
    cheap = process_time() - start
    start = process_time()
    compute_features([LARGE[kind]], ["descriptors"])
    assert process_time() - start < 8 * cheap


@pytest.mark.parametrize("smiles", [*SMILES, "C" * 64])
def test_ordinary_molecules_have_the_values_of_rdkit(smiles):
    np.testing.assert_array_equal(descriptors([smiles])[0], rdkit_row(smiles))


@pytest.mark.parametrize(("atoms", "undefined"), [(65, INFORMATION), (400, INFORMATION), (401, INFORMATION | PAIRS)])
def test_columns_stay_in_place_when_some_are_undefined(atoms, undefined):
    row = descriptors(["C" * atoms])[0]
    assert {name for name, value in zip(NAMES, row, strict=True) if np.isnan(value)} == undefined
    np.testing.assert_array_equal(row, rdkit_row("C" * atoms, undefined))


def test_models_fitted_on_small_molecules_predict_large_ones():
    targets = np.array([float(len(smiles)) for smiles in SMILES])
    model = make_arm("ridge", "regression", seed=0, threads=1).fit(np.array(SMILES, dtype=object), targets)
    assert np.isfinite(model.predict(np.array(list(LARGE.values()), dtype=object))).all()
