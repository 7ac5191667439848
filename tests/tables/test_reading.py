from __future__ import annotations

import gzip

import pandas as pd
import pytest
from rdkit import Chem

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
        (b";", "no cell"),
        (b"\x00\x01\x02PK\x03", "binary"),
        (bytes(range(1, 255)) * 5, "binary"),
        (b"\x1f\x8b\x08broken", "gzip"),
        (b'SMILES,y\nC,"1\nCC,2\n', "never closed"),
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


def test_excel_rows_are_lines(tmp_path):
    frame = pd.DataFrame({"SMILES": ["CCO", "CCN"], "pKi": [1.5, None], "note": ["a", "b"]})
    frame.to_excel(tmp_path / "t.xlsx", index=False)
    raw = read_table(str(tmp_path / "t.xlsx"))
    assert raw.frame.loc[2].tolist() == ["CCO", "1.5", "a"]
    assert raw.frame.loc[3].tolist() == ["CCN", "", "b"]


@pytest.mark.parametrize("name", ["t.sdf", "t.sdf.gz"])
def test_sdf_records_keep_their_fields_and_places(tmp_path, name):
    blocks = []
    for text, value in (("CCO", "1.5"), ("c1ccccc1", ">10")):
        blocks.append(Chem.MolToMolBlock(Chem.MolFromSmiles(text)) + f"> <pKi>\n{value}\n\n$$$$\n")
    blocks.insert(1, "broken\n\n\nnot a counts line\nM  END\n$$$$\n")
    data = "".join(blocks).encode()
    (tmp_path / name).write_bytes(gzip.compress(data) if name.endswith("gz") else data)
    frame = read_table(str(tmp_path / name)).frame
    assert frame["structure"].tolist() == ["CCO", "(unreadable record)", "c1ccccc1"]
    assert frame["pKi"].tolist() == ["1.5", "", ">10"]
    assert frame.index.tolist() == [1, 2, 3]


def test_an_sdf_in_an_older_encoding_is_read(tmp_path):
    block = Chem.MolToMolBlock(Chem.MolFromSmiles("CCO")) + "> <note>\n5 \u00b5M\n\n$$$$\n"
    (tmp_path / "t.sdf").write_bytes(block.encode("cp1252"))
    assert read_table(str(tmp_path / "t.sdf")).frame["note"].tolist() == ["5 \u00b5M"]


@pytest.mark.parametrize("name", ["t.xlsx", "t.sdf"])
def test_a_file_that_is_not_what_its_name_says_is_one_line(tmp_path, name):
    (tmp_path / name).write_bytes(b"SMILES,value\nCCO,1\n")
    with pytest.raises(InputError, match="not a readable") as caught:
        read_table(str(tmp_path / name))
    assert "\n" not in str(caught.value)
