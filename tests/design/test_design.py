"""A whole design: every arm, with the truth from an oracle, resumed, and without an oracle."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from rdkit import Chem
from rdkit.Chem import Crippen

from pipeline.design.experiment import Experiment
from pipeline.design.findings import Findings
from pipeline.design.settings import ARMS, BY_MODEL, FRAGMENTS, GENETIC, TRAINING
from pipeline.design.study import Settings, conclude, plan, prepare
from pipeline.design.words import _reads
from pipeline.design.work import CHECK, DESCRIBE, SEARCH, written
from pipeline.errors import InputError
from pipeline.reporter import Reporter
from pipeline.runs.context import settled
from pipeline.settings.reading import make_config
from tests.conftest import SMILES, write_table
from tests.test_run import chemtune

CHEAP = ",".join([TRAINING, FRAGMENTS, GENETIC, BY_MODEL])


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    path = tmp_path_factory.mktemp("design") / "chains.csv"
    esters = [
        f"{'C' * a}{middle}{'C' * b}" for a in range(1, 5) for b in range(1, 4) for middle in ("OC(=O)", "NC(=O)")
    ]
    return write_table(path, [(text, Crippen.MolLogP(Chem.MolFromSmiles(text))) for text in [*SMILES, *esters]])


def designed(table, out, *more):
    return chemtune(
        "design", str(table), "--smiles", "SMILES", "--target", "value", "--out", str(out), "--judge", "ngram-ridge",
        "--n", "10", "--want", "2.5", "--tolerance", "0.3", *more, cwd=table.parent,
    )  # fmt: skip


@pytest.fixture(scope="module")
def run(table, tmp_path_factory):
    out = tmp_path_factory.mktemp("run") / "out"
    found = designed(table, out, "--arms", CHEAP, "--oracle", "logp", "--seeds", "2")
    assert found.returncode == 0, found.stderr
    return out


def test_every_value_is_that_of_the_oracle_and_every_hit_has_one_that_was_wanted(run):
    drawn = pd.read_parquet(run / "predictions.parquet")
    checked = drawn[drawn["hit"].notna()]
    true = checked["smiles"].map(lambda text: Crippen.MolLogP(Chem.MolFromSmiles(text)))
    assert np.allclose(checked["value"], true)
    assert (checked["hit"].astype(bool) == checked["value"].between(2.2, 2.8)[checked["goal"] == "asked"].reindex(
        checked.index, fill_value=False)).where(checked["goal"] == "asked", True).all()  # fmt: skip
    assert checked.groupby(["arm", "goal", "seed"]).size().max() <= 10


def test_designs_are_new_hits_each_once(run, table):
    designs, known = pd.read_csv(run / "designs.csv"), set(map(Chem.CanonSmiles, pd.read_csv(table)["SMILES"]))
    assert len(designs)
    assert designs["smiles"].is_unique
    assert not set(designs["smiles"]) & known
    assert designs["value"].between(2.2, 2.8).all()
    assert set(designs["nearest"]) <= known
    assert not any(arm == TRAINING for arms in designs["designed_by"] for arm in arms.split(", "))


def test_shares_are_what_they_are_called(run):
    drawn, metrics = pd.read_parquet(run / "predictions.parquet"), pd.read_csv(run / "metrics.csv")
    own = drawn[(drawn["arm"] == GENETIC) & (drawn["goal"] == "asked") & drawn["hit"].notna()]
    row = metrics.query("arm == @GENETIC and goal == 'asked' and metric == 'hits per call'").iloc[0]
    by_seed = own.assign(hit=own["hit"].astype(float)).groupby("seed")["hit"].mean()
    assert row["value"] == pytest.approx(by_seed.mean())
    assert row["n"] == len(own)
    assert row["seeds"] == 2
    assert row["low"] <= row["value"] <= row["high"]


def test_a_finished_design_is_not_made_again(run, table):
    before = {path.name: path.stat().st_mtime_ns for path in (run / "cells").glob("*.json")}
    assert designed(table, run, "--arms", CHEAP, "--oracle", "logp", "--seeds", "2").returncode == 0
    assert {path.name: path.stat().st_mtime_ns for path in (run / "cells").glob("*.json")} == before
    page = (run / "report.html").read_text(encoding="utf-8")
    assert chemtune("report", run, cwd=table.parent).returncode == 0
    assert (run / "report.html").read_text(encoding="utf-8") == page


def test_the_page_says_how_many_and_that_a_model_can_be_gamed(run):
    said = json.loads((run / "run.json").read_text(encoding="utf-8"))["sentences"]
    assert said[0].startswith(f"{len(pd.read_csv(run / 'designs.csv'))} new molecules with a value of 2.2 to 2.8 ")
    assert any("Of what the fitted model chose" in sentence for sentence in said)


def test_without_an_oracle_the_fitted_model_counts_and_that_is_said(table, tmp_path):
    found = designed(table, tmp_path / "out", "--arms", CHEAP, "--seeds", "1")
    assert found.returncode == 0, found.stderr
    assert f"Left out: {GENETIC}" in found.stdout
    said = json.loads((tmp_path / "out" / "run.json").read_text(encoding="utf-8"))["sentences"]
    assert "nothing was checked by a truth" in said[0]
    designs = pd.read_csv(tmp_path / "out" / "designs.csv")
    assert designs["value"].isna().all()
    assert designs["predicted"].between(2.2, 2.8).all()


def test_constraints_hold_for_every_design(table, tmp_path):
    more = ("--contains", "C(=O)O", "--max-weight", "150", "--elements", "C,O")
    assert (
        designed(table, tmp_path / "out", "--arms", GENETIC, "--oracle", "logp", "--seeds", "1", *more).returncode == 0
    )
    drawn = pd.read_parquet(tmp_path / "out" / "predictions.parquet")
    checked = [Chem.MolFromSmiles(text) for text in drawn.loc[drawn["hit"].notna(), "smiles"]]
    ester = Chem.MolFromSmarts("C(=O)O")
    assert checked
    assert all(molecule.HasSubstructMatch(ester) for molecule in checked)
    assert {atom.GetSymbol() for molecule in checked for atom in molecule.GetAtoms()} <= {"C", "O"}


def test_an_oracle_that_fails_on_some_molecules_costs_those_alone(table, tmp_path, monkeypatch):
    dies = "if 'N' in smiles:\n        os._exit(3)"
    (tmp_path / "half.py").write_text(
        f"import os\n\n\ndef carbons(smiles):\n    {dies}\n    return smiles.count('C') / 2\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    found = designed(table, tmp_path / "out", "--arms", TRAINING, "--oracle", "half:carbons", "--seeds", "1")
    assert found.returncode == 0, found.stderr
    drawn = pd.read_parquet(tmp_path / "out" / "predictions.parquet")
    checked = drawn[drawn["hit"].notna()]
    lost = checked["smiles"].str.contains("N")
    assert lost.any()
    assert not lost.all()
    assert checked.loc[lost, "value"].isna().all()
    assert (checked.loc[lost, "reason"] != "").all()
    assert checked.loc[~lost, "value"].notna().all()
    assert not checked.loc[lost, "hit"].astype(bool).any()


class Mute:
    """Writes what is no molecule."""

    def texts(self, stated, temperatures, enough):
        found = []
        while not enough(found):
            found += [(1.0, "C1CC(")] * 100
        return found


def test_a_language_model_that_writes_no_molecule_is_one_line(table, tmp_path):
    config = make_config(str(table), {"smiles": "SMILES", "target": "value", "out": str(tmp_path / "out")})
    experiment = Experiment(prepare(config, Settings(want="2.5", arms=("lm",)), Reporter()))
    with pytest.raises(InputError, match="wrote no molecule in 1000 samples"):
        written(experiment, Mute(), 2.5, 20)


@pytest.fixture(scope="module")
def written_ones(table, tmp_path_factory, tiny_folder):
    """What a two-layer model that has learned chains writes."""
    out = tmp_path_factory.mktemp("written") / "out"
    found = designed(
        table, out, "--arms", "lm,lm-any,lm-shuffled,lm-by-model,lm-any-by-model,fragments", "--oracle", "logp",
        "--model", str(tiny_folder), "--generator-steps", "150", "--temperatures", "0.7", "--seeds", "1",
    )  # fmt: skip
    assert found.returncode == 0, found.stderr
    return out


def test_a_language_model_writes_molecules_that_are_read_strictly(written_ones):
    """Whatever it writes has a status, and the new ones are checked."""
    drawn = pd.read_parquet(written_ones / "predictions.parquet")
    assert set(drawn["arm"]) == {"lm", "lm-any", "lm-shuffled", "lm-by-model", "lm-any-by-model", "fragments"}
    assert set(drawn.query("arm == 'lm'")["goal"]) == {"asked", "edge", "beyond"}
    assert set(drawn.loc[drawn["hit"].notna(), "status"]) <= {"new"}
    assert (drawn.loc[drawn["arm"] != "fragments", "temperature"] == 0.7).all()


@pytest.mark.parametrize("own", ["lm", "lm-any"])
def test_the_best_are_taken_of_the_same_texts(written_ones, own):
    """Of ten times as many texts, which begin with those of the arm alone, the model's favourites are checked."""
    drawn = pd.read_parquet(written_ones / "predictions.parquet").query("goal == 'asked'")
    alone, best = (drawn[drawn["arm"] == arm] for arm in (own, f"{own}-by-model"))
    assert len(best) == 100
    assert list(alone["written"]) == list(best["written"])[: len(alone)]
    checked, new = best[best["hit"].notna()], best[best["status"] == "new"]
    assert len(checked) == min(10, len(new))
    assert set(checked["status"]) == {"new"}
    first = alone[alone["hit"].notna()]
    assert list(first["smiles"]) == list(new["smiles"])[: len(first)]
    away = (checked["predicted"] - 2.5).abs()
    assert away.median() <= (first["predicted"] - 2.5).abs().median()


def checked_for(arm, goal, values):
    draws = [
        {"smiles": "C", "text": "C", "status": "new", "reason": "", "checked": True, "value": value} for value in values
    ]
    return {"work": CHECK, "tags": {"arm": arm, "goal": goal, "seed": 0}, "draws": draws}


@pytest.mark.parametrize(("want", "edge"), [("1", 6.0), ("4", -6.0)])
def test_a_model_reads_the_value_if_what_it_writes_follows_it(table, tmp_path, want, edge):
    """Also where the edge lies below what is asked for; a molecule without a value says nothing."""
    config = make_config(str(table), {"smiles": "SMILES", "target": "value", "out": str(tmp_path / "out")})
    context = prepare(config, Settings(want=want, tolerance=0.1, oracle="logp"), Reporter())
    rng, middle = np.random.default_rng(0), float(want)
    reads = [*(middle + rng.normal(size=60)), None]
    contents = [
        checked_for("lm", "asked", reads),
        checked_for("lm", "edge", [middle + edge + noise for noise in rng.normal(size=30)]),
        checked_for("lm-shuffled", "asked", reads),
        checked_for("lm-shuffled", "edge", list(middle + rng.normal(size=30))),
    ]
    found = Findings(Experiment(context), contents)
    assert found.follows("lm").value > 0.95
    assert found.follows("lm-shuffled").value == pytest.approx(0.5, abs=0.15)
    (said,) = _reads(found)
    assert said.startswith("lm reads the value: ")
    swapped = [
        one | {"tags": one["tags"] | {"arm": "lm-shuffled" if one["tags"]["arm"] == "lm" else "lm"}} for one in contents
    ]
    (said,) = _reads(Findings(Experiment(context), swapped))
    assert "is not shown to read" in said
    assert np.isnan(Findings(Experiment(context), contents[:1]).follows("lm").value)


def test_arms_in_which_a_model_chooses_stand_against_each_other(written_ones):
    rows = pd.read_csv(written_ones / "compared.csv")
    assert set(zip(rows["of"], rows["arm"], strict=True)) == {
        ("lm", "lm-any"), ("lm", "lm-shuffled"), ("lm-by-model", "lm-any-by-model"), ("lm-by-model", "fragments"),
    }  # fmt: skip


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--want", ""], "say with --want"),
        (["--contains", "c1cc"], "is no SMARTS"),
        (["--contains", "[U]"], "none of its"),
        (["--oracle", "xtb_gp"], "did you mean 'xtb_gap'"),
        (["--oracle", "nowhere:nothing"], "nowhere"),
        (["--arms", "lmm"], "did you mean 'lm'"),
        (["--temperatures", "0"], "temperature"),
        (["--model-of", "nowhere"], "nowhere"),
        (["--budget", "5m"], "budget does nothing"),
        (["--steps", "5"], "--generator-steps says"),
        (["--batch", "4"], "batch does nothing"),
        (["--want", "500"], "name a value nearer"),
        (["--n", "3"], "at least 10"),
        (["--tolerance", "nan"], "it must be a number"),
        (["--max-weight", "inf"], "it must be a number"),
    ],
)
def test_what_makes_no_sense_is_one_line(table, tmp_path, more, said):
    found = designed(table, tmp_path / "out", *more)
    assert found.returncode == 2
    assert said in " ".join(found.stderr.split())
    assert "Traceback" not in found.stderr


def context_for(table, tmp_path, more=None, **settings):
    given = {"smiles": "SMILES", "target": "value", "out": str(tmp_path / "out")}
    return prepare(make_config(str(table), given | (more or {})), Settings(**settings), Reporter())


def test_nothing_of_the_users_file_is_new(tmp_path):
    """Not a row that was not drawn, nor one whose value cannot be read, nor a tautomer of one."""
    rows = [(text, f"{Crippen.MolLogP(Chem.MolFromSmiles(text)):.3f}") for text in SMILES]
    path = write_table(tmp_path / "all.csv", [*rows, ("CC(N)=O", "1.0"), ("NC(=O)CCCCCC", "about 1")])
    context = context_for(path, tmp_path, want="2.5", rows=30)
    assert len(context.table) == 30
    experiment = Experiment(context)
    own = [*SMILES, "CC(=N)O", "OC(=N)CCCCCC"]
    assert {draw["status"] for draw in experiment.sieve().read_all(own)} == {"in the table"}
    assert experiment.sieve().read("OCC(F)CC(Cl)CBr")["status"] == "new"


def meV(smiles):
    return 1000.0 * Crippen.MolLogP(Chem.MolFromSmiles(smiles))


meV.units = "meV"


def test_what_an_oracle_computes_is_turned_into_the_units_of_the_table(table, tmp_path):
    context = context_for(
        table, tmp_path, {"units": "eV"}, want="2.5", arms=(TRAINING,), oracle="tests.design.test_design:meV"
    )
    experiment = Experiment(context)
    truth = experiment.truth(settled(context, Reporter()), "asked")
    (found,) = truth.numbers(["CCCCCC"])
    assert found == pytest.approx(Crippen.MolLogP(Chem.MolFromSmiles("CCCCCC")))
    with pytest.raises(InputError, match="computes meV, and the column is in nM"):
        context_for(table, tmp_path, {"units": "nM"}, want="2.5", oracle="tests.design.test_design:meV")


def test_another_time_limit_asks_again(table, tmp_path):
    def cells(seconds):
        context = context_for(table, tmp_path, want="2.5", arms=(GENETIC,), oracle="logp", seconds=seconds)
        return {cell.id for cell in plan(context, settled(context, Reporter())) if cell.tags["arm"] == GENETIC}

    assert cells(30.0) == cells(30.0)
    assert not cells(30.0) & cells(300.0)


def test_a_model_on_another_scale_is_refused(table, tmp_path):
    done = chemtune(
        "fit", table, "--smiles", "SMILES", "--target", "value", "--units", "nM", "--arm", "ngram-ridge", "--out", "m",
        cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    model = str(tmp_path / "m")
    with pytest.raises(InputError, match="predicts values in nM, and the table has values without units"):
        context_for(table, tmp_path, want="2.5", model_of=model)
    assert context_for(table, tmp_path, {"units": "nM"}, want="2.5", model_of=model)


def test_arms_that_draw_nothing_leave_an_empty_design(table, tmp_path):
    context = context_for(table, tmp_path, want="2.5", arms=(FRAGMENTS,), oracle="logp", judge="ngram-ridge")
    tags = {"arm": FRAGMENTS, "goal": "asked", "seed": 0}
    cost = {"id": "0", "seconds": 0.0, "peak_mb": 0.0}
    searched = {"work": SEARCH, "tags": tags, "draws": [], **cost}
    described = {"work": DESCRIBE, "tags": {"arm": "ngram-ridge"}, "described": [], **cost}
    found = conclude(context, [searched, described])
    assert found.tables["designs"].empty
    assert "No new molecule" in found.sentences[0]


def test_each_arm_is_described_by_what_was_checked_of_it(written_ones):
    """Texts that a model passed over are no molecules of its arm, and have no share of hits."""
    metrics, drawn = (pd.read_csv(written_ones / "metrics.csv"), pd.read_parquet(written_ones / "predictions.parquet"))
    by_model = metrics.query("arm == 'lm-by-model' and goal == 'asked'").set_index("metric")["value"]
    assert np.isnan(by_model["hits per sample"])
    checked = drawn.query("arm == 'lm-by-model' and goal == 'asked'").dropna(subset=["hit"])
    assert by_model["SA score"] == pytest.approx(checked.drop_duplicates("smiles")["sa_score"].mean())


def test_a_table_of_classes_or_with_columns_beside_is_refused(tmp_path):
    classes = write_table(tmp_path / "classes.csv", [(text, "yes" if "O" in text else "no") for text in SMILES])
    config = make_config(str(classes), {"smiles": "SMILES", "target": "value", "out": str(tmp_path / "out")})
    with pytest.raises(InputError, match="holds classes"):
        prepare(config, Settings(want="1"), Reporter())


def test_findings_of_nothing_are_said_plainly(table, tmp_path):
    config = make_config(str(table), {"smiles": "SMILES", "target": "value", "out": str(tmp_path / "out")})
    context = prepare(config, Settings(want="2.5", oracle="logp", arms=(TRAINING,)), Reporter())
    found = Findings(Experiment(context), [])
    assert found.arms == []
    assert set(ARMS) >= set(found.arms)
