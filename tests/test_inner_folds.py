"""The training rows that are held out in turn, to choose a baseline and to calibrate."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from pipeline.experiment import inner_folds
from tests.conftest import write_table
from tests.test_run import chemtune


def test_whole_groups_are_held_out_and_never_most_of_the_rows():
    groups = np.array(["large"] * 60 + [f"small {i}" for i in range(40)])
    masks = inner_folds(pd.Series(np.zeros(100)), groups, "regression", 0)
    assert masks
    assert not any(mask[:60].any() for mask in masks)
    assert np.sum(masks, axis=0)[60:].max() == 1
    assert inner_folds(pd.Series(np.zeros(10)), np.array(["one"] * 10), "regression", 0) == []


@pytest.mark.filterwarnings("ignore:invalid value")  # a handful of residuals makes intervals without end
def test_what_a_cell_held_out_is_what_calibrates_it(alcohols, monkeypatch):
    """One hold-out within each of two folds: a row with a residual but without a distance would stop the run."""
    monkeypatch.setattr("pipeline.experiment.INNER_FOLD_ROWS", 10)
    monkeypatch.setattr("pipeline.certainty.LEAST_RESIDUALS", 3)
    given = ("--smiles", "SMILES", "--target", "value", "--split", "random", "--folds", 2, "--arms", "ridge")
    done = chemtune("run", alcohols, *given, "--out", alcohols.parent / "out", cwd=alcohols.parent)
    assert done.returncode == 0, done.stderr
    rows = pd.read_parquet(alcohols.parent / "out/certainty.parquet").query("arm == 'ridge'")
    assert set(rows["fold"]) == {0, 1}
    assert (rows["by distance upper"] > rows["by distance lower"]).all()


def test_a_run_of_the_constant_alone_says_so(alcohols):
    given = ("--smiles", "SMILES", "--target", "value", "--split", "random", "--arms", "mean", "--test-size", "0.4")
    done = chemtune("run", alcohols, *given, "--out", alcohols.parent / "out", cwd=alcohols.parent)
    assert done.returncode == 0, done.stderr
    assert "there is nothing to compare: no arm but predicting the training mean was run" in done.stdout


def test_a_baseline_is_chosen_where_the_training_rows_are_one_group(tmp_path):
    """The lab of all training rows is one: without a fall-back nothing would be held out, and the mean be preferred."""
    rows = [(f"{'C' * (i + 1)}O", i + 1.0, "here" if i < 30 else "there") for i in range(42)]
    path = write_table(tmp_path / "labs.csv", rows, "SMILES,value,lab")
    given = ("--smiles", "SMILES", "--target", "value", "--split", "group:lab", "--arms", "ridge", "--test-size", "0.3")
    done = chemtune("run", path, *given, "--out", tmp_path / "out", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    info = json.loads((tmp_path / "out/run.json").read_text())
    assert info["splits"][0]["groups"] == 2
    assert info["preferred_baseline"]["group:lab"] == {"0/0": "ridge"}
