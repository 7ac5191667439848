from __future__ import annotations

import gzip

import pandas as pd
import pytest

from pipeline.errors import InputError
from pipeline.tables.reading import read_table

ROWS = "SMILES;name;y\nCCO;ethanol;1,5\nCCN;éthylamine;2,5\n"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_encodings_and_delimiters_give_the_same_table(tmp_path, encoding, delimiter):
    path = tmp_path / "t.csv"
    path.write_bytes(ROWS.replace(",", ".").replace(";", delimiter).encode(encoding))
    frame = read_table(str(path)).frame
    assert list(frame.columns) == ["SMILES", "name", "y"]
    assert frame["name"].tolist() == ["ethanol", "éthylamine"]


def test_gz_and_parquet_are_read(tmp_path):
    path = tmp_path / "t.tsv.gz"
    path.write_bytes(gzip.compress(ROWS.replace(";", "\t").encode()))
    assert read_table(str(path)).frame["y"].tolist() == ["1,5", "2,5"]
    parquet = tmp_path / "t.parquet"
    pd.DataFrame({"SMILES": ["C", "CC"], "y": [1.5, None]}).to_parquet(parquet)
    assert read_table(str(parquet)).frame["y"].tolist() == ["1.5", ""]


def test_line_numbers_survive_blank_lines_and_quoted_line_breaks(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text('SMILES,name\nC,"two\nlines"\n\nCC,plain\n')
    assert read_table(str(path)).frame.index.tolist() == [2, 5]


def test_ragged_rows_are_kept_with_their_line(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("SMILES,y\nC,1\nCC\nCCC,3\nCCCC,4,extra\n")
    raw = read_table(str(path))
    assert [entry[0] for entry in raw.ragged] == [3, 5]
    assert raw.frame.index.tolist() == [2, 4]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "empty"),
        (b"SMILES,y\n", "no rows"),
        (b"\x00\x01\x02PK\x03", "binary"),
        (bytes(range(1, 255)) * 5, "binary"),
        (b"\x1f\x8b\x08broken", "gzip"),
        (b'SMILES,y\nC,"1\nCC,2\n', "never closed"),
        (b"y,y\n1,2\n", "more than once"),
    ],
)
def test_unusable_files_get_one_clear_line(tmp_path, content, words):
    path = tmp_path / "t.csv"
    path.write_bytes(content)
    with pytest.raises(InputError, match=words) as caught:
        read_table(str(path))
    assert "\n" not in str(caught.value)


def test_missing_file_names_the_nearest(tmp_path):
    (tmp_path / "molecules.csv").write_text("a,b\n1,2\n")
    with pytest.raises(InputError, match=r"molecules\.csv"):
        read_table(str(tmp_path / "molecule.csv"))
