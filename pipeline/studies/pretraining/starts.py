"""From what the trainings of the study start, each but the first without one thing."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any
from zlib import crc32

import numpy as np

from pipeline.defaults import AUTO, PLAIN
from pipeline.lm.altered import EMBEDDINGS, LAYERS, RANDOM
from pipeline.lm.tokens import symbols_of
from pipeline.prompts.templates import Piece, Pieces, PromptTemplate


@dataclass(frozen=True)
class Start:
    """One start of `lm-head`.

    Attributes
    ----------
    does : str
        What it is, for people.
    alteration : str
        Of the weights, one of `pipeline.lm.altered.ALTERATIONS`; none if empty.
    adapters : str
        `AUTO` for those that know descriptors, or plain ones.
    tuned : bool
        Whether the layers are trained, or a linear model on what they say.
    in_order : bool
        Whether the symbols of a molecule stand where they should.
    labelled : bool
        Whether training rows have their own labels.
    """

    does: str
    colour: str
    alteration: str = ""
    adapters: str = PLAIN
    tuned: bool = True
    in_order: bool = True
    labelled: bool = True


PRETRAINED, DESCRIPTORS, FROM_RANDOM, FROZEN = "pretrained", "descriptors", "random weights", "frozen"
SHUFFLED_LAYERS, SHUFFLED_EMBEDDINGS = "shuffled layers", "shuffled embeddings"
FROZEN_RANDOM, SHUFFLED_SYMBOLS, PERMUTED = "frozen random weights", "shuffled symbols", "permuted labels"
STARTS = {
    PRETRAINED: Start("the weights as they were published, tuned", "#c1121f"),
    DESCRIPTORS: Start("the same with adapters that know RDKit's descriptors, tuned", "#7b2cbf", adapters=AUTO),
    FROM_RANDOM: Start("weights as drawn before any training, tuned", "#6c757d", RANDOM),
    SHUFFLED_LAYERS: Start("the layers in another order, tuned", "#f48c06", LAYERS),
    SHUFFLED_EMBEDDINGS: Start("each token with the embedding of another one, tuned", "#2a9d8f", EMBEDDINGS),
    FROZEN: Start("the published weights, a linear model on what they say", "#0077b6", tuned=False),
    FROZEN_RANDOM: Start(
        "weights before any training, a linear model on what they say", "#90a4ae", RANDOM, tuned=False
    ),
    SHUFFLED_SYMBOLS: Start("the published weights, the symbols of each row in any order", "#e377c2", in_order=False),
    PERMUTED: Start("the published weights, labels dealt to other rows: nothing to learn", "#bdb76b", labelled=False),
}
ALWAYS = (PRETRAINED, FROM_RANDOM, PERMUTED)  # what the others are measured by, and the null


class ShuffledSymbols(PromptTemplate):
    """Prompts whose structures have their symbols in an order of their own, the same wherever a structure stands; of
    texts it is the words."""

    @classmethod
    def of(cls, template: PromptTemplate) -> ShuffledSymbols:
        return cls(**{one.name: getattr(template, one.name) for one in fields(template)})

    def pieces(self, structure: str, *more: Any, **named: Any) -> Pieces:
        before, *middle, after = super().pieces(structure, *more, **named)
        return (before, *[self._shuffled(piece) for piece in middle], after)

    def _shuffled(self, piece: Piece) -> Piece:
        if not piece.structure and self.row_field == "components":
            return piece  # the name of a component
        symbols = symbols_of(piece.text, piece.structure) if piece.structure else piece.text.split()
        order = np.random.default_rng(crc32(piece.text.encode())).permutation(len(symbols))
        return Piece(("" if piece.structure else " ").join(symbols[place] for place in order), piece.structure)
