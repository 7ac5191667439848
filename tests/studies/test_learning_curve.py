"""The learning curve: nested training sets, the same test rows, and a page from one file of science."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from pipeline.errors import InputError
from pipeline.lm import pretrained
from pipeline.lm.weights import DEFAULT_MODEL
from pipeline.reporter import Reporter
from pipeline.runs.context import Machine
from pipeline.settings.reading import make_config
from pipeline.studies import learning_curve as study
from pipeline.studies.learning_curve import Settings, drawn
from pipeline.studies.study import concluded, write_report
from tests.conftest import SMILES, write_table
from tests.studies.made import contents_of
from tests.test_run import chemtune


@pytest.fixture
def chains(tmp_path):
    return write_table(tmp_path / "chains.csv", [(text, len(text)) for text in SMILES])


def context_of(path, **settings):
    config = make_config(str(path), {"smiles": "SMILES", "target": "value", "out": str(path.parent / "out")})
    return study.prepare(config, Settings(**{"arms": ("ridge",), "sizes": (5, 10, 30), **settings}), Reporter())


def test_a_larger_training_set_holds_a_smaller_one_and_seeds_differ(chains):
    context = context_of(chains)
    (split,) = context.splits
    small, large = (drawn(context, split, size, 0) for size in (5, 30))
    assert large[:5] == small
    assert not set(large) & set(split.folds[0].test)
    assert drawn(context, split, 5, 1) != small
    cells = study.plan(context, Machine(1))
    assert len(cells) == 2 * 3 * 3  # the control, too
    assert len({cell.id for cell in cells}) == len(cells)


def test_the_first_rows_hold_every_class(tmp_path):
    path = write_table(tmp_path / "classes.csv", [(s, "ab"[number % 12 == 0]) for number, s in enumerate(SMILES)])
    context = context_of(path)
    for seed in range(8):
        rows = drawn(context, context.splits[0], 5, seed)
        assert set(context.table.targets.loc[rows]) == {"a", "b"}
    found = study.conclude(context, contents_of(study, context))
    assert set(found.metrics["metric"]) == {"auroc"}
    assert {"p_a", "p_b"} <= set(found.predictions.columns)


def test_a_planted_law_is_learned_from_more_rows(chains):
    context = context_of(chains, arms=("ridge", "knn"))
    found = study.conclude(context, contents_of(study, context))
    curve = found.metrics[found.metrics["arm"] == "ridge"].set_index("size")["value"]
    assert curve[30] < curve[5]
    control = found.metrics[found.metrics["arm"] == "mean"].set_index("size")["value"]
    assert curve[30] < control[30]
    assert (found.metrics["low"] <= found.metrics["value"]).all()
    assert (found.metrics["value"] <= found.metrics["high"]).all()
    assert any(sentence.startswith("ridge: MAE") for sentence in found.sentences)
    truth = found.predictions.drop_duplicates("row_id").set_index("row_id")["truth"]
    part = found.predictions.query("arm == 'ridge' and size == 30 and seed == 0").set_index("row_id")["prediction"]
    scored = np.mean(
        [
            np.abs(found.predictions.query(f"arm == 'ridge' and size == 30 and seed == {seed}")["prediction"]
                   - found.predictions.query(f"arm == 'ridge' and size == 30 and seed == {seed}")["truth"]).mean()
            for seed in range(3)
        ]
    )  # fmt: skip
    assert curve[30] == pytest.approx(scored)
    assert list(part.index) == list(truth.index)


def test_each_split_states_its_own_test_rows_and_groups(tmp_path):
    """Bounds are not scored, and do not count as groups either."""
    rows = [(text, f">{len(text)}" if number < 15 else len(text)) for number, text in enumerate(SMILES)]
    context = context_of(write_table(tmp_path / "bounds.csv", rows), split=("random", "size"), seeds=1)
    found = study.conclude(context, contents_of(study, context))
    counts = found.metrics.groupby("split")["n"].first()
    assert counts.nunique() == 2
    for split in context.splits:
        exact = [row for row in split.folds[0].test if context.table.exact[row]]
        assert counts[split.name] == len(exact)
        assert f"Split {split.name}, {len(exact)} test molecules:" in found.sentences


def test_a_page_names_the_versions_that_made_the_results(chains):
    context = context_of(chains, seeds=1)
    contents = [one | {"versions": {**one["versions"], "rdkit": "made.earlier"}} for one in contents_of(study, context)]
    page = write_report([concluded(study, context, contents)], context.folder)
    assert "rdkit made.earlier" in page.read_text(encoding="utf-8")
    assert json.loads((context.folder / "run.json").read_text(encoding="utf-8"))["versions"]["rdkit"] == "made.earlier"


def test_another_start_of_the_language_model_is_another_cell(chains, monkeypatch):
    def id_of(context):
        return next(cell.id for cell in study.plan(context, Machine(1, "float32")) if cell.tags["arm"] == "lm-head")

    first = id_of(context_of(chains, arms=("lm-head",)))
    adapter = next(iter(pretrained.ADAPTERS.values()))
    monkeypatch.setitem(pretrained.ADAPTERS, DEFAULT_MODEL, replace(adapter, sha256="another"))
    assert id_of(context_of(chains, arms=("lm-head",))) != first


def test_too_few_rows_are_said(chains):
    with pytest.raises(InputError, match="fewer than the smallest size"):
        context_of(chains, sizes=(40, 100))
    with pytest.raises(InputError, match="must be at least 2"):
        Settings(sizes=(1, 10))


def test_the_command_goes_from_table_to_page_and_back(chains, tiny_folder):
    out = chains.parent / "curve"
    command = ("study", "learning-curve", chains, "--smiles", "SMILES", "--target", "value", "--sizes", "5,20")
    more = ("--arms", "ridge,lm-head", "--seeds", 2, "--model", tiny_folder, "--steps", 2, "--dtype", "float32")
    done = chemtune(*command, *more, "--out", out, cwd=chains.parent)
    assert done.returncode == 0, done.stderr
    metrics = pd.read_csv(out / "metrics.csv")
    assert set(metrics["arm"]) == {"mean", "ridge", "lm-head"}
    assert set(metrics["size"]) == {5, 20}
    page = (out / "report.html").read_text(encoding="utf-8")
    assert "how much data does it take?" in page
    assert "chemtune study learning-curve" in page
    assert (out / "figures/curves-random.svg").stat().st_size > 0
    for name in ("metrics.csv", "report.html"):
        (out / name).unlink()
    again = chemtune("report", out, cwd=chains.parent)
    assert again.returncode == 0, again.stderr
    pd.testing.assert_frame_equal(pd.read_csv(out / "metrics.csv"), metrics)
    assert (out / "report.html").read_text(encoding="utf-8") == page
