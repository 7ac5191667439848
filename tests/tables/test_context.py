"""Columns of conditions: numbers stay numbers, odd cells are refused, and what training has not seen is said."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from pipeline.errors import InputError
from pipeline.features.inputs import MoleculeFeatures
from pipeline.models.fitting import fit_model
from pipeline.models.folder import load_model
from pipeline.models.predicting import predict_file
from pipeline.reporter import Reporter
from pipeline.runs.prepare import load_table
from pipeline.settings.reading import make_config
from pipeline.tables.context import ContextColumn, read_column
from pipeline.tables.notation import Notation
from tests.conftest import SMILES, reaction_rows

TEMPERATURES = [f"{20 + number * 1.5}" for number in range(len(SMILES))]


def table_file(tmp_path, cells, header="SMILES;temp;y", name="t.csv"):
    rows = [f"{text};{cell};{len(text)}.5" for text, cell in zip(SMILES, cells, strict=True)]
    path = tmp_path / name
    path.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    return path


def built(path, **options):
    return load_table(make_config(str(path), {"target": "y", "context": "temp", **options}), Reporter())


@pytest.mark.parametrize(
    ("odd", "refused"), [("rt", 1), ("NA", 1), (">50", 1), ("25,5", 0), ("25 °C", 0), ("298.15 K", 0)]
)
def test_one_odd_cell_leaves_the_column_a_number(tmp_path, odd, refused):
    cells = [f"{cell} °C" if "K" in odd else cell for cell in TEMPERATURES]
    table = built(table_file(tmp_path, [odd, *cells[1:]]))
    (column,) = table.context_columns
    assert column.number
    assert len(table.refused) == refused
    assert np.isfinite(table.column("temp").astype(float)).all()
    if odd == "298.15 K":
        assert table.column("temp").astype(float).max() < 200
    if refused and odd != "NA":
        assert any("holds numbers" in remark and repr(odd) in remark for remark in table.remarks)


def test_a_column_of_two_minds_is_said_and_can_be_settled(tmp_path):
    path = table_file(tmp_path, ["rt" if number % 2 else cell for number, cell in enumerate(TEMPERATURES)])
    table = built(path)
    assert not table.context_columns[0].number
    assert any("--context temp:number" in remark for remark in table.remarks)
    numbers = built(path, context="temp:number")
    assert numbers.context == ("temp",)
    assert len(numbers.refused) == len(SMILES) // 2


def test_names_keep_the_word_none_and_differing_case_is_said(tmp_path):
    table = built(table_file(tmp_path, [("none", "Hexane", "hexane")[number % 3] for number in range(len(SMILES))]))
    assert set(table.column("temp")) == {"none", "Hexane", "hexane"}
    assert any("upper and lower case" in remark for remark in table.remarks)


def test_the_target_is_no_context(tmp_path):
    with pytest.raises(InputError, match="is the target"):
        built(table_file(tmp_path, TEMPERATURES), context="y")


def test_a_number_in_the_notation_of_its_column():
    column, said = read_column("t", ["1.200,5", "30,25", "1.000"])
    assert column.notation.decimal == ","
    assert [column.read(cell) for cell in ("1.200,5", "30,25")] == ["1200.5", "30.25"]
    assert said


def test_what_the_user_says_of_marks_settles_an_ambiguous_column(tmp_path):
    path = tmp_path / "t.csv"
    rows = [f"{text};{place + 1}.{place + 100};{place + 1}" for place, text in enumerate(SMILES)]
    path.write_text("\n".join(["SMILES;temp;y", *rows]) + "\n", encoding="utf-8")
    with pytest.raises(InputError, match="'temp' can be read in two ways"):
        built(path)
    assert built(path, thousands="none").column("temp").astype(float).max() < 1_000
    assert built(path, decimal=",").column("temp").astype(float).min() == 1_100


def test_names_that_look_like_numbers_are_names_where_the_user_says_so(tmp_path):
    cells = [("1,145", "2,300")[number % 2] for number in range(len(SMILES))]
    table = built(table_file(tmp_path, cells), context="temp:name")
    assert set(table.column("temp")) == {"1,145", "2,300"}


def test_a_stored_column_reads_as_it_did():
    column = ContextColumn("t", True, Notation(",", "."), "°C", 1.0, 2.0)
    again = ContextColumn.stored(column.as_dict())
    assert again.read("1,5 °C") == column.read("1,5 °C") == "1.5"
    assert again.unlike_training("3") == "t 3 is outside of the training range 1 to 2"


@pytest.fixture(scope="module")
def with_temperature(tmp_path_factory):
    folder = tmp_path_factory.mktemp("temperature")
    config = make_config(str(table_file(folder, TEMPERATURES)), {"target": "y", "context": "temp"})
    fit_model(config, "ridge", Reporter()).save(folder / "model")
    return load_model(folder / "model")


def predicted(model, tmp_path, text):
    path = tmp_path / "new.csv"
    path.write_text(text, encoding="utf-8")
    predict_file(model, str(path), tmp_path / "out.parquet", Reporter(), workers=1)
    return pd.read_parquet(tmp_path / "out.parquet")


def test_predict_reads_a_number_or_says_why_not(with_temperature, tmp_path):
    cells = ["50", "50,0", "rt", "", "nan", "50 °C", "5000", "-3"]
    found = predicted(with_temperature, tmp_path, "SMILES;temp\n" + "".join(f"CCCO;{cell}\n" for cell in cells))
    assert (found["problem"] == "").tolist() == [True, True, False, False, False, False, True, True]
    assert found["prediction"][0] == found["prediction"][1]
    assert found["in_domain"].tolist()[0] is True
    assert found["in_domain"][6:].tolist() == [False, False]
    assert found["domain_note"][6] == "temp 5000 is outside of the training range 20 to 90.5"


def test_thousands_marks_of_a_new_file_are_not_taken_for_decimals(with_temperature, tmp_path):
    rows = "".join(f"CCCO;{cell}\n" for cell in ("1.500,5", "2.000", "25,5"))
    found = predicted(with_temperature, tmp_path, "SMILES;temp\n" + rows)
    assert "1500.5" in found["domain_note"][0]
    assert "2000" in found["domain_note"][1]
    assert found["in_domain"][2]


def test_python_reads_context_as_the_command_line_does(with_temperature):
    frame = pd.DataFrame({"smiles": ["CCCO"] * 2, "temp": [50.0, 50]})
    one, two = with_temperature.predict(frame)
    assert one == two
    with pytest.raises(ValueError, match=r"X\[0\], column 'temp'.*'rt'"):
        with_temperature.predict(pd.DataFrame({"smiles": ["CCCO"], "temp": ["rt"]}))


def test_what_is_no_number_counts_as_the_mean_not_as_zero():
    X = pd.DataFrame({"smiles": ["C", "CC", "CCC"], "t": ["100", "110", "120"]})
    features = MoleculeFeatures((), ()).fit(X)
    assert features.transform(pd.DataFrame({"smiles": ["C"], "t": ["?"]}))[0, 0] == pytest.approx(0)


def test_a_name_that_training_has_not_seen_is_out_of_domain_with_a_suggestion(tmp_path):
    rows = [f'{row[0]},{row[1]},{row[2]},"{row[3]}",{row[5]}' for row in reaction_rows()]
    path = tmp_path / "t.csv"
    path.write_text("\n".join(["halide,amine,base,solvent,yield", *rows]) + "\n", encoding="utf-8")
    given = {"components": "halide,amine,base,solvent:name", "yield": "yield"}
    model = fit_model(make_config(str(path), given), "popularity", Reporter())
    new = "halide,amine,base,solvent\n" + "".join(
        f"{row[0]},{row[1]},{row[2]},{name}\n"
        for row, name in zip(reaction_rows(), ("toluene", "Toluene", "water", ""), strict=False)
    )
    found = predicted(model, tmp_path, new)
    assert found["in_domain"].tolist() == [True, False, False, False]
    assert found["domain_note"][1] == "solvent 'Toluene' was not in training (did you mean 'toluene'?)"
    assert found["domain_note"][2] == "solvent 'water' was not in training"
    assert found["domain_note"][3] == "solvent is absent, and never was in training"
    assert not found["in_training"][2]


def test_a_category_that_training_has_not_seen_is_out_of_domain(tmp_path):
    path = table_file(tmp_path, ["ab"[number % 2] for number in range(len(SMILES))])
    model = fit_model(make_config(str(path), {"target": "y", "context": "temp"}), "knn", Reporter())
    found = predicted(model, tmp_path, "SMILES;temp\nCCCO;a\nCCCO;c\n")
    assert found["in_domain"].tolist() == [True, False]
