"""Who computes cells: this process, others on this machine, Ray, SLURM, or a share of them under any other scheduler.

All of them do the same: walk through the cells, claim one that nobody works on, compute it, and keep it in the store,
until none is left. They share nothing but the store, so a helper that dies loses the cell that it was at. Cells that
use the language model take all cores or the GPU: this process does them itself, beside the helpers where there is a
GPU; where there is none, before them if other cells need the result, else after them. SLURM's jobs have cores of their
own and take all cells.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import re
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from pipeline.cells.cell import Cell, work_on
from pipeline.cells.store import Store
from pipeline.errors import InputError, unknown
from pipeline.features import structures as features
from pipeline.reporter import Reporter

SERIAL, PROCESSES, RAY, SLURM = "serial", "processes", "ray", "slurm"
EXECUTORS = (SERIAL, PROCESSES, RAY, SLURM)
WAIT = 0.2  # seconds between looks at what others do
MOST_DEATHS = 2  # of each helper, before the run gives up
SLURM_CLUSTER = "slurm"  # what submitit calls it
JOB_MINUTES = 24 * 60  # unless SBATCH_TIMELIMIT says otherwise
Results = dict[str, dict[str, Any]]
Told = Callable[[Cell, dict[str, Any]], None]


@dataclass(frozen=True)
class Executor:
    """How the cells of a run are computed.

    Attributes
    ----------
    name : str
        One of `EXECUTORS`.
    workers : int
        Helpers beside this process; 0 for one per core.
    share, shares : int
        This process does the share-th of so many parts, counted from 1, and leaves the others to other commands.
    """

    name: str = SERIAL
    workers: int = 0
    share: int = 1
    shares: int = 1

    @classmethod
    def of(cls, name: str = "", workers: int = 0, shard: str = "") -> Executor:
        """From the options of the command line; ``shard`` is such as ``2/5``.

        Raises
        ------
        InputError
            For a name or a share that there is not.
        """
        if name and name not in EXECUTORS:
            raise unknown("executor", name, EXECUTORS)
        if workers < 0:
            raise InputError(f"workers is {workers}; it must not be negative")
        if workers and name in ("", SERIAL):
            raise InputError(f"--workers is for helpers: give --executor {PROCESSES}, {RAY} or {SLURM}, too")
        if not shard:
            return cls(name or SERIAL, workers)
        share, _, shares = shard.partition("/")
        if not (re.fullmatch("[0-9]+/[0-9]+", shard) and 1 <= int(share) <= int(shares)):
            raise InputError(f"--shard is {shard!r}; write it as 2/5, for the second of five shares")
        if name not in ("", SERIAL):
            raise InputError(f"--shard is for other schedulers; it does not go with --executor {name}")
        return cls(SERIAL, 0, int(share), int(shares))

    @property
    def machines(self) -> int:
        """Machines that share the work: on one, processes hardly end sooner, since most fits use all cores."""
        return max(1, self.workers) if self.name in (RAY, SLURM) else self.shares

    @property
    def is_whole(self) -> bool:
        """Whether this command sees to all cells."""
        return self.shares == 1

    def fill(
        self, cells: Sequence[Cell], context: Any, machine: Any, store: Store, told: Told = lambda cell, content: None
    ) -> Results | None:
        """The results of all cells by id: from the store, or computed and kept there.

        None where this command did its share, and cells of others are not done yet.

        Parameters
        ----------
        cells : sequence of Cell
            In the order of work, the cells that one needs before it.
        told : callable
            Is given each cell with its result as soon as it is there.
        """
        store.write_plan(list(cells))
        work = _Work(cells, store, told)
        if not self.is_whole:
            return self._fill_share(work, cells, context, machine)
        if self.name != SERIAL and work.waiting:
            _with_helpers(self, work, context, machine)
        while work.waiting:
            if not work.do_one(context, machine):
                time.sleep(WAIT)
        return work.results

    def _fill_share(self, work: _Work, cells: Sequence[Cell], context: Any, machine: Any) -> Results | None:
        """Do every so-manieth of the cells that need no other, and of those that do all for which that is there."""
        mine = {cell.id for cell in [cell for cell in cells if not cell.needs][self.share - 1 :: self.shares]}

        def suits(cell: Cell) -> bool:
            return cell.id in mine or bool(cell.needs)

        while True:
            if work.do_one(context, machine, suits):
                continue
            if not mine & work.waiting.keys():
                break
            time.sleep(WAIT)
        done = len(work.results)
        machine.reporter.say(f"Share {self.share} of {self.shares} is done; {done} of {len(cells)} cells are there.")
        return None if work.waiting else work.results


class _Work:
    """The results that are there, and the cells that are still to be done."""

    def __init__(self, cells: Sequence[Cell], store: Store, told: Told) -> None:
        self.store, self.told = store, told
        self.results: Results = {}
        self.waiting: dict[str, Cell] = {cell.id: cell for cell in cells}
        self.broken: set[str] = set()  # cells that could not be made
        self.look()

    def look(self) -> None:
        """Take what others have finished."""
        for cell in list(self.waiting.values()):
            content = self.store.read(cell.id)
            if content is not None:
                self._take(cell, content)

    def _take(self, cell: Cell, content: dict[str, Any]) -> None:
        self.results[cell.id] = content
        del self.waiting[cell.id]
        self.told(cell, content)

    def do_one(self, context: Any, machine: Any, suits: Callable[[Cell], bool] = lambda cell: True) -> bool:
        """Do one cell that suits and that nobody works on; whether there was one."""
        for cell in list(self.waiting.values()):
            if not suits(cell) or any(needed.id not in self.results for needed in cell.needs):
                continue
            with self.store.claim(cell.id) as ours:
                if not ours:
                    continue
                content = self.store.read(cell.id)  # finished by another one meanwhile
                if content is None:
                    content = self._made(cell, context, machine)
            self._take(cell, content)
            return True
        self.look()
        return False

    def _made(self, cell: Cell, context: Any, machine: Any) -> dict[str, Any]:
        try:
            content = work_on(cell, context, machine, [self.results[needed.id] for needed in cell.needs])
        except Exception as error:
            self.broken.add(cell.id)
            self.store.write_failure(cell, error)
            raise
        self.store.write(content)
        return content


# -- helpers --


class Helpers(Protocol):
    """Processes that walk through the cells somewhere else."""

    takes_model: bool  # whether they do the cells that use the language model, too

    def ended(self) -> list[BaseException | None]:
        """Of each helper that ended since the last look, why: None if its work was done."""

    def start(self) -> None:
        """Start one more."""

    def stop(self) -> None:
        """End all that still run."""


@dataclass(frozen=True)
class Errand:
    """All that a helper is given."""

    cells: tuple[Cell, ...]
    context: Any
    machine: Any
    run: Path
    takes_model: bool
    features: dict[str, Any]
    parent: int = 0  # the process without which the helper ends; 0 for none


def run_errand(errand: Errand) -> None:
    """Walk through the cells until none is left that this helper can do.

    One that cannot be made is left to the process that the user sees, which says why.
    """
    features.remember(errand.features)
    work = _Work(errand.cells, Store(errand.run), lambda cell, content: None)

    def suits(cell: Cell) -> bool:
        mine = cell.id not in work.broken and (errand.takes_model or not cell.on_model)
        return mine and all(needed.id in work.results or comes(needed) for needed in cell.needs)

    def comes(cell: Cell) -> bool:
        """Whether its result will be there: made by helpers, or by the process that started them."""
        return suits(cell) or (cell.on_model and not errand.takes_model)

    while any(map(suits, work.waiting.values())):
        if errand.parent and os.getppid() != errand.parent:
            return
        try:
            if not work.do_one(errand.context, errand.machine, suits):
                time.sleep(WAIT)
        except Exception:
            work.look()  # `_Work` has written down what went wrong


def _with_helpers(executor: Executor, work: _Work, context: Any, machine: Any) -> None:
    """Let helpers work, tell what they finish, and start another one for each that dies."""
    workers = min(executor.workers or machine.threads, len(work.waiting))
    helpers = _HELPERS[executor.name](work, context, machine, workers)
    if not helpers.takes_model and not machine.has_gpu:
        _do_first(work, context, machine)
    deaths = 0
    try:
        for _ in range(workers):
            helpers.start()
        running = workers
        while running:
            if helpers.takes_model or not machine.has_gpu or not work.do_one(context, machine, _uses_model):
                work.look()
                time.sleep(WAIT)
            for error in helpers.ended():
                running -= 1
                if error is None:
                    continue
                deaths += 1
                machine.reporter.say(f"A helper ended before its work was done ({error}); another one goes on.")
                if deaths > MOST_DEATHS * workers:
                    raise InputError(f"helpers of --executor {executor.name} end before their work is done: {error}")
                helpers.start()
                running += 1
    finally:
        helpers.stop()
    work.look()


def _uses_model(cell: Cell) -> bool:
    return cell.on_model


def _do_first(work: _Work, context: Any, machine: Any) -> None:
    """Do the cells with the language model that others wait for, so that helpers find the results."""
    first: set[str] = set()
    coming = [needed for cell in work.waiting.values() for needed in cell.needs if needed.on_model]
    while coming:
        cell = coming.pop()
        first.add(cell.id)
        coming += cell.needs
    while first & work.waiting.keys():
        if not work.do_one(context, machine, lambda cell: cell.id in first):
            time.sleep(WAIT)


def _errand(work: _Work, context: Any, machine: Any, threads: int, takes_model: bool) -> Errand:
    """What a helper is given; progress within a cell is for the process that the user sees."""
    there = replace(machine, threads=threads, reporter=Reporter())
    cells, run = tuple(work.waiting.values()), work.store.folder.parent.absolute()
    return Errand(cells, context, there, run, takes_model, features.remembered())


class _Processes:
    """Processes on this machine, the cores shared out among them."""

    takes_model = False

    def __init__(self, work: _Work, context: Any, machine: Any, workers: int) -> None:
        errand = _errand(work, context, machine, max(1, machine.threads // workers), False)
        self.errand = replace(errand, parent=os.getpid())
        self.running: list[Any] = []

    def start(self) -> None:
        # Not forked: the threads of torch and OpenMP do not survive that.
        process = multiprocessing.get_context("spawn").Process(target=run_errand, args=(self.errand,), daemon=True)
        process.start()
        self.running.append(process)

    def ended(self) -> list[BaseException | None]:
        over = [process for process in self.running if not process.is_alive()]
        self.running = [process for process in self.running if process.is_alive()]
        return [
            None
            if process.exitcode == 0
            else ChildProcessError(f"process {process.pid}, exit status {process.exitcode}")
            for process in over
        ]

    def stop(self) -> None:
        for process in self.running:
            process.terminate()
            process.join()


class _Ray:
    """Tasks of Ray: on the cluster that `RAY_ADDRESS` names, or on this machine."""

    takes_model = False

    def __init__(self, work: _Work, context: Any, machine: Any, workers: int) -> None:
        try:
            import ray
        except ImportError as error:
            raise InputError("--executor ray needs Ray: pip install 'chemtune[ray]'") from error
        self.ray = ray
        self.ours = not ray.is_initialized()
        if self.ours:
            ray.init(include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
        errand = _errand(work, context, machine, max(1, machine.threads // workers), False)
        self.errand = ray.put(errand)
        most = max(node["Resources"].get("CPU", 1.0) for node in ray.nodes() if node["Alive"])
        self.task = ray.remote(num_cpus=min(errand.machine.threads, most), max_retries=0)(run_errand)
        self.running: list[Any] = []

    def start(self) -> None:
        self.running.append(self.task.remote(self.errand))

    def ended(self) -> list[BaseException | None]:
        over, self.running = self.ray.wait(self.running, num_returns=len(self.running), timeout=0)
        return [self._why(one) for one in over]

    def _why(self, one: Any) -> BaseException | None:
        try:
            self.ray.get(one)
        except self.ray.exceptions.RayError as error:
            return error
        return None

    def stop(self) -> None:
        for one in self.running:
            self.ray.cancel(one, force=True)
        if self.ours:
            self.ray.shutdown()


class _Slurm:
    """Jobs of SLURM by submitit, each with cores, and a GPU if asked for, of its own.

    What a cluster wants besides (partition, account, time, GPUs) is said by the variables that ``sbatch`` reads, such
    as ``SBATCH_PARTITION``.
    """

    takes_model = True

    def __init__(self, work: _Work, context: Any, machine: Any, workers: int) -> None:
        try:
            import submitit
        except ImportError as error:
            raise InputError("--executor slurm needs submitit: pip install 'chemtune[slurm]'") from error
        if SLURM_CLUSTER == "slurm" and shutil.which("sbatch") is None:
            raise InputError("--executor slurm: there is no SLURM here (no sbatch); --executor processes needs none")
        self.errand = _errand(work, context, machine, machine.threads, True)
        self.executor = submitit.AutoExecutor(folder=self.errand.run / "jobs", cluster=SLURM_CLUSTER)
        self.executor.update_parameters(name="chemtune", cpus_per_task=machine.threads, timeout_min=JOB_MINUTES)
        self.running: list[Any] = []

    def start(self) -> None:
        self.running.append(self.executor.submit(run_errand, self.errand))

    def ended(self) -> list[BaseException | None]:
        over = [job for job in self.running if job.done()]
        self.running = [job for job in self.running if job not in over]
        return [job.exception() for job in over]

    def stop(self) -> None:
        for job in self.running:
            job.cancel()


_HELPERS: Mapping[str, Callable[[_Work, Any, Any, int], Helpers]] = {
    PROCESSES: _Processes,
    RAY: _Ray,
    SLURM: _Slurm,
}
