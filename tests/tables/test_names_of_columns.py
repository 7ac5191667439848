"""No name that a user gives a column takes the place of one of the program's own."""

from __future__ import annotations

import csv

import pytest

from pipeline.config import make_config
from pipeline.experiment import execute, load_table, prepare
from pipeline.failure_modes.negatives import with_product
from pipeline.reporter import Reporter
from pipeline.tables.table import FRAME_COLUMNS
from tests.conftest import SMILES, reaction_rows, write_table

OWN = sorted(
    {
        *FRAME_COLUMNS,
        *(
            "target",
            "twins",
            "yield",
            "structure",
            "prediction",
            "truth",
            "split",
            "repeat",
            "fold",
            "seed",
            "arm",
            "role",
        ),
        *(
            "group",
            "problem",
            "in_domain",
            "lower",
            "upper",
            "cell_id",
            "dataset",
            "smiles",
            "index",
            "line",
            "success",
        ),
        *("reactants", "agents", "products", "product", "column", "value", "reason", "(context)", "__damage__"),
    }
)


def outcome_of(tmp_path, name, **options):
    path = write_table(
        tmp_path / "t.csv", [(s, round(len(s) + 0.1, 2), "ab"[n % 2]) for n, s in enumerate(SMILES)], f"SMILES,y,{name}"
    )
    given = {
        "smiles": "SMILES",
        "target": "y",
        "arms": "knn,ridge",
        "out": str(tmp_path / name.strip("_()")),
        **options,
    }
    outcome = execute(prepare(make_config(str(path), given), Reporter()))
    keys = ["split", "arm", "row_id"]
    shown = outcome.predictions.sort_values(keys, ignore_index=True)[["arm", "row_id", "truth", "prediction"]]
    return outcome, shown


@pytest.mark.parametrize("name", OWN)
def test_a_context_column_of_any_name_gives_the_result_of_another_name(tmp_path, name):
    _, expected = outcome_of(tmp_path, "flavour", context="flavour", split="random")
    outcome, found = outcome_of(tmp_path, name, context=name, split="random")
    assert found.equals(expected)
    assert set(outcome.table.column(name)) == {"a", "b"}


@pytest.mark.parametrize(
    "name", ["scaffold", "inchikey", "twins", "bound", "spread", "row_id", "line", "target", "smiles"]
)
def test_a_split_column_of_any_name_gives_the_result_of_another_name(tmp_path, name):
    _, expected = outcome_of(tmp_path, "flavour", split="group:flavour")
    _, found = outcome_of(tmp_path, name, split=f"group:{name}")
    assert found.equals(expected)


def test_a_target_of_one_name_and_a_context_of_another_keep_their_cells(tmp_path):
    rows = [
        (text, ("Active", "Inactive")[number % 2], ("hERG", "CYP3A4")[number // 2 % 2])
        for number, text in enumerate(SMILES)
    ]
    path = write_table(tmp_path / "t.csv", rows, "SMILES,activity,target")
    table = load_table(make_config(str(path), {"target": "activity", "context": "target"}), Reporter())
    assert table.classes == ("Active", "Inactive")
    assert set(table.column("target")) == {"hERG", "CYP3A4"}


@pytest.mark.parametrize(
    "name", ["reactants", "agents", "products", "product", "smiles", "yield ", "success", "target"]
)
def test_the_columns_of_reactions_may_have_any_name(tmp_path, name):
    path = tmp_path / "t.csv"
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["rxn", "Y", name])
        writer.writerows([(row[4], row[5], "ab"[number % 2]) for number, row in enumerate(reaction_rows())])
    given = {"reaction": "rxn", "yield": "Y", "context": name.strip(), "arms": "popularity", "split": "random"}
    outcome = execute(prepare(make_config(str(path), {**given, "out": str(tmp_path / "r")}), Reporter()))
    assert len(outcome.table) == 48
    assert set(outcome.table.column(name.strip())) == {"a", "b"}
    assert set(with_product(outcome.table).column(name.strip())) == {"a", "b"}
    assert len(set(outcome.table.inputs.columns)) == outcome.table.inputs.shape[1]
