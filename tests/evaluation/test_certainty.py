"""Intervals, calibrated chances, and what tells large errors, against what follows by hand or by another package."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics as reference

from pipeline.evaluation.calibration import perfect_calibration_error, top_calibration_error
from pipeline.evaluation.error_ranking import error_auroc, large_errors, relative_risk, risk_curve
from pipeline.evaluation.intervals import (
    adaptive_radius,
    at_temperature,
    conformal_radius,
    conformal_sides,
    temperature,
)


def test_adaptive_intervals_keep_the_level_and_follow_the_difficulty():
    """Errors that grow with the difficulty: both kinds cover nine in ten, one of them in the easy and the hard half."""
    covered, fixed_hard, adaptive_hard = [], [], []
    for seed in range(40):
        rng = np.random.default_rng(seed)
        difficulty, new = rng.uniform(0, 1, 400), rng.uniform(0, 1, 400)
        residuals, errors = (rng.normal(size=400) * (0.2 + 2 * d) for d in (difficulty, new))
        radius = adaptive_radius(residuals, difficulty, new, 0.9)
        covered.append(np.mean(np.abs(errors) <= radius))
        hard = new > 0.7
        adaptive_hard.append(np.mean(np.abs(errors[hard]) <= radius[hard]))
        fixed_hard.append(np.mean(np.abs(errors[hard]) <= conformal_radius(residuals, 0.9)))
    assert np.mean(covered) == pytest.approx(0.9, abs=0.015)
    assert np.mean(adaptive_hard) == pytest.approx(0.9, abs=0.03)
    assert np.mean(fixed_hard) < 0.8


def test_a_difficulty_that_says_nothing_leaves_the_interval_nearly_as_it_was():
    rng = np.random.default_rng(0)
    residuals = rng.normal(size=2_000)
    radius = adaptive_radius(residuals, rng.uniform(size=2_000), rng.uniform(size=500), 0.9)
    assert np.median(radius) == pytest.approx(conformal_radius(residuals, 0.9), rel=0.1)


@pytest.mark.parametrize("heat", [0.5, 1.0, 3.0])
def test_the_temperature_is_found_again(heat):
    rng = np.random.default_rng(1)
    logits = rng.normal(scale=2, size=(4_000, 3))
    true = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    codes = np.array([rng.choice(3, p=row) for row in true])
    said = at_temperature(true, 1 / heat)
    found = temperature(said, codes)
    assert found == pytest.approx(heat, rel=0.1)
    likely = said.min(axis=1) > 1e-6  # less counts as that
    assert np.allclose(at_temperature(said, heat)[likely], true[likely], atol=2e-3)
    assert (at_temperature(said, found).argmax(axis=1) == said.argmax(axis=1)).all()


def test_calibration_errors_are_read_against_those_of_perfect_chances():
    """Chances that are true have the error that is expected of such; overstated ones have more."""
    found, overstated = [], []
    for seed in range(60):
        rng = np.random.default_rng(seed)
        up = rng.uniform(0.05, 0.95, 80)
        chances, codes = np.column_stack([1 - up, up]), (rng.random(80) < up).astype(int)
        found.append((top_calibration_error(chances, codes), perfect_calibration_error(chances)))
        overstated.append(top_calibration_error(at_temperature(chances, 0.3), codes))
    assert np.mean(found, axis=0)[0] == pytest.approx(np.mean(found, axis=0)[1], rel=0.1)
    assert np.mean(overstated) > 1.5 * np.mean(found, axis=0)[0]


def test_the_error_auroc_is_that_of_scikit_learn():
    rng = np.random.default_rng(2)
    errors, signal = rng.exponential(size=100), rng.normal(size=100).round(1)
    assert large_errors(errors).sum() == 20
    assert error_auroc(errors, signal, np.ones((1, 100)))[0] == pytest.approx(
        reference.roc_auc_score(large_errors(errors), signal)
    )


def test_relative_risk_of_a_perfect_a_useless_and_a_wrong_signal():
    errors = np.arange(1.0, 101.0)
    ones = np.ones((1, 100))
    perfect, wrong = relative_risk(errors, errors, ones)[0], relative_risk(errors, -errors, ones)[0]
    assert relative_risk(errors, np.zeros(100), ones)[0] == pytest.approx(1.0)
    assert perfect == pytest.approx(0.5, abs=0.02)  # the kept half of a triangle
    assert wrong == pytest.approx(1.5, abs=0.02)
    shuffled = [relative_risk(errors, np.random.default_rng(seed).normal(size=100), ones)[0] for seed in range(200)]
    assert np.mean(shuffled) == pytest.approx(1.0, abs=0.02)


def test_weights_of_the_relative_risk_are_repetitions():
    rng = np.random.default_rng(3)
    errors, signal, counts = rng.exponential(size=30), rng.normal(size=30).round(1), rng.integers(0, 4, 30)
    weighted = relative_risk(errors, signal, counts[None].astype(float))[0]
    again = np.repeat(errors, counts), np.repeat(signal, counts)
    assert weighted == pytest.approx(relative_risk(*again, np.ones((1, counts.sum())))[0])


def test_a_risk_curve_ends_at_the_mean_error():
    kept, risk = risk_curve(np.array([1.0, 2.0, 6.0]), np.array([0.1, 0.1, 0.9]))
    assert kept.tolist() == pytest.approx([2 / 3, 1.0])
    assert risk.tolist() == pytest.approx([1.5, 3.0])


def test_intervals_with_a_size_for_each_side_follow_errors_to_one_side():
    """Both kinds hold nine in ten of errors that lean upwards; that by side is narrower, and holds the prediction."""
    covered, widths = [], []
    for seed in range(60):
        rng = np.random.default_rng(seed)
        residuals, errors = rng.normal(2.0, 1.0, 200), rng.normal(2.0, 1.0, 1_000)
        below, above = conformal_sides(residuals, 0.9, by_side=True)
        radius, same = conformal_sides(residuals, 0.9, by_side=False)
        assert radius == same == conformal_radius(residuals, 0.9)
        assert below >= 0 <= above
        covered.append(np.mean((errors >= -below) & (errors <= above)))
        widths.append((below + above) / (2 * radius))
    assert np.mean(covered) >= 0.9
    assert np.mean(widths) < 0.7
