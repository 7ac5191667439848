"""A fitted model over a file of molecules or reactions: in chunks, restartable, every row in its place."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd

from pipeline.arms.features import compute_features, remember_features
from pipeline.arms.ladder import FEATURES, fitted_arms, is_language_model
from pipeline.errors import InputError
from pipeline.files import write_atomically
from pipeline.lm.engine import prompt_limit
from pipeline.models.folder import SavedModel, prompt_template
from pipeline.prompts.numbers import NumberFormat
from pipeline.prompts.templates import Pieces
from pipeline.reporter import Reporter
from pipeline.tables.molecules import MoleculeError, canonical_smiles
from pipeline.tables.reading import check_column, find_smiles_column
from pipeline.tables.streaming import DAMAGE, encode_chunk, join_chunks, open_stream, output_format
from pipeline.tables.targets import CLASSES

CHUNK_ROWS = 1_000
PROBLEM = "problem"


@dataclass
class Summary:
    """What came of a file: rows read, rows predicted, and how often each problem occurred."""

    out: Path
    rows: int = 0
    predicted: int = 0
    outside: int = 0
    problems: Counter[str] = field(default_factory=Counter)
    reused: int = 0


class Predictor:
    """A model with what turns raw rows into predictions or the reason why there is none.

    Parameters
    ----------
    model : SavedModel
    level : float
        Coverage asked of the interval.
    workers : int
        Processes that compute features.
    """

    def __init__(self, model: SavedModel, level: float, workers: int) -> None:
        self.model = model
        self.level = level
        self.workers = workers
        about = model.about
        self._template = prompt_template(about)
        self.reactions = model.reactions
        leaves = fitted_arms(about["arm"])
        kinds = {"bits", *(kind for leaf in leaves for kind in FEATURES.get(leaf, ()))}
        self.kinds = sorted(kinds)
        self._count: Callable[[Pieces], int] | None = None
        if is_language_model(model.about["arm"]):
            form: NumberFormat | None = getattr(model.arm, "format_", None)
            answers = form.texts() if form else model.classes
            self._count, self._limit = prompt_limit(about["language_model"]["model"], self._template, answers)

    def frame(self, given: pd.DataFrame, context: pd.DataFrame, damage: list[str]) -> pd.DataFrame:
        """One row per row given: the model's columns, and ``problem`` where they are empty.

        Parameters
        ----------
        given : DataFrame
            As text: SMILES in one column, or the columns of a reaction as in training.
        context : DataFrame
            The model's context columns as text, one row each; may have no column.
        damage : list of str
            Why a row could not be read; empty for whole rows.
        """
        X, problems = self._reactions(given) if self.reactions else self._molecules(list(given.iloc[:, 0]))
        problems = [broken or problem for broken, problem in zip(damage, problems, strict=True)]
        for column in context.columns:
            for row, value in enumerate(context[column]):
                if not value and not problems[row]:
                    problems[row] = f"missing context value in {column!r}"
        X = X.assign(**{column: context[column].to_numpy() for column in context.columns})
        if self._count:
            for row, pieces in enumerate(self._template.pieces_all(X)):
                if not problems[row] and self._count(pieces) > self._limit:
                    problems[row] = f"prompt of {self._count(pieces)} tokens; the model takes {self._limit}"
        good = [row for row, problem in enumerate(problems) if not problem]
        found = pd.DataFrame(index=range(len(given)), columns=self.model.columns(), dtype=object)
        if good:
            described = self.model.describe(X.iloc[good], self.level)
            found.loc[good, described.columns] = described.to_numpy(dtype=object)
        self.model.forget()
        return _typed(found, self.model).assign(**{PROBLEM: problems})

    def _reactions(self, given: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
        """Canonical reactions with their components, and problems."""
        assert self.reactions is not None
        rows, problems = [], []
        for cells in given.to_dict("records"):
            try:
                rows.append(self.reactions.row({str(name): cell for name, cell in cells.items()}))
                problems.append("")
            except MoleculeError as error:
                rows.append({})
                problems.append(f"{error} (column {getattr(error, 'column', '')!r})")
        return pd.DataFrame(rows, columns=["smiles", *self.reactions.components]).fillna(""), problems

    def _molecules(self, smiles: list[str]) -> tuple[pd.DataFrame, list[str]]:
        """Canonical SMILES and problems; the features that the arm needs are computed beside them."""
        distinct = list(dict.fromkeys(smiles))
        pieces = np.array_split(np.array(distinct, dtype=object), max(1, min(self.workers, len(distinct) // 50)))
        largest = self.model.about["largest_fragment"]
        answers = joblib.Parallel(n_jobs=len(pieces))(
            joblib.delayed(_understand)(list(piece), largest, self.kinds) for piece in pieces
        )
        known: dict[str, tuple[str, str]] = {}
        for piece, (canonical, problems, good, features) in zip(pieces, answers, strict=True):
            known |= dict(zip(piece, zip(canonical, problems, strict=True), strict=True))
            remember_features(good, features)
        return pd.DataFrame({"smiles": [known[text][0] for text in smiles]}), [known[text][1] for text in smiles]


def _understand(
    texts: list[str], largest_fragment: bool, kinds: list[str]
) -> tuple[list[str], list[str], list[str], dict[str, list[np.ndarray]]]:
    canonical, problems = [], []
    for text in texts:
        try:
            canonical.append(canonical_smiles(text, largest_fragment))
            problems.append("")
        except MoleculeError as error:
            canonical.append("")
            problems.append(str(error))
    good = list(dict.fromkeys(smiles for smiles in canonical if smiles))
    return canonical, problems, good, compute_features(good, kinds)


def _typed(frame: pd.DataFrame, model: SavedModel) -> pd.DataFrame:
    """Columns of one type whatever a chunk holds, so that chunks fit together."""
    text = {model.nearest_column, *(["prediction"] if model.task == CLASSES else [])}
    types = {name: "string" if name in text else "Float64" for name in frame.columns} | {"in_domain": "boolean"}
    return frame.astype(types)


def predict_file(
    model: SavedModel,
    source: str,
    out: Path,
    reporter: Reporter,
    *,
    smiles: str = "",
    level: float = 0.9,
    workers: int = 0,
    chunk_rows: int = CHUNK_ROWS,
) -> Summary:
    """Predict every row of a file and write the file again with the model's columns beside its own.

    Finished chunks are kept in a hidden folder beside ``out`` until the end, each named by what it
    was made from, so the same command goes on after an interruption and never mixes inputs.

    Raises
    ------
    InputError
        If the input cannot be read, lacks a column the model needs, or is the output.
    """
    form = output_format(out)
    stream = open_stream(source)
    if out.exists() and out.samefile(stream.path):
        raise InputError(f"--out {out}: is the input itself; chemtune never writes over it")
    columns = _structure_columns(model, stream.columns, smiles, source)
    for needed in model.context:
        check_column(stream.columns, needed, "the model's context", source)
    predictor = Predictor(model, level, workers or os.cpu_count() or 1)
    names = _free_names([*model.columns(), PROBLEM], stream.columns)
    identity = _identity(model, level, form, columns)
    parts = out.with_name(f".{out.name}.parts")
    summary, made = Summary(out), []
    for number, chunk in enumerate(_with_progress(stream, chunk_rows, reporter)):
        part = parts / f"{number:07d}-{_chunk_hash(chunk, identity, number)}"
        tally = part.with_suffix(".json")
        if not (part.exists() and tally.exists()):
            frame = _predict_chunk(predictor, chunk, columns, names)
            write_atomically(part, encode_chunk(frame, form, first=number == 0))
            write_atomically(tally, json.dumps(_tally(frame, names)))
        else:
            summary.reused += len(chunk)
        _add(summary, json.loads(tally.read_text(encoding="utf-8")), len(chunk))
        made.append(part)
    join_chunks(made, form, out)
    shutil.rmtree(parts)
    return summary


def _structure_columns(model: SavedModel, columns: list[str], smiles: str, source: str) -> list[str]:
    """The columns of the input that hold the structures: one of molecules, or those of reactions as in training."""
    if model.reactions is None:
        return [smiles_column(columns, smiles, model.about["smiles"], source)]
    if smiles:
        raise InputError(
            f"--smiles {smiles}: the model is of reactions and reads the columns {', '.join(model.reactions.columns)}"
        )
    return [check_column(columns, column, "the model's reactions", source) for column in model.reactions.columns]


def smiles_column(columns: list[str], asked: str, trained: str, source: str) -> str:
    """The column of the input that holds the molecules: as asked, as in training, or one called SMILES."""
    if asked:
        return check_column(columns, asked, "--smiles", source)
    return trained if trained in columns else find_smiles_column(columns, source)


def _with_progress(stream: Any, size: int, reporter: Reporter) -> Iterator[pd.DataFrame]:
    done = 0
    reporter.step("predicting", 0, stream.n_rows)
    for chunk in stream.chunks(size):
        yield chunk
        done += len(chunk)
        reporter.step("predicting", done, stream.n_rows)


def _predict_chunk(
    predictor: Predictor, chunk: pd.DataFrame, columns: list[str], names: dict[str, str]
) -> pd.DataFrame:
    given, context = (
        pd.DataFrame({name: [_cell(value) for value in chunk[name]] for name in wanted})
        for wanted in (columns, predictor.model.context)
    )
    found = predictor.frame(given, context, list(chunk[DAMAGE])).rename(columns=names)
    return pd.concat([chunk.drop(columns=DAMAGE), found], axis=1)


def _cell(value: Any) -> str:
    return "" if value is None or value is pd.NA or value != value else str(value).strip()


def _free_names(ours: list[str], theirs: list[str]) -> dict[str, str]:
    """Our columns under names that the input does not use."""
    names: dict[str, str] = {}
    for name in ours:
        free = name
        while free in theirs:
            free = f"chemtune_{free}"
        names[name] = free
    return names


def _identity(model: SavedModel, level: float, form: str, columns: list[str]) -> str:
    about = json.dumps([model.about, level, form, columns], sort_keys=True, default=str)
    return hashlib.sha256(about.encode()).hexdigest()


def _chunk_hash(chunk: pd.DataFrame, identity: str, number: int) -> str:
    digest = hashlib.sha256(f"{identity} {number} {list(chunk.columns)}".encode())
    digest.update(pd.util.hash_pandas_object(chunk.astype(str), index=False).to_numpy().tobytes())
    return digest.hexdigest()[:16]


def _tally(frame: pd.DataFrame, names: dict[str, str]) -> dict[str, Any]:
    problems = frame[names[PROBLEM]].str.partition(":")[0]
    return {
        "predicted": int((problems == "").sum()),
        "outside": int((~frame[names["in_domain"]].fillna(True)).sum()),
        "problems": dict(Counter(problem for problem in problems if problem)),
    }


def _add(summary: Summary, tally: dict[str, Any], rows: int) -> None:
    summary.rows += rows
    summary.predicted += tally["predicted"]
    summary.outside += tally["outside"]
    summary.problems.update(tally["problems"])
