"""Every branch of the page of a run, and of the sentences on it, is taken by some small run."""

from __future__ import annotations

import copy
import inspect
import re
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from pipeline.evaluation import noise
from pipeline.lm.pretrained import ADAPTERS
from pipeline.report import page as pages
from pipeline.report.page import Part
from pipeline.reporter import Reporter
from pipeline.runs import certainty_words, training_seeds
from pipeline.runs.context import hardware
from pipeline.runs.prepare import prepare
from pipeline.settings.reading import make_config
from pipeline.studies.compare import details, errors, page, reading, threshold
from pipeline.studies.compare import study as comparison
from pipeline.studies.compare.findings import Findings, found_in
from tests.branches import Branches
from tests.conftest import FORMULAS, SMILES, reaction_rows, tiny_model_folder, write_table
from tests.studies.made import contents_of

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("few_trees")]  # a run for each of the pages
RINGS = SMILES + [f"{'C' * a}C(=O){group}" for a in range(1, 9) for group in ("OCC", "NCC", "c1ccccc1")]
INSTRUMENTED: dict[ModuleType, tuple[str, ...]] = {  # the functions whose branches count; none: all of the module's
    page: (),
    details: (),
    threshold: (),
    reading: (),
    certainty_words: ("sentences", "_how_calibrated"),
    noise: ("noise_sentence",),
    errors: ("where_the_errors_are", "_predicted", "_worst", "_wrongest"),
    training_seeds: ("seed_sentence",),
}


def numbers(path: Path, *, repeats: int = 0, spread: float = 0.2, copies: int = 99, rows=None) -> Path:
    """A table of a number that follows from the length, of which some were measured twice, one in ``copies`` of them
    with the same value."""
    rng = np.random.default_rng(0)
    made = [(s, round(len(s) + rng.normal(scale=0.4), 2)) for s in RINGS]
    again = [(s, round(value + rng.normal(scale=spread), 2)) for s, value in made[:repeats]]
    made += [again[number] if number % copies else made[number] for number in range(repeats)]
    return write_table(path, made + (rows or []))


def classes(path: Path, labels: str = "ab") -> Path:
    rows = [(s, labels[min(len(s) // 7, len(labels) - 1)]) for s in RINGS]
    return write_table(path, [(rows[0][0], rows[0][1].upper()), *rows[1:]])


def reactions(path: Path) -> Path:
    header = "halide,amine,base,solvent,rxn,yield"
    return write_table(path, reaction_rows(), header)


def run(folder: Path, name: str, table: Path, arms: str, **settings) -> Findings:
    given = {"smiles": "SMILES", "target": "value"} if "components" not in settings else {}
    config = make_config(str(table), {**given, "arms": arms.split(","), "out": str(folder / name), **settings})
    context = prepare(config, Reporter())
    return found_in(context, contents_of(comparison, context))


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory) -> dict[str, list[Findings]]:
    """The runs on each page."""
    folder = tmp_path_factory.mktemp("pages")
    lm = {"model": str(tiny_model_folder(folder / "model")), "steps": 2}
    plain, classed = numbers(folder / "plain.csv"), classes(folder / "classes.csv")
    few = write_table(folder / "few.csv", [(s, len(s)) for s in SMILES[:24]])
    unread = [(f"nonsense{i}", 1) for i in range(51)]
    bounds = [("CCCCCCCCCCCCO", ">20"), ("CCCCCCCCCCCN", ">18")]
    yields = {"components": ["halide", "amine", "base", "solvent:name"], "target": "yield", "yield_unit": "percent"}
    single = {
        "plain": run(folder, "plain", plain, "ridge", split=["random"]),
        "drawn": run(folder, "drawn", plain, "ridge", split=["random"], max_rows=50),
        "the constant, calibrated": run(folder, "calibrated", plain, "mean", split=["random"]),
        "the constant": run(folder, "constant", few, "mean", split=["random", "label-high"]),
        "ladder": run(
            folder, "ladder", numbers(folder / "noisy.csv", repeats=30), "ridge", split=["ladder"], units="u"
        ),
        "edge": run(folder, "edge", plain, "ridge,lm-frozen", split=["label-high", "random", "scaffold"], **lm),
        "a shift": run(folder, "shift", plain, "mean,knn", split=["random", "label-high"]),
        "copies": run(
            folder, "copies", numbers(folder / "copies.csv", repeats=30, copies=1), "ridge", split=["random"]
        ),
        "some copies": run(
            folder, "some", numbers(folder / "some.csv", repeats=30, copies=2), "ridge", split=["random"]
        ),
        "one copy and one refused": run(
            folder, "one", numbers(folder / "one.csv", repeats=1, rows=[unread[0]]), "ridge", split=["random"]
        ),
        "noise": run(folder, "noise", numbers(folder / "noise.csv", repeats=30, spread=9.0), "ridge", split=["random"]),
        "folds": run(
            folder, "folds", plain, "ridge,lm-text", split=["random"], bins=2, folds=2, repeats=2, margin=0.1, **lm
        ),
        "hold-outs": run(
            folder,
            "holdouts",
            numbers(folder / "odd.csv", rows=bounds + unread),
            "ridge,lm-head,lm-text",
            split=["random", "scaffold"],
            margin=0.5,
            bounds="censored",
            tokenization="atomwise",
            units="u",
            transform="log10",
            **lm,
        ),
        "bounds": run(
            folder, "bounds", numbers(folder / "bounds.csv", rows=bounds), "ridge", split=["random"], bounds="limit"
        ),
        "a blend": run(folder, "blend", plain, "blend", split=["random"], calibrate_lm=True, **lm),
        "a blend of few": run(folder, "few", few, "blend", split=["random"], calibrate_lm=True, **lm),
        "bins": run(folder, "bins", plain, "ridge,lm-text", split=["random"], bins=2, tokenization="model", **lm),
        "classes": run(folder, "classes", classed, "ridge,rf-bits", split=["random"], folds=3),
        "a threshold": run(folder, "threshold", classed, "ridge", split=["random"], threshold="0.3"),
        "chosen thresholds": run(folder, "mcc", classed, "ridge", split=["random"], folds=3, threshold="mcc"),
        "a cost": run(folder, "cost", classed, "ridge", split=["random"], threshold="cost:FN=5,FP=1"),
        "compositions": run(
            folder,
            "compositions",
            write_table(folder / "f.csv", [(f, len(f)) for f in FORMULAS], "formula,value"),
            "fractions-ridge",
            split=["random"],
            smiles="",
            composition="formula",
        ),
        "texts": run(
            folder,
            "texts",
            write_table(folder / "t.csv", [(f"stir {f} once", len(f)) for f in FORMULAS], "step,value"),
            "word-ridge,lm-head",
            split=["random"],
            smiles="",
            text="step",
            **lm,
        ),
        "a positive class": run(folder, "positive", classed, "ridge", split=["random"], positive="a"),
        "three classes": run(folder, "three", classes(folder / "3.csv", "abc"), "ridge", split=["random"]),
        "reactions": run(
            folder, "reactions", reactions(folder / "couplings.csv"), "popularity,onehot-rf", split=["random"], **yields
        ),
    }
    made = {name: [outcome] for name, outcome in single.items()}
    return made | {
        "two targets": [single["plain"], single["copies"]],
        "four targets": [single["plain"], single["copies"], single["folds"], single["classes"]],
        "a GPU": [_on_a_gpu(single["hold-outs"], 0.0)],
        "its memory": [_on_a_gpu(single["hold-outs"], 1e3)],
    }


def _on_a_gpu(outcome: Findings, megabytes: float) -> Findings:
    """As from a run with the layers of a larger model, a GPU, a start, and a budget and a ladder that left something
    out."""
    cells = copy.deepcopy(outcome.cells)
    for cell in cells:
        if "language_model" in cell["inputs"]:
            cell["inputs"]["language_model"] |= {
                "depth": 5,
                "trained_layers": 5,
                "start": next(iter(ADAPTERS.values())).sha256,
            }
    for cell in outcome.fits.fitted:
        cell["gpu_peak_mb"] = megabytes  # type: ignore[index]
    config = replace(outcome.context.config, table="b3db")
    context = replace(outcome.context, config=config, left_out=("lm-text",), rungs_left_out=("no scaffold",))
    return replace(outcome, cells=cells, context=context)


def recorded(branches: Branches) -> tuple[ModuleType, ModuleType]:
    """The sections of a run and the page, instrumented, wherever one of these modules uses another."""
    copies = {module: branches.module(module, *functions) for module, functions in INSTRUMENTED.items()}
    replaced = {id(module): copy for module, copy in copies.items()} | {
        id(function): getattr(copy, name)
        for module, copy in copies.items()
        for name, function in vars(module).items()
        if getattr(function, "__module__", "") == module.__name__ and inspect.isfunction(function)
    }
    for copy_ in copies.values():
        for name, used in list(vars(copy_).items()):
            setattr(copy_, name, replaced.get(id(used), used))
    templates = branches.module(pages)
    templates.Environment = branches.environment
    return copies[page], templates


@pytest.fixture(scope="module")
def written(outcomes, tmp_path_factory):
    branches, out = Branches(), tmp_path_factory.mktemp("reports")
    texts = {}
    with pytest.MonkeyPatch.context() as monkeypatch:
        made, templates = recorded(branches)
        for name, of_page in outcomes.items():
            machine = {**hardware(), "gpu": "a GPU" if name in ("a GPU", "its memory") else ""}
            monkeypatch.setitem(templates.__dict__, "hardware", lambda machine=machine: machine)
            parts = [
                Part(
                    found.context,
                    comparison.title(found.context),
                    comparison.facts(found.context),
                    made.sections(found),
                    "chemtune run",
                    comparison.trained(found),
                    {"rdkit": "1"},
                )
                for found in of_page
            ]
            texts[name] = templates.write_page(parts, out / name).read_text(encoding="utf-8")
    return texts, branches


def test_every_branch_of_the_page_and_its_sentences_was_taken(written):
    _, branches = written
    sources = [module.__name__ for module in INSTRUMENTED]
    assert "\n".join(branches.missing("page.html.j2", *sources)) == ""


def test_no_page_says_what_nobody_can_read(written):
    for name, html in written[0].items():
        text = re.sub(r"<style>.*?</style>|<script>.*?</script>|<[^>]+>", " ", html, flags=re.DOTALL)
        for wrong in (
            r"\bnan\b",
            r"\bNone\b",
            r"\binf\b",
            r"\b1 (rows|groups|molecules|divisions|reactions)\b",
            r"\(\)",
        ):
            found = re.search(f".{{0,60}}{wrong}.{{0,40}}", text)
            assert found is None, (name, found.group())


def test_labels_are_drawn_as_they_are_in_the_table(written):
    """Numbers that a run cuts into classes are numbers."""
    texts = written[0]
    assert "how the labels are spread" in texts["bins"]
    assert "how many rows each class has" in texts["classes"]
