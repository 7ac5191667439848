"""The commands of the README, as they are written there, on a small table of the names that it uses."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from rdkit import Chem
from rdkit.Chem import Crippen

from pipeline.errors import InputError
from pipeline.settings.studies import STUDIES
from pipeline.tables.catalogue import card
from tests.conftest import FORMULAS, reaction_rows, tiny_model_folder
from tests.test_run import chemtune

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("few_trees")]
ROOT = Path(__file__).resolve().parent.parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
# Pages whose commands train the real weights: a comparison, models to keep, and one study. All other pages train a
# random model of two layers: what the real one does is tested elsewhere.
WITH_REAL_WEIGHTS = ("README.md", "docs/spelling.md")
STUDYING = ("stress", "study", "atlas", "design")  # verbs that need nothing of another command, and take --quick
_ALL = [str(path.relative_to(ROOT)) for path in sorted((ROOT / "docs").glob("*.md"))]
PAGES = (*WITH_REAL_WEIGHTS, *(page for page in _ALL if page not in WITH_REAL_WEIGHTS))


def commands(page: str) -> list[list[str]]:
    lines = re.findall(r"^    (chemtune .*)$", (ROOT / page).read_text(encoding="utf-8"), flags=re.MULTILINE)
    return [shlex.split(line, comments=True)[1:] for line in lines]


@pytest.fixture(scope="module")
def small_model(tmp_path_factory) -> Path:
    """A random model whose context takes the prompts of all pages, letter by letter."""
    return tiny_model_folder(tmp_path_factory.mktemp("model"), context=4096)


@pytest.fixture
def folder(tmp_path) -> Path:
    """``my.csv`` and ``new.csv``: 80 and 10 molecules of ESOL, with a property that follows from their size.

    So small a table of real solubilities may show nothing, and then no arm is the best one.
    """
    path = tmp_path
    smiles = pd.read_csv(card("esol").path)[card("esol").smiles].sample(90, random_state=0)
    size = smiles.map(lambda text: Chem.MolFromSmiles(text).GetNumHeavyAtoms())
    noise = np.random.default_rng(0).normal(scale=0.1, size=len(smiles))
    frame = pd.DataFrame({"SMILES": smiles, "logS": (0.5 - 0.25 * size + noise).round(2)})
    frame[:80].to_csv(path / "my.csv", index=False)
    frame[80:][["SMILES"]].to_csv(path / "new.csv", index=False)
    logp = smiles.map(lambda text: round(Crippen.MolLogP(Chem.MolFromSmiles(text)), 3))
    pd.DataFrame({"SMILES": smiles, "logP": logp}).to_csv(path / "computed.csv", index=False)
    (path / "mypackage").mkdir()
    (path / "mypackage" / "module.py").write_text("def function(smiles):\n    return len(smiles)\n")
    papers = frame[:80].sort_values("logS").assign(paper=[f"paper {number // 27}" for number in range(80)])
    papers.to_csv(path / "papers.csv", index=False)
    columns = ["halide", "amine", "base", "solvent", "rxn", "yield"]
    mine = pd.DataFrame(reaction_rows(), columns=columns)
    mine["doi"] = mine["halide"] + " " + mine["amine"]
    scope = (mine["base"] != "") & (mine["amine"] != "CN")
    mine["table"] = np.where(scope, "Scope", "Optimisation")
    mine.to_csv(path / "mine.csv", index=False)
    mine[columns[:4]].head(5).to_csv(path / "planned.csv", index=False)
    gaps = pd.DataFrame({"formula": FORMULAS, "gap": [len(set(text)) / 2 + text.count("O") for text in FORMULAS]})
    gaps.to_csv(path / "gaps.csv", index=False)
    gaps[["formula"]].head(5).to_csv(path / "new_gaps.csv", index=False)
    hours, verbs = range(1, 11), ("stir", "warm", "filter", "dry")
    steps = [(f"{verb} the salt for {hour} h", 60 * hour + len(verb)) for verb in verbs for hour in hours]
    pd.DataFrame(steps, columns=["step", "minutes"]).to_csv(path / "steps.csv", index=False)
    return path


def _is_large(arguments: list[str]) -> bool:
    return any(name in arguments for name in ("chromophores", "aqsoldb"))


def _is_fetched(arguments: list[str]) -> bool:
    return any("nicolit" in argument for argument in arguments)


def _at_hand() -> bool:
    """Whether the table that is fetched is in the cache, where the commands find it; put there if it is kept beside."""
    kept = ROOT.parent / "shared" / "data"
    try:
        card("nicolit").file(str(kept) if kept.is_dir() else str(ROOT))
    except InputError:
        return False
    return True


def _question(arguments: list[str]) -> tuple[str, ...]:
    """A command without the folder that it writes."""
    out = {"--out", "-o"}
    return tuple(word for before, word in pairwise(["", *arguments]) if not {before, word} & out)


def of_page(page: str) -> list[list[str]]:
    """The commands of a page; those that lead to no model and stand on an earlier page, too, are run there."""
    earlier = {_question(one) for other in PAGES[: PAGES.index(page)] for one in commands(other)}
    return [
        one for one in commands(page) if not _is_large(one) and not (one[0] in STUDYING and _question(one) in earlier)
    ]


def _model(page: str, arguments: list[str], small: Path) -> list[str]:
    """The small model where a command trains one."""
    trains = arguments[0] in ("run", "fit", *STUDYING) and "--run" not in arguments
    return ["--model", str(small)] if trains and page not in WITH_REAL_WEIGHTS else []


def _short(arguments: list[str]) -> list[str]:
    """What makes the work of a command short."""
    verb, of_study = arguments[0], arguments[0] in ("stress", "study")
    quick = ["--quick"] if verb in STUDYING and "--quick" not in arguments else []
    if verb == "design":
        rounds = ["--rounds", "1", "--samples", "16"] if "--reinforce" in arguments else []
        return [*quick, "--generator-steps", "10", "--rows", "60", "--n", "10", "--seeds", "1", *rounds]
    if arguments[:2] == ["stress", "rewards"]:
        return [*quick, "--generator-steps", "10", "--rounds", "1", "--asked", "6"]
    if arguments[:2] == ["stress", "edges"]:
        return [*quick, "--models", "3", "--directions", "2", *(["--made", "10"] if "--oracle" in arguments else [])]
    if arguments[:2] == ["run", "buchwald_hartwig"]:
        return ["--max-rows", "300"]
    if "--folds" in arguments:
        return ["--arms", "knn,ridge,lightgbm"]  # of two given the second counts
    if arguments[:2] == ["study", "learning-curve"]:
        return [*quick, "--sizes", "10,30", "--seeds", "2", "--steps", "10"]
    reactions = "--components" in arguments or "buchwald_hartwig" in arguments
    in_steps = of_study and STUDIES[arguments[1]].options == "study"
    steps = verb in ("run", "fit", "atlas") or (in_steps and not (arguments[1] == "negatives" and reactions))
    return [*quick, *(["--steps", "10"] if steps else [])]


@pytest.mark.parametrize("page", [page for page in PAGES if of_page(page)])
def test_the_commands_run_as_written(folder, page, small_model):
    found = [one for one in of_page(page) if not _is_fetched(one) or _at_hand()]
    for arguments in found:
        done = chemtune(*arguments, *_short(arguments), *_model(page, arguments, small_model), cwd=folder)
        assert done.returncode == 0, (arguments, done.stderr)
    for name in ("predicted.csv", "yields.csv"):
        if any(name in arguments for arguments in found):
            assert pd.read_csv(folder / name)["prediction"].notna().all()
    for arguments in found:
        if arguments[0] == "run" and "--out" in arguments:
            assert (folder / arguments[arguments.index("--out") + 1] / "report.html").exists()


def test_pages_link_to_files_that_are_there():
    for page in (*PAGES, "CONTRIBUTING.md"):
        text = (ROOT / page).read_text(encoding="utf-8")
        for link in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", text):
            assert ((ROOT / page).parent / link).exists(), (page, link)
    named = re.findall(r"`((?:pipeline|tests)/[\w/.]+)`", (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8"))
    assert named
    assert [name for name in named if not (ROOT / name).exists()] == []


def test_the_python_lines_run_as_written(folder):
    (block,) = re.findall(r"((?:^    .*\n)*^    from chemtune .*\n(?:^    .*\n)*)", README, flags=re.MULTILINE)
    lines = [line.removeprefix("    ") for line in block.splitlines()]
    data = (
        "import pandas as pd; smiles, y = pd.read_csv('my.csv')[['SMILES', 'logS']].to_numpy().T; y = y.astype(float)"
    )
    text, found = re.subn(r"(LoraRegressor\([^)]*)\)", r"\1, steps=20)", "\n".join([data, *lines]))
    assert found == 1
    done = subprocess.run([sys.executable, "-c", text], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("script", ["fine_tune.py", "compare.py", "shifted_split.py"])
def test_the_scripts_of_the_api_page_run(script, tmp_path):
    text, found = re.subn(r"steps=\d+", "steps=5", (ROOT / "docs" / script).read_text(encoding="utf-8"))
    assert found == 1
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", text],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "prediction" in done.stdout or "MAE" in done.stdout
