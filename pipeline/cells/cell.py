"""One unit of work as plain data, named by all that its result depends on, and how it is done."""

from __future__ import annotations

import hashlib
import json
import platform
import resource
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache, cached_property, lru_cache
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from threadpoolctl import ThreadpoolController

from pipeline import __version__

PACKAGES = (
    "torch",
    "transformers",
    "peft",
    "accelerate",
    "tokenizers",
    "rdkit",
    "scikit-learn",
    "lightgbm",
    "drfp",
    "pulearn",
    "numpy",
    "scipy",
    "pandas",
)


@cache
def versions() -> dict[str, str]:
    """Versions of Python and of the packages that a number can depend on."""
    return {
        "chemtune": __version__,
        "python": platform.python_version(),
        **{package: version_of(package) for package in PACKAGES},
    }


def version_of(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


@dataclass(frozen=True)
class Cell:
    """One piece of work as plain data.

    Attributes
    ----------
    work : str
        The function that does it, as ``module:function``. It is given the context of the run, the machine, this cell
        and the results of the cells that it needs, and returns a dictionary that JSON can hold.
    tags : mapping
        What names the cell where results are listed.
    inputs : mapping
        All that its numbers depend on besides the versions of packages: what the worker reads of the context, as it
        is or as a digest, and the code that it reaches (`pipeline.cells.reach.code_of`).
    needs : tuple of Cell
        Whose results the worker is given.
    label : str
        For people.
    on_model : bool
        Whether it uses the language model, and with it all cores or the GPU.
    """

    work: str
    tags: Mapping[str, Any]
    inputs: Mapping[str, Any]
    needs: tuple[Cell, ...] = ()
    label: str = ""
    on_model: bool = False

    @cached_property
    def id(self) -> str:
        """A hash of all that the result depends on."""
        key = {"work": self.work, "tags": dict(self.tags), "inputs": dict(self.inputs)}
        text = json.dumps({**key, "needs": [cell.id for cell in self.needs], "versions": versions()}, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:20]

    @property
    def kind(self) -> str:
        """What cells take about as long: the same work by the same arm."""
        return f"{self.work} {self.tags.get('arm') or self.tags.get('learner') or ''}"

    def about(self) -> dict[str, Any]:
        """What its file says of it besides the result."""
        return {"id": self.id, "work": self.work, "tags": dict(self.tags), "inputs": dict(self.inputs)}


def digest(*parts: Any) -> str:
    """A hash of what `repr` writes, for inputs that would fill the files of cells."""
    return hashlib.sha256(repr(parts).encode()).hexdigest()


def work_on(cell: Cell, context: Any, machine: Any, needed: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Do what a cell asks for; its result, with what its file says of it.

    Sums of the language model are those of the machine's threads, all others are made by one thread, so that no number
    of a baseline hangs on the cores there are.
    """
    module, _, name = cell.work.partition(":")
    worker = getattr(import_module(module), name)
    in_sums = machine.threads if cell.on_model else 1
    with pinned(machine.threads, in_sums):
        made = worker(context, machine, cell, needed)
    return {**cell.about(), "versions": versions(), "threads": in_sums, **made}


def versions_of(contents: Iterable[Mapping[str, Any]]) -> Mapping[str, str]:
    """Of the packages that made these results; those that are here for results that do not say it."""
    return next((content["versions"] for content in contents if "versions" in content), versions())


@contextmanager
def pinned(threads: int, in_sums: int) -> Iterator[None]:
    """Compute with so many threads, whatever the machine has.

    Parameters
    ----------
    in_sums : int
        Threads of linear algebra, which add up in another order, and give another last digit, the more there are.
    """
    torch = sys.modules.get("torch")
    before = torch.get_num_threads() if torch else 0
    pools = _pools(len(sys.modules))
    with pools.limit(limits=threads), pools.limit(limits=in_sums, user_api="blas"):
        if torch:
            torch.set_num_threads(threads)
        try:
            yield
        finally:
            if torch:
                torch.set_num_threads(before)


@lru_cache(maxsize=1)
def _pools(modules: int) -> ThreadpoolController:
    """The libraries that compute with threads, found again only where modules were loaded since: each look takes as
    long as a small fit."""
    return ThreadpoolController()


@contextmanager
def measured(into: dict[str, Any]) -> Iterator[None]:
    """Record ``seconds`` and ``peak_mb`` (largest resident memory meanwhile) of the block.

    With a GPU in use also ``gpu_peak_mb``, the most that torch's tensors took there meanwhile.
    """
    with suppress(OSError):  # Linux: forget the earlier peak; elsewhere it is that since the program started
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    if gpu := _gpu():
        gpu.reset_peak_memory_stats()
    start = time.perf_counter()
    yield
    into["seconds"] = time.perf_counter() - start
    into["peak_mb"] = _peak_megabytes()
    if gpu := _gpu():
        into["gpu_peak_mb"] = gpu.max_memory_allocated() / 1e6


def _gpu() -> Any:
    """What torch knows of a GPU that it uses; None if it uses none, or is not loaded."""
    torch = sys.modules.get("torch")
    return torch.cuda if torch is not None and torch.cuda.is_initialized() else None


def _peak_megabytes() -> float:
    with suppress(OSError):
        for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
            if line.startswith("VmHWM"):
                return int(line.split()[1]) / 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1024 * 1024 if platform.system() == "Darwin" else 1024)
