"""Molecules of other tables from which decoys are drawn: stand-ins for negatives.

A decoy is no measurement: how many of them are positives nobody knows. Variants (salts, stereoisomers, tautomers) of
molecules of the table are never among them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache

import numpy as np
import pandas as pd

from pipeline.arms.ladder import is_language_model
from pipeline.arms.spelled import prompts_in
from pipeline.features.notations import representations
from pipeline.features.structures import matched_properties, morgan_bits, nearest_rows
from pipeline.lm.decoders import prompt_limit
from pipeline.runs.context import Context
from pipeline.runs.prepare import load_raw
from pipeline.tables.catalogue import cards
from pipeline.tables.guess import structure_column
from pipeline.tables.molecules import MoleculeError, with_bonded, without_stereo
from pipeline.tables.reading import RawTable, require_column
from pipeline.tables.table import STRUCTURE

WRITTEN = 0.01  # share of rows that say stereochemistry, or several components, from which on decoys may as well
STEREO = ("@", "/", "\\")


def pool_of(context: Context) -> tuple[str, ...]:
    """SMILES of all molecules that are in no variant in the table, sorted, as the table would write them."""
    return context.once("pool", lambda: tuple(_fitting(context, _apart(context))))


def sources(context: Context) -> list[str]:
    """The tables from which decoys are drawn, as a user names them."""
    if context.settings.pool:
        return [context.settings.pool]
    found = [name for name, card in cards().items() if card.smiles and not (card.fetched or card.oracle)]
    return [name for name in found if name != context.config.table]


def _apart(context: Context) -> list[str]:
    """Molecules of the sources that are in no variant in the table, each once."""
    given = list(context.table.frame["smiles"])
    taken = {bonded(smiles)[1] for smiles in given}
    stereo = np.mean([any(mark in smiles for mark in STEREO) for smiles in given]) >= WRITTEN
    several = np.mean(["." in smiles for smiles in given]) >= WRITTEN
    found: dict[str, None] = {}
    for name in sources(context):
        for smiles, graph in _read(load_raw(name, context.config.data_dir)):
            if graph not in taken and (several or "." not in smiles):
                taken.add(graph)
                found[smiles if stereo else without_stereo(smiles)] = None
    return sorted(found)


def _read(raw: RawTable) -> Iterator[tuple[str, str]]:
    """The molecules of a table, in its order, each as `bonded` has it; what is none is left out."""
    column, _ = structure_column(raw)
    for text in require_column(raw, column, "--smiles"):
        try:
            yield bonded(text)
        except MoleculeError:
            continue


bonded = lru_cache(maxsize=60_000)(with_bonded)


def _fitting(context: Context, smiles: Sequence[str]) -> list[str]:
    """Those that a language model of the run can take, where there is one."""
    if not smiles or not any(map(is_language_model, context.arms)):
        return list(smiles)
    count, limit = prompt_limit(context.config.model, context.template, context.classes)
    X = decoy_rows(context, smiles, [context.table.frame["row_id"].iloc[0]] * len(smiles))
    (shown,) = representations(context.config.representation)
    pieces = prompts_in(context.template, X, shown, context.config.seed)
    return [text for text, one in zip(smiles, pieces, strict=True) if count(one) <= limit]


def decoy_rows(context: Context, smiles: Sequence[str], beside: Sequence[str]) -> pd.DataFrame:
    """What an arm is given for decoys: each with the context of the row that it stands beside.

    Parameters
    ----------
    smiles, beside : sequence of str
        Of decoys, and the ``row_id`` of as many rows.
    """
    X = context.table.inputs.loc[list(beside)].copy()
    X[STRUCTURE] = np.array(smiles, dtype=object)
    X.index = pd.Index([f" decoy {number}" for number in range(len(X))], name="row_id")
    return X


def unlike(smiles: Sequence[str], positives: Sequence[str], most: float) -> np.ndarray:
    """Whether each is at most so similar (Tanimoto, Morgan, radius 2) to any of the positives. Shape (n,)."""
    if not smiles:
        return np.zeros(0, dtype=bool)
    found: np.ndarray = nearest_rows(morgan_bits(smiles), morgan_bits(positives))[0] <= most
    return found


def nearest_in_properties(wanted: Sequence[str], offered: Sequence[str]) -> list[int]:
    """For each molecule in turn the place of one that is nearest in the properties, and not taken yet.

    Properties (`pipeline.features.structures.MATCHED`) are divided by their standard deviation over those that are
    offered; unknown values count as the mean.
    """
    aim, given = matched_properties(wanted), matched_properties(offered)
    mean, scale = np.nanmean(given, axis=0), np.nanstd(given, axis=0)
    scale[scale == 0] = 1.0
    aim, given = (np.nan_to_num((values - mean) / scale) for values in (aim, given))
    free, found = np.ones(len(given), dtype=bool), []
    for row in aim:
        distance = np.where(free, ((given - row) ** 2).sum(axis=1), np.inf)
        place = int(distance.argmin())
        free[place] = False
        found.append(place)
    return found
