"""One arm fitted on all rows of a table, with the residuals and the domain that its predictions need."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pipeline.arms.ladder import LANGUAGE_MODELS, ORDER, fitted_arms, is_language_model, make_whole
from pipeline.cells import versions
from pipeline.config import RunConfig
from pipeline.errors import InputError, unknown
from pipeline.evaluation.domain import Domain
from pipeline.evaluation.metrics import LABELS, PRIMARY
from pipeline.experiment import Run, binned_all, load_table, refuse_long_rows, validation_score
from pipeline.lm.defaults import TRAINED_LAYERS
from pipeline.lm.weights import PACKAGED, weights_identity
from pipeline.models.folder import SavedModel
from pipeline.reporter import Reporter
from pipeline.splits.groups import twin_groups
from pipeline.splits.splitters import fold_numbers, hold_out
from pipeline.tables.table import check_enough
from pipeline.tables.targets import CLASSES

CALIBRATION_FOLDS = 5
CALIBRATION_SHARE = 0.2  # held out once where an arm takes minutes to train


def fit_model(config: RunConfig, arm: str, reporter: Reporter, run_folder: Path | None = None) -> SavedModel:
    """Fit ``arm`` on all rows of the table that ``config`` names.

    The scores of a finished run over the same table, in ``run_folder``, go into the model's card.

    Baselines are calibrated by out-of-fold predictions over groups of twins; arms with a language
    model by one group hold-out, after which they are trained again on all rows.

    Raises
    ------
    InputError
        For an unknown arm or a table from which nothing can be learned.
    """
    if arm not in ORDER:
        raise unknown("arm", arm, ORDER)
    finished = read_run(run_folder) if run_folder else None
    run = Run(config, load_table(config, reporter), [], [arm], Path(config.out), reporter)
    if is_language_model(arm):
        refuse_long_rows(run)
    if config.max_rows:
        run.table = run.table.sample(config.max_rows, config.seed)
    check_enough(run.table, config.table, config.target)
    X, y = run.table.inputs, run.table.targets
    edges: list[float] = []
    if config.bins:
        y, edges = binned_all(y, config.bins)
    scores = []
    if finished and run_folder:
        scores = carried_scores(finished, run_folder, arm, run.table.fingerprint())
        if not scores:
            reporter.say(f"Warning: {run_folder} has no score of {arm} on these rows; none goes into the model card.")
    groups = twin_groups(run.table)
    residuals, calibration = calibrate(run, arm, X, y, groups)
    reporter.say(f"{arm} on all {len(y)} molecules")
    model = _fitted(run, arm, X, y, groups, f"{arm} on all rows")
    about = _about(run, arm, len(y)) | {
        "calibration": calibration,
        "scores": scores,
        "bin_edges": edges,
    }
    return SavedModel(model, about, Domain.fit(list(X["smiles"]), groups), residuals)


def _fitted(run: Run, arm: str, X: pd.DataFrame, y: pd.Series, groups: np.ndarray, label: str) -> Any:
    options: dict[str, Any] = {}
    if is_language_model(arm):
        options = {
            "engine": run.engine,
            "template": run.template,
            "steps": run.config.steps or None,
            "progress": lambda done, total: run.reporter.step(label, done, total),
        }
    model = make_whole(arm, run.task, seed=run.config.seed, threads=run.threads, **options)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # convergence and rank warnings of single fits; the result is scored
        return model.fit(X, y.to_numpy(), groups=groups)


def calibrate(
    run: Run, arm: str, X: pd.DataFrame, y: pd.Series, groups: np.ndarray
) -> tuple[np.ndarray, dict[str, Any]]:
    """Residuals on rows held out of a fit, and a score on the same rows."""
    strata = y.to_numpy() if run.task == CLASSES else np.zeros(len(y))
    if set(fitted_arms(arm)) & set(LANGUAGE_MODELS):
        masks = [hold_out(groups, strata, CALIBRATION_SHARE, run.config.seed)]
        how = f"held out of a first training on the other {int((~masks[0]).sum())}"
    else:
        k = min(CALIBRATION_FOLDS, len(set(groups)))
        numbers = fold_numbers(groups, strata, k, run.config.seed)
        masks = [numbers == number for number in range(k)]
        how = f"out of fold in {k} folds over groups of twins"
    width = len(run.classes) if run.task == CLASSES else 1
    found = np.full((len(y), width), np.nan)
    for number, held in enumerate(masks):
        if run.task == CLASSES and len(set(strata[~held])) < len(run.classes):
            continue
        label = f"calibration {number + 1}/{len(masks)}"
        run.reporter.say(f"{arm}, {label}: {int((~held).sum())} molecules, {int(held.sum())} held out")
        model = _fitted(run, arm, X[~held], y[~held], groups[~held], label)
        found[held] = _chances(model, run.classes, X[held]) if run.task == CLASSES else model.predict(X[held])[:, None]
    known = np.isfinite(found[:, 0])
    metric = PRIMARY[run.task]
    scored = found if run.task == CLASSES else found[:, 0]
    value = abs(validation_score(list(scored), y, run.task, run.classes)) if known.any() else None
    calibration = {"how": how, "n": int(known.sum()), "metric": LABELS[metric], "value": value}
    if run.task == CLASSES:
        return np.zeros(0), calibration
    return (y.to_numpy(dtype=np.float64) - found[:, 0])[known], calibration


def _chances(model: Any, classes: tuple[str, ...], X: pd.DataFrame) -> np.ndarray:
    chances = np.zeros((len(X), len(classes)))
    chances[:, [classes.index(str(label)) for label in model.classes_]] = model.predict_proba(X)
    return chances


def _about(run: Run, arm: str, n: int) -> dict[str, Any]:
    config, table = run.config, run.table
    language_model = None
    if is_language_model(arm):
        packaged = PACKAGED.get(config.model)
        language_model = {
            "model": config.model,
            "weights": weights_identity(config.model),
            "dtype": run.dtype,
            "trained_layers": TRAINED_LAYERS,
            "licence": packaged.licence if packaged else "see its own card",
        }
    return {
        "arm": arm,
        "task": run.task,
        "classes": list(run.classes),
        "target": config.target,
        "property_name": table.property_name,
        "units": table.units,
        "smiles": config.smiles,
        "context": list(table.context),
        "largest_fragment": config.largest_fragment,
        "representation": "canonical SMILES",
        "template": config.template,
        "language_model": language_model,
        "n_train": n,
        "refused": len(table.refused),
        "seed": config.seed,
        "data": {"source": Path(config.table).name, "fingerprint": table.fingerprint()},
        "versions": versions(),
    }


# -- from a run ------------------------------------------------------------------------------


def read_run(folder: Path) -> dict[str, Any]:
    """``run.json`` of a finished run."""
    path = folder / "run.json"
    try:
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return found if found["verdicts"] is not None else {}
    except (OSError, ValueError, KeyError) as error:
        raise InputError(f"{folder}: not the folder of a finished run (no readable run.json)") from error


def best_arm(run: dict[str, Any], folder: Path) -> str:
    """The arm that the verdict of the run's first split says to use.

    Raises
    ------
    InputError
        If that verdict names none.
    """
    first = run["verdicts"][0]
    if first["use"] is None:
        raise InputError(
            f"{folder}: the verdict names no arm to use ({first['sentence']}); name one yourself with --arm"
        )
    return str(first["use"])


def carried_scores(run: dict[str, Any], folder: Path, arm: str, fingerprint: str) -> list[dict[str, Any]]:
    """The arm's main metric on each split of a run over the same table; empty if the table differs."""
    if run.get("table") != fingerprint:
        return []
    metrics = pd.read_csv(folder / "metrics.csv")
    metric = PRIMARY[run["task"]]
    rows = metrics[(metrics["arm"] == arm) & (metrics["metric"] == metric)]
    kept = rows[["split", "value", "low", "high", "n"]].to_dict("records")
    return [
        {"run": folder.name, "metric": LABELS[metric], **{str(key): value for key, value in row.items()}}
        for row in kept
    ]
