"""A place that cannot be written is refused before the work, in one line."""

from __future__ import annotations

import json

import pytest

from pipeline.errors import InputError
from pipeline.files import check_folder, check_output
from pipeline.models.folder import describe_folder
from tests.models.test_written_before import BEFORE
from tests.test_run import chemtune


@pytest.mark.parametrize(
    "command",
    [
        ("predict", BEFORE / "ridge", BEFORE / "chains.csv", "--smiles", "SMILES", "--out", "folder.csv"),
        ("label", "logp", BEFORE / "chains.csv", "--out", "folder.csv"),
        ("prompts", BEFORE / "chains.csv", "--target", "value", "--out", "folder.csv"),
        ("audit", BEFORE / "chains.csv", "--target", "value", "--out", "file.csv"),
        ("fit", BEFORE / "chains.csv", "--target", "value", "--arm", "ridge", "--out", "file.csv"),
        ("init", BEFORE / "chains.csv", "--target", "value", "--force", "--out", "folder.csv"),
        ("atlas", BEFORE / "chains.csv", "--target", "value", "--out", "file.csv"),
        ("run", BEFORE / "chains.csv", "--target", "value", "--arms", "ridge", "--out", "file.csv/run"),
    ],
)
def test_a_folder_for_a_file_and_a_file_for_a_folder_are_one_line(tmp_path, command):
    (tmp_path / "folder.csv").mkdir()
    (tmp_path / "file.csv").write_text("mine")
    done = chemtune(*command, cwd=tmp_path)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert "--out" in done.stderr
    assert (tmp_path / "file.csv").read_text() == "mine"
    assert not list((tmp_path / "folder.csv").iterdir())


def test_places_that_are_free_are_taken(tmp_path):
    (tmp_path / "file").write_text("mine")
    for place in (tmp_path / "new" / "out.csv", tmp_path / "file"):
        check_output(place)
    check_folder(tmp_path / "new" / "run")
    with pytest.raises(InputError, match="is a file"):
        check_output(tmp_path / "file" / "out.csv")


@pytest.mark.parametrize("key", ["units", "data", "scores", "arm"])
def test_an_incomplete_description_names_what_is_missing(tmp_path, key):
    about = json.loads((BEFORE / "ridge" / "model.json").read_text())
    del about[key]
    (tmp_path / "model.json").write_text(json.dumps(about))
    with pytest.raises(InputError, match=f"incomplete, there is no {key}"):
        describe_folder(tmp_path)
