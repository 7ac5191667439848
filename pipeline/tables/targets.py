"""What kind of task a column is: numbers or classes; and how a class is read."""

from __future__ import annotations

import math
from collections.abc import Sequence

from pipeline.errors import InputError
from pipeline.tables.measurements import MISSING, TargetError, parse_measurement

REGRESSION, CLASSES = "regression", "classes"
MAX_CLASSES = 50


def parse_class(text: str) -> str:
    """A class label: the text itself, whole numbers without their decimals (``1.0`` is ``1``)."""
    cleaned = " ".join(text.split())
    if cleaned.lower() in MISSING:
        raise TargetError("missing target")
    try:
        number = float(cleaned)
    except ValueError:
        return cleaned
    return str(int(number)) if math.isfinite(number) and number == int(number) else cleaned


def infer_task(values: Sequence[str], decimal_comma: bool, source: str, column: str) -> tuple[str, str]:
    """``(task, why)``: numbers with more than two values are regression, the rest classes.

    Raises
    ------
    InputError
        If the column is text with more than ``MAX_CLASSES`` different values.
    """
    present = [value for value in values if value.strip().lower() not in MISSING]
    numbers = 0
    for value in present:
        try:
            parse_measurement(value, decimal_comma)
            numbers += 1
        except TargetError:
            continue
    distinct = {parse_class(value) for value in present}
    if present and numbers >= 0.5 * len(present) and len(distinct) > 2:
        return REGRESSION, f"{numbers} of {len(present)} values of {column!r} are numbers"
    if len(distinct) > MAX_CLASSES:
        example = sorted(distinct)[0]
        raise InputError(
            f"{source}: column {column!r} is text with {len(distinct)} different values (such as {example!r}); "
            "a target is a number or one of a few classes. Name another column with --target"
        )
    return CLASSES, f"{column!r} has {len(distinct)} different values"
