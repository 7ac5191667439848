"""Reactions that were never reported, made from those that were: stand-ins for failures.

A decoy is no measurement. Where the table holds the same reaction, its measured outcome says whether the decoy is
one of the successes it is meant to be told from: the *contamination*.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from rdkit import Chem, rdBase
from rdkit.Chem import rdChemReactions

from pipeline.tables.reactions import split_reaction
from pipeline.tables.table import STRUCTURE

PRODUCT = "product"
REACHED = " success"  # of a measured reaction; no column of the user's begins with a space
Cells = Mapping[str, str] | pd.Series  # of a row, by column
_TRIES = 30  # draws per decoy before a kind gives up
# A coupling at a C-H where the leaving group stays: products that the reactants of a cross-coupling do not give.
WRONG_COUPLINGS = (
    "[cH:1].[NX3;H2,H1;!$(N-[C,S]=[O,S]):2]>>[c:1][N:2]",
    "[cH:1].[#6:2]-[B;$(B(O)O),$([B-](F)(F)F)]>>[c:1][#6:2]",
)


@dataclass(frozen=True)
class Decoys:
    """``X`` has the columns of an arm's input, ``known`` counts those that the table holds, ``successes`` those of
    them that were successes, ``tested`` those that are test rows."""

    X: pd.DataFrame
    known: int
    successes: int
    tested: int = 0

    @property
    def contamination(self) -> float | None:
        """Share of successes among the decoys that were measured; None if none was."""
        return self.successes / self.known if self.known else None


def substrate_columns(frame: pd.DataFrame, components: tuple[str, ...]) -> tuple[str, ...]:
    """Components of which each value goes with one product alone: they say what is made, the others how."""
    if frame[PRODUCT].nunique() < 2:
        return ()
    others = [name for name in components if name != PRODUCT]
    return tuple(name for name in others if (frame.groupby(name)[PRODUCT].nunique() == 1).all())


def recombined(
    positives: pd.DataFrame,
    measured: pd.DataFrame,
    barred: set[tuple[str, ...]],
    n: int,
    components: tuple[str, ...],
    rng: np.random.Generator,
    tested: Collection[tuple[str, ...]] = (),
) -> Decoys:
    """The substrates of one success under the conditions of others, each condition drawn on its own.

    Parameters
    ----------
    positives : DataFrame
        What an arm is given for the successes that are known.
    measured : DataFrame
        The whole table: the columns of ``positives`` and `REACHED`; for looking up what is known of a decoy.
    barred : set of tuple
        Combinations of components that must not come out: the known successes, and the test rows if these are to
        stay out. Keeping them out is a help that nobody has who does not know what will be asked.
    tested : collection of tuple
        The test rows, to be counted where they come out.
    """
    substrates = (*substrate_columns(measured, components), PRODUCT)
    conditions = [name for name in components if name not in substrates]
    columns = list(components)
    stated = [name for name in positives.columns if name != STRUCTURE]  # conditions beside the components, too
    lookup = {tuple(row): place for place, row in enumerate(measured[stated].to_numpy(dtype=object))}
    rows: list[pd.Series] = []
    seen = set(barred)
    known = successes = asked = 0
    for _ in range(_TRIES * n):
        if len(rows) == n:
            break
        written = positives.iloc[int(rng.integers(len(positives)))]
        row = written.copy()
        for name in conditions:
            row[name] = positives[name].iloc[int(rng.integers(len(positives)))]
        key = tuple(row[columns])
        if key in seen:
            continue
        seen.add(key)
        asked += key in tested
        place = lookup.get(tuple(row[stated]))
        if place is not None:
            real = measured.iloc[place]
            known += 1
            successes += int(real[REACHED])
            row[STRUCTURE] = real[STRUCTURE]
        else:
            row[STRUCTURE] = exchanged(written, row, columns)
        rows.append(row)
    return Decoys(_as_frame(rows, positives), known, successes, asked)


def exchanged(written: Cells, row: Cells, columns: Sequence[str]) -> str:
    """The reaction SMILES of a reaction that nobody wrote down: that of another one, with its components exchanged.

    It holds what the other one holds besides its components (a catalyst, a partner that all reactions share), so that
    nothing but the components tells it from one that was written.

    Parameters
    ----------
    written : mapping
        The components of a reaction by name, and its reaction SMILES.
    row : mapping
        The components of the one asked for. Names, and components that the SMILES leaves out, change nothing in it.
    """
    reactants, agents, products = split_reaction(str(written[STRUCTURE]))
    roles = [reactants.split(".") if reactants else [], agents.split(".") if agents else []]
    for name in columns:
        before, after = str(written[name]), str(row[name])
        if before == after:
            continue
        if name == PRODUCT:
            products = after
            continue
        role = next((pieces for pieces in roles if _holds(pieces, before)), None)
        if role is not None:
            for piece in _pieces(before):
                role.remove(piece)
            role += [piece for piece in _pieces(after) if _is_molecule(piece)]
    return ">".join([*(".".join(sorted(pieces)) for pieces in roles), products])


def _pieces(component: str) -> list[str]:
    return [piece for piece in component.split(".") if piece]


def _holds(pieces: list[str], component: str) -> bool:
    """Whether all molecules of a component are among these; of one that is absent they are."""
    return not Counter(_pieces(component)) - Counter(pieces)


def _is_molecule(text: str) -> bool:
    with rdBase.BlockLogs():
        return Chem.MolFromSmiles(text) is not None


def shuffled_products(positives: pd.DataFrame, n: int, rng: np.random.Generator) -> Decoys:
    """Successes with the product of another success that makes something else."""

    def other(row: pd.Series) -> str | None:
        product = str(positives[PRODUCT].iloc[int(rng.integers(len(positives)))])
        return product if product != row[PRODUCT] else None

    return _with_products(positives, n, rng, other)


def wrong_products(positives: pd.DataFrame, n: int, rng: np.random.Generator) -> Decoys:
    """Successes with a product that the reactants would give if they coupled at a C-H and kept their leaving group."""
    reactions = [rdChemReactions.ReactionFromSmarts(text) for text in WRONG_COUPLINGS]
    made: dict[str, list[str]] = {}

    def other(row: pd.Series) -> str | None:
        before = split_reaction(str(row[STRUCTURE]))[0]
        if before not in made:
            made[before] = _coupled(before, reactions, str(row[PRODUCT]))
        options = made[before]
        return options[int(rng.integers(len(options)))] if options else None

    return _with_products(positives, n, rng, other)


def _coupled(reactants: str, reactions: list, product: str) -> list[str]:
    """Products of the wrong couplings of two reactants that are about as large as the right one, sorted."""
    target = Chem.MolFromSmiles(product)
    molecules = [Chem.MolFromSmiles(text) for text in reactants.split(".")]
    found = set()
    with rdBase.BlockLogs():
        for reaction in reactions:
            for first in molecules:
                for second in molecules:
                    for (result,) in reaction.RunReactants((first, second)) if first is not second else ():
                        if Chem.SanitizeMol(result, catchErrors=True):
                            continue
                        if abs(result.GetNumHeavyAtoms() - target.GetNumHeavyAtoms()) <= 2:
                            found.add(Chem.MolToSmiles(result))
    return sorted(found - {product})


def _with_products(
    positives: pd.DataFrame, n: int, rng: np.random.Generator, other: Callable[[pd.Series], str | None]
) -> Decoys:
    rows: list[pd.Series] = []
    for _ in range(_TRIES * n):
        if len(rows) == n:
            break
        row = positives.iloc[int(rng.integers(len(positives)))].copy()
        product = other(row)
        if product is None:
            continue
        row[STRUCTURE] = ">".join([*split_reaction(str(row[STRUCTURE]))[:-1], product])
        row[PRODUCT] = product
        rows.append(row)
    return Decoys(_as_frame(rows, positives), 0, 0)


def _as_frame(rows: list[pd.Series], like: pd.DataFrame) -> pd.DataFrame:
    frame = pd.DataFrame(rows, columns=like.columns) if rows else like.iloc[:0].copy()
    frame.index = pd.Index([f"decoy-{number}" for number in range(len(frame))], name=like.index.name)
    return frame


def foreign_rows(
    X: pd.DataFrame, other: pd.DataFrame, components: tuple[str, ...], theirs: tuple[str, ...]
) -> pd.DataFrame:
    """Reactions of another table in the columns of this one: components of one name meet, the others in their order.

    Parameters
    ----------
    X, other : DataFrame
        What an arm is given for the two tables.
    """
    free = [name for name in theirs if name not in components]
    columns = {}
    for name in components:
        source = name if name in theirs else (free.pop(0) if free else None)
        columns[name] = other[source].to_numpy(dtype=object) if source else np.full(len(other), "", dtype=object)
    frame = pd.DataFrame({STRUCTURE: other[STRUCTURE].to_numpy(dtype=object), **columns})
    for context in X.columns[1 + len(components) :]:
        frame[context] = X[context].mode().iloc[0]
    return frame[list(X.columns)]
