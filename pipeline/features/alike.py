"""Which molecules of a table are close analogues: by substructures, by their graph, or by how they are written."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pipeline.features.structures import graph_bits, morgan_bits, tanimoto

SIMILAR = 0.9
_BLOCK = 256  # molecules compared with all others at a time
_PAIRS = 20_000  # pairs of strings aligned at a time


def similar_pairs(smiles: Sequence[str]) -> np.ndarray:
    """Pairs of molecules that are at least `SIMILAR` in any of three ways. Shape (pairs, 2), the smaller place first.

    The definition of MoleculeACE (van Tilborg, Alenicheva, Grisoni, J. Chem. Inf. Model. 2022) as its program has it:
    Tanimoto similarity of Morgan fingerprints, the same of the molecular graph alone (all atoms carbon, all bonds
    single), and ``1 - edits / length of the longer`` of two canonical SMILES. The fingerprints have 2,048 bits here and
    1,024 there.
    """
    found = [_alike(bits) for bits in (morgan_bits(smiles), graph_bits(smiles))]
    found.append(_written_alike(smiles))
    return np.unique(np.concatenate(found), axis=0)


def _alike(bits: np.ndarray) -> np.ndarray:
    pairs = []
    for start in range(0, len(bits), _BLOCK):
        first, second = np.nonzero(tanimoto(bits[start : start + _BLOCK], bits) >= SIMILAR - 1e-6)
        pairs.append(np.column_stack([first + start, second]))
    joined = np.concatenate(pairs)
    return joined[joined[:, 0] < joined[:, 1]]


def _written_alike(texts: Sequence[str]) -> np.ndarray:
    """Pairs of strings with few edits; most are told apart by which characters they hold."""
    lengths = np.array(list(map(len, texts)))
    letters = {letter: place for place, letter in enumerate(sorted(set("".join(texts))))}
    counts = np.zeros((len(texts), len(letters)), dtype=np.int16)
    for row, text in enumerate(texts):
        for letter in text:
            counts[row, letters[letter]] += 1
    pairs = []
    for start in range(0, len(texts), _BLOCK):
        block = counts[start : start + _BLOCK]
        shared = np.zeros((len(block), len(texts)), dtype=np.int32)
        for column in range(len(letters)):
            shared += np.minimum(block[:, column, None], counts[None, :, column])
        longer = np.maximum(lengths[start : start + _BLOCK, None], lengths[None, :])
        first, second = np.nonzero(longer - shared <= _most_edits(longer))  # no fewer edits than that are enough
        pairs.append(np.column_stack([first + start, second]))
    joined = np.concatenate(pairs)
    joined = joined[joined[:, 0] < joined[:, 1]]
    longer = np.maximum(lengths[joined[:, 0]], lengths[joined[:, 1]])
    joined, longer = (array[np.argsort(longer, kind="stable")] for array in (joined, longer))
    close = [
        edits(texts, joined[start : start + _PAIRS], int(_most_edits(longer[start : start + _PAIRS]).max(initial=0)))
        for start in range(0, len(joined), _PAIRS)
    ]
    return joined[np.concatenate(close) <= _most_edits(longer)] if close else joined


def _most_edits(longer: np.ndarray) -> np.ndarray:
    return np.floor((1 - SIMILAR) * longer + 1e-9)


def edits(texts: Sequence[str], pairs: np.ndarray, most: int) -> np.ndarray:
    """The Levenshtein distance of each pair where it is at most ``most``; else a larger number. Shape (pairs,).

    All pairs go through the table of Wagner and Fischer (1974) together, within a band around its diagonal.
    """
    one, other = ([texts[row] for row in pairs[:, side]] for side in (0, 1))
    lengths = [np.array(list(map(len, side)), dtype=int) for side in (one, other)]
    first = _codes(one, 0, 0, -1)
    second = _codes(other, most, max(0, first.shape[1] - min(lengths[1], default=0)) + most + 1, -2)
    band = np.arange(2 * most + 1)  # the place in the second text less that in the first, plus most
    far = first.shape[1] + second.shape[1]
    row = np.where(band >= most, band - most, far)[None, :].repeat(len(pairs), axis=0)
    found = np.full(len(pairs), far)
    offset = lengths[1] - lengths[0] + most
    inside = (offset >= 0) & (offset < len(band))
    for place in range(first.shape[1] + 1):
        if place:
            differs = first[:, place - 1 : place] != second[:, place - 1 : place - 1 + len(band)]
            reached = row + differs
            reached[:, :-1] = np.minimum(reached[:, :-1], row[:, 1:] + 1)
            reached[:, band + place < most] = far  # before the second text begins
            row = np.minimum.accumulate(reached - band, axis=1) + band  # letters put in, one after another
        ended = np.flatnonzero(inside & (lengths[0] == place))
        found[ended] = row[ended, offset[ended]]
    return found


def _codes(texts: Sequence[str], before: int, after: int, filler: int) -> np.ndarray:
    """The characters of texts as numbers, with a filler around them. Shape (n, before + longest + after)."""
    longest = max(map(len, texts), default=0)
    codes = np.full((len(texts), before + longest + after), filler, dtype=np.int32)
    for row, text in enumerate(texts):
        codes[row, before : before + len(text)] = list(map(ord, text))
    return codes
