"""An arm of the user's own, named ``module:function`` where other arms are named.

The function takes the task (``regression`` or ``classes``) and a seed, and returns an unfitted scikit-learn estimator:
over canonical SMILES as strings, or over the features that the function asks for in an attribute ``features``, such as
``make_arm.features = ("counts", "descriptors")``; context columns stand beside those. The module is looked for in the
working directory and where Python looks for modules.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin, clone

from pipeline.arms.baselines import ClassifierOverFeatures, RegressorOverFeatures
from pipeline.arms.catalogue import ARMS, BASELINE, Arm
from pipeline.errors import InputError, first_line, unknown
from pipeline.features.inputs import MoleculeFeatures, smiles_of
from pipeline.features.structures import CleanDescriptors, descriptors, morgan_bits, morgan_counts
from pipeline.named import function_named, is_own
from pipeline.tables.kinds import KINDS, MOLECULES
from pipeline.tables.targets import CLASSES

FEATURES: dict[str, tuple[Callable[[list[str]], np.ndarray], Any]] = {
    "bits": (morgan_bits, None),
    "counts": (morgan_counts, None),
    "descriptors": (descriptors, CleanDescriptors()),
}
COLOURS = ("#d62246", "#0b6e4f", "#5f0f40", "#fb8b24")


class Structures(TransformerMixin, BaseEstimator):
    """The structures of the rows as strings, without what stands beside them. Shape (n,)."""

    def fit(self, X: Any, y: Any = None) -> Structures:
        return self

    def transform(self, X: Any) -> np.ndarray:
        return np.array(smiles_of(X), dtype=object)


def add_own(name: str) -> None:
    """Put a row for the user's arm into the catalogue.

    Raises
    ------
    InputError
        If there is no such function, or it asks for features that there are not.
    """
    function = function_named(name, "arm")
    asked = tuple(getattr(function, "features", ()))
    for feature in asked:
        if feature not in FEATURES:
            raise unknown(f"feature that {name} asks for", feature, FEATURES)
    kinds = (MOLECULES,) if asked else tuple(KINDS.values())
    known = [arm for arm in ARMS if is_own(arm) and arm != name]
    does = (function.__doc__ or "").strip().partition("\n")[0] or "an arm of your own"
    ARMS[name] = Arm(
        name,
        does.removesuffix("."),
        COLOURS[len(known) % len(COLOURS)],
        BASELINE,
        dict.fromkeys(kinds, "pipeline.arms.own:build_own"),
        features=asked,
        note="your own",
        own=name,
    )


def build_own(name: str, task: str, seed: int, threads: int, columns: Any = None) -> Any:
    """The user's estimator, unfitted, over what it asks for; threads and columns are not for it.

    Raises
    ------
    InputError
        If the function returns no estimator.
    """
    function = function_named(name, "arm")
    try:
        model = clone(function(task, seed))
    except Exception as error:  # whatever the user's code raises
        raise InputError(f"arm {name!r}: {type(error).__name__}: {first_line(error)}") from error
    needed = ("fit", "predict", *(["predict_proba"] if task == CLASSES else []))
    missing = [method for method in needed if not hasattr(model, method)]
    if missing:
        raise InputError(f"arm {name!r} returned a {type(model).__name__} without {' and '.join(missing)}")
    asked = [FEATURES[feature] for feature in ARMS[name].features]
    features = MoleculeFeatures(*zip(*asked, strict=True)) if asked else Structures()
    return (ClassifierOverFeatures if task == CLASSES else RegressorOverFeatures)(features, model)
