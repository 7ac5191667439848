"""What a table takes for one compound is one compound for its models, however it is written."""

from __future__ import annotations

import shutil

import numpy as np
import pandas as pd
import pytest

from pipeline import LoraRegressor, load
from pipeline.models.fitting import fit_model
from pipeline.models.predicting import predict_file
from pipeline.reporter import Reporter
from pipeline.runs.prepare import load_table
from pipeline.settings.reading import make_config
from pipeline.tables.canonical import identity_of
from pipeline.tables.kinds import MOLECULES
from pipeline.tables.molecules import parse_molecule
from tests.conftest import SMILES, write_table
from tests.models.test_written_before import BEFORE

ONE, OTHER = "Cc1c[nH]cn1", "Cc1cnc[nH]1"
PAIR = [ONE, OTHER]


def model_of(path, rows, header="SMILES,value", **options):
    given = {"smiles": "SMILES", "target": "value", **options}
    return fit_model(make_config(str(write_table(path, rows, header)), given), "ridge", Reporter())


@pytest.fixture(scope="module")
def imidazole(tmp_path_factory):
    """The folder of a model of a table that holds both tautomers."""
    path = tmp_path_factory.mktemp("t")
    rows = [*((text, 3.0) for text in PAIR), *((text, len(text)) for text in SMILES)]
    model_of(path / "t.csv", rows).save(path / "m")
    return path / "m"


def test_two_spellings_that_are_one_row_get_one_prediction(imidazole, tmp_path):
    model = load(imidazole)
    described = model.describe(PAIR)
    assert described["in_training"].all()
    assert described["prediction"].nunique() == 1 == len(set(model.predict(PAIR)))
    write_table(tmp_path / "new.csv", [(text,) for text in [*PAIR, "Cc1cncs1"]], "SMILES")
    predict_file(model, str(tmp_path / "new.csv"), tmp_path / "out.csv", Reporter(), workers=1)
    found = pd.read_csv(tmp_path / "out.csv")
    assert found["in_training"].tolist() == [True, True, False]
    np.testing.assert_allclose(found["prediction"][:2], described["prediction"], rtol=1e-5)


@pytest.mark.parametrize("trained", PAIR)
def test_the_spelling_that_training_had_is_the_one_that_is_predicted(tmp_path, trained):
    model = model_of(tmp_path / "t.csv", [(trained, 3.0), *((text, len(text)) for text in SMILES)])
    assert model.describe(PAIR)["in_training"].all()
    assert set(model.describe(PAIR)["nearest_training_molecule"]) == {trained}


def test_one_compound_has_one_spelling_in_all_contexts(tmp_path):
    rows = [(ONE, 1.0, 20), (OTHER, 2.0, 30), *((text, len(text), 20 + 10 * (n % 2)) for n, text in enumerate(SMILES))]
    path = write_table(tmp_path / "t.csv", rows, "SMILES,value,temperature")
    config = make_config(str(path), {"smiles": "SMILES", "target": "value", "context": "temperature"})
    frame = load_table(config, Reporter()).frame
    assert frame.loc[frame["line"].isin((2, 3)), "smiles"].tolist() == [ONE, ONE]
    model = fit_model(config, "ridge", Reporter())
    found = model.describe(pd.DataFrame({"SMILES": [*PAIR, *PAIR], "temperature": ["20", "20", "30", "30"]}))
    assert found["in_training"].all()
    assert found["prediction"].nunique() == 2


def test_a_saved_estimator_and_itself_take_two_spellings_as_one(tiny_folder, tmp_path):
    tiny = {"model": str(tiny_folder), "trained_layers": 1, "dtype": "float32", "steps": 3}
    model = LoraRegressor("length", **tiny).fit([*PAIR, *SMILES[:10]], np.arange(12.0))
    model.save(tmp_path / "m")
    assert len(set(model.predict(PAIR))) == 1
    np.testing.assert_array_equal(load(tmp_path / "m").predict(PAIR), model.predict(PAIR))
    assert load(tmp_path / "m").describe(PAIR)["in_training"].all()


def test_a_text_in_other_letters_is_the_same_text(tmp_path):
    rows = [(f"a {word} of {thing}", n) for n, word in enumerate("abcdef") for thing in ("Tin", "Lead", "Zinc", "Iron")]
    path = write_table(tmp_path / "t.csv", rows, "text,value")
    model = fit_model(make_config(str(path), {"text": "text", "target": "value"}), "word-ridge", Reporter())
    assert model.describe(["a b of Tin", "A B of TIN"])["in_training"].all()


def test_a_folder_that_knows_no_identities_still_loads(tmp_path):
    old = load(shutil.copytree(BEFORE / "ridge", tmp_path / "ridge"))
    assert not old.domain.known
    assert old.describe([old.domain.smiles[0], "OCCCCCCCCCCCCCCCO"])["in_training"].tolist() == [True, False]


@pytest.mark.parametrize("text", [*PAIR, "C[C@H](O)F", "CC(=O)[O-].[Na+]", "C[N+](C)(C)C", "[13CH4]", "CCO |^1:0|"])
def test_a_canonical_text_has_the_identity_of_its_row(text):
    molecule = parse_molecule(text)
    assert identity_of(molecule.smiles, MOLECULES) == molecule.identity
