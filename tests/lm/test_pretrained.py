"""Where `lm-head` starts from."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from pipeline.arms import language_model
from pipeline.arms.language_model import HeadClassifier, HeadRegressor
from pipeline.defaults import AUTO, DEFAULT_MODEL, PLAIN, REACTION_TEMPLATE, WHOLE
from pipeline.errors import InputError
from pipeline.files import sha256
from pipeline.lm import pretrained
from pipeline.lm.defaults import LAYERS, training_settings
from pipeline.lm.engine import Engine
from pipeline.lm.pretrained import ADAPTERS, PretrainedAdapter, pretrained_adapter
from pipeline.lm.weights import weights_identity
from pipeline.prompts.templates import PromptTemplate
from scripts.pretrain_adapter import without_variants
from tests.conftest import SMILES

MOLECULES = PromptTemplate("mass", "u")
Y = np.array([float(len(text)) for text in SMILES])


@pytest.fixture
def engine(tiny_folder):
    return Engine.load(str(tiny_folder), trained_layers=2, dtype="float32")


@pytest.fixture
def planted(engine, tmp_path, monkeypatch) -> PretrainedAdapter:
    """An adapter for the tiny model whose weights are all 0.01, in the place of the shipped one."""
    with engine.adapted(rank=16, alpha=32, dropout=0.0, seed=0) as model:
        weights = {n: torch.full_like(p, 0.01).half() for n, p in model.named_parameters() if p.requires_grad}
    path = tmp_path / "planted.safetensors"
    save_file(weights, path)
    adapter = PretrainedAdapter(str(path), sha256(path), layers=2, rank=16, alpha=32, molecules=1, corpus=("planted",))
    monkeypatch.setattr(pretrained, "ADAPTERS", {engine.name: adapter})
    return adapter


def trained(engine, start: str, rate: float) -> HeadRegressor:
    return HeadRegressor(engine, MOLECULES, steps=5, settings={"learning_rate": rate}, start=start).fit(SMILES, Y)


def test_training_starts_from_the_adapter_and_moves_on(engine, planted):
    kept, moved = (trained(engine, AUTO, rate).adapter_ for rate in (0.0, 1e-2))
    assert set(kept) == set(load_file(planted.path))
    assert all(torch.allclose(tensor, torch.tensor(0.01), atol=1e-5) for tensor in kept.values())
    assert not any(torch.allclose(tensor, torch.tensor(0.01), atol=1e-4) for tensor in moved.values())


def test_a_plain_start_is_an_adapter_that_does_nothing(engine, planted):
    kept = trained(engine, PLAIN, 0.0).adapter_
    assert all((tensor == 0).all() for name, tensor in kept.items() if "lora_B" in name)
    assert trained(engine, PLAIN, 0.0).start_ is None


def classes(number: int) -> np.ndarray:
    """The rows in order of their values, in so many classes of like size."""
    return np.argsort(np.argsort(Y, kind="stable")) * number // len(Y)


def classifier(engine, labels, rate: float, start: str = AUTO) -> HeadClassifier:
    return HeadClassifier(engine, MOLECULES, steps=5, settings={"learning_rate": rate}, start=start).fit(SMILES, labels)


@pytest.mark.parametrize("number", [2, 3])
def test_a_head_for_classes_starts_as_a_linear_classifier_on_what_the_adapter_computes(engine, planted, number):
    labels = classes(number)
    begun = classifier(engine, labels, 0.0)
    with begun.with_adapters():
        features = begun._pooled_output(begun.prompts(SMILES), begun.head_.features)
    linear = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=2_000)).fit(features, labels)
    np.testing.assert_allclose(begun.predict_proba(SMILES), linear.predict_proba(features), atol=1e-4)
    assert np.ptp(begun.predict_proba(SMILES)[:, 0]) > 0.01


def test_a_head_for_classes_ends_halfway_between_there_and_the_end_of_training(engine, planted, monkeypatch):
    def weights(kept):
        monkeypatch.setattr(language_model, "KEPT_OF_START", kept)
        found = classifier(engine, classes(2), 1e-2)
        return found.adapter_ | dict(found.head_.linear.named_parameters())

    end, halfway, beginning = (weights(kept) for kept in (0.0, 0.5, 1.0))
    for name, tensor in halfway.items():
        torch.testing.assert_close(tensor, (beginning[name] + end[name]) / 2)
        assert not torch.equal(beginning[name], end[name])


def test_one_class_and_a_plain_start_have_no_linear_classifier_before_them(engine, planted):
    assert (classifier(engine, classes(1), 1e-2).predict_proba(SMILES) == 1).all()
    np.testing.assert_allclose(classifier(engine, classes(2), 0.0, PLAIN).predict_proba(SMILES), 0.5)


def test_a_changed_file_is_refused(engine, planted):
    planted.path.write_bytes(planted.path.read_bytes()[:-1] + b"x")
    with pytest.raises(InputError, match=r"planted.safetensors: missing or changed; .*--start plain"):
        trained(engine, AUTO, 1e-3)


def found(start=AUTO, model=DEFAULT_MODEL, layers=LAYERS["lm-head"], template=MOLECULES, **settings):
    return pretrained_adapter(start, model, *layers, training_settings(100, "lm-head", **settings), template)


@pytest.mark.parametrize(
    "other",
    [
        {"start": PLAIN},
        {"model": "owner/model"},
        {"layers": (None, 5)},
        {"layers": (5, 3)},
        {"rank": 8},
        {"alpha": 16},
        {"template": PromptTemplate("yield", text=REACTION_TEMPLATE)},
        {"template": PromptTemplate("mass", tokenization=WHOLE)},
    ],
)
def test_it_is_taken_for_what_it_was_made_for_alone(other):
    assert found() is ADAPTERS[DEFAULT_MODEL]
    assert found(**other) is None


def test_the_shipped_file_is_the_one_that_is_described():
    adapter = ADAPTERS[DEFAULT_MODEL]
    weights = adapter.load()
    assert len(weights) == adapter.layers * 7 * 2  # two matrices for each linear layer
    assert {tensor.shape[0] for name, tensor in weights.items() if "lora_A" in name} == {adapter.rank}
    with safe_open(adapter.path, "pt") as file:
        about = file.metadata()
    assert about["model"] == weights_identity(DEFAULT_MODEL)
    assert int(about["molecules"]) == adapter.molecules
    assert tuple(about["corpus"].split()) == adapter.corpus


def test_variants_of_molecules_that_are_left_out_are_not_learned_from():
    """A salt, a charged form, a stereoisomer and a tautomer, each under another name than the one left out."""
    left_out = ["CC(=O)O", "CCN", "C[C@H](N)C(=O)O", "O=c1cccc[nH]1"]
    variants = ["CC(=O)[O-].[Na+]", "CC[NH3+]", "C[C@@H](N)C(=O)O", "Oc1ccccn1"]
    others = ["CCO", "c1ccccc1"]
    assert without_variants([*others, *variants, *others, *left_out], left_out) == others
