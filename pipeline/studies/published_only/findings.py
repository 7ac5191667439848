"""From the cells of the study of published tables to metrics, intervals and plain sentences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from pipeline.evaluation.bootstrap import group_weights
from pipeline.evaluation.detection import BOUNDS, Scored, detection_scores, rests_on
from pipeline.evaluation.metrics import mean_absolute_error, r2
from pipeline.evaluation.numbers import Interval
from pipeline.evaluation.seeded import APART, SHARE, UNBOUNDED, bounded_interval, over_seeds
from pipeline.report.sections import interval_where
from pipeline.studies.published_only.experiment import (
    EVERYTHING,
    EXPLAINED,
    PUBLISHED,
    SUCCESSES,
    Experiment,
    Training,
)
from pipeline.studies.words import (
    RESAMPLES,
    biased,
    can_be_chance,
    few_groups,
    in_percent,
    one_seed,
    with_interval,
)

NOTABLE = 1.2  # times as many values of a component
DIFFERENCE = f"{PUBLISHED} minus {EVERYTHING}"
_BOUNDS = {**BOUNDS, "r2": (-np.inf, 1.0), "mae": (0.0, np.inf)}


@dataclass(frozen=True)
class Findings:
    """What the experiment found.

    ``metrics`` has the columns ``rows`` (what was trained on, or `DIFFERENCE`), ``learner``, ``tested`` (the origin of
    the test rows), ``metric``, ``value``, ``low``, ``high``, ``seeds``, ``n``, ``groups``; ``trained`` one row per
    training; ``predictions`` one row per training and test row; ``composition`` one row per origin and what its rows
    are made of.
    """

    experiment: Experiment
    metrics: pd.DataFrame
    trained: pd.DataFrame
    predictions: pd.DataFrame
    composition: pd.DataFrame

    def value(self, rows: str, learner: str, metric: str, tested: str) -> Interval | None:
        """``(value, low, high)``; None where it was not found."""
        return interval_where(self.metrics, rows=rows, learner=learner, metric=metric, tested=tested)


def found_in(experiment: Experiment, contents: Sequence[Mapping[str, Any]]) -> Findings:
    """What the cells say."""
    cells = [(Training(**content["tags"]), content) for content in contents]
    predictions = _prediction_table(experiment, cells)
    trained = pd.DataFrame(
        {
            **{name: getattr(training, name) for name in ("rows", "learner", "fold", "seed")},
            **cell["about"],
            **{name: cell[name] for name in ("seconds", "peak_mb")},
            "cell_id": cell["id"],
        }
        for training, cell in cells
    )
    return Findings(experiment, _metrics(experiment, predictions), trained, predictions, composed(experiment))


def line_of(experiment: Experiment, training: Training, cell: Mapping[str, Any]) -> str:
    """The bias of a model where it is tested, and how many failures it accepts."""
    rows = list(experiment.split.folds[training.fold].test)
    predicted = pd.Series(cell["predicted"], index=rows)
    tested = experiment.origin.loc[rows] == experiment.settings.tested
    failed = tested & ~experiment.success.loc[rows]
    shown = "no row to test on"
    if tested.any():
        bias = float((predicted - experiment.yields.loc[rows])[tested].mean())
        accepted = (predicted[failed] >= experiment.settings.success).mean() if failed.any() else np.nan
        shown = f"{experiment.settings.tested}: bias {bias:+5.1f}  accepts {accepted:4.0%} of failures"
    return f"{training.label:<60} {shown}  {cell['seconds']:6.1f} s"


def _prediction_table(experiment: Experiment, cells: list[tuple[Training, Mapping[str, Any]]]) -> pd.DataFrame:
    parts = []
    for training, cell in cells:
        rows = list(experiment.split.folds[training.fold].test)
        parts.append(
            pd.DataFrame(
                {
                    "cell_id": cell["id"],
                    "row_id": rows,
                    "dataset": experiment.table.name,
                    "rows": training.rows,
                    "learner": training.learner,
                    "fold": training.fold,
                    "seed": training.seed,
                    "origin": experiment.origin.loc[rows].to_numpy(),
                    "group": [experiment.split.groups[row] for row in rows],
                    "success": experiment.success.loc[rows].to_numpy(),
                    "yield": experiment.yields.loc[rows].to_numpy(),
                    "predicted_yield": cell["predicted"],
                }
            )
        )
    return pd.concat(parts, ignore_index=True)


def _metrics(experiment: Experiment, predictions: pd.DataFrame) -> pd.DataFrame:
    """Each metric over all folds at once, per origin of the test rows, and its difference between two training sets."""
    settings, seed = experiment.settings, experiment.seed
    rows: list[dict[str, Any]] = []
    for tested in (settings.tested, settings.published):
        part = predictions[predictions["origin"] == tested]
        truth = part.drop_duplicates("row_id").sort_values("row_id")
        groups = truth["group"].to_numpy(dtype=object)
        weights = np.vstack([np.ones((1, len(truth))), group_weights(groups, seed, RESAMPLES)])
        for learner in experiment.learners:
            found: dict[str, dict[str, list[np.ndarray]]] = {}
            of_learner = part[part["learner"] == learner]
            for kind in EXPLAINED:
                per_seed = [
                    _scores(truth, members.set_index("row_id")["predicted_yield"], settings.success, weights)
                    for _, members in of_learner[of_learner["rows"] == kind].groupby("seed")
                ]
                found[kind] = {name: [one[name] for one in per_seed] for name in per_seed[0]}
            found[DIFFERENCE] = {
                name: [one - other for one, other in zip(samples, found[EVERYTHING][name], strict=True)]
                for name, samples in found[PUBLISHED].items()
            }
            for kind, by_metric in found.items():
                for metric, samples in by_metric.items():
                    rests = rests_on(metric, truth["success"].to_numpy(dtype=bool), groups)
                    value = over_seeds(samples, rests)
                    low, high = bounded_interval(value, _bounds(kind, metric), rests)
                    rows.append(
                        {"rows": kind, "learner": learner, "tested": tested, "metric": metric}
                        | {"value": value.value, "low": low, "high": high}
                        | {"seeds": of_learner["seed"].nunique(), "n": len(truth), "groups": len(set(groups))}
                    )
    return pd.DataFrame(rows)


def _bounds(kind: str, metric: str) -> tuple[float, float]:
    """Between which a metric lies, or the difference of two of it."""
    if kind != DIFFERENCE:
        return _BOUNDS[metric]
    return APART if _BOUNDS[metric] == SHARE else UNBOUNDED


def _scores(
    truth: pd.DataFrame, predicted: pd.Series, success_from: float, weights: np.ndarray
) -> dict[str, np.ndarray]:
    yields, guess = truth["yield"].to_numpy(), predicted.loc[truth["row_id"]].to_numpy()
    scored = Scored(guess, success_from, None, guess)
    return {
        "r2": r2(yields, guess, weights),
        "mae": mean_absolute_error(yields, guess, weights),
        **detection_scores(truth["success"].to_numpy(dtype=bool), yields, scored, weights),
    }


def composed(experiment: Experiment) -> pd.DataFrame:
    """What the rows of each origin are: their number, share of successes and mean yield, and how many values each
    component has among a hundred of them (mean over 20 draws; fewer where there are fewer rows)."""
    table, settings = experiment.table, experiment.settings
    rows = table.by_row["target"]
    frame = table.cells.loc[rows.index]
    found = []
    for origin in (settings.published, settings.tested):
        part = frame[frame[settings.origin] == origin]
        size = min(
            100, *(int((frame[settings.origin] == name).sum()) for name in (settings.published, settings.tested))
        )
        row: dict[str, Any] = {"origin": origin, "reactions": len(part), "papers": part[settings.paper].nunique()}
        row["successes"] = float((rows.loc[part.index] >= settings.success).mean())
        row["mean_yield"] = float(rows.loc[part.index].mean())
        draws = [part.sample(size, random_state=number) for number in range(20)]
        for name in experiment.table.components:
            row[f"values of {name} among {size}"] = float(np.mean([draw[name].nunique() for draw in draws]))
        found.append(row)
    return pd.DataFrame(found)


def sentences(found: Findings) -> list[str]:
    """How wrong models of published rows are where the failures are, and what other rows mend."""
    experiment, settings = found.experiment, found.experiment.settings
    published, tested = (found.composition.iloc[place] for place in (0, 1))
    part = found.metrics[found.metrics["tested"] == settings.tested]
    n, groups = int(part["n"].iloc[0]), int(part["groups"].iloc[0])
    size = found.trained["n"]
    rows = f"{size.min()}" if size.nunique() == 1 else f"{size.min()} to {size.max()}"
    said = [
        f"{n} {settings.tested} reactions in {groups} groups of papers, {tested['successes']:.0%} of them successes, "
        f"are predicted by models that have seen none of those papers. Each is trained on {rows} rows, whatever "
        "their kind.",
        _differ(experiment, published, tested),
    ]
    tested_rows = found.predictions[found.predictions["origin"] == settings.tested].drop_duplicates("row_id")
    said += few_groups(tested_rows["group"].to_numpy(dtype=object), "independent groups of papers")
    for learner in experiment.learners:
        said += _of_learner(found, learner)
    return said


def _differ(experiment: Experiment, published: pd.Series, tested: pd.Series) -> str:
    """What the two kinds of rows differ in, with the components that vary most in the one and in the other."""
    settings = experiment.settings
    names = [name for name in published.index if name.startswith("values of ")]
    ratios = {name: (published[name] + 1) / (tested[name] + 1) for name in names}
    varied = sorted(names, key=lambda name: ratios[name])
    ends = [name for name in dict.fromkeys((varied[-1], varied[0])) if not 1 / NOTABLE < ratios[name] < NOTABLE]
    counted = " and ".join(
        f"{published[name]:.0f} against {tested[name]:.0f} values of "
        f"{name.removeprefix('values of ').rpartition(' among ')[0].replace('_', ' ')}"
        for name in ends
    )
    shares = (
        f"{published['successes']:.0%} of the {settings.published} rows are successes against {tested['successes']:.0%}"
    )
    if not ends:
        return (
            f"Of the two kinds of rows, {shares}. No component has notably more values in the one than in the other, "
            "but which reactions are in a published table was chosen: what a model of them gets wrong need not be the "
            "missing failures alone."
        )
    among = names[0].rpartition(" among ")[2]
    return (
        f"The two kinds of rows differ in more than their failures: {shares}, and {among} of them hold {counted}. "
        f"What a model of {settings.published} rows gets wrong need therefore not be the missing failures alone."
    )


def _of_learner(found: Findings, learner: str) -> list[str]:
    settings = found.experiment.settings
    parts = {}
    for kind in EXPLAINED:
        bias = found.value(kind, learner, "yield_bias", settings.tested)
        accepted = found.value(kind, learner, "fpr", settings.tested)
        if bias is None or accepted is None:
            return []
        parts[kind] = f"{biased(bias)} and accepts {in_percent(accepted)} of the failures"
    bias = found.value(DIFFERENCE, learner, "yield_bias", settings.tested)
    accepted = found.value(DIFFERENCE, learner, "fpr", settings.tested)
    assert bias
    assert accepted
    seeds = found.metrics.loc[found.metrics["learner"] == learner, "seeds"]
    return [
        f"{learner} trained on {settings.published} rows predicts {parts[PUBLISHED]}; on successes of either kind "
        f"{parts[SUCCESSES]}; on rows of either kind {parts[EVERYTHING]}. With these instead of {settings.published} "
        f"rows its predictions are {_less(bias, 'yield points', 'lower', 'higher')}, and of the failures "
        f"{_less(_hundredfold(accepted), 'percentage points', 'fewer', 'more')} are accepted.",
        *(f"{learner}: {sentence[0].lower()}{sentence[1:]}" for sentence in one_seed(int(seeds.iloc[0]))),
    ]


def _hundredfold(found: Interval) -> Interval:
    value, low, high = (100 * part for part in found)
    return value, low, high


def _less(found: Interval, unit: str, less: str, more: str) -> str:
    """``20 [13 to 27] yield points lower``; said where it can be chance."""
    value, low, high = found if found[0] >= 0 else (-found[0], -found[2], -found[1])
    chance = " (not significant)" if can_be_chance(found) else ""
    return f"{with_interval((value, low, high))} {unit} {less if found[0] >= 0 else more}{chance}"
