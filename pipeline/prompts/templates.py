"""One render function for training and prediction.

The question follows Jablonka et al. 2024 (GPTChem): ``What is the {property} of {molecule}?``,
answered by a space and the value. A reaction is stated as its SMILES, or component by component.
The space belongs to the answer, so that the prompt's tokens are the same with and without it; the
answer ends with the tokenizer's end-of-text token.
"""

from __future__ import annotations

import string
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from pipeline.defaults import ATOMWISE, DEFAULT_TEMPLATE
from pipeline.errors import InputError, nearest
from pipeline.features.inputs import as_frame

SMILES, FORMULA = "SMILES", "formula"  # in what notation a piece of a prompt is written that is no plain text
_NOTATIONS = {"molecule": SMILES, "reaction": SMILES, "composition": FORMULA, "text": "", "components": ""}
_ROWS = tuple(_NOTATIONS)  # the fields for what differs from row to row
_FIELDS = ("property", *_ROWS, "context")
_LISTED = ", ".join(f"{{{name}}}" for name in _ROWS)
ABSENT = "none"  # what is said of a component that a reaction does not have


class Piece(NamedTuple):
    """A part of a prompt; ``structure`` says in what notation it is written, nothing for plain text."""

    text: str
    structure: str = ""


Pieces = tuple[Piece, ...]


def joined(pieces: Pieces) -> str:
    """The prompt as text."""
    return "".join(piece.text for piece in pieces)


@dataclass(frozen=True)
class PromptTemplate:
    """How a row is put into words.

    Parameters
    ----------
    property_name : str
    units : str
        Stated behind the property (``log solubility in mol/L``); may be empty.
    text : str
        With the fields ``{property}``, ``{context}`` and one of ``{molecule}``, ``{reaction}`` (its SMILES),
        ``{components}`` (each by name), ``{composition}`` and ``{text}``; must not end in a space.
    tokenization : {"atomwise", "model"}
        How a structure becomes tokens; see `pipeline.lm.tokens`.
    components : tuple of str
        Of a reaction, in the order in which they are stated.
    names : tuple of str
        Those of them that hold names, not SMILES.
    shuffled : bool
        State the components of each training row in a random order of its own; what is predicted is always asked in
        the order of ``components``.
    unstated : tuple of str
        Columns beside the structure that the prompt does not state.
    symbols : bool
        Whether a molecule is written in symbols, as SMILES is, and not in words.

    Raises
    ------
    InputError
        If a field is unknown, the field for the row is missing or stands twice, or the text ends in white space.
    """

    property_name: str
    units: str = ""
    text: str = DEFAULT_TEMPLATE
    tokenization: str = ATOMWISE
    components: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    shuffled: bool = False
    unstated: tuple[str, ...] = ()
    symbols: bool = True

    def __post_init__(self) -> None:
        try:
            fields = [field for _, field, _, _ in string.Formatter().parse(self.text) if field is not None]
        except ValueError as error:
            raise InputError(f"template {self.text!r}: {error}; braces enclose field names") from error
        for field in fields:
            if field not in _FIELDS:
                raise InputError(
                    f"template {self.text!r}: no field {{{field}}}{nearest(field, _FIELDS)}; "
                    f"the fields are {{property}}, {{context}} and one of {_LISTED}"
                )
        if sum(field in _ROWS for field in fields) != 1 or self.text.count(f"{{{self.row_field}}}") != 1:
            raise InputError(f"template {self.text!r}: one of the fields {_LISTED} must stand in it once, as it is")
        if self.text != self.text.rstrip():
            raise InputError(f"template {self.text!r}: must not end in white space; the answer brings its own space")

    @property
    def row_field(self) -> str:
        """The field for what differs from row to row."""
        return next((field for field in _ROWS if f"{{{field}" in self.text), "molecule")

    @property
    def _notation(self) -> str:
        return _NOTATIONS[self.row_field] if self.symbols else ""

    def pieces(
        self,
        structure: str,
        context: Mapping[str, str] | None = None,
        components: Sequence[str] = (),
        order: Sequence[int] | None = None,
    ) -> Pieces:
        """The prompt of one row.

        Parameters
        ----------
        structure : str
            SMILES of the molecule or the reaction.
        context : mapping, optional
        components : sequence of str
            What each of the template's components is in this reaction; empty for one that it does not have.
        order : sequence of int, optional
            In which the components are stated, by their numbers; as they stand if not given.
        """
        named = f"{self.property_name} in {self.units}" if self.units else self.property_name
        stated = "".join(f", {name.replace('_', ' ')} {value}" for name, value in (context or {}).items())
        before, _, after = self.text.partition(f"{{{self.row_field}}}")
        of_components = self.row_field == "components"
        middle = self._stated(components, order) if of_components else [Piece(structure, self._notation)]
        return (
            Piece(before.format(property=named, context=stated)),
            *middle,
            Piece(after.format(property=named, context=stated)),
        )

    def _stated(self, components: Sequence[str], order: Sequence[int] | None) -> list[Piece]:
        """``aryl halide Clc1ccccc1, base none, …``."""
        stated = list(zip(self.components, components, strict=True))
        pieces = []
        for number, (name, value) in enumerate(stated if order is None else [stated[place] for place in order]):
            pieces.append(Piece(f"{', ' if number else ''}{name.replace('_', ' ')} "))
            pieces.append(Piece(value or ABSENT, SMILES if value and name not in self.names else ""))
        return pieces

    def render(self, structure: str, context: Mapping[str, str] | None = None, components: Sequence[str] = ()) -> str:
        """The same as text."""
        return joined(self.pieces(structure, context, components))

    def pieces_all(self, X: Any, orders: Sequence[Sequence[int] | None] | None = None) -> list[Pieces]:
        """The prompts of many rows (SMILES, with the columns of the components and of the context beside them).

        Parameters
        ----------
        X : array-like of length n
        orders : sequence of length n, optional
            Of the components of each row, as for `pieces`.
        """
        frame = as_frame(X)
        own = 1 + len(self.components)
        stated = [place for place in range(own, frame.shape[1]) if frame.columns[place] not in self.unstated]
        names = [str(frame.columns[place]) for place in stated]
        return [
            self.pieces(str(row[0]), dict(zip(names, row[stated], strict=True)), list(row[1:own]), order)
            for row, order in zip(frame.to_numpy(object), orders or [None] * len(frame), strict=True)
        ]

    def training_pieces(self, X: Any, seed: int) -> list[Pieces]:
        """The prompts of training rows: those of `pieces_all`, unless they are `shuffled`."""
        if not self.shuffled:
            return self.pieces_all(X)
        rng = np.random.default_rng(seed)
        return self.pieces_all(X, [rng.permutation(len(self.components)).tolist() for _ in range(len(as_frame(X)))])

    def render_all(self, X: Any) -> list[str]:
        """The same as text."""
        return [joined(pieces) for pieces in self.pieces_all(X)]


def completion(answer: str) -> str:
    """An answer as it is joined to its prompt, without the end mark."""
    return f" {answer}"


def pairs(prompts: Sequence[str], answers: Sequence[str], end_mark: str) -> Any:
    """Prompt/completion pairs as a `datasets.Dataset` with the columns ``prompt`` and ``completion``."""
    import datasets

    completions = [completion(answer) + end_mark for answer in answers]
    return datasets.Dataset.from_pandas(
        pd.DataFrame({"prompt": list(prompts), "completion": completions}), preserve_index=False
    )
