from __future__ import annotations

import hashlib

import numpy as np
import pandas as pd
import pytest

from pipeline.errors import InputError
from pipeline.files import sha256, spreadsheet_safe
from pipeline.runs.audit import audit_lines, audit_table, notation_leak
from pipeline.tables.catalogue import cards
from pipeline.tables.measurements import TargetError, parse_number
from pipeline.tables.molecules import MoleculeError, parse_molecule
from pipeline.tables.notation import Notation
from pipeline.tables.reading import read_table
from pipeline.tables.table import build_table
from pipeline.tables.targets import CLASSES, REGRESSION, parse_class
from tests.conftest import SMILES, shared_file, write_table


def build(path, **options):
    return build_table(read_table(str(path)), **{"smiles": "SMILES", "target": "value", **options})


def filled(rows):
    """The rows under test among enough good ones."""
    return [*rows, *((s, i + 0.5) for i, s in enumerate(SMILES))]


@pytest.mark.parametrize(
    ("text", "value"), [("-0.5", -0.5), ("1e-3", 1e-3), ("\u22123", -3.0), (" 12 ", 12.0), ("+4", 4.0), (".5", 0.5)]
)
def test_numbers_are_read_with_sign_and_exponent(text, value):
    assert parse_number(text) == value


@pytest.mark.parametrize("text", ["1.2.3", "", "nan", "inf", ">10", "<0.5", "1.2±0.3", "5 µM", "high", "1_000", "0x10"])
def test_what_is_not_a_number_is_refused(text):
    with pytest.raises(TargetError):
        parse_number(text)


def test_decimal_comma_only_where_the_file_uses_it():
    assert parse_number("1,5", Notation(",")) == 1.5
    with pytest.raises(TargetError):
        parse_number("1,5")


def test_whole_number_classes_lose_their_decimals():
    assert parse_class("1.0") == "1" == parse_class(" 1 ")


@pytest.mark.parametrize("text", ["", "not a smiles", "C1CC", "C(C)(C)(C)(C)C", "C*", "C" * 5000])
def test_unusable_structures_give_a_reason(text):
    with pytest.raises(MoleculeError) as caught:
        parse_molecule(text)
    assert str(caught.value)


def test_every_refused_row_comes_out_with_line_and_reason(tmp_path):
    bad = [
        ("C1CC", 1),
        ("", 2),
        ("CCO", "nan"),
        ("CCS", ">10"),
        ("CCF", "inf"),
        ("CCBr", "5 µM"),
        ("C" * 3_000, 1),
    ]
    table = build(write_table(tmp_path / "t.csv", filled(bad)), task=REGRESSION)
    assert table.refused["line"].tolist() == [2, 3, 4, 5, 6, 7, 8]
    assert "3000 characters" in table.refused["reason"].iloc[-1]
    assert table.refused["reason"].str.len().min() > 0
    assert len(table) + len(table.refused) == table.n_read


def test_the_input_file_is_never_changed(tmp_path):
    path = write_table(tmp_path / "t.csv", filled([("C1CC", 1)]))
    before = hashlib.sha256(path.read_bytes()).digest()
    build(path)
    assert hashlib.sha256(path.read_bytes()).digest() == before


def test_duplicates_are_merged_to_their_mean_and_wide_ones_said(tmp_path):
    table = build(write_table(tmp_path / "t.csv", filled([("CCF", 1), ("FCC", 90)])))
    row = table.frame[table.frame["smiles"] == "CCF"].iloc[0]
    assert (row["target"], row["n_merged"], row["spread"]) == (45.5, 2, 89)
    assert "CCF" in table.warnings[0]


def test_classes_in_conflict_are_refused(tmp_path):
    rows = [("CCF", "a"), ("FCC", "b"), *((s, "ab"[i % 2]) for i, s in enumerate(SMILES))]
    table = build(write_table(tmp_path / "t.csv", rows))
    assert table.task == CLASSES
    assert table.refused["line"].tolist() == [2, 3]
    assert table.refused["reason"].str.contains("conflicting").all()


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("CC(=O)O", "CC(=O)[O-].[Na+]"),  # salt
        ("C[C@H](O)CC", "C[C@@H](O)CC"),  # stereo
        ("CC(=O)CC(C)=O", "CC(O)=CC(C)=O"),  # keto-enol
        ("Oc1ccccn1", "O=c1cccc[nH]1"),  # lactim-lactam
    ],
)
def test_twins_share_a_leakage_group(tmp_path, one, other):
    table = build(write_table(tmp_path / "t.csv", filled([(one, 1), (other, 2)])))
    canonical = {parse_molecule(one).smiles, parse_molecule(other).smiles}
    assert table.frame[table.frame["smiles"].isin(canonical)]["twins"].nunique() == 1


def test_row_order_changes_nothing(tmp_path):
    rows = filled([("CCF", 3)])
    one = build(write_table(tmp_path / "a.csv", rows))
    other = build(write_table(tmp_path / "b.csv", [rows[i] for i in np.random.default_rng(1).permutation(len(rows))]))
    assert one.fingerprint() == other.fingerprint()


def test_largest_fragment_is_an_option(tmp_path):
    path = write_table(tmp_path / "t.csv", filled([("CCCCCCCCCC[NH3+].[Cl-]", 1)]))
    assert any("." in s for s in build(path).frame["smiles"])
    assert not any("." in s for s in build(path, largest_fragment=True).frame["smiles"])


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([("CCO", 1), ("CCN", 2), ("CCC", 3)], "3 usable rows with a value of 'value'"),
        ([(s, 1) for s in SMILES], "same"),
        ([(s, "yes") for s in SMILES], "same class"),
        ([(s, f"label{i}x") for i, s in enumerate([*SMILES, *(s + "F" for s in SMILES)])], "different values"),
    ],
)
def test_a_table_with_nothing_to_learn_is_refused(tmp_path, rows, words):
    with pytest.raises(InputError, match=words):
        build(write_table(tmp_path / "t.csv", rows))


def test_a_misspelt_column_names_the_nearest(tmp_path):
    path = write_table(tmp_path / "t.csv", filled([]))
    with pytest.raises(InputError, match=r"valu'.*did you mean 'value'"):
        build(path, target="valu")
    with pytest.raises(InputError, match="SMILES"):
        build(path, smiles="SMILE")


@pytest.mark.parametrize("name", list(cards()))
def test_built_in_tables_are_what_their_cards_say(name):
    about = cards()[name]
    folder = str(shared_file(f"{name}.csv.gz").parent) if about.fetched else ""
    path = about.file(folder)
    assert sha256(path) == about.sha256
    raw = read_table(str(path))
    assert len(raw.frame) == about.rows
    if about.range:
        values = pd.to_numeric(raw.frame[about.target])
        assert values.min() >= about.range[0]
        assert values.max() <= about.range[1]


def test_audit_of_photoswitch_finds_the_dominant_scaffold(photoswitch):
    found = audit_table(photoswitch)
    assert found["scaffolds"]["largest_share"] == pytest.approx(0.5117, abs=1e-3)
    assert found["molecules"] == 383
    assert any("holds 51%" in line for line in audit_lines(found))


def test_audit_sees_a_label_in_the_notation(tmp_path):
    """Labels are random, but one class is written with an explicit first atom, which canonical SMILES undo."""
    labels = np.random.default_rng(0).permutation(["a", "b"] * (len(SMILES) // 2))
    rows = [("CC" + s if y == "a" else "[CH3]C" + s, y) for s, y in zip(SMILES, labels, strict=True)]
    leak = notation_leak(build(write_table(tmp_path / "t.csv", rows)))
    assert leak["given"] > 0.95
    assert leak["canonical"] < leak["given"] - 0.2


@pytest.mark.parametrize(
    ("metric", "given", "canonical", "warned"),
    [
        ("R2", 0.40, 0.30, True),
        ("R2", 0.04, -0.30, False),
        ("R2", -0.40, -0.47, False),
        ("AUROC", 0.96, 0.69, True),
        ("AUROC", 0.45, 0.30, False),
    ],
)
def test_the_notation_is_warned_of_only_if_it_says_something(photoswitch, metric, given, canonical, warned):
    found = audit_table(photoswitch)
    found["notation"] = {"metric": metric, "given": given, "canonical": canonical, "rows": 383}
    assert any("the strings as given say more" in line for line in audit_lines(found)) == warned


@pytest.mark.parametrize("text", ["=1+1", "+x", "-x", "@x", "\tx"])
def test_formulas_are_defused_and_numbers_are_not(text):
    assert spreadsheet_safe(text) == "'" + text
    assert spreadsheet_safe("-1.5") == "-1.5"
