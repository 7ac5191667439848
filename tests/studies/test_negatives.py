"""The negatives experiment: what it trains on, what it must find, and what it must not look at."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from pipeline.errors import InputError
from pipeline.evaluation.detection import (
    Scored,
    detection_scores,
    expected_calibration_error,
    false_positives_at,
    precision_at_top,
    prior_corrected,
)
from pipeline.lm.defaults import LAYERS, WRITER
from pipeline.report.blocks import Grid
from pipeline.reporter import Reporter
from pipeline.runs.context import Machine, settled
from pipeline.runs.prepare import load_table
from pipeline.settings.reading import make_config
from pipeline.studies.negatives import decoys, work
from pipeline.studies.negatives import study as negatives
from pipeline.studies.negatives.doses import RANKING, REFUSING, Enough
from pipeline.studies.negatives.experiment import (
    ALL_ROWS,
    ALWAYS_YES,
    ANYWHERE,
    AS_PUBLISHED,
    DOSE,
    FEW_KNOWN,
    FIXED_N,
    FIXED_POSITIVES,
    HIDING,
    LABELS_ALONE,
    PUBLISHED,
    RECOMBINED,
    SPIES,
    Training,
    at_threshold,
    experiments,
    prepare,
    with_product,
)
from pipeline.studies.negatives.findings import Findings, found_in
from pipeline.studies.negatives.judges import Likelihood, _holding
from pipeline.studies.negatives.settings import NegativesSettings
from pipeline.studies.negatives.trainings import draw, literature, trainings
from pipeline.studies.negatives.words import _avoiding, _compared, _contamination, _doses, sentences
from pipeline.studies.words import biased, few_groups, in_percent, one_seed
from pipeline.tables.table import STRUCTURE
from tests.studies.made import contents_of, with_settings
from tests.test_run import chemtune

pytestmark = pytest.mark.usefixtures("few_trees")

SETTINGS = NegativesSettings(
    seeds=1, doses=(10, 100), lm_doses=(100,), positives=0, test_rows=0, lm_steps=3, sensitivity=()
)


def planted_rows() -> list[tuple[str, str, str, str, float]]:
    """A full-factorial table of 6 x 6 x 6 reactions in which one of the bases always fails, whatever else is there."""
    rows = []
    for i in range(6):
        for j in range(6):
            for k in range(6):
                halide, amine, base = f"{'C' * (i + 1)}Br", f"{'C' * (j + 1)}N", f"{'C' * (k + 1)}O"
                value = 0.0 if k == 0 else 40.0 + 5.0 * i + 2.0 * j
                product = f"{'C' * (i + 1)}N{'C' * (j + 1)}"
                rows.append((halide, amine, base, f"{halide}.{amine}.{base}>>{product}", value))
    return rows


@pytest.fixture
def planted(tmp_path):
    path = tmp_path / "planted.csv"
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["halide", "amine", "base", "rxn", "yield"])
        writer.writerows(planted_rows())
    return path


def config_of(path, **more):
    given = {
        "reaction": "rxn",
        "components": ["halide", "amine", "base"],
        "yield": "yield",
        "out": str(path.parent / "out"),
    }
    return make_config(str(path), given | more)


def experiment_of(path, arms=("drfp-rf",), settings=SETTINGS, **more):
    (made,) = experiments(prepare(config_of(path, **more), replace(settings, arms=arms), Reporter()))
    return made


def judge_of(experiment, training):
    return work.judge_of(experiment, settled(experiment.context, Reporter()), training)


def found_by(experiment):
    return found_in(experiment, contents_of(negatives, experiment.context))


def test_a_model_of_successes_alone_says_yes_to_everything(planted):
    experiment = experiment_of(planted)
    judge, about = judge_of(experiment, Training(LABELS_ALONE, "drfp-rf", FIXED_POSITIVES, None, 0))
    found = judge(experiment.table.inputs.loc[experiment.test])
    assert about["failures"] == 0
    assert (found.score >= found.threshold).all()
    assert len(set(found.score)) == 1


def test_the_sets_have_the_sizes_they_claim(planted):
    experiment = with_settings(experiment_of(planted), seeds=1, positives=50)
    train, success = experiment.train, experiment.success
    hits = int(success.loc[list(train)].sum())
    misses = len(train) - hits
    for dose in (1, 10, 50, 100):
        whole = draw(experiment, Training(DOSE, "drfp-rf", ALL_ROWS, dose, 0))
        assert len(whole.positives) == hits
        assert len(whole.negatives) == max(1, round(dose / 100 * misses))
        some = draw(experiment, Training(DOSE, "drfp-rf", FIXED_POSITIVES, dose, 0))
        assert len(some.positives) == 50
        assert len(some.negatives) == max(1, round(dose / 100 * 50 / hits * misses))
        fixed = draw(experiment, Training(DOSE, "drfp-rf", FIXED_N, dose, 0))
        assert len(fixed.positives) + len(fixed.negatives) == 50
        assert len(fixed.negatives) >= 1
        for rows in (whole, some, fixed):
            assert success.loc[rows.positives].all()
            assert not success.loc[rows.negatives].any()
            assert not {*rows.positives, *rows.negatives} & set(experiment.test)


def counted(experiment):
    """Successes that each training is given, by heading, seed and scheme; models are not fitted."""
    found = {}
    for training in trainings(experiment):
        if training.variant == FIXED_N or training.scheme == ALWAYS_YES:
            continue
        is_published = training.scheme == PUBLISHED
        rows = literature(experiment, training.seed) if is_published else draw(experiment, training)
        found.setdefault((training.variant, training.seed), {})[training.scheme, training.dose] = len(rows.positives)
    return found


@pytest.mark.parametrize("positives", [20, 100])
@pytest.mark.parametrize("arms", [("drfp-rf", "components-lightgbm"), ("lm-head",), ("drfp-rf", "lm-head")])
def test_what_stands_under_one_heading_is_trained_on_equally_many_successes(planted, tiny_folder, arms, positives):
    settings = replace(SETTINGS, seeds=2, positives=positives, published_from=65.0)
    experiment = experiment_of(planted, arms, settings, model=str(tiny_folder))
    found = counted(experiment)
    for heading, by_scheme in found.items():
        assert len(set(by_scheme.values())) == 1, (heading, by_scheme)
        assert any(scheme == DOSE for scheme, _ in by_scheme), heading  # a control with real failures
    headings = {heading for heading, _ in found}
    fewer = positives == 100 or "lm-head" not in arms
    assert (FEW_KNOWN in headings) == fewer
    if fewer:
        known = found[FEW_KNOWN, 0]
        assert {scheme for scheme, _ in known} - {DOSE} <= set(HIDING)
        assert set(known.values()) < {*range(min(found[FIXED_POSITIVES, 0].values()))}
    assert (AS_PUBLISHED in headings) == fewer


def test_every_row_of_the_page_says_on_how_many_it_was_trained(planted):
    from pipeline.studies.negatives.page import HEADINGS, arm_rows, sections

    found = found_by(experiment_of(planted))
    page = sections([found])
    (ways,) = [section.blocks for section in page if section.title == "All ways of training"]
    (grid,) = [block for block in ways if isinstance(block, Grid)]
    assert [group.heading.partition(":")[0] for group in grid.groups] == [
        FIXED_POSITIVES, FEW_KNOWN, AS_PUBLISHED, FIXED_N,
    ]  # fmt: skip
    assert set(found.metrics["variant"]) <= set(HEADINGS)
    assert sum(len(group.rows) for group in grid.groups) == len(arm_rows(found))
    for row in arm_rows(found):
        successes, others = row["trained_on"]
        assert successes.isdigit()
        if row["scheme"] in (RECOMBINED, ANYWHERE):
            assert others == f"{successes} decoys"
        if row["scheme"] == DOSE:
            assert others.endswith(" failures")
        if row["variant"] == FEW_KNOWN:
            assert successes == str(round(0.2 * found.experiment.success.loc[found.experiment.train].sum()))
    assert not found.metrics["scheme"].str.match(r"[+=@-]").any()  # or a spreadsheet would take it for a formula


def test_decoys_keep_clear_of_the_test_reactions_unless_they_are_drawn_anywhere(tmp_path):
    path = tmp_path / "halides.csv"
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["halide", "amine", "base", "rxn", "yield"])
        for i in range(12):
            for k in range(6):
                halide, base, product = f"{'C' * (i + 1)}Br", f"{'C' * (k + 1)}O", f"{'C' * (i + 1)}NC"
                writer.writerow([halide, "CN", base, f"{halide}.CN.{base}>>{product}", 40 if k else 0])
    experiment = experiment_of(path)
    columns = list(experiment.table.components)
    tested = {*map(tuple, experiment.table.inputs.loc[experiment.test, columns].to_numpy())}
    for scheme, some in ((RECOMBINED, False), (ANYWHERE, True)):
        rows = draw(experiment, Training(scheme, "drfp-rf", FEW_KNOWN, None, 0))
        positives = experiment.table.inputs.loc[rows.positives]
        made = work.make_decoys(experiment, scheme, positives, np.random.default_rng(0))
        came_out = sum(key in tested for key in map(tuple, made.X[columns].to_numpy()))
        assert made.tested == came_out
        assert bool(came_out) == some
        assert not {*map(tuple, made.X[columns].to_numpy())} & {*map(tuple, positives[columns].to_numpy())}


def test_a_larger_dose_holds_a_smaller_one_and_seeds_differ(planted):
    experiment = experiment_of(planted)
    ten, all_of_them = (draw(experiment, Training(DOSE, "drfp-rf", FIXED_POSITIVES, dose, 0)) for dose in (10, 100))
    assert set(ten.negatives) < set(all_of_them.negatives)
    assert ten.positives == all_of_them.positives
    other = draw(experiment, Training(DOSE, "components-lightgbm", FIXED_POSITIVES, 10, 0))
    assert other == ten
    assert draw(experiment, Training(DOSE, "drfp-rf", FIXED_POSITIVES, 10, 1)).negatives != ten.negatives


def test_a_planted_need_for_failures_shows(planted):
    """One base always fails; who never saw that cannot know it."""
    found = found_by(experiment_of(planted))
    alone = found.value(ALWAYS_YES, "none", "auroc")
    dosed = found.value(DOSE, "drfp-rf", "auroc", dose=100)
    accepted = found.value(DOSE, "drfp-rf", "fpr", dose=100)
    assert alone[0] == 0.5
    assert dosed[0] > 0.95
    assert accepted[0] < 0.2
    assert found.value(ALWAYS_YES, "none", "fpr")[0] == 1.0
    assert found.enough["drfp-rf", "", RANKING].dose in (10.0, 100.0)
    yes = found.metrics[found.metrics["scheme"] == ALWAYS_YES].set_index("metric")
    assert yes.loc["fpr", ["low", "high"]].tolist() == [1.0, 1.0]  # nothing was measured
    shares = found.metrics[~found.metrics["metric"].str.startswith("yield")]
    assert shares["low"].between(0, shares["value"]).all()
    assert shares["high"].between(shares["value"], 1).all()
    trained = shares[(shares["scheme"] == DOSE) & (shares["metric"] == "fpr")]
    assert (trained["low"] < trained["high"]).all()  # a share of a few rows is never known for certain
    assert any("predicts success for all" in sentence for sentence in sentences(found))


def test_a_changed_test_label_changes_no_training(planted, tmp_path):
    experiment = experiment_of(planted)
    tested = experiment.table.frame.set_index("row_id").loc[experiment.test[0], "line"]
    lines = planted.read_text(encoding="utf-8").splitlines()
    cells = lines[tested - 1].split(",")
    cells[-1] = "0.0" if float(cells[-1]) else "90.0"
    lines[tested - 1] = ",".join(cells)
    folder = tmp_path / "changed"
    folder.mkdir()
    changed = folder / "planted.csv"
    changed.write_text("\n".join(lines) + "\n", encoding="utf-8")
    other = experiment_of(changed)
    # The split keeps the shares of success and failure, so it is that of the first table that both are held to.
    other = replace(other, split=experiment.split, test=experiment.test)
    for training in trainings(experiment):
        if training.scheme in (RECOMBINED, ANYWHERE):
            continue  # looks decoys up in the truth; which decoys there are is tested below
        frame = experiment.table.inputs.loc[experiment.test]
        one, two = (judge_of(which, training)[0](frame).score for which in (experiment, other))
        np.testing.assert_array_equal(one, two, training.label)


def test_another_threshold_moves_the_labels_and_nothing_else(planted):
    experiment = experiment_of(planted)
    moved = at_threshold(experiment, 50.0)
    assert moved.test == experiment.test
    assert list(moved.train) == list(experiment.train)
    assert (moved.success == (experiment.yields >= 50.0)).all()
    assert (experiment.success == (experiment.yields >= 20.0)).all()
    assert at_threshold(experiment, 99.0) is None  # no success is left


def test_decoys_are_looked_up_and_counted_right(planted):
    experiment = experiment_of(planted)
    measured = experiment.table.inputs.assign(**{decoys.REACHED: experiment.success})
    components = experiment.table.components
    assert decoys.substrate_columns(measured, components) == ()  # halide and amine make the product together
    known = measured[measured[decoys.REACHED] & measured["halide"].isin(["CBr", "CCBr"]) & (measured["amine"] == "CN")]
    barred = {*map(tuple, known[list(components)].to_numpy(dtype=object))}
    made = decoys.recombined(
        known.drop(columns=decoys.REACHED), measured, barred, 30, components, np.random.default_rng(0)
    )
    keys = {*map(tuple, made.X[list(components)].to_numpy(dtype=object))}
    assert not keys & barred
    assert len(keys) == len(made.X)
    truth = measured.set_index(list(components))[decoys.REACHED]
    there = [key for key in keys if key in truth.index]
    assert made.known == len(there)
    assert made.successes == sum(bool(truth[key]) for key in there)


def test_an_exchanged_reaction_is_written_as_the_measured_one_is():
    """Of Buchwald-Hartwig reactions, whose text holds an amine and a catalyst that are no components."""
    table = load_table(make_config("buchwald_hartwig", {}), Reporter())
    X, rng = table.inputs, np.random.default_rng(0)
    for halide in rng.choice(X["aryl_halide"].unique(), 5, replace=False):
        rows = X[X["aryl_halide"] == halide].to_dict("records")
        for one, other in rng.permutation(len(rows))[:60].reshape(-1, 2):
            made = decoys.exchanged(rows[one], rows[other], table.components)
            assert made == rows[other][STRUCTURE]


def test_a_decoy_is_looked_up_under_the_conditions_beside_it():
    frame = pd.DataFrame({STRUCTURE: "C>>C", "halide": ["a", "a", "b", "b"], "product": "P", "hot": list("nyny")})
    hidden = frame.assign(**{decoys.REACHED: [True, False, False, True]})
    known = hidden.iloc[[0, 3]].drop(columns=decoys.REACHED)
    barred = {("a", "P"), ("b", "P")} - {("b", "P")}
    made = decoys.recombined(known, hidden, barred, 1, ("halide", "product"), np.random.default_rng(0))
    (row,) = made.X.to_dict("records")
    assert (made.known, made.successes) == (1, int(row["hot"] == "y"))


def test_substrates_are_what_says_the_product(tmp_path):
    frame = pd.DataFrame(
        {"halide": ["a", "a", "b", "b"], "base": ["x", "y", "x", "y"], "product": ["P", "P", "Q", "Q"]}
    )
    assert decoys.substrate_columns(frame, ("halide", "base", "product")) == ("halide",)
    hidden = frame.assign(**{STRUCTURE: "C>>C", decoys.REACHED: [True, False, True, True]})
    made = decoys.recombined(
        hidden.iloc[[0, 3]].drop(columns=decoys.REACHED),
        hidden,
        {("a", "x", "P"), ("b", "y", "Q")},
        2,
        ("halide", "base", "product"),
        np.random.default_rng(0),
    )
    assert sorted(map(tuple, made.X[["halide", "base"]].to_numpy())) == [("a", "y"), ("b", "x")]
    assert (made.known, made.successes, made.contamination) == (2, 1, 0.5)


def test_wrong_and_shuffled_products_are_not_the_right_ones(couplings):
    given = {"reaction": "rxn", "components": ["halide", "amine", "base"], "yield": "yield"}
    experiment = experiment_of(couplings, **given)
    X = experiment.table.inputs
    right = set(X["product"])
    wrong = decoys.wrong_products(X, 20, np.random.default_rng(0))
    assert len(wrong.X) == 20
    assert not set(wrong.X["product"]) & right
    assert all(
        smiles.endswith(f">{product}") for smiles, product in zip(wrong.X[STRUCTURE], wrong.X["product"], strict=True)
    )
    shuffled = decoys.shuffled_products(X, 20, np.random.default_rng(0))
    assert set(shuffled.X["product"]) <= right
    assert not set(shuffled.X[STRUCTURE]) & set(X[STRUCTURE])
    assert shuffled.contamination is None


def test_a_literature_prefers_high_yields(planted):
    experiment = experiment_of(planted)
    rows = literature(experiment, 0)
    kept = experiment.yields.loc[[*rows.positives, *rows.negatives]]
    assert kept.mean() > experiment.yields.loc[list(experiment.train)].mean() + 5


@pytest.mark.slow
def test_what_hides_successes_is_left_out_where_too_few_are_left(couplings, planted):
    from pipeline.studies.negatives.trainings import left_out

    small = experiment_of(couplings)
    assert left_out(small) == HIDING
    assert not {training.scheme for training in trainings(small)} & set(HIDING)
    assert left_out(experiment_of(planted)) == ()
    done = stress(couplings, "--arms", "drfp-rf", "--seeds", 1)
    assert done.returncode == 0, done.stderr
    assert "too few successes would be left known" in done.stdout
    refused = stress(couplings, "--arms", "drfp-rf", "--success", 68)
    assert refused.returncode == 2
    assert "too few rows to train on" in refused.stderr


def test_rows_held_back_hold_a_known_success():
    known = np.zeros(40, dtype=bool)
    known[:2] = True
    for seed in range(20):
        made = _holding(known, seed)
        rows = np.arange(40)
        np.random.RandomState(made).shuffle(rows)
        assert known[rows[:8]].any()
        assert made >= seed


def test_zero_yields_all_arrive(planted):
    experiment = experiment_of(planted)
    zeros = sum(row[-1] == 0 for row in planted_rows())
    assert (experiment.yields == 0).sum() == zeros
    both = [*experiment.train, *experiment.test]
    assert (experiment.yields.loc[both] == 0).sum() == zeros


def test_the_product_becomes_a_component_where_it_is_not_one(couplings):
    table = experiment_of(couplings, components=["halide", "amine", "base"]).table
    assert table.components[-1] == "product"
    assert with_product(table) is table


# -- metrics -------------------------------------------------------------------------------------


def test_metrics_are_those_of_the_library():
    from sklearn.metrics import brier_score_loss, roc_auc_score, roc_curve

    rng = np.random.default_rng(0)
    success = rng.random(300) < 0.6
    chance = np.clip(0.3 * success + 0.6 * rng.random(300), 0, 1).round(2)
    one = np.ones((1, 300))
    found = detection_scores(success, 100 * chance, Scored(chance, 0.5, chance, 100 * chance), one)
    assert found["auroc"][0] == pytest.approx(roc_auc_score(success, chance))
    assert found["brier"][0] == pytest.approx(brier_score_loss(success, chance))
    assert found["fpr"][0] == pytest.approx((chance >= 0.5)[~success].mean())
    false, true, _ = roc_curve(success, chance, drop_intermediate=False)
    assert found["fpr_at_95_tpr"][0] == pytest.approx(false[np.argmax(true >= 0.95)])
    assert found["yield_bias"][0] == pytest.approx(0.0)
    assert found["yield_on_failures"][0] == pytest.approx(100 * chance[~success].mean())


def test_metrics_count_weights_as_repeats():
    rng = np.random.default_rng(1)
    success, score = rng.random(40) < 0.5, rng.random(40).round(1)
    weights = rng.integers(0, 3, 40)
    repeated = np.repeat(np.arange(40), weights)
    one = np.ones((1, len(repeated)))
    for metric in (
        lambda s, c, w: false_positives_at(s, c, w, 0.95),
        lambda s, c, w: precision_at_top(s, c, w, 0.1),
        expected_calibration_error,
    ):
        ours = metric(success, score, weights[None, :].astype(float))
        np.testing.assert_allclose(ours, metric(success[repeated], score[repeated], one))


def test_precision_at_the_top_shares_ties():
    success = np.array([True, False, True, False])
    assert precision_at_top(success, np.array([3.0, 2.0, 1.0, 0.0]), np.ones((1, 4)), 0.25)[0] == 1.0
    assert precision_at_top(success, np.zeros(4), np.ones((1, 4)), 0.25)[0] == 0.5


def test_a_base_rate_moves_the_decision_and_not_the_ranking():
    chance = np.linspace(0.01, 0.99, 50)
    moved = prior_corrected(chance, 0.9, 0.1)
    assert (np.diff(moved) > 0).all()
    assert (moved < chance).all()
    np.testing.assert_allclose(prior_corrected(moved, 0.1, 0.9), chance)
    np.testing.assert_allclose(prior_corrected(chance, 0.4, 0.4), chance)


# -- the command ---------------------------------------------------------------------------------


def stress(path, *more, components="halide,amine,base"):
    given = ("--reaction", "rxn", "--components", components, "--yield", "yield")
    return chemtune("stress", "negatives", path, *given, "--out", path.parent / "stress", *more, cwd=path.parent)


def test_the_command_leaves_all_that_is_promised_and_resumes(planted):
    config = planted.parent / "planted.yaml"
    config.write_text(
        "table: planted.csv\nreaction: rxn\ncomponents: [halide, amine, base]\nyield: yield\n"
        "stress: {negatives: {doses: [10, 100], seeds: 2, arms: [components-lightgbm], sensitivity: 50}}\n",
        encoding="utf-8",
    )
    out = planted.parent / "stress"
    command = ("stress", "negatives", config, "--base-rate", 0.3, "--out", out)
    done = chemtune(*command, cwd=planted.parent)
    assert done.returncode == 0, done.stderr
    assert "predicts success for all" in done.stdout
    names = (
        "config.yaml",
        "metrics.csv",
        "trained.csv",
        "foreign.csv",
        "predictions.parquet",
        "run.json",
        "splits.csv",
    )
    for name in (*names, "report.html", "refused.csv"):
        assert (out / name).stat().st_size > 0, name
    metrics = pd.read_csv(out / "metrics.csv")
    assert set(metrics["reading"]) == {"raw", "stated base rate", "test base rate (oracle)"}
    assert set(metrics["dose"].dropna()) == {10, 100}
    assert metrics["seeds"].max() == 2
    assert {"n", "groups", "low", "high"} <= set(metrics.columns)
    assert {"successes", "failures", "decoys", "unlabelled", "effective_groups"} <= set(metrics.columns)
    assert set(pd.read_csv(out / "enough.csv")["asked"]) == {"ranking", "refusing"}
    predictions = pd.read_parquet(out / "predictions.parquet")
    assert (
        predictions.groupby(["scheme", "learner", "variant", "seed", predictions["dose"].fillna(0)])["row_id"]
        .apply(lambda ids: tuple(ids))
        .nunique()
        == 1
    )
    report = (out / "report.html").read_text(encoding="utf-8")
    assert "How many real failures it takes" in report
    assert "Other thresholds of success" in report
    sensitivity = pd.read_csv(out / "sensitivity.csv")
    assert set(sensitivity["threshold"]) == {50.0}
    assert set(sensitivity["metric"]) == {"auroc", "fpr"}
    assert set(sensitivity["dose"].dropna()) == {10, 100}
    cells = {path.name: path.stat().st_mtime_ns for path in (out / "cells").iterdir()}
    assert chemtune(*command, cwd=planted.parent).returncode == 0
    assert {path.name: path.stat().st_mtime_ns for path in (out / "cells").iterdir()} == cells
    moved = planted.parent / "again"
    again = chemtune("stress", "negatives", out / "config.yaml", "--out", moved, cwd=planted.parent)
    assert again.returncode == 0, again.stderr
    pd.testing.assert_frame_equal(pd.read_csv(moved / "metrics.csv"), metrics)


def test_the_language_model_goes_the_same_way(planted, tiny_folder):
    settings = NegativesSettings(
        seeds=1,
        doses=(10, 100),
        lm_doses=(10, 100),
        positives=20,
        test_rows=30,
        lm_steps=2,
        base_rate=0.5,
        sensitivity=(),
    )
    found = found_by(experiment_of(planted, ("drfp-rf", "lm-head"), settings, model=str(tiny_folder)))
    learners = set(found.metrics["learner"])
    assert {"none", "drfp-rf", "lm-head", "lm-likelihood"} == learners
    for dose in (10, 100):
        ours, theirs = (found.value(DOSE, learner, "auroc", dose=dose) for learner in ("lm-head", "drfp-rf"))
        apart = found.difference("lm-head", "drfp-rf", dose, "auroc")
        assert apart[0] == pytest.approx(ours[0] - theirs[0])
        assert apart[1] <= apart[0] <= apart[2]
    assert SPIES in set(found.metrics["scheme"])
    assert found.metrics["n"].unique().tolist() == [30]
    assert np.isfinite(found.metrics["value"]).all()
    assert any("On the same rows lm-head and drfp-rf" in sentence for sentence in sentences(found))


def test_a_threshold_that_is_named_twice_or_is_the_main_one_is_trained_once(planted):
    experiment = experiment_of(planted, settings=replace(SETTINGS, sensitivity=(20.0, 50.0, 50.0)))
    assert [moved.settings.success for moved, _ in work.thresholds(experiment)] == [50.0]
    cells = work.plan(experiment.context, Machine(1))
    assert len({cell.id for cell in cells}) == len(cells)


def test_a_likelihood_is_the_plain_one(planted, tiny_folder):
    """Per-token log-probabilities of the tuned minus the base model, against the model's own forward."""
    import torch

    experiment = experiment_of(planted, ("lm-head",), model=str(tiny_folder), dtype="float32")
    context = experiment.context
    engine = Machine(1, "float32").engine(context, WRITER)
    model = Likelihood(engine=engine, template=context.template, steps=4, seed=0)
    X = experiment.table.inputs.iloc[:9]
    model.fit(X)
    found = model.familiarity(X)

    def plain():
        values = []
        for ids in model.prompts(X):
            logits = model.engine.model(torch.tensor([ids], device=model.engine.device)).logits[0].float()
            log_p = torch.log_softmax(logits, dim=1)
            places = range(model.shared_, len(ids) - 1)
            values.append(np.mean([log_p[place, ids[place + 1]].item() for place in places]))
        return np.array(values)

    with torch.no_grad():
        base = plain()
        with model.with_adapters():
            tuned = plain()
    np.testing.assert_allclose(found, tuned - base, atol=2e-5)
    assert (found > 0).mean() > 0.5  # it was tuned on these


def test_a_likelihood_is_of_the_whole_model(planted, tiny_folder, monkeypatch):
    """Layers that an arm leaves out would make nonsense of what the untouched model says."""
    monkeypatch.setitem(LAYERS, "lm-text", (1, 1))
    experiment = experiment_of(planted, ("lm-head",), model=str(tiny_folder), dtype="float32")
    context, machine, X = experiment.context, Machine(1, "float32"), experiment.table.inputs.iloc[:5]
    engine = machine.engine(context, WRITER)
    whole = Likelihood(engine=engine, template=context.template, steps=3, seed=0, settings={"batch_size": 8})
    expected = whole.fit(X).familiarity(X)
    experiment = with_settings(experiment, lm_steps=3)
    np.testing.assert_array_equal(work._likelihood(experiment, machine, 0, X)(X), expected)
    assert len(machine.engine(context, "lm-text").layers) < len(engine.layers)


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (("--success", 99), "no reaction is a success at a threshold of 99 %"),
        (("--success", 0), "above 0 and below 100"),
        (("--base-rate", 1.5), "between 0 and 1"),
        (("--seeds", 0), "at least 1"),
        (("--arms", "drfprf"), "did you mean 'drfp-rf'"),
        (("--split", "scaffold"), "for reactions use components"),
        (("--yield-unit", "fraction"), "--yield-unit percent"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_line(planted, more, words):
    done = stress(planted, "--arms", "drfp-rf", *more)
    assert done.returncode == 2
    assert words in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_molecules_and_a_table_without_failures_are_refused(planted, alcohols):
    with pytest.raises(InputError, match="is about reactions"):
        prepare(make_config(str(alcohols), {"target": "value"}), SETTINGS, Reporter())
    lines = [line for line in planted.read_text(encoding="utf-8").splitlines() if not line.endswith(",0.0")]
    planted.write_text("\n".join(lines) + "\n", encoding="utf-8")
    done = stress(planted, "--arms", "drfp-rf")
    assert done.returncode == 2
    assert "no reaction is a failure at a threshold of 20 %" in done.stderr


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"dozes": [1]}, "did you mean 'doses'"),
        ({"doses": [0, 10]}, "above 0"),
        ({"seeds": "many"}, "expected a whole number"),
        ({"lm_extras": 3}, "true or false"),
    ],
)
def test_wrong_settings_name_key_and_value(given, words):
    with pytest.raises(InputError, match=words):
        NegativesSettings.read(given, "stress: negatives")


@pytest.mark.slow
def test_the_run_json_holds_settings_and_versions(planted):
    done = stress(planted, "--arms", "drfp-rf", "--seeds", 1)
    assert done.returncode == 0, done.stderr
    info = json.loads((planted.parent / "stress" / "run.json").read_text(encoding="utf-8"))
    assert info["settings"]["stress"]["negatives"]["success"] == 20.0
    assert "drfp" in info["versions"]


# -- in words ------------------------------------------------------------------------------------


def spoken(metrics=(), compared=(), enough=(), decoys=None, learners=("gp",)):
    """Findings that hold what sentences are made of."""
    names = ("scheme", "learner", "metric", "dose", "value", "low", "high")
    frame = pd.DataFrame(metrics, columns=names).assign(variant=FIXED_POSITIVES, reading="raw")
    apart = pd.DataFrame(compared, columns=["ours", "theirs", "dose", "metric", "value", "low", "high"])
    return Findings(
        SimpleNamespace(learners=learners), frame, decoys, frame, frame, apart, dict(enough), pd.DataFrame()
    )


def both(dose, groups=100.0):
    return {
        (learner, other, what): Enough(what, dose[learner], dose[learner], dose[learner], (1.0, 10.0, 100.0), groups)
        for learner, other in (("gp", ""), ("gp", "lm-head"), ("lm-head", ""), ("lm-head", "gp"))
        for what in (RANKING, REFUSING)
    }


def test_doses_are_spoken_of_with_their_figures():
    at = [
        (DOSE, "gp", metric, dose, dose / 200, 0.0, 1.0) for metric in ("auroc", "fpr") for dose in (1.0, 10.0, 100.0)
    ]
    said = _doses(spoken(at, enough=both({"gp": 10.0, "lm-head": 100.0})), "gp")
    assert len(said) == 3
    assert said[2].count("of the failures are accepted") == 3
    assert "at 10 % AUROC is 0.05 [0 to 1], and 5 % [0 to 100] of the failures are accepted" in said[2]
    untold = _doses(spoken(at, enough=both({"gp": 10.0, "lm-head": 100.0}, groups=5.0)), "gp")
    assert all("cannot be told" in sentence for sentence in untold[:2])
    assert "at 10 %" not in untold[2]
    assert _doses(spoken(at), "gp") == []  # of one dose nothing can be said


def test_a_language_model_is_compared_dose_by_dose():
    at = [(DOSE, learner, "auroc", 10.0, 0.8, 0.7, 0.9) for learner in ("gp", "lm-head")]
    apart = [("lm-head", "gp", 10.0, "auroc", -0.1, -0.2, 0.05)]
    found = spoken(at, apart, both({"gp": 10.0, "lm-head": 100.0}), learners=("gp", "lm-head"))
    (said,) = _compared(found)
    assert "0.8 against 0.8 at 10 % (difference -0.1 [-0.2 to 0.05])" in said
    assert said.endswith("lm-head needs more failures than gp to rank as well as with 100 % of them.")
    assert _compared(spoken(at, (), {}, learners=("gp", "lm-head"))) == []


def test_decoys_are_said_to_be_optimistic():
    decoys = pd.DataFrame(
        {
            "scheme": [RECOMBINED, RECOMBINED, ANYWHERE],
            "seed": [0, 1, 0],
            "decoys": [300, 300, 300],
            "decoys_known": [200, 0, 300],
            "decoys_successes": [150, 0, 200],
        }
    )
    apart = [(f"gp {ANYWHERE}", f"gp {RECOMBINED}", np.nan, "auroc", -0.04, -0.09, 0.01)]
    said = _contamination(spoken(compared=apart, decoys=decoys))
    assert said[0].startswith("Of 600 recombined decoys 200 were measured after all, and 75% of those were successes")
    assert (
        "optimistic. Decoys drawn without a look at them change its AUROC: gp by -0.04 [-0.09 to 0.01] (not" in said[1]
    )
    assert _avoiding(spoken())[0].endswith("optimistic.")
    assert _contamination(spoken(decoys=pd.DataFrame(columns=["scheme", "seed"]))) == []
    unknown = decoys.assign(decoys_known=0, decoys_successes=0)
    assert len(_contamination(spoken(decoys=unknown))) == 1  # what they avoid holds whether or not they were measured


def test_words_for_shares_biases_and_what_intervals_lack():
    assert in_percent((1.0, 0.998, 1.0)) == "100 % [99.8 to 100]"
    assert in_percent((0.9999, 0.001, 1.0)) == "99.9 % [0.1 to 100]"
    assert in_percent((0.5, np.nan, np.nan)) == "50 %"
    assert biased((12.0, 8.0, 16.0)) == "12 [8 to 16] yield points too much"
    assert biased((-3.0, -5.0, -1.0)) == "3 [1 to 5] yield points too little"
    assert biased((-3.0, -5.0, 1.0)) == "3 [-1 to 5] yield points too little (not significant)"
    assert biased((2.0, np.nan, np.nan)) == "2 yield points too much (not significant)"
    assert one_seed(2) == []
    assert "no interval includes" in one_seed(1)[0]
    assert few_groups(np.arange(10).astype(object)) == []
    assert few_groups(np.arange(9).astype(object)) == [
        "Fewer than 10 independent test groups: intervals say little here."
    ]
    unequal = np.array([*range(30), *[30] * 60], dtype=object)
    assert "(31 that tell as much as 2.23 of equal size)" in few_groups(unequal)[0]
