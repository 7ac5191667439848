"""The harder rungs of the ladder: groups of similar structures, and test sets beyond an edge of the training rows."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd
from rdkit import Chem, rdBase
from rdkit.Chem.Scaffolds import MurckoScaffold
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from sklearn.cluster import MiniBatchKMeans

from pipeline.errors import InputError
from pipeline.features.similarity import row_bits
from pipeline.features.structures import tanimoto
from pipeline.splits.groups import scaffold_labels, system_groups, twin_groups
from pipeline.splits.splitters import TIMES, TOLERANCE, Fold, Order, Split, edge_at, hold_out
from pipeline.tables.measurements import TargetError, parse_number
from pipeline.tables.merging import joined_labels
from pipeline.tables.table import Table

CLUSTER_SIMILARITY = 0.35  # Tanimoto from which on a structure belongs to the cluster of a centre
BOUNDS = (0.3, 0.35, 0.4, 0.45, 0.5, 0.55, 0.6, 0.65, 0.7)  # of the similarity to training, the hardest first
MOST_COMPARED = 20_000  # structures of which all pairs are compared
MEANS_CLUSTERS = 500
LEAST_WITH_ELEMENT, MOST_WITH_ELEMENT = 0.05, 0.4  # shares of the rows that hold an element which is left out
MOST_ELEMENTS = 5
MEANS_BITS = 256
_BLOCK = 512


# -- groups ------------------------------------------------------------------------------------


def generic_scaffold_groups(table: Table) -> np.ndarray:
    """`scaffold_groups` over frameworks of carbon atoms and single bonds: their shape alone. Shape (n,)."""
    generic = {scaffold: _generic(scaffold) for scaffold in table.frame["scaffold"].unique()}
    return scaffold_labels(table.frame["scaffold"].map(generic).to_numpy(dtype=object), twin_groups(table))


def _generic(scaffold: str) -> str:
    if not scaffold:
        return ""
    with rdBase.BlockLogs():
        try:
            framework = MurckoScaffold.MakeScaffoldGeneric(Chem.MolFromSmiles(scaffold))
            # An exocyclic oxygen of the framework has become a carbon chain, which is no part of its shape.
            return Chem.MolToSmiles(MurckoScaffold.GetScaffoldForMol(framework))
        except (ValueError, RuntimeError):
            return scaffold  # an atom with more neighbours than a carbon can have


def cluster_groups(table: Table, similarity: float, seed: int) -> tuple[np.ndarray, str]:
    """Clusters of similar structures, twins joined, and how they were made. Shape (n,).

    Butina's (J. Chem. Inf. Comput. Sci. 1999): the structure with most neighbours is a centre, its neighbours are its
    cluster, and so on with what is left. Past `MOST_COMPARED` structures, where all pairs are too many: k-means over
    fingerprints folded to 256 bits.
    """
    frame = table.frame
    bits = row_bits(list(frame["smiles"]), table.kind)
    if len(frame) > MOST_COMPARED:
        folded = np.asarray(bits.reshape(len(bits), -1, MEANS_BITS).any(axis=1), dtype=np.float32)
        order = np.argsort(frame["row_id"].to_numpy(dtype=object))
        means = MiniBatchKMeans(MEANS_CLUSTERS, random_state=seed, n_init=1, batch_size=4_096).fit(folded[order])
        codes = means.predict(folded)
        how = f"k-means over fingerprints folded to {MEANS_BITS} bits, {MEANS_CLUSTERS} clusters"
    else:
        codes = butina(bits, frame["row_id"].to_numpy(dtype=object), similarity)
        how = f"Butina clusters at a Tanimoto similarity of {similarity:g}"
    return joined_labels([f"cluster {code}" for code in codes], twin_groups(table)), how


def butina(bits: np.ndarray, names: np.ndarray, similarity: float) -> np.ndarray:
    """Cluster numbers; ties between structures with as many neighbours go by name, whatever the order. Shape (n,)."""
    neighbours: list[np.ndarray] = []
    for _, block in _blocks(bits):
        neighbours += [np.flatnonzero(row >= similarity) for row in block]
    order = sorted(range(len(bits)), key=lambda row: (-len(neighbours[row]), names[row]))
    codes = np.full(len(bits), -1)
    for number, centre in enumerate(order):
        if codes[centre] < 0:
            free = neighbours[centre][codes[neighbours[centre]] < 0]
            codes[free] = number
            codes[centre] = number
    return codes


def _blocks(bits: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    """First row and similarities to all rows, some rows at a time. Shapes (block, n)."""
    for start in range(0, len(bits), _BLOCK):
        yield start, tanimoto(bits[start : start + _BLOCK], bits)


def similarity_groups(
    table: Table, bounds: tuple[float, ...], share: float, strata: np.ndarray, seed: int
) -> tuple[np.ndarray, float]:
    """Groups between which no two structures are more similar than a bound, and that bound. Shape (n,).

    The bound is the smallest of those given at which groups can be held out to the size that is asked for: with a
    small bound most of a table hangs together.

    Raises
    ------
    InputError
        If no bound allows it, or the table is too large to compare all pairs.
    """
    if len(table) > MOST_COMPARED:
        raise InputError(
            f"split 'similarity': {len(table)} {table.rows_are}; all pairs are compared up to {MOST_COMPARED:,}. Use "
            "cluster, or fewer rows with --max-rows"
        )
    bits = row_bits(list(table.frame["smiles"]), table.kind)
    linked = {bound: np.arange(len(bits)) for bound in bounds}
    for start, block in _blocks(bits):
        for bound in bounds:
            linked[bound] = _joined(linked[bound], start, block > bound)
    names, twins = table.frame["row_id"].to_numpy(dtype=object), twin_groups(table)
    for bound in bounds:
        first = pd.Series(names).groupby(linked[bound]).transform("min")
        groups = joined_labels(first, twins)
        if len(set(groups)) < 2:
            continue
        test = hold_out(groups, strata, share, seed)
        if abs(test.mean() - share) <= TOLERANCE:
            return groups, bound
    raise InputError(
        f"split 'similarity': most {table.rows_are} hang together by pairs more similar than {bounds[-1]:g}, so that "
        f"no {share:.0%} of them can be held out"
    )


def _joined(labels: np.ndarray, start: int, near: np.ndarray) -> np.ndarray:
    """Group numbers after joining the groups of rows that are near each other. Shape (n,)."""
    rows, columns = np.nonzero(near)
    ends = np.unique(np.stack([labels[rows + start], labels[columns]]), axis=1)
    graph = coo_matrix((np.ones(ends.shape[1], dtype=np.int8), (ends[0], ends[1])), shape=(len(labels), len(labels)))
    return connected_components(graph, directed=False)[1][labels]


# -- edges -------------------------------------------------------------------------------------


def heavy_atoms(table: Table) -> np.ndarray:
    """Shape (n,)."""
    return np.array([Chem.MolFromSmiles(text).GetNumHeavyAtoms() for text in table.frame["smiles"]], dtype=np.float64)


def times(table: Table, column: str) -> np.ndarray:
    """A column of numbers (such as years) or dates as numbers. Shape (n,).

    Raises
    ------
    InputError
        Naming the first line whose cell is neither.
    """
    cells = table.column(column).str.strip()
    try:
        return np.array([parse_number(cell) for cell in cells], dtype=np.float64)
    except TargetError:
        dates = pd.to_datetime(cells, errors="coerce", format="ISO8601", utc=True)
    if dates.isna().any():
        place = int(np.flatnonzero(dates.isna())[0])
        raise InputError(
            f"split 'time:{column}': line {table.frame['line'].iloc[place]} says {cells.iloc[place]!r}, which is "
            "neither a number nor a date such as 2019-07-31"
        )
    return dates.astype("int64").to_numpy(dtype=np.float64)


def beyond_edge(
    table: Table,
    name: str,
    values: np.ndarray,
    share: float,
    order: str,
    what: str,
    highest: bool = True,
) -> Split:
    """Train on one end of an order and test on the other, cut where the test set comes nearest to its size.

    Rows of one value, and twins, stay on one side: a set of twins stands where its value nearest to the training end
    puts it.

    Parameters
    ----------
    values : ndarray of shape (n,)
    share : float
        Of the rows to test on.
    order : str
        Which of `ORDERS` this is.
    what : str
        What the values are, in words.
    highest : bool
        Whether the test rows are those of the highest values.

    Raises
    ------
    InputError
        If all values are the same.
    """
    twins = pd.Series(twin_groups(table))
    signed = values if highest else -values
    placed = pd.Series(signed).groupby(twins).transform("min").to_numpy()
    test = placed > _edge(table, name, placed, share, what)
    ids = table.frame["row_id"].to_numpy(dtype=object)
    got = float(test.mean())
    notes = [f"trained on a {what} of {_bounds(values[~test])}, tested on {_bounds(values[test])}"]
    if abs(got - share) > TOLERANCE:
        notes.append(f"asked for {share:.0%} of the rows, got {got:.0%}: rows of one {what} are kept together")
    fold = Fold(0, 0, tuple(ids[~test]), tuple(ids[test]))
    side = "highest" if highest else "lowest"
    asked = f"{share:.0%} of rows with the {side} {what} held out"
    labels = dict(zip(ids, twins, strict=True))
    return Split(name, (fold,), labels, asked, tuple(notes), Order.by(order, ids, signed, got))


def _edge(table: Table, name: str, values: np.ndarray, share: float, what: str) -> float:
    """`edge_at`; raises where all values are the same."""
    edge = edge_at(values, share)
    if edge is None:
        raise InputError(f"split {name!r}: all {len(table)} rows have the same {what}; there is no edge to go beyond")
    return edge


def elements_of(table: Table) -> pd.Series:
    """The set of elements of each composition, by position."""
    return table.frame["scaffold"].str.split("-").map(frozenset)


def common_elements(table: Table) -> list[str]:
    """The elements that can be left out one at a time, the most frequent first: each stands in some of the rows, and
    in no more than leave enough to train on."""
    counts = pd.Series([symbol for row in elements_of(table) for symbol in row]).value_counts() / len(table)
    shares = counts[(counts >= LEAST_WITH_ELEMENT) & (counts <= MOST_WITH_ELEMENT)]
    return sorted(shares.index, key=lambda symbol: (-shares[symbol], symbol))[:MOST_ELEMENTS]


def with_element(table: Table, symbol: str) -> Split:
    """Test on the compositions that hold an element, and train on all others; systems are groups.

    Raises
    ------
    InputError
        If no composition holds it, or all do.
    """
    test = elements_of(table).map(lambda row: symbol in row).to_numpy(dtype=bool)
    if not test.any() or test.all():
        known = sorted({other for row in elements_of(table) for other in row})
        which = f"all {len(table)} compositions hold it" if test.any() else "no composition holds it"
        raise InputError(f"split 'element:{symbol}': {which}; there are {', '.join(known)}")
    ids = table.frame["row_id"].to_numpy(dtype=object)
    fold = Fold(0, 0, tuple(ids[~test]), tuple(ids[test]))
    labels = dict(zip(ids, system_groups(table), strict=True))
    return Split(f"element:{symbol}", (fold,), labels, f"compositions with {symbol} held out")


def later(table: Table, name: str, values: np.ndarray, share: float) -> Split:
    """Test on the latest measurements, each where its own time puts it; rows of one time stay on one side.

    A molecule that was measured before and after the edge stands on both sides: its earlier rows are for the caller to
    leave out.

    Raises
    ------
    InputError
        If all times are the same.
    """
    test = values > _edge(table, name, values, share, "time")
    ids, got = table.frame["row_id"].to_numpy(dtype=object), float(test.mean())
    notes = []
    if abs(got - share) > TOLERANCE:
        notes.append(f"asked for {share:.0%} of the rows, got {got:.0%}: rows of one time are kept together")
    fold = Fold(0, 0, tuple(ids[~test]), tuple(ids[test]))
    labels = dict(zip(ids, twin_groups(table), strict=True))
    in_order = Order.by(TIMES, ids, values, got)
    return Split(name, (fold,), labels, f"latest {share:.0%} held out", tuple(notes), in_order)


def _bounds(values: np.ndarray) -> str:
    return f"{values.min():.4g} to {values.max():.4g}"
