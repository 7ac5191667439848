"""Processes that an oracle runs in, one molecule at a time each, which can be ended at any moment.

Pools of libraries end a process that takes too long, but not the programs that it has started, such as a quantum
chemistry program that hangs; and in them processes share a pipe that a dying one can leave locked. Here each has a pipe
and a group of processes of its own.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from multiprocessing import connection
from typing import Any

from pipeline.errors import InputError
from pipeline.oracles.answering import READY, Answer, serve

START_SECONDS = 300.0  # to import what a function needs
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


class Worker:
    """A process that answers for an oracle.

    Attributes
    ----------
    smiles : str
        The molecule that it is at; empty while it starts, and while it has nothing to do.
    until : float
        When it has to be done with that, on the monotonic clock.
    is_over : bool
        Whether its process has ended.
    """

    def __init__(self, oracle: str) -> None:
        self.oracle, self.smiles = oracle, ""
        self.has_started = self.is_over = False
        self._ours, theirs = multiprocessing.Pipe()
        # Not forked: the threads of torch and OpenMP do not survive that.
        spawned = multiprocessing.get_context("spawn")
        self._process = spawned.Process(target=serve, args=(oracle, os.getcwd(), theirs), daemon=True)
        with _one_thread_each():
            self._process.start()
        theirs.close()
        self._seconds = START_SECONDS
        self.until = time.monotonic() + START_SECONDS

    @property
    def is_idle(self) -> bool:
        return self.has_started and not self.smiles and not self.is_over

    def give(self, smiles: str, seconds: float) -> bool:
        """Let it work on a molecule; whether it was still there to be asked."""
        try:
            self._ours.send(smiles)
        except OSError:
            return False
        self.smiles, self._seconds, self.until = smiles, seconds, time.monotonic() + seconds
        return True

    def answered(self) -> Answer | None:
        """What it says of its molecule, or why it says nothing; None while it is still at it, and once it has started.

        Raises
        ------
        InputError
            If the function cannot be had in a process of its own.
        """
        try:
            if self._ours.poll():
                return self._heard(self._ours.recv())
            if not self._process.is_alive() and not self._ours.poll():
                raise EOFError
        except (EOFError, OSError):
            return self._lost(f"ended its process ({self._end_status()})")
        if time.monotonic() < self.until:
            return None
        self.end()
        return self._lost(f"took longer than {self._seconds:g} s")

    def _heard(self, said: Any) -> Answer | None:
        if self.has_started:
            self.smiles = ""
            return said  # type: ignore[no-any-return]
        if said != READY:
            raise InputError(said)
        self.has_started = True
        return None

    def _lost(self, how: str) -> Answer:
        """The end of the process costs its molecule, unless there is none yet: then the function is at fault."""
        if not self.has_started:
            raise InputError(f"oracle {self.oracle!r} {how} while its module was imported")
        self.smiles = ""
        return None, f"the oracle {how}", False

    def _end_status(self) -> str:
        self.end()
        code = self._process.exitcode or 0
        return f"exit status {code}" if code >= 0 else f"signal {signal.Signals(-code).name}"

    @property
    def waited_for(self) -> list[Any]:
        """What becomes ready when there is something to hear, or the process ends."""
        return [self._ours, self._process.sentinel]

    def end(self) -> None:
        """End the process, and all that it has started."""
        self.is_over = True
        if hasattr(os, "killpg") and self._process.pid:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)
        self._process.kill()
        self._process.join()
        self._ours.close()


def wait_for(workers: Sequence[Worker]) -> None:
    """Sleep until one of them has something to say, or its time is over."""
    soonest = min(worker.until for worker in workers) - time.monotonic()
    connection.wait([one for worker in workers for one in worker.waited_for], timeout=max(0.0, min(soonest, 60.0)))


@contextmanager
def _one_thread_each() -> Iterator[None]:
    """Processes started in the block compute with one thread: there is one for each core."""
    before = {name: os.environ.get(name) for name in _THREADS}
    os.environ.update(dict.fromkeys(_THREADS, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
