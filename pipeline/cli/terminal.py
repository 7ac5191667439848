"""The terminal: where lines, tables and progress go."""

from __future__ import annotations

import json
import os
import shutil
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeRemainingColumn

from pipeline.reporter import Reporter

_TERMINAL = sys.stdout.isatty()
console = Console(emoji=False, highlight=False, soft_wrap=not _TERMINAL, width=None if _TERMINAL else 220)
found: dict[str, Any] = {}  # by the command at work, for --json
errors = Console(stderr=True, emoji=False, highlight=False, soft_wrap=True)


class TerminalReporter(Reporter):
    """Progress bars on a terminal, plain lines elsewhere."""

    def __init__(self) -> None:
        self.progress: Progress | None = None
        self._bars: dict[str, Any] = {}

    @contextmanager
    def running(self) -> Iterator[None]:
        if not console.is_terminal:
            yield
            return
        described = TextColumn("{task.description:<28}")
        columns = (SpinnerColumn(), described, BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        with Progress(*columns, console=console, transient=True) as self.progress:
            yield
        self.progress = None

    def say(self, text: str) -> None:
        self._clear()
        console.print(text, markup=False)

    def _clear(self) -> None:
        if self.progress:
            for bar in self._bars.values():
                self.progress.remove_task(bar)
        self._bars.clear()

    def step(self, label: str, done: int, total: int) -> None:
        if not self.progress:
            return
        if label not in self._bars:
            self._clear()
            self._bars[label] = self.progress.add_task(label, total=total)
        self.progress.update(self._bars[label], completed=done, total=total)

    def each(self, label: str) -> Callable[[Iterable[Any], int], Iterable[Any]]:
        def wrapped(items: Iterable[Any], total: int) -> Iterator[Any]:
            for done, item in enumerate(items):
                if done % 20 == 0:
                    self.step(label, done, total)
                yield item
            self._clear()

        return wrapped


def begin(source: Any) -> None:
    """A line at once: the libraries alone take seconds to load."""
    console.print(f"Reading {source}", markup=False)


def called() -> str:
    """The command as its user can type it again: by its path where another one, or none, has its name."""
    command, named = Path(sys.argv[0]), shutil.which("chemtune")
    if command.name != "chemtune" or (named and Path(named).resolve() == command.resolve()):
        return "chemtune"
    return str(command)


@contextmanager
def speaking(quiet: bool = False, as_json: bool = False) -> Iterator[None]:
    """Say in the block what was asked for: all, nothing, or one line of JSON of what was found."""
    found.clear()
    console.quiet = quiet or as_json
    try:
        yield
    finally:
        console.quiet = False
    if as_json:
        console.print(json.dumps(found, ensure_ascii=False), markup=False, soft_wrap=True)


def tell(line: str) -> None:
    """A sentence as it is."""
    console.print(line, markup=False)


def quiet_libraries() -> None:
    """Keep the model libraries' own progress bars and advice off the terminal, and their threads polite."""
    if "OMP_WAIT_POLICY" not in os.environ:
        # Threads that wait for each other spin for so many turns and then sleep (by default 300,000). Thirty steps of
        # lm-head on two cores: 3.4 s instead of 3.2, beside two busy processes 8.0 instead of 36.6
        # (scripts/bench_busy.py).
        os.environ.setdefault("GOMP_SPINCOUNT", "10000")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ.setdefault("TQDM_DISABLE", "1")  # read when tqdm is first imported
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    warnings.filterwarnings("ignore", category=FutureWarning, module="transformers|peft|torch")
