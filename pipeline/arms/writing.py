"""A language model that writes molecules: tuned on a table of them, and sampled."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import cycle
from typing import Any

import numpy as np
import torch

from pipeline.arms.text_arms import TunedText
from pipeline.defaults import PLAIN
from pipeline.features.notations import CANONICAL, written
from pipeline.lm.pretrained import MOLECULE_WRITERS, pretrained_adapter
from pipeline.prompts.templates import SMILES, Piece

SAMPLE_BATCH = 128  # molecules written side by side
SPARE_TOKENS = 8  # beyond the longest molecule of the training rows
OUT, WORDS = "out.", "words"  # what the names of the layer's weights begin with; the tokens that its rows are of
OPENING, ANY_VALUE = "A molecule with", "any value"
_SCORE_BATCH = 16
Sample = tuple[float, str]  # a temperature, and what was written


class MoleculeWriter(TunedText):
    """Writes a molecule that has a stated value of a property.

    Its words are the tokens that the training molecules are made of and the end mark, to which probabilities are
    normalised: the tokens of all other text would cost more than half of the time.

    ``X`` is a sequence of values as they are written in the prompt; an empty one states nothing.

    Parameters
    ----------
    notation : str
        Of the molecules (`pipeline.features.notations`).
    """

    def __init__(self, engine: Any, template: Any, notation: str = "canonical", **more: Any) -> None:
        super().__init__(engine, template, **more)
        self.notation = notation

    def fit(self, X: Sequence[str], smiles: Sequence[str]) -> MoleculeWriter:
        """Tune on molecules (canonical SMILES) and the values that their prompts state. Both of length n."""
        self.words_, self.longest_ = self._words(smiles)
        known = self.engine.model.get_output_embeddings().weight[self.words_].detach().float().cpu()
        self.out_ = torch.nn.Linear(known.shape[1], len(known))
        with torch.no_grad():
            self.out_.weight.copy_(known)
            self.out_.bias.zero_()
        self._fit_text(list(X), list(smiles), self.out_, self._begin(len(smiles)))
        return self

    def fit_again(self, X: Sequence[str], smiles: Sequence[str], steps: int, learning_rate: float) -> MoleculeWriter:
        """Go on from where the training ended, on other molecules; each must be one that it `can_write`."""
        self.steps = steps
        self.settings = {**(self.settings or {}), "learning_rate": learning_rate}
        self._fit_text(list(X), list(smiles), self.out_, self.adapter_)
        return self

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
        named, units = self.template.property_name, self.template.units
        return self.asking([f"{named} of {f'{text} {units}'.strip() if text else ANY_VALUE}" for text in X])

    def asking(self, wishes: Sequence[str]) -> list[tuple[int, ...]]:
        """The prompts that state these wishes, as token ids."""
        opening = self.engine.encode(OPENING)
        return [(*opening, *self.engine.encode(f" {wish}:")) for wish in wishes]

    def _training_prompts(self, X: Any) -> list[tuple[int, ...]]:
        return self.prompts(X)

    def shared(self) -> int:
        """Tokens that open every prompt."""
        return len(self.engine.encode(OPENING))

    def texts(self, stated: str, temperatures: Sequence[float], enough: Callable[[list[Sample]], bool]) -> list[Sample]:
        """Molecules as they are written for a stated value, the temperatures in turn, until there are enough.

        Sampling is plain: no top-k, no nucleus, no penalty of repetitions.
        """
        (prompt,) = self.prompts([stated])
        rng = torch.Generator().manual_seed(self.seed)
        found: list[Sample] = []
        with self.with_adapters(), torch.no_grad(), self.engine.precision():
            for temperature in cycle(temperatures):
                ids = self._sample(prompt, temperature, rng, SAMPLE_BATCH)
                found += [(temperature, self._text(own)) for own in ids]
                self.progress(len(found), len(found))
                if enough(found):
                    return found
        raise AssertionError("no temperature was given")

    def _sample(
        self, prompt: tuple[int, ...], temperature: float, rng: torch.Generator, count: int
    ) -> list[tuple[int, ...]]:
        """The tokens of so many molecules, written side by side, with the end mark where one was written."""
        answers = self.engine.answers_to([prompt] * count, len(prompt) - 1)
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
        self, stated: str, reward: Callable[[list[str]], np.ndarray], steps: int, group: int, learning_rate: float
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
        (prompt,) = self.prompts([stated])
        rng = torch.Generator().manual_seed(self.seed)
        means: list[float] = []
        with self.with_adapters() as model:
            adapters = {name: one for name, one in model.named_parameters() if one.requires_grad}
            trained = [*adapters.values(), *self.out_.parameters()]
            optimiser = torch.optim.AdamW(trained, lr=learning_rate, weight_decay=0.0)
            for step in range(steps):
                with torch.no_grad(), self.engine.precision():
                    written_ones = self._sample(prompt, 1.0, rng, group)
                rewards = np.asarray(reward([self._text(ids) for ids in written_ones]), dtype=np.float64)
                means.append(float(rewards.mean()))
                self.progress(step + 1, steps)
                if rewards.std() == 0:  # all alike: nothing to learn from
                    continue
                optimiser.zero_grad(set_to_none=True)
                self._policy_gradient(prompt, written_ones, (rewards - rewards.mean()) / rewards.std())
                torch.nn.utils.clip_grad_norm_(trained, self.settings_.clip)
                optimiser.step()
            self.adapter_ = {name: one.detach().cpu().clone() for name, one in adapters.items()}
        return means

    def _policy_gradient(self, prompt: tuple[int, ...], answers: list[tuple[int, ...]], advantages: np.ndarray) -> None:
        """Add the gradients of all texts of a group to those of the parameters."""
        shared = len(prompt) - 1
        for start in range(0, len(answers), _SCORE_BATCH):
            own = answers[start : start + _SCORE_BATCH]
            weights = torch.tensor(advantages[start : start + _SCORE_BATCH], dtype=torch.float32)
            with self.engine.precision():
                rows = self.engine.run_upper(self.engine.rows([prompt + ids for ids in own], shared))
                losses = self._completion_losses(rows, own)
            (losses * weights.to(losses.device)).sum().div(len(answers)).backward()

    def weights(self) -> dict[str, torch.Tensor]:
        """All that was trained, by name: the adapters, and the layer over the words."""
        return self.adapter_ | {f"{OUT}{name}": value.detach().cpu() for name, value in self.out_.state_dict().items()}

    def words_as_text(self) -> dict[str, str]:
        """The words, for the header of a file with the `weights`."""
        return {WORDS: " ".join(map(str, self.words_))}

    def log_probabilities(self, stated: str, smiles: Sequence[str]) -> np.ndarray:
        """Log-probability of molecules as answers to a stated value, summed over their tokens. Shape (n,).

        Raises
        ------
        KeyError
            For a molecule with a token that the training molecules do not have.
        """
        (prompt,) = self.prompts([stated])
        answers = [self._answer_ids(text) for text in smiles]
        with self.with_adapters():
            losses = self._answer_losses([prompt + answer for answer in answers], answers, _SCORE_BATCH)
        return -losses * np.array([len(answer) for answer in answers])
