"""Seconds of a step of GRPO: the project's `Writer.improve`, and TRL's `GRPOTrainer` on the same layers.

    pip install trl==1.16.0; python scripts/bench_grpo.py --steps 3

Both write as many molecules for one prompt with the first five layers and adapters of rank 16, score them by a function
that takes no time, and make one optimiser step; TRL over all tokens of the model, the project over those that molecules
are made of. Threads are those of OMP_NUM_THREADS.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from typing import Any

import numpy as np
import torch
from torch import nn

from pipeline.arms.writer import SPARE_TOKENS
from pipeline.arms.writing import MoleculeWriter
from pipeline.defaults import DEFAULT_MODEL
from pipeline.lm.defaults import LAYERS
from pipeline.lm.engine import Engine
from pipeline.lm.weights import resolve
from pipeline.prompts.templates import PromptTemplate
from scripts.pretrain_adapter import structures

STATED = 1.0
TOKENS = 48  # of each text


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--group", type=int, default=64)
    parser.add_argument("--dtype", default="bfloat16")
    given = parser.parse_args()
    smiles = sorted(structures("lipophilicity"), key=len)[-64:]  # so long that every text is cut, as TRL's are
    depth, trained = LAYERS["lm-head"]
    engine = Engine.load(DEFAULT_MODEL, trained_layers=trained, depth=depth, dtype=given.dtype)
    writer = MoleculeWriter(engine, PromptTemplate("property"), steps=20, start="auto")
    writer.fit([STATED] * len(smiles), smiles)
    writer.longest_ = TOKENS - SPARE_TOKENS
    writer.improve([[STATED]], _of_texts, given.group, 1e-4)  # what is prepared once
    started = time.perf_counter()
    writer.improve([[STATED]] * given.steps, _of_texts, given.group, 1e-4)
    own = (time.perf_counter() - started) / given.steps
    theirs = _of_trl(given.steps, given.group, given.dtype, depth or 0, TOKENS)
    print(f"a step of {given.group} texts: here {own:.1f} s, TRL {theirs:.1f} s, {theirs / own:.1f} times as long")


def _of_texts(row: float, texts: list[str]) -> np.ndarray:
    return _rewards(texts)


def _rewards(texts: list[str]) -> np.ndarray:
    return np.array([text.count("C") % 2 for text in texts], dtype=np.float64)


def _of_trl(steps: int, group: int, dtype: str, depth: int, tokens: int) -> float:
    """Seconds of a step, without the first."""
    import datasets
    from peft import LoraConfig
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from trl import GRPOConfig, GRPOTrainer

    folder = resolve(DEFAULT_MODEL)
    model: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=getattr(torch, dtype))
    model.model.layers = nn.ModuleList(model.model.layers[:depth])
    model.config.num_hidden_layers = depth
    ends: list[float] = []

    def rewards(completions: list[Any], **rest: Any) -> list[float]:
        ends.append(time.perf_counter())
        return _rewards([str(one) for one in completions]).tolist()

    with tempfile.TemporaryDirectory() as out:
        settings = GRPOConfig(
            output_dir=out,
            per_device_train_batch_size=group,
            num_generations=group,
            max_completion_length=tokens,
            max_steps=steps + 1,
            use_cpu=True,
            bf16=dtype == "bfloat16",
            beta=0.0,
            report_to=[],
            logging_steps=1_000,
            save_strategy="no",
        )
        trainer = GRPOTrainer(
            model=model,
            reward_funcs=rewards,
            args=settings,
            train_dataset=datasets.Dataset.from_dict({"prompt": ["A molecule with property of 1.0:"] * (steps + 1)}),
            processing_class=AutoTokenizer.from_pretrained(folder),
            peft_config=LoraConfig(r=16, lora_alpha=32, target_modules="all-linear", task_type="CAUSAL_LM"),
        )
        trainer.train()
    return float(np.mean(np.diff(ends)))


if __name__ == "__main__":
    main()
