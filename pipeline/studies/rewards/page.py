"""The page of the study of rewards."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np

from pipeline.report.blocks import Figure, Grid, Section, Verdict, note
from pipeline.report.figures import svg
from pipeline.report.sections import explained_arms, warning_notes
from pipeline.studies.learners import LM_BATCH
from pipeline.studies.rewards.findings import START, Findings, missing, sentences
from pipeline.studies.rewards.settings import DECOYS, FAILURES, REWARDS, SUCCESSES, TRUTH

COLOURS = {TRUTH: "#277da1", FAILURES: "#43aa8b", DECOYS: "#edae49", SUCCESSES: "#d1495b"}


def sections(found: Findings) -> list[Section]:
    """The page."""
    seeds = found.experiment.settings.seeds
    of_seeds = f"and {seeds} seeds" if seeds > 1 else "of one training seed"
    return [
        Section(
            "",
            [
                Verdict(sentences(found)),
                note(
                    f"Square brackets and ranges are 95 % intervals over held-out combinations {of_seeds}; what counts "
                    "as more than chance is corrected for all changes by Holm's method.",
                    missing(found),
                ),
            ],
        ),
        _along(found),
        _ends(found),
        _explained(found),
    ]


def _along(found: Findings) -> Section:
    text = (
        "Of what the generator wrote for training reactions in each round: the share that its reward calls successes, "
        "and the share that are. Where the first rises and the second does not, the reward is gamed. The truth was "
        "looked up for this figure alone, but for the reward that is the truth."
    )
    return Section(
        "Reward and truth along the training",
        [Figure("training", drawn(found), "share called successes and share of successes, by round"), note(text)],
    )


def drawn(found: Findings) -> str:
    """For each reward what it calls successes and what is, by round; points are folds and seeds."""
    names = found.rewards
    figure, axes = plt.subplots(1, len(names), figsize=(2.6 * len(names) + 0.8, 3.0), sharey=True, squeeze=False)
    for axis, name in zip(axes[0], names, strict=True):
        rows = found.training[found.training["reward"] == name]
        for column, style, label in (("called", "o--", "called successes"), ("true", "o-", "successes")):
            by_round = rows.groupby("round")[column]
            means = by_round.mean()
            axis.plot(means.index, means, style, color=COLOURS[name], ms=4, label=label)
            axis.fill_between(means.index, by_round.min(), by_round.max(), color=COLOURS[name], alpha=0.12, lw=0)
        axis.set(title=name, xlabel="round", xticks=np.arange(1, found.experiment.settings.rounds + 1))
        axis.grid(alpha=0.25)
    axes[0][0].set(ylabel="share of what was written", ylim=(0, 1))
    axes[0][0].legend(frameon=False, fontsize=8)
    return svg(figure)


def _ends(found: Findings) -> Section:
    rows = []
    compared = {row["proposals"]: row for row in found.compared.to_dict("records")}
    for what in found.proposers:
        own = what == START or what in found.rewards
        row = compared.get(what)
        rows.append(
            (
                what,
                found.success(what),
                (row["difference"], row["low"], row["high"]) if row else None,
                found.of_written(what, "called") if what in found.rewards else None,
                found.of_written(what, "valid") if own else None,
                found.of_written(what, "distinct") if own else None,
            )
        )
    header = ("proposals", "succeed", "less the start", "called successes by the reward", "can be read", "different")
    return Section(
        "Held-out reactions",
        [
            Grid(header, rows, name="ends"),
            note(
                f"{found.experiment.settings.written} proposals for each of {len(found.groups)} reactions, at a "
                "temperature of 1; repetitions count each time. Start: tuned on successes, before any reward."
            ),
        ],
    )


def _explained(found: Findings) -> Section:
    experiment = found.experiment
    settings = experiment.settings
    generator = ("start", "language model, its first layers, with adapters and a layer over the tokens of conditions")
    rewards = [(name, REWARDS[name]) for name in found.rewards]
    steps = settings.rounds * settings.steps
    return Section(
        "What was trained",
        [
            Grid((), [generator, *rewards, *explained_arms(experiment.verifiers)], wrapped=frozenset({1})),
            note(
                f"The generator is {experiment.context.config.model}, tuned for {settings.generator_steps} steps of "
                f"{LM_BATCH} rows on {settings.positives or 'all'} successes (or as many as there are), then for "
                f"{steps} steps of {settings.reactions} reactions with {settings.group} proposals each by policy "
                "gradient (GRPO, without a penalty of the divergence). The truth knows every measured reaction of the "
                "training rows; a verifier the successes of the generator, and as many failures as the rows hold for "
                "so many.",
                *warning_notes(experiment.context),
            ),
        ],
    )
