"""From what models say of the test and of held-out decoys to what their training lacked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from pipeline.evaluation.bootstrap import group_weights
from pipeline.evaluation.detection import prior_corrected, share
from pipeline.evaluation.estimates import Estimate, signs
from pipeline.evaluation.metrics import auroc
from pipeline.evaluation.numbers import Interval
from pipeline.evaluation.seeded import APART, SHARE, bounded_interval, effective_groups, over_seeds
from pipeline.features.structures import MATCHED as MATCHED_PROPERTIES
from pipeline.features.structures import matched_properties
from pipeline.studies.negatives.doses import RANKING, Enough, smallest_enough
from pipeline.studies.negatives.molecules.experiment import (
    DOSE,
    EQUAL,
    FOREST,
    OVER_COUNTS,
    PERMUTED,
    PROPERTIES,
    TRUE,
    Experiment,
    Training,
)
from pipeline.studies.negatives.molecules.work import judged_kinds, training_of
from pipeline.studies.words import RESAMPLES

AUROC, ACCEPTED, FOUND = "auroc", "fpr", "tpr"
EVEN = "at even odds"  # decisions as if both classes were equally frequent
LOST, FLATTERY = "lost", "flattery"
NOTHING = 0.5  # AUROC of what says nothing


@dataclass(frozen=True)
class Findings:
    """What the models of one split say.

    A training stands for all its seeds here, under seed 0. What compares trainings is made seed by seed, on the same
    resamples of whole test groups and of held-out decoys.
    """

    experiment: Experiment
    contents: Sequence[Mapping[str, Any]]
    _rankings: dict[tuple[Training, str, str], list[np.ndarray]] = field(default_factory=dict, init=False, repr=False)

    @cached_property
    def by_training(self) -> dict[Training, list[Mapping[str, Any]]]:
        """The results of each training, by seed."""
        found: dict[Training, list[Mapping[str, Any]]] = {}
        for one in sorted(self.contents, key=lambda content: content["tags"]["seed"]):
            found.setdefault(replace(training_of(one["tags"]), seed=0), []).append(one)
        return found

    @property
    def seeds(self) -> int:
        return int(self.experiment.settings.seeds)

    @property
    def arms(self) -> tuple[str, ...]:
        return self.experiment.learners

    @property
    def most(self) -> float:
        """The largest dose."""
        return max(self.experiment.settings.doses)

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds of decoys that there are."""
        return judged_kinds(self.experiment)

    # -- rows --

    @cached_property
    def positive(self) -> np.ndarray:
        """Whether each test row is a positive. Shape (n,)."""
        return self.experiment.positive_tested

    @cached_property
    def sides(self) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """Of the positives, the negatives and the decoys of each kind the groups, and the rows as they are above
        resamples of their groups. Shapes (n,) and (1 + resamples, n)."""
        tested = self.experiment.tested
        found = {
            name: (tested.groups[rows], tested.weights[:, rows])
            for name, rows in (("positives", self.positive), (TRUE, ~self.positive))
        }
        for number, kind in enumerate(self.kinds):
            count = len(self.experiment.held_out(kind))
            own = np.array([f" decoy {place}" for place in range(count)], dtype=object)
            drawn = group_weights(own, self.experiment.seed + 1 + number, RESAMPLES)
            found[kind] = own, np.vstack([np.ones((1, count)), drawn])
        return found

    def rests_on(self, *names: str) -> np.ndarray:
        """The groups of that of these sides which has fewest."""
        return min((self.sides[name][0] for name in names), key=effective_groups)

    # -- by seed --

    def _scores(self, content: Mapping[str, Any], side: str) -> np.ndarray:
        if side in self.kinds:
            return np.array(content["scores"][side])
        scores = np.array(content["scores"][TRUE])
        return scores[self.positive if side == "positives" else ~self.positive]

    def rankings(self, training: Training, below: str = TRUE, above: str = "positives") -> list[np.ndarray]:
        """AUROC of one side above another, by seed. Each of shape (1 + resamples,)."""
        key = (training, below, above)
        if key not in self._rankings:
            found = []
            for content in self.by_training[training]:
                up, down = self._scores(content, above), self._scores(content, below)
                weights = np.hstack([self.sides[above][1], self.sides[below][1]])
                found.append(auroc(np.arange(len(up) + len(down)) < len(up), np.r_[up, down], weights))
            self._rankings[key] = found
        return self._rankings[key]

    def accepted(self, training: Training, even: bool = False) -> dict[str, list[np.ndarray]]:
        """The shares of negatives and of positives that are taken for positives, by seed."""
        found: dict[str, list[np.ndarray]] = {ACCEPTED: [], FOUND: []}
        for content in self.by_training[training]:
            scores, threshold = np.array(content["scores"][TRUE]), content["threshold"]
            if even:
                about = content["about"]
                known = about["positives"] / (about["positives"] + about["negatives"])
                scores = prior_corrected(np.clip(scores, 0.0, 1.0), known, 0.5)
            weights = self.experiment.tested.weights
            found[ACCEPTED].append(share(scores >= threshold, ~self.positive, weights))
            found[FOUND].append(share(scores >= threshold, self.positive, weights))
        return found

    # -- over seeds --

    def rate(self, training: Training, metric: str, even: bool = False) -> Interval:
        """The share of negatives (`ACCEPTED`) or of positives (`FOUND`) that are taken for positives."""
        side = TRUE if metric == ACCEPTED else "positives"
        return self._shown(self.accepted(training, even)[metric], self.sides[side][0], SHARE)

    def ranking(self, training: Training, below: str = TRUE, above: str = "positives") -> Interval:
        """AUROC of one side above another."""
        return self._shown(self.rankings(training, below, above), self.rests_on(above, below), SHARE)

    def _shown(self, per_seed: list[np.ndarray], groups: np.ndarray, bounds: tuple[float, float]) -> Interval:
        found = over_seeds(per_seed, groups)
        return found.value, *bounded_interval(found, bounds, groups)

    def with_negatives(self, training: Training) -> Training:
        """The training by true negatives, with as many rows, that another one is compared with: that of the same
        learner, or of a forest over the same features."""
        arm = FOREST if training.arm in OVER_COUNTS else training.arm
        return replace(training, scheme=DOSE, arm=arm, dose=self.most)

    def _less(self, one: list[np.ndarray], other: list[np.ndarray]) -> list[np.ndarray]:
        return [first - second for first, second in zip(one, other, strict=True)]

    # -- what is lost --

    @cached_property
    def lost(self) -> dict[Training, tuple[Estimate, int]]:
        """By how much each training without true negatives ranks worse than that with, with as many rows; and whether
        that is shown (1, or -1 where it ranks better)."""
        lacking = [one for one in self.by_training if one.scheme not in (DOSE, PERMUTED) and one.arm != PROPERTIES]
        chosen = [one for one in lacking if one.frame == EQUAL]
        groups = self.rests_on("positives", TRUE)
        found = [
            over_seeds(self._less(self.rankings(self.with_negatives(one)), self.rankings(one)), groups)
            for one in chosen
        ]
        return dict(zip(chosen, zip(found, signs(found, self.seeds > 1), strict=True), strict=True))

    def lost_interval(self, training: Training) -> Interval:
        """That of `lost`."""
        found, _ = self.lost[training]
        return found.value, *bounded_interval(found, APART, self.rests_on("positives", TRUE))

    @cached_property
    def flattery(self) -> dict[Training, tuple[Estimate, int]]:
        """By how much each model of decoys ranks held-out decoys of its kind better below the positives than the true
        negatives; and whether that is shown."""
        chosen = [one for one in self.by_training if one.scheme in self.kinds and one.arm != PROPERTIES]
        found = [
            over_seeds(
                self._less(self.rankings(one, one.scheme), self.rankings(one)),
                self.rests_on("positives", TRUE, one.scheme),
            )
            for one in chosen
        ]
        return dict(zip(chosen, zip(found, signs(found, self.seeds > 1), strict=True), strict=True))

    def flattery_interval(self, training: Training) -> Interval:
        """That of `flattery`."""
        found, _ = self.flattery[training]
        return found.value, *bounded_interval(found, APART, self.rests_on("positives", TRUE, training.scheme))

    @cached_property
    def of_properties(self) -> dict[str, tuple[Interval, int]]:
        """What logP and polar surface alone say of each kind of decoys, and of the true negatives, each after training
        on such: AUROC, and whether it is shown to lie above 0.5."""
        chosen = {kind: Training(kind, PROPERTIES, EQUAL, None, 0) for kind in self.kinds}
        chosen[TRUE] = Training(DOSE, PROPERTIES, EQUAL, self.most, 0)
        found = [self._apart_from_nothing(training, below) for below, training in chosen.items()]
        shown = signs(found, self.seeds > 1)
        return {
            below: (self.ranking(training, below), told)
            for (below, training), told in zip(chosen.items(), shown, strict=True)
        }

    @cached_property
    def null(self) -> dict[str, tuple[Interval, int]]:
        """AUROC of the models of classes that were dealt at random, and whether it is shown to differ from 0.5."""
        chosen = [one for one in self.by_training if one.scheme == PERMUTED]
        shown = signs([self._apart_from_nothing(one, TRUE) for one in chosen], self.seeds > 1)
        return {one.arm: (self.ranking(one), told) for one, told in zip(chosen, shown, strict=True)}

    def _apart_from_nothing(self, training: Training, below: str) -> Estimate:
        groups = self.rests_on("positives", below)
        return over_seeds([one - NOTHING for one in self.rankings(training, below)], groups)

    @cached_property
    def enough(self) -> dict[tuple[str, str], Enough]:
        """By arm and frame the smallest dose that ranks as well as the largest; of two doses at least."""
        found: dict[tuple[str, str], dict[float, list[np.ndarray]]] = {}
        for one in self.by_training:
            if one.scheme == DOSE and one.arm in self.arms and one.dose is not None:
                found.setdefault((one.arm, one.frame), {})[one.dose] = self.rankings(one)
        groups = self.rests_on("positives", TRUE)
        return {key: smallest_enough(RANKING, curve, groups) for key, curve in found.items() if len(curve) > 1}

    def hidden(self, training: Training) -> float:
        """Share of positives among the rows whose class is not looked at, the mean over seeds."""
        about = [content["about"] for content in self.by_training[training]]
        return float(np.mean([one["hidden"] / one["unlabelled rows"] for one in about]))

    # -- tables --

    def metrics(self) -> pd.DataFrame:
        """Every metric of every training."""
        rows: list[dict[str, Any]] = []
        for one in self.by_training:
            for below in (TRUE, *self.kinds):
                name = AUROC if below == TRUE else f"{AUROC}, held-out {below}"
                rows.append(self._row(one, name, self.ranking(one, below), ("positives", below)))
            for kind in self.kinds:
                name = f"{AUROC}, negatives above held-out {kind}"
                rows.append(self._row(one, name, self.ranking(one, kind, TRUE), (TRUE, kind)))
            readings = {"": False} | ({f" {EVEN}": True} if one.scheme == DOSE else {})
            for suffix, even in readings.items():
                for metric, side in ((ACCEPTED, TRUE), (FOUND, "positives")):
                    rows.append(self._row(one, f"{metric}{suffix}", self.rate(one, metric, even), (side,)))
            if one in self.lost:
                rows.append(self._row(one, LOST, self.lost_interval(one), ("positives", TRUE)))
            if one in self.flattery:
                rows.append(self._row(one, FLATTERY, self.flattery_interval(one), ("positives", TRUE, one.scheme)))
        return pd.DataFrame(rows)

    def _row(self, training: Training, metric: str, found: Interval, sides: Sequence[str]) -> dict[str, Any]:
        groups = np.concatenate([self.sides[name][0] for name in sides])
        named = {name: value for name, value in vars(training).items() if name != "seed"}
        return {
            "split": self.experiment.split.name,
            **named,
            "metric": metric,
            **dict(zip(("value", "low", "high"), found, strict=True)),
            "n": len(groups),
            "groups": len(set(groups)),
            "seeds": len(self.by_training[training]),
        }

    def matching(self) -> pd.DataFrame:
        """How far the means of properties are from those of the test's positives, in standard deviations of these: of
        the held-out decoys, and of the true negatives."""
        experiment = self.experiment
        rows = np.array(experiment.tested.test, dtype=object)
        positives = matched_properties(experiment.smiles(rows[self.positive]))
        others = {kind: matched_properties(experiment.held_out(kind)) for kind in self.kinds}
        others[TRUE] = matched_properties(experiment.smiles(rows[~self.positive]))
        spread = np.nanstd(positives, axis=0)
        return pd.DataFrame(
            {"split": experiment.split.name, "of": name, "property": word, "n": len(values)}
            | {"positives": positives[:, place].mean(), "others": values[:, place].mean()}
            | {"apart": (values[:, place].mean() - positives[:, place].mean()) / (spread[place] or 1.0)}
            for name, values in others.items()
            for place, word in enumerate(MATCHED_PROPERTIES)
        )

    def predictions(self) -> pd.DataFrame:
        """What each model said of each test row and each held-out decoy, which is named by its SMILES."""
        parts = []
        for content in self.contents:
            for side, scores in content["scores"].items():
                of_test = side == TRUE
                names = self.experiment.tested.test if of_test else self.experiment.held_out(side)
                truth = self.positive if of_test else np.zeros(len(names), dtype=bool)
                part = pd.DataFrame({"cell_id": content["id"], "row_id": names, "decoys": "" if of_test else side})
                tags = content["tags"]
                parts.append(
                    part.assign(**{**tags, "dose": np.nan if tags["dose"] is None else tags["dose"]}).assign(
                        positive=truth, score=scores, accepted=np.array(scores) >= content["threshold"]
                    )
                )
        return pd.concat(parts, ignore_index=True)
