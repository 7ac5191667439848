"""One molecule, other strings: what reads text is asked for all of them, what reads structure cannot tell."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from rdkit import Chem

from pipeline.arms.language_model import head
from pipeline.errors import InputError
from pipeline.features.notations import kekulised, other_spellings, spelling_of_like_length
from pipeline.lm.training import batches
from pipeline.prompts.templates import PromptTemplate
from pipeline.reporter import Reporter
from pipeline.runs.budget import fit_budget
from pipeline.runs.context import Machine
from pipeline.runs.estimates import Probe
from pipeline.settings.reading import make_config
from pipeline.studies.failure import NO, UNTOLD, YES
from pipeline.studies.spelling import study
from pipeline.studies.spelling.findings import Cure, Findings
from pipeline.studies.spelling.forms import CANONICAL, KEKULE, LIKE_LENGTH, RANDOM
from pipeline.studies.spelling.settings import Settings
from pipeline.studies.spelling.trainings import AGREEING, MEAN_POOLING, SPELLINGS, TRAININGS, USUAL
from pipeline.studies.spelling.words import sentences
from pipeline.tables.targets import REGRESSION
from tests.conftest import SMILES, reaction_rows, write_table
from tests.studies.made import contents_of
from tests.test_run import chemtune

pytestmark = pytest.mark.usefixtures("few_trees")

MOLECULE = "CC(=O)Nc1ccc(O)c(Cl)c1"
ELEMENTS = ("He", "Ne", "Ar", "Kr", "Xe", "Na", "Mg", "K", "Ca", "Li", "Be", "B", "Al", "Si", "P", "S", "Cl", "Br", "I")
ELEMENTS += ("Se", "Fe", "Cu", "Zn", "Ag")  # one SMILES each
REPETITIONS, AT_LEAST = 20, 18


def context_of(path, given=None, **settings):
    run = {"smiles": "SMILES", "target": "value", "dtype": "float32", "steps": 3, "test_size": 0.5}
    config = make_config(str(path), run | (given or {}) | {"out": str(path.parent / "out")})
    chosen = {"arms": ("ngram-ridge", "rf-bits"), "spellings": 3, "seeds": 2, **settings}
    return study.prepare(config, Settings(**chosen), Reporter())


def found_in(context, contents=None):
    return Findings(context, context.splits[0], contents_of(study, context) if contents is None else contents)


def test_other_spellings_are_the_molecule_and_not_its_canonical_smiles():
    others = other_spellings(MOLECULE, 5, 0)
    assert len(set(others)) == 5
    assert MOLECULE not in others
    assert {Chem.CanonSmiles(text) for text in others} == {Chem.CanonSmiles(MOLECULE)}
    assert others == other_spellings(MOLECULE, 5, 0) != other_spellings(MOLECULE, 5, 1)
    assert other_spellings("C", 5, 0) == []
    alike = spelling_of_like_length(MOLECULE, 0)
    assert alike != MOLECULE
    assert abs(len(alike) - len(MOLECULE)) <= min(abs(len(text) - len(MOLECULE)) for text in others)
    assert kekulised("c1ccccc1O") == "OC1=CC=CC=C1"
    assert kekulised("CCO") == "CCO"


def test_two_spellings_of_a_row_stand_in_one_batch_and_all_rows_come(tiny_engine):
    lengths = [10 + row // 2 for row in range(22)]
    epoch = list(batches(lengths, 8, 3, seed=0, together=2))
    assert sorted(row for batch in epoch for row in batch) == list(range(22))
    assert all(batch[place] + 1 == batch[place + 1] for batch in epoch for place in range(0, len(batch), 2))
    assert list(batches(lengths, 8, 9, seed=3, together=1)) == list(batches(lengths, 8, 9, seed=3))


def test_a_penalty_makes_the_head_agree_about_two_spellings(tiny_engine):
    template = PromptTemplate("size")
    texts = [text for smiles in SMILES[6:] for text in (smiles, other_spellings(smiles, 1, 0)[0])]
    labels = np.repeat(np.random.default_rng(0).normal(size=len(SMILES) - 6), 2)
    apart = {}
    for weight in (0.0, 20.0):
        settings = {"batch_size": 16, "agreement": weight, "learning_rate": 1e-2}
        model = head(REGRESSION, engine=tiny_engine, template=template, steps=60, settings=settings, seed=0)
        torch.manual_seed(0)
        said = model.fit(texts, labels).predict(texts)
        apart[weight] = np.abs(said[::2] - said[1::2]).mean() / said.std()
    assert apart[20.0] < 0.7 * apart[0.0]


def test_what_reads_structure_says_exactly_the_same_and_what_reads_text_does_not(alcohols):
    context = context_of(alcohols)
    found = found_in(context)
    assert found.readers == ("ngram-ridge",)
    for form in (RANDOM, LIKE_LENGTH, KEKULE):
        assert found.largest_change("rf-bits", form) == 0
        assert found.largest_change("mean", form) == 0
    assert found.largest_change("ngram-ridge", RANDOM) > 0
    assert found.noise("ngram-ridge") < 1e-9
    assert "DeepSMILES" in found.forms("ngram-ridge")
    assert "DeepSMILES" not in found.forms("rf-bits")
    assert found.trainings("ngram-ridge") == (USUAL, SPELLINGS)
    assert found.trainings("rf-bits") == (USUAL,)
    said = sentences(found)
    assert any(one.startswith("Control: mean and rf-bits say exactly the same of all spellings.") for one in said)
    kekule = found.rows("rf-bits", KEKULE)
    aromatic = ["c1" in context.table.inputs.loc[row].iloc[0] for row in found.test]
    assert kekule.tolist() == aromatic


def test_the_same_numbers_twice_and_a_changed_test_label_changes_no_prediction(alcohols):
    context = context_of(alcohols, seeds=1)
    first, again = contents_of(study, context), contents_of(study, context_of(alcohols, seeds=1))
    assert [one["forms"] for one in first] == [one["forms"] for one in again]
    frame = pd.read_csv(alcohols)
    test = context.table.inputs.loc[list(context.splits[0].folds[0].test)].iloc[:, 0]
    frame.loc[frame["SMILES"].isin(set(test)), "value"] += 100
    changed = alcohols.with_name("changed.csv")
    frame.to_csv(changed, index=False)
    other = contents_of(study, context_of(changed, seeds=1))
    assert [one["forms"] for one in first] == [one["forms"] for one in other]


def planted(context, contents, seed, extra, cured=0.0, cost=0.0):
    """The results with predictions that miss by a standard deviation of one, other SMILES by so much more; the cure
    takes a part of that away, and has a cost on canonical SMILES."""
    rng = np.random.default_rng(seed)
    truth = context.table.targets.loc[list(context.splits[0].folds[0].test)].to_numpy()
    made = []
    for one in contents:
        usual = one["tags"]["training"] == USUAL
        more = extra if usual else extra * (1 - cured)
        canonical = truth + (1 if usual else 1 + cost) * rng.normal(size=len(truth))
        forms = {
            form: [[float(truth[row] + (1 + more) * rng.normal()) for _ in said] for row, said in enumerate(by_row)]
            for form, by_row in one["forms"].items()
        }
        made.append(one | {"canonical": canonical.tolist(), "again": canonical.tolist(), "forms": forms})
    return made


def test_a_planted_error_of_other_spellings_is_found_with_its_size_and_none_is_not(tmp_path):
    chains = [f"C{'C' * a}{b}{'C' * c}O" for a in range(1, 9) for b in ("N", "O", "S") for c in range(1, 6)]
    path = write_table(tmp_path / "many.csv", [(text, place) for place, text in enumerate(chains)])
    context = context_of(path, arms=("ngram-ridge",), seeds=3)
    contents = contents_of(study, context)
    seen, sized, none = 0, 0, 0
    for repetition in range(REPETITIONS):
        found = found_in(context, planted(context, contents, repetition, extra=1.0))
        seen += found.worse["ngram-ridge", RANDOM] == YES
        _, low, high = found.ratio("ngram-ridge", RANDOM)
        sized += low <= 2.0 <= high
        null = found_in(context, planted(context, contents, 100 + repetition, extra=0.0))
        none += not any(state == YES for state in null.worse.values())
    assert seen >= AT_LEAST
    assert sized >= AT_LEAST
    assert none >= AT_LEAST


def test_a_cure_that_takes_the_error_away_is_told_from_one_that_does_not(tmp_path):
    chains = [f"C{'C' * a}{b}{'C' * c}O" for a in range(1, 11) for b in ("N", "O", "S") for c in range(1, 9)]
    path = write_table(tmp_path / "many.csv", [(text, place) for place, text in enumerate(chains)])
    context = context_of(path, arms=("ngram-ridge",), seeds=3)
    contents = contents_of(study, context)
    cure = Cure(SPELLINGS, False)
    cures = found_in(context, planted(context, contents, 0, extra=2.0, cured=1.0))
    assert cures.verdicts["ngram-ridge", cure][0] == YES
    assert cures.removed("ngram-ridge", cure) == pytest.approx(1.0, abs=0.15)
    fails = found_in(context, planted(context, contents, 0, extra=2.0, cured=0.0, cost=1.0))
    assert fails.verdicts["ngram-ridge", cure] == (NO, NO)
    assert fails.cost("ngram-ridge", cure)[0] == pytest.approx(1.0, abs=0.4)
    said = sentences(fails)
    assert any("cures is shown to take away half" in one for one in said)


def test_one_seed_tells_nothing(alcohols):
    found = found_in(context_of(alcohols, seeds=1))
    assert set(found.worse.values()) == {UNTOLD}
    assert any(one.startswith("One training seed") for one in sentences(found))


def test_every_training_of_the_language_model_is_another_model(alcohols, tiny_folder):
    context = context_of(alcohols, {"model": str(tiny_folder)}, arms=("lm-head",), seeds=1)
    found = found_in(context)
    assert found.trainings("lm-head") == tuple(TRAININGS)
    said = {training: tuple(found.cells["lm-head", training, 0]["canonical"]) for training in TRAININGS}
    assert len(set(said.values())) == len(TRAININGS)
    assert {AGREEING, MEAN_POOLING} <= {cure.training for cure in found.cures("lm-head")}
    cured = study.conclude(context, found.contents).tables["cures"]
    assert len(cured) == 2 * len(TRAININGS) - 1


def test_classes(tmp_path, tiny_folder):
    path = write_table(tmp_path / "classes.csv", [(text, "yes" if "c1" in text else "no") for text in SMILES])
    context = context_of(path, {"model": str(tiny_folder)}, arms=("lm-head", "ngram-ridge"), trainings=(SPELLINGS,))
    contents = contents_of(study, context)
    found = study.conclude(context, contents)
    assert set(found.metrics["metric"]) >= {"log_loss", "spread", "error_auroc"}
    assert {"p_no", "p_yes"} <= set(found.predictions.columns)
    chances = found.predictions[["p_no", "p_yes"]].sum(axis=1)
    assert np.allclose(chances, 1)


def test_bounds_are_not_scored(tmp_path):
    rows = [(text, f">{len(text)}" if number < 12 else len(text)) for number, text in enumerate(SMILES)]
    context = context_of(write_table(tmp_path / "bounds.csv", rows), {"bounds": "limit"})
    found = found_in(context)
    assert len(found.test) == int(context.table.exact.loc[list(context.splits[0].folds[0].test)].sum())
    assert found.rows("rf-bits", CANONICAL).sum() == len(found.test)


def test_bad_input_is_one_line(tmp_path, alcohols):
    few = write_table(tmp_path / "few.csv", [(f"[{element}]", place) for place, element in enumerate(ELEMENTS)])
    with pytest.raises(InputError, match="can be written in several ways"):
        context_of(few)
    with pytest.raises(InputError, match="reads text; name one"):
        context_of(alcohols, arms=("rf-bits",))
    with pytest.raises(InputError, match="representation is for other commands"):
        context_of(alcohols, {"representation": ["selfies"]})
    with pytest.raises(InputError, match="training 'cured'"):
        Settings(trainings=("cured",))
    with pytest.raises(InputError, match="at most 50"):
        Settings(spellings=51)
    frame = pd.DataFrame(reaction_rows(), columns=["halide", "amine", "base", "solvent", "rxn", "yield"])
    path = tmp_path / "reactions.csv"
    frame.to_csv(path, index=False)
    config = make_config(str(path), {"components": ["halide", "amine"], "yield": "yield", "out": str(tmp_path / "o")})
    with pytest.raises(InputError, match="the study is about molecules"):
        study.prepare(config, Settings(), Reporter())


def test_a_budget_takes_seeds(alcohols):
    context = context_of(alcohols, seeds=4)
    timed = Probe({"ngram-ridge": ((40, 1.0),), "rf-bits": ((40, 1.0),)}, 0.0, {}, {}, 0.0)
    whole = study.BUDGET.seconds(context, Machine(1, "float32"), timed)
    smaller = fit_budget(context, Machine(1, "float32"), timed, whole / 3, study.BUDGET)
    assert smaller.settings.seeds < 4
    assert study.BUDGET.seconds(smaller, Machine(1, "float32"), timed) <= whole / 3


def test_the_command_goes_from_table_to_page_and_back(alcohols):
    out = alcohols.parent / "spelling"
    command = ("stress", "spelling", alcohols, "--smiles", "SMILES", "--target", "value", "--arms", "ngram-ridge,ridge")
    done = chemtune(*command, "--quick", "--test-size", "0.4", "--out", out, cwd=alcohols.parent)
    assert done.returncode == 0, done.stderr
    page = (out / "report.html").read_text(encoding="utf-8")
    assert "one molecule, other strings" in page
    assert "Kekulé SMILES" in page
    again = chemtune("report", out, cwd=alcohols.parent)
    assert again.returncode == 0, again.stderr
    assert (out / "report.html").read_text(encoding="utf-8") == page
    assert set(pd.read_csv(out / "cures.csv")["training"]) == {USUAL, SPELLINGS}
