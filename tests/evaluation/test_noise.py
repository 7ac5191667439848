"""The noise floor: planted noise comes back, and a perfect model scores what it says."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from pipeline.evaluation.noise import best_scores, measurement_noise, noise_sentence
from pipeline.runs.audit import audit_lines, audit_table
from pipeline.tables.reading import read_table
from pipeline.tables.table import build_table
from tests.conftest import write_table


def frame_of(values: list[np.ndarray]) -> pd.DataFrame:
    counts = [len(one) for one in values]
    variances = [one.var(ddof=1) if len(one) > 1 else 0.0 for one in values]
    return pd.DataFrame({"n_values": counts, "variance": variances})


def test_planted_noise_is_found_within_its_interval():
    hits = []
    for seed in range(200):
        rng = np.random.default_rng(seed)
        values = [rng.normal(rng.normal(), 0.3, size=rng.integers(1, 5)) for _ in range(60)]
        noise = measurement_noise(frame_of(values))
        hits.append(noise.low <= 0.3 <= noise.high)
        assert noise.low < noise.deviation < noise.high
    assert 180 <= sum(hits) <= 198  # 95 % of 200, within what chance allows


def test_a_perfect_model_scores_the_floor():
    rng = np.random.default_rng(0)
    true, n = rng.normal(size=20_000), rng.integers(1, 4, size=20_000)
    measured = true + rng.normal(size=20_000) * 0.4 / np.sqrt(n)
    noise = measurement_noise(frame_of([rng.normal(0, 0.4, size=3) for _ in range(5_000)]))
    best = best_scores(noise, measured, n)
    assert best["mae"] == pytest.approx(np.abs(measured - true).mean(), rel=0.03)
    assert best["rmse"] == pytest.approx(np.sqrt(((measured - true) ** 2).mean()), rel=0.03)
    assert best["r2"] == pytest.approx(
        1 - ((measured - true) ** 2).sum() / ((measured - measured.mean()) ** 2).sum(), abs=0.01
    )


def test_too_few_repeats_say_nothing():
    assert measurement_noise(frame_of([np.array([1.0, 2.0])] * 4)) is None
    assert measurement_noise(frame_of([np.array([1.0])] * 50)) is None


def test_identical_repeats_are_doubted():
    noise = measurement_noise(frame_of([np.array([1.0, 1.0])] * 6 + [np.array([1.0, 1.5])] * 2))
    assert noise.doubtful
    assert "6 of them have the same value each time" in noise_sentence(noise, "mol/L", "molecules")


def test_the_table_keeps_what_the_noise_needs(tmp_path):
    rows = [(f"{'C' * (i + 1)}O", i) for i in range(20)] + [(f"{'C' * (i + 1)}O", i + 0.5) for i in range(8)]
    path = write_table(tmp_path / "twice.csv", rows)
    table = build_table(read_table(str(path)), smiles="SMILES", target="value")
    noise = measurement_noise(table.frame)
    assert noise.repeated == 8
    assert noise.deviation == pytest.approx(np.sqrt(0.125))
    assert any(
        line.startswith("Noise: 8 molecules were measured more than once") for line in audit_lines(audit_table(table))
    )
