"""One (dataset, split, fold, arm, seed, settings): the unit of work, named by all it depends on."""

from __future__ import annotations

import hashlib
import json
import platform
import resource
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from threadpoolctl import threadpool_limits

from pipeline import __version__
from pipeline.files import write_atomically

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
    found = {"chemtune": __version__, "python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    return found


def cell_id(key: dict[str, Any]) -> str:
    """Name of a cell: a hash of its key, which holds the code behind it (`pipeline.reach.code_of`), and of the package
    versions."""
    text = json.dumps({**key, "versions": versions()}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:20]


def read_cell(folder: Path, name: str) -> dict[str, Any] | None:
    """A finished cell, or None if it is not there (or was damaged, and must be made again)."""
    path = folder / f"{name}.json"
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return content if content.get("id") == name else None


def get_or_make(folder: Path, key: dict[str, Any], make: Callable[[], dict[str, Any]], threads: int) -> dict[str, Any]:
    """The cell of a key: from the folder, or made, with so many threads, and kept there with its key."""
    name = cell_id(key)
    found = read_cell(folder, name)
    if found is None:
        with pinned(threads):
            found = {"id": name, "key": key, "threads": threads, **make()}
        write_cell(folder, found)
    return found


@contextmanager
def pinned(threads: int) -> Iterator[None]:
    """Compute with so many threads, whatever the machine has: sums in another order differ in the last digit."""
    torch = sys.modules.get("torch")
    before = torch.get_num_threads() if torch else 0
    with threadpool_limits(limits=threads):
        if torch:
            torch.set_num_threads(threads)
        try:
            yield
        finally:
            if torch:
                torch.set_num_threads(before)


def write_cell(folder: Path, content: dict[str, Any]) -> None:
    write_atomically(folder / f"{content['id']}.json", json.dumps(content))


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
