"""An oracle's values for every molecule of a file, beside the file's own columns."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from pipeline.errors import InputError
from pipeline.files import check_output, write_atomically
from pipeline.oracles.oracle import SECONDS, Oracle, OracleWorkers, Value
from pipeline.reporter import Reporter
from pipeline.tables.canonical import canonical_text
from pipeline.tables.catalogue import card, is_built_in
from pipeline.tables.header import free_names
from pipeline.tables.kinds import MOLECULES
from pipeline.tables.molecules import MoleculeError
from pipeline.tables.reading import check_column, find_smiles_column
from pipeline.tables.streaming import Stream, encode_chunk, join_chunks, open_stream, output_format
from pipeline.tables.structures import structure_notation
from pipeline.tables.values import column_texts

CHUNK_ROWS = 1_000
REASON = "reason"


@dataclass
class Labelled:
    """What came of a file: its rows, how many have a value, and how often each reason stands at the others."""

    out: Path
    column: str
    rows: int = 0
    with_value: int = 0
    reasons: Counter[str] = field(default_factory=Counter)


def label_file(
    oracle: Oracle,
    source: str,
    out: Path,
    reporter: Reporter,
    *,
    smiles: str = "",
    largest_fragment: bool = False,
    workers: int = 1,
    seconds: float = SECONDS,
    kept: Path | None = None,
) -> Labelled:
    """Write a table of molecules again, with a column of the oracle's values and one of reasons beside its own.

    The values are kept as they come, so the same command goes on after an interruption.

    Parameters
    ----------
    source : str
        A file, or the name of a built-in table.
    smiles : str
        Its column of molecules; found by its name if not given.
    largest_fragment : bool
        Ask for the largest fragment of each molecule, without counter-ions and solvents.
    workers, seconds, kept
        As of `OracleWorkers`.

    Raises
    ------
    InputError
        If the input cannot be read, has no such column, or is the output; or the oracle cannot be asked.
    """
    check_output(out)
    form = output_format(out)
    stream = open_stream(str(card(source).file()) if is_built_in(source) else source)
    if out.exists() and out.samefile(stream.path):
        raise InputError(f"--out {out}: is the input itself; chemtune never writes over it")
    wanted = smiles or find_smiles_column(stream.columns, source, stream.structure)
    column = check_column(stream.columns, wanted, "--smiles", source, stream.repeated)
    for remark in stream.remarks:
        reporter.say(f"{source}: {remark}")
    names = free_names([oracle.target, REASON], stream.columns)
    found, notation = Labelled(out, names[oracle.target]), ""
    out.parent.mkdir(parents=True, exist_ok=True)
    with (
        OracleWorkers(oracle, workers=workers, seconds=seconds, kept=kept) as asked,
        tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}.") as folder,
    ):
        parts: list[Path] = []
        for rows, damage in stream.chunks(CHUNK_ROWS):
            cells = [text.strip() for text in column_texts(rows[column])]
            notation = notation or structure_notation(cells)
            named = [
                ("", broken) if broken else _canonical(cell, largest_fragment, notation)
                for cell, broken in zip(cells, damage, strict=True)
            ]
            good = [name for name, reason in named if not reason]
            values = iter(asked.ask(good, _progress(reporter, oracle, found.rows, len(rows), stream)))
            said = [Value(None, reason) if reason else next(values) for _, reason in named]
            parts.append(Path(folder) / str(len(parts)))
            labelled = rows.assign(**_columns(said, names, oracle))
            write_atomically(parts[-1], encode_chunk(labelled, form, first=len(parts) == 1, own=names.values()))
            _count(found, said)
        join_chunks(parts, form, out)
    return found


def _canonical(cell: str, largest_fragment: bool, notation: str) -> tuple[str, str]:
    """The canonical SMILES, and why there is none."""
    try:
        return canonical_text(cell, MOLECULES, largest_fragment, notation), ""
    except MoleculeError as error:
        return "", str(error)


def _progress(reporter: Reporter, oracle: Oracle, before: int, rows: int, stream: Stream) -> Callable[[int, int], None]:
    """Distinct molecules of a chunk as a share of its rows."""

    def told(done: int, total: int) -> None:
        reporter.step(f"computing {oracle.target}", before + rows * done // max(1, total), stream.n_rows)

    return told


def _columns(said: list[Value], names: dict[str, str], oracle: Oracle) -> dict[str, pd.Series]:
    values = pd.Series([one.value for one in said], dtype="Float64")
    reasons = pd.Series([one.reason for one in said], dtype="string")
    return {names[oracle.target]: values, names[REASON]: reasons}


def _count(found: Labelled, said: list[Value]) -> None:
    found.rows += len(said)
    found.with_value += sum(one.value is not None for one in said)
    found.reasons.update(one.reason.partition(":")[0] for one in said if one.reason)
