"""Values as chemists write them: recognised, and used only as the user chose."""

from __future__ import annotations

import contextlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.errors import InputError
from pipeline.reporter import Reporter
from pipeline.settings.reading import config_per_target, make_config
from pipeline.tables.measurements import (
    MeasurementReader,
    TargetError,
    parse_measurement,
    units_of_column,
)
from pipeline.tables.notation import PLAIN, Notation
from pipeline.tables.reading import read_table
from pipeline.tables.scales import Scale, UnitError, conversion
from pipeline.tables.table import build_table
from tests.conftest import SMILES, write_table
from tests.studies.made import compared


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1.5", (1.5, "", False, "", "")),
        (">10", (10, ">", False, "", "")),
        ("≥ 10", (10, ">", False, "", "")),
        ("<= 0.5", (0.5, "<", False, "", "")),
        ("~5", (5, "", True, "", "")),
        ("ca. 5", (5, "", True, "", "")),
        ("1.2±0.3", (1.2, "", False, "0.3", "")),
        ("-1.2 +/- 0.3 kcal/mol", (-1.2, "", False, "0.3", "kcal/mol")),
        ("\u22123", (-3, "", False, "", "")),
        ("5 µM", (5, "", False, "", "µM")),
        (">1e3nM", (1000, ">", False, "", "nM")),
        ("45 %", (45, "", False, "", "%")),
    ],
)
def test_a_cell_is_read_as_it_is_meant(text, expected):
    found = parse_measurement(text)
    assert (found.number, found.bound, found.about, found.spread, found.unit) == expected


@pytest.mark.parametrize("text", ["", "n.d.", "high", "1.2.3", "5-10", "1,5", ">", "><5", "1 2", "0x10", "1_000", "±3"])
def test_what_holds_no_single_number_is_no_measurement(text):
    with pytest.raises(TargetError):
        parse_measurement(text)


def test_a_decimal_comma_only_where_the_file_uses_it():
    assert parse_measurement(">1,5 µM", Notation(",")).number == 1.5
    with pytest.raises(TargetError):
        parse_measurement(">1,5 µM")


@settings(deadline=None, max_examples=300)
@given(
    st.one_of(st.text(max_size=30), st.floats().map(str), st.floats().map(lambda value: f"{value} M")),
    st.sampled_from(["", "log10", "pIC50"]),
)
def test_any_text_is_a_measurement_or_a_reason(text, transform):
    reader = MeasurementReader(Scale(transform, "nM"), bounds="limit", annotated="accept")
    with contextlib.suppress(TargetError):  # any other error fails the test
        value, bound = reader.read(text)
        assert np.isfinite(value)
        assert bound in ("", "<", ">")


@pytest.mark.parametrize("text", [">10", "1.2±0.3", "5 µM", "~5"])
def test_by_default_it_is_refused_and_the_reason_names_the_option(text):
    with pytest.raises(TargetError, match=r"--bounds|--annotated"):
        MeasurementReader(Scale("", "nM")).read(text)


def test_units_are_converted_and_other_ones_refused():
    reader = MeasurementReader(Scale("", "nM"), bounds="limit", annotated="accept")
    assert reader.read("5 µM") == (pytest.approx(5000), "")
    assert reader.read("7") == (7, "")
    for text in ("5 mg/mL", "5 um", "5 active", "5 10**9"):
        with pytest.raises(TargetError):
            reader.read(text)


@pytest.mark.parametrize("unit", ["10**10**10 M", "__import__('os')", "M" * 100, "9^9^9^9"])
def test_what_is_no_unit_never_reaches_the_parser(unit):
    with pytest.raises(UnitError):
        conversion(unit, "nM")


def test_degrees_have_an_offset():
    factor, offset = conversion("°C", "K")
    assert (factor, offset) == (pytest.approx(1), pytest.approx(273.15))


@pytest.mark.parametrize(("transform", "units"), [("", "nM"), ("log10", "mg/L"), ("pIC50", "nM"), ("pIC50", "µmol/L")])
def test_a_scale_leads_there_and_back(transform, units):
    scale = Scale(transform, units)
    values = np.array([1e-3, 1.0, 250.0])
    np.testing.assert_allclose(scale.back(scale.forward(values)), values)


def test_pic50_is_the_negative_logarithm_in_mol_per_litre_and_turns_bounds_around():
    reader = MeasurementReader(Scale("pIC50", "nM"), bounds="censored", annotated="accept")
    assert reader.read("1000") == (pytest.approx(6), "")
    assert reader.read(">10 µM") == (pytest.approx(5), "<")
    with pytest.raises(TargetError, match="no logarithm"):
        reader.read("0")


@pytest.mark.parametrize("units", ["", "kcal/mol", "nm", "furlongs"])
def test_pic50_needs_an_amount_per_volume(units):
    with pytest.raises(InputError, match="needs the units"):
        Scale("pIC50", units)


def test_a_column_of_several_units_needs_a_choice():
    assert units_of_column(["5 µM", "6", "x"], PLAIN, "t.csv", "y") == "µM"
    with pytest.raises(InputError, match="different units"):
        units_of_column(["5 µM", "6 nM"], PLAIN, "t.csv", "y")


def build(tmp_path, rows, **options):
    path = write_table(tmp_path / "t.csv", [*rows, *((s, i + 0.5) for i, s in enumerate(SMILES))])
    return build_table(read_table(str(path)), smiles="SMILES", target="value", **options)


def row_of(table, smiles):
    return table.frame[table.frame["smiles"] == smiles].iloc[0]


def test_bounds_are_marked_and_a_value_of_the_same_molecule_wins(tmp_path):
    rows = [("CCF", ">90"), ("FCC", ">95"), ("CCBr", ">7"), ("BrCC", "8"), ("CCI", ">3"), ("ICC", "<1")]
    table = build(tmp_path, rows, bounds="limit")
    assert (row_of(table, "CCF")["target"], row_of(table, "CCF")["bound"]) == (95, ">")
    assert (row_of(table, "CCBr")["target"], row_of(table, "CCBr")["bound"]) == (8, "")
    assert table.refused["reason"].str.contains("both sides").sum() == 2
    assert list(table.refused["value"]) == [">3", "<1"]
    assert len(table.exact) - table.exact.sum() == 1
    assert table.censoring(list(table.frame["row_id"])) is None


def test_other_uses_of_bounds_and_other_scales_are_other_tables(tmp_path):
    rows = [("CCF", ">90")]
    prints = {
        build(tmp_path, rows, **options).fingerprint()
        for options in (
            {},
            {"bounds": "limit"},
            {"bounds": "censored"},
            {"transform": "log10"},
            {"transform": "log10", "units": "nM"},
        )
    }
    assert len(prints) == 5


def test_censoring_says_on_which_side_the_truth_lies(tmp_path):
    table = build(tmp_path, [("CCF", ">90"), ("CCBr", "<2")], bounds="censored")
    ids = table.frame.set_index("smiles")["row_id"]
    assert list(table.censoring([ids["CCF"], ids["CCBr"], ids["CCO"]])) == [1, -1, 0]


def test_a_table_of_bounds_alone_is_refused(tmp_path):
    path = write_table(tmp_path / "t.csv", [(s, f">{i + 1}") for i, s in enumerate(SMILES)])
    with pytest.raises(InputError, match="hold a value"):
        build_table(read_table(str(path)), smiles="SMILES", target="value", task="regression", bounds="limit")


def test_classes_take_no_choice_for_numbers(tmp_path):
    path = write_table(tmp_path / "t.csv", [(s, "ab"[i % 2]) for i, s in enumerate(SMILES)])
    with pytest.raises(InputError, match="are for numbers"):
        build_table(read_table(str(path)), smiles="SMILES", target="value", bounds="limit")


SETTINGS = {"table": "t.csv", "out": "runs/t"}


def test_each_target_has_settings_and_a_folder_of_its_own():
    settings = {**SETTINGS, "target": "log S, IC50", "units": "mol/L,nM", "transform": ",pIC50"}
    first, second = config_per_target(settings, ["SMILES", "log S", "IC50"])
    assert (first.target, first.units, first.transform, first.out) == ("log S", "mol/L", "", "runs/t/log_S")
    assert (second.target, second.units, second.transform, second.out) == ("IC50", "nM", "pIC50", "runs/t/IC50")


def test_a_column_with_a_comma_in_its_name_is_one_target():
    (only,) = config_per_target({**SETTINGS, "target": "a,b"}, ["a,b", "a", "b"])
    assert (only.target, only.out) == ("a,b", "runs/t")


def test_folders_of_targets_never_collide():
    configs = config_per_target({**SETTINGS, "target": "a b,a/b,A_B,../x"}, [])
    folders = [config.out for config in configs]
    assert len({folder.lower() for folder in folders}) == 4
    assert not any(".." in folder for folder in folders)


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"units": "a,b,c"}, "3 for 2 targets"),
        ({"property_name": "one"}, "1 for 2 targets"),
        ({"target": "a,a"}, "twice"),
        ({"transform": "log11"}, "did you mean 'log10'"),
    ],
)
def test_settings_that_do_not_fit_the_targets_are_refused(more, words):
    with pytest.raises(InputError, match=words):
        config_per_target({**SETTINGS, "target": "a,b", **more}, ["a", "b"])


@pytest.mark.parametrize(
    "more",
    [{"transform": "log10"}, {"bounds": "censored"}],
)
def test_classes_of_a_number_take_no_transform(more):
    with pytest.raises(InputError, match="are for numbers"):
        make_config("t.csv", {"target": "y", "bins": 2, **more})


def test_a_bound_in_the_test_set_is_predicted_and_not_scored(tmp_path):
    from pipeline.runs.prepare import prepare

    rows = [(s, f">{len(s)}" if i % 4 == 0 else len(s)) for i, s in enumerate(SMILES)]
    path = write_table(tmp_path / "t.csv", rows)
    given = {"target": "value", "bounds": "limit", "arms": "knn,ridge", "split": "random", "out": str(tmp_path / "r")}
    outcome = compared(prepare(make_config(str(path), given), Reporter()))
    part = outcome.conclusion.predictions[outcome.conclusion.predictions["arm"] == "knn"]
    assert set(part["bound"]) == {"", ">"}
    exact = part[part["bound"] == ""]
    row = outcome.conclusion.metrics[
        (outcome.conclusion.metrics["arm"] == "knn") & (outcome.conclusion.metrics["metric"] == "mae")
    ].iloc[0]
    assert row["n"] == len(exact) < len(part)
    assert row["value"] == pytest.approx((exact["truth"] - exact["prediction"]).abs().mean())
