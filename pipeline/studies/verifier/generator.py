"""A language model that proposes conditions for a reaction: tuned on successes, sampled, and read strictly."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch

from pipeline.arms.text_arms import TunedText
from pipeline.prompts.templates import ABSENT, SMILES, Piece, Pieces, PromptTemplate
from pipeline.tables.molecules import MoleculeError
from pipeline.tables.reactions import canonical_component

SEPARATOR = ", "  # between the components of an answer; no SMILES holds it
_SAMPLE_BATCH = 64  # answers written side by side
_SCORE_BATCH = 16
_SPARE_TOKENS = 8  # beyond the longest answer of the training rows


@dataclass(frozen=True)
class Proposal:
    """What one sample says: ``values`` of the proposed components as a table holds them, or why it says nothing."""

    text: str
    temperature: float
    values: tuple[str, ...] | None
    reason: str = ""


def generator_template(proposed: Sequence[str], given: Sequence[str], names: Sequence[str], like: Any) -> Any:
    """The question that the generator is asked.

    Parameters
    ----------
    proposed, given : sequence of str
        Components to propose, and components that the question states.
    names : sequence of str
        Components that hold names instead of structures.
    like : PromptTemplate
        Whose tokenization is taken.
    """
    wanted = " and ".join(name.replace("_", " ") for name in proposed)
    return PromptTemplate(
        "",
        text=f"With which {wanted} does the reaction of {{components}} succeed?",
        tokenization=like.tokenization,
        components=tuple(given),
        names=tuple(name for name in names if name in given),
    )


class WritesConditions:
    """How a language model writes the proposed components of a reaction one behind the other, and is read.

    Attributes
    ----------
    proposed_ : tuple of str
        The components.
    names_ : frozenset of str
        Those of them that hold names, no SMILES.
    """

    engine: Any
    template: Any
    proposed_: tuple[str, ...]
    names_: frozenset[str]

    def answer(self, values: Sequence[str]) -> Pieces:
        """How the values of the proposed components are written."""
        pieces = []
        for number, (name, value) in enumerate(zip(self.proposed_, values, strict=True)):
            pieces.append(Piece(SEPARATOR if number else " "))
            pieces.append(Piece(value or ABSENT, SMILES if value and name not in self.names_ else ""))
        return tuple(pieces)

    def _answer_ids(self, answer: Any) -> tuple[int, ...]:
        return (*self.engine.prompt(self.template, answer), self.engine.end_token)

    def read(self, text: str, temperature: float) -> Proposal:
        """The proposal that a sampled text makes."""
        text = text.strip()
        parts = text.split(SEPARATOR)
        if len(parts) != len(self.proposed_):
            return Proposal(text, temperature, None, f"not {len(self.proposed_)} components")
        values = []
        for name, part in zip(self.proposed_, parts, strict=True):
            if name in self.names_:
                values.append("" if part == ABSENT else " ".join(part.split()))
                continue
            try:
                values.append(canonical_component(part))
            except MoleculeError:
                return Proposal(text, temperature, None, f"{name} is not a molecule")
        return Proposal(text, temperature, tuple(values))


class Generator(WritesConditions, TunedText):
    """Writes conditions as answer to a question that states the rest of a reaction.

    ``X`` has the column ``smiles`` and those of the template's components.
    """

    def fit(self, X: Any, proposals: pd.DataFrame, names: Sequence[str] = ()) -> Generator:
        """Tune on successes.

        Parameters
        ----------
        X : DataFrame of shape (n, 1 + given components)
        proposals : DataFrame of shape (n, proposed components)
        names : sequence of str
            Those of the proposed components that hold names, no SMILES.
        """
        self.proposed_ = tuple(proposals.columns)
        self.names_ = frozenset(names)
        answers = [self.answer(tuple(row)) for row in proposals.to_numpy(dtype=object)]
        self.longest_ = max(len(self._answer_ids(answer)) for answer in answers)
        self._fit_text(X, answers)
        return self

    def propose(self, X: Any, temperatures: Sequence[float], samples: int) -> list[list[Proposal]]:
        """Samples for each row, temperature by temperature in the order given. Lists of length n.

        Sampling is plain: no top-k, no nucleus, no penalty of repetitions.
        """
        prompts = self.prompts(X)
        order = sorted(range(len(prompts)), key=lambda row: (len(prompts[row]), prompts[row]))
        found: list[list[Proposal]] = [[] for _ in prompts]
        torch.manual_seed(self.seed)
        width = max(1, _SAMPLE_BATCH // samples)
        done, total = 0, len(temperatures) * len(prompts)
        with self.with_adapters() as model, torch.no_grad(), self.engine.precision():
            for temperature in temperatures:
                for start in range(0, len(order), width):
                    rows = order[start : start + width]
                    written = self._sample(model, [prompts[row] for row in rows], temperature, samples)
                    for place, text in enumerate(written):
                        found[rows[place // samples]].append(self.read(text, temperature))
                    done += len(rows)
                    self.progress(done, total)
        return found

    def _sample(self, model: Any, prompts: list[tuple[int, ...]], temperature: float, samples: int) -> list[str]:
        end, longest = self.engine.end_token, max(map(len, prompts))
        ids = torch.full((len(prompts), longest), end, dtype=torch.long)
        mask = torch.zeros_like(ids)
        for row, prompt in enumerate(prompts):
            ids[row, longest - len(prompt) :] = torch.tensor(prompt)
            mask[row, longest - len(prompt) :] = 1
        written = model.generate(
            input_ids=ids.to(self.engine.device),
            attention_mask=mask.to(self.engine.device),
            do_sample=True,
            temperature=temperature,
            top_k=0,
            top_p=1.0,
            repetition_penalty=1.0,
            num_return_sequences=samples,
            max_new_tokens=self.longest_ + _SPARE_TOKENS,
            eos_token_id=end,
            pad_token_id=end,
            use_cache=True,
        )
        return [self._text(answer.tolist()) for answer in written[:, longest:]]

    def _text(self, ids: list[int]) -> str:
        end = self.engine.end_token
        kept = ids[: ids.index(end)] if end in ids else ids
        return self.engine.tokenizer.decode(kept, skip_special_tokens=True, clean_up_tokenization_spaces=False)

    def log_probabilities(self, X: Any, proposals: Sequence[Sequence[str]]) -> np.ndarray:
        """Log-probability per token of one proposal for each row. Shape (n,)."""
        prompts = self.prompts(X)
        answers = [self._answer_ids(self.answer(values)) for values in proposals]
        texts = [prompt + answer for prompt, answer in zip(prompts, answers, strict=True)]
        with self.with_adapters():
            return -self._answer_losses(texts, answers, _SCORE_BATCH)
