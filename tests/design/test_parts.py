"""What is wanted, what counts as a new molecule, and how molecules are proposed."""

from __future__ import annotations

import numpy as np
import pytest
from rdkit import Chem
from rdkit.Chem import Crippen

from pipeline.design.findings import share
from pipeline.errors import InputError
from pipeline.proposing.constraints import Constraints, sa_score
from pipeline.proposing.drawing import INVALID, KNOWN, NEW, REPEATED, UNWANTED, Sieve
from pipeline.proposing.goals import BEYOND, EDGE, asked_goal, control_goals
from pipeline.proposing.measures import diversity, frechet_distance
from pipeline.proposing.strategies import STALE, drawn_from, evolve, recombined
from pipeline.tables.molecules import molecule_identity
from pipeline.tables.scales import Scale
from tests.conftest import SMILES

VALUES = np.linspace(0.0, 10.0, 101)
KNOWN_ONES = [Chem.CanonSmiles(text) for text in SMILES]


def identities(smiles):
    return {molecule_identity(text) for text in smiles}


@pytest.mark.parametrize(
    ("want", "low", "high"),
    [
        ("2.0", 1.5, 2.5),
        ("2 eV", 1.5, 2.5),
        ("1.8 to 2.2", 1.8, 2.2),
        ("2.2..1.8", 1.8, 2.2),
        (">4", 4.0, np.inf),
        ("<= 3 eV", -np.inf, 3.0),
        ("-0.5", -1.0, 0.0),
    ],
)
def test_what_is_wanted_is_read_as_it_is_written(want, low, high):
    goal = asked_goal(want, 0.5, VALUES, Scale(units="eV"))
    assert (goal.low, goal.high) == pytest.approx((low, high))
    assert goal.low <= goal.stated <= goal.high


@pytest.mark.parametrize(
    ("want", "said"),
    [
        ("warm", "expected a value"),
        ("2 nm", "cannot be converted"),
        ("2 (eV)", "is no unit"),
        ("1e6", "between 0 and 10 eV"),
        ("1e999", "too large"),
        ("<1e5", "every molecule of the table"),
        ("", "expected a value"),
    ],
)
def test_a_wish_without_sense_is_one_line(want, said):
    with pytest.raises(InputError, match=said) as error:
        asked_goal(want, 0.0, VALUES, Scale(units="eV"))
    assert "\n" not in str(error.value)


def test_units_of_a_table_without_any_cannot_be_asked_for():
    with pytest.raises(InputError, match="no units"):
        asked_goal("2 eV", 0.0, VALUES, Scale())


POTENCIES = np.linspace(4.0, 9.0, 51)


@pytest.mark.parametrize(
    ("want", "tolerance", "low", "high", "stated"),
    [
        ("7", 0.5, 6.5, 7.5, 7.0),
        ("100 nM", 0.0, 6.6, 7.4, 7.0),
        ("100 nM", 90.0, 9 - np.log10(190), 8.0, 7.0),
        ("0.1 µM", 0.09, 9 - np.log10(190), 8.0, 7.0),
        ("10 nM", 20.0, 9 - np.log10(30), np.inf, 8.0),
        ("10 to 100 nM", 0.0, 7.0, 8.0, 7.5),
        ("<100 nM", 0.0, 7.0, np.inf, 8.0),
        (">100 nM", 0.0, -np.inf, 7.0, 5.5),
        (">8", 0.0, 8.0, np.inf, 8.5),
    ],
)
def test_a_value_with_units_is_one_of_the_column_and_a_bound_turns_with_the_scale(want, tolerance, low, high, stated):
    goal = asked_goal(want, tolerance, POTENCIES, Scale("pIC50", "nM"))
    assert (goal.low, goal.high, goal.stated) == pytest.approx((low, high, stated), abs=0.05)


def test_a_tolerance_is_in_the_units_of_the_value():
    goal = asked_goal("2000 meV", 500.0, VALUES, Scale(units="eV"))
    assert (goal.low, goal.high) == pytest.approx((1.5, 2.5))


def test_a_value_without_a_logarithm_is_one_line():
    with pytest.raises(InputError, match="there is no logarithm of -5"):
        asked_goal("-5 nM", 0.0, POTENCIES, Scale("pIC50", "nM"))


def test_controls_lie_at_the_edge_of_the_table_and_beyond_it_on_the_other_side():
    for want, sign in (("2", 1), ("8", -1)):
        edge, beyond = control_goals(asked_goal(want, 0.5, VALUES, Scale()), VALUES)
        assert (edge.name, beyond.name) == (EDGE, BEYOND)
        assert 0 <= edge.stated <= 10
        assert (beyond.stated > 10) if sign > 0 else (beyond.stated < 0)
        assert not beyond.is_hit(VALUES).any()
        assert edge.high - edge.low == pytest.approx(1.0)


def test_a_value_that_is_not_known_is_no_hit_and_infinitely_far():
    goal = asked_goal("2", 0.5, VALUES, Scale())
    assert goal.is_hit(np.array([2.0, np.nan, 3.0])).tolist() == [True, False, False]
    assert goal.distance(np.array([2.0, np.nan, 3.0])).tolist() == [0.0, np.inf, 0.5]


def test_a_sieve_tells_new_molecules_from_known_repeated_and_none():
    sieve = Sieve(identities(["CCO"]), Constraints(elements=("C", "O")))
    written = ["C(C)O", "CCCO", "OCCC", "CCN", "C1CC", "", "CO.C"]
    found = [sieve.read(text)["status"] for text in written]
    assert found == [KNOWN, NEW, REPEATED, UNWANTED, INVALID, INVALID, UNWANTED]


def test_a_tautomer_of_a_known_or_written_molecule_is_no_other_one():
    sieve = Sieve(identities(["CC(N)=O"]), Constraints(), seen=identities(["Oc1ccccn1"]))
    assert [sieve.read(text)["status"] for text in ("CC(O)=N", "CC(=O)N", "O=c1cccc[nH]1")] == [
        KNOWN,
        REPEATED,
        REPEATED,
    ]


def test_selfies_are_read_where_they_are_written():
    assert Sieve(set(), Constraints(), "SELFIES").read("[C][C][O]")["smiles"] == "CCO"


@pytest.mark.parametrize(
    ("asked", "smiles", "why"),
    [
        ({"contains": ("N=N",)}, "c1ccccc1", "does not contain N=N"),
        ({"contains": ("N=N",)}, "CN=NC", ""),
        ({"max_weight": 50.0}, "c1ccccc1", "heavier than 50"),
        ({"elements": ("C", "F")}, "CCl", "contains Cl"),
        ({"alerts": ("PAINS",)}, "O=C1C=CC(=O)C=C1", "PAINS alert"),
        ({"max_sa": 1.1}, "CC1(C)C2CCC1(C)C(=O)C2", "SA score"),
    ],
)
def test_a_constraint_says_why_a_molecule_is_not_wanted(asked, smiles, why):
    said = Constraints(**asked).why_not(Chem.CanonSmiles(smiles))
    assert said.startswith(why)
    assert bool(said) is bool(why)


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"contains": ("c1ccc",)}, "is no SMARTS"),
        ({"elements": ("C", "Qq")}, "is no element"),
        ({"alerts": ("PAIN",)}, "did you mean 'PAINS'"),
    ],
)
def test_a_constraint_that_cannot_be_read_is_one_line(asked, said):
    with pytest.raises(InputError, match=said):
        Constraints(**asked)


def test_an_easy_molecule_has_a_low_sa_score():
    assert 1 <= sa_score("c1ccccc1") < 2 < sa_score("CC12CCC3C(CCC4=CC(=O)CCC43C)C1CCC2O") <= 10


def test_equal_sets_are_at_no_distance_and_equal_molecules_not_diverse():
    assert frechet_distance(KNOWN_ONES, KNOWN_ONES) == pytest.approx(0.0, abs=1e-3)
    assert frechet_distance(KNOWN_ONES[:24], KNOWN_ONES[24:]) > 0.1
    assert np.isnan(frechet_distance(KNOWN_ONES[:5], KNOWN_ONES))
    assert diversity(["CCO", "CCO"]) == pytest.approx(0.0)
    assert 0 < diversity(KNOWN_ONES) < 1
    assert np.isnan(diversity(["CCO"]))


def test_molecules_drawn_from_the_table_do_not_repeat():
    drawn = drawn_from(KNOWN_ONES, 20, np.random.default_rng(0))
    assert len(set(drawn)) == 20
    assert set(drawn) <= set(KNOWN_ONES)
    assert len(drawn_from(KNOWN_ONES, 1_000, np.random.default_rng(0))) == len(KNOWN_ONES)


ESTERS = ["CCOC(=O)c1ccccc1", "CNC(=O)c1ccncc1", "COc1ccccc1CN", "CCN(C)C(=O)CCc1ccccc1", "COC(=O)CCN"]


def test_fragments_are_recombined_to_new_molecules_the_same_for_the_same_seed():
    made = [draw["smiles"] for draw in recombined(ESTERS, Sieve(identities(ESTERS), Constraints()), 30, 0)]
    assert len(set(made)) == len(made) >= 20
    assert all(Chem.MolFromSmiles(text) is not None for text in made)
    assert not set(made) & {Chem.CanonSmiles(text) for text in ESTERS}
    again = [draw["smiles"] for draw in recombined(ESTERS, Sieve(identities(ESTERS), Constraints()), 30, 0)]
    assert again == made
    assert recombined(["C"], Sieve(set(), Constraints()), 5, 0) == []


def logp(smiles):
    return np.array([Crippen.MolLogP(Chem.MolFromSmiles(text)) for text in smiles])


def test_the_genetic_algorithm_comes_nearer_to_a_value_that_can_be_computed():
    goal = asked_goal("4.5", 0.1, logp(KNOWN_ONES), Scale())
    start = [(-away, text) for away, text in zip(goal.distance(logp(KNOWN_ONES)), KNOWN_ONES, strict=True)]

    def run():
        found = []

        def told(generation, fresh, values):
            found.extend(zip([draw["smiles"] for draw in fresh], goal.distance(values), strict=True))
            return len(found) >= 100

        evolve(start, goal, Sieve(identities(KNOWN_ONES), Constraints()), logp, 10, 0, told)
        return found

    found = run()
    assert len({text for text, _ in found}) == len(found) >= 100
    assert np.median([away for _, away in found[-30:]]) < np.median([away for _, away in found[:30]])
    assert run() == found


def test_the_genetic_algorithm_ends_where_nothing_new_is_allowed():
    generations = []
    start = [(0.0, text) for text in KNOWN_ONES[:10]]
    goal = asked_goal("2", 0.5, VALUES, Scale())
    nothing = Sieve(set(), Constraints(contains=("[U]",)))
    evolve(start, goal, nothing, logp, 5, 0, lambda *told: generations.append(told))
    assert generations == []
    assert STALE


def test_a_share_of_one_run_has_the_interval_of_its_trials_and_of_several_that_over_runs():
    one, several = share([(30, 100)]), share([(10, 100), (30, 100), (50, 100)])
    assert one.value == several.value == pytest.approx(0.3)
    assert one.error == pytest.approx(np.sqrt(0.304 * 0.696 / 100), rel=0.01)
    assert several.error == pytest.approx(0.2 / np.sqrt(3))
    assert several.degrees == 2
    assert share([(0, 20)]).error > 0
    assert np.isnan(share([]).value)
    assert np.isnan(share([(0, 0)]).value)
