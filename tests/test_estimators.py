"""The scikit-learn door: what the ecosystem expects of an estimator works over SMILES."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pandas as pd
import pyarrow
import pytest
from rdkit import Chem
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
from pipeline.models.fitting import fit_model
from pipeline.reporter import Reporter
from pipeline.settings.reading import make_config
from tests.conftest import SMILES, write_table

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
        (([["CCO"]], [1]), r"one-dimensional .* shape \(1, 1\); give its column of SMILES, such as X\[:, 0\]"),
        (("CCO", [1]), r"X is 'CCO' \(str\); expected a sequence"),
        (([], []), "X is empty"),
        ((pd.DataFrame({"smiles": []}), []), "X is empty"),
        ((["CCO", None], [1, 2]), r"X\[1\] is None; expected a SMILES or an RDKit Mol; Chem.MolFromSmiles gives None"),
        ((["CCO", float("nan")], [1, 2]), r"X\[1\] is nan \(float\); expected a SMILES"),
        ((["CCO", 3], [1, 2]), r"X\[1\] is 3 \(int\); expected a SMILES"),
        ((pd.Series(["CCO", pd.NA], dtype="string"), [1, 2]), r"X\[1\] is <NA>; expected a SMILES"),
        (([Chem.MolFromSmiles("CCO"), None], [1, 2]), r"X\[1\] is None"),
    ],
)
def test_wrong_input_is_refused_by_name(tiny, arguments, words):
    with pytest.raises(ValueError, match=words):
        LoraRegressor(**tiny).fit(*arguments)


@pytest.mark.parametrize(
    ("kind", "targets", "words"),
    [
        (
            LoraRegressor,
            [1.0, float("nan"), 3.0, float("inf")],
            r"y\[1\] is nan, y\[3\] is inf; expected a finite number",
        ),
        (LoraRegressor, [1.0, -np.inf, 3.0, 4.0], r"y\[1\] is -inf"),
        (LoraRegressor, [1, None, 3, 4], r"y\[1\] is None"),
        (LoraRegressor, ["1", "high", "3", "4"], r"y\[1\] is high"),
        (LoraClassifier, ["a", None, "b", "a"], r"y\[1\] is None; expected a class"),
        (LoraClassifier, [0.0, float("nan"), 1.0, 0.0], r"y\[1\] is nan; expected a class"),
    ],
)
def test_targets_that_cannot_be_learned_are_refused_by_place(tiny, kind, targets, words):
    with pytest.raises(ValueError, match=words):
        kind(**tiny).fit(X[:4], targets)
    with pytest.raises(ValueError, match="and 3 more"):
        LoraRegressor(**tiny).fit(X[:8], [np.nan] * 8)


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


LIKE_LISTS = {
    "tuple": tuple,
    "array of str": np.array,
    "array of objects": lambda texts: np.array(texts, dtype=object),
    "index": pd.Index,
    "series of strings": lambda texts: pd.Series(texts, dtype="string", index=[text[::-1] for text in texts]),
    "series of Arrow strings": lambda texts: pd.Series(texts, dtype=pd.ArrowDtype(pyarrow.string())),
    "categories": lambda texts: pd.Series(texts, dtype="category"),
    "Arrow array": pyarrow.array,
    "Arrow chunks": lambda texts: pyarrow.chunked_array([texts[:2], texts[2:]]),
    "molecules": lambda texts: [Chem.MolFromSmiles(text) for text in texts],
    "molecules with hydrogens": lambda texts: [Chem.AddHs(Chem.MolFromSmiles(text)) for text in texts],
    "series of molecules": lambda texts: pd.Series([Chem.MolFromSmiles(text) for text in texts]),
    "frame of molecules": lambda texts: pd.DataFrame({"mol": [Chem.MolFromSmiles(text) for text in texts]}),
}


@pytest.fixture(scope="module")
def saved(tmp_path_factory, tiny_folder):
    """Ridge on the lengths of the molecules, and a language model that was taught them."""
    folder = tmp_path_factory.mktemp("saved")
    table = write_table(folder / "t.csv", list(zip(SMILES, Y, strict=True)))
    fit_model(make_config(str(table), {"target": "value"}), "ridge", Reporter()).save(folder / "ridge")
    tiny = {"model": str(tiny_folder), "trained_layers": 1, "dtype": "float32", "steps": 3}
    LoraClassifier(**tiny).fit(X, LABELS).save(folder / "lm")
    return {name: load(folder / name) for name in ("ridge", "lm")}


@pytest.mark.parametrize("form", LIKE_LISTS)
def test_whatever_is_like_a_list_of_molecules_is_taken(saved, form):
    given, expected = LIKE_LISTS[form](SMILES[:6]), SMILES[:6]
    features = MolecularFeatures(("bits",)).fit(given)
    np.testing.assert_array_equal(features.transform(given), features.transform(expected))
    ridge = saved["ridge"]
    np.testing.assert_array_equal(ridge.predict(given), ridge.predict(expected))
    np.testing.assert_array_equal(ridge.describe(given).to_numpy(), ridge.describe(expected).to_numpy())


def test_language_models_take_molecules_of_rdkit(tiny, saved):
    molecules = [Chem.MolFromSmiles(text) for text in SMILES]
    model = LoraRegressor(**tiny)
    np.testing.assert_array_equal(model.fit(molecules, Y).predict(molecules), clone(model).fit(X, Y).predict(X))
    np.testing.assert_array_equal(saved["lm"].predict_proba(molecules), saved["lm"].predict_proba(X))
    assert (saved["lm"].predict(molecules) == saved["lm"].describe(molecules)["prediction"]).all()


def test_describe_takes_what_predict_takes_and_says_the_same(saved):
    model = saved["ridge"]
    described = model.describe(["OCC", "C(C)N"])
    np.testing.assert_array_equal(described["prediction"], model.predict(["CCO", "CCN"]))
    assert list(described["nearest_training_molecule"]) == ["CCO", "CCN"]
    assert list(described["similarity"]) == [1.0, 1.0]
    assert list(model.describe(pd.Series(["OCC"], index=["mine"])).index) == ["mine"]
    assert list(described.columns) == model.columns()
    with pytest.raises(ValueError, match=r"X\[1\] is 'C\(C'"):
        model.describe(["CCO", "C(C"])
    with pytest.raises(ValueError, match="X is empty"):
        model.describe([])


def test_context_is_found_by_its_name_and_missed_by_it(tmp_path):
    rows = [(text, len(text) + 5 * (n % 2), ("water", "ethanol")[n % 2]) for n, text in enumerate(SMILES)]
    table = write_table(tmp_path / "t.csv", rows, "SMILES,value,solvent")
    model = fit_model(make_config(str(table), {"target": "value", "context": "solvent"}), "ridge", Reporter())
    frame = pd.DataFrame({"mine": ["OCC", "CCN"], "solvent": ["water", "ethanol"]})
    expected = model.predict(frame)
    np.testing.assert_array_equal(model.describe(frame)["prediction"], expected)
    np.testing.assert_array_equal(model.predict(frame.assign(more=1)[["mine", "more", "solvent"]]), expected)
    for bare in (["CCO"], frame[["mine"]]):
        with pytest.raises(ValueError, match="X has no column 'solvent'"):
            model.predict(bare)


def test_reactions_are_described_as_they_are_predicted(couplings):
    columns = ["halide", "amine", "base", "solvent"]
    config = make_config(str(couplings), {"components": columns, "yield": "yield"})
    model = fit_model(config, "components-rf", Reporter())
    frame = pd.DataFrame([("c1ccncc1Br", "C(C)N", None, "toluene")], columns=columns, index=["mine"])
    drawn = frame.assign(halide=[Chem.MolFromSmiles("Brc1cccnc1")])
    described = model.describe(frame)
    np.testing.assert_array_equal(described["prediction"], model.predict(frame))
    pd.testing.assert_frame_equal(model.describe(drawn), described)
    assert list(described.index) == ["mine"]
    with pytest.raises(ValueError, match="X is empty"):
        model.predict(frame[:0])
    alone = fit_model(make_config(str(couplings), {"reaction": "rxn", "yield": "yield"}), "drfp-rf", Reporter())
    texts = ["Brc1ccccc1.CCN>>CCNc1ccccc1"]
    np.testing.assert_array_equal(alone.describe(texts)["prediction"], alone.predict(texts))
    with pytest.raises(ValueError, match="expected a sequence"):
        alone.predict(texts[0])


WARNED = """
import sys
from pipeline import LoraClassifier, LoraRegressor, load
from pipeline.features.inputs import canonical_frame
from pipeline.arms.ladder import class_chances, fit_arm, make_whole
from tests.conftest import SMILES
import numpy as np, pandas as pd
model, folder = sys.argv[1:]
X = canonical_frame(pd.DataFrame({"smiles": SMILES, "solvent": ["water", "ethanol"] * 24, "t": range(48)}))
y = np.array([float(len(text)) for text in SMILES])
labels, groups = np.where(y > np.median(y), "long", "short"), np.array(SMILES, dtype=object)
for arm in ("ngram-ridge", "knn", "ridge", "ensemble"):
    fit_arm(make_whole(arm, "regression", seed=0, threads=1), X, y, groups).predict(X)
    class_chances(fit_arm(make_whole(arm, "classes", seed=0, threads=1), X, labels, groups), ("long", "short"), X)
for readout in ("head", "text"):
    tiny = {"readout": readout, "model": model, "trained_layers": 1, "dtype": "float32", "steps": 2}
    LoraRegressor(**tiny).fit(SMILES, y).save(folder)
    load(folder).describe(SMILES[:2])
    LoraClassifier(**tiny).fit(SMILES, labels).predict_proba(SMILES)
"""


def test_no_warning_of_a_library_reaches_the_user(tiny_folder, tmp_path):
    """Those for users: warnings for the developers of a library, Python does not show."""
    env = {name: value for name, value in os.environ.items() if name != "PYTHONWARNINGS"}
    done = subprocess.run(
        [sys.executable, "-W", "always::FutureWarning", "-c", WARNED, str(tiny_folder), str(tmp_path / "model")],
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "Warning" not in done.stderr
