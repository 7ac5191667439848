"""The page of a study: every branch of its template is taken, and text from a table cannot become markup."""

from __future__ import annotations

import re

import numpy as np
import pytest

from pipeline.report import environment, sections
from pipeline.report.sections import Figure, Grid, Group, Section, counted, interval_where, language_model_note
from pipeline.reporter import Reporter
from pipeline.runs.prepare import prepare
from pipeline.settings.reading import make_config
from tests.branches import Branches
from tests.conftest import write_table

EVIL = "<script>alert(1)</script>"
PARTS = [
    Section("", verdict=["What was found."], notes=["How to read it."]),
    Section("A part", figure=Figure("drawn", "<svg xmlns='http://www.w3.org/2000/svg'></svg>", "what is drawn")),
    Section(
        EVIL,
        level=3,
        grids=[
            Grid(
                ("name", "words", "number"),
                [(EVIL, "b", 0.123456), ("c", None, 7)],
                frozenset({1}),
                marked=frozenset({0}),
            ),
            Grid((), [("x", "a sentence")], wrapped=frozenset({1}), name="plain"),
            Grid(("a", "b"), [Group("first", [(1, (0.5, 0.25, 0.75))]), Group("second", [(2, (np.nan, 0.0, 1.0))])]),
            Grid(("name", "sentence"), [("x", "wrapped under a header")], wrapped=frozenset({1})),
        ],
        remarks=["Behind it."],
    ),
    Section("Folded", notes=["Shown when asked for."], folded=True),
]


@pytest.fixture
def context(alcohols, tmp_path):
    rows = [(text, 5 if number else 40) for number, text in enumerate(["CCO", "OCC"])]
    path = write_table(tmp_path / "warned.csv", [*rows, *[(f"{'C' * n}N", n) for n in range(2, 40)]])
    given = {"smiles": "SMILES", "target": "value", "arms": "ridge", "out": str(tmp_path / "out"), "split": "random"}
    return prepare(make_config(str(path), given), Reporter())


def test_every_branch_of_the_page_of_a_study_was_taken(context):
    branches = Branches()
    made, templates = branches.module(sections, "write_page"), branches.module(environment, "page_environment")
    templates.Environment = branches.environment
    made.page_environment = templates.page_environment
    page = made.write_page(context, "A study", ["a fact"], PARTS, "chemtune stress x", 12.0, {"rdkit": "1"}).read_text(
        encoding="utf-8"
    )
    assert branches.missing("study.html.j2", sections.__name__) == []
    assert EVIL not in page
    assert "&lt;script&gt;" in page
    text = re.sub(r"<style>.*?</style>|<[^>]+>", " ", page, flags=re.DOTALL)
    assert "0.123" in text
    assert "0.5 0.25 to 0.75" in " ".join(text.split())
    assert not re.search(r"\bnan\b|\bNone\b", text)
    assert (context.folder / "figures/drawn.svg").exists()
    assert f"--out {context.folder}" in page


def test_what_pages_share_is_said_only_where_it_applies(context):
    import pandas as pd

    assert language_model_note(context, 10, 8) == []
    assert sections.warning_notes(context)[0].startswith("Warning: 1 molecule was measured more than once")
    assert counted(pd.Series([300, 300])) == "300"
    assert counted(pd.Series([290, 300])) == "290 to 300"
    assert counted(pd.Series([], dtype=float)) == ""
    frame = pd.DataFrame({"a": ["x", "y"], "dose": [1.0, np.nan], "value": [1, 2], "low": [0, 1], "high": [2, 3]})
    assert interval_where(frame, a="y", dose=np.nan) == (2.0, 1.0, 3.0)
    assert interval_where(frame, a="z") is None
