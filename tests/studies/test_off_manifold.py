"""Steps along and across what the data span: what labels pinned down is agreed about, what they did not is not."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.errors import InputError
from pipeline.reporter import Reporter
from pipeline.settings.reading import make_config
from pipeline.studies.failure import UNTOLD, YES
from pipeline.studies.off_manifold import study
from pipeline.studies.off_manifold.directions import EACH, steps_at
from pipeline.studies.off_manifold.findings import ACROSS, ALONG, PERMUTED, STEEPEST, TRAINED, UNTRAINED, Findings
from pipeline.studies.off_manifold.models import Network, Read, places_of_tokens
from pipeline.studies.off_manifold.settings import Settings
from tests.conftest import SMILES, write_table
from tests.studies.made import contents_of
from tests.test_run import chemtune

pytestmark = pytest.mark.usefixtures("few_trees")

REPETITIONS, AT_LEAST = 20, 18


@pytest.fixture
def chains(tmp_path):
    """Molecules whose value follows from their length."""
    noise = np.random.default_rng(1).normal(scale=0.1, size=len(SMILES))
    rows = [(text, round(len(text) + e, 3)) for text, e in zip(SMILES, noise, strict=True)]
    return write_table(tmp_path / "chains.csv", rows)


def context_of(path, given=None, **settings):
    run = {"smiles": "SMILES", "target": "value", "dtype": "float32", "steps": 3}
    config = make_config(str(path), run | (given or {}) | {"out": str(path.parent / "out")})
    return study.prepare(config, Settings(**{"models": ("mlp",), "points": 20, **settings}), Reporter())


def cloud(rng, n=80, d=12, along=2):
    """Points on a plane of ``along`` dimensions, with a little spread in all others."""
    return np.c_[rng.normal(size=(n, along)), 0.002 * rng.normal(size=(n, d - along))]


def test_steps_along_stay_in_the_plane_and_steps_across_leave_it():
    rng = np.random.default_rng(0)
    places = np.c_[rng.normal(size=(80, 2)), np.zeros((80, 10))]
    tilted = places + 1e-3 * rng.normal(size=places.shape)
    along, across = steps_at(tilted, np.arange(10), 0)
    assert along.shape == across.shape == (10, EACH, 12)
    in_plane = [np.linalg.norm(steps[..., :2], axis=-1) / np.linalg.norm(steps, axis=-1) for steps in (along, across)]
    assert in_plane[0].min() > 0.99
    assert in_plane[1].max() < 0.1
    lengths = np.linalg.norm(np.concatenate([along, across], axis=1), axis=-1)
    assert np.allclose(lengths, lengths[:, :1])
    nearest = [np.sort(np.linalg.norm(tilted - tilted[point], axis=1))[1] for point in range(10)]
    assert np.allclose(lengths[:, 0], np.array(nearest) / 2)


def test_a_row_that_stands_twice_is_no_neighbour_of_itself():
    places = np.repeat(np.random.default_rng(0).normal(size=(30, 20)), 2, axis=0)
    along, across = steps_at(places, np.arange(6), 0)
    assert np.isfinite(along).all()
    assert (np.linalg.norm(across, axis=-1) > 0).all()


def planted(context, places, points, seed, pinned):
    """What linear models say that have the slopes of ``pinned`` directions in common, and slopes of their own else."""
    along, across = steps_at(places, points, seed)
    rng, width = np.random.default_rng(seed), places.shape[1]
    shared = rng.normal(size=width) * (np.arange(width) < pinned)
    contents = []
    for treatment in (TRAINED, UNTRAINED):
        for number in range(5):
            own = rng.normal(size=width) * (np.arange(width) >= (pinned if treatment == TRAINED else 0))
            slope = own + (shared if treatment == TRAINED else 0)
            steps = {ALONG: along, ACROSS: across, STEEPEST: along[:, :1]}
            changes = {kind: one @ slope for kind, one in steps.items()}
            contents.append({"tags": {"treatment": treatment, "seed": number}, "changes": changes})
    groups = np.array([f"g{point}" for point in points], dtype=object)
    return Findings(context, "mlp", contents, groups)


def test_slopes_that_are_pinned_down_along_alone_are_found_and_random_ones_are_not(chains):
    context = context_of(chains, seeds=5)
    found, none = 0, 0
    for repetition in range(REPETITIONS):
        one = planted(context, cloud(np.random.default_rng(repetition), d=60), np.arange(40), repetition, pinned=2)
        found += one.answers[TRAINED] == YES and one.agreement(TRAINED, ALONG)[0] > 0.9
        none += one.answers[UNTRAINED] == UNTOLD
    assert found >= AT_LEAST
    assert none >= AT_LEAST


def test_networks_agree_about_labels_that_they_share_and_not_about_permuted_ones():
    rng = np.random.default_rng(0)
    places = cloud(rng)
    labels = np.sin(places[:, 0]) + places[:, 1]
    labels = (labels - labels.mean()) / labels.std()
    points, (along, _) = np.arange(40), steps_at(places, np.arange(40), 0)

    def agreement(of_seed):
        said = [Network(places, of_seed(seed), False, seed).say(points, along[:, 0]) for seed in range(2)]
        stay = [Network(places, of_seed(seed), False, seed).say(points, 0 * along[:, 0]) for seed in range(2)]
        return np.corrcoef(said[0] - stay[0], said[1] - stay[1])[0, 1]

    shared = agreement(lambda seed: labels)
    assert shared > 0.9
    assert abs(agreement(lambda seed: np.random.default_rng(seed).permutation(labels))) < shared - 0.3


def test_the_language_model_is_moved_by_its_token_embeddings(chains, tiny_folder):
    context = context_of(chains, {"model": str(tiny_folder)}, models=("lm-head",), rows=40, seeds=3)
    contents = contents_of(study, context)
    assert {one["tags"]["treatment"] for one in contents} == {TRAINED, PERMUTED}
    found = study.conclude(context, contents)
    assert set(found.metrics["direction"]) == {ALONG, ACROSS, STEEPEST}
    assert found.metrics.query("metric == 'size'")["value"].gt(0).any()


def test_a_model_that_is_not_moved_says_what_it_predicts(chains, tiny_folder):
    from pipeline.runs.context import settled
    from pipeline.runs.fits import new_arm

    context = context_of(chains, {"model": str(tiny_folder)}, models=("lm-head",), rows=40, seeds=3)
    machine = settled(context, Reporter())
    X = context.table.inputs.iloc[:20]
    arm = new_arm(context, machine, "lm-head", 0, "").fit(X, np.arange(20.0))
    model, rows = Read(arm, X), np.arange(20)
    width = arm.engine.model.config.hidden_size
    said = arm.mean_ + arm.scale_ * model.say(rows, np.zeros((20, width)))
    assert np.allclose(said, arm.predict(X), atol=1e-4)
    assert places_of_tokens(arm, X).shape == (20, width)
    steps = 1e-3 * np.random.default_rng(0).normal(size=(20, width))
    slopes = model.steepest(rows)
    assert np.allclose(np.linalg.norm(slopes, axis=1), 1, atol=1e-3)
    moved = model.say(rows, 1e-2 * slopes) - model.say(rows, 0 * steps)
    other = model.say(rows, 1e-2 * steps / np.linalg.norm(steps, axis=1, keepdims=True)) - model.say(rows, 0 * steps)
    assert (moved > np.abs(other)).mean() > 0.9


def test_classes_and_the_same_numbers_twice(tmp_path):
    path = write_table(tmp_path / "classes.csv", [(text, "yes" if "c1" in text else "no") for text in SMILES])
    first, again = (contents_of(study, context_of(path)) for _ in range(2))
    assert [one["changes"] for one in first] == [one["changes"] for one in again]
    context = context_of(path)
    said = study.conclude(context, first).sentences
    assert any("log-odds" in one for one in said)


def test_bad_input_is_one_line(tmp_path, chains):
    with pytest.raises(InputError, match="model 'network'"):
        Settings(models=("network",))
    three = write_table(tmp_path / "three.csv", [(text, "abc"[place % 3]) for place, text in enumerate(SMILES)])
    with pytest.raises(InputError, match="for two classes; there are 3"):
        context_of(three)
    with pytest.raises(InputError, match="the study needs 30"):
        context_of(chains, rows=20)


def test_the_command_goes_from_table_to_page_and_back(chains):
    out = chains.parent / "moved"
    command = ("stress", "off-manifold", chains, "--smiles", "SMILES", "--target", "value", "--models", "mlp")
    done = chemtune(*command, "--quick", "--out", out, cwd=chains.parent)
    assert done.returncode == 0, done.stderr
    page = (out / "report.html").read_text(encoding="utf-8")
    assert "steps off the manifold" in page
    again = chemtune("report", out, cwd=chains.parent)
    assert again.returncode == 0, again.stderr
    assert (out / "report.html").read_text(encoding="utf-8") == page
