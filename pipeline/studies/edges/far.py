"""What is predicted of molecules far beyond all labels, beside molecules as strange whose labels are not extreme."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from rdkit import Chem

from pipeline.arms.ladder import is_language_model
from pipeline.cells.cell import Cell, measured
from pipeline.evaluation.bootstrap import group_weights
from pipeline.evaluation.estimates import Estimate, signs
from pipeline.evaluation.metrics import divide, regression_slope
from pipeline.evaluation.numbers import Interval
from pipeline.evaluation.seeded import SHARE, UNBOUNDED, Bounds, bounded_interval, of_one_pool, over_seeds, rarer
from pipeline.features.structures import morgan_bits, nearest_rows
from pipeline.runs.context import Context, Machine
from pipeline.runs.fits import new_arm
from pipeline.splits.rungs import butina
from pipeline.studies.edges import made as making
from pipeline.studies.edges.labels import ALMOST, FLATTENS, GOES_ON, HALF, SLOWLY, STOPS, UNTOLD
from pipeline.studies.edges.made import ABOVE, BELOW, INSIDE, MADE, SIDES
from pipeline.studies.edges.rows import DRAWN, LOWER, UPPER, Edge
from pipeline.studies.fitting import answers, fit_inputs, fit_on
from pipeline.studies.oracle import asked_oracle
from pipeline.studies.tested import HeldOut
from pipeline.studies.words import RESAMPLES
from pipeline.tables.table import STRUCTURE

WORK = "pipeline.studies.edges.far:train_and_look_far"
FAR = "far"  # the part of the study
TRAINED, PERMUTED = "all training rows", "permuted labels"
NULL_MODELS = 3  # of permuted labels, for each arm
ALIKE = 0.6  # Tanimoto from which on made molecules count as one group
SLOPE, SLOPE_MADE, SLOPE_TEST, LOST = "slope_far", "slope_made_inside", "slope_test", "slope_lost"
BEYOND, ERROR, ERROR_MADE, ERROR_TEST = "share_beyond_training", "mae_far", "mae_made_inside", "mae_test"
MEASURES: dict[str, Bounds] = {
    SLOPE: UNBOUNDED,
    SLOPE_MADE: UNBOUNDED,
    SLOPE_TEST: UNBOUNDED,
    LOST: UNBOUNDED,
    BEYOND: SHARE,
    ERROR: (0.0, np.inf),
    ERROR_MADE: (0.0, np.inf),
    ERROR_TEST: (0.0, np.inf),
}
OF_NULL = (SLOPE, SLOPE_MADE, LOST)
SLOWER, OF_HALF = "slower", "of half"
LEAST_MADE = 8  # molecules of a side, below which no slope is asked of them


def cells_of(context: Context, machine: Machine) -> list[Cell]:
    """What makes the molecules, and each model that predicts them; nothing without an oracle."""
    if asked_oracle(context) is None:
        return []
    makers = making.cells_of(context)
    models = [
        _cell(context, machine, arm, trained_on, number, tuple(makers))
        for arm in sorted(context.arms, key=is_language_model)
        for trained_on, count in ((TRAINED, context.settings.models), (PERMUTED, NULL_MODELS))
        for number in range(count)
    ]
    return [*makers, *models]


def _cell(context: Context, machine: Machine, arm: str, trained_on: str, number: int, makers: tuple[Cell, ...]) -> Cell:
    split, train = context.splits[0], _drawn(context, number)
    inputs = fit_inputs(context, machine, split, train, split.folds[0].test, arm, WORK)
    inputs |= {"reach": _reach(context), "seed": context.config.seed + number}
    tags = {"split": split.name, "part": FAR, "trained_on": trained_on, "arm": arm, "size": len(train), "model": number}
    return Cell(WORK, tags, inputs, makers, f"{arm}, {trained_on}, model {number + 1}", is_language_model(arm))


def _drawn(context: Context, number: int) -> list[str]:
    """The rows of one model: its share of all training rows, sorted."""
    pool = sorted(context.splits[0].folds[0].train)
    keys = np.random.default_rng([context.config.seed, number]).random(len(pool))
    return sorted(pool[place] for place in np.argsort(keys, kind="stable")[: round(DRAWN * len(pool))])


def _reach(context: Context) -> tuple[float, float]:
    """How far beyond the training labels values are asked for, in ranges of these."""
    low, high = making.ends_of(context)
    far = making.FARTHEST * float(context.table.targets.astype(np.float64).std()) / ((high - low) or 1.0)
    return far, far


def train_and_look_far(
    context: Context, machine: Machine, cell: Cell, needed: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """Train one model on its draw of all training rows; what it says of the made molecules and of the test rows."""
    split, tags, seed = context.splits[0], cell.tags, cell.inputs["seed"]
    X, train = context.table.inputs, _drawn(context, tags["model"])
    labels, sides = context.targets(split.folds[0]).loc[train].to_numpy(), context.table.censoring(train)
    if tags["trained_on"] == PERMUTED:
        labels, sides = np.random.default_rng(seed).permutation(labels), None
    made: dict[str, Any] = {}
    with measured(made):
        model = new_arm(context, machine, tags["arm"], seed, cell.label, _reach(context))
        fit_on(context, split, model, X.loc[train], labels, sides)
        smiles = [text for one in needed for text in one["smiles"]]
        new = pd.DataFrame({STRUCTURE: smiles}, dtype=object)
        made["of_made"] = answers(context, model, new)["prediction"] if smiles else []
        made |= answers(context, model, X.loc[list(split.folds[0].test)])
    return made


@dataclass(frozen=True)
class FarBeyond(HeldOut):
    """Models of the usual training rows on molecules that were made far beyond all labels, on such as were made in the
    same way inside, and on the test rows."""

    _samples: dict[tuple[str, str, str], dict[str, np.ndarray]] = field(default_factory=dict, init=False, repr=False)

    @property
    def arms(self) -> tuple[str, ...]:
        return self.context.arms

    @cached_property
    def makers(self) -> dict[str, Mapping[str, Any]]:
        """What was made, by side."""
        return {one["tags"]["trained_on"]: one for one in self.contents if one["tags"]["part"] == MADE}

    @cached_property
    def molecules(self) -> pd.DataFrame:
        """A row for each made molecule: its side, true value, group of similar ones, size, and how like it is to the
        training molecule that is nearest."""
        parts = [
            pd.DataFrame({"side": side, "smiles": self.makers[side]["smiles"], "truth": self.makers[side]["truth"]})
            for side in SIDES
        ]
        found = pd.concat(parts, ignore_index=True)
        found.insert(0, "row_id", [f"made {number + 1}" for number in range(len(found))])
        texts = [str(text) for text in found["smiles"]]
        train = self.context.table.inputs[STRUCTURE].loc[list(self.split.folds[0].train)]
        if not texts:
            return found.assign(group="", similarity=np.nan, heavy_atoms=0)
        bits = morgan_bits(texts)
        return found.assign(
            group=[f"made like {code}" for code in butina(bits, np.array(texts, dtype=object), ALIKE)],
            similarity=nearest_rows(bits, morgan_bits(train))[0],
            heavy_atoms=[Chem.MolFromSmiles(text).GetNumHeavyAtoms() for text in texts],
        )

    def of(self, side: str) -> np.ndarray:
        """Which made molecules are of a side. Shape (made,)."""
        found: np.ndarray = (self.molecules["side"] == side).to_numpy()
        return found

    @cached_property
    def sides(self) -> list[str]:
        """The sides beyond which enough molecules were made to ask for a slope, there and inside."""
        enough = {side for side in SIDES if self.of(side).sum() >= LEAST_MADE}
        return [side for side in (ABOVE, BELOW) if {side, INSIDE} <= enough]

    @cached_property
    def ends(self) -> tuple[float, float]:
        """The smallest and the largest label that any model was trained on."""
        labels = self.context.table.targets.astype(np.float64).loc[list(self.split.folds[0].train)]
        return float(labels.min()), float(labels.max())

    def edge(self, side: str) -> Edge:
        low, high = self.ends
        return Edge(UPPER, high, (), ()) if side == ABOVE else Edge(LOWER, low, (), ())

    @cached_property
    def said(self) -> dict[tuple[str, str], tuple[np.ndarray, np.ndarray]]:
        """Predictions by what was trained on and arm: of the made molecules and of the test rows. Shapes (models, made)
        and (models, n)."""
        found: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
        for one in sorted(self.contents, key=lambda one: one["tags"]["model"]):
            if one["tags"]["part"] == FAR:
                found.setdefault((one["tags"]["trained_on"], one["tags"]["arm"]), []).append(one)
        return {
            key: (
                np.array([one["of_made"] for one in several], dtype=np.float64),
                np.array([one["prediction"] for one in several], dtype=np.float64)[:, self.kept],
            )
            for key, several in found.items()
        }

    @cached_property
    def _weights(self) -> dict[str, np.ndarray]:
        """By side its molecules as they are, then resamples of their groups. Shapes (1 + resamples, molecules)."""
        found = {}
        for place, side in enumerate((*self.sides, INSIDE)):
            groups = self.groups_of(side)
            drawn = group_weights(groups, self.context.config.seed + 1 + place, RESAMPLES)
            found[side] = np.vstack([np.ones((1, len(groups))), drawn])
        return found

    def groups_of(self, side: str) -> np.ndarray:
        """The group of each made molecule of a side. Shape (molecules,)."""
        return self.molecules["group"].to_numpy(dtype=object)[self.of(side)]

    def _of(self, trained_on: str, arm: str, side: str) -> dict[str, np.ndarray]:
        """Each measure and what is tested. Shapes (models, 1 + resamples)."""
        of_made, of_test = self.said[trained_on, arm]
        truth = self.molecules["truth"].to_numpy(dtype=np.float64)
        far, inside = ((truth[self.of(one)], of_made[:, self.of(one)], self._weights[one]) for one in (side, INSIDE))
        test = self.truth.astype(np.float64), of_test, self.weights
        slopes, errors = ([measure(*rows) for rows in (far, inside, test)] for measure in (_slopes, _errors))
        found = {
            SLOPE: slopes[0],
            SLOPE_MADE: slopes[1],
            SLOPE_TEST: slopes[2],
            LOST: slopes[1] - slopes[0],
            BEYOND: _means(self.edge(side).beyond(far[1]).astype(float), far[2]),
            ERROR: errors[0],
            ERROR_MADE: errors[1],
            ERROR_TEST: errors[2],
            SLOWER: slopes[0] - ALMOST * slopes[1],
            OF_HALF: slopes[0] - HALF * slopes[1],
        }
        return {name: of_one_pool(values, DRAWN) for name, values in found.items()}

    def _groups(self, side: str, measure: str) -> np.ndarray:
        """Those that a measure rests on; of a difference of two sets of molecules, of that with fewer groups."""
        if measure in (SLOPE_TEST, ERROR_TEST):
            return self.groups
        if measure in (SLOPE_MADE, ERROR_MADE):
            return self.groups_of(INSIDE)
        if measure in (LOST, SLOWER, OF_HALF):
            both = np.concatenate([self.groups_of(side), self.groups_of(INSIDE)])
            return rarer(np.arange(len(both)) < self.of(side).sum(), both)
        return self.groups_of(side)

    def estimate(self, arm: str, side: str, measure: str, trained_on: str = TRAINED) -> Estimate:
        key = trained_on, arm, side
        if key not in self._samples:
            self._samples[key] = self._of(*key)
        return over_seeds(list(self._samples[key][measure]), self._groups(side, measure))

    def interval(self, arm: str, side: str, measure: str, trained_on: str = TRAINED) -> Interval:
        found = self.estimate(arm, side, measure, trained_on)
        return found.value, *bounded_interval(found, MEASURES[measure], self._groups(side, measure))

    @cached_property
    def told(self) -> dict[tuple[str, str, str], int]:
        """What is shown to be above (1) or below zero (-1), or not (0), by arm, side and question: p-values by Holm's
        method over arms and sides."""
        places = [(arm, side) for arm in self.arms for side in self.sides]
        found: dict[tuple[str, str, str], int] = {}
        for question in (SLOPE, SLOPE_MADE, LOST, SLOWER, OF_HALF):
            shown = signs([self.estimate(arm, side, question) for arm, side in places])
            found |= {(*place, question): sign for place, sign in zip(places, shown, strict=True)}
        return found

    def verdict(self, arm: str, side: str) -> str:
        """How an arm goes on far beyond the labels, in one phrase, judged beside molecules that were made inside."""
        rises, inside, slower, half = (
            self.told[arm, side, question] for question in (SLOPE, SLOPE_MADE, SLOWER, OF_HALF)
        )
        if inside <= 0:
            return UNTOLD
        if rises > 0 and half > 0 and slower >= 0:
            return GOES_ON
        if self.estimate(arm, side, BEYOND).value == 0:
            return STOPS
        if rises > 0 and slower < 0:
            return SLOWLY
        return FLATTENS if rises <= 0 and half < 0 else UNTOLD

    @property
    def verdicts_by_name(self) -> dict[str, dict[str, str]]:
        """By side and arm."""
        return {side: {arm: self.verdict(arm, side) for arm in self.arms} for side in self.sides}

    def off_by(self) -> tuple[float, float, int]:
        """By how much labels of the table and the oracle differ on the same molecules: the median, the same in standard
        deviations of the labels, and of how many molecules."""
        pairs = np.array(self.makers[INSIDE]["checked"], dtype=np.float64).reshape(-1, 2)
        if not len(pairs):
            return float("nan"), float("nan"), 0
        apart = float(np.median(np.abs(pairs[:, 0] - pairs[:, 1])))
        spread = float(self.context.table.targets.astype(np.float64).std())
        return apart, apart / spread if spread else float("inf"), len(pairs)

    def metrics(self) -> pd.DataFrame:
        """All measures with their intervals, and those of permuted labels."""
        asked = [(TRAINED, measure) for measure in MEASURES] + [(PERMUTED, measure) for measure in OF_NULL]
        return pd.DataFrame(
            self._row(arm, side, measure, trained_on)
            for trained_on, measure in asked
            for arm in self.arms
            for side in self.sides
        )

    def _row(self, arm: str, side: str, measure: str, trained_on: str) -> dict[str, Any]:
        value, low, high = self.interval(arm, side, measure, trained_on)
        groups = self._groups(side, measure)
        name = measure if trained_on == TRAINED else f"{measure}_permuted"
        about = {"split": self.split.name, "part": FAR, "trained_on": side, "arm": arm, "metric": name}
        seeds = len(self.said[trained_on, arm][0])
        return about | {"value": value, "low": low, "high": high} | _counts(groups) | {"seeds": seeds}

    def of_made(self, content: Mapping[str, Any]) -> pd.DataFrame:
        """What a model says of each made molecule, a row each."""
        frame = self.molecules[["row_id", "truth"]].assign(**content["tags"], prediction=content["of_made"])
        return frame.assign(cell_id=content["id"])


def _counts(groups: np.ndarray) -> dict[str, int]:
    return {"n": len(groups), "groups": len(set(groups))}


def _slopes(truth: np.ndarray, said: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Shape (models, 1 + resamples)."""
    return np.stack([regression_slope(truth, one, weights) for one in said])


def _errors(truth: np.ndarray, said: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Shape (models, 1 + resamples)."""
    return _means(np.abs(said - truth), weights)


def _means(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Shape (models, 1 + resamples)."""
    return divide(values @ weights.T, weights.sum(axis=1)[None, :])
