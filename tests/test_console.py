"""What the terminal shows and how a command ends."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner

from pipeline.cli import app, console
from pipeline.models.fitting import fit_model
from pipeline.reporter import Reporter
from pipeline.settings.reading import make_config


@pytest.fixture
def model(alcohols, tmp_path):
    fit_model(make_config(str(alcohols), {"target": "value"}), "ridge", Reporter()).save(tmp_path / "model")
    return tmp_path / "model"


@pytest.mark.parametrize("text", [":b:", "c:o:c", "n1:c:c:1", ":warning:"])
def test_text_between_colons_is_no_picture(text):
    with console.capture() as shown:
        console.print(text, markup=False)
    assert shown.get().strip() == text


def test_a_structure_that_cannot_be_predicted_ends_with_an_error(model):
    runner = CliRunner()
    assert runner.invoke(app, ["predict", str(model), "--smiles", "CCO"]).exit_code == 0
    assert runner.invoke(app, ["predict", str(model), "--smiles", "CCO", "--smiles", "C1CC"]).exit_code == 2


def test_a_line_appears_before_the_libraries_are_loaded(monkeypatch, alcohols):
    """The first line is printed before anything of the work is imported."""
    import builtins

    seen: list[str] = []
    real = builtins.__import__

    def recording(name, *rest, **more):
        if name == "pipeline.runs.prepare":
            seen.append("work")
        return real(name, *rest, **more)

    monkeypatch.setattr("pipeline.cli.terminal.begin", lambda source: seen.append("line"))
    monkeypatch.setattr(builtins, "__import__", recording)
    CliRunner().invoke(app, ["audit", str(alcohols), "--target", "value"])
    assert seen[0] == "line"
    assert "work" in seen
