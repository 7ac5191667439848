"""Decoder layers over packed rows: one product per weight and step, on tokens alone (on a GPU also on padding).

For decoders built like Llama (RMSNorm, rotary positions, gated MLP). Queries, keys and values are one product, as
are the two of the gated MLP; the adapters of each are one small product beside it, cast once a step. The prefix that
all rows share goes through the same products as the rows. `Engine` compares this with the plain forward before it
is used and takes the plain one where the two differ, so that an unknown architecture costs speed and nothing else.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch.nn import functional

TOKEN_STEP = 32  # packed tokens are filled up to a multiple, since the CPU library keeps a kernel for each shape it met


class Product:
    """Linear modules that share their input, as one product, with the LoRA adapters they carry.

    Parameters
    ----------
    modules : sequence of nn.Linear or of PEFT's LoRA layers around them
    weight : tensor of shape (out, in)
        The frozen weights of the modules, one below the other.
    """

    def __init__(self, modules: Sequence[Any], weight: torch.Tensor, bias: torch.Tensor | None) -> None:
        self.weight, self.bias = weight, bias
        self.adapters = [found for module in modules if (found := _adapter(module))]
        self.down: torch.Tensor | None = None
        self.up: torch.Tensor | None = None

    def prepare(self) -> None:
        """Take in the adapters as they are now; to be called once per forward."""
        if not self.adapters:
            return
        dtype = self.weight.dtype
        ups = [(up * scaling).to(dtype) for _, up, scaling in self.adapters]
        self.down = torch.cat([down.to(dtype) for down, _, _ in self.adapters])
        self.up = torch.block_diag(*ups)

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """Shape (n, in) to (n, out)."""
        y = functional.linear(x, self.weight, self.bias)
        return y if self.down is None or self.up is None else torch.addmm(y, x @ self.down.T, self.up.T)


def _linear(module: Any) -> Any:
    return getattr(module, "base_layer", module)


def _stacked(modules: Sequence[Any]) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Weights and biases of linear modules, one below the other; a single one's own."""
    weights, biases = [module.weight for module in modules], [module.bias for module in modules]
    if len(modules) == 1:
        return weights[0], biases[0]
    return torch.cat(weights), None if biases[0] is None else torch.cat(biases)


def _adapter(module: Any) -> tuple[torch.Tensor, torch.Tensor, float] | None:
    """``(A, B, scaling)`` of a PEFT LoRA layer; None for a plain linear layer."""
    if not hasattr(module, "lora_A"):
        return None
    (name,) = module.active_adapters
    return module.lora_A[name].weight, module.lora_B[name].weight, module.scaling[name]


_GROUPS = {
    "attention_in": ("self_attn", ("q_proj", "k_proj", "v_proj")),
    "attention_out": ("self_attn", ("o_proj",)),
    "mlp_in": ("mlp", ("gate_proj", "up_proj")),
    "mlp_out": ("mlp", ("down_proj",)),
}


@dataclass
class Memory:
    """Keys and values of tokens that ran before, for those that follow them.

    ``prefix`` has one pair of shape (key heads, P, width) per layer, ``rows`` one of shape
    (key heads, B, slots, width); tokens that follow are added to ``rows``.
    """

    prefix: dict[int, tuple[torch.Tensor, torch.Tensor]] = field(default_factory=dict)
    rows: dict[int, tuple[torch.Tensor, torch.Tensor]] = field(default_factory=dict)


@dataclass
class _Places:
    """Where the packed tokens stand: first the prefix, then the rows without their padding, then empty ones."""

    shared: int
    batch: int
    length: int
    rows: torch.Tensor  # places in the flattened (batch, length)
    empty: int
    mask: torch.Tensor  # additive, over all slots of a row

    def of_rows(self, packed: torch.Tensor) -> torch.Tensor:
        return packed[self.shared : self.shared + len(self.rows)]


class PackedLayers:
    """The layers of a decoder built like Llama, and its final norm.

    Parameters
    ----------
    base : nn.Module
        The decoder without its output head.
    layers : iterable of nn.Module
        All its layers, in order.
    stacked : dict
        Where the frozen weights that one product needs together are kept, since they are a copy:
        equal for all adapters that are trained on one model, and filled at first use.

    Raises
    ------
    AttributeError, TypeError
        If the decoder is not built like that.
    """

    def __init__(self, base: Any, layers: Iterable[Any], stacked: dict[tuple[int, str], Any]) -> None:
        config, layers = base.config, list(layers)
        self.rotary, self.final_norm = base.rotary_emb, base.norm
        self.heads, self.key_heads = config.num_attention_heads, config.num_key_value_heads
        self.norms = [(layer.input_layernorm, layer.post_attention_layernorm) for layer in layers]
        self.activation = layers[0].mlp.act_fn
        self.scale = layers[0].self_attn.scaling
        self.products: list[dict[str, Product]] = []
        for number, layer in enumerate(layers):
            own = {}
            for group, (part, names) in _GROUPS.items():
                modules = [getattr(getattr(layer, part), name) for name in names]
                if (number, group) not in stacked:
                    stacked[number, group] = _stacked([_linear(module) for module in modules])
                own[group] = Product(modules, *stacked[number, group])
            self.products.append(own)

    def __call__(
        self,
        prefix: torch.Tensor,
        hidden: torch.Tensor,
        valid: torch.Tensor | None,
        *,
        layers: range,
        allowed: torch.Tensor | None = None,
        positions: torch.Tensor | None = None,
        memory: Memory | None = None,
    ) -> torch.Tensor:
        """The hidden states of padded rows after some of the layers, and after the final norm if those are the last.

        Parameters
        ----------
        prefix : tensor of shape (1, P, d)
            What all rows begin with; P is 0 where the memory holds it.
        hidden : tensor of shape (B, T, d)
        valid : bool tensor of shape (B, T), optional
            True where a token stands; without ``allowed``, a row's tokens come first. By default padding runs along,
            behind the tokens, which do not see it.
        layers : range
            Numbers of the layers to run.
        allowed : bool tensor of shape (B, T, slots + T), optional
            Which slots of its row a token sees, besides the prefix; by default those before it and itself.
        positions : int tensor of shape (B, T), optional
            By default those that follow the prefix.
        memory : Memory, optional
            Filled with the keys and values of these tokens, behind those it holds.

        Returns
        -------
        tensor of shape (B, T, d)
            Zero where no token stands and padding does not run along.
        """
        shared, (batch, length) = prefix.shape[1], hidden.shape[:2]
        rows = torch.arange(batch * length, device=hidden.device) if valid is None else valid.flatten().nonzero()[:, 0]
        empty = -(shared + len(rows)) % TOKEN_STEP
        x = torch.cat([prefix[0].to(hidden.dtype), hidden.flatten(0, 1).index_select(0, rows)])
        x = functional.pad(x, (0, 0, 0, empty)).to(self.products[layers[0]]["mlp_out"].weight.dtype)
        own = shared + rows % length if positions is None else positions.flatten().index_select(0, rows)
        places = functional.pad(torch.cat([torch.arange(shared, device=x.device), own]), (0, empty))
        cosine, sine = (part[0].to(x.dtype)[:, None] for part in self.rotary(x[None], places[None]))
        mask = _causal(length, length, x) if allowed is None else additive(allowed, x)
        where = _Places(shared, batch, length, rows, empty, mask)
        for number in layers:
            products, (before, after) = self.products[number], self.norms[number]
            for product in products.values():
                product.prepare()
            mixed = self._attention(products["attention_in"](before(x)), cosine, sine, where, number, memory)
            x = x + products["attention_out"](mixed)
            gate, up = products["mlp_in"](after(x)).chunk(2, dim=1)
            x = x + products["mlp_out"](self.activation(gate) * up)
        x = where.of_rows(x)
        if layers[-1] == len(self.products) - 1:
            x = self.final_norm(x)
        return x.new_zeros(batch * length, x.shape[1]).index_copy(0, rows, x).view(batch, length, -1)

    def _attention(
        self,
        mixed: torch.Tensor,
        cosine: torch.Tensor,
        sine: torch.Tensor,
        where: _Places,
        number: int,
        memory: Memory | None,
    ) -> torch.Tensor:
        """Packed queries, keys and values of shape (n, .) to packed values of shape (n, heads * width)."""
        batch, length, shared = where.batch, where.length, where.shared
        width = cosine.shape[-1]
        per_key = self.heads // self.key_heads
        q, k, v = mixed.split([self.heads * width, self.key_heads * width, self.key_heads * width], dim=1)
        q = _rotated(q.view(-1, self.heads, width), cosine, sine) * self.scale
        k = _rotated(k.view(-1, self.key_heads, width), cosine, sine)
        v = v.view(-1, self.key_heads, width)
        found = []
        kp, vp = k[:shared].transpose(0, 1), v[:shared].transpose(0, 1)  # (key heads, P, width)
        if shared:
            qp = q[:shared].view(shared, self.key_heads, per_key, width).permute(1, 2, 0, 3)
            scores = qp.flatten(1, 2) @ kp.transpose(1, 2) + _causal(shared, shared, q).repeat(per_key, 1)
            first = _weights(scores, v.dtype) @ vp
            found.append(first.view(self.key_heads, per_key, shared, width).permute(2, 0, 1, 3).flatten(1))

        def padded(packed: torch.Tensor) -> torch.Tensor:
            """(n, heads, width) to (key heads, B, heads per key head, T, width)."""
            rows = where.of_rows(packed)
            full = rows.new_zeros(batch * length, *rows.shape[1:]).index_copy(0, where.rows, rows)
            return full.view(batch, length, self.key_heads, -1, width).permute(2, 0, 3, 1, 4)

        qr, kr, vr = padded(q), padded(k)[:, :, 0], padded(v)[:, :, 0]
        if memory is not None:
            if number in memory.rows:
                (kp, vp), (ko, vo) = memory.prefix[number], memory.rows[number]
                kr, vr = torch.cat([ko, kr], dim=2), torch.cat([vo, vr], dim=2)
            memory.prefix[number], memory.rows[number] = (kp, vp), (kr, vr)
        seen = kp.shape[1]
        qr = qr.flatten(2, 3)  # (key heads, B, heads per key head * T, width)
        scores = qr @ kr.transpose(2, 3) + where.mask.repeat(*[1] * (where.mask.dim() - 2), per_key, 1)
        if seen:
            with_prefix = qr.flatten(1, 2) @ kp.transpose(1, 2)
            scores = torch.cat([with_prefix.view(*scores.shape[:3], seen), scores], dim=3)
        weights = _weights(scores, v.dtype)
        values = weights[..., seen:] @ vr
        if seen:
            values = values + (weights[..., :seen].flatten(1, 2) @ vp).view(values.shape)
        values = values.view(self.key_heads, batch, per_key, length, width).permute(1, 3, 0, 2, 4)
        found.append(values.reshape(batch * length, -1).index_select(0, where.rows))  # indexing has a slow backward
        return functional.pad(torch.cat(found), (0, 0, 0, where.empty))


def _rotated(x: torch.Tensor, cosine: torch.Tensor, sine: torch.Tensor) -> torch.Tensor:
    """Rotary positions (Su et al. 2021) in the half-split form. Shape (n, heads, width)."""
    left, right = x.chunk(2, dim=-1)
    return x * cosine + torch.cat([-right, left], dim=-1) * sine


def _weights(scores: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    return torch.softmax(scores, dim=-1, dtype=torch.float32).to(dtype)


def additive(allowed: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    """A boolean mask as one that is added to scores, of the type of ``like``."""
    return like.new_zeros(allowed.shape).masked_fill(~allowed, -torch.inf)


def _causal(rows: int, columns: int, like: torch.Tensor) -> torch.Tensor:
    """An additive mask: the last of the rows sees all columns, each row before it one less. Shape (rows, columns)."""
    return additive(torch.ones(rows, columns, dtype=torch.bool, device=like.device).tril(columns - rows), like)
