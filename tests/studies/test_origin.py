"""What the structure gives away of the source of a row: planted sources are found, random ones are not."""

from __future__ import annotations

from functools import partial

import numpy as np
import pandas as pd
import pytest

from pipeline.errors import InputError
from pipeline.reporter import Reporter
from pipeline.runs import origins
from pipeline.runs.audit import audit_lines, audit_table
from pipeline.runs.budget import fit_budget
from pipeline.runs.context import Machine
from pipeline.runs.estimates import Probe
from pipeline.runs.origins import ALL, by_source, dealt, label_means, named_sources, recognised
from pipeline.runs.prepare import load_raw, load_table
from pipeline.settings.reading import make_config
from pipeline.studies.origin import study
from pipeline.studies.origin.findings import (
    DEALT,
    LEARNED_APART,
    PERMUTED,
    PREDICTED,
    RANDOM,
    RECOGNISED,
    TOLD,
    TRUE,
    Findings,
)
from pipeline.studies.origin.settings import Settings
from tests.conftest import reaction_rows, write_table
from tests.studies.made import contents_of
from tests.test_run import chemtune

ENDS = ("O", "N", "Cl", "c1ccccc1", "C1CCCCC1", "c1ccncc1")
HEADER = "SMILES,value,paper"


@pytest.fixture(autouse=True)
def few_trees(monkeypatch):
    monkeypatch.setattr(study, "recognised", partial(recognised, trees=6))


def molecules(count=12):
    """``(SMILES, family)``: chains with one of six ends."""
    return [(f"{'C' * (a + 1)}{end}", place) for a in range(count) for place, end in enumerate(ENDS)]


def planted(path, rng, by_family=True, classes=False):
    """A table whose label follows from the family; papers are the families, or drawn at random."""
    rows = []
    for smiles, family in molecules():
        value = 10 * family + rng.normal()
        label = ("low" if value < 25 else "high") if classes else f"{value:.3f}"
        rows.append((smiles, label, f"paper {family if by_family else rng.integers(4)}"))
    return write_table(path, rows, HEADER)


def context_of(path, given=None, **settings):
    run = {"smiles": "SMILES", "target": "value"} | (given or {})
    config = make_config(str(path), run | {"out": str(path.parent / f"out-{path.stem}")})
    chosen = {"origin": "paper", "arms": ("ridge",), "least_rows": 5, "folds": 3, "repeats": 1} | settings
    return study.prepare(config, Settings(**chosen), Reporter())


def found_in(context):
    return Findings(context, contents_of(study, context))


@pytest.mark.slow
def test_study_and_audit_find_planted_sources_and_not_random_ones(tmp_path, monkeypatch):
    monkeypatch.setattr(origins, "QUICK_TREES", 4)
    by_study, by_audit = {True: 0, False: 0}, {True: 0, False: 0}
    for number in range(20):
        for by_family in (True, False):
            path = planted(tmp_path / f"{by_family}-{number}.csv", np.random.default_rng(number), by_family)
            context = context_of(path, {"seed": number}, folds=2)
            found = found_in(context)
            by_study[by_family] += found.shown[RECOGNISED] and found.shown[TOLD]
            cells = load_raw(str(path)).frame["paper"]
            by_audit[by_family] += origins.quick_look(context.table, "paper", cells, number).shown
    assert (by_study[True], by_audit[True]) == (20, 20)
    assert by_study[False] <= 2
    assert by_audit[False] <= 2


def test_a_planted_source_says_all_that_the_structure_does_until_sources_are_apart(tmp_path):
    context = context_of(planted(tmp_path / "t.csv", np.random.default_rng(0)), repeats=3)
    contents = contents_of(study, context)
    found = Findings(context, contents)
    assert found.share(found.hit_scores(PREDICTED))[0] > 0.8
    assert found.floor_scores[0] == pytest.approx(1 / 6)
    alone, constant, true, wrong = (found.error(RANDOM, arm)[0] for arm in (PREDICTED, "mean", TRUE, DEALT))
    assert true <= alone < constant / 2
    assert wrong > constant
    assert found.advantage(RANDOM)[0] > 0.8
    assert found.error(found.apart.name, PREDICTED)[0] > 1.5 * alone
    assert found.harder("ridge")[0] > 1.5
    assert not found.leaks
    assert not found.shown[LEARNED_APART]
    said = study.conclude(context, contents).sentences
    assert "gives away the source" in said[0]
    assert "A random split flatters" in said[1] or "random split flatters" in said[1]
    assert any("sources kept apart" in one for one in said)
    assert any("cannot show" in one for one in said)


def test_what_is_known_of_dealt_sources_is_chance(tmp_path):
    context = context_of(planted(tmp_path / "t.csv", np.random.default_rng(1)), repeats=3)
    contents = contents_of(study, context)
    found = Findings(context, contents)
    assert found.share(found.hit_scores(PERMUTED))[0] < 0.35
    assert found.error(RANDOM, PERMUTED)[0] > 2 * found.error(RANDOM, PREDICTED)[0]
    assert not found.leaks
    leaking = [one | {"found": one["given"]} if one["tags"]["arm"] == PERMUTED else one for one in contents]
    assert Findings(context, leaking).leaks
    assert any(
        one.startswith("Warning: sources that mean nothing") for one in study.conclude(context, leaking).sentences
    )


def test_classes_bins_and_bounds(tmp_path):
    context = context_of(planted(tmp_path / "c.csv", np.random.default_rng(0), classes=True))
    contents = contents_of(study, context)
    found = Findings(context, contents)
    assert found.shown[TOLD]
    assert found.of_one_class
    said = study.conclude(context, contents)
    assert any("one class alone" in one for one in said.sentences)
    assert {"log_loss", "accuracy", "recognised", "macro_recall"} == set(said.metrics["metric"])
    assert np.allclose(said.predictions[["p_high", "p_low"]].sum(axis=1), 1)
    binned = context_of(planted(tmp_path / "b.csv", np.random.default_rng(0)), {"bins": 2})
    assert found_in(binned).shown[TOLD]
    rows = [(smiles, f">{value}" if value % 7 == 0 else value, f"p{value % 3}") for value, (smiles, _) in NUMBERED]
    bounded = context_of(write_table(tmp_path / "l.csv", rows, HEADER), {"bounds": "limit"})
    assert len(found_in(bounded).rows) == sum(value % 7 != 0 for value, _ in NUMBERED)


NUMBERED = list(enumerate(molecules(), start=1))


def test_the_mean_of_sources():
    sources, labels = np.array(["a", "a", "b"]), np.array([1.0, 3.0, 8.0])
    means = label_means(sources, labels, ())
    assert by_source(means, ["a", "b", "c"]).tolist() == [2.0, 8.0, 4.0]
    other = dealt(means, np.random.default_rng(0))
    assert (other["a"], other["b"], other[ALL]) == (8.0, 2.0, 4.0)
    shares = label_means(sources, np.array(["x", "x", "y"]), ("x", "y"))
    assert by_source(shares, ["a", "b"]) == pytest.approx(np.array([[8 / 9, 1 / 9], [1 / 3, 2 / 3]]))


def test_a_molecule_of_two_papers_is_never_trained_on_and_tested(tmp_path):
    rows = [(smiles, family, f"p{family % 2}") for smiles, family in molecules()]
    rows += [(smiles, family + 0.5, f"p{(family + 1) % 2}") for smiles, family in molecules(3)]
    context = context_of(write_table(tmp_path / "t.csv", rows, HEADER))
    twins = dict(zip(context.table.frame["row_id"], context.table.frame["twins"], strict=True))
    assert len(context.table) == len(rows)
    for split in context.splits:
        for fold in split.folds:
            assert not {twins[row] for row in fold.train} & {twins[row] for row in fold.test}
    assert len(context.splits[1].folds) == 2  # whole sources in as many folds as there are


def test_small_sources_and_blank_cells_are_left_out_and_said(tmp_path):
    rows = [(smiles, family, f"p{family}" if family else "") for smiles, family in molecules()]
    rows += [("C#CC", 1, "rare"), ("C#CCC", 2, "rare")]
    context = context_of(write_table(tmp_path / "t.csv", rows, HEADER))
    assert set(context.table.cells.loc[context.table.frame["row_id"], "paper"]) == {f"p{n}" for n in range(1, 6)}
    assert context.table.refused["reason"].value_counts().to_dict() == {
        "no origin: the cell is empty": 12,
        "no origin: the source has fewer than 5 rows": 2,
    }
    said = study.described(context)
    assert any("2 molecules of sources with fewer than 5" in one for one in said)
    assert any("12 molecules without a source" in one for one in said)
    fewer = context_of(tmp_path / "t.csv", {"max_rows": 40})
    assert len(fewer.table) <= 40
    assert fewer.table.cells.loc[fewer.table.frame["row_id"], "paper"].value_counts().min() >= 5


@pytest.mark.parametrize(
    ("paper", "expected"),
    [
        (lambda n: "one", "names one source alone, 'one'"),
        (lambda n: f"p{n}", "of which none with 5 or more molecules"),
        (lambda n: "big" if n < 40 else f"p{n}", "of which 1 with 5 or more"),
        (lambda n: "", "is empty in all rows"),
        (lambda n: f"{n + 0.5}", "holds numbers such as"),
    ],
)
def test_a_column_that_names_no_sources_is_one_line(tmp_path, paper, expected):
    rows = [(smiles, n, paper(n)) for n, (smiles, _) in NUMBERED]
    with pytest.raises(InputError, match=expected):
        context_of(write_table(tmp_path / "t.csv", rows, HEADER))


def test_the_column_of_origin_is_named_or_found_by_its_name(tmp_path):
    path = planted(tmp_path / "t.csv", np.random.default_rng(0))
    assert context_of(path, origin="").settings.origin == "paper"
    with pytest.raises(InputError, match=r"unknown column of origin 'papers'.*did you mean 'paper'"):
        context_of(path, origin="papers")
    with pytest.raises(InputError, match="which is the target"):
        context_of(path, origin="value")
    with pytest.raises(InputError, match="models would be told it"):
        context_of(path, {"context": ["paper"]})
    with pytest.raises(InputError, match="one that is shown a structure"):
        context_of(path, arms=("mean",))
    frame = pd.read_csv(path)
    frame.assign(assay="a").assign(laboratory=frame["paper"]).to_csv(tmp_path / "two.csv", index=False)
    with pytest.raises(InputError, match="it may be 'paper', 'laboratory'"):
        context_of(tmp_path / "two.csv", origin="")
    frame.rename(columns={"paper": "colour"}).to_csv(tmp_path / "none.csv", index=False)
    with pytest.raises(InputError, match="no column is named like one"):
        context_of(tmp_path / "none.csv", origin="")


def test_dates_are_years_and_whole_numbers_are_names():
    dates = pd.Series(["2019-03-02", "2019-11-30", "01/02/2020", ""])
    years, said = named_sources("date", dates)
    assert years.tolist() == ["2019", "2019", "2020", ""]
    assert "the year is the source" in said
    codes, said = named_sources("assay", pd.Series(["12", "13", "nan"]))
    assert (codes.tolist(), said) == (["12", "13", ""], "")


def test_two_classes_of_which_a_source_has_one_leave_the_random_folds(tmp_path):
    rows = [(smiles, "active" if family < 3 else "inactive", f"p{family // 3}") for smiles, family in molecules()]
    context = context_of(write_table(tmp_path / "t.csv", rows, HEADER))
    assert [split.name for split in context.splits] == ["random"]
    assert "whole sources cannot be dealt to folds" in context.rungs_left_out[0]
    said = study.conclude(context, contents_of(study, context)).sentences
    assert any(one.startswith("Not tested: sources apart") for one in said)


def test_reactions_by_their_solvent(tmp_path):
    frame = pd.DataFrame(reaction_rows(), columns=["halide", "amine", "base", "solvent", "rxn", "yield"])
    frame.to_csv(tmp_path / "r.csv", index=False)
    given = {"components": ["halide", "amine", "base"], "yield": "yield"}
    config = make_config(str(tmp_path / "r.csv"), {**given, "out": str(tmp_path / "out")})
    chosen = Settings(origin="solvent", arms=("onehot-rf",), least_rows=5, folds=2, repeats=1)
    context = study.prepare(config, chosen, Reporter())
    said = study.conclude(context, contents_of(study, context))
    assert "48 reactions of 2 sources (solvent)" in said.sentences[0]


def test_the_same_command_gives_the_same_numbers(tmp_path):
    path = planted(tmp_path / "t.csv", np.random.default_rng(2))
    first, again = (study.conclude(one, contents_of(study, one)) for one in (context_of(path), context_of(path)))
    pd.testing.assert_frame_equal(first.metrics, again.metrics)
    shuffled = pd.read_csv(path).sample(frac=1, random_state=0)
    shuffled.to_csv(tmp_path / "s.csv", index=False)
    other = context_of(tmp_path / "s.csv")
    moved = study.conclude(other, contents_of(study, other)).metrics
    pd.testing.assert_frame_equal(first.metrics, moved)


def test_a_budget_takes_repeats(tmp_path):
    context = context_of(planted(tmp_path / "t.csv", np.random.default_rng(0)), repeats=3)
    timed = Probe({"ridge": ((40, 1.0),)}, 0.0, {}, {}, 0.0)
    whole = study.BUDGET.seconds(context, Machine(1), timed)
    smaller = fit_budget(context, Machine(1), timed, whole / 2, study.BUDGET)
    assert smaller.settings.repeats == 1
    assert smaller.left_out == ("repeats: 1 of 3",)
    assert Findings(smaller, contents_of(study, smaller)).metrics()["seeds"].max() == 1


def test_the_audit_says_what_it_measured(tmp_path):
    path = planted(tmp_path / "t.csv", np.random.default_rng(0))
    done = chemtune("audit", path, "--smiles", "SMILES", "--target", "value", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    said = " ".join(done.stdout.split())
    assert "Warning: origin: out of fold on 72 molecules of the 6 largest sources in 'paper'" in said
    assert "the largest one holds 17%" in said
    unnamed = chemtune("audit", path, "--smiles", "SMILES", "--target", "value", "--origin", "colour", cwd=tmp_path)
    assert unnamed.returncode == 2
    assert "unknown column of origin 'colour'" in unnamed.stderr
    config = make_config(str(path), {"smiles": "SMILES", "target": "value"})
    assert not any("rigin" in line for line in audit_lines(audit_table(load_table(config, Reporter()))))


def test_the_command_goes_from_table_to_page_and_back(tmp_path, tiny_folder):
    path, out = planted(tmp_path / "t.csv", np.random.default_rng(0)), tmp_path / "origin"
    command = ("stress", "origin", path, "--smiles", "SMILES", "--target", "value", "--arms", "ridge,lm-head")
    more = ("--least-rows", 5, "--folds", 2, "--repeats", 1, "--model", tiny_folder, "--steps", 2, "--dtype", "float32")
    done = chemtune(*command, *more, "--out", out, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    page = (out / "report.html").read_text(encoding="utf-8")
    assert "the label, or where it comes from?" in page
    metrics = pd.read_csv(out / "metrics.csv")
    assert {"ridge", "lm-head", PREDICTED, TRUE, PERMUTED, DEALT} <= set(metrics["arm"])
    assert (metrics["n"] == 72).all()
    assert len(pd.read_csv(out / "sources.csv")) == 6
    again = chemtune("report", out, cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    assert (out / "report.html").read_text(encoding="utf-8") == page
