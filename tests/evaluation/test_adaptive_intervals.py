"""Whether intervals adapt is decided on held-out residuals: seldom without a reason, always with a good one."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.isotonic import IsotonicRegression
from sklearn.model_selection import KFold

from pipeline.evaluation.intervals import (
    ONE_RADIUS,
    adaptive_radius,
    coverage_by_quarter,
    expected_errors,
    interval_method,
    interval_score,
    radii_of_others,
    score_gain,
)


def drawn(seed: int, n: int, slope: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Residuals whose spread grows with the distance, the distance, and groups of one row each."""
    rng = np.random.default_rng(seed)
    distance = rng.uniform(0.1, 0.9, n)
    return rng.normal(size=n) * (0.3 + slope * distance), distance, np.arange(n)


@pytest.mark.parametrize("law", ["normal", "heavy"])
@pytest.mark.parametrize("n", [40, 200])
def test_one_radius_is_kept_where_errors_are_alike(n, law):
    adapted = 0
    for seed in range(25):
        rng = np.random.default_rng(seed)
        residuals = rng.normal(size=n) if law == "normal" else rng.standard_t(3, size=n)
        signals = {"distance": rng.uniform(size=n), "spread": rng.exponential(size=n)}
        adapted += interval_method(residuals, signals, np.arange(n)) != ONE_RADIUS
    assert adapted <= 1


def test_errors_that_grow_with_distance_are_found():
    found = [interval_method(r, {"distance": d}, g) for r, d, g in (drawn(seed, 300, 3.0) for seed in range(10))]
    assert found.count("by distance") >= 9


def test_the_signal_that_says_more_is_followed():
    residuals, distance, groups = drawn(0, 400, 3.0)
    vague = distance + np.random.default_rng(1).normal(scale=0.3, size=400)
    assert interval_method(residuals, {"distance": vague, "spread": distance}, groups) == "by spread"


def test_few_residuals_are_not_asked():
    residuals, distance, groups = drawn(0, 39, 30.0)
    assert interval_method(residuals, {"distance": distance}, groups) == ONE_RADIUS


def test_neither_the_order_of_the_rows_nor_a_sign_changes_the_decision():
    residuals, distance, groups = drawn(3, 150, 1.0)
    order = np.random.default_rng(0).permutation(150)
    assert score_gain(residuals, distance, groups) == pytest.approx(
        score_gain(-residuals[order], distance[order], groups[order])
    )


def test_copies_of_a_row_are_no_new_evidence():
    """Each row ten times, as where a structure was measured under ten conditions: the doubt stays what it was."""
    residuals, distance, groups = drawn(3, 60, 1.0)
    _, once = score_gain(residuals, distance, groups)
    _, often = score_gain(*(np.repeat(values, 10) for values in (residuals, distance, groups)))
    assert often == pytest.approx(once, rel=0.5)


def test_one_group_leaves_nothing_to_judge_by():
    residuals, distance, _ = drawn(0, 100, 3.0)
    assert interval_method(residuals, {"distance": distance}, np.zeros(100)) == ONE_RADIUS


def test_the_interval_score_by_hand_and_its_minimum_at_the_true_quantile():
    assert interval_score(np.array([0.5, -3.0]), np.array([1.0, 1.0]), 0.9) == pytest.approx([2.0, 2.0 + 20 * 2.0])
    errors = np.random.default_rng(0).normal(size=20_000)
    scores = {r: interval_score(errors, np.full(20_000, r), 0.9).mean() for r in (1.2, 1.645, 2.2)}
    assert min(scores, key=lambda radius: scores[radius]) == 1.645


def test_intervals_from_the_others_cover_each_quarter():
    residuals, distance, groups = drawn(5, 1_000, 3.0)
    ((fixed, adaptive),) = radii_of_others(residuals, distance, groups, [0.9])
    assert coverage_by_quarter(residuals, adaptive, distance) == pytest.approx([0.9] * 4, abs=0.06)
    uneven = coverage_by_quarter(residuals, fixed, distance)
    assert uneven[0] > 0.97
    assert uneven[-1] < 0.85


def test_one_distance_has_no_quarters():
    rows = np.ones(8)
    assert coverage_by_quarter(rows, rows, 0.4 * rows) == []
    assert coverage_by_quarter(rows, rows, np.arange(8.0)) == [1.0] * 4


def test_errors_of_one_size_leave_one_radius():
    """Whatever the rounding says."""
    _, distance, groups = drawn(0, 200, 1.0)
    assert interval_method(np.full(200, 0.3), {"distance": distance}, groups) == ONE_RADIUS
    assert interval_method(np.zeros(200), {"distance": distance}, groups) == ONE_RADIUS


def measured_eight_times(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """40 molecules of 8 rows with one error each, which grows with the distance: residuals, distance and groups; and
    the errors and distances of 400 new ones."""
    rng = np.random.default_rng(seed)
    distance, group = rng.uniform(size=440), np.repeat(np.arange(40), 8)
    error = rng.normal(size=440) * (0.2 + distance)
    residuals = error[group] + 0.1 * rng.normal(size=320)
    return residuals, distance[group], group, error[40:] + 0.1 * rng.normal(size=400), distance[40:]


def test_molecules_of_several_rows_have_intervals_that_cover_new_molecules():
    covered = []
    for seed in range(40):
        residuals, distance, group, errors, of_new = measured_eight_times(seed)
        radius = adaptive_radius(residuals, distance, of_new, 0.9, group)
        covered.append(np.mean(np.abs(errors) <= radius))
    assert np.mean(covered) == pytest.approx(0.9, abs=0.02)  # 0.84 where rows of one molecule tell of each other


def test_the_error_expected_of_a_row_says_nothing_of_its_own_group():
    residuals, distance, group, _, of_new = measured_eight_times(0)
    before, _ = expected_errors(residuals, distance, of_new, group)
    changed = np.where(group == 3, 50.0, residuals)
    after, _ = expected_errors(changed, distance, of_new, group)
    floor = 0.2 * np.abs(changed).mean()
    assert (after[group == 3] == np.maximum(before[group == 3], floor)).all()


def test_groups_of_one_row_change_no_digit():
    residuals, distance, groups = drawn(0, 200, 1.0)
    expected = expected_errors(residuals, distance, distance)
    for given in (groups, np.array([f"row {200 - number}" for number in groups], dtype=object), np.zeros(200)):
        for found, plain in zip(expected_errors(residuals, distance, distance, given), expected, strict=True):
            np.testing.assert_array_equal(found, plain)
    held_out = np.empty(200)
    isotonic = IsotonicRegression(y_min=0.2 * float(np.abs(residuals).mean()), out_of_bounds="clip")
    for kept, held in KFold(10, shuffle=True, random_state=0).split(residuals):
        held_out[held] = isotonic.fit(distance[kept], np.abs(residuals)[kept]).predict(distance[held])
    np.testing.assert_array_equal(expected[0], held_out)
