"""No part of a structure is passed over: what is read is the molecule that was written, or it is refused."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from pipeline import MolecularFeatures
from pipeline.errors import InputError
from pipeline.models.fitting import fit_model
from pipeline.models.predicting import predict_file
from pipeline.oracles.labelling import label_file
from pipeline.oracles.oracle import oracle_named
from pipeline.proposing.constraints import pattern
from pipeline.reporter import Reporter
from pipeline.settings.reading import make_config
from pipeline.tables.molecules import (
    MoleculeError,
    canonical_smiles,
    is_smiles,
    parse_molecule,
    with_bonded,
    without_stereo,
)
from pipeline.tables.reaction_table import build_reaction_table
from pipeline.tables.reactions import canonical_component, reaction_roles
from pipeline.tables.reading import RawTable
from pipeline.tables.table import build_table
from tests.conftest import SMILES, write_table

FOREIGN = ["CC\u041e", "CC(=O)\u00d8", "\u2212C", "CC\u2013O", "CC\x01", "\uff23\uff23\uff2f", "CC\u200bO", "CC\ufeff"]
BROKEN = [
    *("CC\nO", "CC(=O)O\n.[Na+]", "CCO\nethanol", "CCO\r\nCCN", "CC O", "CC \u041e", "CC (=O)O", "CC =O", "CC #N"),
    *("CC \uff1dO", "CC .O", "CCC .[Na+]", "C1CC1 \u00b7HCl", "C1CC1 \u2022 HCl", "CCN HCl", "CCN x HCl", "CCN 2HCl"),
    *("CCN 0.5 H2O", "CCO [Na+]", "CCO |^1:0| CCN", "CCO PCP", "CC |^1:0", "CCO (=O)O)"),
]
NAMED = {
    "CCO ethanol": "CCO",
    " OCC\tethanol ": "CCO",
    "CCO \u00e9thanol": "CCO",
    "C[C@H](O)CC (+)-2-butanol": "CC[C@H](C)O",
    "C[C@H](O)CC (\u2212)-2-butanol": "CC[C@H](C)O",
    "CCO [mol-1] 12 g": "CCO",
    "CCO 123": "CCO",
    "CCO 'ethyl alcohol'": "CCO",
    "CC\u00a0ethane": "CC",
    "C[NH3+].[Cl-] methylamine hydrochloride": "C[NH3+].[Cl-]",
}
BLOCKS = {"C[C@H](O)CC |&1:1|": "CC[C@H](C)O", "CC |^1:0| ethyl": "[CH2]C", "C[CH2] |^1:1|": "[CH2]C"}
DOORS = {
    "table": parse_molecule,
    "canonical": canonical_smiles,
    "bonded": with_bonded,
    "flat": without_stereo,
    "component": canonical_component,
    "reactant": lambda text: reaction_roles(f"{text}>>CCBr"),
    "product": lambda text: reaction_roles(f"CCBr>>{text}"),
}


@pytest.mark.parametrize("door", ["table", "canonical", "bonded", "flat", "component", "product"])
@pytest.mark.parametrize("text", [*FOREIGN, *BROKEN])
def test_a_structure_is_never_cut(door, text):
    if door == "product" and (" ." in text or "\n." in text):
        return  # spaces around the dots of a reaction SMILES are passed over, and all of it is read
    with pytest.raises(MoleculeError):
        DOORS[door](text)
    assert not is_smiles(text)


@pytest.mark.parametrize("text", FOREIGN)
def test_a_character_that_no_smiles_has_is_refused_before_the_arrow(text):
    with pytest.raises(MoleculeError, match="a character that no SMILES has"):
        DOORS["reactant"](text)


@pytest.mark.parametrize("text", ["A>>B C>>D", "CC O>>CCO", "CCBr.CN>>CCNC CCO", "CCBr.CN>>CCNC |f:0.1| CCO"])
def test_a_second_structure_behind_a_reaction_is_not_a_name(text):
    with pytest.raises(MoleculeError):
        reaction_roles(text)


def test_a_character_is_named_with_its_place_and_what_may_be_meant():
    with pytest.raises(MoleculeError, match=r"'\u041e' \(U\+041E, CYRILLIC CAPITAL LETTER O\) at place 3.*'O'"):
        parse_molecule("CC\u041e")
    with pytest.raises(MoleculeError, match=r"'\\x01' \(U\+0001\) at place 3"):
        parse_molecule("CC\x01")
    with pytest.raises(MoleculeError, match=r"'O' behind 'CC'"):
        parse_molecule("CC O")


@pytest.mark.parametrize(("text", "smiles"), [*NAMED.items(), *BLOCKS.items()])
def test_a_name_behind_a_smiles_is_no_part_of_it(text, smiles):
    assert canonical_smiles(text) == smiles == parse_molecule(text).smiles
    assert is_smiles(text)


def test_a_name_behind_a_reaction_is_no_part_of_it():
    plain = reaction_roles("CCBr.CN>>CCNC")
    for text in ("CCBr . CN >> CCNC", "CCBr.CN>>CCNC step 1", "CCBr.CN>>CCNC |f:0.1|", "CCBr.CN>>CCNC |f:0.1| a. b"):
        assert reaction_roles(text) == plain


def raw_table(**columns):
    frame = pd.DataFrame(columns, dtype=str)
    frame.index = pd.RangeIndex(2, len(frame) + 2)
    return RawTable("t.csv", frame, [])


def test_a_table_says_how_many_names_were_passed_over():
    cells = ["CCO ethanol", "OCC alcohol", "CC O", *SMILES]
    table = build_table(raw_table(SMILES=cells, value=range(len(cells))), smiles="SMILES", target="value")
    assert list(table.refused["line"]) == [4]
    assert [said for said in table.remarks if "behind" in said] == [
        "2 rows of 'SMILES' hold a name behind the SMILES ('ethanol' on line 2 is the first); it is passed over"
    ]
    table = build_table(raw_table(SMILES=SMILES, value=range(len(SMILES))), smiles="SMILES", target="value")
    assert not any("behind" in said for said in table.remarks)


def test_a_table_of_reactions_says_it_of_each_column():
    chains = ["C" * (1 + number) for number in range(30)]
    raw = raw_table(
        rxn=[f"{chain}Br . CN >> {chain}NC step {len(chain)}" for chain in chains],
        amine=["CN methylamine", *["CN"] * 29],
        solvent=["ethyl acetate"] * 30,
        **{"yield": range(30)},
    )
    table = build_reaction_table(raw, target="yield", reaction="rxn", components=("amine", "solvent"))
    assert [said.split(";")[0] for said in table.remarks if "behind" in said] == [
        "30 rows of 'rxn' hold a name behind the SMILES ('step 1' on line 2 is the first)",
        "1 row of 'amine' holds a name behind the SMILES ('methylamine' on line 2)",
    ]


@pytest.fixture(scope="module")
def ridge(tmp_path_factory):
    path = write_table(tmp_path_factory.mktemp("t") / "t.csv", [(text, len(text)) for text in SMILES])
    return fit_model(make_config(str(path), {"smiles": "SMILES", "target": "value"}), "ridge", Reporter())


def test_files_to_predict_and_to_label_say_what_is_wrong_in_each_row(ridge, tmp_path, monkeypatch):
    monkeypatch.setenv("CHEMTUNE_CACHE", str(tmp_path / "cache"))
    wrong = [*FOREIGN, *BROKEN]
    pd.DataFrame({"SMILES": [*wrong, *NAMED]}).to_parquet(tmp_path / "new.parquet")
    predict_file(ridge, str(tmp_path / "new.parquet"), tmp_path / "out.parquet", Reporter(), workers=1)
    problems = pd.read_parquet(tmp_path / "out.parquet")["problem"]
    label_file(oracle_named("logp"), str(tmp_path / "new.parquet"), tmp_path / "logp.parquet", Reporter())
    reasons = pd.read_parquet(tmp_path / "logp.parquet")["reason"]
    for said in (problems, reasons):
        assert list(said != "") == [True] * len(wrong) + [False] * len(NAMED)


@pytest.mark.parametrize("text", [*FOREIGN, *BROKEN])
def test_arrays_in_python_are_refused_by_position(ridge, text):
    for ask in (ridge.predict, ridge.describe, MolecularFeatures(("bits",)).fit):
        with pytest.raises(ValueError, match=r"X\[1\]"):
            ask(["CCO", text])
    np.testing.assert_array_equal(ridge.predict(["CCO ethanol"]), ridge.predict(["CCO"]))


@pytest.mark.parametrize("text", ["CC\u041e", "C O", "C name", "C\n.N"])
def test_a_pattern_is_never_cut(text):
    with pytest.raises(InputError, match="--contains"):
        pattern(text)
