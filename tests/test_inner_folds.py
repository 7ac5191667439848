"""The training rows that are held out in turn, to choose a baseline and to calibrate."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from pipeline.evaluation.estimates import jackknife
from pipeline.models.fitting import FinishedRun
from pipeline.runs.held_out import inner_folds
from tests.conftest import write_table
from tests.test_run import chemtune

pytestmark = pytest.mark.usefixtures("undrawn", "few_trees")


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
    monkeypatch.setattr("pipeline.runs.held_out.INNER_FOLD_ROWS", 10)
    monkeypatch.setattr("pipeline.runs.certainty.LEAST_RESIDUALS", 3)
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


CHAINS = [f"{'C' * (i + 1)}{end}" for i in range(20) for end in ("O", "N", "Cl", "Br", "F", "S", "C#N")]


@pytest.fixture(scope="module")
def chains(tmp_path_factory):
    """A finished run over both ends of the labels, and its folder."""
    folder = tmp_path_factory.mktemp("chains")
    rows = [(text, round(text.count("C") + 0.05 * (number % 9), 2)) for number, text in enumerate(CHAINS)]
    path = write_table(folder / "chains.csv", rows)
    given = ("--smiles", "SMILES", "--target", "value", "--arms", "ridge,knn")
    done = chemtune("run", path, *given, "--split", "random,label-tail", "--out", folder / "out", cwd=folder)
    assert done.returncode == 0, done.stderr
    return folder, given


@pytest.mark.parametrize("split", ["label-high", "label-low"])
def test_a_label_rung_chooses_and_calibrates_beyond_an_inner_edge_of_the_training_labels(chains, split):
    folder, _ = chains
    y = pd.read_csv(folder / "out/splits.csv").query("split == @split").set_index("row_id")
    truth = pd.read_csv(folder / "chains.csv").set_index("SMILES")["value"].loc[y["structure"]].to_numpy()
    y = y.assign(label=truth * (1 if split == "label-high" else -1))
    cells = [json.loads(path.read_text()) for path in (folder / "out/cells").glob("*.json")]
    found = [cell for cell in cells if cell["tags"].get("split") == split and cell["tags"]["arm"] == "ridge"]
    (cell,) = found
    train = y.query("role == 'train'")
    held = np.isfinite(np.array(cell["validation"], dtype=float))
    assert 0.1 < held.mean() < 0.3
    labels = train["label"].to_numpy()
    assert labels[~held].max() <= labels[held].min()
    assert labels.max() < y.query("role == 'test'")["label"].min()


def test_the_report_says_what_was_chosen_beyond_an_edge(chains):
    folder, _ = chains
    report = (folder / "out/report.html").read_text(encoding="utf-8")
    done = "the baseline was chosen and the arms were calibrated on the training rows with the"
    assert f"On label-high, {done} highest labels, predicted from the others." in report
    assert f"On label-low, {done} lowest labels, predicted from the others." in report
    assert "On label-high, label-low much hangs on the draw of the training rows: the baselines are trained 5" in report
    info = json.loads((folder / "out/run.json").read_text())
    assert [card["order"] for card in info["splits"]] == [None, "highest labels", "lowest labels"]


@pytest.mark.parametrize("split", ["random", "label-high"])
def test_the_training_part_of_an_edge_is_what_training_without_each_part_changes(chains, split):
    folder, _ = chains
    cells = [json.loads(path.read_text()) for path in (folder / "out/cells").glob("*.json")]
    of = {cell["tags"]["arm"]: cell for cell in cells if cell["tags"].get("split") == split and "prediction" in cell}
    assert ("without_part" in of["ridge"]) == (split == "label-high")
    truth = pd.read_csv(folder / "chains.csv")["value"]
    rows = pd.read_csv(folder / "out/splits.csv").query("split == @split").set_index("row_id")
    y = truth.to_numpy()[rows.loc[of["ridge"]["row_id"], "line"].to_numpy() - 2]

    def score(predicted):
        return np.abs(y - np.array(predicted)).mean()

    apart = score(of["ridge"]["prediction"]) - score(of["knn"]["prediction"])
    pairs = pd.read_csv(folder / "out/comparisons.csv").query("split == @split").set_index(["arm", "other"])
    (pair,) = [key for key in pairs.index if set(key) == {"ridge", "knn"}]
    sign = 1 if pair == ("ridge", "knn") else -1
    assert pairs.loc[pair, "value"] == pytest.approx(sign * apart, rel=1e-4)
    if split == "random":
        return
    without = [[score(part) for part in of[arm]["without_part"]] for arm in ("ridge", "knn")]
    error, _ = jackknife(np.subtract(*without))
    width = pairs.loc[pair, "high"] - pairs.loc[pair, "low"]
    assert width > 2 * 1.9 * error > 0


def test_intervals_beyond_an_edge_lean_to_the_side_of_the_errors(chains):
    """k nearest neighbours cannot leave the training labels: beyond their upper end the truth lies above."""
    folder, _ = chains
    rows = pd.read_parquet(folder / "out/certainty.parquet").query("arm == 'knn'")
    rows = rows.merge(pd.read_parquet(folder / "out/predictions.parquet").query("arm == 'knn'"), on=["split", "row_id"])
    below = (rows["prediction"] - rows["fixed lower"]).groupby(rows["split"]).mean()
    above = (rows["fixed upper"] - rows["prediction"]).groupby(rows["split"]).mean()
    assert above["label-high"] > 3 * below["label-high"]
    assert below["label-low"] > 3 * above["label-low"]
    assert above["random"] == pytest.approx(below["random"])


def test_a_run_over_the_splits_file_chooses_and_calibrates_the_same_way(chains):
    folder, given = chains
    file = folder / "out/splits.csv"
    done = chemtune("run", folder / "chains.csv", *given, "--split", file, "--out", folder / "again", cwd=folder)
    assert done.returncode == 0, done.stderr
    for name in ("metrics.csv", "intervals.csv"):
        one, two = (pd.read_csv(folder / where / name) for where in ("out", "again"))
        pd.testing.assert_frame_equal(one, two)


def test_a_fit_that_follows_an_edge_says_what_its_intervals_are_for(chains):
    finished = FinishedRun.read(chains[0] / "out")
    verdicts = [{**verdict, "use": "ridge"} for verdict in finished.info["verdicts"]]
    verdicts[0]["use"] = "knn"
    finished = FinishedRun(finished.folder, {**finished.info, "verdicts": verdicts})
    _, said = finished.best_arm("label-low")
    assert "That split tests the lowest labels, beyond the training rows" in said
    assert "too narrow further out" in said
    assert "beyond" not in finished.best_arm("random")[1]
