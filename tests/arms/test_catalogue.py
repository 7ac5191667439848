"""Every row of the catalogue of arms is complete, and works from a fit to the report, the file and back."""

from __future__ import annotations

import pkgutil
import re

import pandas as pd
import pytest

from pipeline.arms.catalogue import ARMS, BASELINE, CONTROL, EXTRAS, KINDS, LANGUAGE_MODEL, MOLECULES
from pipeline.arms.ladder import fitted_arms, is_language_model
from pipeline.features import structures as features
from pipeline.tables.targets import CLASSES, REGRESSION
from tests.test_run import chemtune, run_small

pytestmark = pytest.mark.usefixtures("undrawn", "few_trees")

ROWS = list(ARMS.values())


@pytest.mark.parametrize("arm", ROWS, ids=lambda arm: arm.name)
def test_a_row_is_complete(arm):
    assert re.fullmatch(r"[a-z]+(-[a-z]+)*", arm.name)
    assert arm.does
    assert not arm.does.endswith(".")
    assert re.fullmatch(r"#[0-9a-f]{6}", arm.colour)
    assert arm.role in (CONTROL, BASELINE, LANGUAGE_MODEL)
    assert set(arm.tasks) <= {REGRESSION, CLASSES}
    assert bool(arm.builders) != bool(arm.members), "it is built, or a mean of others"
    assert set(arm.builders or arm.kinds) <= set(KINDS.values())
    for kind in arm.builders or ():
        assert callable(arm.builder(kind))
    for member in arm.members:
        assert all(ARMS[member].is_for(kind) for kind in arm.kinds)
    assert is_language_model(arm.name) == (arm.role == LANGUAGE_MODEL)
    assert not arm.extra or arm.extra in EXTRAS
    assert not arm.extra or arm.by_name, "a group holds what can be fitted everywhere"
    assert not arm.computed or callable(pkgutil.resolve_name(arm.computed[1]))
    assert set(arm.features) <= set(features.compute_features(["CCO"], arm.features))


def test_names_and_colours_tell_arms_of_one_kind_apart():
    for kind in KINDS.values():
        here = [arm for arm in ROWS if arm.is_for(kind) and arm.role != CONTROL]
        assert len({arm.name for arm in here}) == len(here)
        assert len({arm.colour for arm in here if not arm.structureless}) == len(
            [arm for arm in here if not arm.structureless]
        )


QUICK = ("ridge",)  # the others are for the slow part


@pytest.mark.parametrize(
    "arm",
    [
        pytest.param(arm, marks=[] if arm.name in QUICK else pytest.mark.slow, id=arm.name)
        for arm in ROWS
        if arm.is_for(MOLECULES)
    ],
)
def test_an_arm_for_molecules_goes_from_a_fit_to_the_report_the_file_and_back(arm, alcohols, tiny_folder):
    if arm.extra:
        pytest.importorskip(EXTRAS[arm.extra][0].replace("-", "_"))
    task = () if REGRESSION in arm.tasks else ("--bins", 2)
    model = ("--model", tiny_folder, "--steps", 2) if is_language_model(arm.name) else ()
    done = run_small(alcohols, alcohols.parent / "out", "--split", "random", *task, *model, arms=arm.name)
    assert done.returncode == 0, done.stderr
    assert f"<td>{arm.name}" in (alcohols.parent / "out/report.html").read_text(encoding="utf-8")
    assert arm.name in set(pd.read_parquet(alcohols.parent / "out/predictions.parquet")["arm"])
    given = ("--smiles", "SMILES", "--target", "value")
    fitted = chemtune("fit", alcohols, *given, "--arm", arm.name, *task, *model, "--out", "kept", cwd=alcohols.parent)
    assert fitted.returncode == 0, fitted.stderr
    done = chemtune("predict", "kept", alcohols, "--smiles", "SMILES", "--out", "new.csv", cwd=alcohols.parent)
    assert done.returncode == 0, done.stderr
    assert len(pd.read_csv(alcohols.parent / "new.csv")) == 48
    assert fitted_arms(arm.name)
