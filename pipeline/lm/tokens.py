"""Prompts as token ids.

``atomwise``: each symbol of the SMILES (an atom with its bracket, a bond, a ring mark, a parenthesis), or each element
and digit of a formula, is cut off before the tokenizer sees it, so that one symbol is spelled by the same tokens
wherever it stands. ``model``: the tokenizer cuts the prompt as it would any text, across atoms and rings: one ring then
has many spellings. A text has no symbols, and is cut so in any case.
"""

from __future__ import annotations

import re
from itertools import groupby
from typing import Any

from pipeline.defaults import ATOMWISE
from pipeline.prompts.templates import FORMULA, SMILES, Pieces, joined

_SYMBOLS = {
    SMILES: re.compile(r"\[[^\]]*\]|Br|Cl|%\d\d|.", re.DOTALL),
    FORMULA: re.compile(r"[A-Z][a-z]?|.", re.DOTALL),
}
_REMEMBERED = 100_000


def symbols_of(structure: str, notation: str) -> list[str]:
    """The symbols of a SMILES, or the elements and digits of a formula; a space before it belongs to the first."""
    symbols = _SYMBOLS[notation].findall(structure.lstrip(" "))
    return [structure[: len(structure) - len(structure.lstrip(" "))] + symbols[0], *symbols[1:]] if symbols else []


class PromptTokens:
    """A tokenizer and what it made of texts that come again and again.

    Parameters
    ----------
    tokenizer : transformers tokenizer
    """

    def __init__(self, tokenizer: Any) -> None:
        self.tokenizer = tokenizer
        self._known: dict[str, tuple[int, ...]] = {}

    def encode(self, text: str) -> tuple[int, ...]:
        """Token ids without special tokens, never truncated."""
        return tuple(self.tokenizer(text, add_special_tokens=False)["input_ids"])

    def prompt(self, pieces: Pieces, tokenization: str) -> tuple[int, ...]:
        """Token ids of a prompt. A space before a structure belongs to its first symbol."""
        if tokenization != ATOMWISE:
            return self.encode(joined(pieces))
        parts: list[str] = []
        space = ""
        for structure, run in groupby(pieces, key=lambda piece: piece.structure):
            text = space + joined(tuple(run))
            space = ""
            if structure:
                parts += symbols_of(text, structure)
            else:
                opening = text.rstrip(" ")  # a prompt never ends in a space, so a structure follows if there is one
                space = text[len(opening) :]
                parts.append(opening)
        return tuple(token for part in parts for token in self._remembered(part))

    def _remembered(self, text: str) -> tuple[int, ...]:
        if not text:
            return ()
        if text not in self._known:
            if len(self._known) >= _REMEMBERED:
                self._known.clear()
            self._known[text] = self.encode(text)
        return self._known[text]
