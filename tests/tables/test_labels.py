"""Classes as people write them: one class under one name, and no class lost."""

from __future__ import annotations

import pytest

from pipeline.errors import InputError
from pipeline.tables.reading import read_table
from pipeline.tables.table import build_table
from pipeline.tables.targets import CLASSES, REGRESSION, ClassReader, infer_task, parse_class
from tests.conftest import SMILES, write_table


def table_of(tmp_path, labels, **options):
    rows = [(text, labels[number % len(labels)]) for number, text in enumerate(SMILES)]
    path = write_table(tmp_path / "t.csv", rows)
    return build_table(read_table(str(path)), smiles="SMILES", target="value", **options)


def test_upper_and_lower_case_of_a_class_are_one_and_said(tmp_path):
    table = table_of(tmp_path, ["Active", "inactive", "ACTIVE ", "Active", "Inactive", "inactive"])
    assert table.classes == ("Active", "inactive")
    assert any("'ACTIVE' (8) and 'Active' (16) are one class" in remark for remark in table.remarks)


def test_none_is_a_class_where_it_is_repeated(tmp_path):
    assert table_of(tmp_path, ["none", "mild", "severe"]).classes == ("mild", "none", "severe")
    assert ClassReader.of(["none", "mild", "severe", "mild"]).missing == {"none"}


@pytest.mark.parametrize("label", ["inconclusive", "Equivocal", "not tested"])
def test_a_class_that_may_be_no_answer_is_said(tmp_path, label):
    table = table_of(tmp_path, ["active", "inactive", label])
    assert label in table.classes
    assert any(f"{label!r} (16 rows) is a class of its own; leave these rows out" in one for one in table.remarks)
    assert not any("of its own" in one for one in table_of(tmp_path, ["active", label]).remarks)


@pytest.mark.parametrize("cell", ["#N/A", "<NA>", "NaN", "", "n/a", "null"])
def test_what_stands_for_no_value_is_no_class(tmp_path, cell):
    table = table_of(tmp_path, ["a", "b", cell])
    assert table.classes == ("a", "b")
    assert len(table.refused) == len(SMILES) // 3


@pytest.mark.parametrize(
    "labels",
    [["True", "1", "FALSE", "0"], ["yes", "1", "no", "0"], ["TRUE", "true", "False", "f"], ["Y", "N", "1", "0"]],
)
def test_ways_of_writing_true_and_false_are_two_classes(tmp_path, labels):
    table = table_of(tmp_path, labels)
    assert (table.task, table.classes) == (CLASSES, ("False", "True"))
    assert any("are one class" in remark for remark in table.remarks)


def test_ones_and_zeros_stay_ones_and_zeros(tmp_path):
    assert table_of(tmp_path, ["1", "0", "1.0"]).classes == ("0", "1")
    assert infer_task(["1", "0"])[0] == CLASSES


def test_large_whole_numbers_do_not_fall_together():
    assert parse_class("12345678901234567") != parse_class("12345678901234568")
    assert parse_class("1e3") == "1000"


def test_a_class_with_one_row_is_said_with_its_count_and_left_out_if_asked(tmp_path):
    rows = [(text, "rare" if number == 0 else "ab"[number % 2]) for number, text in enumerate(SMILES)]
    path = write_table(tmp_path / "t.csv", rows)
    raw = read_table(str(path))
    with pytest.raises(InputError, match=r"'rare' \(1\).*--min-class-rows"):
        build_table(raw, smiles="SMILES", target="value")
    table = build_table(raw, smiles="SMILES", target="value", min_class_rows=5)
    assert table.classes == ("a", "b")
    assert table.refused["reason"].str.startswith("class too rare").sum() == 1
    assert len(table) + len(table.refused) == table.n_read


def test_a_minus_beside_a_plus_is_a_class_and_said(tmp_path):
    table = table_of(tmp_path, ["+", "-", "-"])
    assert table.classes == ("+", "-")
    assert len(table) == len(SMILES)
    assert any("'-' (32 rows) is a class beside '+'" in remark for remark in table.remarks)
    assert table_of(tmp_path, ["active", "inactive", "-"]).classes == ("active", "inactive")


def test_zeros_and_ones_beside_words_are_classes():
    assert infer_task(["0", "1", "1", "0", "inconclusive", "0"])[0] == CLASSES
    assert infer_task(["0", "1", "1", "0", "2", "inconclusive"])[0] == REGRESSION
