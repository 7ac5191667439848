"""The command line: short help, one line of JSON, silence where asked for, and completion."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from pipeline.cli import app
from pipeline.cli.runs import _next
from pipeline.cli.terminal import called, quiet_libraries
from pipeline.runs.estimates import busy_note
from tests.conftest import SMILES, write_table
from tests.test_run import chemtune

SCREEN = 58  # lines of a terminal at its usual size


def help_of(*verb, columns=100):
    return CliRunner().invoke(app, [*verb], env={"COLUMNS": str(columns), "TERM": "dumb"}).output


@pytest.fixture
def small(tmp_path):
    return write_table(tmp_path / "small.csv", [(s, len(s)) for s in SMILES])


@pytest.mark.parametrize("verb", ["run", "fit", "audit", "init", "predict"])
def test_the_common_options_fit_a_screen_and_all_are_a_flag_away(verb):
    short = help_of(verb, "-h")
    assert short == help_of(verb, "--help")
    assert len(short.strip().splitlines()) <= SCREEN
    assert "--out" in short
    if verb != "predict":
        full = help_of(verb, "--help-all")
        assert "--thousands" in full
        assert "--thousands" not in short
        assert set(short.split()) - set(full.split()) <= {"│", "╭─", "─╮"} or len(full) > len(short)


def test_defaults_are_shown():
    text = " ".join(help_of("run", "--help-all", columns=200).split())
    assert "(default: random,scaffold)" in text
    assert "Share of rows to test on. (default: 0.2)" in text


def test_one_line_of_json_or_nothing(small):
    done = chemtune("run", small, "--arms", "ridge", "--split", "random", "-o", "out", "--json", cwd=small.parent)
    assert done.returncode == 0, done.stderr
    (line,) = done.stdout.splitlines()
    found = json.loads(line)
    assert found["report"] == "out/report.html"
    (target,) = found["found"]
    assert target["use"] == {"random": "ridge"}
    assert target["verdict"][0].startswith("On the random split")
    quiet = chemtune("report", "out", "--quiet", cwd=small.parent)
    assert (quiet.returncode, quiet.stdout, quiet.stderr) == (0, "", "")
    wrong = chemtune("report", "nowhere", "--json", cwd=small.parent)
    assert wrong.returncode == 2
    assert wrong.stdout == ""
    assert "nowhere: not the folder of a run" in wrong.stderr
    fitted = chemtune("fit", small, "--arm", "ridge", "-o", "model", "--json", cwd=small.parent)
    assert json.loads(fitted.stdout)["models"][0]["folder"] == "model"
    predicted = chemtune("predict", "model", small, "-o", "p.csv", "--json", cwd=small.parent)
    assert json.loads(predicted.stdout)["predicted"] == len(SMILES)


def test_the_shell_completes_verbs_and_options():
    def completed(words):
        environment = {
            **os.environ,
            "_CHEMTUNE_COMPLETE": "complete_bash",
            "COMP_WORDS": words,
            "COMP_CWORD": str(len(words.split()) - 1),
        }
        code = "import sys; sys.argv[0] = 'chemtune'; from pipeline.cli import app; app(prog_name='chemtune')"
        done = subprocess.run(
            [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False
        )
        return done.stdout.split()

    assert "predict" in completed("chemtune pre")
    assert "--split" in completed("chemtune run --sp")


def test_something_is_said_within_a_second_of_its_start(small):
    """The first line stands before the libraries are loaded: nothing heavy is imported by then."""
    code = (
        "import sys; from pipeline.cli import terminal; import pipeline.cli;"
        "heavy = {'torch', 'transformers', 'sklearn', 'rdkit', 'pandas', 'scipy'};"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_threads_wait_politely_unless_the_user_says_how(monkeypatch):
    for name in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY"):
        monkeypatch.delenv(name, raising=False)
    quiet_libraries()
    assert os.environ["GOMP_SPINCOUNT"] == "10000"
    monkeypatch.delenv("GOMP_SPINCOUNT")
    monkeypatch.setenv("OMP_WAIT_POLICY", "ACTIVE")
    quiet_libraries()
    assert "GOMP_SPINCOUNT" not in os.environ


def test_a_busy_machine_is_said_to_be(monkeypatch):
    monkeypatch.setattr(os, "cpu_count", lambda: 4)
    monkeypatch.setattr(os, "getloadavg", lambda: (3.2, 0.0, 0.0))
    assert busy_note() == ("This machine is busy (a load of 3.2 on 4 cores): all will take longer than on a quiet one.")
    monkeypatch.setattr(os, "getloadavg", lambda: (0.4, 4.0, 4.0))
    assert busy_note() == ""


def test_the_next_step_is_a_command_that_works(small, tmp_path, monkeypatch):
    """Also where the verdict on one split names no arm, and where the command is called by its path."""
    assert _next({"random": "gp", "scaffold": "gp"}, Path("runs/x")) == "fit --run runs/x --arm best"
    assert _next({"random": "gp", "scaffold": None}, Path("a b")) == "fit --run 'a b' --split random --arm best"
    done = chemtune("run", small, "--arms", "ridge", "--split", "random,similarity", "-o", "out", cwd=small.parent)
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("Next: ")]
    again = chemtune(*shlex.split(line)[2:], cwd=small.parent)
    assert again.returncode == 0, (line, again.stderr)
    monkeypatch.setattr(sys, "argv", [".venv/bin/chemtune"])
    monkeypatch.setenv("PATH", str(tmp_path))
    assert called() == ".venv/bin/chemtune"
    monkeypatch.setattr(sys, "argv", ["pytest"])
    assert called() == "chemtune"
