"""How good a set of molecules is, whatever their values: new ones, different ones, ones like those of the table."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from rdkit import Chem
from rdkit.Chem import Descriptors

from pipeline.features.structures import morgan_bits, tanimoto

# What the Fréchet distance is taken on: size, polarity, flexibility and shape of a molecule.
OF_DISTANCE = (
    Descriptors.MolWt,  # type: ignore[attr-defined]
    Descriptors.MolLogP,  # type: ignore[attr-defined]
    Descriptors.TPSA,  # type: ignore[attr-defined]
    Descriptors.NumHAcceptors,  # type: ignore[attr-defined]
    Descriptors.NumHDonors,  # type: ignore[attr-defined]
    Descriptors.NumRotatableBonds,  # type: ignore[attr-defined]
    Descriptors.NumAromaticRings,  # type: ignore[attr-defined]
    Descriptors.RingCount,  # type: ignore[attr-defined]
    Descriptors.FractionCSP3,  # type: ignore[attr-defined]
    Descriptors.NumHeteroatoms,  # type: ignore[attr-defined]
)
LEAST = 2  # molecules that a spread is taken of
ENOUGH = len(OF_DISTANCE) + 1  # molecules that a covariance of descriptors is taken of


def diversity(smiles: Sequence[str]) -> float:
    """One minus the mean Tanimoto similarity of all pairs of different molecules, by Morgan fingerprints (the internal
    diversity of Benhenda 2017); NaN of fewer than two."""
    count = len(smiles)
    if count < LEAST:
        return float("nan")
    bits = morgan_bits(smiles)
    similar = tanimoto(bits, bits)
    return float(1 - (similar.sum() - count) / (count * (count - 1)))


def frechet_distance(smiles: Sequence[str], table: Sequence[str]) -> float:
    """Fréchet distance between two sets of molecules as normal distributions over ten descriptors (`OF_DISTANCE`), each
    standardised by the table: ``|m1 - m2|² + tr(S1 + S2 - 2 (S1 S2)^½)`` (Dowson and Landau 1982); NaN of too few
    molecules for a covariance.

    It is the formula of the Fréchet ChemNet distance (Preuer et al. 2018) on other features: figures of the two cannot
    be compared.
    """
    if len(smiles) < ENOUGH:
        return float("nan")
    of_table = _described(table)
    scale = np.where(of_table.std(axis=0) > 0, of_table.std(axis=0), 1.0)
    a, b = _described(smiles) / scale, of_table / scale
    first, second = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    # The trace of a root is the sum of the roots of the eigenvalues, which for this product are none below 0.
    roots = np.sqrt(np.maximum(np.linalg.eigvals(first @ second).real, 0.0))
    apart = a.mean(axis=0) - b.mean(axis=0)
    return float(apart @ apart + np.trace(first) + np.trace(second) - 2 * roots.sum())


def _described(smiles: Sequence[str]) -> np.ndarray:
    """Shape (n, descriptors)."""
    molecules = [Chem.MolFromSmiles(text) for text in smiles]
    return np.array([[function(molecule) for function in OF_DISTANCE] for molecule in molecules], dtype=np.float64)
