"""How arms are trained in the study of spellings: as usual, and the cures."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pipeline.arms.ladder import HEAD, MEANS, reads_notation
from pipeline.features.notations import other_spellings

Texts = list[list[str]]
USUAL, SPELLINGS, AGREEING, MEAN_POOLING = "usual", "spellings", "agreeing", "mean pooling"
AGREEMENT = 1.0  # weight of the disagreement of two spellings, in squares of the target's standard deviation


@dataclass(frozen=True)
class Training:
    """A way to train an arm that reads text.

    Attributes
    ----------
    texts : callable
        From a canonical SMILES, the number of spellings and a seed to the texts under which a training row is shown.
    settings : mapping
        Of the training of a language model, where they are not the usual ones.
    of_heads : bool
        Whether it is for `lm-head` alone.
    does : str
        For people; ``{k}`` is the number of spellings.
    """

    texts: Callable[[str, int, int], list[str]]
    does: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    of_heads: bool = False


def _canonical(smiles: str, count: int, seed: int) -> list[str]:
    return [smiles]


def _several(smiles: str, count: int, seed: int) -> list[str]:
    """The canonical SMILES and others; of a molecule with few spellings these again."""
    found = [smiles, *other_spellings(smiles, count - 1, seed)]
    return [found[place % len(found)] for place in range(count)]


def _pairs(smiles: str, count: int, seed: int) -> list[str]:
    """The canonical SMILES with each of the others."""
    return [text for other in _several(smiles, count, seed)[1:] for text in (smiles, other)]


TRAININGS: dict[str, Training] = {
    USUAL: Training(_canonical, "As usual: each training molecule by its canonical SMILES."),
    SPELLINGS: Training(_several, "Each training molecule by {k} SMILES, its canonical one and others; as many steps."),
    AGREEING: Training(
        _pairs,
        "The same SMILES in pairs, with a penalty on what the model says differently of two of one molecule.",
        {"agreement": AGREEMENT},
        of_heads=True,
    ),
    MEAN_POOLING: Training(
        _canonical,
        "As usual, with the mean over the tokens in place of their sum, which grows with the length of the text.",
        {"pooling": "mean"},
        of_heads=True,
    ),
}


def trainings_of(arm: str, asked: tuple[str, ...]) -> tuple[str, ...]:
    """The trainings of an arm, the usual one first; only single arms that read text have others."""
    if arm in MEANS or not reads_notation(arm):
        return (USUAL,)
    return tuple(
        name
        for name, training in TRAININGS.items()
        if name == USUAL or (name in asked and (arm == HEAD or not training.of_heads))
    )
