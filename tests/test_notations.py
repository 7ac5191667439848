"""One molecule in several notations: what is read, what is refused, and models that keep it."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from rdkit import Chem

from pipeline.arms.ladder import make_arm
from pipeline.arms.spelled import Spelled, shown_as
from pipeline.errors import InputError
from pipeline.features.notations import NOTATIONS, Representation, representations, unwritable, written
from pipeline.lm.tokens import PromptTokens
from pipeline.prompts.templates import PromptTemplate
from pipeline.reporter import Reporter
from pipeline.runs.prepare import prepare
from pipeline.settings.reading import make_config
from pipeline.tables.molecules import canonical_smiles
from tests.conftest import SMILES, write_table
from tests.test_run import chemtune

pytestmark = pytest.mark.usefixtures("undrawn", "few_trees")

NITRO = "O=[N+]([O-])c1ccccc1"


def test_selfies_deepsmiles_and_inchi_lead_back_to_the_molecule():
    import deepsmiles
    import selfies

    back = {
        "selfies": lambda text: str(selfies.decoder(text)),
        "deepsmiles": deepsmiles.Converter(rings=True, branches=True).decode,
        "inchi": lambda text: Chem.MolToSmiles(Chem.MolFromInchi(text)),
        "canonical": str,
    }
    for smiles in [*SMILES, NITRO]:
        for notation, read in back.items():
            assert canonical_smiles(read(written(smiles, notation))) == canonical_smiles(smiles)


def test_a_name_is_that_of_the_molecule():
    assert written("CCO", "name") == "ethanol"
    assert "benzene" in written("Cc1ccccc1[N+](=O)[O-]", "name")


def test_random_smiles_are_of_the_molecule_differ_and_hang_on_the_seed_alone():
    one = Representation.of("randomised:8")
    texts = one.texts("CC(=O)Nc1ccc(O)cc1", seed=3)
    assert {canonical_smiles(text) for text in texts} == {canonical_smiles("CC(=O)Nc1ccc(O)cc1")}
    assert len(set(texts)) == 8
    assert texts == one.texts("CC(=O)Nc1ccc(O)cc1", seed=3)
    assert texts != one.texts("CC(=O)Nc1ccc(O)cc1", seed=4)
    assert Representation.of("randomised:3").texts("C") == ["C"] * 3  # it has no other


@pytest.mark.parametrize(
    ("texts", "why"),
    [
        (["slefies"], "did you mean 'selfies'"),
        (["randomised:0"], "a number from 1 to 50"),
        (["randomised:x"], "a number from 1 to 50"),
        (["selfies:3"], "stands behind randomised"),
        (["inchi", "inchi"], "names a notation twice"),
    ],
)
def test_what_is_no_notation_is_one_line(texts, why):
    with pytest.raises(InputError, match=why):
        representations(texts)


def test_what_a_notation_cannot_write_has_its_reason():
    found = unwritable(["CCO", "[Fe+2].c1cc[cH-]c1.c1cc[cH-]c1"], [Representation.of(one) for one in NOTATIONS])
    assert set(found) <= {"[Fe+2].c1cc[cH-]c1.c1cc[cH-]c1"}
    assert unwritable(["ClI(Cl)c1ccccc1"], [Representation.of("selfies")])["ClI(Cl)c1ccccc1"].startswith(
        "SELFIES cannot write"
    )


def test_symbols_are_cut_where_the_notation_has_some():
    class Characters:
        def __call__(self, text, add_special_tokens):
            return {"input_ids": [text]}

    tokens = PromptTokens(Characters())
    template = PromptTemplate("x")
    (selfies,) = shown_as(["CC=O"], Representation.of("selfies"), 0).iloc[:, 0]
    assert tokens.prompt(template.pieces(selfies), "atomwise") == ("What is the x of", " [C]", "[C]", "[=O]", "?")
    words = PromptTemplate("x", symbols=False)
    assert tokens.prompt(words.pieces("ethanol"), "atomwise") == ("What is the x of ethanol?",)


def test_several_notations_are_averaged_and_spellings_of_one_too():
    y = np.array([len(text) for text in SMILES], dtype=np.float64)
    options = {"seed": 0, "threads": 1}
    both = make_arm("ngram-ridge", "regression", representation=("selfies", "inchi"), **options).fit(SMILES, y)
    each = [make_arm("ngram-ridge", "regression", representation=(one,), **options) for one in ("selfies", "inchi")]
    np.testing.assert_allclose(both.predict(SMILES), np.mean([one.fit(SMILES, y).predict(SMILES) for one in each], 0))
    spelled = make_arm("ngram-ridge", "regression", representation=("randomised:4",), **options).fit(SMILES, y)
    (inner,) = spelled.members.values()
    shown = shown_as(SMILES[:5], Representation.of("randomised:4"), 0)
    np.testing.assert_allclose(spelled.predict(SMILES[:5]), inner.predict(shown).reshape(5, 4).mean(axis=1))
    classes = np.where(y > 9, "long", "short")
    chances = make_arm("ngram-ridge", "classes", representation=("randomised:2", "name"), **options)
    assert chances.fit(SMILES, classes).predict_proba(SMILES).sum(axis=1) == pytest.approx(np.ones(len(SMILES)))


def test_arms_that_do_not_read_text_are_as_they_were():
    arm = make_arm("ridge", "regression", seed=0, threads=1, representation=("selfies",))
    assert not isinstance(arm, Spelled)


def _config(path, **more):
    settings = {"smiles": "SMILES", "target": "value", "out": str(path.parent / "o"), "split": ["random"]}
    return make_config(str(path), {**settings, **more})


def test_rows_that_a_notation_cannot_write_are_refused_for_all_arms(tmp_path):
    path = write_table(tmp_path / "t.csv", [*((s, len(s)) for s in SMILES), ("ClI(Cl)c1ccccc1", 3)])
    given = {"arms": ["ridge", "ngram-ridge"], "representation": ["selfies"]}
    refused = prepare(_config(path, **given), Reporter()).table.refused
    assert list(refused["line"]) == [50]
    assert refused["reason"].iloc[0].startswith("SELFIES cannot write")
    assert not len(prepare(_config(path, **{**given, "arms": ["ridge"]}), Reporter()).table.refused)
    assert not len(prepare(_config(path, **{**given, "representation": ["canonical"]}), Reporter()).table.refused)


def test_notations_are_for_molecules(tmp_path):
    path = write_table(tmp_path / "t.csv", [("NaCl", 1), ("KCl", 2)], "formula,value")
    with pytest.raises(InputError, match="representation is for molecules; this table holds compositions"):
        make_config(str(path), {"composition": "formula", "target": "value", "representation": ["selfies"]})


@pytest.mark.parametrize(
    "notation",
    [
        "selfies",
        pytest.param("name", marks=pytest.mark.slow),
        pytest.param("deepsmiles,randomised:3", marks=pytest.mark.slow),
        pytest.param("canonical,inchi", marks=pytest.mark.slow),
    ],
)
def test_a_model_keeps_its_notation_from_the_prompt_to_the_prediction(notation, tmp_path, tiny_folder):
    path = write_table(tmp_path / "t.csv", [(s, len(s)) for s in SMILES])
    given = ("--smiles", "SMILES", "--target", "value", "--representation", notation)
    model = ("--model", tiny_folder, "--steps", 2)
    shown = chemtune("prompts", path, *given, "--rows", 1, cwd=tmp_path).stdout
    texts = Representation.of(notation.split(",")[0]).texts(canonical_smiles(pd.read_csv(path)["SMILES"][0]))
    assert shown
    arms = ("--arms", "ngram-ridge,lm-head,lm-text", "--split", "random", "--out", "o")
    done = chemtune("run", path, *given, *model, *arms, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    for arm in ("ngram-ridge", "lm-head", "lm-text"):
        whole = model if arm != "ngram-ridge" else ()
        done = chemtune("fit", path, *given, *whole, "--arm", arm, "--out", f"m-{arm}", cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        done = chemtune("predict", f"m-{arm}", path, "--out", "new.csv", cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        assert pd.read_csv(tmp_path / "new.csv")["prediction"].notna().all()
        about = json.loads((tmp_path / f"m-{arm}/model.json").read_text(encoding="utf-8"))
        assert about["notations"] == notation.split(",")
        assert f"reads molecules as {', '.join(notation.split(','))}" in (tmp_path / f"m-{arm}/README.md").read_text(
            encoding="utf-8"
        )
    assert texts
    if "selfies" in notation:
        new = write_table(tmp_path / "odd.csv", [("CCO", 1), ("ClI(Cl)c1ccccc1", 2)])
        done = chemtune("predict", "m-lm-head", new, "--out", "odd-out.csv", cwd=tmp_path)
        problems = pd.read_csv(tmp_path / "odd-out.csv")["problem"].fillna("")
        assert problems[0] == ""
        assert problems[1].startswith("SELFIES cannot write")
