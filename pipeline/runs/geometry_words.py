"""What the shape of a table says, in words and as a table."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from math import nan
from typing import Any

from pipeline.evaluation.numbers import Interval, decimals_of, number, probability, written
from pipeline.runs.geometry import (
    AGREEMENT,
    ANOTHER_CLASS,
    CLIFFS,
    CORRELATION,
    DIMENSION,
    ERROR,
    RANDOM_STATES,
    ROUGHNESS,
    SHOWN,
    STATES,
    TEN_TIMES,
)

COLUMNS = ("", "this table", "range", "null", "range of the null", "n", "groups")
EVIDENCE = (  # scripts/geometry_and_data.py
    "over ten tables of molecules none of these numbers was shown to predict how many rows a model needs. To measure "
    "that: chemtune study learning-curve."
)
TIED = 0.1  # share of rows with two neighbours equally far away from which on it is said
Row = Mapping[str, Any]  # of the figures


def geometry_rows(found: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """The figures as text, a tuple for each in the order of `COLUMNS`."""
    return [
        (one["what"], *_of_table(one), *_of_null(one), str(one["n"]), str(one["groups"] or ""))
        for one in found["figures"]
    ]


def geometry_title(found: Mapping[str, Any]) -> str:
    rows = f"{found['rows']} {found['rows_are']}"
    if found["drawn_from"] > found["rows"]:
        rows += f", drawn from {found['drawn_from']} by seed {found['seed']}"
    return f"Geometry of {rows}"


def geometry_lines(found: Mapping[str, Any], units: str) -> list[str]:
    """What was found, a sentence or two for each part, then what it does not say."""
    of = {one["what"]: one for one in found["figures"]}
    lines = [*_dimension_lines(found, of), *_neighbour_lines(of)]
    if ROUGHNESS in of:
        lines.append(_roughness_line(of[ROUGHNESS]))
    if CLIFFS in of:
        lines.append(_cliff_line(of[CLIFFS], found["cliff"], units))
    lines += [f"Left out: {reason}." for reason in found["left_out"]]
    return [*lines, f"Rows needed: {EVIDENCE}"] if found["figures"] else lines


def _dimension_lines(found: Mapping[str, Any], of: Mapping[str, Row]) -> Iterator[str]:
    names = [name for name in found["about"] if DIMENSION + name in of]
    for name in names:
        one = of[DIMENSION + name]
        (_, here), (_, null) = _of_table(one), _of_null(one)
        fewer = "fewer than" if one["high"] < one["null_low"] else "which does not differ clearly from"
        tied = found["estimates"][name]["tied"]
        yield (
            f"Dimension: around a row the {name} vary in {here} directions (two estimators, on {one['n']} different "
            f"rows and on half of them), {fewer} the {null} of a normal distribution with the same covariance."
            + (
                f" {tied:.0%} of the rows have two neighbours equally far away: TwoNN is too high."
                if tied > TIED
                else ""
            )
        )
    if names:
        yield (
            "  That describes which rows were chosen, and nothing of a model. Above ten both estimators, TwoNN and "
            "maximum likelihood, come out too low, and they depend on the number of rows."
        )
    if {STATES, RANDOM_STATES} <= set(names):
        published, random = (_of_table(of[DIMENSION + name])[1] for name in (STATES, RANDOM_STATES))
        yield (
            f"  States of the weights as published: {published}; of weights that were never trained: {random}. What "
            "both have comes from the table and not from pretraining."
        )


def _neighbour_lines(of: Mapping[str, Row]) -> Iterator[str]:
    one = of.get(CORRELATION) or of.get(AGREEMENT)
    if not one:
        return
    what = (
        "the label of a row and that of its most similar other row have a rank correlation of"
        if CORRELATION in of
        else "the share of rows whose most similar other row is of the same class is"
    )
    shown = "the label goes" if one["p_value"] < SHOWN else "it is not shown that the label goes"
    (value, here), (_, null) = _of_table(one), _of_null(one)
    yield (
        f"Neighbours: {what} {value} [{here}]; with labels dealt to other rows {null}: {shown} with the structure "
        f"(p = {probability(one['p_value'])})."
    )
    if ERROR in of:
        (value, here), (null, _) = _of_table(of[ERROR]), _of_null(of[ERROR])
        yield (
            f"  The neighbour's label is off by {value} times [{here}] what the mean of all labels is off by; that of "
            f"labels dealt to other rows by {null} times."
        )


def _roughness_line(one: Row) -> str:
    (value, here), (_, null) = _of_table(one), _of_null(one)
    shown = "smoother" if one["p_value"] < SHOWN else "not shown to be smoother"
    return (
        f"Roughness (ROGI): {value} [{here}], {shown} than labels dealt to other rows, which have {null} "
        f"(p = {probability(one['p_value'])})."
    )


def _cliff_line(one: Row, cliff: Mapping[str, Any], units: str) -> str:
    apart = "" if cliff["why"] == ANOTHER_CLASS else f" ({cliff['why']})"
    if cliff["why"] not in (ANOTHER_CLASS, TEN_TIMES):
        apart = f" ({number(cliff['least'])} {units} or more apart, {cliff['why']})".replace("  ", " ")
    (value, here), (_, null) = _of_table(one, 100), _of_null(one, 100)
    return (
        f"Cliffs: {cliff['rows_with_a_pair']} molecules have a close analogue ({cliff['pairs']} pairs, similar as in "
        f"MoleculeACE); {value} % [{here}] of all molecules have one with another label{apart}. With labels "
        f"dealt to other rows: {null} %."
    )


def _of_table(one: Row, times: float = 1) -> tuple[str, str]:
    """Value and range, to digits that suit it and its null."""
    return _written(one, "", times)


def _of_null(one: Row, times: float = 1) -> tuple[str, str]:
    return _written(one, "null", times)


def _written(one: Row, which: str, times: float) -> tuple[str, str]:
    both = {
        "": _scaled(one, times, "value", "low", "high"),
        "null": _scaled(one, times, "null", "null_low", "null_high"),
    }
    decimals = decimals_of(list(both.values()))  # of those that have a range
    value, low, high = (round(part, 9 if decimals is None else decimals) + 0.0 for part in both[which])  # no -0
    shown, between = written((value, low, high), decimals)
    return shown, between or "too few groups"


def _scaled(one: Row, times: float, *keys: str) -> Interval:
    value, low, high = (nan if one[key] is None else one[key] * times for key in keys)
    return value, low, high
