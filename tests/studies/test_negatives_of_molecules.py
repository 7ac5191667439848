"""Negatives of molecules: what is drawn, what must be found, and what must not be looked at."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from pipeline.cells.executors import Executor
from pipeline.cells.store import Store
from pipeline.errors import InputError
from pipeline.features.structures import matched_properties, morgan_bits, tanimoto
from pipeline.reporter import Reporter
from pipeline.runs.budget import fit_budget
from pipeline.runs.context import Machine, settled
from pipeline.runs.estimates import Probe
from pipeline.settings.reading import make_config
from pipeline.studies.failure import UNTOLD
from pipeline.studies.negatives import study
from pipeline.studies.negatives.molecules import work
from pipeline.studies.negatives.molecules.experiment import (
    ALL_ROWS,
    ALONE,
    BAGGING,
    DECOYS,
    DOSE,
    ELKAN_NOTO,
    EQUAL,
    MATCHED,
    ONE_CLASS,
    PERMUTED,
    PROPERTIES,
    RANDOM,
    TRUE,
    UNLABELLED,
    Training,
    experiments,
)
from pipeline.studies.negatives.molecules.findings import FLATTERY, LOST, Findings
from pipeline.studies.negatives.molecules.pool import nearest_in_properties, pool_of, sources
from pipeline.studies.negatives.molecules.words import _of_properties, failures, sentences
from pipeline.studies.negatives.settings import NegativesSettings
from pipeline.tables.catalogue import card
from pipeline.tables.kinds import MOLECULES, REACTIONS
from pipeline.tables.molecules import canonical_smiles, parse_molecule, with_bonded
from tests.conftest import FORMULAS, write_table
from tests.test_run import chemtune

pytestmark = pytest.mark.usefixtures("few_trees")

LINKS = ("O", "S", "C(=O)", "C(=O)O", "C(Cl)", "SC", "C(F)", "C(C)(C)", "OCO")
ENDS = ("", "F", "O", "Cl", "C(C)C", "C#N")
CHAINS = [
    f"{'C' * a}{link}{'C' * b}{end}" for a in (2, 3, 4, 5) for b in (1, 2, 3, 4) for link in LINKS for end in ENDS
]


def universe() -> list[str]:
    """Molecules of which none is a variant of another, none with a nitrogen in an amine."""
    found: dict[str, str] = {}
    for text in CHAINS:
        found.setdefault(with_bonded(text)[1], text)
    return list(found.values())


UNIVERSE = universe()


def amine(text: str) -> str:
    return f"N{text}"


def tables(folder, positives, negatives, pool):
    """A table of two classes and a file of other structures."""
    table = write_table(folder / "two.csv", [(s, "yes") for s in positives] + [(s, "no") for s in negatives])
    return table, write_table(folder / "pool.csv", [(s, 0) for s in pool])


def parts_of(seed, *sizes):
    """Disjoint draws of the universe."""
    order, found, start = np.random.default_rng(seed).permutation(UNIVERSE), [], 0
    for size in sizes:
        found.append([str(text) for text in order[start : start + size]])
        start += size
    return found


def exchangeable(folder, seed):
    """Positives with an amine; negatives and the pool are draws of the same molecules."""
    positives, negatives, pool = parts_of(seed, 70, 70, 200)
    return tables(folder, [amine(text) for text in positives], negatives, pool)


def apart(folder, seed):
    """Positives with an amine and negatives without; the pool has bromine as well, which gives it away."""
    positives, negatives, pool = parts_of(seed, 70, 70, 200)
    return tables(folder, [amine(text) for text in positives], negatives, [f"NC(Br){text}" for text in pool])


def dealt(folder, seed):
    """Classes that no structure tells; the pool is given away by bromine."""
    positives, negatives, pool = parts_of(seed, 70, 70, 200)
    return tables(folder, positives, negatives, [f"Br{text}" for text in pool])


def context_of(files, given=None, reporter=None, **settings):
    table, pool = files
    run = {"smiles": "SMILES", "target": "value", "out": str(table.parent / "out"), "test_size": 0.4} | (given or {})
    chosen = {"arms": ("knn",), "doses": (40.0, 100.0), "seeds": 2, "pool": str(pool), "decoy_similarity": 1.0}
    chosen |= {"positive": "yes"} | settings
    return study.prepare(make_config(str(table), run), NegativesSettings(**chosen), reporter or Reporter())


def experiment_of(files, given=None, **settings):
    (made,) = experiments(context_of(files, given, **settings))
    return made


def findings_of(context, *learners, schemes=()):
    """What these learners say of equal numbers (and of these schemes, if any is named); all of all frames if none is
    named."""
    machine = settled(context, Reporter())
    cells = [
        one
        for one in study.plan(context, machine)
        if not learners or (one.tags["arm"] in learners and one.tags["frame"] == EQUAL)
        if not schemes or one.tags["scheme"] in schemes
    ]
    contents = list(Executor().fill(cells, context, machine, Store(context.folder)).values())
    return Findings(experiments(context)[0], contents)


# -- what is drawn --


def test_equal_numbers_are_equal_whatever_stands_beside_the_positives(tmp_path):
    experiment = experiment_of(exchangeable(tmp_path, 0))
    half = experiment.half
    assert half >= 20
    for training in work.trainings(experiment):
        rows = experiment.draw(training)
        count = len(rows.positives) + len(rows.others) + len(rows.decoys)
        assert len(set(rows.positives) | set(rows.others)) == len(rows.positives) + len(rows.others)
        if training.frame == EQUAL:
            assert count == 2 * half, training
        assert not {*rows.positives, *rows.others} & set(experiment.tested.test)
        assert experiment.positive.loc[list(rows.positives)].all()
        if training.scheme in (DOSE, PERMUTED):
            assert not experiment.positive.loc[list(rows.others)].any()
    full, some = (experiment.draw(Training(DOSE, "knn", EQUAL, dose, 0)) for dose in (100.0, 40.0))
    assert len(full.others) == half
    assert len(some.others) == round(0.4 * half)
    assert set(some.others) < set(full.others)
    assert experiment.draw(Training(DOSE, "knn", EQUAL, 100.0, 1)) != full
    assert set(experiment.draw(Training(DOSE, "ridge", ALL_ROWS, 100.0, 0)).others) == set(experiment.trained[1])


def test_unlabelled_rows_hold_the_positives_that_nobody_knows_of(tmp_path):
    experiment = experiment_of(exchangeable(tmp_path, 0))
    rows = experiment.draw(Training(UNLABELLED, "knn", EQUAL, None, 0))
    hidden = experiment.positive.loc[list(rows.others)]
    assert 0 < hidden.sum() < len(hidden)
    assert not set(rows.others) & set(rows.positives)


def test_decoys_are_no_variants_of_the_table_and_none_is_trained_on_and_held_out(tmp_path):
    positives, negatives, pool = parts_of(0, 70, 70, 120)
    twins = [f"{negatives[0]}.Cl", negatives[1], f"[H]{negatives[2]}", "nonsense", pool[0]]
    files = tables(tmp_path, [amine(text) for text in positives], negatives, [*pool, *twins])
    experiment = experiment_of(files)
    left = set(pool_of(experiment.context))
    assert left <= {canonical_smiles(text) for text in pool}
    assert len(left) > 0.9 * len(pool)  # others of the same bonded elements are left out as well
    names = {name for text in experiment.table.frame["smiles"] for name in parse_molecule(text).parent.names}
    held = {text for kind in DECOYS for text in experiment.held_out(kind)}
    for kind in DECOYS:
        for seed in range(2):
            decoys = experiment.decoys(kind, seed)
            assert len(set(decoys)) == len(decoys) > 0
            assert not held & set(decoys)
            assert all(names.isdisjoint(parse_molecule(text).parent.names) for text in decoys)


def test_decoys_are_drawn_from_tables_of_molecules_that_exist():
    """A table that an oracle computed holds recombined molecules, some of them of the table itself."""
    context = SimpleNamespace(settings=SimpleNamespace(pool=""), config=SimpleNamespace(table="b3db"))
    found = sources(context)
    assert {"esol", "lipophilicity"} <= set(found)
    assert [name for name in found if card(name).oracle] == []


def test_decoys_are_at_most_as_similar_to_positives_as_asked(tmp_path):
    files = apart(tmp_path, 0)
    experiment = experiment_of(files, decoy_similarity=0.5)
    positives = morgan_bits(experiment.smiles(experiment.trained[0]))
    tested = np.array(experiment.tested.test, dtype=object)[experiment.positive_tested]
    for kind in DECOYS:
        assert tanimoto(morgan_bits(experiment.decoys(kind, 0)), positives).max() <= 0.5
        held = morgan_bits(experiment.held_out(kind))
        assert tanimoto(held, np.vstack([positives, morgan_bits(experiment.smiles(tested))])).max() <= 0.5


def test_matched_decoys_are_nearer_in_their_properties_than_random_ones(tmp_path):
    experiment = experiment_of(exchangeable(tmp_path, 0))
    order = experiment.order(0)[0]
    aim = matched_properties(experiment.smiles(order))
    far = {}
    for kind in DECOYS:
        decoys = matched_properties(experiment.decoys(kind, 0))
        far[kind] = np.abs(decoys - aim[: len(decoys)])[:, :3].mean(axis=0)
    assert (far[MATCHED] < far[RANDOM]).all()
    assert nearest_in_properties(["CCO", "CCO"], ["c1ccccc1Br", "CCO", "CCCO"]) == [1, 2]


def test_a_pool_is_written_as_the_table_is(tmp_path):
    """A table without stereochemistry and salts is not given decoys that have them: a model of text would know them."""
    positives, negatives, pool = parts_of(0, 50, 50, 60)
    marked = [f"{text}[C@H](O)C" for text in pool if text[-1] == "C"]
    files = tables(tmp_path, positives, negatives, [*marked, *(f"{text}I.Cl" for text in pool)])
    found = pool_of(context_of(files))
    assert len(found) == len(marked)
    assert not any("@" in text or "." in text for text in found)


def test_who_is_drawn_hangs_on_no_label_of_the_test(tmp_path):
    experiment = experiment_of(exchangeable(tmp_path, 0))
    frame, tested = experiment.table.frame, experiment.tested.test
    turned = np.where(frame["target"] == "yes", "no", "yes")
    changed = frame["target"].where(~frame["row_id"].isin(tested), turned)
    table = replace(experiment.table, frame=frame.assign(target=changed))
    (other,) = experiments(replace(experiment.context, table=table))
    for training in work.trainings(experiment):
        assert other.draw(training) == experiment.draw(training)


def test_a_permuted_training_keeps_how_many_there_are_of_each_class(tmp_path):
    """And the tables of two orders of rows are the same."""
    files = exchangeable(tmp_path, 0)
    experiment = experiment_of(files)
    before = {one: experiment.draw(one) for one in work.trainings(experiment)}
    lines = files[0].read_text(encoding="utf-8").splitlines()
    files[0].write_text("\n".join([lines[0], *lines[:0:-1]]) + "\n", encoding="utf-8")
    again = experiment_of(files)
    assert {one: again.draw(one) for one in work.trainings(again)} == before
    rows = experiment.draw(Training(PERMUTED, "knn", EQUAL, None, 0))
    assert len(rows.positives) == len(rows.others) == experiment.half


# -- what must be found --


def found_by(make, folder, seed, schemes=(), seeds=2):
    given = {"seed": seed, "out": str(folder / f"out-{seed}")}
    context = context_of(make(folder, seed), given, doses=(100.0,), seeds=seeds)
    return findings_of(context, "knn", schemes=schemes)


def training(scheme, arm="knn"):
    return Training(scheme, arm, EQUAL, None, 0)


def test_a_decoy_set_that_gives_itself_away_flatters_and_teaches_nothing(tmp_path):
    found = found_by(apart, tmp_path, 0, seeds=4)
    for kind in DECOYS:
        one = training(kind)
        assert found.flattery[one][1] == 1
        assert found.lost[one][1] == 1
        assert found.ranking(one, kind)[0] > 0.95
        assert found.ranking(one)[0] < 0.9
    assert found.ranking(Training(DOSE, "knn", EQUAL, 100.0, 0))[0] > 0.9


def test_decoys_of_another_size_are_called_a_bad_set(tmp_path):
    positives, negatives, pool = parts_of(0, 70, 70, 200)
    files = tables(tmp_path, [amine(text) for text in positives], negatives, [f"CCCCCCCC{text}" for text in pool])
    found = findings_of(context_of(files, doses=(100.0,)), PROPERTIES)
    for kind in DECOYS:
        ranked, told = found.of_properties[kind]
        assert ranked[0] > 0.9
        assert told == 1
    assert _of_properties(found)[0].count("a bad decoy set") == 2


@pytest.mark.slow
def test_what_was_planted_is_found_and_nothing_where_there_is_nothing(tmp_path):
    """Twenty tables of each kind. Random decoys that are draws of what the negatives are draws of lose and flatter
    nothing; decoys that bromine gives away flatter by as much as no model can rank classes that were dealt."""
    flat, quiet, lost, flattered, unlearned, null = [], [], [], [], [], []
    asked = ((RANDOM, DOSE, PERMUTED), 4)
    for seed in range(20):
        none = found_by(exchangeable, tmp_path, seed, *asked)
        quiet += [none.lost[training(RANDOM)][1] == 0 and none.flattery[training(RANDOM)][1] == 0]
        flat.append([none.lost[training(RANDOM)][0].value, none.flattery[training(RANDOM)][0].value])
        null.append(none.null["knn"])
        known = found_by(apart, tmp_path, seed, *asked)
        lost.append(known.lost[training(RANDOM)][1] == 1)
        nothing = found_by(dealt, tmp_path, seed, *asked)
        flattered.append(nothing.flattery[training(RANDOM)])
        unlearned.append(nothing.lost[training(RANDOM)][1] == 0)
    assert sum(quiet) >= 18
    assert np.abs(np.mean(flat, axis=0)).max() < 0.03
    assert sum(told == 0 for _, told in null) >= 18
    assert np.mean([ranked[0] for ranked, _ in null]) == pytest.approx(0.5, abs=0.05)
    assert sum(lost) >= 18
    assert sum(told == 1 for _, told in flattered) >= 18
    assert np.mean([one.value for one, _ in flattered]) == pytest.approx(0.5, abs=0.05)
    assert sum(unlearned) >= 18


def test_the_figures_are_those_of_the_scores(tmp_path):
    from sklearn.metrics import roc_auc_score

    found = found_by(exchangeable, tmp_path, 0)
    said = found.predictions().query("arm == 'knn' and frame == @EQUAL")
    value = found.metrics().query("arm == 'knn' and frame == @EQUAL").set_index(["scheme", "metric"])["value"]

    def area(scheme, seed, below):
        part = said[(said["scheme"] == scheme) & (said["seed"] == seed)]
        rows = part[part["positive"] | (part["decoys"] == below)]
        return roc_auc_score(rows["positive"], rows["score"])

    truth = {scheme: np.mean([area(scheme, seed, "") for seed in range(2)]) for scheme in (RANDOM, DOSE)}
    published = np.mean([area(RANDOM, seed, RANDOM) for seed in range(2)])
    assert value[RANDOM, "auroc"] == pytest.approx(truth[RANDOM])
    assert value[RANDOM, "auroc, held-out random decoys"] == pytest.approx(published)
    assert value[RANDOM, FLATTERY] == pytest.approx(published - truth[RANDOM])
    assert value[RANDOM, LOST] == pytest.approx(truth[DOSE] - truth[RANDOM])
    part = said[(said["scheme"] == DOSE) & (said["decoys"] == "")]
    assert value[DOSE, "fpr"] == pytest.approx(part.loc[~part["positive"], "accepted"].mean())


def test_one_seed_shows_nothing_and_says_so(tmp_path):
    context = context_of(apart(tmp_path, 0), seeds=1)
    found = findings_of(context)
    assert {told for _, told in (*found.lost.values(), *found.flattery.values())} == {0}
    said = sentences(found)
    assert any("from one seed it cannot be told" in one for one in said)
    assert said[-1].startswith("One training seed")
    assert any("a model of logP and TPSA alone" in one for one in said)
    lost, flattered = failures([found])
    assert {one.arm for one in lost.outcomes} == {"knn", *ONE_CLASS, BAGGING, ELKAN_NOTO}
    assert {one.where for one in flattered.outcomes} == {*DECOYS, *(f"{kind}, {ALL_ROWS}" for kind in DECOYS)}
    assert {one.shown for one in (*lost.outcomes, *flattered.outcomes)} == {UNTOLD}
    assert {one.arm for one in found.by_training if one.scheme == ALONE} == set(ONE_CLASS)


# -- what cannot be asked --


@pytest.mark.parametrize(
    ("given", "settings", "words"),
    [
        ({"task": "regression"}, {}, "holds numbers"),
        ({}, {"positive": "yess"}, "positive is 'yess'; the classes of 'value' are no, yes"),
        ({}, {"sensitivity": (30.0,)}, "sensitivity is for reactions; this table holds molecules"),
        ({}, {"success": 30.0}, "success is for reactions"),
        ({}, {"positives": 0, "split": ("size",)}, ""),
    ],
)
def test_what_does_not_apply_is_one_line(tmp_path, given, settings, words):
    files = exchangeable(tmp_path, 0)
    if given:
        files[0].write_text(files[0].read_text(encoding="utf-8").replace("yes", "1.5").replace("no", "0.5"), "utf-8")
        settings = {"positive": ""}
    if not words:
        assert context_of(files, given, **settings).positive == "yes"
        return
    with pytest.raises(InputError, match=words) as refused:
        context_of(files, given, **settings)
    assert "\n" not in str(refused.value)


def test_several_classes_need_the_one_that_is_known(tmp_path):
    positives, negatives, third, pool = parts_of(0, 60, 50, 50, 80)
    rows = [(s, "a") for s in positives] + [(s, "b") for s in negatives] + [(s, "c") for s in third]
    files = write_table(tmp_path / "three.csv", rows), write_table(tmp_path / "pool.csv", [(s, 0) for s in pool])
    with pytest.raises(InputError, match=r"3 classes \(a, b, c\); say with --positive"):
        context_of(files, positive="")
    context = context_of(files, positive="b")
    assert context.classes == ("b", "not b")
    assert int(experiments(context)[0].positive.sum()) == 50
    rarer = context_of(exchangeable(tmp_path, 1), positive="")
    assert rarer.positive in ("yes", "no")


def test_too_few_of_a_class_are_refused_with_their_number(tmp_path):
    positives, negatives, pool = parts_of(0, 18, 70, 80)
    with pytest.raises(InputError, match=r"positives \(yes\) and \d+ negatives"):
        context_of(tables(tmp_path, positives, negatives, pool))
    with pytest.raises(InputError, match="same class"):
        context_of(tables(tmp_path, negatives, [], pool))


def test_without_molecules_to_draw_from_decoys_are_left_out_and_said(tmp_path):
    positives, negatives, _ = parts_of(0, 70, 70, 1)
    files = tables(tmp_path, [amine(text) for text in positives], negatives, negatives)
    context = context_of(files, seeds=1)
    assert any(
        "random decoys and matched decoys: 0 can be drawn of 0 molecules" in one for one in study.described(context)
    )
    found = findings_of(context, "knn", PROPERTIES)
    assert not {one.scheme for one in found.by_training} & set(DECOYS)
    assert found.flattery == {}
    assert list(found.of_properties) == [TRUE]


def test_other_rows_and_options_that_do_nothing_are_refused(tmp_path, couplings):
    formulas = write_table(
        tmp_path / "formulas.csv", [(text, "ab"[len(text) > 4]) for text in FORMULAS], "formula,value"
    )
    with pytest.raises(InputError, match="about reactions and molecules"):
        study.prepare(
            make_config(str(formulas), {"composition": "formula", "target": "value"}), NegativesSettings(), Reporter()
        )
    with pytest.raises(InputError, match="pool is for molecules; this table holds reactions"):
        NegativesSettings(pool="mine.csv").check_kind(REACTIONS)
    NegativesSettings().check_kind(MOLECULES)
    reactions = ("--components", "halide,amine,base", "--yield", "yield", "--arms", "drfp-rf")
    for option, words in (("--steps=5", "--lm-steps"), ("--budget=5m", "--seeds"), ("--batch=4", "8 rows")):
        done = chemtune("stress", "negatives", couplings, *reactions, option, cwd=tmp_path)
        assert done.returncode == 2
        assert f"{option[2:].split('=')[0]} does nothing for reactions" in done.stderr
        assert words in done.stderr


def test_a_budget_gives_up_doses_and_seeds(tmp_path):
    context = context_of(exchangeable(tmp_path, 0), doses=(10.0, 30.0, 100.0), seeds=4)
    timed = Probe({"knn": ((40, 30.0),)}, 0.0, {}, {}, 0.0)
    whole = study.BUDGET.seconds(context, Machine(1), timed)
    smaller = fit_budget(context, Machine(1), timed, whole / 4, study.BUDGET)
    assert study.BUDGET.seconds(smaller, Machine(1), timed) <= whole / 4
    assert smaller.settings.seeds < 4


def test_the_command_goes_from_table_to_page_and_back(tmp_path, tiny_folder):
    table, pool = exchangeable(tmp_path, 0)
    out = tmp_path / "negatives"
    command = ("stress", "negatives", table, "--smiles", "SMILES", "--target", "value", "--quick", "--pool", pool)
    more = ("--arms", "knn,lm-head", "--model", tiny_folder, "--steps", 2, "--dtype", "float32", "--positive", "yes")
    done = chemtune(*command, *more, "--decoy-similarity", 1, "--out", out, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    page = (out / "report.html").read_text(encoding="utf-8")
    assert "what happens when only positives are known" in page
    assert "chemtune stress negatives" in page
    metrics = pd.read_csv(out / "metrics.csv")
    assert {"knn", "lm-head", "PU bagging", PROPERTIES} <= set(metrics["arm"])
    assert {"split", "metric", "value", "low", "high", "n", "groups", "seeds"} <= set(metrics.columns)
    assert set(pd.read_csv(out / "matching.csv")["of"]) == {RANDOM, MATCHED, TRUE}
    assert (out / "figures/doses-random.svg").stat().st_size > 0
    again = chemtune("report", out, cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    assert (out / "report.html").read_text(encoding="utf-8") == page
