"""One HTML file that explains the run of a study: it works offline, and can be printed."""

from __future__ import annotations

import base64
import hashlib
import os
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.resources import files
from pathlib import Path

import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined

from pipeline import __version__
from pipeline.files import write_atomically
from pipeline.report.blocks import Code, Section, Text, Verdict
from pipeline.runs.context import Context, hardware

TARGETS_ON_A_PAGE = 3


@dataclass(frozen=True)
class Part:
    """What a page says of one run of a study; a page over several targets has one part for each.

    Attributes
    ----------
    facts : sequence of str
        What stands under the title, besides the rows, the seed and the version.
    command : str
        The command that makes the page again, without the settings and the folder.
    trained : DataFrame
        ``seconds``, ``peak_mb`` and maybe ``gpu_peak_mb`` of every training.
    versions : mapping
        Of the packages that made the results.
    """

    context: Context
    title: str
    facts: Sequence[str]
    sections: Sequence[Section]
    command: str
    trained: pd.DataFrame
    versions: Mapping[str, str]


def page_environment() -> Environment:
    """The templates of all pages; text from a table is escaped."""
    environment = Environment(
        loader=PackageLoader("pipeline.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["image"] = _image
    return environment


def _image(svg: str) -> str:
    """An SVG as a data address: nothing in it can run or reach out."""
    return "data:image/svg+xml;base64," + base64.b64encode(svg.encode("utf-8")).decode("ascii")


def write_page(parts: Sequence[Part], out: Path, overview: Sequence[Section] = ()) -> Path:
    """Write ``report.html`` over one run, or over those of several targets, and its figures as SVG beside the data of
    each; returns the path of the page.

    The ``overview`` says what several targets say together. Of more than `TARGETS_ON_A_PAGE` each has a page of its
    own in its folder.
    """
    several = len(parts) > 1
    apart = len(parts) > TARGETS_ON_A_PAGE
    shown, pages = [], []
    for number, part in enumerate(parts, 1):
        if apart:
            path = write_page([part], part.context.folder)
            pages.append((part.context.config.target, Path(os.path.relpath(path, out)).as_posix()))
            continue
        for figure in (figure for section in part.sections for figure in section.figures()):
            write_atomically(part.context.folder / "figures" / f"{figure.name}.svg", figure.svg)
        shown.append(_shown(part, out, f"target-{number}" if several else ""))
    script = files("pipeline.report").joinpath("templates/page.js").read_text(encoding="utf-8")
    page = (
        page_environment()
        .get_template("page.html.j2")
        .render(
            title=parts[0].context.table.name if several else parts[0].title,
            version=__version__,
            targets=len(parts),
            pages=pages,
            overview=overview,
            rebuilt=[_again(parts, out)] if apart else [],
            parts=shown,
            script=script,
            script_hash=base64.b64encode(hashlib.sha256(script.encode("utf-8")).digest()).decode("ascii"),
        )
    )
    path = out / "report.html"
    write_atomically(path, page)
    return path


def _shown(part: Part, out: Path, anchor: str) -> dict[str, object]:
    """What the template is given of a part."""
    table, prefix = part.context.table, f"{anchor}-" if anchor else ""
    refused = len(table.refused)
    rows = f"{len(table)} {table.rows_are}" + (f" ({refused} row{'s' * (refused != 1)} refused)" if refused else "")
    sections = [*part.sections, _again([part], out)]
    return {
        "anchor": anchor,
        "name": part.context.config.target,
        "title": part.title,
        "sentences": _found(part.sections),
        "facts": [rows, *part.facts, f"seed {part.context.config.seed}", f"chemtune {__version__}"],
        "sections": [replace(one, anchor=f"{prefix}{one.anchor or _slug(one.title)}") for one in sections],
    }


def _found(sections: Sequence[Section]) -> Sequence[str]:
    """What was found, for the head of a page of several parts."""
    verdicts = [block for section in sections for block in section.blocks if isinstance(block, Verdict)]
    return verdicts[0].sentences if verdicts else ()


def _slug(title: str) -> str:
    return re.sub("[^a-z0-9]+", "-", title.lower()).strip("-")


def _again(parts: Sequence[Part], out: Path) -> Section:
    """How the page is made again, and what it took."""
    machine, trained = hardware(), pd.concat([part.trained for part in parts], ignore_index=True)
    took = f"Training and predicting took {trained['seconds'].sum():.0f} s in all"
    took += f", with at most {trained['peak_mb'].max() / 1000:.1f} GB of memory" if len(trained) else ""
    took += f", on {machine['processor'] or machine['machine']} with {machine['cores']} cores"
    if machine["gpu"]:
        took += f" and {machine['gpu']}"
        most = trained["gpu_peak_mb"].max() / 1000 if "gpu_peak_mb" in trained else 0.0
        took += f", with at most {most:.1f} GB of its memory in use" if most > 0 else ""
    each = ", in the folder of each target; means over the targets in targets.csv" if len(parts) > 1 else ""
    made_with = ", ".join(f"{name} {version}" for name, version in parts[0].versions.items())
    said = (
        f"{took}. Versions: {made_with}. Scores are in metrics.csv, what was trained in trained.csv, predictions in "
        f"predictions.parquet, settings in config.yaml, and all else in run.json{each}."
    )
    where = f"{shlex.quote(str(out / 'config.yaml'))} --out {shlex.quote(str(out))}"
    return Section("Run it again", [Code(f"{parts[0].command} {where}"), Text([said])], anchor="rebuild")
