"""The study of rewards: the truth teaches, a wrong verifier is pleased, and what is proposed stays unseen."""

from __future__ import annotations

import csv
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from pipeline.errors import InputError
from pipeline.report.page import Part, write_page
from pipeline.reporter import Reporter
from pipeline.runs.context import Machine, settled
from pipeline.settings.reading import make_config
from pipeline.studies.rewards import study, work
from pipeline.studies.rewards.experiment import Experiment, prepare
from pipeline.studies.rewards.findings import START, Findings, detectable, sentences
from pipeline.studies.rewards.page import COLOURS, drawn, sections
from pipeline.studies.rewards.settings import DECOYS, FAILURES, REWARDS, SUCCESSES, TRUTH, Settings
from tests.studies.made import contents_of
from tests.test_run import chemtune

pytestmark = pytest.mark.usefixtures("few_trees")

BASES = [f"{'C' * (k + 1)}O" for k in range(6)]
GOOD, LIKED = "CCO", "CCCCO"  # what succeeds nearly always, and what a wrong verifier likes
SUCCEED = dict(zip(BASES, (0.0, 0.9, 0.2, 0.2, 0.2, 0.2), strict=True))
SETTINGS = Settings(
    held_out="halide+amine",
    propose=("base",),
    folds=2,
    positives=0,
    generator_steps=120,
    asked=40,
    rewards=(TRUTH,),
    rounds=3,
    steps=10,
    reactions=3,
    group=12,
    rate=2e-3,
    written=8,
    best_of=4,
)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """100 pairs under six bases: one never succeeds, one nearly always, the others now and then."""
    path, rng = tmp_path_factory.mktemp("world") / "world.csv", np.random.default_rng(3)
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["halide", "amine", "base", "rxn", "yield"])
        for i in range(10):
            for j in range(10):
                for base in BASES:
                    halide, amine = f"{'C' * (i + 1)}Br", f"{'C' * (j + 1)}N"
                    reaction = f"{halide}.{amine}.{base}>>{'C' * (i + 1)}N{'C' * (j + 1)}"
                    writer.writerow([halide, amine, base, reaction, 80.0 if rng.random() < SUCCEED[base] else 0.0])
    return path


def experiment_of(path, folder, tiny_folder, settings=SETTINGS):
    given = {
        "reaction": "rxn",
        "components": ["halide", "amine", "base"],
        "yield": "yield",
        "model": str(tiny_folder),
        "out": str(folder / "out"),
    }
    return Experiment.of(prepare(make_config(str(path), given), settings, Reporter()))


def found_by(experiment):
    return Findings(experiment, contents_of(study, experiment.context))


@pytest.fixture(scope="module")
def taught(world, tmp_path_factory, tiny_folder):
    return found_by(experiment_of(world, tmp_path_factory.mktemp("taught"), tiny_folder))


def test_the_truth_teaches_what_succeeds_most_often(taught):
    before, after = taught.success(START)[0], taught.success(TRUTH)[0]
    assert before < 0.75
    assert after > before + 0.1
    by_round = taught.training.groupby("round")["true"].mean()
    assert by_round.iloc[-1] > by_round.iloc[0]
    assert (taught.training["called"] == taught.training["true"]).all()
    assert f"Rewarded by {TRUTH}, {100 * after:.0f} %" in sentences(taught)[1]


def test_shares_are_those_of_the_measured_table(taught, world):
    """The popular conditions of each fold succeed as the table says; a random draw as all conditions do."""
    rows = pd.read_csv(world)
    pairs = taught.predictions().query("proposals == 'popular' and seed == 0")
    own = rows.assign(pair=rows["halide"] + " + " + rows["amine"], success=rows["yield"] >= 20)
    popular = own[own["base"] == GOOD].set_index("pair")["success"]
    assert list(pairs["success"]) == [float(popular[pair]) for pair in pairs["group"]]
    random = taught.predictions().query("proposals == 'random'")
    expected = own[own["pair"].isin(random["group"])].groupby("pair")["success"].mean()
    assert random.set_index("group")["success"].to_dict() == pytest.approx(expected.to_dict())


def test_held_out_pairs_are_not_trained_on_and_questions_do_not_tell_the_answer(taught):
    experiment = taught.experiment
    for fold, part in enumerate(experiment.parts):
        train = {experiment.stated(row) for row in part.train}
        assert {experiment.stated(one.row) for one in experiment.tested(fold)}.isdisjoint(train)
        assert {experiment.stated(row) for row in experiment.trained(fold)} == train
        assert len(experiment.trained(fold)) == len(train)
    assert all("base" not in cells for cells in experiment.stated_cells.values())
    assert len(taught.groups) == 40


@pytest.mark.parametrize("packed", [True, False])
def test_what_is_written_side_by_side_for_several_questions_is_what_each_gets_alone(
    world, tmp_path, tiny_folder, monkeypatch, packed
):
    experiment = experiment_of(world, tmp_path, tiny_folder, replace(SETTINGS, generator_steps=20))
    machine = Machine(1, "float32")
    writer = work._tuned(experiment, machine, work.plan(experiment.context, machine)[0])
    rows, rng = experiment.trained(0)[:12:3], torch.Generator()
    assert len({len(prompt) for prompt in writer.prompts(rows)}) > 1
    with writer.with_adapters(), torch.no_grad():
        monkeypatch.setattr(writer.engine, "_packed", writer.engine._packed if packed else None)
        together = writer._sample(rows, 1e-6, rng, 2)
        assert together == [writer._sample([row], 1e-6, rng, 2)[0] for row in rows]
        monkeypatch.setattr("pipeline.arms.writer.SAMPLED_TOGETHER", 4)  # two rows, then two
        assert together == writer._sample(rows, 1e-6, rng, 2)
    assert len({tuple(own) for own in together}) > 1


def likes(base):
    """A verifier that calls one base a success, whatever it is used for."""

    def made(experiment, machine, fold, name, seed):
        return lambda row, proposed: [(float(values == (base,)), values == (base,)) for values in proposed]

    return made


def test_a_wrong_verifier_is_pleased_and_the_truth_is_not(world, tmp_path, tiny_folder, monkeypatch):
    monkeypatch.setattr(work, "_reward", likes(LIKED))
    found = found_by(
        experiment_of(world, tmp_path, tiny_folder, replace(SETTINGS, rewards=(FAILURES,), rounds=2, asked=20))
    )
    assert found.of_written(FAILURES, "called") > found.of_written(FAILURES, "called", at_end=False) + 0.2
    assert found.success(FAILURES)[0] < found.success(START)[0]
    assert "points beside the truth" in " ".join(sentences(found))


def test_a_reward_that_says_the_same_of_everything_teaches_nothing(world, tmp_path, tiny_folder, monkeypatch):
    monkeypatch.setattr(work, "_reward", likes("none of these"))
    found = found_by(
        experiment_of(
            world, tmp_path, tiny_folder, replace(SETTINGS, rewards=(FAILURES,), generator_steps=40, rounds=1, steps=2)
        )
    )
    assert (found.values(FAILURES) == found.values(START)).all()
    assert list(found.compared.query("proposals == @FAILURES")["shown"]) == [0]
    assert "which can be chance" in sentences(found)[1]
    assert not any("By the spread that was found" in sentence for sentence in sentences(found))


def test_all_rewards_begin_alike_and_are_on_the_page(world, tmp_path, tiny_folder):
    settings = replace(SETTINGS, rewards=tuple(REWARDS), folds=3, generator_steps=20, rounds=1, steps=1, asked=6)
    experiment = experiment_of(world, tmp_path, tiny_folder, settings)
    contents = contents_of(study, experiment.context)
    for one in contents:
        assert set(one["start"]) == set(one["ends"]) == set(one["training"]) == set(REWARDS)
        assert len({tuple(part["true"]) for part in one["start"].values()}) == 1
    found = Findings(experiment, contents)
    assert list(found.training["reward"].unique()) == list(REWARDS)
    assert found.training["score"].between(0, 1).all()
    assert set(found.proposers) == {
        START, *REWARDS, "popular", "random", *(f"best by {name}" for name in (FAILURES, DECOYS, SUCCESSES)),
    }  # fmt: skip
    none = pd.DataFrame({"seconds": [], "peak_mb": []})
    page = write_page([Part(experiment.context, "rewards", [], sections(found), "chemtune", none, {})], tmp_path)
    said = page.read_text(encoding="utf-8")
    figure = drawn(found)
    for name in REWARDS:
        assert figure.count(COLOURS[name]) >= 4  # two lines and their points
        assert f"Rewarded by {name}" in said


def test_the_same_again_gives_the_same(world, tmp_path, tiny_folder):
    settings = replace(SETTINGS, generator_steps=10, rounds=1, steps=2, asked=4)
    found = [contents_of(study, experiment_of(world, tmp_path / name, tiny_folder, settings).context) for name in "ab"]
    for one, other in zip(*found, strict=True):
        assert all(one[key] == other[key] for key in ("start", "ends", "training", "others"))


def test_what_a_verifier_says_does_not_hang_on_what_it_was_asked_before(world, tmp_path, tiny_folder):
    experiment = experiment_of(world, tmp_path, tiny_folder, replace(SETTINGS, rewards=(FAILURES,)))
    machine = settled(experiment.context, Reporter())
    row = experiment.tested(0)[0].row
    asked = [(GOOD,), None, (LIKED,), (GOOD,)]
    once = work._reward(experiment, machine, 0, FAILURES, 0)(row, asked)
    again = work._reward(experiment, machine, 0, FAILURES, 0)
    assert again(row, asked[2:]) == once[2:]
    assert again(row, asked) == once
    assert once[0] == once[3]
    assert once[1] == work.NOTHING
    assert once[0][0] > once[2][0]


def test_more_reactions_show_smaller_changes():
    assert detectable(15) > 25
    assert detectable(120) < 10
    assert detectable(330) < detectable(120)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (replace(SETTINGS, held_out="halide+amin"), "did you mean 'amine'"),
        (replace(SETTINGS, arms=("drfp-rf", "drfp-gp")), "name one verifier"),
        (replace(SETTINGS, arms=("lm-head",)), "no language model"),
    ],
)
def test_what_makes_no_sense_is_said(world, tmp_path, tiny_folder, settings, said):
    with pytest.raises(InputError, match=said):
        experiment_of(world, tmp_path, tiny_folder, settings)


def test_unknown_rewards_and_components_that_are_proposed_and_held_out_are_refused():
    with pytest.raises(InputError, match="did you mean 'truth'"):
        Settings(rewards=("trut",))
    with pytest.raises(InputError, match="name components other than"):
        Settings(held_out="aryl_halide+base")


def test_the_command_writes_a_page(world, tmp_path, tiny_folder):
    found = chemtune(
        "stress", "rewards", world, "--components", "halide,amine,base", "--reaction", "rxn", "--yield", "yield",
        "--held-out", "halide+amine", "--propose", "base", "--model", tiny_folder, "--quick", "--asked", "4",
        "--generator-steps", "5", "--rounds", "1", "--steps", "1", "--out", tmp_path / "out", cwd=tmp_path,
    )  # fmt: skip
    assert found.returncode == 0, found.stderr
    assert "points in four of five such studies" in found.stdout
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert "Reward and truth along the training" in page
    assert set(pd.read_csv(tmp_path / "out" / "compared.csv")["proposals"]) >= {TRUTH, FAILURES, "popular", "random"}
