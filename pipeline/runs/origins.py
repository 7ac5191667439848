"""Where rows come from: the column that says it, how well structures give it away, and what it says of the label."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from sklearn.ensemble import RandomForestClassifier

from pipeline.errors import InputError, unknown
from pipeline.evaluation.estimates import LEVEL, Estimate, effective_degrees, holm, variance_of_mean
from pipeline.evaluation.metrics import row_errors
from pipeline.features.similarity import row_bits
from pipeline.settings.run import RunConfig
from pipeline.splits.groups import twin_groups
from pipeline.splits.splitters import fold_numbers
from pipeline.tables.catalogue import card, is_built_in
from pipeline.tables.guess import origin_columns
from pipeline.tables.measurements import MISSING, TargetError, parse_number
from pipeline.tables.reading import RawTable
from pipeline.tables.table import MIN_ROWS, Table
from pipeline.tables.targets import CLASSES

TREES = 50
LEAST_SHARE = 0.9  # of the cells of a column that are dates, or numbers with decimals
_DATE = re.compile(r"((?:19|20)\d\d)[-/.]\d{1,2}(?:[-/.]\d{1,2})?(?:[T ].*)?|\d{1,2}[-/.]\d{1,2}[-/.]((?:19|20)\d\d)")
# Of the quick look of an audit.
QUICK_ROWS, QUICK_FOLDS, QUICK_TREES, QUICK_LEAST, MOST_SOURCES = 2_000, 3, 25, 10, 100
MOST_COLUMNS = 2  # that an audit looks at


def origin_column(config: RunConfig, raw: RawTable, wanted: str) -> tuple[str, str]:
    """The column of origin, and why it is taken where it was not named.

    Raises
    ------
    InputError
        If there is none, or it has another part in the run.
    """
    columns = list(map(str, raw.frame.columns))
    if wanted and wanted not in columns:
        raise unknown("column of origin", wanted, columns)
    column, how = (wanted, "") if wanted else _found(config, raw)
    part = _part_of(config, column)
    if part:
        raise InputError(f"origin is {column!r}, which is {part}; name a column such as paper, laboratory or assay")
    return column, how


def origins_to_look_at(config: RunConfig, raw: RawTable, wanted: str) -> dict[str, pd.Series]:
    """The cells, by line, of the column of origin that is named, or of those that a table has by its card or by their
    names; none that has another part."""
    if wanted:
        names = [origin_column(config, raw, wanted)[0]]
    elif is_built_in(config.table):
        names = [name for name in [card(config.table).origin] if name]
    else:
        names = [name for name in origin_columns(raw) if not _part_of(config, name)]
    return {name: raw.frame[name] for name in names[:MOST_COLUMNS]}


def _part_of(config: RunConfig, column: str) -> str:
    """Which part a column has in a run; none if empty."""
    parts = {
        "the target": [config.target],
        "what a row is": [config.structure, config.reaction, *(_plain(name) for name in config.components)],
        "context, so that models would be told it": [_plain(name) for name in config.beside],
    }
    return next((part for part, names in parts.items() if column in names), "")


def _plain(name: str) -> str:
    return name.removesuffix(":name").removesuffix(":number")


def _found(config: RunConfig, raw: RawTable) -> tuple[str, str]:
    if is_built_in(config.table) and card(config.table).origin:
        return card(config.table).origin, "by its card"
    found = [column for column in origin_columns(raw) if not _part_of(config, column)]
    if len(found) == 1:
        return found[0], "by its name"
    said = f"it may be {', '.join(map(repr, found))}" if found else "no column is named like one (paper, source, assay)"
    raise InputError(f"{raw.source}: which column says where a row comes from? Name it with --origin; {said}")


def named_sources(column: str, cells: pd.Series) -> tuple[pd.Series, str]:
    """The source of each row, empty where the cell is; of dates the year. And what there is to say of it.

    Raises
    ------
    InputError
        If the cells are numbers that no source is named by.
    """
    plain = cells.astype(str).str.strip()
    plain = plain.mask(plain.str.lower().isin(MISSING), "")
    filled = plain[plain != ""]
    dates = filled.map(_DATE.fullmatch)
    if len(filled) and dates.notna().mean() >= LEAST_SHARE:
        years = dates.map(lambda match: match[1] or match[2] if match else "")
        return plain.mask(plain != "", years.reindex(plain.index)), f"{column!r} holds dates; the year is the source"
    if len(filled) and filled.map(_has_decimals).mean() >= LEAST_SHARE:
        raise InputError(
            f"origin is {column!r}, which holds numbers such as {filled.iloc[0]}; a source has a name, a code or a date"
        )
    return plain, ""


def _has_decimals(cell: str) -> bool:
    try:
        return not float(parse_number(cell)).is_integer()
    except TargetError:
        return False


def small_sources(sources: pd.Series, least: int) -> dict[str, str]:
    """Why rows have no source to be asked about, by what they are indexed by: blank cells and sources with too few
    rows."""
    counts = sources.value_counts()
    return {
        str(row): f"no origin: the source has fewer than {least} rows" if source else "no origin: the cell is empty"
        for row, source in sources.items()
        if not source or counts[source] < least
    }


# -- what a structure says of its source, and a source of the label --


def recognised(bits: np.ndarray, sources: np.ndarray, asked: np.ndarray, seed: int, trees: int = TREES) -> np.ndarray:
    """The source that a random forest on bits holds most likely for each row that is asked.

    Trees are grown and asked one at a time: with hundreds of sources a whole forest would not fit into memory.

    Parameters
    ----------
    bits : ndarray of shape (n, d)
    sources : ndarray of shape (n,)
    asked : ndarray of shape (m, d)

    Returns
    -------
    ndarray of shape (m,)
    """
    names = np.unique(sources.astype(str))
    rng, chances = np.random.RandomState(seed), np.zeros((len(asked), len(names)))
    of_training, of_asked = bits.astype(np.float32), asked.astype(np.float32)
    for _ in range(trees):
        tree = RandomForestClassifier(n_estimators=1, random_state=rng).fit(of_training, sources.astype(str))
        chances += tree.predict_proba(of_asked)
    found: np.ndarray = names[chances.argmax(axis=1)]
    return found


Means = Mapping[str, np.ndarray]  # of each source the mean label (a number), or the share of each class
ALL = ""  # what the means are called that all rows have together


def label_means(sources: np.ndarray, labels: np.ndarray, classes: Sequence[str]) -> Means:
    """The mean label of each source, and under `ALL` that of all rows; of classes their shares.

    Shares of a source are those of its rows and of one row more that is like all of the table: no class is impossible.
    """
    of = np.array([labels == label for label in classes], dtype=np.float64).T if classes else labels.astype(np.float64)
    whole = of.mean(axis=0)
    more = bool(classes)
    found = {ALL: whole}
    for source in np.unique(sources.astype(str)):
        own = of[sources == source]
        found[source] = (own.sum(axis=0) + more * whole) / (len(own) + more)
    return found


def dealt(means: Means, rng: np.random.Generator) -> Means:
    """The means of sources dealt to other sources; none keeps its own."""
    names = [name for name in means if name != ALL]
    order = [names[place] for place in rng.permutation(len(names))]
    return {ALL: means[ALL], **{name: means[order[place - 1]] for place, name in enumerate(order)}}


def by_source(means: Means, sources: Iterable[str]) -> np.ndarray:
    """What the source alone says of each row; of an unknown one the mean of all. Shape (n,), or (n, classes)."""
    return np.array([means.get(source, means[ALL]) for source in sources])


def losses(truth: np.ndarray, predicted: np.ndarray, classes: Sequence[str]) -> np.ndarray:
    """What each row adds to the loss that its mean label, or the shares of the classes, make least. Shape (n,).

    Whether a source says something of the label is tested on it: by the absolute error a constant may do better than
    the mean without knowing anything.
    """
    return row_errors(truth, predicted, classes) if classes else (truth.astype(np.float64) - predicted) ** 2


# -- a quick look --


@dataclass(frozen=True)
class Look:
    """What a quick look finds, out of fold on some of the rows; ``null`` are the same with sources dealt to other rows.

    ``error``, ``mean`` and ``null_error`` are mean errors of the label: by the predicted source alone, by the mean of
    all, and by the source that is predicted where sources were dealt. ``shown``: the source is recognised more often
    than the largest one stands there, and by itself says more of the label than the mean, and than sources that mean
    nothing.
    """

    column: str
    rows: int
    sources: int
    largest: float
    share: float
    error: float
    mean: float
    null: float
    null_error: float
    shown: bool


def quick_look(table: Table, column: str, cells: pd.Series, seed: int = 0) -> Look | None:
    """How well structures give away the source and the source the label, with few rows, folds and trees, of the largest
    sources.

    Parameters
    ----------
    cells : Series
        The column of origin as read, by line.

    Returns
    -------
    Look or None
        None where the column names no sources that can be asked about.
    """
    try:
        sources, _ = named_sources(column, cells.loc[table.frame["line"]])
    except InputError:
        return None
    sources = sources.set_axis(table.frame["row_id"])
    sources = sources[table.exact.loc[sources.index]]
    sources = sources.drop(list(small_sources(sources, QUICK_LEAST)))
    sources = sources[sources.isin(sources.value_counts().index[:MOST_SOURCES])]
    if sources.nunique() < 2 or len(sources) < MIN_ROWS:
        return None
    chosen = np.sort(np.random.default_rng(seed).permutation(len(sources))[:QUICK_ROWS])
    sources = sources.iloc[chosen]
    rows, frame = sources.index, table.by_row.loc[sources.index]
    twins = pd.Series(twin_groups(table), index=table.frame["row_id"]).loc[rows].to_numpy(dtype=object)
    strata = frame["target"].astype(str).to_numpy() if table.task == CLASSES else np.zeros(len(rows))
    if len(set(twins)) < QUICK_FOLDS:
        return None
    folds, bits = fold_numbers(twins, strata, QUICK_FOLDS, seed), row_bits(list(frame["smiles"]), table.kind)
    given, truth = sources.to_numpy().astype(str), frame["target"].to_numpy()
    permuted = np.random.default_rng(seed).permutation(given)
    hits, constant, alone = _out_of_fold(bits, given, truth, folds, table.classes, seed)
    null_hits, _, null_alone = _out_of_fold(bits, permuted, truth, folds, table.classes, seed)
    largest = given == sources.value_counts().index[0]
    classes = table.classes
    ahead = [
        _over(hits - largest, twins),
        *(
            _over(losses(truth, other, classes) - losses(truth, alone, classes), twins)
            for other in (constant, null_alone)
        ),
    ]
    p_values = [one.p_difference() if one.value > 0 else 1.0 for one in ahead]
    error, mean, null_error = (row_errors(truth, said, classes).mean() for said in (alone, constant, null_alone))
    return Look(
        column=column,
        rows=len(rows),
        sources=len(set(given)),
        largest=float(largest.mean()),
        share=float(hits.mean()),
        error=float(error),
        mean=float(mean),
        null=float(null_hits.mean()),
        null_error=float(null_error),
        shown=all(p < 1 - LEVEL for p, _ in holm(p_values)),
    )


def _out_of_fold(
    bits: np.ndarray, sources: np.ndarray, truth: np.ndarray, folds: np.ndarray, classes: Sequence[str], seed: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of each row whether its source is recognised, what the mean says, and what the predicted source alone says."""
    hits, shape = np.zeros(len(truth)), (len(truth), len(classes)) if classes else (len(truth),)
    constant, alone = np.zeros(shape), np.zeros(shape)
    for number in range(QUICK_FOLDS):
        test = folds == number
        found = recognised(bits[~test], sources[~test], bits[test], seed + number, QUICK_TREES)
        means = label_means(sources[~test], truth[~test], classes)
        hits[test] = found == sources[test]
        constant[test], alone[test] = means[ALL], by_source(means, found)
    return hits, constant, alone


def _over(values: np.ndarray, groups: np.ndarray) -> Estimate:
    deviation = float(np.sqrt(variance_of_mean(values.astype(np.float64), groups)))
    return Estimate(float(values.mean()), deviation, effective_degrees(groups))
