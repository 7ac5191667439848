"""One arm fitted on all rows of a table, with the residuals and the domain that its predictions need."""

from __future__ import annotations

import json
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pipeline.arms.inputs import ReactionInput
from pipeline.arms.ladder import ORDER, REACTION_ORDER, fit_arm, is_language_model
from pipeline.config import RunConfig
from pipeline.errors import InputError, unknown
from pipeline.evaluation.domain import Domain
from pipeline.evaluation.metrics import LABELS, PRIMARY
from pipeline.experiment import (
    Run,
    binned_all,
    held_out_predictions,
    new_arm,
    start,
    starting_adapter,
    validation_score,
)
from pipeline.models.folder import SavedModel, about_language_model, about_model
from pipeline.reporter import Reporter
from pipeline.splits.groups import twin_groups
from pipeline.splits.splitters import fold_numbers, hold_out
from pipeline.tables.reaction_table import component_column
from pipeline.tables.reading import RawTable
from pipeline.tables.table import Table
from pipeline.tables.targets import CLASSES

CALIBRATION_FOLDS = 5
CALIBRATION_SHARE = 0.2  # held out once where an arm takes minutes to train


def fit_model(
    config: RunConfig,
    arm: str,
    reporter: Reporter,
    finished: FinishedRun | None = None,
    raw: RawTable | None = None,
) -> SavedModel:
    """Fit ``arm`` on all rows of the table that ``config`` names; it is read unless ``raw`` already holds it.

    The scores of a finished run over the same table go into the model's card.

    Baselines are calibrated by out-of-fold predictions over groups of twins; arms with a language
    model by one group hold-out, after which they are trained again on all rows.

    Raises
    ------
    InputError
        For an unknown arm or a table from which nothing can be learned.
    """
    order = REACTION_ORDER if config.has_reactions else ORDER
    if arm not in order:
        raise unknown("arm", arm, order)
    run = start(config, [arm], reporter, raw)
    table, X, y = run.table, run.table.inputs, run.table.targets
    edges: list[float] = []
    if config.bins:
        y, edges = binned_all(y, config.bins)
    scores = finished.scores(arm, table.fingerprint()) if finished else []
    if finished and not scores:
        reporter.say(f"Warning: {finished.folder} has no score of {arm} on these rows; none goes into the model card.")
    groups = twin_groups(table)
    residuals, calibration = calibrate(run, arm, X, y, groups)
    reporter.say(f"{arm} on all {len(y)} {table.rows_are}")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # convergence and rank warnings of single fits; the result is scored
        sides = table.censoring(list(X.index))
        model = fit_arm(new_arm(run, arm, f"{arm} on all rows"), X, y.to_numpy(), groups, sides)
    about = about_model(
        arm=arm,
        task=run.task,
        classes=run.classes,
        target=config.target,
        template=run.template,
        context=table.context,
        n_train=len(y),
        seed=config.seed,
        source=Path(config.table).name,
        fingerprint=table.fingerprint(),
        smiles=config.smiles,
        largest_fragment=config.largest_fragment,
        refused=len(table.refused),
        scale=table.scale,
        bounds={"use": table.bounds, "n": int((~table.exact).sum())},
        language_model=(
            about_language_model(config.model, run.dtype, *run.layers(arm), starting_adapter(run, arm))
            if is_language_model(arm)
            else None
        ),
        calibration=calibration,
        scores=scores,
        bin_edges=edges,
        reactions=_reaction_input(config, table) if table.has_reactions else None,
    )
    return SavedModel(model, about, Domain.fit(list(X["smiles"]), groups), residuals)


def _reaction_input(config: RunConfig, table: Table) -> ReactionInput:
    """How the table's rows were read, for those to come."""
    given = tuple(map(component_column, config.components))
    return ReactionInput(config.reaction, given, table.components, table.names)


def calibrate(
    run: Run, arm: str, X: pd.DataFrame, y: pd.Series, groups: np.ndarray
) -> tuple[np.ndarray, dict[str, Any]]:
    """Residuals on rows held out of a fit, and a score on the same rows."""
    strata = y.to_numpy() if run.task == CLASSES else np.zeros(len(y))
    if is_language_model(arm):
        masks = [hold_out(groups, strata, CALIBRATION_SHARE, run.config.seed)]
        how = f"held out of a first training on the other {int((~masks[0]).sum())}"
    else:
        k = min(CALIBRATION_FOLDS, len(set(groups)))
        numbers = fold_numbers(groups, strata, k, run.config.seed)
        masks = [numbers == number for number in range(k)]
        how = f"out of fold in {k} folds over groups of twins"
    if run.task == CLASSES:
        masks = [held for held in masks if len(set(strata[~held])) == len(run.classes)]

    def make(number: int) -> Any:
        held, label = masks[number], f"calibration {number + 1}/{len(masks)}"
        run.reporter.say(f"{arm}, {label}: {int((~held).sum())} {run.table.rows_are}, {int(held.sum())} held out")
        return new_arm(run, arm, label)

    found = held_out_predictions(run, masks, make, X, y, groups)
    known = np.isfinite(found[:, 0]) & run.table.exact.to_numpy()
    scored = found if run.task == CLASSES else found[:, 0]
    value = abs(validation_score(list(scored[known]), y[known], run.task, run.classes)) if known.any() else None
    calibration = {"how": how, "n": int(known.sum()), "metric": LABELS[PRIMARY[run.task]], "value": value}
    if run.task == CLASSES:
        return np.zeros(0), calibration
    return (y.to_numpy(dtype=np.float64) - found[:, 0])[known], calibration


@dataclass(frozen=True)
class FinishedRun:
    """The folder of a finished run and its ``run.json``."""

    folder: Path
    info: dict[str, Any]

    @classmethod
    def read(cls, folder: Path) -> FinishedRun:
        """Raise `InputError` if the folder holds no finished run."""
        try:
            info = json.loads((folder / "run.json").read_text(encoding="utf-8"))
            if not (isinstance(info, dict) and all(info.get(key) for key in ("settings", "task", "verdicts"))):
                raise ValueError("it lacks settings, task or verdicts")
        except (OSError, ValueError) as error:
            below = sorted(path.parent.name for path in folder.glob("*/run.json"))
            if below:
                raise InputError(
                    f"{folder}: holds one run per target; give one of them: "
                    f"{', '.join(str(folder / name) for name in below)}"
                ) from error
            raise InputError(f"{folder}: not the folder of a finished run (no readable run.json)") from error
        return cls(folder, info)

    @property
    def settings(self) -> dict[str, Any]:
        return dict(self.info["settings"])

    def best_arm(self) -> str:
        """The arm that the verdict of the first split says to use.

        Raises
        ------
        InputError
            If that verdict names none.
        """
        first = self.info["verdicts"][0]
        if first["use"] is None:
            raise InputError(
                f"{self.folder}: the verdict names no arm to use ({first['sentence']}); name one yourself with --arm"
            )
        return str(first["use"])

    def scores(self, arm: str, fingerprint: str) -> list[dict[str, Any]]:
        """The arm's main metric on each split; empty if the run was over another table."""
        if self.info.get("table") != fingerprint:
            return []
        metrics = pd.read_csv(self.folder / "metrics.csv")
        metric = PRIMARY[self.info["task"]]
        rows = metrics[(metrics["arm"] == arm) & (metrics["metric"] == metric)]
        kept = rows[["split", "value", "low", "high", "n"]].to_dict("records")
        return [
            {"run": self.folder.name, "metric": LABELS[metric], **{str(key): value for key, value in row.items()}}
            for row in kept
        ]
