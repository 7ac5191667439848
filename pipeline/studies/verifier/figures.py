"""The figure of the proposals."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pipeline.report.figures import plt, svg


def precision_points(panels: Sequence[tuple[str, Sequence[dict[str, Any]]]]) -> str:
    """Share of successes by where proposals come from and what puts them in order, a panel per number of proposals.

    Parameters
    ----------
    panels : sequence of (title, rows)
        Each row with ``label``, ``source``, ``value``, ``low``, ``high``; the same labels in every panel.
    """
    count = len(panels[0][1])
    figure, axes = plt.subplots(
        1, len(panels), figsize=(4.2 * len(panels) + 2.2, 0.3 * count + 1.0), sharey=True, squeeze=False
    )
    sources = list(dict.fromkeys(row["source"] for row in panels[0][1]))
    colours = dict(zip(sources, ("#f3722c", "#277da1", "#9d4edd", "#8d99ae"), strict=False))
    for axis, (title, rows) in zip(axes[0], panels, strict=True):
        for place, row in enumerate(reversed(rows)):
            colour = colours[row["source"]]
            axis.plot([row["low"], row["high"]], [place, place], color=colour, lw=2.5, alpha=0.55)
            axis.plot(row["value"], place, "o", color=colour, ms=6)
        axis.set_yticks(range(count), [row["label"] for row in reversed(rows)])
        axis.set(xlabel="share of successes", title=title, xlim=(-0.02, 1.02))
        axis.grid(axis="x", alpha=0.25)
    return svg(figure)
