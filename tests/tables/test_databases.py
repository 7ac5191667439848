"""Exports of databases, other notations of structures, and molecules measured in both roles."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import selfies
from rdkit import Chem
from rdkit.Chem.Descriptors import MolWt

from pipeline.errors import InputError
from pipeline.models.fitting import fit_model
from pipeline.models.predicting import predict_file
from pipeline.reporter import Reporter
from pipeline.runs.audit import audit_lines, audit_table
from pipeline.runs.prepare import load_table, prepare
from pipeline.settings.reading import make_config
from pipeline.splits.build import build_splits
from pipeline.tables.structures import SELFIES, structure_notation
from pipeline.tables.structures import SMILES as AS_SMILES
from tests.conftest import SMILES, write_table
from tests.studies.made import compared


def written(tmp_path, rows, header, delimiter=","):
    path = tmp_path / "t.csv"
    path.write_text("\n".join(delimiter.join(map(str, row)) for row in [header, *rows]) + "\n", encoding="utf-8")
    return path


def load(path, **options):
    return load_table(make_config(str(path), options), Reporter())


# -- relations and units --


@pytest.fixture
def export(tmp_path):
    rows = [(text, "'='", 100 + number, "nM") for number, text in enumerate(SMILES)]
    rows[0] = (SMILES[0], "'>'", 2000, "nM")
    rows[1] = (SMILES[1], "'='", 3, "uM")
    rows[2] = (SMILES[2], "'='", 5, "ug.mL-1")
    rows[3] = (SMILES[3], "'='", 7, "")
    rows[4] = (SMILES[4], "'~'", 9, "nM")
    rows[5] = (SMILES[5], "'='", 11, "%")
    return written(tmp_path, rows, ("Smiles", "Relation", "Value", "Units"), ";")


def test_relations_are_bounds_and_units_are_converted(export):
    table = load(export, target="Value", relation="Relation", units_column="Units", bounds="limit")
    rows = table.frame.set_index("line")
    assert (rows.loc[2, "target"], rows.loc[2, "bound"]) == (2000, ">")
    assert rows.loc[3, "target"] == pytest.approx(3000)
    assert rows.loc[4, "target"] == pytest.approx(5e-3 / MolWt(Chem.MolFromSmiles(SMILES[2])) * 1e9)
    assert table.units == "nM"
    refused = table.refused.set_index("line")["reason"]
    assert refused[5].startswith("unit is missing")
    assert "approximate" in refused[6]
    assert "not in the column's units" in refused[7]
    assert any("by the molecular weight" in remark for remark in table.remarks)


def test_a_bound_by_relation_is_refused_unless_the_option_takes_it(export):
    table = load(export, target="Value", relation="Relation", units_column="Units")
    assert "is a bound" in table.refused.set_index("line")["reason"][2]


def test_columns_that_look_so_are_suggested(export):
    text = "\n".join(audit_lines(audit_table(load(export, target="Value"))))
    assert "--relation 'Relation' reads them as bounds" in text
    assert "--units-column 'Units' converts them" in text


def test_an_empty_relation_means_equal_only_where_no_cell_says_so(tmp_path):
    rows = [(text, ">" if number == 0 else "", number + 0.5) for number, text in enumerate(SMILES)]
    path = written(tmp_path, rows, ("SMILES", "rel", "y"))
    table = load(path, target="y", relation="rel", bounds="limit")
    assert (len(table), (table.frame["bound"] == ">").sum()) == (len(SMILES), 1)
    rows = [(text, "=" if number > 5 else relation, y) for number, (text, relation, y) in enumerate(rows)]
    table = load(written(tmp_path, rows, ("SMILES", "rel", "y")), target="y", relation="rel", bounds="limit")
    assert table.refused["reason"].str.startswith("relation is not one of").sum() == 5


def test_half_a_column_without_logarithm_is_asked_about(tmp_path):
    path = write_table(
        tmp_path / "t.csv", [(text, (-1) ** number * (number + 1)) for number, text in enumerate(SMILES)]
    )
    with pytest.raises(InputError, match=r"24 of 48 values.*--transform log10"):
        load(path, target="value", transform="log10")


# -- structures --


def test_selfies_are_read_as_such_in_training_and_prediction(tmp_path):
    rows = [(selfies.encoder(text), len(text)) for text in SMILES]
    path = written(tmp_path, rows, ("selfies", "y"))
    table = load(path, target="y", smiles="selfies")
    assert set(table.frame["smiles"]) == {Chem.CanonSmiles(text) for text in SMILES}
    assert any("SELFIES" in remark for remark in table.remarks)
    model = fit_model(make_config(str(path), {"target": "y", "smiles": "selfies"}), "ridge", Reporter())
    predict_file(model, str(path), tmp_path / "out.parquet", Reporter(), workers=1)
    found = pd.read_parquet(tmp_path / "out.parquet")
    assert found["in_training"].all()
    assert list(found["selfies"]) == [row[0] for row in rows]


def test_chains_of_bare_atoms_are_selfies_and_salts_are_not():
    assert structure_notation(["[C][C][O]", "[C][C]", "[N][C]"]) == SELFIES
    assert structure_notation(["[Na+].[Cl-]", "[K+].[Br-]", "[Fe+2]"]) == AS_SMILES
    assert structure_notation(["CCO", "[C][C]", "CCN"]) == AS_SMILES


def test_inchi_is_read_cell_by_cell(tmp_path):
    rows = [(f'"{Chem.MolToInchi(Chem.MolFromSmiles(text))}"' if n % 2 else text, n) for n, text in enumerate(SMILES)]
    table = load(written(tmp_path, rows, ("structure", "y")), target="y")
    assert (len(table), len(table.refused)) == (len(SMILES), 0)


# -- both roles --


def roles_table(tmp_path, values, column="split"):
    """Molecules of which every fifth was measured in both roles, with another value there."""
    train, test = values
    rows = []
    for number, text in enumerate(SMILES):
        rows.append((text, float(len(text)), test if number % 4 == 3 else train))
        if number % 5 == 0:
            rows.append((text, len(text) + 50.0, train if number % 4 == 3 else test))
    return rows, ("SMILES", "y", column)


@pytest.mark.parametrize(
    ("values", "split"),
    [(("train", "test"), "column:split"), ((2001, 2020), "time:split"), (("A", "B"), "group:split")],
)
def test_a_measurement_of_the_test_role_never_reaches_a_training_label(tmp_path, values, split):
    rows, header = roles_table(tmp_path, values)
    table = load(written(tmp_path, rows, header), target="y", split=split)
    assert int(table.frame["n_merged"].sum()) == len(rows)
    assert (table.frame["n_merged"] == 1).all()
    (made,) = build_splits(table, split, test_size=0.3, folds=0, seed=0)
    (fold,) = made.folds
    identities = table.frame.set_index("row_id")["identity"]
    assert not set(identities.loc[list(fold.train)]) & set(identities.loc[list(fold.test)])
    assert table.column("split").set_axis(table.frame["row_id"]).loc[list(fold.test)].nunique() == 1
    both = len(range(0, len(SMILES), 5))
    note = next(note for note in made.notes if "on both sides" in note)
    assert note.startswith(f"{both} molecules")
    assert len(fold.train) + len(fold.test) + both == len(table)


def test_the_order_of_the_file_changes_no_role(tmp_path):
    rows, header = roles_table(tmp_path, ("train", "test"))
    shuffled = [rows[place] for place in np.random.default_rng(1).permutation(len(rows))]
    one, other = (
        build_splits(
            load(written(tmp_path, given, header), target="y", split="column:split"),
            "column:split",
            test_size=0.2,
            folds=0,
            seed=0,
        )[0]
        for given in (rows, shuffled)
    )
    assert set(one.folds[0].test) == set(other.folds[0].test)
    assert set(one.folds[0].train) == set(other.folds[0].train)


def test_what_is_said_of_a_merged_row_follows_from_the_structure_that_is_kept(tmp_path):
    """Two tautomers with one InChIKey: scaffold and names come from the same one whatever the order."""
    pair = [("Oc1ccccn1", 1.0), ("O=c1cccc[nH]1", 2.0)]
    rest = [(text, len(text) + 0.5) for text in SMILES]
    one, other = (load(written(tmp_path, [*order, *rest], ("SMILES", "y")), target="y") for order in (pair, pair[::-1]))
    columns = ["row_id", "smiles", "scaffold", "twins", "target"]
    pd.testing.assert_frame_equal(one.frame[columns], other.frame[columns])


# -- outputs that join --


def test_outputs_carry_line_structure_and_id_and_the_calibrated_bounds(tmp_path):
    rows = [(f"CMP-{number}", text, len(text) + 0.1 * (number % 3)) for number, text in enumerate(SMILES)]
    rows.append(("CMP-x", "C1CC", 1))
    path = written(tmp_path, rows, ("code", "SMILES", "y"))
    given = {"target": "y", "id": "code", "arms": "ridge,gp", "split": "random", "out": str(tmp_path / "r")}
    outcome = compared(prepare(make_config(str(path), given), Reporter()))
    tables = {
        "predictions": pd.read_parquet(tmp_path / "r/predictions.parquet"),
        "certainty": pd.read_parquet(tmp_path / "r/certainty.parquet"),
        "splits": pd.read_csv(tmp_path / "r/splits.csv"),
    }
    by_id = {row[0]: row for row in rows}
    for frame in tables.values():
        for _, row in frame.iterrows():
            assert row["structure"] == by_id[row["id"]][1]
            assert row["line"] == rows.index(by_id[row["id"]]) + 2
    refused = pd.read_csv(tmp_path / "r/refused.csv")
    assert refused[["line", "id", "structure"]].to_numpy().tolist() == [[len(rows) + 1, "CMP-x", "C1CC"]]
    keys = ["split", "repeat", "fold", "row_id", "arm"]
    both = tables["predictions"].merge(tables["certainty"], on=keys)
    ridge = both[both["arm"] == "ridge"]
    assert (ridge["lower"] == ridge["fixed lower"]).all()
    assert np.ptp(ridge["upper"] - ridge["lower"]) < 1e-9  # one half-width
    assert outcome.context.table.has_ids


def test_splits_of_a_run_can_be_fed_back_with_their_new_columns(tmp_path):
    path = written(tmp_path, [(text, len(text) + 0.5) for text in SMILES], ("SMILES", "y"))
    given = {"target": "y", "arms": "ridge", "split": "random", "out": str(tmp_path / "one")}
    one = compared(prepare(make_config(str(path), given), Reporter()))
    again = {**given, "split": str(tmp_path / "one/splits.csv"), "out": str(tmp_path / "two")}
    two = compared(prepare(make_config(str(path), again), Reporter()))
    assert one.conclusion.predictions["prediction"].tolist() == two.conclusion.predictions["prediction"].tolist()
