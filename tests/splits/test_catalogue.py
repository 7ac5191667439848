"""Every row of the catalogue of splits is complete and makes a split of a small table."""

from __future__ import annotations

import pytest

from pipeline.errors import InputError
from pipeline.reporter import Reporter
from pipeline.runs.prepare import load_table
from pipeline.settings.reading import make_config
from pipeline.splits.build import build_splits
from pipeline.splits.card import split_card
from pipeline.splits.catalogue import FORMS, RUNGS, expand_names, makes_folds, rung_of
from pipeline.tables.kinds import COMPOSITIONS, KINDS, MOLECULES, REACTIONS
from pipeline.tables.targets import CLASSES, REGRESSION
from tests.conftest import FORMULAS, SMILES, reaction_rows, write_table

ROWS = list(RUNGS.values())
BEHIND = {"SIMILARITY": "0.5", "BOUND": "0.6", "COLUMN": "part", "COLUMN[=VALUE]": "halide", "SYMBOL": "O"}


def named(row):
    """A name as a user may give it."""
    value = {"time": "year", "column": "role", "fold": "part"}.get(row.name, BEHIND.get(row.behind, ""))
    return f"{row.name}:{value}" if value else row.name


@pytest.fixture(scope="module")
def tables(tmp_path_factory):
    folder = tmp_path_factory.mktemp("splits")
    rows = [
        (s, len(s), "ab"[i % 2], f"p{i % 7}", 2000 + i, "test" if i % 5 == 0 else "train") for i, s in enumerate(SMILES)
    ]
    write_table(folder / "molecules.csv", rows, "SMILES,value,class,part,year,role")
    write_table(folder / "reactions.csv", reaction_rows(), "halide,amine,base,solvent,rxn,yield")
    of_formulas = [(f, len(f) + i % 3, *rows[i][2:]) for i, f in enumerate(FORMULAS)]
    write_table(folder / "compositions.csv", of_formulas, "formula,value,class,part,year,role")

    def table(kind, task):
        split = ["random"] if kind == REACTIONS else ["group:part", "time:year", "column:role"]
        given = {"split": split, "out": "unused"}
        if kind != REACTIONS:
            columns = {"smiles": "SMILES"} if kind == MOLECULES else {"composition": "formula"}
            given |= {**columns, "target": "value" if task == REGRESSION else "class"}
        else:
            given |= {"components": ["halide", "amine", "base"], "target": "yield", "yield_unit": "percent"}
        return load_table(make_config(str(folder / f"{kind}.csv"), given), Reporter())

    return {
        (kind, task): table(kind, task)
        for kind, task in (
            (MOLECULES, REGRESSION),
            (MOLECULES, CLASSES),
            (REACTIONS, REGRESSION),
            (COMPOSITIONS, REGRESSION),
        )
    }


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_a_row_is_complete(row):
    assert row.does
    assert not row.does.endswith(".")
    makers = [row.groups, row.edge, row.stands_for]
    assert len([one for one in makers if one]) == (0 if row.name in ("column", "fold") else 1)
    assert set(row.kinds) <= set(KINDS.values())
    assert set(row.tasks) <= {REGRESSION, CLASSES}
    assert set(row.forms) <= set(FORMS)
    assert rung_of(named(row))[0] is row
    assert makes_folds(named(row)) == (row.groups is not None)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_it_splits_the_tables_that_it_is_for_and_refuses_others(row, tables):
    for (kind, task), table in tables.items():
        name = named(row)
        if (row.behind == "COLUMN" or row.name == "fold") and kind == REACTIONS:
            continue  # these columns are of the other table
        if kind not in row.kinds or task not in row.tasks:
            with pytest.raises(InputError, match=r"is for (molecules|reactions|compositions|numbers)"):
                [build_splits(table, one, test_size=0.25, folds=0, seed=0) for one in expand_names([name], table)]
            continue
        for one in expand_names([name], table):
            for made in build_splits(table, one, test_size=0.25, folds=0, seed=0):
                assert all(fold.train and fold.test for fold in made.folds)
                assert split_card(table, made)["name"] == made.name
                rung = RUNGS[one.partition(":")[0]]
                assert (made.order is not None) == (rung.edge is not None and rung.name != "element")


@pytest.mark.parametrize("name", ["group:", "time", "scaffold:0.4", "component", "ladder:2", "similarity:"])
def test_what_stands_behind_the_colon_is_checked(name):
    with pytest.raises(InputError, match="unknown split"):
        rung_of(name)
