"""One render function for training and prediction.

The question follows Jablonka et al. 2024 (GPTChem): ``What is the {property} of {molecule}?``,
answered by a space and the value. The space belongs to the answer, so that the prompt's tokens
are the same with and without it; the answer ends with the tokenizer's end-of-text token.
"""

from __future__ import annotations

import string
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import pandas as pd

from pipeline.arms.inputs import as_frame
from pipeline.errors import InputError, nearest

DEFAULT_TEMPLATE = "What is the {property} of {molecule}{context}?"
_FIELDS = ("property", "molecule", "context")
ATOMWISE, WHOLE = "atomwise", "model"
TOKENIZATIONS = (ATOMWISE, WHOLE)


class Pieces(NamedTuple):
    """A prompt as what stands before the molecule, the molecule, and what stands behind it."""

    before: str
    molecule: str
    after: str


@dataclass(frozen=True)
class PromptTemplate:
    """How a row is put into words.

    Parameters
    ----------
    property_name : str
    units : str
        Stated behind the property (``log solubility in mol/L``); may be empty.
    text : str
        With the fields ``{property}``, ``{molecule}`` and ``{context}``; must not end in a space.
    tokenization : {"atomwise", "model"}
        How the molecule becomes tokens; see `pipeline.lm.tokens`.

    Raises
    ------
    InputError
        If a field is unknown, ``{molecule}`` is missing, or the text ends in white space.
    """

    property_name: str
    units: str = ""
    text: str = DEFAULT_TEMPLATE
    tokenization: str = ATOMWISE

    def __post_init__(self) -> None:
        try:
            fields = [field for _, field, _, _ in string.Formatter().parse(self.text) if field is not None]
        except ValueError as error:
            raise InputError(f"template {self.text!r}: {error}; braces enclose field names") from error
        for field in fields:
            if field not in _FIELDS:
                raise InputError(
                    f"template {self.text!r}: no field {{{field}}}{nearest(field, _FIELDS)}; "
                    "the fields are {property}, {molecule} and {context}"
                )
        if fields.count("molecule") != 1 or self.text.count("{molecule}") != 1:
            raise InputError(f"template {self.text!r}: the field {{molecule}} must stand in it once, as it is")
        if self.text != self.text.rstrip():
            raise InputError(f"template {self.text!r}: must not end in white space; the answer brings its own space")

    def pieces(self, molecule: str, context: Mapping[str, str] | None = None) -> Pieces:
        """The prompt of one row, cut around the molecule."""
        named = f"{self.property_name} in {self.units}" if self.units else self.property_name
        stated = "".join(f", {name.replace('_', ' ')} {value}" for name, value in (context or {}).items())
        before, _, after = self.text.partition("{molecule}")
        return Pieces(
            before.format(property=named, context=stated), molecule, after.format(property=named, context=stated)
        )

    def render(self, molecule: str, context: Mapping[str, str] | None = None) -> str:
        """The prompt of one row."""
        return "".join(self.pieces(molecule, context))

    def pieces_all(self, X: Any) -> list[Pieces]:
        """The prompts of many rows (SMILES, with context columns beside them where there are any)."""
        frame = as_frame(X)
        columns = [str(column) for column in frame.columns[1:]]
        return [self.pieces(str(row[0]), dict(zip(columns, row[1:], strict=True))) for row in frame.to_numpy(object)]

    def render_all(self, X: Any) -> list[str]:
        """The same as text."""
        return ["".join(pieces) for pieces in self.pieces_all(X)]


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
