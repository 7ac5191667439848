"""How sure the predictions of a run are, and what tells which of them to doubt, on each of its splits.

Intervals and chances are calibrated on predictions of training rows by models that had not seen them (those on which a
baseline is chosen), so that no test row has a part in them. The residuals are of models of fewer rows than the one that
predicts: an interval is somewhat wide for rows drawn like the training rows, and what is left of it on a shifted split
is measured. Beyond an edge of an order predictions err to one side: there, the held-out rows lie beyond an inner edge,
and an interval reaches as far up, and as far down, as their residuals of that sign ask for.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from sklearn.neighbors import NearestNeighbors
from sklearn.preprocessing import StandardScaler

from pipeline.arms.ladder import LANGUAGE_MODEL_CODE, MEANS, is_language_model
from pipeline.arms.language_model import FrozenRegressor
from pipeline.cells.cell import Cell, digest, measured
from pipeline.cells.reach import code_of
from pipeline.evaluation.bootstrap import MIN_GROUPS, group_weights
from pipeline.evaluation.calibration import perfect_calibration_error, top_calibration_error, truth_losses
from pipeline.evaluation.error_ranking import error_auroc, relative_risk, risk_curve
from pipeline.evaluation.estimates import LEVEL, score_interval
from pipeline.evaluation.evaluations import REFERENCE, Evaluation
from pipeline.evaluation.intervals import (
    DEFAULT_LEVEL,
    DISTANCE,
    SPREAD,
    at_temperature,
    conformal_sides,
    expected_errors,
    temperature,
    within,
)
from pipeline.evaluation.metrics import divide, squared_errors, without_opinion
from pipeline.evaluation.seeded import SHARE, UNBOUNDED
from pipeline.features.similarity import nearest_neighbours
from pipeline.runs.context import Context, Machine, language_model_inputs
from pipeline.runs.fits import Fits
from pipeline.runs.held_out import EDGE, TWINS, training_folds, training_groups
from pipeline.splits.splitters import ORDERS, Fold, Split
from pipeline.tables.table import STRUCTURE
from pipeline.tables.targets import CLASSES

RESAMPLES, LEAST_RESAMPLES = 500, 100
MOST_WEIGHTS = 20_000_000  # resamples times rows that are held in memory
LEAST_RESIDUALS = 20
NEIGHBOURS = 5  # in the hidden space
HIDDEN, OWN = "hidden distance", "own"
SIGNALS = {
    DISTANCE: "distance to the nearest training structure (1 - Tanimoto)",
    HIDDEN: "distance to the five nearest training rows in the hidden space of the untouched language model, cut as "
    "the first of the language-model arms cuts it",
    SPREAD: "spread of the members of the ensemble",
    OWN: "the arm's own uncertainty: entropy of its probabilities, or the width of the interval that comes with its "
    "prediction",
}
DISTANCES = "pipeline.runs.certainty:hidden_distances"
FIXED, RAW, CALIBRATED = "fixed", "raw", "calibrated"
BY_DISTANCE, BY_SPREAD = f"by {DISTANCE}", f"by {SPREAD}"
METHODS = {
    FIXED: "the prediction plus or minus one number (where rows beyond an inner edge were held out: plus one number, "
    "minus another)",
    BY_DISTANCE: "wider the further a structure is from training",
    BY_SPREAD: "wider the more the members of the ensemble differ",
    OWN: "the interval that comes with the prediction, not calibrated",
    RAW: "the arm's probabilities as they are",
    CALIBRATED: "its probabilities rescaled to fit held-out training rows (temperature scaling)",
}


@dataclass(frozen=True)
class Certainty:
    """What is known of the errors of a run's predictions.

    Attributes
    ----------
    intervals : DataFrame
        ``split, arm, method, metric, value, low, high, n``. Numbers: ``coverage`` and mean ``width`` of 90 % intervals
        by each of `METHODS`; classes: ``ece`` and what it is for perfectly calibrated chances (``ece_if_perfect``),
        ``brier`` and ``log_loss``.
    signals : DataFrame
        ``split, arm, signal, metric, value, low, high, n, useful`` with the metrics ``error_auroc`` and
        ``relative_risk`` of `pipeline.evaluation.error_ranking`; ``useful`` if the error AUROC exceeds 0.5 at the 5 %
        level, corrected for the number of signals (Bonferroni).
    by_edge : dict
        The splits whose baselines were chosen and calibrated on training rows beyond an inner edge, to which end of
        the order that is.
    by_twins : tuple of str
        The splits whose training rows left no group to hold out, so that twins were kept together instead.
    curves : dict
        ``(split, arm)`` to the risk-coverage curve of each signal.
    rows : DataFrame
        One row per split, division, arm and test row: the signals, and the bounds or calibrated chances.
    """

    intervals: pd.DataFrame
    signals: pd.DataFrame
    by_edge: dict[str, str]
    by_twins: tuple[str, ...]
    curves: dict[tuple[str, str], dict[str, tuple[np.ndarray, np.ndarray]]]
    rows: pd.DataFrame


def assess(context: Context, contents: Sequence[Mapping[str, Any]], evaluations: Sequence[Evaluation]) -> Certainty:
    """Calibrate every arm that has predictions of its training rows, and judge the signals, split by split."""
    fits = Fits(contents)
    where = ("split", "repeat", "fold")
    hidden = {
        tuple(content["tags"][name] for name in where): content for content in contents if content["work"] == DISTANCES
    }
    intervals, signals, rows, by_twins = [], [], [], []
    by_edge, curves = {}, {}
    for split, evaluation in zip(context.splits, evaluations, strict=True):
        frames, kept = [], set()
        for number, fold in enumerate(sorted(split.folds, key=lambda fold: (fold.repeat, fold.fold))):
            masks, of_split = training_folds(context, split, fold, context.targets(fold))
            apart = hidden.get((split.name, fold.repeat, fold.fold))
            found = _of_fold(context, split, fold, fits, masks, apart, of_split == EDGE)
            frames.append(found.assign(division=number))
            kept.add(of_split)
        if TWINS in kept:
            by_twins.append(split.name)
        elif split.order and EDGE in kept:
            by_edge[split.name] = ORDERS[split.order.of]
        frame = pd.concat(frames, ignore_index=True)
        rows.append(frame.assign(split=split.name))
        aligned = _Aligned(evaluation, frame, context.config.seed)
        intervals += aligned.intervals(context.arms)
        for arm in (REFERENCE, *filter(is_language_model, context.arms)):
            if arm in evaluation.predicted:
                signals += aligned.signals(arm)
                curves[split.name, arm] = aligned.curves(arm)
    named = ["split", "arm", "method", "metric", "value", "low", "high", "n"]
    judged = ["split", "arm", "signal", "metric", "value", "low", "high", "n", "useful"]
    first = ["split", "repeat", "fold", "row_id", "arm"]
    whole = pd.concat(rows, ignore_index=True).drop(columns="division")
    return Certainty(
        pd.DataFrame(intervals, columns=named),
        pd.DataFrame(signals, columns=judged),
        by_edge,
        tuple(by_twins),
        curves,
        whole[[*first, *(column for column in whole.columns if column not in first)]],
    )


def with_calibrated_bounds(predictions: pd.DataFrame, certain: pd.DataFrame) -> pd.DataFrame:
    """Predicted numbers with the bounds of the calibrated 90 % intervals of the report as ``lower`` and ``upper``.

    They are empty where an arm has none.

    Parameters
    ----------
    certain : DataFrame
        The ``rows`` of a `Certainty`.
    """
    keys = ["split", "repeat", "fold", "row_id", "arm"]
    ends = {f"{FIXED} {end}": end for end in ("lower", "upper")}
    found = certain.reindex(columns=[*keys, *ends]).rename(columns=ends)
    joined = predictions.merge(found, on=keys, how="left", validate="one_to_one")
    behind = list(predictions.columns).index("prediction") + 1
    order = [*predictions.columns[:behind], *ends.values(), *predictions.columns[behind:]]
    return joined[order]


# -- one division --


def _of_fold(
    context: Context,
    split: Split,
    fold: Fold,
    fits: Fits,
    masks: Sequence[np.ndarray],
    hidden: Mapping[str, Any] | None,
    by_side: bool,
) -> pd.DataFrame:
    """The signals and bounds of every test row, for each arm; ``masks`` are those of `training_folds`, ``hidden`` what
    `hidden_distances` found, and bounds have a size for each side if ``by_side``."""
    train, test = list(fold.train), list(fold.test)
    y = context.targets(fold)
    smiles = context.table.inputs[STRUCTURE]

    def apart(new: list[str], old: list[str]) -> np.ndarray:
        return 1 - nearest_neighbours(list(smiles.loc[new]), list(smiles.loc[old]), context.table.kind)[0]

    signals = {DISTANCE: _far(apart, train, test, masks)}
    members = [fits.of(split, fold, arm) for arm in _committee(context.arms)]
    if members:
        held = [np.array(member["validation"], dtype=np.float64) for member in members]
        signals[SPREAD] = _spread([_predicted(context, member) for member in members]), _spread(held)
    if hidden is not None:
        signals[HIDDEN] = np.array(hidden["test"], dtype=np.float64), np.array(hidden["train"], dtype=np.float64)
    exact, groups = context.table.exact.loc[train].to_numpy(), training_groups(context, split, fold)
    frames = []
    for arm in context.arms:
        part = pd.DataFrame({"row_id": test, "repeat": fold.repeat, "fold": fold.fold, "arm": arm})
        for name, (of_test, _) in signals.items():
            part[name] = of_test
        cell = fits.of(split, fold, arm)
        if context.task == CLASSES:
            _add_chances(part, context, cell, y.loc[train], exact)
        else:
            truth = y.loc[train].to_numpy(dtype=np.float64)
            _add_bounds(part, cell, truth, exact, groups, signals, by_side, context.table.possible)
        frames.append(part)
    return pd.concat(frames, ignore_index=True)


def _far(
    distance: Callable[[list[str], list[str]], np.ndarray],
    train: list[str],
    test: list[str],
    masks: Sequence[np.ndarray],
) -> tuple[np.ndarray, np.ndarray]:
    """A distance to training: of the test rows, and of training rows to those that their held-out model was fitted on
    (NaN where none was)."""
    rows = np.array(train, dtype=object)
    of_train = np.full(len(train), np.nan)
    for mask in masks:
        of_train[mask] = distance(list(rows[mask]), list(rows[~mask]))
    return distance(test, train), of_train


def _committee(arms: Sequence[str]) -> tuple[str, ...]:
    """The members of the first mean of baselines among the arms."""
    return next((MEANS[arm] for arm in arms if arm in MEANS and not is_language_model(arm)), ())


def _predicted(context: Context, cell: Mapping[str, Any]) -> np.ndarray:
    return np.array(cell["probabilities"] if context.task == CLASSES else cell["prediction"], dtype=np.float64)


def _spread(members: Sequence[np.ndarray]) -> np.ndarray:
    """Standard deviation over the members; of chances its mean over the classes. Shape (n,)."""
    spread = np.std(np.stack(members), axis=0)
    return spread if spread.ndim == 1 else spread.mean(axis=1)


def _entropy(chances: np.ndarray) -> np.ndarray:
    """In nats. Shape (n,)."""
    return -(chances * np.log(np.maximum(chances, 1e-12))).sum(axis=1)


def _add_bounds(
    part: pd.DataFrame,
    cell: Mapping[str, Any],
    truth: np.ndarray,
    exact: np.ndarray,
    groups: np.ndarray,
    signals: Mapping[str, tuple[np.ndarray, np.ndarray]],
    by_side: bool,
    possible: tuple[float, float],
) -> None:
    """Bounds of 90 % intervals by each method that the arm allows, as ``lower`` and ``upper``, within what is
    ``possible``: every true value lies there, so that no interval loses one."""
    predicted = np.array(cell["prediction"], dtype=np.float64)
    if "lower" in cell:
        part[f"{OWN} lower"], part[f"{OWN} upper"] = (
            within(np.array(cell[end]), possible, predicted) for end in ("lower", "upper")
        )
        part[OWN] = np.array(cell["upper"]) - np.array(cell["lower"])
    residuals = truth - np.array(cell.get("validation", np.full(len(truth), np.nan)), dtype=np.float64)
    known = np.isfinite(residuals) & exact
    if known.sum() < LEAST_RESIDUALS:
        return
    errors = residuals[known]
    sizes = {FIXED: (np.ones(len(errors)), np.ones(len(predicted)))}
    for method, signal in ((BY_DISTANCE, DISTANCE), (BY_SPREAD, SPREAD)):
        if signal in signals:
            of_test, of_train = signals[signal]
            sizes[method] = expected_errors(errors, of_train[known], of_test, groups[known])
    for method, (of_held, of_test) in sizes.items():
        below, above = conformal_sides(errors / of_held, DEFAULT_LEVEL, by_side)
        part[f"{method} lower"] = within(predicted - below * of_test, possible, predicted)
        part[f"{method} upper"] = within(predicted + above * of_test, possible, predicted)


def _add_chances(
    part: pd.DataFrame, context: Context, cell: Mapping[str, Any], truth: pd.Series, exact: np.ndarray
) -> None:
    """The arm's chances as they are, and at the temperature that its held-out predictions ask for."""
    chances = without_opinion(_predicted(context, cell), cell["parse_failed"])  # as where arms are scored
    part[OWN] = _entropy(chances)
    made = {RAW: chances}
    if "validation" in cell:
        held = np.array(cell["validation"], dtype=np.float64)
        known = np.isfinite(held[:, 0]) & exact
        if known.sum() >= LEAST_RESIDUALS:
            codes = np.array([context.classes.index(label) for label in truth.to_numpy().astype(str)[known]])
            made[CALIBRATED] = at_temperature(chances, temperature(held[known], codes))
    for method, values in made.items():
        for place, label in enumerate(context.classes):
            part[f"{method} p_{label}"] = values[:, place]


# -- distances in the hidden space --


def plan_distances(context: Context, machine: Machine) -> list[Cell]:
    """One cell per division, where a language model is among the arms; its layers are those that are loaded anyway."""
    arm = next(filter(is_language_model, context.arms), None)
    if arm is None:
        return []
    inputs = {
        "neighbours": NEIGHBOURS,
        "code": code_of(DISTANCES, *LANGUAGE_MODEL_CODE),
        "table": context.table.fingerprint(),
        "language_model": {**language_model_inputs(context, machine), "layers": context.layers(arm)},
        "arm": arm,
    }
    found = []
    for split in context.splits:
        for fold in split.folds:
            masks, _ = training_folds(context, split, fold, context.targets(fold))
            tags = {"split": split.name, "repeat": fold.repeat, "fold": fold.fold}
            rows = digest(fold.train, fold.test, [mask.tolist() for mask in masks])
            label = f"{split.name}{split.named(fold)} distances to training"
            found.append(Cell(DISTANCES, tags, {**inputs, "rows": rows}, (), label, True))
    return found


def hidden_distances(
    context: Context, machine: Machine, cell: Cell, needed: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """Distances in the mean hidden state of the untouched language model: of the test rows, and of held-out training
    rows."""
    split, fold = context.division(cell.tags)
    masks, _ = training_folds(context, split, fold, context.targets(fold))

    def states() -> pd.DataFrame:
        machine.reporter.step("hidden states of the language model", 0, 1)
        inputs = context.table.inputs[context.table.inputs.index.isin(_in_use(context))]
        untouched = FrozenRegressor(machine.engine(context, cell.inputs["arm"]), context.template)
        return pd.DataFrame(untouched.states(inputs), index=inputs.index)

    known = context.once(("states", cell.inputs["arm"]), states)
    made: dict[str, Any] = {}
    with measured(made):
        of_test, of_train = _far(partial(_neighbour_distance, known), list(fold.train), list(fold.test), masks)
    return {**made, "test": of_test.tolist(), "train": of_train.tolist()}


def _in_use(context: Context) -> set[str]:
    """The rows of any division; with fewer training rows than there are, not all."""
    return {row for split in context.splits for fold in split.folds for row in (*fold.train, *fold.test)}


def _neighbour_distance(states: pd.DataFrame, new: list[str], old: list[str]) -> np.ndarray:
    """Mean distance to the `NEIGHBOURS` nearest of the old rows. Shape (new,)."""
    scaler = StandardScaler().fit(states.loc[old])
    near = NearestNeighbors(n_neighbors=min(NEIGHBOURS, len(old))).fit(scaler.transform(states.loc[old]))
    return near.kneighbors(scaler.transform(states.loc[new]))[0].mean(axis=1)


# -- one split --


class _Aligned:
    """The rows of `_of_fold` in the order of an evaluation, with resamples of its groups."""

    def __init__(self, evaluation: Evaluation, frame: pd.DataFrame, seed: int) -> None:
        self.evaluation = evaluation
        index = pd.MultiIndex.from_arrays([evaluation.division, evaluation.row_ids])
        by_arm = frame.set_index(["division", "row_id"]).groupby("arm", sort=False)
        self.parts = {str(arm): part.loc[index] for arm, part in by_arm}
        resamples = int(np.clip(MOST_WEIGHTS // len(evaluation.groups), LEAST_RESAMPLES, RESAMPLES))
        once = np.ones((1, len(evaluation.groups)))
        self.weights = np.vstack([once, group_weights(evaluation.groups, seed, resamples)])
        self.total = self.weights.sum(axis=1)

    def _row(self, arm: str, method: str, metric: str, samples: np.ndarray) -> tuple[Any, ...]:
        bounds = SHARE if metric == "coverage" else UNBOUNDED
        low, high = score_interval(samples[1:], self.evaluation.groups, bounds=bounds)
        return (self.evaluation.split, arm, method, metric, float(samples[0]), low, high, self._n)

    def _without_interval(self, arm: str, method: str, metric: str, value: float) -> tuple[Any, ...]:
        return (self.evaluation.split, arm, method, metric, value, np.nan, np.nan, self._n)

    @property
    def _n(self) -> int:
        return len(set(self.evaluation.row_ids))

    def intervals(self, arms: Sequence[str]) -> list[tuple[Any, ...]]:
        found = []
        for arm in arms:
            part = self.parts[arm]
            for method in METHODS:
                if f"{method} lower" in part and part[f"{method} lower"].notna().all():
                    lower, upper = (part[f"{method} {end}"].to_numpy(dtype=np.float64) for end in ("lower", "upper"))
                    inside = (self.evaluation.truth >= lower) & (self.evaluation.truth <= upper)
                    found.append(self._row(arm, method, "coverage", self._mean(inside)))
                    found.append(self._row(arm, method, "width", self._mean(upper - lower)))
                columns = [f"{method} p_{label}" for label in self.evaluation.classes]
                if columns and columns[0] in part and part[columns[0]].notna().all():
                    found += self._chance_rows(arm, method, part[columns].to_numpy(dtype=np.float64))
        return found

    def _chance_rows(self, arm: str, method: str, chances: np.ndarray) -> list[tuple[Any, ...]]:
        codes = np.searchsorted(self.evaluation.classes, self.evaluation.truth)
        return [
            self._without_interval(arm, method, "ece", top_calibration_error(chances, codes)),
            self._without_interval(arm, method, "ece_if_perfect", perfect_calibration_error(chances)),
            self._row(arm, method, "brier", self._mean(squared_errors(chances, codes))),
            self._row(arm, method, "log_loss", self._mean(truth_losses(chances, codes))),
        ]

    def _mean(self, values: np.ndarray) -> np.ndarray:
        return divide(self.weights @ values.astype(np.float64), self.total)

    def _errors(self, arm: str) -> np.ndarray:
        """Absolute errors, or whether a class is wrong. Shape (n,)."""
        predicted, truth = self.evaluation.predicted[arm], self.evaluation.truth
        return predicted != truth if self.evaluation.task == CLASSES else np.abs(predicted - truth)

    def _signals(self, arm: str) -> dict[str, np.ndarray]:
        """The signals that are known of every row; of the reference those that do not depend on the arm."""
        part = self.parts[next(iter(self.parts)) if arm == REFERENCE else arm]
        names = [name for name in SIGNALS if name in part and (name != OWN or arm != REFERENCE)]
        known = {name: part[name].to_numpy(dtype=np.float64) for name in names}
        if arm == REFERENCE and self.evaluation.task == CLASSES:
            known[OWN] = _entropy(self.evaluation.probabilities[REFERENCE])
        return {name: values for name, values in known.items() if np.isfinite(values).all()}

    def signals(self, arm: str) -> list[tuple[Any, ...]]:
        errors, known = self._errors(arm), self._signals(arm)
        found = []
        for name, values in known.items():
            ranked = error_auroc(errors, values, self.weights)
            sure, _ = score_interval(ranked[1:], self.evaluation.groups, 1 - (1 - LEVEL) / len(known))
            useful = bool(sure > 0.5 and self.evaluation.effective_groups >= MIN_GROUPS)
            for metric, samples in (
                ("error_auroc", ranked),
                ("relative_risk", relative_risk(errors, values, self.weights)),
            ):
                found.append((*self._row(arm, name, metric, samples), useful))
        return found

    def curves(self, arm: str) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        errors = self._errors(arm)
        return {name: risk_curve(errors, values) for name, values in self._signals(arm).items()}


# -- in words --
