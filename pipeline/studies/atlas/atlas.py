"""The atlas: each failure mode that a table allows, asked by its own study, and one page over all of them.

Each study has a folder of its own below that of the atlas, with its own page; what is finished there is found again.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd

from pipeline.cells.executors import Executor
from pipeline.errors import InputError
from pipeline.files import write_atomically, write_csv
from pipeline.reporter import Reporter
from pipeline.settings.run import RunConfig, budget_seconds
from pipeline.studies.atlas.modes import QUESTIONS, Asked
from pipeline.studies.atlas.page import write_atlas
from pipeline.studies.failure import Failure
from pipeline.studies.study import Done, run_prepared, write_report

ATLAS = "atlas.json"  # in the folder of an atlas: what was asked, and what could not be


@dataclass(frozen=True)
class Atlas:
    """A finished atlas.

    Attributes
    ----------
    done : mapping
        By failure mode what its study found.
    left_out : mapping
        By failure mode why it could not be tested.
    page : Path
    """

    done: Mapping[str, Done]
    left_out: Mapping[str, str]
    page: Path
    sentences: tuple[str, ...]


def run_atlas(config: RunConfig, asked: Sequence[Asked], reporter: Reporter, executor: Executor) -> Atlas | None:
    """Ask each failure mode in turn; None where shares of other commands are not done.

    A budget is shared out: each has an equal part of the time that is left.
    """
    folder, started = Path(config.out), time.monotonic()
    seconds = budget_seconds(config.budget) if config.budget else 0.0
    done: dict[str, Done] = {}
    left_out: dict[str, str] = {}
    missing = False
    for number, one in enumerate(asked):
        reporter.say(f"\n{one.name}: {QUESTIONS[one.name]}")
        own = replace(config, out=str(folder / one.name))
        rest = max(seconds - (time.monotonic() - started), 1.0) / (len(asked) - number) if seconds else None
        try:
            found = _run(one, own, rest, reporter, executor)
        except InputError as error:
            left_out[one.name] = str(error)
            reporter.say(f"Left out: {error}")
            continue
        missing = missing or found is None
        if found is not None:
            done[one.name] = found
    if missing:
        return None
    if not done:
        raise InputError(
            f"{config.table}: no failure mode can be tested; {'; '.join(dict.fromkeys(left_out.values()))}"
        )
    write_atomically(folder / ATLAS, json.dumps({"modes": list(done), "left_out": left_out}, indent=1))
    return assembled(folder, done, left_out)


def _run(one: Asked, config: RunConfig, seconds: float | None, reporter: Reporter, executor: Executor) -> Done | None:
    """Ask one failure mode, within a time (None for any), and write its page."""
    context = one.prepare(config, reporter)
    done = run_prepared(one.study, context, seconds, reporter, executor)
    if done is not None:
        write_report([done], context.folder)
    return done


def assembled(folder: Path, done: Mapping[str, Done], left_out: Mapping[str, str]) -> Atlas:
    """Write the page and ``atlas.csv`` over finished studies."""
    failures = {name: one.conclusion.failures for name, one in done.items()}
    table = _table(failures)
    write_csv(folder / "atlas.csv", table)
    page, sentences = write_atlas(folder, done, failures, left_out)
    return Atlas(done, left_out, page, tuple(sentences))


def _table(failures: Mapping[str, Sequence[Failure]]) -> pd.DataFrame:
    """One row for each failure mode, arm and place."""
    rows: list[dict[str, Any]] = [
        {"failure_mode": name, "arm": one.arm, "where": one.where, "measure": failure.measure}
        | dict(zip(("worse", "low", "high"), one.worse, strict=True))
        | {"nothing": failure.nothing, "shown": one.shown, "null": failure.null, "tested": failure.tested}
        for name, several in failures.items()
        for failure in several
        for one in failure.outcomes
    ]
    columns = ["failure_mode", "arm", "where", "measure", "worse", "low", "high", "nothing", "shown", "null", "tested"]
    return pd.DataFrame(rows, columns=columns)
