"""Models that an earlier version saved, whose files name modules that stand elsewhere now."""

from __future__ import annotations

import shutil
from pathlib import Path

import pandas as pd
import pytest

from tests.test_run import chemtune

BEFORE = Path(__file__).parent / "written_before"


@pytest.mark.parametrize(
    ("arm", "table"),
    [
        ("ridge", "chains.csv"),
        ("knn", "chains.csv"),
        ("components-gp", "couplings.csv"),
        ("popularity", "couplings.csv"),
    ],
)
def test_a_model_that_was_saved_before_predicts_as_it_did(arm, table, tmp_path):
    shutil.copytree(BEFORE / arm, tmp_path / arm)
    columns = ("--smiles", "SMILES") if table == "chains.csv" else ()
    done = chemtune("predict", arm, BEFORE / table, *columns, "--out", "found.csv", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    found, expected = (pd.read_csv(path) for path in (tmp_path / "found.csv", BEFORE / f"{arm}.csv"))
    pd.testing.assert_frame_equal(found, expected, rtol=1e-9)
