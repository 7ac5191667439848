"""One page over all failure modes: each by its own study, with what could not be tested."""

from __future__ import annotations

import json

import pandas as pd
import pytest

from pipeline.cells.executors import Executor
from pipeline.errors import InputError
from pipeline.reporter import Reporter
from pipeline.settings.reading import make_config
from pipeline.settings.studies import STUDIES
from pipeline.studies.atlas.atlas import run_atlas
from pipeline.studies.atlas.modes import QUESTIONS, SHIFT, Asked
from pipeline.studies.atlas.page import sentences
from pipeline.studies.failure import NO, UNTOLD, YES, Failure, Outcome
from pipeline.studies.study import study_named
from tests.conftest import SMILES, write_table
from tests.test_run import chemtune

pytestmark = pytest.mark.usefixtures("few_trees")

CHEAP = {"spelling": {"arms": ["ngram-ridge", "rf-bits"]}}


def config_of(path, **given):
    run = {"smiles": "SMILES", "target": "value", "arms": ["rf-bits", "ridge"], "test_size": 0.4}
    return make_config(str(path), run | given | {"out": str(path.parent / "atlas")})


def asked(*names):
    return [Asked(name, True, CHEAP.get(name, {})) for name in names]


def failure_of(*outcomes):
    return Failure("rows", "error over error", 1.0, outcomes, "none", "nothing", "much")


def test_every_failure_mode_is_in_the_atlas():
    assert set(QUESTIONS) == {SHIFT, *(name for name, row in STUDIES.items() if row.failure_mode)}
    for name in QUESTIONS:
        if name != SHIFT:
            assert Asked(name, False).study is study_named(name)


def test_who_suffers_least_is_judged_where_it_suffers_most():
    one = failure_of(
        Outcome("a", "easy", (1.0, 0.9, 1.1), UNTOLD),
        Outcome("a", "hard", (3.0, 2.5, 3.5), YES),
        Outcome("b", "easy", (1.5, 1.2, 1.8), YES),
        Outcome("b", "hard", (2.0, 1.5, 2.5), YES),
        Outcome("c", "hard", (0.5, 0.4, 0.6), NO),
    )
    assert (one.of_most().arm, one.of_least().arm) == ("a", "c")
    assert one.shown
    assert not failure_of(Outcome("a", "easy", (1.4, 0.9, 1.9), UNTOLD)).shown
    assert failure_of().of_least() is None


def test_what_is_shown_comes_first_and_what_is_not_is_not_claimed():
    nothing = failure_of(Outcome("a", "here", (1.1, 0.8, 1.4), UNTOLD))
    said = sentences(
        {"spelling": (nothing,), "shift": (failure_of(Outcome("b", "there", (2.0, 1.6, 2.4), YES)),)},
        {"negatives": "no reactions"},
    )
    assert said[0].startswith("shift: shown for b.")
    assert said[1].startswith("spelling: shown for no arm.")
    assert said[2] == "Not tested: negatives."


def test_the_atlas_runs_what_the_table_allows_and_says_why_not_the_rest(alcohols):
    wanted = asked(SHIFT, "spelling", "negatives", "verifier")
    found = run_atlas(config_of(alcohols), wanted, Reporter(), Executor())
    folder = alcohols.parent / "atlas"
    assert list(found.done) == [SHIFT, "spelling"]
    assert "the study is about reactions" in found.left_out["verifier"]
    assert "holds numbers; of molecules the study is about two classes" in found.left_out["negatives"]
    table = pd.read_csv(folder / "atlas.csv")
    assert set(table["failure_mode"]) == {SHIFT, "spelling"}
    assert set(table.query("failure_mode == 'shift'")["arm"]) == {"rf-bits", "ridge"}
    assert table["null"].notna().all()
    page = found.page.read_text(encoding="utf-8")
    assert 'href="shift/report.html"' in page
    assert (folder / "shift" / "report.html").exists()
    assert "the study is about reactions" in page
    assert json.loads((folder / "atlas.json").read_text(encoding="utf-8"))["modes"] == [SHIFT, "spelling"]

    kept = {path: path.stat().st_mtime_ns for path in folder.rglob("cells/*")}
    again = run_atlas(config_of(alcohols), wanted, Reporter(), Executor())
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("cells/*")} == kept
    assert again.page.read_text(encoding="utf-8") == page


def test_a_table_that_allows_nothing_is_one_line(tmp_path):
    path = write_table(tmp_path / "few.csv", [(text, 1.0) for text in SMILES])
    with pytest.raises(InputError, match="no failure mode can be tested") as refused:
        run_atlas(config_of(path), asked("published-only", "verifier"), Reporter(), Executor())
    assert str(refused.value).count("the study is about reactions") == 1


def test_the_command_goes_from_table_to_page_and_back(alcohols):
    out = alcohols.parent / "page"
    yaml = alcohols.parent / "atlas.yaml"
    yaml.write_text(
        f"table: {alcohols}\nsmiles: SMILES\ntarget: value\narms: [rf-bits, ridge]\ntest_size: 0.4\n"
        "stress:\n  spelling:\n    arms: [ngram-ridge, rf-bits]\n",
        encoding="utf-8",
    )
    done = chemtune("atlas", yaml, "--quick", "--modes", "shift,spelling", "--out", out, cwd=alcohols.parent)
    assert done.returncode == 0, done.stderr
    page = (out / "report.html").read_text(encoding="utf-8")
    assert "where models fail" in page
    again = chemtune("report", out, cwd=alcohols.parent)
    assert again.returncode == 0, again.stderr
    assert (out / "report.html").read_text(encoding="utf-8") == page
    wrong = chemtune("atlas", yaml, "--modes", "spellings", "--out", out, cwd=alcohols.parent)
    assert wrong.returncode == 2
    assert "did you mean" in wrong.stderr


def test_a_first_look_leaves_the_many_models_of_edges_to_baselines(tmp_path):
    config = make_config("esol", {"max_rows": 300, "out": str(tmp_path)})
    made = Asked("edges", True).prepare(config, Reporter())
    assert "lm-head" not in made.arms
    assert {"ridge", "extratrees"} <= set(made.arms)
    named = Asked("edges", True, {"arms": ["ridge"]}).prepare(config, Reporter())
    assert "extratrees" not in named.arms
