"""What figures say, read from the comments that matplotlib leaves beside drawn text."""

from __future__ import annotations

import re

import numpy as np
import pytest

from pipeline.report.figures import training_curves, two_digits


@pytest.mark.parametrize("last", [0.3, 1e-4])
def test_the_loss_axis_has_plain_numbers(last):
    key = {"arm": "lm-head", "split": "random", "repeat": 0, "fold": 0}
    written = re.findall(r"<!-- (.*?) -->", training_curves([{"curve": np.geomspace(0.9, last, 100), "tags": key}]))
    assert "$" not in "".join(written)
    numbers = {float(text) for text in written if re.fullmatch(r"[\d.e-]+", text)}
    assert len([value for value in numbers if value < 1]) >= 2


@pytest.mark.parametrize(
    ("value", "largest", "written"),
    [
        (-4.9e-5, 11.0, "-0.00"),
        (150.0, 150.0, "+150"),
        (-18.7, 19.0, "-19"),
        (0.093, 13.0, "+0.09"),
        (0.012, 0.05, "+0.012"),
        (0.0, 0.0, "+0"),
    ],
)
def test_a_difference_is_written_without_an_exponent(value, largest, written):
    assert two_digits(value, largest) == written
