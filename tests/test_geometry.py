"""The shape of a table: planted dimensions and labels are found, and what has none is said to have none."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.spatial.distance import squareform
from typer.testing import CliRunner

from pipeline.cli import app
from pipeline.errors import InputError
from pipeline.evaluation.dimension import MIN_POINTS, gaussian_like, intrinsic_dimension
from pipeline.evaluation.roughness import (
    neighbour_agreement,
    neighbour_correlation,
    neighbour_error,
    rogi,
    roughness,
    share_in_cliffs,
)
from pipeline.features.alike import SIMILAR, edits, similar_pairs
from pipeline.reporter import Reporter
from pipeline.runs.geometry import CLIFFS, RANDOM_STATES, ROUGHNESS, STATES, geometry_of, geometry_of_table
from pipeline.runs.geometry_words import geometry_lines, geometry_rows
from pipeline.settings.reading import make_config
from pipeline.tables.catalogue import card
from pipeline.tables.kinds import COMPOSITIONS, TEXTS
from pipeline.tables.reading import read_table
from pipeline.tables.table import build_table
from tests.conftest import FORMULAS, write_table

SEEDS = range(20)
MOST = 18  # of 20


def rotated(points: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Points in 50 dimensions, so that no column says which ones they come from."""
    return points @ np.linalg.qr(rng.normal(size=(50, 50)))[0][: points.shape[1]]


def torus(rng: np.random.Generator, n: int = 500) -> np.ndarray:
    one, other = rng.uniform(0, 2 * np.pi, size=(2, n))
    return np.column_stack([np.cos(one), np.sin(one), np.cos(other), np.sin(other)])


def swiss_roll(rng: np.random.Generator, n: int = 500) -> np.ndarray:
    turn = rng.uniform(1.5 * np.pi, 4.5 * np.pi, size=n)
    return np.column_stack([turn * np.cos(turn), turn * np.sin(turn), rng.uniform(0, 20, size=n)])


@pytest.mark.parametrize(
    ("made", "low", "high"),
    [
        (torus, 1.7, 2.3),
        (swiss_roll, 1.7, 2.4),
        # Known to come out low in ten dimensions, the more so the fewer the points.
        (lambda rng: rng.normal(size=(500, 10)), 7.0, 10.5),
    ],
    ids=["torus", "swiss roll", "normal in ten"],
)
def test_a_planted_dimension_is_found_by_both_estimators_on_all_and_half_of_the_rows(made, low, high):
    hits = 0
    for seed in SEEDS:
        rng = np.random.default_rng(seed)
        found = intrinsic_dimension(rotated(made(rng), rng), seed)
        assert len(found.estimates) == 4
        hits += low <= found.low <= found.middle <= found.high <= high
    assert hits >= MOST


def test_a_curved_surface_is_told_from_a_normal_cloud_with_its_covariance():
    hits = 0
    for seed in SEEDS:
        rng = np.random.default_rng(seed)
        points = rotated(torus(rng), rng)
        hits += intrinsic_dimension(points, seed).high < intrinsic_dimension(gaussian_like(points, seed), seed).low
    assert hits >= MOST


def test_a_normal_cloud_is_not_told_from_its_null():
    hits = 0
    for seed in SEEDS:
        points = np.random.default_rng(seed).normal(size=(300, 6))
        found, null = intrinsic_dimension(points, seed), intrinsic_dimension(gaussian_like(points, seed), seed)
        hits += found.low < null.high and null.low < found.high
    assert hits >= MOST


def test_duplicates_do_not_change_a_dimension():
    points = np.random.default_rng(0).normal(size=(200, 3))
    assert intrinsic_dimension(np.repeat(points, 4, axis=0), 0) == intrinsic_dimension(points, 0)


def test_the_order_of_equal_numbers_is_the_seed_s():
    points = np.random.default_rng(0).normal(size=(200, 3))
    assert intrinsic_dimension(points, 1).estimates == intrinsic_dimension(points[::-1], 1).estimates
    assert intrinsic_dimension(points, 1).estimates != intrinsic_dimension(points, 2).estimates


@pytest.mark.parametrize("points", [np.zeros((200, 5)), np.random.default_rng(0).normal(size=(MIN_POINTS - 1, 5))])
def test_too_few_different_rows_have_no_dimension(points):
    assert intrinsic_dimension(points, 0) is None


def test_a_simplex_whose_points_are_all_equally_far_apart_has_no_dimension():
    assert intrinsic_dimension(np.eye(100), 0) is None


def space(seed: int, n: int = 120) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Points, their distances from 0 to 1, and their nearest neighbours."""
    points = np.random.default_rng(seed).uniform(size=(n, 3))
    distances = np.sqrt(((points[:, None] - points[None]) ** 2).sum(axis=-1)) / np.sqrt(3)
    return points, distances, (distances + 2 * np.eye(n)).argmin(axis=1)


def test_roughness_is_that_of_its_definition():
    """Against standard deviations of cluster means, cut by scipy at each distance."""
    points, distances, _ = space(0)
    label = points[:, 0] + np.random.default_rng(1).normal(scale=0.1, size=len(points))
    scaled = (label - label.min()) / np.ptp(label)
    merges = linkage(squareform(distances, checks=False), method="complete")
    cuts = [0.0]
    for height in merges[:, 2]:
        if len(cuts) == 1 or height >= cuts[-1] + 0.01:
            cuts.append(height)

    def dispersion(cut: float) -> float:
        cluster = fcluster(merges, cut, criterion="distance")
        return 2 * float(pd.Series(scaled).groupby(cluster).transform("mean").std(ddof=0))

    values = [2 * scaled.std(), *map(dispersion, cuts[1:]), 0.0]
    expected = values[0] - np.trapezoid(values, [*cuts, 1.0])
    assert rogi(distances, label[None])[0] == pytest.approx(expected, abs=1e-9)


def test_permuted_labels_are_as_rough_as_can_be_and_neighbours_do_not_agree(monkeypatch):
    monkeypatch.setattr("pipeline.evaluation.roughness.HALVES", 2)  # its interval is not asked for
    smooth = agree = within = 0
    for seed in SEEDS:
        points, distances, neighbour = space(seed)
        labels, groups = np.random.default_rng(99 + seed).permutation(points[:, 0]), np.arange(len(points))
        rough = roughness(distances, labels, groups, seed)
        smooth += rough.p_value(rising=False) < 0.05
        within += rough.null[1] <= rough.value <= rough.null[2]
        agree += neighbour_correlation(labels, neighbour, groups, seed).p_value(rising=True) < 0.05
    assert smooth <= 20 - MOST
    assert agree <= 20 - MOST
    assert within >= MOST


def test_a_label_that_changes_slowly_is_smooth_and_neighbours_agree():
    for seed in SEEDS:
        points, distances, neighbour = space(seed)
        labels, groups = points[:, 0], np.arange(len(points)) // 4
        rough = roughness(distances, labels, groups, seed)
        assert rough.high < rough.null[1]
        correlation = neighbour_correlation(labels, neighbour, groups, seed)
        assert correlation.low > 0.5
        assert correlation.low <= correlation.value <= correlation.high
        assert neighbour_error(labels, neighbour, groups, seed).high < 1
        classes = np.where(labels > 0.5, "high", "low")
        agreement = neighbour_agreement(classes, neighbour, groups, seed)
        assert agreement.low > agreement.null[2]
        assert agreement.null[0] == pytest.approx(0.5, abs=0.05)


def test_only_the_rows_of_steep_pairs_are_in_a_cliff():
    labels, pairs = np.arange(100.0), np.array([(0, 1), (2, 5), (3, 50), (3, 60)])
    found = share_in_cliffs(labels, pairs, 10.0, np.arange(100), 0)
    assert found.value == pytest.approx(0.03)  # 3, 50, 60
    assert share_in_cliffs(labels, pairs, 1.0, np.arange(100), 0).value == pytest.approx(0.07)


def plainly(one: str, other: str) -> int:
    """The Levenshtein distance, a cell at a time."""
    above = list(range(len(other) + 1))
    for i, a in enumerate(one, 1):
        row = [i]
        for j, b in enumerate(other, 1):
            row.append(min(above[j] + 1, row[-1] + 1, above[j - 1] + (a != b)))
        above = row
    return above[-1]


def test_edits_are_counted_within_the_band():
    rng = np.random.default_rng(0)
    texts = ["".join(rng.choice(list("CNO"), size=rng.integers(0, 12))) for _ in range(40)]
    pairs = np.array([(i, j) for i in range(40) for j in range(i + 1, 40)])
    expected = np.array([plainly(texts[i], texts[j]) for i, j in pairs])
    for most in (0, 1, 4):
        found = edits(texts, pairs, most)
        assert (found[expected <= most] == expected[expected <= most]).all()
        assert (found[expected > most] > most).all()


def test_analogues_are_similar_in_one_of_three_ways():
    ring = "c1ccc(cc1)C(=O)NCCOCCN2CCCCC2CC(C)C"
    other_atom, long_chain = ring.replace("NCCO", "NCCS"), "C" * 30
    smiles = [ring, other_atom, long_chain, "C" * 31, "OC(=O)c1cscn1"]
    found = {tuple(pair) for pair in similar_pairs(smiles)}
    assert (0, 1) in found  # one edit, and the same graph
    assert (2, 3) in found  # the same substructures
    assert not any(4 in pair for pair in found)
    assert SIMILAR == 0.9


@pytest.fixture(scope="module")
def freesolv():
    about = card("freesolv")
    raw = read_table(str(about.path))
    return build_table(raw, smiles=about.smiles, target=about.target, units=about.units).sample(200, 0)


def figures(table) -> dict[str, dict]:
    return {one["what"]: one for one in geometry_of(table)["figures"]}


def test_a_table_has_every_figure_with_its_null_twice_the_same(freesolv):
    first, again = geometry_of(freesolv), geometry_of(freesolv)
    assert first == again
    found = {one["what"]: one for one in first["figures"]}
    assert list(found) == [
        "dimension, fingerprints",
        "dimension, descriptors",
        "neighbour correlation",
        "neighbour error",
        ROUGHNESS,
        CLIFFS,
    ]
    for one in found.values():
        assert one["low"] <= one["value"] <= one["high"], one["what"]
        assert one["null_low"] <= one["null"] <= one["null_high"], one["what"]
    assert found["dimension, descriptors"]["high"] < found["dimension, descriptors"]["null_low"]
    assert json.loads(json.dumps(first, allow_nan=False)) == first
    assert len(geometry_rows(first)) == len(found)
    said = "\n".join(geometry_lines(first, "kcal/mol"))
    for part in ("Dimension:", "Neighbours:", "Roughness", "Cliffs:", "Rows needed:", "same covariance", "kcal/mol"):
        assert part in said


def test_labels_dealt_to_other_molecules_are_not_shown_to_go_with_the_structure(freesolv):
    frame = freesolv.frame.assign(target=np.random.default_rng(5).permutation(freesolv.frame["target"]))
    found = geometry_of(replace(freesolv, frame=frame))
    said = "\n".join(geometry_lines(found, ""))
    assert "it is not shown that the label goes with the structure" in said
    assert "not shown to be smoother" in said


def test_a_label_in_log_units_has_a_cliff_from_tenfold_on(freesolv):
    assert geometry_of(freesolv)["cliff"]["why"].startswith("as half")
    assert geometry_of(replace(freesolv, units="log mol/L"))["cliff"]["why"] == "tenfold or more"


def test_two_classes_have_roughness_and_more_have_agreement_alone(freesolv):
    target = freesolv.frame["target"]
    two = replace(freesolv, task="classes", frame=freesolv.frame.assign(target=np.where(target > -3, "a", "b")))
    found = figures(two)
    assert {"neighbour agreement", ROUGHNESS, CLIFFS} <= set(found)
    three = replace(freesolv, task="classes", frame=freesolv.frame.assign(target=pd.qcut(target, 3).astype(str)))
    result = geometry_of(three)
    assert {one["what"] for one in result["figures"][2:]} == {"neighbour agreement"}
    assert any("two classes" in reason for reason in result["left_out"])


def test_one_label_too_few_rows_and_equal_rows_are_left_out_and_said(freesolv):
    same = geometry_of(replace(freesolv, frame=freesolv.frame.assign(target=1.0)))
    assert any("all labels are the same" in reason for reason in same["left_out"])
    assert all(one["what"].startswith("dimension") for one in same["figures"])
    few = geometry_of(freesolv.sample(30, 0))
    assert few["figures"] == []
    assert len(few["left_out"]) == 3
    equal = geometry_of(replace(freesolv, frame=freesolv.frame.assign(smiles="CCO")))
    assert sum("rows differ" in reason for reason in equal["left_out"]) == 2
    for found in (same, few, equal):
        assert any(line.startswith("Left out: ") for line in geometry_lines(found, ""))


def test_a_table_of_one_scaffold_has_no_intervals_and_says_so(freesolv):
    found = geometry_of(replace(freesolv, frame=freesolv.frame.assign(scaffold="c1ccccc1")))
    assert {one["low"] for one in found["figures"][2:]} == {None}
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert "too few groups" in "\n".join(geometry_lines(found, ""))


def test_bounds_are_no_labels(freesolv):
    bound = np.where(np.arange(len(freesolv)) < 50, ">", "")
    assert figures(replace(freesolv, frame=freesolv.frame.assign(bound=bound)))[ROUGHNESS]["n"] == len(freesolv) - 50


@pytest.mark.parametrize(
    ("kind", "rows"),
    [
        (COMPOSITIONS, [*FORMULAS, *(f"{one}2{two}" for one in "FIH" for two in ("Be", "Cu", "Pb"))]),
        (
            TEXTS,
            [f"stir the {one} in {two} for {time} h" for one in ("oil", "salt") for two in "xy" for time in range(15)],
        ),
    ],
    ids=str,
)
def test_other_kinds_of_rows_have_their_own_features_and_no_cliffs(kind, rows, tmp_path):
    labelled = [(row, len(row) + place % 3) for place, row in enumerate(rows)]
    path = write_table(tmp_path / "rows.csv", labelled, "x,value")
    table = build_table(read_table(str(path)), smiles="x", target="value", kind=kind)
    found = geometry_of(table)
    assert any(one["what"].startswith("dimension") for one in found["figures"])
    assert any("one of molecules" in reason for reason in found["left_out"])


def audit(*given: object) -> tuple[int, str]:
    done = CliRunner().invoke(app, ["audit", *map(str, given)])
    return done.exit_code, done.output


@pytest.fixture
def solvation(tmp_path, freesolv):
    rows = list(zip(freesolv.frame["smiles"], freesolv.frame["target"], strict=True))
    return write_table(tmp_path / "solvation.csv", rows[:120])


def test_the_command_prints_and_writes_the_geometry(solvation, tmp_path):
    code, shown = audit(solvation, "--target", "value", "--geometry", "--out", tmp_path / "audit")
    assert code == 0, shown
    assert "Geometry of 120 molecules" in shown
    assert "Rows needed:" in shown
    written = json.loads((tmp_path / "audit/audit.json").read_text())["geometry"]
    assert list(pd.read_csv(tmp_path / "audit/geometry.csv")["what"]) == [one["what"] for one in written["figures"]]
    assert "Geometry" not in audit(solvation, "--target", "value")[1]


def test_states_of_random_weights_stand_beside_those_of_the_model(solvation, tiny_folder):
    code, shown = audit(solvation, "--target", "value", "--states", "--model", tiny_folder)
    assert code == 0, shown
    assert f"dimension, {STATES}" in shown
    assert f"dimension, {RANDOM_STATES}" in shown
    assert "comes from the table and not from pretraining" in shown.replace("\n", " ")


def test_a_model_that_cannot_be_had_is_an_error_that_names_it(solvation, tmp_path):
    given = ["audit", str(solvation), "--target", "value", "--states", "--model", str(tmp_path / "nowhere")]
    failed = CliRunner().invoke(app, given).exception
    assert isinstance(failed, InputError)
    assert "nowhere" in str(failed)


def test_large_tables_are_drawn_from_and_it_is_said(freesolv, monkeypatch):
    monkeypatch.setattr("pipeline.runs.geometry.ROWS", 100)
    found = geometry_of_table(freesolv, make_config("freesolv", {}), Reporter(), states=False)
    assert (found["rows"], found["drawn_from"]) == (100, 642)
