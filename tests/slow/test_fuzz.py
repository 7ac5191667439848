"""Five minutes of bad input: no traceback reaches the user, and no row is lost.

Each test goes through rounds of hypothesis examples, a seed per round, until its time is up; a failure is shrunk and
its round's seed printed by hypothesis.
"""

from __future__ import annotations

import contextlib
import csv
import gzip
import io
import time
from collections.abc import Callable

import hypothesis
import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given
from hypothesis import strategies as st
from rdkit import Chem

from pipeline.errors import InputError
from pipeline.features.structures import compute_features
from pipeline.models.fitting import fit_model
from pipeline.models.predicting import predict_file
from pipeline.reporter import Reporter
from pipeline.runs.audit import audit_lines, audit_table
from pipeline.runs.prepare import load_table, prepare
from pipeline.settings.reading import make_config
from pipeline.tables.catalogue import cards
from pipeline.tables.molecules import MoleculeError, parse_molecule
from tests.conftest import SMILES, write_table
from tests.tables.test_names_of_columns import OWN
from tests.test_run import chemtune

pytestmark = pytest.mark.slow
SECONDS = 38  # for each of eight tests: five minutes
ROUND = hypothesis.settings(
    max_examples=40, deadline=None, database=None, suppress_health_check=list(HealthCheck), print_blob=True
)
REAL = [
    text
    for card in cards().values()
    if card.smiles and not card.fetched
    for text in pd.read_csv(card.path)[card.smiles].sample(60, random_state=0)
]
SUFFIXES = [".csv", ".tsv", ".csv.gz", ".xlsx", ".sdf", ".sdf.gz", ".parquet", ".yaml", ".txt"]
ODD_CELLS = [
    *("", " ", "nan", "None", "-", ">10", "<0.5", "1.2±0.3", "5 µM", "~7", "1e400", "-1e-400", "0x1f", "1_0", "١٢"),
    *("=1+1", "@cmd", "+1", '"', "'", "\n", "\r\n", "a\tb", "\x0b", "\u2028", "\ufeff", "𝟏", "1,5", "1;5", "inf", "Ω"),
]


def for_a_while(example: Callable[[], None]) -> None:
    """Rounds of examples, each with a seed of its own, until the time is up."""
    end, number = time.monotonic() + SECONDS, 0
    while time.monotonic() < end:
        hypothesis.seed(number)(example)()
        number += 1
    assert number > 0


def mutated(text: str, edits: list[tuple[int, str]]) -> str:
    """A text with single characters replaced, doubled or taken out."""
    for position, character in edits:
        place = position % (len(text) + 1)
        text = text[:place] + character + text[place + (position % 3) :]
    return text


smiles_edits = st.lists(
    st.tuples(st.integers(0, 10_000), st.sampled_from([*"CNOSPFcnos()[]=#@+-123%/\\.*:H", ""])), max_size=4
)
molecules = st.one_of(
    st.sampled_from(REAL),
    st.builds(mutated, st.sampled_from(REAL), smiles_edits),
    st.sampled_from(ODD_CELLS),
    st.text(max_size=20),
)
numbers = st.one_of(
    st.floats(-1e3, 1e3).map(lambda value: f"{value:.4g}"), st.sampled_from(ODD_CELLS), st.text(max_size=8)
)
edits = st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), min_size=1, max_size=8)


def test_any_smiles_is_a_molecule_or_a_reason():
    @ROUND
    @given(molecules)
    def example(text):
        with contextlib.suppress(MoleculeError):
            found = parse_molecule(text)
            assert parse_molecule(found.smiles).identity == found.identity or "SMILES=" in found.identity
            compute_features([found.smiles], ["bits", "counts", "descriptors"])

    for_a_while(example)


def test_any_bytes_are_a_table_or_one_line(tmp_path):
    @ROUND
    @given(st.binary(max_size=1_500), st.sampled_from(SUFFIXES), st.booleans())
    def example(content, suffix, packed):
        path = tmp_path / f"t{suffix}"
        path.write_bytes(gzip.compress(content) if packed else content)
        done = chemtune("audit", path, "--smiles", "a", "--target", "b", cwd=tmp_path)
        assert done.returncode in (0, 2)
        assert done.stderr.count("\n") <= 1

    for_a_while(example)


def test_a_damaged_file_is_a_table_or_one_line(tmp_path):
    frame = pd.DataFrame({"SMILES": SMILES, "value": np.arange(len(SMILES)) + 0.5})
    originals = {}
    for suffix, write in ((".csv", frame.to_csv), (".xlsx", frame.to_excel), (".parquet", frame.to_parquet)):
        write(tmp_path / f"whole{suffix}", index=False)
        originals[suffix] = (tmp_path / f"whole{suffix}").read_bytes()
    with Chem.SDWriter(str(tmp_path / "whole.sdf")) as writer:
        for text, value in frame.itertuples(index=False):
            molecule = Chem.MolFromSmiles(text)
            molecule.SetProp("value", str(value))
            writer.write(molecule)
    originals[".sdf"] = (tmp_path / "whole.sdf").read_bytes()
    originals[".csv.gz"] = gzip.compress(originals[".csv"])

    @ROUND
    @given(st.sampled_from(sorted(originals)), edits, st.integers(0, 3))
    def example(suffix, changes, cut):
        content = bytearray(originals[suffix])
        for position, byte in changes:
            content[position % len(content)] = byte
        path = tmp_path / f"t{suffix}"
        path.write_bytes(content[: len(content) * (4 - cut) // 4])
        done = chemtune("audit", path, "--target", "value", cwd=tmp_path)
        assert done.returncode in (0, 2)
        assert done.stderr.count("\n") <= 1

    for_a_while(example)


rows = st.lists(st.tuples(molecules, numbers, st.sampled_from(["a", "b", *ODD_CELLS])), max_size=30)


def as_csv(found: list[tuple[str, str, str]], delimiter: str) -> str:
    file = io.StringIO(newline="")
    writer = csv.writer(file, delimiter=delimiter, lineterminator="\n", quoting=csv.QUOTE_ALL)
    writer.writerows([("SMILES", "value", "kind"), *found])
    return file.getvalue()


def test_every_row_of_a_table_is_used_merged_or_refused(tmp_path):
    good = [(text, str(len(text)), "ab"[row % 2]) for row, text in enumerate(SMILES)]

    @ROUND
    @given(
        rows,
        st.sampled_from(",;\t|"),
        st.sampled_from(["value", "kind"]),
        st.sampled_from(["refuse", "limit", "censored"]),
        st.sampled_from(["refuse", "accept"]),
        st.sampled_from(["", "log10", "pIC50"]),
        st.sampled_from([(), ("kind",)]),
    )
    def example(found, delimiter, target, bounds, annotated, transform, context):
        path = tmp_path / "t.csv"
        path.write_text(as_csv([*found, *good], delimiter), encoding="utf-8")
        given = {"target": target, "bounds": bounds, "annotated": annotated, "transform": transform, "units": "nM"}
        with contextlib.suppress(InputError):
            run = prepare(make_config(str(path), {**given, "arms": "knn", "context": context}), Reporter())
            assert run.table.n_read == int(run.table.frame["n_merged"].sum()) + len(run.table.refused)
            assert run.table.n_read == sum(any(cell.strip() for cell in row) for row in [*found, *good])
            assert audit_lines(audit_table(run.table))

    for_a_while(example)


def test_every_row_of_a_file_comes_back_from_predict(tmp_path):
    table = write_table(tmp_path / "train.csv", [(text, len(text)) for text in SMILES])
    model = fit_model(make_config(str(table), {"target": "value"}), "ridge", Reporter())

    @ROUND
    @given(rows.filter(len), st.sampled_from(",;\t|"), st.sampled_from([".csv", ".parquet", ".tsv.gz"]))
    def example(found, delimiter, suffix):
        path = tmp_path / "in.csv"
        path.write_text(as_csv(found, delimiter), encoding="utf-8")
        out = tmp_path / f"out{suffix}"
        with contextlib.suppress(InputError):
            summary = predict_file(model, str(path), out, Reporter(), chunk_rows=7, workers=1)
            assert summary.rows == len(found)
            assert summary.predicted + sum(summary.problems.values()) == len(found)
            if suffix == ".parquet":
                written = pd.read_parquet(out)
                assert list(written["SMILES"]) == [row[0] for row in found]
                assert (written["prediction"].notna() == (written["problem"] == "")).all()

    for_a_while(example)


MARKS = {"point": (".", ""), "comma": (",", ""), "english": (".", ","), "german": (",", "."), "swiss": (".", "'")}


def in_style(value: float, places: int, style: str) -> str:
    """A number as people of one style write it."""
    decimal, thousands = MARKS[style]
    text = f"{value:,.{places}f}" if thousands else f"{value:.{places}f}"
    return text.translate(str.maketrans({",": thousands, ".": decimal}))


values = st.lists(st.floats(-1e5, 1e5), min_size=len(SMILES), max_size=len(SMILES))


def test_the_value_read_is_the_value_meant_or_the_column_is_refused(tmp_path):
    """Marks of all styles, in target and context, under column names of the program's own, with relations."""

    @ROUND
    @given(
        values,
        values,
        st.sampled_from(sorted(MARKS)),
        st.integers(0, 3),
        st.sampled_from(",;\t|"),
        st.lists(st.sampled_from(OWN), min_size=3, max_size=3, unique=True),
        st.lists(st.sampled_from(["=", "'='", ">", "<", "~", ""]), min_size=len(SMILES), max_size=len(SMILES)),
    )
    def example(targets, beside, style, places, delimiter, names, relations):
        target, context, relation = names
        path = tmp_path / "t.csv"
        written = [in_style(value, places, style) for value in targets]
        stated = [in_style(value, places, style) for value in beside]
        cells = [*zip(SMILES, written, stated, relations, strict=True)]
        file = io.StringIO(newline="")
        writer = csv.writer(file, delimiter=delimiter, lineterminator="\n", quoting=csv.QUOTE_ALL)
        writer.writerows([("structure of row", target, context, relation), *cells])
        path.write_text(file.getvalue(), encoding="utf-8")
        if style == "german" and places == 0 and delimiter == ",":  # points between thousands, commas between cells
            return
        given = {"smiles": "structure of row", "target": target, "context": f"{context}:number", "relation": relation}
        with contextlib.suppress(InputError):
            table = load_table(
                make_config(str(path), {**given, "task": "regression", "bounds": "limit", "annotated": "accept"}),
                Reporter(),
            )
            assert table.n_read == int(table.frame["n_merged"].sum()) + len(table.refused)
            rows = table.frame["line"].to_numpy() - 2
            for found, meant in ((table.frame["target"], targets), (table.column(context).astype(float), beside)):
                np.testing.assert_allclose(
                    found, [round(meant[row], places) for row in rows], rtol=1e-9, atol=0.51 * 10**-places
                )

    for_a_while(example)


TYPES = {
    "text": lambda numbers: [str(number) for number in numbers],
    "float": lambda numbers: [float(number) for number in numbers],
    "nullable": lambda numbers: pd.array([*numbers[:-1], pd.NA], dtype="Int64"),
    "lists": lambda numbers: [[number, number] for number in numbers],
    "dates": lambda numbers: pd.Timestamp("2020-01-01") + pd.to_timedelta(numbers, unit="D"),
    "categories": lambda numbers: pd.Categorical([f"c{number % 3}" for number in numbers]),
    "bytes": lambda numbers: [str(number).encode() for number in numbers],
}


def test_any_types_of_parquet_are_a_table_or_one_line(tmp_path):
    @ROUND
    @given(
        st.lists(st.sampled_from(sorted(TYPES)), min_size=1, max_size=4),
        st.lists(st.integers(-(10**17), 10**17), min_size=len(SMILES), max_size=len(SMILES), unique=True),
        st.sampled_from([None, "own", "SMILES"]),
    )
    def example(kinds, numbers, index):
        small = [number % 1_000 for number in numbers]
        frame = pd.DataFrame({"SMILES": SMILES, "value": numbers})
        for place, kind in enumerate(kinds):
            frame[f"{kind} {place}"] = TYPES[kind](small)
        if index:
            frame.index = pd.Index([f"row {place}" for place in range(len(frame))], name=index)
        path = tmp_path / "t.parquet"
        frame.to_parquet(path)
        with contextlib.suppress(InputError):
            table = load_table(make_config(str(path), {"smiles": "SMILES", "target": "value"}), Reporter())
            assert sorted(table.targets) == sorted(map(float, numbers))

    for_a_while(example)


pieces = st.lists(
    st.sampled_from(
        ["CBr", "CN", "N->[Pd](Cl)(Cl)<-N", "O=C([O-][K+])c1ccccc1", "[K+]<-[O-]C", "[Na+].[OH-]", "C(", "", "->"]
    ),
    max_size=3,
).map(".".join)


def test_any_reaction_is_used_merged_or_refused(tmp_path):
    good = [(f"{'C' * (1 + number)}Br.CN>>{'C' * (1 + number)}NC", number + 0.5, "a") for number in range(30)]

    @ROUND
    @given(
        st.lists(st.tuples(st.tuples(pieces, pieces, pieces), numbers), max_size=20),
        st.sampled_from([">", " > ", "> ", "->"]),
        st.sampled_from(OWN),
        st.booleans(),
    )
    def example(found, arrow, name, of_yields):
        rows = [(arrow.join(parts), value, "b") for parts, value in found]
        file = io.StringIO(newline="")
        csv.writer(file, lineterminator="\n", quoting=csv.QUOTE_ALL).writerows(
            [("rxn", "outcome 1", name), *rows, *good]
        )
        path = tmp_path / "t.csv"
        path.write_text(file.getvalue(), encoding="utf-8")
        given = {"reaction": "rxn", "yield" if of_yields else "target": "outcome 1", "context": name}
        with contextlib.suppress(InputError):
            table = load_table(make_config(str(path), given), Reporter())
            assert table.n_read == int(table.frame["n_merged"].sum()) + len(table.refused) == len(rows) + len(good)
            assert len(set(table.inputs.columns)) == table.inputs.shape[1]

    for_a_while(example)
