"""Training on what a verifier accepts: all rewards begin alike, and the oracle judges each."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from rdkit import Chem
from rdkit.Chem import Crippen

from pipeline.cells.cell import Cell
from pipeline.design.experiment import Experiment
from pipeline.design.reinforce import WORK, _rounds
from pipeline.design.reinforced import Reinforced
from pipeline.design.settings import REWARDS, Settings
from pipeline.design.study import prepare
from pipeline.reporter import Reporter
from pipeline.runs.context import settled
from pipeline.settings.reading import make_config
from tests.conftest import SMILES, write_table
from tests.test_run import chemtune


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    path = tmp_path_factory.mktemp("reinforce") / "chains.csv"
    return write_table(path, [(text, Crippen.MolLogP(Chem.MolFromSmiles(text))) for text in SMILES])


@pytest.fixture(scope="module")
def run(table, tmp_path_factory, tiny_folder):
    out = tmp_path_factory.mktemp("run") / "out"
    found = chemtune(
        "design", table, "--smiles", "SMILES", "--target", "value", "--out", out, "--judge", "ngram-ridge",
        "--arms", "lm", "--n", "10", "--want", "3", "--tolerance", "1", "--oracle", "logp", "--model", tiny_folder,
        "--generator-steps", "120", "--reinforce", "--rounds", "1", "--samples", "64",
        cwd=table.parent,
    )  # fmt: skip
    assert found.returncode == 0, found.stderr
    return out


def test_every_reward_begins_with_the_same_training(run):
    rows = pd.read_csv(run / "reinforced.csv")
    assert set(rows["reward"]) == set(REWARDS)
    assert set(rows["seed"]) == {0}
    start = rows[rows["round"] == 0]
    for column in ("written", "new", "diversity", "similarity", "hits_per_sample"):
        assert (start.groupby("seed")[column].nunique(dropna=False) == 1).all(), column
    assert (start["divergence"].dropna() == 0).all()


def test_a_reward_by_the_oracle_has_no_gap_and_all_are_judged_by_it(run):
    rows = pd.read_csv(run / "reinforced.csv")
    assert np.allclose(rows.loc[rows["reward"].str.startswith("oracle"), "gap"], 0.0)
    for path in (run / "cells").glob("*.json"):
        content = json.loads(path.read_text(encoding="utf-8"))
        if content["work"] == WORK:
            for rounds in content["rounds"].values():
                for draw in (draw for one in rounds for draw in one["looked_at"]):
                    assert draw["value"] == pytest.approx(Crippen.MolLogP(Chem.MolFromSmiles(draw["smiles"])))


def test_the_verdict_says_what_each_reward_brought(run):
    said = json.loads((run / "run.json").read_text(encoding="utf-8"))["sentences"]
    assert sum(sentence.startswith("Reinforced, ") for sentence in said) == len(REWARDS)
    assert "Reinforced" in (run / "report.html").read_text(encoding="utf-8")


def a_round(new, values, accepted):
    draws = [{"smiles": "C", "value": value, "accepted": good} for value, good in zip(values, accepted, strict=True)]
    shared = {"written": 100, "accepted": sum(accepted), "diversity": 0.8, "similarity": 0.5, "divergence": 1.0}
    return {"new": new, "looked_at": draws, "texts": 100, "calls": len(draws), **shared}


def findings_of(table, tmp_path, *seeds):
    config = make_config(str(table), {"smiles": "SMILES", "target": "value", "out": str(tmp_path / "out")})
    context = prepare(config, Settings(want="3", tolerance=1.0, oracle="logp"), Reporter())
    contents = [{"work": WORK, "rounds": {"model": rounds}} for rounds in seeds]
    return Reinforced(Experiment(context), contents)


def nothing_changes(rng, rewards, new, hits):
    """The rounds of rewards that begin alike and change nothing: 256 texts, 64 molecules looked at."""

    def drawn():
        count = int(rng.binomial(256, new))
        values = np.where(rng.random(min(count, 64)) < hits, 3.0, 9.0).tolist()
        return a_round(count, values, [True] * len(values)) | {"written": 256}

    start = drawn()
    return {"work": WORK, "rounds": {f"model-{number}": [start, drawn()] for number in range(rewards)}}


@pytest.mark.parametrize(("new", "hits"), [(0.6, 0.1), (0.6, 0.5), (0.5, 0.9), (0.6, 0.97)])
def test_where_nothing_changes_a_change_is_rarely_called_one(table, tmp_path, new, hits):
    """Of one training, by six rewards: in at most one of twenty tables, give or take what 200 tables tell."""
    experiment, rng = findings_of(table, tmp_path).experiment, np.random.default_rng(0)
    told = [any(Reinforced(experiment, [nothing_changes(rng, 6, new, hits)]).told.values()) for _ in range(200)]
    assert np.mean(told) < 0.10


class Reciting:
    """A writer of the same texts in every round, whatever it is trained on."""

    def __init__(self, texts):
        self.texts_, self.out_, self.value_, self.adapter_, self.seed = texts, {}, {}, {}, 0

    def texts(self, asking, temperatures, enough):
        return [(1.0, text) for text in self.texts_]

    def can_write(self, smiles):
        return False

    def fit_again(self, *given):
        pass

    def improve(self, asked, rewards, group, rate):
        return [rewards(of[0], self.texts_[:group]) for of in asked]


@pytest.mark.parametrize("reward", ["oracle", "oracle-grpo"])
def test_what_was_trained_on_is_not_new_again(table, tmp_path, reward):
    config = make_config(str(table), {"smiles": "SMILES", "target": "value", "out": str(tmp_path / "out")})
    settings = Settings(want=">0", oracle="logp", rounds=2, samples=16)
    context = prepare(config, settings, Reporter())
    machine, texts = settled(context, Reporter()), ["CCCCCCCCCCCCCC", "CCCCCCCCCCCCCCC", "OC(=O)C(O)=O", "C1CC"] * 4
    cell = Cell(WORK, {"arm": "lm", "seed": 0}, {"seed": 0}, (), "reinforced")
    rounds = _rounds(Experiment(context), machine, Reciting(texts), reward, cell)
    assert [one["new"] for one in rounds] == [3, 1, 1]  # the acid is no hit and was never trained on
    assert [one["calls"] for one in rounds] == [3, 3, 3]
    assert rounds[-1]["texts"] == (48 if reward == "oracle" else 80)


def test_a_gain_is_that_of_true_hits_among_all_that_is_written(table, tmp_path):
    """Of half as many that are new a fifth hits, then all; the reward calls all good both times."""
    before, after = a_round(50, [3.0, 9.0, 9.0, None, 9.0], [True] * 5), a_round(80, [3.0] * 4, [True] * 4)
    found = findings_of(table, tmp_path, [before, after])
    assert found.hits(before) == pytest.approx(0.1)
    assert found.hits(after) == pytest.approx(0.8)
    assert found.gap(before) == pytest.approx(0.8)
    assert found.gap(after) == 0.0
    assert found.gain("model").value == pytest.approx(0.7)
    assert found.gain("model").error > 0
    assert "went from 10 to 80 %" in found.sentences()[0]


def test_seeds_that_differ_widen_the_interval_of_a_gain(table, tmp_path):
    none, some = a_round(50, [9.0] * 8, [True] * 8), a_round(50, [3.0] * 8, [True] * 8)
    alike = findings_of(table, tmp_path, [none, some], [none, some], [none, some])
    apart = findings_of(table, tmp_path, [none, some], [none, none], [some, none])
    low, high = alike.gain("model").interval()
    assert 0.1 < low < 0.5 < high  # seeds that agree are still samples
    low, high = apart.gain("model").interval()
    assert low < 0 < high
    assert "can be chance" in apart.sentences()[0]
    assert "is more than chance" in alike.sentences()[0]


def test_what_is_reinforced_needs_a_truth(table, tmp_path):
    found = chemtune(
        "design", table, "--smiles", "SMILES", "--target", "value", "--want", "3", "--reinforce", cwd=tmp_path
    )
    assert found.returncode == 2
    assert "name an oracle" in found.stderr


def test_policy_gradient_makes_what_is_rewarded_likelier(tiny_folder):
    """A reward for texts without a ring: the share of them among what is written grows, and the log-probability of a
    chain does as well."""
    from pipeline.arms.writing import MoleculeWriter
    from pipeline.lm.engine import shared_engine
    from pipeline.prompts.templates import PromptTemplate

    engine = shared_engine(str(tiny_folder), 2, "float32")
    writer = MoleculeWriter(engine, PromptTemplate("size"), steps=60, seed=1)
    writer.fit([1.0] * len(SMILES), [Chem.CanonSmiles(text) for text in SMILES])
    before = writer.log_probabilities(1.0, ["CCCO", "CCc1ccccc1"])
    means = writer.improve([[1.0]] * 25, lambda row, texts: np.array(["1" not in text for text in texts]), 48, 3e-3)
    after = writer.log_probabilities(1.0, ["CCCO", "CCc1ccccc1"])
    assert len(means) == 25
    assert np.mean(means[-5:]) > np.mean(means[:5])
    assert (after - before)[0] > (after - before)[1]
    silent = writer.improve([[1.0]] * 2, lambda row, texts: np.zeros(len(texts)), 16, 3e-3)
    assert silent == [0.0, 0.0]
    assert np.allclose(writer.log_probabilities(1.0, ["CCCO"]), after[:1], atol=1e-4)
