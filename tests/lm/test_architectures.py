"""Other decoders than the default: each trains, is saved, read back and predicts, fast where that is exact."""

from __future__ import annotations

import string

import numpy as np
import pytest
import torch
from tokenizers import Regex, Tokenizer, models, pre_tokenizers
from transformers import (
    AutoModelForCausalLM,
    Gemma2Config,
    Gemma2ForCausalLM,
    GPT2Config,
    GPT2LMHeadModel,
    GPTNeoXConfig,
    GPTNeoXForCausalLM,
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen2ForCausalLM,
)

from pipeline import LoraRegressor, load
from pipeline.arms.language_model import HeadRegressor
from pipeline.arms.text_arms import TextRegressor
from pipeline.lm.decoders import shared_tokens
from pipeline.lm.engine import Engine
from pipeline.lm.rows import Rows
from pipeline.models.merged import write_merged
from pipeline.prompts.templates import PromptTemplate
from tests.conftest import SMILES

TEMPLATE = PromptTemplate("mass", "u")
Y = np.array([float(len(text)) for text in SMILES])
CHARACTERS = ["<end>", *string.printable.strip(), " "]
MERGED = [f"{number}" for number in range(10, 100)]  # a tokenizer that does not split digits
SMALL = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
ENDS = {"vocab_size": 256, "bos_token_id": None, "eos_token_id": 0, "pad_token_id": 0}
MAKERS = {
    "gpt2": lambda: GPT2LMHeadModel(GPT2Config(n_embd=32, n_layer=2, n_head=4, **ENDS)),
    "gpt-neox": lambda: GPTNeoXForCausalLM(GPTNeoXConfig(**SMALL, **ENDS)),
    "qwen2": lambda: Qwen2ForCausalLM(Qwen2Config(num_key_value_heads=2, **SMALL, **ENDS)),
    "gemma2": lambda: Gemma2ForCausalLM(Gemma2Config(num_key_value_heads=2, head_dim=8, **SMALL, **ENDS)),
}
PACKED = {"gpt2": False, "gpt-neox": False, "qwen2": True, "gemma2": False}


def tokenizer(merged: bool) -> PreTrainedTokenizerFast:
    words = CHARACTERS + (MERGED if merged else [])
    plain = Tokenizer(models.WordLevel({word: number for number, word in enumerate(words)}, unk_token="?"))
    plain.pre_tokenizer = pre_tokenizers.Split(Regex(r"\d{2}|." if merged else "."), behavior="isolated")
    return PreTrainedTokenizerFast(tokenizer_object=plain, eos_token="<end>", pad_token="<end>")


@pytest.fixture(scope="module", params=[(name, merged) for name in MAKERS for merged in (False, True)], ids=str)
def model(request, tmp_path_factory):
    name, merged = request.param
    folder = tmp_path_factory.mktemp(f"{name}-{merged}")
    torch.manual_seed(0)
    made = MAKERS[name]()
    for parameter in made.parameters():
        if parameter.dim() > 1:
            torch.nn.init.normal_(parameter, std=0.2)
    made.save_pretrained(folder)
    tokenizer(merged).save_pretrained(folder)
    return name, str(folder)


def test_cut_and_packed_layers_equal_the_plain_forward(model):
    name, folder = model
    engine = Engine.load(folder, trained_layers=1, dtype="float32")
    assert engine.packs == PACKED[name]
    assert engine.cut == 1
    assert not engine.remark
    ids = [engine.encode(TEMPLATE.render(smiles)) for smiles in SMILES[:7]]
    shared = shared_tokens(ids)
    with torch.no_grad():
        rows = engine.run_upper(engine.rows(ids, shared))
        for row, text in enumerate(ids):
            expected = engine.base(input_ids=torch.tensor([text], device=engine.device)).last_hidden_state[0, shared:]
            torch.testing.assert_close(rows.hidden[row, : len(text) - shared], expected, atol=1e-4, rtol=1e-3)


def test_an_architecture_that_cannot_be_cut_says_so_and_runs_whole(tmp_path, monkeypatch):
    monkeypatch.setattr("pipeline.lm.decoders._POSITIONS", ())  # GPT-2 would then add its positions twice
    torch.manual_seed(0)
    MAKERS["gpt2"]().save_pretrained(tmp_path)
    tokenizer(False).save_pretrained(tmp_path)
    engine = Engine.load(str(tmp_path), trained_layers=1, dtype="float32")
    assert engine.cut == 0
    assert "GPT2LMHeadModel" in engine.remark
    ids = [engine.encode(TEMPLATE.render(smiles)) for smiles in SMILES[:3]]
    with torch.no_grad():
        rows = engine.run_upper(engine.rows(ids, 2))
        expected = engine.base(input_ids=torch.tensor([ids[0]], device=engine.device)).last_hidden_state[0, 2:]
    torch.testing.assert_close(rows.hidden[0, : len(ids[0]) - 2], expected, atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize("readout", ["head", "text"])
def test_it_trains_is_saved_read_back_and_predicts(model, tmp_path, readout):
    _, folder = model
    options = {"model": folder, "trained_layers": 1, "dtype": "float32", "steps": 3}
    fitted = LoraRegressor("mass", readout=readout, **options).fit(SMILES, Y)
    fitted.save(tmp_path / "m")
    expected = fitted.predict(SMILES[:9])
    assert np.isfinite(expected).all()
    np.testing.assert_array_equal(load(tmp_path / "m").predict(SMILES[:9]), expected)


def test_merged_weights_have_the_layers_that_are_used_and_no_others(model, tmp_path):
    _, folder = model
    fitted = LoraRegressor("mass", readout="text", model=folder, dtype="float32", steps=3, depth=1).fit(SMILES, Y)
    fitted.save(tmp_path / "m")
    (written,) = write_merged(tmp_path / "m")
    merged = AutoModelForCausalLM.from_pretrained(written).eval()
    assert merged.config.num_hidden_layers == 1
    engine = fitted.arm_.engine
    ids = torch.tensor([engine.encode("What is the mass of CCO?")])
    with torch.no_grad(), fitted.arm_.with_adapters():
        written_out = engine.model(ids.to(engine.device)).logits.cpu()
        torch.testing.assert_close(merged(ids).logits, written_out, atol=1e-4, rtol=1e-3)


def random_rows(engine: Engine, shared: int, lengths: list[int]) -> Rows:
    hidden = torch.randn(len(lengths), max(lengths), 32)
    return Rows(*(part.to(engine.device) for part in (torch.randn(1, shared, 32), hidden, torch.tensor(lengths))))


@pytest.mark.parametrize("padding", [False, True], ids=["packed", "padding-runs-along"])
@pytest.mark.parametrize("shared", [0, 1, 5])
def test_packed_rows_and_their_gradients_are_those_of_the_plain_layers(tiny_engine, shared, padding):
    """Lengths from one token to all of them, adapters that are not zero."""
    assert tiny_engine.packs
    torch.manual_seed(1)
    rows = random_rows(tiny_engine, shared, [9, 1, 4, 9, 2])
    tiny_engine.runs_padding = padding
    with tiny_engine.adapted(rank=4, alpha=8, dropout=0.0, seed=0) as adapted:
        parameters = [parameter for parameter in adapted.parameters() if parameter.requires_grad]
        for parameter in parameters:
            torch.nn.init.normal_(parameter, std=0.3)
        weights = torch.randn(25, 32).to(rows.hidden)  # not a sum of squares: the final norm makes that constant
        found = []
        for packed in (tiny_engine._packed, None):
            tiny_engine._packed = packed
            out = tiny_engine.run_upper(rows).hidden[rows.valid]
            found.append((out, *torch.autograd.grad((out * weights).sum(), parameters)))
    for ours, plain in zip(*found, strict=True):
        torch.testing.assert_close(ours, plain, atol=1e-5 * float(plain.abs().max()), rtol=1e-4)


def test_a_bf16_engine_packs_too_and_stays_near_fp32(tiny_folder):
    """The comparison with the plain layers is made before the weights become bf16, and must not fail for that."""
    found = []
    for dtype in ("float32", "bfloat16"):
        engine = Engine.load(str(tiny_folder), trained_layers=1, dtype=dtype)
        assert engine.packs
        found.append(HeadRegressor(engine, TEMPLATE, steps=20).fit(SMILES, Y).predict(SMILES))
    assert np.abs(found[0] - found[1]).max() < 0.1 * Y.std()


def test_padding_is_zero_in_packed_rows(tiny_engine):
    rows = random_rows(tiny_engine, 3, [6, 2])
    tiny_engine.runs_padding = False
    assert tiny_engine.run_upper(rows).hidden[1, 2:].abs().max() == 0


def test_dropout_takes_the_plain_layers(tiny_engine):
    rows = random_rows(tiny_engine, 3, [6, 2])
    with tiny_engine.adapted(rank=4, alpha=8, dropout=0.5, seed=0) as model, torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.normal_()
        model.train()
        once, again = (tiny_engine.run_upper(rows).hidden for _ in range(2))
    assert not torch.equal(once, again)
    assert torch.equal(*(tiny_engine.run_upper(rows).hidden for _ in range(2)))


@pytest.mark.parametrize("arm", [HeadRegressor, TextRegressor])
def test_training_packed_equals_training_plain(tiny_folder, arm):
    found = []
    for packs in (True, False):
        engine = Engine.load(str(tiny_folder), trained_layers=1, dtype="float32")
        engine.packs = packs
        engine._pack()
        found.append(arm(engine, TEMPLATE, steps=8).fit(SMILES, Y).curve_)
    np.testing.assert_allclose(*found, rtol=1e-4)


@pytest.mark.parametrize("trained_layers", [1, 2], ids=["frozen-below", "all-trained"])
@pytest.mark.parametrize("arm", [HeadRegressor, TextRegressor])
def test_batches_as_a_gpu_gets_them_train_the_same(tiny_folder, arm, trained_layers):
    """Filled up in width and in labels, with padding that runs along."""
    found = []
    for as_on_gpu in (False, True):
        engine = Engine.load(str(tiny_folder), trained_layers=trained_layers, dtype="float32")
        engine.runs_padding = as_on_gpu
        fitted = arm(engine, TEMPLATE, steps=8).fit(SMILES, Y)
        found.append([*fitted.curve_, *fitted.predict(SMILES)])
    np.testing.assert_allclose(*found, rtol=2e-4)
