"""The page of a study: sections of text, tables and figures; the page knows no study."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from markupsafe import Markup

from pipeline import __version__
from pipeline.arms.catalogue import ARMS
from pipeline.arms.ladder import is_language_model
from pipeline.files import write_atomically
from pipeline.report.environment import page_environment
from pipeline.runs.context import Context, hardware

Interval = tuple[float, float, float]  # value, low, high


@dataclass(frozen=True)
class Group:
    """Rows of a table that stand under a heading of their own."""

    heading: str
    rows: Sequence[Sequence[Any]]


@dataclass(frozen=True)
class Grid:
    """A table of the page.

    Attributes
    ----------
    header : sequence of str
        Empty for a table without one.
    rows : sequence
        Of texts, numbers, `Interval` or None, or of `Group`.
    words : frozenset of int
        Columns that hold words, besides the first one; ``wrapped`` those that hold sentences.
    name : str
        What tells the table from others of the page.
    marked : frozenset of int
        Rows that stand out.
    """

    header: Sequence[str]
    rows: Sequence[Any]
    words: frozenset[int] = frozenset()
    wrapped: frozenset[int] = frozenset()
    name: str = ""
    marked: frozenset[int] = frozenset()

    @property
    def groups(self) -> list[Group]:
        """The rows by heading; one group without a heading if there are none."""
        if self.rows and isinstance(self.rows[0], Group):
            return list(self.rows)
        return [Group("", self.rows)]


@dataclass(frozen=True)
class Figure:
    """A drawing of the page, which is kept as a file as well."""

    name: str
    svg: str
    alt: str


@dataclass(frozen=True)
class Section:
    """A block of the page.

    Attributes
    ----------
    level : int
        2 for a part of the page, 3 for a part of that.
    verdict, notes, remarks : sequence of str
        What was found; how to read it, in front of the table; and what is said behind it.
    folded : bool
        Shown when asked for.
    """

    title: str
    level: int = 2
    verdict: Sequence[str] = ()
    notes: Sequence[str] = ()
    figure: Figure | None = None
    grids: Sequence[Grid] = ()
    remarks: Sequence[str] = ()
    folded: bool = False


def file_name(text: str) -> str:
    """The name of a split as it stands in the name of a figure."""
    return "".join(character if character.isalnum() else "-" for character in text)


def counted(counts: pd.Series) -> str:
    """``300``, or ``290 to 300`` where trainings differ; nothing of none."""
    if counts.empty:
        return ""
    least, most = int(counts.min()), int(counts.max())
    return f"{least}" if least == most else f"{least} to {most}"


def explained_arms(arms: Sequence[str]) -> list[tuple[str, str]]:
    """What each arm of a study is, for a table of two columns."""
    return [(arm, ARMS[arm].does) for arm in arms]


def language_model_note(context: Context, steps: int, rows: int) -> list[str]:
    """For how long the language model of a study is trained; nothing where there is none."""
    if not any(map(is_language_model, context.arms)):
        return []
    return [
        f"The language model is {context.config.model}, trained for {steps} steps of {rows} rows each time, so that "
        "the whole stays within its time; longer training may do better."
    ]


def warning_notes(context: Context) -> list[str]:
    """The warnings of the table."""
    return [f"Warning: {warning}." for warning in context.table.warnings]


def write_page(
    context: Context,
    title: str,
    facts: Sequence[str],
    sections: Sequence[Section],
    command: str,
    seconds: float,
    versions: Mapping[str, str],
) -> Path:
    """Write ``report.html``, and its figures as SVG; returns the path of the page.

    Parameters
    ----------
    facts : sequence of str
        What stands under the title, besides the rows, the seed and the version.
    command : str
        The command that makes the page again, without the settings and the folder.
    seconds : float
        That all trainings took.
    versions : mapping
        Of the packages that made the results.
    """
    environment, out = page_environment(), context.folder
    for section in sections:
        if section.figure:
            write_atomically(out / "figures" / f"{section.figure.name}.svg", section.figure.svg)
    table = context.table
    content = environment.get_template("study.html.j2").render(
        title=title,
        facts=[
            f"{len(table)} {table.rows_are} ({len(table.refused)} rows refused)",
            *facts,
            f"seed {context.config.seed}",
            f"chemtune {__version__}",
        ],
        sections=sections,
        command=f"{command} {shlex.quote(str(out / 'config.yaml'))} --out {shlex.quote(str(out))}",
        versions=versions,
        hardware=hardware(),
        seconds=seconds,
    )
    page = environment.get_template("page.html.j2").render(
        title=title, version=__version__, targets=[], runs=[Markup(content)]
    )
    path = out / "report.html"
    write_atomically(path, page)
    return path


def interval_where(metrics: pd.DataFrame, **wanted: Any) -> Interval | None:
    """``(value, low, high)`` of the first row whose columns have these values (NaN for none); None if there is none."""
    for column, value in wanted.items():
        metrics = metrics[metrics[column].isna() if pd.isna(value) else metrics[column] == value]
    if metrics.empty:
        return None
    value, low, high = (float(metrics[name].iloc[0]) for name in ("value", "low", "high"))
    return value, low, high


def interval_of(row: Any) -> Interval:
    """``(value, low, high)`` of a row of metrics."""
    return float(row["value"]), float(row["low"]), float(row["high"])
