"""Linear models and support vector machines on what a pretrained network says of a molecule."""

from __future__ import annotations

from typing import Any

from pipeline.arms.baselines import linear, over
from pipeline.arms.support_vectors import OnDescriptors, SupportVectorLabels, SupportVectors
from pipeline.features.inputs import MoleculeFeatures
from pipeline.features.pretrained import minimol
from pipeline.features.structures import CleanDescriptors
from pipeline.tables.targets import CLASSES


def _features() -> MoleculeFeatures:
    return MoleculeFeatures((minimol,), (CleanDescriptors(),))


class OnMinimol(OnDescriptors):
    """An RBF on the features of MiniMol, standardised as descriptors are, and the context columns."""

    def _features(self) -> MoleculeFeatures:
        return _features()


class MinimolVectors(OnMinimol, SupportVectors):
    """`SupportVectors` on the features of MiniMol."""


class MinimolVectorLabels(OnMinimol, SupportVectorLabels):
    """`SupportVectorLabels` on the features of MiniMol."""


def minimol_ridge(task: str, seed: int, threads: int) -> Any:
    return over(task, _features(), linear(task))


def minimol_svr(task: str, seed: int, threads: int) -> Any:
    return MinimolVectorLabels(seed=seed) if task == CLASSES else MinimolVectors(seed=seed)
