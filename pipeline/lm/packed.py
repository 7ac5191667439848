"""The upper layers over packed rows: one product per weight and step, on tokens alone and never on padding.

For decoders built like Llama (RMSNorm, rotary positions, gated MLP). Queries, keys and values are one product, as
are the two of the gated MLP; the adapters of each are one small product beside it, cast once a step. The prefix that
all rows share goes through the same products as the rows. `Engine` compares this with the plain forward before it
is used and takes the plain one where the two differ, so that an unknown architecture costs speed and nothing else.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch.nn import functional


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


class PackedLayers:
    """Layers of a decoder built like Llama, one after the other, and its final norm.

    Parameters
    ----------
    base : nn.Module
        The decoder without its output head.
    layers : iterable of nn.Module
        Those to run, in order.
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

    def __call__(self, prefix: torch.Tensor, hidden: torch.Tensor, valid: torch.Tensor) -> torch.Tensor:
        """The last hidden states of padded rows.

        Parameters
        ----------
        prefix : tensor of shape (1, P, d)
            What all rows begin with.
        hidden : tensor of shape (B, T, d)
        valid : bool tensor of shape (B, T)
            True where a token stands; a row's tokens come first.

        Returns
        -------
        tensor of shape (B, T, d)
            Zero where no token stands.
        """
        shared, (batch, length) = prefix.shape[1], valid.shape
        places = valid.flatten().nonzero()[:, 0]
        x = torch.cat([prefix[0].to(hidden.dtype), hidden.flatten(0, 1).index_select(0, places)])
        x = x.to(self.products[0]["mlp_out"].weight.dtype)
        positions = torch.cat([torch.arange(shared, device=x.device), shared + places % length])
        cosine, sine = (part[0].to(x.dtype)[:, None] for part in self.rotary(x[None], positions[None]))
        mask = _causal(length, shared + length, x)
        for products, (before, after) in zip(self.products, self.norms, strict=True):
            for product in products.values():
                product.prepare()
            mixed = self._attention(
                products["attention_in"](before(x)), cosine, sine, shared, places, (batch, length), mask
            )
            x = x + products["attention_out"](mixed)
            gate, up = products["mlp_in"](after(x)).chunk(2, dim=1)
            x = x + products["mlp_out"](self.activation(gate) * up)
        x = self.final_norm(x[shared:])
        return x.new_zeros(batch * length, x.shape[1]).index_copy(0, places, x).view(batch, length, -1)

    def _attention(
        self,
        mixed: torch.Tensor,
        cosine: torch.Tensor,
        sine: torch.Tensor,
        shared: int,
        places: torch.Tensor,
        shape: tuple[int, int],
        mask: torch.Tensor,
    ) -> torch.Tensor:
        """Packed queries, keys and values of shape (n, .) to packed values of shape (n, heads * width).

        Causal, so that a row's padding, which comes last, is seen by padding alone.
        """
        batch, length = shape
        width = cosine.shape[-1]
        per_key = self.heads // self.key_heads
        q, k, v = mixed.split([self.heads * width, self.key_heads * width, self.key_heads * width], dim=1)
        q = _rotated(q.view(-1, self.heads, width), cosine, sine) * self.scale
        k = _rotated(k.view(-1, self.key_heads, width), cosine, sine)
        v = v.view(-1, self.key_heads, width)
        first = None
        if shared:
            kp, vp = k[:shared].transpose(0, 1), v[:shared].transpose(0, 1)  # (key heads, P, width)
            qp = q[:shared].view(shared, self.key_heads, per_key, width).permute(1, 2, 0, 3)
            scores = qp.flatten(1, 2) @ kp.transpose(1, 2) + _causal(shared, shared, q).repeat(per_key, 1)
            first = _weights(scores, v.dtype) @ vp
            first = first.view(self.key_heads, per_key, shared, width).permute(2, 0, 1, 3).flatten(1)

        def padded(rows: torch.Tensor) -> torch.Tensor:
            """(n, heads, width) to (key heads, B, heads per key head, T, width)."""
            full = rows.new_zeros(batch * length, *rows.shape[1:]).index_copy(0, places, rows)
            return full.view(batch, length, self.key_heads, -1, width).permute(2, 0, 3, 1, 4)

        qr, kr, vr = padded(q[shared:]), padded(k[shared:])[:, :, 0], padded(v[shared:])[:, :, 0]
        qr = qr.flatten(2, 3)  # (key heads, B, heads per key head * T, width)
        scores = qr @ kr.transpose(2, 3)
        if shared:
            with_prefix = qr.flatten(1, 2) @ kp.transpose(1, 2)
            scores = torch.cat([with_prefix.view(*scores.shape[:3], shared), scores], dim=3)
        weights = _weights(scores + mask.repeat(per_key, 1), v.dtype)
        values = weights[..., shared:] @ vr
        if shared:
            values = values + (weights[..., :shared].flatten(1, 2) @ vp).view(values.shape)
        values = values.view(self.key_heads, batch, per_key, length, width).permute(1, 3, 0, 2, 4)
        rest = values.reshape(batch * length, -1).index_select(0, places)  # indexing has a slow backward
        return rest if first is None else torch.cat([first, rest])


def _rotated(x: torch.Tensor, cosine: torch.Tensor, sine: torch.Tensor) -> torch.Tensor:
    """Rotary positions (Su et al. 2021) in the half-split form. Shape (n, heads, width)."""
    left, right = x.chunk(2, dim=-1)
    return x * cosine + torch.cat([-right, left], dim=-1) * sine


def _weights(scores: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    return torch.softmax(scores, dim=-1, dtype=torch.float32).to(dtype)


def _causal(rows: int, columns: int, like: torch.Tensor) -> torch.Tensor:
    """An additive mask: the last of the rows sees all columns, each row before it one less. Shape (rows, columns)."""
    hidden = torch.ones(rows, columns, dtype=torch.bool, device=like.device).triu(columns - rows + 1)
    return like.new_zeros(rows, columns).masked_fill(hidden, -torch.inf)
