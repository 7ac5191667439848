"""Comparisons held to their level: equal arms are seldom called different, and differences of a stated size are found.

At a level of 5 % more than 29 claims in 400 simulations have a chance of 2 in 100. A claim is "better" or "worse": the
level is that of both together.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pipeline.evaluation import evaluations
from pipeline.evaluation import over_targets as over_targets_module
from pipeline.evaluation.bootstrap import group_draws
from pipeline.evaluation.comparison import BETTER, CANNOT_TELL, EQUIVALENT, WORSE, compare
from pipeline.evaluation.divisions import over_divisions
from pipeline.evaluation.estimates import Estimate, effective_degrees, holm, jackknife
from pipeline.evaluation.evaluations import REFERENCE, evaluate
from pipeline.evaluation.over_targets import over_targets
from pipeline.splits.splitters import Fold, Split
from pipeline.studies.two_runs import Finished, compare_runs
from pipeline.tables.targets import CLASSES
from scripts.power import (
    EDGES,
    LEARNERS,
    TABLES,
    beyond_edge,
    masks_of,
    neighbours,
    ridge,
    simulated,
)

SIMULATIONS = 400
MOST_CLAIMS = 29
FEWER, MOST_OF_FEWER = 150, 13  # likewise


def singles(rng):
    return np.arange(60)


def twelve(rng):
    return np.arange(96) % 12


def unequal(rng):
    """Thirty groups of which the largest holds a quarter of the rows, as scaffolds do."""
    share = 1 / np.arange(1, 31)
    return rng.choice(30, 100, p=share / share.sum())


def half_in_one(rng):
    """As where one ring system makes half of a table."""
    return np.maximum(0, np.arange(80) - 40)


def compared(rng, groups, worse_by=0.0, margin=0.0):
    """The comparison of two arms on one test set; rows of a group share a part of each arm's error."""
    n, index = len(groups), np.unique(groups, return_inverse=True)[1]

    def errors(scale):
        return scale * (0.7 * rng.normal(size=index.max() + 1)[index] + 0.7 * rng.normal(size=n))

    truth = rng.normal(size=n)
    arms = {"mean": np.zeros(n), "gp": truth + errors(1.0), "lm-head": truth + errors(1.0 + worse_by)}
    ids = [f"r{i:03d}" for i in range(n)]
    frame = pd.DataFrame(
        [
            {"row_id": row_id, "split": "random", "repeat": 0, "fold": 0, "arm": arm, "truth": t, "prediction": p}
            | {"parse_failed": False}
            for arm, predicted in arms.items()
            for row_id, t, p in zip(ids, truth, predicted, strict=True)
        ]
    )
    labels = dict(zip(ids, (f"g{group}" for group in groups), strict=True))
    train = tuple(f"t{i}" for i in range(4 * n))
    split = Split("random", (Fold(0, 0, train, tuple(ids)),), labels | {row: row for row in train}, "")
    found = evaluate(frame, task="regression", classes=(), split=split, preferred={(0, 0): "gp"})
    return compare(found, list(arms), ["lm-head"], "lm-head", margin).between("lm-head", "gp")


def answers(make, **planted):
    found = [compared(rng, make(rng), **planted).answer for rng in map(np.random.default_rng, range(SIMULATIONS))]
    return {answer: found.count(answer) for answer in (BETTER, WORSE, EQUIVALENT, CANNOT_TELL)}


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(singles, marks=pytest.mark.slow),
        pytest.param(unequal, marks=pytest.mark.slow),
        pytest.param(twelve, marks=pytest.mark.slow),
        pytest.param(half_in_one, marks=pytest.mark.slow),
    ],
)
def test_equal_arms_on_one_test_set(make):
    found = answers(make)
    assert found[BETTER] + found[WORSE] <= MOST_CLAIMS, found


@pytest.mark.slow
def test_a_planted_difference_on_one_test_set():
    """Errors 1.5 times as large on 60 rows are found in more than four of five tests, and never called smaller."""
    found = answers(singles, worse_by=0.5)
    assert found[WORSE] >= 0.8 * SIMULATIONS, found
    assert found[BETTER] == 0


@pytest.mark.slow
def test_arms_at_the_margin_are_not_equivalent():
    """A true difference as large as the margin (the mean absolute error of a normal error of 0.7 √2 in this much)."""
    worse_by = 0.3
    margin = worse_by * np.sqrt(0.98) * np.sqrt(2 / np.pi)
    found = answers(singles, worse_by=worse_by, margin=float(margin))
    assert found[EQUIVALENT] <= MOST_CLAIMS, found


# -- repeated divisions of one table, with arms that learn --


def divided_answers(make, folds, repeats, learner=ridge, blur=0.0):
    """What is said of two equal learners, over folds or hold-outs, repeated.

    Each sees one half of the features, always the same, so that what sets them apart on a table does so in every
    division; over tables neither is better. With ``blur`` both see the same half, and the first is blurred.
    """
    claims = []
    for simulation in range(SIMULATIONS):
        rng = np.random.default_rng(simulation)
        groups = make(rng).astype(str)
        X, y = simulated(rng, groups)
        noise = blur * rng.normal(size=len(y))
        one, two = (X[:, :5], X[:, :5]) if blur else (X[:, :5], X[:, 5:])
        estimate = estimated(y, groups, masks_of(groups, folds, repeats), learner, one, two, noise)
        claims.append(np.sign(estimate.value) if estimate.p_difference() < 0.05 else 0)
    return {WORSE: claims.count(1), BETTER: claims.count(-1)}


def estimated(y, groups, masks, learner, one, two, noise):
    """The difference in mean absolute error over divisions."""
    scores, division, rows = [], [], []
    for number, mask in enumerate(masks):
        tested = np.flatnonzero(mask)
        first = np.abs(y[tested] - learner(one, y, ~mask, tested) - noise[tested])
        scores.append(first - np.abs(y[tested] - learner(two, y, ~mask, tested)))
        division.append(np.full(len(tested), number))
        rows.append(tested)
    flat = np.concatenate(rows)
    return over_divisions(np.concatenate(scores), np.concatenate(division), flat, groups[flat], groups)


def grouped(rng):
    return rng.integers(0, 40, 120)


def loose(rng):
    return np.arange(120)


def most_in_one(rng):
    """Three of four rows are one group, which no hold-out can test: the others are tested again and again."""
    return np.maximum(0, np.arange(120) - 89)


def as_scaffolds(rng):
    """Sixty groups of which the largest holds a fifth of the rows."""
    share = 1 / np.arange(1, 61)
    return rng.choice(60, 240, p=share / share.sum())


SLOW = pytest.mark.slow


@pytest.mark.parametrize(
    ("make", "folds", "repeats", "learner"),
    [
        (grouped, 5, 1, ridge),
        (grouped, 5, 2, ridge),
        (most_in_one, 0, 5, ridge),
        *(
            # Each learner on each kind of groups and each kind of division, in half of their pairs.
            pytest.param(make, folds, repeats, (ridge, neighbours)[(row + column) % 2], marks=SLOW)
            for row, make in enumerate((loose, grouped, most_in_one, as_scaffolds))
            for column, (folds, repeats) in enumerate(((5, 1), (5, 2), (5, 5), (0, 5)))
        ),
    ],
)
def test_equal_learners_over_divisions(make, folds, repeats, learner):
    found = divided_answers(make, folds, repeats, learner)
    assert found[BETTER] + found[WORSE] <= MOST_CLAIMS, found


@pytest.mark.parametrize(
    ("table", "learner", "order"),
    [
        *(
            pytest.param(table, learner, order, marks=SLOW)
            for table in TABLES
            for learner in LEARNERS
            for order in EDGES
        ),
    ],
)
def test_equal_learners_beyond_an_edge(table, learner, order):
    """What the training rows happen to be moves all test rows there; by the tested rows alone nearest neighbours on
    groups are called different in a quarter of the tables."""
    rngs = map(np.random.default_rng, range(SIMULATIONS))
    claims = sum(beyond_edge(rng, TABLES[table](rng), learner, order)[1].p_difference() < 0.05 for rng in rngs)
    assert claims <= MOST_CLAIMS, claims


@pytest.mark.slow
@pytest.mark.parametrize(("make", "blur"), [(loose, 2.5), (grouped, 3.0)])
def test_a_planted_difference_over_repeated_folds(make, blur):
    """On 120 rows a large difference is found in more than four of five tables, also where the rows come in forty
    groups; and it is never taken for a smaller one."""
    found = divided_answers(make, 5, 2, blur=blur)
    assert found[WORSE] >= 0.85 * SIMULATIONS, found
    assert found[BETTER] == 0


# -- few positives: two runs, and several targets --


def few_positives(rng, positives, arms, n=100):
    """Predictions of arms that rank equally well, the first rows being the positives; the control ranks nothing."""
    truth = np.where(np.arange(n) < positives, "1", "0")
    parts = []
    for arm in ("majority", *arms):
        chance = np.full(n, 0.1) if arm == "majority" else 1 / (1 + np.exp(-rng.normal(size=n) - (truth == "1")))
        part = pd.DataFrame({"row_id": [f"r{i:03d}" for i in range(n)], "truth": truth, "p_0": 1 - chance})
        columns = {"split": "random", "repeat": 0, "fold": 0, "arm": arm, "prediction": "0", "parse_failed": False}
        parts.append(part.assign(p_1=chance, **columns))
    return pd.concat(parts, ignore_index=True)


def finished(frame):
    """A run as far as `compare_runs` reads it: every row is a group."""
    info = {"task": CLASSES, "settings": {}, "versions": {}}
    splits = frame[["split", "repeat", "fold", "row_id"]].drop_duplicates().assign(role="test")
    return Finished(Path("run"), info, frame, splits.assign(group=splits["row_id"]))


def runs_called_different(rng, positives, arms=("knn",)):
    """Whether some arm of two runs that are equally good is called better or worse."""
    pairs = compare_runs(*(finished(few_positives(rng, positives, arms)) for _ in range(2)))
    return any(pair.answer in (BETTER, WORSE) for pair in pairs)


@pytest.mark.parametrize(
    ("positives", "arms"),
    [
        (3, ("knn",)),
        *(pytest.param(count, ("knn",), marks=SLOW) for count in (2, 5, 8)),
        pytest.param(20, ("knn", "ridge", "gp", "ensemble"), marks=SLOW),
    ],
)
def test_equal_runs_with_few_positives(positives, arms):
    """With as many degrees of freedom as there are rows two runs with three positives differ in a sixth of the cases;
    and of four arms some differ in a sixth where each is tested for itself."""
    claims = sum(runs_called_different(np.random.default_rng(seed), positives, arms) for seed in range(FEWER))
    assert claims <= MOST_OF_FEWER, claims


def targets_called_different(rng, positives, targets):
    """Whether the mean over targets of one arm is shown to differ from that of the preferred one that is as good."""
    ids = [f"r{i:03d}" for i in range(100)]
    split = Split("random", (Fold(0, 0, (), tuple(ids)),), dict(zip(ids, ids, strict=True)), "")
    found = {
        f"t{number}": evaluate(
            few_positives(rng, positives, ("knn", "lm-head")),
            task=CLASSES,
            classes=("0", "1"),
            split=split,
            preferred={(0, 0): "knn"},
            positive="1",
        )
        for number in range(targets)
    }
    rows, _ = over_targets(found).difference("lm-head", REFERENCE)
    return rows.p_difference() < 0.05


@pytest.mark.slow
def test_equal_arms_over_two_targets_with_three_positives_each(monkeypatch):
    """By the groups of all rows they are called different in a fifth of the cases."""
    for module in (evaluations, over_targets_module):  # resamples make nine tenths of the time
        monkeypatch.setattr(module, "group_draws", lambda groups, seed, *_: group_draws(groups, seed, 200))
    claims = sum(targets_called_different(np.random.default_rng(seed), 3, 2) for seed in range(FEWER))
    assert claims <= MOST_OF_FEWER, claims


# -- by hand --


def test_folds_by_hand():
    """Four rows in two folds, each a group: squared deviations of 5 over 16, times 4 / 3, and as much again for the
    training rows, which nothing tells apart here."""
    scores, rows = np.array([1.0, 2.0, 3.0, 4.0]), np.arange(4)
    found = over_divisions(scores, np.array([0, 0, 1, 1]), rows, rows, rows)
    assert found.value == 2.5
    assert found.error == pytest.approx(np.sqrt(2 * 5 / 16 * 4 / 3))
    assert found.degrees == 3


def test_rows_of_a_group_count_as_one():
    scores, groups = np.tile([1.0, 2.0, 3.0, 4.0], 10), np.tile(np.arange(4), 10)
    found = over_divisions(scores, np.repeat([0, 1], 20), np.arange(40), groups, groups)
    assert found.error == pytest.approx(np.sqrt(2 * 5 / 16 * 4 / 3))


def test_divisions_of_one_row_set_are_not_more_rows():
    """Ten copies of one test set say no more than one."""
    rng = np.random.default_rng(0)
    scores, rows, table_rows = rng.normal(size=50), np.arange(50), np.arange(250)
    one = over_divisions(np.tile(scores, 2), np.repeat([0, 1], 50), np.tile(rows, 2), np.tile(rows, 2), table_rows)
    ten = over_divisions(
        np.tile(scores, 10), np.repeat(np.arange(10), 50), np.tile(rows, 10), np.tile(rows, 10), table_rows
    )
    assert ten.error == pytest.approx(one.error)
    assert one.error >= scores.std() / np.sqrt(50)


def test_models_that_differ_between_divisions_widen_the_error():
    """Each model shifts all of its rows: what rows alone could not say."""
    rng = np.random.default_rng(1)
    rows = np.tile(np.arange(100), 2)
    division = np.concatenate([rng.permutation(np.repeat(np.arange(5), 20)) + 5 * repeat for repeat in range(2)])
    of_row, of_model = 0.1 * rng.normal(size=100), rng.normal(size=10)
    still = over_divisions(of_row[rows], division, rows, rows, np.arange(100))
    moved = over_divisions(of_row[rows] + of_model[division], division, rows, rows, np.arange(100))
    assert moved.error > 5 * still.error
    assert moved.degrees < 15 < still.degrees


def test_undefined_divisions_are_left_out():
    scores = np.array([1.0, 2.0, np.nan, np.nan])
    found = over_divisions(scores, np.array([0, 0, 1, 1]), np.arange(4), np.arange(4), np.arange(4))
    assert found.value == 1.5
    assert not over_divisions(np.full(4, np.nan), np.zeros(4, int), np.arange(4), np.arange(4), np.arange(4)).known


def test_the_mean_of_independent_values_by_hand():
    found = Estimate.of_mean(np.array([1.0, 2.0, 3.0, 4.0]))
    assert found.interval() == pytest.approx((2.5 - 3.182446 * np.sqrt(5 / 12), 2.5 + 3.182446 * np.sqrt(5 / 12)))
    assert not Estimate.of_mean(np.array([1.0])).known


def test_the_jackknife_of_a_mean_is_its_standard_error():
    """Left out one by one, the parts of a mean give the error that is known of it."""
    values = np.array([1.0, 2.0, 4.0, 9.0, 10.0])
    without = np.array([np.delete(values, row).mean() for row in range(5)])
    assert jackknife(without) == (pytest.approx(values.std(ddof=1) / np.sqrt(5)), 4)


def test_effective_groups():
    assert effective_degrees(np.arange(20)) == 19
    assert effective_degrees(np.array(["a"] * 10 + ["b"] * 10)) == 1
    assert effective_degrees(half_in_one(None)) == pytest.approx(80**2 / (41**2 + 39) - 1)


def test_an_undefined_metric_is_not_known():
    estimate = Estimate.over_groups(float("nan"), np.full(100, np.nan), np.arange(20))
    assert not estimate.known
    assert estimate.p_difference() == 1.0


def test_holm_by_hand():
    assert [p for p, _ in holm([0.01, 0.04, 0.03])] == pytest.approx([0.03, 0.06, 0.06])


def test_levels_of_holm_exclude_zero_just_where_the_adjusted_p_is_small():
    rng = np.random.default_rng(3)
    for _ in range(200):
        estimates = [Estimate(float(value), 1.0, 20) for value in rng.normal(scale=2.0, size=5)]
        adjusted = holm([one.p_difference() for one in estimates])
        for one, (p, level) in zip(estimates, adjusted, strict=True):
            low, high = one.interval(level)
            assert (low > 0 or high < 0) == (p < 0.05)
