"""All arms by name, from the trivial control to the language model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator

from pipeline.arms import baselines, language_model, reactions
from pipeline.arms.inputs import ReactionColumns
from pipeline.errors import InputError, unknown
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
    "svr": baselines.svr,
    "gp": baselines.gp,
}
LANGUAGE_MODELS: dict[str, Callable[..., Any]] = {
    "lm-frozen": language_model.frozen,
    "lm-head": language_model.head,
    "lm-text": language_model.text,
}
HEAD = "lm-head"
TUNED = (HEAD, "lm-text")  # those that train an adapter
# Which of `pipeline.arms.features` a fitted arm asks for.
FEATURES: dict[str, tuple[str, ...]] = {
    "knn": ("bits",),
    "ridge": ("descriptors",),
    "rf-bits": ("bits",),
    "extratrees": ("descriptors",),
    "lightgbm": ("counts", "descriptors"),
    "svr": ("descriptors",),
    "gp": ("counts", "descriptors"),
}
# Arms whose prediction is the mean of the predictions of others; the members are never fitted twice.
MEANS = {
    "ensemble": ("extratrees", "lightgbm", "gp"),  # scripts/choose_ensemble.py compares others
    "blend": ("ensemble", "lm-head"),
    "reaction-ensemble": ("components-lightgbm", "drfp-lightgbm", "drfp-rf"),
    "reaction-blend": ("reaction-ensemble", "lm-head"),
}
ORDER = ("mean", "majority", *BASELINES, "ensemble", *LANGUAGE_MODELS, "blend")
REACTION_ORDER = ("mean", "majority", *reactions.BASELINES, "reaction-ensemble", *LANGUAGE_MODELS, "reaction-blend")
GROUPS = {
    "baselines": (*BASELINES, "ensemble"),
    "lm": (*LANGUAGE_MODELS, "blend"),
    "all": (*BASELINES, "ensemble", *LANGUAGE_MODELS, "blend"),
}
REACTION_GROUPS = {
    "baselines": (*reactions.BASELINES, "reaction-ensemble"),
    "lm": (*LANGUAGE_MODELS, "reaction-blend"),
    "all": (*reactions.BASELINES, "reaction-ensemble", *LANGUAGE_MODELS, "reaction-blend"),
}
# On full-factorial tables they come close to chemistry, so no comparison over reactions goes without them.
REACTION_CONTROLS = ("popularity", "barcodes")
TEXT_BASELINES = ("ngram-ridge",)  # they read the notation and know no chemistry
DESCRIPTIONS = {
    "mean": "predicts the training mean",
    "majority": "answers the majority class, with the class shares as probabilities",
    "popularity": "mean, over the components, of how well each did in training: no structures",
    "barcodes": "random forest on a random vector for each value of each component: no structures either",
    "ngram-ridge": "linear model on character n-grams of the SMILES: text without a language model",
    "knn": "5 nearest neighbours by Tanimoto similarity of Morgan bits",
    "ridge": "linear model on RDKit descriptors",
    "rf-bits": "random forest of 100 trees on Morgan bits (weak reference)",
    "extratrees": "500 extremely randomised trees on RDKit descriptors",
    "lightgbm": "gradient boosting on Morgan counts and RDKit descriptors",
    "svr": "support vector machine, RBF on RDKit descriptors",
    "gp": "Gaussian process, Tanimoto on Morgan counts + RBF on RDKit descriptors",
    "ensemble": "mean of extratrees, lightgbm and gp",
    "onehot-rf": "random forest on which component is which (one-hot)",
    "components-rf": "random forest on the Morgan counts of each component, side by side",
    "components-lightgbm": "gradient boosting on the Morgan counts of each component, side by side",
    "components-gp": "Gaussian process, Tanimoto kernels of the components, added up and multiplied",
    "drfp-rf": "random forest on differential reaction fingerprints (DRFP)",
    "drfp-lightgbm": "gradient boosting on differential reaction fingerprints (DRFP)",
    "drfp-gp": "Gaussian process, Tanimoto kernels on differential reaction fingerprints (DRFP)",
    "reaction-ensemble": "mean of components-lightgbm, drfp-lightgbm and drfp-rf",
    "lm-frozen": "linear model on hidden states of the untouched language model",
    "lm-head": "first layers of the language model, fine-tuned with LoRA and a linear head",
    "lm-text": "first layers of the language model, fine-tuned with LoRA to write the answer as text",
    "blend": "mean of ensemble and lm-head: does the language model add anything?",
    "reaction-blend": "mean of reaction-ensemble and lm-head: does the language model add anything?",
}


def resolve_arms(names: Sequence[str], task: str, of_reactions: bool = False) -> list[str]:
    """Expand groups, add the trivial controls, and put the arms in the order of the ladder.

    Raises
    ------
    InputError
        For a name that is neither an arm nor a group for molecules, or for reactions.
    """
    order, groups = (REACTION_ORDER, REACTION_GROUPS) if of_reactions else (ORDER, GROUPS)
    chosen = {CONTROLS[task], *(REACTION_CONTROLS if of_reactions else ())}
    for name in names:
        if name in groups:
            chosen.update(groups[name])
        elif name in ("mean", "majority"):
            continue
        elif name in order:
            chosen.add(name)
        elif name in (*ORDER, *REACTION_ORDER):
            here, there = ("reactions", "molecules") if of_reactions else ("molecules", "reactions")
            raise InputError(f"arm {name!r} is for {there}; the arms for {here} are {', '.join(order[2:])}")
        else:
            raise unknown("arm", name, [*order, *groups])
    return [name for name in order if name in chosen]


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
    columns: ReactionColumns | None = None,
    engine: Callable[[str], Any] | None = None,
    **language_model_options: Any,
) -> Any:
    """An unfitted estimator for any arm that is not a mean of others.

    Parameters
    ----------
    columns : ReactionColumns, optional
        Of a table of reactions.
    engine : callable, optional
        From the name of a language-model arm to its engine.
    """
    if arm in CONTROLS.values():
        return baselines.constant(task, seed, threads)
    if columns is not None and arm in reactions.BASELINES:
        return reactions.BASELINES[arm](task, seed, threads, columns)
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


def make_whole(
    arm: str,
    task: str,
    *,
    seed: int,
    threads: int,
    columns: ReactionColumns | None = None,
    **language_model_options: Any,
) -> Any:
    """An unfitted estimator for any arm, a mean of others included."""
    if arm in MEANS:
        return MeanArm(
            {
                member: make_whole(member, task, seed=seed, threads=threads, columns=columns, **language_model_options)
                for member in MEANS[arm]
            }
        )
    options = language_model_options if arm in LANGUAGE_MODELS else {}
    return make_arm(arm, task, seed=seed, threads=threads, columns=columns, **options)
