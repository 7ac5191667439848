from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.stats import spearmanr
from sklearn import metrics as reference

from pipeline.evaluation import metrics
from pipeline.evaluation.bootstrap import group_weights
from pipeline.evaluation.comparison import evaluate
from pipeline.evaluation.verdict import verdicts
from pipeline.splits.splitters import Fold, Split

RNG = np.random.default_rng(0)
ONES = np.ones((1, 60))


def test_regression_metrics_equal_scikit_learn_and_scipy():
    truth, found = RNG.normal(size=60).round(1), RNG.normal(size=60).round(1)
    scores = metrics.regression_scores(truth, found, np.zeros(60), ONES)
    assert scores["mae"][0] == pytest.approx(reference.mean_absolute_error(truth, found))
    assert scores["rmse"][0] == pytest.approx(reference.root_mean_squared_error(truth, found))
    assert scores["r2"][0] == pytest.approx(reference.r2_score(truth, found))
    assert scores["spearman"][0] == pytest.approx(spearmanr(truth, found).statistic)


@pytest.mark.parametrize("k", [2, 3])
def test_class_metrics_equal_scikit_learn_with_ties(k):
    classes = list("abc"[:k])
    truth = RNG.choice(classes, 60)
    chances = RNG.dirichlet(np.ones(k), 60).round(1) + 1e-3
    chances /= chances.sum(axis=1, keepdims=True)
    predicted = np.array(classes)[chances.argmax(axis=1)]
    scores = metrics.class_scores(truth, predicted, chances, classes, ONES)
    hot = np.stack([truth == c for c in classes], axis=1)
    columns = [1] if k == 2 else range(k)
    assert scores["auroc"][0] == pytest.approx(
        np.mean([reference.roc_auc_score(hot[:, c], chances[:, c]) for c in columns])
    )
    assert scores["auprc"][0] == pytest.approx(
        np.mean([reference.average_precision_score(hot[:, c], chances[:, c]) for c in columns])
    )
    assert scores["mcc"][0] == pytest.approx(reference.matthews_corrcoef(truth, predicted))
    assert scores["balanced_accuracy"][0] == pytest.approx(reference.balanced_accuracy_score(truth, predicted))
    assert scores["accuracy"][0] == pytest.approx(reference.accuracy_score(truth, predicted))
    if k == 2:
        assert scores["brier"][0] == pytest.approx(reference.brier_score_loss(hot[:, 1], chances[:, 1]))


def test_weights_are_repetitions():
    truth, found = RNG.normal(size=20), RNG.normal(size=20)
    counts = RNG.integers(0, 4, 20)
    weighted = metrics.regression_scores(truth, found, np.zeros(20), counts[None].astype(float))
    repeated = metrics.regression_scores(
        np.repeat(truth, counts), np.repeat(found, counts), np.zeros(counts.sum()), np.ones((1, counts.sum()))
    )
    for name in weighted:
        assert weighted[name][0] == pytest.approx(repeated[name][0]), name
    positive = truth > 0
    assert metrics.auroc(positive, found, counts[None].astype(float))[0] == pytest.approx(
        reference.roc_auc_score(np.repeat(positive, counts), np.repeat(found, counts))
    )


def test_the_constant_class_has_no_auroc_to_speak_of():
    truth = np.array(["n"] * 57 + ["p"] * 3)
    scores = metrics.class_scores(truth, np.full(60, "n"), np.tile([0.95, 0.05], (60, 1)), ["n", "p"], ONES)
    assert scores["accuracy"][0] == pytest.approx(0.95)
    assert scores["auroc"][0] == 0.5
    assert scores["mcc"][0] == 0.0


def test_whole_groups_are_resampled():
    groups = np.repeat(["a", "b", "c"], 5)
    weights = group_weights(groups, 0, 50)
    assert all(len(set(row[groups == g])) == 1 for row in weights for g in "abc")
    assert np.all(weights[:, ::5].sum(axis=1) == 3)


def predictions(arms, truth, **columns):
    rows = [
        {
            "row_id": f"r{i:03d}",
            "split": "random",
            "repeat": 0,
            "fold": 0,
            "arm": arm,
            "truth": t,
            "prediction": p,
            "parse_failed": False,
            **{key: value[i] for key, value in columns.items()},
        }
        for arm, values in arms.items()
        for i, (t, p) in enumerate(zip(truth, values, strict=True))
    ]
    return pd.DataFrame(rows)


def judged(arms, truth, groups=None, preferred="gp", margin=0.0):
    found = evaluate(
        predictions(arms, truth),
        task="regression",
        classes=(),
        split=one_division(len(truth), groups),
        preferred={(0, 0): preferred},
    )
    return verdicts([found], [arm for arm in arms if arm.startswith("lm")], "nm", margin=margin)[0]


def one_division(n, groups=None):
    """One division with rows r000 ... tested, each a group of its own if not told otherwise."""
    groups = groups or {f"r{i:03d}": f"g{i}" for i in range(n)}
    return Split("random", (Fold(0, 0, tuple(f"t{i}" for i in range(4 * n)), tuple(groups)),), groups, "")


TRUTH = np.random.default_rng(1).normal(size=80)
MEAN = np.zeros(80)
GOOD = TRUTH + np.random.default_rng(2).normal(scale=0.3, size=80)
POOR = TRUTH + np.random.default_rng(3).normal(scale=0.8, size=80)


def test_the_verdict_names_a_better_language_model():
    verdict = judged({"mean": MEAN, "gp": POOR, "lm-head": GOOD}, TRUTH)
    assert verdict.use == "lm-head"
    assert "better than gp" in verdict.sentence


def test_the_verdict_says_when_the_language_model_loses():
    verdict = judged({"mean": MEAN, "gp": GOOD, "lm-head": POOR}, TRUTH)
    assert verdict.use == "gp"
    assert "Worse than it: lm-head" in verdict.sentence


TWIN = TRUTH + np.random.default_rng(4).normal(scale=0.3, size=80)


def test_without_a_margin_a_small_difference_cannot_be_told():
    verdict = judged({"mean": MEAN, "gp": GOOD, "lm-head": TWIN}, TRUTH)
    assert verdict.comparisons[0].answer == "cannot tell"
    assert "this test cannot tell: lm-head (" in verdict.sentence


@pytest.mark.parametrize(("margin", "answer"), [(0.02, "cannot tell"), (0.2, "equivalent")])
def test_equivalence_is_a_claim_of_its_own(margin, answer):
    verdict = judged({"mean": MEAN, "gp": GOOD, "lm-head": TWIN}, TRUTH, margin=margin)
    assert verdict.comparisons[0].answer == answer
    assert ("Equivalent to it, within 0.2 nm: lm-head" in verdict.sentence) == (answer == "equivalent")
    assert verdict.use == "gp"


def test_a_difference_within_the_margin_is_of_no_consequence():
    """Surely different, and surely by less than matters."""
    slightly = GOOD + 0.05 * np.sign(GOOD - TRUTH)
    apart = judged({"mean": MEAN, "gp": slightly, "lm-head": GOOD}, TRUTH)
    assert apart.comparisons[0].answer == "better"
    assert judged({"mean": MEAN, "gp": slightly, "lm-head": GOOD}, TRUTH, margin=0.2).comparisons[0].answer == (
        "equivalent"
    )


def test_unequal_groups_are_said_to_tell_little():
    groups = {f"r{i:03d}": f"g{max(0, i - 40)}" for i in range(80)}
    verdict = judged({"mean": MEAN, "gp": GOOD, "lm-head": POOR}, TRUTH, groups)
    assert "(80 test molecules in 40 groups, which tell as much as 4 of equal size)" in verdict.sentence
    assert "tell as much" not in judged({"mean": MEAN, "gp": GOOD}, TRUTH).sentence


def test_under_ten_groups_it_cannot_tell():
    groups = {f"r{i:03d}": f"g{i % 3}" for i in range(80)}
    verdict = judged({"mean": MEAN, "gp": GOOD, "lm-head": POOR}, TRUTH, groups)
    assert verdict.use is None
    assert "cannot be told" in verdict.sentence


def test_on_noise_nothing_was_learned():
    noise = np.random.default_rng(5).normal(scale=0.5, size=80)
    verdict = judged({"mean": MEAN, "gp": noise}, TRUTH)
    assert not verdict.learned
    assert "no arm can be recommended: gp (preferred by validation) is not shown" in verdict.sentence


def test_a_class_parse_failure_counts_as_wrong():
    truth = np.array(["a", "b"] * 30)
    frame = predictions({"majority": ["a"] * 60, "lm-text": truth}, truth, p_a=[0.5] * 60, p_b=[0.5] * 60)
    frame.loc[frame["arm"] == "lm-text", "parse_failed"] = True
    found = evaluate(frame, task="classes", classes=("a", "b"), split=one_division(60), preferred={})
    assert found.scores["lm-text"]["accuracy"][0] == 0.0
    assert found.scores["lm-text"]["auroc"][0] == 0.5


@pytest.mark.parametrize(("scale", "use"), [(0.5, "gp"), (0.8, None)])
def test_a_baseline_that_validation_missed_is_named_but_not_used(scale, use):
    preferred = TRUTH + scale * np.random.default_rng(3).normal(size=80)
    found = evaluate(
        predictions({"mean": MEAN, "ridge": GOOD, "gp": preferred}, TRUTH),
        task="regression",
        classes=(),
        split=one_division(80),
        preferred={(0, 0): "gp"},
    )
    (verdict,) = verdicts([found], [], "nm", baselines=["mean", "ridge", "gp"])
    assert verdict.use == use
    assert "Not preferred by validation, but better than gp on these test rows" in verdict.sentence
    assert "ridge (by 0." in verdict.sentence
    assert "mean (by" not in verdict.sentence
