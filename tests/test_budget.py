"""Estimates on recorded timings, and what is given up for a budget: by name last, and no more than it takes."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.errors import InputError
from pipeline.reporter import Reporter
from pipeline.runs.budget import COMPARISON, REDUCTIONS, _apply, _reduced, chosen, duration_option
from pipeline.runs.context import Machine
from pipeline.runs.estimates import Probe, estimate, seconds_of_fit
from pipeline.runs.prepare import prepare
from pipeline.settings.reading import make_config
from pipeline.settings.run import budget_seconds
from tests.test_run import chemtune

pytestmark = pytest.mark.usefixtures("undrawn")

LARGE = ("b3db",)  # tables that take long to read
RECORDED = [
    pytest.param(path, id=path.stem, marks=[pytest.mark.slow] * (path.stem in LARGE))
    for path in sorted((Path(__file__).parent / "recorded").glob("*.json"))
]
MACHINE = Machine(2, "bfloat16")
TELLING = 4.0  # seconds of an arm from which on its own estimate must be near as well


def recorded(name):
    return json.loads((Path(__file__).parent / "recorded" / f"{name}.json").read_text(encoding="utf-8"))


def probe_of(content):
    timed = {arm: tuple(map(tuple, of)) for arm, of in content["probe"]["baseline"].items()}
    return Probe(**{**content["probe"], "baseline": timed})


def context_of(content, folder, **settings):
    given = {**content["settings"], **settings, "out": str(folder)}
    return prepare(make_config(content["table"], given), Reporter())


@pytest.mark.parametrize("path", RECORDED)
def test_an_estimate_is_within_a_factor_of_two_of_what_it_took(path, tmp_path):
    """Probe and seconds of real runs on two quiet cores; `scripts/record_timings.py` makes them."""
    content = recorded(path.stem)
    found = estimate(context_of(content, tmp_path), MACHINE, probe_of(content))
    took = content["seconds"]
    assert 0.5 <= sum(found.values()) / sum(took.values()) <= 2.0, (found, took)
    for arm, seconds in took.items():
        if seconds >= TELLING:
            assert 1 / 3 <= found[arm] / seconds <= 3.0, (arm, found[arm], seconds)


def test_a_fit_costs_what_was_timed_and_grows_from_there():
    timed = ((160, 1.0), (480, 5.0))
    assert seconds_of_fit(timed, "ridge", 160) == pytest.approx(1.0)
    assert seconds_of_fit(timed, "ridge", 480) == pytest.approx(5.0)
    assert seconds_of_fit(timed, "ridge", 960) == pytest.approx(5.0 * 2**1.465, rel=1e-3)
    assert seconds_of_fit(((160, 1.0), (480, 2.0)), "ridge", 960) == pytest.approx(3.5)
    assert seconds_of_fit(timed, "gp", 480) == pytest.approx(5.0)
    assert seconds_of_fit(timed, "gp", 960) > seconds_of_fit(timed, "ridge", 960)
    assert seconds_of_fit(((160, 2.0), (480, 1.0)), "ridge", 9_999) == pytest.approx(2.0)
    assert seconds_of_fit((), "ridge", 100) == 0.0


@pytest.fixture(scope="module")
def asked(tmp_path_factory):
    """Three arms by name on two splits, and what a probe says of them."""
    content = recorded("photoswitch")
    return context_of(content, tmp_path_factory.mktemp("asked"), arms="ridge,gp,lm-head"), probe_of(content)


def seconds_of(context, measured, places):
    return sum(estimate(_apply(context, COMPARISON, places), MACHINE, measured).values())


@pytest.mark.parametrize("share", [0.9, 0.7, 0.5, 0.3, 0.2, 0.1, 0.01])
def test_what_was_asked_for_by_name_is_given_up_last(asked, share):
    context, measured = asked
    budget = share * seconds_of(context, measured, [])
    given_up = chosen(context, MACHINE, measured, budget, COMPARISON)
    assert given_up
    named = [place for place in given_up if REDUCTIONS[place].is_named(context)]
    unnamed = [place for place in range(len(REDUCTIONS)) if not REDUCTIONS[place].is_named(context)]
    if named:
        assert seconds_of(context, measured, unnamed) > budget
    else:
        assert set(_apply(context, COMPARISON, given_up).arms) == set(context.arms)


@pytest.mark.parametrize("share", [0.9, 0.7, 0.5, 0.3, 0.2])
@pytest.mark.parametrize("arms", ["ridge,gp,lm-head", "all"])
def test_no_more_is_given_up_than_it_takes(asked, share, arms):
    context, measured = asked
    if arms == "all":
        content = recorded("photoswitch")
        context = context_of(content, context.folder, arms="all")
    budget = share * seconds_of(context, measured, [])
    given_up = chosen(context, MACHINE, measured, budget, COMPARISON)
    assert seconds_of(context, measured, given_up) <= budget
    for place in given_up:
        assert seconds_of(context, measured, [other for other in given_up if other != place]) > budget
    assert chosen(context, MACHINE, measured, seconds_of(context, measured, []), COMPARISON) == []


def test_the_settings_of_a_user_count_as_named(asked):
    context, _ = asked
    named = {reduction.of for reduction in REDUCTIONS if reduction.is_named(context)}
    assert named == {"arms"}
    more = replace(context, config=replace(context.config, repeats=5, steps=500))
    assert {reduction.of for reduction in REDUCTIONS if reduction.is_named(more)} == {"arms", "repeats", "steps"}
    assert any(_reduced(more, reduction) is not None for reduction in REDUCTIONS)


@pytest.mark.parametrize("text", ["10", "10 min", "0m", "m"])
def test_a_budget_without_a_unit_is_an_error(text):
    with pytest.raises(InputError, match="budget"):
        budget_seconds(text)
    with pytest.raises(InputError, match="write 10s, 10m or 10h"):
        budget_seconds("10")
    assert [budget_seconds(one) for one in ("90s", "10m", "1.5h")] == [90, 600, 5400]
    assert [duration_option(one) for one in (61, 88, 100, 601)] == ["70s", "90s", "2m", "11m"]


def test_a_budget_that_cannot_be_met_says_what_would_do(alcohols):
    given = ("--target", "value", "--arms", "ridge,extratrees", "--split", "random", "--budget", "0.01s", "-o", "out")
    done = chemtune("run", alcohols, *given, cwd=alcohols.parent)
    assert done.returncode == 0, done.stderr
    assert "The budget of 0.01s cannot be met: this is the least that can be compared." in done.stdout
    assert "--budget 10s would do" in done.stdout
