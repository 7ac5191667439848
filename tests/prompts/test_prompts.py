from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.defaults import COMPONENTS_TEMPLATE, REACTION_TEMPLATE
from pipeline.errors import InputError
from pipeline.prompts.numbers import MARGIN, MAX_ANSWERS, NumberFormat
from pipeline.prompts.templates import PromptTemplate, completion, joined, pairs


def test_the_default_prompt_and_its_answer():
    template = PromptTemplate("log solubility", "mol/L")
    assert template.render("CCO") == "What is the log solubility in mol/L of CCO?"
    assert completion("-1.5") == " -1.5"


def test_context_is_stated_in_the_prompt():
    X = pd.DataFrame({"smiles": ["C"], "solvent": ["MeCN"], "temperature": ["25"]})
    assert PromptTemplate("rate").render_all(X) == ["What is the rate of C, solvent MeCN, temperature 25?"]


def test_reactions_are_stated_whole_or_component_by_component():
    X = pd.DataFrame(
        {"smiles": ["CBr.CN>>CNC"], "aryl_halide": ["CBr"], "base": [""], "solvent": ["toluene"], "temperature": ["80"]}
    )
    parts = {"components": ("aryl_halide", "base", "solvent"), "names": ("solvent",)}
    stated = PromptTemplate("yield", "%", COMPONENTS_TEMPLATE, **parts)
    assert stated.render_all(X) == [
        "What is the yield in % of the reaction of aryl halide CBr, base none, solvent toluene, temperature 80?"
    ]
    structures = [piece.text for piece in stated.pieces_all(X)[0] if piece.structure]
    assert structures == ["CBr"]
    whole = PromptTemplate("yield", "%", REACTION_TEMPLATE, **parts)
    assert whole.render_all(X) == ["What is the yield in % of the reaction CBr.CN>>CNC, temperature 80?"]


def test_only_training_rows_are_shuffled_each_in_an_order_of_its_own():
    row = {"smiles": "CBr.CN>>CNC", "aryl_halide": "CBr", "base": "", "solvent": "toluene", "temperature": "80"}
    X = pd.DataFrame([row] * 30)
    parts = {"components": ("aryl_halide", "base", "solvent"), "names": ("solvent",)}
    shuffled = PromptTemplate("yield", "%", COMPONENTS_TEMPLATE, **parts, shuffled=True)
    plain = PromptTemplate("yield", "%", COMPONENTS_TEMPLATE, **parts)
    assert shuffled.render_all(X) == plain.render_all(X)
    texts = [joined(pieces) for pieces in shuffled.training_pieces(X, seed=0)]
    assert len(set(texts)) == 6
    for text in texts:
        assert text.endswith(", temperature 80?")
        assert {part in text for part in ("aryl halide CBr", "base none", "solvent toluene")} == {True}
    assert [joined(pieces) for pieces in shuffled.training_pieces(X, seed=0)] == texts
    assert [joined(pieces) for pieces in shuffled.training_pieces(X, seed=1)] != texts
    assert plain.training_pieces(X, seed=0) == plain.pieces_all(X)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{molecule} ", "white space"),
        ("what?", "molecule"),
        ("{molecule} {reaction}?", "must stand in it once"),
        ("{components} {components}?", "must stand in it once"),
        ("{molecul}?", "did you mean 'molecule'"),
        ("{molecule", "braces"),
    ],
)
def test_bad_templates_are_refused(text, words):
    with pytest.raises(InputError, match=words):
        PromptTemplate("x", text=text)


def test_pairs_are_a_dataset_with_end_marks():
    found = pairs(["p"], ["1"], "<end>")
    assert found[0] == {"prompt": "p", "completion": " 1<end>"}


@given(st.lists(st.floats(-1e5, 1e5), min_size=2, max_size=30).filter(lambda v: np.std(v) > 1e-3))
def test_numbers_round_trip_at_their_resolution(values):
    form = NumberFormat.fit(values)
    for value in values:
        text = form.write(value)
        assert abs(float(text) - value) <= 0.5001 * form.resolution
        assert text in form.texts()
    assert len(form.values) <= MAX_ANSWERS
    assert form.resolution <= np.std(values) / 10 * 1.0001 or len(form.values) > MAX_ANSWERS / 20


def test_written_numbers_have_no_negative_zero_and_keep_their_decimals():
    form = NumberFormat(1, -50, 50)
    assert form.write(-0.04) == "0.0"
    assert form.write(3.0) == "3.0"
    assert NumberFormat(-2, 0, 10).write(449) == "400"


@given(st.lists(st.floats(-1e5, 1e5), min_size=2, max_size=30).filter(lambda v: np.std(v) > 1e-3), st.floats(0, 5))
def test_a_list_of_answers_reaches_as_far_as_it_is_asked_to(values, ranges):
    form, wide = NumberFormat.fit(values), NumberFormat.fit(values, (ranges, 0.0))
    lowest = min(values) - ranges * np.ptp(values)
    assert wide.can_write(np.array([lowest + wide.resolution, *values])).all()
    assert len(wide.values) <= MAX_ANSWERS
    if ranges <= MARGIN:
        assert wide == form
    if wide.decimals == form.decimals:
        assert wide.high == form.high


def test_what_can_be_written_is_what_is_on_the_list():
    form = NumberFormat(1, -13, 27)
    values = np.arange(-2, 4, 0.013)
    assert form.can_write(values).tolist() == [form.write(value) in form.texts() for value in values]
