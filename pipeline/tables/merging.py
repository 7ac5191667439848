"""Rows of one molecule or reaction become one, and rows of variants a group."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from pipeline.tables.beside import Beside
from pipeline.tables.compositions import Composition
from pipeline.tables.measurements import ABOVE, BELOW
from pipeline.tables.molecules import Molecule, Parent
from pipeline.tables.reactions import Reaction
from pipeline.tables.targets import CLASSES, REGRESSION
from pipeline.tables.tautomers import tautomer_names
from pipeline.tables.texts import PlainText

Found = Molecule | Reaction | Composition | PlainText  # what a row is parsed to


def merge(
    rows: list[TableRow], task: str, target: str, beside: Beside
) -> tuple[pd.DataFrame, pd.DataFrame, list[tuple[int, str]], list[str]]:
    """One row per identity, context and kept cells: numbers averaged, conflicts refused."""
    merged: list[dict[str, Any]] = []
    cells: list[dict[str, str]] = []
    conflicts: list[tuple[int, str]] = []
    # What is said of a structure follows from the one that is kept, whatever the order of the rows and their context.
    first: dict[str, Found] = {}
    for row in sorted(rows, key=lambda row: row.found.smiles):
        first.setdefault(row.found.identity, row.found)
    for row_id, members in _members(rows, beside.apart).items():
        kept = first[members[0].found.identity]
        conflict = _conflict([(member.value, member.bound) for member in members], task, kept.kind.one)
        if conflict:
            lines = ", ".join(str(member.line) for member in members)
            conflicts += [(member.line, f"{conflict} (lines {lines})") for member in members]
            continue
        merged.append({"row_id": row_id, **_merged(members, kept, task)})
        components = kept.components if isinstance(kept, Reaction) else {}
        cells.append({**members[0].kept, **members[0].context, **components})
    frame = pd.DataFrame(merged, columns=FRAME_COLUMNS).sort_values("row_id", ignore_index=True)
    beside_rows = pd.DataFrame(cells, index=pd.Index([row["row_id"] for row in merged], dtype=object), dtype=object)
    beside_rows = beside_rows.reindex(columns=list(cells[0]) if cells else [*beside.kept, *beside.context])
    if task != REGRESSION or len(frame) < 2:
        return frame, beside_rows, conflicts, []
    return frame, beside_rows, conflicts, _spread_warnings(frame, target, rows[0].found.kind.one)


def _members(rows: list[TableRow], apart: Sequence[str]) -> dict[str, list[TableRow]]:
    """The rows that are merged, by the id of the row that they become."""
    together: dict[tuple[str, ...], list[TableRow]] = {}
    for row in rows:
        key = (row.found.identity, *row.context.values(), *(row.kept[column] for column in apart))
        together.setdefault(key, []).append(row)
    found: dict[str, list[TableRow]] = {}
    for (identity, *differ), members in together.items():
        for member in members:
            own = list(member.kept.values()) if len({tuple(one.kept.values()) for one in members}) > 1 else []
            found.setdefault(_row_id(identity, [*differ, *own]), []).append(member)
    return found


def _merged(members: list[TableRow], kept: Found, task: str) -> dict[str, Any]:
    """The row of the clean table that some source rows become, without its id."""
    measured = [(member.value, member.bound) for member in members]
    value, bound, values = _combined(measured) if task == REGRESSION else (measured[0][0], "", [])
    return {
        "line": members[0].line,
        "id": "; ".join(dict.fromkeys(member.id for member in members if member.id)),
        "given": members[0].given,
        "restated": kept.restated if isinstance(kept, Reaction) else kept.smiles,
        "smiles": kept.smiles,
        "identity": kept.identity,
        "parent": kept.parent,
        "scaffold": kept.scaffold,
        "target": value,
        "bound": bound,
        "n_merged": len(members),
        "spread": values[-1] - values[0] if values else 0.0,
        "n_values": len(values),
        "variance": float(np.var(values, ddof=1)) if len(values) > 1 else 0.0,
    }


def _conflict(measured: list[tuple[Any, str]], task: str, one: str) -> str:
    """Why the measurements of one molecule cannot be made one; empty if they can."""
    if task == CLASSES:
        found = sorted({value for value, _ in measured})
        return f"conflicting classes for one {one}: {', '.join(found)}" if len(found) > 1 else ""
    sides = {bound for _, bound in measured}
    return f"bounds of one {one} on both sides, and no value" if sides == {ABOVE, BELOW} else ""


def _combined(measured: list[tuple[float, str]]) -> tuple[float, str, list[float]]:
    """``(value, bound, values)`` of one molecule: the mean of its values in order, or its tightest bound if it has
    none."""
    values = sorted(value for value, bound in measured if not bound)
    if values:
        return float(np.mean(values)), "", values
    bound = measured[0][1]
    limits = [value for value, _ in measured]
    return (max(limits) if bound == ABOVE else min(limits)), bound, []


def _spread_warnings(frame: pd.DataFrame, target: str, kind: str) -> list[str]:
    limit = SPREAD_WARNING * float(frame["target"].std())
    wide = frame[frame["spread"] > limit].sort_values("spread", ascending=False)
    if wide.empty:
        return []
    worst = wide.iloc[0]
    given = shortened(worst["given"])
    return [
        f"{len(wide)} {f'{kind} was' if len(wide) == 1 else f'{kind}s were'} measured more than once with values of "
        f"{target!r} further apart than half the standard deviation of the table; the widest, {given} "
        f"(line {worst['line']}), spans {worst['spread']:.4g}"
    ]


def _row_id(identity: str, apart: list[str]) -> str:
    if not apart:
        return identity
    return f"{identity}/{hashlib.sha256(repr(apart).encode()).hexdigest()[:8]}"


def with_twin_groups(frame: pd.DataFrame) -> pd.DataFrame:
    """Replace the parents by one group label per set of twins."""
    if frame.empty:
        return frame.drop(columns="parent").assign(twins="")
    return frame.drop(columns="parent").assign(twins=twin_labels(list(frame["parent"]), frame["identity"]))


def twin_labels(parents: Sequence[Parent], identities: Iterable[str]) -> np.ndarray:
    """One label per set of molecules that share any name, those of their tautomers included. Shape (n,).

    Tautomers have one skeleton, so they are looked for where molecules of one skeleton have no name in common.
    """
    # A structure whose InChI failed is still its own molecule, so the full key is a third name.
    labels = joined_labels(*zip(*(parent.names for parent in parents), strict=True), identities)
    skeletons, smiles = [parent.skeleton for parent in parents], [parent.smiles for parent in parents]
    alike = pd.DataFrame({"skeleton": skeletons, "smiles": smiles, "label": labels}).drop_duplicates()
    alike = alike[(alike["skeleton"] != "") & (alike.groupby("skeleton")["label"].transform("nunique") > 1)]
    named = [
        (label, f"{skeleton} {name}")
        for skeleton, text, label in alike.itertuples(index=False)
        for name in tautomer_names(text)
    ]
    if not named:
        return labels
    apart, names = zip(*named, strict=True)
    together = dict(zip(apart, joined_labels(apart, names), strict=True))
    return np.array([together.get(label, label) for label in labels], dtype=object)


def joined_labels(*labels: Iterable[str]) -> np.ndarray:
    """The finest grouping in which rows that share any of the given labels share a group.

    Each group is named by the smallest of the first label's values in it, so the names do not
    depend on the order of the rows.
    """
    columns = [np.asarray(list(column), dtype=object) for column in labels]
    n, offset, edges = len(columns[0]), len(columns[0]), []
    for column in columns:
        codes = pd.factorize(column)[0]
        edges.append(np.stack([np.arange(n), codes + offset]))
        offset += int(codes.max(initial=-1)) + 1
    left, right = np.concatenate(edges, axis=1)
    graph = coo_matrix((np.ones(len(left), dtype=np.int8), (left, right)), shape=(offset, offset))
    component = connected_components(graph, directed=False)[1][:n]
    codes, names = pd.factorize(columns[0], sort=True)
    smallest = np.full(offset, len(names))
    np.minimum.at(smallest, component, codes)
    return names[smallest[component]]


SPREAD_WARNING = 0.5  # of the target's standard deviation


@dataclass(frozen=True)
class TableRow:
    """A row of the user's file that can be used, as it was read."""

    line: int
    given: str
    id: str
    found: Found
    value: Any
    bound: str
    context: dict[str, str]
    kept: dict[str, str]


def shortened(text: str, width: int = 90) -> str:
    """A text that fits into a line of words, its end cut off where it is too long."""
    return text if len(text) <= width else f"{text[: width - 1]}…"


FRAME_COLUMNS = [
    *("row_id", "line", "id", "given", "restated", "smiles", "identity", "parent", "scaffold", "target", "bound"),
    *("n_merged", "spread", "n_values", "variance"),
]
