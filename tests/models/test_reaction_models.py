"""Models of reactions taken home: every arm, files of new reactions, and what cannot be read."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from pipeline.arms.catalogue import arms_of
from pipeline.arms.ladder import CONTROLS
from pipeline.models.fitting import fit_model
from pipeline.models.folder import load_model
from pipeline.reporter import Reporter
from pipeline.settings.reading import make_config
from pipeline.tables.kinds import REACTIONS
from pipeline.tables.targets import CLASSES, REGRESSION
from tests.models.test_models import predicted, predicted_afresh, uncalibrated
from tests.test_run import chemtune

pytestmark = pytest.mark.usefixtures("undrawn", "few_trees")

COLUMNS = ["halide", "amine", "base", "solvent"]
NEW = pd.DataFrame(
    [
        ("Brc1ccccc1", "CCN", "CCN(CC)CC", "toluene"),
        ("c1ccncc1Br", "NC1CCCCC1", "", "1,4-dioxane"),
        ("Ic1ccccc1", "CCCCN", "[Na+].[OH-]", "water"),
    ],
    columns=COLUMNS,
)


def fitted(path, arm, **more):
    given = {"components": COLUMNS, "yield": "yield", "steps": 3, "dtype": "float32", **more}
    return fit_model(make_config(str(path), given), arm, Reporter())


@pytest.mark.slow  # every arm, twice
@pytest.mark.parametrize("success", [0.0, 20.0])
def test_every_arm_predicts_the_same_in_a_fresh_process(couplings, tiny_folder, tmp_path, monkeypatch, success):
    monkeypatch.setattr("pipeline.models.fitting.calibrate", uncalibrated)
    expected = {}
    for arm in arms_of(REACTIONS):
        if arm == CONTROLS[REGRESSION if success else CLASSES]:
            continue
        model = fitted(couplings, arm, model=str(tiny_folder), success=success)
        model.save(tmp_path / "models" / arm)
        expected[arm] = predicted(model, NEW)
    assert predicted_afresh(tmp_path / "models", NEW) == expected


def test_a_file_of_reactions_keeps_its_rows_and_their_problems(couplings, tmp_path):
    given = ("--components", ",".join(COLUMNS), "--yield", "yield", "--arm", "components-rf", "--out", tmp_path / "m")
    done = chemtune("fit", couplings, *given, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "48 reactions" in done.stdout
    assert "Reads reactions from the columns halide, amine, base, solvent" in done.stdout
    file = tmp_path / "new.csv"
    rows = pd.concat([NEW, pd.DataFrame([("C(((", "CN", "", "toluene")], columns=COLUMNS)])
    rows.assign(note="mine").to_csv(file, index=False)
    done = chemtune("predict", tmp_path / "m", file, "--out", tmp_path / "out.csv", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "3 of 4 rows predicted" in done.stdout
    found = pd.read_csv(tmp_path / "out.csv", keep_default_na=False)
    assert list(found["halide"]) == list(rows["halide"])
    assert "halide" in found["problem"].iloc[3]
    assert found["prediction"].iloc[3] == ""
    assert (found["nearest_training_reaction"].iloc[:3].str.count(">") == 2).all()
    model = load_model(tmp_path / "m")
    np.testing.assert_allclose(found["prediction"].iloc[:3].astype(float), model.predict(NEW), rtol=1e-5)  # six digits
    card = (tmp_path / "m" / "README.md").read_text()
    assert "from a reaction in the columns `halide`, `amine`, `base`, `solvent`" in card
    assert "48 reactions" in card
    np.testing.assert_allclose(model.predict(pd.read_csv(file).iloc[:3]), model.predict(NEW))  # empty cells are NaN
    with pytest.raises(ValueError, match="X has no column 'base'"):
        model.predict(NEW.drop(columns="base"))
    with pytest.raises(ValueError, match=r"X\[1\], column 'amine'"):
        model.predict(NEW.assign(amine=["CCN", "C(", "CN"]))
    missing = chemtune("predict", tmp_path / "m", file, "--smiles", "halide", cwd=tmp_path)
    assert missing.returncode == 2
    assert "reads the columns halide, amine, base, solvent" in missing.stderr
    NEW.drop(columns="base").to_csv(tmp_path / "short.csv", index=False)
    short = chemtune("predict", tmp_path / "m", tmp_path / "short.csv", cwd=tmp_path)
    assert short.returncode == 2
    assert "base" in short.stderr


def test_a_reaction_smiles_alone_and_a_run_as_the_source(couplings, tmp_path):
    given = ("--reaction", "rxn", "--yield", "yield", "--success", "20")
    ran = chemtune(
        "run", couplings, *given, "--split", "random", "--arms", "drfp-rf", "--out", tmp_path / "run", cwd=tmp_path
    )
    assert ran.returncode == 0, ran.stderr
    done = chemtune("fit", "--run", tmp_path / "run", "--arm", "drfp-rf", "--out", tmp_path / "m", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    told = chemtune(
        "predict", tmp_path / "m", "--smiles", "Brc1ccccc1.CCN>>CCNc1ccccc1", "--smiles", "CCO", cwd=tmp_path
    )
    assert told.returncode == 2, told.stderr
    assert "nearest training reaction" in told.stdout
    assert "CCO: not a reaction SMILES" in told.stdout
    texts = ["Brc1ccccc1.CCN>>CCNc1ccccc1", "Clc1ccccc1.CN>>CNc1ccccc1"]
    assert load_model(tmp_path / "m").predict(texts).shape == (2,)
    assert "random split of `run`: AUROC" in (tmp_path / "m" / "README.md").read_text()
