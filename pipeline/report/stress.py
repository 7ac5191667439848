"""What the pages of all experiments have in common."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from markupsafe import Markup

from pipeline import __version__
from pipeline.arms.catalogue import ARMS
from pipeline.arms.ladder import is_language_model
from pipeline.cells import versions
from pipeline.experiment import Run, hardware
from pipeline.files import write_atomically
from pipeline.report.page import page_environment


def counted(counts: pd.Series) -> str:
    """``300``, or ``290 to 300`` where trainings differ; nothing of none."""
    if counts.empty:
        return ""
    least, most = int(counts.min()), int(counts.max())
    return f"{least}" if least == most else f"{least} to {most}"


def write_page(
    run: Run,
    experiment: str,
    out: Path,
    learners: Sequence[str],
    drawn: Mapping[str, str],
    seconds: float,
    *,
    title: str,
    **said: Any,
) -> Path:
    """Write ``report.html`` from the template of an experiment, and its figures as SVG; returns the path of the page.

    Parameters
    ----------
    experiment : str
        Its name on the command line, and that of its template.
    drawn : mapping
        Figures by name.
    seconds : float
        That all trainings took.
    **said
        What the template shows besides.
    """
    environment = page_environment()
    for name, svg in drawn.items():
        write_atomically(out / "figures" / f"{name}.svg", svg)
    content = environment.get_template(f"{experiment}.html.j2").render(
        title=title,
        version=__version__,
        config=run.config,
        rows=len(run.table),
        refused=len(run.table.refused),
        warnings=run.table.warnings,
        drawn=drawn,
        learners=[(arm, ARMS[arm].does) for arm in learners],
        language_model=next((run.config.model for arm in learners if is_language_model(arm)), ""),
        command=f"chemtune stress {experiment} {shlex.quote(str(out / 'config.yaml'))} --out {shlex.quote(str(out))}",
        versions=versions(),
        hardware=hardware(),
        seconds=seconds,
        **said,
    )
    page = environment.get_template("page.html.j2").render(
        title=title, version=__version__, targets=[], runs=[Markup(content)]
    )
    path = out / "report.html"
    write_atomically(path, page)
    return path
