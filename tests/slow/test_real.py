"""Real parts where a user would use them: the real weights, a real browser, a wheel outside the checkout."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pipeline.settings.reading import make_config, read_studies
from tests.browser import open_all, opened
from tests.conftest import SMILES
from tests.test_run import chemtune

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("few_trees")]
ROOT = Path(__file__).resolve().parent.parent.parent


@pytest.fixture(scope="module")
def real_run(tmp_path_factory) -> Path:
    """A short run of the real model: 80 photoswitches, few steps."""
    folder = tmp_path_factory.mktemp("real")
    done = chemtune("run", "photoswitch", "--max-rows", 80, "--steps", 8, "--out", "out", cwd=folder)
    assert done.returncode == 0, done.stderr
    return folder / "out"


def test_the_real_model_runs_end_to_end(real_run):
    frame = pd.read_parquet(real_run / "predictions.parquet")
    assert set(frame["arm"]) >= {"lm-head", "lm-text", "lm-frozen", "blend", "ensemble"}
    assert np.isfinite(frame["prediction"].astype(float)).all()


def test_real_tokenizer_splits_prompt_and_answer_alike():
    from pipeline.lm.decoders import tokenizer_and_limit
    from pipeline.prompts.templates import PromptTemplate, completion

    tokenizer, limit = tokenizer_and_limit("smollm2-135m")
    assert limit == 8192
    for smiles in SMILES:
        prompt = PromptTemplate("log solubility", "mol/L").render(smiles)
        for answer in ("-12.50", "3", "BBB+"):
            parts = [tokenizer(text, add_special_tokens=False)["input_ids"] for text in (prompt, completion(answer))]
            assert parts[0] + parts[1] == tokenizer(prompt + completion(answer), add_special_tokens=False)["input_ids"]


def test_real_cached_layers_equal_the_plain_forward_in_fp32():
    import torch

    from pipeline.lm.decoders import shared_tokens
    from pipeline.lm.engine import Engine
    from pipeline.prompts.templates import PromptTemplate

    engine = Engine.load("smollm2-135m", trained_layers=10, dtype="float32")
    assert engine.cut == 20
    ids = [engine.encode(PromptTemplate("mass", "u").render(smiles)) for smiles in SMILES[:6]]
    shared = shared_tokens(ids)
    with torch.no_grad():
        rows = engine.run_upper(engine.rows(ids, shared))
        for row, text in enumerate(ids):
            expected = engine.base(input_ids=torch.tensor([text], device=engine.device)).last_hidden_state[0, shared:]
            torch.testing.assert_close(rows.hidden[row, : len(text) - shared], expected, atol=2e-3, rtol=2e-3)


def test_real_bf16_activations_do_not_depend_on_company():
    import torch

    from pipeline.lm.decoders import shared_tokens
    from pipeline.lm.engine import Engine
    from pipeline.prompts.templates import PromptTemplate

    engine = Engine.load("smollm2-135m", trained_layers=10, dtype="bfloat16")
    ids = [engine.encode(PromptTemplate("mass", "u").render(smiles)) for smiles in SMILES[:20]]
    shared = shared_tokens(ids)
    engine.prepare(ids, shared)
    together = {text: engine._frozen[text] for text in ids}
    engine._frozen.clear()
    for text in ids[::5]:
        engine.prepare([text], shared)
        assert torch.equal(engine._frozen[text], together[text])


def test_the_report_in_a_browser_has_its_pieces_and_asks_for_nothing(real_run):
    from selenium.webdriver.common.by import By

    assert (real_run / "report.html").stat().st_size < 5_000_000
    parts = ("verdict", "scores", "data", "comparisons", "leaderboard", "errors", "certainty", "splits", "training")
    with opened(real_run / "report.html") as browser:
        for section in (*parts, "answers", "arms", "rebuild"):
            assert browser.find_elements(By.ID, section), section
        open_all(browser)
        images = browser.find_elements(By.TAG_NAME, "img")
        assert len(images) > 40
        assert all(browser.execute_script("return arguments[0].naturalWidth > 0", image) for image in images)
        boards = browser.find_elements(By.CSS_SELECTOR, "table.board tbody")
        scored = pd.read_csv(real_run / "metrics.csv").groupby("split", sort=False)["arm"].nunique()
        assert [len(board.find_elements(By.TAG_NAME, "tr")) for board in boards] == list(scored)
        assert browser.get_log("browser") == []
        assert len(browser.requested) == 1, browser.requested


def test_the_wheel_works_in_an_empty_environment(tmp_path):
    """Installed with all that it needs, as the README says, on a table of a stranger's outside of the checkout."""
    subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "-o", tmp_path / "dist", ROOT], check=True, capture_output=True
    )
    (wheel,) = (tmp_path / "dist").glob("*.whl")
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "env"], check=True)
    python, own = tmp_path / "env/bin/python", next((tmp_path / "env/lib").glob("python*/site-packages"))
    pip = [python, "-m", "pip", "install", "-q", "--disable-pip-version-check", "-c", ROOT / "constraints.txt"]
    torch = next(line for line in (ROOT / "constraints.txt").read_text().splitlines() if line.startswith("torch=="))
    for package in (torch, wheel):  # torch first: an open range would bring several GB of CUDA packages
        subprocess.run([*pip, package], check=True)
    names = pd.DataFrame({"drawn": SMILES, "Ki_nM": [float(len(text)) for text in SMILES]})
    names.to_csv(tmp_path / "mine.csv", index=False)
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}

    def ran(*arguments):
        done = subprocess.run(
            [tmp_path / "env/bin/chemtune", *map(str, arguments)],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            env=environment,
        )
        assert done.returncode == 0, done.stderr

    ran("init", "mine.csv")
    ran("run", "mine.yaml", "--arms", "knn,ensemble,lm-head", "--split", "random", "--steps", 5, "-o", "out")
    ran("fit", "mine.yaml", "--arm", "ensemble", "-o", "model")
    ran("predict", "model", "mine.csv", "-o", "predicted.csv")
    assert pd.read_csv(tmp_path / "predicted.csv")["prediction"].notna().all()
    code = "import chemtune, pipeline; print(chemtune.__file__, pipeline.__file__, chemtune.load)"
    found = subprocess.run([python, "-c", code], cwd=tmp_path, capture_output=True, text=True, env=environment)
    assert found.stdout.count(str(own)) == 2, found.stderr
    assert not [name for name in ("data", "configs", "tests") if list(own.glob(name))]
    assert not (own / "pipeline/importable").exists()
    assert (tmp_path / "out/report.html").exists()


ARMS_OF_CONFIGS = {
    "molecules": "ridge,rf-bits",
    "reactions": "onehot-rf,drfp-lightgbm",
    "compositions": "fractions-ridge,magpie-lightgbm",
}


@pytest.mark.parametrize("config", sorted((ROOT / "configs").rglob("*.yaml")), ids=lambda path: path.stem)
def test_every_config_starts_and_ends(config, tmp_path):
    """Each as it is, but for the baselines alone on few rows: the files themselves must be right."""
    arms = ARMS_OF_CONFIGS[make_config(str(config), {}).kind.name]
    verb = ("run", config)
    if "learning-curve" in read_studies(config):
        verb = ("study", "learning-curve", config, "--sizes", "10,50", "--seeds", 1)
    done = chemtune(*verb, "--arms", arms, "--max-rows", 150, "--out", "out", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out/report.html").exists()


def test_intervals_cover_what_they_promise_on_random_hold_outs():
    """Mean of 20 hold-outs of ESOL, within 3 points of nominal; scaffold coverage is printed, not asserted."""
    script = ROOT / "scripts" / "interval_coverage.py"
    done = subprocess.run(
        [sys.executable, "-W", "ignore", script, "--arm", "ridge"], capture_output=True, text=True, check=True
    )
    on_random = done.stdout.partition("scaffold hold-out")[0]
    found = re.findall(r"^([\d.]+) +as chosen +([\d.]+)", on_random, re.MULTILINE)
    assert len(found) == 2, done.stdout
    for level, coverage in found:
        assert abs(float(coverage) - float(level)) <= 0.03, done.stdout
