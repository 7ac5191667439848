"""The splits as scikit-learn cross-validators over arrays of SMILES."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from sklearn.model_selection import BaseCrossValidator

from pipeline.features.inputs import smiles_of
from pipeline.splits.groups import scaffold_labels
from pipeline.splits.splitters import fold_numbers, hold_out
from pipeline.tables.merging import twin_labels
from pipeline.tables.molecules import parse_molecule


def molecule_groups(X: Any, scaffold: bool) -> np.ndarray:
    """Group labels of SMILES: twins (salts, tautomers, stereoisomers) joined, and scaffolds if asked. Shape (n,)."""
    molecules = [parse_molecule(text) for text in smiles_of(X)]
    twins = twin_labels([molecule.parent for molecule in molecules], [molecule.identity for molecule in molecules])
    if not scaffold:
        return twins
    return scaffold_labels(np.array([molecule.scaffold for molecule in molecules], dtype=object), twins)


class _MoleculeKFold(BaseCrossValidator):
    """``n_splits`` folds of whole groups, as even in rows as the groups allow.

    Parameters
    ----------
    n_splits : int
    stratify : bool
        Keep the shares of the classes in ``y`` in each fold as far as the groups allow.
    random_state : int
    """

    _scaffold = False

    def __init__(self, n_splits: int = 5, stratify: bool = False, random_state: int = 0) -> None:
        self.n_splits = n_splits
        self.stratify = stratify
        self.random_state = random_state

    def get_n_splits(self, X: Any = None, y: Any = None, groups: Any = None) -> int:
        """Number of folds."""
        return self.n_splits

    def split(self, X: Any, y: Any = None, groups: Any = None) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield ``(train, test)`` row numbers; ``X`` holds SMILES, ``groups`` is not used."""
        labels = molecule_groups(X, self._scaffold)
        strata = np.asarray(y) if self.stratify and y is not None else np.zeros(len(labels))
        numbers = fold_numbers(labels, strata, self.n_splits, self.random_state)
        for number in range(self.n_splits):
            yield np.flatnonzero(numbers != number), np.flatnonzero(numbers == number)


class MoleculeKFold(_MoleculeKFold):
    __doc__ = (
        _MoleculeKFold.__doc__ or ""
    ) + "\n    Groups are twins: salts, tautomers and stereoisomers of one parent.\n"


class ScaffoldKFold(_MoleculeKFold):
    __doc__ = (_MoleculeKFold.__doc__ or "") + (
        "\n    Groups are Bemis-Murcko scaffolds; an acyclic molecule is a group of its own.\n"
    )
    _scaffold = True


class ScaffoldHoldOut(BaseCrossValidator):
    """One test set of whole scaffolds, about ``test_size`` of the rows.

    Parameters
    ----------
    test_size : float
    random_state : int
    """

    def __init__(self, test_size: float = 0.2, random_state: int = 0) -> None:
        self.test_size = test_size
        self.random_state = random_state

    def get_n_splits(self, X: Any = None, y: Any = None, groups: Any = None) -> int:
        """Always one."""
        return 1

    def split(self, X: Any, y: Any = None, groups: Any = None) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield one ``(train, test)`` pair of row numbers."""
        labels = molecule_groups(X, scaffold=True)
        tested = hold_out(labels, np.zeros(len(labels)), self.test_size, self.random_state)
        yield np.flatnonzero(~tested), np.flatnonzero(tested)
