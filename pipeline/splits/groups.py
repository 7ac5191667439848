"""Group labels: rows with the same label never stand on both sides of a split."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from pipeline.tables.merging import joined_labels
from pipeline.tables.table import Table


def twin_groups(table: Table) -> np.ndarray:
    """Salts, charged forms, tautomers and stereoisomers of one parent share a label (`twin_labels`). Shape (n,)."""
    return table.frame["twins"].to_numpy(dtype=object)


def twin_groups_by_row(table: Table) -> dict[str, str]:
    """The same by ``row_id``."""
    return dict(zip(table.frame["row_id"], twin_groups(table), strict=True))


def scaffold_groups(table: Table) -> np.ndarray:
    """Neutral Bemis-Murcko framework of the parent; an acyclic molecule is a group of its own. Shape (n,).

    Twins whose frameworks differ (tautomers can) are joined, so that the groups are pure for both.
    """
    return scaffold_labels(table.frame["scaffold"].to_numpy(dtype=object), twin_groups(table))


def scaffold_labels(scaffolds: np.ndarray, twins: np.ndarray) -> np.ndarray:
    """`scaffold_groups` from the scaffold (empty if acyclic) and the twin label of each molecule. Shape (n,)."""
    own = np.where(scaffolds == "", "acyclic:" + twins.astype(str), scaffolds)
    return joined_labels(own, twins)


def system_groups(table: Table) -> np.ndarray:
    """The chemical system of a composition: which elements it holds. Shape (n,)."""
    return joined_labels(table.frame["scaffold"], twin_groups(table))


def column_groups(table: Table, *columns: str) -> np.ndarray:
    """The values of a column of the table, or of several together; twins are joined. Shape (n,)."""
    labels = table.column(columns[0])
    for column in columns[1:]:
        labels = labels.astype(str) + TOGETHER + table.column(column).astype(str)
    return joined_labels(labels, twin_groups(table))


TOGETHER = " + "  # between the values of several columns
GROUPINGS: dict[str, Callable[[Table], np.ndarray]] = {"random": twin_groups, "scaffold": scaffold_groups}
