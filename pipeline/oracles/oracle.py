"""An oracle: a function that computes the true value of any molecule, asked in processes with a time limit.

Built in are those of `pipeline.oracles.built_in`; one of the user's own is named ``module:function`` and takes a
canonical SMILES to a number. It may say in an attribute ``units`` what its values are measured in, and in an attribute
``version`` what they depend on besides its file.
"""

from __future__ import annotations

import contextlib
import importlib.util
import inspect
import io
import os
import sys
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from pipeline.errors import InputError, nearest
from pipeline.files import cache_folder, sha256
from pipeline.named import function_named, is_own
from pipeline.oracles.answering import function_of
from pipeline.oracles.built_in import BUILT_IN
from pipeline.oracles.kept import Kept
from pipeline.oracles.workers import Worker, wait_for
from pipeline.tables.molecules import MoleculeError, canonical_smiles

SECONDS = 30.0  # for a molecule
Told = Callable[[int, int], None]


@dataclass(frozen=True)
class Oracle:
    """What is known of an oracle; plain data.

    Attributes
    ----------
    name : str
        As the user writes it.
    target, units : str
        The column of its values, and what they are measured in.
    version : str
        Of the method and its packages, or of the user's file: values are kept and taken again by it.
    """

    name: str
    target: str
    units: str
    version: str


@dataclass(frozen=True)
class Value:
    """What an oracle says of a molecule: its value, or the reason why it has none."""

    value: float | None
    reason: str = ""


def oracle_named(name: str) -> Oracle:
    """The oracle of a name, ready to be asked.

    Raises
    ------
    InputError
        If there is none of that name, a package that it needs is not installed, or the user's module or function cannot
        be imported.
    """
    if name in BUILT_IN:
        return _built_in(name)
    if is_own(name):
        return _own(name)
    raise InputError(
        f"unknown oracle {name!r}{nearest(name, BUILT_IN)}; there are: {', '.join(BUILT_IN)}, and your own as "
        "MODULE:FUNCTION"
    )


def _built_in(name: str) -> Oracle:
    row = BUILT_IN[name]
    if row.package and importlib.util.find_spec(row.package) is None:
        raise InputError(f"oracle {name!r} needs {row.package}: {row.needs}")
    return Oracle(name, row.target, row.units, function_named(row.version, "oracle")())


def _own(name: str) -> Oracle:
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        function = function_of(name)
    said = getattr(function, "version", "")
    version = ", ".join(filter(None, [f"files {_digest(name, function)}", str(said)]))
    return Oracle(name, name.partition(":")[2], str(getattr(function, "units", "")), version)


def _digest(name: str, function: Any) -> str:
    """Of the files of the module that the user names and of the function, which may be elsewhere."""
    paths = [getattr(sys.modules[name.partition(":")[0]], "__file__", None)]
    with contextlib.suppress(TypeError):  # a function of C, or an object that can be called
        paths.append(inspect.getsourcefile(inspect.unwrap(function)))
    files = dict.fromkeys(path for path in paths if path and os.path.isfile(path))
    return " ".join(sha256(Path(path))[:16] for path in files) or "unknown"


def _untold(done: int, total: int) -> None:
    """Nobody wants to know."""


class OracleWorkers:
    """An oracle at work, until the end of the block.

    Parameters
    ----------
    oracle : Oracle
    workers : int
        Processes; 0 for one per core.
    seconds : float
        For each molecule; its process is ended after that.
    kept : Path, optional
        Folder of values that were computed before; in the user's cache if not given.

    Raises
    ------
    InputError
        If the number of workers or seconds makes no sense.
    """

    def __init__(self, oracle: Oracle, *, workers: int = 1, seconds: float = SECONDS, kept: Path | None = None) -> None:
        if workers < 0:
            raise InputError(f"workers is {workers}; it must not be negative")
        if not seconds > 0:
            raise InputError(f"seconds is {seconds:g}; it must be more than 0")
        self.oracle, self.seconds = oracle, seconds
        self._most = workers or os.cpu_count() or 1
        self._kept = Kept(kept or cache_folder() / "oracles", oracle.name, oracle.version)
        self._workers: list[Worker] = []

    def __enter__(self) -> OracleWorkers:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    def ask(self, smiles: Sequence[str], told: Told = _untold) -> list[Value]:
        """The values of molecules, in their order.

        Each distinct molecule is computed once, and not at all where its value is kept. Kept is what the molecule is to
        blame for; not a time limit, a process that ended, or an error of files, network, memory or imports.

        Parameters
        ----------
        smiles : sequence of str
            As they are written; the oracle is given them canonical.
        told : callable
            Is given how many distinct molecules are done, and how many there are.

        Raises
        ------
        InputError
            If the oracle cannot be started, or values cannot be kept.
        """
        named = [_canonical(text) for text in smiles]
        distinct = list(dict.fromkeys(name for name, reason in named if not reason))
        known = self._kept.known()
        found = {name: Value(*known[name]) for name in distinct if name in known}
        new = [name for name in distinct if name not in found]
        try:
            self._compute(new, found, lambda: told(len(found), len(distinct)))
        except BaseException:
            self._end()  # what they are at is nobody's any more
            raise
        return [Value(None, reason) if reason else found[name] for name, reason in named]

    def _compute(self, smiles: list[str], found: dict[str, Value], tell: Callable[[], None]) -> None:
        """Put the values of all into ``found``."""
        waiting = deque(smiles)
        tell()
        while waiting or any(worker.smiles for worker in self._workers):
            self._hand_out(waiting)
            wait_for([worker for worker in self._workers if not worker.is_idle])
            for worker in list(self._workers):
                at = worker.smiles
                if worker.is_idle or (answer := worker.answered()) is None:
                    continue
                if worker.is_over:
                    self._workers.remove(worker)
                value, reason, stays = answer
                if stays:
                    self._kept.keep(at, value, reason)
                found[at] = Value(value, reason)
                tell()

    def _hand_out(self, waiting: deque[str]) -> None:
        """A molecule to each that has none, and as many processes as there is work for."""
        for worker in list(self._workers):
            if not (waiting and worker.is_idle):
                continue
            if worker.give(waiting[0], self.seconds):
                waiting.popleft()
            else:
                worker.end()
                self._workers.remove(worker)
        starting = sum(not worker.has_started for worker in self._workers)
        while len(self._workers) < self._most and starting < len(waiting):
            self._workers.append(Worker(self.oracle.name))
            starting += 1

    def _end(self) -> None:
        for worker in self._workers:
            worker.end()
        self._workers.clear()


def _canonical(text: str) -> tuple[str, str]:
    """The canonical SMILES, and why there is none."""
    try:
        return canonical_smiles(text), ""
    except MoleculeError as error:
        return "", str(error)
