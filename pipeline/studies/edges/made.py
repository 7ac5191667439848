"""Molecules whose true value lies far beyond all labels of a table, made by a genetic algorithm that an oracle scores.

Beside them, as a control, molecules that were made from these in the same way with values in the middle of the labels:
they are as strange, and their labels are not extreme.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from rdkit import Chem

from pipeline.cells.cell import Cell, measured
from pipeline.cells.reach import code_of
from pipeline.features.structures import morgan_bits, nearest_rows, tanimoto
from pipeline.proposing.constraints import Constraints
from pipeline.proposing.drawing import NEW, UNWANTED, Draw, Sieve
from pipeline.proposing.goals import Goal
from pipeline.proposing.strategies import PARENTS, evolve, version_of_operators
from pipeline.runs.context import Context, Machine
from pipeline.runs.fits import OBJECTS
from pipeline.studies.oracle import Valued, asking, inputs_of_oracle
from pipeline.tables.molecules import molecule_identity
from pipeline.tables.table import STRUCTURE

WORK = "pipeline.studies.edges.made:make"
MADE = "made"  # the part of the study, as a tag
ORACLE = "oracle"  # stands where other cells name their arm
ABOVE, BELOW, INSIDE = "far above", "far below", "made inside"
SIDES = (ABOVE, BELOW, INSIDE)
# Middles of the goals beyond the last label, and half their width, in standard deviations of the labels.
DISTANCES, HALF_WIDTH = (0.5, 1.0, 1.5, 2.0), 0.25
FARTHEST = DISTANCES[-1] + HALF_WIDTH
INNER = (0.1, 0.3, 0.5, 0.7, 0.9)  # quantiles of the labels between which molecules are made inside
START = 50  # molecules of the table that the search begins with
CHILDREN, GENERATIONS = 30, 10  # of the search for each goal, at most
MOST_CALLS = START + CHILDREN * GENERATIONS * len(DISTANCES)
# So many times as many as are wanted end the search for a goal; of those that are as like the table as they are to be,
# so many times as many are left to take different ones from.
SPARE, LEFT = 4, 2
SIZES = (0.01, 0.99)  # quantiles of numbers of heavy atoms, of the table or of those made beyond, that are kept to
CHECKED = 50  # training molecules whose labels are compared with the oracle


def cells_of(context: Context) -> list[Cell]:
    """What makes the molecules: above, below, and from these the ones inside."""
    above, below = (_cell(context, side, ()) for side in (ABOVE, BELOW))
    return [above, below, _cell(context, INSIDE, (above, below))]


def _cell(context: Context, side: str, needs: tuple[Cell, ...]) -> Cell:
    inputs = {
        "code": code_of(WORK, *OBJECTS),
        "table": context.once("fingerprint", context.table.fingerprint),
        "oracle": inputs_of_oracle(context),
        "mol_ga": version_of_operators(),
        "count": context.settings.made,
        "seed": context.config.seed,
    }
    tags = {"split": context.splits[0].name, "part": MADE, "trained_on": side, "arm": ORACLE, "size": 0, "model": 0}
    return Cell(WORK, tags, inputs, needs, f"molecules {side}")


def make(context: Context, machine: Machine, cell: Cell, needed: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Molecules with true values on one side, at increasing distance: ``smiles`` and ``truth``.

    ``calls`` says of how many molecules the oracle was asked, ``failed`` how many of these have no value, and
    ``checked`` inside what the table and the oracle say of the same molecules.
    """
    side, made, rng = cell.tags["trained_on"], dict[str, Any](), np.random.default_rng(cell.inputs["seed"])
    with measured(made), asking(context, machine, cell.label) as valued:
        before = [text for one in needed for text in one["smiles"]]
        search = Search(context, valued, cell.inputs["seed"], before)
        search.look_at(before or _most_extreme(context, side))
        if side == INSIDE:
            texts, labels = _labelled(context)
            drawn = rng.permutation(len(texts))[:CHECKED]
            found = valued([texts[place] for place in drawn])
            made["checked"] = [
                (labels[place], value) for place, value in zip(drawn, found, strict=True) if value == value
            ]
        like = float(np.median(search.likeness(before))) if before else 1.0
        chosen = search.towards(goals_of(context, side), -(-context.settings.made // len(DISTANCES)), like)
        made |= {"smiles": chosen, "truth": [search.known[text] for text in chosen]}
        made |= {"calls": search.calls, "failed": search.failed}
    return made


def _labelled(context: Context) -> tuple[list[str], list[float]]:
    """The molecules of the table whose label is a value, and these."""
    exact = context.table.exact
    texts = context.table.inputs[STRUCTURE][exact]
    return [str(text) for text in texts], [float(value) for value in context.table.targets[exact]]


def ends_of(context: Context) -> tuple[float, float]:
    """The smallest and the largest label of the table."""
    labels = _labelled(context)[1]
    return min(labels), max(labels)


def goals_of(context: Context, side: str) -> list[Goal]:
    """What is asked for on a side, the nearest first."""
    labels = np.array(_labelled(context)[1])
    if side == INSIDE:
        ends = np.quantile(labels, INNER).tolist()
        return [Goal(side, low, high, (low + high) / 2) for low, high in pairwise(ends)]
    end, unit = (labels.max(), labels.std()) if side == ABOVE else (labels.min(), -labels.std())
    middles = [float(end + distance * unit) for distance in DISTANCES]
    half = HALF_WIDTH * abs(float(unit))
    return [Goal(side, middle - half, middle + half, middle) for middle in middles]


def _most_extreme(context: Context, side: str) -> list[str]:
    """Molecules of the table to begin with: those with the most extreme labels, or inside some of all."""
    texts, labels = _labelled(context)
    order = np.argsort(labels, kind="stable")[:: -1 if side == ABOVE else 1]
    if side == INSIDE:
        order = np.random.default_rng(context.config.seed).permutation(len(texts))
    return [texts[place] for place in order[:START]]


class LikeTable(Sieve):
    """Reads molecules of the table's elements, about as large as others are.

    Parameters
    ----------
    table, others : sequence of str
        Canonical SMILES.
    """

    def __init__(self, table: Sequence[str], others: Sequence[str]) -> None:
        symbols = {atom.GetSymbol() for text in table for atom in Chem.MolFromSmiles(text).GetAtoms()} - {"H"}
        super().__init__({molecule_identity(text) for text in table}, Constraints(elements=tuple(sorted(symbols))))
        self.least, self.most = np.quantile([Chem.MolFromSmiles(text).GetNumHeavyAtoms() for text in others], SIZES)

    def read(self, text: str) -> Draw:
        draw = super().read(text)
        if draw["status"] != NEW:
            return draw
        count = Chem.MolFromSmiles(draw["smiles"]).GetNumHeavyAtoms()
        if self.least <= count <= self.most:
            return draw
        return draw | {"status": UNWANTED, "reason": f"{count} heavy atoms"}


@dataclass
class Search:
    """A genetic algorithm that goes from goal to goal, each time from what it knows by then.

    Attributes
    ----------
    sized_as : sequence of str
        Molecules about as large as those that are to be made; those of the table if empty.
    """

    context: Context
    valued: Valued
    seed: int
    sized_as: Sequence[str] = ()

    def __post_init__(self) -> None:
        self.known: dict[str, float] = {}
        self.calls = self.failed = 0
        texts = self.context.table.inputs[STRUCTURE]
        self.table = [str(text) for text in texts]
        self.sieve = LikeTable(self.table, self.sized_as or self.table)
        self.trained = morgan_bits(texts.loc[list(self.context.splits[0].folds[0].train)])

    def likeness(self, smiles: Sequence[str]) -> np.ndarray:
        """Tanimoto similarity to the nearest training molecule. Shape (n,)."""
        return nearest_rows(morgan_bits(smiles), self.trained)[0]

    def look_at(self, smiles: Sequence[str]) -> np.ndarray:
        """Ask the oracle; a molecule without a value is not among what is known."""
        values = self.valued(smiles)
        known = {text: float(value) for text, value in zip(smiles, values, strict=True) if np.isfinite(value)}
        self.known |= known
        self.calls, self.failed = self.calls + len(smiles), self.failed + len(smiles) - len(known)
        return values

    def towards(self, goals: Sequence[Goal], each: int, like: float) -> list[str]:
        """New molecules for each goal in turn, at most so many; none for goals beyond one for which there is none.

        Taken are those whose `likeness` is nearest to ``like``, and among these different ones.
        """
        begun, chosen = {*self.table, *self.known}, list[str]()
        for number, goal in enumerate(goals):
            self._approach(goal, each, begun, number)
            own = self._hits(goal, begun.union(chosen))
            if not own and goal.name != INSIDE:
                break
            if own:
                order = np.argsort(np.abs(self.likeness(own) - like), kind="stable")
                own = [own[place] for place in order[: LEFT * each]]
                chosen += [own[place] for place in most_different(morgan_bits(own), each)]
        return chosen

    def _approach(self, goal: Goal, each: int, begun: set[str], number: int) -> None:
        scores = [(-float(goal.distance(np.array([value]))[0]), text) for text, value in sorted(self.known.items())]
        start = sorted(scores, key=lambda one: -one[0])[:PARENTS]

        def told(generation: int, fresh: list[Draw], values: np.ndarray) -> bool:
            return len(self._hits(goal, begun)) >= SPARE * each or generation + 1 >= GENERATIONS

        if start:
            evolve(start, goal, self.sieve, self.look_at, CHILDREN, self.seed + number, told)

    def _hits(self, goal: Goal, without: set[str]) -> list[str]:
        return [text for text, value in self.known.items() if goal.low <= value <= goal.high and text not in without]


def most_different(bits: np.ndarray, count: int) -> list[int]:
    """Rows taken one after another, each as unlike those taken before as can be had, from the first row on (MaxMin;
    Ashton et al., Quant. Struct.-Act. Relat. 2002). At most ``count``."""
    similar = tanimoto(bits, bits)
    chosen, nearest = [0], similar[0].copy()
    while len(chosen) < min(count, len(bits)):
        nearest[chosen] = np.inf
        chosen.append(int(np.argmin(nearest)))
        nearest = np.maximum(nearest, similar[chosen[-1]])
    return chosen
