"""The figures of a report, each an SVG text: plots by matplotlib, molecules by RDKit."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib
import numpy as np
from sklearn.calibration import calibration_curve
from sklearn.metrics import precision_recall_curve, roc_curve

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.ticker import LogLocator, NullFormatter

from pipeline.arms.catalogue import ARMS
from pipeline.evaluation.comparison import BETTER, EQUIVALENT, WORSE, Comparisons
from pipeline.evaluation.evaluations import CONTROL, REFERENCE, Evaluation
from pipeline.evaluation.intervals import DEFAULT_LEVEL
from pipeline.evaluation.metrics import HIGHER_IS_BETTER, LABELS, PRIMARY
from pipeline.evaluation.numbers import number, signed
from pipeline.report.blocks import Point
from pipeline.runs.certainty import BY_DISTANCE, BY_SPREAD, CALIBRATED, DISTANCE, FIXED, HIDDEN, OWN, RAW, SPREAD
from pipeline.tables.scales import LOG10, Scale
from pipeline.tables.targets import CLASSES

matplotlib.rcParams.update(
    {
        "font.size": 9,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "figure.constrained_layout.use": True,
        "svg.hashsalt": "chemtune",
        "text.parse_math": False,  # text of the table is text, not a formula
    }
)
_METHOD_STYLES = {FIXED: "o-", BY_DISTANCE: "o--", BY_SPREAD: "s--", OWN: "o:", RAW: "o:", CALIBRATED: "o-"}
_SIGNAL_COLOURS = {DISTANCE: "#577590", HIDDEN: "#43aa8b", SPREAD: "#f3722c", OWN: "#9d4edd"}
PLAIN = "#4a7f99"  # where colours say nothing
MANY_POINTS = 400  # from which on a cloud is kept as a picture
MOST_POINTS = 4_000  # that a pointer is told of
PARITY_PANELS = 4  # in a line
WIDTH = 10.4  # inches, the width of a page
PANELS = 3  # in a line


def colour_of(arm: str, otherwise: str = "#277da1") -> str:
    """The colour of an arm in every figure; another one for what is no arm, such as the preferred baseline."""
    return ARMS[arm].colour if arm in ARMS else otherwise


def svg(figure: Any) -> str:
    """A drawing of matplotlib as text; it is closed."""
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", dpi=110, metadata={"Date": None})
    plt.close(figure)
    return buffer.getvalue()


def _axis_name(evaluation: Evaluation, units: str) -> str:
    metric = PRIMARY[evaluation.task]
    return f"{LABELS[metric]} ({units})" if units and metric == "mae" else LABELS[metric]


def _panels(
    count: int, width: float, height: float, *, most: int = PANELS, margin: float = 0.0, same_rows: bool = False
) -> tuple[Any, Any]:
    """A figure with a panel of a size in inches for each of so many splits, at most so many in a line."""
    columns = min(count, most)
    lines = -(-count // columns)
    size = (min(width * columns + margin, WIDTH), height * lines)
    figure, axes = plt.subplots(lines, columns, figsize=size, squeeze=False, sharey=same_rows)
    for axis in axes.flat[count:]:
        axis.set_visible(False)
    return figure, axes


def leaderboard(evaluations: Sequence[Evaluation], metrics: Any, arms: Sequence[str], units: str) -> str:
    """Primary metric of every arm with its interval, one panel per split."""
    metric = PRIMARY[evaluations[0].task]
    height = (0.32 if len(evaluations) <= PANELS else 0.22) * len(arms) + 0.9
    figure, axes = _panels(len(evaluations), 4.2, height, margin=1.2, same_rows=True)
    for axis, evaluation in zip(axes.flat, evaluations, strict=False):
        rows = metrics[(metrics["split"] == evaluation.split) & (metrics["metric"] == metric)].set_index("arm")
        for position, arm in enumerate(reversed(arms)):
            row = rows.loc[arm]
            low, high = (value if np.isfinite(value) else row["value"] for value in (row["low"], row["high"]))
            axis.plot([low, high], [position, position], color=colour_of(arm), lw=2.5, alpha=0.55)
            axis.plot(row["value"], position, "o", color=colour_of(arm), ms=6)
        axis.set_yticks(range(len(arms)), list(reversed(arms)))
        axis.set_xlabel(_axis_name(evaluation, units))
        axis.set_title(f"{evaluation.split} (n = {len(set(evaluation.row_ids))})")
        axis.grid(axis="x", alpha=0.25)
    return svg(figure)


def comparison_matrix(
    evaluations: Sequence[Evaluation], compared: Sequence[Comparisons], arms: Sequence[str], units: str
) -> str:
    """What the arm of a row is compared with that of a column, a panel per split; the best arm stands first.

    Cells hold the difference in the primary metric, on blue where the row is better, on orange where it is worse, on
    grey where the two are equivalent, and pale where the test cannot tell.
    """
    side = max(2.2, 0.36 * len(arms) + 1.2)
    figure, axes = _panels(len(evaluations), side + 0.6, side, most=2)
    fills = {BETTER: "#9ecae9", WORSE: "#f6b98f", EQUIVALENT: "#d9d9d9"}
    for axis, evaluation, of in zip(axes.flat, evaluations, compared, strict=False):
        metric = PRIMARY[evaluation.task]
        sign = -1 if HIGHER_IS_BETTER[metric] else 1
        order = sorted(arms, key=lambda arm: sign * evaluation.scores[arm][metric][0])
        place = {arm: position for position, arm in enumerate(order)}
        shown = [pair for pair in of.found if {pair.arm, pair.other} <= set(arms)]
        largest = max((abs(pair.value) for pair in shown if np.isfinite(pair.value)), default=0.0)
        for pair in [*shown, *(item.turned() for item in shown)]:
            x, y = place[pair.other], place[pair.arm]
            axis.add_patch(plt.Rectangle((x - 0.5, y - 0.5), 1, 1, fc=fills.get(pair.answer, "#f8f8f8"), ec="white"))
            shade = "black" if pair.answer in fills else "#999999"
            axis.text(x, y, two_digits(pair.value, largest), ha="center", va="center", fontsize=5.5, color=shade)
        axis.set_xticks(range(len(order)), order, rotation=60, ha="right", rotation_mode="anchor", fontsize=7)
        axis.set_yticks(range(len(order)), order, fontsize=7)
        axis.set(xlim=(-0.5, len(order) - 0.5), ylim=(len(order) - 0.5, -0.5), aspect="equal")
        axis.set_title(f"{evaluation.split}: row minus column, {_axis_name(evaluation, units)}", fontsize=8)
        axis.spines[:].set_visible(False)
        axis.tick_params(length=0)
    return svg(figure)


def two_digits(value: float, largest: float) -> str:
    """A signed number of two significant digits, with no exponent, and at most two decimals more than the largest."""
    if not np.isfinite(value) or not largest:
        return f"{value:+.2g}"
    size, most = (1 - int(np.floor(np.log10(abs(number) or largest))) for number in (value, largest))
    return f"{value:+.{max(0, min(size, most + 2))}f}"


def certainty_by_split(intervals: Any, evaluations: Sequence[Evaluation], arms: Sequence[str], units: str) -> str:
    """Of some arms, along the splits: how many intervals hold the truth and how wide they are, or how far the chances
    are off. Dashed: intervals that adapt; dotted: what comes with the prediction."""
    first, second = ("ece", "brier") if evaluations[0].task == CLASSES else ("coverage", "width")
    splits = [evaluation.split for evaluation in evaluations]
    figure, axes = plt.subplots(1, 2, figsize=(WIDTH, 3.4))
    for axis, metric in zip(axes, (first, second), strict=True):
        part = intervals[(intervals["metric"] == metric) & intervals["arm"].isin(arms)]
        lines = list(part.groupby(["arm", "method"], sort=False))
        for place, ((arm, method), rows) in enumerate(lines):
            found = rows.set_index("split").reindex(splits)
            beside = 0.03 * (place - (len(lines) - 1) / 2)
            places, colour = np.arange(len(splits)) + beside, colour_of(arm)
            style = {"color": colour, "lw": 1.4, "ms": 4, "label": f"{arm}, {method}"}
            axis.plot(places, found["value"], _METHOD_STYLES[method], **style)
            axis.vlines(places, found["low"], found["high"], color=colour, lw=1.0, alpha=0.45)
        if metric == "coverage":
            axis.axhline(DEFAULT_LEVEL, color="#888888", lw=0.8)
            axis.set_ylabel("intervals that contain the measured value")
        else:
            names = {"width": f"mean width{f' ({units})' if units else ''}", "ece": "expected calibration error"}
            axis.set_ylabel(names.get(metric, LABELS.get(metric, metric)))
        _name_splits(axis, evaluations, crowded=3)
        axis.margins(x=0.1)
        axis.grid(axis="y", alpha=0.25)
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=4, frameon=False, fontsize=7)
    return svg(figure)


def _name_splits(axis: Any, evaluations: Sequence[Evaluation], crowded: int) -> None:
    """The splits along the x axis, slanted where there are more than so many."""
    slanted = {"rotation": 25, "ha": "right", "rotation_mode": "anchor"} if len(evaluations) > crowded else {}
    axis.set_xticks(range(len(evaluations)), [evaluation.split for evaluation in evaluations], **slanted)


def error_auroc_by_signal(signals: Any, evaluations: Sequence[Evaluation]) -> str:
    """How well each signal tells the rows with large errors, with intervals, a panel per split; a colour per arm."""
    ranked = signals[signals["metric"] == "error_auroc"]
    names, arms = list(ranked["signal"].unique()), list(ranked["arm"].unique())
    figure, axes = _panels(len(evaluations), 3.6, 0.34 * len(names) + 0.9, margin=1.4, same_rows=True)
    for axis, evaluation in zip(axes.flat, evaluations, strict=False):
        part = ranked[ranked["split"] == evaluation.split]
        for row in part.to_dict("records"):
            beside = 0.16 * (arms.index(row["arm"]) - (len(arms) - 1) / 2)
            place = len(names) - 1 - names.index(row["signal"]) - beside
            colour = colour_of(row["arm"])
            axis.plot([row["low"], row["high"]], [place, place], color=colour, lw=2, alpha=0.55)
            axis.plot(row["value"], place, "o" if row["useful"] else "x", color=colour, ms=4.5)
        axis.axvline(0.5, color="#888888", lw=0.8)
        axis.set_yticks(range(len(names)), list(reversed(names)))
        axis.set(xlim=(0.2, 1.0), ylim=(-0.6, len(names) - 0.4), title=evaluation.split)
    for axis in axes[-1]:
        axis.set_xlabel("error AUROC")
    handles = [plt.Line2D([], [], color=colour_of(arm), marker="o", ls="", label=_who(arm)) for arm in arms]
    figure.legend(handles=handles, loc="outside lower center", ncols=4, frameon=False, fontsize=8)
    return svg(figure)


def _who(arm: str) -> str:
    return "preferred baseline" if arm == REFERENCE else arm


def risk_coverage(
    curves: dict[tuple[str, str], dict[str, tuple[np.ndarray, np.ndarray]]],
    evaluations: Sequence[Evaluation],
    units: str,
) -> str:
    """Mean error of the predictions kept when the most doubtful ones are dropped, a panel per split."""
    arm = REFERENCE if any(name == REFERENCE for _, name in curves) else next(name for _, name in curves)
    figure, axes = _panels(len(evaluations), 3.6, 2.5, margin=1.4)
    for axis, evaluation in zip(axes.flat, evaluations, strict=False):
        for name, (kept, risk) in curves.get((evaluation.split, arm), {}).items():
            shown = kept >= 0.05  # the mean of a handful is noise
            axis.plot(kept[shown], risk[shown], color=_SIGNAL_COLOURS[name], lw=1.4, label=name)
            axis.axhline(risk[-1], color="#888888", lw=0.8)
        axis.set(title=f"{evaluation.split}, {_who(arm)}", xlim=(0, 1))
    for axis in axes[-1]:
        axis.set_xlabel("share of predictions kept")
    for axis in axes[:, 0]:
        axis.set_ylabel("share wrong" if evaluations[0].task == CLASSES else _axis_name(evaluations[0], units))
    handles, labels = axes[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=4, frameon=False, fontsize=8)
    return svg(figure)


def slopes(evaluations: Sequence[Evaluation], arms: Sequence[str], units: str) -> str:
    """Primary metric of each arm from split to split."""
    metric = PRIMARY[evaluations[0].task]
    figure, axis = plt.subplots(figsize=(min(2.6 + 1.5 * len(evaluations), WIDTH), 4.2))
    ends = []
    for arm in arms:
        values = [evaluation.scores[arm][metric][0] for evaluation in evaluations]
        axis.plot(range(len(values)), values, "o-", color=colour_of(arm), ms=4, lw=1.6)
        ends.append((values[-1], arm))
    low, high = axis.get_ylim()
    for height, (_, arm) in zip(
        _spread_out([end for end, _ in sorted(ends)], (high - low) / 22), sorted(ends), strict=True
    ):
        axis.annotate(
            arm, (len(evaluations) - 0.95, height), color=colour_of(arm), va="center", fontsize=8, annotation_clip=False
        )
    _name_splits(axis, evaluations, crowded=4)
    axis.set_xlim(-0.2, len(evaluations) - 0.25)
    axis.set_ylabel(_axis_name(evaluations[0], units))
    return svg(figure)


def _spread_out(heights: list[float], gap: float) -> list[float]:
    """Label heights in ascending order, moved up so that none lies closer than ``gap`` to the one below."""
    placed: list[float] = []
    for height in heights:
        placed.append(height if not placed or height - placed[-1] >= gap else placed[-1] + gap)
    return placed


def parity(
    evaluation: Evaluation, arms: Sequence[str], units: str, names: Sequence[str], scale: Scale
) -> tuple[str, list[Point]]:
    """Predicted against measured on equal axes, one panel per arm; logarithmic ones where a logarithm is modelled.

    Parameters
    ----------
    names : sequence of str
        What each row is called by the points, which come with the drawing.
    """
    logarithmic = scale.transform == LOG10
    back = scale.back if logarithmic else np.asarray
    truth = back(evaluation.truth)
    shown = {arm: back(evaluation.predicted[arm]) for arm in arms}
    lines = -(-len(arms) // PARITY_PANELS)
    columns = min(len(arms), PARITY_PANELS)
    figure, axes = plt.subplots(lines, columns, figsize=(2.9 * columns, 3.0 * lines), squeeze=False)
    low, high = _span([truth, *shown.values()], logarithmic)
    stated = f" ({scale.units if logarithmic else units})" if (scale.units if logarithmic else units) else ""
    many = len(truth) > MANY_POINTS
    for axis, arm in zip(axes.flat, arms, strict=False):
        axis.scatter(truth, shown[arm], s=9, alpha=0.5, color=colour_of(arm), lw=0, rasterized=many)
        axis.plot([low, high], [low, high], color="#888888", lw=0.8)
        kind = "log" if logarithmic else "linear"
        axis.set(xscale=kind, yscale=kind, xlim=(low, high), ylim=(low, high), box_aspect=1)
        for side in (axis.xaxis, axis.yaxis) if logarithmic else ():
            _plain_numbers(side)
        axis.set(title=f"{arm}, {evaluation.split}", xlabel=f"measured{stated}", ylabel=f"predicted{stated}")
    for axis in axes.flat[len(arms) :]:
        axis.set_visible(False)
    drawn = svg(figure)
    if len(truth) * len(arms) > MOST_POINTS:
        return drawn, []
    points: list[Point] = []
    for axis, arm in zip(axes.flat, arms, strict=False):
        for place, name, x, y in zip(_places(figure, axis, truth, shown[arm]), names, truth, shown[arm], strict=True):
            told = f"{name}\nmeasured {number(x)}, {arm} {number(y)}, error {signed(y - x)}"
            points.append(Point(*place, told))
    return drawn, points


def _span(values: Sequence[np.ndarray], logarithmic: bool) -> tuple[float, float]:
    """The ends of axes that hold all values, with a margin."""
    every = np.concatenate(values)
    low, high = float(every.min()), float(every.max())
    if logarithmic:
        return low / 1.3, high * 1.3
    margin = 0.04 * (high - low) or 1.0
    return low - margin, high + margin


def _plain_numbers(side: Any) -> None:
    """Numbers on a logarithmic axis: by default it has formulas, and formulas are not drawn here."""
    side.set_major_locator(LogLocator(subs=(1, 2, 5)))
    side.set_major_formatter("{x:g}")
    side.set_minor_formatter(NullFormatter())


def _places(figure: Any, axis: Any, x: np.ndarray, y: np.ndarray) -> list[tuple[float, float]]:
    """Where points of a drawn panel lie in the figure, as shares from the upper left."""
    places = figure.transFigure.inverted().transform(axis.transData.transform(np.column_stack([x, y])))
    return [(float(right), float(1 - up)) for right, up in places]


def labels(values: Any, task: str, name: str, units: str, bounds: int = 0) -> str:
    """How the labels of a table are spread, or how many rows each class has."""
    if task == CLASSES:
        counts = values.astype(str).value_counts().sort_index()
        figure, axis = plt.subplots(figsize=(5.6, float(np.clip(0.34 * len(counts) + 1.1, 1.8, 6.0))))
        axis.barh(range(len(counts)), counts, color=PLAIN)
        shares = counts / counts.sum()
        for place, (count, share) in enumerate(zip(counts, shares, strict=True)):
            axis.annotate(f" {count} ({share:.0%})", (count, place), va="center", fontsize=8)
        axis.set_yticks(range(len(counts)), list(counts.index))
        axis.set(xlabel="rows", title=name)
        axis.invert_yaxis()
        axis.margins(x=0.2)
    else:
        figure, axis = plt.subplots(figsize=(5.6, 2.1))
        axis.hist(values.to_numpy(dtype=float), bins=min(40, max(8, len(values) // 8)), color=PLAIN)
        limits = f", {bounds} of them limits" if bounds else ""
        axis.set(xlabel=f"{name}{f' ({units})' if units else ''}", ylabel="rows", title=f"{len(values)} labels{limits}")
    return svg(figure)


def class_curves(evaluation: Evaluation, arms: Sequence[str]) -> str:
    """ROC, precision-recall and reliability of one class (with more than two: of the last in order)."""
    positive = evaluation.positive or evaluation.classes[-1]
    column = evaluation.classes.index(positive)
    truth = evaluation.truth == positive
    figure, axes = plt.subplots(1, 3, figsize=(10.2, 3.3))
    for arm in arms:
        chance = evaluation.probabilities[arm][:, column]
        false, true, _ = roc_curve(truth, chance)
        precision, recall, _ = precision_recall_curve(truth, chance)
        axes[0].plot(false, true, color=colour_of(arm), lw=1.4, label=arm)
        axes[1].plot(recall, precision, color=colour_of(arm), lw=1.4)
        share, mean = calibration_curve(truth, chance, n_bins=10, strategy="quantile")
        axes[2].plot(mean, share, "o-", color=colour_of(arm), lw=1.2, ms=3)
    axes[0].plot([0, 1], [0, 1], color="#888888", lw=0.8)
    axes[2].plot([0, 1], [0, 1], color="#888888", lw=0.8)
    axes[1].axhline(truth.mean(), color="#888888", lw=0.8)
    names = (
        ("false-positive rate", "true-positive rate", f"ROC, {evaluation.split}"),
        ("recall", "precision", f"precision-recall of {positive}"),
        ("predicted probability", "observed share", "reliability"),
    )
    for axis, (x, y, title) in zip(axes, names, strict=True):
        axis.set(xlabel=x, ylabel=y, title=title, xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
    axes[0].legend(frameon=False, fontsize=7)
    return svg(figure)


def row_errors(evaluation: Evaluation, arm: str) -> np.ndarray:
    """Absolute error, or one minus the probability given to the true class. Shape (n,)."""
    if evaluation.task == "regression":
        return np.abs(evaluation.predicted[arm] - evaluation.truth)
    codes = np.searchsorted(evaluation.classes, evaluation.truth)
    return 1.0 - evaluation.probabilities[arm][np.arange(len(codes)), codes]


def error_by_similarity(evaluation: Evaluation, similarity: np.ndarray, arms: Sequence[str], units: str) -> str:
    """Mean error in quarters of the test molecules, ordered by similarity to training."""
    figure, axis = plt.subplots(figsize=(4.4, 3.2))
    quarters = np.array_split(np.argsort(similarity, kind="stable"), 4)
    centres = [float(similarity[part].mean()) for part in quarters]
    for arm in arms:
        errors = row_errors(evaluation, arm)
        means = [float(errors[part].mean()) for part in quarters]
        # A row that several divisions test counts once.
        rows = [len(np.unique(evaluation.row_ids[part])) for part in quarters]
        spread = [
            1.96 * float(errors[part].std(ddof=1)) / np.sqrt(count) if count > 1 else 0.0
            for part, count in zip(quarters, rows, strict=True)
        ]
        axis.errorbar(centres, means, yerr=spread, fmt="o-", color=colour_of(arm), lw=1.4, ms=4, capsize=2, label=arm)
    axis.set_xlabel("Tanimoto similarity to the nearest in training\n(quarters of the test set)")
    what = (
        "1 − probability of the true class"
        if evaluation.task == CLASSES
        else f"mean absolute error{f' ({units})' if units else ''}"
    )
    axis.set_ylabel(what)
    axis.set_title(evaluation.split)
    axis.legend(frameon=False, fontsize=7)
    return svg(figure)


def training_curves(cells: Sequence[Mapping[str, Any]]) -> str:
    """Loss against step of every fine-tuned cell, smoothed over 20 steps."""
    figure, axis = plt.subplots(figsize=(6.4, 3.0))
    for cell in cells:
        curve, key = np.array(cell["curve"]), cell["tags"]
        width = min(20, len(curve))
        smooth = np.convolve(curve, np.ones(width) / width, mode="valid")
        style = "-" if key["split"] == "random" else "--"
        label = f"{key['arm']}, {key['split']}" if key["repeat"] == key["fold"] == 0 else None
        axis.plot(np.arange(width, len(curve) + 1), smooth, style, color=colour_of(key["arm"]), lw=1.2, label=label)
    axis.set(xlabel="optimiser step", ylabel="training loss", yscale="log")
    _plain_numbers(axis.yaxis)
    axis.legend(frameon=False, fontsize=7)
    return svg(figure)


def main_arms(evaluation: Evaluation, arms: Sequence[str], reference: str) -> list[str]:
    """The arms worth a panel of their own: the preferred baseline, the weak one, the language models."""
    wanted = [reference, "rf-bits", "barcodes", "lm-head", "lm-text"]
    shown = [arm for arm in dict.fromkeys(wanted) if arm in arms]
    return shown or [arm for arm in arms if arm != CONTROL[evaluation.task]][:4] or list(arms[:1])
