"""The small files that once went wrong, each with what must come out; see the README of ``../shared/cases``."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from rdkit import Chem

from pipeline.errors import InputError
from pipeline.models.fitting import fit_model
from pipeline.models.predicting import predict_file
from pipeline.reporter import Reporter
from pipeline.runs.prepare import load_table, prepare
from pipeline.settings.reading import make_config

FOLDER = Path(__file__).resolve().parents[2] / "shared" / "cases"
pytestmark = pytest.mark.skipif(
    not FOLDER.is_dir(), reason=f"the case files are not kept beside this checkout ({FOLDER})"
)
COMPONENTS = "halide,amine,catalyst,base,product"


def load(name, **options):
    return load_table(make_config(str(FOLDER / name), options), Reporter())


def predicted(model, name, tmp_path):
    predict_file(model, str(FOLDER / name), tmp_path / "out.parquet", Reporter(), workers=1)
    return pd.read_parquet(tmp_path / "out.parquet")


def test_labels_stay_labels_beside_a_column_called_target():
    table = load("A28_target_col.csv", target="activity", context="target")
    assert table.classes == ("Active", "Inactive")
    assert set(table.column("target")) >= {"CYP3A4", "hERG"}


@pytest.mark.parametrize("name", ["scaffold", "spread"])
def test_context_never_stands_in_for_the_programs_own(name):
    table = load(f"R_{name}.csv", smiles="Structure", target="logP", context=name)
    raw = pd.read_csv(FOLDER / f"R_{name}.csv")
    assert set(table.column(name)) == set(raw[name])
    assert not set(table.frame[name].astype(str)) & set(raw[name])


def test_one_odd_temperature_leaves_a_number_and_is_said():
    dot, odd = load("F1_dot.csv", target="y", context="temp"), load("F1_rt.csv", target="y", context="temp")
    assert dot.context_columns[0].number
    assert odd.context_columns[0].number
    assert (len(dot.refused), len(odd.refused)) == (0, 1)
    assert any("'rt'" in remark for remark in odd.remarks)


def test_new_temperatures_are_numbers_or_problems(tmp_path):
    model = fit_model(make_config(str(FOLDER / "F1_dot.csv"), {"target": "y", "context": "temp"}), "ridge", Reporter())
    found = predicted(model, "F2_new.csv", tmp_path).set_index("temp")
    assert found.loc["50", "prediction"] == found.loc["50,0", "prediction"]
    assert (found.loc[["50 °C", "rt", "", "nan"], "problem"] != "").all()
    assert not found.loc["5000", "in_domain"]
    assert "outside of the training range" in found.loc["5000", "domain_note"]


def test_an_unseen_catalyst_is_out_of_domain(tmp_path):
    table = pd.read_csv(FOLDER / "C4_pct.csv", dtype=str)
    names = dict(zip(sorted(set(table["catalyst"])), ("Pd(OAc)2", "PdCl2", "Pd2(dba)3", "Pd", "Pd/C"), strict=False))
    table.assign(catalyst=table["catalyst"].map(names)).to_csv(tmp_path / "named.csv", index=False)
    given = {"components": "halide,amine,catalyst:name,base,product", "yield": "yield"}
    model = fit_model(make_config(str(tmp_path / "named.csv"), given), "onehot-rf", Reporter())
    found = predicted(model, "F4_new.csv", tmp_path)
    assert found["in_domain"].tolist() == [True, False, False, None, False]
    assert "did you mean 'Pd(OAc)2'?" in found["domain_note"][1]
    assert "'Ni(cod)2' was not in training" in found["domain_note"][2]
    assert found["problem"][3] != ""


@pytest.mark.parametrize(("name", "split"), [("E1_overlap.csv", "column:split"), ("E1_time.csv", "time:year")])
def test_no_measurement_of_the_test_role_is_trained_on(name, split):
    run = prepare(make_config(str(FOLDER / name), {"target": "logP", "split": split, "arms": "ridge"}), Reporter())
    (fold,) = run.splits[0].folds
    raw = pd.read_csv(FOLDER / name)
    lines = run.table.frame.set_index("row_id")["line"]
    column = split.partition(":")[2]
    role = raw[column].iloc[lines.to_numpy() - 2].set_axis(lines.index)
    tested, trained = set(role.loc[list(fold.test)]), set(role.loc[list(fold.train)])
    assert not tested & trained
    assert int(run.table.frame["n_merged"].sum()) == len(raw)
    assert any("on both sides" in note for note in run.splits[0].notes)


def test_thousands_are_thousands():
    table = load("A5_thousands.tsv", target="IC50")
    assert table.targets.max() == 54_824
    assert any("between thousands" in remark for remark in table.remarks)


def test_the_drawn_molecule_is_the_structure():
    table = load("E12_structfield.sdf", target="logP")
    drawn = [Chem.MolToSmiles(molecule) for molecule in Chem.SDMolSupplier(str(FOLDER / "E12_structfield.sdf"))]
    assert set(table.frame["smiles"]) == set(drawn)


def test_relations_and_units_of_an_export():
    options = {"relation": "Standard Relation", "units_column": "Standard Units", "bounds": "limit"}
    table = load("A6_chembl.csv", target="Standard Value", **options)
    assert (table.frame["bound"] == ">").sum() == 17
    assert table.units == "nM"
    assert sum("--" in warning for warning in load("A6_chembl.csv", target="Standard Value").warnings) == 2


@pytest.mark.parametrize(("name", "target", "n"), [("A1_case.csv", "outcome", 2), ("A4_none.csv", "toxicity", 3)])
def test_classes_as_written(name, target, n):
    table = load(name, target=target)
    assert len(table.classes) == n
    assert table.remarks


def test_selfies_are_no_radicals():
    table = load("B1_selfies_linear.csv", smiles="selfies", target="logP")
    molecules = map(Chem.MolFromSmiles, table.frame["smiles"])
    assert not any(atom.GetNumRadicalElectrons() for molecule in molecules for atom in molecule.GetAtoms())


@pytest.mark.parametrize("name", ["C1_dative.csv", "C3_korg.csv"])
def test_dative_bonds_lose_no_row(name, tmp_path):
    config = make_config(str(FOLDER / name), {"components": COMPONENTS, "yield": "yield"})
    table = load_table(config, Reporter())
    assert (len(table), len(table.refused)) == (120, 0)
    assert (predicted(fit_model(config, "onehot-rf", Reporter()), name, tmp_path)["problem"] == "").all()


@pytest.mark.parametrize(
    ("name", "target"),
    [("A13_list.parquet", None), ("A14_index.parquet", None), ("A10_nl.xlsx", None), ("A11_hidden.xlsx", None)],
)
def test_files_are_read(name, target):
    from pipeline.tables.reading import read_table

    raw = read_table(str(FOLDER / name))
    smiles = next(column for column in raw.frame if "smiles" in column.lower() or "structure" in column.lower())
    value = next(
        column
        for column in raw.frame
        if column != smiles and pd.to_numeric(raw.frame[column], errors="coerce").notna().mean() > 0.8
    )
    assert len(load(name, smiles=smiles, target=value)) >= 20


def test_two_headers_of_one_name_are_one_clear_line():
    with pytest.raises(InputError, match=r"'logP'.*more than once"):
        load("A12_dup.xlsx", target="logP")


def test_spaces_around_the_arrow():
    table = load("C13_space.csv", reaction="rxn", **{"yield": "yield"})
    assert len(table.refused) == 0


def test_yields_as_chemists_write_them():
    percent = load("C4_pct.csv", components=COMPONENTS, **{"yield": "yield"})
    assert (len(percent), percent.frame["yield"].max()) == (120, 100)
    table = load("C5_text.csv", components=COMPONENTS, **{"yield": "yield"})
    assert (table.frame["yield"] == 0).sum() == 5
    assert (table.frame["bound"] != "").sum() == 4
    assert list(table.refused["value"]) == ["n.d.", "n.d."]
    assert any("'trace'" in remark and "3 rows" in remark for remark in table.remarks)


def test_names_of_an_sdf_are_in_the_output(tmp_path):
    rows = pd.read_csv(FOLDER / "E1_overlap.csv")
    rows.to_csv(tmp_path / "t.csv", index=False)
    model = fit_model(make_config(str(tmp_path / "t.csv"), {"target": "logP"}), "ridge", Reporter())
    found = predicted(model, "K1_new.sdf", tmp_path)
    assert found["name"].str.startswith("CMP-").all()
    assert (found["problem"] == "").all()


def test_a_rare_class_is_said_and_can_be_left_out():
    with pytest.raises(InputError, match=r"'rare' \(1\)"):
        load("A22_rare.csv", target="cls")
    assert load("A22_rare.csv", target="cls", min_class_rows=5).classes == ("Active", "Inactive")
