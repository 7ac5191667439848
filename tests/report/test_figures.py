"""What figures say, read from the comments that matplotlib leaves beside drawn text."""

from __future__ import annotations

import itertools
import re
from unittest import mock

import numpy as np
import pytest

from pipeline.arms.catalogue import ARMS, BASELINE, CONTROL, LANGUAGE_MODEL, arms_of
from pipeline.evaluation.evaluations import Evaluation
from pipeline.report.figures import parity, training_curves, two_digits
from pipeline.tables.kinds import MOLECULES, REACTIONS
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


# Machado, Oliveira and Fernandes 2009: how colours look without one kind of cone, on linear RGB.
BLIND = {
    "nobody": np.eye(3),
    "protanopia": np.array(
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]
    ),
    "deuteranopia": np.array(
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]
    ),
    "tritanopia": np.array(
        [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]]
    ),
}
TO_XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])


def lab_of(colour: str, seen_by: np.ndarray) -> np.ndarray:
    """CIE 1976 L*a*b* of a colour as somebody sees it (D65)."""
    rgb = np.array([int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)])
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    ratios = TO_XYZ @ np.clip(seen_by @ linear, 0, 1) / np.array([0.9505, 1.0, 1.089])
    x, y, z = np.where(ratios > 0.008856, np.cbrt(ratios), 7.787 * ratios + 16 / 116)
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


@pytest.mark.parametrize("who", BLIND)
@pytest.mark.parametrize("kind", [MOLECULES, REACTIONS], ids=str)
def test_language_models_stand_out_whoever_looks(kind, who):
    """Their colours are far from those of the baselines that stand beside them, and from each other."""
    models = arms_of(kind, LANGUAGE_MODEL)
    beside = list(arms_of(kind, CONTROL, BASELINE))
    seen = {name: lab_of(ARMS[name].colour, BLIND[who]) for name in (*models, *beside)}
    for model in models:
        near = min(beside, key=lambda name: np.linalg.norm(seen[model] - seen[name]))
        assert np.linalg.norm(seen[model] - seen[near]) > 12, (model, near)
    for one, other in itertools.combinations(models, 2):
        assert np.linalg.norm(seen[one] - seen[other]) > 12, (one, other)
