"""Formulas and texts: what is read, what is refused, and what is one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.errors import InputError
from pipeline.features.compositions import composition_bits, element_shares, element_statistics
from pipeline.features.similarity import nearest_neighbours
from pipeline.reporter import Reporter
from pipeline.runs.audit import audit_lines, audit_table
from pipeline.runs.prepare import load_table, prepare
from pipeline.settings.reading import make_config
from pipeline.splits.build import build_splits
from pipeline.tables.compositions import MAX_FORMULA_LENGTH, amounts_of, parse_composition
from pipeline.tables.elements import elements
from pipeline.tables.kinds import COMPOSITIONS, TEXTS
from pipeline.tables.molecules import MoleculeError
from pipeline.tables.texts import MAX_TEXT_LENGTH, parse_text
from tests.conftest import FORMULAS, write_table


@pytest.mark.parametrize(
    ("text", "reduced"),
    [
        ("Ag(AuS)2", "AgAu2S2"),
        ("CuSO4·5H2O", "CuH10SO9"),
        ("CuSO4.5H2O", "CuH10SO9"),
        ("CuSO4*5H2O", "CuH10SO9"),
        ("K4[Fe(CN)6]·3H2O", "K4FeH6C6N6O3"),
        ("MgO.SiO2", "MgSiO3"),
        ("SiO₂", "SiO2"),
        (" Na Cl ", "NaCl"),
        ("2NaCl", "NaCl"),
        ("Fe0.7Ni0.3", "Fe7Ni3"),
        ("Ni.3Fe.7", "Fe7Ni3"),
        ("(Bi0.5Sb0.5)2Te3", "BiSbTe3"),
        ("Ba0.5Sr0.5TiO3", "BaSrTi2O6"),
        ("Cu1.8S1", "Cu9S5"),
        ("Fe0.9995C0.0005", "Fe0.9995C0.0005"),
        ("O2", "O"),
        ("CaO.6Al2O3", "CaAl12O19"),
        ("K2O.Al2O3.6SiO2", "KAlSi3O8"),
        ("Al2O3.2SiO2.2H2O", "Al2Si2H4O9"),
        ("3CaO.Al2O3.3SiO2", "Ca3Al2Si3O12"),
        ("12CaO.7Al2O3", "Ca12Al14O33"),
        ("CaCl2.2NH3", "CaH6N2Cl2"),
        ("CuSO4.5(H2O)", "CuH10SO9"),
        ("MgCl2.6H2O.KCl", "KMgH12Cl3O6"),
        ("CaSO4.0.5H2O", "Ca2H2S2O9"),
        ("CaSO4·0.5H2O", "Ca2H2S2O9"),
        ("Cu(NO3)2.2.5H2O", "Cu2H10N4O17"),
        ("Cu(NO3)2·2.5H2O", "Cu2H10N4O17"),
        ("0.7PbTiO3.0.3PbZrO3", "Zr3Ti7Pb10O30"),
        ("CuSO4 · 5 H2O", "CuH10SO9"),
        ("CuSO4 x 5H2O", "CuH10SO9"),
        ("CuSO4 . 5H2O", "CuH10SO9"),
        ("CuSO4 × 5 H2O", "CuH10SO9"),
        ("Fe 70 Ni 30", "Fe7Ni3"),
        ("\ufeffFeO\u200b", "FeO"),
        ("Cu1.8S", "Cu9S5"),
        ("La.7Sr.3MnO3", "Sr3La7Mn10O30"),
        ("Bi2.2Sr1.8CaCu2O8.2", "Sr9Ca5Bi11Cu10O41"),
        ("CH3NH3PbI2.5Br0.5", "Pb2H12C2I5BrN2"),
        ("(CH3NH3)0.5Cs0.5PbI3", "CsPb2H6CI6N"),
        ("Li1.5Al0.5Ge1.5(PO4)3", "Li3AlGe3P6O24"),
        ("YBa2Cu3O6.5", "Ba4Y2Cu6O13"),
    ],
)
def test_a_formula_is_read_and_reduced(text, reduced):
    assert parse_composition(text).smiles == reduced


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "empty formula"),
        ("   ", "empty formula"),
        ("Xx2O3", "no element 'Xx'"),
        ("D2O", "write H for deuterium"),
        ("Fe3+", "charged formula"),
        ("SO4^2-", "charged formula"),
        ("Cl\u2212", "charged formula"),
        ("[Fe(CN)6]4-", "charged formula"),
        ("Fe2O3-SiO2", "mixtures with a dot"),
        ("La1-xSrxMnO3", "x in 'La1-xSrxMnO3' is no number"),
        ("CeOx", "no element 'Ox'; amounts such as x must be given"),
        ("(NaCl", "is not closed"),
        ("NaCl)", "closes none"),
        ("(NaCl]", "closes none"),
        ("2", "empty part"),
        ("H0", "holds no atoms"),
        ("nacl", "'n' in 'nacl'"),
        ("c1ccccc1", "unparsable formula"),
        ("Fe(III)2O3", "(III) in 'Fe(III)2O3' looks like an oxidation state"),
        ("TiO2 (B)", "(B) in 'TiO2 (B)' looks like a phase"),
        ("SiC 4H", "stands apart"),
        ("MoS2 2H", "stands apart"),
        ("CuSO4 5H2O", "· between the parts"),
        ("Al 6061", "stands apart"),
        ("ZnO 2", "stands apart"),
        ("Ca5(PO4)2.5(SiO4)0.5OH", "may join two parts or stand before decimals"),
        ("Si0.9999999P0.0000001", "below one in a million"),
        ("H99999999O", "below one in a million"),
        ("A" * (MAX_FORMULA_LENGTH + 1), f"the limit is {MAX_FORMULA_LENGTH}"),
    ],
)
def test_what_is_no_neutral_formula_is_refused_with_its_reason(text, why):
    with pytest.raises(MoleculeError) as refused:
        parse_composition(text)
    assert why in str(refused.value)


AMOUNTS = st.dictionaries(st.sampled_from(list(elements().index)), st.integers(1, 40), min_size=1, max_size=6)


@settings(max_examples=200, deadline=None)
@given(AMOUNTS, st.integers(1, 9), st.randoms(use_true_random=False))
def test_order_multiples_and_brackets_make_no_difference(amounts, factor, rng):
    plain = "".join(f"{symbol}{count}" for symbol, count in amounts.items())
    shuffled = list(amounts.items())
    rng.shuffle(shuffled)
    bracketed = "(" + "".join(f"{symbol}{count}" for symbol, count in shuffled) + f"){factor}"
    one, other = parse_composition(plain), parse_composition(bracketed)
    assert one == other
    again = parse_composition(one.smiles)
    assert again.smiles == one.smiles
    total, shares = sum(amounts.values()), amounts_of(one.smiles)
    assert sum(shares.values()) > 0
    for symbol, count in amounts.items():
        assert shares[symbol] / sum(shares.values()) == pytest.approx(count / total, abs=2e-6)


def test_statistics_are_those_of_the_elements():
    names = list(elements().columns)
    weight = elements()["atomic_weight"]
    (row,) = element_statistics(["NaCl"])
    low, high, spread, mean, deviation, _ = row[: 6 * len(names)].reshape(6, -1)[:, names.index("atomic_weight")]
    assert (low, high) == (weight["Na"], weight["Cl"])
    assert spread == pytest.approx(high - low)
    assert mean == pytest.approx((weight["Na"] + weight["Cl"]) / 2)
    assert deviation == pytest.approx(spread / 2)
    ionic = 1 - np.exp(-0.25 * (elements()["electronegativity"]["Na"] - elements()["electronegativity"]["Cl"]) ** 2)
    assert row[-2] == pytest.approx(ionic)
    assert row[-1] == pytest.approx(ionic / 2)  # two of the four pairs of atoms are of different elements
    assert element_shares(["Na2O"])[0].sum() == pytest.approx(1.0)


def test_an_element_of_which_little_is_known_leaves_the_others_statistics():
    (row,) = element_statistics(["OgNa"])
    assert np.isfinite(row).mean() > 0.9
    assert np.isnan(element_statistics(["Og"])).any()


def test_similar_compositions_are_near():
    similarity, index = nearest_neighbours(["NaCl", "KCl", "ZnO"], ["NaCl", "MgO"], COMPOSITIONS)
    assert similarity[0] == 1.0
    assert list(index) == [0, 0, 1]
    assert 0 < similarity[1] < 1
    assert composition_bits(["NaCl"]).shape == (1, 2048)
    same, _ = nearest_neighbours(["stir at 80 C", "distil"], ["Stir at 80 C", "evaporate"], TEXTS)
    assert same[0] > same[1]


def _config(path: Path, **more):
    return make_config(str(path), {"composition": "formula", "target": "value", "out": str(path.parent / "o"), **more})


def test_rows_of_one_composition_are_one_and_refused_rows_have_their_line(tmp_path):
    rows = [(formula, number) for number, formula in enumerate(FORMULAS)]
    rows += [("Cl2Na2", 4.0), ("Fe3+", 1), ("Qq2", 2), ("", 3), ("Na1.0Cl1.0", 8.0)]
    path = write_table(tmp_path / "t.csv", rows, "formula,value")
    table = load_table(_config(path), Reporter())
    assert len(table) == len(FORMULAS)
    salt = table.frame.set_index("smiles").loc["NaCl"]
    assert (salt["n_merged"], salt["target"], salt["scaffold"]) == (3, pytest.approx(4.0), "Cl-Na")
    refused = table.refused.set_index("line")
    assert list(refused.index) == [51, 52, 53]
    assert "charged" in refused.loc[51, "reason"]
    assert set(refused["column"]) == {"formula"}
    said = "\n".join(audit_lines(audit_table(table)))
    assert "Elements: 20, most often O" in said
    assert "Chemical systems: 48" in said


def test_the_audit_says_that_many_values_are_one(tmp_path):
    rows = [(formula, max(0, number - 20)) for number, formula in enumerate(FORMULAS)]
    path = write_table(tmp_path / "t.csv", rows, "formula,value")
    said = "\n".join(audit_lines(audit_table(load_table(_config(path), Reporter()))))
    assert "One value: 44% of the compositions have exactly 0: a number and a class at once." in said


def test_systems_and_elements_never_stand_on_both_sides(tmp_path):
    rows = [(f"{a}{n}{b}", n) for a in ("Na", "K", "Fe", "Zn") for b in ("O", "S", "Cl") for n in (1, 2, 3, 4)]
    table = load_table(_config(write_table(tmp_path / "t.csv", rows, "formula,value")), Reporter())
    system = table.frame.set_index("row_id")["scaffold"]
    (split,) = build_splits(table, "chemical-system", test_size=0.25, folds=0, seed=0)
    for fold in split.folds:
        assert not set(system[list(fold.train)]) & set(system[list(fold.test)])
    (split,) = build_splits(table, "element:S", test_size=0.25, folds=0, seed=0)
    (fold,) = split.folds
    assert all("S" in system[row].split("-") for row in fold.test)
    assert not any("S" in system[row].split("-") for row in fold.train)
    with pytest.raises(InputError, match="no composition holds it; there are Cl, Fe, K"):
        build_splits(table, "element:W", test_size=0.25, folds=0, seed=0)


def test_published_folds_are_tested_one_after_another_or_alone(tmp_path):
    rows = [(formula, len(formula), number % 5) for number, formula in enumerate(FORMULAS)]
    path = write_table(tmp_path / "t.csv", rows, "formula,value,part")
    table = load_table(_config(path, split=["fold:part"]), Reporter())
    (split,) = build_splits(table, "fold:part", test_size=0.2, folds=0, seed=0)
    part = table.column("part").set_axis(table.frame["row_id"])
    assert [set(part[list(fold.test)]) for fold in split.folds] == [{str(k)} for k in range(5)]
    (one,) = build_splits(table, "fold:part=3", test_size=0.2, folds=0, seed=0)
    assert [fold.test for fold in one.folds] == [split.folds[3].test]
    with pytest.raises(InputError, match="no row has '7' in 'part'; there are 0, 1, 2, 3, 4"):
        build_splits(table, "fold:part=7", test_size=0.2, folds=0, seed=0)


def test_one_chemical_system_is_one_line(tmp_path):
    rows = [(f"Fe{n}Ni", n) for n in range(1, 40)]
    path = write_table(tmp_path / "t.csv", rows, "formula,value")
    with pytest.raises(InputError, match="all 39 rows are one group"):
        prepare(_config(path, arms=["mean", "fractions-ridge"], split=["chemical-system"]), Reporter())


def test_a_text_is_one_whatever_its_white_space_and_case():
    one, other = parse_text(" Stir  at\n80 °C "), parse_text("stir at 80 °C")
    assert one.identity == other.identity
    assert one.smiles == "Stir at 80 °C"
    for text, why in (("  \n", "empty text"), ("a" * (MAX_TEXT_LENGTH + 1), "the limit is")):
        with pytest.raises(MoleculeError, match=why):
            parse_text(text)


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ({"smiles": "formula"}, "smiles and composition both say what a row is"),
        ({"text": "formula"}, "composition and text both say what a row is"),
        ({"largest_fragment": True}, "this table holds compositions"),
        ({"template": "What is the {property} of {molecule}?"}, "needs the field {composition} in it"),
        ({"arms": ["ridge"]}, "arm 'ridge' is for molecules; the arms for compositions are"),
        ({"split": ["scaffold"]}, "split 'scaffold' is for molecules; for compositions there are random"),
        ({"arms": ["magpie-two-part"], "bins": 2}, "is for regression; the target is classes"),
    ],
)
def test_what_does_not_fit_compositions_is_one_line(tmp_path, more, why):
    rows = [(formula, len(formula)) for formula in FORMULAS]
    path = write_table(tmp_path / "t.csv", rows, "formula,value")
    with pytest.raises(InputError) as refused:
        prepare(_config(path, **{"arms": ["fractions-ridge"], "split": ["random"], **more}), Reporter())
    assert why in str(refused.value)


def test_a_table_of_alloys_says_that_it_has_no_elements_to_leave_out(tmp_path):
    rows = [(f"Fe{share}Ni{100 - share}", share) for share in range(1, 50)]
    path = write_table(tmp_path / "t.csv", rows, "formula,value")
    for splits in (["elements"], ["random", "elements"]):
        with pytest.raises(InputError, match="split 'elements': there is none of these that this table can make"):
            prepare(_config(path, arms=["fractions-ridge"], split=splits), Reporter())
    context = prepare(_config(path, arms=["fractions-ridge"], split=["ladder"]), Reporter())
    assert "random" in [split.name for split in context.splits]


def test_rows_that_are_all_one_composition_are_said_to_be(tmp_path):
    path = write_table(tmp_path / "t.csv", [(f"Fe{n}O{n}", n) for n in range(1, 50)], "formula,value")
    with pytest.raises(InputError, match=r"1 usable row with a value of 'value'.*49 rows are one of the compositions"):
        load_table(_config(path), Reporter())
