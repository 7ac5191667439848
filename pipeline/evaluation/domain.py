"""Applicability domain: is a molecule, or a reaction, like those the model was trained on?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from pipeline.features.similarity import row_bits
from pipeline.features.structures import nearest_rows
from pipeline.tables.kinds import MOLECULES, Kind

DOMAIN_SHARE = 0.05  # of the training molecules lie outside by construction


@dataclass(frozen=True)
class Domain:
    """The training molecules (or rows of another kind) and how near a new one must lie.

    ``smiles`` are the canonical training molecules, ``bits`` what they are compared by (`row_bits`), packed, of shape
    (n, 256) bytes; ``threshold`` is the Tanimoto similarity to the nearest of them from which a molecule counts as
    inside. ``identities`` are what the table told them apart by; empty where that is not known.
    """

    smiles: tuple[str, ...]
    bits: np.ndarray
    threshold: float
    kind: Kind = MOLECULES
    identities: tuple[str, ...] = ()

    @classmethod
    def fit(
        cls, smiles: Sequence[str], groups: np.ndarray, kind: Kind = MOLECULES, identities: Sequence[str] = ()
    ) -> Domain:
        """The threshold leaves out the 5 % of training molecules that are least like any other group's."""
        bits = row_bits(smiles, kind)
        nearest, _ = nearest_rows(bits, bits, apart=(groups, groups))
        threshold = float(np.quantile(nearest, DOMAIN_SHARE))
        return cls(tuple(smiles), np.packbits(bits, axis=1), threshold, kind, tuple(identities))

    def nearest(self, smiles: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """``(similarity, index)`` of the nearest training molecule, which is the molecule itself if it is one of them:
        others can have the same bits. Shapes (n,)."""
        similarity, index = nearest_rows(row_bits(smiles, self.kind), np.unpackbits(self.bits, axis=1))
        places = [self._places.get(text, near) for text, near in zip(smiles, index, strict=True)]
        return similarity, np.array(places, dtype=int)

    @cached_property
    def known(self) -> dict[str, str]:
        """From the identity of a training molecule to its SMILES."""
        return dict(zip(self.identities, self.smiles, strict=True)) if self.identities else {}

    @cached_property
    def _places(self) -> dict[str, int]:
        """Where each training molecule stands."""
        return {text: place for place, text in enumerate(self.smiles)}
