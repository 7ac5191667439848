"""Shared fixtures: a random two-layer model with a character tokenizer, and small tables."""

from __future__ import annotations

import os
import string
from pathlib import Path
from unittest import mock

import joblib
import numpy as np
import pytest

os.environ.setdefault("HF_HUB_OFFLINE", "1")  # the tests must not depend on a hub
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
if "PYTEST_XDIST_WORKER" in os.environ and hasattr(os, "sched_setaffinity"):
    # One core for each worker: two whose threads share the cores wait for each other most of the time.
    cores = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {cores[int(os.environ["PYTEST_XDIST_WORKER"][2:]) % len(cores)]})

from pipeline.tables.catalogue import card
from pipeline.tables.reading import read_table
from pipeline.tables.table import Table, build_table


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers(config) -> int:
    """How many ``--numprocesses auto`` are: the cores that may be used, not those that the machine has."""
    return int(joblib.cpu_count())


SMILES = [f"{'C' * a}{group}" for a in range(1, 9) for group in ("O", "N", "Cl", "c1ccccc1", "C1CCCCC1", "c1ccncc1")]


ENDS = ("O", "N", "Cl", "Br", "C(=O)OC", "c1ccccc1", "C1CCCCC1", "c1ccncc1")
CHAINS = [(f"{'C' * length}{end}", length + 0.1 * place) for length in range(1, 12) for place, end in enumerate(ENDS)]
PAIRS = [f"{metal}{other}" for metal in ("Na", "K", "Li", "Mg", "Ca", "Zn", "Al", "Fe") for other in ("Cl", "O", "S")]
FORMULAS = [
    *PAIRS,
    *(f"{one}2{two}O4" for one in ("Na", "K", "Li") for two in ("Mo", "W", "Cr", "S", "Se")),
    *(f"{one}{two}O3" for one in ("Ca", "Sr", "Ba") for two in ("Ti", "Zr", "Sn")),
]  # 48


def tiny_model_folder(folder: Path, layers: int = 2, context: int = 512) -> Path:
    """A random Llama with a character tokenizer whose pad, end and end-of-turn tokens are one id."""
    import torch
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    characters = ["<end>", *string.printable.strip(), " ", "\u03c0", "\u2212"]
    tokenizer = Tokenizer(models.WordLevel({c: i for i, c in enumerate(characters)}, unk_token="?"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex("."), behavior="isolated")
    tokenizer.decoder = decoders.Fuse()
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<end>", pad_token="<end>")
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(characters),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=layers,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=context,
        bos_token_id=None,
        eos_token_id=0,
        pad_token_id=0,
        tie_word_embeddings=True,
        initializer_range=0.2,
    )
    model = LlamaForCausalLM(config)
    torch.nn.init.normal_(model.get_input_embeddings().weight, std=0.2)  # a padding row starts as zeros
    model.save_pretrained(folder)
    fast.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def undrawn():
    """Figures are set up and not drawn, which is nearly half of a small run: for tests of tables and models alone."""

    def empty(figure, file, **given):
        file.write(f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {figure.bbox.width} {figure.bbox.height}"/>')

    with mock.patch("matplotlib.figure.Figure.savefig", empty):
        yield


@pytest.fixture(scope="module")
def few_trees():
    """Ensembles of a tenth of their size, which are most of the time of small runs: for tests of what is done with
    what they predict."""
    with (
        mock.patch.multiple("pipeline.arms.baselines", TREES=50, REFERENCE_TREES=10, ROUNDS=50),
        mock.patch("pipeline.arms.reactions.TREES", 30),
    ):
        yield


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory) -> Path:
    return tiny_model_folder(tmp_path_factory.mktemp("tiny"))


@pytest.fixture
def tiny_engine(tiny_folder):
    from pipeline.lm.engine import Engine

    return Engine.load(str(tiny_folder), trained_layers=1, dtype="float32")


@pytest.fixture(scope="session")
def photoswitch() -> Table:
    about = card("photoswitch")
    raw = read_table(str(about.path))
    return build_table(raw, smiles=about.smiles, target=about.target, property_name=about.property_name, units="nm")


def write_table(path: Path, rows: list[tuple], header: str = "SMILES,value") -> Path:
    path.write_text(header + "\n" + "".join(",".join(map(str, row)) + "\n" for row in rows), encoding="utf-8")
    return path


@pytest.fixture
def alcohols(tmp_path) -> Path:
    """48 molecules whose value follows from their length, with a little noise."""
    noise = np.random.default_rng(0).normal(scale=0.1, size=len(SMILES))
    return write_table(
        tmp_path / "alcohols.csv", [(s, round(len(s) + e, 3)) for s, e in zip(SMILES, noise, strict=True)]
    )


HALIDES = ("Clc1ccccc1", "Brc1ccccc1", "Ic1ccccc1", "Brc1ccncc1")
AMINES = ("CN", "CCN", "CCCN", "NC1CCCCC1")
BASES = ("[OH-].[Na+]", "CCN(CC)CC", "")


def reaction_rows() -> list[tuple[str, str, str, str, str, float]]:
    """A full-factorial table: halide, amine, base, solvent by name, reaction SMILES with atom maps, yield in percent.

    The yield follows from halide and amine; without a base it is zero.
    """
    rows = []
    for i, halide in enumerate(HALIDES):
        for j, amine in enumerate(AMINES):
            for base in BASES:
                mapped = halide.replace("c1ccccc1", "[c:1]1ccccc1").replace("c1ccncc1", "[c:1]1ccncc1")
                ring = "c1ccncc1" if "n" in halide else "c1ccccc1"
                product = amine.replace("N", f"N{ring}", 1) if amine.startswith("N") else f"{amine}{ring}"
                agents = f">{base}>"
                solvent = ("toluene", "1,4-dioxane")[(i + j) % 2]
                value = 0.0 if not base else 20.0 * i + 5.0 * j + (3.0 if "[OH-]" in base else 0.0)
                rows.append((halide, amine, base, solvent, f"{mapped}.{amine}{agents}{product}", value))
    return rows


@pytest.fixture
def couplings(tmp_path) -> Path:
    """The 48 reactions of `reaction_rows` as a CSV."""
    import csv

    path = tmp_path / "couplings.csv"
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["halide", "amine", "base", "solvent", "rxn", "yield"])
        writer.writerows(reaction_rows())
    return path


def shared_file(name: str) -> Path:
    """A published table kept beside the project; the test is skipped where it is not."""
    path = Path(__file__).resolve().parents[2] / "shared" / "data" / name
    if not path.exists():
        pytest.skip(f"{name} is not kept beside this checkout")
    return path
