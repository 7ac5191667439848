"""The figure of the origins."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pipeline.report.figures import plt, svg


def parity_by_origin(panels: Sequence[dict[str, Any]], origins: Sequence[str], columns: int) -> str:
    """Predicted against true yield, a panel per training, the rows of two origins in two colours.

    Parameters
    ----------
    panels : sequence of dict
        ``title``, and for each origin by its name the yields and predictions, an array of shape (n, 2).
    origins : sequence of str
    columns : int
        Panels in a line.
    """
    lines = -(-len(panels) // columns)
    figure, axes = plt.subplots(
        lines, columns, figsize=(3.2 * columns, 2.9 * lines), sharex=True, sharey=True, squeeze=False
    )
    for axis, panel in zip(axes.flat, panels, strict=False):
        for origin, colour in zip(origins, ("#277da1", "#f3722c"), strict=True):
            points = panel[origin]
            axis.scatter(points[:, 0], points[:, 1], s=7, alpha=0.45, color=colour, lw=0, rasterized=True, label=origin)
        axis.plot([0, 100], [0, 100], color="#888888", lw=0.8)
        axis.set(xlim=(-4, 104), ylim=(-14, 114), title=panel["title"])
    for axis in axes[-1]:
        axis.set_xlabel("true yield (%)")
    for axis in axes[:, 0]:
        axis.set_ylabel("predicted yield (%)")
    handles, labels = axes[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=2, frameon=False, fontsize=8, markerscale=2)
    return svg(figure)
