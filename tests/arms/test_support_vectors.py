"""The arms `svr` and `svr-counts`: what chooses its settings, and what odd tables do to them."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.svm import SVC, SVR

from pipeline.arms import support_vectors
from pipeline.arms.ladder import make_arm
from pipeline.arms.support_vectors import CountVectorLabels, CountVectors, SupportVectorLabels, SupportVectors
from pipeline.features.structures import morgan_counts, tanimoto
from pipeline.models.arm_files import ArmSetting, read_arm, write_arm
from pipeline.prompts.templates import PromptTemplate
from tests.conftest import SMILES

X = np.array(SMILES, dtype=object)
Y = np.array([len(text) + 0.1 * (place % 3) for place, text in enumerate(SMILES)])
# Charges of the metals, of hydrogen, and the information content of a long chain are undefined.
ODD = np.array(["[Na+].[Cl-]", "[H][H]", "O=[U]=O", "C" * 300], dtype=object)
LABELS = np.where(np.median(Y) < Y, "long", "short")
NUMBERS, CLASSES = (SupportVectors, CountVectors), (SupportVectorLabels, CountVectorLabels)


def test_it_beats_the_mean_on_molecules_that_it_has_not_seen():
    held = np.arange(len(X)) % 4 == 0
    errors = {
        arm: np.abs(make_arm(arm, "regression", seed=0, threads=1).fit(X[~held], Y[~held]).predict(X[held]) - Y[held])
        for arm in ("svr", "svr-counts", "mean")
    }
    assert errors["svr"].mean() < 0.3 * errors["mean"].mean()
    assert errors["svr-counts"].mean() < 0.6 * errors["mean"].mean()


@pytest.mark.parametrize(("kind", "share"), [(SupportVectorLabels, 0.5), (CountVectorLabels, 0.8)])
def test_held_out_classes_get_chances_that_are_better_than_their_shares(kind, share):
    held = np.arange(len(X)) % 4 == 0
    chances = kind().fit(X[~held], LABELS[~held]).predict_proba(X[held])
    assert list(np.unique(LABELS)) == ["long", "short"]
    of_truth = np.where(LABELS[held] == "long", chances[:, 0], chances[:, 1])
    assert -np.log(of_truth).mean() < share * np.log(2)
    np.testing.assert_allclose(chances.sum(axis=1), 1.0, atol=1e-12)


@pytest.mark.parametrize("part_rows", [5_000, 20])
@pytest.mark.parametrize("kind", [*NUMBERS, *CLASSES])
def test_what_is_read_back_predicts_the_same_to_the_last_digit(tmp_path, kind, part_rows):
    labels = kind in CLASSES
    model = kind(part_rows=part_rows).fit(X, np.repeat(["a", "b", "c"], 16) if labels else Y)
    setting = ArmSetting("classes" if labels else "regression", (), PromptTemplate("y", ""), engine=lambda: None)
    again = read_arm(tmp_path, "svr", write_arm(tmp_path, "svr", model), setting)
    predict = "predict_proba" if labels else "predict"
    np.testing.assert_array_equal(getattr(model, predict)(X), getattr(again, predict)(X))


def test_its_machines_score_as_those_of_scikit_learn():
    rows = SupportVectors().fit(X, Y).features_.transform(X)
    gamma = 0.3 / rows.shape[1]
    for kind, target in ((SVR, (Y - Y.mean()) / Y.std()), (SVC, np.where(LABELS == "long", 1.0, -1.0))):
        setting = (0.3, 4.0, 0.1)
        theirs = kind(kernel="rbf", gamma=gamma, C=4.0).fit(rows, target)
        expected = theirs.predict(rows) if kind is SVR else theirs.decision_function(rows)
        found = support_vectors._scores(support_vectors._machines(kind, setting, rows, target, 5_000), setting, rows)
        np.testing.assert_allclose(found, expected, atol=1e-2)  # libsvm stops at 1e-3


def test_the_kernel_of_counts_is_that_of_the_gaussian_process():
    rows, counts = CountVectors().fit(X, Y).features_.transform(X), morgan_counts(X)
    expected = tanimoto(counts, counts).astype(float)
    np.testing.assert_array_equal(CountVectors()._kernel(0.3, rows, rows), expected)
    assert np.linalg.eigvalsh(expected).min() > -1e-5
    beside = pd.DataFrame({"smiles": X, "solvent": ["a", "b"] * 24})
    model = CountVectors().fit(beside, Y)
    rows = model.features_.transform(beside)
    apart = np.where(np.equal.outer(beside["solvent"].to_numpy(), beside["solvent"].to_numpy()), 1.0, np.exp(-0.3))
    np.testing.assert_allclose(model._kernel(0.3, rows, rows), expected * apart)


@pytest.mark.parametrize("kind", [*NUMBERS, *CLASSES])
def test_its_inner_folds_hold_out_whole_groups(monkeypatch, kind):
    groups, seen = np.arange(len(X)) // 4, []
    y = LABELS if kind in CLASSES else Y
    place = {row.tobytes(): number for number, row in enumerate(kind().fit(X, y).features_.transform(X))}
    assert len(place) == len(X)
    fit = support_vectors._machine

    def noted(kind, setting, rows, target, kernel):
        seen.append({place[row.tobytes()] for row in rows})
        return fit(kind, setting, rows, target, kernel)

    monkeypatch.setattr(support_vectors, "_machine", noted)
    kind().fit(X, y, groups=groups)
    assert any(0 < len(rows) < len(X) for rows in seen)
    for rows in seen:
        assert all(sum(groups[row] == group for row in rows) in (0, 4) for group in range(12))


def test_groups_decide_the_settings():
    """Pairs that share a value and a group: held out one by one, the near twin has the answer."""
    rng = np.random.default_rng(0)
    smiles = np.array([f"{'C' * a}{end}" for a in range(1, 21) for end in ("O", "OC")], dtype=object)
    y = np.repeat(rng.normal(size=20), 2)
    together = SupportVectors().fit(smiles, y, groups=np.repeat(np.arange(20), 2))
    assert together.setting_ != SupportVectors().fit(smiles, y).setting_


@pytest.mark.parametrize("kind", NUMBERS)
def test_a_prediction_does_not_depend_on_the_rows_beside_it(kind):
    model = kind().fit(X[:40], Y[:40])
    together = model.predict(X)
    np.testing.assert_allclose([model.predict(X[[place]])[0] for place in range(len(X))], together, atol=1e-9)
    again = kind().fit(X[:40], Y[:40])
    np.testing.assert_array_equal(again.predict(X), together)


@pytest.mark.parametrize("kind", NUMBERS)
def test_a_condition_reaches_it(kind):
    rows = [(text, str(t), len(text) + 0.05 * t) for text in SMILES[:24] for t in (20, 60, 100)]
    frame = pd.DataFrame(rows, columns=["smiles", "temperature", "y"])
    inputs = frame[["smiles", "temperature"]]
    model = kind().fit(inputs, frame["y"].to_numpy(), groups=frame["smiles"])
    cold, hot = (model.predict(inputs.assign(temperature=t)).mean() for t in ("20", "100"))
    assert 2 < hot - cold < 6  # 4


@pytest.mark.parametrize(
    ("smiles", "y"),
    [
        (X, np.full(len(X), 0.1)),
        (X[:5], Y[:5]),
        (X[:1], Y[:1]),
        (np.full(12, "CCO", dtype=object), np.arange(12.0)),
        (ODD, np.arange(4.0)),
    ],
    ids=["constant target", "five rows", "one row", "constant features", "undefined descriptors"],
)
@pytest.mark.parametrize("kind", NUMBERS)
def test_an_odd_table_of_numbers_gives_finite_predictions(kind, smiles, y):
    predicted = kind().fit(smiles, y, groups=smiles).predict(np.array([*smiles, "c1ccccc1"], dtype=object))
    assert np.isfinite(predicted).all()
    assert y.min() - 3 <= predicted.min() <= predicted.max() <= y.max() + 3
    if y.min() == y.max():
        np.testing.assert_allclose(predicted, y[0])


@pytest.mark.parametrize(
    ("smiles", "y"),
    [
        (X[:5], np.array(["a", "b", "a", "b", "a"])),
        (X[:2], np.array(["a", "b"])),
        (X, np.array(["rare", *["a", "b"] * 23, "rarest"])),
        (np.full(12, "CCO", dtype=object), np.array(["a", "b"] * 6)),
        (ODD, np.array(["a", "b", "a", "b"])),
    ],
    ids=["five rows", "two rows", "classes of one row", "constant features", "undefined descriptors"],
)
@pytest.mark.parametrize("bound", [5_000, 10])
@pytest.mark.parametrize("kind", CLASSES)
def test_an_odd_table_of_classes_gives_probabilities(kind, smiles, y, bound):
    model = kind(grid_rows=bound, part_rows=bound).fit(smiles, y, groups=smiles)
    chances = model.predict_proba(smiles)
    assert chances.shape == (len(smiles), len(set(y)))
    assert ((chances >= 0) & (chances <= 1)).all()
    np.testing.assert_allclose(chances.sum(axis=1), 1.0, atol=1e-9)


def test_many_rows_are_split_into_parts_and_none_is_left_out():
    model = SupportVectors(grid_rows=20, part_rows=20).fit(X, Y)
    assert len(model.machines_) == 3
    whole = SupportVectors().fit(X, Y)
    assert np.abs(model.predict(X) - Y).mean() < 0.5 * Y.std()
    assert np.abs(whole.predict(X) - Y).mean() <= np.abs(model.predict(X) - Y).mean()
