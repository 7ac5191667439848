"""The scikit-learn door: what the ecosystem expects of an estimator works over SMILES."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.ensemble import StackingRegressor
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.utils import estimator_checks

from pipeline import (
    LoraClassifier,
    LoraRegressor,
    MolecularFeatures,
    MoleculeKFold,
    ScaffoldHoldOut,
    ScaffoldKFold,
    load,
)
from tests.conftest import SMILES

X = np.array(SMILES)
Y = np.array([float(len(text)) for text in SMILES])
LABELS = np.where(np.median(Y) < Y, "long", "short")
CHECKS = (
    "check_estimator_cloneable",
    "check_estimator_repr",
    "check_estimator_tags_renamed",
    "check_get_params_invariance",
    "check_mixin_order",
    "check_no_attributes_set_in_init",
    "check_parameters_default_constructible",
    "check_set_params",
)
BASELINE = make_pipeline(MolecularFeatures(("descriptors",)), Ridge())


@pytest.fixture
def tiny(tiny_folder):
    return {"model": str(tiny_folder), "trained_layers": 1, "dtype": "float32", "steps": 3}


@pytest.mark.parametrize("kind", [LoraRegressor, LoraClassifier, MolecularFeatures])
@pytest.mark.parametrize("check", CHECKS)
def test_estimator_checks_that_make_sense_for_text(kind, check):
    getattr(estimator_checks, check)(kind.__name__, kind())


def test_the_same_molecule_written_otherwise_gets_the_same_prediction(tiny):
    model = LoraRegressor("length", **tiny).fit(X, Y)
    assert model.predict(["OCC"]) == model.predict(["CCO"])
    assert model.fit(list(X), list(Y)).predict(X).shape == (len(X),)


def test_clones_with_equal_seeds_agree_and_other_seeds_differ(tiny):
    model = LoraRegressor(**tiny).fit(X, Y)
    again = clone(model).fit(X, Y)
    other = clone(model).set_params(random_state=1).fit(X, Y)
    np.testing.assert_array_equal(model.predict(X), again.predict(X))
    assert not np.array_equal(model.predict(X), other.predict(X))


@pytest.mark.parametrize("readout", ["head", "text"])
def test_a_saved_estimator_predicts_the_same(tiny, tmp_path, readout):
    model = LoraClassifier(readout=readout, **tiny).fit(X, LABELS)
    assert list(model.classes_) == ["long", "short"]
    model.save(tmp_path / "model")
    again = load(tmp_path / "model")
    np.testing.assert_array_equal(again.predict_proba(X), model.predict_proba(X))
    np.testing.assert_array_equal(again.predict(X), model.predict(X))


def test_grid_search_over_rank(tiny):
    search = GridSearchCV(LoraRegressor(**tiny), {"rank": [2, 4]}, cv=2, error_score="raise").fit(X, Y)
    assert search.best_params_["rank"] in (2, 4)


def test_cross_validation_over_scaffolds(tiny):
    scores = cross_val_score(LoraRegressor(**tiny), X, Y, cv=ScaffoldKFold(3), error_score="raise")
    assert np.isfinite(scores).all()


def test_stacking_with_a_baseline(tiny):
    stack = StackingRegressor([("lm", LoraRegressor(**tiny)), ("ridge", BASELINE)], cv=MoleculeKFold(2))
    assert stack.fit(X, Y).predict(X[:3]).shape == (3,)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((["CCO", "C(C"], [1, 2]), r"X\[1\] is 'C\(C'"),
        ((["CCO", "CCC"], [1]), r"y has shape \(1,\)"),
        ((["CCO", "CCC"], [1, 2], [1, 1]), "sample_weight"),
        (([["CCO"]], [1]), "one-dimensional"),
    ],
)
def test_wrong_input_is_refused_by_name(tiny, arguments, words):
    with pytest.raises(ValueError, match=words):
        LoraRegressor(**tiny).fit(*arguments)


def test_scaffold_folds_are_disjoint_whole_and_test_every_row_once():
    folds = list(ScaffoldKFold(3).split(X))
    assert sorted(np.concatenate([test for _, test in folds])) == list(range(len(X)))
    ring = np.array(["c1ccccc1" in text for text in X])
    for train, test in folds:
        assert not set(train) & set(test)
        assert not (ring[train].any() and ring[test].any())
    (train, test), *rest = ScaffoldHoldOut(0.25).split(X)
    assert not rest
    assert len(train) + len(test) == len(X)


def test_features_learn_from_training_rows_alone():
    features = MolecularFeatures().fit(X[:20])
    before = features.transform(X[:20])
    features.transform(X)
    np.testing.assert_array_equal(features.transform(X[:20]), before)
    assert np.isfinite(features.transform(X)).all()
