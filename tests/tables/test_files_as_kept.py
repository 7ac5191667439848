"""Parquet, Excel, SDF and CSV files as they are kept: odd types, sheets, headers and fields, read and streamed."""

from __future__ import annotations

import datetime
import decimal
import json
from dataclasses import replace

import openpyxl
import pandas as pd
import pyarrow as pa
import pytest
from pyarrow import parquet
from rdkit import Chem

from pipeline.errors import InputError
from pipeline.models.fitting import fit_model
from pipeline.models.predicting import predict_file, smiles_column
from pipeline.reporter import Reporter
from pipeline.settings.reading import make_config
from pipeline.tables.reading import find_smiles_column, read_table, require_column
from pipeline.tables.streaming import encode_chunk, join_chunks, open_stream
from tests.conftest import SMILES, write_table

DAY = datetime.datetime(2024, 1, 2)
ODD = {
    "list": pa.array([[0.5, 1.0], None, []], pa.list_(pa.float64())),
    "struct": pa.array([{"a": 1}, None, {"a": 2}]),
    "map": pa.array([[("a", 1)], None, []], pa.map_(pa.string(), pa.int64())),
    "bytes": pa.array([b"ab", None, b"\xff"]),
    "decimal": pa.array([decimal.Decimal("1.50"), None, decimal.Decimal("12345678901234567890.12")]),
    "when": pa.array([DAY, None, DAY.replace(hour=3)], pa.timestamp("us")),
    "zone": pa.array([DAY, None, DAY], pa.timestamp("ns", "Europe/Berlin")),
    "day": pa.array([DAY.date(), None, DAY.date()]),
    "category": pa.array(["x", None, "y"]).dictionary_encode(),
    "bool": pa.array([True, None, False]),
    "whole": pa.array([12345678901234567, None, 5]),
    "unsigned": pa.array([2**64 - 1, None, 0], pa.uint64()),
    "single": pa.array([0.1, None, 5], pa.float32()),
    "double": pa.array([0.1, None, float("nan")]),
    "nothing": pa.nulls(3),
}
TEXTS = {
    "list": ["[0.5, 1.0]", "", "[]"],
    "struct": ['{"a": 1}', "", '{"a": 2}'],
    "map": ['[["a", 1]]', "", "[]"],
    "bytes": ["ab", "", "ff"],
    "decimal": ["1.50", "", "12345678901234567890.12"],
    "when": ["2024-01-02", "", "2024-01-02 03:00:00"],
    "day": ["2024-01-02", "", "2024-01-02"],
    "category": ["x", "", "y"],
    "bool": ["True", "", "False"],
    "whole": ["12345678901234567", "", "5"],
    "unsigned": ["18446744073709551615", "", "0"],
    "single": ["0.1", "", "5.0"],
    "double": ["0.1", "", ""],
    "nothing": ["", "", ""],
}


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    path = write_table(tmp_path_factory.mktemp("fitted") / "t.csv", [(text, len(text) / 3) for text in SMILES])
    return fit_model(make_config(str(path), {"smiles": "SMILES", "target": "value"}), "ridge", Reporter())


@pytest.fixture
def predict(tmp_path, model):
    """Predict a file and give the path of what was written."""

    def run(source, form=".csv", smiles="", trained="SMILES"):
        out = tmp_path / f"out{form}"
        at_hand = replace(model, about={**model.about, "smiles": trained})
        predict_file(at_hand, str(source), out, Reporter(), smiles=smiles, workers=1, chunk_rows=2)
        return out

    return run


def as_text(path):
    return pd.read_csv(path, dtype=str, keep_default_na=False)


# -- Parquet ---------------------------------------------------------------------------------


@pytest.fixture
def odd(tmp_path):
    path = tmp_path / "odd.parquet"
    parquet.write_table(pa.table({"SMILES": ["C", "CC", "CCO"], **ODD}), path, row_group_size=2)
    return path


@pytest.mark.parametrize("name", TEXTS)
def test_a_parquet_column_of_any_type_is_read_as_text(odd, name):
    assert read_table(str(odd)).frame[name].tolist() == TEXTS[name]


def test_columns_of_odd_types_come_back_from_predict_in_their_types(odd, predict, model):
    found = parquet.read_table(predict(odd, ".parquet"))
    given = parquet.read_table(odd)
    for name in given.column_names:
        assert found[name].type == given[name].type, name
        assert repr(found[name].to_pylist()) == repr(given[name].to_pylist()), name
    assert found["prediction"].to_pylist() == pytest.approx(model.predict(["C", "CC", "CCO"]).tolist())


def test_columns_of_odd_types_are_written_to_csv_with_all_their_digits(odd, predict, model):
    found = as_text(predict(odd))
    assert {name: found[name].tolist() for name in TEXTS} == TEXTS
    values = model.predict(["C", "CC", "CCO"])
    assert found["prediction"].tolist() == [repr(float(f"{value:.6g}")) for value in values]


def test_a_named_index_is_a_column_and_row_numbers_are_none(tmp_path, predict):
    frame = pd.DataFrame({"SMILES": ["C", "CC", "CCO"], "y": [1, 2, 3]})
    named = frame.set_index("SMILES")
    named.to_parquet(tmp_path / "named.parquet")
    frame.iloc[[2, 0]].to_parquet(tmp_path / "picked.parquet")
    frame.set_axis(["a", "b", "c"]).to_parquet(tmp_path / "labels.parquet")
    frame.rename_axis("id").to_parquet(tmp_path / "counted.parquet")
    frame.set_index(["SMILES", "y"]).assign(z=0).to_parquet(tmp_path / "two.parquet")
    expected = {
        "named": {"y", "SMILES"},
        "picked": {"SMILES", "y"},
        "labels": {"SMILES", "y", "index"},
        "counted": {"SMILES", "y", "id"},
        "two": {"SMILES", "y", "z"},
    }
    for name, columns in expected.items():
        path = tmp_path / f"{name}.parquet"
        assert set(read_table(str(path)).frame.columns) == columns
        assert set(open_stream(str(path)).columns) == columns
        assert columns < set(as_text(predict(path)).columns)
    assert as_text(predict(tmp_path / "counted.parquet"))["id"].tolist() == ["0", "1", "2"]


def test_names_of_parquet_columns_are_the_same_in_training_and_in_predict(tmp_path):
    parquet.write_table(pa.table({"SMILES ": ["C"], "IC50\n(nM)": [1]}), tmp_path / "t.parquet")
    assert list(read_table(str(tmp_path / "t.parquet")).frame) == ["SMILES", "IC50 (nM)"]
    assert open_stream(str(tmp_path / "t.parquet")).columns == ["SMILES", "IC50 (nM)"]


def test_a_parquet_table_with_two_columns_of_one_name_is_read(tmp_path, predict):
    table = pa.Table.from_arrays([pa.array(["C", "CC"]), pa.array([1, 2]), pa.array([3, 4])], ["SMILES", "y", "y"])
    parquet.write_table(table, tmp_path / "t.parquet")
    raw = read_table(str(tmp_path / "t.parquet"))
    assert raw.frame["y (2)"].tolist() == ["3", "4"]
    assert parquet.read_table(predict(tmp_path / "t.parquet", ".parquet"))["y (2)"].to_pylist() == [3, 4]


# -- headers ---------------------------------------------------------------------------------


def workbook(path, rows, **sheets):
    book = openpyxl.Workbook()
    for row in rows:
        book.active.append(row)
    for name, more in sheets.items():
        sheet = book.create_sheet(name)
        for row in more:
            sheet.append(row)
    book.save(path)
    return path


def written(folder, form, rows):
    """One table in several kinds of file."""
    path = folder / f"t.{form}"
    if form == "xlsx":
        return workbook(path, rows)
    pd.DataFrame(rows[1:], columns=rows[0]).to_csv(path, index=False)
    return path


@pytest.mark.parametrize("form", ["csv", "xlsx"])
def test_a_repeated_name_stops_only_who_asks_for_it(tmp_path, form, predict):
    path = written(tmp_path, form, [["SMILES", "logP", "note", "logP ", "note", "logP (2)"], ["C", 1, "a", 6, "b", 7]])
    raw = read_table(str(path))
    assert raw.frame.iloc[0].to_dict() == {
        "SMILES": "C", "logP": "1", "note": "a", "logP (3)": "6", "note (2)": "b", "logP (2)": "7",
    }  # fmt: skip
    assert require_column(raw, "SMILES", "--smiles").tolist() == ["C"]
    with pytest.raises(
        InputError, match=r"'logP', asked for by --target, more than once \(columns 2 and 4\)"
    ) as caught:
        require_column(raw, "logP", "--target")
    assert "\n" not in str(caught.value)
    assert as_text(predict(path))["logP (3)"].tolist() == ["6"]
    with pytest.raises(InputError, match=r"'logP'.*more than once"):
        predict(path, smiles="logP")


@pytest.mark.parametrize("form", ["csv", "xlsx"])
def test_columns_without_a_name_are_called_by_their_place(tmp_path, form):
    path = written(tmp_path, form, [["SMILES", "", "column_2", "", "y"], ["C", "a", "b", "c", 1]])
    names = ["SMILES", "column_2 (2)", "column_2", "column_4", "y"]
    assert list(read_table(str(path)).frame.columns) == open_stream(str(path)).columns == names


@pytest.mark.parametrize("form", ["csv", "xlsx"])
@pytest.mark.parametrize("asked", ["IC50 (nM)", "IC50\n(nM)", "IC50  (nM) "])
def test_a_header_with_a_line_break_is_found_however_it_is_asked_for(tmp_path, form, asked, predict, model):
    path = written(tmp_path, form, [["SMILES", "IC50\n(nM)"], ["C", "CCO"]])
    assert require_column(read_table(str(path)), asked, "--target").tolist() == ["CCO"]
    for how in ({"smiles": asked}, {"trained": asked}):
        assert as_text(predict(path, **how))[model.nearest_column].tolist() == ["CCO"]


@pytest.mark.parametrize("name", ["__damage__", "problem", "prediction", "damage"])
def test_no_name_of_a_column_is_reserved(tmp_path, name, predict):
    path = tmp_path / "t.csv"
    path.write_text(f"SMILES,{name}\nC,mine\nCC,x,too,many\nCCC,yours\n")
    found = as_text(predict(path))
    assert found[name].tolist() == ["mine", "x", "yours"]
    problems = found["chemtune_problem" if name == "problem" else "problem"].tolist()
    assert [bool(problem) for problem in problems] == [False, True, False]


# -- Excel -----------------------------------------------------------------------------------


def test_the_first_visible_sheet_is_read_and_said(tmp_path):
    path = workbook(tmp_path / "t.xlsx", [["Notes"], ["not data"]], data=[["SMILES", "y"], ["C", 1]])
    book = openpyxl.load_workbook(path)
    book["Sheet"].sheet_state = "hidden"
    book.active = 1
    book.save(path)
    raw = read_table(str(path))
    assert raw.frame["SMILES"].tolist() == ["C"]
    assert raw.remarks == ("the first visible sheet, 'data', was read; 'Sheet' is hidden",)
    assert open_stream(str(path)).remarks == raw.remarks


def test_of_several_sheets_the_first_is_read_and_said(tmp_path):
    path = workbook(tmp_path / "t.xlsx", [["SMILES", "y"], ["C", 1]], more=[["SMILES", "y"], ["CC", 2]])
    raw = read_table(str(path))
    assert raw.frame["SMILES"].tolist() == ["C"]
    assert raw.remarks == ("the first sheet, 'Sheet', was read; the workbook also holds 'more'",)


def test_a_single_sheet_needs_no_remark(tmp_path):
    assert read_table(str(workbook(tmp_path / "t.xlsx", [["SMILES", "y"], ["C", 1]]))).remarks == ()


def test_what_was_assumed_of_a_workbook_is_said_when_it_is_predicted(tmp_path, model):
    class Heard(Reporter):
        lines: tuple[str, ...] = ()

        def say(self, text):
            self.lines += (text,)

    path = workbook(tmp_path / "t.xlsx", [["SMILES"], ["C"]], more=[["SMILES"], ["CC"]])
    heard = Heard()
    predict_file(model, str(path), tmp_path / "out.csv", heard, workers=1)
    assert any("the first sheet, 'Sheet', was read" in line for line in heard.lines)


@pytest.mark.parametrize("merged", [True, False])
def test_a_title_above_the_header_is_passed_over(tmp_path, merged):
    path = workbook(
        tmp_path / "t.xlsx", [["Results of May"], [], ["SMILES", "lab", "y"], ["C", "a", 1], ["CC", "b", 2]]
    )
    if merged:
        book = openpyxl.load_workbook(path)
        book.active.merge_cells("A1:C1")
        book.save(path)
    raw = read_table(str(path))
    assert raw.frame.to_dict("list") == {"SMILES": ["C", "CC"], "lab": ["a", "b"], "y": ["1", "2"]}
    assert raw.frame.index.tolist() == [4, 5]
    assert "row 3" in raw.remarks[0]


def test_a_column_without_a_name_does_not_make_the_header_a_title(tmp_path):
    path = workbook(tmp_path / "t.xlsx", [["SMILES"], ["C", 1.5], ["CC", 2.5]])
    assert read_table(str(path)).frame.to_dict("list") == {"SMILES": ["C", "CC"], "column_2": ["1.5", "2.5"]}


def test_a_header_cell_merged_over_columns_names_them_both(tmp_path):
    path = workbook(tmp_path / "t.xlsx", [["SMILES", "logP", None], ["C", 1, 2]])
    book = openpyxl.load_workbook(path)
    book.active.merge_cells("B1:C1")
    book.save(path)
    raw = read_table(str(path))
    assert raw.frame["SMILES"].tolist() == ["C"]
    with pytest.raises(InputError, match=r"'logP'.*columns 2 and 3"):
        require_column(raw, "logP", "--target")


def test_a_header_of_two_rows_is_one(tmp_path):
    path = workbook(tmp_path / "t.xlsx", [["SMILES", "IC50", None], [None, "mean", "sd"], ["C", 1, 2]])
    book = openpyxl.load_workbook(path)
    book.active.merge_cells("A1:A2")
    book.active.merge_cells("B1:C1")
    book.save(path)
    raw = read_table(str(path))
    assert raw.frame.iloc[0].to_dict() == {"SMILES": "C", "IC50 mean": "1", "IC50 sd": "2"}
    assert raw.frame.index.tolist() == [3]


def test_cells_of_every_kind_are_read_as_the_spreadsheet_shows_them(tmp_path):
    moment = datetime.datetime(2024, 1, 2, 3, 4)
    cells = [5, 5.0, 0.1, 12345678901234, True, DAY, moment, datetime.time(3, 4), "#N/A", "n/a", None]
    path = workbook(tmp_path / "t.xlsx", [["SMILES", "cell"], *(["C", cell] for cell in cells)])
    raw = read_table(str(path))
    assert raw.frame["cell"].tolist() == [
        "5", "5", "0.1", "12345678901234", "True", "2024-01-02", "2024-01-02 03:04:00", "03:04:00", "", "n/a", "",
    ]  # fmt: skip
    assert raw.remarks == ("the cell B10 holds an error of the spreadsheet (#N/A) and was read as empty",)


def test_a_formula_without_a_value_is_said(tmp_path):
    path = workbook(tmp_path / "t.xlsx", [["SMILES", "y"], ["C", "=1+1"], ["CC", 2], ["CCC", "=B3"]])
    raw = read_table(str(path))
    assert raw.frame["y"].tolist() == ["", "2", ""]
    assert "2 cells (the first is B2) hold formulas without their values" in raw.remarks[0]


def test_rows_that_were_emptied_at_the_end_are_none(tmp_path):
    path = workbook(tmp_path / "t.xlsx", [["SMILES", "y"], ["C", 1], [None, None], ["CC", 2]])
    book = openpyxl.load_workbook(path)
    book.active["E40"].font = openpyxl.styles.Font(bold=True)
    book.save(path)
    frame = read_table(str(path)).frame
    assert list(frame.columns) == ["SMILES", "y"]
    assert frame.index.tolist() == [2, 3, 4]


# -- SDF -------------------------------------------------------------------------------------


def record(smiles, *fields, title=""):
    block = Chem.MolToMolBlock(Chem.MolFromSmiles(smiles)) if smiles else "\n\n\nnothing\nM  END\n"
    return title + block + "".join(f"> <{name}>\n{value}\n\n" for name, value in fields) + "$$$$\n"


def sdf(folder, *records):
    path = folder / "t.sdf"
    path.write_text("".join(records), encoding="utf-8")
    return path


@pytest.mark.parametrize("field", ["structure", "SMILES", "smiles", "canonical_smiles"])
def test_a_data_field_never_stands_in_for_the_drawn_molecule(tmp_path, field, predict, model):
    path = sdf(tmp_path, record("CCO", (field, "CCN"), ("y", 1)))
    raw = read_table(str(path))
    drawn = find_smiles_column(list(raw.frame.columns), raw.source, raw.structure)
    assert require_column(raw, drawn, "--smiles").tolist() == ["CCO"]
    kept = "structure (field)" if field == "structure" else field
    assert raw.frame[kept].tolist() == ["CCN"]
    for trained in ("SMILES", field, "structure"):
        assert as_text(predict(path, trained=trained))[model.nearest_column].tolist() == ["CCO"]
    assert as_text(predict(path, smiles=kept))[model.nearest_column].tolist() == ["CCN"]


def test_the_drawn_molecule_is_used_whatever_the_training_column_was_called(tmp_path):
    stream = open_stream(str(sdf(tmp_path, record("CCO", ("SMILES", "CCN")))))
    assert smiles_column(stream, "", "SMILES", "t.sdf") == "structure"
    assert smiles_column(stream, "SMILES", "structure", "t.sdf") == "SMILES"


@pytest.mark.parametrize(("fields", "name"), [((), "name"), ((("name", "x"),), "name (title)")])
def test_the_title_of_a_record_comes_back_from_predict(tmp_path, fields, name, predict):
    path = sdf(tmp_path, record("CCO", *fields, title="CMP-1"), record("", title="CMP-2"), record("CC"))
    found = as_text(predict(path))
    assert found[name].tolist() == ["CMP-1", "CMP-2", ""]
    assert found["problem"].astype(bool).tolist() == [False, True, False]


def test_without_titles_there_is_no_column_for_them(tmp_path):
    assert list(read_table(str(sdf(tmp_path, record("CCO", ("y", 1))))).frame.columns) == ["structure", "y"]


def test_an_unreadable_record_keeps_its_place_and_its_fields(tmp_path):
    path = sdf(tmp_path, record("C", ("y", 1)), record("", ("y", 2)), record("CC", ("y", 3)).removesuffix("$$$$\n"))
    frame = read_table(str(path)).frame
    assert frame["structure"].tolist() == ["C", "(unreadable record)", "CC"]
    assert frame["y"].tolist() == ["1", "2", "3"]
    assert frame.index.tolist() == [1, 2, 3]


def test_a_field_that_stands_twice_in_a_record_is_ambiguous_only_if_asked_for(tmp_path):
    raw = read_table(str(sdf(tmp_path, record("C", ("y", 1), ("y", 2), ("z", 3)))))
    assert raw.frame.iloc[0].to_dict() == {"structure": "C", "y": "1", "y (2)": "2", "z": "3"}
    with pytest.raises(InputError, match=r"'y'.*more than once"):
        require_column(raw, "y", "--target")


def test_odd_names_and_values_of_fields_are_kept(tmp_path):
    fields = [
        ("IC50 > 10", "a"),
        ("_Name", "b"),
        ('µ, "x"', "c"),
        ("two", "first\nsecond"),
        ("", "lost"),
        ("bound", ">5 <9>"),
    ]
    raw = read_table(str(sdf(tmp_path, record("C", *fields, title="t"))))
    assert raw.frame.iloc[0].to_dict() == {
        "structure": "C", "name": "t", "IC50 > 10": "a", "_Name": "b", 'µ, "x"': "c",
        "two": "first\nsecond", "bound": ">5 <9>",
    }  # fmt: skip


def test_lines_may_end_as_on_windows(tmp_path):
    path = tmp_path / "t.sdf"
    path.write_bytes((record("CCO", ("y", 1), title="n") * 2).replace("\n", "\r\n").encode())
    assert read_table(str(path)).frame.to_dict("list") == {"structure": ["CCO"] * 2, "name": ["n"] * 2, "y": ["1"] * 2}


# -- chunks ----------------------------------------------------------------------------------


@pytest.mark.parametrize("form", [".csv", ".parquet"])
def test_chunks_that_are_put_together_are_the_whole(tmp_path, odd, form):
    def joined(size):
        parts = []
        for number, (frame, damage) in enumerate(open_stream(str(odd)).chunks(size)):
            assert damage == [""] * len(frame)
            parts.append(tmp_path / f"{size}-{number}")
            parts[-1].write_bytes(encode_chunk(frame, form, first=number == 0))
        out = tmp_path / f"whole{form}"
        join_chunks(parts, form, out)
        return out.read_bytes() if form == ".csv" else json.dumps(parquet.read_table(out).to_pylist(), default=repr)

    assert joined(1) == joined(2) == joined(100)
