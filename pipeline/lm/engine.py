"""A causal language model cut in two: frozen lower layers run once, upper layers trained.

Where LoRA is on the upper of the layers in use and not on all, the activations that enter those never change, so they
are computed once per distinct text and kept. The tokens that all prompts share (``What is the ...
of``) are run once per batch; the rows attend to them through the key/value cache. Both are exact:
`Engine` compares the cut forward with the plain one when it is made, and does not cut where the
architecture does not allow it.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from typing import Any

import torch
from torch import nn

from pipeline.lm.activations import ActivationStore
from pipeline.lm.answering import Answers, PackedAnswers
from pipeline.lm.decoders import decoder_layers, linear_names, own_tokens, part_of_model, unloadable
from pipeline.lm.packed import PackedLayers, additive
from pipeline.lm.rows import Rows
from pipeline.lm.tokens import PromptTokens
from pipeline.lm.weights import resolve
from pipeline.prompts.templates import Pieces, PromptTemplate

LENGTH_STEP = 8  # rows are padded to multiples of this, so that a text's batch shape is its own
WIDTH_STEP, LABEL_STEP = 16, 32  # a GPU's batches are filled up to multiples, so that few shapes have to be recorded
LOGIT_BYTES = 1_000_000_000  # on a GPU more rows are run at once as far as their logits take no more
UNRECORDED_ROPE = ("dynamic", "longrope")  # positions that ask how long the text is
FROZEN_BATCH = 16
GPU_ROWS = 8  # a GPU runs so many times the rows at once, where that is not for the user to say


@cache
def choose_dtype(device: torch.device) -> torch.dtype:
    """bf16 where the device multiplies it at least 1.2 times as fast as fp32, measured by a short probe."""
    import time

    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float32
    seconds = {}
    for dtype in (torch.float32, torch.bfloat16):
        a, b = torch.ones(512, 576, dtype=dtype), torch.ones(1536, 576, dtype=dtype)
        for _ in range(2):
            nn.functional.linear(a, b)
        best = float("inf")
        for _ in range(5):
            start = time.perf_counter()
            nn.functional.linear(a, b)
            best = min(best, time.perf_counter() - start)
        seconds[dtype] = best
    return torch.bfloat16 if seconds[torch.float32] > 1.2 * seconds[torch.bfloat16] else torch.float32


def load_model(name: str) -> tuple[Any, Any]:
    """A model in fp32 and its tokenizer, by known name, hub id or folder.

    Raises
    ------
    InputError
        If the weights cannot be had or are not a causal language model.
    """
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from transformers.utils import logging

    logging.disable_progress_bar()
    source = resolve(name)
    try:
        tokenizer = AutoTokenizer.from_pretrained(source)
        model = AutoModelForCausalLM.from_pretrained(
            source, dtype=torch.float32, attn_implementation="eager", use_safetensors=True
        )
    except (OSError, ValueError, KeyError) as error:
        raise unloadable(name, error) from error
    return model, tokenizer


class Engine:
    """A language model and its tokenizer, ready to be adapted again and again.

    Parameters
    ----------
    model : transformers causal language model
    tokenizer : its tokenizer
    trained_layers : int
        How many of the top layers carry adapters.
    dtype : torch.dtype
        Of the frozen weights and of the matrix products; adapters and heads stay fp32.
    device : torch.device
    name : str
        How the model was asked for.
    depth : int, optional
        How many layers, from the first, are kept; all by default.
    """

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        *,
        trained_layers: int,
        dtype: torch.dtype = torch.float32,
        device: torch.device | None = None,
        name: str = "",
        depth: int | None = None,
    ) -> None:
        self.device = device or torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.on_gpu = self.device.type == "cuda"
        # A GPU has room for padding: where it runs along nothing waits to know how many tokens there are, and filled
        # up to multiples batches have few shapes.
        self.runs_padding = self.on_gpu
        self.dtype = dtype
        self.name = name
        self.tokenizer = tokenizer
        self.tokens = PromptTokens(tokenizer)
        self.model = model.to(self.device).eval().requires_grad_(False)
        self.model.config.use_cache = False
        self.base = self.model.base_model
        self.layers = decoder_layers(self.base, self.model.config, depth)
        self.trained_layers = min(trained_layers, len(self.layers))
        self._frozen = ActivationStore()
        self._frozen_prefix: tuple[tuple[int, ...], torch.Tensor] | None = None
        self._stacked: dict[tuple[int, str], Any] = {}
        self._packed: PackedLayers | None = None
        self._packs_upper = True
        self._cut(len(self.layers) - self.trained_layers)
        if self.cut and not self._cut_is_exact():
            self._cut(0)
        self.packs = self._packed_is_exact()
        self.model.to(dtype)
        self._pack()

    @classmethod
    def load(cls, name: str, *, trained_layers: int, dtype: str = "auto", depth: int | None = None) -> Engine:
        """Load a model as `load_model` does."""
        model, tokenizer = load_model(name)
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        chosen = choose_dtype(device) if dtype == "auto" else getattr(torch, dtype)
        return cls(model, tokenizer, trained_layers=trained_layers, dtype=chosen, device=device, name=name, depth=depth)

    @property
    def remark(self) -> str:
        """What this architecture does not allow, and what that costs; empty if nothing."""
        if not self.cut and self.trained_layers < len(self.layers):
            kind = type(self.model).__name__
            return f"{kind}: its lower layers cannot be run apart from the upper ones, so every step runs all of them"
        return ""

    @property
    def records(self) -> bool:
        """Whether training steps on batches of one shape are the same work on the GPU, and can be recorded as such."""
        rope = getattr(self._packed and self._packed.rotary, "rope_type", "default")
        return self.on_gpu and self.runs_padding and self._runs_packed and rope not in UNRECORDED_ROPE

    @property
    def _runs_packed(self) -> bool:
        """Whether all layers run packed, with the adapters there are now."""
        return self._packed is not None and self._packs_upper

    def at_once(self, rows: int, positions: int = 0) -> int:
        """How many rows to run in one batch where a CPU takes so many; so many positions of each get logits."""
        if not self.on_gpu:
            return rows
        most = rows * GPU_ROWS
        if positions:
            most = min(most, LOGIT_BYTES // (4 * positions * self.model.config.vocab_size))
        return max(rows, most)

    def label_places(self, labels: int) -> int:
        """How many labels so many are filled up to, in steps that grow with them."""
        return _up_to(labels, max(LABEL_STEP, 2 ** (labels.bit_length() - 3))) if self.runs_padding else labels

    # -- text to tokens ------------------------------------------------------------------------

    @property
    def end_token(self) -> int:
        return int(self.tokenizer.eos_token_id)

    def encode(self, text: str) -> tuple[int, ...]:
        """Token ids without special tokens, never truncated."""
        return self.tokens.encode(text)

    def prompt(self, template: PromptTemplate, pieces: Pieces) -> tuple[int, ...]:
        """Token ids of a prompt."""
        return self.tokens.prompt(pieces, template.tokenization)

    # -- the cut -------------------------------------------------------------------------------

    def _cut(self, cut: int) -> None:
        """Lower part: layers below ``cut``; upper part: the rest, with the final norm."""
        self.cut = cut
        self.lower = part_of_model(self.base, self.layers, 0, cut, norm=False) if cut else None
        self.upper = part_of_model(self.base, self.layers, cut, len(self.layers), norm=True) if cut else self.base

    def _cut_is_exact(self) -> bool:
        ids = torch.arange(12, device=self.device)[None, :] % self.model.config.vocab_size
        with torch.no_grad():
            try:
                plain = self.base(input_ids=ids, use_cache=False).last_hidden_state
                rows = Rows(self.embed(ids[:, :4]), self.embed(ids[:, 4:]), torch.tensor([8], device=self.device))
                cut = self.run_upper(self._run(self.lower, rows, want_prefix=True)).hidden
            except (TypeError, ValueError, RuntimeError, AttributeError, IndexError, KeyError):
                return False  # an architecture whose parts cannot run alone is trained uncut
        return bool(torch.allclose(plain[:, 4:], cut, atol=1e-4, rtol=1e-4))

    def _pack(self, upper: bool = True) -> None:
        """Run packed from here on, with the adapters there are now; not if that is not exact.

        Parameters
        ----------
        upper : bool
            False if the trained layers run their own forward.
        """
        self._packed = PackedLayers(self.base, self.layers, self._stacked) if self.packs else None
        self._packs_upper = upper

    def _packed_is_exact(self) -> bool:
        """Whether packed rows of two lengths over a shared prefix give what the plain layers give."""
        ids = torch.arange(24, device=self.device).view(2, 12) * 7 % self.model.config.vocab_size
        ids[:, :4] = ids[0, :4]
        lengths = torch.tensor([8, 5], device=self.device)
        rows = Rows(self.embed(ids[:1, :4]), self.embed(ids[:, 4:]), lengths)
        with torch.no_grad():
            plain = self._run(self.base, rows).hidden
            try:
                packed = PackedLayers(self.base, self.layers, {})(
                    rows.prefix, rows.hidden, rows.valid, layers=range(len(self.layers))
                )
            except (TypeError, ValueError, RuntimeError, AttributeError, IndexError):
                return False  # a decoder that is not built like Llama runs its own forward
        return bool(torch.allclose(plain[rows.valid], packed[rows.valid], atol=1e-4, rtol=1e-4))

    def embed(self, ids: torch.Tensor) -> torch.Tensor:
        return self.model.get_input_embeddings()(ids)

    @contextmanager
    def precision(self) -> Iterator[None]:
        """bf16 products where that is the engine's type; everything else in fp32."""
        enabled = self.dtype == torch.bfloat16
        with torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=enabled):
            yield

    def _run(self, part: Any, rows: Rows, want_prefix: bool = False) -> Rows:
        """Run layers over a shared prefix once, and over the rows that attend to it."""
        from transformers import DynamicCache

        batch, length = rows.hidden.shape[:2]
        shared = rows.prefix.shape[1]
        cache, prefix_out = None, rows.prefix
        if shared:
            cache = DynamicCache()
            positions = torch.arange(shared, device=self.device)[None, :]
            mask = additive(torch.ones(1, 1, shared, shared, device=self.device).tril().bool(), rows.prefix)
            out = part(
                inputs_embeds=rows.prefix,
                attention_mask=mask,
                position_ids=positions,
                past_key_values=cache,
                use_cache=True,
            )
            if want_prefix:
                prefix_out = out.last_hidden_state
            if batch > 1:
                cache.batch_repeat_interleave(batch)
        causal = torch.ones(length, length, device=self.device).tril().bool()[None] & rows.valid[:, None, :]
        allowed = torch.cat([causal.new_ones(batch, length, shared), causal], dim=2)
        # A padded position may see itself, or its row of the softmax would be empty.
        allowed = allowed | torch.cat(
            [causal.new_zeros(length, shared), torch.eye(length, device=self.device).bool()], dim=1
        )
        hidden = part(
            inputs_embeds=rows.hidden,
            attention_mask=additive(allowed, rows.hidden)[:, None],
            position_ids=torch.arange(shared, shared + length, device=self.device)[None, :].expand(batch, -1),
            past_key_values=cache,
            use_cache=cache is not None,
        ).last_hidden_state
        return Rows(prefix_out, hidden, rows.lengths)

    def run_upper(self, rows: Rows) -> Rows:
        """The upper layers and the final norm over activations that enter them."""
        if self._runs_packed:
            valid = None if self.runs_padding else rows.valid
            hidden = self._run_packed(rows.prefix, rows.hidden, valid, range(self.cut, len(self.layers)))
            return Rows(rows.prefix, hidden, rows.lengths)
        return self._run(self.upper, rows)

    def _run_lower(self, rows: Rows) -> torch.Tensor:
        """The frozen layers over embedded tokens. Shape (B, T, d)."""
        if not self.cut:
            return rows.hidden
        if self._packed is not None:
            # Padding runs along here, so that the shape of a product follows from the width of the batch alone.
            return self._run_packed(rows.prefix, rows.hidden, None, range(self.cut))
        return self._run(self.lower, rows).hidden

    def _run_packed(
        self, prefix: torch.Tensor, hidden: torch.Tensor, valid: torch.Tensor | None, layers: range, **more: Any
    ) -> torch.Tensor:
        assert self._packed is not None
        with torch.autocast(self.device.type, enabled=False):
            return self._packed(prefix, hidden, valid, layers=layers, **more)

    # -- frozen activations --------------------------------------------------------------------

    def rows(self, texts: Sequence[tuple[int, ...]], shared: int) -> Rows:
        """The activations that enter the upper layers, padded into one batch: from the cache, or the embeddings.

        Parameters
        ----------
        texts : sequence of tuples of token ids
            All begin with the same ``shared`` tokens.
        """
        self._begin(texts, shared)
        assert self._frozen_prefix is not None
        width = max(map(len, texts)) - shared
        if self.runs_padding and self._runs_packed:
            width = _up_to(width, WIDTH_STEP)
        if self.cut:
            fresh = {ids: state for ids, state in self._missing(texts, shared) if not self._frozen.keep(ids, state)}
            states = [fresh[ids] if ids in fresh else self._frozen[ids] for ids in texts]
            lengths = torch.tensor([len(state) for state in states])
            hidden = nn.utils.rnn.pad_sequence(states, batch_first=True)
            hidden = nn.functional.pad(hidden, (0, 0, 0, width - hidden.shape[1])).to(self.device)
        else:
            tokens, lengths = own_tokens(texts, shared, len(texts), width)
            hidden = self.embed(tokens.to(self.device))
        return Rows(self._frozen_prefix[1], hidden, lengths.to(self.device))

    def prepare(self, texts: Sequence[tuple[int, ...]], shared: int) -> None:
        """Run the frozen part for the texts that are not in the store, as far as it has room.

        Every batch has the same number of rows and a width that follows from the text alone, so a
        text's activations do not depend on what was computed before or beside it.
        """
        self._begin(texts, shared)
        if not self.cut:
            return
        for ids, state in self._missing(texts, shared):
            if self._frozen.keep(ids, state):
                continue
            self._frozen.keep_only(set(texts))
            if not self._frozen.keep(ids, state):
                return  # full of what is asked for: the rest is computed each time it is needed

    def _begin(self, texts: Sequence[tuple[int, ...]], shared: int) -> None:
        """Run the frozen part for the tokens that all texts begin with."""
        prefix = texts[0][:shared]
        if self._frozen_prefix is None or self._frozen_prefix[0] != prefix:
            self._frozen.clear()
            self._frozen_prefix = (prefix, self._freeze_prefix(prefix))
        for ids in texts:
            if ids[:shared] != prefix:
                raise AssertionError(f"a text does not begin with the shared tokens: {self.tokenizer.decode(ids)!r}")

    def _missing(self, texts: Sequence[tuple[int, ...]], shared: int) -> Iterator[tuple[tuple[int, ...], torch.Tensor]]:
        """Activations of the texts that are not in the store."""
        missing = sorted({ids for ids in texts if ids not in self._frozen}, key=lambda ids: (len(ids), ids))
        widths: dict[int, list[tuple[int, ...]]] = {}
        for ids in missing:
            widths.setdefault(_up_to(len(ids) - shared, LENGTH_STEP), []).append(ids)
        size = self.at_once(FROZEN_BATCH)
        for width, members in widths.items():
            for start in range(0, len(members), size):
                yield from self._freeze(members[start : start + size], shared, width)

    def forget(self) -> None:
        """Empty the cache of activations, for streams of texts that never come again."""
        self._frozen.clear()

    def _freeze_prefix(self, prefix: tuple[int, ...]) -> torch.Tensor:
        ids = torch.tensor([prefix], dtype=torch.long, device=self.device)
        with torch.no_grad(), self.precision():
            embedded = self.embed(ids)
            if not prefix:
                return embedded
            return self._run_lower(Rows(embedded[:, :0], embedded, torch.tensor([len(prefix)], device=self.device)))

    def _freeze(
        self, members: list[tuple[int, ...]], shared: int, width: int
    ) -> Iterator[tuple[tuple[int, ...], torch.Tensor]]:
        """Compute one batch, filled up with empty rows to its full size."""
        ids, lengths = own_tokens(members, shared, self.at_once(FROZEN_BATCH), width)
        with torch.no_grad(), self.precision():
            prefix = self.embed(torch.tensor([members[0][:shared]], dtype=torch.long, device=self.device))
            hidden = self._run_lower(Rows(prefix, self.embed(ids.to(self.device)), lengths.to(self.device)))
        hidden = hidden.to(self.dtype).cpu()
        for row, text in enumerate(members):
            yield text, hidden[row, : int(lengths[row])]

    # -- adapters ------------------------------------------------------------------------------

    @contextmanager
    def adapted(self, *, rank: int, alpha: int, dropout: float, seed: int) -> Iterator[Any]:
        """The model with fresh LoRA adapters on all linear layers of the trained layers.

        The seed is set before the adapters are drawn, so equal seeds start equal. On leaving, the
        untouched model is back.
        """
        from peft import LoraConfig, get_peft_model

        torch.manual_seed(seed)
        config = LoraConfig(
            r=rank,
            lora_alpha=alpha,
            lora_dropout=dropout,
            target_modules=linear_names(self.layers[0]),
            layers_to_transform=list(range(len(self.layers) - self.trained_layers, len(self.layers))),
            task_type="CAUSAL_LM",
        )
        with warnings.catch_warnings():
            # peft (up to 0.21.2 at least) asks transformers for a property by its former name; nothing passed here
            # changes that.
            warnings.filterwarnings("ignore", "`is_gradient_checkpointing` is deprecated", FutureWarning)
            adapted = get_peft_model(self.model, config, autocast_adapter_dtype=True)
        try:
            self._pack(upper=not dropout)  # packed layers know no dropout
            yield adapted
        finally:
            adapted.unload()
            self._pack()
            if hasattr(self.model, "peft_config"):
                del self.model.peft_config
            self.model.eval().requires_grad_(False)

    # -- full forward, for reading answers ------------------------------------------------------

    def answers_to(
        self, texts: Sequence[tuple[int, ...]], shared: int, last: int = 1, offsets: torch.Tensor | None = None
    ) -> Answers:
        """Run prompts that share their first tokens through all layers in use, to go on from there."""
        kind = PackedAnswers if self._runs_packed else Answers
        return kind(self, texts, shared, last, offsets)

    def logits(self, hidden: torch.Tensor) -> torch.Tensor:
        """Next-token logits in fp32 for hidden states of shape (..., d)."""
        return self.model.get_output_embeddings()(hidden).float()


def _up_to(length: int, step: int) -> int:
    """The next multiple of ``step``."""
    return -(-length // step) * step


_shared: dict[tuple[str, int, str, int | None], Engine] = {}


def shared_engine(name: str, trained_layers: int, dtype: str, depth: int | None = None) -> Engine:
    """An engine that is loaded once per process, however many estimators use it."""
    key = (name, trained_layers, dtype, depth)
    if key not in _shared:
        _shared[key] = Engine.load(name, trained_layers=trained_layers, dtype=dtype, depth=depth)
    return _shared[key]
