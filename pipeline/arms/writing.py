"""A language model that writes molecules: tuned on a table of them, and sampled."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import cycle
from typing import Any

import numpy as np
import torch
from torch import nn

from pipeline.arms.text_arms import TunedText
from pipeline.defaults import PLAIN
from pipeline.features.notations import CANONICAL, written
from pipeline.lm.pretrained import MOLECULE_WRITERS, pretrained_adapter
from pipeline.lm.rows import Rows
from pipeline.prompts.templates import SMILES, Piece

SAMPLE_BATCH = 128  # molecules written side by side
SPARE_TOKENS = 8  # beyond the longest molecule of the training rows
OUT, WORDS = "out.", "words"  # what the names of the layer's weights begin with; the tokens that its rows are of
OPENING = "A molecule with"
ANY_VALUE = float("nan")  # states nothing
_SCORE_BATCH = 16
_UNITS = 64  # of the layer that reads a stated value
Sample = tuple[float, str]  # a temperature, and what was written


class StatedValue(nn.Module):
    """What is added to the embedding of every token of a molecule, so that it has a stated value.

    A layer of tanh units over the standardised value; where none is stated, one vector that is learned. All begin at
    zero. docs/design.md has what that is worth against a value that the prompt states in digits.

    Parameters
    ----------
    values : sequence of float
        Those of the training rows, NaN for none.
    width : int
        Of the embeddings.
    """

    centre: torch.Tensor
    scale: torch.Tensor

    def __init__(self, values: Sequence[float], width: int) -> None:
        super().__init__()
        known = np.asarray(values, dtype=np.float64)
        known = known[np.isfinite(known)]
        self.register_buffer("centre", torch.tensor(float(known.mean()) if len(known) else 0.0))
        self.register_buffer("scale", torch.tensor((float(known.std()) if len(known) else 0.0) or 1.0))
        self.read = nn.Linear(1, _UNITS)
        nn.init.normal_(self.read.weight, std=1.5)  # so that the units bend within the values there are
        nn.init.uniform_(self.read.bias, -2.0, 2.0)
        self.out = nn.Linear(_UNITS, width, bias=False)
        nn.init.zeros_(self.out.weight)
        self.none = nn.Parameter(torch.zeros(width))

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        """Of values of shape (B,). Shape (B, width)."""
        stated = ~values.isnan()[:, None]
        standard = (torch.where(stated, values[:, None], self.centre) - self.centre) / self.scale
        return torch.where(stated, self.out(torch.tanh(self.read(standard))), self.none)


class MoleculeWriter(TunedText):
    """Writes a molecule that has a stated value of a property.

    The value is no text: it is added to the embedding of every token (`StatedValue`). Its words are the tokens that the
    training molecules are made of and the end mark, to which probabilities are normalised: the tokens of all other text
    would cost more than half of the time. All layers that the engine uses must carry adapters.

    Parameters
    ----------
    notation : str
        Of the molecules (`pipeline.features.notations`).
    """

    def __init__(self, engine: Any, template: Any, notation: str = "canonical", **more: Any) -> None:
        super().__init__(engine, template, **more)
        self.notation = notation

    def fit(self, X: Sequence[Any], smiles: Sequence[str]) -> MoleculeWriter:
        """Tune on molecules (canonical SMILES) and the values stated for them, NaN for none. Both of length n."""
        assert not self.engine.cut, "what is stated is added to embeddings, where all layers are trained"
        self.words_, self.longest_ = self._words(smiles)
        known = self.engine.model.get_output_embeddings().weight[self.words_].detach().float().cpu()
        torch.manual_seed(self.seed)
        self.out_ = nn.Linear(known.shape[1], len(known))
        self.value_ = StatedValue(self._values(X).tolist(), known.shape[1])
        with torch.no_grad():
            self.out_.weight.copy_(known)
            self.out_.bias.zero_()
        self._train(X, smiles, self._begin(len(smiles)))
        return self

    def fit_again(self, X: Sequence[Any], smiles: Sequence[str], steps: int, learning_rate: float) -> MoleculeWriter:
        """Go on from where the training ended, on other molecules; each must be one that it `can_write`."""
        self.steps = steps
        self.settings = {**(self.settings or {}), "learning_rate": learning_rate}
        self._train(X, smiles, self.adapter_)
        return self

    def _train(self, X: Sequence[Any], smiles: Sequence[str], start: dict[str, torch.Tensor] | None) -> None:
        self.shared_ = self.shared()
        values, answers = self._values(X), [self._answer_ids(text) for text in smiles]
        texts = [prompt + answer for prompt, answer in zip(self.prompts(X), answers, strict=True)]
        labels_of = self._labels(texts, answers)

        def labels(members: list[int]) -> tuple[torch.Tensor, ...]:
            return values[members].to(self.engine.device), *labels_of(members)

        def enter(rows: Rows, stated: torch.Tensor, *labels: torch.Tensor) -> Rows:
            return self._stating(rows, stated)

        def loss(rows: Rows, stated: torch.Tensor, *labels: torch.Tensor) -> torch.Tensor:
            return self._losses(rows, *labels).mean()

        self._fit_adapters(texts, loss, labels, nn.ModuleList([self.out_, self.value_]), start, enter=enter)

    def _values(self, X: Sequence[Any]) -> torch.Tensor:
        """What is stated for rows. Shape (n,)."""
        return torch.tensor([float(value) for value in X])

    def _offsets(self, values: torch.Tensor) -> torch.Tensor:
        with torch.autocast(self.engine.device.type, enabled=False):
            offsets: torch.Tensor = self.value_(values.to(self.engine.device))
            return offsets

    def _stating(self, rows: Rows, values: torch.Tensor) -> Rows:
        """Rows of a batch with the values of shape (B,) that are stated for them."""
        offsets = self._offsets(values)[:, None].to(rows.hidden.dtype)
        return Rows(rows.prefix, rows.hidden + offsets, rows.lengths)

    def can_write(self, smiles: str) -> bool:
        """Whether a molecule is made of the words that there are, and not too long."""
        answer = self._answer_ids(smiles)
        return set(answer) <= set(self.words_) and len(answer) <= self.longest_ + SPARE_TOKENS

    def _begin(self, n: int) -> dict[str, torch.Tensor] | None:
        """The weights that the adapters start from, if any; the layer over the words takes its own from there."""
        engine = self.engine
        found = pretrained_adapter(
            self.start if self.notation == CANONICAL else PLAIN,
            engine.name,
            len(engine.layers),
            engine.trained_layers,
            self._settings(n),
            self.template,
            MOLECULE_WRITERS,
        )
        self.start_ = found
        if found is None:
            return None
        weights = found.load()
        rows = {int(word): row for row, word in enumerate(found.header()[WORDS].split())}
        with torch.no_grad():
            for place, word in enumerate(self.words_):
                if word in rows:
                    self.out_.weight[place] = weights[f"{OUT}weight"][rows[word]]
                    self.out_.bias[place] = weights[f"{OUT}bias"][rows[word]]
        return {name: weight for name, weight in weights.items() if not name.startswith(OUT)}

    def _words(self, smiles: Sequence[str]) -> tuple[list[int], int]:
        """The tokens that molecules are made of, in order, and the length of the longest one."""
        answers = [self._answer_ids(text) for text in smiles]
        return sorted({token for answer in answers for token in answer}), max(map(len, answers))

    def _answer_ids(self, answer: Any) -> tuple[int, ...]:
        pieces = (Piece(" "), Piece(written(str(answer), self.notation), SMILES))
        return (*self.engine.prompt(self.template, pieces), self.engine.end_token)

    def _answer_labels(self, lengths: list[int], answers: list[tuple[int, ...]]) -> tuple[torch.Tensor, ...]:
        place = {token: number for number, token in enumerate(self.words_)}
        return super()._answer_labels(lengths, [tuple(place[token] for token in answer) for answer in answers])

    def _logits(self, hidden: torch.Tensor) -> torch.Tensor:
        with torch.autocast(self.engine.device.type, enabled=False):
            return self.out_(hidden.float())

    def prompts(self, X: Any) -> list[tuple[int, ...]]:
        """One prompt for all, since no value stands in it."""
        return self.asking([self.template.property_name] * len(X))

    def asking(self, wishes: Sequence[str]) -> list[tuple[int, ...]]:
        """The prompts that state these wishes in words, as token ids."""
        opening = self.engine.encode(OPENING)
        return [(*opening, *self.engine.encode(f" {wish}:")) for wish in wishes]

    def shared(self) -> int:
        """Tokens that open every prompt: all but the last, which is where a value is first stated."""
        return len(self.prompts([ANY_VALUE])[0]) - 1

    def texts(self, stated: Any, temperatures: Sequence[float], enough: Callable[[list[Sample]], bool]) -> list[Sample]:
        """Molecules as they are written for a stated value, the temperatures in turn, until there are enough.

        Sampling is plain: no top-k, no nucleus, no penalty of repetitions.
        """
        rng = torch.Generator().manual_seed(self.seed)
        found: list[Sample] = []
        with self.with_adapters(), torch.no_grad(), self.engine.precision():
            for temperature in cycle(temperatures):
                ids = self._sample(stated, temperature, rng, SAMPLE_BATCH)
                found += [(temperature, self._text(own)) for own in ids]
                self.progress(len(found), len(found))
                if enough(found):
                    return found
        raise AssertionError("no temperature was given")

    def _sample(self, stated: Any, temperature: float, rng: torch.Generator, count: int) -> list[tuple[int, ...]]:
        """The tokens of so many molecules, written side by side, with the end mark where one was written."""
        (prompt,) = self.prompts([stated])
        offsets = self._offsets(self._values([stated] * count))
        answers = self.engine.answers_to([prompt] * count, len(prompt) - 1, offsets=offsets)
        words, end = torch.tensor(self.words_), self.engine.end_token
        hidden, alive = answers.hidden[:, -1], torch.ones(count, dtype=torch.bool)
        tokens = torch.full((count, self.longest_ + SPARE_TOKENS), end)
        for place in range(tokens.shape[1]):
            chances = torch.softmax(self._logits(hidden[alive.to(hidden.device)]).cpu() / temperature, dim=-1)
            tokens[alive, place] = words[torch.multinomial(chances, 1, generator=rng)[:, 0]]
            alive &= tokens[:, place] != end
            if not alive.any() or place + 1 == tokens.shape[1]:
                break
            allowed = torch.ones(count, 1, answers.visible.shape[1] + 1, dtype=torch.bool)
            positions = torch.full((count, 1), len(prompt) + place)
            hidden = answers.extend(tokens[:, place : place + 1], alive[:, None], allowed, positions)[:, 0]
        return [tuple(ids[: ids.index(end) + 1] if end in ids else ids) for ids in tokens.tolist()]

    def _text(self, ids: Sequence[int]) -> str:
        kept = [token for token in ids if token != self.engine.end_token]
        return str(self.engine.tokenizer.decode(kept, skip_special_tokens=True, clean_up_tokenization_spaces=False))

    def improve(
        self, stated: Any, reward: Callable[[list[str]], np.ndarray], steps: int, group: int, learning_rate: float
    ) -> list[float]:
        """Go on from where the training ended by policy gradient on what it writes for a stated value.

        Group-relative policy optimisation (GRPO; Shao et al. 2024): the advantage of a text is its reward less the mean
        of its group, over their standard deviation, and the gradient is that of the mean log-probability per token.
        Each group is used for one step, so that no ratio of probabilities is clipped; there is no penalty of the
        divergence from the start (as in Yu et al. 2025), which is to be reported.

        Parameters
        ----------
        reward : callable
            From texts to how good each is. Shape (n,).
        steps, group : int
            So many groups of so many texts.

        Returns
        -------
        list of float
            The mean reward of each group.
        """
        rng = torch.Generator().manual_seed(self.seed)
        means: list[float] = []
        with self.with_adapters() as model:
            adapters = {name: one for name, one in model.named_parameters() if one.requires_grad}
            trained = [*adapters.values(), *self.out_.parameters(), *self.value_.parameters()]
            optimiser = torch.optim.AdamW(trained, lr=learning_rate, weight_decay=0.0)
            for step in range(steps):
                with torch.no_grad(), self.engine.precision():
                    written_ones = self._sample(stated, 1.0, rng, group)
                rewards = np.asarray(reward([self._text(ids) for ids in written_ones]), dtype=np.float64)
                means.append(float(rewards.mean()))
                self.progress(step + 1, steps)
                if rewards.std() == 0:  # all alike: nothing to learn from
                    continue
                optimiser.zero_grad(set_to_none=True)
                self._policy_gradient(stated, written_ones, (rewards - rewards.mean()) / rewards.std())
                torch.nn.utils.clip_grad_norm_(trained, self.settings_.clip)
                optimiser.step()
            self.adapter_ = {name: one.detach().cpu().clone() for name, one in adapters.items()}
        return means

    def _policy_gradient(self, stated: Any, answers: list[tuple[int, ...]], advantages: np.ndarray) -> None:
        """Add the gradients of all texts of a group to those of the parameters."""
        (prompt,) = self.prompts([stated])
        for start in range(0, len(answers), _SCORE_BATCH):
            own = answers[start : start + _SCORE_BATCH]
            weights = torch.tensor(advantages[start : start + _SCORE_BATCH], dtype=torch.float32)
            with self.engine.precision():
                rows = self.engine.rows([prompt + ids for ids in own], self.shared_)
                rows = self.engine.run_upper(self._stating(rows, self._values([stated] * len(own))))
                losses = self._completion_losses(rows, own)
            (losses * weights.to(losses.device)).sum().div(len(answers)).backward()

    def weights(self) -> dict[str, torch.Tensor]:
        """What another training can start from, by name: the adapters, and the layer over the words."""
        return self.adapter_ | {f"{OUT}{name}": value.detach().cpu() for name, value in self.out_.state_dict().items()}

    def words_as_text(self) -> dict[str, str]:
        """The words, for the header of a file with the `weights`."""
        return {WORDS: " ".join(map(str, self.words_))}

    def log_probabilities(self, stated: Any, smiles: Sequence[str]) -> np.ndarray:
        """Log-probability of molecules as answers to a stated value, summed over their tokens. Shape (n,).

        Raises
        ------
        KeyError
            For a molecule with a token that the training molecules do not have.
        """
        (prompt,) = self.prompts([stated])
        answers = [self._answer_ids(text) for text in smiles]

        def enter(rows: Rows) -> Rows:
            return self._stating(rows, self._values([stated] * len(rows.lengths)))

        with self.with_adapters():
            losses = self._answer_losses([prompt + answer for answer in answers], answers, _SCORE_BATCH, enter)
        return -losses * np.array([len(answer) for answer in answers])
