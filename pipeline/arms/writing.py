"""A language model that writes molecules: tuned on a table of them, and sampled."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import cycle
from typing import Any

import numpy as np
import torch
from torch import nn

from pipeline.arms.writer import Writer
from pipeline.defaults import PLAIN
from pipeline.features.notations import CANONICAL, written
from pipeline.lm.pretrained import MOLECULE_WRITERS, pretrained_adapter
from pipeline.prompts.templates import SMILES, Piece

SAMPLE_BATCH = 128  # molecules written side by side
OUT, WORDS = "out.", "words"  # what the names of the layer's weights begin with; the tokens that its rows are of
OPENING = "A molecule with"
ANY_VALUE = float("nan")  # states nothing
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
        known = known[np.isfinite(known)] if np.isfinite(known).any() else np.zeros(1)
        self.register_buffer("centre", torch.tensor(float(known.mean())))
        self.register_buffer("scale", torch.tensor(float(known.std()) or 1.0))
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


class MoleculeWriter(Writer):
    """Writes a molecule that has a stated value of a property.

    The value is no text: it is added to the embedding of every token (`StatedValue`). All layers that the engine uses
    must carry adapters. ``X`` is a sequence of values, NaN for none.

    Parameters
    ----------
    notation : str
        Of the molecules (`pipeline.features.notations`).
    """

    def __init__(self, engine: Any, template: Any, notation: str = "canonical", **more: Any) -> None:
        super().__init__(engine, template, **more)
        self.notation = notation

    def fit(self, X: Sequence[Any], smiles: Sequence[str]) -> MoleculeWriter:
        """Tune on molecules (canonical SMILES) and the values stated for them. Both of length n."""
        assert not self.engine.cut, "what is stated is added to embeddings, where all layers are trained"
        self._open(smiles)
        self.value_ = StatedValue(self._values(X).tolist(), self.out_.in_features)
        self._train(X, smiles, self._begin(len(smiles)))
        return self

    def _beside(self) -> list[nn.Module]:
        return [self.out_, self.value_]

    def _values(self, X: Sequence[Any]) -> torch.Tensor:
        return torch.tensor([float(value) for value in X])

    def _offsets(self, values: torch.Tensor) -> torch.Tensor | None:
        with torch.autocast(self.engine.device.type, enabled=False):
            offsets: torch.Tensor = self.value_(values.to(self.engine.device))
            return offsets

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

    def _answer_ids(self, answer: Any) -> tuple[int, ...]:
        pieces = (Piece(" "), Piece(written(str(answer), self.notation), SMILES))
        return (*self.engine.prompt(self.template, pieces), self.engine.end_token)

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
        """Molecules as they are written for a stated value, the temperatures in turn, until there are enough."""
        rng = torch.Generator().manual_seed(self.seed)
        found: list[Sample] = []
        with self.with_adapters(), torch.no_grad(), self.engine.precision():
            for temperature in cycle(temperatures):
                (ids,) = self._sample([stated], temperature, rng, SAMPLE_BATCH)
                found += [(temperature, self._text(own)) for own in ids]
                self.progress(len(found), len(found))
                if enough(found):
                    return found
        raise AssertionError("no temperature was given")

    def weights(self) -> dict[str, torch.Tensor]:
        """What another training can start from, by name: the adapters, and the layer over the words."""
        return self.adapter_ | {f"{OUT}{name}": value.detach().cpu() for name, value in self.out_.state_dict().items()}

    def words_as_text(self) -> dict[str, str]:
        """The words, for the header of a file with the `weights`."""
        return {WORDS: " ".join(map(str, self.words_))}
