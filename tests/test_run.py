"""The command as a user types it, on small tables and a random two-layer model."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import io
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from unittest import mock

import numpy as np
import pandas as pd
import pytest

from pipeline.arms.ladder import MEANS
from pipeline.arms.language_model import FrozenRegressor
from tests.conftest import CHAINS, SMILES, tiny_model_folder, write_table

pytestmark = pytest.mark.usefixtures("few_trees")

FAST = "knn,ridge,rf-bits"


def chemtune(*arguments, cwd: Path, env=None):
    """The command in this process: its parsing, output and exit status without the seconds of its start."""
    from pipeline import cli

    out, err, status = io.StringIO(), io.StringIO(), 0
    with (
        mock.patch.object(sys, "argv", ["chemtune", *map(str, arguments)]),
        mock.patch.dict(os.environ, env or {}),
        contextlib.chdir(cwd),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        try:
            cli.entry()
        except SystemExit as end:
            status = int(end.code or 0)
    return subprocess.CompletedProcess(arguments, status, out.getvalue(), err.getvalue())


def chemtune_afresh(*arguments, cwd: Path):
    """The command in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "pipeline.cli", *map(str, arguments)],
        cwd=cwd,
        env={**os.environ, "HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
        timeout=1200,
        check=False,
    )


def run_small(path, out, *more, arms=FAST, cwd=None):
    return chemtune(
        "run",
        path,
        "--smiles",
        "SMILES",
        "--target",
        "value",
        "--arms",
        arms,
        "--out",
        out,
        *more,
        cwd=cwd or path.parent,
    )


def test_a_run_leaves_all_that_is_promised(alcohols, tiny_folder):
    out = alcohols.parent / "out"
    before = hashlib.sha256(alcohols.read_bytes()).digest()
    arms = "all"
    done = run_small(alcohols, out, "--model", tiny_folder, "--steps", 5, "--keep-models", "--units", "u", arms=arms)
    assert done.returncode == 0, done.stderr
    assert "On the random split" in done.stdout
    for name in (
        "config.yaml",
        "refused.csv",
        "splits.csv",
        "predictions.parquet",
        "metrics.csv",
        "comparisons.csv",
        "intervals.csv",
        "signals.csv",
        "certainty.parquet",
        "run.json",
        "report.html",
    ):
        assert (out / name).stat().st_size > 0, name
    frame = pd.read_parquet(out / "predictions.parquet")
    assert {
        "cell_id",
        "dataset",
        "row_id",
        "split",
        "repeat",
        "fold",
        "seed",
        "arm",
        "truth",
        "prediction",
        "lower",
        "upper",
        "parse_failed",
    } <= set(frame.columns)
    sizes = frame.groupby(["split", "arm"])["row_id"].apply(lambda ids: tuple(sorted(ids)))
    assert all(sizes[split].nunique() == 1 for split in ("random", "scaffold"))
    assert frame["arm"].nunique() == 14
    info = json.loads((out / "run.json").read_text())
    assert info["versions"]["torch"]
    assert all(cell["seconds"] >= 0 and cell["peak_mb"] > 0 for cell in info["cells"])
    intervals, signals = pd.read_csv(out / "intervals.csv"), pd.read_csv(out / "signals.csv")
    assert set(intervals["method"]) == {"fixed", "by distance", "by spread", "own"}
    assert set(intervals.query("method == 'own'")["arm"]) == {"gp", "lm-text"}
    assert not set(intervals.query("method == 'fixed'")["arm"]) & {"lm-head", "blend"}  # without --calibrate-lm
    assert set(signals["signal"]) == {"distance", "hidden distance", "spread", "own"}
    sure = pd.read_parquet(out / "certainty.parquet").query("arm == 'ridge' and split == 'random'")
    truth = frame.query("arm == 'ridge' and split == 'random'").set_index("row_id")["truth"].loc[sure["row_id"]]
    inside = (truth.to_numpy() >= sure["fixed lower"]) & (truth.to_numpy() <= sure["fixed upper"])
    stated = intervals.query("split == 'random' and arm == 'ridge' and method == 'fixed' and metric == 'coverage'")
    assert stated["value"].item() == pytest.approx(inside.mean())
    assert sure["distance"].between(0, 1).all()
    adapters = list((out / "models").glob("*lm-head.safetensors"))
    assert adapters
    assert all(path.stat().st_size < 5_000_000 for path in adapters)
    assert list((out / "models").glob("*gp.skops"))
    assert hashlib.sha256(alcohols.read_bytes()).digest() == before
    ensemble = frame[frame["arm"] == "ensemble"].set_index(["split", "row_id"])["prediction"]
    members = frame[frame["arm"].isin(MEANS["ensemble"])].groupby(["split", "row_id"])["prediction"].mean()
    np.testing.assert_allclose(ensemble.sort_index(), members.sort_index())


def test_two_folders_get_identical_predictions_and_a_second_run_fits_nothing(alcohols, tiny_folder):
    frames = []
    for name, command in (("a", chemtune), ("b", chemtune_afresh)):
        options = ("--smiles", "SMILES", "--target", "value", "--arms", "knn,lm-head,lm-text")
        where = ("--out", alcohols.parent / name)
        done = command("run", alcohols, *options, "--model", tiny_folder, "--steps", 3, *where, cwd=alcohols.parent)
        assert done.returncode == 0, done.stderr
        frames.append(pd.read_parquet(alcohols.parent / name / "predictions.parquet"))
    pd.testing.assert_frame_equal(*frames)
    cells = {path: path.stat().st_mtime_ns for path in (alcohols.parent / "a/cells").glob("*.json")}
    again = run_small(alcohols, alcohols.parent / "a", "--model", tiny_folder, "--steps", 3, arms="knn,lm-head,lm-text")
    assert again.returncode == 0
    assert {path: path.stat().st_mtime_ns for path in (alcohols.parent / "a/cells").glob("*.json")} == cells


def test_a_change_of_data_setting_version_or_code_misses_the_cell(alcohols, monkeypatch):
    from pipeline.cells import cell
    from pipeline.reporter import Reporter
    from pipeline.runs.context import Machine
    from pipeline.runs.fits import fit_cell
    from pipeline.runs.prepare import prepare
    from pipeline.settings.reading import make_config

    def name(path=alcohols, **changes):
        config = make_config(str(path), {"smiles": "SMILES", "target": "value", "arms": "ridge", "out": "x", **changes})
        run = prepare(config, Reporter())
        return fit_cell(run, Machine(1), run.splits[0], run.splits[0].folds[0], "ridge").id

    first = name()
    assert name() == first
    assert name(seed=1) != first
    assert name(units="g") != first
    lines = alcohols.read_text().splitlines()
    changed = alcohols.with_name("changed.csv")
    changed.write_text("\n".join([*lines[:-1], lines[-1].split(",")[0] + ",99.5"]) + "\n")
    assert name(changed) != first
    monkeypatch.setattr(cell, "versions", lambda: {"torch": "0"})
    assert name() != first
    monkeypatch.undo()
    monkeypatch.setattr("pipeline.runs.fits.code_of", lambda *roots: "other")
    assert name() != first


def test_language_model_settings_miss_the_cell(alcohols, tiny_folder, monkeypatch):
    from pipeline.lm import pretrained
    from pipeline.reporter import Reporter
    from pipeline.runs.context import Machine
    from pipeline.runs.fits import fit_cell
    from pipeline.runs.prepare import prepare
    from pipeline.settings.reading import make_config

    adapter = pretrained.PretrainedAdapter("x", "abc", layers=5, rank=16, alpha=32, molecules=1, corpus=("x",))
    monkeypatch.setattr(pretrained, "ADAPTERS", {str(tiny_folder): adapter})

    def key(**changes):
        given = {
            "smiles": "SMILES",
            "target": "value",
            "arms": "lm-head",
            "model": str(tiny_folder),
            "out": "x",
            **changes,
        }
        run = prepare(make_config(str(alcohols), given), Reporter())
        return fit_cell(run, Machine(1, "float32"), run.splits[0], run.splits[0].folds[0], "lm-head").inputs

    assert key() == key()
    assert key(steps=7) != key()
    assert key(template="Tell me the {property} of {molecule}?") != key()
    assert key(start="plain") != key()


def test_a_test_label_changes_no_prediction_and_no_choice(alcohols):
    """Everything learned, the choice of the baseline included, comes from training rows."""
    out = alcohols.parent / "one"
    assert run_small(alcohols, out, "--split", "random").returncode == 0
    splits = pd.read_csv(out / "splits.csv")
    tested = set(splits[splits["role"] == "test"]["row_id"])
    from pipeline.tables.molecules import parse_molecule

    rows = [line.split(",") for line in alcohols.read_text().splitlines()[1:]]
    shifted = [(s, float(v) + (50 if parse_molecule(s).identity in tested else 0)) for s, v in rows]
    other = write_table(alcohols.parent / "shifted.csv", shifted)
    assert run_small(other, alcohols.parent / "two", "--split", "random").returncode == 0
    one, two = (pd.read_parquet(alcohols.parent / n / "predictions.parquet") for n in ("one", "two"))
    np.testing.assert_array_equal(one["prediction"], two["prediction"])
    bounds = [pd.read_parquet(alcohols.parent / n / "certainty.parquet") for n in ("one", "two")]
    pd.testing.assert_frame_equal(*bounds)
    assert "fixed upper" in bounds[0]
    chosen = [json.loads((alcohols.parent / n / "run.json").read_text())["preferred_baseline"] for n in ("one", "two")]
    assert chosen[0] == chosen[1]


def test_classes_bins_and_folds(alcohols):
    done = run_small(alcohols, alcohols.parent / "bins", "--bins", 2, "--folds", 3, "--split", "random")
    assert done.returncode == 0, done.stderr
    frame = pd.read_parquet(alcohols.parent / "bins/predictions.parquet")
    assert {"p_0", "p_1", "fold"} <= set(frame.columns)
    assert set(frame["arm"]) == {"majority", "knn", "ridge", "rf-bits"}
    metrics = pd.read_csv(alcohols.parent / "bins/metrics.csv")
    assert {"auroc", "auprc", "mcc", "recall", "balanced_accuracy", "brier", "accuracy"} == set(metrics["metric"])


def test_repeats_have_seeds_of_their_own_and_all_pairs_are_compared(alcohols, tiny_folder):
    out = alcohols.parent / "out"
    given = ("--split", "random", "--folds", 2, "--repeats", 2, "--model", tiny_folder, "--steps", 2)
    done = run_small(alcohols, out, *given, "--margin", 0.5, arms="ridge,knn,lm-head")
    assert done.returncode == 0, done.stderr
    assert "random, repeat 2, fold 1" in done.stdout
    info = json.loads((out / "run.json").read_text())
    assert {(cell["repeat"], cell["fold"]): cell["seed"] for cell in info["cells"]} == {
        (0, 0): 0,
        (0, 1): 1,
        (1, 0): 2,
        (1, 1): 3,
    }
    assert info["margins"] == {"random": 0.5}
    assert info["primary"] == "lm-head"
    assert info["training_seeds"] == []  # each division has a seed of its own
    predictions = pd.read_parquet(out / "predictions.parquet")
    error = (predictions["truth"] - predictions["prediction"]).abs()
    divided = (
        error.groupby([predictions["arm"], predictions["repeat"], predictions["fold"]]).mean().unstack(level="arm")
    )
    metrics = pd.read_csv(out / "metrics.csv").query("metric == 'mae'").set_index("arm")["value"]
    assert metrics["ridge"] == pytest.approx(divided["ridge"].mean(), rel=1e-5)
    pairs = pd.read_csv(out / "comparisons.csv").set_index(["arm", "other"])
    arms = {"mean", "ridge", "knn", "lm-head"}
    among_arms = [pair for pair in pairs.index if set(pair) <= arms]
    assert len(among_arms) == len(set(map(frozenset, among_arms))) == 6
    turned = -1 if ("lm-head", "ridge") in pairs.index else 1
    pair = pairs.loc[("lm-head", "ridge") if turned < 0 else ("ridge", "lm-head")]
    assert turned * pair["value"] == pytest.approx((divided["ridge"] - divided["lm-head"]).mean(), rel=1e-4)
    of_constant = ["mean" in pair for pair in pairs.index]
    assert (pairs["margin"][of_constant] == 0.0).all()
    assert (pairs["margin"][~np.array(of_constant)] == 0.5).all()
    assert set(pairs["family"]) <= {"primary", "planned", "other"}
    report = (out / "report.html").read_text()
    assert "every arm compared with every other" in report
    assert "each division has a training seed of its own" in report


def test_language_models_are_calibrated_where_asked_and_never_the_preferred_baseline(alcohols, tiny_folder):
    given = ("--split", "random", "--model", tiny_folder, "--steps", 2, "--calibrate-lm")
    done = run_small(alcohols, alcohols.parent / "out", *given, "--bins", 2, arms="ridge,lm-head,lm-text")
    assert done.returncode == 0, done.stderr
    intervals = pd.read_csv(alcohols.parent / "out/intervals.csv")
    assert set(intervals["metric"]) == {"ece", "ece_if_perfect", "brier", "log_loss"}
    assert {"lm-head", "lm-text"} <= set(intervals.query("method == 'raw'")["arm"])
    info = json.loads((alcohols.parent / "out/run.json").read_text())
    assert set(info["preferred_baseline"]["random"].values()) <= {"ridge", "majority"}
    numbers = run_small(alcohols, alcohols.parent / "numbers", *given, arms="ridge,lm-head")
    assert numbers.returncode == 0, numbers.stderr
    # a fifth of 38 training rows are held out, under the twenty that an interval asks for
    assert "lm-head" not in set(pd.read_csv(alcohols.parent / "numbers/intervals.csv")["arm"])


def test_with_fewer_training_rows_no_other_row_is_read(alcohols, tiny_folder, monkeypatch):
    read, states = [], FrozenRegressor.states
    monkeypatch.setattr(FrozenRegressor, "states", lambda self, X: read.append(list(X.index)) or states(self, X))
    given = ("--split", "random", "--model", tiny_folder, "--steps", 2, "--n-train", 20)
    done = run_small(alcohols, alcohols.parent / "few", *given, arms="ridge,lm-head")
    assert done.returncode == 0, done.stderr
    divided = pd.read_csv(alcohols.parent / "few/splits.csv").query("role in ['train', 'test']")
    assert read == [sorted(divided["row_id"])]
    assert len(read[0]) < 48


@pytest.mark.parametrize(("bins", "calibrated"), [(0, False), (0, True), (2, True)])
def test_a_blend_takes_of_the_language_model_what_it_earned_on_held_out_rows(tmp_path, tiny_folder, bins, calibrated):
    given = ("--split", "random", "--model", tiny_folder, "--steps", 2, "--bins", bins)
    given += ("--calibrate-lm",) if calibrated else ()
    done = run_small(write_table(tmp_path / "t.csv", CHAINS), tmp_path / "out", *given, arms="ensemble,lm-head,blend")
    assert done.returncode == 0, done.stderr
    cells = json.loads((tmp_path / "out/run.json").read_text())["cells"]
    (share,) = [cell.get("share") for cell in cells if cell["arm"] == "blend"]
    predicted = pd.read_parquet(tmp_path / "out/predictions.parquet")
    values = next((column for column in predicted if column.startswith("p_")), "prediction")
    by_arm = predicted.pivot(index="row_id", columns="arm", values=values).astype(float)
    part = share["value"] if calibrated else 0.5
    np.testing.assert_allclose(by_arm["blend"], (1 - part) * by_arm["ensemble"] + part * by_arm["lm-head"])
    assert ("What the language model adds" in (tmp_path / "out/report.html").read_text()) == calibrated
    if calibrated:
        assert 0 <= share["low"] <= share["value"] <= share["high"] <= 1
        assert share["n"] >= 10


def test_three_classes_with_every_kind_of_arm(tmp_path, tiny_folder):
    rows = [(s, "abc"[i % 3]) for i, s in enumerate(SMILES)]
    path = write_table(tmp_path / "t.csv", rows)
    done = run_small(path, tmp_path / "out", "--split", "random", "--model", tiny_folder, "--steps", 3, arms="all")
    assert done.returncode == 0, done.stderr
    frame = pd.read_parquet(tmp_path / "out/predictions.parquet")
    np.testing.assert_allclose(frame[["p_a", "p_b", "p_c"]].sum(axis=1), 1.0, atol=1e-6)


def test_context_reaches_baselines_and_prompts(tmp_path, tiny_folder):
    rows = [(s, i % 2 * 10 + 0.01 * i, ("MeCN", "hexane")[i % 2], 20 + i) for i, s in enumerate(SMILES)]
    path = write_table(tmp_path / "t.csv", rows, "SMILES,value,solvent,temperature")
    done = run_small(
        path,
        tmp_path / "out",
        "--split",
        "random",
        "--context",
        "solvent,temperature",
        "--model",
        tiny_folder,
        "--steps",
        3,
        arms="ridge,knn,ngram-ridge,lm-head,lm-text",
    )
    assert done.returncode == 0, done.stderr
    shown = chemtune("prompts", path, "--smiles", "SMILES", "--target", "value", "--context", "solvent", cwd=tmp_path)
    assert "solvent MeCN?" in shown.stdout


@pytest.mark.slow
def test_killed_at_random_moments_it_ends_with_the_same_numbers(alcohols, tiny_folder):
    options = [
        "run",
        alcohols,
        "--smiles",
        "SMILES",
        "--target",
        "value",
        "--arms",
        "knn,rf-bits,lm-head",
        "--model",
        tiny_folder,
        "--steps",
        30,
    ]
    assert chemtune(*options, "--out", "whole", cwd=alcohols.parent).returncode == 0
    command = [sys.executable, "-m", "pipeline.cli", *map(str, options), "--out", "killed"]
    rng = np.random.default_rng(int(time.time()))
    for _ in range(3):
        process = subprocess.Popen(command, cwd=alcohols.parent, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(float(rng.uniform(4, 12)))
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert chemtune(*options, "--out", "killed", cwd=alcohols.parent).returncode == 0
    whole, killed = (pd.read_parquet(alcohols.parent / n / "predictions.parquet") for n in ("whole", "killed"))
    pd.testing.assert_frame_equal(whole, killed)
    assert (alcohols.parent / "whole/metrics.csv").read_text() == (alcohols.parent / "killed/metrics.csv").read_text()


def test_a_full_disk_is_one_line_and_finished_cells_stay(alcohols, monkeypatch):
    from pipeline.cells import store as cells

    write, written = cells.write_atomically, []

    def full_after_two(path, content):
        nonlocal written
        if len(written) == 2:
            raise OSError(errno.ENOSPC, "No space left on device")
        written += [path] if path.parent.name == "cells" else []
        write(path, content)

    monkeypatch.setattr(cells, "write_atomically", full_after_two)
    out = alcohols.parent / "out"
    done = run_small(alcohols, out)
    assert done.returncode == 2
    assert "the disk is full" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    kept = {path: path.stat().st_mtime_ns for path in (out / "cells").glob("*.json")}
    assert len(kept) == 2
    monkeypatch.undo()
    assert run_small(alcohols, out).returncode == 0
    assert all(path.stat().st_mtime_ns == stamp for path, stamp in kept.items())


def test_a_damaged_cell_is_made_again(alcohols):
    out = alcohols.parent / "out"
    assert run_small(alcohols, out).returncode == 0
    before = pd.read_parquet(out / "predictions.parquet")
    cell = next((out / "cells").glob("*.json"))
    cell.write_text(cell.read_text()[:40])
    assert run_small(alcohols, out).returncode == 0
    pd.testing.assert_frame_equal(before, pd.read_parquet(out / "predictions.parquet"))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nowhere.csv", "--target", "value"], "no such file"),
        (["alcohols.csv", "--target", "valeu"], "did you mean 'value'"),
        (["alcohols.csv", "--target", "value", "--smiles", "SMILE"], "did you mean 'SMILES'"),
        (["two.csv"], "--target"),
        (["alcohols.csv", "--target", "value", "--arms", "lightgmb"], "did you mean 'lightgbm'"),
        (["alcohols.csv", "--target", "value", "--split", "scafold"], "did you mean 'scaffold'"),
        (["alcohols.csv", "--target", "value", "--model", "smollm2"], "did you mean 'smollm2-135m'"),
        (["alcohols.csv", "--target", "value", "--arms", "knn", "--folds", "60"], "60 folds need"),
        (["alcohols.csv", "--target", "value", "--budget", "soon"], "budget"),
        (["alcohols.csv", "--target", "value", "--template", "what?"], "molecule"),
        (["settings.yaml"], "did you mean 'target'"),
        (["broken.yaml"], "YAML"),
        (["empty.csv", "--target", "value"], "empty"),
        (["header.csv", "--target", "value"], "no rows"),
        (["binary.csv", "--target", "value"], "binary"),
        (["constant.csv", "--target", "value"], "same value"),
    ],
)
def test_bad_input_is_one_clear_line_and_status_2(alcohols, arguments, words):
    folder = alcohols.parent
    (folder / "settings.yaml").write_text("table: alcohols.csv\ntargt: value\n")
    (folder / "broken.yaml").write_text("table: [alcohols\n")
    (folder / "empty.csv").write_text("")
    (folder / "header.csv").write_text("SMILES,value\n")
    (folder / "binary.csv").write_bytes(bytes(range(256)) * 4)
    write_table(folder / "constant.csv", [(s, 1) for s in SMILES])
    write_table(folder / "two.csv", [(s, n % 5, n * n % 7) for n, s in enumerate(SMILES)], "SMILES,one,two")
    if arguments[0] == "constant.csv":
        arguments = [*arguments, "--task", "regression"]
    done = chemtune("run", *arguments, cwd=folder)
    assert done.returncode == 2, done.stdout + done.stderr
    assert words in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert "Traceback" not in done.stderr


def test_without_weights_and_network_the_baselines_still_run(alcohols, tmp_path):
    """An unreachable index stands for no network."""
    env = {
        "CHEMTUNE_CACHE": str(tmp_path / "none"),
        "PIP_INDEX_URL": "http://127.0.0.1:9/simple",
        "PIP_RETRIES": "0",
        "PIP_NO_INDEX": "1",
        "PIP_FIND_LINKS": str(tmp_path),
    }
    options = ["run", alcohols, "--smiles", "SMILES", "--target", "value", "--out", "out"]
    done = chemtune(*options, "--arms", "lm-head", cwd=alcohols.parent, env=env)
    assert done.returncode == 2
    assert "pip download" in done.stderr
    assert "--arms baselines" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    done = chemtune(*options, "--arms", FAST, cwd=alcohols.parent, env=env)
    assert done.returncode == 0, done.stderr


def test_a_molecule_longer_than_the_context_is_refused_for_all_arms(alcohols, tmp_path):
    model = tiny_model_folder(tmp_path / "short", context=60)
    with alcohols.open("a") as file:
        file.write("C" * 80 + ",80\n")
    done = run_small(alcohols, tmp_path / "out", "--model", model, "--steps", 2, arms="knn,lm-head")
    assert done.returncode == 0, done.stderr
    refused = pd.read_csv(tmp_path / "out/refused.csv")
    assert refused["line"].tolist() == [50]
    assert "tokens" in refused["reason"][0]
    assert pd.read_parquet(tmp_path / "out/predictions.parquet").groupby(["split", "arm"]).size().nunique() == 1


@pytest.mark.parametrize("n", [100, 300, 1_000, 10_000])
def test_a_budget_lengthens_no_training(n):
    from pipeline.lm.defaults import training_settings
    from pipeline.runs.budget import STEP_LIMITS

    for steps in STEP_LIMITS:
        if steps < training_settings(n, "lm-head").steps:
            assert steps <= training_settings(n, "lm-text").steps


def test_a_budget_leaves_out_and_says_so(alcohols, tiny_folder):
    done = run_small(
        alcohols, alcohols.parent / "out", "--model", tiny_folder, "--budget", "1s", arms="knn,gp,lm-head,lm-text"
    )
    assert done.returncode == 0, done.stderr
    assert "Left out for the budget of 1s" in done.stdout
    info = json.loads((alcohols.parent / "out/run.json").read_text())
    assert info["left_out"]
    report = (alcohols.parent / "out/report.html").read_text()
    assert info["left_out"][0].split(":")[0] in report


def test_text_of_the_table_cannot_become_markup(tmp_path):
    evil = "<script>alert(1)</script>"
    rows = [*((s, i) for i, s in enumerate(SMILES)), (evil, 1), ("C", "=cmd()")]
    path = write_table(tmp_path / "t.csv", rows)
    done = run_small(path, tmp_path / "out", "--property-name", evil, "--units", "<b>u</b>")
    assert done.returncode == 0, done.stderr
    page = (tmp_path / "out/report.html").read_text()
    assert page.count("<script") == 1  # that of the page
    assert "alert(1)</script>" not in page
    assert "<b>u</b>" not in page
    assert "'=cmd()" in (tmp_path / "out/refused.csv").read_text()


def test_audit_data_models_and_prompts_speak(alcohols):
    done = chemtune("audit", alcohols, "--target", "value", "--out", "audit", cwd=alcohols.parent)
    assert done.returncode == 0, done.stderr
    assert "48 molecules from 48 rows" in done.stdout
    assert json.loads((alcohols.parent / "audit/audit.json").read_text())["molecules"] == 48
    done = chemtune("prompts", alcohols, "--target", "value", "--out", "pairs.jsonl", cwd=alcohols.parent)
    assert "What is the value of" in done.stdout
    lines = (alcohols.parent / "pairs.jsonl").read_text().splitlines()
    assert len(lines) == 48
    assert set(json.loads(lines[0])) == {"prompt", "completion"}
    assert "photoswitch" in chemtune("data", cwd=alcohols.parent).stdout
    assert "smollm2-135m" in chemtune("models", cwd=alcohols.parent).stdout
    for verb in ([], ["run"], ["audit"], ["prompts"]):
        assert "Usage" in chemtune(*verb, "--help", cwd=alcohols.parent).stdout


def test_yaml_settings_and_the_command_line_wins(alcohols):
    (alcohols.parent / "run.yaml").write_text(
        "table: alcohols.csv\nsmiles: SMILES\ntarget: value\narms: [knn]\nsplit: [random]\nseed: 3\n"
    )
    done = chemtune("run", "run.yaml", "--seed", 5, "--out", "out", cwd=alcohols.parent)
    assert done.returncode == 0, done.stderr
    stored = (alcohols.parent / "out/config.yaml").read_text()
    assert "seed: 5" in stored
    assert "- knn" in stored


def test_a_machine_on_which_rdkit_cannot_draw_is_told_so_before_anything_is_computed(alcohols, tmp_path):
    code = "import sys; sys.modules['rdkit.Chem.Draw.rdMolDraw2D'] = None; from pipeline.cli import entry; entry()"
    done = subprocess.run(
        [sys.executable, "-c", code, "run", alcohols, "--target", "value", "--arms", "ridge", "--out", "out"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert re.fullmatch(
        r"chemtune: RDKit cannot draw molecules .*apt-get install libxrender1 libxext6\)\n", done.stderr
    )
    assert not (tmp_path / "out").exists()


def test_how_far_text_may_reach_follows_from_the_training_labels_alone(alcohols, tiny_folder):
    """Test labels far up change no prediction; they are out of reach, and that is said."""
    given = ("--split", "label-high", "--model", tiny_folder, "--steps", 2)
    first = run_small(alcohols, alcohols.parent / "one", *given, arms="ridge,lm-text")
    assert first.returncode == 0, first.stderr
    splits = pd.read_csv(alcohols.parent / "one/splits.csv")
    tested = set(splits[splits["role"] == "test"]["structure"])
    rows = [line.split(",") for line in alcohols.read_text().splitlines()[1:]]
    shifted = [(text, float(value) + 50 * (text in tested)) for text, value in rows]
    other = write_table(alcohols.parent / "shifted.csv", shifted)
    assert run_small(other, alcohols.parent / "two", *given, arms="ridge,lm-text").returncode == 0
    one, two = (pd.read_parquet(alcohols.parent / n / "predictions.parquet") for n in ("one", "two"))
    np.testing.assert_array_equal(one["prediction"], two["prediction"])
    text = one["arm"] == "lm-text"
    assert not one["unreachable"].any()
    assert two["unreachable"].tolist() == text.tolist()
    report = (alcohols.parent / "two/report.html").read_text()
    assert "labels out of reach" in report
    assert f"<td>{text.sum()} of {text.sum()}</td></tr>" in report
