"""The arm `chemprop`: that it trains as the program of the package does, and what its predictions hang on."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from pipeline.arms import message_passing
from pipeline.arms.ladder import make_arm
from pipeline.arms.message_passing import MessagePassingClassifier, MessagePassingRegressor
from pipeline.errors import InputError
from pipeline.models.arm_files import ArmSetting, read_arm, write_arm
from pipeline.prompts.templates import PromptTemplate
from pipeline.splits.splitters import inner_fold_numbers
from tests.conftest import SMILES

X = np.array(SMILES, dtype=object)
Y = np.array([len(text) + 0.1 * (place % 3) for place, text in enumerate(SMILES)])
TWO, THREE = np.where(np.median(Y) < Y, "long", "short"), np.repeat(["a", "b", "c"], 16)


def test_a_missing_package_is_one_line_that_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "chemprop", None)
    with pytest.raises(InputError, match=r"pip install 'chemtune\[chemprop\]'") as told:
        make_arm("chemprop", "regression", seed=0, threads=1).fit(X, Y)
    assert "\n" not in str(told.value)


class TestWithThePackage:
    @pytest.fixture(autouse=True, scope="class")
    def _package(self):
        pytest.importorskip("chemprop")

    def test_it_learns_what_the_length_of_a_molecule_says(self):
        held = np.arange(len(X)) % 4 == 0
        predicted = MessagePassingRegressor(epochs=150).fit(X[~held], Y[~held], groups=X[~held]).predict(X[held])
        assert np.abs(predicted - Y[held]).mean() < 0.6 * np.abs(Y[~held].mean() - Y[held]).mean()

    def test_probabilities_of_classes_are_better_than_their_shares(self):
        held = np.arange(len(X)) % 4 == 0
        model = MessagePassingClassifier(epochs=100).fit(X[~held], TWO[~held], groups=X[~held])
        chances = model.predict_proba(X[held])
        of_truth = np.where(TWO[held] == model.classes_[0], chances[:, 0], chances[:, 1])
        assert -np.log(of_truth).mean() < 0.9 * np.log(2)

    @pytest.mark.slow
    def test_it_trains_as_the_trainer_of_lightning_does(self, tmp_path):
        """The trainer that ``chemprop train`` hands its model to, with a checkpoint of the least validation loss."""
        import torch
        from chemprop import data, models, nn
        from lightning import pytorch
        from lightning.pytorch.callbacks import ModelCheckpoint

        smiles = np.array([f"{start}{text}" for text in SMILES for start in ("", "N", "C(O)C")][:140], dtype=object)
        y = np.array([len(text) + 0.1 * (place % 3) for place, text in enumerate(smiles)])
        model = MessagePassingRegressor(epochs=5).fit(smiles, y, groups=smiles)
        held = inner_fold_numbers(smiles, np.zeros(len(y)), message_passing.PARTS, 0) == 0
        target = (y - y.mean()) / y.std()
        rows = [
            data.MoleculeDatapoint.from_smi(text, np.array([value])) for text, value in zip(smiles, target, strict=True)
        ]
        parts = [
            data.MoleculeDataset([row for row, other in zip(rows, held, strict=True) if other == side])
            for side in (False, True)
        ]
        before = torch.get_num_threads()
        torch.set_num_threads(1)
        torch.manual_seed(0)
        network = models.MPNN(nn.BondMessagePassing(), nn.NormAggregation(), nn.RegressionFFN())
        best = ModelCheckpoint(tmp_path, "best", "val_loss", mode="min")
        said = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False}
        trainer = pytorch.Trainer(accelerator="cpu", devices=1, max_epochs=5, callbacks=[best], **said)
        trainer.fit(network, data.build_dataloader(parts[0], seed=0), data.build_dataloader(parts[1], shuffle=False))
        torch.set_num_threads(before)
        theirs = torch.load(best.best_model_path, weights_only=False)["state_dict"]
        for name, values in model.weights_[0].items():
            np.testing.assert_allclose(values, theirs[name].numpy(), atol=1e-6)

    def test_the_seed_decides_and_nothing_else(self):
        import torch

        state = torch.random.get_rng_state()
        first, again, other = (MessagePassingRegressor(seed, epochs=3).fit(X, Y) for seed in (0, 0, 1))
        np.testing.assert_array_equal(first.predict(X), again.predict(X))
        assert np.abs(first.predict(X) - other.predict(X)).max() > 1e-3
        torch.testing.assert_close(torch.random.get_rng_state(), state)

    def test_no_number_hangs_on_the_threads_that_torch_may_use(self):
        import torch

        before, found = torch.get_num_threads(), []
        for threads in (1, 2):
            torch.set_num_threads(threads)
            found.append(MessagePassingRegressor(epochs=2).fit(X, Y).predict(X))
            assert torch.get_num_threads() == threads
        torch.set_num_threads(before)
        np.testing.assert_array_equal(*found)

    def test_a_prediction_does_not_hang_on_the_rows_beside_it(self):
        model = MessagePassingRegressor(epochs=3).fit(X[:40], Y[:40])
        many = np.tile(X, 3)
        together = model.predict(many)
        np.testing.assert_allclose(model.predict(many[::-1])[::-1], together, atol=1e-9)
        np.testing.assert_allclose([model.predict(X[[place]])[0] for place in range(48)], together[:48], atol=1e-9)

    @pytest.mark.parametrize("kind", [MessagePassingRegressor, MessagePassingClassifier])
    def test_whole_groups_choose_the_epoch(self, kind, monkeypatch):
        groups, seen = np.arange(len(X)) // 4, []

        def noted(outputs, graphs, beside, target, held, *settings):
            seen.append(held)
            return {}

        monkeypatch.setattr(message_passing, "_trained", noted)
        kind(members=2).fit(X, TWO if kind is MessagePassingClassifier else Y, groups=groups)
        assert len(seen) == 2
        for held in seen:
            assert 0 < held.sum() <= 8
            assert all(held[groups == group].all() or not held[groups == group].any() for group in groups)

    def test_the_epoch_that_is_kept_has_the_least_loss_on_the_rows_held_out(self, monkeypatch):
        losses, loss = [], message_passing._loss

        def noted(output, target, outputs):
            found = loss(output, target, outputs)
            if not found.requires_grad:
                losses.append(found.item())
            return found

        monkeypatch.setattr(message_passing, "_loss", noted)
        many, y = np.tile(X, 2), np.tile(Y, 2) + np.random.default_rng(0).normal(size=96) * 8
        model = MessagePassingRegressor(epochs=12).fit(many, y, groups=many)
        assert len(losses) == 12
        held = inner_fold_numbers(many, np.zeros(96), message_passing.PARTS, 0) == 0
        kept = np.mean((model._scores(many[held])[0, :, 0] - (y[held] - model.mean_) / model.scale_) ** 2)
        assert kept == pytest.approx(min(losses), rel=1e-4)
        assert losses[-1] > min(losses)

    @pytest.mark.parametrize("y", [Y, TWO, THREE], ids=["numbers", "two classes", "three classes"])
    def test_what_is_read_back_predicts_the_same_to_the_last_digit(self, tmp_path, y):
        kind, task = (MessagePassingRegressor, "regression") if y is Y else (MessagePassingClassifier, "classes")
        frame = pd.DataFrame({"smiles": X, "solvent": ["water", "oil"] * 24, "t": [str(20 + n) for n in range(48)]})
        model = kind(members=2, epochs=2).fit(frame, y, groups=X)
        setting = ArmSetting(task, (), PromptTemplate("y", ""), engine=lambda: None)
        again = read_arm(tmp_path, "chemprop", write_arm(tmp_path, "chemprop", model), setting)
        predict = "predict" if y is Y else "predict_proba"
        found = getattr(model, predict)(frame)
        np.testing.assert_array_equal(getattr(again, predict)(frame), found)
        if y is not Y:
            assert found.shape == (48, len(set(y)))
            np.testing.assert_allclose(found.sum(axis=1), 1.0, atol=1e-12)
            assert set(model.predict(frame)) <= set(y)

    def test_a_condition_reaches_it(self):
        rows = [(text, str(t), len(text) + 0.05 * t) for text in SMILES[:24] for t in (20, 60, 100)]
        frame = pd.DataFrame(rows, columns=["smiles", "temperature", "y"])
        inputs = frame[["smiles", "temperature"]]
        model = MessagePassingRegressor(epochs=30).fit(inputs, frame["y"].to_numpy(), groups=frame["smiles"])
        cold, hot = (model.predict(inputs.assign(temperature=t)).mean() for t in ("20", "100"))
        assert 2 < hot - cold < 6  # 4
        odd = model.predict(inputs.head(2).assign(temperature="oops"))
        assert np.isfinite(odd).all()

    @pytest.mark.parametrize(
        ("smiles", "y"),
        [
            (X, np.full(len(X), 0.1)),
            (X[:1], Y[:1]),
            (X[:2], Y[:2]),
            (np.full(12, "CCO", dtype=object), np.arange(12.0)),
            (np.array(["[Na+].[Cl-]", "[H][H]", "O=[U]=O", "[Pt]", "C" * 300], dtype=object), np.arange(5.0)),
            (np.tile(X, 2)[:73], np.tile(Y, 2)[:73]),
        ],
        ids=["constant target", "one row", "two rows", "duplicates", "odd molecules", "a batch of one row"],
    )
    def test_an_odd_table_of_numbers_gives_finite_predictions(self, smiles, y):
        model = MessagePassingRegressor(epochs=3).fit(smiles, y, groups=smiles)
        predicted = model.predict(np.array([*smiles, "c1ccccc1"], dtype=object))
        assert np.isfinite(predicted).all()
        if y.min() == y.max():
            np.testing.assert_allclose(predicted, y[0], atol=0.5)

    def test_a_class_of_one_row_and_a_table_of_one_class(self):
        rare = MessagePassingClassifier(epochs=2).fit(X, np.array(["rare", *["a", "b"] * 23, "a"]), groups=X)
        assert rare.predict_proba(X).shape == (48, 3)
        only = MessagePassingClassifier(epochs=2).fit(X[:6], np.full(6, "yes"), groups=X[:6])
        np.testing.assert_allclose(only.predict_proba(X), 1.0)

    @pytest.mark.slow
    def test_nothing_is_said_and_no_file_is_left(self, tmp_path):
        code = (
            "import numpy as np\n"
            "from pipeline.arms.message_passing import MessagePassingRegressor\n"
            "X = np.array(['C' * n + 'O' for n in range(1, 9)] + ['[H+]'], dtype=object)\n"
            "MessagePassingRegressor(epochs=3).fit(X, np.arange(9.0)).predict(X)\n"
        )
        done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
        assert not list(tmp_path.iterdir())
