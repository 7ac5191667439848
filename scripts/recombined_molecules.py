"""Any number of distinct, drug-like molecules out of the built-in tables, for measuring how things scale.

The molecules of the tables are cut at their BRICS bonds (Degen et al. 2008, as in RDKit); the pieces with one open
bond are joined in pairs whose bond types BRICS allows. Equal seeds give equal molecules.

    python scripts/recombined_molecules.py 100000 molecules.csv
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
from rdkit import Chem, rdBase
from rdkit.Chem import BRICS

from pipeline.tables.catalogue import cards

_OPEN_BOND = re.compile(r"\[(\d+)\*\]")


def pieces() -> list[tuple[str, str]]:
    """``(bond type, SMILES)`` of every piece with one open bond, sorted."""
    found = set()
    for card in (card for card in cards().values() if card.smiles):
        for smiles in pd.read_csv(card.path)[card.smiles].unique():
            molecule = Chem.MolFromSmiles(smiles)
            if molecule is None or molecule.GetNumHeavyAtoms() > 40:
                continue
            for piece in BRICS.BRICSDecompose(molecule):
                kinds = _OPEN_BOND.findall(piece)
                if len(kinds) == 1:
                    found.add((kinds[0], piece))
    return sorted(found)


def _allowed() -> set[frozenset[str]]:
    """Pairs of bond types that BRICS joins."""
    return {
        frozenset((left.rstrip("ab"), right.rstrip("ab"))) for group in BRICS.reactionDefs for left, right, _ in group
    }


def molecules(seed: int = 0) -> Iterator[str]:
    """Distinct canonical SMILES, without end in practice (some ten million pairs)."""
    rng = np.random.default_rng(seed)
    stock, allowed, seen = pieces(), _allowed(), set()
    while True:
        for first, second in rng.integers(len(stock), size=(10_000, 2)):
            (kind, left), (other, right) = stock[first], stock[second]
            if frozenset((kind, other)) not in allowed:
                continue
            pair = ".".join(_OPEN_BOND.sub("[*:1]", piece) for piece in (left, right))
            with rdBase.BlockLogs():
                smiles = Chem.MolToSmiles(Chem.molzip(Chem.MolFromSmiles(pair)))
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
