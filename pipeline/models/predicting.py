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

from pipeline.arms.catalogue import ARMS
from pipeline.arms.ladder import fitted_arms, is_language_model
from pipeline.arms.spelled import prompts_in
from pipeline.errors import InputError
from pipeline.features.notations import CANONICAL, representations, unwritable
from pipeline.features.structures import compute_features, remember_features
from pipeline.files import check_output, write_atomically
from pipeline.lm.decoders import prompt_limit
from pipeline.models.about import prompt_template
from pipeline.models.folder import SavedModel
from pipeline.prompts.numbers import NumberFormat
from pipeline.prompts.templates import Pieces
from pipeline.reporter import Reporter
from pipeline.tables.canonical import as_known, identified_text
from pipeline.tables.header import free_names, plain_name
from pipeline.tables.kinds import MOLECULES, Kind
from pipeline.tables.measurements import TargetError
from pipeline.tables.molecules import MoleculeError
from pipeline.tables.reading import check_column, find_smiles_column
from pipeline.tables.streaming import Chunk, Stream, encode_chunk, join_chunks, open_stream, output_format
from pipeline.tables.structures import SMILES, structure_notation
from pipeline.tables.table import STRUCTURE
from pipeline.tables.targets import CLASSES
from pipeline.tables.values import column_texts

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
        self.conditions = model.conditions
        self.notation = SMILES
        leaves = fitted_arms(about["arm"])
        features = {"bits", *(kind for leaf in leaves for kind in ARMS[leaf].features)}
        self.features = sorted(features) if model.kind is MOLECULES else []
        self.representations = representations(about.get("notations") or (CANONICAL,))
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
        X, problems = self._reactions(given) if self.reactions else self._in_one_column(list(given.iloc[:, 0]))
        problems = [broken or problem for broken, problem in zip(damage, problems, strict=True)]
        X = X.assign(**{column: self._context(column, context[column], problems) for column in context.columns})
        self._refuse_unwritable(X, problems)
        good = [row for row, problem in enumerate(problems) if not problem]
        found = pd.DataFrame(index=range(len(given)), columns=self.model.columns(), dtype=object)
        if good:
            described = self.model.describe_canonical(X.iloc[good], self.level)
            found.loc[good, described.columns] = described.to_numpy(dtype=object)
        self.model.forget()
        return _typed(found, self.model).assign(**{PROBLEM: problems})

    def _refuse_unwritable(self, X: pd.DataFrame, problems: list[str]) -> None:
        """Say of rows that the model's notation cannot write, or whose prompt is too long, why they have no
        prediction."""
        good = [row for row, problem in enumerate(problems) if not problem]
        reasons = unwritable([str(X.iloc[row, 0]) for row in good], self.representations)
        for row in good:
            problems[row] = reasons.get(str(X.iloc[row, 0]), "")
        good = [row for row, problem in enumerate(problems) if not problem]
        if not self._count or not good:
            return
        for one in self.representations:
            for place, prompt in enumerate(prompts_in(self._template, X.iloc[good], one, self.model.about["seed"])):
                count = self._count(prompt)
                if count > self._limit:
                    problems[good[place // one.spellings]] = f"prompt of {count} tokens; the model takes {self._limit}"

    def looks_at(self, given: pd.DataFrame, context: pd.DataFrame) -> None:
        """Take in how a file writes its structures and numbers, from its first rows."""
        self.conditions = self.model.conditions.written_as({str(name): list(cells) for name, cells in context.items()})
        if self.model.kind is MOLECULES:
            self.notation = structure_notation(list(given.iloc[:, 0]))

    def _context(self, column: str, cells: pd.Series, problems: list[str]) -> list[str]:
        """The cells as training has them; where one cannot be read, ``problems`` says why."""
        found = []
        for row, cell in enumerate(cells):
            try:
                found.append(self.conditions.read(column, cell))
            except TargetError as error:
                found.append(cell)
                problems[row] = problems[row] or f"{error} (column {column!r})"
        return found

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
        return pd.DataFrame(rows, columns=[STRUCTURE, *self.reactions.components]).fillna(""), problems

    def _in_one_column(self, smiles: list[str]) -> tuple[pd.DataFrame, list[str]]:
        """Canonical SMILES (or formulas, or texts), of training rows as these had them, and problems.

        Of molecules the features that the arm needs are computed beside them.
        """
        distinct = list(dict.fromkeys(smiles))
        pieces = np.array_split(np.array(distinct, dtype=object), max(1, min(self.workers, len(distinct) // 50)))
        largest = self.model.about["largest_fragment"]
        answers = joblib.Parallel(n_jobs=len(pieces))(
            joblib.delayed(_understand)(list(piece), self.model.kind, largest, self.features, self.notation)
            for piece in pieces
        )
        trained = self.model.domain.known
        known: dict[str, tuple[str, str]] = {}
        for piece, (canonical, identities, problems, good, features) in zip(pieces, answers, strict=True):
            texts = as_known(canonical, identities, trained)
            known |= dict(zip(piece, zip(texts, problems, strict=True), strict=True))
            remember_features(good, features)
        return pd.DataFrame({STRUCTURE: [known[text][0] for text in smiles]}), [known[text][1] for text in smiles]


def _understand(
    texts: list[str], kind: Kind, largest_fragment: bool, features: list[str], notation: str
) -> tuple[list[str], list[str], list[str], list[str], dict[str, list[np.ndarray]]]:
    canonical, identities, problems = [], [], []
    for text in texts:
        try:
            found, problem = identified_text(text, kind, largest_fragment, notation), ""
        except MoleculeError as error:
            found, problem = ("", ""), str(error)
        canonical.append(found[0])
        identities.append(found[1])
        problems.append(problem)
    good = list(dict.fromkeys(smiles for smiles in canonical if smiles))
    return canonical, identities, problems, good, compute_features(good, features) if features else {}


def _typed(frame: pd.DataFrame, model: SavedModel) -> pd.DataFrame:
    """Columns of one type whatever a chunk holds, so that chunks fit together."""
    text = {model.nearest_column, "domain_note", *(["prediction"] if model.task == CLASSES else [])}
    types = {name: "string" if name in text else "Float64" for name in frame.columns}
    return frame.astype(types | {"in_training": "boolean", "in_domain": "boolean"})


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
    check_output(out)
    form = output_format(out)
    stream = open_stream(source)
    if out.exists() and out.samefile(stream.path):
        raise InputError(f"--out {out}: is the input itself; chemtune never writes over it")
    columns = _structure_columns(model, stream, smiles, source)
    context = {
        needed: check_column(stream.columns, needed, "the model's context", source, stream.repeated)
        for needed in model.context
    }
    for remark in stream.remarks:
        reporter.say(f"{source}: {remark}")
    predictor = Predictor(model, level, workers or os.cpu_count() or 1)
    first = next(iter(stream.chunks(chunk_rows)), None)
    if first is not None:
        predictor.looks_at(*_asked(first[0], columns, context))
    names = free_names([*model.columns(), PROBLEM], stream.columns)
    identity = _identity(model, level, form, columns)
    parts = out.with_name(f".{out.name}.parts")
    summary, made = Summary(out), []
    for number, chunk in enumerate(_with_progress(stream, chunk_rows, reporter)):
        part = parts / f"{number:07d}-{_chunk_hash(chunk, identity, number)}"
        tally = part.with_suffix(".json")
        if not (part.exists() and tally.exists()):
            frame = _predict_chunk(predictor, chunk, columns, context, names)
            write_atomically(part, encode_chunk(frame, form, first=number == 0, own=names.values()))
            write_atomically(tally, json.dumps(_tally(frame, names)))
        else:
            summary.reused += len(chunk[0])
        _add(summary, json.loads(tally.read_text(encoding="utf-8")), len(chunk[0]))
        made.append(part)
    join_chunks(made, form, out)
    shutil.rmtree(parts)
    return summary


def _structure_columns(model: SavedModel, stream: Stream, smiles: str, source: str) -> list[str]:
    """The columns of the input that hold the structures: one of molecules, or those of reactions as in training."""
    if model.reactions is None:
        if model.kind is not MOLECULES:
            column, option = smiles or model.about["smiles"], f"--{model.kind.setting}"
            return [check_column(stream.columns, column, option, source, stream.repeated)]
        return [smiles_column(stream, smiles, model.about["smiles"], source)]
    if smiles:
        raise InputError(
            f"--smiles {smiles}: the model is of reactions and reads the columns {', '.join(model.reactions.columns)}"
        )
    return [
        check_column(stream.columns, column, "the model's reactions", source, stream.repeated)
        for column in model.reactions.columns
    ]


def smiles_column(stream: Stream, asked: str, trained: str, source: str) -> str:
    """The column of the input that holds the molecules: as asked, the drawn ones, as in training, or one called
    SMILES."""
    if not asked and (stream.structure or plain_name(trained) not in stream.columns):
        asked = find_smiles_column(stream.columns, source, stream.structure)
    return check_column(stream.columns, asked or trained, "--smiles", source, stream.repeated)


def _with_progress(stream: Stream, size: int, reporter: Reporter) -> Iterator[Chunk]:
    done = 0
    reporter.step("predicting", 0, stream.n_rows)
    for chunk in stream.chunks(size):
        yield chunk
        done += len(chunk[0])
        reporter.step("predicting", done, stream.n_rows)


def _predict_chunk(
    predictor: Predictor, chunk: Chunk, columns: list[str], context: dict[str, str], names: dict[str, str]
) -> pd.DataFrame:
    rows, damage = chunk
    found = predictor.frame(*_asked(rows, columns, context), damage).rename(columns=names)
    return pd.concat([rows, found], axis=1)


def _asked(rows: pd.DataFrame, columns: list[str], context: dict[str, str]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The structures and the context of some rows, as text."""
    given = pd.DataFrame({column: _cells(rows[column]) for column in columns})
    return given, pd.DataFrame({name: _cells(rows[column]) for name, column in context.items()}, index=given.index)


def _cells(column: pd.Series) -> list[str]:
    return [text.strip() for text in column_texts(column)]


def _identity(model: SavedModel, level: float, form: str, columns: list[str]) -> str:
    about = json.dumps([model.about, level, form, columns], sort_keys=True, default=str)
    return hashlib.sha256(about.encode()).hexdigest()


def _chunk_hash(chunk: Chunk, identity: str, number: int) -> str:
    rows, damage = chunk
    digest = hashlib.sha256(f"{identity} {number} {list(rows.columns)} {damage}".encode())
    texts = pd.DataFrame({place: column_texts(column) for place, (_, column) in enumerate(rows.items())}, dtype=object)
    digest.update(pd.util.hash_pandas_object(texts, index=False).to_numpy().tobytes())
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
