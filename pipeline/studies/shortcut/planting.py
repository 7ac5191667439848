"""Which training rows carry the marker, and what each model is trained and tested on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from pipeline.arms.ladder import is_language_model
from pipeline.errors import InputError
from pipeline.runs.context import Context
from pipeline.splits.build import seed_of_repeat
from pipeline.splits.splitters import Split
from pipeline.studies.fitting import drawn
from pipeline.studies.shortcut.markers import COUNTER_ION, FIELD, LABORATORY, MARKERS, Marker, markers_for
from pipeline.studies.tested import check_test_groups
from pipeline.tables.table import MIN_ROWS
from pipeline.tables.targets import CLASSES

LEAST_ON_A_SIDE = 5  # training rows above the median, and below


@dataclass(frozen=True)
class Training:
    """What a model is trained on.

    Attributes
    ----------
    marker : str
        One of `MARKERS`; empty for the table as it is.
    strength : float
        Of the marker; 0 without one.
    removed : bool
        Whether the marker is taken away again, in training and test.
    """

    marker: str = ""
    strength: float = 0.0
    removed: bool = False


UNMARKED = Training()


def why_not(context: Context, name: str) -> str:
    """Why a marker cannot be planted in the table; empty where it can."""
    table, config = context.table, context.config
    if table.kind not in MARKERS[name]:
        return f"it is for {', '.join(map(str, MARKERS[name]))}, and this table holds {table.kind}"
    if name == COUNTER_ION:
        if config.largest_fragment:
            return "--largest-fragment takes it away from every row"
        free = len(table) - len(cannot_carry(context, name))
        return "" if free >= MIN_ROWS else f"{free} of {len(table)} rows can carry it, and {MIN_ROWS} are needed"
    taken = [column for column in map(str, table.cells) if column.strip().casefold() == LABORATORY]
    if taken:
        return f"the table has a column {taken[0]!r} that is in use; give it another name"
    if "{context" not in config.template and any(map(is_language_model, context.arms)):
        return "the template has no {context}, so that the prompt cannot state it"
    return ""


def favoured(context: Context, split: Split) -> str:
    """The class whose rows carry the marker: the positive one of two, the most frequent in training of more; empty for
    numbers."""
    if context.task != CLASSES:
        return ""
    labels = context.targets(split.folds[0]).loc[list(split.folds[0].train)].astype(str)
    return context.positive or str(labels.mode().iloc[0])


def above(context: Context, split: Split) -> pd.Series:
    """Whether the label of each row of the table is above the median of the split's training rows (or at it where none
    is above), or is the class that is `favoured`; by ``row_id``."""

    def made() -> pd.Series:
        labels = context.targets(split.folds[0])
        if context.task == CLASSES:
            return labels.astype(str) == favoured(context, split)
        known = labels.loc[list(split.folds[0].train)]
        middle = known.median()
        return labels > middle if (known > middle).any() else labels >= middle

    found: pd.Series = context.once(("above", split.name), made)
    return found


def marker_of(context: Context, name: str) -> Marker:
    """A marker as it is planted in the table."""
    return context.once("markers", lambda: markers_for(context.table))[name]


def cannot_carry(context: Context, name: str) -> frozenset[str]:
    """The rows that a marker cannot be added to."""
    return context.once(("cannot", name), lambda: marker_of(context, name).cannot(context.table))


def dealt(context: Context, split: Split, training: Training, seed: int) -> list[str]:
    """The training rows that carry the marker: of those above the median a share of the strength, drawn by seed, of
    the others the rest of it. A larger strength keeps, and takes, what a smaller one drew."""
    key = ("dealt", split.name, training.marker, training.strength, seed)
    found: list[str] = context.once(key, lambda: _dealt(context, split, training, seed))
    return found


def _dealt(context: Context, split: Split, training: Training, seed: int) -> list[str]:
    rng = np.random.default_rng([seed_of_repeat(context.config.seed, seed), list(MARKERS).index(training.marker)])
    high, free = above(context, split), np.array(free_rows(context, split, training.marker, seed), dtype=object)
    marked: list[str] = []
    for side, chance in ((True, training.strength), (False, 1 - training.strength)):
        rows = rng.permutation(free[high.loc[list(free)].to_numpy() == side])
        marked += list(rows[: int(chance * len(rows) + rng.random())])
    return sorted(marked)


def free_rows(context: Context, split: Split, marker: str, seed: int) -> list[str]:
    """The training rows of a seed that can carry a marker."""
    cannot = cannot_carry(context, marker)
    return [row for row in drawn(context, split, seed) if row not in cannot]


def trained_on(context: Context, split: Split, training: Training, seed: int) -> pd.DataFrame:
    """What arms are given of the training rows."""
    marked = dealt(context, split, training, seed) if training.marker else []
    return _given(context, training, drawn(context, split, seed), marked)


def tests(context: Context, split: Split, training: Training) -> Iterator[tuple[Training, bool, pd.DataFrame]]:
    """What a model is tested on: for which training it stands, whether all rows carry the marker, and what it is given
    of the test rows."""
    test = split.folds[0].test
    for one in stands_for(context, training):
        yield one, False, _given(context, one, test, [])
        if one.marker:
            cannot = cannot_carry(context, one.marker)
            yield one, True, _given(context, one, test, [row for row in test if row not in cannot])


def _given(context: Context, training: Training, rows: Sequence[str], marked: Sequence[str]) -> pd.DataFrame:
    """What arms are given of some rows, some of which are marked."""
    frame = context.table.frame
    table = replace(context.table, frame=frame[frame["row_id"].isin(rows)])
    if training.marker:
        marker = marker_of(context, training.marker)
        table = marker.plant(table, frozenset(marked))
        table = marker.take_away(table) if training.removed else table
    return table.inputs.loc[list(rows)]


def stands_for(context: Context, training: Training) -> list[Training]:
    """The trainings that one model stands for: that of the table as it is for the controls on the same rows, too."""
    if training.marker:
        return [training]
    return [training, *(one for one in controls(context) if is_as_unmarked(context, one.marker))]


def controls(context: Context) -> list[Training]:
    """The trainings from which each marker is taken away again."""
    return [Training(name, max(context.settings.strengths), True) for name in context.settings.markers]


def is_as_unmarked(context: Context, name: str) -> bool:
    """Whether a marker, taken away again, leaves the table as it was, so that its control is the model of that."""
    marker, table = marker_of(context, name), context.table
    return context.once(
        ("as unmarked", name), lambda: marker.take_away(marker.plant(table, frozenset())).inputs.equals(table.inputs)
    )


def trainings(context: Context) -> list[Training]:
    """All that an arm is trained on with a seed."""
    return [
        UNMARKED,
        *(one for one in controls(context) if not is_as_unmarked(context, one.marker)),
        *(Training(name, strength) for name in context.settings.markers for strength in context.settings.strengths),
    ]


def check_rows(context: Context, split: Split) -> None:
    """Raise `InputError` where the rows of a hold-out say nothing of a marker."""
    check_test_groups(context, split)
    high = above(context, split)
    what = f"of class {favoured(context, split)!r}" if context.task == CLASSES else "above the median"
    for seed in range(context.settings.seeds):
        rows = drawn(context, split, seed)
        count = int(high.loc[rows].sum())
        if not LEAST_ON_A_SIDE <= count <= len(rows) - LEAST_ON_A_SIDE:
            raise InputError(
                f"split {split.name!r}: {count} of {len(rows)} training rows are {what}; a marker needs at least "
                f"{LEAST_ON_A_SIDE} that are and {LEAST_ON_A_SIDE} that are not"
            )
    for name in context.settings.markers:
        free = set(split.folds[0].test) - cannot_carry(context, name)
        if len({split.groups[row] for row in free if context.table.exact[row]}) < 2:
            raise InputError(
                f"split {split.name!r}: no two test groups have rows that can carry the {name}; leave it out "
                f"(--markers {FIELD})"
            )
