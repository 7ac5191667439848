"""What figures say, read from the comments that matplotlib leaves beside drawn text."""

from __future__ import annotations

import re
from unittest import mock

import numpy as np
import pytest

from pipeline.evaluation.evaluations import Evaluation
from pipeline.report.figures import parity, training_curves, two_digits
from pipeline.tables.scales import Scale


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


@pytest.mark.parametrize("scale", [Scale(), Scale("log10", "nM")])
def test_points_lie_where_they_are_drawn(scale):
    """The places of what a pointer is told are those of the marks in the drawing."""
    truth = np.array([0.5, 1.0, 2.0, 3.5])
    predicted = {"ridge": truth[::-1].copy(), "mean": np.full(4, 1.5)}
    evaluation = mock.Mock(spec=Evaluation, truth=truth, predicted=predicted, split="random")
    drawn, points = parity(evaluation, ["ridge", "mean"], "u", list("abcd"), scale)
    width, height = map(float, re.search(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', drawn).groups())
    marks = []
    for panel in re.findall(r'<g id="PathCollection_\d+">(.*?)</g>\s*</g>', drawn, re.DOTALL):
        marks += [tuple(map(float, place)) for place in re.findall(r'<use [^>]*x="([\d.]+)" y="([\d.]+)"', panel)]
    assert len(marks) == len(points) == 8
    np.testing.assert_allclose([(one.x * width, one.y * height) for one in points], marks, atol=1.0)
    assert points[0].text.startswith("a\nmeasured")
    if not scale.transform:
        assert points[0].text == "a\nmeasured 0.5, ridge 3.5, error +3"
