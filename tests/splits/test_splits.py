from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.errors import InputError
from pipeline.files import write_csv
from pipeline.splits.build import build_splits
from pipeline.splits.card import split_card
from pipeline.splits.catalogue import expand_names
from pipeline.splits.groups import scaffold_groups, twin_groups
from pipeline.splits.splitters import TOLERANCE, fold_numbers, hold_out
from pipeline.tables.catalogue import card
from pipeline.tables.reading import read_table
from pipeline.tables.table import build_table
from tests.conftest import SMILES, write_table

sizes = st.lists(st.integers(1, 12), min_size=2, max_size=40)


def split(table, name="random", folds=0, seed=0, test_size=0.2):
    (made,) = build_splits(table, name, test_size=test_size, folds=folds, seed=seed)
    return made


@settings(max_examples=60, deadline=None)
@given(sizes, st.sampled_from([0.1, 0.2, 0.3]), st.integers(0, 5))
def test_hold_out_is_sized_by_rows_where_the_groups_allow(group_sizes, share, seed):
    groups = np.repeat([f"g{i}" for i in range(len(group_sizes))], group_sizes).astype(object)
    test = hold_out(groups, np.zeros(len(groups)), share, seed)
    reachable = {0}
    for size in group_sizes:
        reachable |= {total + size for total in reachable}
    possible = min(abs(total - round(share * len(groups))) for total in reachable - {0, len(groups)})
    off = abs(int(test.sum()) - round(share * len(groups)))
    assert 0 < test.sum() < len(groups)
    assert off <= max(possible, TOLERANCE * len(groups))
    assert not set(groups[test]) & set(groups[~test])


@settings(max_examples=40, deadline=None)
@given(sizes, st.integers(2, 5), st.integers(0, 5))
def test_folds_hold_whole_groups_and_are_even_up_to_the_largest(group_sizes, k, seed):
    groups = np.repeat([f"g{i}" for i in range(len(group_sizes))], group_sizes).astype(object)
    if len(group_sizes) < k:
        with pytest.raises(InputError, match="folds"):
            fold_numbers(groups, np.zeros(len(groups)), k, seed)
        return
    numbers = fold_numbers(groups, np.zeros(len(groups)), k, seed)
    assert all(len(set(numbers[groups == group])) == 1 for group in set(groups))
    got = np.bincount(numbers, minlength=k)
    assert got.min() > 0
    assert got.max() - got.min() <= max(group_sizes)


@pytest.mark.parametrize("name", ["random", "scaffold"])
@pytest.mark.parametrize("folds", [0, 5])
def test_splits_do_not_depend_on_row_order_but_on_the_seed(photoswitch, name, folds):
    shuffled = replace(photoswitch, frame=photoswitch.frame.sample(frac=1, random_state=3).reset_index(drop=True))
    tests = [
        [set(f.test) for f in split(t, name, folds, s).folds]
        for t, s in ((photoswitch, 0), (shuffled, 0), (photoswitch, 1))
    ]
    assert tests[0] == tests[1]
    assert tests[0] != tests[2]


def test_a_row_that_stands_twice_in_a_division_names_its_line(tmp_path, photoswitch):
    frame = split(photoswitch).frame()
    path = tmp_path / "twice.csv"
    pd.concat([frame, frame.iloc[[0]]]).to_csv(path, index=False)
    with pytest.raises(InputError, match=rf"line {len(frame) + 2}: row id .* stands twice in one division"):
        build_splits(photoswitch, str(path), test_size=0.2, folds=0, seed=0)


@pytest.mark.parametrize(("name", "folds"), [("scaffold", 3), ("random", 0), ("similarity", 0)])
def test_repeats_deal_the_same_groups_anew_and_the_first_is_the_split_alone(photoswitch, name, folds):
    (made,) = build_splits(photoswitch, name, test_size=0.2, folds=folds, seed=4, repeats=3)
    alone = split(photoswitch, name, folds=folds, seed=4)
    assert made.groups == alone.groups
    assert made.folds[: len(alone.folds)] == alone.folds
    assert made.repeats == 3
    assert len({fold.test for fold in made.folds}) > 2 * max(1, folds)  # a large scaffold can be a fold each time
    if folds:
        for repeat in range(3):
            tested = [row_id for fold in made.folds if fold.repeat == repeat for row_id in fold.test]
            assert sorted(tested) == sorted(made.groups)
    assert made.named(made.folds[-1]) == (", repeat 3, fold 3" if folds else ", repeat 3")
    assert "3 times" in made.asked


def test_the_sizes_of_many_divisions_are_a_range(photoswitch):
    (made,) = build_splits(photoswitch, "random", test_size=0.2, folds=5, seed=0, repeats=5)
    assert made.sizes().endswith("in 25 divisions")
    assert split(photoswitch, "random").sizes().count("/") == 1


def test_twins_never_straddle(tmp_path):
    salts = [(s + ".Cl", 2 * i) for i, s in enumerate(SMILES)]
    rows = [*((s, i) for i, s in enumerate(SMILES)), *salts]
    table = build_table(read_table(str(write_table(tmp_path / "t.csv", rows))), smiles="SMILES", target="value")
    twins = dict(zip(table.frame["row_id"], twin_groups(table), strict=True))
    for seed in range(5):
        for fold in split(table, "random", seed=seed).folds:
            assert not {twins[i] for i in fold.train} & {twins[i] for i in fold.test}


def test_acyclic_molecules_are_their_own_scaffolds_and_reach_the_test_fold():
    about = card("freesolv")
    table = build_table(read_table(str(about.path)), smiles=about.smiles, target=about.target)
    acyclic = table.frame["scaffold"] == ""
    assert len(set(scaffold_groups(table)[acyclic])) == len(set(table.frame["twins"][acyclic]))
    for seed in range(3):
        facts = split_card(table, split(table, "scaffold", seed=seed))
        assert abs(facts["acyclic_test"] - facts["acyclic"]) <= 0.05


def test_scaffold_names_are_text_not_objects(photoswitch):
    assert all(isinstance(label, str) for label in scaffold_groups(photoswitch))
    assert len(set(scaffold_groups(photoswitch))) == 45


def test_classes_are_stratified_and_a_missing_class_is_an_error(tmp_path):
    rows = [(s, "ab"[i % 4 == 0]) for i, s in enumerate(SMILES)]
    table = build_table(read_table(str(write_table(tmp_path / "t.csv", rows))), smiles="SMILES", target="value")
    for fold in split(table, folds=4).folds:
        assert 2 <= (table.targets.loc[list(fold.test)] == "b").sum() <= 4
    lonely = [(s, "b" if i == 0 else "a") for i, s in enumerate(SMILES)]
    table = build_table(read_table(str(write_table(tmp_path / "u.csv", lonely))), smiles="SMILES", target="value")
    with pytest.raises(InputError, match="class 'b'"):
        split(table, folds=4)


def test_uneven_folds_are_said(photoswitch):
    assert "196" in split(photoswitch, "scaffold", folds=5).notes[0]


def test_fewer_groups_than_folds_is_one_line(photoswitch):
    with pytest.raises(InputError, match="50 folds need at least 50 groups; there are 45"):
        split(photoswitch, "scaffold", folds=50)


def test_a_splits_file_of_an_earlier_run_gives_the_same_split(tmp_path, photoswitch):
    first = split(photoswitch, "scaffold")
    write_csv(tmp_path / "splits.csv", first.frame())
    again = split(photoswitch, str(tmp_path / "splits.csv"))
    assert [set(f.test) for f in again.folds] == [set(f.test) for f in first.folds]
    assert again.groups == first.groups


def test_a_file_with_several_splits_gives_all_of_them(tmp_path, photoswitch):
    made = [split(photoswitch, name) for name in ("random", "scaffold")]
    write_csv(tmp_path / "splits.csv", pd.concat([one.frame() for one in made]))
    again = build_splits(photoswitch, str(tmp_path / "splits.csv"), test_size=0.2, folds=0, seed=9)
    assert [one.name for one in again] == ["random", "scaffold"]
    assert [set(one.folds[0].test) for one in again] == [set(one.folds[0].test) for one in made]


@pytest.mark.parametrize("name", ["fold:lab", "fold:lab=lab2"])
def test_folds_of_a_column_say_that_rows_count_one_by_one(tmp_path, name):
    """The same laboratories are few groups as ``group:``, and as many as there are molecules as ``fold:``."""
    rows = [(s, i, f"lab{i % 4}") for i, s in enumerate(SMILES)]
    path = write_table(tmp_path / "t.csv", rows, "SMILES,value,lab")
    table = build_table(read_table(str(path)), smiles="SMILES", target="value", keep=["lab"])
    (said,) = (note for note in split(table, name).notes if "one by one" in note)
    assert "not by 'lab'" in said
    assert "group:lab --folds 4 counts each as one" in said
    assert len(set(split(table, name).groups.values())) > 4 == len(set(split(table, "group:lab", 4).groups.values()))


@pytest.mark.parametrize(
    ("column", "value", "words"),
    [("role", "neither", "line 2"), ("fold", "x", "line 2: fold"), ("row_id", "nobody", "not in the table")],
)
def test_a_broken_splits_file_names_the_line(tmp_path, photoswitch, column, value, words):
    frame = split(photoswitch).frame().astype(str)
    frame.loc[0, column] = value
    write_csv(tmp_path / "splits.csv", frame)
    with pytest.raises(InputError, match=words):
        split(photoswitch, str(tmp_path / "splits.csv"))


def test_columns_can_be_the_split_or_the_group(tmp_path):
    rows = [(s, i, "test" if i % 5 == 0 else "train", f"lab{i % 7}") for i, s in enumerate(SMILES)]
    path = write_table(tmp_path / "t.csv", rows, "SMILES,value,role,lab")
    table = build_table(read_table(str(path)), smiles="SMILES", target="value", keep=["role", "lab"])
    assert len(split(table, "column:role").folds[0].test) == sum(i % 5 == 0 for i in range(len(SMILES)))
    assert any("test rows count one by one" in note for note in split(table, "column:role").notes)
    fold = split(table, "group:lab").folds[0]
    labs = table.cells["lab"]
    assert not set(labs.loc[list(fold.train)]) & set(labs.loc[list(fold.test)])


def test_an_unknown_split_names_the_nearest(photoswitch):
    with pytest.raises(InputError, match="did you mean 'scaffold'"):
        split(photoswitch, "scafold")


def test_fewer_training_rows_are_nested_and_leave_the_test_rows_alone(photoswitch):
    def made(**options):
        (split,) = build_splits(photoswitch, "random", test_size=0.2, folds=0, seed=1, **options)
        return split

    whole, small, large = made(), made(n_train=50), made(n_train=200)
    assert (len(small.folds[0].train), len(large.folds[0].train)) == (50, 200)
    assert set(small.folds[0].train) < set(large.folds[0].train) < set(whole.folds[0].train)
    assert small.folds[0].test == large.folds[0].test == whole.folds[0].test
    assert "50 of 306" in small.notes[-1]
    assert made(n_train=10_000).folds == whole.folds


def test_too_few_training_rows_for_the_classes_are_refused(tmp_path):
    rows = [(smiles, "rare" if number < 4 else "common") for number, smiles in enumerate(SMILES)]
    table = build_table(read_table(str(write_table(tmp_path / "t.csv", rows))), smiles="SMILES", target="value")
    with pytest.raises(InputError, match="no training row of class"):
        build_splits(table, "random", test_size=0.25, folds=0, seed=0, n_train=1)


# -- reactions -----------------------------------------------------------------------------------


@pytest.fixture
def reactions(couplings):
    from pipeline.reporter import Reporter
    from pipeline.runs.prepare import load_table
    from pipeline.settings.reading import make_config

    given = {"components": ["halide", "amine", "base", "solvent"], "yield": "yield", "split": ["group:halide"]}
    return load_table(make_config(str(couplings), given), Reporter())


def test_components_become_a_split_each(reactions):
    names = expand_names(["random", "components"], reactions)
    assert names == ["random", *(f"component:{name}" for name in ("halide", "amine", "base", "solvent"))]


@pytest.mark.parametrize("folds", [0, 2])
def test_a_tested_component_is_not_trained_on(reactions, folds):
    made = split(reactions, "component:halide", folds=folds)
    halide = reactions.cells["halide"]
    for fold in made.folds:
        assert not set(halide[list(fold.train)]) & set(halide[list(fold.test)])
    found = split_card(reactions, made)
    assert found["unseen"]["halide"] == 1.0
    assert found["unseen"]["amine"] == 0.0
    assert found["acyclic"] is None


@pytest.mark.parametrize("folds", [0, 2])
def test_a_tested_combination_is_not_trained_on_but_its_parts_are(reactions, folds):
    made = split(reactions, "component:halide+amine", folds=folds)
    pairs = reactions.cells["halide"] + " " + reactions.cells["amine"]
    for fold in made.folds:
        assert not set(pairs[list(fold.train)]) & set(pairs[list(fold.test)])
    assert len(set(made.groups.values())) == pairs.nunique()
    assert split_card(reactions, made)["unseen"] == dict.fromkeys(("halide", "amine", "base", "solvent"), 0.0)


def test_chosen_values_are_tested_however_they_are_written(reactions):
    made = split(reactions, "component:halide=c1(Br)ccccc1|Clc1ccccc1")
    (fold,) = made.folds
    halide = reactions.cells["halide"]
    assert set(halide[list(fold.test)]) == {"Brc1ccccc1", "Clc1ccccc1"}
    assert len(set(made.groups.values())) == 4
    (named,) = split(reactions, "component:solvent=toluene").folds
    assert len(named.test) == 24


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("component:halide=Fc1ccccc1", "no reaction has 'Fc1ccccc1' as 'halide'"),
        ("component:halide=C(", "unparsable"),
        ("component:halide+amin", "did you mean 'amine'"),
        ("component:halid", "did you mean 'halide'"),
        ("component:solvent=tolune", "did you mean 'toluene'"),
        ("scaffold", "for reactions use components"),
    ],
)
def test_a_component_that_is_not_there_is_said(reactions, name, words):
    with pytest.raises(InputError, match=words):
        split(reactions, name)


def test_component_splits_are_for_reactions(photoswitch):
    with pytest.raises(InputError, match="is for reactions"):
        expand_names(["components"], photoswitch)
    with pytest.raises(InputError, match="is for reactions"):
        split(photoswitch, "component:halide")


def test_a_published_division_counts_what_it_holds_out():
    """Five additives are tested, not nine hundred reactions."""
    from pipeline.reporter import Reporter
    from pipeline.runs.prepare import load_table
    from pipeline.settings.reading import make_config

    table = load_table(make_config("buchwald_hartwig", {"split": ["column:test1"]}), Reporter())
    made = split(table, "column:test1")
    assert not any("one by one" in note for note in made.notes)
    (fold,) = made.folds
    assert len(fold.train) + len(fold.test) == 3955
    assert len({made.groups[row_id] for row_id in fold.test}) == 5
    assert "additive" in made.notes[0]
