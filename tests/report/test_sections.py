"""The page of a study: every branch of its template is taken, and text from a table cannot become markup."""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from pipeline.report import page as pages
from pipeline.report.blocks import (
    Card,
    Cards,
    Code,
    Drawn,
    Figure,
    Folded,
    Grid,
    Group,
    Links,
    Listed,
    Pairs,
    Point,
    Section,
    Shaded,
    Text,
    Verdict,
    note,
)
from pipeline.report.page import Part
from pipeline.report.sections import counted, interval_where, language_model_note, warning_notes
from pipeline.reporter import Reporter
from pipeline.runs.context import hardware
from pipeline.runs.prepare import prepare
from pipeline.settings.reading import make_config
from tests.branches import Branches
from tests.conftest import write_table

EVIL = "<script>alert(1)</script>"
SVG = "<svg xmlns='http://www.w3.org/2000/svg'></svg>"
MOLECULE = Drawn(SVG, "a molecule", "measured 1", "CCO")
PARTS = [
    Section("", [Verdict(["What was found."]), note("How to read it."), Text([f"A sentence of {EVIL}."], soft=False)]),
    Section(
        "A part",
        [
            Figure("drawn", SVG, "what is drawn", [Point(0.25, 0.5, f'a "{EVIL}"')]),
            Figure("second", SVG, "what else is drawn"),
            Listed(["one"]),
            Listed(["two"], "Beware", box=True),
            Code("chemtune run"),
            Links([(EVIL, "a b/report.html")]),
            Cards([Card("a card", "soft", [("fact", EVIL)], ["a note"]), Card("another", "", [])], "split-cards"),
            Pairs([(MOLECULE, MOLECULE)] * 3, first=2),
            Pairs([(MOLECULE, MOLECULE)], wide=True),
            Pairs([(replace(MOLECULE, svg="", smiles="NaCl"), MOLECULE)]),
        ],
    ),
    Section(
        EVIL,
        [
            Grid(
                ("name", "words", "number"),
                [(EVIL, "b", 0.123456), ("c", None, 7), ("d", "e", Shaded((0.5, 0.25, 0.75), 2))],
                frozenset({1}),
                marked=frozenset({0}),
                strong=frozenset({1}),
                caption="How to read it.",
            ),
            Grid((), [("x", "a sentence")], wrapped=frozenset({1}), name="plain"),
            Grid(("a", "b"), [Group("first", [(1, (0.5, 0.25, 0.75))]), Group("second", [(2, (np.nan, 0.0, 1.0))])]),
            Grid(("name", "sentence"), [("x", "wrapped under a header")], wrapped=frozenset({1})),
            note("Behind it."),
        ],
        level=3,
    ),
    Section("Folded", [note("Shown when asked for."), Folded("more", [Figure("inside", SVG, "inside")])], folded=True),
    Section("Also folded", [note("Shown when asked for.")], folded=True, about="what is in it"),
    Section("Folded, too", [note("Shown when asked for.")], folded=True, anchor="named"),
]


@pytest.fixture
def context(alcohols, tmp_path):
    rows = [(text, 5 if number else 40) for number, text in enumerate(["CCO", "OCC"])]
    path = write_table(tmp_path / "warned.csv", [*rows, ("nonsense", 1), *[(f"{'C' * n}N", n) for n in range(2, 40)]])
    given = {"smiles": "SMILES", "target": "value", "arms": "ridge", "out": str(tmp_path / "out"), "split": "random"}
    return prepare(make_config(str(path), given), Reporter())


def parts_of(context, *sections):
    trained = pd.DataFrame({"seconds": [12.0], "peak_mb": [100.0]})
    return [Part(context, "A study", ["a fact"], one, "chemtune stress x", trained, {"rdkit": "1"}) for one in sections]


def test_every_branch_of_the_page_was_taken(context):
    branches = Branches()
    templates = branches.module(pages)
    templates.Environment = branches.environment
    one = templates.write_page(parts_of(context, PARTS), context.folder).read_text(encoding="utf-8")
    assert (context.folder / "figures/drawn.svg").exists()
    assert (context.folder / "figures/inside.svg").exists()
    no_model = pd.DataFrame({"seconds": [], "peak_mb": []})
    several = [*parts_of(context, PARTS, [Section("", [note("nothing")])])]
    tidy = replace(context, table=replace(context.table, refused=context.table.refused.iloc[:0]))
    several[1] = replace(several[1], trained=no_model, context=tidy)
    for gpu, megabytes in (("a GPU", 1e3), ("a GPU", 0.0), ("", 0.0)):
        templates.hardware = lambda gpu=gpu: {**hardware(), "gpu": gpu}
        several[0] = replace(several[0], trained=several[0].trained.assign(gpu_peak_mb=megabytes))
        two = templates.write_page(several, context.folder / "two").read_text(encoding="utf-8")
    context.config.__dict__["target"] = EVIL
    many = templates.write_page([*several, *several], context.folder.parent, [Section("All", [note("together")])])
    assert branches.missing("page.html.j2", "blocks.html.j2", pages.__name__) == []
    assert EVIL not in many.read_text(encoding="utf-8")
    for page in (one, two):
        assert EVIL not in page
        assert "&lt;script&gt;" in page
        assert page.count("<script>") == 1
    assert 'id="target-1-named"' in two
    assert two.count('href="#target-1-named"') == 1


def test_only_the_script_of_the_page_may_run(context):
    page = pages.write_page(parts_of(context, PARTS), context.folder).read_text(encoding="utf-8")
    (script,) = re.findall("<script>(.*?)</script>", page, re.DOTALL)
    allowed = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{allowed}'" in page


def test_columns_are_written_with_the_digits_that_their_intervals_allow():
    grid = Grid(("arm", "MAE"), [("a", (12.345, 11.02, 13.7)), ("b", (9.1, 7.5, 10.9)), ("c", (0.0, np.nan, np.nan))])
    ((_, rows),) = [(group.heading, group.rows) for group in grid.groups]
    assert [(row[1].text, row[1].range) for row in rows] == [
        ("12.3", "11.0 to 13.7"),
        ("9.1", "7.5 to 10.9"),
        ("0.0", ""),
    ]
    mixed = Grid(
        ("measure", "random"), [("coverage", (0.9123, 0.88, 0.94)), ("width", (41.2, 33.0, 47.0))], aligned=False
    )
    assert [row[1].text for row in mixed.groups[0].rows] == ["0.912", "41.2"]
    tiny = Grid(("arm", "d"), [("a", (-8.25e-7, -2e-6, 3e-7))])
    assert tiny.groups[0].rows[0][1].text == "-8.25 × 10⁻⁷"


def test_what_pages_share_is_said_only_where_it_applies(context):
    assert language_model_note(context, 10, 8) == []
    assert warning_notes(context)[0].startswith("Warning: 1 molecule was measured more than once")
    assert counted(pd.Series([300, 300])) == "300"
    assert counted(pd.Series([290, 300])) == "290 to 300"
    assert counted(pd.Series([], dtype=float)) == ""
    frame = pd.DataFrame({"a": ["x", "y"], "dose": [1.0, np.nan], "value": [1, 2], "low": [0, 1], "high": [2, 3]})
    assert interval_where(frame, a="y", dose=np.nan) == (2.0, 1.0, 3.0)
    assert interval_where(frame, a="z") is None
