"""A planted marker: it goes with labels as asked, what is relied on is found at its size, and nulls are not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from pipeline.errors import InputError
from pipeline.reporter import Reporter
from pipeline.runs.budget import fit_budget
from pipeline.runs.context import Machine
from pipeline.runs.estimates import Probe
from pipeline.settings.reading import make_config
from pipeline.studies.fitting import drawn
from pipeline.studies.shortcut import study
from pipeline.studies.shortcut.findings import RANDOM, REVERSED, SAME, Findings
from pipeline.studies.shortcut.markers import COUNTER_ION, FIELD, MARKERS
from pipeline.studies.shortcut.planting import UNMARKED, Training, above, dealt, free_rows, trained_on
from pipeline.studies.shortcut.settings import NULL, Settings
from pipeline.studies.shortcut.words import sentences
from tests.conftest import FORMULAS, SMILES, reaction_rows, write_table
from tests.studies.made import contents_of
from tests.test_run import chemtune

pytestmark = pytest.mark.usefixtures("few_trees")

ONE_SPLIT, DULLED = "tests.studies.marked:one_split", "tests.studies.marked:dulled"
MANY = [
    f"{'C' * a}{group}"
    for a in range(1, 13)
    for group in ("O", "N", "F", "S", "C#N", "C(=O)O", "c1ccccc1", "C1CCCCC1", "c1ccncc1", "C1CCOC1")
]


class Told(Reporter):
    """Keeps what is said."""

    def __init__(self):
        self.lines = []

    def say(self, text):
        self.lines.append(text)


def context_of(path, given=None, told=None, **settings):
    run = {"smiles": "SMILES", "target": "value", "out": str(path.parent / "out")} | (given or {})
    chosen = {"arms": ("ridge",), "strength": (0.95,), "seeds": 2, **settings}
    return study.prepare(make_config(str(path), run), Settings(**chosen), told or Reporter())


def findings_of(context):
    return Findings(context, context.splits[0], contents_of(study, context))


@pytest.fixture
def chains(tmp_path):
    return write_table(tmp_path / "chains.csv", [(text, len(text)) for text in SMILES])


def two_heights(path, seed, height=2.0):
    """Labels of plus or minus a height, of which the structure says nothing."""
    signs = np.random.default_rng(seed).permutation(np.repeat([-1.0, 1.0], len(MANY) // 2))
    return write_table(path, [(text, height * sign) for text, sign in zip(MANY, signs, strict=True)])


def test_the_marker_goes_with_the_label_as_strongly_as_asked(chains):
    context = context_of(chains, strength=(0.8, 1.0), seeds=3)
    (split,) = context.splits
    high, rows = above(context, split), drawn(context, split, 0)
    assert high.loc[rows].mean() == pytest.approx(0.5, abs=0.08)
    for name in MARKERS:
        for strength in (NULL, 0.8, 1.0):
            marked = dealt(context, split, Training(name, strength), 0)
            for side, chance in ((True, strength), (False, 1 - strength)):
                own = [row for row in rows if high[row] == side]
                assert abs(len(set(own) & set(marked)) - chance * len(own)) <= 1
        assert dealt(context, split, Training(name, 0.8), 1) != dealt(context, split, Training(name, 0.8), 0)
    assert dealt(context, split, Training(FIELD, 0.8), 0) != dealt(context, split, Training(COUNTER_ION, 0.8), 0)


def test_who_carries_the_marker_hangs_on_training_labels_alone(chains):
    """Neither on the order of the rows nor on a label of the test."""
    context = context_of(chains)
    (split,) = context.splits
    before = dealt(context, split, Training(FIELD, 0.95), 0)
    shuffled = [(text, len(text)) for text in np.random.default_rng(1).permutation(SMILES)]
    again = context_of(write_table(chains.parent / "shuffled.csv", shuffled))
    assert dealt(again, again.splits[0], Training(FIELD, 0.95), 0) == before
    frame = context.table.frame
    changed = frame["target"].where(~frame["row_id"].isin(split.folds[0].test), 1e6)
    other = replace(context, table=replace(context.table, frame=frame.assign(target=changed)))
    assert dealt(other, split, Training(FIELD, 0.95), 0) == before


def test_a_marker_is_planted_where_it_should_be_and_can_be_taken_away(chains):
    context = context_of(chains)
    (split,) = context.splits
    marked = set(dealt(context, split, Training(COUNTER_ION, 0.95), 0))
    smiles = trained_on(context, split, Training(COUNTER_ION, 0.95), 0).iloc[:, 0]
    assert {row for row, text in smiles.items() if text.endswith(".Cl") or text.startswith("Cl.")} == marked
    marked = set(dealt(context, split, Training(FIELD, 0.95), 0))
    field = trained_on(context, split, Training(FIELD, 0.95), 0)["laboratory"]
    assert set(field.index[field == "A"]) == marked
    for name in MARKERS:
        left = trained_on(context, split, Training(name, 0.95, removed=True), 0)
        pd.testing.assert_frame_equal(left, context.table.inputs.loc[drawn(context, split, 0)])


def test_the_figures_are_those_of_rows_with_and_without_the_marker(chains):
    """The error with the marker reversed is that of the rows one by one, and at random it is the mean of both."""
    context = context_of(chains, markers=(COUNTER_ION,))
    found = study.conclude(context, contents_of(study, context))
    part = found.predictions.query("arm == 'ridge' and marker == 'counter-ion' and strength == 0.95 and not removed")
    errors = part.assign(error=(part["prediction"] - part["truth"]).abs())
    high = above(context, context.splits[0])
    wrong = errors[errors["carried"] != errors["row_id"].map(high)]
    value = found.metrics.query("arm == 'ridge' and strength == 0.95").set_index("metric")["value"]
    assert value["mae, marker reversed"] == pytest.approx(wrong["error"].mean())
    shares = [
        len(dealt(context, context.splits[0], Training(COUNTER_ION, 0.95), seed))
        / len(free_rows(context, context.splits[0], COUNTER_ION, seed))
        for seed in range(2)
    ]
    by_seed = errors.groupby(["seed", "carried"])["error"].mean().unstack()
    expected = np.mean([(1 - share) * by_seed.loc[s, False] + share * by_seed.loc[s, True] for s, share in
                        enumerate(shares)])  # fmt: skip
    assert value["mae, marker at random"] == pytest.approx(expected)
    assert value["reversed_less_random"] == pytest.approx(wrong["error"].mean() - expected)


@pytest.mark.slow
def test_what_is_relied_on_is_found_at_its_size_and_nothing_where_there_is_nothing(tmp_path):
    """Labels of plus or minus c, of which structure says nothing. A model that reads the marker alone answers
    (2p - 1) c with it and -(2p - 1) c without, so that it is off by 2 (1 - p) c, or by 2 p c where the marker is wrong,
    and by c with the marker at random: its reliance is (2p - 1) c, which is 1.8 for p = 0.95 and c = 2."""
    sizes, shown, quiet = [], [], []
    for number in range(20):
        path = two_heights(tmp_path / f"{number}.csv", number)
        given = {"seed": number, "test_size": 0.5, "task": "regression", "out": str(tmp_path / f"out-{number}")}
        found = findings_of(context_of(path, given, arms=(ONE_SPLIT,)))
        strong = {marker: found.reliance[marker, ONE_SPLIT, 0.95] for marker in MARKERS}
        sizes.append([one.value[0] for one in strong.values()])
        shown.append([one.shown for one in strong.values()])
        quiet.append(not any(one.differs for marker in MARKERS for one in found.at_null(marker)))
        for marker in MARKERS:
            assert found.left_of_control(marker) == 0
            assert found.reliance[marker, "mean", 0.95].value == (0, 0, 0)
            errors = [found.error(ONE_SPLIT, Training(marker, 0.95), test)[0] for test in (SAME, RANDOM, REVERSED)]
            assert errors == sorted(errors)
    assert np.mean(sizes, axis=0) == pytest.approx([1.8, 1.8], abs=0.1)
    assert np.ptp(sizes) < 0.4
    assert np.sum(shown, axis=0).min() >= 18
    assert sum(quiet) >= 18


def test_a_linear_model_of_descriptors_relies_on_either_marker(tmp_path):
    """By no more than a model that reads nothing else."""
    path = two_heights(tmp_path / "heights.csv", 0)
    found = findings_of(context_of(path, {"test_size": 0.5, "task": "regression"}, seeds=3))
    for marker in MARKERS:
        one = found.reliance[marker, "ridge", 0.95]
        assert one.shown
        assert one.value[0] < 1.9
        assert not found.reliance[marker, "ridge", NULL].differs


def test_what_a_component_does_by_being_there_is_no_reliance(tmp_path):
    """An arm that says the least of rows of two components is off by more on the rows above the median."""
    path = write_table(tmp_path / "cubes.csv", [(text, len(text) ** 3) for text in MANY])
    context = context_of(path, {"test_size": 0.5}, arms=(DULLED,), markers=(COUNTER_ION,))
    found = findings_of(context)
    (null,) = found.at_null(COUNTER_ION)
    assert null.differs
    assert null.value[0] < 0
    strong = found.reliance[COUNTER_ION, DULLED, 0.95]
    assert strong.turned[0] == pytest.approx(null.value[0], rel=0.1)
    assert not strong.shown
    said = sentences(found)
    assert any("reliance, and is taken off above." in one for one in said)
    assert not any(one.startswith("Warning") for one in said)


def test_a_field_that_tells_labels_where_it_goes_with_nothing_is_a_warning(chains):
    context = context_of(chains, arms=("ridge",), seeds=3, markers=(FIELD,))
    contents = contents_of(study, context)
    truth = context.table.targets.loc[list(context.splits[0].folds[0].test)].to_numpy()
    high = above(context, context.splits[0]).loc[list(context.splits[0].folds[0].test)].to_numpy()
    for one in contents:
        for said in one["answers"]:
            if one["tags"]["arm"] == "ridge" and said["marker"] == FIELD and not said["removed"]:
                off = np.where(high == said["carried"], 0.1, 1.0 + 0.01 * one["tags"]["seed"])
                said["prediction"] = (truth + off).tolist()
    said = sentences(Findings(context, context.splits[0], contents))
    assert any(one.startswith("Warning: at strength 0.5, where the field goes with nothing,") for one in said)


def test_a_control_that_leaves_something_is_a_warning(chains):
    context = context_of(chains)
    contents = contents_of(study, context)
    for one in contents:
        for said in one["answers"]:
            if said["removed"] and said["carried"]:
                said["prediction"][0] += 1e-9
    said = sentences(Findings(context, context.splits[0], contents))
    assert sum("an error still changes by up to" in one for one in said) == 2


def test_rows_that_carry_the_component_already_are_not_scored_for_it(tmp_path):
    rows = [(f"{text}.{acid}", len(text)) for text, acid in zip(SMILES[::2], ["Cl", "Br", "I"] * 8, strict=True)]
    rows += [(text, len(text)) for text in SMILES[1::2]]
    context = context_of(write_table(tmp_path / "salts.csv", rows), {"test_size": 0.4})
    found = study.conclude(context, contents_of(study, context))
    carriers = int(context.table.frame["smiles"].str.split(".").map(lambda parts: "Cl" in parts).sum())
    assert carriers == 8
    counts = found.metrics.groupby("marker")["n"].first()
    test = list(context.splits[0].folds[0].test)
    in_test = sum("Cl" in text.split(".") for text in context.table.inputs.loc[test].iloc[:, 0])
    assert in_test > 0
    assert counts[COUNTER_ION] == counts[FIELD] - in_test == len(test) - in_test
    assert any(one.startswith("8 of 48 molecules cannot be given the counter-ion") for one in found.sentences)
    assert any(tags["removed"] for tags in found.trained.to_dict("records"))  # its control is a model of its own
    assert sum("exactly 0 in every test row" in one for one in found.sentences) == 2


def test_the_component_is_one_that_few_rows_carry(tmp_path):
    rows = [(f"{text}.[Cl-]" if number % 2 else text, len(text)) for number, text in enumerate(SMILES)]
    context = context_of(write_table(tmp_path / "ions.csv", rows))
    assert "counter-ion (.Br)" in study.described(context)[0]


def test_classes_carry_the_marker_by_the_positive_or_the_most_frequent_one(tmp_path):
    two = write_table(tmp_path / "two.csv", [(text, "ab"[number % 3 == 0]) for number, text in enumerate(MANY)])
    context = context_of(two, arms=(ONE_SPLIT,), seeds=2)
    found = study.conclude(context, contents_of(study, context))
    assert {"log_loss, marker reversed", "reliance"} <= set(found.metrics["metric"])
    assert "The marker goes with class 'b'." in found.sentences
    value = found.metrics.query("arm == @ONE_SPLIT and metric == 'reliance' and strength == 0.95")["value"]
    assert (value > 0).all()
    three = write_table(tmp_path / "three.csv", [(text, "aabbbc"[number % 6]) for number, text in enumerate(MANY)])
    context = context_of(three, arms=(ONE_SPLIT,), seeds=1)
    said = study.conclude(context, contents_of(study, context)).sentences
    assert "The marker goes with class 'b', the most frequent one in training, against all others." in said
    assert any("cannot be told from one seed" in one for one in said)
    assert not any("relies on it most" in one for one in said)


def test_reactions_and_compositions_have_the_field_alone(tmp_path):
    frame = pd.DataFrame(reaction_rows(), columns=["halide", "amine", "base", "solvent", "rxn", "yield"])
    path = tmp_path / "reactions.csv"
    frame.to_csv(path, index=False)
    run = {"components": ["halide", "amine", "base"], "yield": "yield", "out": str(tmp_path / "out")}
    told = Told()
    chosen = Settings(arms=("onehot-rf", "popularity"), strength=(0.95,), seeds=2)
    context = study.prepare(make_config(str(path), run), chosen, told)
    assert "Left out: the marker counter-ion: it is for molecules, and this table holds reactions." in told.lines
    found = study.conclude(context, contents_of(study, context))
    assert set(found.metrics["marker"]) == {FIELD}
    blind = found.metrics.query("arm == 'popularity' and metric == 'reliance'")  # it reads components alone
    assert (blind["value"] == 0).all()
    assert any(one.startswith("Not planted: the counter-ion") for one in found.sentences)
    path = write_table(tmp_path / "gaps.csv", [(text, len(text)) for text in FORMULAS], "formula,gap")
    run = {"composition": "formula", "target": "gap", "out": str(tmp_path / "gaps")}
    chosen = Settings(arms=("fractions-ridge",), strength=(0.95,), seeds=1)
    context = study.prepare(make_config(str(path), run), chosen, Reporter())
    assert set(study.conclude(context, contents_of(study, context)).metrics["marker"]) == {FIELD}


def test_a_marker_that_the_table_does_not_allow_is_left_out_and_said(chains, tiny_folder):
    rows = [(f"{text}.Cl.Br.I", len(text)) for text in SMILES]
    every = write_table(chains.parent / "every.csv", rows)
    told = Told()
    assert context_of(every, told=told).settings.markers == (FIELD,)
    assert "Left out: the marker counter-ion: 0 of 48 rows can carry it, and 20 are needed." in told.lines
    with pytest.raises(InputError, match="no marker can be planted in this table: counter-ion: 0 of 48 rows"):
        context_of(every, markers=(COUNTER_ION,))
    lines = chains.read_text(encoding="utf-8").splitlines()
    named = [f"{line},{'xy'[number % 2]}" for number, line in enumerate(lines[1:])]
    other = chains.parent / "named.csv"
    other.write_text("\n".join([f"{lines[0]},Laboratory", *named]) + "\n", encoding="utf-8")
    assert context_of(other).settings.markers == (COUNTER_ION, FIELD)  # a column that no arm is given
    with pytest.raises(InputError, match="field: the table has a column 'Laboratory' that is in use"):
        context_of(other, {"context": ["Laboratory"]}, markers=(FIELD,))
    told = Told()
    assert context_of(chains, {"largest_fragment": True}, told).settings.markers == (FIELD,)
    assert "Left out: the marker counter-ion: --largest-fragment takes it away from every row." in told.lines
    silent = {"template": "The {property} of {molecule}:", "model": str(tiny_folder), "dtype": "float32"}
    assert context_of(chains, silent, arms=("lm-head",)).settings.markers == (COUNTER_ION,)
    assert context_of(chains, silent, arms=("ridge",)).settings.markers == (COUNTER_ION, FIELD)


def test_bad_input_is_one_line(chains):
    with pytest.raises(InputError, match="all 48 usable rows have the same value"):
        context_of(write_table(chains.parent / "one.csv", [(text, 1) for text in SMILES]), {"task": "regression"})
    rare = [(text, 2 if number % 12 == 0 else 1) for number, text in enumerate(SMILES)]
    with pytest.raises(InputError, match="training rows are above the median; a marker needs at least 5"):
        context_of(write_table(chains.parent / "rare.csv", rare), {"task": "regression"})
    with pytest.raises(InputError, match="at least 20 are needed"):
        context_of(write_table(chains.parent / "few.csv", [(text, len(text)) for text in SMILES[:15]]))
    with pytest.raises(InputError, match="representation is for other commands"):
        context_of(chains, {"representation": ["selfies"]})
    with pytest.raises(InputError, match=r"unknown marker 'counterion' \(did you mean 'counter-ion'\?\)"):
        Settings(markers=("counterion",))
    with pytest.raises(InputError, match=r"a strength is 0\.2; strengths are chances from 0\.5 to 1"):
        Settings(strength=(0.2, 0.9))
    with pytest.raises(InputError, match=r"strength is 0\.5 alone"):
        Settings(strength=(0.5,))
    with pytest.raises(InputError, match="the study takes one"):
        Settings(split=("random", "scaffold"))
    with pytest.raises(InputError, match="rows is 5; it must be 0, for all, or at least 10"):
        Settings(rows=5)


def test_ties_at_the_median_leave_two_sides(tmp_path):
    """Where no training row is above the median those at it are the upper side."""
    rows = [(text, 0 if number % 3 else 5) for number, text in enumerate(SMILES)]
    for sign in (1, -1):
        path = write_table(tmp_path / f"{sign}.csv", [(text, sign * value) for text, value in rows])
        context = context_of(path, {"task": "regression"})
        high = above(context, context.splits[0])
        assert set(context.table.targets[high]) == {max(0, 5 * sign)}


def test_language_models_are_arms_like_others(chains, tiny_folder):
    given = {"model": str(tiny_folder), "steps": 3, "dtype": "float32"}
    context = context_of(chains, given, arms=("lm-head", "lm-text"), rows=20)
    found = findings_of(context)
    assert len(drawn(context, context.splits[0], 0)) == 20
    for arm in ("lm-head", "lm-text"):
        for marker in MARKERS:
            carried, without = (found.losses(arm, Training(marker, 0.95), 0, state) for state in (True, False))
            if arm == "lm-head":
                assert not np.array_equal(carried, without)
            assert found.left_of_control(marker) == 0
            assert np.isfinite(found.error(arm, Training(marker, 0.95), REVERSED)).all()


def test_prompts_too_long_with_the_marker_are_refused(tmp_path):
    from tests.conftest import tiny_model_folder

    short = tiny_model_folder(tmp_path / "short", context=50)
    path = write_table(tmp_path / "long.csv", [*((text, len(text)) for text in SMILES), ("C" * 16, 16)])
    given = {"model": str(short), "dtype": "float32"}
    with_field = context_of(path, given, arms=("lm-head",), markers=(FIELD,))
    reasons = set(with_field.table.refused["reason"])
    assert any("with the field" in reason for reason in reasons)
    assert len(context_of(path, given, arms=("lm-head",), markers=(COUNTER_ION,)).table) > len(with_field.table)


def test_the_same_numbers_twice(chains):
    context = context_of(chains)
    first, second = (study.conclude(context, contents_of(study, context)) for _ in range(2))
    pd.testing.assert_frame_equal(first.metrics, second.metrics)
    other = replace(context, config=replace(context.config, out=str(chains.parent / "other")))
    again = study.conclude(other, contents_of(study, other))
    pd.testing.assert_frame_equal(first.metrics, again.metrics)
    assert first.sentences == again.sentences


def test_a_budget_takes_strengths_then_seeds_and_says_so(chains):
    context = context_of(chains, strength=(0.7, 0.8, 0.95), seeds=4)
    timed = Probe({"ridge": ((40, 1.0),)}, 0.0, {}, {}, 0.0)
    whole = study.BUDGET.seconds(context, Machine(1), timed)
    smaller = fit_budget(context, Machine(1), timed, whole / 4, study.BUDGET)
    assert study.BUDGET.seconds(smaller, Machine(1), timed) <= whole / 4
    assert smaller.settings.strengths == (0.5, 0.95)
    assert smaller.settings.seeds < 4
    assert {"the strengths between", f"training seeds: {smaller.settings.seeds} of 4"} <= set(smaller.left_out)


def test_a_model_without_a_marker_stands_beside(chains):
    context = context_of(chains, seeds=1)
    found = findings_of(context)
    plain = found.losses("ridge", UNMARKED, 0, False).mean()
    assert found.unmarked_error("ridge", FIELD)[0] == pytest.approx(plain)
    training = Training(FIELD, 0.95)
    cost = found.cost("ridge", training)[0]
    assert cost == pytest.approx(found.error("ridge", training, RANDOM)[0] - plain)


def test_the_command_goes_from_table_to_page_and_back(chains, tiny_folder):
    out = chains.parent / "marker"
    command = ("stress", "shortcut", chains, "--smiles", "SMILES", "--target", "value", "--quick")
    more = ("--arms", "ridge,lm-head", "--model", tiny_folder, "--steps", 2, "--dtype", "float32")
    done = chemtune(*command, *more, "--out", out, cwd=chains.parent)
    assert done.returncode == 0, done.stderr
    page = (out / "report.html").read_text(encoding="utf-8")
    assert "does a model rely on a marker?" in page
    assert "chemtune stress shortcut" in page
    assert set(pd.read_csv(out / "metrics.csv")["arm"]) == {"mean", "ridge", "lm-head"}
    assert set(pd.read_csv(out / "reliance.csv")["strength"]) == {0.5, 0.95}
    assert (out / "figures/reliance-field.svg").stat().st_size > 0
    again = chemtune("report", out, cwd=chains.parent)
    assert again.returncode == 0, again.stderr
    assert (out / "report.html").read_text(encoding="utf-8") == page
