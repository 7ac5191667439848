from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy.stats import spearmanr
from sklearn import metrics as reference

from pipeline.evaluation import metrics
from pipeline.evaluation.bootstrap import group_weights
from pipeline.evaluation.comparison import compare
from pipeline.evaluation.estimates import Estimate
from pipeline.evaluation.evaluations import evaluate
from pipeline.evaluation.verdict import Words, verdicts
from pipeline.runs.training_seeds import SeedSpread, seed_sentence, seed_variance, with_seeds
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
    lm_arms = [arm for arm in arms if arm.startswith("lm")]
    compared = compare(found, list(arms), lm_arms, next(iter(lm_arms), ""), margin)
    return verdicts([compared], lm_arms, Words("nm"))[0]


def one_division(n, groups=None):
    """One division with rows r000 ... tested, each a group of its own if not told otherwise."""
    groups = groups or {f"r{i:03d}": f"g{i}" for i in range(n)}
    train = tuple(f"t{i}" for i in range(4 * n))
    return Split("random", (Fold(0, 0, train, tuple(groups)),), groups | {row: row for row in train}, "")


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
    assert "Worse than gp: lm-head" in verdict.sentence


TWIN = TRUTH + np.random.default_rng(4).normal(scale=0.3, size=80)


def test_without_a_margin_a_small_difference_cannot_be_told():
    verdict = judged({"mean": MEAN, "gp": GOOD, "lm-head": TWIN}, TRUTH)
    assert verdict.comparisons[0].answer == "cannot tell"
    assert "Whether better or worse than gp this test cannot tell: lm-head (" in verdict.sentence


@pytest.mark.parametrize(("margin", "answer"), [(0.02, "cannot tell"), (0.2, "equivalent")])
def test_equivalence_is_a_claim_of_its_own(margin, answer):
    verdict = judged({"mean": MEAN, "gp": GOOD, "lm-head": TWIN}, TRUTH, margin=margin)
    assert verdict.comparisons[0].answer == answer
    assert ("Equivalent to gp, within 0.2 nm: lm-head" in verdict.sentence) == (answer == "equivalent")
    assert verdict.use == "gp"


def test_a_difference_within_the_margin_is_called_better_by_less_than_matters():
    """Surely different, and surely by less than matters."""
    slightly = GOOD + 0.05 * np.sign(GOOD - TRUTH)
    apart = judged({"mean": MEAN, "gp": slightly, "lm-head": GOOD}, TRUTH)
    assert apart.comparisons[0].answer == "better"
    within = judged({"mean": MEAN, "gp": slightly, "lm-head": GOOD}, TRUTH, margin=0.2)
    assert within.comparisons[0].answer == "better"
    assert within.comparisons[0].small
    assert "(less than matters, 0.2 nm): gp serves as well" in within.sentence


def test_unequal_groups_are_said_to_tell_little():
    groups = {f"r{i:03d}": f"g{max(0, i - 20)}" for i in range(80)}
    verdict = judged({"mean": MEAN, "gp": GOOD, "lm-head": POOR}, TRUTH, groups)
    assert "(80 test molecules in 60 groups, which tell as much as 13 of equal size)" in verdict.sentence
    assert verdict.use == "gp"
    assert "tell as much" not in judged({"mean": MEAN, "gp": GOOD}, TRUTH).sentence


def test_under_ten_groups_it_cannot_tell():
    groups = {f"r{i:03d}": f"g{i % 3}" for i in range(80)}
    verdict = judged({"mean": MEAN, "gp": GOOD, "lm-head": POOR}, TRUTH, groups)
    assert verdict.use is None
    assert "cannot be told" in verdict.sentence


def test_groups_count_by_what_they_tell():
    """Forty groups of which one holds half of the rows tell as much as four: no firm verdict rests on them."""
    groups = {f"r{i:03d}": f"g{max(0, i - 40)}" for i in range(80)}
    verdict = judged({"mean": MEAN, "gp": GOOD, "lm-head": POOR}, TRUTH, groups)
    assert verdict.use is None
    assert "tell as much as 3.7 of equal size) it cannot be told" in verdict.sentence
    assert "10 independent test groups of equal size are needed" in verdict.sentence
    assert {item.answer for item in verdict.comparisons} == {"cannot tell"}


def test_on_noise_nothing_was_learned():
    noise = np.random.default_rng(5).normal(scale=0.5, size=80)
    verdict = judged({"mean": MEAN, "gp": noise}, TRUTH)
    assert not verdict.learned
    assert "no arm can be recommended: gp (preferred by validation) is worse than predicting" in verdict.sentence


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
    compared = compare(found, ["mean", "ridge", "gp"], [], "", 0.0)
    (verdict,) = verdicts([compared], [], Words("nm"), baselines=["mean", "ridge", "gp"])
    assert verdict.use == use
    assert "Not preferred by validation, but better than gp on these test rows" in verdict.sentence
    assert "ridge (by 0." in verdict.sentence
    assert "mean (by" not in verdict.sentence


# -- one answer for one comparison --


def compared(arms, truth=TRUTH, primary="", margin=0.0, preferred="gp"):
    found = evaluate(
        predictions(arms, truth),
        task="regression",
        classes=(),
        split=one_division(len(truth)),
        preferred={(0, 0): preferred} if preferred else {},
    )
    return compare(found, list(arms), [arm for arm in arms if arm.startswith("lm")], primary, margin)


FIVE = {"mean": MEAN, "ridge": POOR, "gp": GOOD, "lm-head": TWIN, "lm-text": POOR + 0.1}


def test_each_two_arms_are_compared_once_and_have_one_answer_from_both_sides():
    found = compared(FIVE, primary="lm-head", margin=0.05)
    pairs = [frozenset((item.arm, item.other)) for item in found.found]
    assert len(pairs) == len(set(pairs)) == 10
    for item in found.found:
        turned = found.between(item.other, item.arm)
        assert turned.value == -item.value
        assert {item.answer, turned.answer} in ({"better", "worse"}, {"cannot tell"}, {"equivalent"})
    assert found.between("lm-head", "reference").p == found.between("lm-head", "gp").p


def test_the_primary_comparison_is_not_corrected_and_the_others_are():
    alone = compared(FIVE, primary="lm-head").between("lm-head", "gp")
    among = compared(FIVE, primary="lm-text").between("lm-head", "gp")
    assert (alone.family, among.family) == ("primary", "planned")
    assert among.p > alone.p or among.p == 1.0
    assert among.high - among.low > alone.high - alone.low


@pytest.mark.parametrize("margin", [0.0, 0.05, 10.0])
def test_intervals_agree_with_answers(margin):
    for item in compared(FIVE, primary="lm-head", margin=margin).found:
        excludes_zero = item.low > 0 or item.high < 0
        assert excludes_zero == (item.answer in ("better", "worse")) == (item.p < 0.05), item


def test_predicting_the_mean_is_never_equivalent_to_a_model():
    """However wide the margin, also for a model that is no better than the mean."""
    noise = np.random.default_rng(5).normal(scale=0.05, size=80)
    found = compared({"mean": MEAN, "gp": noise, "lm-head": noise / 2}, primary="lm-head", margin=10.0)
    assert found.between("gp", "mean").answer == "cannot tell"
    assert found.between("lm-head", "mean").answer == "cannot tell"
    assert found.between("lm-head", "gp").answer == "equivalent"
    assert found.between("lm-head", "mean").margin == 0.0


def test_every_verdict_says_the_smallest_difference_that_it_finds():
    for arms in (
        FIVE,
        {"mean": MEAN, "gp": GOOD, "lm-head": TWIN},
        {"mean": MEAN, "gp": MEAN + 0.05 * np.random.default_rng(5).normal(size=80)},
    ):
        assert "is 80 % if it is" in judged(arms, TRUTH).sentence
    few = {"mean": MEAN, "gp": GOOD, "lm-head": TWIN}
    split = compared(few, primary="lm-head")
    sentence = verdicts([split], ["lm-head"], Words("nm", foldable=["random"], rows=400))[0].sentence
    assert "(--folds 5 tests all 400)" in sentence or "more than the 400 of this table" in sentence


def test_the_smallest_difference_is_found_four_times_in_five():
    rng = np.random.default_rng(8)
    found = Estimate(0.0, 0.5, 30)
    draws = found.smallest() + 0.5 * rng.standard_t(30, size=20_000)
    assert np.mean([Estimate(value, 0.5, 30).p_difference() < 0.05 for value in draws]) == pytest.approx(0.8, abs=0.01)


def test_a_constant_that_validation_prefers_is_said_so():
    compared_ = compared({"mean": MEAN, "ridge": POOR}, preferred="mean")
    (verdict,) = verdicts([compared_], [], Words("nm"), baselines=["mean", "ridge"])
    assert verdict.use is None
    assert "validation on the training rows prefers predicting the training mean" in verdict.sentence
    assert "nothing to compare" not in verdict.sentence


def test_too_few_groups_find_no_difference_at_all():
    groups = {f"r{i:03d}": f"g{i % 3}" for i in range(80)}
    assert "The power to" not in judged({"mean": MEAN, "gp": GOOD, "lm-head": POOR}, TRUTH, groups).sentence


def test_an_arm_that_does_not_beat_the_constant_is_not_recommended():
    """It is better than a poor baseline, and another language model than the constant."""
    poor = TRUTH + 3 * np.random.default_rng(6).normal(size=80)
    arms = {"mean": MEAN, "gp": poor, "lm-head": MEAN + 0.01 * POOR, "lm-text": GOOD}
    assert judged(arms, TRUTH).use == "lm-text"


def near(scale, seed):
    return TRUTH + np.random.default_rng(seed).normal(scale=scale, size=80)


def answered(comparisons, given):
    """Comparisons with other answers for some pairs; the values stay."""
    found = tuple(replace(item, answer=given.get((item.arm, item.other), item.answer)) for item in comparisons.found)
    return replace(comparisons, found=found)


def test_to_differ_from_the_constant_is_not_to_differ_from_the_baseline():
    """The baseline has the smaller error and is not shown to beat the constant; the language model, with a gain that is
    small on each row, is."""
    found = compared({"mean": MEAN, "gp": near(0.6, 24), "lm-head": 0.02 * TRUTH}, primary="lm-head")
    assert [found.between(arm, "mean").answer for arm in ("lm-head", "gp")] == ["better", "cannot tell"]
    assert found.between("lm-head", "gp").value > 0
    (verdict,) = verdicts([found], ["lm-head"], Words("nm"))
    assert verdict.use == "gp"
    assert "By itself gp is not shown to be better than predicting the training mean; lm-head is" in verdict.sentence
    assert "Whether better or worse than gp this test cannot tell: lm-head" in verdict.sentence


def test_of_two_that_cannot_be_told_apart_the_one_that_beats_the_constant_is_named_if_its_error_is_smaller():
    found = compared({"mean": MEAN, "gp": near(0.65, 22), "lm-head": 0.2 * TRUTH}, primary="lm-head")
    assert [found.between(arm, "mean").answer for arm in ("lm-head", "gp")] == ["better", "cannot tell"]
    assert found.between("lm-head", "gp").value < 0
    (verdict,) = verdicts([found], ["lm-head"], Words("nm"))
    assert verdict.use == "lm-head"
    assert "that does not show it to be better than gp" in verdict.sentence


@pytest.mark.parametrize("preferred", ["gp", ""])
def test_an_arm_that_is_shown_to_be_worse_is_never_named(preferred):
    """Not the language model that is worse than the baseline; nor, without one, than another language model."""
    arms = {"mean": MEAN, "gp": near(0.6, 24), "lm-head": 0.02 * TRUTH, "lm-text": near(0.6, 24)}
    lm_arms = ["lm-head"] if preferred else ["lm-head", "lm-text"]
    found = compared({arm: arms[arm] for arm in ("mean", "gp", *lm_arms)}, primary="lm-head", preferred=preferred)
    best = preferred or "lm-text"
    found = answered(found, {("lm-head", best): "worse", (best, "mean"): "cannot tell", ("mean", best): "cannot tell"})
    (verdict,) = verdicts([found], lm_arms, Words("nm"))
    assert verdict.use == best
    assert verdict.learned


@pytest.mark.slow
def test_equal_errors_seldom_make_a_verdict_that_contradicts_itself():
    """Over tables on which neither arm is much better than the constant, no named arm is worse than the baseline, nor
    has it a larger error where it is not shown to be better."""
    for seed in range(200):
        rng = np.random.default_rng(seed)
        truth = rng.normal(size=40)
        arms = {"mean": np.zeros(40), "gp": truth + rng.normal(scale=0.7, size=40), "lm-head": 0.1 * truth}
        found = compared(arms, truth, primary="lm-head")
        (verdict,) = verdicts([found], ["lm-head"], Words("nm"))
        item = found.between("lm-head", "gp")
        assert not (verdict.use == "lm-head" and item.value > 0), (seed, verdict.sentence)
        assert not (verdict.use == "gp" and item.answer == "better"), (seed, verdict.sentence)


def test_without_a_baseline_the_best_arm_is_named():
    found = evaluate(
        predictions({"mean": MEAN, "lm-text": POOR, "lm-head": GOOD}, TRUTH),
        task="regression",
        classes=(),
        split=one_division(80),
        preferred={},
    )
    of = compare(found, ["mean", "lm-text", "lm-head"], ["lm-text", "lm-head"], "lm-head", 0.0)
    (verdict,) = verdicts([of], ["lm-text", "lm-head"], Words("nm"))
    assert verdict.use == "lm-head"


# -- classes --


def class_evaluation(chances, truth, classes=("no", "yes"), arm="gp"):
    predicted = np.where(np.array(chances) >= 0.5, classes[1], classes[0])
    arms = {"majority": np.full(len(truth), classes[0]), arm: predicted}
    frame = predictions(arms, truth)
    for name, values in (("majority", np.full(len(truth), float(np.mean(truth == classes[1])))), (arm, chances)):
        frame.loc[frame["arm"] == name, f"p_{classes[1]}"] = values
    frame[f"p_{classes[0]}"] = 1 - frame[f"p_{classes[1]}"]
    return evaluate(
        frame,
        task="classes",
        classes=classes,
        split=one_division(len(truth)),
        preferred={(0, 0): arm},
        positive=metrics.rarer_class(truth, classes),
    )


RARE = np.array(["yes"] * 16 + ["no"] * 100)


def test_a_perfect_ranking_of_few_positives_is_no_proof_beyond_reason():
    found = compare(class_evaluation(np.r_[np.full(16, 0.4), np.full(100, 0.1)], RARE), ["majority", "gp"], [], "", 0.0)
    item = found.between("gp", "majority")
    assert item == found.between("majority", "gp").turned()
    assert item.answer == "better"
    assert 1e-9 < item.p < 1e-3
    assert -0.5 <= item.low < item.high <= 0.5


def test_an_arm_that_never_answers_the_rare_class_is_said_to():
    found = class_evaluation(np.r_[np.full(16, 0.4), np.full(100, 0.1)], RARE)
    (verdict,) = verdicts([compare(found, ["majority", "gp"], [], "", 0.0)], [], Words())
    assert verdict.use == "gp"
    assert "gp never answers yes (MCC 0)" in verdict.sentence
    assert "(116 test molecules in 116 groups; 16 of class yes, 100 of class no)" in verdict.sentence
    answered = class_evaluation(np.r_[np.full(16, 0.6), np.full(100, 0.1)], RARE)
    (verdict,) = verdicts([compare(answered, ["majority", "gp"], [], "", 0.0)], [], Words())
    assert "never answers" not in verdict.sentence


def test_a_text_baseline_that_wins_raises_an_alarm():
    chances = np.r_[np.full(16, 0.6), np.full(100, 0.1)]
    found = class_evaluation(chances, RARE, arm="ngram-ridge")
    (verdict,) = verdicts(
        [compare(found, ["majority", "ngram-ridge"], [], "", 0.0)], [], Words(text_only=["ngram-ridge"])
    )
    assert "ngram-ridge reads the notation as text" in verdict.sentence
    assert "chemtune audit" in verdict.sentence


def test_auprc_is_about_the_rarer_class():
    truth = np.array(["no"] * 10 + ["yes"] * 50)
    chances = np.random.default_rng(0).random(60)
    found = class_evaluation(chances, truth)
    assert found.positive == "no"
    expected = reference.average_precision_score(truth == "no", 1 - chances)
    assert found.scores["gp"]["auprc"][0] == pytest.approx(expected)


def test_the_recall_of_the_rarest_of_three_classes_is_of_one_class_in_all_folds():
    """Over the table c is the rarest, in the second fold b is; c is always found and b never."""
    folds = [["a"] * 10 + ["b"] * 6 + ["c"] * 2, ["a"] * 10 + ["b"] * 3 + ["c"] * 4]
    truth = np.array(folds[0] + folds[1])
    said = np.where(truth == "b", "a", truth)
    frame = predictions(
        {"majority": np.full(35, "a"), "gp": said}, truth, p_a=[0.4] * 35, p_b=[0.3] * 35, p_c=[0.3] * 35
    )
    frame["fold"] = [number for _ in range(2) for number, fold in enumerate(folds) for _ in fold]
    found = evaluate(frame, task="classes", classes=("a", "b", "c"), split=one_division(35), preferred={})
    assert found.scores["gp"]["recall"][0] == 1.0
    alone = [metrics.fewest_rows(np.array(fold), ("a", "b", "c")) for fold in folds]
    assert alone == ["c", "b"]


@pytest.mark.parametrize("k", [2, 3])
def test_rows_parts_of_the_auroc_have_it_as_their_mean_and_its_error(k):
    """With ties; the error is that of DeLong, which for two classes has a closed form in the parts."""
    rng = np.random.default_rng(1)
    classes = list("abc"[:k])
    truth = rng.choice(classes, 90)
    chances = rng.dirichlet(np.ones(k), 90).round(1)
    parts = metrics.auroc_parts(truth, chances, classes)
    scores = metrics.class_scores(truth, truth, chances, classes, np.ones((1, 90)))
    assert parts.mean() == pytest.approx(scores["auroc"][0])
    resampled = metrics.class_scores(truth, truth, chances, classes, group_weights(np.arange(90), 0, 4_000))
    assert parts.std() / np.sqrt(90) == pytest.approx(resampled["auroc"].std(), rel=0.1)


# -- training seeds --


def test_seeds_that_differ_on_all_rows_add_to_the_error_and_others_do_not():
    rng = np.random.default_rng(2)
    rows, groups = rng.random(200), np.arange(200)
    apart = seed_variance([rows, rows + 0.3], groups)
    assert apart == pytest.approx(0.3**2 / 2)
    chance = [seed_variance([rng.random(200), rng.random(200)], groups) for _ in range(300)]
    assert np.mean(chance) < 0.5 * 2 / 12 / 200


def test_what_the_training_rows_change_is_in_a_difference_beyond_an_edge():
    """Of arms that were trained once, as much as it is at most among the others."""
    found = compared(FIVE, primary="lm-head").evaluation
    refits = {"mean": np.zeros(5), "ridge": np.arange(5.0), "gp": -np.arange(5.0), "reference": -np.arange(5.0)}
    wide = replace(found, refits=refits)
    plain, error = found.estimate("ridge", "gp"), np.sqrt(4 / 5 * 40)  # the differences are 0, 2, 4, 6, 8
    assert wide.estimate("ridge", "gp").error == pytest.approx(np.hypot(plain.error, error))
    assert wide.estimate("gp", "mean").error == pytest.approx(np.hypot(found.estimate("gp", "mean").error, error / 2))
    for pair in (("lm-head", "gp"), ("lm-head", "lm-text"), ("lm-head", "reference")):
        assert wide.estimate(*pair).error == pytest.approx(np.hypot(found.estimate(*pair).error, error)), pair
    assert wide.estimate("lm-head", "mean").error == pytest.approx(
        np.hypot(found.estimate("lm-head", "mean").error, error / 2)
    )
    alone = replace(found, refits={"gp": -np.arange(5.0)}).estimate("lm-head", "gp")
    assert alone.error == pytest.approx(np.hypot(found.estimate("lm-head", "gp").error, error / 2))


def test_the_variance_between_seeds_widens_intervals_and_lowers_certainty():
    found = compared({"mean": MEAN, "gp": POOR, "lm-head": GOOD}, primary="lm-head").evaluation
    wide = replace(found, seeds={"lm-head": (0.1, 1)})
    assert wide.estimate("lm-head", "gp").p_difference() > 10 * found.estimate("lm-head", "gp").p_difference()
    assert wide.estimate("gp", "mean") == found.estimate("gp", "mean")
    plain, wider = found.interval("lm-head", "mae"), wide.interval("lm-head", "mae")
    assert wider[1] > plain[1]
    assert wider[0] >= 0.0
    assert wide.interval("lm-head", "r2") == found.interval("lm-head", "r2")


def test_a_blend_has_its_share_of_the_variance_between_seeds():
    """Of blend and ensemble the share of it, of blend and what it is made of the rest: another seed moves both."""
    arms = {"mean": MEAN, "ensemble": POOR, "lm-head": GOOD, "blend": 0.7 * POOR + 0.3 * GOOD}
    found = compared(arms, primary="lm-head", preferred="ensemble").evaluation
    cell = {"tags": {"arm": "blend", "split": "random"}, "share": {"value": 0.3}}
    (wide,) = with_seeds([found], [SeedSpread("random", "lm-head", (0.3, 0.4), 0.04)], [cell])
    for pair, share in ((("lm-head", "ensemble"), 1.0), (("blend", "ensemble"), 0.3), (("lm-head", "blend"), 0.7)):
        more = np.sqrt(max(0.0, wide.estimate(*pair).error ** 2 - found.estimate(*pair).error ** 2))
        assert more == pytest.approx(0.2 * share), pair
    assert wide.estimate("ensemble", "mean") == found.estimate("ensemble", "mean")
    assert wide.interval("blend", "mae") != found.interval("blend", "mae")
    (alike,) = with_seeds([found], [SeedSpread("random", "lm-head", (0.3, 0.4), 0.04)], [{"tags": cell["tags"]}])
    assert alike.seed_errors("blend") == [(pytest.approx(0.1), 1)]


def test_one_training_seed_is_said_of_the_blend_too():
    arms = {"mean": MEAN, "ensemble": POOR, "lm-head": GOOD, "blend": 0.5 * POOR + 0.5 * GOOD}
    found = compared(arms, primary="lm-head", preferred="ensemble").evaluation
    assert "the intervals of lm-head on random, blend on random (" in seed_sentence([], list(arms), [found])
    told = seed_sentence([SeedSpread("random", "lm-head", (0.3, 0.4), 0.04)], list(arms), [found])
    assert "is in the intervals of lm-head, blend there" in told
    assert "One training seed" not in told
