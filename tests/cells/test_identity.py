"""What a cell depends on: its inputs and the code behind it, and nothing else."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch
from threadpoolctl import threadpool_info

from pipeline.arms.catalogue import ARMS, KINDS
from pipeline.arms.ladder import code_behind
from pipeline.cells import cell as cell_module
from pipeline.cells import reach
from pipeline.cells.cell import pinned, work_on
from pipeline.reporter import Reporter
from pipeline.runs import context, fits
from pipeline.runs.context import Machine, settled
from pipeline.runs.fits import WORKERS, fit_cell
from pipeline.runs.prepare import prepare
from pipeline.settings.reading import make_config

NAMES = [(name, kind) for name in ARMS for kind in KINDS.values() if ARMS[name].is_for(kind)]


def forget():
    for function in (reach.code_of, reach._module, reach._named, reach._text):
        function.cache_clear()


@pytest.fixture
def edited(monkeypatch):
    """Changes the source that is looked at, not the one that runs: ``edited(module, old, new)``."""
    plain = reach.source_of

    def edit(module, old, new):
        text = plain(module)
        assert old in text
        forget()
        monkeypatch.setattr(reach, "source_of", lambda name: text.replace(old, new) if name == module else plain(name))
        return {pair: reach.code_of(*WORKERS, *code_behind(*pair)) for pair in NAMES}

    yield edit
    forget()


def changed(before, after):
    return {name for name, _ in before if any(before[pair] != after[pair] for pair in before if pair[0] == name)}


@pytest.fixture
def before():
    forget()
    return {pair: reach.code_of(*WORKERS, *code_behind(*pair)) for pair in NAMES}


def test_a_changed_constant_of_a_baseline_changes_exactly_its_cells(before, edited):
    assert changed(before, edited("pipeline.arms.baselines", "num_leaves=31", "num_leaves=30")) == {
        "lightgbm", "ensemble", "blend", "components-lightgbm", "drfp-lightgbm", "reaction-ensemble", "reaction-blend",
        "magpie-lightgbm", "magpie-ensemble", "composition-blend",
    }  # fmt: skip
    assert changed(before, edited("pipeline.arms.baselines", "NEIGHBOURS = 5", "NEIGHBOURS = 6")) == {"knn"}
    machines = {"svr", "svr-counts", "minimol-svr"}
    assert changed(before, edited("pipeline.arms.support_vectors", "FOLDS = 5", "FOLDS = 4")) == machines
    of_language_models = {"lm-frozen", "lm-head", "lm-text", "blend", "reaction-blend", "composition-blend"}
    assert changed(before, edited("pipeline.lm.engine", "LENGTH_STEP = 8", "LENGTH_STEP = 4")) == of_language_models


@pytest.mark.parametrize(
    ("module", "old", "new"),
    [
        ("pipeline.arms.baselines", "NEIGHBOURS = 5", "NEIGHBOURS = 5  # by similarity\n\n"),
        ("pipeline.arms.baselines", '"""Gradient boosting with the settings of all its arms."""', '"""Boosting."""'),
        ("pipeline.arms.baselines", "seed: int, threads: int) -> Any:", "seed: int, threads: Any) -> object:"),
        ("pipeline.arms.catalogue", "500 extremely randomised trees", "many trees"),
        ("pipeline.evaluation.verdict", "use {winner.arm}", "take {winner.arm}"),
        ("pipeline.studies.compare.errors", "OPEN_SPLITS = 2", "OPEN_SPLITS = 3"),
        ("pipeline.studies.compare.study", "def line(context", "def told(context"),
        ("pipeline.errors", "class InputError", "class _Another: ...\n\n\nclass InputError"),
    ],
)
def test_what_changes_no_number_changes_no_cell(before, edited, module, old, new):
    assert changed(before, edited(module, old, new)) == set()


def test_what_all_arms_share_changes_all_cells(before, edited):
    assert changed(before, edited("pipeline.runs.held_out", "INNER_FOLDS = 5", "INNER_FOLDS = 4")) == set(ARMS)


def test_how_classes_are_cut_changes_all_cells(before, edited):
    assert changed(before, edited("pipeline.runs.context", 'side="left"', 'side="right"')) == set(ARMS)


def test_the_words_of_settings_and_messages_change_no_study(before, edited):
    from pipeline.studies.learners import code_of_learner
    from pipeline.studies.negatives.work import WORK

    first, likelihood = code_of_learner(WORK, "drfp-rf"), code_of_learner(WORK, "lm-likelihood")
    edited("pipeline.settings.run", "Column that holds the SMILES.", "The column with the SMILES.")
    assert code_of_learner(WORK, "drfp-rf") == first
    edited("pipeline.lm.engine", "LENGTH_STEP = 8", "LENGTH_STEP = 4")
    assert code_of_learner(WORK, "lm-likelihood") != likelihood
    assert code_of_learner(WORK, "drfp-rf") == first


def test_every_arm_reaches_the_function_that_builds_it():
    for name, kind in NAMES:
        roots = code_behind(name, kind)
        assert {tuple(root.split(":")) for root in roots} <= reach.reached(roots), name


def test_a_root_that_is_not_defined_is_an_error():
    with pytest.raises(LookupError, match="defines no 'rigde'"):
        reach.reached(["pipeline.arms.baselines:rigde"])


# -- the machine --


def prepared(path, out, arms="ridge", **settings):
    given = {"smiles": "SMILES", "target": "value", "arms": arms, "out": str(out), "split": "random", **settings}
    run = prepare(make_config(str(path), given), Reporter())
    return run, settled(run, Reporter())


def cell_of(run, machine, arm="ridge"):
    return fit_cell(run, machine, run.splits[0], run.splits[0].folds[0], arm)


def test_a_machine_with_other_cores_fits_nothing_again_and_keeps_the_threads(alcohols, monkeypatch):
    out = alcohols.parent / "out"
    first, machine = prepared(alcohols, out)
    monkeypatch.setattr(context, "cores", lambda: 64)
    again, same = prepared(alcohols, out)
    assert same.threads == machine.threads != 64
    assert cell_of(again, same).id == cell_of(first, machine).id
    elsewhere, other = prepared(alcohols, alcohols.parent / "other")
    assert other.threads == 64
    assert cell_of(elsewhere, other).id == cell_of(first, machine).id


def test_a_cell_says_how_many_threads_made_it(alcohols, monkeypatch):
    run, _ = prepared(alcohols, alcohols.parent / "out")
    seen = []

    def watched(context, machine, cell, needed):
        blas = [pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"]
        seen.append((torch.get_num_threads(), max(blas)))
        return {}

    monkeypatch.setattr(fits, "fit", watched)
    for threads, on_model, wanted in ((2, False, 1), (2, True, 2), (1, True, 1)):
        cell = replace(cell_of(run, Machine(threads)), on_model=on_model)
        assert work_on(cell, run, Machine(threads), [])["threads"] == wanted
        assert seen[-1] == (threads, wanted)


def test_threads_are_as_before_after_a_cell_that_failed():
    before, within = torch.get_num_threads(), []

    def fail():
        with pinned(before + 1, 1):
            within.append(torch.get_num_threads())
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert within == [before + 1]
    assert torch.get_num_threads() == before


def test_the_number_type_is_decided_once_for_a_folder(alcohols, tiny_folder, monkeypatch):
    """A probe that comes out otherwise on a busy machine changes nothing of a run that goes on."""
    given = {"arms": "lm-head", "model": str(tiny_folder)}
    monkeypatch.setattr(context, "_dtype_here", lambda config: "float32")
    _, first = prepared(alcohols, alcohols.parent / "out", **given)
    monkeypatch.setattr(context, "_dtype_here", lambda config: "bfloat16")
    _, again = prepared(alcohols, alcohols.parent / "out", **given)
    assert first.dtype == again.dtype == "float32"
    run, _ = prepared(alcohols, alcohols.parent / "out", **given)
    assert cell_of(run, again, "lm-head").id == cell_of(run, first, "lm-head").id
    assert prepared(alcohols, alcohols.parent / "other", **given)[1].dtype == "bfloat16"
    _, said = prepared(alcohols, alcohols.parent / "out", **given, dtype="bfloat16")
    assert said.dtype == "bfloat16"
    kept = json.loads((alcohols.parent / "out" / context.SETTLED).read_text())
    assert kept["dtype"] == {"cpu": "float32"}


def test_another_kind_of_device_is_another_cell(alcohols, tiny_folder, monkeypatch):
    names = ("lm-head", "chemprop", "ridge")
    given = {"arms": ",".join(names), "model": str(tiny_folder), "dtype": "float32"}
    run, machine = prepared(alcohols, alcohols.parent / "out", **given)
    here = {name: cell_of(run, machine, name).id for name in names}
    for module in (context, fits):
        monkeypatch.setattr(module, "device_kind", lambda: "cuda")
    there = {name: cell_of(run, machine, name).id for name in names}
    assert {name for name in names if there[name] != here[name]} == {"lm-head", "chemprop"}


def test_a_new_version_of_an_extra_is_another_cell_of_its_arms_alone(alcohols, monkeypatch):
    names = ("minimol-ridge", "minimol-svr", "chemprop", "ridge")
    run, machine = prepared(alcohols, alcohols.parent / "out", arms=",".join(names))
    before = {name: cell_of(run, machine, name).id for name in names}
    monkeypatch.setattr(fits, "version_of", lambda package: "0" if package == "onnxruntime" else "1")
    first = {name: cell_of(run, machine, name).id for name in names}
    monkeypatch.setattr(fits, "version_of", lambda package: "1")
    other = {name: cell_of(run, machine, name).id for name in names}
    assert {name for name in names if first[name] != other[name]} == {"minimol-ridge", "minimol-svr"}
    assert first["ridge"] == before["ridge"]


def test_a_new_version_of_a_package_is_another_cell(alcohols, monkeypatch):
    run, machine = prepared(alcohols, alcohols.parent / "out")
    first = cell_of(run, machine).id
    assert cell_of(run, replace(machine, threads=machine.threads + 1)).id == first
    monkeypatch.setattr(cell_module, "versions", lambda: {"torch": "0"})
    assert cell_of(run, machine).id != first
