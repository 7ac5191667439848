"""The measured value of a row: a number or a class, or the reason why it is neither."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

from pipeline.errors import InputError

REGRESSION, CLASSES = "regression", "classes"
MISSING = {"", "na", "n/a", "nan", "none", "null", "-", "--", "nd", "n.d."}
MAX_CLASSES = 50
_BOUND = re.compile(r"^[<>≤≥~≈]=?\s*[-+]?[\d.]")
_SPREAD = re.compile(r"\d\s*(±|\+/-|\+-)\s*\d")
_UNIT = re.compile(r"^[-+]?\d+(\.\d+)?([eE][-+]?\d+)?\s*[^\d\s.,eE+-].*$")


class TargetError(ValueError):
    """The value cannot be used; the message is the reason given to the user."""


def parse_number(text: str, decimal_comma: bool = False) -> float:
    """A finite number from a cell; accepts exponents and the minus sign U+2212.

    Raises
    ------
    TargetError
        For a missing, infinite, censored (``>10``) or otherwise non-numeric value.
    """
    cleaned = text.strip().replace("\u2212", "-")
    if cleaned.lower() in MISSING:
        raise TargetError("missing target")
    if decimal_comma and re.fullmatch(r"[-+]?\d*,\d+([eE][-+]?\d+)?", cleaned):
        cleaned = cleaned.replace(",", ".")
    try:
        value = float(cleaned) if "_" not in cleaned else math.nan
    except ValueError:
        raise TargetError(_why_not_a_number(cleaned)) from None
    if not math.isfinite(value):
        raise TargetError(f"target is not a finite number: {text.strip()!r}")
    return value


def _why_not_a_number(text: str) -> str:
    if _BOUND.match(text):
        return f"target is a bound, not a value: {text!r}"
    if _SPREAD.search(text):
        return f"target carries its spread: {text!r}"
    if _UNIT.match(text):
        return f"target carries a unit or other text: {text!r}"
    return f"target is not a number: {text!r}"


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
            parse_number(value, decimal_comma)
            numbers += 1
        except TargetError as error:
            numbers += "not a number" not in str(error)
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
