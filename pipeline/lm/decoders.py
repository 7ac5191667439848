"""The parts of a decoder: its layers, cut where an arm needs them, and what is known of it without its weights."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import torch
from torch import nn

from pipeline.errors import InputError, first_line
from pipeline.lm.tokens import PromptTokens
from pipeline.lm.weights import resolve
from pipeline.prompts.templates import Pieces, PromptTemplate, completion

_FINAL_NORMS = ("norm", "final_layernorm", "final_layer_norm", "ln_f")


_POSITIONS = ("wpe",)  # added to the embeddings before the first layer, and only there


def decoder_layers(base: nn.Module, config: Any, depth: int | None) -> nn.ModuleList:
    """The list of the decoder's layers; those past ``depth`` are taken out of it and of the configuration."""
    for name, module in base.named_children():
        if isinstance(module, nn.ModuleList) and len(module) == config.num_hidden_layers:
            if depth is not None and depth < len(module):
                module = nn.ModuleList(module[:depth])
                setattr(base, name, module)
                config.num_hidden_layers = depth
                if getattr(config, "layer_types", None):
                    config.layer_types = config.layer_types[:depth]
            return module
    raise InputError(f"{type(base).__name__}: the decoder layers were not found; choose another model with --model")


def part_of_model(base: Any, layers: nn.ModuleList, start: int, stop: int, norm: bool) -> Any:
    """A view of the base model that runs only some layers; it shares all weights."""
    part = copy.copy(base)
    part._modules = dict(base._modules)
    name = next(key for key, module in base._modules.items() if module is layers)
    part._modules[name] = nn.ModuleList(layers[start:stop])
    part.config = copy.copy(base.config)
    part.config.num_hidden_layers = stop - start
    if start:
        part._modules |= {name: _NoPositions() for name in _POSITIONS if name in part._modules}
    if not norm:
        for candidate in _FINAL_NORMS:
            if candidate in part._modules:
                part._modules[candidate] = nn.Identity()
    return part


class _NoPositions(nn.Module):
    """In the place of position embeddings that the activations hold already."""

    def forward(self, positions: torch.Tensor) -> torch.Tensor:
        return torch.zeros((), device=positions.device)


def linear_names(layer: nn.Module) -> list[str]:
    """The last part of the names of a layer's linear modules, such as ``q_proj``."""
    kinds = ("Linear", "Conv1D")
    return sorted({name.rsplit(".", 1)[-1] for name, module in layer.named_modules() if type(module).__name__ in kinds})


def tokenizer_and_limit(name: str) -> tuple[Any, int]:
    """The tokenizer of a model and its context length in tokens, without loading the weights."""
    from transformers import AutoTokenizer

    limit = getattr(_config(name), "max_position_embeddings", 0) or 1_000_000
    try:
        return AutoTokenizer.from_pretrained(resolve(name)), int(limit)
    except (OSError, ValueError, KeyError) as error:
        raise unloadable(name, error) from error


def layers_within(name: str, depth: int | None, trained_layers: int) -> tuple[int | None, int]:
    """So many layers of a model and so many of them trained, or as many as it has; the first is None if that is all."""
    there = int(_config(name).num_hidden_layers)
    depth = depth if depth is not None and depth < there else None
    return depth, min(trained_layers, depth or there)


@cache
def _config(name: str) -> Any:
    from transformers import AutoConfig

    try:
        return AutoConfig.from_pretrained(resolve(name))
    except (OSError, ValueError, KeyError) as error:
        raise unloadable(name, error) from error


def prompt_limit(name: str, template: PromptTemplate, answers: Sequence[str]) -> tuple[Callable[[Pieces], int], int]:
    """How tokens of a prompt are counted, and how many it may have beside the longest of the answers."""
    tokenizer, context_length = tokenizer_and_limit(name)
    tokens = PromptTokens(tokenizer)
    longest = max((len(tokens.encode(completion(answer))) for answer in answers), default=0)
    return lambda pieces: len(tokens.prompt(pieces, template.tokenization)), context_length - longest - 1


def unloadable(name: str, error: Exception) -> InputError:
    return InputError(
        f"--model {name}: could not be loaded as a causal language model with safetensors weights "
        f"({first_line(error)}); check the id and the network, give a local folder, or run the baselines alone with "
        "--arms baselines"
    )


def shared_tokens(texts: Sequence[tuple[int, ...]]) -> int:
    """How many first tokens all texts have in common, leaving each at least one of its own."""
    first, last = min(texts), max(texts)
    limit = min(len(ids) for ids in texts) - 1
    shared = 0
    while shared < limit and first[shared] == last[shared]:
        shared += 1
    return shared


def shared_prefix(template: PromptTemplate, encode: Callable[[Pieces], tuple[int, ...]]) -> int:
    """Tokens that open every prompt of a template, found from structures and orders that have nothing in common."""
    probes = ("C", "[Na+]", "n1cccc1", "O=S")
    count = len(template.components)
    orders = [[(first + place) % count for place in range(count)] for first in range(count)]
    return shared_tokens(
        [
            encode(template.pieces(probe, components=[probe] * count, order=order))
            for probe in probes
            for order in (orders if template.shuffled else [None])
        ]
    )


def own_tokens(
    texts: Sequence[tuple[int, ...]], shared: int, rows: int, width: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """The tokens behind the shared ones, padded to (rows, width), and their number; 1 where no text is."""
    ids, lengths = torch.zeros(rows, width, dtype=torch.long), torch.ones(rows, dtype=torch.long)
    for row, text in enumerate(texts):
        lengths[row] = len(text) - shared
        ids[row, : lengths[row]] = torch.tensor(text[shared:], dtype=torch.long)
    return ids, lengths
