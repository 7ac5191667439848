"""A model taken home: what comes back from its folder is what went in, or a clear refusal."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from pipeline import LoraRegressor
from pipeline.arms.catalogue import arms_of
from pipeline.arms.ladder import CONTROLS
from pipeline.errors import InputError
from pipeline.evaluation.domain import Domain
from pipeline.evaluation.intervals import conformal_radius
from pipeline.models.fitting import FinishedRun, fit_model
from pipeline.models.folder import describe_folder, load_model
from pipeline.models.predicting import predict_file
from pipeline.reporter import Reporter
from pipeline.settings.reading import make_config
from pipeline.tables.kinds import MOLECULES
from pipeline.tables.targets import CLASSES, REGRESSION
from tests.conftest import CHAINS, SMILES, write_table
from tests.test_run import chemtune

pytestmark = pytest.mark.usefixtures("undrawn", "few_trees")

NEW = ["CCCO", "c1ccccc1CCN", "CC(=O)O", "CCCCCCCCCl", "C1CCCCC1CCC"]
FRAME = pd.DataFrame({"smiles": NEW})
PREDICT = """
import json, sys, pandas as pd
from pathlib import Path
from pipeline.models.folder import load_model
X = pd.read_json(sys.argv[2], dtype=False)
for folder in sorted(Path(sys.argv[1]).iterdir()):
    model = load_model(folder)
    values = model.predict_proba(X) if model.classes else model.predict(X)
    print(json.dumps([folder.name, values.ravel().tolist()]))
"""


def fitted(alcohols, arm, *, model="smollm2-135m", **more):
    given = {"smiles": "SMILES", "target": "value", "steps": 3, "dtype": "float32", "model": str(model), **more}
    return fit_model(make_config(str(alcohols), given), arm, Reporter())


def predicted(model, X):
    return (model.predict_proba(X) if model.classes else model.predict(X)).ravel().tolist()


def predicted_afresh(models, X):
    """What every model of a folder predicts in a process of its own, by name."""
    rows = models.parent / "new.json"
    X.to_json(rows)
    done = subprocess.run(
        [sys.executable, "-c", PREDICT, str(models), str(rows)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return dict(json.loads(line) for line in done.stdout.splitlines() if line.startswith("["))


def uncalibrated(*arguments):
    """In the place of `pipeline.models.fitting.calibrate`, which fits each arm several times more."""
    return np.zeros(0), {"how": "", "n": 0, "metric": "", "value": None}


@pytest.mark.parametrize("bins", [0, pytest.param(2, marks=pytest.mark.slow)])
def test_every_arm_predicts_the_same_in_a_fresh_process(alcohols, tiny_folder, tmp_path, monkeypatch, bins):
    monkeypatch.setattr("pipeline.models.fitting.calibrate", uncalibrated)
    expected = {}
    for arm in arms_of(MOLECULES):
        if arm == CONTROLS[REGRESSION if bins else CLASSES]:
            continue
        model = fitted(alcohols, arm, model=tiny_folder, bins=bins)
        folder = tmp_path / "models" / arm
        model.save(folder)
        expected[arm] = predicted(model, FRAME)
        size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
        assert size < 5_000_000, arm
    assert predicted_afresh(tmp_path / "models", FRAME) == expected


@pytest.mark.parametrize("arm", ["lm-head", "blend"])
def test_a_language_model_predicts_a_file(alcohols, tiny_folder, tmp_path, arm):
    model = fitted(alcohols, arm, model=tiny_folder)
    source = write_table(tmp_path / "in.csv", [(s, 0) for s in (*NEW, "C(C", "C" * 600)])
    summary = predict_file(model, str(source), tmp_path / "out.csv", Reporter(), workers=1)
    assert (summary.rows, summary.predicted) == (len(NEW) + 2, len(NEW))
    found = pd.read_csv(tmp_path / "out.csv")
    np.testing.assert_allclose(found["prediction"][: len(NEW)], predicted(model, FRAME), rtol=1e-5)
    assert "tokens" in found["problem"].iloc[-1]


def test_a_blend_keeps_the_share_that_did_best_on_held_out_rows(tmp_path, tiny_folder):
    model = fitted(write_table(tmp_path / "t.csv", CHAINS), "blend", model=tiny_folder)
    share = model.about["calibration"]["share"]
    ensemble, head = (member.predict(FRAME) for member in model.arm.members.values())
    np.testing.assert_allclose(model.arm.predict(FRAME), (1 - share["value"]) * ensemble + share["value"] * head)
    assert 0 <= share["low"] <= share["value"] <= share["high"] <= 1
    model.save(tmp_path / "model")
    again = load_model(tmp_path / "model")
    np.testing.assert_allclose(predicted(again, FRAME), predicted(model, FRAME), rtol=1e-6)
    assert f"lm-head makes {share['value']:.0%} of blend" in (tmp_path / "model/README.md").read_text(encoding="utf-8")


def test_peft_itself_loads_the_adapter_over_the_layers_that_are_used(tiny_folder, tmp_path):
    import torch
    from peft import PeftModel
    from safetensors.torch import load_file
    from transformers import AutoModelForCausalLM

    model = LoraRegressor(readout="text", model=str(tiny_folder), dtype="float32", steps=3, depth=1)
    model.fit(SMILES, np.arange(len(SMILES), dtype=float)).save(tmp_path / "model")
    base = AutoModelForCausalLM.from_pretrained(tiny_folder, dtype=torch.float32, attn_implementation="eager")
    base.model.layers = base.model.layers[:1]
    ids = torch.tensor([model.arm_.engine.encode("What is the value of CCO?")])
    with torch.no_grad():
        plain = base(ids).logits
        theirs = PeftModel.from_pretrained(base, tmp_path / "model" / "lm-text").eval()(ids).logits
        with model.arm_.with_adapters():
            ours = model.arm_.engine.model(ids.to(model.arm_.engine.device)).logits.cpu()
    torch.testing.assert_close(theirs, ours)
    assert not torch.allclose(theirs, plain)
    assert "first 1 layers" in (tmp_path / "model" / "README.md").read_text(encoding="utf-8")
    saved = load_file(tmp_path / "model" / "lm-text" / "adapter_model.safetensors")
    assert all("lora_" in name for name in saved)  # no embeddings with it


def test_merged_weights_are_a_model_of_their_own(alcohols, tiny_folder, tmp_path):
    import torch
    from transformers import AutoModelForCausalLM

    options = ("--target", "value", "--model", tiny_folder, "--steps", 3, "--dtype", "float32", "--out", "m", "--merge")
    done = chemtune("fit", alcohols, *options, "--arm", "lm-text", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    arm = load_model(tmp_path / "m").arm
    ids = torch.tensor([arm.engine.encode("What is the value of CCO?")])
    with torch.no_grad():
        merged = AutoModelForCausalLM.from_pretrained(tmp_path / "m" / "merged" / "lm-text")(ids).logits
        with arm.with_adapters():
            adapted = arm.engine.model(ids.to(arm.engine.device)).logits.cpu()
        plain = arm.engine.model(ids.to(arm.engine.device)).logits.cpu()
    torch.testing.assert_close(merged, adapted, atol=1e-5, rtol=1e-4)
    assert not torch.allclose(plain, adapted)
    done = chemtune("fit", alcohols, "--target", "value", "--arm", "knn", "--out", "k", "--merge", cwd=tmp_path)
    assert done.returncode == 2
    assert "no adapter to merge" in done.stderr


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    folder = tmp_path_factory.mktemp("saved")
    path = write_table(folder / "t.csv", [(s, len(s)) for s in SMILES])
    fitted(path, "ridge").save(folder / "model")
    return folder / "model"


def copy_of(saved, tmp_path):
    import shutil

    return shutil.copytree(saved, tmp_path / "copy")


def test_a_changed_file_is_refused(saved, tmp_path):
    folder = copy_of(saved, tmp_path)
    data = (folder / "ridge.skops").read_bytes()
    (folder / "ridge.skops").write_bytes(data[:-10] + b"0123456789")
    with pytest.raises(InputError, match=r"ridge\.skops is not the one that was saved"):
        load_model(folder)


def test_a_folder_cut_short_is_refused(saved, tmp_path):
    folder = copy_of(saved, tmp_path)
    (folder / "training.parquet").unlink()
    with pytest.raises(InputError, match=r"training\.parquet is missing"):
        load_model(folder)
    (folder / "model.json").write_text('{"format": 1, "fil')
    with pytest.raises(InputError, match="damaged"):
        load_model(folder)


def test_a_model_of_a_later_format_is_refused(saved, tmp_path):
    folder = copy_of(saved, tmp_path)
    about = json.loads((folder / "model.json").read_text()) | {"format": 99}
    (folder / "model.json").write_text(json.dumps(about))
    with pytest.raises(InputError, match="update chemtune"):
        describe_folder(folder)


def test_a_model_of_the_first_format_is_read(saved, tmp_path):
    folder = copy_of(saved, tmp_path)
    about = json.loads((folder / "model.json").read_text())
    first = {key: value for key, value in about.items() if key not in ("scale", "bounds")} | {"format": 1}
    (folder / "model.json").write_text(json.dumps(first))
    np.testing.assert_array_equal(load_model(folder).predict(NEW), load_model(saved).predict(NEW))


def test_a_path_out_of_the_folder_is_refused(saved, tmp_path):
    folder = copy_of(saved, tmp_path)
    about = json.loads((folder / "model.json").read_text())
    about["files"]["../../x"] = "0"
    (folder / "model.json").write_text(json.dumps(about))
    with pytest.raises(InputError, match="outside of the folder"):
        describe_folder(folder)


def test_a_foreign_type_in_a_skops_file_is_refused(saved, tmp_path):
    from sklearn.preprocessing import FunctionTransformer
    from skops.io import dumps

    from pipeline.files import sha256

    folder = copy_of(saved, tmp_path)
    (folder / "ridge.skops").write_bytes(dumps(FunctionTransformer(subprocess.run)))
    about = json.loads((folder / "model.json").read_text())
    about["files"]["ridge.skops"] = sha256(folder / "ridge.skops")
    (folder / "model.json").write_text(json.dumps(about))
    with pytest.raises(InputError, match="which no chemtune model does"):
        load_model(folder)


def test_the_card_says_where_classes_of_a_number_are_cut(alcohols, tmp_path):
    model = fitted(alcohols, "knn", bins=2, units="u")
    model.save(tmp_path / "model")
    card = (tmp_path / "model" / "README.md").read_text()
    assert f"cut at {model.about['bin_edges'][0]:.3g} u." in card
    assert "AUROC" in card


def test_saving_never_replaces_what_is_not_a_model(saved, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years")
    with pytest.raises(InputError, match="not a chemtune model"):
        load_model(saved).save(tmp_path / "mine")
    assert (tmp_path / "mine" / "thesis.txt").read_text() == "years"


BAD_ROWS = [("CCO", "a"), ("C(C", "=1+1"), ("", "b"), ("CCN", "c"), ("CCO,x", "d"), ("not a molecule", "-2")]


def bad_table(path):
    path.write_text("id,SMILES\n" + "".join(f"{note},{text}\n" for text, note in BAD_ROWS), encoding="utf-8")
    return path


def test_every_row_comes_back_in_its_place(saved, tmp_path):
    source = bad_table(tmp_path / "in.csv")
    before = source.read_bytes()
    summary = predict_file(load_model(saved), str(source), tmp_path / "out.csv", Reporter(), chunk_rows=2, workers=1)
    found = pd.read_csv(tmp_path / "out.csv", dtype=str, keep_default_na=False)
    assert list(found["id"]) == ["a", "'=1+1", "b", "c", "d", "-2"]
    assert list(found["problem"] == "") == [True, False, False, True, False, False]
    assert list(found["prediction"] == "") == [False, True, True, False, True, True]
    assert (summary.rows, summary.predicted) == (6, 2)
    assert source.read_bytes() == before


@pytest.mark.parametrize("form", [".csv", ".csv.gz", ".tsv", ".parquet"])
def test_forms_of_output_agree_and_the_chunk_size_does_not_matter(saved, tmp_path, form):
    source = bad_table(tmp_path / "in.csv")
    model = load_model(saved)
    frames = []
    for size in (2, 100):
        out = tmp_path / f"out{size}{form}"
        predict_file(model, str(source), out, Reporter(), chunk_rows=size, workers=1)
        frames.append(
            pd.read_parquet(out) if form == ".parquet" else pd.read_csv(out, sep="\t" if form == ".tsv" else ",")
        )
    pd.testing.assert_frame_equal(frames[0], frames[1])
    assert len(frames[0]) == len(BAD_ROWS)


def test_a_parquet_table_keeps_its_types(saved, tmp_path):
    frame = pd.DataFrame({"SMILES": [*SMILES, None], "n": range(len(SMILES) + 1), "prediction": 1.5})
    frame.to_parquet(tmp_path / "in.parquet")
    out = tmp_path / "out.parquet"
    predict_file(load_model(saved), str(tmp_path / "in.parquet"), out, Reporter(), chunk_rows=7, workers=1)
    found = pd.read_parquet(out)
    pd.testing.assert_frame_equal(found[["n", "prediction"]], frame[["n", "prediction"]])
    assert found["chemtune_prediction"].notna().sum() == len(SMILES)
    assert found["problem"].iloc[-1] == "empty SMILES"


def test_an_interrupted_prediction_goes_on_and_ends_the_same(saved, tmp_path):
    source = write_table(tmp_path / "in.csv", [(s, 0) for s in SMILES])
    model = load_model(saved)
    whole = tmp_path / "whole.csv"
    predict_file(model, str(source), whole, Reporter(), chunk_rows=10, workers=1)

    class Killed(Reporter):
        def step(self, label, done, total):
            if done >= 30:
                raise KeyboardInterrupt

    out = tmp_path / "out.csv"
    with pytest.raises(KeyboardInterrupt):
        predict_file(model, str(source), out, Killed(), chunk_rows=10, workers=1)
    assert not out.exists()
    summary = predict_file(model, str(source), out, Reporter(), chunk_rows=10, workers=1)
    assert summary.reused == 30
    assert out.read_bytes() == whole.read_bytes()
    assert not list(tmp_path.glob(".out.csv*"))


def test_the_input_is_never_the_output(saved, tmp_path):
    source = bad_table(tmp_path / "in.csv")
    with pytest.raises(InputError, match="is the input itself"):
        predict_file(load_model(saved), str(source), source, Reporter())


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"", "empty"), (b"SMILES\n", "no rows"), (b"\x00\x01\x02", "binary"), (b'SMILES,a\n"CCO,1\n', "never closed")],
)
def test_unreadable_input_is_an_error_of_one_line(saved, tmp_path, content, message):
    (tmp_path / "in.csv").write_bytes(content)
    with pytest.raises(InputError, match=message) as raised:
        predict_file(load_model(saved), str(tmp_path / "in.csv"), tmp_path / "out.csv", Reporter())
    assert "\n" not in str(raised.value)


def test_the_best_arm_of_a_run_goes_home(alcohols):
    cwd = alcohols.parent
    common = ("--smiles", "SMILES", "--target", "value")
    done = chemtune("run", alcohols, *common, "--arms", "knn,ridge", "--split", "random", "--out", "r", cwd=cwd)
    assert done.returncode == 0, done.stderr
    done = chemtune("fit", "--arm", "best", "--run", "r", "--out", "m", cwd=cwd)
    assert done.returncode == 0, done.stderr
    about = describe_folder(cwd / "m")
    assert about["arm"] == json.loads((cwd / "r" / "run.json").read_text())["verdicts"][0]["use"]
    assert about["scores"][0]["split"] == "random"
    assert "random split of `r`" in (cwd / "m" / "README.md").read_text()
    done = chemtune("predict", "m", "--smiles", "CCCO", "--smiles", "C(C", cwd=cwd)
    assert done.returncode == 2  # one of the two cannot be predicted
    assert "unparsable SMILES" in done.stdout
    assert "nearest training molecule CCCO" in done.stdout


@pytest.mark.parametrize(
    "content", ["{", "null", "5", "[]", "{}", '{"settings": {"table": "x"}, "task": "regression", "verdicts": []}']
)
def test_a_damaged_run_is_an_error_of_one_line(tmp_path, content):
    (tmp_path / "run.json").write_text(content)
    with pytest.raises(InputError, match="not the folder of a finished run") as raised:
        FinishedRun.read(tmp_path)
    assert "\n" not in str(raised.value)


def test_the_radius_is_the_finite_sample_quantile():
    residuals = np.array([-1.0, 2.0, -3.0, 4.0, 5.0, -6.0, 7.0, 8.0, -9.0])
    assert conformal_radius(residuals, 0.9) == 9.0
    assert conformal_radius(residuals, 0.5) == 5.0
    assert conformal_radius(residuals[:-1], 0.9) == np.inf


def test_the_domain_ignores_a_molecules_own_group():
    smiles = ["CCO", "OCC", "CCCCCCCC", "CCCCCCCCC", "c1ccncc1"]
    domain = Domain.fit(smiles, np.array(["a", "a", "b", "c", "d"]))
    similarity, index = domain.nearest(["CCO", "c1ccncc1C"])
    assert similarity[0] == 1.0
    assert index[1] == 4
    assert domain.threshold < 0.5


def test_the_card_says_what_another_spelling_of_the_molecules_costs(alcohols, tmp_path):
    config = make_config(str(alcohols), {"smiles": "SMILES", "target": "value"})
    reader = fit_model(config, "ngram-ridge", Reporter())
    found = reader.about["calibration"]["spelling"]
    assert 10 <= found["n"] <= 48
    assert found["canonical"] != found["other"]
    reader.save(tmp_path / "reader")
    card = (tmp_path / "reader" / "README.md").read_text(encoding="utf-8")
    assert f"on {found['n']} held-out ones: MAE" in card
    assert "spelling" not in fit_model(config, "rf-bits", Reporter()).about["calibration"]
