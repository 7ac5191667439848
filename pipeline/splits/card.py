"""What a split asks of a model: sizes, groups, label shift, and how near the test set lies."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import ks_2samp

from pipeline.features.similarity import nearest_neighbours
from pipeline.features.structures import PROPERTIES, properties
from pipeline.splits.catalogue import RUNGS
from pipeline.splits.splitters import ORDERS, Split
from pipeline.tables.kinds import COMPOSITIONS
from pipeline.tables.table import Table
from pipeline.tables.targets import CLASSES


def split_card(table: Table, split: Split) -> dict[str, Any]:
    """Facts about a split, averaged over its folds where they differ.

    Returns
    -------
    dict
        ``asked``, ``sizes`` (in words), ``n_train`` and ``n_test`` per fold, ``groups``, ``largest_group`` (rows),
        ``acyclic`` and ``acyclic_test`` (shares; None for rows without scaffolds), ``unseen`` (reactions: for each
        component the share of test rows whose value of it no training row has; compositions: the same of systems and
        elements), ``label_shift`` (regression: mean of test minus training labels in training standard deviations, and
        the two-sample Kolmogorov-Smirnov statistic; classes: largest difference of a class share), ``properties``
        (molecules: mean of test minus training rows in training standard deviations, by name; of several folds both are
        mean sizes of the shift, whichever way it goes), ``shared_scaffolds`` (share of the tested molecules with a ring
        whose scaffold a training row has; None where none has a ring), ``similarity`` (quartiles of the similarity from
        each test row to its nearest training row, `pipeline.features.similarity`), ``order`` (which end of
        an order is tested, in words; None for other splits), and ``notes``.
    """
    frame = table.by_row
    similarity = np.concatenate(
        [
            nearest_neighbours(
                list(frame.loc[list(f.test), "smiles"]), list(frame.loc[list(f.train), "smiles"]), table.kind
            )[0]
            for f in split.folds
        ]
    )
    sizes = np.unique([split.groups[row_id] for row_id in frame.index], return_counts=True)[1]
    tested = [row_id for fold in split.folds for row_id in fold.test]
    shared = None if not table.kind.has_scaffolds else _shared_scaffolds(frame["scaffold"], split)
    return {
        "name": split.name,
        "asked": split.asked,
        "sizes": split.sizes(),
        "n_train": [len(fold.train) for fold in split.folds],
        "n_test": [len(fold.test) for fold in split.folds],
        "groups": len(sizes),
        "test_groups": len({split.groups[row_id] for row_id in tested}),
        "largest_group": int(sizes.max()),
        "acyclic": None if not table.kind.has_scaffolds else float((frame["scaffold"] == "").mean()),
        "acyclic_test": None if not table.kind.has_scaffolds else float((frame.loc[tested, "scaffold"] == "").mean()),
        "unseen": _all_unseen(table, split),
        "label_shift": _label_shift(table, split),
        "properties": {} if not table.kind.has_scaffolds else _property_shift(frame["smiles"], split),
        "shared_scaffolds": shared,
        "similarity": [float(q) for q in np.quantile(similarity, [0.25, 0.5, 0.75])],
        "order": ORDERS[split.order.of] if split.order else None,
        "notes": [*split.notes, *_without_scaffolds(split, shared)],
    }


def _without_scaffolds(split: Split, shared: float | None) -> list[str]:
    """That a split by scaffolds has none to test: acyclic molecules are groups of their own."""
    if shared is not None or not (split.name in RUNGS and RUNGS[split.name].by_scaffold):
        return []
    return ["no tested molecule has a ring: this is no test on new scaffolds"]


def _all_unseen(table: Table, split: Split) -> dict[str, float]:
    """Of reactions by component, and of compositions by system and element: the share of test rows with a value that
    no training row of their fold has."""
    if table.kind is COMPOSITIONS:
        systems = table.by_row["scaffold"]
        return {"chemical system": _unseen(systems, split), "element": _unseen_elements(systems, split)}
    return {column: _unseen(table.cells[column], split) for column in table.components}


def _unseen_elements(systems: pd.Series, split: Split) -> float:
    new = []
    for fold in split.folds:
        known = {symbol for system in systems.loc[list(fold.train)] for symbol in system.split("-")}
        new += [not set(system.split("-")) <= known for system in systems.loc[list(fold.test)]]
    return float(np.mean(new))


def _unseen(values: pd.Series, split: Split) -> float:
    """Share of test rows whose value no training row of their fold has."""
    new = [~values.loc[list(fold.test)].isin(set(values.loc[list(fold.train)])) for fold in split.folds]
    return float(pd.concat(new).mean())


def _property_shift(smiles: pd.Series, split: Split) -> dict[str, float]:
    """How far the test molecules' means lie from those of the training molecules (`_over_folds`)."""
    shifts = []
    for fold in split.folds:
        train, test = (properties(smiles.loc[list(ids)]) for ids in (fold.train, fold.test))
        spread = np.nanstd(train, axis=0)
        shifts.append((np.nanmean(test, axis=0) - np.nanmean(train, axis=0)) / np.where(spread > 0, spread, 1.0))
    return dict(zip(PROPERTIES, map(float, _over_folds(shifts)), strict=True))


def _over_folds(shifts: Sequence[Any]) -> Any:
    """The shift of one fold, or the mean size of those of several, which point in opposite directions."""
    return shifts[0] if len(shifts) == 1 else np.mean(np.abs(shifts), axis=0)


def _shared_scaffolds(scaffolds: pd.Series, split: Split) -> float | None:
    shared = []
    for fold in split.folds:
        tested = scaffolds.loc[list(fold.test)]
        shared.append(tested[tested != ""].isin(set(scaffolds.loc[list(fold.train)])))
    found = pd.concat(shared)
    return float(found.mean()) if len(found) else None


def _label_shift(table: Table, split: Split) -> dict[str, float]:
    target = table.targets
    pairs = [(target.loc[list(fold.train)], target.loc[list(fold.test)]) for fold in split.folds]
    if table.task == CLASSES:
        shares = [
            max(abs(float((train == label).mean() - (test == label).mean())) for label in table.classes)
            for train, test in pairs
        ]
        return {"share": float(np.mean(shares))}
    return {
        "mean": float(_over_folds([(test.mean() - train.mean()) / train.std() for train, test in pairs])),
        "ks": float(np.mean([ks_2samp(train, test).statistic for train, test in pairs])),
    }
