"""Intervals of a model taken home: as wide as held-out rows ask for, and a training molecule is marked."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from safetensors.numpy import load_file, save_file

from pipeline.arms.ladder import MeanArm
from pipeline.evaluation.domain import Domain
from pipeline.evaluation.intervals import conformal_radius
from pipeline.features.similarity import nearest_neighbours
from pipeline.files import sha256
from pipeline.models.fitting import fit_model
from pipeline.models.folder import load_model
from pipeline.models.predicting import predict_file
from pipeline.reporter import Reporter
from pipeline.settings.reading import make_config
from pipeline.tables.catalogue import card
from pipeline.tables.kinds import COMPOSITIONS, MOLECULES
from tests.conftest import write_table
from tests.test_run import chemtune

REAL = pd.read_csv(card("esol").path)["smiles"].tolist()[:640]


def fitted(path, arm, **more):
    return fit_model(make_config(str(path), {"smiles": "SMILES", "target": "value", **more}), arm, Reporter())


def frame(smiles):
    return pd.DataFrame({"smiles": list(smiles)})


@pytest.fixture(scope="module")
def growing(tmp_path_factory):
    """A model of 340 molecules whose values scatter with the distance to the nearest other, and new ones alike."""
    train, new = REAL[:340], REAL[340:]
    apart = [1 - nearest_neighbours([s], [t for t in train if t != s], MOLECULES)[0][0] for s in (*train, *new)]
    values = np.random.default_rng(0).normal(size=len(REAL)) * (0.1 + 3 * np.array(apart) ** 2)
    path = write_table(tmp_path_factory.mktemp("growing") / "t.csv", list(zip(train, values, strict=False)))
    model = fitted(path, "mean")
    model.save(path.parent / "model")
    return path.parent / "model", model, new, values[len(train) :]


def test_a_molecule_far_from_training_has_a_wider_interval_than_a_near_one(growing):
    _, model, new, _ = growing
    assert model.about["calibration"]["interval"] == "by distance"
    found = model.describe(frame(new)).sort_values("similarity")
    width = (found["upper"] - found["lower"]).to_numpy()
    assert (np.diff(width) <= 1e-9).all()
    assert width[0] > 2 * width[-1]


def test_each_quarter_of_distance_is_covered(growing):
    _, model, new, truth = growing
    found = model.describe(frame(new), 0.9)
    inside = (truth >= found["lower"]) & (truth <= found["upper"])
    quarter = pd.qcut(found["similarity"].rank(method="first"), 4, labels=False)
    assert inside.groupby(quarter).mean().tolist() == pytest.approx([0.9] * 4, abs=0.1)


def test_the_card_says_how_the_interval_is_made_and_how_often_it_holds(growing):
    folder, model, _, _ = growing
    text = (folder / "README.md").read_text(encoding="utf-8")
    assert "wider the further a structure is from the nearest training structure" in text
    quarters = model.about["calibration"]["coverage"]["quarters"]
    assert f"nearest quarter {quarters[0]:.0%}" in text
    assert f"farthest quarter {quarters[-1]:.0%}" in text


@pytest.mark.parametrize("level", [0.5, 0.9])
def test_a_saved_model_gives_the_same_bounds(growing, level):
    folder, model, new, _ = growing
    pd.testing.assert_frame_equal(load_model(folder).describe(frame(new), level), model.describe(frame(new), level))


def test_noise_that_is_alike_everywhere_leaves_one_radius(tmp_path):
    noise = np.random.default_rng(1).normal(size=200)
    model = fitted(write_table(tmp_path / "t.csv", list(zip(REAL[:200], noise, strict=True))), "mean")
    assert model.about["calibration"]["interval"] == "one radius"
    found = model.describe(frame(REAL[200:220]))
    assert (found["upper"] - found["lower"]).to_numpy() == pytest.approx(2 * conformal_radius(model.residuals, 0.9))
    model.save(tmp_path / "m")
    assert "plus or minus one number" in (tmp_path / "m" / "README.md").read_text(encoding="utf-8")


def test_a_folder_of_the_fourth_format_keeps_its_one_radius(growing, tmp_path):
    folder = shutil.copytree(growing[0], tmp_path / "old")
    arrays = {name: values for name, values in load_file(folder / "training.safetensors").items() if "/" not in name}
    assert set(arrays) == {"bits", "residuals"}
    save_file(arrays, folder / "training.safetensors")
    about = json.loads((folder / "model.json").read_text())
    about["files"]["training.safetensors"] = sha256(folder / "training.safetensors")
    about["calibration"] = {key: about["calibration"][key] for key in ("how", "n", "metric", "value")}
    (folder / "model.json").write_text(json.dumps(about | {"format": 4}))
    model = load_model(folder)
    found = model.describe(frame(growing[2]))
    radius = conformal_radius(arrays["residuals"], 0.9)
    assert (found["upper"] - found["lower"]).to_numpy() == pytest.approx(2 * radius)
    model.save(tmp_path / "again")


class Member:
    """Predicts a multiple of the length of a SMILES, and counts how often it is asked."""

    def __init__(self, slope):
        self.slope, self.asked = slope, 0

    def predict(self, X):
        self.asked += 1
        return np.array([self.slope * len(text) for text in X.iloc[:, 0]], dtype=float)


def test_by_spread_the_members_are_asked_once_and_disagreement_widens(growing):
    _, mean, _, _ = growing
    rng = np.random.default_rng(0)
    spread = rng.uniform(0, 10, 300)
    members = {"a": Member(1.0), "b": Member(2.0)}
    about = mean.about | {"calibration": mean.about["calibration"] | {"interval": "by spread"}}
    model = replace(
        mean,
        arm=MeanArm(members),
        about=about,
        residuals=rng.normal(size=300) * spread,
        difficulty={"distance": rng.uniform(size=300), "spread": spread},
        groups=None,
    )
    found = model.describe(frame(["CC", "CCCCCCCCCC"]))
    assert [member.asked for member in members.values()] == [1, 1]
    assert found["prediction"].tolist() == [3.0, 15.0]
    width = found["upper"] - found["lower"]
    assert width[1] > 2 * width[0]


def test_the_members_of_an_ensemble_are_held_out_together(tmp_path):
    path = write_table(tmp_path / "t.csv", [(s, len(s)) for s in REAL[:60]])
    model = fitted(path, "ensemble")
    assert set(model.difficulty) == {"distance", "spread"}
    assert {len(values) for values in model.difficulty.values()} == {len(model.residuals)}
    assert (model.difficulty["spread"] > 0).any()
    assert ((model.difficulty["distance"] >= 0) & (model.difficulty["distance"] <= 1)).all()


def test_a_training_molecule_is_marked(growing, tmp_path):
    folder, model, new, _ = growing
    known = REAL[0]
    source = write_table(tmp_path / "in.csv", [(known, 0), (new[0], 0), ("C(C", 0)])
    predict_file(model, str(source), tmp_path / "out.parquet", Reporter(), workers=1)
    found = pd.read_parquet(tmp_path / "out.parquet")
    assert found["in_training"].tolist()[:2] == [True, False]
    assert found["in_training"].isna().tolist() == [False, False, True]
    named = model.columns()
    assert named[named.index("similarity") :][:3] == ["similarity", "in_training", "in_domain"]
    done = chemtune("predict", folder, "--smiles", known, "--smiles", new[0], cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    first, second = done.stdout.strip().splitlines()
    assert "; a training molecule" in first
    assert "; a training molecule" not in second


def test_a_similar_molecule_is_not_a_training_molecule(alcohols):
    """Long chains have one fingerprint; another notation of one molecule is the same structure."""
    model = fitted(alcohols, "mean")
    marked = model.describe(frame(["C" * 40 + "O", *model.domain.smiles[:3]]))["in_training"]
    assert marked.tolist() == [False, True, True, True]


def test_a_structure_is_known_under_other_conditions_of_training(tmp_path):
    """The first molecule was measured at 20 alone."""
    rows = [(s, 20 + 10 * (i % 2), len(s)) for i, s in enumerate(REAL[:60])]
    path = write_table(tmp_path / "t.csv", rows, "SMILES,temperature,value")
    model = fitted(path, "mean", context="temperature")
    X = pd.DataFrame({"smiles": [model.domain.smiles[0], "FC(F)(F)CBr"], "temperature": ["30", "20"]})
    assert model.describe(X)["in_training"].tolist() == [True, False]
    model.save(tmp_path / "m")
    assert "if with other context" in (tmp_path / "m" / "README.md").read_text(encoding="utf-8")


def test_a_model_of_classes_marks_training_molecules_too(alcohols, tmp_path):
    model = fitted(alcohols, "knn", bins=2)
    found = model.describe(frame([model.domain.smiles[0], "FC(F)(F)CBr"]))
    assert found["in_training"].tolist() == [True, False]
    model.save(tmp_path / "m")
    text = (tmp_path / "m" / "README.md").read_text(encoding="utf-8")
    assert "`in_training`" in text
    assert "`lower`" not in text


def test_a_text_like_none_of_training_is_outside_however_alone_some_of_those_are(tmp_path):
    rows = [*((f"heat the sample for {n} h", n) for n in range(40)), *((word * 4, 3) for word in "abcdefg")]
    path = write_table(tmp_path / "t.csv", rows, "step,minutes")
    settings = {"text": "step", "target": "minutes"}
    model = fit_model(make_config(str(path), settings), "word-ridge", Reporter())
    assert model.domain.threshold == 0
    found = model.describe(["zzzz", "heat the sample for 41 h"])
    assert found["in_domain"].tolist() == [False, True]
    assert found["domain_note"].iloc[0] == "no training text is similar at all"


def test_the_nearest_of_a_training_row_is_itself_where_others_have_the_same_bits():
    alloys = [f"Fe{share}Ni{100 - share}" for share in range(41, 60, 2)]
    domain = Domain.fit(alloys, np.array(alloys, dtype=object), COMPOSITIONS)
    similarity, index = domain.nearest(alloys)
    assert index.tolist() == list(range(len(alloys)))
    assert (similarity == 1).all()


def test_the_groups_of_the_held_out_rows_go_home_with_the_model(tmp_path):
    """Each molecule at four temperatures: its rows say nothing of each other's intervals, now and once saved."""
    values = np.random.default_rng(0).normal(size=80)
    rows = [(s, 10 * time, values[place] + 0.01 * time) for place, s in enumerate(REAL[:80]) for time in range(4)]
    path = write_table(tmp_path / "t.csv", rows, "SMILES,temperature,value")
    model = fitted(path, "mean", context="temperature")
    assert len(model.groups) == len(model.residuals)
    sizes = np.unique(model.groups, return_counts=True)[1]
    assert sizes.min() >= 4
    model.about["calibration"]["interval"] = "by distance"
    X = pd.DataFrame({"smiles": REAL[80:120], "temperature": "20"})
    by_rows = replace(model, groups=None).describe(X)
    model.save(tmp_path / "m")
    pd.testing.assert_frame_equal(load_model(tmp_path / "m").describe(X), model.describe(X))
    assert (model.describe(X)["upper"] != by_rows["upper"]).all()
