"""The penalty of ridge arms: chosen on rows that say nothing of the rows they are chosen by."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import Ridge, RidgeCV
from sklearn.preprocessing import StandardScaler

from pipeline.arms.baselines import ALPHAS, PENALTY_FOLDS
from pipeline.arms.ladder import make_arm
from pipeline.arms.language_model import FrozenRegressor
from pipeline.models.arm_files import ArmSetting, read_arm, write_arm
from pipeline.prompts.templates import PromptTemplate
from pipeline.splits.splitters import inner_fold_numbers
from pipeline.tables.kinds import COMPOSITIONS, MOLECULES, TEXTS
from tests.conftest import FORMULAS, SMILES

TIMES = 6
RIDGES = [
    ("ridge", MOLECULES, SMILES),
    ("ngram-ridge", MOLECULES, SMILES),
    ("fractions-ridge", COMPOSITIONS, FORMULAS),
    ("word-ridge", TEXTS, [f"a {text} of {len(text)}" for text in SMILES]),
]


def measured_often(texts: list[str]) -> tuple[pd.DataFrame, np.ndarray, np.ndarray]:
    """Each text at six temperatures, with an offset of its own that nothing else tells; and which text it is."""
    rng = np.random.default_rng(0)
    group = np.repeat([f"g{number}" for number in range(len(texts))], TIMES)
    X = pd.DataFrame({"text": np.repeat(texts, TIMES), "temperature": np.tile(np.arange(TIMES) * 10.0, len(texts))})
    y = 0.01 * X["temperature"].to_numpy() + np.repeat(rng.normal(size=len(texts)), TIMES)
    return X, y + rng.normal(scale=0.05, size=len(y)), group


def penalty_of(model) -> float:
    last = model.model_[-1] if hasattr(model.model_, "steps") else model.model_
    return float(last.alpha_)


def held_out_errors(rows, y, folds, intercept: bool) -> list[float]:
    """Squared error of held-out folds with each penalty, by refits."""
    found = []
    for alpha in ALPHAS:
        error = 0.0
        for fold in np.unique(folds):
            held = folds == fold
            mean = 0.0 if intercept else y[~held].mean()
            refit = Ridge(alpha, fit_intercept=intercept).fit(rows[~held], y[~held] - mean)
            error += float(((y[held] - mean - refit.predict(rows[held])) ** 2).sum())
        found.append(error)
    return found


@pytest.mark.parametrize(("arm", "kind", "texts"), RIDGES)
def test_a_molecule_with_several_rows_is_left_out_whole(arm, kind, texts):
    X, y, group = measured_often(texts)
    model = make_arm(arm, "regression", seed=0, threads=1, kind=kind).fit(X, y, groups=group)
    rows = model.features_.transform(X)
    dense = rows.toarray() if hasattr(rows, "toarray") else rows
    folds = inner_fold_numbers(group, np.zeros(len(y)), PENALTY_FOLDS, 0)
    assert penalty_of(model) == ALPHAS[np.argmin(held_out_errors(dense, y, folds, rows is dense))]
    by_rows = make_arm(arm, "regression", seed=0, threads=1, kind=kind).fit(X, y)
    assert penalty_of(model) > penalty_of(by_rows)  # each row tells the offset of the next one


def test_a_frozen_language_model_leaves_out_whole_molecules(tiny_engine):
    X, y, group = measured_often(SMILES[:16])
    template = PromptTemplate("value", "")
    model = FrozenRegressor(tiny_engine, template).fit(X, y, groups=group)
    states = StandardScaler().fit_transform(model.states(X))
    folds = inner_fold_numbers(group, np.zeros(len(y)), PENALTY_FOLDS, 0)
    assert penalty_of(model) == ALPHAS[np.argmin(held_out_errors(states, y, folds, True))]


@pytest.mark.parametrize(("arm", "kind", "texts"), RIDGES)
def test_rows_that_are_groups_of_their_own_are_left_out_one_by_one(arm, kind, texts):
    X, y = pd.DataFrame({"text": texts}), measured_often(texts)[1][::TIMES]
    alone = make_arm(arm, "regression", seed=0, threads=1, kind=kind).fit(X, y)
    for groups in (np.arange(len(y)), np.array(texts, dtype=object), np.repeat("one", len(y))):
        model = make_arm(arm, "regression", seed=0, threads=1, kind=kind).fit(X, y, groups=groups)
        np.testing.assert_array_equal(model.predict(X), alone.predict(X))
    if arm == "ridge":
        rows = alone.features_.transform(X)
        np.testing.assert_array_equal(alone.predict(X), RidgeCV(alphas=ALPHAS).fit(rows, y).predict(rows))


@pytest.mark.parametrize(("arm", "kind", "texts"), RIDGES)
def test_the_order_of_the_rows_changes_no_penalty(arm, kind, texts):
    X, y, group = measured_often(texts)
    order = np.random.default_rng(1).permutation(len(y))
    model = make_arm(arm, "regression", seed=0, threads=1, kind=kind).fit(X, y, groups=group)
    again = make_arm(arm, "regression", seed=0, threads=1, kind=kind)
    again.fit(X.iloc[order].reset_index(drop=True), y[order], groups=group[order])
    assert penalty_of(again) == penalty_of(model)


@pytest.mark.parametrize(("arm", "kind", "texts"), RIDGES)
def test_what_is_read_back_predicts_the_same_to_the_last_digit(tmp_path, arm, kind, texts):
    X, y, group = measured_often(texts[:12])
    model = make_arm(arm, "regression", seed=0, threads=1, kind=kind).fit(X, y, groups=group)
    setting = ArmSetting("regression", (), PromptTemplate("y", ""), engine=lambda: None)
    again = read_arm(tmp_path, arm, write_arm(tmp_path, arm, model), setting)
    np.testing.assert_array_equal(model.predict(X), again.predict(X))
