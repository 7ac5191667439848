"""The learning curve: nested training sets, the same test rows, and a page from one file of science."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from pipeline.errors import InputError
from pipeline.evaluation.curves import limits
from pipeline.lm import pretrained
from pipeline.lm.weights import DEFAULT_MODEL
from pipeline.reporter import Reporter
from pipeline.runs.budget import fit_budget
from pipeline.runs.context import Machine
from pipeline.runs.estimates import Probe
from pipeline.runs.prepare import prepare
from pipeline.settings.reading import make_config
from pipeline.studies.fitting import ordered
from pipeline.studies.learning_curve import study
from pipeline.studies.learning_curve.findings import Curves, sizes_of
from pipeline.studies.learning_curve.study import Settings
from pipeline.studies.learning_curve.words import sentences
from pipeline.studies.study import concluded, write_report
from tests.conftest import SMILES, write_table
from tests.studies.made import compared, contents_of
from tests.studies.simulated import SHARE, height
from tests.test_run import chemtune


@pytest.fixture
def chains(tmp_path):
    return write_table(tmp_path / "chains.csv", [(text, len(text)) for text in SMILES])


def context_of(path, **settings):
    config = make_config(str(path), {"smiles": "SMILES", "target": "value", "out": str(path.parent / "out")})
    return study.prepare(config, Settings(**{"arms": ("ridge",), "sizes": (5, 10, 30), **settings}), Reporter())


def test_a_larger_training_set_holds_a_smaller_one_and_seeds_differ(chains):
    context = context_of(chains)
    (split,) = context.splits
    order = ordered(context, split, 0)
    assert sorted(order) == sorted(split.folds[0].train)
    assert ordered(context, split, 0) == order
    assert set(ordered(context, split, 1)[:5]) != set(order[:5])
    cells = study.plan(context, Machine(1))
    assert len(cells) == 2 * 3 * 3  # the control, too
    assert len({cell.id for cell in cells}) == len(cells)


def test_each_beginning_has_about_the_shares_of_the_classes(tmp_path):
    path = write_table(tmp_path / "classes.csv", [(s, "ab"[number % 4 == 0]) for number, s in enumerate(SMILES)])
    context = context_of(path)
    (split,) = context.splits
    labels = context.table.targets.loc[list(split.folds[0].train)]
    share = (labels == "b").mean()
    for seed in range(8):
        order = ordered(context, split, seed)
        assert sorted(order) == sorted(split.folds[0].train)
        for size in (8, 16, 30):
            assert abs((labels.loc[order[:size]] == "b").sum() - share * size) < 1 + 1e-9
    found = study.conclude(context, contents_of(study, context))
    assert set(found.metrics["metric"]) == {"auroc", "log_loss", "accuracy"}
    assert {"p_a", "p_b"} <= set(found.predictions.columns)


def test_a_planted_law_is_learned_from_more_rows(chains):
    context = context_of(chains, arms=("ridge", "knn"))
    found = study.conclude(context, contents_of(study, context))
    curve = found.metrics[found.metrics["arm"] == "ridge"].set_index("size")["value"]
    assert curve[30] < curve[5]
    control = found.metrics[found.metrics["arm"] == "mean"].set_index("size")["value"]
    assert curve[30] < control[30]
    assert (found.metrics["low"] <= found.metrics["value"]).all()
    assert (found.metrics["value"] <= found.metrics["high"]).all()
    assert any(sentence.startswith("ridge: MAE") for sentence in found.sentences)
    truth = found.predictions.drop_duplicates("row_id").set_index("row_id")["truth"]
    part = found.predictions.query("arm == 'ridge' and size == 30 and seed == 0").set_index("row_id")["prediction"]
    scored = np.mean(
        [
            np.abs(found.predictions.query(f"arm == 'ridge' and size == 30 and seed == {seed}")["prediction"]
                   - found.predictions.query(f"arm == 'ridge' and size == 30 and seed == {seed}")["truth"]).mean()
            for seed in range(3)
        ]
    )  # fmt: skip
    assert curve[30] == pytest.approx(scored)
    assert list(part.index) == list(truth.index)


def test_each_split_states_its_own_test_rows_and_groups(tmp_path):
    """Bounds are not scored, and do not count as groups either."""
    rows = [(text, f">{len(text)}" if number < 15 else len(text)) for number, text in enumerate(SMILES)]
    context = context_of(write_table(tmp_path / "bounds.csv", rows), split=("random", "size"), seeds=1)
    found = study.conclude(context, contents_of(study, context))
    counts = found.metrics.groupby("split")["n"].first()
    assert counts.nunique() == 2
    for split in context.splits:
        exact = [row for row in split.folds[0].test if context.table.exact[row]]
        assert counts[split.name] == len(exact)
        start = f"Split {split.name}, {len(exact)} test molecules: "
        assert any(sentence.startswith(start) for sentence in found.sentences)


def test_a_page_names_the_versions_that_made_the_results(chains):
    context = context_of(chains, seeds=1)
    contents = [one | {"versions": {**one["versions"], "rdkit": "made.earlier"}} for one in contents_of(study, context)]
    page = write_report([concluded(study, context, contents)], context.folder)
    assert "rdkit made.earlier" in page.read_text(encoding="utf-8")
    assert json.loads((context.folder / "run.json").read_text(encoding="utf-8"))["versions"]["rdkit"] == "made.earlier"


def test_another_start_of_the_language_model_is_another_cell(chains, monkeypatch):
    def id_of(context):
        return next(cell.id for cell in study.plan(context, Machine(1, "float32")) if cell.tags["arm"] == "lm-head")

    first = id_of(context_of(chains, arms=("lm-head",)))
    adapter = next(iter(pretrained.ADAPTERS.values()))
    monkeypatch.setitem(pretrained.ADAPTERS, DEFAULT_MODEL, replace(adapter, sha256="another"))
    assert id_of(context_of(chains, arms=("lm-head",))) != first


def test_too_few_rows_are_said(chains):
    with pytest.raises(InputError, match="none of the sizes can be made; name two or more between 2 and"):
        context_of(chains, sizes=(40, 100))
    with pytest.raises(InputError, match="must be at least 2"):
        Settings(sizes=(1, 10))
    with pytest.raises(InputError, match="sizes is 10 alone; a curve needs two or more"):
        Settings(sizes=(10, 10))
    with pytest.raises(InputError, match="only 10 can be made"):
        context_of(chains, sizes=(10, 100))


def test_sizes_that_cannot_be_made_are_left_out_and_said(chains):
    context = context_of(chains, sizes=(5, 10, 100, 2_000))
    assert sizes_of(context, context.splits[0]) == [5, 10]
    assert "Left out: 100, 2000, more than there are." in study.described(context)[0]
    rare = write_table(
        chains.parent / "rare.csv", [(text, "ab"[number % 12 == 0]) for number, text in enumerate(SMILES)]
    )
    context = context_of(rare, sizes=(2, 16, 30), seeds=4)
    assert "Left out: 2, where a draw has rows of one class alone." in study.described(context)[0]
    assert set(study.conclude(context, contents_of(study, context)).metrics["size"]) == {16, 30}


def test_one_test_group_is_refused(chains):
    lines = chains.read_text(encoding="utf-8").splitlines()
    rows = [f"{line},{'abc'[number % 3]}" for number, line in enumerate(lines[1:])]
    chains.write_text("\n".join([f"{lines[0]},lab", *rows]) + "\n", encoding="utf-8")
    with pytest.raises(InputError, match="tests rows of a single group"):
        context_of(chains, split=("group:lab",))


def test_one_seed_tells_nothing_and_names_the_preferred_baseline(chains):
    context, contents = planted(chains, (5, 10, 20, 30), ridge=lambda n: 4.0 / n, knn=lambda n: 1.0 / n**0.5)
    curves = Curves(replace(context, settings=replace(context.settings, seeds=1)), context.splits[0], contents)
    assert set(curves.against.values()) == {"not told apart"}
    assert "no other arm is shown to be better at any size" in sentences(curves)[0]


def test_seeds_that_draw_much_of_one_pool_count_as_more_different(chains):
    context = context_of(chains, sizes=(5, 30), seeds=4)
    curves = Curves(context, context.splits[0], contents_of(study, context))
    rows = len(context.splits[0].folds[0].train)
    for size in (5, 30):
        found = curves.scores("mae", "ridge", size)[:, 0]
        plain = np.array([curves._score("mae", curves.cells["ridge", size, seed])[0] for seed in range(4)])
        assert found.mean() == pytest.approx(plain.mean())
        assert found.std() == pytest.approx(plain.std() / np.sqrt(1 - min(size / rows, 0.8)))
    assert curves.alike == [size for size in (5, 30) if size > 0.8 * rows]


def test_a_level_curve_promises_nothing(chains):
    rng = np.random.default_rng(0)
    wobble = dict(zip((5, 10, 16, 20, 30), 1 + 0.01 * rng.normal(size=5), strict=True))
    context, contents = planted(chains, tuple(wobble), ridge=lambda n: 2 * wobble[n], knn=lambda n: 2.5 * wobble[n])
    said = sentences(Curves(context, context.splits[0], contents))
    assert any("more measurements would bring ridge anything cannot be told" in one for one in said)
    assert not any("if its curve goes on as it did" in one for one in said)


def test_another_notation_is_another_cell(chains):
    def ids(representation):
        given = {"smiles": "SMILES", "target": "value", "representation": [representation]}
        config = make_config(str(chains), given | {"out": str(chains.parent / "out")})
        context = study.prepare(config, Settings(arms=("ngram-ridge", "ridge"), sizes=(5, 10)), Reporter())
        cells = study.plan(context, Machine(1))
        return {arm: {cell.id for cell in cells if cell.tags["arm"] == arm} for arm in ("ngram-ridge", "ridge")}

    plain, other = ids("canonical"), ids("selfies")
    assert not plain["ngram-ridge"] & other["ngram-ridge"]
    assert plain["ridge"] == other["ridge"]


def test_a_run_with_fewer_training_rows_is_a_point_of_the_curve(chains, tiny_folder):
    given = {"smiles": "SMILES", "target": "value", "model": str(tiny_folder), "steps": 3, "dtype": "float32"}
    config = make_config(str(chains), given | {"out": str(chains.parent / "curve")})
    arms = ("ridge", "ensemble", "lm-head")
    curve = study.prepare(config, Settings(arms=arms, sizes=(5, 20), seeds=1), Reporter())
    of_curve = study.conclude(curve, contents_of(study, curve)).predictions.query("size == 20")
    single = {"arms": list(arms), "split": ["random"], "n_train": 20, "lm_seeds": 1, "out": str(chains.parent / "run")}
    done = compared(prepare(make_config(str(chains), given | single), Reporter()))
    of_run = done.conclusion.predictions
    for arm in arms:
        pairs = [frame[frame["arm"] == arm].set_index("row_id")["prediction"] for frame in (of_curve, of_run)]
        pd.testing.assert_series_equal(pairs[0].sort_index(), pairs[1].sort_index(), check_exact=True)


def test_the_baseline_is_chosen_on_training_rows_outside_of_the_draws(chains):
    context = context_of(chains, arms=("ridge", "knn"), sizes=(5, 12))
    contents = contents_of(study, context)
    for one in contents:
        one["rest"], one["rest_error"] = 100, {"ridge": 2.0, "knn": 1.0, "mean": 0.1}[one["tags"]["arm"]]
    curves = Curves(context, context.splits[0], contents)
    assert curves.preferred == "knn"
    assert study.conclude(context, contents).info["curves"][0]["preferred"] == "knn"
    for one in contents:
        one["rest"] = 0
    assert Curves(context, context.splits[0], contents).preferred == min(curves.compared, key=context.arms.index)


def made_to_have(contents, errors):
    """The same cells with predictions that miss by given amounts, by arm and size."""
    found = []
    for one in contents:
        off = errors[one["tags"]["arm"]](one["tags"]["size"]) * (1 + 0.02 * one["tags"]["seed"])
        found.append(one | {"prediction": [value + off for value in one["truth"]]})
    return found


def planted(chains, sizes, **errors):
    context = context_of(chains, arms=("ridge", "knn"), sizes=sizes)
    truth = context.table.targets.loc[list(context.splits[0].folds[0].test)].tolist()
    contents = [one | {"truth": truth} for one in contents_of(study, context)]
    return context, made_to_have(contents, {"mean": lambda n: 9.0, **errors})


def test_the_data_factor_of_a_planted_curve(chains):
    """One arm has with n rows what the other one has with n / 2."""
    context, contents = planted(chains, (5, 10, 20, 30), ridge=lambda n: 4 * n**-0.5, knn=lambda n: 4 * (n / 2) ** -0.5)
    curves = Curves(context, context.splits[0], contents)
    assert curves.needed("knn", "ridge", 20)[0] == pytest.approx(10, rel=1e-6)
    assert curves.needed("knn", "ridge", 5)[0] == 0
    assert curves.needed("ridge", "knn", 30)[0] == np.inf
    assert curves.law("ridge").exponent[0] == pytest.approx(0.5, rel=0.05)
    factors = curves.factors().set_index(["arm", "reference", "size"])["factor"]
    assert factors["knn", "ridge", 30] == pytest.approx(0.5)
    assert curves.ahead("ridge")[0] == pytest.approx(1.02 * 4 * 130**-0.5, rel=0.05)
    assert not curves.missed("ridge")


def test_the_arm_to_use_changes_where_curves_cross(chains):
    context, contents = planted(chains, (5, 10, 20, 30), ridge=lambda n: 4.0 / n, knn=lambda n: 1.0 / n**0.5)
    for one in contents:
        one["rest_error"] = 1.0 if one["tags"]["arm"] == "ridge" else 2.0
        one["rest"] = 100
    curves = Curves(context, context.splits[0], contents)
    assert curves.preferred == "ridge"
    assert curves.to_use == {5: ("knn",), 10: ("knn",), 20: ("ridge",), 30: ("ridge",)}
    said = sentences(curves)
    assert "the preferred baseline is ridge (by training rows of groups that are in no draw)" in said[0]
    assert "shown to be better: knn with 5 and 10 rows." in said[0]
    assert any("Beside ridge: better with 5 and 10 rows" in one for one in said)


def test_alike_arms_have_no_crossing(chains):
    context = context_of(chains, arms=("ridge", "knn"), seeds=2)
    contents = contents_of(study, context)
    ridge = {(one["tags"]["size"], one["tags"]["seed"]): one for one in contents if one["tags"]["arm"] == "ridge"}
    same = [one | {"prediction": ridge[one["tags"]["size"], one["tags"]["seed"]]["prediction"]} for one in contents]
    curves = Curves(context, context.splits[0], same)
    assert set(curves.to_use.values()) == {(curves.preferred,)}
    assert "no other arm is shown to be better at any size" in sentences(curves)[0]


def test_a_law_says_what_a_larger_size_brings(chains):
    """Fitted to the smaller sizes it expects the largest one, which it has not seen."""
    sizes = (4, 6, 8, 12, 18, 30)
    context, contents = planted(
        chains, sizes, ridge=lambda n: 0.2 + 4 * n**-0.7, knn=lambda n: 3 * n**-0.5 if n < 30 else 4.0
    )
    curves = Curves(context, context.splits[0], contents)
    laws = curves.laws().query("quantity == 'largest_from_smaller'").set_index("arm")
    measured = curves.errors["ridge"][0, -1]
    assert laws.loc["ridge", "value"] == pytest.approx(measured, rel=0.03)
    assert laws.loc["ridge", "low"] <= measured <= laws.loc["ridge", "high"]
    assert not curves.missed("ridge")
    assert curves.missed("knn")


def test_a_budget_takes_seeds_and_sizes_and_says_so(chains):
    context = context_of(chains, arms=("ridge", "knn"), sizes=(4, 6, 10, 16, 30), seeds=6)
    timed = Probe({"ridge": ((40, 1.0),), "knn": ((40, 1.0),)}, 0.0, {}, {}, 0.0)
    whole = study.BUDGET.seconds(context, Machine(1), timed)
    assert whole > 0
    smaller = fit_budget(context, Machine(1), timed, whole / 2, study.BUDGET)
    assert study.BUDGET.seconds(smaller, Machine(1), timed) <= whole / 2
    assert smaller.settings.seeds < 6
    assert any(line.startswith("training seeds: ") for line in smaller.left_out)
    again = fit_budget(context, Machine(1), timed, whole, study.BUDGET)  # the choice is kept
    assert again.settings == smaller.settings
    contents = contents_of(study, smaller)
    assert len(contents) == len(study.plan(smaller, Machine(1)))


@pytest.mark.slow
def test_a_simulated_curve_is_recovered(tmp_path):
    """Of 60 simulated tables the exponent and the data factor lie within their 95 % intervals in 54 or more."""
    arms = ("tests.studies.simulated:nearest", "tests.studies.simulated:nearest_of_some")
    held = []
    for number in range(60):
        places = np.random.default_rng(number).random(300)
        table = tmp_path / f"{number}.csv"
        rows = [(f"at {place:.9f}", f"{value:.9f}") for place, value in zip(places, height(places), strict=True)]
        write_table(table, rows, "place,height")
        given = {"text": "place", "target": "height", "seed": number, "out": str(tmp_path / f"out-{number}")}
        settings = Settings(arms=arms, sizes=(20, 40, 80, 160), seeds=4)
        context = study.prepare(make_config(str(table), given), settings, Reporter())
        curves = Curves(context, context.splits[0], contents_of(study, context))
        low, high = limits(curves.law(arms[0]).exponent[1:])
        _, fewest, most = curves.needed(arms[1], arms[0], 160)
        held.append((low <= 1 <= high, fewest <= SHARE * 160 <= most))
    assert np.sum(held, axis=0).min() >= 54


def test_the_command_goes_from_table_to_page_and_back(chains, tiny_folder):
    out = chains.parent / "curve"
    command = ("study", "learning-curve", chains, "--smiles", "SMILES", "--target", "value", "--sizes", "5,20")
    more = ("--arms", "ridge,lm-head", "--seeds", 2, "--model", tiny_folder, "--steps", 2, "--dtype", "float32")
    done = chemtune(*command, *more, "--out", out, cwd=chains.parent)
    assert done.returncode == 0, done.stderr
    metrics = pd.read_csv(out / "metrics.csv")
    assert set(metrics["arm"]) == {"mean", "ridge", "lm-head"}
    assert set(metrics["size"]) == {5, 20}
    page = (out / "report.html").read_text(encoding="utf-8")
    assert "how much data does it take?" in page
    assert "chemtune study learning-curve" in page
    assert (out / "figures/curves-random.svg").stat().st_size > 0
    for name in ("metrics.csv", "report.html"):
        (out / name).unlink()
    again = chemtune("report", out, cwd=chains.parent)
    assert again.returncode == 0, again.stderr
    pd.testing.assert_frame_equal(pd.read_csv(out / "metrics.csv"), metrics)
    assert (out / "report.html").read_text(encoding="utf-8") == page
