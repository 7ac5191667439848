"""One HTML file that explains a run, works offline, and can be printed."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment
from markupsafe import Markup

from pipeline import __version__
from pipeline.arms.catalogue import ARMS
from pipeline.arms.ladder import TUNED, is_language_model
from pipeline.evaluation.comparison import FIRST
from pipeline.evaluation.evaluations import CONTROL, REFERENCE, Evaluation, exact_rows
from pipeline.evaluation.metrics import CLASS_METRICS, LABELS, PRIMARY, REGRESSION_METRICS
from pipeline.evaluation.noise import measurement_noise, noise_sentence
from pipeline.evaluation.verdict import drop_sentence, ladder_sentence, number, reference_name
from pipeline.features.structures import nearest_neighbours
from pipeline.files import write_atomically
from pipeline.lm.pretrained import described_start, has_seen
from pipeline.report import figures
from pipeline.report.drawings import structure
from pipeline.report.environment import page_environment, plain
from pipeline.report.sections import file_name
from pipeline.runs.certainty import METHODS, SIGNALS
from pipeline.runs.certainty_words import sentences
from pipeline.runs.held_out import INNER_FOLDS
from pipeline.runs.training_seeds import seed_sentence
from pipeline.splits.splitters import Split
from pipeline.studies.compare import Outcome, best_possible, noise_contradicted
from pipeline.tables.table import STRUCTURE
from pipeline.tables.targets import CLASSES

WORST = 20
REFUSED_SHOWN = 50
Neighbours = tuple[np.ndarray, np.ndarray]  # as `_neighbours` gives them


def write_report(outcomes: Sequence[Outcome], out: Path) -> Path:
    """Write ``report.html`` over one run, or over the runs of several targets; returns its path.

    The figures are written beside the data of their run as well.
    """
    environment = page_environment()
    several = len(outcomes) > 1
    anchors = [f"target-{number}" if several else "" for number in range(1, len(outcomes) + 1)]
    runs = [_run_part(environment, *pair, out) for pair in zip(outcomes, anchors, strict=True)]
    page = environment.get_template("page.html.j2").render(
        title=outcomes[0].table.name,
        version=__version__,
        targets=list(zip(outcomes, anchors, strict=True)) if several else [],
        runs=runs,
    )
    path = out / "report.html"
    write_atomically(path, page)
    return path


def _run_part(environment: Environment, outcome: Outcome, anchor: str, out: Path) -> Markup:
    """What the page says of one run; ``anchor`` names its target among several."""
    neighbours = [_neighbours(outcome, *pair) for pair in zip(outcome.evaluations, outcome.splits, strict=True)]
    drawn = _figures(outcome, [similarity for similarity, _ in neighbours])
    for name, svg in drawn.items():
        write_atomically(Path(outcome.config.out) / "figures" / f"{name}.svg", svg)
    content = _content(outcome, out, neighbours)
    if anchor:
        content["title"] = outcome.config.target
    template = environment.get_template("run.html.j2")
    return Markup(template.render(**content, figures=drawn, anchor=anchor, prefix=f"{anchor}-" if anchor else ""))


def _figures(outcome: Outcome, similarities: Sequence[np.ndarray]) -> dict[str, str]:
    units, evaluations = outcome.table.units, outcome.evaluations
    drawn = {"leaderboard": figures.leaderboard(evaluations, outcome.metrics, outcome.arms, units)}
    if len(outcome.arms) > 1:
        drawn["matrix"] = figures.comparison_matrix(evaluations, outcome.comparisons, outcome.arms, units)
    if len(evaluations) > 1:
        drawn["slopes"] = figures.slopes(evaluations, outcome.arms, units)
    for evaluation, similarity in zip(evaluations, similarities, strict=True):
        shown = figures.main_arms(evaluation, outcome.arms, evaluation.main_baseline)
        name = file_name(evaluation.split)
        if evaluation.task == CLASSES:
            drawn[f"curves-{name}"] = figures.class_curves(evaluation, shown)
        else:
            drawn[f"parity-{name}"] = figures.parity(evaluation, shown, units)
        drawn[f"similarity-{name}"] = figures.error_by_similarity(evaluation, similarity, shown, units)
    certainty = outcome.certainty
    if len(certainty.intervals):
        drawn["certainty"] = figures.certainty_by_split(certainty.intervals, evaluations, _shown(outcome), units)
    if len(certainty.signals):
        drawn["signals"] = figures.error_auroc_by_signal(certainty.signals, evaluations)
        drawn["risk"] = figures.risk_coverage(certainty.curves, evaluations, units)
    tuned = [cell for cell in outcome.cells if "curve" in cell]
    if tuned:
        drawn["training"] = figures.training_curves(tuned)
    return drawn


def _shown(outcome: Outcome) -> list[str]:
    """The arms worth a line in a figure over all splits: the preferred baselines and the language models."""
    preferred = {evaluation.main_baseline for evaluation in outcome.evaluations} - set(CONTROL.values())
    return [arm for arm in outcome.arms if arm in preferred or is_language_model(arm)] or list(outcome.arms)


def _neighbours(outcome: Outcome, evaluation: Evaluation, split: Split) -> Neighbours:
    """Similarity and row id of the nearest training molecule of each test row, in its own fold."""
    smiles = outcome.table.inputs[STRUCTURE]
    similarity: dict[tuple[int, int, str], float] = {}
    nearest: dict[tuple[int, int, str], str] = {}
    for fold in split.folds:
        best, index = nearest_neighbours(list(smiles.loc[list(fold.test)]), list(smiles.loc[list(fold.train)]))
        for row_id, value, position in zip(fold.test, best, index, strict=True):
            similarity[fold.repeat, fold.fold, row_id] = float(value)
            nearest[fold.repeat, fold.fold, row_id] = fold.train[position]
    keys = _row_keys(outcome, evaluation)
    return np.array([similarity[key] for key in keys]), np.array([nearest[key] for key in keys], dtype=object)


def _row_keys(outcome: Outcome, evaluation: Evaluation) -> list[tuple[int, int, str]]:
    frame = exact_rows(outcome.predictions)
    part = frame[(frame["split"] == evaluation.split) & (frame["arm"] == outcome.arms[0])]
    rows = part.sort_values(["repeat", "fold", "row_id"])[["repeat", "fold", "row_id"]]
    return [(int(repeat), int(fold), str(row_id)) for repeat, fold, row_id in rows.to_numpy(dtype=object)]


def _content(outcome: Outcome, out: Path, neighbours: Sequence[Neighbours]) -> dict[str, Any]:
    table, config = outcome.table, outcome.config
    metrics = CLASS_METRICS if outcome.evaluations[0].task == CLASSES else REGRESSION_METRICS
    return {
        "version": __version__,
        "title": table.name,
        "rows_are": table.rows_are,
        "row_is": table.rows_are.removesuffix("s"),
        "task": outcome.evaluations[0].task,
        "task_reason": table.task_reason,
        "property": table.property_name,
        "units": table.units,
        "bins": config.bins,
        "transform": table.scale.explained(),
        "verdicts": outcome.verdicts,
        "drops": _drops(outcome),
        "seeds": seed_sentence(
            outcome.seed_spreads, [arm for arm in outcome.arms if arm in TUNED], outcome.evaluations
        ),
        "pretraining": _pretraining(outcome),
        "margins": {split: margin for split, margin in outcome.info["margins"].items() if margin},
        "first": _first(outcome),
        "with_reference": any(evaluation.reference for evaluation in outcome.evaluations),
        "parts": INNER_FOLDS,
        "divided": [evaluation.split for evaluation in outcome.evaluations if evaluation.divisions > 1],
        "whole": [one.split for one in outcome.evaluations if one.divisions == 1 and not one.refits],
        "edges": [one.split for one in outcome.evaluations if one.refits],
        "repeated": any(split.repeats > 1 for split in outcome.splits),
        "tuned": [arm for arm in outcome.arms if is_language_model(arm)],
        "left_out": outcome.context.left_out,
        "rungs_left_out": outcome.context.rungs_left_out,
        "certain": sentences(outcome.certainty, outcome.evaluations),
        "interval_table": _interval_table(outcome),
        "methods": METHODS,
        "signals": {name: SIGNALS[name] for name in outcome.certainty.signals["signal"].unique()},
        "ladder": ladder_sentence(outcome.verdicts, outcome.comparisons),
        **_of_table(outcome),
        "split_cards": outcome.split_cards,
        "metrics": [(metric, LABELS[metric]) for metric in metrics],
        "primary": LABELS[PRIMARY[outcome.evaluations[0].task]],
        "positive": outcome.evaluations[0].positive,
        "classes": outcome.evaluations[0].classes,
        "boards": [_board(outcome, evaluation, metrics) for evaluation in outcome.evaluations],
        "comparisons": [
            {"split": verdict.split, "rows": [*verdict.comparisons, *verdict.against_control]}
            for verdict in outcome.verdicts
        ],
        "descriptions": [(arm, ARMS[arm].does) for arm in outcome.arms],
        "answers": _answers(outcome),
        "worst": [
            _worst(outcome, evaluation, *nearest)
            for evaluation, nearest in zip(outcome.evaluations, neighbours, strict=True)
        ],
        "slugs": {evaluation.split: file_name(evaluation.split) for evaluation in outcome.evaluations},
        **_of_making(outcome, out),
    }


def _of_table(outcome: Outcome) -> dict[str, Any]:
    """What became of the rows."""
    table = outcome.table
    return {
        "rows": outcome.info["rows"],
        "refused": table.refused.head(REFUSED_SHOWN).to_dict("records"),
        "refused_total": len(table.refused),
        "merged": int(table.frame["n_merged"].sum() - len(table)),
        "remarks": table.remarks,
        "warnings": table.warnings,
        "noise": _noise(outcome),
    }


def _of_making(outcome: Outcome, out: Path) -> dict[str, Any]:
    """How the run was made, and how it is made again."""
    return {
        "command": f"chemtune run {shlex.quote(str(out / 'config.yaml'))} --out {shlex.quote(str(out))}",
        "info": outcome.info,
        "settings": outcome.info["settings"],
        "seconds": outcome.info["seconds"],
        "peak_mb": max(cell["peak_mb"] for cell in outcome.cells),
        "gpu_peak_mb": max(cell.get("gpu_peak_mb", 0.0) for cell in outcome.cells),
        "language_models": _language_models(outcome),
    }


def _noise(outcome: Outcome) -> list[str]:
    """What repeated measurements say, and the scores on each split of a model without an error of its own."""
    table = outcome.table
    noise = measurement_noise(table.frame)
    if noise is None or outcome.evaluations[0].task == CLASSES:
        return []
    said = [noise_sentence(noise, table.units, table.rows_are)]
    for evaluation in outcome.evaluations if noise.deviation else ():
        best = best_possible(table, noise, evaluation)
        if noise_contradicted(best, evaluation):
            said.append(
                f"On the {evaluation.split} split an arm has smaller errors than noise of that size gives on average: "
                "the estimate does not hold for the tested rows, and no best possible score is given."
            )
            continue
        reached = "would hardly do better than" if noise.doubtful else "would have"
        said.append(
            f"On the {evaluation.split} split a model without an error of its own {reached} MAE "
            f"{number(best['mae'])}, RMSE {number(best['rmse'])} and R² {number(best['r2'])}."
        )
    return said


def _language_models(outcome: Outcome) -> list[dict[str, Any]]:
    """The settings of each arm that trains an adapter, in its first cell."""
    used: dict[str, dict[str, Any]] = {}
    for cell in outcome.cells:
        arm = cell["tags"]["arm"]
        if _is_tuned(cell):
            about = cell["inputs"]["language_model"]
            used.setdefault(arm, about | {"arm": arm, "start": described_start(about["start"])})
    return list(used.values())


def _pretraining(outcome: Outcome) -> str:
    """That no split of a table is a shift for a start that has seen its structures."""
    starts = {
        cell["tags"]["arm"]: cell["inputs"]["language_model"]["start"] for cell in outcome.cells if _is_tuned(cell)
    }
    arms = [arm for arm, start in starts.items() if has_seen(start, outcome.config.table)]
    plain = ("random", "label-high", "label-low", "time:")  # these shift no structures, or others besides
    shifted = [one.split for one in outcome.evaluations if not one.split.startswith(plain)]
    if not arms or not shifted:
        return ""
    start = f"{' and '.join(arms)} start{'s' * (len(arms) == 1)}"
    return (
        f"What {start} from has learned descriptors of all structures of this table, without a measured value: on "
        f"{', '.join(shifted)} the tested structures are not new to it. --start plain goes without."
    )


def _first(outcome: Outcome) -> str:
    """The arm of the primary comparison, where there is one on some split."""
    pairs = [pair for comparisons in outcome.comparisons for pair in comparisons.found]
    return outcome.info["primary"] if any(pair.family == FIRST for pair in pairs) else ""


def _is_tuned(cell: Mapping[str, Any]) -> bool:
    return cell["tags"]["arm"] in TUNED


def _drops(outcome: Outcome) -> list[str]:
    """From the first split to each other: the preferred baseline and every language-model arm."""
    first, *others = outcome.evaluations
    arms = [arm for arm in outcome.arms if is_language_model(arm)]
    sentences = []
    for other in others:
        if REFERENCE in first.scores and REFERENCE in other.scores:
            names = dict.fromkeys([first.main_baseline, other.main_baseline])
            label = f"the preferred baseline ({', then '.join(names)})"
            sentences.append(drop_sentence(first, other, REFERENCE, label, outcome.table.units))
        sentences += [drop_sentence(first, other, arm, arm, outcome.table.units) for arm in arms]
    return sentences


def _board(outcome: Outcome, evaluation: Evaluation, metrics: tuple[str, ...]) -> dict[str, Any]:
    part = outcome.metrics[outcome.metrics["split"] == evaluation.split]
    rows = {(row["arm"], row["metric"]): row for row in part.to_dict("records")}
    chosen = set(evaluation.reference)
    return {
        "split": evaluation.split,
        "n": len(set(evaluation.row_ids)),
        "groups": evaluation.n_groups,
        "divisions": evaluation.divisions,
        "reference": reference_name(evaluation) if evaluation.reference else "",
        "rows": [
            {
                "arm": arm,
                "note": ARMS[arm].note,
                "lm": is_language_model(arm),
                "preferred": arm in chosen,
                "cells": [rows[arm, metric] for metric in metrics],
            }
            for arm in outcome.arms
        ],
    }


def _interval_table(outcome: Outcome) -> dict[str, Any]:
    """Every metric of every arm and method on every split: a row each with a cell per split."""
    table = outcome.certainty.intervals
    splits = [evaluation.split for evaluation in outcome.evaluations]
    keys = ["arm", "method", "metric"]
    rows = {
        (arm, method, metric): part.set_index("split").to_dict("index")
        for (arm, method, metric), part in table.groupby(keys, sort=False)
    }
    return {
        "splits": splits,
        "rows": [(*key, [cells.get(split) for split in splits]) for key, cells in rows.items()],
    }


def _answers(outcome: Outcome) -> list[dict[str, Any]]:
    """How often lm-text's own answer was none, how much probability it gives to proper ones, and how many of the true
    labels are no answer that it could write (None for classes)."""
    result = []
    for cell in outcome.cells:
        if "well_formed" in cell:
            failed = int(np.sum(cell["parse_failed"]))
            result.append(
                {
                    "arm": cell["tags"]["arm"],
                    "split": cell["tags"]["split"],
                    "repeat": cell["tags"]["repeat"],
                    "fold": cell["tags"]["fold"],
                    "failed": failed,
                    "n": len(cell["row_id"]),
                    "well_formed": cell["well_formed"],
                    "unreachable": round(cell["unreachable"] * len(cell["row_id"])) if "unreachable" in cell else None,
                }
            )
    return result


def _worst(outcome: Outcome, evaluation: Evaluation, similarity: np.ndarray, nearest: np.ndarray) -> dict[str, Any]:
    """The test molecules that the arm to look at gets most wrong, beside their nearest training neighbour."""
    arms = [arm for arm in ("lm-head", "lm-text") if arm in outcome.arms]
    arm = arms[0] if arms else evaluation.main_baseline
    errors = figures.row_errors(evaluation, arm)
    frame = outcome.table.frame.set_index("row_id")
    rows = []
    order = np.argsort(-errors, kind="stable")
    once = np.sort(np.unique(evaluation.row_ids[order], return_index=True)[1])  # a row is tested in every repeat
    shown = order[once]
    if evaluation.task == CLASSES:
        shown = shown[evaluation.predicted[arm][shown] != evaluation.truth[shown]]
    for index in shown[:WORST]:
        row_id, neighbour = evaluation.row_ids[index], nearest[index]
        others = {
            name: evaluation.predicted[name][index]
            for name in figures.main_arms(evaluation, outcome.arms, evaluation.main_baseline)
            if name != arm
        }
        rows.append(
            {
                "smiles": frame.loc[row_id, "smiles"],
                "line": int(frame.loc[row_id, "line"]),
                "truth": _shown_truth(outcome, frame.loc[row_id, "target"], evaluation.truth[index]),
                "prediction": evaluation.predicted[arm][index],
                "others": others,
                "drawing": structure(frame.loc[row_id, "smiles"]),
                "neighbour": frame.loc[neighbour, "smiles"],
                "neighbour_truth": frame.loc[neighbour, "target"],
                "neighbour_drawing": structure(frame.loc[neighbour, "smiles"]),
                "similarity": float(similarity[index]),
            }
        )
    return {"split": evaluation.split, "arm": arm, "rows": rows}


def _shown_truth(outcome: Outcome, measured: Any, truth: Any) -> Any:
    """What was measured, with its class where numbers were cut into classes."""
    return f"{plain(measured)} (class {truth})" if outcome.config.bins else truth
