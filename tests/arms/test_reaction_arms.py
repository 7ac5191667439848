"""The arms for reactions: what they see, what they do not, and that they persist."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.base import clone

from pipeline.arms.catalogue import BASELINE, REACTIONS, arms_of
from pipeline.arms.ladder import REACTION_CONTROLS, make_arm, make_whole, resolve_arms
from pipeline.arms.reactions import BARCODE_LENGTH, Popularity, ReactionFeatures, barcode
from pipeline.errors import InputError
from pipeline.features.inputs import ReactionColumns
from pipeline.features.similarity import nearest_neighbours
from pipeline.features.structures import differential_bits
from pipeline.reporter import Reporter
from pipeline.runs.prepare import load_table
from pipeline.settings.reading import make_config

COLUMNS = ReactionColumns(("halide", "amine", "base", "solvent"), ("solvent",))


@pytest.fixture
def table(couplings):
    given = {"components": list(COLUMNS.components), "reaction": "rxn", "yield": "yield"}
    return load_table(make_config(str(couplings), given), Reporter())


BASELINES = [arm for arm in arms_of(REACTIONS, BASELINE) if arm != "reaction-ensemble"]


@pytest.mark.parametrize("arm", ["mean", *BASELINES, "reaction-ensemble"])
def test_every_baseline_fits_predicts_and_clones(arm, table):
    X, y = table.inputs, table.targets.to_numpy()
    model = make_whole(arm, "regression", seed=0, threads=1, columns=COLUMNS)
    fitted = clone(model).fit(X, y)
    predicted = fitted.predict(X.iloc[:7])
    assert predicted.shape == (7,)
    assert np.isfinite(predicted).all()
    np.testing.assert_array_equal(predicted, clone(model).fit(X, y).predict(X.iloc[:7]))


@pytest.mark.parametrize("arm", ["majority", *BASELINES])
def test_every_baseline_gives_probabilities(arm, table):
    labels = np.where(table.targets > 20, "success", "failure")
    model = make_arm(arm, "classes", seed=0, threads=1, columns=COLUMNS).fit(table.inputs, labels)
    chances = model.predict_proba(table.inputs.iloc[:5])
    assert chances.shape == (5, 2)
    np.testing.assert_allclose(chances.sum(axis=1), 1.0, atol=1e-6)
    assert list(model.classes_) == ["failure", "success"]


def test_the_fingerprint_is_that_of_the_package(table):
    from drfp import DrfpEncoder

    smiles = list(table.frame["smiles"])
    np.testing.assert_array_equal(differential_bits(smiles), np.stack(DrfpEncoder.encode(smiles)))


def test_without_the_package_the_way_out_is_said(monkeypatch):
    import sys

    from pipeline.features import structures as features

    monkeypatch.setitem(sys.modules, "drfp", None)
    features._drfp.cache_clear()
    features._shingles.cache_clear()
    with pytest.raises(InputError, match="pip install --no-deps drfp"):
        differential_bits(["CCBr.CN>>CCNC.[Xe]"])
    features._drfp.cache_clear()


def test_a_context_reaches_every_arm_but_the_controls(couplings):
    """The yield is made to follow from a context column alone."""
    import pandas as pd

    frame = pd.read_csv(couplings, dtype=str, keep_default_na=False)
    frame["temperature"] = [str(20 + 10 * (row % 7)) for row in range(len(frame))]
    frame["yield"] = frame["temperature"]
    path = couplings.with_name("hot.csv")
    frame.to_csv(path, index=False)
    given = {"components": list(COLUMNS.components), "yield": "yield", "context": ["temperature"]}
    table = load_table(make_config(str(path), given), Reporter())
    X, y = table.inputs, table.targets.to_numpy()
    for arm in BASELINES:
        model = make_arm(arm, "regression", seed=0, threads=1, columns=COLUMNS).fit(X, y)
        hotter = X.assign(temperature="80")
        moved = np.abs(model.predict(hotter) - model.predict(X.assign(temperature="20"))).mean()
        assert (moved > 5) == (arm != "popularity"), (arm, moved)


def test_barcodes_and_popularity_know_no_structure(table):
    """Other molecules in the place of the old ones, one for one, change nothing but the random numbers."""
    X, y = table.inputs, table.targets.to_numpy()
    renamed = X.assign(halide=X["halide"] + "C", amine=X["amine"] + "C")
    one = make_arm("popularity", "regression", seed=0, threads=1, columns=COLUMNS).fit(X, y).predict(X)
    two = make_arm("popularity", "regression", seed=0, threads=1, columns=COLUMNS).fit(renamed, y).predict(renamed)
    np.testing.assert_allclose(one, two)
    features = ReactionFeatures("barcodes", COLUMNS).fit(X)
    assert features.transform(X).shape == (len(X), 4 * BARCODE_LENGTH)
    assert np.unique(features.transform(X)[:, :BARCODE_LENGTH], axis=0).shape[0] == X["halide"].nunique()
    np.testing.assert_array_equal(barcode("halide", "CCl"), barcode("halide", "CCl"))
    assert not np.allclose(barcode("halide", "CCl"), barcode("amine", "CCl"))


def test_popularity_is_the_mean_of_shrunk_means():
    import pandas as pd

    columns = ReactionColumns(("a", "b"))
    X = pd.DataFrame({"smiles": "C>>C", "a": ["x", "x", "y"], "b": ["u", "v", "v"]})
    model = Popularity(columns)
    model._fit_means(X, np.array([[0.0], [30.0], [60.0]]))
    x, y, u, v = (30 + 30) / 3, (60 + 30) / 2, (0 + 30) / 2, (90 + 30) / 3
    new = pd.DataFrame({"smiles": "C>>C", "a": ["x", "y", "z"], "b": ["u", "v", "w"]})
    np.testing.assert_allclose(model._average(new)[:, 0], [(x + u) / 2, (y + v) / 2, 30.0])


def test_a_process_over_components_knows_how_they_act_together(table):
    """A product of two components, of which a sum of their own effects explains nothing: that is off by 5."""
    X = table.inputs
    y = 10.0 * (X["halide"].str.startswith("Br") == X["amine"].str.startswith("C")).to_numpy()
    model = make_arm("components-gp", "regression", seed=0, threads=1, columns=COLUMNS).fit(X.iloc[::2], y[::2])
    assert np.abs(model.predict(X.iloc[1::2]) - y[1::2]).mean() < 2.5


def test_controls_are_always_on_and_arms_keep_to_their_kind():
    arms = resolve_arms(["drfp-rf"], "regression", kind=REACTIONS)
    assert arms == ["mean", *REACTION_CONTROLS, "drfp-rf"]
    with pytest.raises(InputError, match="'extratrees' is for molecules"):
        resolve_arms(["extratrees"], "regression", kind=REACTIONS)
    with pytest.raises(InputError, match="'drfp-gp' is for reactions"):
        resolve_arms(["drfp-gp"], "regression")
    with pytest.raises(InputError, match="did you mean 'drfp-rf'"):
        resolve_arms(["drfprf"], "regression", kind=REACTIONS)


def test_the_nearest_reaction_is_found(table):
    smiles = list(table.frame["smiles"])
    similarity, index = nearest_neighbours(smiles[:5], smiles, REACTIONS)
    np.testing.assert_allclose(similarity, 1.0)
    assert [smiles[position] for position in index] == smiles[:5]
