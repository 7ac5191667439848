"""A run over reactions, as a user starts it."""

from __future__ import annotations

import json

import pandas as pd
import pytest

from tests.test_run import chemtune

pytestmark = pytest.mark.usefixtures("undrawn", "few_trees")

BY_COMPONENT = ("--components", "halide,amine,base,solvent", "--yield", "yield")


def run(path, out, *more):
    return chemtune("run", path, *BY_COMPONENT, "--out", out, *more, cwd=path.parent)


@pytest.mark.slow  # all arms, and means of them
def test_a_run_over_reactions_leaves_all_that_is_promised(couplings, tiny_folder):
    out = couplings.parent / "out"
    arms = "drfp-rf,components-gp,lm-head,lm-text,reaction-blend"
    done = run(
        couplings, out, "--model", tiny_folder, "--steps", 5, "--arms", arms, "--keep-models", "--reaction", "rxn"
    )
    assert done.returncode == 0, done.stderr
    assert "48 reactions from 48 rows" in done.stdout
    assert "test reactions in" in done.stdout
    frame = pd.read_parquet(out / "predictions.parquet")
    assert set(frame["split"]) == {"random", *(f"component:{name}" for name in ("halide", "amine", "base", "solvent"))}
    assert {"popularity", "barcodes", "mean"} <= set(frame["arm"])
    sizes = frame.groupby(["split", "arm"])["row_id"].apply(lambda ids: tuple(sorted(ids)))
    assert all(part.nunique() == 1 for _, part in sizes.groupby(level="split"))
    report = (out / "report.html").read_text(encoding="utf-8")
    assert "48 reactions" in report
    assert "(no structures)" in report
    assert "not in training" in report
    assert "acyclic" not in report
    info = json.loads((out / "run.json").read_text(encoding="utf-8"))
    assert info["settings"]["components"] == ["halide", "amine", "base", "solvent"]
    kept = {path.suffix for path in (out / "models").iterdir()}
    assert kept == {".skops", ".safetensors"}
    again = run(
        couplings, out, "--model", tiny_folder, "--steps", 5, "--arms", arms, "--keep-models", "--reaction", "rxn"
    )
    assert again.returncode == 0
    assert "Estimated time" not in again.stdout  # every cell was there


def test_shuffled_components_are_shuffled_in_training_alone(couplings, tiny_folder):
    """The same seed gives other predictions than the stated order, and the option needs components."""
    found = {}
    for name, more in (("plain", ()), ("shuffled", ("--shuffle-components",))):
        out = couplings.parent / name
        options = ("--model", tiny_folder, "--steps", 3, "--arms", "lm-head", "--split", "random")
        done = run(couplings, out, *options, *more)
        assert done.returncode == 0, done.stderr
        frame = pd.read_parquet(out / "predictions.parquet")
        found[name] = frame[frame["arm"] == "lm-head"].set_index("row_id")["prediction"]
    assert set(found["plain"].index) == set(found["shuffled"].index)
    assert not found["plain"].equals(found["shuffled"])
    done = chemtune("run", "esol", "--shuffle-components", cwd=couplings.parent)
    assert done.returncode == 2
    assert "state {components}" in done.stderr


def test_a_misspelt_yield_column_is_asked_for_by_its_name(couplings):
    done = chemtune("run", couplings, "--components", "halide,amine", "--yield", "yeld", cwd=couplings.parent)
    assert done.returncode == 2
    assert "--yield" in done.stderr
    assert "did you mean 'yield'" in done.stderr


def test_the_verdict_says_when_chemistry_is_not_needed(couplings):
    done = run(couplings, couplings.parent / "out", "--arms", "barcodes", "--split", "random")
    assert done.returncode == 0, done.stderr
    assert "use barcodes" in done.stdout
    assert "barcodes knows no structures: nothing here shows that chemistry helps" in done.stdout


def test_success_is_a_class_problem(couplings):
    out = couplings.parent / "out"
    done = run(couplings, out, "--success", 20, "--arms", "drfp-rf", "--split", "random,group:amine")
    assert done.returncode == 0, done.stderr
    assert "success is a yield of at least 20 %" in done.stdout
    frame = pd.read_parquet(out / "predictions.parquet")
    assert {"p_failure", "p_success"} <= set(frame.columns)
    assert set(frame["arm"]) == {"majority", "popularity", "barcodes", "drfp-rf"}


def test_a_built_in_table_needs_no_column_names(tmp_path):
    done = chemtune(
        "run",
        "suzuki_miyaura",
        "--max-rows",
        120,
        "--arms",
        "drfp-rf",
        "--split",
        "random",
        "--out",
        "out",
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    frame = pd.read_parquet(tmp_path / "out" / "predictions.parquet")
    assert frame["truth"].max() > 1.0
    assert frame["truth_original"].max() <= 1.0


@pytest.mark.slow
def test_a_changed_component_misses_the_cell(couplings):
    out = couplings.parent / "out"
    options = ("--arms", "onehot-rf", "--split", "random")
    assert run(couplings, out, *options).returncode == 0
    cells = len(list((out / "cells").glob("*.json")))
    text = couplings.read_text(encoding="utf-8")
    couplings.write_text(text.replace("toluene", "benzene"), encoding="utf-8")
    assert run(couplings, out, *options).returncode == 0
    assert len(list((out / "cells").glob("*.json"))) == 2 * cells


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (("--split", "scaffold"), "for reactions use components"),
        (("--arms", "extratrees"), "'extratrees' is for molecules"),
        (("--yield-unit", "fraction"), "--yield-unit percent"),
        (("--template", "What is {halide}?"), "the fields are {property}"),
    ],
)
def test_what_does_not_fit_is_said_in_one_line(couplings, more, words):
    done = run(couplings, couplings.parent / "out", *more)
    assert done.returncode == 2
    assert words in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_audit_and_prompts_know_reactions(couplings):
    done = chemtune("audit", couplings, *BY_COMPONENT, cwd=couplings.parent)
    assert done.returncode == 0, done.stderr
    assert "48 reactions from 48 rows" in done.stdout
    shown = chemtune("prompts", couplings, *BY_COMPONENT, "--rows", 1, cwd=couplings.parent)
    assert shown.returncode == 0, shown.stderr
    assert "What is the yield in % of the reaction of halide" in shown.stdout
