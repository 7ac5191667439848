"""Beyond the data: what bends outside is found there, permuted scores are not, and trees stop at what they know."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pandas as pd
import pytest
from sklearn.decomposition import PCA
from sklearn.ensemble import ExtraTreesRegressor
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from pipeline.arms.own import add_own
from pipeline.errors import InputError
from pipeline.evaluation.metrics import regression_slope
from pipeline.evaluation.seeded import pseudo_values
from pipeline.features.compositions import element_statistics, statistic_names
from pipeline.features.structures import descriptor_names, descriptors, properties
from pipeline.reporter import Reporter
from pipeline.runs.budget import fit_budget
from pipeline.runs.context import Machine, settled
from pipeline.runs.estimates import Probe
from pipeline.settings.reading import make_config
from pipeline.studies.edges import rows as found_rows
from pipeline.studies.edges import study
from pipeline.studies.edges.directions import ERROR, LESS, MORE, AlongDirections
from pipeline.studies.edges.labels import (
    BEYOND,
    FLATTENS,
    GOES_ON,
    SLOPE,
    SLOPE_CONTROL,
    SLOWLY,
    STOPS,
    UNTOLD,
    BeyondLabels,
)
from pipeline.studies.edges.rows import DIRECTIONS, FULL_WIDTH, LABELS, LITTLE, MUCH, PERMUTED, RANDOM, rows_of
from pipeline.studies.edges.settings import Settings
from pipeline.tables.catalogue import card
from pipeline.tables.reading import read_table
from tests.conftest import SMILES, write_table
from tests.studies.made import contents_of
from tests.test_run import chemtune

LINEAR, LINE, TREES = (f"tests.studies.test_edges:{name}" for name in ("linear", "line", "few_trees"))
REPETITIONS = 20
METALS = ("Na", "K", "Li", "Mg", "Ca", "Zn", "Al", "Fe", "Ti", "Zr", "Sn", "W")


def linear(task, seed):
    """Linear in what describes molecules most: nothing is shrunk."""
    return make_pipeline(PCA(10), LinearRegression() if task == "regression" else LogisticRegression(C=0.1))


def line(task, seed):
    """Linear in four properties, of which `lines` is made: it has the truth but for noise."""
    return make_pipeline(FunctionTransformer(properties), LinearRegression())


def few_trees(task, seed):
    return ExtraTreesRegressor(10, random_state=seed)


linear.features = few_trees.features = ("descriptors",)


def context_of(path, given=None, **settings):
    run = {"smiles": "SMILES", "target": "value"} | (given or {}) | {"out": str(path.parent / "out")}
    chosen = {"arms": (LINEAR, TREES), "directions": 1, "models": 3, **settings}
    return study.prepare(make_config(str(path), run), Settings(**chosen), Reporter())


@cache
def structures():
    about = card("freesolv")
    return list(read_table(str(about.path)).frame[about.smiles])[:300]


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    """300 real molecules whose labels are still to be made."""
    rows = [(text, number % 17) for number, text in enumerate(structures())]
    return context_of(write_table(tmp_path_factory.mktemp("edges") / "plain.csv", rows))


def scores_of(context):
    """By row, how far along the first direction it lies, in standard deviations of the pool."""
    values, _ = found_rows._standardised(context)
    _, _, weights = next(iter(found_rows._weightings(context, values, 1)))
    scores = pd.Series(values.to_numpy() @ weights, values.index)
    pool = scores.loc[list(context.splits[0].folds[0].train)]
    return (scores - pool.mean()) / pool.std()


def labelled(context, labels, **settings):
    """The same molecules and hold-out with other labels."""
    frame = context.table.frame
    made = frame.assign(target=labels.loc[frame["row_id"]].to_numpy())
    settings = replace(context.settings, **settings)
    return replace(context, table=replace(context.table, frame=made), settings=settings)


def results(context, part):
    """The results of the cells of one part, which are not kept."""
    machine = settled(context, Reporter())
    cells = [cell for cell in study.plan(context, machine) if cell.tags["part"] == part]
    return [{**cell.about(), **study.train_and_predict(context, machine, cell, ())} for cell in cells]


def each_time(plain, truth, part, **settings):
    """The context and results on tables of a truth with other noise each."""
    for number in range(REPETITIONS):
        noise = np.random.default_rng(number).normal(scale=0.2, size=len(truth))
        context = labelled(plain, truth + noise, **settings)
        yield context, context.splits[0], results(context, part)


def lines(plain):
    """A truth that is linear in properties of the molecules."""
    texts = plain.table.frame.set_index("row_id")["smiles"]
    return pd.Series(properties(texts) @ [0.01, 1.0, 0.01, 0.0], texts.index)


@pytest.mark.slow
def test_a_truth_that_bends_outside_of_the_middle_is_found_there_and_permuted_scores_are_not(plain):
    found, elsewhere, null = 0, 0, 0
    one_arm, scores = replace(plain, arms=(LINEAR,)), scores_of(plain)
    for place in each_time(one_arm, scores + 6 * np.maximum(scores - 0.8, 0), DIRECTIONS):
        along = AlongDirections(*place)
        shown = along.shown([MUCH, LITTLE], ERROR, MORE)
        found += any(one.kind == MUCH for _, one in shown)
        elsewhere += any(one.kind == LITTLE for _, one in shown)
        null += bool(along.shown([PERMUTED], ERROR, MORE) or along.shown([PERMUTED], ERROR, LESS))
    assert found >= 18
    assert elsewhere <= 4
    assert null <= 2


def test_beyond_the_labels_a_line_goes_on_as_its_control_does(plain):
    found = []
    add_own(LINE)
    one_arm = replace(plain, arms=(LINE,))
    for place in each_time(one_arm, lines(plain), LABELS, directions=0, models=6):
        beyond = BeyondLabels(*place)
        for edge in beyond.edges:
            slope, control = (beyond.interval(LINE, edge, measure)[0] for measure in (SLOPE, SLOPE_CONTROL))
            assert slope == pytest.approx(control, abs=0.15)
            assert beyond.interval(LINE, edge, BEYOND)[0] > 0.5
            found.append(beyond.verdict(LINE, edge))
    assert found.count(GOES_ON) >= 36


@pytest.mark.slow
def test_beyond_the_labels_trees_stop(plain):
    found = []
    one_arm = replace(plain, arms=(TREES,))
    for place in each_time(one_arm, lines(plain), LABELS, directions=0):
        beyond = BeyondLabels(*place)
        for edge in beyond.edges:
            assert beyond.interval(TREES, edge, BEYOND)[0] == 0
            found.append(beyond.verdict(TREES, edge))
    assert found.count(STOPS) >= 36


def test_both_sides_are_tested_on_the_same_rows_and_trained_on_as_many(plain):
    context, rows = plain, rows_of(plain)
    test = set(context.splits[0].folds[0].test)
    (much,) = [one for one in rows.directions if one.kind == MUCH]
    full = rows.sets["directions", FULL_WIDTH]
    assert len(full) == len(much.train) == round(0.6 * (len(context.table) - len(test)))
    scores = scores_of(context)
    inside = scores.loc[list(much.train)]
    for row, outside in much.outside.items():
        assert outside == (not inside.min() <= scores[row] <= inside.max())
    for (part, name), whole in rows.sets.items():
        assert not set(whole) & test
        drawn = [rows.drawn(part, name, number, 0) for number in range(3)]
        assert {len(one) for one in drawn} == {round(0.8 * len(whole))}
        assert all(set(one) <= set(whole) for one in drawn)
        assert drawn[0] != drawn[1]
    for edge in rows.edges:
        labels = context.table.targets.loc[list(edge.train)]
        assert len(edge.control) == len(edge.train)
        assert not edge.beyond(labels.to_numpy()).any()
    assert {one.kind for one in rows.directions} == {MUCH, LITTLE, RANDOM, PERMUTED}


def test_directions_know_no_label_and_no_test_row(plain):
    other = labelled(
        plain, pd.Series(np.random.default_rng(0).normal(size=len(plain.table)), plain.table.targets.index)
    )
    for one, two in zip(rows_of(plain).directions, rows_of(other).directions, strict=True):
        assert (one.train, one.names, one.share) == (two.train, two.names, two.share)
    frame, tested = plain.table.frame, plain.table.frame["row_id"].isin(plain.splits[0].folds[0].test)
    swapped = frame.copy()
    swapped.loc[tested, "smiles"] = frame["smiles"][tested].to_numpy()[::-1]
    changed = replace(plain, table=replace(plain.table, frame=swapped))
    first, second = (rows_of(context).directions for context in (plain, changed))
    assert [one.train for one in first][:2] == [one.train for one in second][:2]


def test_collinear_and_constant_descriptors_count_once(plain):
    values, names = found_rows._standardised(plain)
    alike = np.corrcoef(values.loc[list(plain.splits[0].folds[0].train)].T.to_numpy())
    assert np.abs(np.triu(alike, 1)).max() <= 0.95
    assert "HeavyAtomMolWt" not in names  # it goes along with the weight
    assert {"weight", "logP"} <= set(names)


def test_names_belong_to_their_columns():
    values = descriptors(["CCO"])[0]
    named = dict(zip(descriptor_names(), values, strict=True))
    assert named["weight"] == pytest.approx(46.07, abs=0.01)
    assert named["HeavyAtomCount"] == 3
    of_salt = dict(zip(statistic_names(), element_statistics(["NaCl"])[0], strict=True))
    assert of_salt["maximum of atomic number"] == 17
    assert of_salt["number of elements"] == 2


def test_verdicts_follow_from_slopes_beside_the_control(plain):
    """Predictions that are made to have a slope beyond the edge are said to have it."""
    scores = scores_of(plain)
    context = labelled(plain, 3 * scores, directions=0)
    contents = contents_of(study, context)
    test = list(context.splits[0].folds[0].test)
    truth = context.table.targets.loc[test].to_numpy()
    rng = np.random.default_rng(0)

    def verdict_of(slope, ceiling=np.inf):
        made = []
        for one in contents:
            last = next((edge.last for edge in rows_of(context).edges if edge.name == one["tags"]["trained_on"]), None)
            up = one["tags"]["trained_on"] == found_rows.UPPER
            said = truth.copy()
            if last is not None:
                past = truth > last if up else truth < last
                said[past] = last + (0.1 if up else -0.1) + slope * (truth[past] - last)
                said = np.minimum(said, last) if ceiling == 0 and up else said
            made.append(
                one | {"prediction": (said + (0 if ceiling == 0 else 0.01) * rng.normal(size=len(said))).tolist()}
            )
        beyond = BeyondLabels(context, context.splits[0], made)
        return beyond.verdict(LINEAR, beyond.edges[0])

    assert verdict_of(1.0) == GOES_ON
    assert verdict_of(0.4) == SLOWLY
    assert verdict_of(0.0) == FLATTENS
    assert verdict_of(1.0, ceiling=0) == STOPS


def test_a_slope_is_that_of_least_squares():
    rng = np.random.default_rng(0)
    truth, said = 1e-7 * rng.normal(size=40), rng.normal(size=40)
    weights = rng.integers(0, 3, size=(5, 40)).astype(float)
    expected = [np.polyfit(truth, said, 1, w=np.sqrt(one))[0] for one in weights]
    np.testing.assert_allclose(regression_slope(truth, said, weights), expected, rtol=1e-6)


def test_pseudo_values_of_a_mean_are_its_values():
    values = np.random.default_rng(0).normal(size=(5, 7))
    without = np.stack([np.delete(values, place, axis=0).mean(axis=0) for place in range(5)])
    np.testing.assert_allclose(pseudo_values(values.mean(axis=0), without), values)


def test_what_cannot_be_tested_is_left_out_and_said(plain):
    scores = scores_of(plain)
    flat = labelled(plain, scores.where(scores.abs() > 2.5, 0.0).round(0))
    left = rows_of(flat).left_out
    assert any("have labels of one value (0.0)" in one for one in left)
    no_labels = labelled(plain, (scores > 2.5).astype(float), directions=0)
    assert not rows_of(no_labels).edges
    assert any("lie beyond it" in one or "one value" in one for one in rows_of(no_labels).left_out)


def test_too_few_rows_and_constant_descriptors(tmp_path):
    few = write_table(tmp_path / "few.csv", [(text, len(text)) for text in SMILES[:22]])
    with pytest.raises(InputError, match="nothing can be tested beyond its edges"):
        context_of(few)
    table = write_table(tmp_path / "texts.csv", [(f"sample {n}", n % 23) for n in range(90)], "note,value")
    given = {"smiles": "", "text": "note"}
    context = context_of(table, given, arms=("ngram-ridge",))
    assert not rows_of(context).directions
    assert any("texts have no descriptors here" in one for one in rows_of(context).left_out)
    assert {part for part, _ in rows_of(context).sets} == {LABELS}


def test_classes_have_directions_and_no_edges(plain, tmp_path):
    rows = [(text, "high" if len(text) > 9 else "low") for text in structures()]
    context = context_of(write_table(tmp_path / "classes.csv", rows), arms=(LINEAR,))
    assert any("the target has classes" in one for one in rows_of(context).left_out)
    found = study.conclude(context, contents_of(study, context))
    assert set(found.metrics["part"]) == {"directions"}
    assert "log-loss outside" in " ".join(found.sentences)
    assert np.isfinite(found.metrics["value"]).all()
    assert [figure.name for part in found.sections for figure in part.figures()] == ["directions"]


def test_other_kinds_of_rows(tmp_path):
    formulas = [f"{one}{count}{two}" for one in METALS for two in ("O", "S", "Cl", "F") for count in (1, 2, 3)]
    rows = [(text, 7 * len(text) + number % 11) for number, text in enumerate(formulas)]
    table = write_table(tmp_path / "formulas.csv", rows, "formula,value")
    given = {"smiles": "", "composition": "formula"}
    context = context_of(table, given, arms=("fractions-ridge",), test_size=0.5)
    assert {one.kind for one in rows_of(context).directions} == {MUCH, LITTLE, RANDOM, PERMUTED}
    assert all(name[2:] in statistic_names() for one in rows_of(context).directions for name in one.names)
    pairs = [
        (f"{'C' * a}{halide}", f"{'C' * b}N") for a in range(1, 6) for halide in ("Cl", "Br") for b in range(1, 11)
    ]
    rows = [(halide, amine, len(halide) + 5 * len(amine) + len(halide) % 3) for halide, amine in pairs]
    path = write_table(tmp_path / "reactions.csv", rows, "halide,amine,yield")
    run = {"components": ["halide", "amine"], "yield": "yield", "out": str(tmp_path / "out")}
    settings = Settings(arms=("onehot-rf",), models=3, test_size=0.5)
    context = study.prepare(make_config(str(path), run), settings, Reporter())
    assert context.arms == ("onehot-rf",)
    assert {part for part, _ in rows_of(context).sets} == {LABELS}


def test_bad_settings_are_one_line(tmp_path):
    with pytest.raises(InputError, match="a percentile from 50 to 95"):
        Settings(edge=30)
    with pytest.raises(InputError, match="models is 2"):
        Settings(models=2)
    path = write_table(tmp_path / "chains.csv", [(text, len(text)) for text in SMILES])
    with pytest.raises(InputError, match="a constant has no edge"):
        context_of(path, arms=("mean",))


def test_a_budget_takes_models_and_directions(plain):
    context = replace(plain, arms=(LINEAR,), settings=replace(plain.settings, models=6, directions=2))
    timed = Probe({LINEAR: ((40, 1.0),)}, 0.0, {}, {}, 0.0)
    whole = study.BUDGET.seconds(context, Machine(1), timed)
    smaller = fit_budget(context, Machine(1), timed, whole / 2, study.BUDGET)
    assert study.BUDGET.seconds(smaller, Machine(1), timed) <= whole / 2
    assert smaller.settings.models < 6
    assert any(line.startswith("models: ") for line in smaller.left_out)
    assert any(line.startswith("directions of each kind: ") for line in smaller.left_out)


def test_nothing_is_told_where_arms_are_as_their_control(plain):
    context = labelled(plain, scores_of(plain), directions=1)
    contents = contents_of(study, context)
    by_arm = {one["tags"]["arm"]: one["prediction"] for one in contents}
    same = [one | {"prediction": by_arm[one["tags"]["arm"]]} for one in contents]
    along = AlongDirections(context, context.splits[0], same)
    beyond = BeyondLabels(context, context.splits[0], same)
    assert not along.shown([MUCH, LITTLE, RANDOM, PERMUTED], ERROR, MORE)
    assert set(beyond.verdicts.values()) <= {GOES_ON, UNTOLD}


def test_the_command_goes_from_table_to_page_and_back(tmp_path, tiny_folder):
    rows = [(text, round(len(text) + 0.1 * (number % 7), 2)) for number, text in enumerate(structures()[:100])]
    table, out = write_table(tmp_path / "some.csv", rows), tmp_path / "edges"
    command = (
        "stress",
        "edges",
        table,
        "--smiles",
        "SMILES",
        "--target",
        "value",
        "--arms",
        "ridge,lm-head",
        "--quick",
    )
    more = (
        "--model",
        tiny_folder,
        "--steps",
        2,
        "--dtype",
        "float32",
        "--directions",
        0,
        "--test-size",
        0.5,
        "--out",
        out,
    )
    done = chemtune(*command, *more, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    metrics = pd.read_csv(out / "metrics.csv")
    assert set(metrics["arm"]) == {"ridge", "lm-head"}
    assert set(metrics["part"]) == {"labels"}
    page = (out / "report.html").read_text(encoding="utf-8")
    assert "what happens beyond the data?" in page
    assert "chemtune stress edges" in page
    assert (out / "figures/beyond.svg").stat().st_size > 0
    (out / "report.html").unlink()
    again = chemtune("report", out, cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    assert (out / "report.html").read_text(encoding="utf-8") == page
    pd.testing.assert_frame_equal(pd.read_csv(out / "metrics.csv"), metrics)
