"""Arms by name: which are asked for, what they are made of, and how they are made and fitted."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator

from pipeline.arms.catalogue import (
    ARMS,
    BASELINE,
    CONTROL,
    LANGUAGE_MODEL,
    arms_of,
)
from pipeline.arms.own import add_own
from pipeline.arms.spelled import Spelled
from pipeline.defaults import PLAIN
from pipeline.errors import InputError, unknown
from pipeline.features.inputs import ReactionColumns
from pipeline.features.notations import CANONICAL, Representation
from pipeline.lm.defaults import LAYERS
from pipeline.named import is_own
from pipeline.tables.kinds import KINDS, MOLECULES, REACTIONS, Kind

CONTROLS = {task: name for name in arms_of(MOLECULES, CONTROL) for task in ARMS[name].tasks}
LANGUAGE_MODELS = tuple(name for name in arms_of(MOLECULES, LANGUAGE_MODEL) if not ARMS[name].members)
HEAD = "lm-head"
TUNED = tuple(name for name, arm in ARMS.items() if arm.tuned)  # those that train an adapter
MEANS = {name: arm.members for name, arm in ARMS.items() if arm.members}
LANGUAGE_MODEL_CODE = (  # what is reached through the engine and the template that an arm is given
    "pipeline.lm.engine:shared_engine",
    "pipeline.lm.engine:Engine",
    "pipeline.lm.defaults:training_settings",
    "pipeline.prompts.templates:PromptTemplate",
    "pipeline.prompts.numbers:NumberFormat",
)
REACTION_CONTROLS = tuple(name for name, arm in ARMS.items() if arm.structureless)


def _groups(kind: Kind) -> dict[str, tuple[str, ...]]:
    """What names of several arms stand for."""
    baselines = tuple(arm for arm in arms_of(kind, BASELINE) if not ARMS[arm].by_name)
    language_models = arms_of(kind, LANGUAGE_MODEL)
    return {"baselines": baselines, "lm": language_models, "all": (*baselines, *language_models)}


GROUPS = {kind: _groups(kind) for kind in KINDS.values()}


def resolve_arms(names: Sequence[str], task: str, kind: Kind = MOLECULES) -> list[str]:
    """Expand groups, add the trivial controls, and put the arms in the order of the ladder.

    Arms of the user's own (``module:function``) stand behind the baselines.

    Raises
    ------
    InputError
        For a name that is neither an arm nor a group for rows of this kind.
    """
    order, groups = arms_of(kind), GROUPS[kind]
    chosen = {CONTROLS[task], *(name for name in order if ARMS[name].structureless)}
    own = tuple(dict.fromkeys(filter(is_own, names)))
    for name in own:
        add_own(name)
        if not ARMS[name].is_for(kind):
            raise InputError(f"arm {name!r} asks for features of molecules; this table holds {kind}")
    for name in names:
        if name in groups:
            chosen.update(member for member in groups[name] if task in ARMS[member].tasks)
        elif name in own or name in CONTROLS.values():
            continue
        elif name in order and task not in ARMS[name].tasks:
            raise InputError(f"arm {name!r} is for {' and '.join(ARMS[name].tasks)}; the target is {task}")
        elif name in order:
            chosen.add(name)
        elif name in ARMS:
            there = ", ".join(other.name for other in KINDS.values() if ARMS[name].is_for(other))
            raise InputError(f"arm {name!r} is for {there}; the arms for {kind} are {', '.join(order[2:])}")
        else:
            raise unknown("arm", name, [*order, *groups, "MODULE:FUNCTION"])
    found = [name for name in order if name in chosen]
    place = next((index for index, name in enumerate(found) if is_language_model(name)), len(found))
    return [*found[:place], *own, *found[place:]]


def is_language_model(arm: str) -> bool:
    return arm in LANGUAGE_MODELS or any(map(is_language_model, MEANS.get(arm, ())))


BLENDS = frozenset(filter(is_language_model, MEANS))  # means whose second member is a language model


def trained_shares(arm: str, share: float | None) -> dict[str, float]:
    """The arms that train an adapter of which an arm is made, and how much of it each makes; itself in whole if it is
    one of them.

    Parameters
    ----------
    share : float or None
        Of the second member of a blend; None where all members count alike.
    """
    if arm not in BLENDS:
        return {arm: 1.0} if arm in TUNED else {}
    members = MEANS[arm]
    weights = [1 / len(members)] * len(members) if share is None else [1 - share, share]
    return {member: weight for member, weight in zip(members, weights, strict=True) if member in TUNED}


def fitted_arms(arm: str) -> tuple[str, ...]:
    """The arms that are fitted for this one: itself, or the members of a mean, down to the last."""
    if arm not in MEANS:
        return (arm,)
    return tuple(dict.fromkeys(leaf for member in MEANS[arm] for leaf in fitted_arms(member)))


def layers_of(arm: str) -> tuple[int | None, int]:
    """How many layers of the language model an arm, or the member of a mean, uses (None: all) and trains."""
    return next(LAYERS[leaf] for leaf in fitted_arms(arm) if leaf in LAYERS)


def code_behind(arm: str, kind: Kind) -> tuple[str, ...]:
    """The definitions behind the predictions of an arm over rows of a kind, for `pipeline.cells.reach.code_of`."""
    leaves = fitted_arms(arm)
    roots = [root for leaf in leaves for root in ((ARMS[leaf].builders or {})[kind], ARMS[leaf].own) if root]
    return (*roots, *(LANGUAGE_MODEL_CODE if set(leaves) & set(LANGUAGE_MODELS) else ()))


def make_arm(
    arm: str,
    task: str,
    *,
    seed: int,
    threads: int,
    kind: Kind | None = None,
    columns: ReactionColumns | None = None,
    engine: Callable[[str], Any] | None = None,
    representation: Sequence[str] = (CANONICAL,),
    **language_model_options: Any,
) -> Any:
    """An unfitted estimator for any arm that is not a mean of others.

    Parameters
    ----------
    kind : Kind, optional
        What the rows are; molecules if not given, or reactions if there are columns.
    columns : ReactionColumns, optional
        Of a table of reactions.
    engine : callable, optional
        From the name of a language-model arm to its engine.
    representation : sequence of str
        The notations in which an arm that reads text is shown molecules.
    """
    kind = kind or (MOLECULES if columns is None else REACTIONS)
    if is_own(arm) and arm not in ARMS:  # in a helper's process
        add_own(arm)
    builder = ARMS[arm].builder(kind)
    if reads_notation(arm) and tuple(representation) != (CANONICAL,):
        options = {"kind": kind, "columns": columns, "engine": engine, **language_model_options}
        members = {
            text: make_arm(arm, task, seed=seed, threads=threads, **_shown_as(Representation.of(text), arm, options))
            for text in representation
        }
        return Spelled(members, seed)
    if arm in LANGUAGE_MODELS:
        if engine is None:
            raise ValueError(f"{arm} needs an engine")
        return builder(task, seed=seed, engine=engine(arm), **language_model_options)
    return builder(task, seed, threads) if columns is None else builder(task, seed, threads, columns)


def reads_notation(arm: str) -> bool:
    """Whether what an arm predicts hangs on the notation of a molecule."""
    return any(ARMS[leaf].reads_text or leaf in LANGUAGE_MODELS for leaf in fitted_arms(arm))


def _shown_as(one: Representation, arm: str, options: dict[str, Any]) -> dict[str, Any]:
    """The options of a language model that is shown a notation: those without symbols are cut as text, and a start
    from canonical SMILES is for these alone."""
    if arm not in LANGUAGE_MODELS:
        return options
    changed = {"template": replace(options["template"], symbols=one.has_symbols)}
    return {**options, **changed, **({} if one.notation == CANONICAL else {"start": PLAIN})}


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


def mean_of(members: Sequence[np.ndarray], share: float | None = None) -> np.ndarray:
    """Prediction (or class probabilities) of a mean arm, of which the second of two members makes this share; all
    count alike if it is not given."""
    if share is None:
        return np.mean(np.stack(members), axis=0)
    first, second = members
    found: np.ndarray = (1 - share) * first + share * second
    return found


class MeanArm(BaseEstimator):
    """Mean of the predictions (or class probabilities) of arms fitted on the same rows.

    Parameters
    ----------
    members : dict
        Name to unfitted estimator; they are fitted in place.
    share : float, optional
        How much of it the second of two members makes; all count alike if not given.
    """

    def __init__(self, members: dict[str, Any], share: float | None = None) -> None:
        self.members = members
        self.share = share

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
        return mean_of([member.predict(X) for member in self.members.values()], self.share)

    def predict_proba(self, X: Any) -> np.ndarray:
        return mean_of([member.predict_proba(X) for member in self.members.values()], self.share)


def engines(model: Any) -> list[Any]:
    """The engines under a fitted arm: none for a baseline."""
    if isinstance(model, (MeanArm, Spelled)):
        return [engine for member in model.members.values() for engine in engines(member)]
    return [model.engine] if hasattr(model, "engine") else []


def make_whole(
    arm: str,
    task: str,
    *,
    seed: int,
    threads: int,
    kind: Kind | None = None,
    columns: ReactionColumns | None = None,
    representation: Sequence[str] = (CANONICAL,),
    **language_model_options: Any,
) -> Any:
    """An unfitted estimator for any arm, a mean of others included."""
    if arm in MEANS:
        return MeanArm(
            {
                member: make_whole(
                    member,
                    task,
                    seed=seed,
                    threads=threads,
                    kind=kind,
                    columns=columns,
                    representation=representation,
                    **language_model_options,
                )
                for member in MEANS[arm]
            }
        )
    options = language_model_options if arm in LANGUAGE_MODELS else {}
    return make_arm(
        arm, task, seed=seed, threads=threads, kind=kind, columns=columns, representation=representation, **options
    )
