"""Where the errors of a run are: predicted against measured, against similarity, and the worst rows drawn."""

from __future__ import annotations

from typing import Any

import numpy as np

from pipeline.evaluation.evaluations import Evaluation, exact_rows
from pipeline.evaluation.numbers import plain
from pipeline.features.similarity import nearest_neighbours
from pipeline.report import figures
from pipeline.report.blocks import Drawn, Figure, Folded, Pairs, Section, Text
from pipeline.report.drawings import structure
from pipeline.report.sections import file_name
from pipeline.splits.splitters import Split
from pipeline.studies.compare.findings import Findings
from pipeline.tables.kinds import Kind
from pipeline.tables.merging import shortened
from pipeline.tables.table import STRUCTURE
from pipeline.tables.targets import CLASSES

WORST, WORST_OF_MANY = 20, 5  # rows that are drawn of a split, of the first few and of the others
MOST_SHOWN = 300  # characters of a structure, or of a text
OPEN_SPLITS = 2  # whose worst rows are shown without asking
Neighbours = tuple[np.ndarray, np.ndarray]  # as `_neighbours` gives them


def where_the_errors_are(found: Findings) -> Section:
    """A part of the page."""
    drawn: list[Figure] = []
    similar: list[Figure] = []
    worst: list[Any] = []
    for number, (evaluation, split) in enumerate(zip(found.evaluations, found.context.splits, strict=True)):
        similarity, nearest = _neighbours(found, evaluation, split)
        drawn.append(_predicted(found, evaluation))
        shown = figures.main_arms(evaluation, found.context.arms, evaluation.main_baseline)
        svg = figures.error_by_similarity(evaluation, similarity, shown, found.context.table.units)
        alt = f"error against similarity to training, {evaluation.split}"
        similar.append(Figure(f"similarity-{file_name(evaluation.split)}", svg, alt))
        worst += _worst(found, evaluation, similarity, nearest, number < OPEN_SPLITS)
    blocks = [*drawn, Text(["Error against similarity to training:"], soft=False), *similar, *worst]
    return Section(
        "Where the errors are",
        blocks,
        folded=True,
        anchor="errors",
        about="predicted against measured, similarity to training, the largest errors drawn",
    )


def _predicted(found: Findings, evaluation: Evaluation) -> Figure:
    name, table = file_name(evaluation.split), found.context.table
    shown = figures.main_arms(evaluation, found.context.arms, evaluation.main_baseline)
    if evaluation.task == CLASSES:
        alt = f"ROC, precision-recall and reliability, {evaluation.split}"
        return Figure(f"curves-{name}", figures.class_curves(evaluation, shown), alt)
    rows = table.by_row.loc[list(evaluation.row_ids)]
    names = [
        f"line {line}: {shortened(smiles, MOST_SHOWN)}"
        for line, smiles in zip(rows["line"], rows["smiles"], strict=True)
    ]
    svg, points = figures.parity(evaluation, shown, table.units, names, table.scale)
    return Figure(f"parity-{name}", svg, f"predicted against measured, {evaluation.split}", points)


def _neighbours(found: Findings, evaluation: Evaluation, split: Split) -> Neighbours:
    """Similarity and row id of the nearest training molecule of each test row, in its own fold."""
    smiles = found.context.table.inputs[STRUCTURE]
    similarity: dict[tuple[int, int, str], float] = {}
    nearest: dict[tuple[int, int, str], str] = {}
    for fold in split.folds:
        best, index = nearest_neighbours(
            list(smiles.loc[list(fold.test)]), list(smiles.loc[list(fold.train)]), found.context.table.kind
        )
        for row_id, value, position in zip(fold.test, best, index, strict=True):
            similarity[fold.repeat, fold.fold, row_id] = float(value)
            nearest[fold.repeat, fold.fold, row_id] = fold.train[position]
    keys = _row_keys(found, evaluation)
    return np.array([similarity[key] for key in keys]), np.array([nearest[key] for key in keys], dtype=object)


def _row_keys(found: Findings, evaluation: Evaluation) -> list[tuple[int, int, str]]:
    frame = exact_rows(found.predictions)
    part = frame[(frame["split"] == evaluation.split) & (frame["arm"] == found.context.arms[0])]
    rows = part.sort_values(["repeat", "fold", "row_id"])[["repeat", "fold", "row_id"]]
    return [(int(repeat), int(fold), str(row_id)) for repeat, fold, row_id in rows.to_numpy(dtype=object)]


def _worst(
    found: Findings, evaluation: Evaluation, similarity: np.ndarray, nearest: np.ndarray, unfolded: bool
) -> list[Any]:
    """The test molecules that the arm to look at gets most wrong, beside their nearest training neighbour."""
    table, arms = found.context.table, found.context.arms
    arm = next((arm for arm in ("lm-head", "lm-text") if arm in arms), evaluation.main_baseline)
    shown = _wrongest(evaluation, arm)[: WORST if unfolded else WORST_OF_MANY]
    if not len(shown):
        return []
    frame, row_is = table.by_row, table.rows_are[:-1]
    others = [name for name in figures.main_arms(evaluation, arms, evaluation.main_baseline) if name != arm]
    pairs = []
    for index in shown:
        row, neighbour = frame.loc[evaluation.row_ids[index]], frame.loc[nearest[index]]
        truth = evaluation.truth[index]
        measured = f"{plain(row['target'])} (class {truth})" if found.context.config.bins else plain(truth)
        said = ", ".join(f"{name} {plain(evaluation.predicted[name][index])}" for name in (arm, *others))
        near = f"nearest in training (similarity {similarity[index]:.2f}), measured {plain(neighbour['target'])}"
        pairs.append(
            (
                _drawn(
                    table.kind,
                    row["smiles"],
                    f"test {row_is}",
                    f"measured {measured}; {said}",
                    f"line {row['line']}: ",
                ),
                _drawn(table.kind, neighbour["smiles"], f"nearest training {row_is}", near, ""),
            )
        )
    what = "Wrong answers" if evaluation.task == CLASSES else "Largest errors"
    title = f"{what} of {arm}, {evaluation.split} split ({len(pairs)}), beside the nearest training {row_is}"
    block = Pairs(pairs, wide=bool(table.components))
    return [Text([f"{title}:"], soft=False), block] if unfolded else [Folded(title, [block])]


def _wrongest(evaluation: Evaluation, arm: str) -> np.ndarray:
    """Places of the rows with the largest errors, each row once; of classes the wrong ones alone."""
    order = np.argsort(-figures.row_errors(evaluation, arm), kind="stable")
    once = np.sort(np.unique(evaluation.row_ids[order], return_index=True)[1])  # a row is tested in every repeat
    shown = order[once]
    if evaluation.task == CLASSES:
        shown = shown[evaluation.predicted[arm][shown] != evaluation.truth[shown]]
    return shown


def _drawn(kind: Kind, smiles: str, alt: str, said: str, line: str) -> Drawn:
    return Drawn(structure(smiles) if kind.drawn else "", alt, said, f"{line}{shortened(smiles, MOST_SHOWN)}")
