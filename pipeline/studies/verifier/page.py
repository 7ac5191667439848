"""The page of the study of verifiers."""

from __future__ import annotations

from pipeline.report.blocks import Figure, Grid, Section, Verdict, note
from pipeline.report.sections import counted, explained_arms, warning_notes
from pipeline.studies.learners import LM_BATCH
from pipeline.studies.verifier.figures import precision_points
from pipeline.studies.verifier.findings import (
    COVERAGE,
    DISTINCT,
    EVERYTHING,
    GAIN,
    GENERATOR,
    OUTSIDE,
    OVER_POPULAR,
    POPULAR,
    PRECISION,
    RANDOM,
    UNFILTERED,
    VALID_SHARE,
    Findings,
    rankings,
    sentences,
)


def sections(found: Findings) -> list[Section]:
    """The page."""
    settings, groups = found.experiment.settings, int(found.metrics["groups"].iloc[0])
    of_seeds = (
        f"for the training from the spread of the {settings.seeds} seeds"
        if settings.seeds > 1
        else "for one training seed, whose own variation they leave out"
    )
    return [
        Section(
            "",
            [
                Verdict(sentences(found)),
                note(
                    "Square brackets and ranges are 95 % intervals by Student's t: for the reactions from 1,000 "
                    f"bootstrap resamples of the {groups} held-out values, {of_seeds}; shares stay between 0 and 1. "
                    "Truth is the measured table: a proposal that was never measured counts as no success. Where a "
                    "reaction has fewer valid proposals than are counted, the share is of those there are."
                ),
            ],
        ),
        _precision(found),
        _proposed(found),
        _explained(found),
    ]


def _budget(found: Findings) -> int:
    return len(found.experiment.settings.temperatures) * found.experiment.settings.samples


def _precision(found: Findings) -> Section:
    experiment = found.experiment
    settings, n = experiment.settings, int(found.metrics["n"].iloc[0])
    rows = []
    for proposals, chosen in rankings(experiment):
        order = "" if proposals in (POPULAR, RANDOM) else _order(chosen)
        wanted = [(metric, top) for metric in (PRECISION, GAIN, OVER_POPULAR) for top in settings.top]
        rows.append((proposals, order, *(found.value(proposals, chosen, *one) for one in wanted)))
    names = ("precision", "gain over as written", "gain over most popular")
    header = ("proposals", "put in order by", *(f"{name}, first {k}" for name in names for k in settings.top))
    return Section(
        "How many proposals succeed",
        [
            Figure(
                "precision",
                precision_figure(found),
                "Share of successes among the first proposals, by where they come from and what puts them in order",
            ),
            Grid(header, rows, frozenset({1}), name="arms"),
            note(
                f"Each of {n} reactions got {_budget(found)} proposals from the generator ({settings.samples} at each "
                f"of the temperatures {', '.join(map(str, settings.temperatures))}; as written: the lowest "
                "temperature first, repetitions counted each time). Every combination ranks all "
                f"{len(experiment.combinations[0])} combinations of known values instead of proposals. The most "
                "popular combinations are those with the most known successes."
            ),
        ],
    )


def _proposed(found: Findings) -> Section:
    rows = [
        (name, found.value(GENERATOR, UNFILTERED, metric))
        for name, metric in (
            ("valid share of what was written", VALID_SHARE),
            ("distinct valid proposals of a reaction", DISTINCT),
            ("share of those that was never measured", OUTSIDE),
        )
    ]
    share = f"share of a reaction's successful conditions among {_budget(found)} proposals"
    rows += [
        (f"{share}: {source}", found.value(source, UNFILTERED, COVERAGE)) for source in (GENERATOR, POPULAR, RANDOM)
    ]
    return Section(
        "What was proposed",
        [
            Grid((), rows),
        ],
    )


def _explained(found: Findings) -> Section:
    experiment = found.experiment
    settings, context = experiment.settings, experiment.context
    columns = ["trained", "successes", "failures", "decoys"]
    given = [
        (str(name), *(counted(part[kind].dropna()) for kind in columns[1:]))
        for name, part in found.trained.reindex(columns=columns).groupby("trained", sort=False)
    ]
    generator = ("generator", "language model, all its layers, the last ones fine-tuned with LoRA to write conditions")
    return Section(
        "What the models are trained on",
        [
            note(
                f"Generator and verifiers know {settings.positives or 'all'} successes (or as many as there are) of "
                f"the other values of {settings.held_out_name}; a verifier besides these a share of the failures that "
                "the training rows hold for so many successes. With decoys, most successes are hidden first, and the "
                "conditions of those left are recombined with their substrates to stand in for failures; where fewer "
                "are left than the others know, a control has as few and real failures."
            ),
            Grid(("model", *columns[1:]), given),
            Grid((), [generator, *explained_arms(experiment.verifiers)], wrapped=frozenset({1})),
            note(
                f"The generator is {context.config.model}, trained for {settings.generator_steps} steps of {LM_BATCH} "
                f"rows; a verifier that is a language model for {settings.lm_steps}.",
                *warning_notes(context),
            ),
        ],
    )


def _order(chosen: str) -> str:
    """What puts proposals in order, in words."""
    return "as written" if chosen == UNFILTERED else chosen


def precision_figure(found: Findings) -> str:
    """Precision of every way of proposing and filtering, a panel per number of proposals."""
    panels = []
    for top in found.experiment.settings.top:
        rows = []
        for proposals, chosen in rankings(found.experiment):
            value = found.value(proposals, chosen, PRECISION, top)
            assert value
            label = proposals if proposals in (POPULAR, RANDOM) else f"{proposals}: {_order(chosen)}"
            if proposals == EVERYTHING:
                label = f"all combinations: {chosen}"
            rows.append({"label": label, "source": proposals} | dict(zip(("value", "low", "high"), value, strict=True)))
        panels.append((f"first {top}" if top > 1 else "first proposal", rows))
    return precision_points(panels)
