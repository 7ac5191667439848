"""What a threshold between two classes that is not even costs and brings, on the page of a comparison of arms."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from pipeline.evaluation.numbers import number
from pipeline.evaluation.thresholds import matthews_of
from pipeline.report.blocks import Grid, Section, note
from pipeline.settings.threshold import COST, FIXED, MCC, Rule
from pipeline.studies.compare.findings import UNCHOSEN, Findings

_CHOSEN = {
    MCC: "the highest Matthews correlation",
    COST: "the lowest cost",
}


def threshold_table(found: Findings) -> pd.DataFrame:
    """One row per arm and division: ``split, repeat, fold, arm, threshold, positives, missed, negatives, false_alarms,
    missed_at_even, false_alarms_at_even``; the last two where the more probable class is the answer."""
    positive = found.context.positive
    rows = []
    for cell in found.cells:
        if cell["id"] not in found.thresholds:
            continue
        tags, part = cell["tags"], found.predictions[found.predictions["cell_id"] == cell["id"]]
        truth = part["truth"].to_numpy() == positive
        said = part["prediction"].to_numpy() == positive
        even = part[f"p_{positive}"].to_numpy(dtype=np.float64) >= UNCHOSEN
        rows.append(
            {
                **{name: tags[name] for name in ("split", "repeat", "fold", "arm")},
                "threshold": found.thresholds[cell["id"]],
                "positives": int(truth.sum()),
                "missed": int((truth & ~said).sum()),
                "negatives": int((~truth).sum()),
                "false_alarms": int((~truth & said).sum()),
                "missed_at_even": int((truth & ~even).sum()),
                "false_alarms_at_even": int((~truth & even).sum()),
            }
        )
    return pd.DataFrame(rows)


def section(found: Findings) -> Section:
    """The thresholds, and what they cost on the test rows beside one of 0.5."""
    if not found.thresholds:
        return Section("")
    rule, positive = Rule.of(found.context.config.threshold), found.context.positive
    rows = [
        _row(str(split), str(arm), part, rule)
        for (split, arm), part in threshold_table(found).groupby(["split", "arm"], sort=False)
    ]
    costs = (f"cost of 100 {found.context.table.rows_are}", "cost at 0.5") if rule.kind == COST else ()
    header = ("arm", "split", "threshold", "missed", "false alarms", "MCC", "MCC at 0.5", *costs)
    how = (
        "It is the same for all arms."
        if rule.kind == FIXED
        else f"For each arm that with {_CHOSEN[rule.kind]} on training rows that were held out of a fit. Arms without "
        "such rows keep 0.5: language models have some with --calibrate-lm."
    )
    said = note(
        f"Class {positive} is the answer from this probability on. {how} Missed: test rows of class {positive} that "
        "are answered otherwise; false alarms: others that are answered so. Ranks, and with them AUROC and AUPRC, are "
        "those of any threshold."
    )
    grid = Grid(header, rows, frozenset({1, 2, 3, 4}), name="thresholds")
    return Section(
        "Threshold",
        [said, grid],
        folded=True,
        anchor="threshold",
        about="when the rarer class is answered, and its cost",
    )


def _row(split: str, arm: str, part: pd.DataFrame, rule: Rule) -> tuple[object, ...]:
    cuts, sums = part["threshold"], {str(name): float(total) for name, total in part.sum(numeric_only=True).items()}
    shown = number(cuts.iloc[0]) if cuts.nunique() == 1 else f"{number(cuts.min())} to {number(cuts.max())}"
    costs = (_cost(rule, sums, ""), _cost(rule, sums, "_at_even")) if rule.kind == COST else ()
    return (
        arm,
        split,
        shown,
        f"{int(sums['missed'])} of {int(sums['positives'])}",
        f"{int(sums['false_alarms'])} of {int(sums['negatives'])}",
        _mcc(sums, ""),
        _mcc(sums, "_at_even"),
        *costs,
    )


def _mcc(sums: Mapping[str, float], at: str) -> float:
    """Over the test rows of all divisions together."""
    positives, negatives = int(sums["positives"]), int(sums["negatives"])
    true, false = np.array([positives - sums[f"missed{at}"]]), np.array([sums[f"false_alarms{at}"]])
    return float(matthews_of(true, false, positives, negatives)[0])


def _cost(rule: Rule, sums: Mapping[str, float], at: str) -> float:
    paid = rule.missed * sums[f"missed{at}"] + rule.false_alarm * sums[f"false_alarms{at}"]
    return float(100 * paid / (sums["positives"] + sums["negatives"]))
