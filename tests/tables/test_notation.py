"""Numbers as people write them: the value read is the value meant, or the column is refused."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.errors import InputError
from pipeline.tables.measurements import TargetError, parse_measurement, parse_number, written_numbers
from pipeline.tables.notation import Notation, decimal_of_file, notation_of
from pipeline.tables.reading import read_table
from pipeline.tables.table import build_table
from tests.conftest import SMILES


def read(cells, **options):
    notation = notation_of(written_numbers(cells), **options)
    return [parse_number(cell, notation) for cell in cells]


@pytest.mark.parametrize(
    ("cells", "options", "values"),
    [
        (["500", "1,815", "54,824"], {"delimiter": "\t"}, [500, 1815, 54824]),
        (["500", "1.815", "54.824"], {"delimiter": ";"}, [500, 1815, 54824]),
        (["1.815", "54.824", "0.5"], {"delimiter": ";"}, [1.815, 54.824, 0.5]),
        (["1.815", "54.824"], {}, [1.815, 54.824]),
        (["1,5", "1,815"], {}, [1.5, 1.815]),
        (["1.234,5", "3.000", "12"], {}, [1234.5, 3000, 12]),
        (["1,234.5", "3,000", "12"], {}, [1234.5, 3000, 12]),
        (["1'201", "33", "1'000'000"], {}, [1201, 33, 1_000_000]),
        (["1\u2009201", "1\u202f201", "1\u00a0201", "1 201"], {}, [1201] * 4),
        (["1,234,567", "1,100"], {}, [1_234_567, 1100]),
        (["1.234.567", "1.100"], {}, [1_234_567, 1100]),
        (["50", "50,0", "50.0"], {}, [50, 50, 50]),
        (["1,145", "2,300"], {"decimal": "."}, [1145, 2300]),
        (["1,145", "2,300"], {"decimal": ","}, [1.145, 2.3]),
        (["1,145", "2,300"], {"thousands": ","}, [1145, 2300]),
        (["1,145", "2,300"], {"of_file": ","}, [1.145, 2.3]),
        (["1.815", "54.824"], {"of_file": ",", "delimiter": ";"}, [1815, 54824]),
        (["5", "12.345", "99.125"], {"below_thousand": True}, [5, 12.345, 99.125]),
        (["-1,5", "+2,25", "1,5e-3"], {}, [-1.5, 2.25, 1.5e-3]),
    ],
)
def test_a_column_is_read_as_it_is_meant(cells, options, values):
    assert read(cells, **options) == pytest.approx(values)


@pytest.mark.parametrize(
    ("cells", "options"),
    [
        (["1,145", "2,300"], {}),
        (["1.815", "54.824"], {"delimiter": ";"}),
        (["1.815", "54.824"], {"delimiter": "\t"}),
        (["50.0", "50,0", "1,145"], {}),
        (["5", "7", "12.345"], {}),
    ],
)
def test_a_column_that_stays_ambiguous_is_refused_with_the_option_that_settles_it(cells, options):
    with pytest.raises(InputError, match=r"two ways.*--decimal"):
        read(cells, column="IC50", source="t.csv", **options)


def test_a_mark_that_cannot_group_thousands_is_no_number():
    assert parse_number("0,123", Notation(",")) == 0.123
    with pytest.raises(TargetError):
        parse_number("0,123", Notation(".", ","))
    with pytest.raises(TargetError):
        parse_number("1,5", Notation(".", ","))


def test_the_decision_is_said():
    notation = notation_of(["500", "1,815"], delimiter="\t")
    assert notation.said("IC50") == (
        "numbers of 'IC50' are read with ',' between thousands: 1,815 is 1815 (1 cell of whole numbers below 1000, and "
        "three digits behind every ',')"
    )
    assert notation_of(["1.5", "2"]).said("y") == ""


def test_units_and_bounds_do_not_hide_the_marks():
    notation = notation_of(written_numbers([">1,815 nM", "500 nM", "~3,100"]))
    assert parse_measurement(">1,815 nM", notation).number == 1815


def test_other_columns_show_the_decimal_mark_of_a_file():
    assert decimal_of_file([["1,5", "x"], ["a"]]) == ","
    assert decimal_of_file([["1.5"], ["2,5"]]) == ""


STYLES = {
    "point": (lambda text: text, False),
    "comma": (lambda text: text.replace(".", ","), False),
    "english": (lambda text: text, True),
    "german": (lambda text: text.translate(str.maketrans(".,", ",.")), True),
    "swiss": (lambda text: text.replace(",", "'"), True),
    "thin": (lambda text: text.replace(",", "\u2009"), True),
}


@settings(deadline=None, max_examples=150)
@given(
    st.sampled_from(sorted(STYLES)),
    st.lists(st.decimals(-99_999, 99_999, places=2), min_size=5, max_size=40),
    st.integers(0, 3),
    st.sampled_from(",;\t"),
)
def test_whatever_the_style_the_value_read_is_the_value_meant_or_the_column_is_refused(
    style, values, places, delimiter
):
    change, grouped = STYLES[style]
    cells = [change(f"{value:,.{places}f}" if grouped else f"{value:.{places}f}") for value in values]
    try:
        found = read(cells, delimiter=delimiter)
    except InputError:
        return
    if style == "german" and places == 0 and delimiter == ",":  # points between thousands, commas between cells
        return
    assert found == pytest.approx([float(f"{value:.{places}f}") for value in values])


@pytest.mark.parametrize(("suffix", "delimiter"), [("tsv", "\t"), ("csv", ";")])
def test_thousands_reach_the_table_as_thousands(tmp_path, suffix, delimiter):
    rng = random.Random(0)
    values = [int(10 ** rng.uniform(1, 4.8)) for _ in SMILES]
    mark = "," if delimiter == "\t" else "."
    path = tmp_path / f"t.{suffix}"
    rows = [f"{text}{delimiter}{f'{value:,}'.replace(',', mark)}" for text, value in zip(SMILES, values, strict=True)]
    path.write_text("\n".join([f"SMILES{delimiter}IC50", *rows]) + "\n", encoding="utf-8")
    table = build_table(read_table(str(path)), smiles="SMILES", target="IC50")
    assert sorted(table.targets) == sorted(map(float, values))
    assert any("between thousands" in remark for remark in table.remarks)
