"""A language model that is sampled: its own words, and training by the reward of what it wrote."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from pipeline.arms.text_arms import TunedText
from pipeline.lm.decoders import shared_tokens
from pipeline.lm.rows import Rows

SPARE_TOKENS = 8  # beyond the longest answer of the training rows
SAMPLED_TOGETHER = 96  # answers written side by side where several rows are answered
_SCORE_BATCH = 16
Reward = Callable[[Any, list[str]], np.ndarray]  # from a row and texts to how good each is for it


class Writer(TunedText):
    """Writes an answer to a row, token by token.

    Its words are the tokens that the training answers are made of and the end mark, to which probabilities are
    normalised: the tokens of all other text would cost more than half of the time. Sampling is plain: no top-k, no
    nucleus, no penalty of repetitions. A row may state something beside its prompt (`_values`, `_offsets`).
    """

    def fit_again(self, X: Sequence[Any], answers: Sequence[Any], steps: int, learning_rate: float) -> Any:
        """Go on from where the training ended, on other answers; each must be one that it `can_write`."""
        self.steps = steps
        self.settings = {**(self.settings or {}), "learning_rate": learning_rate}
        self._train(X, answers, self.adapter_)
        return self

    def can_write(self, answer: Any) -> bool:
        """Whether an answer is made of the words that there are, and not too long."""
        ids = self._answer_ids(answer)
        return set(ids) <= set(self.words_) and len(ids) <= self.longest_ + SPARE_TOKENS

    def _open(self, answers: Sequence[Any]) -> None:
        """Find the words, and begin the layer over them with what the language model knows of them."""
        ids = [self._answer_ids(answer) for answer in answers]
        self.words_, self.longest_ = sorted({token for own in ids for token in own}), max(map(len, ids))
        known = self.engine.model.get_output_embeddings().weight[self.words_].detach().float().cpu()
        torch.manual_seed(self.seed)
        self.out_ = nn.Linear(known.shape[1], len(known))
        with torch.no_grad():
            self.out_.weight.copy_(known)
            self.out_.bias.zero_()

    def _beside(self) -> list[nn.Module]:
        """What is trained with the adapters."""
        return [self.out_]

    def _values(self, X: Sequence[Any]) -> torch.Tensor:
        """What rows state beside their prompts. Shape (n,)."""
        return torch.zeros(len(X))

    def _offsets(self, values: torch.Tensor) -> torch.Tensor | None:
        """What is added for that to the embedding of each token behind the shared ones, (B, d); None for nothing."""
        return None

    def _stating(self, rows: Rows, values: torch.Tensor) -> Rows:
        offsets = self._offsets(values)
        if offsets is None:
            return rows
        return Rows(rows.prefix, rows.hidden + offsets[:, None].to(rows.hidden.dtype), rows.lengths)

    def _train(self, X: Sequence[Any], answers: Sequence[Any], start: dict[str, torch.Tensor] | None) -> None:
        self.shared_ = self.shared()
        values, ids = self._values(X), [self._answer_ids(answer) for answer in answers]
        texts = [prompt + own for prompt, own in zip(self.prompts(X), ids, strict=True)]
        labels_of = self._labels(texts, ids)

        def labels(members: list[int]) -> tuple[torch.Tensor, ...]:
            return values[members].to(self.engine.device), *labels_of(members)

        def enter(rows: Rows, stated: torch.Tensor, *labels: torch.Tensor) -> Rows:
            return self._stating(rows, stated)

        def loss(rows: Rows, stated: torch.Tensor, *labels: torch.Tensor) -> torch.Tensor:
            return self._losses(rows, *labels).mean()

        self._fit_adapters(texts, loss, labels, nn.ModuleList(self._beside()), start, enter=enter)

    def _answer_labels(self, lengths: list[int], answers: list[tuple[int, ...]]) -> tuple[torch.Tensor, ...]:
        place = {token: number for number, token in enumerate(self.words_)}
        return super()._answer_labels(lengths, [tuple(place[token] for token in answer) for answer in answers])

    def _logits(self, hidden: torch.Tensor) -> torch.Tensor:
        with torch.autocast(self.engine.device.type, enabled=False):
            return self.out_(hidden.float())

    # -- sampling --

    def _sample(
        self, X: Sequence[Any], temperature: float, rng: torch.Generator, count: int
    ) -> list[list[tuple[int, ...]]]:
        """The tokens of so many answers to each row, with the end mark where one was written."""
        together = max(1, SAMPLED_TOGETHER // count)
        parts = [X[first : first + together] for first in range(0, len(X), together)]
        return [answers for part in parts for answers in self._side_by_side(part, temperature, rng, count)]

    def _side_by_side(
        self, X: Sequence[Any], temperature: float, rng: torch.Generator, count: int
    ) -> list[list[tuple[int, ...]]]:
        """The same, all written at once; prompts run once each, however many answers they have."""
        prompts = self.prompts(X)
        answers = self.engine.answers_to(prompts, shared_tokens(prompts), offsets=self._offsets(self._values(X)))
        answers.repeat(count)
        words, end = torch.tensor(self.words_), self.engine.end_token
        lengths = torch.tensor([len(prompt) for prompt in prompts]).repeat_interleave(count)
        hidden, alive = answers.hidden[:, -1], torch.ones(len(lengths), dtype=torch.bool)
        of_prompts = answers.visible
        tokens = torch.full((len(lengths), self.longest_ + SPARE_TOKENS), end)
        for place in range(tokens.shape[1]):
            chances = torch.softmax(self._logits(hidden[alive.to(hidden.device)]).cpu() / temperature, dim=-1)
            tokens[alive, place] = words[torch.multinomial(chances, 1, generator=rng)[:, 0]]
            alive &= tokens[:, place] != end
            if not alive.any() or place + 1 == tokens.shape[1]:
                break
            allowed = functional.pad(of_prompts, (0, place + 1), value=True)[:, None]
            positions = (lengths + place)[:, None]
            hidden = answers.extend(tokens[:, place : place + 1], alive[:, None], allowed, positions)[:, 0]
        written = [tuple(ids[: ids.index(end) + 1] if end in ids else ids) for ids in tokens.tolist()]
        return [written[first : first + count] for first in range(0, len(written), count)]

    def _text(self, ids: Sequence[int]) -> str:
        kept = [token for token in ids if token != self.engine.end_token]
        return str(self.engine.tokenizer.decode(kept, skip_special_tokens=True, clean_up_tokenization_spaces=False))

    def log_probabilities(self, row: Any, answers: Sequence[Any]) -> np.ndarray:
        """Log-probability of answers to a row, summed over their tokens. Shape (n,).

        Raises
        ------
        KeyError
            For an answer with a token that the training answers do not have.
        """
        (prompt,) = self.prompts([row])
        ids = [self._answer_ids(answer) for answer in answers]

        def enter(rows: Rows) -> Rows:
            return self._stating(rows, self._values([row] * len(rows.lengths)))

        with self.with_adapters():
            losses = self._answer_losses([prompt + own for own in ids], ids, _SCORE_BATCH, enter, len(prompt) - 1)
        return -losses * np.array([len(own) for own in ids])

    # -- training by reward --

    def improve(self, steps: Sequence[Sequence[Any]], reward: Reward, group: int, learning_rate: float) -> list[float]:
        """Go on from where the training ended by policy gradient on what it writes.

        Group-relative policy optimisation (GRPO; Shao et al. 2024): the advantage of a text is its reward less the mean
        of its group, over their standard deviation, and the gradient is that of the mean log-probability per token.
        Each group is used for one step, so that no ratio of probabilities is clipped; there is no penalty of the
        divergence from the start (as in Yu et al. 2025), which is to be reported.

        Parameters
        ----------
        steps : sequence of sequences of rows
            The rows of each step, each with a group of texts.
        reward : callable
        group : int
            Texts for each row.

        Returns
        -------
        list of float
            The mean reward of each step.
        """
        rng = torch.Generator().manual_seed(self.seed)
        means: list[float] = []
        with self.with_adapters() as model:
            adapters = {name: one for name, one in model.named_parameters() if one.requires_grad}
            trained = [*adapters.values(), *(one for part in self._beside() for one in part.parameters())]
            optimiser = torch.optim.AdamW(trained, lr=learning_rate, weight_decay=0.0)
            for number, rows in enumerate(steps):
                optimiser.zero_grad(set_to_none=True)
                rewards = self._climb(rows, reward, group, rng)
                means.append(float(np.mean([own.mean() for own in rewards])))
                self.progress(number + 1, len(steps))
                if any(own.std() > 0 for own in rewards):  # where all are alike there is nothing to learn from
                    torch.nn.utils.clip_grad_norm_(trained, self.settings_.clip)
                    optimiser.step()
            self.adapter_ = {name: one.detach().cpu().clone() for name, one in adapters.items()}
        return means

    def _climb(self, rows: Sequence[Any], reward: Reward, group: int, rng: torch.Generator) -> list[np.ndarray]:
        """Write a group of texts for each row, and add up their gradients; their rewards, each of shape (group,)."""
        with torch.no_grad(), self.engine.precision():
            written = self._sample(rows, 1.0, rng, group)
        found = []
        for row, own in zip(rows, written, strict=True):
            rewards = np.asarray(reward(row, [self._text(ids) for ids in own]), dtype=np.float64)
            if rewards.std() > 0:
                self._policy_gradient(row, own, (rewards - rewards.mean()) / rewards.std() / len(rows))
            found.append(rewards)
        return found

    def _policy_gradient(self, row: Any, answers: list[tuple[int, ...]], advantages: np.ndarray) -> None:
        """Add the gradients of all texts of a group to those of the parameters."""
        (prompt,) = self.prompts([row])
        for start in range(0, len(answers), _SCORE_BATCH):
            own = answers[start : start + _SCORE_BATCH]
            weights = torch.tensor(advantages[start : start + _SCORE_BATCH], dtype=torch.float32)
            with self.engine.precision():
                rows = self.engine.rows([prompt + ids for ids in own], len(prompt) - 1)
                rows = self.engine.run_upper(self._stating(rows, self._values([row] * len(own))))
                losses = self._completion_losses(rows, own)
            (losses * weights.to(losses.device)).sum().div(len(answers)).backward()
