"""chemtune: fine-tune a small language model on a table of molecules, next to strong baselines."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pipeline.features.inputs import MolecularFeatures
    from pipeline.models.estimators import LoraClassifier, LoraRegressor, load
    from pipeline.splits.cross_validators import MoleculeKFold, ScaffoldHoldOut, ScaffoldKFold

__version__ = "0.1.0"
__all__ = [
    "LoraClassifier",
    "LoraRegressor",
    "MolecularFeatures",
    "MoleculeKFold",
    "ScaffoldHoldOut",
    "ScaffoldKFold",
    "load",
]
_HOMES = {
    "LoraClassifier": "pipeline.models.estimators",
    "LoraRegressor": "pipeline.models.estimators",
    "MolecularFeatures": "pipeline.features.inputs",
    "MoleculeKFold": "pipeline.splits.cross_validators",
    "ScaffoldHoldOut": "pipeline.splits.cross_validators",
    "ScaffoldKFold": "pipeline.splits.cross_validators",
    "load": "pipeline.models.estimators",
}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used: the command line must not wait for torch."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
