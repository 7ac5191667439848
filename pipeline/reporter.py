"""What long work tells while it goes."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any


class Reporter:
    """What a run tells while it goes; the command line replaces it by progress bars."""

    def say(self, text: str) -> None:
        """A line of text."""

    def step(self, label: str, done: int, total: int) -> None:
        """Progress within one cell."""

    def each(self, label: str) -> Callable[[Iterable[Any], int], Iterable[Any]]:
        """Wrap an iterable of known length so that its progress is shown."""
        return lambda items, total: items
