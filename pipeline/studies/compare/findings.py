"""What the results of a comparison of arms say: predictions, scores, pairs of arms, verdicts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any

import numpy as np
import pandas as pd

from pipeline.arms.catalogue import ARMS
from pipeline.arms.ladder import CONTROLS, REACTION_CONTROLS, is_language_model
from pipeline.evaluation.comparison import Comparisons, Difference, compare
from pipeline.evaluation.evaluations import REFERENCE, Evaluation, evaluate, exact_rows, metric_table
from pipeline.evaluation.noise import Noise, best_scores, measurement_noise, negligible
from pipeline.evaluation.thresholds import answers, choose
from pipeline.evaluation.verdict import Verdict, Words, verdicts
from pipeline.prompts.numbers import NumberFormat
from pipeline.runs.certainty import Certainty, assess, with_calibrated_bounds
from pipeline.runs.context import Context
from pipeline.runs.fits import Fits, primary_arm
from pipeline.runs.held_out import validation_score
from pipeline.runs.training_seeds import SeedSpread, spreads, with_seeds
from pipeline.settings.threshold import Rule
from pipeline.splits.card import split_card
from pipeline.splits.catalogue import makes_folds
from pipeline.splits.splitters import Fold, Split
from pipeline.tables.table import Table
from pipeline.tables.targets import CLASSES, REGRESSION

UNCHOSEN = 0.5  # the threshold of an arm without held-out rows: the more probable class
COMPARISON_COLUMNS = [column.name for column in fields(Difference)]


@dataclass(frozen=True)
class Findings:
    """What a finished run found.

    Attributes
    ----------
    fits : Fits
        The results of all fits; ``cells`` those of the arms of the run, with their first seed.
    preferred : mapping
        By split and division the baseline that held-out training rows prefer.
    margins : mapping
        By split the difference that makes none in practice; 0 for none.
    thresholds : mapping
        See `thresholds_of`.
    """

    context: Context
    fits: Fits
    cells: tuple[Mapping[str, Any], ...]
    split_cards: tuple[dict[str, Any], ...]
    predictions: pd.DataFrame
    metrics: pd.DataFrame
    preferred: Mapping[str, Mapping[tuple[int, int], str]]
    margins: Mapping[str, float]
    comparisons: tuple[Comparisons, ...]
    seed_spreads: tuple[SeedSpread, ...]
    certainty: Certainty
    evaluations: tuple[Evaluation, ...]
    verdicts: tuple[Verdict, ...]
    thresholds: Mapping[str, float] = field(default_factory=dict)


def exact_score(context: Context, row_ids: list[str], predicted: list[Any], y: pd.Series) -> float:
    """`validation_score` over the rows whose target is a value; a bound cannot be scored."""
    exact = context.table.exact.loc[row_ids].to_numpy()
    kept = [value for value, known in zip(predicted, exact, strict=True) if known]
    return validation_score(kept, y.loc[row_ids][exact], context.task, context.classes)


def _preferred(context: Context, split: Split, fold: Fold, fits: Fits) -> str | None:
    """The baseline with the best validation score on this fold's training rows."""
    cells = {arm: fits.of(split, fold, arm) for arm in context.arms if not is_language_model(arm)}
    candidates = [arm for arm, cell in cells.items() if "validation" in cell]
    if set(candidates) <= set(CONTROLS.values()):
        return None
    y = context.targets(fold)
    scores = {arm: exact_score(context, list(fold.train), cells[arm]["validation"], y) for arm in candidates}
    return max(scores, key=lambda arm: scores[arm])


def thresholds_of(context: Context, cells: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """By the id of a cell, from which probability of the positive class on that is the answer, where it is not simply
    the more probable class: chosen on the training rows that were held out of a fit, 0.5 where none were. The constant
    prediction stays what it is."""
    rule = Rule.of(context.config.threshold)
    if rule.even or context.task != CLASSES:
        return {}
    at, found = context.classes.index(context.positive), {}
    for cell in cells:
        if cell["tags"]["arm"] == CONTROLS[CLASSES]:
            continue
        if rule.chosen and "validation" not in cell:
            found[cell["id"]] = UNCHOSEN
            continue
        _, fold = context.division(cell["tags"])
        held_out = np.array(cell["validation"])[:, at] if rule.chosen else np.zeros(0)
        truth = context.targets(fold).loc[list(fold.train)].to_numpy() == context.positive
        found[cell["id"]] = choose(rule, truth, held_out)
    return found


def _answered(context: Context, cell: Mapping[str, Any], thresholds: Mapping[str, float]) -> Sequence[Any]:
    """What a cell predicts, by its threshold where it has one."""
    if thresholds.get(cell["id"], UNCHOSEN) == UNCHOSEN:
        return list(cell["prediction"])
    chances = np.array(cell["probabilities"])
    return list(answers(chances, context.classes, context.positive, thresholds[cell["id"]]))


def _prediction_table(
    context: Context, cells: Sequence[Mapping[str, Any]], thresholds: Mapping[str, float]
) -> pd.DataFrame:
    """One row per prediction, as described in the README."""
    parts = []
    truths: dict[tuple[str, int, int], pd.Series] = {
        (split.name, fold.repeat, fold.fold): context.targets(fold) for split in context.splits for fold in split.folds
    }
    for cell in cells:
        key = cell["tags"]
        part = pd.DataFrame({"row_id": cell["row_id"], "prediction": _answered(context, cell, thresholds)})
        part["truth"] = truths[key["split"], key["repeat"], key["fold"]].loc[cell["row_id"]].to_numpy()
        for position, label in enumerate(context.classes if context.task == CLASSES else ()):
            part[f"p_{label}"] = [row[position] for row in cell["probabilities"]]
        part["parse_failed"] = cell["parse_failed"]
        part["unreachable"] = _cannot_write(cell, part["truth"])
        if not context.table.exact.all():
            part["bound"] = context.table.by_row["bound"].loc[cell["row_id"]].to_numpy()
        if context.table.scale.transform:
            for column in ("truth", "prediction"):
                part[f"{column}_original"] = context.table.scale.back(part[column])
        part["cell_id"], part["dataset"], part["arm"] = cell["id"], context.table.name, key["arm"]
        part["split"], part["repeat"], part["fold"], part["seed"] = (
            key["split"],
            key["repeat"],
            key["fold"],
            key["seed"],
        )
        parts.append(part)
    frame = pd.concat(parts, ignore_index=True)
    first = ["cell_id", "dataset", "row_id", "split", "repeat", "fold", "seed", "arm", "truth", "prediction"]
    return frame[[*first, *(column for column in frame.columns if column not in first)]]


def _cannot_write(cell: Mapping[str, Any], truth: pd.Series) -> np.ndarray:
    """Which true labels lie outside of the numbers that the cell's arm could write; none for other arms. Shape (n,)."""
    if "number_format" not in cell:
        return np.zeros(len(truth), dtype=bool)
    return ~NumberFormat(**cell["number_format"]).can_write(truth.to_numpy(dtype=np.float64))


def with_refits(evaluation: Evaluation, cells: Sequence[Mapping[str, Any]]) -> Evaluation:
    """An evaluation with the scores of the arms trained without each part of the training groups, where the cells of
    its split have such predictions."""
    refits = {}
    for cell in cells:
        if cell["tags"]["split"] == evaluation.split and "without_part" in cell:
            parts = [evaluation.parts_of(cell["row_id"], np.array(one)) for one in cell["without_part"]]
            refits[cell["tags"]["arm"]] = np.array([part.mean() for part in parts])
    if evaluation.only_reference in refits:
        refits[REFERENCE] = refits[evaluation.only_reference]
    return replace(evaluation, refits=refits)


def found_in(context: Context, contents: Sequence[Mapping[str, Any]]) -> Findings:
    """What the results of all cells say."""
    fits = Fits(contents)
    cells = fits.shown(context)
    thresholds = thresholds_of(context, cells)
    predictions = _prediction_table(context, cells, thresholds)
    preferred = preferred_baselines(context, fits)
    evaluations = [
        with_refits(
            evaluate(
                exact_rows(predictions[predictions["split"] == split.name]),
                task=context.task,
                classes=context.classes,
                split=split,
                preferred=preferred[split.name],
                seed=context.config.seed,
                positive=context.positive,
            ),
            cells,
        )
        for split in context.splits
    ]
    seed_spreads = spreads(context, fits, evaluations)
    evaluations = with_seeds(evaluations, seed_spreads, cells)
    margins = {evaluation.split: practical_margin(context, evaluation) for evaluation in evaluations}
    compared, given = _compared(context, evaluations, margins)
    certainty = assess(context, contents, evaluations)
    if context.task == REGRESSION:
        predictions = with_calibrated_bounds(predictions, certainty.rows)
    return Findings(
        context,
        fits,
        tuple(cells),
        tuple(split_card(context.table, split) for split in context.splits),
        predictions,
        _metrics(evaluations, seed_spreads),
        preferred,
        margins,
        compared,
        tuple(seed_spreads),
        certainty,
        tuple(evaluations),
        tuple(given),
        thresholds,
    )


def _metrics(evaluations: Sequence[Evaluation], spreads: Sequence[SeedSpread]) -> pd.DataFrame:
    """The scores of all splits; ``seeds`` are the trainings with seeds of their own that a score and its interval know
    of: one per division, or those on the same rows."""
    more = {(one.split, one.arm): len(one.scores) for one in spreads}
    parts = [
        table.assign(seeds=[more.get((evaluation.split, arm), evaluation.divisions) for arm in table["arm"]])
        for evaluation in evaluations
        for table in [metric_table(evaluation)]
    ]
    return pd.concat(parts, ignore_index=True)


def preferred_baselines(context: Context, fits: Fits) -> dict[str, dict[tuple[int, int], str]]:
    """By split and division the baseline that held-out training rows prefer; none where there is no choice."""
    found: dict[str, dict[tuple[int, int], str]] = {}
    for split in context.splits:
        choices = {(fold.repeat, fold.fold): _preferred(context, split, fold, fits) for fold in split.folds}
        found[split.name] = {where: arm for where, arm in choices.items() if arm}
    return found


def _compared(
    context: Context, evaluations: Sequence[Evaluation], margins: Mapping[str, float]
) -> tuple[tuple[Comparisons, ...], list[Verdict]]:
    """The pairs of arms on each split, and the verdicts."""
    lm_arms = [arm for arm in context.arms if is_language_model(arm)]
    baselines = [arm for arm in context.arms if not is_language_model(arm)]
    primary = primary_arm(context)
    compared = tuple(
        compare(evaluation, list(context.arms), lm_arms, primary, margins[evaluation.split])
        for evaluation in evaluations
    )
    words = Words(
        context.table.units,
        context.table.rows_are,
        REACTION_CONTROLS,
        [name for name, arm in ARMS.items() if arm.reads_text],
        [split.name for split in context.splits if makes_folds(split.name)],
        int(context.table.exact.sum()),
        Rule.of(context.config.threshold).even,
    )
    return compared, verdicts(compared, lm_arms, words, baselines)


def practical_margin(context: Context, evaluation: Evaluation) -> float:
    """The difference in the primary metric that makes none in practice: the one given, or else what repeated
    measurements say (`negligible`); 0 for none."""
    if context.config.margin or context.task == CLASSES:
        return context.config.margin
    noise = measurement_noise(context.table.frame)
    if noise is None or REFERENCE not in evaluation.scores:
        return 0.0
    if noise_contradicted(best_possible(context.table, noise, evaluation), evaluation):
        return 0.0
    return negligible(noise, float(evaluation.scores[REFERENCE]["mae"][0]))


def best_possible(table: Table, noise: Noise, evaluation: Evaluation) -> dict[str, float]:
    """The scores of a model without any error of its own on the test rows of a split, by repeated measurements."""
    counts = table.by_row["n_values"]
    return best_scores(noise, evaluation.truth, counts.loc[list(evaluation.row_ids)].to_numpy())


def noise_contradicted(best: dict[str, float], evaluation: Evaluation) -> bool:
    """Whether an arm does better than the best possible scores: then the repeated rows do not stand for the tested
    ones, and say nothing of these."""
    return any(
        best[metric] > min(float(scores[metric][0]) for scores in evaluation.scores.values())
        for metric in ("mae", "rmse")
    )
