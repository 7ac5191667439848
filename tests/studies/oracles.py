"""Oracles of tests, each a function from a SMILES to its true value."""

from __future__ import annotations

from pipeline.features.structures import properties

WEIGHTS = (0.01, 1.0, 0.01, 0.0)


def line(smiles):
    """Linear in properties of the molecule."""
    return float(properties([smiles])[0] @ WEIGHTS)


def constant(smiles):
    return 1.0


def without_chlorine(smiles):
    """`line`, but of molecules without chlorine alone."""
    if "Cl" in smiles:
        raise ValueError("no chlorine")
    return line(smiles)


def something_else(smiles):
    return -3.0 * line(smiles) + 40.0
