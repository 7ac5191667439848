"""The built-in table ``xtb_gap``: molecules of the other tables and recombinations of them, with gaps by the oracle.

    python scripts/xtb_gap.py                # about five minutes on one core; goes on where it was stopped
    python scripts/xtb_gap.py --noise 200    # how far the gap depends on the conformer, of so many of its molecules

The molecules are neutral, of one fragment, of 6 to 40 heavy atoms and common elements: all of the photoswitches, a
sample of the other tables, and pieces of all of them that were cut and joined at BRICS bonds (Degen et al. 2008): any
two, and such as conjugate with each other, half of these with a piece that holds an azo bond. A double bond whose
configuration the source leaves open is taken as E, so that the SMILES says which isomer was computed.
"""

from __future__ import annotations

import argparse
import gzip
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path

import numpy as np
import pandas as pd
import yaml
from rdkit import Chem
from tqdm import tqdm

from pipeline.files import sha256, write_atomically
from pipeline.oracles.oracle import OracleWorkers, oracle_named
from pipeline.oracles.xtb import SEED, gap
from pipeline.tables.catalogue import card
from pipeline.tables.molecules import MoleculeError, canonical_smiles
from scripts.recombined_molecules import Piece, joined, pieces

DATA = Path(__file__).resolve().parent.parent / "data"
NAME = "xtb_gap"
SOURCES = {"photoswitch": 1_000, "lipophilicity": 900, "tox21": 450, "b3db": 450, "esol": 300, "freesolv": 150}
RECOMBINED = {"recombined": 900, "recombined_conjugated": 1_500}
ELEMENTS = {"H", "B", "C", "N", "O", "F", "Si", "P", "S", "Cl", "Br", "I"}
FEWEST, MOST = 6, 40  # heavy atoms
LEAST_CONJUGATED = 5  # atoms of a piece, beside each other and beside its open bond
DIGITS = 4  # of a gap in eV
_AZO = Chem.MolFromSmarts("[#6]N=N[#6]")


def molecules(seed: int = 0) -> pd.DataFrame:
    """Canonical SMILES, none twice, and where each comes from; equal seeds give equal ones."""
    rng = np.random.default_rng(seed)
    stock = {name: _of_table(name) for name in SOURCES}
    taken: dict[str, str] = {}
    for name, most in SOURCES.items():
        new = [smiles for smiles in stock[name] if smiles not in taken]
        chosen = rng.permutation(len(new))[:most]
        taken |= {new[place]: name for place in sorted(chosen)}
    stock_of_pieces = pieces(smiles for found in stock.values() for smiles in found)
    conjugated = [piece for piece in stock_of_pieces if _conjugates(piece[1])]
    azo = [piece for piece in conjugated if Chem.MolFromSmiles(piece[1]).HasSubstructMatch(_AZO)]
    number = RECOMBINED["recombined_conjugated"] // 2
    for origin, first, second, how_many in (
        ("recombined", stock_of_pieces, stock_of_pieces, RECOMBINED["recombined"]),
        ("recombined_conjugated", azo, conjugated, number),
        ("recombined_conjugated", conjugated, conjugated, number),
    ):
        new_ones = (smiles for smiles in _joined(first, second, rng) if smiles not in taken)
        taken |= dict.fromkeys(list(islice(new_ones, how_many)), origin)
    return pd.DataFrame({"smiles": list(taken), "origin": list(taken.values())})


def _of_table(name: str) -> list[str]:
    """The molecules of a built-in table that suit, canonical and in its order."""
    texts = pd.read_csv(card(name).file(), dtype=str)[card(name).smiles].dropna()
    found = (suitable(text) for text in dict.fromkeys(texts))
    return list(dict.fromkeys(smiles for smiles in found if smiles))


def suitable(text: str) -> str:
    """The canonical SMILES of a molecule that is small, neutral and of common elements; empty for others."""
    try:
        molecule = Chem.MolFromSmiles(canonical_smiles(text, largest_fragment=True))
    except MoleculeError:
        return ""
    atoms = list(molecule.GetAtoms())
    if not FEWEST <= molecule.GetNumHeavyAtoms() <= MOST or Chem.GetFormalCharge(molecule):
        return ""
    if any(atom.GetSymbol() not in ELEMENTS or atom.GetIsotope() or atom.GetNumRadicalElectrons() for atom in atoms):
        return ""
    return Chem.CanonSmiles(_with_e_bonds(molecule))


def _with_e_bonds(molecule: Chem.Mol) -> str:
    """A SMILES in which the double bonds that could be E or Z, and of which it was not said, are E."""
    Chem.FindPotentialStereoBonds(molecule)
    for bond in molecule.GetBonds():
        if bond.GetStereo() == Chem.BondStereo.STEREOANY:
            bond.SetStereo(Chem.BondStereo.STEREOE)
    return Chem.MolToSmiles(molecule)


def _conjugates(piece: str) -> bool:
    """Whether what is joined at the open bond conjugates with a system of some atoms."""
    molecule = Chem.MolFromSmiles(piece)
    (open_end,) = (atom for atom in molecule.GetAtoms() if atom.GetAtomicNum() == 0)
    (start,) = open_end.GetNeighbors()
    reached, coming = {open_end.GetIdx()}, [start]
    while coming:
        atom = coming.pop()
        reached.add(atom.GetIdx())
        coming += [
            bond.GetOtherAtom(atom)
            for bond in atom.GetBonds()
            if bond.GetIsConjugated() and bond.GetOtherAtomIdx(atom.GetIdx()) not in reached
        ]
    return len(reached) > LEAST_CONJUGATED


def _joined(first: Sequence[Piece], second: Sequence[Piece], rng: np.random.Generator) -> Iterator[str]:
    """Distinct suitable molecules of one piece of each."""
    seen = {""}
    for made in joined(first, second, rng):
        smiles = suitable(made)
        if smiles not in seen:
            seen.add(smiles)
            yield smiles


def write_table() -> None:
    """Compute the gaps, write the table, and put its checksum into its card."""
    table = molecules()
    print(f"{len(table)} molecules: {dict(Counter(table['origin']))}")
    with OracleWorkers(oracle_named(NAME)) as oracle, tqdm(total=len(table)) as bar:
        said = oracle.ask(list(table["smiles"]), _told(bar))
    reasons = Counter(one.reason for one in said if one.reason)
    print(f"without a value: {dict(reasons)}")
    gaps = pd.Series([one.value for one in said], dtype=float)
    table = table.assign(gap=gaps.round(DIGITS)).dropna()[["smiles", "gap", "origin"]]
    path = DATA / f"{NAME}.csv.gz"
    write_atomically(path, gzip.compress(table.to_csv(index=False).encode("utf-8"), mtime=0))
    cards_path = DATA / "cards.yaml"
    text = cards_path.read_text(encoding="utf-8")
    before = yaml.safe_load(text)[NAME]
    text = text.replace(before["sha256"], sha256(path))
    write_atomically(cards_path, text)
    if len(table) != before["rows"]:
        print(f"data/cards.yaml: write rows: {len(table)} at {NAME}")
    print(f"{path.name}: {len(table)} rows, {path.stat().st_size / 1e3:.0f} kB")
    print(table.groupby("origin")["gap"].describe().round(2).to_string())


def _told(bar: tqdm) -> Callable[[int, int], None]:
    def told(done: int, total: int) -> None:
        bar.update(done - bar.n)

    return told


def say_noise(number: int) -> None:
    """How far the gap of a molecule depends on the seed of its conformer: two more of them."""
    table = pd.read_csv(DATA / f"{NAME}.csv.gz").sample(number, random_state=0)
    others = np.array([[gap(smiles, SEED + more) for more in (1, 2)] for smiles in tqdm(table["smiles"])])
    gaps = np.column_stack([table["gap"], others])
    spread = gaps.std(axis=1, ddof=1)
    print(
        f"{number} molecules, 3 conformers each: SD {np.sqrt(np.mean(spread**2)):.3f} eV (root mean square within a "
        f"molecule), median {np.median(spread):.3f}, {np.mean(spread > 0.1):.0%} above 0.1, greatest "
        f"{spread.max():.2f}; SD between molecules {gaps[:, 0].std(ddof=1):.2f}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--noise", type=int, default=0)
    arguments = parser.parse_args()
    if arguments.noise:
        say_noise(arguments.noise)
    else:
        write_table()


if __name__ == "__main__":
    main()
