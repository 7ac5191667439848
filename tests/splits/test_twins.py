"""Which rows are twins, and that no split parts them, whatever the order of a file."""

from __future__ import annotations

import time

import numpy as np
import pandas as pd
import pytest
from rdkit import Chem

from pipeline.splits.build import build_splits
from pipeline.splits.cross_validators import molecule_groups
from pipeline.splits.groups import scaffold_groups, twin_groups
from pipeline.splits.rungs import cluster_groups, generic_scaffold_groups
from pipeline.tables import merging as tables
from pipeline.tables import tautomers
from pipeline.tables.catalogue import card
from pipeline.tables.kinds import MOLECULES
from pipeline.tables.merging import twin_labels
from pipeline.tables.molecules import parse_molecule
from pipeline.tables.reading import read_table
from pipeline.tables.structures import SMILES as SMILES_AS_WRITTEN
from pipeline.tables.table import _parse_or_reason, build_table
from pipeline.tables.tautomers import tautomer_names
from tests.conftest import SMILES, write_table

TAUTOMERS = {
    "ketone and enol": ("CC(C)=O", "CC(O)=C"),
    "ketone and its other enol": ("CC1CCCCC1=O", "CC1=C(O)CCCC1"),
    "tetralone and enol": ("O=C1CCCc2ccccc12", "OC1=CCCc2ccccc12"),
    "phenol and dienone": ("Oc1ccccc1", "O=C1CC=CC=C1"),
    "1,3-diketone and enol": ("CC(=O)CC(C)=O", "CC(O)=CC(C)=O"),
    "4-hydroxycoumarin and dione": ("Oc1cc(=O)oc2ccccc12", "O=C1CC(=O)c2ccccc2O1"),
    "amide and imidic acid": ("CC(=O)Nc1ccccc1", "CC(O)=Nc1ccccc1"),
    "pyridone and hydroxypyridine": ("O=c1cccc[nH]1", "Oc1ccccn1"),
    "pyrazole 3 and 5": ("Cc1cc[nH]n1", "Cc1ccn[nH]1"),
    "indazole 1H and 2H": ("c1ccc2[nH]ncc2c1", "c1ccc2c[nH]nc2c1"),
    "tetrazole 1H and 2H": ("Cc1nnn[nH]1", "Cc1nn[nH]n1"),
    "1,2,4-triazole": ("Cc1nc[nH]n1", "Cc1nnc[nH]1"),
    "imidazole 4 and 5": ("Cc1c[nH]cn1", "Cc1cnc[nH]1"),
    "guanidine": ("CN=C(N)NC", "CNC(=N)NC"),
    "amidine and enediamine": ("CN=C1CN(C)CCO1", "CNC1=CN(C)CCO1"),
    "nitroso compound and oxime": ("CC(C)N=O", "CC(C)=NO"),
    "nitrosophenol and quinone oxime": ("Oc1ccc(N=O)cc1", "O=C1C=CC(=NO)C=C1"),
    "azophenol and hydrazone": ("Oc1ccc(N=Nc2ccccc2)cc1", "O=C1C=CC(=NNc2ccccc2)C=C1"),
    "azonaphthol and hydrazone": ("Oc1ccc2ccccc2c1N=Nc1ccccc1", "O=C1C=Cc2ccccc2C1=NNc1ccccc1"),
    "azopyrazolol and hydrazone": ("Cc1nn(-c2ccccc2)c(O)c1N=Nc1ccccc1", "CC1=NN(c2ccccc2)C(=O)C1=NNc1ccccc1"),
    "azoalkane and hydrazone": ("c1ccccc1N=NC(C)C", "c1ccccc1NN=C(C)C"),
    "thione and thiol": ("S=c1cccc[nH]1", "Sc1ccccn1"),
    "imine and enamine": ("CC1=NCCC1", "CC1=CCCN1"),
    "nitroalkane and nitronic acid": ("CC[N+](=O)[O-]", "CC=[N+](O)[O-]"),
    "N-oxide and N-hydroxy compound": ("Cc1cc(O)[n+]([O-])c(C)c1", "Cc1cc(C)n(O)c(=O)c1"),
    # of B3DB
    "edaravone": ("Cc1cc(=O)n(-c2ccccc2)[nH]1", "CC1=NN(c2ccccc2)C(=O)C1"),
    "phenylbutazone": ("CCCCc1c(O)n(-c2ccccc2)n(-c2ccccc2)c1=O", "CCCCC1C(=O)N(c2ccccc2)N(c2ccccc2)C1=O"),
    "ziprasidone analogue": (
        "Oc1cc2cc(CCN3CCN(c4nsc5ccccc45)CC3)c(Cl)cc2[nH]1",
        "O=C1Cc2cc(CCN3CCN(c4nsc5ccccc45)CC3)c(Cl)cc2N1",
    ),
    "drotaverine": ("CCOc1ccc(CC2=NCCc3cc(OCC)c(OCC)cc32)cc1OCC", "CCOc1ccc(C=C2NCCc3cc(OCC)c(OCC)cc32)cc1OCC"),
    "tetracycline": (
        "CN(C)C1C(=O)C(C(N)=O)=C(O)C2(O)C(=O)C3=C(O)c4c(O)cccc4C(C)(O)C3CC12",
        "CN(C)C1C(O)=C(C(N)=O)C(=O)C2(O)C(O)=C3C(=O)c4c(O)cccc4C(C)(O)C3CC12",
    ),
    "nizatidine analogue": ("CN(C)Cc1ccc(CSCCNC2N=CC=C2[N+](=O)[O-])o1", "CN(C)Cc1ccc(CSCCNc2[nH]ccc2[N+](=O)[O-])o1"),
}
CHARGED = {
    "amine and ammonium": ("CN1CCC(c2ccccc2)CC1", "C[NH+]1CCC(c2ccccc2)CC1"),
    "hydrochloride": ("CN1CCC(c2ccccc2)CC1", "C[NH+]1CCC(c2ccccc2)CC1.[Cl-]"),
    "acid and carboxylate": ("O=C(O)c1ccccc1", "O=C([O-])c1ccccc1.[Na+]"),
    "zwitterion": ("NC(Cc1ccccc1)C(=O)O", "[NH3+]C(Cc1ccccc1)C(=O)[O-]"),
    "betaine and its hydrochloride": ("C[N+](C)(Cc1ccccc1)CC(=O)[O-]", "C[N+](C)(Cc1ccccc1)CC(=O)O.[Cl-]"),
    "tetrazole and tetrazolate": ("c1ccc(-c2nnn[nH]2)cc1", "c1ccc(-c2nnn[n-]2)cc1.[K+]"),
    "enol and diketonate": ("CC(O)=CC(=O)c1ccccc1", "CC(=O)[CH-]C(=O)c1ccccc1.[Na+]"),
}
ISOMERS = [
    ("C=CCCCC", "CC=CCCC"),
    ("CC1=CCC(C(C)=C)CC1", "CC1=CCC(=C(C)C)CC1"),
    ("C=CCO", "CCC=O"),
    ("CCC(=O)CC", "CC(=O)CCC"),
    ("Oc1ccccn1", "Oc1cccnc1"),
    ("Cn1ccccc1=O", "COc1ccccn1"),
    ("c1ccncc1", "C[n+]1ccccc1"),
    ("c1ccncc1", "[O-][n+]1ccccc1"),
]


@pytest.mark.parametrize(("one", "other"), TAUTOMERS.values(), ids=TAUTOMERS)
def test_tautomers_are_twins(one, other):
    assert len(set(molecule_groups([one, other], scaffold=False))) == 1
    assert len(set(molecule_groups([other, one], scaffold=True))) == 1


@pytest.mark.parametrize(("one", "other"), ISOMERS)
def test_isomers_that_are_no_tautomers_are_not_twins(one, other):
    assert len(set(molecule_groups([one, other], scaffold=False))) == 2


@pytest.mark.parametrize(("one", "other"), CHARGED.values(), ids=CHARGED)
def test_charged_forms_are_twins_of_one_scaffold(one, other):
    assert len(set(molecule_groups([one, other], scaffold=False))) == 1
    assert parse_molecule(one).scaffold == parse_molecule(other).scaffold


@pytest.mark.parametrize(
    ("charged", "neutral"),
    [
        ("C[N+]1(C)CCC(c2ccccc2)CC1", "CN1CCC(c2ccccc2)CC1"),
        ("C[n+]1ccc(-c2ccccc2)cc1", "c1cc(-c2ccccc2)ccn1"),
        ("[O-][n+]1ccc(-c2ccccc2)cc1", "c1cc(-c2ccccc2)ccn1"),
    ],
)
def test_a_charge_for_a_substituent_makes_no_other_scaffold(charged, neutral):
    assert parse_molecule(charged).scaffold == parse_molecule(neutral).scaffold


@pytest.mark.parametrize("smiles", ["C[N+](C)(C)C", "O=[N+]([O-])c1ccccc1", "[O-][n+]1ccccc1", "c1ccc2[n+](c1)CCCC2"])
def test_what_cannot_be_neutralised_keeps_its_charge(smiles):
    assert parse_molecule(f"{smiles}.[Na+]").parent.smiles == parse_molecule(smiles).smiles


@pytest.mark.parametrize("smiles", ["[Na+].[Cl-]", "Cl[Pt](Cl)(N)N", "CC(=O)[O-].CC(=O)[O-].[Zn+2]"])
def test_salts_of_metals_are_read(smiles):
    assert len(set(molecule_groups([smiles, "CCO"], scaffold=True))) == 2


def tautomer_rows() -> list[tuple[str, float]]:
    rows = [pair for pairs in (TAUTOMERS, CHARGED) for pair in pairs.values()]
    rows += [("C[C@H](O)CC", "C[C@@H](O)CC"), ("CCN.Cl", "CCN")]
    return [(text, float(place)) for place, text in enumerate([*np.ravel(rows), *SMILES])]


def built(path, rows):
    return build_table(read_table(str(write_table(path, rows))), smiles="SMILES", target="value")


@pytest.mark.parametrize("name", ["random", "scaffold", "generic-scaffold", "cluster"])
def test_no_split_parts_twins(tmp_path, name):
    table = built(tmp_path / "t.csv", tautomer_rows())
    twins = dict(zip(table.frame["row_id"], twin_groups(table), strict=True))
    for seed in range(5):
        (made,) = build_splits(table, name, test_size=0.3, folds=0, seed=seed)
        for fold in made.folds:
            assert not {twins[row] for row in fold.train} & {twins[row] for row in fold.test}


@pytest.mark.parametrize("seed", range(4))
def test_groups_do_not_depend_on_the_order_of_the_file(tmp_path, seed):
    rows = tautomer_rows()
    order = np.random.default_rng(seed).permutation(len(rows)) if seed else np.arange(len(rows))[::-1]
    both = [built(tmp_path / f"{n}.csv", given) for n, given in enumerate((rows, [rows[place] for place in order]))]
    columns = ["row_id", "smiles", "scaffold", "twins", "target"]
    pd.testing.assert_frame_equal(both[0].frame[columns], both[1].frame[columns])
    for groups in (scaffold_groups, generic_scaffold_groups, lambda table: cluster_groups(table, 0.35, 0)[0]):
        assert (groups(both[0]) == groups(both[1])).all()


def test_only_molecules_of_one_skeleton_are_searched_for_tautomers(monkeypatch):
    asked: list[str] = []
    monkeypatch.setattr(tables, "tautomer_names", lambda smiles: asked.append(smiles) or tautomer_names(smiles))
    pair = TAUTOMERS["tetralone and enol"]
    molecules = [parse_molecule(text) for text in [*SMILES, *pair, "C[C@H](O)CC", "C[C@@H](O)CC"]]
    twin_labels([one.parent for one in molecules], [one.identity for one in molecules])
    assert sorted(asked) == sorted(parse_molecule(text).parent.smiles for text in pair)


def test_where_not_all_tautomers_are_enumerated_one_skeleton_is_enough():
    peptide = Chem.MolToSmiles(Chem.MolFromSequence("MKTAYIAKQRQISFVKSHFSRQLEERLGLI"))
    first, second = (tautomer_names(parse_molecule(f"{end}{peptide}").parent.smiles) for end in ("C=CCC", "CC=CC"))
    assert first & second == {tautomers._NOT_ALL}


GALLOYL = "C(=O)c1cc(O)c(O)c(O)c1"


@pytest.mark.parametrize(
    "smiles",
    [
        Chem.MolToSmiles(Chem.MolFromSequence("MKTAYIAKQRQISFVKSHFSRQLEERLGLI")),
        "Cc1cc(O)c2c(=O)c3c(O)cc(O)c4c5c(O)cc(O)c6c(=O)c7c(O)cc(C)c8c1c2c(c34)c(c56)c78",  # hypericin
        f"O({GALLOYL})CC1OC(O{GALLOYL})C(O{GALLOYL})C(O{GALLOYL})C1O{GALLOYL}",  # pentagalloylglucose
    ],
)
def test_a_large_molecule_takes_less_than_a_second(smiles):
    start = time.process_time()
    tautomer_names(parse_molecule(smiles).parent.smiles)
    assert time.process_time() - start < 1


@pytest.mark.slow
def test_no_tautomers_of_b3db_stand_apart():
    """RDKit's canonical tautomer, up to 1,000 enumerated, of the molecules that have a skeleton in common."""
    from rdkit.Chem.MolStandardize import rdMolStandardize

    about = card("b3db")
    table = build_table(read_table(str(about.path)), smiles=about.smiles, target=about.target)
    read = {"largest_fragment": False, "notation": SMILES_AS_WRITTEN, "kind": MOLECULES}  # as it was for the table
    parents = [_parse_or_reason(text, **read).parent for text in table.frame["given"]]
    frame = pd.DataFrame({"skeleton": [p.skeleton for p in parents], "parent": [p.smiles for p in parents]})
    frame["twins"] = twin_groups(table)
    frame = frame.drop_duplicates()[lambda rows: rows.duplicated("skeleton", keep=False)]
    enumerator = rdMolStandardize.TautomerEnumerator()
    frame["tautomer"] = [
        Chem.MolToSmiles(enumerator.Canonicalize(Chem.MolFromSmiles(text)), isomericSmiles=False)
        for text in frame["parent"]
    ]
    sets = frame.groupby(["skeleton", "tautomer"])
    assert (sets["parent"].nunique() > 1).sum() >= 25
    assert (sets["twins"].nunique() == 1).all()
