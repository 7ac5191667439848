"""Which dose is enough: its interval keeps its promise, and every sentence of it says no more than was shown."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.studies.negatives.doses import RANKING, REFUSING, Enough, enough_in_words, needs_in_words, smallest_enough

DOSES = (1.0, 10.0, 25.0, 100.0)


def singles(n):
    return np.arange(n).astype(str).astype(object)


def curve_of(values, error, seeds=3):
    """Values by dose, the same for all seeds, with resamples of a given error that the doses do not share."""
    rng = np.random.default_rng(0)
    samples = {
        dose: np.r_[value, value + error * rng.normal(size=400)] for dose, value in zip(DOSES, values, strict=True)
    }
    return {dose: [found] * seeds for dose, found in samples.items()}


def test_doses_far_apart_are_told_apart():
    found = smallest_enough(RANKING, curve_of((0.6, 0.7, 0.95, 0.95), 0.002), singles(100))
    assert (found.dose, found.low, found.high, found.told) == (25, 25, 25, True)
    found = smallest_enough(REFUSING, curve_of((1.0, 0.9, 0.5, 0.1), 0.002), singles(100))
    assert (found.dose, found.low, found.high, found.told) == (100, 100, 100, True)


def test_a_wide_error_spans_all_doses_and_tells_nothing():
    found = smallest_enough(RANKING, curve_of((0.85, 0.9, 0.95, 0.95), 0.3), singles(100))
    assert (found.low, found.high, found.told) == (1, 100, False)
    assert found.dose == 25


def test_seeds_that_differ_widen_the_interval():
    curve = curve_of((0.85, 0.90, 0.95, 0.95), 0.001)
    assert smallest_enough(RANKING, curve, singles(100)).low == 25
    shifts = (-0.06, 0.0, 0.06)
    curve[10.0] = [samples + shift for samples, shift in zip(curve[10.0], shifts, strict=True)]
    assert smallest_enough(RANKING, curve, singles(100)).low == 10


def test_a_dose_is_enough_only_if_all_larger_ones_are():
    found = smallest_enough(RANKING, curve_of((0.95, 0.7, 0.95, 0.95), 0.002), singles(100))
    assert found.dose == found.high == 25


def test_nine_groups_tell_nothing():
    found = smallest_enough(RANKING, curve_of((0.6, 0.7, 0.95, 0.95), 0.002), np.repeat(singles(9), 20))
    assert found.few
    assert not found.told


@pytest.mark.slow
def test_the_interval_holds_the_true_dose_in_19_of_20_tests():
    rng, truth, held = np.random.default_rng(0), 25.0, 0
    for _ in range(400):
        shared, seeds = rng.normal(size=60), rng.normal(size=(4, 3))
        rows = np.array([0.6, 0.72, 0.8, 0.8])[:, None, None] + 0.1 * shared + 0.15 * rng.normal(size=(4, 3, 60))
        rows = rows + 0.02 * seeds[:, :, None]
        weights = rng.multinomial(60, np.full(60, 1 / 60), size=200) / 60
        curve = {
            dose: [np.r_[of_seed.mean(), weights @ of_seed] for of_seed in of_dose]
            for dose, of_dose in zip(DOSES, rows, strict=True)
        }
        found = smallest_enough(RANKING, curve, singles(60))
        held += found.low <= truth <= found.high
    assert held >= 370  # fewer have a chance of 1 in 100 at 95 %


def of(what=RANKING, dose=25.0, low=10.0, high=25.0, groups=100.0):
    return Enough(what, dose, low, high, DOSES, groups)


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (of(), "gp ranks as well as at dose 100 % (AUROC within 0.02) from 25 % on [10 to 25 %]."),
        (
            of(REFUSING),
            "gp accepts no more failures than at dose 100 % (false-positive rate within 0.05) from "
            "25 % on [10 to 25 %].",
        ),
        (of(low=25.0), "(AUROC within 0.02) from 25 % on."),
        (of(dose=1.0, low=1.0, high=1.0), "from 1 % on, the smallest dose tried."),
        (of(low=1.0, high=25.0), "from 25 % on [1 to 25 %]."),
        (
            of(low=10.0, high=100.0),
            "gp needs a dose of at least 10 % to rank as well as at dose 100 % (AUROC within 0.02); "
            "no dose below 100 % is shown to be enough (by the values alone, 25 % is).",
        ),
        (
            of(REFUSING, 100.0, 25.0, 100.0),
            "gp needs a dose of at least 25 % to accept no more failures than at dose 100 % "
            "(false-positive rate within 0.05); no dose below 100 % is shown to be enough.",
        ),
        (of(dose=100.0, low=100.0, high=100.0), "gp ranks worse at every smaller dose than at 100 %"),
        (of(REFUSING, 100.0, 100.0, 100.0), "gp accepts more failures at every smaller dose than at 100 %"),
        (of(low=1.0, high=100.0), "cannot be told: any from 1 to 100 % may be it."),
        (of(groups=6.0), "the rarer of successes and failures among the test rows have only 6 effective groups"),
        (of(REFUSING, groups=9.96), "cannot be told: the failures among the test rows have only 9.96 effective"),
    ],
)
def test_the_sentence_of_a_dose_says_what_was_shown(found, said):
    assert said in enough_in_words("gp", found)


@pytest.mark.parametrize(
    ("mine", "other", "said"),
    [
        (of(low=25.0), of(low=1.0, high=10.0), "lm-head needs more failures than gp"),
        (of(low=1.0, high=10.0), of(low=25.0), "gp needs more failures than lm-head"),
        (of(), of(low=1.0, high=10.0), "cannot be told (10 to 25 against 1 to 10 %)"),
        (of(low=1.0, high=100.0), of(low=25.0), "cannot be told"),
        (of(low=25.0), of(groups=3.0), "cannot be told"),
    ],
)
def test_who_needs_more_is_said_only_where_the_intervals_are_apart(mine, other, said):
    assert said in needs_in_words("lm-head", mine, "gp", other)
