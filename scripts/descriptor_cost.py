"""What RDKit's descriptors cost on large molecules, and what the baselines lose without the costly ones.

    python scripts/descriptor_cost.py                        # seconds by kind and size of molecule
    python scripts/descriptor_cost.py --errors               # errors of the baselines with and without them

The seconds are those of all descriptors of RDKit and of `pipeline.features.structures.descriptors`, then the dearest
single ones; what several share (distances, BCUT2D) counts for the first of them. RDKit's AvgIpc stands beside its exact
value, by whole numbers. Errors are mean absolute ones of five random folds per seed, then what each choice of
descriptors adds to them, and the standard deviation of that over folds.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from itertools import product

import networkx as nx
import numpy as np
from rdkit import Chem, rdBase
from rdkit.Chem import Descriptors, GraphDescriptors
from sklearn.model_selection import KFold

from pipeline.arms.ladder import make_arm
from pipeline.features import structures as features
from pipeline.reporter import Reporter
from pipeline.runs.prepare import load_table
from pipeline.settings.reading import make_config

RESIDUES = "ACDEFGHIKLMNPQRSTVWY"
EXACT_ATOMS = 100
IS_AFFORDABLE = features.is_affordable
CHOICES: dict[str, Callable[[str, int, int], bool]] = {
    "all": lambda name, atoms, rings: True,
    "as bounded": IS_AFFORDABLE,
    "no Ipc": lambda name, atoms, rings: IS_AFFORDABLE(name, 100, 0),
    "none bounded": lambda name, atoms, rings: IS_AFFORDABLE(name, 10**6, 10**6),
}


def carbons(graph: nx.Graph) -> str:
    """SMILES of a saturated hydrocarbon."""
    numbers = {node: number for number, node in enumerate(graph)}
    molecule = Chem.RWMol()
    for _ in numbers:
        molecule.AddAtom(Chem.Atom(6))
    for one, two in graph.edges:
        molecule.AddBond(numbers[one], numbers[two], Chem.BondType.SINGLE)
    return Chem.MolToSmiles(molecule)


# From the number of atoms, which a kind of molecule may miss by a few.
KINDS: dict[str, Callable[[int], str]] = {
    "chain": lambda atoms: "C" * atoms,
    "macrocycle": lambda atoms: f"C1{'C' * (atoms - 2)}C1",
    "dendrimer": lambda atoms: carbons(nx.full_rary_tree(2, atoms)),
    "fused benzenes": lambda atoms: carbons(nx.hexagonal_lattice_graph(1, atoms // 4)),
    "peptide": lambda atoms: Chem.MolToSmiles(Chem.MolFromFASTA((RESIDUES * atoms)[: atoms // 8])),
    "fused squares": lambda atoms: carbons(nx.ladder_graph(atoms // 2)),
    "sheet of squares": lambda atoms: carbons(nx.grid_2d_graph(10, atoms // 10)),
    "cage": lambda atoms: carbons(nx.circular_ladder_graph(atoms // 2)),
    "torus": lambda atoms: carbons(nx.hexagonal_lattice_graph(atoms // 20, 10, periodic=True)),
}


def exact_information(molecule: Chem.Mol) -> float:
    """AvgIpc by the method of Le Verrier and Faddeev, as RDKit's, in whole numbers."""
    adjacency = Chem.GetAdjacencyMatrix(molecule)
    neighbours = [np.flatnonzero(row) for row in adjacency]
    power, coefficients = adjacency.astype(object), [1]
    for order in range(1, len(adjacency) + 1):
        coefficients.append(sum(np.diag(power)) // order)
        power = power - coefficients[-1] * np.eye(len(power), dtype=int).astype(object)
        power = np.stack([power[atoms].sum(axis=0) for atoms in neighbours])
    shares = np.array([abs(value) / sum(map(abs, coefficients)) for value in coefficients if value])
    return float(-(shares * np.log2(shares)).sum())


def costs(kind: str, atoms: int) -> str:
    molecule = Chem.MolFromSmiles(KINDS[kind](atoms))
    took = {}
    for name, function in [*Descriptors.descList, ("here", features._descriptors)]:
        start = time.perf_counter()
        function(Chem.Mol(molecule) if name == "here" else molecule)
        took[name] = time.perf_counter() - start
    here, whole = took.pop("here"), sum(took.values())
    dearest = ", ".join(f"{name} {took[name]:.2f}" for name in sorted(took, key=lambda name: -took[name])[:5])
    line = f"{kind:<17} {molecule.GetNumAtoms():4} {whole:7.2f} {here:6.2f}   {dearest}"
    if molecule.GetNumAtoms() > EXACT_ATOMS:
        return line
    return f"{line}; AvgIpc {GraphDescriptors.AvgIpc(molecule):.4f}, exactly {exact_information(molecule):.4f}"


def errors(source: str, arms: list[str], seeds: list[int]) -> None:
    table = load_table(make_config(source, {"arms": arms[0]}), Reporter())
    truth = table.targets.to_numpy(dtype=np.float64)
    found: dict[tuple[str, str], list[float]] = {}
    for choice, affordable in CHOICES.items():
        features.is_affordable = affordable  # type: ignore[assignment]
        features.forget_features()
        for arm, seed in product(arms, seeds):
            for train, test in KFold(5, shuffle=True, random_state=seed).split(truth):
                model = make_arm(arm, "regression", seed=seed, threads=2).fit(table.inputs.iloc[train], truth[train])
                error = np.abs(model.predict(table.inputs.iloc[test]) - truth[test]).mean()
                found.setdefault((arm, choice), []).append(error)
    for arm in arms:
        whole = np.array(found[arm, "all"])
        shown = [f"{source:<11} {len(truth)} rows, {len(whole)} folds, {arm:<10} all {whole.mean():.4f}"]
        for choice in list(CHOICES)[1:]:
            more = np.array(found[arm, choice]) - whole
            shown.append(f"{choice} {more.mean():+.4f} ({more.std(ddof=1):.4f})")
        print(", ".join(shown), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--errors", action="store_true")
    parser.add_argument("--atoms", type=int, nargs="+", default=[50, 64, 100, 200, 400, 600])
    parser.add_argument("--kinds", nargs="+", default=list(KINDS))
    parser.add_argument("--tables", nargs="+", default=["freesolv", "esol", "photoswitch"])
    parser.add_argument("--arms", nargs="+", default=["ridge", "extratrees", "lightgbm", "gp"])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    options = parser.parse_args()
    if options.errors:
        for source in options.tables:
            errors(source, options.arms, options.seeds)
        return
    print("kind             atoms   RDKit   here   the dearest")
    with rdBase.BlockLogs():
        for kind in options.kinds:
            for atoms in options.atoms:
                print(costs(kind, atoms), flush=True)


if __name__ == "__main__":
    main()
