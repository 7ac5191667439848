"""Hints before a run: each is given where it applies, and nowhere else."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.reporter import Reporter
from pipeline.runs.hints import hints
from pipeline.runs.prepare import load_table
from pipeline.settings.reading import make_config
from tests.conftest import SMILES, write_table

RNG = np.random.default_rng(0)
EVEN = RNG.normal(5, 1, len(SMILES)).round(2)


def hints_of(tmp_path, values, **settings):
    path = write_table(tmp_path / "t.csv", list(zip(SMILES, values, strict=True)))
    given = {"smiles": "SMILES", "target": "value", "property_name": "a property", **settings}
    return hints(load_table(make_config(str(path), given), Reporter()))


def test_a_plain_table_has_none(tmp_path):
    assert hints_of(tmp_path, EVEN) == []


@pytest.mark.parametrize("name", ["Y", "target", "Value"])
def test_a_name_that_says_nothing(tmp_path, name):
    (hint,) = hints_of(tmp_path, EVEN, property_name=name)
    assert hint.startswith(f"the prompt calls the target '{name}'")


def test_a_skewed_target_is_better_as_a_logarithm(tmp_path):
    skewed = np.exp(RNG.normal(0, 2.2, len(SMILES))).round(4)
    (hint,) = hints_of(tmp_path, skewed)
    assert "--transform log10" in hint
    assert "lm-text would write" in hint
    assert hints_of(tmp_path, skewed, transform="log10") == []
    assert not any("log10" in hint for hint in hints_of(tmp_path, skewed - skewed.mean()))


def test_a_rare_class_is_counted(tmp_path):
    (hint,) = hints_of(tmp_path, ["b"] * 3 + ["a"] * (len(SMILES) - 3))
    assert hint.startswith(f"class b has 3 of {len(SMILES)} rows (6.2%)")
    assert hints_of(tmp_path, ["b", "a"] * (len(SMILES) // 2)) == []


def test_a_label_far_out_is_named_with_its_line(tmp_path):
    values = EVEN.copy()
    values[7] = 500.0
    (hint,) = hints_of(tmp_path, values, units="nm")
    assert hint.startswith("line 9: 500 nm lies")
    values[7] = values.mean() + 5 * values.std()
    assert hints_of(tmp_path, EVEN + 0.0) == []
