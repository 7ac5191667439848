"""How prompts become tokens."""

from __future__ import annotations

import pytest
import torch

from pipeline import LoraRegressor, load
from pipeline.defaults import ATOMWISE, WHOLE
from pipeline.lm.decoders import layers_within
from pipeline.lm.engine import Engine
from pipeline.lm.tokens import PromptTokens
from pipeline.models.folder import describe_folder
from pipeline.prompts.templates import PromptTemplate, joined
from tests.conftest import SMILES
from tests.lm.test_engine import TEMPLATE, Y


class Pairs:
    """A tokenizer that merges two letters wherever it can, as byte-pair encodings do with parts of a SMILES."""

    def __init__(self):
        self.words: list[str] = []

    def __call__(self, text, add_special_tokens):
        assert not add_special_tokens
        cut = [text[start : start + 2] for start in range(0, len(text), 2)]
        self.words += [word for word in cut if word not in self.words]
        return {"input_ids": [self.words.index(word) for word in cut]}

    def spelled(self, ids):
        return [self.words[token] for token in ids]


@pytest.mark.parametrize(
    "text", ["What is {property} of {molecule}{context}?", "{molecule}: {property}?", "({molecule})"]
)
def test_each_symbol_has_tokens_of_its_own(text):
    tokenizer = Pairs()
    pieces = PromptTemplate("x", text=text).pieces("Cc1cc[nH]c(Br)c1%12Cl")
    spelled = tokenizer.spelled(PromptTokens(tokenizer).prompt(pieces, ATOMWISE))
    assert "".join(spelled) == joined(pieces)
    inside = [word.strip() for word in spelled]
    symbols = ["c", "1", "c", "c", "[n", "H]", "c", "(", "Br", ")", "c", "1", "%1", "2", "Cl"]
    assert any(inside[start : start + len(symbols)] == symbols for start in range(len(inside)))


def test_a_group_is_spelled_alike_wherever_it_stands():
    tokenizer = Pairs()
    tokens, template = PromptTokens(tokenizer), PromptTemplate("x")

    def ring(molecule, tokenization):
        spelled = tokenizer.spelled(tokens.prompt(template.pieces(molecule), tokenization))
        return [word for word in spelled if set(word) & set("c1")]

    assert ring("Oc1ccccc1", ATOMWISE) == ring("NOc1ccccc1", ATOMWISE) == list("c1ccccc1")
    assert ring("Oc1ccccc1", WHOLE) != ring("NOc1ccccc1", WHOLE)


def test_the_tokenizer_may_cut_the_whole_prompt(tiny_engine):
    for smiles in SMILES[:5]:
        pieces = TEMPLATE.pieces(smiles)
        assert tiny_engine.tokens.prompt(pieces, WHOLE) == tiny_engine.encode(joined(pieces))


def test_no_symbol_of_any_molecule_is_lost(tiny_engine):
    for smiles in SMILES:
        ids = tiny_engine.prompt(TEMPLATE, TEMPLATE.pieces(smiles))
        assert "".join(tiny_engine.tokenizer.convert_ids_to_tokens(ids)) == TEMPLATE.render(smiles)


def test_the_first_layers_alone_are_those_of_the_whole_model(tiny_folder):
    whole = Engine.load(str(tiny_folder), trained_layers=1, dtype="float32")
    first = Engine.load(str(tiny_folder), trained_layers=1, dtype="float32", depth=1)
    assert len(first.layers) == 1
    assert not first.remark
    ids = torch.arange(9, device=whole.device)[None]
    with torch.no_grad():
        states = whole.base(input_ids=ids, output_hidden_states=True).hidden_states
        found = first.run_upper(first.rows([tuple(ids[0].tolist())], 2)).hidden
        torch.testing.assert_close(found[0, :7], whole.base.norm(states[1])[0, 2:], atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("readout", ["head", "text"])
def test_depth_and_tokenization_are_saved_with_the_model(tiny_folder, tmp_path, readout):
    options = {"model": str(tiny_folder), "dtype": "float32", "steps": 3, "depth": 1, "tokenization": WHOLE}
    fitted = LoraRegressor("mass", readout=readout, **options).fit(SMILES, Y)
    fitted.save(tmp_path / "m")
    about = describe_folder(tmp_path / "m")
    assert (about["language_model"]["depth"], about["tokenization"]) == (1, WHOLE)
    again = load(tmp_path / "m")
    assert len(again.arm.engine.layers) == 1
    assert again.predict(SMILES[:6]).tolist() == fitted.predict(SMILES[:6]).tolist()


def test_components_have_their_symbols_apart_and_names_do_not():
    tokenizer = Pairs()
    template = PromptTemplate(
        "x", text="yield of {components}?", components=("halide", "base", "solvent"), names=("solvent",)
    )
    pieces = template.pieces("", components=["CBr", "", "toluene"])
    spelled = tokenizer.spelled(PromptTokens(tokenizer).prompt(pieces, ATOMWISE))
    assert "".join(spelled) == joined(pieces)
    inside = [word.strip() for word in spelled]
    start = inside.index("Br")
    assert inside[start - 1] == "C"
    assert "".join(spelled[start + 1 :]).endswith("solvent toluene?")
    assert max(len(word) for word in inside[-3:]) == 2  # a name is cut as any text is


def test_layers_are_no_more_than_a_model_has(tiny_folder):
    found = [
        layers_within(str(tiny_folder), depth, trained) for depth, trained in ((10, 10), (None, 1), (1, 10), (2, 2))
    ]
    assert found == [(None, 2), (None, 1), (1, 1), (None, 2)]
