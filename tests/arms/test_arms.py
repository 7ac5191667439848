from __future__ import annotations

import numpy as np
import pytest
from sklearn.base import clone

from pipeline.arms.catalogue import ARMS, BASELINE, MOLECULES, arms_of
from pipeline.arms.gaussian_process import GaussianProcess, GaussianProcessLabels
from pipeline.arms.ladder import fitted_arms, is_language_model, make_arm, resolve_arms
from pipeline.errors import InputError
from pipeline.features.similarity import nearest_neighbours
from pipeline.features.structures import CleanDescriptors, descriptors, morgan_bits, tanimoto
from tests.conftest import SMILES

Y = np.array([len(s) + 0.1 * (i % 3) for i, s in enumerate(SMILES)])
X = np.array(SMILES, dtype=object)


BASELINES = [arm for arm in arms_of(MOLECULES, BASELINE) if arm != "ensemble" and not ARMS[arm].extra]


@pytest.mark.parametrize("arm", ["mean", *BASELINES])
def test_every_baseline_fits_predicts_and_clones(arm):
    model = make_arm(arm, "regression", seed=0, threads=1)
    fitted = clone(model).fit(X, Y, groups=X)
    predicted = fitted.predict(X[:7])
    assert predicted.shape == (7,)
    assert np.isfinite(predicted).all()
    again = clone(model).fit(X, Y, groups=X).predict(X[:7])
    np.testing.assert_array_equal(predicted, again)


@pytest.mark.parametrize("arm", ["majority", *BASELINES])
def test_every_baseline_gives_probabilities(arm):
    labels = np.where(np.median(Y) < Y, "b", "a")
    model = make_arm(arm, "classes", seed=0, threads=1).fit(X, labels, groups=X)
    chances = model.predict_proba(X[:5])
    assert chances.shape == (5, 2)
    np.testing.assert_allclose(chances.sum(axis=1), 1.0, atol=1e-6)
    assert list(model.classes_) == ["a", "b"]
    assert set(model.predict(X[:5])) <= {"a", "b"}


def test_clean_descriptors_learn_from_training_rows_alone():
    train = np.array([[1.0, np.nan, 5.0], [2.0, np.nan, 5.0], [3.0, 7.0, 5.0]])
    cleaner = CleanDescriptors().fit(train)
    found = cleaner.transform(np.array([[1e9, np.inf, 5.0]]))
    assert np.isfinite(found).all()
    assert np.abs(found).max() <= 5.0
    assert found.shape[1] == 1  # constant in training, imputed included


def test_descriptors_of_odd_molecules_never_raise():
    found = descriptors(["[Na+].[Cl-]", "[H][H]", "C[Si](C)(C)C", "O=[U]=O", "C" * 300])
    assert found.shape[0] == 5


def test_tanimoto_of_bits_is_that_of_rdkit():
    from rdkit import DataStructs
    from rdkit.Chem import MolFromSmiles, rdFingerprintGenerator

    generator = rdFingerprintGenerator.GetMorganGenerator(radius=2, fpSize=2048)
    prints = [generator.GetFingerprint(MolFromSmiles(s)) for s in SMILES[:8]]
    expected = [[DataStructs.TanimotoSimilarity(a, b) for a in prints] for b in prints]
    np.testing.assert_allclose(tanimoto(morgan_bits(SMILES[:8]), morgan_bits(SMILES[:8])), expected, atol=1e-6)


def test_nearest_neighbour_of_itself_is_itself():
    similarity, index = nearest_neighbours(SMILES, SMILES, MOLECULES)
    np.testing.assert_allclose(similarity, 1.0)
    assert all(similarity[i] == 1.0 for i in index)


def test_the_gp_gradient_is_that_of_the_evidence():
    from scipy.optimize import check_grad

    from pipeline.arms.gaussian_process import _negative_evidence, squared_distances
    from pipeline.features.structures import morgan_counts

    counts = morgan_counts(SMILES)
    similarity = tanimoto(counts, counts).astype(float)
    distance = squared_distances(counts[:, :50].astype(float), counts[:, :50].astype(float))
    z = (Y - Y.mean()) / Y.std()
    for theta in ([0.0, -1.0, 0.5, -2.0], [-1.0, 0.5, 0.0, -3.0]):
        error = check_grad(
            lambda t: _negative_evidence(t, similarity, distance, z)[0],
            lambda t: _negative_evidence(t, similarity, distance, z)[1],
            np.array(theta),
        )
        assert error < 1e-2


@pytest.mark.parametrize("large", [12, 40])
def test_gp_classes_can_be_fitted_where_the_rows_are_one_group(large):
    """As where a split tests all small clusters and trains on the one that is left."""
    smiles = np.array(SMILES[:40], dtype=object)
    y = np.array(["long" if len(text) > 6 else "short" for text in smiles])
    groups = np.array([str(max(0, number - large + 1)) for number in range(40)], dtype=object)
    model = GaussianProcessLabels().fit(smiles, y, groups=groups)
    assert np.mean(model.predict(smiles) == y) > 0.9


def test_the_landmark_gp_comes_near_the_exact_one():
    exact = GaussianProcess().fit(X, Y)
    near = GaussianProcess(exact_rows=10, landmarks=len(X)).fit(X, Y)
    mean, deviation = exact.predict(X, return_std=True)
    other, other_deviation = near.predict(X, return_std=True)
    np.testing.assert_allclose(mean, other, atol=0.05)
    assert (deviation > 0).all()
    assert (other_deviation > 0).all()


def test_a_constant_context_and_an_unseen_value_do_no_harm():
    import pandas as pd

    train = pd.DataFrame({"smiles": SMILES, "solvent": ["a", "b"] * (len(SMILES) // 2), "t": ["1"] * len(SMILES)})
    test = train.head(3).assign(solvent="never seen", t="oops")
    for arm in ("ridge", "knn", "ngram-ridge", "lightgbm", "svr"):
        assert np.isfinite(make_arm(arm, "regression", seed=0, threads=1).fit(train, Y).predict(test)).all()


def test_names_groups_and_members():
    assert resolve_arms(["ensemble", "lm-head"], "regression") == ["mean", "ensemble", "lm-head"]
    assert resolve_arms(["baselines"], "classes")[0] == "majority"
    assert resolve_arms(["baselines"], "regression") == (
        ["mean", "ngram-ridge", "knn", "ridge", "rf-bits", "extratrees", "lightgbm", "svr", "gp", "ensemble"]
    )
    assert resolve_arms(["svr-counts", "ridge"], "regression") == ["mean", "ridge", "svr-counts"]
    assert fitted_arms("blend") == ("extratrees", "lightgbm", "gp", "lm-head")
    assert is_language_model("blend")
    assert not is_language_model("ensemble")
    assert fitted_arms("reaction-blend") == ("components-lightgbm", "drfp-lightgbm", "drfp-rf", "lm-head")
    with pytest.raises(InputError, match="did you mean 'lm-head'"):
        resolve_arms(["lm-haed"], "regression")
