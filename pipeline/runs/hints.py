"""What a user may want to change before a run, seen in the table alone."""

from __future__ import annotations

import numpy as np
from scipy.stats import skew

from pipeline.evaluation.numbers import number
from pipeline.prompts.numbers import NumberFormat
from pipeline.tables.table import Table
from pipeline.tables.targets import CLASSES

EMPTY_NAMES = {
    "y",
    "target",
    "value",
    "label",
    "property",
    "class",
    "activity",
    "response",
    "result",
    "output",
    "outcome",
}
RARE = 0.1  # share of a class below which it is said to be rare
ORDERS = 2.0  # powers of ten that the values of a skewed target span at least
SKEWED = 2.0  # skewness from which on a target is
FAR = 10.0  # standard deviations of the other labels
MOST_FAR = 2  # labels so far out; more are a tail


def hints(table: Table) -> list[str]:
    """Sentences without their full stop, such as that a logarithm would suit the target."""
    return [*_name(table), *(_classes(table) if table.task == CLASSES else [*_scale(table), *_far(table)])]


def seen(table: Table) -> list[str]:
    """How the table was read, what to look at, and what to change, a line each."""
    return [
        *(f"Read: {remark}." for remark in table.remarks),
        *(f"Warning: {warning}." for warning in table.warnings),
        *(f"Hint: {hint}." for hint in hints(table)),
    ]


def _name(table: Table) -> list[str]:
    if table.property_name.strip().lower() not in EMPTY_NAMES:
        return []
    return [
        f"the prompt calls the target {table.property_name!r}, which tells the language model nothing; name the "
        "property with --property-name, and its --units"
    ]


def _classes(table: Table) -> list[str]:
    shares = table.targets.value_counts(normalize=True)
    rarest = str(shares.idxmin())
    if len(shares) < 2 or shares.min() >= RARE:
        return []
    count = int((table.targets == rarest).sum())
    return [
        f"class {rarest} has {count} of {len(table)} rows ({shares.min():.1%}): read MCC and AUPRC, an answer that "
        f"never names it is right in {1 - shares.min():.0%} of the cases"
        + ("; --threshold mcc chooses on held-out rows when to answer it" if len(shares) == 2 else "")
    ]


def _scale(table: Table) -> list[str]:
    values = table.targets[table.exact].to_numpy(dtype=np.float64)
    if table.scale.transform or len(values) < 20 or not (values > 0).all():
        return []
    low, high = float(values.min()), float(values.max())
    if high < low * 10**ORDERS or skew(values) < SKEWED or abs(skew(np.log10(values))) > skew(values) / 2:
        return []
    form = NumberFormat.fit(values)
    zero = float(np.mean([float(form.write(value)) == 0 for value in values]))
    said = f"; lm-text would write {zero:.0%} of them as 0" if zero >= 0.01 else ""
    return [
        f"the values span {number(low)} to {number(high)} and most are small{said}; --transform log10 models their "
        "logarithm"
    ]


def _far(table: Table) -> list[str]:
    exact = table.exact.to_numpy()
    values = table.frame["target"].to_numpy(dtype=np.float64)
    found = []
    for place in np.argsort(-np.abs(values - np.median(values)))[: MOST_FAR + 1]:
        others = np.delete(values, place)
        spread = float(np.std(others))
        away = abs(values[place] - others.mean()) / spread if spread > 0 else 0.0
        if exact[place] and away >= FAR:
            found.append((place, away))
    if not found or len(found) > MOST_FAR:
        return []
    lines = table.frame["line"].to_numpy()
    return [
        f"line {lines[place]}: {number(float(values[place]))}{f' {table.units}' if table.units else ''} lies "
        f"{away:.0f} standard deviations from the mean of the other labels; it may be a slip"
        for place, away in found
    ]
