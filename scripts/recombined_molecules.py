"""Any number of distinct, drug-like molecules out of the built-in tables, for measuring how things scale.

The molecules of the tables are cut at their BRICS bonds (Degen et al. 2008, as in RDKit); the pieces with one open
bond are joined in pairs whose bond types BRICS allows. Equal seeds give equal molecules.

    python scripts/recombined_molecules.py 100000 molecules.csv
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from rdkit import Chem, rdBase
from rdkit.Chem import BRICS

from pipeline.tables.catalogue import cards

OPEN_BOND = re.compile(r"\[(\d+)\*\]")
Piece = tuple[str, str]  # bond type, SMILES


def pieces(smiles: Iterable[str]) -> list[Piece]:
    """Every piece with one open bond, sorted, of molecules of at most 40 heavy atoms."""
    found = set()
    for one in smiles:
        molecule = Chem.MolFromSmiles(one)
        if molecule is None or molecule.GetNumHeavyAtoms() > 40:
            continue
        for piece in BRICS.BRICSDecompose(molecule):
            kinds = OPEN_BOND.findall(piece)
            if len(kinds) == 1:
                found.add((kinds[0], piece))
    return sorted(found)


def _allowed() -> set[frozenset[str]]:
    """Pairs of bond types that BRICS joins."""
    return {
        frozenset((left.rstrip("ab"), right.rstrip("ab"))) for group in BRICS.reactionDefs for left, right, _ in group
    }


def joined(first: Sequence[Piece], second: Sequence[Piece], rng: np.random.Generator) -> Iterator[str]:
    """Canonical SMILES of one piece of each, joined; without end, and some of them again and again."""
    allowed = _allowed()
    while True:
        for one, two in rng.integers((len(first), len(second)), size=(10_000, 2)):
            (kind, left), (other, right) = first[one], second[two]
            if frozenset((kind, other)) not in allowed:
                continue
            pair = ".".join(OPEN_BOND.sub("[*:1]", piece) for piece in (left, right))
            with rdBase.BlockLogs():
                yield Chem.MolToSmiles(Chem.molzip(Chem.MolFromSmiles(pair)))


def molecules(seed: int = 0) -> Iterator[str]:
    """Distinct canonical SMILES, without end in practice (some ten million pairs)."""
    measured = [card for card in cards().values() if card.smiles and not card.fetched and card.name != "xtb_gap"]
    stock = pieces(smiles for card in measured for smiles in pd.read_csv(card.path)[card.smiles].unique())
    seen = set()
    for smiles in joined(stock, stock, np.random.default_rng(seed)):
        if smiles not in seen:
            seen.add(smiles)
            yield smiles


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("number", type=int)
    parser.add_argument("out", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    with open(arguments.out, "w", encoding="utf-8") as file:
        file.write("id,smiles\n")
        for number, smiles in zip(range(arguments.number), molecules(arguments.seed), strict=False):
            file.write(f"{number},{smiles}\n")


if __name__ == "__main__":
    main()
