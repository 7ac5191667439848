"""Two processes train the adapter that one trains."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import distributed, multiprocessing

from pipeline.arms.language_model import HeadRegressor
from pipeline.arms.text_arms import TextRegressor
from pipeline.lm.engine import Engine
from tests.conftest import SMILES
from tests.lm.test_engine import TEMPLATE, Y

ARMS = {"lm-head": HeadRegressor, "lm-text": TextRegressor}
ROWS = 19  # no multiple of the batch: one process has a row more than the other, and in the last step the only one


def fitted(folder, arm):
    engine = Engine.load(folder, trained_layers=1, dtype="float32")
    settings = {"batch_size": 9, "learning_rate": 5e-3}
    found = ARMS[arm](engine, TEMPLATE, steps=6, settings=settings).fit(SMILES[:ROWS], Y[:ROWS])
    return {"curve": found.curve_, "adapter": {name: w.numpy() for name, w in found.adapter_.items()}}


def one_of_two(rank, folder, arm, out):
    torch.set_num_threads(1)
    distributed.init_process_group("gloo", init_method=f"file://{out}/meeting", rank=rank, world_size=2)
    found = fitted(folder, arm)
    distributed.destroy_process_group()
    np.savez(out / f"{rank}.npz", curve=found["curve"], **found["adapter"])


@pytest.mark.parametrize("arm", ["lm-head", pytest.param("lm-text", marks=pytest.mark.slow)])
def test_two_gloo_processes_equal_one(tiny_folder, tmp_path, arm):
    alone = fitted(str(tiny_folder), arm)
    multiprocessing.spawn(one_of_two, args=(str(tiny_folder), arm, tmp_path), nprocs=2)
    first, second = (dict(np.load(tmp_path / f"{rank}.npz")) for rank in range(2))
    for name, value in first.items():
        np.testing.assert_array_equal(value, second[name])
    np.testing.assert_allclose(first.pop("curve"), alone["curve"], rtol=1e-4)
    for name, value in first.items():
        np.testing.assert_allclose(value, alone["adapter"][name], atol=2e-4, rtol=1e-3)
