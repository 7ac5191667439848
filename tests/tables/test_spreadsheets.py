"""What is written as CSV can be opened in a spreadsheet: nothing is run, and the user's cells stay as they are."""

from __future__ import annotations

import csv
import io
import shutil
import subprocess

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.files import spreadsheet_safe, write_csv
from pipeline.tables.streaming import encode_chunk

# Cells that stay as they are: numbers in any notation, lone signs, and text that no spreadsheet runs.
NOTATIONS = [
    *(
        "-0,5",
        "+3",
        "-1.2e-5",
        "-1.2E-5",
        "−3",
        "-1.234,5",
        "-1,234.5",
        "-.5",
        "+.5",
        "-5.",
        "-inf",
        "nan",
        "-nan",
        "+0",
    ),
    *("－５", "-5%", "-5 %", "-5°C", "-5 °C", "-5mV", "-5 mV", "-5 kJ/mol", "-5 E", "-$5", "-5 €", "+5e3", "-12'345"),
    *("- 5", " -0,5", "-0,5 ", "-1 000", "+49 30 1234", "-1.2×10-5", "-1.2 x 10^-5", "-1,2·10⁻⁵"),
    *("-0.5±0.2", "-0,5 ± 0,2", "+/- 0.2", "+/-0.2", "-3 to -5", "-3..-1"),
]
SIGNS = ["-", "+", "=", "@", "--", "+/-", "-->", "->", "+++", "---", "− ", "－"]
PLAIN = [
    *("C[C@@H](N)C(=O)O", "[Na+].[Cl-]", "CC=O", "C#N", "(-)-menthol", "(+)", "1-2", "1+1", "<-5", "~-5", ">=5", "a=b"),
    *(
        "'=1+1",
        "'='",
        "−OH",
        "{=1+1}",
        "(=1+1)",
        "#N/A",
        "µM",
        "",
        "x ",
        " x",
        'quo"te',
        "com,ma",
        "semi;colon",
        "ta\tb",
    ),
    *("two\nlines", "carriage\rreturn", "a\r=1+1", "a\n=1+1"),
]
# Cells that a spreadsheet would run, or show as an error.
DANGEROUS = [
    *(
        "=1+1",
        "=O",
        "==",
        "=>",
        "=cmd|' /C calc'!A0",
        '=HYPERLINK("http://x";"y")',
        "@foo",
        "@SUM(1)",
        "@@",
        "+1+1",
        "-1+1",
    ),
    *(
        "-1-1",
        "+cmd|' /C calc'!A0",
        "-cmd|' /C calc'!A0",
        "-5+cmd|' /C calc'!A0",
        "-OH",
        "-NH2",
        "+x",
        "-x",
        "-A1",
        "+A1",
    ),
    *(
        "-(1+2)",
        "--1",
        "++1",
        "+-5",
        "-1/2",
        "-1*2",
        "-2^3",
        "-10:30",
        "-5&A1",
        "-SUM(A1)",
        "-5 SUM(A1)",
        "-5%+1",
        "-5!A1",
    ),
    *("\t=1+1", "\r=1+1", "\n=1+1", "\x0b=1", " =1+1", "\u00a0=1+1", "\ufeff=1+1", "\u200b@x"),
    *("＝1+1", "＋A1", "－A1", "＠x", "-50-00-0", '-""', "-{1}", "+'a'!A1", "-1_0", "-" + "1." * 400),
]


@pytest.mark.parametrize("cell", [*NOTATIONS, *SIGNS, *PLAIN])
def test_a_cell_that_nothing_runs_stays_as_it_is(cell):
    assert spreadsheet_safe(cell) == cell


@pytest.mark.parametrize("cell", DANGEROUS)
def test_a_cell_that_would_be_run_is_guarded_once(cell):
    assert spreadsheet_safe(cell) == "'" + cell
    assert spreadsheet_safe("'" + cell) == "'" + cell


@given(
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from(["{}", "{:.3e}", "{:+.2f}", "{:,.1f}", "{:+g} %", " {:g}"]),
)
def test_no_number_is_guarded_in_any_format(value, form):
    text = form.format(value)
    assert len(text) > 60 or spreadsheet_safe(text) == text


@given(st.text(), st.sampled_from(["=", "@", "+", "-", "＝"]))
def test_a_call_or_a_reference_is_guarded_whatever_stands_before(text, start):
    for harm in ("SUM(1)", "A1", "cmd|' /C calc'!A0"):
        cell = start + text + harm
        assert spreadsheet_safe(cell) == "'" + cell


def cells_read_back(data, delimiter=","):
    return [row[0] for row in csv.reader(io.StringIO(data, newline=""), delimiter=delimiter)][1:]


@pytest.mark.parametrize(("form", "delimiter"), [(".csv", ","), (".tsv", "\t")])
def test_cells_of_the_user_come_back_byte_for_byte(form, delimiter):
    cells = [*NOTATIONS, *SIGNS, *PLAIN]
    frame = pd.DataFrame({"cell": cells, "other": "x", "prediction": 1 / 3})
    text = encode_chunk(frame, form, first=True, own=["prediction"]).decode()
    assert cells_read_back(text, delimiter) == cells
    assert "0.333333\n" in text
    assert "0.3333333" not in text


def test_a_carriage_return_in_a_cell_starts_no_row(tmp_path):
    write_csv(tmp_path / "t.csv", pd.DataFrame({"cell": ["a\r=1+1", "b"]}))
    assert pd.read_csv(tmp_path / "t.csv")["cell"].tolist() == ["a\r=1+1", "b"]


def test_numbers_of_the_program_have_the_digits_that_mean_something(tmp_path):
    frame = pd.DataFrame(
        {
            "value": [0.1 + 0.2, 1 / 3, 123456.789, 1e-12 / 3, np.nan, np.inf],
            "count": [1234567.0, 5.0, 12345678901.0, 0.0, np.nan, 1.0],
            "whole": range(6),
            "flag": [True, False] * 3,
            "maybe": pd.array([0.1 + 0.2, None, 1.5, 2.5, 3.5, 4.5], dtype="Float64"),
            "mixed": [0.1 + 0.2, "x", 3, None, True, "=1"],
        }
    )
    write_csv(tmp_path / "t.csv", frame)
    found = pd.read_csv(tmp_path / "t.csv", dtype=str, keep_default_na=False)
    assert found.to_dict("list") == {
        "value": ["0.3", "0.333333", "123457.0", "3.33333e-13", "", "inf"],
        "count": ["1234567.0", "5.0", "12345678901.0", "0.0", "", "1.0"],
        "whole": list("012345"),
        "flag": ["True", "False"] * 3,
        "maybe": ["0.3", "", "1.5", "2.5", "3.5", "4.5"],
        "mixed": ["0.3", "x", "3", "", "True", "'=1"],
    }


def test_numbers_of_the_user_keep_all_digits():
    frame = pd.DataFrame({"mine": [0.1 + 0.2, 12345678.9012345], "prediction": [0.1 + 0.2, 0.5]})
    text = encode_chunk(frame, ".csv", first=False, own=["prediction"]).decode()
    assert text == "0.30000000000000004,0.3\n12345678.9012345,0.5\n"


# -- an actual spreadsheet -------------------------------------------------------------------

_COMMON = "44,34,76,1,,{language},{quoted},{special},false"
IMPORTS = {  # how a user may open the file; the last mark asks to evaluate formulas
    "as text is": _COMMON.format(language=1033, quoted="false", special="false") + ",false,false,0,true",
    "numbers detected": _COMMON.format(language=1033, quoted="false", special="true") + ",false,false,0,true",
    "in German": _COMMON.format(language=1031, quoted="false", special="false") + ",false,false,0,true",
}


def opened_and_saved(folder, path, how):
    """The cells of a CSV file after LibreOffice has read it, as they are shown, and whether they are formulas."""
    soffice = shutil.which("soffice") or shutil.which("libreoffice")
    if not soffice:
        pytest.skip("LibreOffice (soffice) is not installed")
    base = [soffice, f"-env:UserInstallation=file://{folder}/profile", "--headless"]
    base += [f"--infilter=Text - txt - csv (StarCalc):{IMPORTS[how]}"]
    # The sixth mark keeps cells in quotes, the eighth saves them as shown, the ninth formulas as formulas.
    saved = []
    for formulas in ("false", "true"):
        form = f"csv:Text - txt - csv (StarCalc):44,34,76,1,,0,true,false,true,{formulas}"
        subprocess.run(
            [*base, "--convert-to", form, "--outdir", str(folder / "saved"), str(path)],
            check=True,
            capture_output=True,
            timeout=120,
        )
        text = (folder / "saved" / path.name).read_text(encoding="utf-8")
        saved.append([row[1] for row in csv.reader(io.StringIO(text, newline=""))][1:])
    return saved


def as_number(text):
    try:
        return float(text.replace("'", "").replace(" ", "").replace("%", ""))
    except ValueError:
        return None


@pytest.mark.parametrize("how", IMPORTS)
def test_a_spreadsheet_evaluates_nothing_and_changes_no_text(tmp_path, how):
    kept = [cell for cell in (*SIGNS, *PLAIN, *DANGEROUS) if cell == cell.strip() and not set(cell) & set("\r\n\t")]
    frame = pd.DataFrame({"row": [f"r{number}" for number in range(len(kept))], "cell": kept})
    path = tmp_path / "t.csv"
    path.write_bytes(encode_chunk(frame, ".csv", first=True))
    shown, formulas = opened_and_saved(tmp_path, path, how)
    assert shown == formulas == [spreadsheet_safe(cell) for cell in kept]


def test_a_spreadsheet_reads_numbers_as_numbers(tmp_path):
    cells = ["-0.5", "+3", "-1.2e-5", "-5.", "+.5", "-12345.678", "−3", "-5 °C", "-0,5", "+49 30 1234"]
    path = tmp_path / "t.csv"
    path.write_bytes(encode_chunk(pd.DataFrame({"row": range(len(cells)), "cell": cells}), ".csv", first=True))
    shown, formulas = opened_and_saved(tmp_path, path, "as text is")
    assert shown == formulas
    for cell, found in zip(cells, shown, strict=True):
        assert found == cell or as_number(found) == pytest.approx(as_number(cell), rel=1e-6), cell


def test_without_the_guard_the_spreadsheet_would_evaluate(tmp_path):
    (tmp_path / "t.csv").write_text("row,cell\n1,=1+1\n")
    shown, _ = opened_and_saved(tmp_path, tmp_path / "t.csv", "as text is")
    assert shown == ["2"]
