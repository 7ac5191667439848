"""All failure modes of a table on one page."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from pipeline.evaluation.numbers import enumerated
from pipeline.report.blocks import Figure, Grid, Links, Listed, Section, Verdict, Written, note
from pipeline.report.figures import PLAIN, colour_of, svg
from pipeline.report.page import Part, write_page
from pipeline.studies.atlas.modes import QUESTIONS
from pipeline.studies.failure import NO, YES, Failure, Outcome
from pipeline.studies.study import Done
from pipeline.studies.words import one_seed, with_interval

HOW = (
    "Each failure mode was asked by a study of its own, whose page says how and what its design could not have shown. "
    "Square brackets are its 95 % intervals; shown is what its own test at 5 % says, corrected for all its arms and "
    "places, and not for the number of studies. Measures differ between failure modes: compare arms within one."
)

LABEL = 80  # characters of a line under a figure


def write_atlas(
    folder: Path, done: Mapping[str, Done], failures: Mapping[str, Sequence[Failure]], left_out: Mapping[str, str]
) -> tuple[Path, list[str]]:
    """Write the page over the studies of an atlas; its path, and what it says first."""
    said = sentences(failures, left_out)
    first = next(iter(done.values()))
    trained = pd.concat([one.conclusion.trained for one in done.values()], ignore_index=True)
    parts = [
        Section("", [Verdict(said), note(HOW)]),
        *[_of_mode(name, failures[name], done[name]) for name in done],
    ]
    if left_out:
        reasons = [f"{name} ({QUESTIONS[name]}) {reason}" for name, reason in left_out.items()]
        parts.append(Section("What could not be tested", [Listed(reasons, box=True)]))
    links = [(f"{name}: {QUESTIONS[name]}", f"{name}/report.html") for name in done]
    parts.append(Section("The page of each study", [Links(links)]))
    title = f"{first.context.table.name}: where models fail"
    context = replace(first.context, config=replace(first.context.config, out=str(folder)))
    facts = [f"{len(done)} failure modes tested, {len(left_out)} left out"]
    return write_page([Part(context, title, facts, parts, "chemtune atlas", trained, first.versions)], folder), said


def sentences(failures: Mapping[str, Sequence[Failure]], left_out: Mapping[str, str]) -> list[str]:
    """What the atlas says, failure modes that were shown first."""
    told = [(name, one) for name, several in failures.items() for one in several]
    said = [_sentence(name, one) for name, one in sorted(told, key=lambda each: not each[1].shown)]
    if left_out:
        said.append(f"Not tested: {enumerated(list(left_out))}.")
    return said


def _sentence(name: str, failure: Failure) -> str:
    most, least = failure.of_most(), failure.of_least()
    if most is None or least is None:
        return f"{name}: no arm was tested."
    arms = list(dict.fromkeys(one.arm for one in failure.outcomes if one.shown == YES))
    shown = f"shown for {enumerated(arms)}" if arms else "shown for no arm"
    tail = f", the least {_said(least)}" if least.arm != most.arm else ""
    meaning = f"{failure.measure}; {failure.nothing:g} where nothing gets worse"
    return f"{name}: {shown}. The most has {_said(most)}{tail} ({meaning})."


def _said(one: Outcome) -> str:
    return f"{one.arm} ({one.where}) with {with_interval(one.worse)}"


def _of_mode(name: str, failures: Sequence[Failure], done: Done) -> Section:
    """What was tested, how much worse, with what null, and what mends it."""
    blocks: list[Any] = [note(QUESTIONS[name], *one_seed(getattr(done.context.settings, "seeds", 0)))]
    for number, failure in enumerate(failures):
        blocks.append(Figure(f"{name}-{number}", _drawn(failure), f"{failure.measure}, by arm and place"))
        facts = {
            "tested": failure.tested,
            "null or control": failure.null,
            "suffers least": _name(failure.of_least()),
            "what mends it": failure.mend,
            "could not be shown": failure.limits,
        }
        blocks.append(Grid((), [(key, value) for key, value in facts.items() if value], wrapped=frozenset({1})))
        rows = [(one.arm, one.where, one.worse, _shown(one)) for one in failure.outcomes]
        header = ("arm", "where", failure.measure, "shown to be worse")
        blocks.append(Grid(header, rows, frozenset({1, 3}), name=f"{name} {number}"))
    if not failures:
        blocks.append(Verdict(done.conclusion.sentences[:3]))
    return Section(name, blocks)


def _name(one: Outcome | None) -> str:
    return one.arm if one else ""


def _shown(one: Outcome) -> Written:
    return Written({YES: "yes", NO: "better"}.get(one.shown, "not told"))


def _drawn(failure: Failure) -> str:
    """A line for each arm and place, with what stands for nothing."""
    outcomes = [one for one in failure.outcomes if np.isfinite(one.worse[0])]
    label = textwrap.fill(f"{failure.measure}; filled where shown to be worse", LABEL)
    figure, axis = plt.subplots(figsize=(7.2, 0.8 + 0.15 * label.count("\n") + 0.26 * len(outcomes)))
    for height, one in enumerate(reversed(outcomes)):
        value, low, high = one.worse
        axis.plot([low, high], [height, height], color=colour_of(one.arm), lw=1.6)
        axis.plot(
            value, height, "o", color=colour_of(one.arm), ms=5, mfc=colour_of(one.arm) if one.shown == YES else "white"
        )
    axis.axvline(failure.nothing, color=PLAIN, lw=0.8, ls=":")
    axis.set_yticks(range(len(outcomes)), [f"{one.arm}, {one.where}" for one in reversed(outcomes)], fontsize=8)
    axis.set_ylim(-0.6, len(outcomes) - 0.4)
    axis.set_xlabel(label, fontsize=8)
    return svg(figure)
