"""The page of a comparison of arms: the answer, the scores and the data; all else is folded."""

from __future__ import annotations

from typing import Any

import numpy as np

from pipeline.arms.ladder import TUNED, is_language_model
from pipeline.evaluation.evaluations import CONTROL, REFERENCE, Evaluation
from pipeline.evaluation.metrics import HIGHER_IS_BETTER, LABELS, PRIMARY
from pipeline.evaluation.verdict import ladder_sentence
from pipeline.lm.pretrained import has_seen
from pipeline.report import figures
from pipeline.report.blocks import (
    TINTS,
    Figure,
    Folded,
    Grid,
    Listed,
    Section,
    Shaded,
    Text,
    Verdict,
    note,
)
from pipeline.report.sections import explained_arms, interval_of
from pipeline.runs.hints import hints
from pipeline.studies.compare import details, threshold
from pipeline.studies.compare.errors import where_the_errors_are
from pipeline.studies.compare.findings import Findings
from pipeline.studies.compare.reading import supported_changes
from pipeline.studies.compare.shown import count_of, named, scores_of, sorted_arms, task_of
from pipeline.tables.targets import CLASSES, REGRESSION

REFUSED_SHOWN = 50
MANY_SPLITS = 3


def sections(found: Findings) -> list[Section]:
    """The parts of the page, in the reader's order."""
    made = [
        _answer(found),
        _scores(found),
        _data(found),
        details.comparisons(found),
        details.all_scores(found),
        threshold.section(found),
        where_the_errors_are(found),
        details.blends(found),
        details.certainty(found),
        details.splits(found),
        details.tuning(found),
        details.answers(found),
        Section(
            "What the arms are",
            [Grid((), explained_arms(found.context.arms), wrapped=frozenset({1}))],
            folded=True,
            anchor="arms",
        ),
    ]
    return [one for one in made if one.blocks]


def _answer(found: Findings) -> Section:
    context = found.context
    said = [verdict.sentence for verdict in found.verdicts]
    ladder = ladder_sentence(found.verdicts, found.comparisons)
    # Of a ladder the sentence says what changes from rung to rung; those of the rungs are many, and stand behind it.
    many = len(said) > MANY_SPLITS and bool(ladder)
    blocks: list[Any] = [Verdict([ladder] if many else [*said, *([ladder] if ladder else [])])]
    if many:
        blocks.append(Folded(f"The verdicts of all {len(said)} splits", [Text(said, soft=False)]))
    if context.rungs_left_out:
        blocks.append(Listed(context.rungs_left_out, "Splits that this table cannot make:", box=True))
    if context.left_out:
        title = f"Left out to keep within the budget of {context.config.budget}:"
        blocks.append(Listed(context.left_out, title, box=True))
    more = [*supported_changes(found), *_pretraining(found)]
    return Section("Verdict", [*blocks, *([Text(more, soft=False)] if more else [])], anchor="verdict")


def _pretraining(found: Findings) -> list[str]:
    """That no split of a table is a shift for a start that has seen its structures."""
    starts = {
        cell["tags"]["arm"]: cell["inputs"]["language_model"]["start"]
        for cell in found.cells
        if cell["tags"]["arm"] in TUNED
    }
    arms = [arm for arm, start in starts.items() if has_seen(start, found.context.config.table)]
    plain = ("random", "label-high", "label-low", "time:")  # these shift no structures, or others besides
    shifted = [one.split for one in found.evaluations if not one.split.startswith(plain)]
    if not arms or not shifted:
        return []
    start = f"{' and '.join(arms)} start{'s' * (len(arms) == 1)}"
    return [
        f"What {start} from has learned descriptors of all structures of this table, without a measured value: on "
        f"{', '.join(shifted)} the tested structures are not new to it. --start plain goes without."
    ]


def _scores(found: Findings) -> Section:
    """Arms by splits: one number each, sorted, on a tint that says how far from the best."""
    metric, context = PRIMARY[task_of(found)], found.context
    scores = {(one["arm"], one["split"]): one for one in scores_of(found, metric)}
    arms = sorted_arms(found)
    rows = [
        (
            named(arm),
            *(
                Shaded(interval_of(scores[arm, one.split]), _tint(one, metric, scores[arm, one.split]["value"]))
                for one in found.evaluations
            ),
        )
        for arm in arms
    ]
    used = {verdict.use for verdict in found.verdicts if verdict.use}
    header = ("arm", *(f"{one.split} (n\u00a0=\u00a0{len(set(one.row_ids))})" for one in found.evaluations))
    units = f" in {context.table.units}" if context.table.units and task_of(found) == REGRESSION else ""
    better = "higher is better" if HIGHER_IS_BETTER[metric] else "lower is better"
    marked = " A bar marks what the verdict recommends." if used else ""
    constant = "always answering the majority" if task_of(found) == CLASSES else "predicting the training mean"
    caption = (
        f"{LABELS[metric]}{units} on the test {context.table.rows_are} with 95 % intervals; {better}. Blue: near the "
        f"best of the column; orange: no better than {constant}.{marked} Other metrics stand under All scores."
    )
    grid = Grid(
        header,
        rows,
        name="matrix",
        marked=frozenset(place for place, arm in enumerate(arms) if arm in used),
        strong=frozenset(place for place, arm in enumerate(arms) if is_language_model(arm)),
        caption=caption,
    )
    return Section("Scores", [grid], anchor="scores")


def _tint(evaluation: Evaluation, metric: str, value: float) -> int:
    """From the best of a split to the constant, in steps that are finer near the best."""
    sign = -1.0 if HIGHER_IS_BETTER[metric] else 1.0
    values = [sign * float(scores[metric][0]) for arm, scores in evaluation.scores.items() if arm != REFERENCE]
    best, worst = min(values), sign * float(evaluation.scores[CONTROL[evaluation.task]][metric][0])
    if not (np.isfinite(value) and worst > best):
        return TINTS - 1
    share = float(np.clip((sign * value - best) / (worst - best), 0.0, 1.0))
    return int((TINTS - 1) * share**0.5)


def _data(found: Findings) -> Section:
    """What became of the rows."""
    context, table = found.context, found.context.table
    config, refused = context.config, context.table.refused
    bounds = table.bounded
    whole = table.drawn_from or len(table)
    said = [
        f"{count_of(table.n_read, 'row')} {_was(table.n_read)} read and {len(refused)} refused; "
        f"{count_of(table.merged, 'duplicate row')} {_was(table.merged)} merged, leaving {whole} {table.rows_are}."
    ]
    if table.drawn_from:
        said.append(f"{len(table)} of these were drawn by seed.")
    if config.bins:
        said.append(
            f"The task is classes: the numbers are cut into {config.bins} classes at quantiles of the training rows."
        )
    else:
        said.append(f"The task is {context.task}: {table.task_reason}.")
    if table.scale.transform:
        said.append(f"The target is {table.scale.explained()}; errors here are on that scale.")
    if bounds:
        trained = "one-sided where they can, at the limit where not" if config.bounds == "censored" else "at the limit"
        said.append(
            f"Bounds (such as >10) among the targets: {bounds}. Arms are trained on them {trained}, and they are not "
            "scored."
        )
    said.append(table.kind.apart)
    shown = figures.labels(table.targets, table.task, table.property_name, table.units, bounds)
    alt = "how many rows each class has" if table.task == CLASSES else "how the labels are spread"
    blocks: list[Any] = [Text([" ".join(said)], soft=False)]
    if table.warnings:
        blocks.append(Listed([f"{warning}." for warning in table.warnings], "Warnings", box=True))
    suggested = hints(table)
    if suggested:
        blocks.append(Listed([f"{hint}." for hint in suggested], "Hints"))
    blocks.append(Figure("labels", shown, alt))
    if table.remarks:
        blocks.append(Folded("How cells were read", [Listed(table.remarks)]))
    if len(refused):
        rows = refused.head(REFUSED_SHOWN)[["line", "column", "value", "reason"]].itertuples(index=False, name=None)
        kept = [(int(line), column, value, reason) for line, column, value, reason in rows]
        grid = Grid(("line", "column", "value", "reason"), kept, frozenset({1}), frozenset({2, 3}), "refused")
        more = [note(f"… and {len(refused) - len(kept)} more in refused.csv.")] if len(refused) > len(kept) else []
        blocks.append(Folded(f"The refused {'row' if len(refused) == 1 else 'rows'}", [grid, *more]))
    return Section("What was done to the data", blocks, anchor="data")


def _was(count: int) -> str:
    return "was" if count == 1 else "were"
