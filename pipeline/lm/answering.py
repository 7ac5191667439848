"""Answers of a decoder to many prompts, token by token, over the keys and values of what came before."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch

from pipeline.lm.decoders import own_tokens
from pipeline.lm.packed import Memory, additive

if TYPE_CHECKING:
    from pipeline.lm.engine import Engine


class Answers:
    """What a batch of prompts has been answered so far, in keys and values.

    Parameters
    ----------
    engine : Engine
    texts : sequence of tuples of token ids
        The prompts; all begin with the same ``shared`` tokens.
    last : int
        How many last tokens of each have their hidden states returned; at most as many as follow the shared ones.
    offsets : tensor of shape (B, d), optional
        Added to the embedding of each token behind the shared ones.

    Attributes
    ----------
    visible : bool tensor of shape (B, slots)
        The slots behind the shared tokens that hold a token of the prompt.
    hidden : tensor of shape (B, last, d)
        Last hidden states of the last prompt tokens.
    """

    def __init__(
        self,
        engine: Engine,
        texts: Sequence[tuple[int, ...]],
        shared: int,
        last: int,
        offsets: torch.Tensor | None = None,
    ) -> None:
        self.engine, self.shared, self.offsets = engine, shared, offsets
        width = max(len(ids) for ids in texts) - shared
        ids, lengths = own_tokens(texts, shared, len(texts), width)
        self.visible = torch.arange(width)[None, :] < lengths[:, None]
        self._start(texts[0][:shared], len(texts))
        causal = torch.ones(width, width).tril().bool()[None] & self.visible[:, None, :]
        allowed = causal | torch.eye(width).bool()[None]
        positions = torch.arange(shared, shared + width)[None, :].expand(len(texts), -1)
        hidden = self._step(ids, self.visible, allowed, positions)
        places = lengths[:, None] + torch.arange(-last, 0)
        self.hidden = hidden[torch.arange(len(texts))[:, None].to(hidden.device), places.to(hidden.device)]

    def extend(
        self, tokens: torch.Tensor, present: torch.Tensor, allowed: torch.Tensor, positions: torch.Tensor
    ) -> torch.Tensor:
        """Run further tokens of shape (B, Q), where present, that see the slots in ``allowed`` (B, Q, slots + Q).

        Returns
        -------
        tensor of shape (B, Q, d)
        """
        hidden = self._step(tokens, present, allowed, positions)
        # They are visible to their own descendants alone.
        self.visible = torch.cat([self.visible, torch.zeros_like(present)], dim=1)
        return hidden

    def repeat(self, count: int) -> None:
        """So many of each prompt, side by side, as if all had been given."""
        self.visible, self.hidden = (part.repeat_interleave(count, dim=0) for part in (self.visible, self.hidden))
        if self.offsets is not None:
            self.offsets = self.offsets.repeat_interleave(count, dim=0)
        self._repeat_memory(count)

    def _repeat_memory(self, count: int) -> None:
        self.cache.batch_repeat_interleave(count)

    def _start(self, prefix: tuple[int, ...], rows: int) -> None:
        from transformers import DynamicCache

        self.cache = DynamicCache()
        if not prefix:
            return
        ids = torch.tensor([prefix], dtype=torch.long)
        mask = torch.ones(1, len(prefix), len(prefix)).tril().bool()
        self._forward(self.engine.embed(ids.to(self.engine.device)), mask, torch.arange(len(prefix))[None, :])
        if rows > 1:
            self.cache.batch_repeat_interleave(rows)

    def _step(
        self, tokens: torch.Tensor, present: torch.Tensor, allowed: torch.Tensor, positions: torch.Tensor
    ) -> torch.Tensor:
        first = allowed.new_ones(*allowed.shape[:2], self.shared)
        return self._forward(self._embed(tokens), torch.cat([first, allowed], dim=2), positions)

    def _embed(self, tokens: torch.Tensor) -> torch.Tensor:
        embedded = self.engine.embed(tokens.to(self.engine.device))
        return embedded if self.offsets is None else embedded + self.offsets[:, None].to(embedded.dtype)

    def _forward(self, embedded: torch.Tensor, allowed: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
        return self.engine.base(
            inputs_embeds=embedded,
            attention_mask=additive(allowed.to(embedded.device), embedded)[:, None],
            position_ids=positions.to(embedded.device),
            past_key_values=self.cache,
            use_cache=True,
        ).last_hidden_state


class PackedAnswers(Answers):
    """The same over packed rows."""

    def _start(self, prefix: tuple[int, ...], rows: int) -> None:
        self.memory = Memory()
        self.prefix = torch.tensor([prefix], dtype=torch.long, device=self.engine.device)

    def _repeat_memory(self, count: int) -> None:
        for number, both in self.memory.rows.items():
            keys, values = (part.repeat_interleave(count, dim=1) for part in both)
            self.memory.rows[number] = keys, values

    def _step(
        self, tokens: torch.Tensor, present: torch.Tensor, allowed: torch.Tensor, positions: torch.Tensor
    ) -> torch.Tensor:
        engine, device = self.engine, self.engine.device
        hidden = engine._run_packed(
            engine.embed(self.prefix),
            self._embed(tokens),
            present.to(device),
            range(len(engine.layers)),
            allowed=allowed.to(device),
            positions=positions.to(device),
            memory=self.memory,
        )
        self.prefix = self.prefix[:, :0]  # the memory has it from here on
        return hidden
