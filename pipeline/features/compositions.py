"""Features of compositions: shares of elements, and statistics over properties of the elements."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache

import numpy as np

from pipeline.features.structures import FINGERPRINT_SIZE, computed_once
from pipeline.tables.compositions import amounts_of
from pipeline.tables.elements import elements

STATISTICS = ("minimum", "maximum", "range", "mean", "mean deviation", "mode")
NORMS = (0, 2, 3, 5, 7, 10)  # of the shares
_ELEMENT_LEVELS, _GROUP_LEVELS = 16, 8
_F_BLOCK = 19  # what stands for the group of lanthanoids and actinoids


def element_shares(formulas: Iterable[str]) -> np.ndarray:
    """The share of atoms of each element, in the order of their numbers. Shape (n, 118)."""
    return computed_once("element shares", _shares, formulas)


def element_statistics(formulas: Iterable[str]) -> np.ndarray:
    """`STATISTICS` of each property of the elements, weighted by shares; norms of the shares; and what follows from
    electronegativities and open shells. Shape (n, features).

    As Ward et al., npj Comput. Mater. 2016 (Magpie), with the properties of `scripts/element_properties.py`. An element
    without a value is left out of a statistic; NaN where none has one.
    """
    return computed_once("element statistics", _statistics, formulas)


def statistic_names() -> list[str]:
    """The columns of `element_statistics`, in words."""
    words = [str(name).replace("_", " ") for name in elements().columns]
    norms = ["number of elements", *(f"norm {p} of the shares" for p in NORMS[1:])]
    shells = [f"share of {kind} electrons" for kind in "spdf"]
    return [
        *(f"{statistic} of {word}" for statistic in STATISTICS for word in words),
        *norms,
        *shells,
        "largest ionic character",
        "mean ionic character",
    ]


def composition_bits(formulas: Iterable[str]) -> np.ndarray:
    """What compositions are compared by: the share of each element in steps of 1/16, and of each group of the periodic
    table in steps of 1/8, each as so many bits. Shape (n, 2048), 0 or 1.

    The Tanimoto similarity of two rows is then about the sum of the smaller shares over that of the larger ones, where
    elements of one group have a third in common.
    """
    return computed_once("composition bits", _bits, formulas)


@cache
def _places() -> dict[str, int]:
    return {symbol: place for place, symbol in enumerate(elements().index)}


@cache
def _properties() -> np.ndarray:
    return elements().to_numpy(dtype=np.float64)


@cache
def _groups() -> np.ndarray:
    return elements()["group"].fillna(_F_BLOCK).to_numpy(dtype=int) - 1


def _shares(formula: str) -> np.ndarray:
    found = np.zeros(len(_places()))
    for symbol, amount in amounts_of(formula).items():
        found[_places()[symbol]] = amount
    return found / found.sum()


def _statistics(formula: str) -> np.ndarray:
    shares = _shares(formula)
    present = np.flatnonzero(shares)
    share, values = shares[present, None], _properties()[present]
    known = np.isfinite(values)
    weight = np.where(known, share, 0.0)
    with np.errstate(all="ignore"):
        weight = weight / weight.sum(axis=0)
        filled = np.where(known, values, 0.0)
        low = np.where(known, values, np.inf).min(axis=0)
        high = np.where(known, values, -np.inf).max(axis=0)
        mean = (weight * filled).sum(axis=0)
        deviation = (weight * np.abs(filled - mean)).sum(axis=0)
        mode = values[shares[present].argmax()]
    found = np.concatenate(
        [low, high, high - low, mean, deviation, mode, _norms(shares), _bonding(share[:, 0], values)]
    )
    return np.where(np.isfinite(found), found, np.nan)


def _norms(shares: np.ndarray) -> np.ndarray:
    """The number of elements, and p-norms of the shares."""
    present = shares[shares > 0]
    return np.array([len(present) if p == 0 else (present**p).sum() ** (1 / p) for p in NORMS])


def _bonding(share: np.ndarray, values: np.ndarray) -> np.ndarray:
    """The shares of s, p, d and f among the electrons of open shells, and the ionic character of bonds between the
    elements by Pauling's electronegativities: the largest, and the mean over pairs of atoms."""
    names = list(elements().columns)
    electrons = share @ values[:, [names.index(f"{kind}_electrons") for kind in "spdf"]]
    of_shells = electrons / electrons.sum() if electrons.sum() else electrons
    negativity = values[:, names.index("electronegativity")]
    known = np.isfinite(negativity)
    if not known.any():
        return np.array([*of_shells, np.nan, np.nan])
    between = negativity[known][:, None] - negativity[known][None, :]
    ionic = 1 - np.exp(-0.25 * between**2)
    weight = share[known] / share[known].sum()
    return np.array([*of_shells, ionic.max(), weight @ ionic @ weight])


def _bits(formula: str) -> np.ndarray:
    shares = _shares(formula)
    groups = np.bincount(_groups(), weights=shares, minlength=_F_BLOCK)
    found = np.zeros(FINGERPRINT_SIZE, dtype=np.uint8)
    for values, levels, start in (
        (shares, _ELEMENT_LEVELS, 0),
        (groups, _GROUP_LEVELS, len(shares) * _ELEMENT_LEVELS),
    ):
        for place in np.flatnonzero(values):
            first = start + place * levels
            found[first : first + max(1, round(values[place] * levels))] = 1
    return found
