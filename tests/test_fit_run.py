"""A model fitted after a run: the settings that the run judged, and the arm that its verdicts say to use."""

from __future__ import annotations

import contextlib
import json
from dataclasses import fields
from typing import get_type_hints

import pandas as pd
import pytest

from pipeline.errors import InputError
from pipeline.models.fitting import FinishedRun
from pipeline.models.folder import describe_folder
from pipeline.settings.run import RunConfig
from pipeline.tables.catalogue import card
from pipeline.tables.reading import read_table
from tests.conftest import SMILES, write_table
from tests.test_run import chemtune

pytestmark = pytest.mark.usefixtures("undrawn", "few_trees")

NOT_OF_A_FIT = {
    "out": "the folder of the run; the model has one of its own",
}
OTHER = "another"
VERDICT = {"learned": True, "sentence": "why", "comparisons": [], "against_control": []}
SETTINGS = {"table": "t.csv", "target": "value", "smiles": "SMILES"}


class _Caught(Exception):
    """What the configuration is caught with, in the place of a fit."""


def write_run(folder, settings, uses=None, medians=None):
    """The ``run.json`` of a run with a verdict for each split and, where given, its median similarity."""
    uses = {"random": "ridge"} if uses is None else uses
    cards = [{"name": name, "similarity": [0.0, median, 1.0]} for name, median in (medians or {}).items()]
    info = {
        "settings": settings,
        "table": "",
        "task": "regression",
        "verdicts": [{"split": split, "use": use, **VERDICT} for split, use in uses.items()],
        "splits": cards,
    }
    folder.mkdir(exist_ok=True)
    (folder / "run.json").write_text(json.dumps(info))
    return folder


def changed(field):
    """A value of the field's type that is not its default; whether the value makes sense is not asked here."""
    kind = get_type_hints(RunConfig)[field.name]
    if kind is bool:
        return not field.default
    if kind in (int, float):
        return kind(field.default + 7)
    return {str: OTHER, tuple[str, ...]: [OTHER]}[kind]


@pytest.fixture
def config_of(tmp_path, monkeypatch):
    """The settings that `fit_model` is given by ``chemtune fit --run``, whatever they are."""
    path = write_table(tmp_path / "t.csv", [(SMILES[0], 1, 1, 1)], f"SMILES,value,{OTHER},{card('freesolv').target}")
    raw, configs = read_table(str(path)), []

    def caught(config, *others, **more):
        configs.append(config)
        raise _Caught

    monkeypatch.setattr("pipeline.runs.prepare.load_raw", lambda *given, **more: raw)
    monkeypatch.setattr("pipeline.models.fitting.fit_model", caught)

    def run(settings, *options):
        write_run(tmp_path / "run", settings)
        with contextlib.suppress(_Caught):
            done = chemtune("fit", "--run", "run", "--arm", "knn", *options, cwd=tmp_path)
            pytest.fail(done.stderr)
        return configs.pop()

    return run


@pytest.mark.parametrize("field", fields(RunConfig), ids=lambda field: field.name)
def test_every_setting_of_the_run_reaches_the_fit(config_of, monkeypatch, field):
    monkeypatch.setattr(RunConfig, "__post_init__", lambda self: None)  # any value will do here
    settings = {
        **RunConfig().as_dict(),
        "table": "t.csv",
        "target": "value",
        "reaction": "rxn",
        field.name: changed(field),
    }
    found = config_of(settings).as_dict()
    assert settings[field.name] != field.default
    if field.name not in NOT_OF_A_FIT:
        assert found[field.name] == settings[field.name]


@pytest.mark.parametrize("field", fields(RunConfig), ids=lambda field: field.name)
def test_a_setting_that_is_nothing_is_a_setting_too(config_of, monkeypatch, field):
    monkeypatch.setattr(RunConfig, "__post_init__", lambda self: None)
    kept = {"table": "photoswitch", "target": "value", "reaction": ""}
    nothing = type(RunConfig().as_dict()[field.name])()
    settings = {**RunConfig(units="min", property_name="mine").as_dict(), field.name: nothing, **kept}
    found = config_of(settings).as_dict()
    if field.name not in NOT_OF_A_FIT:
        assert found[field.name] == settings[field.name]


def test_a_run_without_what_the_card_of_its_table_says_is_fitted_without_it(config_of):
    settings = RunConfig(table="freesolv", target=card("freesolv").target, smiles="SMILES").as_dict()
    found = config_of(settings)
    assert card("freesolv").units
    assert (found.property_name, found.units, found.task) == ("", "", "auto")


def test_what_the_command_line_names_comes_before_the_run(config_of):
    settings = RunConfig(**SETTINGS, seed=3, max_rows=40, steps=9, units="nM", data_dir="a").as_dict()
    found = config_of(settings, "--seed", 0, "--max-rows", 0, "--units", "", "--data-dir", "b")
    assert (found.seed, found.max_rows, found.units, found.data_dir, found.steps) == (0, 0, "", "b", 9)


def test_another_target_is_not_called_and_measured_as_that_of_the_run(config_of):
    settings = RunConfig(**SETTINGS, property_name="potency", units="nM", seed=4).as_dict()
    found = config_of(settings, "--target", OTHER)
    assert (found.target, found.property_name, found.units, found.seed) == (OTHER, "", "", 4)
    assert config_of(settings, "--target", "value").units == "nM"


def test_the_yields_of_the_run_may_be_named_again(config_of):
    given = {"table": "t.csv", "reaction": "SMILES", "target": "value", "yield_unit": "fraction"}
    settings = RunConfig(**given).as_dict()
    found = config_of(settings, "--yield", "value")
    assert (found.target, found.yield_unit) == ("value", "fraction")


def test_a_run_of_before_there_were_units_of_yields_for_reactions_alone_is_read(config_of):
    settings = {**RunConfig(**SETTINGS).as_dict(), "yield_unit": "percent"}
    assert config_of(settings).smiles == "SMILES"


@pytest.mark.parametrize(
    ("more", "options", "words"),
    [
        ({"sugar": 1}, ("--arm", "knn"), "does not know"),
        ({}, ("run.yaml", "--arm", "knn"), "brings settings of its own"),
        ({}, ("--arm", "knn", "--split", "random"), "--arm best"),
        ({}, ("--split", "scafold"), "there are: random"),
    ],
)
def test_what_does_not_go_with_a_run_is_one_clear_line(tmp_path, more, options, words):
    write_run(tmp_path / "run", {**RunConfig(**SETTINGS).as_dict(), **more})
    done = chemtune("fit", *options, "--run", "run", cwd=tmp_path)
    assert done.returncode == 2
    assert words in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_split_without_a_run_is_refused(tmp_path):
    done = chemtune("fit", "t.csv", "--arm", "best", "--split", "random", cwd=tmp_path)
    assert done.returncode == 2
    assert "give --run" in done.stderr


# -- whose verdict is followed -------------------------------------------------------------------

EASY_TO_HARD = {"random": 0.62, "cluster": 0.3, "scaffold": 0.41}


def best(tmp_path, uses, split="", medians=None):
    medians = {name: EASY_TO_HARD[name] for name in uses} if medians is None else medians
    return FinishedRun.read(write_run(tmp_path / "run", SETTINGS, uses, medians)).best_arm(split)


def test_of_several_splits_the_hardest_is_followed_and_the_reason_said(tmp_path):
    arm, said = best(tmp_path, {"random": "lm-head", "scaffold": "ensemble"})
    assert arm == "ensemble"
    assert said == (
        "Arm ensemble: what the verdict on the scaffold split says to use (random says lm-head); --split random "
        "follows that one. Of the splits tested scaffold is the hardest: its test rows are the least similar to "
        "their nearest training rows (median 0.41; random 0.62)."
    )


def test_hardness_is_read_from_the_cards_and_not_from_the_order(tmp_path):
    arm, said = best(tmp_path, {"random": "ridge", "cluster": "gp", "scaffold": "ridge"})
    assert arm == "gp"
    assert "(random says ridge, scaffold says ridge); --split random follows that of random. Of the" in said


def test_a_split_that_is_named_is_followed(tmp_path):
    arm, said = best(tmp_path, {"random": "lm-head", "scaffold": "ensemble"}, "random")
    assert arm == "lm-head"
    assert said == "Arm lm-head: what the verdict on the random split says to use (scaffold says ensemble)."


def test_one_split_is_followed_without_more_ado(tmp_path):
    found = best(tmp_path, {"random": "gp"}, medians={})
    assert found == ("gp", "Arm gp: what the verdict on the random split says to use.")


@pytest.mark.parametrize("split", ["", "random"])
def test_verdicts_that_agree_are_said_to(tmp_path, split):
    found = best(tmp_path, {"random": "gp", "scaffold": "gp"}, split, medians={})
    assert found == ("gp", "Arm gp: what the verdicts on all splits tested (random, scaffold) say to use.")


def test_a_verdict_without_an_arm_names_the_splits_that_have_one(tmp_path):
    with pytest.raises(InputError, match="the verdict on the scaffold split names no arm to use") as raised:
        best(tmp_path, {"random": "gp", "scaffold": None})
    assert str(raised.value).endswith("with --arm, or follow the verdict on another split with --split: random (gp)")
    with pytest.raises(InputError) as raised:
        best(tmp_path, {"random": None, "scaffold": None})
    assert str(raised.value).endswith("name one yourself with --arm")


def test_a_run_that_does_not_say_how_hard_its_splits_are_asks_for_one(tmp_path):
    with pytest.raises(InputError, match="--split whose verdict to follow: random, scaffold"):
        best(tmp_path, {"random": "gp", "scaffold": "knn"}, medians={})
    assert best(tmp_path, {"random": "gp", "scaffold": "knn"}, "scaffold", medians={})[0] == "knn"


def test_an_unknown_split_is_refused_with_those_there_are(tmp_path):
    with pytest.raises(InputError, match=r"'scafold' \(did you mean 'scaffold'\?\); there are: random, scaffold"):
        best(tmp_path, {"random": "gp", "scaffold": "knn"}, "scafold")


def test_the_fit_of_a_real_run_says_what_it_follows_and_has_the_scores(alcohols):
    cwd = alcohols.parent
    options = (
        "--smiles",
        "SMILES",
        "--target",
        "value",
        "--max-rows",
        44,
        "--seed",
        5,
        "--n-train",
        20,
        "--test-size",
        0.4,
    )
    ran = chemtune("run", alcohols, *options, "--arms", "knn,ridge", "--split", "random", "--out", "r", cwd=cwd)
    assert ran.returncode == 0, ran.stderr
    done = chemtune("fit", "--run", "r", "--out", "m", cwd=cwd)
    assert done.returncode == 0, done.stderr
    assert "what the verdict on the random split says to use." in done.stdout
    assert "at most 20 rows of each division (n_train); this model is fitted on all rows" in done.stdout
    about = describe_folder(cwd / "m")
    assert (about["n_train"], about["seed"]) == (44, 5)
    assert [score["split"] for score in about["scores"]] == ["random"]
    assert len(pd.read_csv(alcohols)) == 48


# -- what the scores in the card were measured with -----------------------------------------------

SHARE = {"value": 0.3, "low": 0.1, "high": 0.5, "n": 40}
CUT = {"rule": "mcc", "positive": "yes", "value": 0.21}
HEAT = {"value": 2.0, "n": 40}


def measured_with(tmp_path, arm, settings, calibration, cells=(), task="classes", n=400, **of_model):
    folder = write_run(tmp_path / "run", {**SETTINGS, **settings})
    info = json.loads((folder / "run.json").read_text()) | {"task": task, "cells": list(cells)}
    (folder / "run.json").write_text(json.dumps(info))
    config = RunConfig(**{**SETTINGS, **settings, **of_model})
    return FinishedRun.read(folder).measured_with(arm, config, calibration, n)


def test_a_blend_of_equal_shares_in_the_run_says_so_beside_a_chosen_share(tmp_path):
    halves, chosen = {"arm": "blend", "split": "random"}, {"arm": "blend", "split": "random", "share": SHARE}
    numbers = {"task": "regression"}
    found = measured_with(tmp_path, "blend", {}, {"share": SHARE}, [halves, halves], **numbers)
    assert found == ["equal shares of ensemble and lm-head (here 30% of lm-head)"]
    found = measured_with(tmp_path, "blend", {}, {"share": SHARE}, [halves, chosen], **numbers)
    assert found == ["equal shares of ensemble and lm-head in 1 of 2 divisions (here 30% of lm-head)"]
    found = measured_with(tmp_path, "blend", {}, {}, [chosen], **numbers)
    assert found == ["a chosen share of lm-head (here equal shares of ensemble and lm-head)"]
    assert not measured_with(tmp_path, "blend", {}, {"share": SHARE}, [chosen, chosen], **numbers)
    assert not measured_with(tmp_path, "ridge", {}, {}, [{"arm": "ridge", "split": "random"}], **numbers)


def test_an_arm_that_had_no_threshold_chosen_in_the_run_says_so(tmp_path):
    calibration = {"temperature": HEAT, "threshold": CUT}
    chosen = {"threshold": "mcc"}
    assert measured_with(tmp_path, "lm-head", chosen, calibration) == ["a threshold of 0.5 (here 0.21)"]
    assert not measured_with(tmp_path, "lm-head", {**chosen, "calibrate_lm": True}, calibration)
    assert not measured_with(tmp_path, "ridge", chosen, calibration)
    found = measured_with(tmp_path, "ridge", chosen, {"temperature": HEAT}, threshold="0.5")
    assert found == ["a chosen threshold (here 0.5)"]
    assert not measured_with(tmp_path, "lm-head", {}, {"temperature": HEAT})


def test_a_threshold_of_the_users_own_stands_on_other_probabilities_than_in_the_run(tmp_path):
    cut = {**CUT, "rule": "0.3", "value": 0.3}
    found = measured_with(tmp_path, "ridge", {"threshold": "0.3"}, {"temperature": HEAT, "threshold": cut})
    assert found == ["the threshold of 0.3 on probabilities that were not calibrated (here they are)"]
    raw = {"temperature": {**HEAT, "value": None}, "threshold": cut}
    assert not measured_with(tmp_path, "ridge", {"threshold": "0.3"}, raw)


def test_fewer_training_rows_in_the_run_stand_in_the_card(tmp_path):
    numbers = {"task": "regression"}
    found = measured_with(tmp_path, "ridge", {"n_train": 100}, {}, **numbers)
    assert found == ["at most 100 training rows of each division (here 400)"]
    assert not measured_with(tmp_path, "ridge", {"n_train": 500}, {}, **numbers)
    rows = [(text, len(text)) for text in SMILES]
    write_table(tmp_path / "u.csv", rows)
    given = ("--smiles", "SMILES", "--target", "value", "--arms", "ridge", "--split", "random", "--n-train", "25")
    done = chemtune("run", "u.csv", *given, "--out", "r", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    done = chemtune("fit", "--run", "r", "--arm", "ridge", "--out", "m", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    line = "On these splits it was measured with at most 25 training rows of each division (here 48)."
    assert f"- {line}" in (tmp_path / "m" / "README.md").read_text(encoding="utf-8")
    assert line in done.stdout.replace("\n", " ")
