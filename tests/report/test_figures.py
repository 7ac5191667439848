"""What figures say, read from the comments that matplotlib leaves beside drawn text."""

from __future__ import annotations

import re

import numpy as np
import pytest

from pipeline.report.figures import training_curves


@pytest.mark.parametrize("last", [0.3, 1e-4])
def test_the_loss_axis_has_plain_numbers(last):
    key = {"arm": "lm-head", "split": "random", "repeat": 0, "fold": 0}
    written = re.findall(r"<!-- (.*?) -->", training_curves([{"curve": np.geomspace(0.9, last, 100), "key": key}]))
    assert "$" not in "".join(written)
    numbers = {float(text) for text in written if re.fullmatch(r"[\d.e-]+", text)}
    assert len([value for value in numbers if value < 1]) >= 2
