"""The figure of the doses."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from pipeline.report.figures import colour_of, plt, svg


def dose_curves(
    curves: Sequence[dict[str, Any]],
    flat: Sequence[dict[str, Any]],
    real: str = "real failures",
    rows: str = "failures",
) -> str:
    """AUROC and false-positive rate against the dose of real failures, a line per learner, variant and reading.

    Parameters
    ----------
    curves : sequence of dict
        ``label``, ``learner``, ``style`` of the line, ``ranks_as`` (true for another reading of a curve, which ranks
        as that does), ``doses`` and for each metric ``auroc`` and ``fpr`` an array of shape
        (doses, 3): value, low, high.
    flat : sequence of dict
        ``label``, ``learner``, ``auroc`` and ``fpr`` of a model without any failure, drawn at a dose of 0.
    real, rows : str
        What doses are of, and what should not be accepted.
    """
    figure, axes = plt.subplots(1, 2, figsize=(10.4, 4.6))
    for axis, metric, title in zip(axes, ("auroc", "fpr"), ("AUROC", f"{rows} accepted"), strict=True):
        for curve in curves:
            if curve["ranks_as"] and metric == "auroc":
                continue
            values = np.array(curve[metric])
            colour = colour_of(curve["learner"], "#333333")
            style = {"ls": curve["style"], "marker": "o", "color": colour, "label": curve["label"]}
            axis.plot(curve["doses"], values[:, 0], lw=1.5, ms=4, **style)
            axis.fill_between(curve["doses"], values[:, 1], values[:, 2], color=colour, alpha=0.10, lw=0)
        for point in flat:
            colour = colour_of(point["learner"], "#333333")
            axis.plot(0, point[metric], "x", color=colour, ms=7, mew=2, label=point["label"])
        axis.set(xscale="symlog", xlabel=f"dose of {real} (%)", title=title)
        axis.set_xticks([0, 1, 5, 10, 25, 50, 100], ["none", "1", "5", "10", "25", "50", "100"])
        axis.grid(axis="y", alpha=0.25)
    handles, labels = axes[1].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3, frameon=False, fontsize=8)
    axes[1].set_ylim(-0.02, 1.02)
    return svg(figure)
