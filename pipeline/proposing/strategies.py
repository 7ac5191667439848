"""Ways to propose molecules without a language model."""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version

import numpy as np
from rdkit import Chem, rdBase
from rdkit.Chem import BRICS

from pipeline.errors import InputError
from pipeline.proposing.drawing import NEW, Draw, Sieve
from pipeline.proposing.goals import Goal

POOL = 10  # recombined molecules for each one that is checked
PARENTS, POPULATION = 100, 200  # of the genetic algorithm: how many begin, how many are kept
GENERATIONS = 10
STALE = 10  # generations without a new molecule after which it ends
TOGETHER = 40  # fragments that are recombined at a time
FROM_THESE = 100  # of the products of each time

# From molecules to their values, true or predicted; NaN for one that has none.
Valued = Callable[[Sequence[str]], np.ndarray]


def drawn_from(smiles: Sequence[str], count: int, rng: np.random.Generator) -> list[str]:
    """Molecules of the table at random, without repetition. At most ``count``."""
    return [smiles[place] for place in rng.permutation(len(smiles))[:count]]


def recombined(smiles: Sequence[str], sieve: Sieve, count: int, seed: int) -> list[Draw]:
    """New molecules of BRICS fragments (Degen et al. 2008) of these ones; fewer where there are not so many.

    Some fragments are drawn at a time, and some of what RDKit makes of them is taken.
    """
    fragments = sorted({part for text in smiles for part in _fragments(text)})
    found: list[Draw] = []
    rng, idle = np.random.default_rng(seed), 0
    while len(found) < count and idle < STALE and len(fragments) > 1:
        drawn = [fragments[place] for place in rng.permutation(len(fragments))[:TOGETHER]]
        before = len(found)
        for text in _built(drawn, int(rng.integers(2**31))):
            draw = sieve.read(text)
            if draw["status"] == NEW:
                found.append(draw)
        idle = idle + 1 if len(found) == before else 0
    return found[:count]


def _fragments(smiles: str) -> Sequence[str]:
    with rdBase.BlockLogs():
        return sorted(BRICS.BRICSDecompose(Chem.MolFromSmiles(smiles), minFragmentSize=1))


def _built(fragments: Sequence[str], seed: int) -> Iterator[str]:
    """SMILES of molecules made of up to three of these fragments each."""
    with _seeded(seed), rdBase.BlockLogs():
        molecules = [Chem.MolFromSmiles(text) for text in fragments]
        made = BRICS.BRICSBuild(molecules, onlyCompleteMols=True, uniquify=True, scrambleReagents=True, maxDepth=2)
        for _, molecule in zip(range(FROM_THESE), made, strict=False):
            try:
                molecule.UpdatePropertyCache()
                Chem.SanitizeMol(molecule)
            except (ValueError, RuntimeError):
                continue  # RDKit joins some aromatic fragments to what is no molecule
            yield Chem.MolToSmiles(molecule)


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """The global generator, which RDKit's BRICS module draws from, with a seed of its own meanwhile."""
    state = random.getstate()
    random.seed(seed)
    try:
        yield
    finally:
        random.setstate(state)


def version_of_operators() -> str:
    """Of the package whose operators `evolve` uses; `InputError` where it is not installed."""
    try:
        return version("mol_ga")
    except PackageNotFoundError as error:
        raise InputError('the genetic algorithm needs the package mol_ga: pip install "chemtune[design]"') from error


def evolve(
    start: Sequence[tuple[float, str]],
    goal: Goal,
    sieve: Sieve,
    valued: Valued,
    children: int,
    seed: int,
    told: Callable[[int, list[Draw], np.ndarray], bool],
) -> None:
    """A graph genetic algorithm (Jensen, Chem. Sci. 2019, 10, 3567) with the operators of the package mol_ga.

    Parameters
    ----------
    start : sequence of (score, SMILES)
        The first population; a score is the distance to the goal, times -1.
    children : int
        New molecules of each generation at most.
    told : callable
        Given each generation's number, its new molecules and their values; True ends it.
    """
    version_of_operators()
    from mol_ga.graph_ga.gen_candidates import graph_ga_blended_generation
    from mol_ga.sample_population import uniform_quantile_sampling

    rng, population, idle, generation = random.Random(seed), list(start), 0, 0
    while idle < STALE:
        with rdBase.BlockLogs():
            parents = uniform_quantile_sampling(population, 4 * children, rng)
            made = sorted(graph_ga_blended_generation(parents, 2 * children, rng))  # a set: its order is not fixed
        rng.shuffle(made)
        fresh = [draw for text in made if (draw := sieve.read(text))["status"] == NEW][:children]
        idle = 0 if fresh else idle + 1
        if not fresh:
            continue
        values = valued([draw["smiles"] for draw in fresh])
        if told(generation, fresh, values):
            return
        alive = [(-float(away), draw["smiles"]) for away, draw in zip(goal.distance(values), fresh, strict=True)]
        population = heapq.nlargest(POPULATION, population + [one for one in alive if np.isfinite(one[0])])
        generation += 1
