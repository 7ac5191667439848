"""Reporting a finished folder again: its conclusion and page, from the results that are there."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pipeline.cells.store import Store
from pipeline.errors import InputError
from pipeline.reporter import Reporter
from pipeline.runs.budget import as_reduced
from pipeline.runs.context import Context
from pipeline.runs.prepare import open_job, prepare
from pipeline.settings.reading import make_config, read_studies
from pipeline.studies.atlas.atlas import ATLAS, Atlas, assembled
from pipeline.studies.compare import study as comparison
from pipeline.studies.compare.targets import Overview, write_reports
from pipeline.studies.study import Done, Study, budget_of, concluded, study_named


def report_again(folder: Path, reporter: Reporter) -> tuple[list[Done], Path, Overview | Atlas | None]:
    """What was done in a folder, a part for each target (or failure mode of an atlas), the page, and what they say
    together.

    Raises
    ------
    InputError
        If the folder holds no finished run, or its table is another one now.
    """
    if (folder / ATLAS).exists():
        kept = json.loads((folder / ATLAS).read_text(encoding="utf-8"))
        found = {name: report_again(folder / name, reporter)[0][0] for name in kept["modes"]}
        atlas = assembled(folder, found, kept["left_out"])
        return list(found.values()), atlas.page, atlas
    path = folder / "config.yaml"
    if not path.exists():
        raise InputError(f"{folder}: not the folder of a run (no config.yaml in it)")
    said = read_studies(path)
    if said:
        ((name, settings),) = said.items()
        named, config = study_named(name), make_config(str(path), {"out": str(folder)})
        contexts = [named.prepare(config, named.Settings.read(settings, f"{path}: {name}"), reporter)]
        if budget := budget_of(named, contexts[0]):
            contexts = [as_reduced(one, budget) for one in contexts]
        study: Study = named
    else:
        study, job = comparison, open_job(str(path), {"out": str(folder)})
        contexts = [as_reduced(prepare(config, reporter, job.raw), comparison.BUDGET) for config in job.configs]
    done = [concluded(study, context, _finished(context)) for context in contexts]
    return done, *write_reports(done, folder)


def _finished(context: Context) -> list[dict[str, Any]]:
    """The results in the folder of a run, which must be of its table."""
    contents = Store(context.folder).finished()
    if not any(content["inputs"]["table"] == context.table.fingerprint() for content in contents):
        raise InputError(
            f"{context.folder}: its results are of another table than {context.config.table} is now (the file has "
            "changed, or this version of chemtune reads it otherwise); run it again"
        )
    return contents
