"""Columns that nobody named are found by their names and cells, and asked about where that is not clear."""

from __future__ import annotations

import csv

import numpy as np
import pandas as pd
import pytest
import yaml

from pipeline.errors import InputError
from pipeline.settings.reading import make_config, merge_settings
from pipeline.tables.guess import guess, guessed, structure_column
from pipeline.tables.reading import read_table
from tests.conftest import SMILES, reaction_rows, write_table
from tests.test_run import chemtune

RNG = np.random.default_rng(0)
NUMBERS = [round(float(value), 2) for value in RNG.normal(size=len(SMILES))]


def table_of(path, **columns):
    frame = pd.DataFrame({name.replace("__", " "): values for name, values in columns.items()})
    frame.to_csv(path, index=False, quoting=csv.QUOTE_MINIMAL)
    return read_table(str(path))


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        ({"SMILES": SMILES, "logS": NUMBERS}, {"smiles": "SMILES", "target": "logS"}),
        (
            {"SMILES": SMILES, "logS (mol/L)": NUMBERS},
            {"smiles": "SMILES", "target": "logS (mol/L)", "units": "log mol/L", "property_name": "logS"},
        ),
        ({"mol": SMILES, "x1": NUMBERS}, {"smiles": "mol", "target": "x1"}),
        (
            {
                "id": range(len(SMILES)),
                "SMILES": SMILES,
                "name": [f"compound {n}" for n in range(len(SMILES))],
                "x": NUMBERS,
            },
            {"smiles": "SMILES", "target": "x"},
        ),
        (
            {"SMILES": SMILES, "MW": [len(s) for s in SMILES], "logP_calc": NUMBERS, "pIC50": NUMBERS},
            {"smiles": "SMILES", "target": "pIC50"},
        ),
        (
            {"SMILES": SMILES, "LogP": NUMBERS, "TPSA": NUMBERS, "Inhibition__(%)": NUMBERS},
            {"smiles": "SMILES", "target": "Inhibition (%)", "units": "%", "property_name": "Inhibition"},
        ),
        (
            {"SMILES": SMILES, "IC50__/__nM": NUMBERS},
            {"smiles": "SMILES", "target": "IC50 / nM", "units": "nM", "property_name": "IC50"},
        ),
        ({"SMILES": SMILES, "year": [2001, 2003] * 24, "x": NUMBERS}, {"smiles": "SMILES", "target": "x"}),
        ({"SMILES": SMILES, "x": ["active", "inactive"] * 24}, {"smiles": "SMILES", "target": "x"}),
        (
            {"SMILES": SMILES, "Ki_nM": NUMBERS},
            {"smiles": "SMILES", "target": "Ki_nM", "units": "nM", "property_name": "Ki"},
        ),
        (
            {"SMILES": SMILES, "solubility__(log__mol/L)": NUMBERS},
            {
                "smiles": "SMILES",
                "target": "solubility (log mol/L)",
                "units": "log mol/L",
                "property_name": "solubility",
            },
        ),
        ({"SMILES": SMILES, "logP__(shake__flask)": NUMBERS}, {"smiles": "SMILES", "target": "logP (shake flask)"}),
    ],
)
def test_columns_are_found(tmp_path, columns, expected):
    assert guess(table_of(tmp_path / "t.csv", **columns)).settings == expected


def test_reactions_are_found(tmp_path):
    path = write_table(tmp_path / "c.csv", reaction_rows(), "halide,amine,base,solvent,rxn,yield")
    found = guess(read_table(str(path)))
    components = ("halide", "amine", "base", "solvent:name")
    assert found.settings == {"reaction": "rxn", "components": components, "target": "yield"}
    config = make_config(str(path), {})
    assert (config.components, config.target, config.yield_unit) == (components, "yield", "percent")


def test_what_is_not_clear_is_asked(tmp_path):
    raw = table_of(tmp_path / "t.csv", SMILES=SMILES, one=NUMBERS, two=NUMBERS[::-1])
    with pytest.raises(InputError, match=r"t\.csv: which column is the target\? .*--target; it may be 'one', 'two'"):
        guessed(raw, "--target")
    raw = table_of(tmp_path / "none.csv", SMILES=SMILES)
    with pytest.raises(InputError, match="no column looks like measured values"):
        guessed(raw, "--target")


def test_numbers_of_rows_and_words_are_no_target(tmp_path):
    raw = table_of(tmp_path / "t.csv", SMILES=SMILES, place=range(1, len(SMILES) + 1), x=NUMBERS)
    assert guess(raw).settings["target"] == "x"


def test_words_that_happen_to_be_smiles_are_no_structures(tmp_path):
    raw = table_of(tmp_path / "t.csv", status=["C", "N"] * 24, drawn=SMILES, x=NUMBERS)
    assert structure_column(raw) == (
        "drawn",
        "'drawn' is taken for the structure: the only column whose cells are SMILES",
    )
    with pytest.raises(InputError, match="which column holds the SMILES"):
        structure_column(table_of(tmp_path / "two.csv", one=SMILES, two=SMILES[::-1], x=NUMBERS))


def test_what_the_user_says_wins_and_each_guess_is_told(tmp_path):
    path = tmp_path / "t.csv"
    table_of(path, drawn=SMILES, Ki_nM=NUMBERS)
    told: list[str] = []
    settings = merge_settings(str(path), {"units": "uM"}, told.append)
    assert (settings["smiles"], settings["target"], settings["units"]) == ("drawn", "Ki_nM", "uM")
    assert told == [
        "Guessed: --smiles drawn (its cells are SMILES)",
        "Guessed: --target Ki_nM (the only column of measured values)",
        "Guessed: --property-name Ki (the name of the column without its units)",
    ]


def test_a_file_of_settings_is_written_and_runs(tmp_path):
    table_of(tmp_path / "my.csv", ID=range(len(SMILES)), drawn=SMILES, Ki_nM=[abs(number) + 1 for number in NUMBERS])
    done = chemtune("init", "my.csv", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "Guessed: --target Ki_nM (the only column of measured values)" in done.stdout
    said = yaml.safe_load((tmp_path / "my.yaml").read_text(encoding="utf-8"))
    assert said == {
        "table": "my.csv",
        "smiles": "drawn",
        "target": "Ki_nM",
        "property_name": "Ki",
        "units": "nM",
        "task": "regression",
        "split": ["random", "scaffold"],
        "arms": ["baselines", "lm-head"],
    }
    again = chemtune("init", "my.csv", cwd=tmp_path)
    assert again.returncode == 2
    assert "my.yaml is there already" in again.stderr
    ran = chemtune("run", "my.yaml", "--arms", "ridge", "--split", "random", cwd=tmp_path)
    assert ran.returncode == 0, ran.stderr
    assert (tmp_path / "runs/my/report.html").exists()


def test_all_that_the_user_says_is_in_the_file(tmp_path):
    """And the file is read as it was meant, from its own folder."""
    values = [">9000" if n % 9 == 0 else round(10 ** (n / 12), 2) for n in range(len(SMILES))]
    table_of(
        tmp_path / "my.csv", Compound=[f"C{n}" for n in range(len(SMILES))], drawn=SMILES, IC50_nM=values, T=NUMBERS
    )
    given = ("--target", "IC50_nM", "--transform", "pIC50", "--bounds", "limit", "--id", "Compound", "--context", "T")
    done = chemtune("init", "my.csv", *given, "-o", "sub/my.yaml", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    said = yaml.safe_load((tmp_path / "sub/my.yaml").read_text(encoding="utf-8"))
    expected = {"table": "../my.csv", "smiles": "drawn", "units": "nM", "transform": "pIC50", "bounds": "limit"}
    assert said.items() >= {**expected, "id": "Compound", "target": "IC50_nM"}.items()
    assert said["context"] == ["T"]
    audited = chemtune("audit", "my.yaml", cwd=tmp_path / "sub")
    assert audited.returncode == 0, audited.stderr
    assert "48 molecules from 48 rows, 0 rows refused" in audited.stdout


def test_refusals_and_unused_columns_are_said(tmp_path):
    values = ["n/a" if n < 3 else number for n, number in enumerate(NUMBERS)]
    table_of(
        tmp_path / "my.csv",
        ID=[f"C{n}" for n in range(len(SMILES))],
        drawn=SMILES,
        logS=values,
        solvent=["a", "b"] * 24,
    )
    done = chemtune("init", "my.csv", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "45 molecules from 48 rows: 3 refused." in done.stdout
    assert "refused 3: missing target" in done.stdout
    text = (tmp_path / "my.yaml").read_text(encoding="utf-8")
    assert "# id: ID" in text
    assert "# context: [solvent]" in text


def test_a_table_without_a_header_is_refused(tmp_path):
    (tmp_path / "my.csv").write_text("\n".join(f"{s},{len(s)}.5" for s in SMILES) + "\n")
    done = chemtune("init", "my.csv", cwd=tmp_path)
    assert done.returncode == 2
    assert "the first line looks like a row, not a header" in done.stderr


def test_a_target_that_is_not_clear_is_refused_without_a_terminal(tmp_path):
    table_of(tmp_path / "my.csv", SMILES=SMILES, one=NUMBERS, two=NUMBERS[::-1])
    done = chemtune("init", "my.csv", cwd=tmp_path)
    assert done.returncode == 2
    assert "it may be 'one', 'two'" in done.stderr
    done = chemtune("init", "my.csv", "--target", "two", "-o", "named.yaml", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert yaml.safe_load((tmp_path / "named.yaml").read_text(encoding="utf-8"))["target"] == "two"


def test_verbs_guess_alike(tmp_path):
    table_of(tmp_path / "my.csv", drawn=SMILES, logS=NUMBERS)
    for verb in (("audit",), ("prompts",), ("run", "--arms", "ridge", "--split", "random"), ("fit", "--arm", "ridge")):
        done = chemtune(verb[0], "my.csv", *verb[1:], "--out", "out-" + verb[0], cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        assert "Guessed: --target logS (the only column of measured values)" in done.stdout
