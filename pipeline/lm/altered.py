"""A language model from which something that it was taught is taken away: controls for what pretraining brings."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import torch
from torch import nn

from pipeline.errors import InputError
from pipeline.lm.decoders import decoder_layers
from pipeline.lm.engine import Engine, load_model

RANDOM = "random weights"
LAYERS = "layers in another order"
EMBEDDINGS = "embeddings of other tokens"
ALTERATIONS = (RANDOM, LAYERS, EMBEDDINGS)


def altered_model(model: Any, how: str, seed: int, depth: int | None = None) -> Any:
    """The model without something, in place or as another one.

    Parameters
    ----------
    model : transformers causal language model
    how : str
        `RANDOM`: weights as drawn before any training, by the model's own rule. `LAYERS`: the weights of the first
        ``depth`` layers in another order, none where it was. `EMBEDDINGS`: the embeddings of the tokens dealt to other
        tokens, so that their statistics stay.
    depth : int, optional
        How many layers are used; all by default.

    Raises
    ------
    InputError
        If the layers are of different shapes, and cannot change places.
    """
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        if how == RANDOM:
            from transformers import AutoModelForCausalLM

            with torch.random.fork_rng():
                torch.manual_seed(seed)
                return AutoModelForCausalLM.from_config(model.config, attn_implementation="eager").to(torch.float32)
        if how == EMBEDDINGS:
            weights = model.get_input_embeddings().weight
            weights.copy_(weights[torch.randperm(len(weights), generator=generator)].clone())
            return model
        assert how == LAYERS, how
        _change_places(list(decoder_layers(model.base_model, model.config, depth)), generator)
    return model


def _change_places(layers: list[nn.Module], generator: torch.Generator) -> None:
    """Deal the weights of layers to one another, none to itself (where there are two or more)."""
    kept = [{name: value.clone() for name, value in layer.state_dict().items()} for layer in layers]
    # A cycle through all layers in random order moves each of them.
    order = torch.randperm(len(layers), generator=generator).tolist()
    for place, source in zip(order, [*order[1:], order[0]], strict=True):
        try:
            layers[place].load_state_dict(kept[source])
        except RuntimeError as error:
            raise InputError(
                "the layers of this model have different shapes, so that their order cannot be changed"
            ) from error


@lru_cache(maxsize=1)
def altered_engine(name: str, trained_layers: int, dtype: str, depth: int | None, how: str, seed: int) -> Engine:
    """An engine over an altered model; the last one is kept."""
    model, tokenizer = load_model(name)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return Engine(
        altered_model(model, how, seed, depth),
        tokenizer,
        trained_layers=trained_layers,
        dtype=getattr(torch, dtype),
        device=device,
        name=f"{name}, {how}, {seed}",
        depth=depth,
    )
