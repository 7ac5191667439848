"""The share of an arm in a blend: found where it is known, nothing for an arm that brings nothing."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.arms.ladder import mean_of
from pipeline.evaluation.blending import chosen_blend, share_said


def simulated(seed, spread=(1.0, 1.0), n=300):
    """Two arms with independent errors of known size around the truth, each row a group."""
    rng = np.random.default_rng(seed)
    truth = rng.normal(scale=3.0, size=n)
    first, second = (truth + one * rng.normal(size=n) for one in spread)
    return first, second, truth, np.arange(n), np.ones(n, dtype=bool)


def test_a_known_share_lies_within_its_interval():
    """Of independent normal errors the mean with the smallest error weighs each by the inverse of its variance."""
    held = []
    for seed in range(20):
        share, _ = chosen_blend(*simulated(seed, (1.0, 1.5)), seed)
        held.append(share.low <= 1 / (1 + 1.5**2) <= share.high)
    assert sum(held) >= 17


def test_an_arm_that_adds_nothing_but_noise_gets_little():
    shares = []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        first, _, truth, groups, exact = simulated(seed)
        shares.append(chosen_blend(first, first + rng.normal(size=len(first)), truth, groups, exact, seed)[0])
    assert sum(share.low == 0 for share in shares) >= 17
    assert np.mean([share.value for share in shares]) < 0.1


def test_the_same_predictions_twice_leave_nothing_to_the_second():
    first, _, truth, groups, exact = simulated(0)
    assert chosen_blend(first, first, truth, groups, exact, 0)[0].value == 0


@pytest.mark.parametrize(("spread", "value"), [((1.0, 0.0), 1.0), ((0.0, 1.0), 0.0)])
def test_an_arm_that_is_right_gets_all(spread, value):
    share, predicted = chosen_blend(*(given := simulated(1, spread)), 1)
    assert (share.value, share.low, share.high, share.n) == (value, value, value, 300)
    np.testing.assert_allclose(predicted, given[2])


def test_no_row_has_a_part_in_its_own_prediction():
    first, second, truth, groups, exact = simulated(2)
    _, before = chosen_blend(first, second, truth, groups // 3, exact, 2)
    changed = truth.copy()
    changed[30:33] += 1000  # one group
    _, after = chosen_blend(first, second, changed, groups // 3, exact, 2)
    np.testing.assert_array_equal(before[30:33], after[30:33])
    assert (before != after).any()


def test_bounds_and_rows_without_a_prediction_choose_nothing():
    first, second, truth, groups, exact = simulated(3, (1.0, 0.0))
    truth[:100] = first[:100]  # the first arm would be right
    exact[:50] = False
    first[50:100] = np.nan
    share, predicted = chosen_blend(first, second, truth, groups, exact, 3)
    assert (share.value, share.n) == (1.0, 200)
    assert np.isnan(predicted[50:100]).all()
    assert np.isfinite(predicted[:50]).all()


def test_few_groups_choose_and_say_nothing_of_how_sure():
    first, second, truth, groups, exact = simulated(4, (1.0, 0.0))
    share, _ = chosen_blend(first, second, truth, groups % 9, exact, 4)
    assert (share.value, share.low, share.high) == (1.0, 0.0, 1.0)


@pytest.mark.parametrize(("groups", "n"), [(1, 300), (9, 9)])
def test_one_group_or_few_rows_leave_both_arms_alike(groups, n):
    first, second, truth, number, exact = simulated(4, (1.0, 0.0), n)
    share, predicted = chosen_blend(first, second, truth, number % groups, exact, 4)
    assert share is None
    np.testing.assert_array_equal(predicted, mean_of([first, second]))


def test_classes_are_blended_by_their_logarithmic_loss():
    rng = np.random.default_rng(5)
    truth = rng.integers(0, 2, 200)
    right = np.where(truth, 0.9, 0.1)
    second, first = (np.column_stack([1 - one, one]) for one in (right, rng.uniform(size=200)))
    labels, exact = np.array(["no", "yes"], dtype=object)[truth], np.ones(200, dtype=bool)
    share, predicted = chosen_blend(first, second, labels, np.arange(200), exact, 5, ("no", "yes"))
    assert share.value > 0.9
    assert predicted.shape == (200, 2)
    np.testing.assert_allclose(predicted.sum(axis=1), 1)
    swapped, _ = chosen_blend(second, first, labels, np.arange(200), exact, 5, ("no", "yes"))
    assert swapped.value == pytest.approx(1 - share.value)


def test_what_is_said_of_it():
    share = {"value": 0.31, "low": 0.1, "high": 0.5, "n": 61}
    assert share_said("blend", share) == (
        "lm-head makes 31% of blend [10% to 50%], the share that did best on 61 held-out training rows."
    )
