"""The harder rungs of the ladder: each with what it promises, the same for shuffled rows, none with a straddler."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from rdkit import Chem

from pipeline.errors import InputError
from pipeline.evaluation.comparison import BETTER, CANNOT_TELL, Comparisons, Difference
from pipeline.evaluation.verdict import Verdict, ladder_sentence
from pipeline.features.structures import morgan_bits, tanimoto
from pipeline.files import write_csv
from pipeline.splits import rungs
from pipeline.splits.build import build_splits
from pipeline.splits.card import split_card
from pipeline.splits.catalogue import expand_names, rung_of
from pipeline.splits.splitters import SIZES
from pipeline.tables.catalogue import card
from pipeline.tables.reading import read_table
from pipeline.tables.table import build_table
from tests.conftest import SMILES, write_table
from tests.test_run import chemtune

pytestmark = pytest.mark.usefixtures("undrawn", "few_trees")

RUNGS = ("generic-scaffold", "cluster", "similarity", "size", "label-high", "label-low")


def split(table, name, folds=0, seed=0):
    (made,) = build_splits(table, name, test_size=0.2, folds=folds, seed=seed)
    return made


def sides(table, name, **more):
    fold = split(table, name, **more).folds[0]
    frame = table.frame.set_index("row_id").join(table.cells)
    return frame.loc[list(fold.train)], frame.loc[list(fold.test)]


@pytest.mark.parametrize("name", RUNGS)
def test_shuffled_rows_give_the_same_rung_and_no_twin_straddles(photoswitch, name):
    frame = photoswitch.frame.sample(frac=1, random_state=3).reset_index(drop=True)
    one, two = split(photoswitch, name), split(replace(photoswitch, frame=frame), name)
    assert set(one.folds[0].test) == set(two.folds[0].test)
    train, test = sides(photoswitch, name)
    assert not set(train["twins"]) & set(test["twins"])
    assert len(train) + len(test) == len(photoswitch)
    assert abs(len(test) / len(photoswitch) - 0.2) < 0.06


def test_a_similarity_rung_keeps_its_bound(photoswitch):
    made = split(photoswitch, "similarity")
    bound = float(made.notes[0].split("than ")[1].split(" ")[0])
    train, test = sides(photoswitch, "similarity")
    nearest = tanimoto(morgan_bits(test["smiles"]), morgan_bits(train["smiles"])).max()
    assert nearest <= bound < 0.7
    with pytest.raises(InputError, match="hang together"):
        split(photoswitch, "similarity:0.1")
    loose, tested = sides(photoswitch, "similarity:0.65")
    assert tanimoto(morgan_bits(tested["smiles"]), morgan_bits(loose["smiles"])).max() <= 0.65


def test_butina_clusters_are_those_of_rdkit(photoswitch):
    from rdkit import DataStructs
    from rdkit.Chem import rdFingerprintGenerator
    from rdkit.ML.Cluster import Butina

    smiles = list(photoswitch.frame["smiles"])
    names = photoswitch.frame["row_id"].to_numpy(dtype=object)
    codes = rungs.butina(morgan_bits(smiles), names, 0.35)
    generator = rdFingerprintGenerator.GetMorganGenerator(radius=2, fpSize=2048)
    prints = [generator.GetFingerprint(Chem.MolFromSmiles(text)) for text in smiles]
    distances = [1 - value for row in range(1, len(prints)) for value in similar(DataStructs, prints, row)]
    theirs = Butina.ClusterData(distances, len(prints), 0.65, isDistData=True)
    ours = pd.Series(range(len(codes))).groupby(codes).size()
    assert max(map(len, theirs)) == ours.max()  # ties may go another way below the largest
    assert abs(len(theirs) - len(ours)) <= 3


def similar(module, prints, row):
    return module.BulkTanimotoSimilarity(prints[row], prints[:row])


def test_a_generic_scaffold_is_the_shape_alone(tmp_path):
    rings = ["c1ccccc1", "C1CCCCC1", "c1ccncc1", "O=C1CCCCC1", "C1CCOCC1"]
    assert {rungs._generic(ring) for ring in rings} == {"C1CCCCC1"}
    assert rungs._generic("") == ""
    assert rungs._generic("C1CCCC1") != "C1CCCCC1"
    table = table_of(tmp_path, [(f"{'C' * (i + 1)}{ring}", i) for ring in rings for i in range(5)])
    with pytest.raises(InputError, match="all 20 rows are one group"):
        split(table, "generic-scaffold")


def table_of(tmp_path, rows, header="SMILES,value", **more):
    path = write_table(tmp_path / "table.csv", rows, header)
    return build_table(read_table(str(path)), smiles="SMILES", target="value", **more)


def test_size_tests_on_larger_molecules(photoswitch):
    train, test = sides(photoswitch, "size")
    largest, smallest = (
        part["smiles"].map(lambda text: Chem.MolFromSmiles(text).GetNumHeavyAtoms()) for part in (train, test)
    )
    assert largest.max() < smallest.min()


def test_label_rungs_test_on_one_end_of_the_labels(photoswitch):
    train, test = sides(photoswitch, "label-high")
    assert train["target"].max() < test["target"].min()
    train, test = sides(photoswitch, "label-low")
    assert train["target"].min() > test["target"].max()


def test_twins_with_labels_on_both_sides_stay_together(tmp_path):
    rows = [(f"{'C' * (i + 1)}O", i) for i in range(20)] + [("CC(=O)O", 30), ("CC(=O)[O-].[Na+]", 0)]
    train, test = sides(table_of(tmp_path, rows), "label-high")
    assert {"CC(=O)O", "CC(=O)[O-].[Na+]"} <= set(train["smiles"])
    assert test["target"].min() >= 15


@pytest.mark.parametrize(
    ("cells", "latest"),
    [
        ([str(1990 + i) for i in range(25)], {"2010", "2011", "2012", "2013", "2014"}),
        ([f"20{10 + i // 12}-{i % 12 + 1:02d}-01" for i in range(25)], None),
    ],
)
def test_time_tests_on_the_latest_rows(tmp_path, cells, latest):
    rows = [(f"{'C' * (i + 1)}O", i, cell) for i, cell in enumerate(cells)]
    table = table_of(tmp_path, rows[::-1], "SMILES,value,when", keep=["when"])
    train, test = sides(table, "time:when")
    assert len(test) == 5
    assert train["when"].max() < test["when"].min()
    if latest:
        assert set(test["when"]) == latest


def test_a_time_that_cannot_be_read_names_its_line(tmp_path):
    rows = [(f"{'C' * (i + 1)}O", i, "2020" if i else "soon") for i in range(25)]
    table = table_of(tmp_path, rows, "SMILES,value,when", keep=["when"])
    with pytest.raises(InputError, match="line 2 says 'soon'"):
        split(table, "time:when")


def test_folds_of_an_edge_are_a_hold_out_and_said_to_be(photoswitch):
    made = split(photoswitch, "size", folds=5)
    assert len(made.folds) == 1
    assert any("an edge makes no folds" in note for note in made.notes)
    assert len(split(photoswitch, "cluster", folds=5).folds) == 5
    assert len(split(photoswitch, "generic-scaffold", folds=5).folds) == 5


def test_an_edge_cannot_be_drawn_anew(photoswitch):
    (made,) = build_splits(photoswitch, "size", test_size=0.2, folds=0, seed=0, repeats=3)
    assert len(made.folds) == 1
    assert any("one division only" in note for note in made.notes)


def test_past_many_structures_clusters_come_from_means(photoswitch, monkeypatch):
    monkeypatch.setattr(rungs, "MOST_COMPARED", 100)
    monkeypatch.setattr(rungs, "MEANS_CLUSTERS", 30)
    made = split(photoswitch, "cluster")
    assert "k-means" in made.notes[0]
    assert len(set(made.groups.values())) > 10
    shuffled = photoswitch.frame.sample(frac=1, random_state=1).reset_index(drop=True)
    assert set(split(replace(photoswitch, frame=shuffled), "cluster").folds[0].test) == set(made.folds[0].test)
    with pytest.raises(InputError, match="all pairs are compared up to 100"):
        split(photoswitch, "similarity")


def test_the_ladder_names_what_a_table_has(photoswitch):
    names = expand_names(["ladder", "group:lab"], photoswitch)
    assert names == ["random", "scaffold", *RUNGS, "group:lab"]
    assert expand_names(["label-tail"], photoswitch) == ["label-high", "label-low"]


@pytest.mark.parametrize("name", ["cluster:2", "similarity:near", "clusters", "label-top"])
def test_an_unknown_rung_is_refused(name):
    with pytest.raises(InputError, match=f"split '{name}'|unknown split '{name}'"):
        rung_of(name)


def test_the_card_says_what_shift_a_rung_makes(photoswitch):
    size, random = (split_card(photoswitch, split(photoswitch, name)) for name in ("size", "random"))
    assert size["properties"]["weight"] > 1.0 > abs(random["properties"]["weight"])
    assert split_card(photoswitch, split(photoswitch, "scaffold"))["shared_scaffolds"] == 0.0
    assert random["shared_scaffolds"] > 0.5


def test_the_ladder_sentence_names_the_rung_where_the_arm_changes():
    found, compared = ladder([("random", "gp"), ("scaffold", "gp"), ("size", None), ("cluster", "knn")], BETTER)
    said = ladder_sentence(found, compared)
    assert said.startswith(
        "From split to split the arm to use changes first at cluster: gp on random and scaffold; knn on"
    )
    assert said.endswith("No arm can be named on size.")
    assert "is shown to beat gp (random and scaffold)" in ladder_sentence(found[:3], compared[:3])
    assert ladder_sentence(found[:2], compared[:2]) == ""


def test_an_arm_that_validation_alone_prefers_is_no_change_along_the_ladder():
    found, compared = ladder([("random", "gp"), ("scaffold", "knn"), ("cluster", "gp")], CANNOT_TELL)
    said = ladder_sentence(found, compared)
    assert "changes" not in said
    assert "is shown to beat gp (random, scaffold and cluster)" in said
    assert "not shown to be better: knn in place of gp on scaffold." in said


def ladder(uses, answer):
    """Verdicts of splits and the arm to use on each, and comparisons in which knn is what is said against gp."""
    found = [Verdict(name, use is not None, use, "", (), ()) for name, use in uses]
    item = Difference("", "knn", "gp", "mae", -1.0, -2.0, -0.5, 0.01, 0.0, 1.0, answer)
    return found, [Comparisons(SimpleNamespace(only_reference=""), (item,)) for _ in uses]


def test_a_ladder_run_leaves_out_what_the_table_cannot_make(tmp_path):
    """All acyclic: no scaffold to hold out; a lab that is always the same; the other rungs run."""
    rows = [(f"{'C' * (i + 1)}{end}", i + 3 * j, "one") for i in range(12) for j, end in enumerate(("O", "N", "Cl"))]
    path = write_table(tmp_path / "chains.csv", rows, "SMILES,value,lab")
    given = ("--smiles", "SMILES", "--target", "value", "--split", "ladder,group:lab", "--arms", "ridge,knn")
    done = chemtune("run", path, *given, "--out", tmp_path / "out", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "Left out: split 'group:lab': all 36 rows are one group" in done.stdout
    assert "Along the ladder" in done.stdout or "cannot be told" in done.stdout
    metrics = pd.read_csv(tmp_path / "out" / "metrics.csv")
    assert {"random", "size", "label-high", "label-low"} <= set(metrics["split"])
    report = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert "Splits that this table cannot make" in report
    assert "property shift" in report
    alone = chemtune("run", path, *given[:4], "--split", "group:lab", "--arms", "ridge", cwd=tmp_path)
    assert alone.returncode == 2
    assert "one group" in alone.stderr


def test_a_strangers_splits_file_gives_the_same_numbers(tmp_path):
    rows = [(text, len(text) + 0.1 * (number % 7)) for number, text in enumerate(SMILES)]
    path = write_table(tmp_path / "mine.csv", rows)
    given = ("--smiles", "SMILES", "--target", "value", "--arms", "ridge,knn")
    divided = ("--split", "cluster,size", "--folds", 2, "--repeats", 2)
    first = chemtune("run", path, *given, *divided, "--out", tmp_path / "one", cwd=tmp_path)
    assert first.returncode == 0, first.stderr
    file = tmp_path / "one" / "splits.csv"
    again = chemtune("run", path, *given, "--split", file, "--out", tmp_path / "two", cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    one, two = (pd.read_csv(tmp_path / name / "metrics.csv") for name in ("one", "two"))
    pd.testing.assert_frame_equal(one, two)
    assert np.isfinite(one.loc[one["metric"] == "mae", "value"]).all()


@pytest.mark.parametrize("name", ["label-high", "label-low"])
@pytest.mark.parametrize("n_train", [0, 150])
def test_training_rows_are_held_out_at_the_end_that_is_tested(photoswitch, name, n_train):
    """Also where few training rows are drawn: the share is that of the rung, not of what is left."""
    (made,) = build_splits(photoswitch, name, test_size=0.2, folds=0, seed=0, n_train=n_train)
    fold = made.folds[0]
    held = made.beyond_inner_edge(fold, np.array([made.groups[row_id] for row_id in fold.train]))
    labels = photoswitch.targets.loc[list(fold.train)] * (1 if name == "label-high" else -1)
    assert labels[~held].max() < labels[held].min()
    assert abs(held.mean() - 0.2) < 0.06


def test_an_inner_edge_keeps_twins_together(tmp_path):
    rows = [(f"{'C' * (i + 1)}O", i) for i in range(20)] + [("CC(=O)O", 14.5), ("CC(=O)[O-].[Na+]", 0)]
    table = table_of(tmp_path, rows)
    made = split(table, "label-high")
    fold = made.folds[0]
    groups = np.array([made.groups[row_id] for row_id in fold.train], dtype=object)
    held = made.beyond_inner_edge(fold, groups)
    structures = table.frame.set_index("row_id")["smiles"].loc[list(fold.train)].to_numpy()
    assert held.any()
    assert not held[np.isin(structures, ["CC(=O)O", "CC(=O)[O-].[Na+]"])].any()


@pytest.mark.parametrize(("name", "order"), [("random", None), ("size", SIZES), ("cluster", None)])
def test_other_splits_hold_out_no_training_rows_by_an_order(photoswitch, name, order):
    made = split(photoswitch, name)
    assert (made.order.of if made.order else None) == order
    assert made.beyond_inner_edge(made.folds[0], np.zeros(len(made.folds[0].train))) is None
    assert made.reach == (0.0, 0.0)


def test_the_reach_of_a_label_rung_lies_on_its_side_and_grows_with_its_share(photoswitch):
    high, low = split(photoswitch, "label-high"), split(photoswitch, "label-low")
    assert high.reach == (0.0, pytest.approx(1.0, abs=0.25))
    assert low.reach == (pytest.approx(1.0, abs=0.25), 0.0)
    (half,) = build_splits(photoswitch, "label-high", test_size=0.5, folds=0, seed=0)
    assert half.reach[1] > 2 * high.reach[1]
    (tenth,) = build_splits(photoswitch, "label-high", test_size=0.1, folds=0, seed=0)
    assert tenth.reach[1] == 1.0


def test_a_splits_file_keeps_the_order(tmp_path, photoswitch):
    made = [split(photoswitch, name) for name in ("random", "label-low", "size")]
    write_csv(tmp_path / "splits.csv", pd.concat([one.frame() for one in made]))
    again = build_splits(photoswitch, str(tmp_path / "splits.csv"), test_size=0.2, folds=0, seed=0)
    assert {one.name: one.order for one in again} == {one.name: one.order for one in made}
    frame = made[1].frame().astype(str)
    frame.loc[3, "share"] = "most"
    write_csv(tmp_path / "broken.csv", frame)
    with pytest.raises(InputError, match="line 5: order is 'labels, downwards' and share 'most'"):
        build_splits(photoswitch, str(tmp_path / "broken.csv"), test_size=0.2, folds=0, seed=0)


# -- copies --


def test_where_one_group_has_most_rows_every_seed_tests_the_outliers_and_repeats_are_copies(tmp_path):
    """Long alcohols are all alike; the halobenzenes are few, and tested by every seed."""
    alike = [(f"{'C' * (i + 6)}O", i) for i in range(40)]
    others = [
        (f"{x}c1ccc{y}cc1", i) for i, (x, y) in enumerate([(x, y) for x in ("F", "Cl", "Br") for y in ("", "(F)")])
    ]
    table = table_of(tmp_path, [*alike, *others])
    (made,) = build_splits(table, "similarity", test_size=0.15, folds=0, seed=0, repeats=3)
    assert len(made.folds) == 1
    assert made.asked == "15% of rows held out"
    assert (
        "every seed gives the same test set: repeated 3 times it would be copies, so that it is made once" in made.notes
    )
    assert any("the test rows are the 6 unlike it: this rung is a test on outliers" in note for note in made.notes)
    assert any("is linked by similar structures (40 of 46 molecules)" in note for note in made.notes)
    (once,) = build_splits(table, "similarity", test_size=0.15, folds=0, seed=5)
    assert set(once.folds[0].test) == set(made.folds[0].test)
    assert "every seed gives the same test set" in once.notes


def test_repeats_that_test_the_same_rows_are_made_once(photoswitch):
    """Two of the first four seeds give one test set."""
    (made,) = build_splits(photoswitch, "similarity", test_size=0.2, folds=0, seed=0, repeats=4)
    assert len({frozenset(fold.test) for fold in made.folds}) == len(made.folds) == made.repeats == 3
    assert [fold.repeat for fold in made.folds] == [0, 1, 2]
    assert any("1 of 4 repeats would test the same rows as another" in note for note in made.notes)
    assert not any("every seed" in note for note in made.notes)


def test_folds_of_as_many_groups_are_the_same_however_often_they_are_dealt(tmp_path):
    rows = [(f"{'C' * (i + 1)}O", i, f"lab {i % 3}") for i in range(24)]
    table = table_of(tmp_path, rows, "SMILES,value,lab", keep=["lab"])
    (made,) = build_splits(table, "group:lab", test_size=0.2, folds=3, seed=0, repeats=4)
    assert len(made.folds) == 3
    assert any("3 of 4 repeats would test the same rows" in note for note in made.notes)


def test_copies_in_a_splits_file_count_once(tmp_path, photoswitch):
    frame = split(photoswitch, "random").frame()
    write_csv(tmp_path / "splits.csv", pd.concat([frame, frame.assign(repeat=1)]))
    (made,) = build_splits(photoswitch, str(tmp_path / "splits.csv"), test_size=0.2, folds=0, seed=0)
    assert len(made.folds) == 1
    assert any("1 of 2 repeats" in note for note in made.notes)


def test_on_esol_the_similarity_rung_is_said_to_be_a_test_on_outliers():
    about = card("esol")
    table = build_table(read_table(str(about.path)), smiles=about.smiles, target=about.target)
    (made,) = build_splits(table, "similarity", test_size=0.2, folds=0, seed=0, repeats=5)
    assert len(made.folds) == 1
    assert any("this rung is a test on outliers" in note for note in made.notes)
    assert any("repeated 5 times it would be copies" in note for note in made.notes)
