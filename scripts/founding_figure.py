"""The learning curves of the founding paper beside ours: docs/images/founding.svg, and the figures as a table.

    for job in photoswitch photoswitch-2-classes photoswitch-5-classes freesolv lipophilicity buchwald_hartwig; do
        chemtune study learning-curve configs/gptchem/$job.yaml
    done
    python scripts/founding_figure.py

Reads the folders that these commands make below runs/gptchem, as far as they are there. gptchem_points.csv holds the
means over repeats of fine-tuned GPT-3 (ada) as they are printed in the notebooks of github.com/kjappelbaum/gptchem
(MIT; Jablonka et al. 2024): ``sd`` is the deviation of the repeats, runs without a readable answer are left out there.
"""

from __future__ import annotations

from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd

from pipeline.evaluation.metrics import LABELS
from pipeline.evaluation.numbers import number
from pipeline.report.figures import colour_of, svg

ROOT = Path(__file__).resolve().parent.parent
JOBS = {
    "photoswitch": "Photoswitch, nm",
    "freesolv": "FreeSolv, kcal/mol",
    "lipophilicity": "Lipophilicity, log D",
    "photoswitch-2-classes": "Photoswitch, 2 classes",
    "photoswitch-5-classes": "Photoswitch, 5 classes",
    "buchwald_hartwig": "Buchwald–Hartwig, % yield",
}
NOTATIONS = {"photoswitch": "smiles", "freesolv": "smiles", "lipophilicity": "smiles", "buchwald_hartwig": "pooled"}
GPT3 = "GPT-3, published"


def published(job: str) -> pd.DataFrame:
    points = pd.read_csv(Path(__file__).with_name("gptchem_points.csv"))
    return points[(points["task"] == job) & (points["notation"] == NOTATIONS.get(job, "smiles"))]


def measured(job: str) -> pd.DataFrame:
    path = ROOT / "runs/gptchem" / job / "metrics.csv"
    return pd.read_csv(path) if path.exists() else pd.DataFrame(columns=["arm", "size", "metric", "value"])


def main() -> None:
    figure, axes = plt.subplots(2, 3, figsize=(10.4, 6.2))
    for axis, (job, title) in zip(axes.flat, JOBS.items(), strict=True):
        theirs, ours = published(job), measured(job)
        metric = theirs["metric"].iloc[0]
        ours = ours[ours["metric"] == metric]
        axis.errorbar(theirs["n_train"], theirs["mean"], theirs["sd"], fmt="s--", color="black", ms=4, lw=1, label=GPT3)
        for arm, part in ours.groupby("arm", sort=False):
            axis.plot(part["size"], part["value"], "o-", color=colour_of(arm), ms=4, label=arm)
            axis.fill_between(part["size"], part["low"], part["high"], color=colour_of(arm), alpha=0.08, lw=0)
        sizes = sorted({*theirs["n_train"], *ours["size"]})
        axis.set(title=title, xscale="log", xlabel="training rows", ylabel=LABELS[metric])
        axis.set_xticks(sizes, [number(size) for size in sizes], fontsize=7)
        axis.xaxis.minorticks_off()
        axis.set_ylim(bottom=0)
        table = ours.pivot_table(index="arm", columns="size", values="value", sort=False).round(3)
        print(f"{title}\n{table}\n{theirs.set_index('n_train')['mean'].round(3).to_dict()}\n")
    for axis in (axes.flat[0], axes.flat[-1]):  # molecules, reactions
        axis.legend(frameon=False, fontsize=7)
    out = ROOT / "docs/images/founding.svg"
    out.write_text(svg(figure), encoding="utf-8")


if __name__ == "__main__":
    main()
