"""Models that say of a reaction how likely it is to succeed, by what they were trained on."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
from sklearn.ensemble import IsolationForest, RandomForestClassifier
from sklearn.svm import OneClassSVM

from pipeline.arms.text_arms import TunedText
from pipeline.evaluation.detection import Scored
from pipeline.features.inputs import smiles_of
from pipeline.features.structures import differential_bits, morgan_counts, tanimoto
from pipeline.tables.reactions import FAILURE, SUCCESS

HELD_BACK = 0.2  # of the successes, to find where a one-class model draws its line
LINE = 0.05  # quantile of the successes held back
NEIGHBOURS = 5
SPIES = 0.15  # of the successes, hidden among the unlabelled
_LIKELIHOOD_BATCH = 8

Judge = Callable[[pd.DataFrame], Scored]
Features = Callable[[pd.DataFrame], np.ndarray]  # of shape (n, size), bits or counts


def over_reactions(X: pd.DataFrame) -> np.ndarray:
    """Differential reaction fingerprints (DRFP)."""
    return differential_bits(smiles_of(X))


def over_molecules(X: pd.DataFrame) -> np.ndarray:
    """Morgan counts."""
    return morgan_counts(smiles_of(X))


def always_yes(X: pd.DataFrame) -> Scored:
    """What a label model learns where every row has the same label."""
    return Scored(np.ones(len(X)), 0.5, np.ones(len(X)))


def by_labels(model: Any, X: pd.DataFrame, success: np.ndarray) -> Judge:
    """A classifier of success and failure; `always_yes` where there is nothing else to learn."""
    if success.all():
        return always_yes
    labels = np.where(success, SUCCESS, FAILURE)
    fitted = model.fit(X, labels)
    column = list(fitted.classes_).index(SUCCESS)

    def judge(new: pd.DataFrame) -> Scored:
        chance = fitted.predict_proba(new)[:, column]
        return Scored(chance, 0.5, chance)

    return judge


def by_yields(model: Any, X: pd.DataFrame, yields: np.ndarray, success_from: float) -> Judge:
    """A regression of the yield, which says yes from the threshold of success on."""
    fitted = model.fit(X, yields)

    def judge(new: pd.DataFrame) -> Scored:
        predicted = np.asarray(fitted.predict(new), dtype=np.float64)
        return Scored(predicted, success_from, None, predicted)

    return judge


def by_familiarity(
    make: Callable[[pd.DataFrame], Callable[[pd.DataFrame], np.ndarray]], X: pd.DataFrame, seed: int
) -> Judge:
    """A one-class model of the successes that says yes to all but what looks stranger than 95 % of those held back.

    Parameters
    ----------
    make : callable
        From successes to a function that gives new rows their familiarity.
    """
    held = np.zeros(len(X), dtype=bool)
    held[np.random.default_rng(seed).permutation(len(X))[: max(1, round(HELD_BACK * len(X)))]] = True
    familiarity = make(X[~held])
    line = float(np.quantile(familiarity(X[held]), LINE))
    return lambda new: Scored(familiarity(new), line)


def support_vectors(
    seed: int, features: Features = over_reactions
) -> Callable[[pd.DataFrame], Callable[[pd.DataFrame], np.ndarray]]:
    """One-class support vector machine with the Tanimoto kernel."""

    def make(X: pd.DataFrame) -> Callable[[pd.DataFrame], np.ndarray]:
        known = features(X)
        machine = OneClassSVM(kernel="precomputed", nu=LINE).fit(tanimoto(known, known))
        return lambda new: machine.decision_function(tanimoto(features(new), known))

    return make


def isolation(
    seed: int, features: Features = over_reactions
) -> Callable[[pd.DataFrame], Callable[[pd.DataFrame], np.ndarray]]:
    """Isolation forest."""

    def make(X: pd.DataFrame) -> Callable[[pd.DataFrame], np.ndarray]:
        forest = IsolationForest(n_estimators=300, random_state=seed).fit(features(X))
        return lambda new: forest.score_samples(features(new))

    return make


def familiarity(similar: np.ndarray) -> np.ndarray:
    """Mean similarity to the five nearest of what is known. Shape (n,).

    Parameters
    ----------
    similar : ndarray of shape (n, known)
    """
    return np.sort(similar, axis=1)[:, -NEIGHBOURS:].mean(axis=1).astype(np.float64)


def neighbours(
    seed: int, features: Features = over_reactions
) -> Callable[[pd.DataFrame], Callable[[pd.DataFrame], np.ndarray]]:
    """Mean Tanimoto similarity to the five nearest successes."""

    def make(X: pd.DataFrame) -> Callable[[pd.DataFrame], np.ndarray]:
        known = features(X)

        return lambda new: familiarity(tanimoto(features(new), known))

    return make


class Likelihood(TunedText):
    """A language model tuned to write the successes; how much likelier than before it finds a reaction, per token."""

    def fit(self, X: Any, y: Any = None, groups: Any = None) -> Likelihood:
        prompts = self._training_prompts(X)
        self.shared_ = self.shared()
        self._fit_last(prompts, self._predicted(prompts))
        return self

    def _predicted(self, prompts: list[tuple[int, ...]]) -> list[tuple[int, ...]]:
        """The tokens of each prompt that others of its own come before."""
        return [prompt[self.shared_ + 1 :] for prompt in prompts]

    def familiarity(self, X: Any) -> np.ndarray:
        """``(log p(tuned) - log p(base)) / tokens``. Shape (n,)."""
        prompts = self.prompts(X)
        with self.with_adapters():
            tuned = self._log_probabilities(prompts)
        return tuned - self._log_probabilities(prompts)

    def _log_probabilities(self, prompts: list[tuple[int, ...]]) -> np.ndarray:
        return -self._answer_losses(prompts, self._predicted(prompts), _LIKELIHOOD_BATCH)


def unlabelled(
    kind: str,
    X: pd.DataFrame,
    known: np.ndarray,
    seed: int,
    threads: int,
    features: Features = over_reactions,
) -> Judge:
    """Learning from successes and rows of which nothing is said, by random forests.

    Both take the known successes for a random draw of all successes. ``bagging`` (Mordelet and Vert 2014) averages
    forests trained against draws of the unlabelled; ``elkan-noto`` (Elkan and Noto 2008) divides the chance of being
    known by its mean over known rows held back.

    Parameters
    ----------
    kind : {"bagging", "elkan-noto"}
    known : ndarray of bool, shape (n,)
        The successes that are known; the others are unlabelled.
    """
    from pulearn import BaggingPuClassifier, ElkanotoPuClassifier

    bits = features(X).astype(np.float32)
    forest = RandomForestClassifier(n_estimators=100, random_state=seed, n_jobs=threads)
    if kind == "bagging":
        forest.set_params(n_estimators=10)
        model = BaggingPuClassifier(forest, n_estimators=30, random_state=seed)
    else:
        model = ElkanotoPuClassifier(forest, hold_out_ratio=HELD_BACK, random_state=_holding(known, seed))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the scikit-learn functions that the package still calls
        model.fit(bits, known.astype(int))

    def judge(new: pd.DataFrame) -> Scored:
        chance = model.predict_proba(features(new).astype(np.float32))[:, 1]
        return Scored(chance, 0.5, np.clip(chance, 0.0, 1.0))

    return judge


def _holding(known: np.ndarray, seed: int) -> int:
    """The first seed from this one on whose held-back rows, as the package draws them, hold a known success."""
    size = int(np.ceil(HELD_BACK * len(known)))
    for candidate in range(seed, seed + 1_000):
        rows = np.arange(len(known))
        np.random.RandomState(candidate).shuffle(rows)
        if known[rows[:size]].any():
            return candidate
    raise ValueError(f"no draw of {size} of {len(known)} rows holds a known success")


def by_spies(make: Callable[[], Any], X: pd.DataFrame, known: np.ndarray, seed: int) -> Judge:
    """Successes against reliable failures, found with spies (Liu et al. 2002).

    Some successes hide among the unlabelled while a first model tells the two apart; unlabelled rows that it finds
    less likely than 95 % of the spies count as failures for a second.
    """
    rng = np.random.default_rng(seed)
    successes = np.flatnonzero(known)
    spies = rng.permutation(successes)[: max(2, round(SPIES * len(successes)))]
    said = known.copy()
    said[spies] = False
    first = by_labels(make(), X, said)(X).score
    line = np.quantile(first[spies], LINE)
    failures = ~known & (first < line)
    if not failures.any():
        return always_yes
    kept = known | failures
    return by_labels(make(), X[kept], known[kept])
