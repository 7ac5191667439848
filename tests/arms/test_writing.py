"""A language model that writes molecules for a value that is stated."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from pipeline.arms.writing import ANY_VALUE, MoleculeWriter, StatedValue
from pipeline.lm.engine import shared_engine
from pipeline.prompts.templates import PromptTemplate

CHAINS, RINGS = ["CCO", "CCCO", "CCCCO", "CCCCCO"], ["c1ccccc1", "Cc1ccccc1", "CCc1ccccc1", "Oc1ccccc1"]


@pytest.fixture(scope="module")
def writer(tiny_folder) -> MoleculeWriter:
    """Taught that chains have the value 10 and rings the value 20."""
    engine = shared_engine(str(tiny_folder), 2, "float32")
    found = MoleculeWriter(engine, PromptTemplate("size"), steps=120, settings={"learning_rate": 3e-3}, seed=1)
    return found.fit([10.0] * len(CHAINS) + [20.0] * len(RINGS), CHAINS + RINGS)


def test_what_is_written_has_the_value_that_is_stated(writer):
    for stated, ring in ((10.0, False), (20.0, True)):
        texts = [text for _, text in writer.texts(stated, [1.0], lambda found: len(found) >= 128)]
        assert np.mean([("1" in text) == ring for text in texts]) > 0.9


def test_what_is_written_is_as_likely_as_it_is_said_to_be(writer):
    """Sampling and scoring are two ways through the model, and a value enters both alike."""
    texts = [text.strip() for _, text in writer.texts(10.0, [1.0], lambda found: len(found) >= 512)]
    for smiles in CHAINS:
        drawn, said = texts.count(smiles) / len(texts), float(np.exp(writer.log_probabilities(10.0, [smiles])[0]))
        assert drawn == pytest.approx(said, abs=4 * np.sqrt(said * (1 - said) / len(texts)) + 1e-3)


def test_a_value_that_is_stated_makes_its_molecules_likelier(writer):
    right, wrong = (writer.log_probabilities(stated, RINGS) for stated in (20.0, 10.0))
    assert (right - wrong > 2).all()


def test_values_begin_at_nothing_and_none_is_a_value_of_its_own():
    values = StatedValue([1.0, 2.0, 3.0, float("nan")], 8)
    assert (values.centre.item(), values.scale.item()) == pytest.approx((2.0, np.std([1, 2, 3])))
    given = torch.tensor([1.0, ANY_VALUE])
    assert (values(given) == 0).all()
    values(given).sum().backward()
    assert (values.none.grad == 1).all()
    assert all(torch.isfinite(layer.weight.grad).all() for layer in (values.out, values.read))


@pytest.mark.parametrize("values", [[ANY_VALUE] * 3, [5.0] * 3])
def test_a_table_without_values_or_of_one_alone_has_a_scale(values):
    assert StatedValue(values, 4).scale.item() == 1.0
