"""Learning curves: the law that was put in comes out, and rows for an error are read off both ways."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.evaluation.bootstrap import group_weights
from pipeline.evaluation.curves import Law, limits, redrawn, rows_needed

SIZES = np.array([10, 20, 50, 100, 200, 500])


def law(floor, scale, exponent, sizes=SIZES):
    return floor + scale * sizes.astype(float) ** -exponent


@pytest.mark.parametrize(("floor", "scale", "exponent"), [(0.0, 3.0, 0.5), (0.4, 5.0, 0.9), (2.0, 30.0, 0.25)])
def test_a_law_without_noise_is_found(floor, scale, exponent):
    found = Law.fit(SIZES, law(floor, scale, exponent)[None])
    assert found.exponent[0] == pytest.approx(exponent, rel=0.05)
    assert found.floor[0] == pytest.approx(floor, abs=0.06 * max(floor, 0.5))
    assert found.at(2_000)[0] == pytest.approx(law(floor, scale, exponent, np.array([2_000]))[0], rel=0.02)


def test_three_sizes_have_no_floor_and_a_flat_curve_has_nothing_but_one():
    assert Law.fit(SIZES[:3], law(0.4, 5.0, 0.9)[None, :3]).floor[0] == 0
    flat = Law.fit(SIZES, np.full((1, 6), 1.5))
    assert flat.at(10)[0] == pytest.approx(1.5)
    assert flat.at(5_000)[0] == pytest.approx(1.5, rel=0.02)


def test_many_curves_are_fitted_as_each_alone():
    curves = np.stack([law(0.2, 4.0, 0.6), law(0.0, 2.0, 0.3)])
    together = Law.fit(SIZES, np.vstack([curves, curves]))
    for place, curve in enumerate(curves):
        alone = Law.fit(SIZES, curve[None])
        assert together.exponent[place] == pytest.approx(alone.exponent[0], rel=0.05)


def test_rows_for_an_error_lie_between_the_sizes_or_beyond_what_was_measured():
    curve = law(0.0, 3.0, 0.5)[None].repeat(4, axis=0)
    errors = np.array([3.0 * 37**-0.5, 5.0, 0.01, curve[0, 2]])
    assert rows_needed(SIZES, curve, errors) == pytest.approx([37, 0, np.inf, 50])


def test_a_curve_that_goes_up_is_levelled():
    curve = np.array([[4.0, 2.0, 2.2, 1.0, 0.9, 0.8]])
    level = np.sqrt(2.0 * 2.2)
    assert rows_needed(SIZES, curve, np.array([level * 1.001]))[0] == pytest.approx(20, rel=0.01)
    assert rows_needed(SIZES, curve, np.array([level * 0.999]))[0] == pytest.approx(50, rel=0.01)
    assert 10 < rows_needed(SIZES, curve, np.array([3.0]))[0] < 20


def test_limits_count_what_lies_beyond():
    assert limits(np.r_[np.zeros(10), np.arange(1, 981), np.full(10, np.inf)]) == pytest.approx((16, 964), abs=3)
    assert limits(np.full(100, np.inf)) == (np.inf, np.inf)


def test_arms_and_sizes_that_go_up_together_do_so_when_drawn_again():
    """A harder test row is harder for both: their ratio is surer than either."""
    rng = np.random.default_rng(0)
    n, seeds = 60, 3
    hard = rng.gamma(1.0, 1.0, n)
    groups = np.arange(n)
    weights = np.vstack([np.ones((1, n)), group_weights(groups, 0, 400)])
    errors = np.stack([hard, 2 * hard * rng.uniform(0.9, 1.1, n)])[:, None, :].repeat(seeds, axis=1)
    errors = errors * rng.uniform(0.95, 1.05, (1, seeds, 1))
    drawn = redrawn(errors @ weights.T / weights.sum(axis=1), groups, 0)
    assert drawn.shape == (2, 401)
    assert drawn[:, 0] == pytest.approx(errors.mean(axis=(1, 2)))
    assert np.log(drawn[1] / drawn[0]).std() < 0.3 * np.log(drawn[0]).std()
    assert (drawn > 0).all()


@pytest.mark.parametrize("seeds", [2, 5])
def test_intervals_hold_the_true_mean_error(seeds):
    """Of a mean over test groups and seeds that differ: 95 % is asked for, and not much more or less comes out."""
    held = []
    for number in range(150):
        rng = np.random.default_rng(number)
        n = 40
        groups = np.arange(n)
        weights = np.vstack([np.ones((1, n)), group_weights(groups, number, 300)])
        errors = rng.gamma(2.0, 0.5, n)[None] * np.exp(rng.normal(-0.02, 0.2, (seeds, 1)))
        drawn = redrawn(errors @ weights.T / weights.sum(axis=1), groups, number)
        low, high = limits(drawn[1:])
        held.append(low <= 1.0 <= high)
    assert 0.88 <= np.mean(held) <= 1.0
