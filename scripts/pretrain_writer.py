"""Teach the language model to write molecules, and write the file that `pipeline.lm.pretrained` ships.

    python scripts/pretrain_writer.py data/smollm2-135m-writer.safetensors

The first layers of the language model, with adapters of the default rank that already compute descriptors
(`scripts/pretrain_adapter.py`), learn to write the molecules of Lipophilicity, B3DB and Tox21: four of five times for a
stated value of a property that can be counted on the structure, else for none. Only structures are used, no measured
value; logP is not among the properties, so that designs for it can be judged. Molecules of the tables in `LEFT_OUT`
are left out with their salts, tautomers and stereoisomers. 400 molecules are held out and say how well it went.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rdkit import Chem, rdBase
from rdkit.Chem import QED, Descriptors

from pipeline.arms.writing import ANY_VALUE, OPENING, MoleculeWriter
from pipeline.cells.cell import versions
from pipeline.defaults import AUTO, DEFAULT_MODEL
from pipeline.files import sha256, write_atomically
from pipeline.lm.defaults import LAYERS, TrainingSettings
from pipeline.lm.engine import Engine
from pipeline.lm.pretrained import pretrained_adapter
from pipeline.lm.weights import weights_identity
from pipeline.prompts.templates import PromptTemplate
from scripts.pretrain_adapter import structures, without_variants

CORPUS = ("lipophilicity", "b3db", "tox21")
LEFT_OUT = ("freesolv", "photoswitch", "esol")
HEAVY_ATOMS = (4, 45)
ELEMENTS = frozenset(["H", "B", "C", "N", "O", "F", "Si", "P", "S", "Cl", "Br", "I"])
HELD_OUT = 400
STEPS, LEARNING_RATE = 5_200, 2e-3
UNSTATED, NO_VALUE = 0.2, "any value"
PROPERTIES: dict[str, tuple[Callable[[Any], float], int]] = {
    "a molecular weight": (Descriptors.MolWt, 0),  # type: ignore[attr-defined]
    "a polar surface area": (Descriptors.TPSA, 0),  # type: ignore[attr-defined]
    "a number of rings": (Descriptors.RingCount, 0),  # type: ignore[attr-defined]
    "a number of aromatic rings": (Descriptors.NumAromaticRings, 0),  # type: ignore[attr-defined]
    "a number of hydrogen-bond donors": (Descriptors.NumHDonors, 0),  # type: ignore[attr-defined]
    "a number of hydrogen-bond acceptors": (Descriptors.NumHAcceptors, 0),  # type: ignore[attr-defined]
    "a number of rotatable bonds": (Descriptors.NumRotatableBonds, 0),  # type: ignore[attr-defined]
    "a number of heteroatoms": (Descriptors.NumHeteroatoms, 0),  # type: ignore[attr-defined]
    "a share of sp3 carbon": (Descriptors.FractionCSP3, 2),  # type: ignore[attr-defined]
    "a drug-likeness": (QED.qed, 2),
}


class Pretrained(MoleculeWriter):
    """``X`` holds wishes as they stand in the prompt."""

    def prompts(self, X: Any) -> list[tuple[int, ...]]:
        return self.asking(list(X))

    def shared(self) -> int:
        return len(self.engine.encode(OPENING))

    def _values(self, X: Any) -> torch.Tensor:
        return torch.full((len(X),), ANY_VALUE)

    def _offsets(self, values: torch.Tensor) -> torch.Tensor:
        return torch.zeros(len(values), self.engine.model.config.hidden_size)

    def _begin(self, n: int) -> Any:
        depth, trained = LAYERS["lm-head"]
        found = pretrained_adapter(AUTO, self.engine.name, depth, trained, TrainingSettings(1), self.template)
        assert found is not None
        return found.load()


def corpus() -> list[str]:
    """The molecules to learn from, in a fixed order."""
    found = without_variants(
        [smiles for name in CORPUS for smiles in structures(name)],
        [smiles for name in LEFT_OUT for smiles in structures(name)],
    )
    return [smiles for smiles in found if "." not in smiles and _is_organic(smiles)]


def _is_organic(smiles: str) -> bool:
    molecule = Chem.MolFromSmiles(smiles)
    least, most = HEAVY_ATOMS
    elements = {atom.GetSymbol() for atom in molecule.GetAtoms()}
    return least <= molecule.GetNumHeavyAtoms() <= most and elements <= ELEMENTS


def wishes(smiles: list[str], rng: np.random.Generator) -> list[str]:
    """For each molecule the value of one of its properties, or none."""
    names, found = list(PROPERTIES), []
    for text in smiles:
        name = names[rng.integers(len(names))]
        function, decimals = PROPERTIES[name]
        value = f"{function(Chem.MolFromSmiles(text)):.{decimals}f}"
        found.append(f"{name} of {NO_VALUE if rng.random() < UNSTATED else value}")
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--dtype", default="auto")
    options = parser.parse_args()
    smiles, rng = corpus(), np.random.default_rng(0)
    order = [smiles[place] for place in rng.permutation(len(smiles))]
    held, fit = order[:HELD_OUT], order[HELD_OUT:]
    settings = TrainingSettings(options.steps, LEARNING_RATE)
    epochs = -(-options.steps * settings.batch_size // len(fit))
    texts = [text for _ in range(epochs) for text in fit]
    print(f"{len(fit)} molecules to learn from in {epochs} epochs, {len(held)} held out", flush=True)
    depth, trained = LAYERS["lm-head"]
    engine = Engine.load(DEFAULT_MODEL, trained_layers=trained, depth=depth, dtype=options.dtype)
    started = time.perf_counter()

    def progress(done: int, total: int) -> None:
        if done % 200 == 0:
            print(f"step {done} of {total}, {time.perf_counter() - started:.0f} s", flush=True)

    writer = Pretrained(
        engine,
        PromptTemplate("property"),
        steps=options.steps,
        settings={"learning_rate": LEARNING_RATE},
        progress=progress,
    )
    writer.fit(wishes(texts, rng), texts)
    judge(writer, held)
    about = {
        "model": weights_identity(DEFAULT_MODEL),
        "molecules": str(len(fit)),
        "corpus": " ".join(CORPUS),
        "left_out": " ".join(LEFT_OUT),
        "steps": str(options.steps),
        "versions": json.dumps(versions()),
        **writer.words_as_text(),
    }
    from safetensors.torch import save

    weights = {name: tensor.half().contiguous() for name, tensor in writer.weights().items()}
    write_atomically(options.out, save(weights, metadata=about))
    print(f"{options.out}: SHA-256 {sha256(options.out)}, {len(fit)} molecules")


def judge(writer: MoleculeWriter, held: list[str]) -> None:
    """Print how likely held-out molecules are, and how many of those written are molecules."""
    known = [text for text in held if set(writer._answer_ids(text)) <= set(writer.words_)]
    tokens = sum(len(writer._answer_ids(text)) for text in known)
    likely = writer.log_probabilities(f"a number of rings of {NO_VALUE}", known)
    print(f"{-likely.sum() / tokens:.3f} nats per token of {len(known)} held-out molecules")
    for temperature in (0.7, 1.0):
        for wish in (f"a number of rings of {NO_VALUE}", "a molecular weight of 250", "a molecular weight of 400"):
            written = [text.strip() for _, text in writer.texts(wish, [temperature], lambda found: len(found) >= 256)]
            with rdBase.BlockLogs():
                molecules = [Chem.MolFromSmiles(text) for text in written]
            valid = [molecule for molecule in molecules if molecule is not None and molecule.GetNumAtoms()]
            weights = [Descriptors.MolWt(molecule) for molecule in valid]  # type: ignore[attr-defined]
            different = len({Chem.MolToSmiles(molecule) for molecule in valid})
            print(
                f"temperature {temperature}, {wish}: {len(valid)} of {len(written)} are molecules, "
                f"{different} different, median weight {np.median(weights) if weights else float('nan'):.0f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
