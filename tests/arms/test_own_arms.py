"""An arm of the user's own: a function in a file beside the table."""

from __future__ import annotations

import json

import pandas as pd
import pytest

from pipeline.arms.catalogue import ARMS
from pipeline.named import is_own
from tests.test_run import chemtune_afresh, run_small

pytestmark = pytest.mark.usefixtures("undrawn", "few_trees")

TEXTS = '''
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline


def make_arm(task, seed):
    """Ridge on <counts> of pairs of characters."""
    grams = CountVectorizer(analyzer="char", ngram_range=(1, 2), lowercase=False)
    return make_pipeline(grams, Ridge(1.0) if task == "regression" else LogisticRegression())
'''
FEATURES = """
from sklearn.neighbors import KNeighborsRegressor

def nearest(task, seed):
    return KNeighborsRegressor(3)

nearest.features = ("counts", "descriptors")
"""


@pytest.fixture(autouse=True)
def _as_before(monkeypatch):
    yield
    for name in list(filter(is_own, ARMS)):
        del ARMS[name]


def write(folder, name, text):
    (folder / f"{name}.py").write_text(text, encoding="utf-8")


def run_afresh(table, *more):
    given = ("--smiles", "SMILES", "--target", "value", "--split", "random", "--out", "out")
    return chemtune_afresh("run", table, *given, *more, cwd=table.parent)


@pytest.mark.slow
def test_an_own_arm_is_compared_as_any_other_and_fitted_again_where_its_file_changes(alcohols):
    write(alcohols.parent, "texts", TEXTS)
    write(alcohols.parent, "vicinity", FEATURES)
    arms = ("--arms", "ridge,texts:make_arm,vicinity:nearest")
    done = run_afresh(alcohols, *arms, "--primary", "texts:make_arm")
    assert done.returncode == 0, done.stderr
    frame = pd.read_parquet(alcohols.parent / "out/predictions.parquet")
    assert list(dict.fromkeys(frame["arm"])) == ["mean", "ridge", "texts:make_arm", "vicinity:nearest"]
    report = (alcohols.parent / "out/report.html").read_text(encoding="utf-8")
    assert "Ridge on &lt;counts&gt; of pairs of characters" in report
    info = json.loads((alcohols.parent / "out/run.json").read_text())
    assert info["settings"]["arms"] == ["ridge", "texts:make_arm", "vicinity:nearest"]
    assert info["primary"] == "texts:make_arm"
    cells = {path.name for path in (alcohols.parent / "out/cells").iterdir()}
    write(alcohols.parent, "texts", TEXTS.replace('"""Ridge on', '"""A ridge on') + "\n# nothing new\n")
    assert run_afresh(alcohols, *arms).returncode == 0
    assert {path.name for path in (alcohols.parent / "out/cells").iterdir()} == cells
    write(alcohols.parent, "texts", TEXTS.replace("Ridge(1.0)", "Ridge(9.0)"))
    assert run_afresh(alcohols, *arms).returncode == 0
    made = [path for path in (alcohols.parent / "out/cells").iterdir() if path.name not in cells]
    assert [json.loads(path.read_text())["tags"]["arm"] for path in made] == ["texts:make_arm"]


def test_an_own_arm_for_classes_and_for_reactions(alcohols, couplings, monkeypatch):
    write(alcohols.parent, "for_classes", TEXTS)
    monkeypatch.chdir(alcohols.parent)
    done = run_small(alcohols, alcohols.parent / "bins", "--bins", 2, "--split", "random", arms="for_classes:make_arm")
    assert done.returncode == 0, done.stderr
    given = ("--reaction", "rxn", "--components", "halide,amine", "--yield", "yield", "--split", "random")
    done = chemtune_afresh(
        "run", couplings, *given, "--arms", "for_classes:make_arm", "--out", "r", cwd=couplings.parent
    )
    assert done.returncode == 0, done.stderr
    assert "for_classes:make_arm" in set(pd.read_csv(couplings.parent / "r/metrics.csv")["arm"])


@pytest.mark.parametrize(
    ("text", "arm", "words"),
    [
        ("", "absent:make_arm", "absent cannot be imported: No module named 'absent'"),
        ("def other(task, seed): ...", "lacking:make_arm", "lacking has no function 'make_arm'"),
        ("1 / 0", "broken:make_arm", "broken cannot be imported: division by zero"),
        ("def make_arm(task): ...", "narrow:make_arm", "TypeError: make_arm() takes 1 positional argument"),
        ("def make_arm(task, seed): return 3", "three:make_arm", "TypeError: Cannot clone object"),
        (
            "from sklearn.preprocessing import StandardScaler\ndef make_arm(task, seed): return StandardScaler()",
            "scaler:make_arm",
            "returned a StandardScaler without predict",
        ),
        (
            "def make_arm(task, seed): ...\nmake_arm.features = ['descriptor']",
            "asking:make_arm",
            "did you mean 'descriptors'",
        ),
    ],
)
def test_what_is_wrong_with_an_own_arm_is_one_line(alcohols, text, arm, words):
    if text:
        write(alcohols.parent, arm.partition(":")[0], text)
    done = run_small(alcohols, alcohols.parent / "out", "--split", "random", arms=f"ridge,{arm}")
    assert done.returncode == 2
    assert words in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr


def test_an_own_arm_is_not_kept_in_a_file(alcohols):
    write(alcohols.parent, "texts", TEXTS)
    given = ("--smiles", "SMILES", "--target", "value", "--arm", "texts:make_arm", "--out", "kept")
    done = chemtune_afresh("fit", alcohols, *given, cwd=alcohols.parent)
    assert done.returncode == 2
    assert "is your own: it is compared in a run, and not kept in a file" in " ".join(done.stderr.split())
