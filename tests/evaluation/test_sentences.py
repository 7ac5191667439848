"""Every sentence of a verdict is taken once, on predictions made for it, and reads as it should."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest

from pipeline.evaluation import verdict
from pipeline.evaluation.comparison import Comparisons, compare
from pipeline.evaluation.evaluations import evaluate
from pipeline.splits.splitters import Fold, Split
from tests.branches import Branches
from tests.evaluation.test_evaluation import answered, class_evaluation, one_division, predictions

N = 80
RNG = np.random.default_rng(1)
TRUTH = RNG.normal(size=N)

RARE = ["yes"] * 16 + ["no"] * 100


def near(scale: float, seed: int = 2) -> np.ndarray:
    return TRUTH + np.random.default_rng(seed).normal(scale=scale, size=N)


MEAN, GOOD, FAIR, POOR, BAD = np.zeros(N), near(0.3), near(0.5, 3), near(0.8, 4), near(3.0, 5)
LITTLE = 0.05 + 0.01 * np.random.default_rng(6).normal(size=N)
SMALL = {f"r{i:03d}": f"g{i % 3}" for i in range(N)}
HALF = {f"r{i:03d}": f"g{max(0, i - 40)}" for i in range(N)}
SIXTY = {f"r{i:03d}": f"g{max(0, i - 20)}" for i in range(N)}
ONE = {f"r{i:03d}": "g" for i in range(N)}


def split_of(
    name: str, arms: dict, *, preferred="gp", groups=None, primary="", margin=0.0, seeds=None, failed=0
) -> Comparisons:
    """The comparisons of one hold-out of 80 rows; on the first ``failed`` of them lm-text has no answer."""
    frame = predictions(arms, TRUTH).assign(split=name)
    frame.loc[frame.index[frame["arm"] == "lm-text"][:failed], "parse_failed"] = True
    evaluation = evaluate(
        frame,
        task="regression",
        classes=(),
        split=replace(one_division(N, groups), name=name),
        preferred={(0, 0): preferred} if preferred else {},
    )
    evaluation = replace(evaluation, seeds=seeds or {})
    lm_arms = [arm for arm in arms if arm.startswith("lm")]
    return compare(evaluation, list(arms), lm_arms, primary or next(iter(lm_arms), ""), margin)


def folds_of(arms: dict, preferred: list[str]) -> Comparisons:
    """The same as five folds, each of which prefers a baseline of its own."""
    frame = predictions(arms, TRUTH)
    fold_of = {f"r{i:03d}": i % 5 for i in range(N)}
    frame["fold"] = frame["row_id"].map(fold_of)
    rows = list(fold_of)
    folds = tuple(
        Fold(0, k, tuple(r for r in rows if fold_of[r] != k), tuple(r for r in rows if fold_of[r] == k))
        for k in range(5)
    )
    split = Split("random", folds, {row: row for row in rows}, "")
    chosen = {(0, k): arm for k, arm in enumerate(preferred)}
    evaluation = evaluate(frame, task="regression", classes=(), split=split, preferred=chosen)
    return compare(evaluation, list(arms), [arm for arm in arms if arm.startswith("lm")], "lm-head", 0.0)


def classes_of(chances, truth, arm="gp") -> Comparisons:
    found = class_evaluation(np.asarray(chances), np.asarray(truth), arm=arm)
    return compare(found, ["majority", arm], [], "", 0.0)


def a_class_model_that_wins() -> Comparisons:
    """The language model ranks without an error and never answers the rare class; the baseline tosses coins."""
    truth, chances = np.array(RARE), np.r_[np.full(16, 0.4), np.full(100, 0.1)]
    arms = {"majority": np.full(116, "no"), "gp": np.full(116, "no"), "lm-head": np.full(116, "no")}
    frame = predictions(arms, truth)
    frame["p_yes"] = np.r_[np.full(116, 0.1), np.random.default_rng(3).random(116) / 3, chances]
    frame["p_no"] = 1 - frame["p_yes"]
    frame.loc[frame.index[frame["arm"] == "lm-head"][-10:], "parse_failed"] = True
    found = evaluate(frame, task="classes", classes=("no", "yes"), split=one_division(116), preferred={(0, 0): "gp"})
    return compare(found, list(arms), ["lm-head"], "lm-head", 0.0)


def three_classes() -> Comparisons:
    """Two of three classes are answered."""
    truth = np.array(list("abc") * 20)
    chances = np.full((60, 3), 0.2)
    chances[np.arange(60), np.where(truth == "c", 1, np.searchsorted(["a", "b"], truth))] = 0.6
    arms = {"majority": np.full(60, "a"), "gp": np.array(list("abc"))[chances.argmax(axis=1)]}
    frame = predictions(arms, truth)
    for place, label in enumerate("abc"):
        frame[f"p_{label}"] = np.r_[np.full(60, 1 / 3), chances[:, place]]
    found = evaluate(frame, task="classes", classes=("a", "b", "c"), split=one_division(60), preferred={(0, 0): "gp"})
    return compare(found, ["majority", "gp"], [], "", 0.0)


SPLITS: dict[str, Comparisons] = {
    "the language model wins": split_of("random", {"mean": MEAN, "gp": POOR, "lm-head": GOOD}),
    "two win": split_of("random", {"mean": MEAN, "gp": POOR, "lm-head": GOOD, "lm-text": near(0.31, 6)}),
    "it wins by less than matters": split_of(
        "random", {"mean": MEAN, "gp": GOOD + np.sign(GOOD - TRUTH) * LITTLE, "lm-head": GOOD}, margin=0.2
    ),
    "it loses": split_of("random", {"mean": MEAN, "gp": GOOD, "lm-head": POOR}),
    "it is equivalent": split_of("random", {"mean": MEAN, "gp": GOOD, "lm-head": GOOD + 0.01}, margin=0.2),
    "it cannot be told": split_of("random", {"mean": MEAN, "gp": GOOD, "lm-head": near(0.3, 7)}),
    "no answers": split_of("random", {"mean": MEAN, "gp": GOOD, "lm-text": MEAN}, failed=80),
    "three groups": split_of("random", {"mean": MEAN, "gp": GOOD, "lm-head": POOR}, groups=SMALL),
    "one group": split_of("random", {"mean": MEAN, "gp": GOOD}, groups=ONE),
    "one group has half": split_of("random", {"mean": MEAN, "gp": GOOD}, groups=HALF),
    "one group has a quarter": split_of("random", {"mean": MEAN, "gp": GOOD}, groups=SIXTY),
    "nothing learned": split_of("random", {"mean": MEAN, "gp": near(3.0, 8)}),
    "nothing learned by two": split_of("random", {"mean": MEAN, "gp": BAD, "lm-head": near(3.0, 8)}),
    "no gain possible": split_of("random", {"mean": MEAN, "gp": near(30.0, 8), "lm-head": near(30.0, 9)}),
    "the constant preferred": split_of("random", {"mean": MEAN, "ridge": BAD}, preferred="mean"),
    "the constant alone": split_of("random", {"mean": MEAN}, preferred=""),
    "no baseline": split_of("random", {"mean": MEAN, "lm-text": POOR, "lm-head": GOOD}, preferred=""),
    "a poor baseline": split_of("random", {"mean": MEAN, "gp": MEAN + 0.01 * BAD, "lm-head": GOOD - 1.1 * TRUTH}),
    "better than the constant, as the baseline is not": split_of(
        "random", {"mean": MEAN, "gp": near(0.65, 22), "lm-head": 0.2 * TRUTH}
    ),
    "the baseline has the smaller error, and alone is not shown to beat the constant": split_of(
        "random", {"mean": MEAN, "gp": near(0.6, 24), "lm-head": 0.02 * TRUTH}
    ),
    "the baseline beats one that beats the constant, and not another": answered(
        split_of("random", {"mean": MEAN, "gp": near(0.6, 24), "lm-head": 0.02 * TRUTH, "lm-text": GOOD}),
        {("lm-head", "gp"): "worse", ("lm-text", "gp"): "cannot tell"},
    ),
    "better than the baseline, not than the constant": split_of(
        "random", {"mean": MEAN, "gp": near(3.0, 6), "lm-head": LITTLE - 0.05, "lm-text": GOOD}
    ),
    "an edge": split_of("size", {"mean": MEAN, "gp": FAIR, "lm-head": near(0.5, 9)}),
    "validation missed one": split_of("random", {"mean": MEAN, "ridge": GOOD, "gp": POOR}),
    "a baseline is primary": split_of("random", {"mean": MEAN, "ridge": GOOD, "gp": POOR}, primary="ridge"),
    "without structures": split_of("random", {"mean": MEAN, "categories": GOOD}, preferred="categories"),
    "text wins": split_of("random", {"mean": MEAN, "ngram-ridge": GOOD}, preferred="ngram-ridge"),
    "an exact baseline": split_of("random", {"mean": MEAN, "gp": TRUTH, "lm-head": GOOD}),
    "folds agree": folds_of({"mean": MEAN, "gp": FAIR, "lm-head": near(0.5, 9)}, ["gp"] * 5),
    "folds differ": folds_of(
        {"mean": MEAN, "gp": FAIR, "ridge": near(0.5, 9), "lm-head": near(0.5, 8)}, ["gp", "ridge", "gp", "gp", "ridge"]
    ),
    "folds differ, nothing learned": folds_of(
        {"mean": MEAN, "gp": BAD, "ridge": near(3.0, 9), "lm-head": near(3.0, 8)}, ["gp", "ridge", "gp", "gp", "gp"]
    ),
    "seeds": split_of("random", {"mean": MEAN, "gp": FAIR, "lm-head": near(0.5, 9)}, seeds={"lm-head": (0.0001, 1)}),
    "never the rare class": classes_of(np.r_[np.full(16, 0.4), np.full(100, 0.1)], RARE),
    "perfect": classes_of(np.r_[np.full(16, 0.9), np.full(100, 0.1)], RARE),
    "coin tosses": classes_of(np.random.default_rng(3).random(116), RARE),
    "five of the rare class": classes_of(np.random.default_rng(3).random(105), ["yes"] * 5 + ["no"] * 100),
    "three classes": three_classes(),
    "classes, the language model wins": a_class_model_that_wins(),
}
WORDS = verdict.Words("nm", "molecules", ("categories",), ("ngram-ridge",), ("random",), 400)


@pytest.fixture(scope="module")
def said():
    """All sentences, and the conditions taken on the way."""
    branches = Branches()
    recorded = branches.module(verdict)
    sentences = {}
    for name, compared in SPLITS.items():
        arms = list(compared.evaluation.predicted)
        lm_arms = [arm for arm in arms if arm.startswith("lm")]
        baselines = [arm for arm in arms if arm not in (*lm_arms, "reference")]
        words = replace(WORDS, rows={"folds differ": 80, "an edge": 40_000}.get(name, WORDS.rows))
        (found,) = recorded.verdicts([compared], lm_arms, words, baselines)
        sentences[name] = found.sentence
    sentences["no units"] = recorded.verdicts([SPLITS["it loses"]], ["lm-head"], verdict.Words())[0].sentence
    sentences |= ladders(recorded) | drops(recorded)
    assert recorded.number(np.nan) == "n/a"
    return sentences, branches


def ladders(recorded) -> dict[str, str]:
    """Three splits each, by the arm that is to be used."""
    arms = {"mean": MEAN, "ridge": GOOD, "gp": GOOD + 0.1 * np.sign(GOOD - TRUTH)}
    close = {"mean": MEAN, "ridge": GOOD, "gp": near(0.3, 9)}
    few = split_of("scaffold", arms, groups=SMALL)
    kinds = {
        "two splits": [split_of("random", arms), split_of("scaffold", arms)],
        "no change": [split_of(name, arms, preferred="ridge") for name in ("random", "scaffold", "size")],
        "a change": [
            split_of("random", {"mean": MEAN, "ridge": POOR, "gp": GOOD}),
            split_of("scaffold", arms, preferred="ridge"),
            split_of("size", arms, preferred="ridge"),
        ],
        "validation alone": [
            split_of("random", close),
            split_of("scaffold", close, preferred="ridge"),
            split_of("size", close),
        ],
        "one cannot be told": [split_of("random", arms), few, split_of("size", arms)],
        "none can be told": [few, few, few],
    }
    return {
        f"ladder, {name}": recorded.ladder_sentence(recorded.verdicts(compared, [], WORDS, ["ridge", "gp"]), compared)
        for name, compared in kinds.items()
    }


def drops(recorded) -> dict[str, str]:
    easy, hard = (SPLITS[name].evaluation for name in ("it loses", "one group has a quarter"))
    one, perfect = SPLITS["one group"].evaluation, SPLITS["perfect"].evaluation
    return {
        "drop": recorded.drop_sentence(easy, hard, "reference", "the preferred baseline (gp)", "nm"),
        "drop to one group": recorded.drop_sentence(easy, one, "gp", "gp", "nm"),
        "drop of classes": recorded.drop_sentence(perfect, perfect, "gp", "gp", ""),
    }


def test_every_branch_of_the_sentences_was_taken(said):
    _, branches = said
    assert branches.missing("pipeline.evaluation.verdict") == []


def test_no_sentence_holds_what_nobody_can_read(said):
    for name, sentence in said[0].items():
        assert not re.search(r"\bnan\b|None|\binf\b|  |\breference\b|e[+-]\d\d", sentence), (name, sentence)
        assert not re.search(r"\b1 (groups|molecules|divisions)\b", sentence), (name, sentence)
        assert not sentence or sentence.endswith("."), (name, sentence)
