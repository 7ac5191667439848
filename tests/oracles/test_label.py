"""``chemtune label``: a table of the user's, with the values of an oracle beside its columns."""

from __future__ import annotations

import hashlib
import json

import pandas as pd
import pytest

from pipeline.oracles.built_in import BUILT_IN
from pipeline.oracles.logp import logp
from tests.conftest import write_table
from tests.oracles.test_oracles import COUNTED, asked, own  # noqa: F401 (a fixture)
from tests.test_run import chemtune
from tests.test_terminal import SCREEN, help_of

ROWS = "id;SMILES;logP;note\n1;CCO;9;=1+1\n2;not a molecule;;\n3;OCC;0,5;\n4;CC(=O)[O-].[Na+];;x\n5;C;1;y;more;cells\n"


@pytest.fixture
def mine(tmp_path, monkeypatch):
    monkeypatch.setenv("CHEMTUNE_CACHE", str(tmp_path / "cache"))
    path = tmp_path / "mine.csv"
    path.write_text(ROWS, encoding="utf-8")
    return path


def test_a_table_is_written_again_with_values_and_reasons(mine):
    before = hashlib.sha256(mine.read_bytes()).hexdigest()
    done = chemtune("label", "logp", mine, cwd=mine.parent)
    assert done.returncode == 0, done.stderr
    assert "3 of 5 rows have a value of logp (column 'chemtune_logP'). Written: mine-logP.csv" in done.stdout
    assert "1 without: unparsable SMILES" in done.stdout
    written = pd.read_csv(mine.parent / "mine-logP.csv", dtype=str, keep_default_na=False)
    assert list(written) == ["id", "SMILES", "logP", "note", "chemtune_logP", "reason"]
    assert list(written["id"]) == list("12345")
    assert list(written["logP"]) == ["9", "", "0,5", "", "1"]
    assert list(written["chemtune_logP"]) == ["-0.0014", "", "-0.0014", f"{logp('CC(=O)[O-].[Na+]'):.6g}", ""]
    assert list(written["reason"]) == ["", "unparsable SMILES", "", "", "row has 6 cells where the header has 4"]
    assert hashlib.sha256(mine.read_bytes()).hexdigest() == before
    assert {path.name for path in mine.parent.iterdir()} == {"mine.csv", "mine-logP.csv", "cache"}


def test_the_largest_fragment_is_computed_where_asked_for(mine):
    done = chemtune("label", "logp", mine, "--largest-fragment", "-o", "out/l.parquet", "--json", cwd=mine.parent)
    assert done.returncode == 0, done.stderr
    written = pd.read_parquet(mine.parent / "out/l.parquet")
    assert written["chemtune_logP"][3] == pytest.approx(logp("CC(=O)[O-]"))
    found = json.loads(done.stdout)
    assert (found["rows"], found["with_value"], found["out"]) == (5, 3, "out/l.parquet")
    assert found["version"].startswith("Crippen, rdkit ")


def test_an_own_function_labels_a_table_and_is_not_asked_again(own, tmp_path):  # noqa: F811
    name = f"{own(COUNTED)}:counted"
    write_table(tmp_path / "t.csv", [("CCO", 1), ("CS", 2), ("CN", 3)])
    for times in (1, 2):
        done = chemtune("label", name, "t.csv", "--seconds", 0.5, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        written = pd.read_csv(tmp_path / "t-counted.csv")
        assert written["counted"].isna().tolist() == [False, True, True]
        assert written["reason"][1] == "the oracle took longer than 0.5 s"
        assert [asked(tmp_path).count(smiles) for smiles in ("CCO", "CN", "CS")] == [1, 1, times]


def test_values_are_the_same_in_chunks(tmp_path, monkeypatch):
    monkeypatch.setenv("CHEMTUNE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("pipeline.oracles.labelling.CHUNK_ROWS", 2)
    write_table(tmp_path / "t.csv", [("C" * n, n) for n in range(1, 6)])
    done = chemtune("label", "logp", "t.csv", "--workers", 2, "-o", "o.tsv.gz", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    written = pd.read_csv(tmp_path / "o.tsv.gz", sep="\t")
    assert len(written) == 5
    assert written["logP"].diff().dropna().tolist() == pytest.approx([0.3901] * 4)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("logp", "mine.csv", "-o", "mine.csv"), "is the input itself"),
        (("logp", "mine.csv", "-o", "mine.txt"), "the name must end in"),
        (("logp", "mine.csv", "--smiles", "SMILE"), "did you mean 'SMILES'?"),
        (("logp", "absent.csv"), "no such file"),
        (("logq", "mine.csv"), "did you mean 'logp'?"),
        (("absent_module:f", "mine.csv"), "absent_module cannot be imported"),
        (("logp", "mine.csv", "--seconds", "0"), "it must be more than 0"),
    ],
)
def test_what_is_wrong_is_one_line(mine, arguments, words):
    done = chemtune("label", *arguments, cwd=mine.parent)
    assert done.returncode == 2
    assert words in " ".join(done.stderr.split())
    assert mine.read_text(encoding="utf-8") == ROWS


def test_the_help_names_each_oracle_and_what_it_needs(tmp_path):
    text = help_of("label", "-h")
    assert len(text.strip().splitlines()) <= SCREEN
    listed = chemtune("label", "--list", cwd=tmp_path).stdout
    for shown in (" ".join(text.split()), " ".join(listed.split())):
        for name, row in BUILT_IN.items():
            assert name in shown
            assert row.needs in shown
        assert "MODULE:FUNCTION" in shown
