"""The store of frozen activations: what it holds, where, and what happens when it is full."""

from __future__ import annotations

import pytest
import torch

from pipeline.arms.language_model import HeadRegressor
from pipeline.lm import activations
from pipeline.lm.activations import ActivationStore
from pipeline.lm.decoders import shared_tokens
from pipeline.lm.engine import Engine
from tests.conftest import SMILES
from tests.lm.test_engine import TEMPLATE, Y, prompts


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_what_does_not_fit_into_memory_is_read_back_from_the_file(monkeypatch, dtype):
    monkeypatch.setattr(activations, "CHUNK_BYTES", 4_096)
    store = ActivationStore(memory_bytes=1_000, disk_bytes=10_000)
    states = {key: torch.randn(key + 1, 8).to(dtype) for key in range(12)}
    kept = [key for key, state in states.items() if store.keep(key, state)]
    assert len(kept) == len(states)
    assert store._chunks
    for key, state in states.items():
        assert torch.equal(store[key], state)


def test_a_full_store_says_so_and_gives_up_what_is_not_wanted(monkeypatch):
    monkeypatch.setattr(activations, "CHUNK_BYTES", 1_024)
    store = ActivationStore(memory_bytes=1_024, disk_bytes=1_024)
    state = torch.ones(4, 32)  # 512 bytes
    assert [store.keep(key, state * key) for key in range(5)] == [True] * 4 + [False]
    assert 4 not in store
    store.keep_only({1, 3})
    assert len(store) == 2
    assert torch.equal(store[3], state * 3)
    assert store.keep(4, state)


@pytest.mark.parametrize(("memory", "disk"), [(0, 10**9), (2_000, 0), (0, 0)])
def test_training_is_the_same_with_any_store(tiny_folder, memory, disk):
    """In memory, in the file, or computed anew for each batch."""
    curves = []
    for limits in ((10**9, 0), (memory, disk)):
        engine = Engine.load(str(tiny_folder), trained_layers=1, dtype="float32")
        engine._frozen = ActivationStore(*limits)
        arm = HeadRegressor(engine, TEMPLATE, steps=6).fit(SMILES, Y)
        curves.append((arm.curve_, arm.predict(SMILES).tolist()))
    assert curves[0] == curves[1]


def test_a_small_store_keeps_the_texts_at_hand(tiny_folder):
    engine = Engine.load(str(tiny_folder), trained_layers=1, dtype="float32")
    ids = prompts(engine)
    shared = shared_tokens(ids)
    engine.prepare(ids[:1], shared)
    room = engine._frozen[ids[0]].nbytes * 3
    engine._frozen = ActivationStore(room, 0)
    engine.prepare(ids[5:], shared)
    engine.prepare(ids[:1], shared)
    assert ids[0] in engine._frozen
