"""What the starts and the layers say: curves, rows that a start is worth, and scores of probes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from pipeline.evaluation.bootstrap import group_weights
from pipeline.evaluation.estimates import score_interval
from pipeline.evaluation.metrics import auroc, r2
from pipeline.studies.learning_curve.findings import Curves
from pipeline.studies.pretraining.starts import FROM_RANDOM, PERMUTED, PRETRAINED, STARTS
from pipeline.studies.words import RESAMPLES
from pipeline.tables.targets import CLASSES

LAYER_COLUMNS = ["weights", "property", "layer", "metric", "value", "low", "high", "n"]


@dataclass(frozen=True)
class Findings(Curves):
    """The curves of the starts, beside a constant and a model of text without pretraining."""

    control: str = ""

    @property
    def arms(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(one["tags"]["arm"] for one in self.contents))

    @cached_property
    def starts(self) -> tuple[str, ...]:
        return tuple(name for name in STARTS if name in self.arms)

    @cached_property
    def compared(self) -> tuple[str, ...]:
        """All but the constant and the null."""
        return tuple(name for name in self.arms if name not in (self.control, PERMUTED))

    @cached_property
    def preferred(self) -> str:
        """What all are measured by."""
        return PRETRAINED

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
    def null(self) -> dict[int, str]:
        """How permuted labels stand beside the constant with each size."""
        found = self.beside(self.control, [PERMUTED])
        return {size: found[PERMUTED, size] for size in self.sizes}

    def predictions(self, content: Mapping[str, Any]) -> pd.DataFrame:
        """The predictions of a cell, one row each."""
        fold = self.split.folds[0]
        truth = self.context.targets(fold).loc[list(fold.test)].to_numpy()
        part = pd.DataFrame({"cell_id": content["id"], "row_id": list(fold.test), "truth": truth})
        part = part.assign(**content["tags"])
        if self.context.task != CLASSES:
            return part.assign(prediction=content["prediction"])
        chances = np.array(content["probabilities"])
        return part.assign(**{f"p_{label}": chances[:, place] for place, label in enumerate(self.context.classes)})

    def layers(self, contents: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
        """R² (AUROC for classes) on the test rows by weights, property and layer; 0 is the embeddings."""
        rows = [
            {"weights": one["tags"]["weights"], "property": name, "layer": layer} | self._probe_score(found, predicted)
            for one in contents
            for name, found in one["found"].items()
            for layer, predicted in enumerate(found["by_layer"])
        ]
        return pd.DataFrame(rows, columns=LAYER_COLUMNS)

    def _probe_score(self, found: Mapping[str, Any], predicted: Sequence[Any]) -> dict[str, Any]:
        groups = np.array([self.split.groups.get(row, row) for row in found["rows"]], dtype=object)
        drawn = group_weights(groups, self.context.config.seed, RESAMPLES)
        weights = np.vstack([np.ones((1, len(groups))), drawn])
        if found["kind"] == CLASSES:
            truth, chances, labels = np.array(found["truth"]).astype(str), np.array(predicted), found["classes"]
            columns = [1] if len(labels) == 2 else range(len(labels))
            with np.errstate(invalid="ignore"):
                samples = np.mean([auroc(truth == labels[c], chances[:, c], weights) for c in columns], axis=0)
            bounds = (0.0, 1.0)
        else:
            samples, bounds = r2(np.array(found["truth"], dtype=float), np.array(predicted), weights), (-np.inf, 1.0)
        low, high = score_interval(samples[1:], groups, bounds=bounds)
        metric = "auroc" if found["kind"] == CLASSES else "r2"
        return {"metric": metric, "value": float(samples[0]), "low": low, "high": high, "n": len(groups)}
