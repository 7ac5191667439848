"""Every study of the catalogue has all that a study needs, and its settings say what they are."""

from __future__ import annotations

from dataclasses import fields

import pytest
from typer.testing import CliRunner

from pipeline.cli import app
from pipeline.settings.fields import quick_values
from pipeline.settings.run import RunConfig
from pipeline.settings.studies import STUDIES
from pipeline.studies.study import Study, study_named

PARTS = [name for name in Study.__dict__ if not name.startswith("_")]


@pytest.mark.parametrize("name", STUDIES)
def test_a_study_is_complete(name):
    study = study_named(name)
    assert [part for part in (*PARTS, "Settings", "NAME") if not hasattr(study, part)] == []
    assert name == study.NAME
    study.Settings()
    study.Settings(**quick_values(study.Settings))
    for one in fields(study.Settings):
        assert one.metadata["help"].endswith("."), one.name
        assert "study" in one.metadata["verbs"], one.name


@pytest.mark.parametrize("name", STUDIES)
def test_every_setting_of_a_study_is_an_option(name):
    group = ["stress" if STUDIES[name].failure_mode else "study"] if not STUDIES[name].own_verb else []
    found = CliRunner().invoke(app, [*group, name, "--help-all"], env={"COLUMNS": "200"})
    assert found.exit_code == 0
    for one in fields(study_named(name).Settings):
        assert f"--{one.name.replace('_', '-')}" in found.output
    for option in ("--quick", "--executor", "--workers", "--shard", "--seed", "--model"):
        assert option in found.output


@pytest.mark.parametrize("name", STUDIES)
def test_a_study_that_has_the_option_of_a_budget_keeps_one(name):
    assert hasattr(study_named(name), "BUDGET") is (STUDIES[name].options == "study" and not STUDIES[name].own_verb)


@pytest.mark.parametrize("verb", ["run", "fit", "audit", "prompts"])
def test_every_setting_of_a_run_is_an_option_of_the_verbs_that_it_belongs_to(verb):
    found = CliRunner().invoke(app, [verb, "--help-all"], env={"COLUMNS": "200"})
    assert found.exit_code == 0
    for one in fields(RunConfig):
        shown = f"--{one.name.replace('_', '-')} " in found.output
        assert shown == (verb in one.metadata.get("verbs", ()) or one.name in ("out",) or (verb, one.name) in OWN), (
            one.name
        )


OWN = {("fit", "split")}  # which says something else there


def test_settings_are_declared_with_a_help():
    for one in fields(RunConfig):
        assert one.metadata["help"].endswith("."), one.name
