"""The published-only experiment: what it trains on, what it must find, and what it must not look at."""

from __future__ import annotations

import csv
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from pipeline.reporter import Reporter
from pipeline.runs.context import Machine
from pipeline.settings.reading import make_config
from pipeline.studies.published_only import study as published_only
from pipeline.studies.published_only.experiment import (
    EVERYTHING,
    EXPLAINED,
    PUBLISHED,
    SUCCESSES,
    Experiment,
    PublishedSettings,
    Training,
    draw,
    prepare,
    training_cell,
    trainings,
)
from pipeline.studies.published_only.findings import DIFFERENCE, Findings, _differ, _of_learner, found_in, sentences
from tests.studies.made import contents_of, result_of
from tests.test_run import chemtune

pytestmark = pytest.mark.usefixtures("few_trees")

SETTINGS = PublishedSettings(arms=("components-rf",), folds=3, seeds=1, lm_steps=2)
HEADER = ["halide", "amine", "base", "rxn", "yield", "origin", "doi"]


def paper_rows() -> list[tuple[str, ...]]:
    """Twelve papers: a scope of nine amines under one good base, and an optimisation of six bases of which two fail."""
    rows = []
    for paper in range(12):
        halide = f"{'C' * (paper + 1)}Br"
        for j in range(9):
            amine, base = f"{'C' * (j + 1)}N", f"{'C' * (3 + paper % 4)}O"
            value = 60 + 2 * j + paper
            rows.append((halide, amine, base, str(value), "Scope", f"paper {paper}"))
        for k in range(6):
            value = 0 if k < 2 else 50 + paper + k
            rows.append((halide, "CN", f"{'C' * (k + 1)}O", str(value), "Optimisation", f"paper {paper}"))
    return [
        (h, a, b, f"{h}.{a}.{b}>>{h.removesuffix('Br')}N{a.removesuffix('N')}", value, origin, paper)
        for h, a, b, value, origin, paper in rows
    ]


def write(path, rows):
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(HEADER)
        writer.writerows(rows)
    return path


@pytest.fixture
def papers(tmp_path):
    return write(tmp_path / "papers.csv", paper_rows())


def experiment_of(path, settings=SETTINGS, **more):
    given = {
        "reaction": "rxn",
        "components": ["halide", "amine", "base"],
        "yield": "yield",
        "out": str(path.parent / "out"),
    }
    return Experiment.of(prepare(make_config(str(path), given | more), settings, Reporter()))


def found_by(experiment):
    return found_in(experiment, contents_of(published_only, experiment.context))


def test_a_planted_need_for_the_failures_shows(papers):
    """Two bases always fail, and no published table says so."""
    found = found_by(experiment_of(papers))
    by_rows = {rows: found.value(rows, "components-rf", "fpr", "Optimisation") for rows in EXPLAINED}
    assert by_rows[PUBLISHED][0] == 1.0
    assert by_rows[SUCCESSES][0] == 1.0
    assert by_rows[EVERYTHING][0] < 0.5
    bias = found.value(DIFFERENCE, "components-rf", "yield_bias", "Optimisation")
    assert bias[1] > 0  # the lower end of the interval
    # Twelve papers hold the failures: that all are accepted says no more than the exact interval of twelve trials does.
    assert by_rows[PUBLISHED][1:] == pytest.approx((0.025 ** (1 / 12), 1.0))
    assert any("100 % [74 to 100] of the failures" in sentence for sentence in sentences(found))


def test_all_kinds_of_rows_are_as_many_and_of_unseen_papers(papers):
    experiment = experiment_of(papers, replace(SETTINGS, rows=40))
    frame = experiment.table.frame.set_index("row_id").join(experiment.table.cells)
    for training in trainings(experiment):
        rows = draw(experiment, training)
        assert len(rows) == 40
        assert len(set(rows)) == 40
        tested = experiment.split.folds[training.fold].test
        assert not set(frame.loc[rows, "doi"]) & set(frame.loc[list(tested), "doi"])
        if training.rows == PUBLISHED:
            assert set(frame.loc[rows, "origin"]) == {"Scope"}
        elif training.rows == SUCCESSES:
            assert (frame.loc[rows, "target"] >= 20).all()
    everything = draw(experiment, Training(EVERYTHING, "components-rf", 0, 0))
    assert (frame.loc[everything, "target"] < 20).any()
    assert draw(experiment, Training(EVERYTHING, "components-rf", 0, 1)) != everything


def test_a_changed_test_label_changes_no_training_of_its_fold(papers, tmp_path):
    experiment = experiment_of(papers)
    training = Training(EVERYTHING, "components-rf", 0, 0)
    tested = set(experiment.split.folds[0].test)
    frame = experiment.table.frame
    line = int(frame[frame["row_id"].isin(tested) & (frame["target"] > 20)]["line"].iloc[0])
    rows = paper_rows()
    rows[line - 2] = (*rows[line - 2][:4], "88.5", *rows[line - 2][5:])
    folder = tmp_path / "changed"
    folder.mkdir()
    other = experiment_of(write(folder / "papers.csv", rows))
    assert other.split.folds == experiment.split.folds
    one, two = (
        result_of(training_cell(which, Machine(1), training), which.context)["predicted"]
        for which in (experiment, other)
    )
    assert one == two


def test_the_same_reaction_of_two_origins_stays_two_rows(papers):
    experiment = experiment_of(papers)
    frame = experiment.table.frame.set_index("row_id").join(experiment.table.cells)
    twice = frame.groupby("identity")["origin"].nunique()
    assert (twice == 2).any()  # the first amine of a scope under a base of the optimisation
    assert len(frame) == len(paper_rows())


def test_the_language_model_goes_the_same_way(papers, tiny_folder):
    settings = replace(SETTINGS, arms=("components-rf", "lm-head"), rows=20)
    found = found_by(experiment_of(papers, settings, model=str(tiny_folder)))
    assert set(found.metrics["learner"]) == {"components-rf", "lm-head"}
    assert np.isfinite(found.metrics.loc[found.metrics["metric"] == "yield_bias", "value"]).all()


def command(path, *more):
    given = ("--reaction", "rxn", "--components", "halide,amine,base", "--yield", "yield", "--arms", "components-rf")
    quick = ("--folds", 3, "--seeds", 1, "--out", path.parent / "out")
    return chemtune("stress", "published-only", path, *given, *quick, *more, cwd=path.parent)


def test_the_command_leaves_all_that_is_promised_and_resumes(papers):
    done = command(papers)
    assert done.returncode == 0, done.stderr
    out = papers.parent / "out"
    names = ("config.yaml", "metrics.csv", "trained.csv", "composition.csv", "predictions.parquet", "run.json")
    for name in (*names, "report.html", "refused.csv", "splits.csv", "figures/parity.svg"):
        assert (out / name).stat().st_size > 0, name
    assert "differ in more than their failures" in (out / "report.html").read_text(encoding="utf-8")
    predictions = pd.read_parquet(out / "predictions.parquet")
    assert (predictions.groupby("rows")["row_id"].nunique() == len(paper_rows())).all()
    cells = {path.name: path.stat().st_mtime_ns for path in (out / "cells").iterdir()}
    assert command(papers).returncode == 0
    assert {path.name: path.stat().st_mtime_ns for path in (out / "cells").iterdir()} == cells
    moved = papers.parent / "again"
    again = chemtune("stress", "published-only", out / "config.yaml", "--out", moved, cwd=papers.parent)
    assert again.returncode == 0, again.stderr
    pd.testing.assert_frame_equal(pd.read_csv(moved / "metrics.csv"), pd.read_csv(out / "metrics.csv"))


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (("--origin", "orign"), "did you mean 'origin'"),
        (("--paper", "paper"), "no column 'paper'"),
        (("--published", "scope"), "did you mean 'Scope'"),
        (("--tested", "Scope"), "must differ"),
        (("--success", 0), "above 0"),
        (("--folds", 40), "40 folds need at least 40 groups"),
        (("--rows", -1), "must not be negative"),
        (("--arms", "gp"), "unknown arm 'gp'"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_line(papers, more, words):
    done = command(papers, *more)
    assert done.returncode == 2
    assert words in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_a_table_without_tested_failures_is_refused(papers):
    rows = [row for row in paper_rows() if row[4] != "0"]
    done = command(write(papers.parent / "good.csv", rows))
    assert done.returncode == 2
    assert "Optimisation rows are a success at 20 %" in done.stderr


# -- in words ------------------------------------------------------------------------------------


def shown(bias, accepted, seeds=3):
    """The sentences of one learner: ``bias`` and ``accepted`` of published rows, of all rows, and their difference."""
    kinds = (PUBLISHED, SUCCESSES, EVERYTHING, DIFFERENCE)
    rows = [
        {"rows": kind, "learner": "gp", "tested": "Optimisation", "metric": metric}
        | dict(zip(("value", "low", "high"), values, strict=True))
        | {"seeds": seeds}
        for metric, by_kind in (("yield_bias", bias), ("fpr", accepted))
        for kind, values in zip(kinds, (by_kind[0], by_kind[0], *by_kind[1:]), strict=True)
    ]
    metrics = pd.DataFrame(rows)
    found = Findings(SimpleNamespace(settings=SETTINGS), metrics, metrics, metrics, metrics)
    return _of_learner(found, "gp")


def test_what_all_rows_mend_is_said_with_its_side():
    (said,) = shown(((36, 30, 42), (16, 9, 23), (20, 12, 28)), ((0.99, 0.9, 1.0), (0.9, 0.8, 0.95), (0.09, 0.02, 0.16)))
    assert "predicts 36 [30 to 42] yield points too much and accepts 99 % [90 to 100] of the failures" in said
    assert "predictions are 20 [12 to 28] yield points lower, and of the failures 9 [2 to 16] percentage points" in said
    assert said.endswith("fewer are accepted.")
    said, seed = shown(
        ((-3, -9, 3), (5, 1, 9), (-8, -12, -4)), ((0.2, 0.1, 0.4), (0.3, 0.2, 0.5), (-0.1, -0.3, 0.1)), 1
    )
    assert "predicts 3 [-3 to 9] yield points too little (not significant)" in said
    assert "8 [4 to 12] yield points higher" in said
    assert "10 [-10 to 30] percentage points more (not significant) are accepted" in said
    assert seed.startswith("gp: one training seed")


@pytest.mark.parametrize(
    ("values", "said"),
    [((30, 10), "30 against 10 values of amine"), ((20, 20), "No component has notably more values")],
)
def test_kinds_of_rows_are_said_to_differ_only_where_they_do(values, said):
    kinds = [pd.Series({"successes": 0.8 - 0.2 * kind, "values of amine among 90": values[kind]}) for kind in (0, 1)]
    sentence = _differ(SimpleNamespace(settings=SETTINGS), *kinds)
    assert said in sentence
    assert ("differ in more than their failures" in sentence) == (values[0] != values[1])
