"""The engine with the real weights: precision and memory."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest

from tests.conftest import SMILES

pytestmark = pytest.mark.slow
BF16_TOLERANCE = {"head": 0.02, "text": 0.05}  # on average, of a standard deviation of the targets
PEAK_MB = 2_500

MEASURED = """
import itertools, json
import numpy as np
from rdkit import Chem
from pipeline import LoraRegressor
from pipeline.cells.cell import measured
parts = ["C", "CC", "CCC", "CO", "CN", "CCO", "C(F)", "C(Cl)", "C(=O)", "N", "O", "S"]
texts = (Chem.CanonSmiles("{{}}{{}}c1ccc({{}}C)cc1{{}}C".format(*four)) for four in itertools.product(parts, repeat=4))
smiles = list(dict.fromkeys(texts))[:{n}]
assert len(smiles) == {n}
y = np.array([float(len(text)) for text in smiles])
found = {{}}
with measured(found):
    model = LoraRegressor("length", dtype="bfloat16", steps=20, **{options}).fit(smiles, y)
    model.predict(smiles[:200])
print(json.dumps(found))
"""


@pytest.fixture
def fast_bf16():
    """For what is promised of bfloat16: where that is emulated the engine takes float32, and a test many minutes."""
    import torch

    from pipeline.lm.engine import choose_dtype

    if choose_dtype(torch.device("cpu")) is not torch.bfloat16:
        pytest.skip("this processor does not multiply bfloat16")


@pytest.mark.parametrize("readout", ["head", "text"])
def test_bf16_and_fp32_predictions_agree(readout):
    """The same adapters, trained in the one that the engine chooses, read in both precisions."""
    from pipeline import LoraRegressor
    from pipeline.lm.engine import shared_engine

    y = np.array([float(len(text)) for text in SMILES])
    fitted = LoraRegressor("length", readout=readout, steps=100).fit(SMILES, y)
    found = {}
    for dtype in ("bfloat16", "float32"):
        depth, trained = fitted._layers()
        fitted.arm_.engine = shared_engine(fitted.model, trained, dtype, depth)
        found[dtype] = fitted.predict(SMILES[::3])
    assert found["float32"].std() > 0.2 * y.std()
    differences = np.abs(found["bfloat16"] - found["float32"]) / y.std()
    print(f"{readout}: {differences.mean():.4f} on average, {differences.max():.4f} at most, of a standard deviation")
    assert differences.mean() < BF16_TOLERANCE[readout]


@pytest.mark.parametrize(
    "options",
    [{"readout": "head"}, {"readout": "text"}, {"readout": "text", "depth": 30, "trained_layers": 10}],
    ids=["head", "text", "text-over-frozen-layers"],
)
def test_memory_stays_under_its_bound_for_5000_rows(fast_bf16, options):
    code = MEASURED.format(n=5_000, options=options)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    peak = json.loads(done.stdout.splitlines()[-1])["peak_mb"]
    print(f"{options}: {peak:.0f} MB")
    assert peak < PEAK_MB


def test_a_head_starts_from_the_shipped_adapter_and_its_card_says_so(tmp_path):
    from safetensors.torch import load_file

    from pipeline import LoraRegressor
    from pipeline.lm.pretrained import ADAPTERS

    shipped = ADAPTERS["smollm2-135m"]
    y = np.array([float(len(text)) for text in SMILES])
    fitted = LoraRegressor("length", steps=2, learning_rate=0.0).fit(SMILES, y)
    expected = load_file(shipped.path)
    assert set(fitted.arm_.adapter_) == set(expected)
    for name, tensor in fitted.arm_.adapter_.items():
        np.testing.assert_array_equal(tensor.numpy(), expected[name].float().numpy())
    fitted.save(tmp_path / "started")
    assert shipped.described in (tmp_path / "started" / "README.md").read_text(encoding="utf-8")
    plain = LoraRegressor("length", steps=2, learning_rate=0.0, start="plain").fit(SMILES, y)
    assert not any(tensor.any() for name, tensor in plain.arm_.adapter_.items() if "lora_B" in name)
