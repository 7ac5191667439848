"""Columns of the table as features: the baselines get them, the prompt does not state them."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from pipeline.errors import InputError
from pipeline.models.about import prompt_template
from pipeline.models.folder import load_model
from pipeline.reporter import Reporter
from pipeline.runs.prepare import prepare
from pipeline.settings.reading import make_config
from tests.conftest import SMILES, write_table
from tests.test_run import chemtune

pytestmark = pytest.mark.usefixtures("undrawn", "few_trees")


@pytest.fixture
def computed(tmp_path):
    """A target that follows from a column and from nothing in the structure."""
    rng = np.random.default_rng(0)
    values = rng.normal(size=len(SMILES)).round(3)
    rows = [(s, value, round(3 * value + 0.01, 3)) for s, value in zip(SMILES, values, strict=True)]
    return write_table(tmp_path / "computed.csv", rows, "SMILES,charge,value")


GIVEN = ("--smiles", "SMILES", "--target", "value", "--features", "charge")


def test_baselines_learn_from_a_column_that_the_prompt_does_not_state(computed):
    config = {"smiles": "SMILES", "target": "value", "features": "charge", "arms": "ridge", "split": "random"}
    context = prepare(make_config(str(computed), {**config, "out": "unused"}), Reporter())
    prompts = context.template.render_all(context.table.inputs)
    assert not any("charge" in prompt for prompt in prompts)
    assert list(context.table.inputs.columns)[1:] == ["charge"]
    done = chemtune(
        "run", computed, *GIVEN, "--arms", "ridge", "--split", "random", "--out", "out", cwd=computed.parent
    )
    assert done.returncode == 0, done.stderr
    metrics = pd.read_csv(computed.parent / "out/metrics.csv").query("metric == 'mae'").set_index("arm")["value"]
    assert metrics["ridge"] < 0.5 * metrics["mean"]
    assert json.loads((computed.parent / "out/run.json").read_text())["settings"]["features"] == ["charge"]


def test_a_saved_model_asks_for_the_column_and_keeps_it_out_of_the_prompt(computed, tiny_folder):
    model = ("--model", tiny_folder, "--steps", 2, "--dtype", "float32")
    for arm, more in (("ridge", ()), ("lm-head", model)):
        done = chemtune("fit", computed, *GIVEN, "--arm", arm, *more, "--out", arm, cwd=computed.parent)
        assert done.returncode == 0, done.stderr
        done = chemtune("predict", arm, computed, "--smiles", "SMILES", "--out", f"{arm}.csv", cwd=computed.parent)
        assert done.returncode == 0, done.stderr
        assert pd.read_csv(computed.parent / f"{arm}.csv")["prediction"].notna().all()
    without = write_table(computed.parent / "without.csv", [(s,) for s in SMILES[:3]], "SMILES")
    done = chemtune("predict", "ridge", without, "--smiles", "SMILES", "--out", "x.csv", cwd=computed.parent)
    assert done.returncode == 2
    assert "charge" in done.stderr
    assert prompt_template(load_model(computed.parent / "lm-head").about).unstated == ("charge",)


def test_a_feature_that_is_no_number_or_named_twice_is_said(computed):
    given = {"smiles": "SMILES", "target": "value", "arms": "ridge"}
    with pytest.raises(InputError, match="named twice as context or feature"):
        make_config(str(computed), {**given, "features": "charge", "context": "charge"})
    done = chemtune(
        "audit", computed, "--smiles", "SMILES", "--target", "value", "--features", "SMILE", cwd=computed.parent
    )
    assert done.returncode == 2
    assert "SMILES" in done.stderr
