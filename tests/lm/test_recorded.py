"""Recorded training steps are those that are not recorded. What records them needs a GPU; when it does does not."""

from __future__ import annotations

import contextlib
import types
from unittest import mock

import numpy as np
import pytest
import torch

from pipeline.arms.language_model import HeadClassifier, HeadRegressor
from pipeline.arms.text_arms import TextClassifier, TextRegressor
from pipeline.cells.cell import measured
from pipeline.lm import recorded, training
from pipeline.lm.engine import Engine
from pipeline.lm.recorded import RecordedStep
from tests.conftest import SMILES
from tests.lm.test_engine import TEMPLATE, Y

on_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="CUDA graphs need a GPU")
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
    kind, labels = ARMS[arm]
    with mock.patch("pipeline.lm.engine.WIDTH_STEP", 4):
        found = kind(engine, TEMPLATE, steps=60, settings={"batch_size": 11}).fit(SMILES, labels)
    return np.array(found.curve_), found.predict_proba(SMILES) if arm.endswith("classes") else found.predict(SMILES)


@on_gpu
@pytest.mark.parametrize("trained_layers", [1, 2], ids=["frozen-below", "all-trained"])
@pytest.mark.parametrize("arm", ARMS)
def test_a_recorded_training_is_the_plain_one(tiny_folder, monkeypatch, arm, trained_layers):
    replayed = []
    replay = torch.cuda.CUDAGraph.replay
    monkeypatch.setattr(torch.cuda.CUDAGraph, "replay", lambda graph: (replayed.append(graph), replay(graph)))
    ours = fitted(tiny_folder, arm, trained_layers)
    assert len(replayed) > 30
    assert len(set(replayed)) > 2
    monkeypatch.setattr(training, "RecordedStep", lambda step: step)
    plain = fitted(tiny_folder, arm, trained_layers)
    for found, expected in zip(ours, plain, strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4)


@on_gpu
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("arm", ARMS)
def test_a_recorded_training_repeats_bit_for_bit(tiny_folder, arm, dtype):
    assert Engine.load(str(tiny_folder), trained_layers=1, dtype=dtype).records
    for once, again in zip(fitted(tiny_folder, arm, dtype=dtype), fitted(tiny_folder, arm, dtype=dtype), strict=True):
        np.testing.assert_array_equal(once, again)


@on_gpu
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

    run = RecordedStep(step)
    for number in range(1, 7):
        for size in (3, 5):
            value = run(torch.full((size,), float(number), device="cuda"))
            assert value.item() == weight.grad.item() == size * number
    assert calls == [(3,), (5,), (3,), (5,)]


@on_gpu
def test_the_memory_of_the_gpu_is_recorded():
    found = {}
    with measured(found):
        torch.zeros(50_000_000, device="cuda")
    assert 200 <= found["gpu_peak_mb"] < 2_000


def test_a_shape_is_run_then_recorded_then_replayed_and_not_too_many_are(monkeypatch):
    """With a stand-in for CUDA that records nothing: what is asked of it, in which order."""
    asked = []

    class Graph:
        def replay(self):
            asked.append("replay")

    @contextlib.contextmanager
    def graph(made, pool, stream):
        asked.append("record")
        yield

    waiting = types.SimpleNamespace(wait_stream=lambda other: None)
    for name, value in {
        "CUDAGraph": Graph,
        "graph": graph,
        "graph_pool_handle": lambda: 0,
        "Stream": lambda: waiting,
        "current_stream": lambda: waiting,
        "stream": lambda chosen: contextlib.nullcontext(),
    }.items():
        monkeypatch.setattr(torch.cuda, name, value)
    monkeypatch.setattr(recorded, "MOST", 1)

    def step(x):
        asked.append("run")
        return x.sum()

    run = RecordedStep(step)
    for size, expected in ((2, ["run"]), (2, ["record", "run", "replay"]), (3, ["run"]), (2, ["replay"]), (3, ["run"])):
        asked.clear()
        run(torch.ones(size))
        assert asked == expected


def test_labels_come_in_few_numbers_and_rows_at_once_follow_from_their_logits(tiny_engine):
    tiny_engine.on_gpu = tiny_engine.runs_padding = True
    places = [tiny_engine.label_places(number) for number in range(1, 4_000)]
    assert all(number <= place <= max(number + 31, 1.25 * number) for number, place in enumerate(places, 1))
    assert len(set(places)) < 40
    assert tiny_engine.at_once(16) == 128
    assert tiny_engine.at_once(16, positions=1) == 128
    logits = 4 * tiny_engine.model.config.vocab_size
    assert tiny_engine.at_once(16, positions=10**9 // logits // 20) == 20
    assert tiny_engine.at_once(16, positions=10**9) == 16
    tiny_engine.on_gpu = False
    assert tiny_engine.at_once(16) == 16
