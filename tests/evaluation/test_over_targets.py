"""Scores over several targets."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from pipeline.evaluation.evaluations import REFERENCE, evaluate
from pipeline.evaluation.over_targets import over_targets
from pipeline.splits.splitters import Fold, Split
from pipeline.tables.targets import CLASSES, REGRESSION


def evaluation_of(seed, strengths, rows=range(300), task=CLASSES, split="random"):
    """The control and arms of these strengths on some rows of one table; every three rows are a group, and ``ridge``
    or ``good`` is preferred."""
    rng = np.random.default_rng(seed)
    ids = [f"m{row}" for row in rows]
    control = "majority" if task == CLASSES else "mean"
    if task == CLASSES:
        truth = np.where(rng.random(len(ids)) < 0.2, "1", "0")
        made = {
            arm: 1 / (1 + np.exp(-(strength * (truth == "1") + rng.normal(size=len(ids)))))
            for arm, strength in strengths.items()
        }
        made[control] = np.full(len(ids), 0.2)
    else:
        truth = rng.normal(size=len(ids))
        made = {
            arm: truth * min(strength, 1.0) + rng.normal(size=len(ids)) / strength
            for arm, strength in strengths.items()
        }
        made[control] = np.zeros(len(ids))
    parts = []
    for arm, values in made.items():
        part = pd.DataFrame({"row_id": ids, "split": split, "repeat": 0, "fold": 0, "arm": arm, "truth": truth})
        if task == CLASSES:
            part["prediction"], part["p_0"], part["p_1"] = np.where(values > 0.5, "1", "0"), 1 - values, values
        else:
            part["prediction"] = values
        parts.append(part.assign(parse_failed=False))
    groups = {name: f"g{int(name[1:]) // 3}" for name in ids}
    preferred = next((arm for arm in ("ridge", "good") if arm in strengths), "")
    return evaluate(
        pd.concat(parts),
        task=task,
        classes=("0", "1") if task == CLASSES else (),
        split=Split(split, (Fold(0, 0, (), tuple(ids)),), groups, "20 %"),
        preferred={(0, 0): preferred} if preferred else {},
        positive="1" if task == CLASSES else "",
    )


def _evaluation(seed, strength, rows=range(300), task=CLASSES):
    """With one arm, ``good``."""
    return evaluation_of(seed, {"good": strength}, rows, task)


def test_means_are_those_of_the_targets():
    found = {"a": _evaluation(0, 2.0), "b": _evaluation(1, 1.0), "c": _evaluation(2, 0.5, range(100, 300))}
    over = over_targets(found)
    truths = {name: one.truth == "1" for name, one in found.items()}
    areas = [roc_auc_score(truths[name], one.probabilities["good"][:, 1]) for name, one in found.items()]
    precisions = [average_precision_score(truths[name], one.probabilities["good"][:, 1]) for name, one in found.items()]
    assert over.mean("good", "auroc")[0] == pytest.approx(np.mean(areas))
    assert over.mean("good", "auprc")[0] == pytest.approx(np.mean(precisions))
    assert list(over.each["good", "auroc"]) == pytest.approx(areas)
    assert over.mean(REFERENCE, "auroc") == over.mean("good", "auroc")
    table = over.table().set_index(["arm", "metric"])
    assert table.loc[("good", "auroc"), "targets"] == 3
    assert table.loc[("good", "auroc"), "groups"] == 100


def test_targets_that_are_one_and_the_same_narrow_nothing():
    """The interval over rows of two targets with the same rows and values is that of one of them."""
    one = _evaluation(0, 1.0)
    twice = over_targets({"a": one, "b": one}).mean("good", "auroc")[1]
    four = over_targets({"a": one, "b": one, "c": one, "d": one}).mean("good", "auroc")
    assert four[1].error == pytest.approx(twice.error)
    assert four[2].error == pytest.approx(0.0, abs=1e-12)  # other targets like these would be the same again


def test_what_the_verdict_on_a_target_allows_for_is_in_the_mean_too():
    """The variance between training seeds, the training rows, and the groups of the rarest class."""
    found = {name: evaluation_of(seed, {"ridge": 1.0, "lm-head": 1.0}) for seed, name in enumerate("ab")}
    plain, _ = over_targets(found).difference("lm-head", "ridge")
    assert plain.degrees < min(len(set(one.groups[one.truth == "1"])) for one in found.values()) * 2
    seeded = {name: replace(one, seeds={"lm-head": (0.01, 1)}) for name, one in found.items()}
    wider, _ = over_targets(seeded).difference("lm-head", "ridge")
    assert wider.error**2 - plain.error**2 >= 2 * 0.01 / 4
    assert over_targets(seeded).difference("ridge", REFERENCE)[0].error == 0.0
    refits = {"ridge": np.zeros(5), "majority": np.zeros(5), "lm-head": np.arange(5) / 20}
    drawn = {name: replace(one, refits=refits) for name, one in found.items()}
    assert over_targets(drawn).difference("lm-head", "ridge")[0].error > plain.error
    alone = _evaluation(0, 1.0)
    one_positive = replace(alone, truth=np.where(alone.groups == alone.groups[0], "1", "0"))
    assert not over_targets({"a": alone, "b": one_positive}).difference("good", "majority")[0].known


def test_a_mean_over_targets_of_numbers_does_not_hang_on_their_units():
    found = {
        name: evaluation_of(seed, {"ridge": 1.0, "lm-head": 0.7}, task=REGRESSION) for seed, name in enumerate("ab")
    }
    one = over_targets(found).difference("lm-head", "ridge")[0]
    expected = np.mean(
        [of.scores["lm-head"]["relative_mae"][0] - of.scores["ridge"]["relative_mae"][0] for of in found.values()]
    )
    assert one.value == pytest.approx(expected)
    known = {name: replace(of, seeds={"lm-head": (0.01, 1)}) for name, of in found.items()}
    unit = [of.scores["mean"]["mae"][0] for of in found.values()]
    more = over_targets(known).difference("lm-head", "ridge")[0].error ** 2 - one.error**2
    assert more == pytest.approx(sum(0.01 / error**2 for error in unit) / 4, rel=0.3)


def test_two_targets_have_no_interval_over_targets():
    over = over_targets({"a": _evaluation(0, 2.0), "b": _evaluation(1, 1.0)})
    assert not over.mean("good", "auroc")[2].known


def test_intervals_end_where_a_score_does():
    few = {name: _evaluation(seed, 3.0**seed, range(60)) for seed, name in enumerate("abc")}
    table = over_targets(few).table().set_index(["arm", "metric"])
    assert over_targets(few).mean("good", "auroc")[2].interval()[1] > 1
    assert (table.loc[("good", "auroc"), ["high", "high_targets"]] <= 1).all()


@pytest.mark.slow  # twenty tables
def test_intervals_over_rows_hold_the_true_mean_at_their_level():
    """Targets of known strength: the AUROC of a normal shift d is Phi(d / sqrt 2)."""
    from scipy.stats import norm

    truth, held = norm.cdf(1.0 / np.sqrt(2)), 0
    for trial in range(20):
        found = {name: _evaluation(10 * trial + place, 1.0, range(200)) for place, name in enumerate("ab")}
        over = over_targets(found, trial)
        low, high = over.mean("good", "auroc")[1].interval()
        held += low <= truth <= high
    assert held >= 15  # 19 are expected; a binomial of 0.95 gives fewer than 15 in less than 0.1 %


def test_numbers_are_compared_to_the_mean_of_their_own_target():
    found = {"a": _evaluation(0, 1.0, task="regression"), "b": _evaluation(1, 0.5, task="regression")}
    over = over_targets(found)
    ratios = [one.scores["good"]["mae"][0] / one.scores["mean"]["mae"][0] for one in found.values()]
    assert over.mean("good", "relative_mae")[0] == pytest.approx(np.mean(ratios))
    assert over.mean("mean", "relative_mae")[0] == pytest.approx(1.0)
