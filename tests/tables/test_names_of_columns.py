"""No name that a user gives a column takes the place of one of the program's own."""

from __future__ import annotations

import csv

import pytest

from pipeline.reporter import Reporter
from pipeline.runs.prepare import load_table, prepare
from pipeline.settings.reading import make_config
from pipeline.studies.negatives.experiment import with_product
from pipeline.tables.merging import FRAME_COLUMNS
from tests.conftest import SMILES, reaction_rows, write_table
from tests.studies.made import compared

pytestmark = pytest.mark.usefixtures("undrawn", "few_trees")

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


ALL_THE_WAY = ("target", "prediction", "split", "arm", "smiles", "structure", "row_id", "lower", "__damage__")


def table_with(tmp_path, name):
    rows = [(s, round(len(s) + 0.1, 2), "ab"[n % 2]) for n, s in enumerate(SMILES)]
    return str(write_table(tmp_path / "t.csv", rows, f"SMILES,y,{name}"))


def outcome_of(tmp_path, name, **options):
    given = {"smiles": "SMILES", "target": "y", "arms": "ridge", "out": str(tmp_path / "r"), **options}
    outcome = compared(prepare(make_config(table_with(tmp_path, name), given), Reporter()))
    shown = outcome.conclusion.predictions.sort_values(["split", "arm", "row_id"], ignore_index=True)
    return shown[["arm", "row_id", "truth", "prediction"]]


@pytest.fixture(scope="module")
def expected(tmp_path_factory):
    """What comes out under a name that the program has no use for, by context and by split."""
    folder = tmp_path_factory.mktemp("expected")
    return {
        "context": outcome_of(folder, "flavour", context="flavour", split="random"),
        "split": outcome_of(folder, "flavour", split="group:flavour"),
    }


@pytest.mark.parametrize("name", OWN)
def test_a_context_column_of_any_name_is_what_it_is_under_another_name(tmp_path, name):
    one, other = (
        load_table(make_config(table_with(tmp_path, n), {"smiles": "SMILES", "target": "y", "context": n}), Reporter())
        for n in ("flavour", name)
    )
    assert one.frame.equals(other.frame)
    assert one.column("flavour").tolist() == other.column(name).tolist()
    assert one.inputs.to_numpy().tolist() == other.inputs.to_numpy().tolist()
    assert len(set(other.inputs.columns)) == 2


@pytest.mark.parametrize("name", ALL_THE_WAY)
def test_a_context_column_of_any_name_gives_the_result_of_another_name(tmp_path, expected, name):
    assert outcome_of(tmp_path, name, context=name, split="random").equals(expected["context"])


@pytest.mark.parametrize(
    "name", ["scaffold", "identity", "twins", "bound", "spread", "row_id", "line", "target", "smiles"]
)
def test_a_split_column_of_any_name_gives_the_result_of_another_name(tmp_path, expected, name):
    assert outcome_of(tmp_path, name, split=f"group:{name}").equals(expected["split"])


def test_a_target_of_one_name_and_a_context_of_another_keep_their_cells(tmp_path):
    rows = [
        (text, ("Active", "Inactive")[number % 2], ("hERG", "CYP3A4")[number // 2 % 2])
        for number, text in enumerate(SMILES)
    ]
    path = write_table(tmp_path / "t.csv", rows, "SMILES,activity,target")
    table = load_table(make_config(str(path), {"target": "activity", "context": "target"}), Reporter())
    assert table.classes == ("Active", "Inactive")
    assert set(table.column("target")) == {"hERG", "CYP3A4"}


MORE = ("agents", "products", "smiles", "success")


@pytest.mark.parametrize(
    "name",
    ["reactants", "product", "yield ", "target", *(pytest.param(name, marks=pytest.mark.slow) for name in MORE)],
)
def test_the_columns_of_reactions_may_have_any_name(tmp_path, name):
    path = tmp_path / "t.csv"
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["rxn", "Y", name])
        writer.writerows([(row[4], row[5], "ab"[number % 2]) for number, row in enumerate(reaction_rows())])
    given = {"reaction": "rxn", "yield": "Y", "context": name.strip(), "arms": "popularity", "split": "random"}
    outcome = compared(prepare(make_config(str(path), {**given, "out": str(tmp_path / "r")}), Reporter()))
    assert len(outcome.context.table) == 48
    assert set(outcome.context.table.column(name.strip())) == {"a", "b"}
    assert set(with_product(outcome.context.table).column(name.strip())) == {"a", "b"}
    assert len(set(outcome.context.table.inputs.columns)) == outcome.context.table.inputs.shape[1]
