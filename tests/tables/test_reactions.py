"""Reactions as a kind of table: what is read, refused, kept and named."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from rdkit import Chem

from pipeline.errors import InputError
from pipeline.reporter import Reporter
from pipeline.runs.audit import audit_lines, audit_table
from pipeline.runs.prepare import load_table
from pipeline.settings.reading import make_config
from pipeline.tables.molecules import MoleculeError
from pipeline.tables.reaction_table import build_reaction_table
from pipeline.tables.reactions import appearing_elements, reaction_roles
from pipeline.tables.reading import read_table
from tests.conftest import reaction_rows, shared_file

COMPONENTS = ("halide", "amine", "base", "solvent")


def build(path, **options):
    return build_reaction_table(read_table(str(path)), **{"target": "yield", "components": COMPONENTS, **options})


def written(tmp_path, rows, header="rxn,yield"):
    path = tmp_path / "t.csv"
    path.write_text(header + "\n" + "".join(f"{row}\n" for row in rows), encoding="utf-8")
    return path


def plain_reactions(yields):
    return [f"{'C' * (1 + number)}Br.CN>>{'C' * (1 + number)}NC,{value}" for number, value in enumerate(yields)]


def test_two_ways_of_writing_a_reaction_are_one():
    one = reaction_roles("Br[c:1]1[cH:2]cccc1.[CH3:7][NH2:8]>[Na+].[OH-]>[CH3:7][NH:8][c:1]1ccccc1")
    other = reaction_roles("CN.c1ccccc1Br>[OH-].[Na+]>CNc1ccccc1")
    assert one == other
    assert ":" not in "".join(one.values())


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("CCBr.CN", "reactants>agents>products"),
        ("CCBr>>", "without products"),
        (">>CCN", "without reactants"),
        ("CCBr.C(>>CCN", r"in the reactants: 'C\('"),
        ("CCBr>Xx>CCN", "in the agents"),
        ("", "reactants>agents>products"),
        ("a>b>c>d", "reactants>agents>products"),
    ],
)
def test_what_is_no_reaction_says_why(text, words):
    with pytest.raises(MoleculeError, match=words):
        reaction_roles(text)


def test_components_are_structures_or_names_or_absent(couplings):
    table = build(couplings)
    assert table.components == COMPONENTS
    assert table.names == ("solvent",)
    assert len(table) == 48
    assert set(table.cells["base"]) == {"", "CCN(CC)CC", "[Na+].[OH-]"}
    assert set(table.cells["solvent"]) == {"toluene", "1,4-dioxane"}
    assert table.units == "%"
    assert table.rows_are == "reactions"
    assert all(text.endswith(">>") for text in table.frame["smiles"])  # no component is called a product


def test_a_reaction_without_components_has_its_roles(couplings):
    table = build(couplings, reaction="rxn", components=())
    assert table.components == ("reactants", "agents", "products")
    assert len(table) == 48
    assert (table.cells["agents"] == "").sum() == 16


def test_a_component_called_product_stands_behind_the_arrow(tmp_path):
    rows = [f"{'C' * (1 + n)}Br,CN,{'C' * (1 + n)}NC,{n + 0.5}" for n in range(25)]
    table = build(written(tmp_path, rows, "halide,amine,product,yield"), components=("halide", "amine", "product"))
    assert "CBr.CN>>CNC" in set(table.frame["smiles"])


def test_zero_yields_are_kept_and_counted(couplings):
    table = build(couplings)
    zeros = sum(row[-1] == 0.0 for row in reaction_rows())
    assert (table.frame["yield"] == 0).sum() == zeros
    found = audit_table(table)
    assert found["reactions"]["zero_yields"] == zeros
    text = "\n".join(audit_lines(found))
    assert f"Zero yields: {zeros}, kept." in text
    assert "base (3 structures, absent in 16)" in text
    assert "solvent (2 names)" in text
    assert "molecules" not in text


def test_success_is_a_yield_that_reaches_the_threshold(couplings):
    table = build(couplings, success=20.0)
    assert table.classes == ("failure", "success")
    assert ((table.frame["yield"] >= 20) == (table.frame["target"] == "success")).all()
    assert table.property_name == "outcome"


def test_fractions_are_modelled_in_percent(tmp_path):
    values = np.linspace(0, 1, 30)
    table = build(written(tmp_path, plain_reactions(values)), reaction="rxn", components=(), yield_unit="fraction")
    assert sorted(table.targets) == pytest.approx(sorted(100 * values))
    assert table.units == "%"
    np.testing.assert_allclose(np.sort(table.scale.back(table.targets)), values)


def test_the_unit_of_a_yield_is_checked(tmp_path):
    fractions = written(tmp_path, plain_reactions(np.linspace(0, 1, 30)))
    with pytest.raises(InputError, match="--yield-unit fraction"):
        build(fractions, reaction="rxn", components=())
    percentages = written(tmp_path, plain_reactions(np.linspace(0, 100, 30)))
    with pytest.raises(InputError, match="--yield-unit percent"):
        build(percentages, reaction="rxn", components=(), yield_unit="fraction")


def test_every_refused_reaction_has_its_line_column_and_reason(tmp_path):
    rows = [
        *plain_reactions(range(30)),
        "CCBr>>,5",
        "CCCl.CN>>CCNC,",
        "CCCl.CN>>CCNC,-3",
        "CCCl.CN>>CCNC,250",
        "CCCl.CN>>CCNC,>90",
    ]
    table = build(written(tmp_path, rows), reaction="rxn", components=(), bounds="refuse")
    assert len(table) == 30
    assert list(table.refused["line"]) == [32, 33, 34, 35, 36]
    assert list(table.refused["column"]) == ["rxn", "yield", "yield", "yield", "yield"]
    reasons = list(table.refused["reason"])
    assert "without products" in reasons[0]
    assert "missing" in reasons[1]
    assert "not between 0 and 110 %" in reasons[2]
    assert "not between 0 and 110 %" in reasons[3]
    assert "bound" in reasons[4]


def test_a_name_among_structures_is_refused_and_the_way_out_said(tmp_path):
    rows = [f"{'C' * (1 + n)}Br,{'CN' if n else 'Xantphos'},{n}" for n in range(30)]
    path = written(tmp_path, rows, "halide,amine,yield")
    table = build(path, components=("halide", "amine"))
    assert list(table.refused["value"]) == ["Xantphos"]
    assert any("amine:name" in warning for warning in table.warnings)
    named = build(path, components=("halide", "amine:name"))
    assert len(named) == 30
    assert named.names == ("amine",)


def test_repeated_reactions_are_merged_and_contexts_share_a_group(tmp_path):
    rows = [f"{row},25" for row in plain_reactions(range(30))]
    rows += ["CN.CBr>>CNC,20,25", "CBr.CN>>CNC,20,80"]
    table = build(
        written(tmp_path, rows, "rxn,yield,temperature"), reaction="rxn", components=(), context=("temperature",)
    )
    assert len(table) == 31
    same = table.frame[table.frame["smiles"] == "CBr.CN>>CNC"]
    assert sorted(table.cells.loc[same["row_id"], "temperature"]) == ["25", "80"]
    assert same["twins"].nunique() == 1
    assert sorted(same["target"]) == [10.0, 20.0]


def test_row_order_changes_nothing(couplings, tmp_path):
    rows = couplings.read_text(encoding="utf-8").splitlines()
    other = tmp_path / "other.csv"
    other.write_text("\n".join([rows[0], *reversed(rows[1:])]) + "\n", encoding="utf-8")
    one, two = build(couplings), build(other, name="couplings")
    assert one.fingerprint() == two.fingerprint()
    pd.testing.assert_frame_equal(one.frame.drop(columns="line"), two.frame.drop(columns="line"))


def test_elements_from_nowhere_are_listed():
    assert appearing_elements("CCBr.CN>>CCNC") == []
    assert appearing_elements("CCBr.CN>Cl>CCNCCl") == []
    assert appearing_elements("CCBr.CN>>CC(Cl)NCF") == ["Cl", "F"]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"reaction": "rxm", "yield": "yield"}, "no column 'rxm' for --reaction.*did you mean 'rxn'"),
        ({"components": ["halide", "amin"], "yield": "yield"}, "--components.*did you mean 'amine'"),
        ({"reaction": "rxn", "yield": "yeld"}, "--yield.*did you mean 'yield'"),
        ({"components": ["solvent"], "yield": "yield"}, "none of the components"),
        ({"reaction": "rxn", "yield": "yield", "target": "yield"}, "same setting"),
        ({"reaction": "rxn", "yield": "yield", "smiles": "halide"}, "smiles is for molecules"),
        ({"reaction": "rxn", "yield": "yield", "success": 120.0}, "between 0 and 100"),
        ({"target": "yield", "success": 20.0}, "--reaction or --components"),
        ({"reaction": "rxn", "yield": "yield", "yield_unit": "parts"}, "unknown yield_unit 'parts'"),
    ],
)
def test_wrong_settings_are_said_in_one_line(couplings, given, words):
    with pytest.raises(InputError, match=words):
        load_table(make_config(str(couplings), given), Reporter())


# -- against what was published ------------------------------------------------------------------


def test_built_in_buchwald_hartwig_is_the_published_table():
    published = pd.read_csv(shared_file("buchwald_hartwig_published_splits.csv.gz"))
    splits = [f"column:test{number}" for number in range(1, 5)]
    table = load_table(make_config("buchwald_hartwig", {"split": splits}), Reporter())
    assert len(table) == len(published) == 3955
    assert (table.frame["yield"] == 0).sum() == (published["yield_percent"] == 0).sum() == 236
    keys = ["aryl_halide", "ligand", "base", "additive"]
    canonical = {text: Chem.CanonSmiles(text) for key in keys for text in published[key].unique()}
    theirs = pd.DataFrame({key: published[key].map(canonical) for key in keys})
    theirs = theirs.assign(value=published["yield_percent"], **{f"test{n}": published[f"test{n}"] for n in range(1, 5)})
    ours = table.cells[[*keys, "test1", "test2", "test3", "test4"]].join(table.frame.set_index("row_id")["yield"])
    both = ours.merge(theirs, on=keys, suffixes=("", "_published"), validate="one_to_one")
    assert len(both) == 3955
    np.testing.assert_allclose(both["yield"], both["value"], atol=1e-6)
    for number in range(1, 5):
        assert (both[f"test{number}"] == both[f"test{number}_published"]).all()


def test_suzuki_miyaura_keeps_its_zero_yields():
    table = load_table(make_config("suzuki_miyaura", {}), Reporter())
    assert len(table) == 5760
    assert (table.frame["yield"] == 0).sum() == 275
    assert table.frame["yield"].max() == pytest.approx(100.0)


def test_hitea_is_read_with_its_doubtful_products_listed():
    table = build_reaction_table(
        read_table(str(shared_file("hitea_buchwald.csv.gz"))),
        target="Product_Yield_PCT_Area_UV",
        reaction="RXN_SMILES",
        components=("catalyst:name", "ligand", "Reagent_1_Short_Hand:name", "Solvent_1_Name:name"),
        keep=("SCREEN_ID",),
    )
    assert table.frame["n_merged"].sum() == 3083
    found = audit_table(table)["reactions"]
    rows = table.frame.set_index("line")["n_merged"]
    # The publication's own count, by row, is "some 200".
    assert 150 <= sum(rows[one["line"]] for one in found["appearing"]) <= 250
