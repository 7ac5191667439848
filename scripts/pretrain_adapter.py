"""Teach the adapters of `lm-head` RDKit's descriptors, and write the file that `pipeline.lm.pretrained` ships.

    python scripts/pretrain_adapter.py data/smollm2-135m-descriptors.safetensors

The first layers of the language model, with adapters of the default rank, read the SMILES of the molecules of
Lipophilicity and B3DB and give all of RDKit's 2D descriptors: compressed by ``sign(x) log(1 + |x|)``, standardised and
cut at 5 standard deviations, from a linear layer over the mean and the sum of the hidden states, which is thrown away.
Only structures are used, no measured value. Molecules of the tables in `LEFT_OUT` are left out with their salts,
tautomers and stereoisomers, so that what starting from the adapters is worth can be judged on those; 400 molecules are
held out and say how well it went.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import nn

from pipeline.arms.language_model import HeadRegressor
from pipeline.cells.cell import versions
from pipeline.defaults import DEFAULT_MODEL
from pipeline.features.structures import descriptors
from pipeline.files import sha256, write_atomically
from pipeline.lm.defaults import LAYERS, TrainingSettings
from pipeline.lm.engine import Engine
from pipeline.lm.rows import Rows
from pipeline.lm.training import pooled, train
from pipeline.lm.weights import weights_identity
from pipeline.prompts.templates import PromptTemplate
from pipeline.reporter import Reporter
from pipeline.runs.prepare import load_table
from pipeline.settings.reading import make_config
from pipeline.tables.merging import twin_labels
from pipeline.tables.molecules import parse_molecule

CORPUS = ("lipophilicity", "b3db")
LEFT_OUT = ("freesolv", "photoswitch", "esol")
HELD_OUT = 400
CUT = 5.0
STEPS = 9_000


def structures(name: str) -> list[str]:
    """Canonical SMILES of a built-in table."""
    return list(load_table(make_config(name, {}), Reporter()).inputs.iloc[:, 0])


def corpus() -> list[str]:
    """The molecules to learn from, in a fixed order."""
    return without_variants(
        [smiles for name in CORPUS for smiles in structures(name)],
        [smiles for name in LEFT_OUT for smiles in structures(name)],
    )


def without_variants(smiles: list[str], left_out: list[str]) -> list[str]:
    """The distinct structures of which no variant (salt, charged form, tautomer, stereoisomer) is left out."""
    found = list(dict.fromkeys(smiles))
    molecules = [parse_molecule(text) for text in [*found, *left_out]]
    labels = twin_labels([molecule.parent for molecule in molecules], [molecule.identity for molecule in molecules])
    closed = set(labels[len(found) :])
    return [text for text, label in zip(found, labels, strict=False) if label not in closed]


def standardised(values: np.ndarray) -> np.ndarray:
    """Descriptors on a common scale, without those that never vary; an undefined one is at its mean. Shape (n, d)."""
    values = np.sign(values) * np.log1p(np.abs(values))
    mean, scale = np.nanmean(values, axis=0), np.nanstd(values, axis=0)
    varying = scale > 1e-9
    return np.clip(np.nan_to_num((values[:, varying] - mean[varying]) / scale[varying]), -CUT, CUT)


class DescriptorHead(nn.Module):
    """All descriptors from the mean and the sum of a molecule's hidden states."""

    def __init__(self, width: int, outputs: int, typical_length: float) -> None:
        super().__init__()
        self.linear = nn.Linear(2 * width, outputs)
        nn.init.zeros_(self.linear.weight)
        nn.init.zeros_(self.linear.bias)
        self.typical_length = typical_length

    def forward(self, rows: Rows) -> torch.Tensor:
        mean = pooled(rows)
        return self.linear(torch.cat([mean, mean * (rows.lengths / self.typical_length)[:, None]], dim=1))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--steps", type=int, default=STEPS)
    options = parser.parse_args()
    smiles = corpus()
    targets = torch.tensor(standardised(descriptors(smiles)), dtype=torch.float32)
    held = np.random.default_rng(0).permutation(len(smiles))[:HELD_OUT]
    fit = np.setdiff1d(np.arange(len(smiles)), held)
    print(f"{len(fit)} molecules to learn from, {len(held)} held out, {targets.shape[1]} descriptors", flush=True)

    depth, trained = LAYERS["lm-head"]
    engine = Engine.load(DEFAULT_MODEL, trained_layers=trained, depth=depth)
    arm = HeadRegressor(engine, PromptTemplate("property"))
    prompts, arm.shared_ = arm.prompts(pd.DataFrame({"smiles": smiles})), arm.shared()
    typical = float(np.mean([len(prompt) - arm.shared_ for prompt in prompts]))
    head = DescriptorHead(engine.model.config.hidden_size, targets.shape[1], typical).to(engine.device)
    settings = TrainingSettings(options.steps)
    started = time.perf_counter()

    def loss(rows: Rows, wanted: torch.Tensor) -> torch.Tensor:
        with torch.autocast(engine.device.type, enabled=False):
            return nn.functional.smooth_l1_loss(head(rows), wanted, beta=0.5)

    def labels(members: list[int]) -> tuple[torch.Tensor, ...]:
        return (targets[fit[members]].to(engine.device),)

    def progress(done: int, total: int) -> None:
        if done % 200 == 0:
            print(f"step {done} of {total}, {time.perf_counter() - started:.0f} s", flush=True)

    with engine.adapted(rank=settings.rank, alpha=settings.alpha, dropout=0.0, seed=0) as model:
        model.train()
        parameters = [p for p in model.parameters() if p.requires_grad] + list(head.parameters())
        train(engine, [prompts[row] for row in fit], arm.shared_, loss, labels, parameters, settings, 0, progress)
        model.eval()
        found = arm._pooled_output([prompts[row] for row in held], head)
        weights = {n: p.detach().cpu().half().contiguous() for n, p in model.named_parameters() if p.requires_grad}
    truth = targets[held].numpy()
    explained = 1 - ((found - truth) ** 2).mean(axis=0) / np.maximum(truth.var(axis=0), 1e-6)
    quartiles = np.percentile(explained, [25, 50, 75])
    print(f"R² of the descriptors of held-out molecules, quartiles: {', '.join(f'{value:.2f}' for value in quartiles)}")
    about = {
        "model": weights_identity(DEFAULT_MODEL),
        "molecules": str(len(fit)),
        "corpus": " ".join(CORPUS),
        "left_out": " ".join(LEFT_OUT),
        "steps": str(settings.steps),
        "versions": json.dumps(versions()),
    }
    from safetensors.torch import save

    write_atomically(options.out, save(weights, metadata=about))
    print(f"{options.out}: SHA-256 {sha256(options.out)}, {len(fit)} molecules")


if __name__ == "__main__":
    main()
