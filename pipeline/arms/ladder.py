"""All arms by name, from the trivial control to the language model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator

from pipeline.arms import baselines, language_model
from pipeline.errors import unknown
from pipeline.lm.defaults import LAYERS
from pipeline.tables.targets import CLASSES, REGRESSION

CONTROLS = {REGRESSION: "mean", CLASSES: "majority"}
BASELINES: dict[str, Callable[[str, int, int], Any]] = {
    "ngram-ridge": baselines.ngram_ridge,
    "knn": baselines.knn,
    "ridge": baselines.ridge,
    "rf-bits": baselines.rf_bits,
    "extratrees": baselines.extratrees,
    "lightgbm": baselines.lightgbm,
    "gp": baselines.gp,
}
LANGUAGE_MODELS: dict[str, Callable[..., Any]] = {
    "lm-frozen": language_model.frozen,
    "lm-head": language_model.head,
    "lm-text": language_model.text,
}
TUNED = ("lm-head", "lm-text")  # those that train an adapter
# Which of `pipeline.arms.features` a fitted arm asks for.
FEATURES: dict[str, tuple[str, ...]] = {
    "knn": ("bits",),
    "ridge": ("descriptors",),
    "rf-bits": ("bits",),
    "extratrees": ("descriptors",),
    "lightgbm": ("counts", "descriptors"),
    "gp": ("counts", "descriptors"),
}
# Arms whose prediction is the mean of the predictions of others; the members are never fitted twice.
MEANS = {"ensemble": ("extratrees", "lightgbm", "gp"), "blend": ("ensemble", "lm-head")}
ORDER = ("mean", "majority", *BASELINES, "ensemble", *LANGUAGE_MODELS, "blend")
GROUPS = {
    "baselines": (*BASELINES, "ensemble"),
    "lm": (*LANGUAGE_MODELS, "blend"),
    "all": (*BASELINES, "ensemble", *LANGUAGE_MODELS, "blend"),
}
DESCRIPTIONS = {
    "mean": "predicts the training mean",
    "majority": "answers the majority class, with the class shares as probabilities",
    "ngram-ridge": "linear model on character n-grams of the SMILES: text without a language model",
    "knn": "5 nearest neighbours by Tanimoto similarity of Morgan bits",
    "ridge": "linear model on RDKit descriptors",
    "rf-bits": "random forest of 100 trees on Morgan bits (weak reference)",
    "extratrees": "500 extremely randomised trees on RDKit descriptors",
    "lightgbm": "gradient boosting on Morgan counts and RDKit descriptors",
    "gp": "Gaussian process, Tanimoto on Morgan counts + RBF on RDKit descriptors",
    "ensemble": "mean of extratrees, lightgbm and gp",
    "lm-frozen": "linear model on hidden states of the untouched language model",
    "lm-head": "first layers of the language model, fine-tuned with LoRA and a linear head",
    "lm-text": "language model fine-tuned with LoRA to write the answer as text",
    "blend": "mean of ensemble and lm-head: does the language model add anything?",
}


def resolve_arms(names: Sequence[str], task: str) -> list[str]:
    """Expand groups, add the trivial control, and put the arms in the order of the ladder.

    Raises
    ------
    InputError
        For a name that is neither an arm nor a group.
    """
    chosen = {CONTROLS[task]}
    for name in names:
        if name in GROUPS:
            chosen.update(GROUPS[name])
        elif name in ("mean", "majority"):
            continue
        elif name in ORDER:
            chosen.add(name)
        else:
            raise unknown("arm", name, [*ORDER, *GROUPS])
    return [name for name in ORDER if name in chosen]


def is_language_model(arm: str) -> bool:
    return arm in LANGUAGE_MODELS or any(map(is_language_model, MEANS.get(arm, ())))


def fitted_arms(arm: str) -> tuple[str, ...]:
    """The arms that are fitted for this one: itself, or the members of a mean, down to the last."""
    if arm not in MEANS:
        return (arm,)
    return tuple(dict.fromkeys(leaf for member in MEANS[arm] for leaf in fitted_arms(member)))


def layers_of(arm: str) -> tuple[int | None, int]:
    """How many layers of the language model an arm, or the member of a mean, uses (None: all) and trains."""
    return next(LAYERS[leaf] for leaf in fitted_arms(arm) if leaf in LAYERS)


def make_arm(
    arm: str,
    task: str,
    *,
    seed: int,
    threads: int,
    engine: Callable[[str], Any] | None = None,
    **language_model_options: Any,
) -> Any:
    """An unfitted estimator for any arm that is not a mean of others.

    Parameters
    ----------
    engine : callable, optional
        From the name of a language-model arm to its engine.
    """
    if arm in CONTROLS.values():
        return baselines.constant(task, seed, threads)
    if arm in BASELINES:
        return BASELINES[arm](task, seed, threads)
    if engine is None:
        raise ValueError(f"{arm} needs an engine")
    return LANGUAGE_MODELS[arm](task, seed=seed, engine=engine(arm), **language_model_options)


def fit_arm(model: Any, X: Any, y: np.ndarray, groups: Any = None, censoring: np.ndarray | None = None) -> Any:
    """Fit an arm, telling it which targets are bounds if it can use that.

    Parameters
    ----------
    censoring : ndarray of shape (n,), optional
        1 where the truth lies above the target, -1 where below, 0 where it is the target. An arm
        that cannot use it takes the target for the truth.
    """
    extra = {"censoring": censoring} if censoring is not None and getattr(model, "uses_censoring", False) else {}
    return model.fit(X, y, groups=groups, **extra)


def class_chances(model: Any, classes: Sequence[str], X: Any) -> np.ndarray:
    """Probabilities in the order of ``classes``, zero for a class the model has not seen. Shape (n, classes)."""
    chances = np.zeros((len(X), len(classes)))
    chances[:, [classes.index(str(label)) for label in model.classes_]] = model.predict_proba(X)
    return chances


def mean_of(members: Sequence[np.ndarray]) -> np.ndarray:
    """Prediction (or class probabilities) of a mean arm."""
    return np.mean(np.stack(members), axis=0)


class MeanArm(BaseEstimator):
    """Mean of the predictions (or class probabilities) of arms fitted on the same rows.

    Parameters
    ----------
    members : dict
        Name to unfitted estimator; they are fitted in place.
    """

    def __init__(self, members: dict[str, Any]) -> None:
        self.members = members

    uses_censoring = True  # its members may

    def fit(self, X: Any, y: np.ndarray, groups: Any = None, censoring: np.ndarray | None = None) -> MeanArm:
        for member in self.members.values():
            fit_arm(member, X, y, groups, censoring)
        first = next(iter(self.members.values()))
        if hasattr(first, "classes_"):
            self.classes_ = first.classes_
        return self

    def predict(self, X: Any) -> np.ndarray:
        if hasattr(self, "classes_"):
            return self.classes_[self.predict_proba(X).argmax(axis=1)]
        return mean_of([member.predict(X) for member in self.members.values()])

    def predict_proba(self, X: Any) -> np.ndarray:
        return mean_of([member.predict_proba(X) for member in self.members.values()])


def engines(model: Any) -> list[Any]:
    """The engines under a fitted arm: none for a baseline."""
    if isinstance(model, MeanArm):
        return [engine for member in model.members.values() for engine in engines(member)]
    return [model.engine] if hasattr(model, "engine") else []


def make_whole(arm: str, task: str, *, seed: int, threads: int, **language_model_options: Any) -> Any:
    """An unfitted estimator for any arm, a mean of others included."""
    if arm in MEANS:
        return MeanArm(
            {
                member: make_whole(member, task, seed=seed, threads=threads, **language_model_options)
                for member in MEANS[arm]
            }
        )
    options = language_model_options if arm in LANGUAGE_MODELS else {}
    return make_arm(arm, task, seed=seed, threads=threads, **options)
