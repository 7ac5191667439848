"""The page of the verifier experiment."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pipeline.failure_modes.learners import LM_BATCH
from pipeline.failure_modes.verifier import NAME
from pipeline.failure_modes.verifier_findings import (
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
)
from pipeline.report import figures
from pipeline.report.stress import counted, write_page


def write_report(found: Findings, out: Path) -> Path:
    """Write ``report.html``, with the figure beside it; returns the path of the page."""
    experiment = found.experiment
    settings = experiment.settings
    columns = ["trained", "successes", "failures", "decoys"]
    return write_page(
        experiment.run,
        NAME,
        out,
        experiment.verifiers,
        {"precision": precision_figure(found)},
        float(found.trained["seconds"].sum()),
        title=f"{experiment.table.name}: generate, then verify",
        settings=settings,
        sentences=found.sentences,
        n=int(found.metrics["n"].iloc[0]),
        groups=int(found.metrics["groups"].iloc[0]),
        budget=len(settings.temperatures) * settings.samples,
        combinations=len(experiment.combinations[0]),
        top=settings.top,
        given=[
            (name, *(counted(part[kind].dropna()) for kind in ("successes", "failures", "decoys")))
            for name, part in found.trained.reindex(columns=columns).groupby("trained", sort=False)
        ],
        ranked=[_row(found, *pair) for pair in rankings(experiment)],
        counted=[
            (name, found.value(GENERATOR, UNFILTERED, metric))
            for name, metric in (
                ("valid share of what was written", VALID_SHARE),
                ("distinct valid proposals of a reaction", DISTINCT),
                ("share of those that was never measured", OUTSIDE),
            )
        ],
        coverage=[(source, found.value(source, UNFILTERED, COVERAGE)) for source in (GENERATOR, POPULAR, RANDOM)],
        lm_batch=LM_BATCH,
    )


def _row(found: Findings, proposals: str, chosen: str) -> dict[str, Any]:
    tops = found.experiment.settings.top
    return {
        "proposals": proposals,
        "filter": "" if proposals in (POPULAR, RANDOM) else _order(chosen),
        "cells": [
            found.value(proposals, chosen, metric, top) for metric in (PRECISION, GAIN, OVER_POPULAR) for top in tops
        ],
    }


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
    return figures.precision_points(panels)
