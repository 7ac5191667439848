"""Steps from molecule to molecule: exchanges of the table, what leads out of it, and the changes that models know."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from rdkit import Chem
from sklearn.ensemble import ExtraTreesRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from pipeline.errors import InputError
from pipeline.evaluation.estimates import signs
from pipeline.features.structures import properties
from pipeline.reporter import Reporter
from pipeline.runs.context import settled
from pipeline.settings.reading import make_config
from pipeline.studies.failure import YES
from pipeline.studies.off_manifold import models, study
from pipeline.studies.off_manifold import steps as making
from pipeline.studies.off_manifold.settings import Settings
from pipeline.studies.off_manifold.steps import ADDED, CHAIN, KINDS, OUT, RARE, STEPS, WITHIN, Fragments, opened
from pipeline.studies.off_manifold.steps_page import sentences
from pipeline.studies.off_manifold.true_steps import (
    FOLLOWED,
    LOST,
    MISSED,
    PERMUTED,
    TREATMENTS,
    UNTRAINED,
    TrueSteps,
    train_and_step,
)
from pipeline.studies.study import execute, write_report
from tests.conftest import write_table
from tests.studies import oracles
from tests.studies.test_edges import LINE, REPETITIONS, labelled, structures
from tests.studies.test_edges_far import asking_here

TREES = "tests.studies.test_true_steps:trees"


def trees(task, seed):
    """Over the properties that the truth is made of."""
    return make_pipeline(FunctionTransformer(properties), ExtraTreesRegressor(30, random_state=seed))


@pytest.fixture(scope="module", autouse=True)
def here():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(making, "asking", asking_here)
        yield


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    """Molecules with values in the middle, so that a long chain leads beyond."""
    rows = [(text, round(oracles.line(text), 4)) for text in sorted(structures(), key=oracles.line)[45:255]]
    return write_table(tmp_path_factory.mktemp("steps") / "lines.csv", rows)


def context_of(path, oracle="tests.studies.oracles:line", **settings):
    config = make_config(str(path), {"smiles": "SMILES", "target": "value", "out": str(path.parent / "out")})
    chosen = {"models": ("mlp",), "arms": (LINE, TREES), "oracle": oracle, "points": 60, "seeds": 6}
    return study.prepare(config, Settings(**chosen | settings), Reporter())


def maker_of(context):
    cell = making.cell_of(context)
    return {**cell.about(), **making.make_steps(context, settled(context, Reporter()), cell, ())}


def stepped(context, maker):
    """What models say of these steps."""
    machine = settled(context, Reporter())
    cells = [cell for cell in study.plan(context, machine) if cell.tags["treatment"] in TREATMENTS]
    contents = [{**cell.about(), **train_and_step(context, machine, cell, (maker,))} for cell in cells]
    return TrueSteps(context, [maker, *contents])


@pytest.fixture(scope="module")
def made(path):
    context = context_of(path)
    return context, maker_of(context)


def test_an_exchange_occurs_between_other_molecules_of_the_table():
    table = ("Cc1ccccc1O", "Clc1ccccc1O", "Cc1ccncc1", "CCN")
    found = Fragments(tuple(map(Chem.CanonSmiles, table)))
    assert found.exchanged(2) == [Chem.CanonSmiles("Clc1ccncc1")]  # as from the first to the second
    assert Chem.CanonSmiles("Clc1ccccc1O") not in found.exchanged(0)  # that pair alone has it
    assert found.frequent[0] in ("C[*:1]", "O[*:1]")


def test_what_leads_out_is_what_no_training_molecule_has():
    found = Fragments(("CC[Se]C", "C1CC1C", "CCCCCCCCCCCC"))
    assert "[*:1][SeH]" not in found.new(RARE)
    assert "[*:1][SiH3]" in found.new(RARE)
    assert "[*:1]C1CC1" not in found.new(making.RING)
    assert found.new(CHAIN)[0] == f"{'C' * 16}[*:1]"


def test_a_cut_takes_the_place_of_a_hydrogen_of_a_carbon():
    for text in ("Cc1ccccc1", "C[C@H](O)CN", "c1cc[nH]c1", "[CH3]O"):
        cut = Chem.MolFromSmiles(opened(text, np.random.default_rng(0)))
        (place,) = [atom for atom in cut.GetAtoms() if atom.GetAtomicNum() == 0]
        assert [one.GetSymbol() for one in place.GetNeighbors()] == ["C"]
        assert cut.GetNumHeavyAtoms() == Chem.MolFromSmiles(text).GetNumHeavyAtoms()  # a cut is no heavy atom
    assert opened("FC(F)(F)Cl", np.random.default_rng(0)) == ""


def test_steps_are_new_molecules_with_their_true_change(made):
    context, maker = made
    steps = pd.DataFrame(maker["steps"])
    assert set(steps["kind"]) == set(KINDS)
    assert not set(steps["end"]) & set(context.table.inputs.iloc[:, 0])
    assert set(steps["row_id"]) <= set(making.points_of(context)) <= set(context.splits[0].folds[0].train)
    true = [oracles.line(end) - oracles.line(start) for start, end in zip(steps["start"], steps["end"], strict=True)]
    assert np.allclose(steps["change"], true)
    elements = {
        atom.GetSymbol() for text in context.table.inputs.iloc[:, 0] for atom in Chem.MolFromSmiles(text).GetAtoms()
    }
    rare = steps[steps["kind"] == RARE]["end"]
    assert all({atom.GetSymbol() for atom in Chem.MolFromSmiles(text).GetAtoms()} - elements for text in rare)
    again = maker_of(context)
    assert again["steps"] == maker["steps"]


def test_a_line_follows_every_step_and_trees_miss_long_chains(made):
    found = stepped(*made)
    assert set(found.kinds) == set(KINDS)
    for kind in KINDS:
        assert found.interval(LINE, kind, FOLLOWED)[0] == pytest.approx(1, abs=0.02)
        assert found.interval(LINE, kind, MISSED)[0] < 0.05
    assert found.told[TREES, CHAIN] > 0
    assert found.interval(TREES, CHAIN, LOST)[1] > 0
    said = " ".join(sentences(found))
    assert "misses more of" in said
    assert "models of permuted labels and networks that are not trained" in said


def test_networks_that_are_not_trained_follow_nothing_with_outputs_as_wide_as_the_labels(made):
    context, maker = made
    found = stepped(context, maker)
    said = found.said(UNTRAINED, models.MLP)
    assert said.shape == (6, len(found.steps))
    assert len(np.unique(said.std(axis=1))) == 6  # other weights in each
    intervals = [found.interval(models.MLP, kind, FOLLOWED, UNTRAINED) for kind in found.kinds]
    assert all(low < 0 < high for _, low, high in intervals)
    known, labels = [*map(str, context.table.inputs.iloc[:, 0])], context.table.targets.to_numpy(dtype=float)
    outputs = models.outputs_without_training(known, labels, known, 0)
    assert outputs.std() == pytest.approx(labels.std())


@pytest.mark.slow
def test_in_tables_with_other_noise_trees_miss_chains_lines_do_not_and_permuted_labels_follow_nothing(made):
    context, maker = made
    truth, counts = context.table.targets, {"trees": 0, "line": 0, "null": 0}
    for number in range(REPETITIONS):
        noise = np.random.default_rng(number).normal(scale=0.2, size=len(truth))
        found = stepped(labelled(context, truth + noise), maker)
        counts["trees"] += found.told[TREES, CHAIN] > 0
        counts["line"] += not any(found.told[LINE, kind] > 0 for kind in OUT)
        null = [found.estimate(arm, kind, FOLLOWED, PERMUTED) for arm in found.arms for kind in found.kinds]
        counts["null"] += not any(signs(null))
    assert counts["trees"] >= 18
    assert counts["line"] >= 18
    assert counts["null"] >= 18


@pytest.mark.slow
def test_of_networks_with_other_first_weights_none_is_shown_to_follow_a_change(made):
    context, maker = made
    machine, quiet = settled(context, Reporter()), 0
    for number in range(REPETITIONS):
        other = replace(context, config=replace(context.config, seed=number))
        cells = [one for one in study.plan(other, machine) if one.tags["treatment"] == UNTRAINED]
        contents = [{**cell.about(), **train_and_step(other, machine, cell, (maker,))} for cell in cells]
        found = TrueSteps(other, [maker, *contents])
        quiet += not any(signs([found.estimate(models.MLP, kind, FOLLOWED, UNTRAINED) for kind in found.kinds]))
    assert quiet >= 18


def test_a_truth_that_is_constant_has_no_changes_and_that_is_said(path):
    context = context_of(path, "tests.studies.oracles:constant", arms=(LINE,))
    found = stepped(context, maker_of(context))
    assert not found.kinds
    assert "nothing is said of" in " ".join(sentences(found))


def test_an_oracle_that_fails_costs_its_steps_alone(path, made):
    context = context_of(path, "tests.studies.oracles:without_chlorine")
    maker = maker_of(context)
    steps = pd.DataFrame(maker["steps"])
    assert maker["failed"] == len(made[1]["steps"]["end"]) - len(steps)
    assert maker["failed"] > 0
    assert not any("Cl" in text for text in (*steps["start"], *steps["end"]))


def test_the_page_the_atlas_and_the_files_have_it_and_the_other_cells_are_those_of_before(path, monkeypatch):
    monkeypatch.setattr(models, "EPOCHS", 5)  # of the networks, which are not asked here
    context, without = context_of(path, arms=(TREES,), seeds=4), context_of(path, "none", seeds=4)
    cells = [[cell.id for cell in study.plan(one, settled(one, Reporter()))] for one in (without, context)]
    assert cells[0] == cells[1][: len(cells[0])]
    done = execute(study, context)
    page = write_report([done], context.folder).read_text(encoding="utf-8")
    assert "Steps from molecule to molecule" in page
    assert (context.folder / "figures/steps.svg").stat().st_size > 0
    assert set(pd.read_csv(context.folder / "steps.csv")["kind"]) == set(KINDS)
    failure = done.conclusion.failures[1]
    assert (TREES, CHAIN, YES) in {(one.arm, one.where, one.shown) for one in failure.outcomes}
    assert {one.where for one in failure.outcomes} == set(OUT)
    metrics = pd.read_csv(context.folder / "metrics.csv")
    assert {WITHIN, ADDED} <= set(metrics.query("metric == 'missed'")["direction"])


def test_arms_that_are_constants_are_refused(path):
    with pytest.raises(InputError, match="a constant follows no step"):
        context_of(path, arms=("mean",))
    assert STEPS not in {
        cell.tags["treatment"] for cell in study.plan(context_of(path, ""), settled(context_of(path, ""), Reporter()))
    }
