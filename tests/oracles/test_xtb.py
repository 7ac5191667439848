"""The gap by GFN2-xTB, and the built-in table of it."""

from __future__ import annotations

import pandas as pd
import pytest
from rdkit import Chem

from pipeline.oracles.oracle import OracleWorkers, oracle_named
from pipeline.oracles.xtb import SEED, gap
from pipeline.tables.catalogue import card
from pipeline.tables.molecules import MoleculeError
from scripts.xtb_gap import ELEMENTS, FEWEST, MOST, RECOMBINED, SOURCES, suitable

SAME = 0.002  # eV, between machines and releases of the packages


@pytest.fixture(scope="module")
def table():
    return pd.read_csv(card("xtb_gap").file())


@pytest.fixture
def _tblite():
    pytest.importorskip("tblite")


@pytest.mark.usefixtures("_tblite")
@pytest.mark.parametrize(
    ("smiles", "value"),
    [
        ("c1ccccc1", 4.83),
        ("c1ccc2cc3ccccc3cc2c1", 1.94),
        ("c1ccc(/N=N/c2ccccc2)cc1", 1.36),
        ("CN(C)c1ccc(/N=N/c2ccc([N+](=O)[O-])cc2)cc1", 1.05),
    ],
)
def test_gaps_are_those_computed_independently(smiles, value):
    """By hand with RDKit and tblite 0.8.0, another seed of the conformer."""
    assert gap(smiles) == pytest.approx(value, abs=0.01)


@pytest.mark.usefixtures("_tblite")
def test_a_gap_is_the_same_again_and_the_seed_is_used():
    smiles = "CCOC(=O)CCN(C)CCc1ccccc1"
    assert gap(smiles) == gap(smiles)
    assert gap(smiles) != gap(smiles, SEED + 1)


@pytest.mark.usefixtures("_tblite")
def test_the_isomer_that_is_written_is_computed():
    assert gap("c1ccc(/N=N\\c2ccccc2)cc1") > gap("c1ccc(/N=N/c2ccccc2)cc1") + 0.1


@pytest.mark.usefixtures("_tblite")
@pytest.mark.parametrize("smiles", ["CC(=O)[O-]", "C[NH3+]", "[CH3]", "[O][O]", "OB(O)c1ccccc1", "C[Si](C)(C)C"])
def test_ions_radicals_and_what_only_uff_knows_have_a_gap(smiles):
    assert 0 < gap(smiles) < 20


@pytest.mark.usefixtures("_tblite")
def test_the_charge_reaches_the_method():
    """An electron more than the closed shell, in a higher orbital: the gap of the anion is not that of the acid."""
    assert abs(gap("[O-]c1ccccc1") - gap("Oc1ccccc1")) > 0.5


@pytest.mark.parametrize(
    ("smiles", "words"),
    [
        ("[Na+].[Cl-]", "several fragments"),
        ("C" * 151, "151 heavy atoms; the limit is 150"),
        ("[U]", "no parameters for U"),
        ("CN1[C@H]2CC[C@H]1CCC2", "no conformer was found in 30 attempts"),
        ("[He]", "neither MMFF94 nor UFF"),
        ("[H+]", "no occupied or no empty orbital"),
        ("C[Ti](C)C", "49 electrons, of which its SMILES shows 0 unpaired"),
    ],
)
@pytest.mark.usefixtures("_tblite")
def test_what_the_method_is_not_for_has_a_reason(smiles, words):
    with pytest.raises(MoleculeError, match=words):
        gap(smiles)


@pytest.mark.usefixtures("_tblite")
def test_the_table_is_what_the_oracle_says(table, tmp_path):
    rows = table.iloc[:: len(table) // 5].head(5)
    with OracleWorkers(oracle_named("xtb_gap"), kept=tmp_path) as workers:
        said = workers.ask(list(rows["smiles"]))
    assert [one.value for one in said] == pytest.approx(list(rows["gap"]), abs=SAME)


def test_the_table_holds_what_its_page_says(table):
    """Neutral molecules of one fragment, of common elements, as the oracle is given them."""
    assert not table["smiles"].duplicated().any()
    assert set(table["origin"]) == {*SOURCES, *RECOMBINED}
    assert all(table["gap"].between(low, low + 1).sum() > 30 for low in range(6))
    for smiles in table["smiles"].iloc[::50]:
        molecule = Chem.MolFromSmiles(smiles)
        assert Chem.MolToSmiles(molecule) == smiles
        assert Chem.GetFormalCharge(molecule) == 0
        assert "." not in smiles
        assert FEWEST <= molecule.GetNumHeavyAtoms() <= MOST
        assert {atom.GetSymbol() for atom in molecule.GetAtoms()} <= ELEMENTS
        assert suitable(smiles) == smiles


@pytest.mark.parametrize(
    ("text", "taken"),
    [
        ("CN1N=NC(=N1)N=NC2=CC=CC=C2", "Cn1nnc(/N=N/c2ccccc2)n1"),
        ("OC(=O)/C=C\\C(=O)OC", "COC(=O)/C=C\\C(=O)O"),
        ("CCCCCCN.Cl", "CCCCCCN"),
        ("CCCCCC(=O)[O-].[Na+]", ""),
        ("CCO", ""),
        ("CC[Sn](C)(C)CCC", ""),
        ("CCCCCCC[CH2]", ""),
        ("nothing", ""),
    ],
)
def test_molecules_of_the_table_are_chosen_as_its_script_says(text, taken):
    assert suitable(text) == taken
