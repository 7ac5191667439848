"""The threshold between two classes, and what is said of it."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import matthews_corrcoef

from pipeline.errors import InputError
from pipeline.evaluation.thresholds import answers, choose, matthews_of
from pipeline.models.fitting import fit_model
from pipeline.models.folder import load_model
from pipeline.reporter import Reporter
from pipeline.runs.prepare import prepare
from pipeline.settings.reading import make_config
from pipeline.settings.threshold import Rule
from pipeline.studies.compare import study as comparison
from pipeline.studies.compare.findings import found_in
from tests.conftest import SMILES, write_table
from tests.studies.made import contents_of

LABELS = ["rare" if "N" in text and len(text) < 12 else "usual" for text in SMILES]


@pytest.fixture
def scored():
    rng = np.random.default_rng(0)
    positive = rng.random(400) < 0.1
    return positive, np.clip(0.15 * positive + rng.normal(0.15, 0.08, 400), 0.0, 1.0)


def test_the_highest_matthews_correlation_of_all_cuts_is_found(scored):
    positive, score = scored
    cut = choose(Rule.of("mcc"), positive, score)
    tried = [matthews_corrcoef(positive, score >= level) for level in np.linspace(0.001, 0.999, 2_000)]
    assert matthews_corrcoef(positive, score >= cut) >= max(tried) - 1e-12
    assert cut < 0.5


def test_the_lowest_cost_of_all_cuts_is_found_and_dear_misses_lower_it(scored):
    positive, score = scored

    def cost(cut, missed):
        return missed * np.sum(positive & (score < cut)) + np.sum(~positive & (score >= cut))

    for missed in (1, 5, 50):
        cut = choose(Rule.of(f"cost:FN={missed},FP=1"), positive, score)
        assert cost(cut, missed) <= min(cost(level, missed) for level in np.linspace(0.001, 0.999, 2_000))
    assert choose(Rule.of("cost:FP=1,FN=50"), positive, score) < choose(Rule.of("cost:FN=1,FP=1"), positive, score)


def test_rows_that_were_not_held_out_do_not_count(scored):
    positive, score = scored
    unknown = np.r_[score, np.full(50, np.nan)]
    assert choose(Rule.of("mcc"), np.r_[positive, np.ones(50, bool)], unknown) == choose(
        Rule.of("mcc"), positive, score
    )


def test_without_rows_of_both_classes_it_is_even():
    assert choose(Rule.of("mcc"), np.zeros(5, bool), np.linspace(0, 1, 5)) == 0.5
    assert choose(Rule.of("mcc"), np.ones(5, bool), np.full(5, np.nan)) == 0.5


def test_matthews_of_counts_is_that_of_scikit_learn(scored):
    positive, score = scored
    said = score >= 0.2
    true, false = np.array([np.sum(positive & said)]), np.array([np.sum(~positive & said)])
    found = matthews_of(true, false, int(positive.sum()), int((~positive).sum()))
    assert found[0] == pytest.approx(matthews_corrcoef(positive, said))


def test_the_positive_class_may_come_first_or_last():
    chances = np.array([[0.3, 0.7], [0.6, 0.4]])
    assert list(answers(chances, ("a", "b"), "a", 0.25)) == ["a", "a"]
    assert list(answers(chances, ("a", "b"), "b", 0.75)) == ["a", "a"]


@pytest.mark.parametrize(
    "wrong", ["", "0", "1", "-0.2", "nan", "MCCC", "cost", "cost:FN=0,FP=1", "cost:FN=1,FN=2", "2"]
)
def test_anything_else_is_an_error_that_says_what_is_expected(wrong):
    with pytest.raises(InputError, match="between 0 and 1, mcc, or cost:FN=5,FP=1"):
        Rule.of(wrong)


def _found(tmp_path, threshold, out):
    table = write_table(tmp_path / "t.csv", list(zip(SMILES, LABELS, strict=True)))
    settings = {"smiles": "SMILES", "target": "value", "arms": ["ridge", "rf-bits"], "split": ["random"]}
    config = make_config(str(table), {**settings, "threshold": threshold, "out": str(tmp_path / out)})
    context = prepare(config, Reporter())
    return context, contents_of(comparison, context)


def test_a_threshold_changes_the_answers_and_no_fit(tmp_path):
    context, contents = _found(tmp_path, "0.5", "out")
    even = found_in(context, contents)
    other, again = _found(tmp_path, "0.05", "out")
    assert {one["id"] for one in again} == {one["id"] for one in contents}
    low = found_in(other, again)
    assert (low.predictions["p_rare"] == even.predictions["p_rare"]).all()
    ridge = low.predictions[low.predictions["arm"] == "ridge"]
    assert ((ridge["p_rare"] >= 0.05) == (ridge["prediction"] == "rare")).all()
    assert not (low.predictions["arm"] == "majority").any() or "usual" in set(low.predictions["prediction"])

    def of(found, metric):
        return found.metrics.set_index(["arm", "metric"])["value"].loc["ridge", metric]

    assert of(low, "auroc") == of(even, "auroc")
    assert of(low, "auprc") == of(even, "auprc")
    assert of(low, "recall") >= of(even, "recall")


def test_a_chosen_threshold_comes_from_held_out_training_rows(tmp_path):
    context, contents = _found(tmp_path, "mcc", "out")
    found = found_in(context, contents)
    at = context.classes.index("rare")
    for cell in found.cells:
        if cell["tags"]["arm"] == "majority":
            continue
        _, fold = context.division(cell["tags"])
        truth = context.table.targets.loc[list(fold.train)].to_numpy() == "rare"
        expected = choose(Rule.of("mcc"), truth, np.array(cell["validation"])[:, at])
        assert found.thresholds[cell["id"]] == expected
    conclusion = comparison.conclude(context, contents)
    table = conclusion.tables["thresholds"]
    assert set(table["arm"]) == {"ridge", "rf-bits"}
    shown = [section.title for section in conclusion.sections]
    assert "Threshold" in shown


def test_a_threshold_is_for_two_classes(tmp_path):
    table = write_table(tmp_path / "t.csv", [(text, len(text)) for text in SMILES])
    given = {"smiles": "SMILES", "target": "value", "arms": ["ridge"], "threshold": "mcc", "out": str(tmp_path / "o")}
    with pytest.raises(InputError, match="two classes; the target 'value' has numbers"):
        prepare(make_config(str(table), given), Reporter())
    with pytest.raises(InputError, match="has 3 classes"):
        prepare(make_config(str(table), {**given, "bins": 3}), Reporter())


def test_a_saved_model_answers_by_its_threshold(tmp_path):
    table = write_table(tmp_path / "t.csv", list(zip(SMILES, LABELS, strict=True)))
    given = {"smiles": "SMILES", "target": "value", "threshold": "mcc", "out": str(tmp_path / "o")}
    fit_model(make_config(str(table), given), "ridge", Reporter()).save(tmp_path / "model")
    model = load_model(tmp_path / "model")
    cut = model.about["calibration"]["threshold"]["value"]
    described = model.describe(SMILES)
    assert ((described["p_rare"] >= cut) == (described["prediction"] == "rare")).all()
    assert (pd.Series(model.predict(SMILES)) == described["prediction"]).all()
    assert f"probability of {cut:.3g} on" in (tmp_path / "model" / "README.md").read_text(encoding="utf-8")
