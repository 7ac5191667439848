"""Recorded training steps are those that are not recorded; they need a GPU."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from pipeline.arms.language_model import HeadClassifier, HeadRegressor, TextClassifier, TextRegressor
from pipeline.cells import measured
from pipeline.lm import training
from pipeline.lm.engine import Engine
from pipeline.lm.recorded import RecordedStep
from tests.conftest import SMILES
from tests.lm.test_engine import TEMPLATE, Y

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="CUDA graphs need a GPU")
LABELS = np.where(np.median(Y) < Y, "long", "short")
ARMS = {
    "head": (HeadRegressor, Y),
    "head-classes": (HeadClassifier, LABELS),
    "text": (TextRegressor, Y),
    "text-classes": (TextClassifier, LABELS),
}


def fitted(folder, arm, trained_layers=1, dtype="float32"):
    """Several epochs of batches of two sizes and several widths."""
    engine = Engine.load(str(folder), trained_layers=trained_layers, dtype=dtype)
    engine.width_step = 4
    kind, labels = ARMS[arm]
    found = kind(engine, TEMPLATE, steps=60, settings={"batch_size": 11}).fit(SMILES, labels)
    return np.array(found.curve_), found.predict_proba(SMILES) if arm.endswith("classes") else found.predict(SMILES)


@pytest.mark.parametrize("trained_layers", [1, 2], ids=["frozen-below", "all-trained"])
@pytest.mark.parametrize("arm", ARMS)
def test_a_recorded_training_is_the_plain_one(tiny_folder, monkeypatch, arm, trained_layers):
    replayed = []
    replay = torch.cuda.CUDAGraph.replay
    monkeypatch.setattr(torch.cuda.CUDAGraph, "replay", lambda graph: (replayed.append(graph), replay(graph)))
    recorded = fitted(tiny_folder, arm, trained_layers)
    assert len(replayed) > 30
    assert len(set(replayed)) > 2
    monkeypatch.setattr(training, "RecordedStep", lambda step: step)
    plain = fitted(tiny_folder, arm, trained_layers)
    for ours, expected in zip(recorded, plain, strict=True):
        np.testing.assert_allclose(ours, expected, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("arm", ARMS)
def test_a_recorded_training_repeats_bit_for_bit(tiny_folder, arm, dtype):
    for once, again in zip(fitted(tiny_folder, arm, dtype=dtype), fitted(tiny_folder, arm, dtype=dtype), strict=True):
        np.testing.assert_array_equal(once, again)


def test_each_shape_is_recorded_once_and_gets_its_own_inputs():
    calls = []
    weight = torch.ones((), device="cuda", requires_grad=True)
    weight.grad = torch.zeros_like(weight)

    def step(x):
        calls.append(tuple(x.shape))
        weight.grad.zero_()
        value = (weight * x).sum()
        value.backward()
        return value.detach()

    recorded = RecordedStep(step)
    for number in range(1, 7):
        for size in (3, 5):
            value = recorded(torch.full((size,), float(number), device="cuda"))
            assert value.item() == weight.grad.item() == size * number
    assert calls == [(3,), (5,), (3,), (5,)]


def test_the_memory_of_the_gpu_is_recorded():
    found = {}
    with measured(found):
        torch.zeros(50_000_000, device="cuda")
    assert 200 <= found["gpu_peak_mb"] < 2_000
