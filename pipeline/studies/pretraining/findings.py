"""What the starts and the layers say: curves, rows that a start is worth, and scores of probes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from pipeline.arms.ladder import CONTROLS
from pipeline.evaluation.bootstrap import group_weights
from pipeline.evaluation.estimates import LEVEL, Estimate, score_interval
from pipeline.evaluation.metrics import auroc, r2
from pipeline.evaluation.numbers import Interval
from pipeline.evaluation.seeded import over_seeds
from pipeline.lm.altered import RANDOM
from pipeline.studies.learning_curve.findings import Curves
from pipeline.studies.pretraining.probes import PUBLISHED
from pipeline.studies.pretraining.questions import QUESTIONS
from pipeline.studies.pretraining.starts import FROM_RANDOM, PERMUTED
from pipeline.studies.words import RESAMPLES
from pipeline.tables.targets import CLASSES

LAYER_COLUMNS = ["weights", "property", "layer", "chosen", "metric", "value", "low", "high", "n"]

LEAST_SEEDS_FOR_NULL = 3


@dataclass(frozen=True)
class Findings(Curves):
    """The curves of the starts, beside a constant and a model of text without pretraining."""

    @property
    def control(self) -> str:
        """The constant."""
        return CONTROLS[self.context.task]

    @property
    def arms(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(one["tags"]["arm"] for one in self.contents))

    @cached_property
    def compared(self) -> tuple[str, ...]:
        """All but the constant and the null."""
        return tuple(name for name in self.arms if name not in (self.control, PERMUTED))

    def worth(self) -> pd.DataFrame:
        """How many rows each start needs for the error that random weights have with each number of rows."""
        rows = [
            {"start": name, "size": size}
            | dict(zip(("rows_needed", "low", "high"), self.needed(FROM_RANDOM, name, size), strict=True))
            for name in self.compared
            if name != FROM_RANDOM
            for size in self.sizes
        ]
        return pd.DataFrame(rows)

    @cached_property
    def answers(self) -> dict[tuple[str, str, int], str]:
        """How the first of each pair of `QUESTIONS` stands beside the second with each size."""
        return self.told((one, other) for one, other, *_ in QUESTIONS if {one, other} <= set(self.arms))

    @cached_property
    def null(self) -> Estimate:
        """How far the predictions of permuted labels rank the test rows as the truth does, with the most rows: the
        rank correlation, or the AUROC less a half.

        A permuted vector of labels goes along with the true ones by chance, one way or the other as the seed has it;
        only a mean over seeds that is above zero beyond their spread shows that labels came by another way. (The
        error is no such test: other losses have other best constants.)
        """
        of_classes = self.context.task == CLASSES
        found = np.nan_to_num(self.scores("auroc" if of_classes else "spearman", PERMUTED, self.sizes[-1]))
        return over_seeds(list(found - 0.5 if of_classes else found), self.groups)

    @property
    def leaks(self) -> bool:
        """Whether something was learned from permuted labels."""
        return self.seeds >= LEAST_SEEDS_FOR_NULL and self.null.value > 0 and self.null.p_difference() < 1 - LEVEL

    def layers(self, contents: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
        """R² (AUROC for classes) on the test rows by weights, property and layer (0 is the embeddings); ``chosen`` is
        the layer that does best on training rows."""
        rows = [
            {"weights": one["tags"]["weights"], "property": name, "layer": layer}
            | {"chosen": layer == int(np.argmax(found["on_training"]))}
            | self._with_interval(found, self._probe_scores(found, predicted))
            for one in contents
            for name, found in one["found"].items()
            for layer, predicted in enumerate(found["by_layer"])
        ]
        return pd.DataFrame(rows, columns=LAYER_COLUMNS)

    def beyond_random(self, contents: Sequence[Mapping[str, Any]]) -> dict[str, Interval]:
        """By property, by how much the score of the published weights is above that of random ones, each at the layer
        that does best on training rows."""
        found = {one["tags"]["weights"]: one["found"] for one in contents}
        apart = {}
        for name, published in found.get(PUBLISHED, {}).items():
            scores = [
                self._probe_scores(one, one["by_layer"][int(np.argmax(one["on_training"]))])
                for one in (published, found[RANDOM][name])
            ]
            difference = self._with_interval(published, scores[0] - scores[1], (-np.inf, np.inf))
            apart[name] = (difference["value"], difference["low"], difference["high"])
        return apart

    def _groups_of(self, found: Mapping[str, Any]) -> np.ndarray:
        return np.array([self.split.groups.get(row, row) for row in found["rows"]], dtype=object)

    def _drawn(self, found: Mapping[str, Any]) -> np.ndarray:
        """The rows as they are, then resamples of their groups: the same for all layers and weights. Shape
        (1 + resamples, n)."""
        groups = self._groups_of(found)
        drawn = group_weights(groups, self.context.config.seed, RESAMPLES)
        return np.vstack([np.ones((1, len(groups))), drawn])

    def _probe_scores(self, found: Mapping[str, Any], predicted: Sequence[Any]) -> np.ndarray:
        """The score on the rows as they are, and in resamples of their groups. Shape (1 + resamples,)."""
        weights: np.ndarray = self.context.once(("weights", *found["rows"]), lambda: self._drawn(found))
        if found["kind"] != CLASSES:
            return r2(np.array(found["truth"], dtype=float), np.array(predicted), weights)
        truth, chances, labels = np.array(found["truth"]).astype(str), np.array(predicted), found["classes"]
        columns = [1] if len(labels) == 2 else range(len(labels))
        with np.errstate(invalid="ignore"):
            return np.mean([auroc(truth == labels[c], chances[:, c], weights) for c in columns], axis=0)

    def _with_interval(
        self, found: Mapping[str, Any], scores: np.ndarray, bounds: tuple[float, float] | None = None
    ) -> dict[str, Any]:
        of_classes = found["kind"] == CLASSES
        groups = self._groups_of(found)
        low, high = score_interval(scores[1:], groups, bounds=bounds or ((0.0, 1.0) if of_classes else (-np.inf, 1.0)))
        metric = "auroc" if of_classes else "r2"
        return {"metric": metric, "value": float(scores[0]), "low": low, "high": high, "n": len(groups)}
