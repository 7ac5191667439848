"""Compositions and texts with every verb, as a user types it."""

from __future__ import annotations

import json

import pandas as pd
import pytest

from tests.conftest import FORMULAS, write_table
from tests.test_run import chemtune

pytestmark = pytest.mark.usefixtures("few_trees")

VERBS_OF_STEPS = ("warm", "cool", "stir", "filter")
TEXTS = [
    f"{verb} the {thing} for {hours} h"
    for verb in VERBS_OF_STEPS
    for thing in ("salt", "oil", "acid")
    for hours in range(1, 5)
]


def table_of(kind, folder):
    if kind == "composition":
        rows = [(formula, round(1.5 * formula.count("O") + len(formula) / 5, 2)) for formula in FORMULAS]
    else:
        rows = [(text, len(text.split()[0]) + int(text.split()[-2])) for text in TEXTS]
    return write_table(folder / "rows.csv", rows, f"{kind} column,value")


@pytest.mark.parametrize(
    ("kind", "arms", "example", "rows_are"),
    [
        ("composition", "fractions-ridge", "Mg(OH)2", "compositions"),
        ("text", "word-ridge", "stir the brine for 2 h", "texts"),
        pytest.param(
            "composition",
            "fractions-ridge,magpie-two-part,magpie-ensemble,lm-head,lm-text",
            "Mg(OH)2",
            "compositions",
            marks=pytest.mark.slow,
        ),
        pytest.param(
            "text", "word-ridge,ngram-ridge,lm-head", "stir the brine for 2 h", "texts", marks=pytest.mark.slow
        ),
    ],
)
def test_every_verb_takes_them(kind, arms, example, rows_are, tmp_path, tiny_folder):
    table = table_of(kind, tmp_path)
    given = (f"--{kind}", f"{kind} column", "--target", "value")
    model = ("--model", tiny_folder, "--steps", 2)
    done = chemtune("audit", table, *given, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert f"48 {rows_are} from 48 rows" in done.stdout
    done = chemtune("prompts", table, *given, "--rows", 1, cwd=tmp_path)
    assert "What is the value of" in done.stdout or "What is the value" in done.stdout
    done = chemtune(
        "run", table, *given, "--arms", arms, "--split", "random,cluster", *model, "--out", "o", cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    page = (tmp_path / "o/report.html").read_text(encoding="utf-8")
    for word in ("SMILES", "scaffold", "tautomer"):
        assert word not in page, word
    assert f"test {rows_are[:-1]}" in page or "Largest errors" in page
    again = chemtune("report", "o", cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    assert (tmp_path / "o/report.html").read_text(encoding="utf-8") == page
    for arm in arms.split(","):
        whole = model if arm.startswith("lm") else ()
        done = chemtune("fit", table, *given, "--arm", arm, *whole, "--out", f"m-{arm}", cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        done = chemtune("predict", f"m-{arm}", table, "--out", "new.csv", cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        new = pd.read_csv(tmp_path / "new.csv")
        assert len(new) == 48
        assert new["prediction"].notna().all()
        assert new["in_training"].all()
        assert f"nearest_training_{rows_are[:-1]}" in new
        done = chemtune("predict", f"m-{arm}", f"--{kind}", example, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        assert example in done.stdout
    about = json.loads((tmp_path / f"m-{arm}/model.json").read_text(encoding="utf-8"))
    assert about["rows"] == rows_are
    card = (tmp_path / f"m-{arm}/README.md").read_text(encoding="utf-8")
    assert "SMILES" not in card
    done = chemtune("predict", f"m-{arm}", f"--{kind}", "", cwd=tmp_path)
    assert done.returncode == 2
    assert f"empty {'formula' if kind == 'composition' else 'text'}" in done.stdout
    other = "text" if kind == "composition" else "composition"
    done = chemtune("predict", f"m-{arm}", f"--{other}", example, cwd=tmp_path)
    assert done.returncode == 2
    assert f"name them with --{kind}, not --{other}" in done.stderr
    sizes = ("--sizes", "10,20", "--arms", arms.split(",")[0], "--out", "c")
    done = chemtune("study", "learning-curve", table, *given, *sizes, cwd=tmp_path)
    assert done.returncode == 0, done.stderr


def test_a_formula_column_is_found_and_init_writes_it(tmp_path):
    table = write_table(tmp_path / "gaps.csv", [(f, len(f) / 3) for f in FORMULAS], "formula,band gap (eV)")
    done = chemtune("init", table, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    written = (tmp_path / "gaps.yaml").read_text(encoding="utf-8")
    assert "composition: formula" in written
    assert "target: band gap (eV)" in written
    assert "chemical-system" in written
    done = chemtune("audit", table, cwd=tmp_path)
    assert "Guessed: --composition formula (its cells are formulas)" in done.stdout


@pytest.mark.parametrize(("kind", "rows"), [("composition", FORMULAS), ("text", TEXTS)])
def test_python_estimators_take_them(kind, rows, tmp_path, tiny_folder):
    from pipeline import LoraClassifier, LoraRegressor, load

    template, y = f"The {{property}} of {{{kind}}} is:", [float(len(row)) for row in rows]
    model = LoraRegressor(template=template, model=str(tiny_folder), steps=2).fit(rows, y)
    model.save(tmp_path / "m")
    saved = load(tmp_path / "m")
    assert saved.rows_are == f"{kind}s"
    assert saved.predict(rows) == pytest.approx(model.predict(rows), rel=1e-5)
    labels = ["long" if len(row) > len(rows[0]) else "short" for row in rows]
    chances = LoraClassifier(template=template, model=str(tiny_folder), steps=2).fit(rows, labels).predict_proba(rows)
    assert chances.shape == (len(rows), 2)
    with pytest.raises(ValueError, match=f"X\\[1\\] is '': empty {'formula' if kind == 'composition' else 'text'}"):
        model.predict([rows[0], ""])


def test_an_estimator_of_reactions_is_not_there(tiny_folder):
    from pipeline import LoraRegressor

    with pytest.raises(ValueError, match="is for tables, with chemtune run or fit"):
        LoraRegressor(template="The {property} of {reaction}?", model=str(tiny_folder)).fit(["A>>B"], [1.0])
