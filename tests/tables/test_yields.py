"""Yields and other properties of reactions as chemists write them: no failure is thrown away, nothing is guessed."""

from __future__ import annotations

import numpy as np
import pytest
from rdkit.Chem import rdChemReactions

from pipeline.arms.ladder import GROUPS
from pipeline.errors import InputError
from pipeline.features.similarity import row_bits
from pipeline.features.structures import differential_bits
from pipeline.models.fitting import fit_model
from pipeline.models.folder import load_model
from pipeline.models.predicting import predict_file
from pipeline.reporter import Reporter
from pipeline.runs.audit import audit_lines, audit_table, notation_leak
from pipeline.runs.prepare import load_table, prepare
from pipeline.settings.reading import make_config
from pipeline.studies.negatives.decoys import exchanged
from pipeline.tables.kinds import MOLECULES, REACTIONS
from pipeline.tables.reactions import is_reaction, reaction_roles, split_reaction
from pipeline.tables.table import STRUCTURE
from pipeline.tables.yields import plain_word, words_of_failure
from tests.studies.made import compared

pytestmark = pytest.mark.usefixtures("undrawn", "few_trees")

DATIVE = ("[NH3]->[Pd](<-[NH3])([Cl])[Cl]", "O=C([O-]->[K+])c1ccccc1", "C[O-]->[Na+]")


def written(tmp_path, cells, name="yield"):
    rows = [f"{'C' * (1 + number)}Br,CN,{'C' * (1 + number)}NC,{cell}" for number, cell in enumerate(cells)]
    path = tmp_path / "t.csv"
    path.write_text("\n".join([f"halide,amine,product,{name}", *rows]) + "\n", encoding="utf-8")
    return path


def built(path, target="yield", **options):
    given = {"components": "halide,amine,product", target: options.pop("column", "yield"), **options}
    return load_table(make_config(str(path), given), Reporter())


def value_of(tmp_path, cell, **options):
    table = built(written(tmp_path, [cell, *range(3, 40)]), **options)
    row = table.frame[table.frame["line"] == 2]
    return (row["target"].iloc[0], row["bound"].iloc[0]) if len(row) else None


@pytest.mark.parametrize(
    ("cell", "value"),
    [
        ("45%", (45, "")),
        ("45 %", (45, "")),
        ("<5", (5, "<")),
        (">95", (95, ">")),
        ("21 (NMR)", (21, "")),
        ("~20", (20, "")),
        ("trace", (0, "")),
        ("Traces", (0, "")),
        ("NR", (0, "")),
        ("n.r.", (0, "")),
        ("no reaction", (0, "")),
        ("decomposed", (0, "")),
        ("trace (GC)", (0, "")),
        ("quant.", (100, "")),
        ("n.d.", None),
        ("ND", None),
        ("good", None),
        ("", None),
    ],
)
def test_a_yield_is_read_as_a_chemist_means_it(tmp_path, cell, value):
    assert value_of(tmp_path, cell) == value


def test_rules_are_said_and_counted_and_open_words_asked_about(tmp_path):
    table = built(written(tmp_path, ["trace", "trace", "NR", "n.d.", "<5", *range(3, 40)]))
    text = "\n".join(audit_lines(audit_table(table)))
    assert "'trace' is read as a yield of 0 (--failure-words changes the list): 2 rows" in text
    assert "'nr' is read as a yield of 0 (--failure-words changes the list): 1 row" in text
    assert "1 rows of 'yield' say n.d." in text
    assert table.refused["reason"].str.contains("not determined or not detected").sum() == 1
    assert (table.frame["yield"] == 0).sum() == 3


def test_the_words_for_failure_are_the_users(tmp_path):
    assert value_of(tmp_path, "n.d.", failure_words="+n.d.") == (0, "")
    assert value_of(tmp_path, "trace", failure_words="+n.d.") == (0, "")
    assert value_of(tmp_path, "trace", failure_words="dead") is None
    assert words_of_failure(("dead",)) == {"dead"}
    assert plain_word(" N.R. (24 h)") == "nr"


@pytest.mark.parametrize(("bounds", "value"), [("refuse", None), ("limit", (5, "<")), ("censored", (5, "<"))])
def test_bounds_of_yields_follow_the_option(tmp_path, bounds, value):
    assert value_of(tmp_path, "<5", bounds=bounds) == value


@pytest.mark.parametrize(
    ("cell", "outcome"), [("<5", "failure"), (">95", "success"), ("<20", "failure"), ("<50", None), (">10", None)]
)
def test_a_bound_is_an_outcome_where_it_tells_one(tmp_path, cell, outcome):
    found = value_of(tmp_path, cell, success=20.0)
    assert (found and found[0]) == outcome


def test_a_column_in_two_units_is_refused(tmp_path):
    mixed = [0.15 + 0.02 * number for number in range(20)] + [15 + 3 * number for number in range(20)]
    with pytest.raises(InputError, match="fractions of 1 in some rows and percentages in others"):
        built(written(tmp_path, mixed))
    with pytest.raises(InputError, match="in some rows"):
        built(written(tmp_path, [f"{value}%" for value in range(20, 40)] + [0.2 + 0.02 * n for n in range(20)]))
    real = np.concatenate([np.geomspace(0.1, 1, 10), np.geomspace(1, 10, 20), np.linspace(10, 100, 30)])
    assert len(built(written(tmp_path, np.round(real, 2)))) == 60


def test_small_percentages_with_three_decimals_are_no_thousands(tmp_path):
    table = built(written(tmp_path, [*range(3, 30), "12.345", "99.125"]))
    assert table.frame["yield"].max() == 99.125


# -- other properties --


BARRIERS = [round(-2.1 + 0.11 * number, 2) for number in range(40)]


def test_a_target_that_is_no_yield_keeps_its_negative_values(tmp_path):
    table = built(written(tmp_path, BARRIERS, "ddG"), "target", column="ddG", units="kcal/mol")
    assert len(table) == 40
    assert table.targets.min() == -2.1
    assert (table.units, table.property_name) == ("kcal/mol", "ddG")
    assert "yield" not in table.frame
    assert "Zero yields" not in "\n".join(audit_lines(audit_table(table)))


@pytest.mark.parametrize(
    ("arms", "expected"),
    [
        ("components-rf", {"mean", "popularity", "components-rf"}),
        pytest.param("baselines", set(GROUPS[REACTIONS]["baselines"]), marks=pytest.mark.slow),
    ],
)
def test_a_table_of_selectivities_works_from_run_to_predict(tmp_path, arms, expected):
    path = written(tmp_path, BARRIERS, "ddG")
    given = {"components": "halide,amine,product", "target": "ddG", "units": "kcal/mol", "split": "random,label-low"}
    config = make_config(str(path), {**given, "arms": arms, "out": str(tmp_path / "run")})
    outcome = compared(prepare(config, Reporter()))
    assert set(outcome.conclusion.metrics["arm"]) >= expected
    fit_model(config, "components-rf", Reporter()).save(tmp_path / "model")
    summary = predict_file(load_model(tmp_path / "model"), str(path), tmp_path / "out.csv", Reporter(), workers=1)
    assert summary.predicted == 40
    assert load_model(tmp_path / "model").about["units"] == "kcal/mol"


@pytest.mark.parametrize("options", [{"success": 20.0}, {"failure_words": "trace"}])
def test_options_of_yields_are_refused_for_other_properties(tmp_path, options):
    with pytest.raises(InputError, match="about yields"):
        built(written(tmp_path, BARRIERS, "ddG"), "target", column="ddG", **options)


def test_classes_of_reactions_are_a_target_too(tmp_path):
    table = built(written(tmp_path, ["R", "S"] * 20, "major"), "target", column="major")
    assert table.classes == ("R", "S")


# -- dative bonds --


@pytest.mark.parametrize("agent", DATIVE)
def test_a_reaction_with_dative_bonds_is_split_as_rdkit_splits_it(agent):
    text = f"Brc1ccccc1.CN>{agent}.CC>CNc1ccccc1"
    reaction = rdChemReactions.ReactionFromSmarts(text, useSmiles=True)
    counts = (reaction.GetNumReactantTemplates(), reaction.GetNumAgentTemplates(), reaction.GetNumProductTemplates())
    assert tuple(len(part.split(".")) for part in split_reaction(text)) == counts
    roles = reaction_roles(text)
    assert ">".join(roles.values()).count(agent) == 1
    assert differential_bits([">".join(roles.values())]).shape == (1, 2048)


def test_a_molecule_with_a_dative_bond_is_no_reaction():
    assert not is_reaction(DATIVE[0])
    assert is_reaction("CC>>CO")
    assert row_bits([DATIVE[0], "CC"], MOLECULES).shape == (2, 2048)


def test_spaces_around_the_arrow_and_extensions_are_passed_over():
    assert (
        reaction_roles("CBr.CN >> CNC") == reaction_roles("CBr . CN>>CNC |f:0.1|") == reaction_roles("CBr.CN>>CNC name")
    )


def test_a_table_with_dative_bonds_loses_no_row_and_predicts_them(tmp_path):
    rows = [f"{'C' * (1 + n)}Br,CN,{DATIVE[n % 3]},{'C' * (1 + n)}NC,{n + 0.5}" for n in range(30)]
    path = tmp_path / "t.csv"
    path.write_text("\n".join(["halide,amine,catalyst,product,yield", *rows]) + "\n", encoding="utf-8")
    config = make_config(str(path), {"components": "halide,amine,catalyst,product", "yield": "yield"})
    table = load_table(config, Reporter())
    assert (len(table), len(table.refused)) == (30, 0)
    model = fit_model(config, "drfp-rf", Reporter())
    new = tmp_path / "new.csv"
    new.write_text(
        f"halide,amine,catalyst,product\nCBr,CN,{DATIVE[0]},CNC\nCBr,CN,,CNC\nCBr,CN,C->,CNC\n", encoding="utf-8"
    )
    summary = predict_file(model, str(new), tmp_path / "out.csv", Reporter(), workers=1)
    assert (summary.rows, summary.predicted) == (3, 2)


def test_a_reaction_with_exchanged_components_keeps_its_dative_bond():
    written = {STRUCTURE: f"CBr.{DATIVE[0]}>>CNC", "halide": "CBr", "catalyst": DATIVE[0], "product": "CNC"}
    made = exchanged(written, written | {"halide": "CI"}, ["halide", "catalyst", "product"])
    assert split_reaction(made) == [f"{min('CI', DATIVE[0])}.{max('CI', DATIVE[0])}", "", "CNC"]
    assert exchanged(written, written | {"catalyst": ""}, ["halide", "catalyst"]) == "CBr>>CNC"
    without = exchanged(written, written | {"catalyst": ""}, ["catalyst"])
    assert exchanged(written | {STRUCTURE: without, "catalyst": ""}, written, ["catalyst"]) == written[STRUCTURE]


# -- the notation --


def test_names_of_components_are_no_leak_of_the_notation(tmp_path):
    """The name alone decides the yield; both texts that are compared hold it."""
    names = ["XPhos", "SPhos", "none at all"]
    rows = [f"{'C' * (1 + n)}Br,CN,{names[n % 3]},{30 * (n % 3) + n * 0.1:.1f}" for n in range(45)]
    path = tmp_path / "t.csv"
    path.write_text("\n".join(["halide,amine,ligand,yield", *rows]) + "\n", encoding="utf-8")
    table = load_table(make_config(str(path), {"components": "halide,amine,ligand:name", "yield": "yield"}), Reporter())
    leak = notation_leak(table)
    assert leak["given"] == pytest.approx(leak["canonical"], abs=0.05)
    assert leak["given"] > 0.2


def test_a_yield_beyond_its_range_is_a_refused_row(tmp_path):
    assert value_of(tmp_path, "140") is None
    assert value_of(tmp_path, "140%") is None
