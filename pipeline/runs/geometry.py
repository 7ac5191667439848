"""The shape of a table before any training: in how many directions its rows vary, and how the label changes on them.

Nothing here is a model of the label, and nothing is learned from it: what it says of the number of rows that a model
needs was measured (scripts/geometry_and_data.py, docs/geometry.md).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from pipeline.arms.ladder import HEAD
from pipeline.errors import InputError
from pipeline.evaluation.dimension import MIN_POINTS, gaussian_like, intrinsic_dimension
from pipeline.evaluation.estimates import holm
from pipeline.evaluation.noise import measurement_noise
from pipeline.evaluation.roughness import (
    Figure,
    neighbour_agreement,
    neighbour_correlation,
    neighbour_error,
    roughness,
    share_in_cliffs,
)
from pipeline.features.alike import similar_pairs
from pipeline.features.compositions import element_shares, element_statistics
from pipeline.features.similarity import row_bits
from pipeline.features.structures import CleanDescriptors, descriptors, morgan_counts, nearest_rows, tanimoto
from pipeline.reporter import Reporter
from pipeline.runs.context import Context
from pipeline.settings.run import RunConfig
from pipeline.splits.groups import scaffold_groups, system_groups, twin_groups
from pipeline.tables.kinds import COMPOSITIONS, MOLECULES, REACTIONS, TEXTS, Kind
from pipeline.tables.scales import LOG10, PIC50
from pipeline.tables.table import Table
from pipeline.tables.targets import CLASSES

ROWS, SEED = 2_000, 0  # of larger tables so many rows are drawn
COUNTS, DESCRIPTORS, STATES, RANDOM_STATES = "fingerprints", "descriptors", "states", "states of random weights"
DIMENSION = "dimension, "  # what the names of its figures begin with
CORRELATION, ERROR, AGREEMENT = "neighbour correlation", "neighbour error", "neighbour agreement"
ROUGHNESS, CLIFFS = "roughness", "rows in a cliff"
ANOTHER_CLASS, TEN_TIMES = "another class", "tenfold or more"  # what makes a cliff steep
SHOWN = 0.05  # p-value from which on a label is said to go with the structure


@dataclass(frozen=True)
class Space:
    """What rows are described by, so that the distance of two is Euclidean.

    Attributes
    ----------
    features : callable
        From rows as text to an array of shape (n, d).
    about : str
        What they are, for people.
    """

    features: Callable[[list[str]], np.ndarray]
    about: str


def _log_counts(smiles: list[str]) -> np.ndarray:
    return np.log1p(morgan_counts(smiles).astype(np.float64))  # of whole numbers, many distances would be equal


def _standardised(features: Callable[[list[str]], np.ndarray]) -> Callable[[list[str]], np.ndarray]:
    def of(rows: list[str]) -> np.ndarray:
        given = features(rows)
        return CleanDescriptors().fit(given).transform(given)

    return of


SPACES: Mapping[Kind, Mapping[str, Space]] = {
    MOLECULES: {
        COUNTS: Space(_log_counts, "log(1 + counts) of Morgan fingerprints of radius 2, 2,048 columns"),
        DESCRIPTORS: Space(_standardised(descriptors), "RDKit's 2D descriptors, standardised"),
    },
    COMPOSITIONS: {
        "shares of elements": Space(lambda rows: element_shares(rows), "the share of each element"),
        "statistics of elements": Space(
            _standardised(element_statistics), "statistics over properties of the elements, standardised"
        ),
    },
    REACTIONS: {
        COUNTS: Space(
            lambda rows: row_bits(rows, REACTIONS).astype(np.float64), "bits of differential reaction fingerprints"
        )
    },
    TEXTS: {COUNTS: Space(lambda rows: row_bits(rows, TEXTS).astype(np.float64), "which words and runs of characters")},
}


def geometry_of_table(table: Table, config: RunConfig, reporter: Reporter, states: bool) -> dict[str, Any]:
    """`geometry_of` at most `ROWS` rows, drawn by seed; with ``states`` of what the language model makes of them."""
    used = table.sample(ROWS, SEED)
    reporter.say("Measuring the geometry of the table; up to a minute.")
    return geometry_of(used, states_of(used, config) if states else None)


def geometry_of(table: Table, states: Mapping[str, np.ndarray] | None = None) -> dict[str, Any]:
    """Dimensions, and how the label changes from row to row.

    Parameters
    ----------
    table : Table
        With `ROWS` rows or fewer.
    states : mapping, optional
        What a language model says of the rows (`states_of`), by name.

    Returns
    -------
    dict
        ``figures``: rows of a table with ``what``, ``value``, ``low``, ``high`` (for a dimension the least and the
        largest estimate, else a 95 % interval, None for too few groups), ``null``, ``null_low``, ``null_high``,
        ``n``, ``groups`` and ``p_value``; ``about``: what the spaces are; ``left_out``: sentences.
    """
    found: dict[str, Any] = {
        "rows": len(table),
        "drawn_from": table.drawn_from or len(table),
        "seed": SEED,
        "rows_are": table.rows_are,
        "figures": [],
        "about": {},
        "estimates": {},
        "left_out": [],
        "cliff": {},
    }
    _dimensions(table, states or {}, found)
    try:
        _labels(table, found)
    except InputError as error:
        found["left_out"].append(f"How the label changes: {error}")
    _corrected(found["figures"])
    return found


def states_of(table: Table, config: RunConfig) -> dict[str, np.ndarray]:
    """The mean state over the tokens of each row after the layers that `lm-head` uses, before any training: of the
    published weights, and of random ones. Shapes (n, d); rows that are too long for the model are left out.

    Raises
    ------
    InputError
        If the model cannot be had.
    """
    from pipeline.arms.language_model import FrozenRegressor
    from pipeline.lm.altered import RANDOM, altered_engine
    from pipeline.lm.engine import shared_engine
    from pipeline.runs.prepare import without_long_rows

    context = Context(config, table, (), ())
    inputs = without_long_rows(context).inputs
    depth, trained = context.layers(HEAD)
    engines = {
        STATES: shared_engine(config.model, trained, "float32", depth),
        RANDOM_STATES: altered_engine(config.model, trained, "float32", depth, RANDOM, SEED),
    }
    return {name: FrozenRegressor(engine, context.template).states(inputs) for name, engine in engines.items()}


def _dimensions(table: Table, states: Mapping[str, np.ndarray], found: dict[str, Any]) -> None:
    rows = list(table.frame["smiles"])
    made: dict[str, np.ndarray] = {}
    for name, space in SPACES[table.kind].items():
        try:
            made[name] = space.features(rows)
            found["about"][name] = space.about
        except InputError as error:
            found["left_out"].append(f"Dimension of the {name}: {error}")
    for name, given in states.items():
        made[name] = CleanDescriptors(limit=np.inf).fit(given.astype(np.float64)).transform(given.astype(np.float64))
        found["about"][name] = "mean over the tokens of a row after the layers that lm-head uses, standardised"
    for name, points in made.items():
        dimension = intrinsic_dimension(points, SEED) if points.shape[1] else None
        null = intrinsic_dimension(gaussian_like(points, SEED), SEED) if dimension else None
        if dimension is None or null is None:
            found["left_out"].append(
                f"Dimension of the {name}: fewer than {MIN_POINTS} rows differ in them; too few to measure one"
            )
            continue
        found["estimates"][name] = {"of the table": dimension.estimates, "null": null.estimates, "tied": dimension.tied}
        found["figures"].append(
            {
                "what": DIMENSION + name,
                "value": dimension.middle,
                "low": dimension.low,
                "high": dimension.high,
                "null": null.middle,
                "null_low": null.low,
                "null_high": null.high,
                "n": dimension.points,
                "groups": None,
                "p_value": None,
            }
        )


def _labels(table: Table, found: dict[str, Any]) -> None:
    """How the label changes from a row to similar ones; bounds such as >10 are no labels here."""
    frame = table.frame[table.exact.to_numpy()]
    labels, twins = frame["target"].to_numpy(), frame["twins"].to_numpy(dtype=object)
    groups = _groups(table)[table.exact.to_numpy()]
    if len(set(labels)) < 2:
        raise InputError("all labels are the same")
    if len(set(twins)) < MIN_POINTS:
        raise InputError(f"there are fewer than {MIN_POINTS} different {table.rows_are}; too few to compare neighbours")
    bits = row_bits(list(frame["smiles"]), table.kind)
    similarity, neighbour = nearest_rows(bits, bits, apart=(twins, twins))
    if not similarity.any():
        raise InputError(f"no two {table.rows_are} have anything in common")
    many_classes = table.task == CLASSES and len(set(labels)) > 2
    if table.task == CLASSES:
        agreement = neighbour_agreement(labels, neighbour, groups, SEED)
        found["figures"].append(_row(AGREEMENT, agreement, agreement.p_value(rising=True)))
    else:
        correlation = neighbour_correlation(labels, neighbour, groups, SEED)
        found["figures"].append(_row(CORRELATION, correlation, correlation.p_value(rising=True)))
        found["figures"].append(_row(ERROR, neighbour_error(labels, neighbour, groups, SEED), None))
    if many_classes:
        found["left_out"].append("Roughness and cliffs: they are defined for numbers and for two classes")
        return
    numbers = np.unique(labels, return_inverse=True)[1] if table.task == CLASSES else labels.astype(np.float64)
    rough = roughness(np.clip(1 - tanimoto(bits, bits), 0, 1), numbers, groups, SEED)
    found["figures"].append(_row(ROUGHNESS, rough, rough.p_value(rising=False)))
    _cliffs(table, frame, numbers, groups, found)


def _cliffs(table: Table, frame: Any, labels: np.ndarray, groups: np.ndarray, found: dict[str, Any]) -> None:
    if table.kind is not MOLECULES:
        found["left_out"].append("Cliffs: their definition is one of molecules")
        return
    least, why = _steep(table, frame, labels)
    if not least:
        found["left_out"].append(
            "Cliffs: half of all pairs of rows or more have the same label, so that no difference is a large one"
        )
        return
    pairs = similar_pairs(list(frame["smiles"]))
    if not len(pairs):
        found["left_out"].append("Cliffs: no two molecules are similar enough")
        return
    with_pair = len(np.unique(pairs))
    found["cliff"] = {"least": least, "why": why, "pairs": len(pairs), "rows_with_a_pair": with_pair}
    found["figures"].append(_row(CLIFFS, share_in_cliffs(labels, pairs, least, groups, SEED), None))


def _steep(table: Table, frame: Any, labels: np.ndarray) -> tuple[float, str]:
    """From which difference on two similar molecules are a cliff, and why.

    MoleculeACE has tenfold for potencies. Where the scale is none of logarithms it is what half of all pairs of rows
    differ by, or two standard deviations of a difference between measurements if that is more.
    """
    if table.task == CLASSES:
        return 1.0, ANOTHER_CLASS
    if table.scale.transform in (LOG10, PIC50) or table.units.lower().startswith("log"):
        return 1.0, TEN_TIMES
    first, second = np.triu_indices(len(labels), k=1)
    least = float(np.median(np.abs(labels[first] - labels[second])))
    noise = measurement_noise(frame)
    if noise and not noise.doubtful and 2 * np.sqrt(2) * noise.deviation > least:
        return float(2 * np.sqrt(2) * noise.deviation), "two standard deviations of a difference between measurements"
    return least, "as half of all pairs of rows are"


def _groups(table: Table) -> np.ndarray:
    """What whole groups of rows are for the intervals: scaffolds, or chemical systems, or one structure."""
    if table.kind is MOLECULES:
        return scaffold_groups(table)
    return system_groups(table) if table.kind is COMPOSITIONS else twin_groups(table)


def _row(what: str, figure: Figure, p_value: float | None) -> dict[str, Any]:
    null, null_low, null_high = figure.null
    return {
        "what": what,
        "value": figure.value,
        "low": figure.low if np.isfinite(figure.low) else None,  # one scaffold alone: nothing to draw from
        "high": figure.high if np.isfinite(figure.high) else None,
        "null": null,
        "null_low": null_low,
        "null_high": null_high,
        "n": figure.n,
        "groups": figure.groups,
        "p_value": p_value,
    }


def _corrected(figures: list[dict[str, Any]]) -> None:
    """p-values by Holm's method over all that were asked."""
    asked = [one for one in figures if one["p_value"] is not None]
    for one, (p_value, _) in zip(asked, holm([one["p_value"] for one in asked]), strict=True):
        one["p_value"] = p_value
