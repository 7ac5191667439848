"""Probabilities of a model taken home: as sure as held-out rows ask for; its threshold judged on rows that did not
choose it."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pandas as pd
import pytest
from rdkit.Chem import CanonSmiles

from pipeline.arms.ladder import class_chances
from pipeline.evaluation.calibration import top_calibration_error
from pipeline.evaluation.intervals import at_temperature
from pipeline.evaluation.metrics import matthews
from pipeline.models.chances import held_out_chances
from pipeline.models.fitting import fit_model
from pipeline.models.folder import load_model
from pipeline.reporter import Reporter
from pipeline.settings.reading import make_config
from pipeline.tables.catalogue import card
from tests.conftest import write_table

REAL = pd.read_csv(card("esol").path)["smiles"].map(CanonSmiles).tolist()[:400]
CLASSES = ("no", "yes")


def fitted(path, arm="knn", **more):
    return fit_model(make_config(str(path), {"smiles": "SMILES", "target": "value", **more}), arm, Reporter())


def noisy_labels(n, seed=0):
    """Whether a molecule has oxygen, wrong for every fifth."""
    wrong = np.random.default_rng(seed).random(n) < 0.2
    return [CLASSES[int(("O" in text) != flip)] for text, flip in zip(REAL[:n], wrong, strict=True)]


@pytest.fixture(scope="module")
def too_sure(tmp_path_factory):
    """Boosting on 200 noisy labels, which it learns by heart; and 200 new molecules with noisy labels."""
    labels, folder = noisy_labels(400), tmp_path_factory.mktemp("sure")
    model = fitted(write_table(folder / "t.csv", list(zip(REAL[:200], labels[:200], strict=True))), "lightgbm")
    model.save(folder / "model")
    return folder / "model", model, REAL[200:], np.array([CLASSES.index(label) for label in labels[200:]])


def raw_chances(model, smiles):
    return class_chances(model.arm, model.classes, pd.DataFrame({"smiles": smiles}))


def log_loss(chances, codes):
    return -np.log(np.maximum(chances[np.arange(len(codes)), codes], 1e-6)).mean()


def test_new_molecules_get_chances_that_are_nearer_to_the_truth_than_those_of_the_arm(too_sure):
    _, model, new, codes = too_sure
    raw, written = raw_chances(model, new), model.predict_proba(new)
    assert model.about["calibration"]["temperature"]["value"] > 1
    assert log_loss(written, codes) < 0.8 * log_loss(raw, codes)
    assert top_calibration_error(written, codes) < top_calibration_error(raw, codes)


def test_the_written_chances_are_those_at_the_temperature_and_the_answer_stays(too_sure):
    folder, model, new, _ = too_sure
    raw, heat = raw_chances(model, new), model.about["calibration"]["temperature"]["value"]
    for one in (model, load_model(folder)):
        found = one.describe(new)
        np.testing.assert_array_equal(found[["p_no", "p_yes"]].to_numpy(), at_temperature(raw, heat))
        np.testing.assert_array_equal(one.predict_proba(new), at_temperature(raw, heat))
        assert found["prediction"].tolist() == [CLASSES[code] for code in raw.argmax(axis=1)]
        assert found["prediction"].tolist() == one.predict(new).tolist()


def test_the_card_says_how_well_the_chances_hold_on_held_out_rows(too_sure):
    folder, model, _, _ = too_sure
    heat, text = model.about["calibration"]["temperature"], (folder / "README.md").read_text(encoding="utf-8")
    assert f"temperature {heat['value']:.3g}" in text
    assert f"expected calibration error {heat['ece'][1]:.1%} ({heat['ece'][0]:.1%} as the arm gives them" in text
    assert "Probabilities hold for molecules like those" in text


def test_a_model_that_was_saved_without_a_temperature_gives_the_chances_of_its_arm(too_sure, tmp_path):
    _, model, new, _ = too_sure
    folder = shutil.copytree(too_sure[0], tmp_path / "old")
    about = json.loads((folder / "model.json").read_text())
    del about["calibration"]["temperature"]
    (folder / "model.json").write_text(json.dumps(about | {"format": 6}))
    np.testing.assert_array_equal(load_model(folder).predict_proba(new), raw_chances(model, new))


def test_too_few_held_out_rows_leave_the_chances_as_they_are_and_the_card_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr("pipeline.models.chances.LEAST_RESIDUALS", 26)
    model = fitted(write_table(tmp_path / "t.csv", list(zip(REAL[:25], noisy_labels(25), strict=True))))
    np.testing.assert_array_equal(model.predict_proba(REAL[25:50]), raw_chances(model, REAL[25:50]))
    model.save(tmp_path / "m")
    text = (tmp_path / "m" / "README.md").read_text(encoding="utf-8")
    assert "25 held-out rows are too few to calibrate them" in text
    assert "Probabilities are not calibrated" in text


@pytest.mark.parametrize("threshold", ["mcc", "cost:FN=3,FP=1", "0.3"])
def test_a_threshold_stands_on_the_scale_of_the_written_chances(tmp_path, threshold):
    path = write_table(tmp_path / "t.csv", list(zip(REAL[:60], noisy_labels(60), strict=True)))
    model = fitted(path, threshold=threshold)
    assert model.about["calibration"]["temperature"]["value"] is not None
    cut, found = model.about["calibration"]["threshold"], model.describe(REAL[60:160])
    assert ((found[f"p_{cut['positive']}"] >= cut["value"]) == (found["prediction"] == cut["positive"])).all()
    assert (model.predict(REAL[60:160]) == found["prediction"]).all()


def of_scores(score, positive, groups, threshold="mcc", seed=0):
    truth = np.where(positive, "yes", "no").astype(object)
    return held_out_chances(np.column_stack([1 - score, score]), truth, groups, CLASSES, "yes", threshold, seed)


def test_a_threshold_chosen_on_scores_that_say_nothing_is_said_to_bring_nothing():
    found = []
    for seed in range(60):
        rng = np.random.default_rng(seed)
        cut = of_scores(rng.uniform(size=60), rng.random(60) < 0.3, np.arange(60), seed=seed)["threshold"]
        false, missed = cut["false_alarms"], cut["missed"]
        confusion = [[cut["negatives"] - false, false], [missed, cut["positives"] - missed]]
        found.append(float(matthews(np.array([confusion], dtype=float))[0]))
    assert abs(np.mean(found)) < 0.06  # 0.24 on the rows that choose


def test_rows_of_one_group_choose_no_threshold_for_each_other():
    """A score that tells each group from the others, and nothing of a new one."""
    rng = np.random.default_rng(0)
    group = np.repeat(np.arange(12), 10)
    positive, score = np.repeat(rng.permutation(12) < 6, 10), np.repeat(rng.uniform(size=12), 10)
    before = of_scores(score, positive, group)["threshold"]
    order = rng.permutation(120)
    assert of_scores(score[order], positive[order], group[order])["threshold"] == before


def test_a_half_without_one_of_the_classes_counts_nothing():
    positive = np.arange(40) == 7
    cut = of_scores(np.linspace(0.1, 0.9, 40), positive, np.arange(40))["threshold"]
    assert set(cut) == {"rule", "positive", "value"}
    assert "missed" in of_scores(np.linspace(0.1, 0.9, 40), positive, np.arange(40), "0.3")["threshold"]
