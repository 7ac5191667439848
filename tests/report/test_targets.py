"""What several targets say together: every branch of it, and nothing that nobody can read."""

from __future__ import annotations

import re
from types import SimpleNamespace

import numpy as np
import pytest

from pipeline.evaluation.evaluations import CONTROL
from pipeline.studies.compare import targets
from tests.branches import Branches
from tests.evaluation.test_over_targets import evaluation_of


def done(name, evaluations, use, bins=0):
    """A finished comparison as far as the overview looks at it."""
    first = evaluations[0]
    frame = SimpleNamespace(rows_are="molecules", targets=list(first.truth), __len__=lambda: len(first.truth))
    table = type("T", (), {"rows_are": "molecules", "targets": frame.targets, "__len__": lambda self: len(first.truth)})
    context = SimpleNamespace(config=SimpleNamespace(target=name, bins=bins, seed=0), table=table(), task=first.task)
    info = {"verdicts": [{"split": one.split, "use": use} for one in evaluations]}
    return SimpleNamespace(context=context, conclusion=SimpleNamespace(evaluations=evaluations, info=info))


def made(seeds, lm_strength, strength, task="classes", split="random"):
    """A comparison for each seed, in which ``lm-head`` and the preferred ``ridge`` have these strengths."""
    arms = {"ridge": strength, **({"lm-head": lm_strength} if lm_strength is not None else {})}
    return [evaluation_of(seed, arms, task=task, split=split) for seed in seeds]


pytestmark = pytest.mark.slow  # a bootstrap for each case
CASES = {
    "the language model is better on all": [(range(4), 3.0, 0.3, "classes", "lm-head")],
    "it is worse on all": [(range(4), 0.2, 3.0, "classes", "ridge")],
    "nothing is told": [(range(4), 0.6, 0.6, "classes", None)],
    "two targets": [(range(2), 3.0, 0.3, "classes", "lm-head")],
    "numbers": [(range(3), 0.2, 2.0, "regression", "ridge")],
    "no language model": [(range(3), None, 1.0, "classes", "ridge")],
    "both tasks": [(range(3), 1.0, 1.0, "classes", "ridge"), (range(3), 1.0, 1.0, "regression", "ridge")],
    "one of each": [(range(1), 1.0, 1.0, "classes", "ridge"), (range(1), 1.0, 1.0, "regression", None)],
}


@pytest.fixture(scope="module")
def said():
    branches = Branches()
    module = branches.module(targets)
    found = {}
    for name, groups in CASES.items():
        parts = [
            done(f"{task} {seed}", [one], use, bins=2 if name == "two targets" else 0)
            for seeds, lm, strength, task, use in groups
            for seed, one in zip(seeds, made(seeds, lm, strength, task), strict=True)
        ]
        found[name] = module.overview(parts)
    mixed = made(range(3), 3.0, 0.3)
    mixed[0] = evaluation_of(0, {"lm-head": 0.2, "ridge": 3.0})
    found["other targets could turn it round"] = module.overview(
        [done(str(number), [one], "ridge") for number, one in enumerate(mixed)]
    )
    apart = [*made(range(2), 1.0, 1.0), *made([7], 1.0, 1.0, split="scaffold")]
    found["another split"] = module.overview([done(str(number), [one], "ridge") for number, one in enumerate(apart)])
    alone = [evaluation_of(seed, {}) for seed in range(2)]
    bare = [evaluation_of(seed, {"lm-head": 2.0}) for seed in range(2)]
    found["no baseline"] = module.overview([done(str(number), [one], "lm-head") for number, one in enumerate(bare)])
    same = [evaluation_of(seed, {"ridge": 2.0}, range(3), "regression") for seed in range(2)]
    found["one group"] = module.overview([done(str(number), [one], "ridge") for number, one in enumerate(same)])
    few = [evaluation_of(seed, {"ridge": 0.3, "lm-head": 3.0}, range(27)) for seed in range(2)]  # nine groups
    found["nine groups"] = module.overview([done(str(number), [one], None) for number, one in enumerate(few)])
    both = [evaluation_of(0, {"ridge": 2.0}), evaluation_of(0, {"ridge": 2.0}, task="regression")]
    found["nothing in common"] = module.overview([done(one.task, [one], "ridge") for one in both])
    found["the constant alone"] = module.overview([done(str(number), [one], None) for number, one in enumerate(alone)])
    return found, branches


def test_every_branch_was_taken(said):
    missing = [line for line in said[1].missing(targets.__name__) if "len(done)" not in line]
    assert "\n".join(missing) == ""


def test_sentences_are_true_of_what_was_made(said):
    found = {name: " ".join(one.sentences) for name, one in said[0].items()}
    assert "best for lm-head" in found["the language model is better on all"]
    assert ", better." in found["the language model is better on all"]
    assert ", worse." in found["it is worse on all"]
    assert "which other molecules could turn round" in found["nothing is told"]
    assert "No arm can be recommended on 4 of 4 targets" in found["nothing is told"]
    assert "other targets could turn it round" in found["other targets could turn it round"]
    assert "over targets" not in found["two targets"]
    assert "which so few groups cannot tell" in found["nine groups"]
    assert "MAE / MAE of the mean" in found["numbers"]
    assert found["one of each"] == "No arm can be recommended on 1 of 2 targets: regression 0 (random)."
    for name, text in found.items():
        assert not re.search(r"\bnan\b|None|\binf\b|  |\breference\b", text), (name, text)


def test_the_table_has_a_row_for_each_arm_and_metric(said):
    table = said[0]["both tasks"].table
    assert set(table["metric"]) == {"auroc", "auprc", "relative_mae", "r2"}
    assert set(table["arm"]) == {"ridge", "lm-head", *CONTROL.values()}
    assert np.isfinite(table[["value", "low", "high"]].to_numpy(dtype=float)).all()
