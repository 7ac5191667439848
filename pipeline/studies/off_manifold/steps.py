"""Steps from molecule to molecule: exchanges that occur in the table, and such as lead out of it.

Within: one substituent is exchanged for another as it is somewhere else in the table, between two molecules that differ
in nothing else (a matched molecular pair; by single cuts of acyclic bonds, Hussain and Rea, J. Chem. Inf. Model. 2010,
as RDKit's rdMMPA makes them). Out: a hydrogen of a carbon is replaced by what no training molecule holds. Control: the
same hydrogen is replaced by one of the table's most frequent substituents.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from rdkit import Chem, rdBase
from rdkit.Chem import rdMMPA

from pipeline.cells.cell import Cell, digest, measured
from pipeline.cells.reach import code_of
from pipeline.runs.context import Context, Machine
from pipeline.runs.fits import OBJECTS
from pipeline.studies.fitting import drawn
from pipeline.studies.oracle import asking, inputs_of_oracle
from pipeline.tables.molecules import MoleculeError, canonical_smiles

WORK = "pipeline.studies.off_manifold.steps:make_steps"
STEPS, ORACLE = "steps of molecules", "oracle"  # tags
WITHIN, ADDED, RARE, RING, CHAIN = "exchange within", "frequent group", "rare element", "strained ring", "long chain"
KINDS = (WITHIN, ADDED, RARE, RING, CHAIN)
OUT = (RARE, RING, CHAIN)
# What is put in the place of a hydrogen, with what must not occur in any training molecule.
LEADING_OUT: dict[str, tuple[tuple[str, str], ...]] = {
    RARE: (
        ("[SeH]", "[#34]"),
        ("[SiH3]", "[#14]"),
        ("B(O)O", "[#5]"),
        ("[GeH3]", "[#32]"),
        ("[AsH2]", "[#33]"),
        ("[TeH]", "[#52]"),
        ("[SnH3]", "[#50]"),
    ),
    RING: (
        ("C1CC1", "[#6]1[#6][#6]1"),
        ("C1CO1", "[#6]1[#6][#8]1"),
        ("C1CN1", "[#6]1[#6][#7]1"),
        ("C1CS1", "[#6]1[#6][#16]1"),
        ("C1=CC1", "[#6]1=[#6][#6]1"),
        ("C12CC1C2", "[#6]12[#6][#6]1[#6]2"),
    ),
    CHAIN: tuple((("C" * count), f"[CX4]{'[CH2]' * (count - 2)}[CH3]") for count in (12, 16, 20)),
}
FREQUENT = 10  # substituents that are put there as a control
LARGEST = 8  # heavy atoms of a substituent


@dataclass(frozen=True)
class Fragments:
    """The training molecules cut once: a core, and the substituent that is a part of it.

    Parameters
    ----------
    smiles : tuple of str
    """

    smiles: tuple[str, ...]

    @cached_property
    def cuts(self) -> list[list[tuple[str, str]]]:
        """Core and substituent of each cut of each molecule, the larger part first; sorted."""
        return [_cuts(text) for text in self.smiles]

    @cached_property
    def _exchanges(self) -> dict[str, dict[str, set[str]]]:
        """By substituent what it is exchanged for in a pair of the table, and at which cores."""
        by_core: dict[str, set[str]] = defaultdict(set)
        for cuts in self.cuts:
            for core, part in cuts:
                by_core[core].add(part)
        found: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
        for core, parts in by_core.items():
            for part in parts:
                for other in parts - {part}:
                    found[part][other].add(core)
        return found

    def exchanged(self, place: int) -> list[str]:
        """What becomes of a molecule by exchanges that occur at another core of the table; canonical, in order."""
        found = {
            _joined(core, other)
            for core, part in self.cuts[place]
            for other, cores in self._exchanges.get(part, {}).items()
            if cores - {core}
        }
        return sorted(found - {""})

    @cached_property
    def frequent(self) -> list[str]:
        """The most frequent substituents, by the number of molecules that have them."""
        counts = Counter(part for cuts in self.cuts for part in sorted({part for _, part in cuts}))
        return [part for part, _ in sorted(counts.items(), key=lambda one: (-one[1], one[0]))[:FREQUENT]]

    def new(self, kind: str) -> list[str]:
        """Substituents of a kind that leads out, of which no training molecule has the like."""
        molecules = [Chem.MolFromSmiles(text) for text in self.smiles]
        patterns = [
            (f"{text}[*:1]" if kind == CHAIN else f"[*:1]{text}", Chem.MolFromSmarts(smarts))
            for text, smarts in LEADING_OUT[kind]
        ]
        return [text for text, pattern in patterns if not any(one.HasSubstructMatch(pattern) for one in molecules)]


def _cuts(smiles: str) -> list[tuple[str, str]]:
    molecule, found = Chem.MolFromSmiles(smiles), set()
    heavy = molecule.GetNumHeavyAtoms()
    for _, pieces in rdMMPA.FragmentMol(molecule, minCuts=1, maxCuts=1, maxCutBonds=60, resultsAsMols=False):
        one, other = pieces.split(".")
        for core, part in ((one, other), (other, one)):
            size = _size(part)
            if size <= LARGEST and 2 * size <= heavy:
                found.add((core, part))
    return sorted(found)


def _size(piece: str) -> int:
    """Heavy atoms, without the place of the cut."""
    return int(Chem.MolFromSmiles(piece).GetNumAtoms()) - 1


def _joined(core: str, part: str) -> str:
    """A core and a substituent as one molecule, canonical; empty where it is none."""
    with rdBase.BlockLogs():
        try:
            joined = Chem.molzip(Chem.MolFromSmiles(f"{core}.{part}"))
            return canonical_smiles(Chem.MolToSmiles(joined))
        except (MoleculeError, ValueError, RuntimeError):
            return ""


def opened(smiles: str, rng: np.random.Generator) -> str:
    """A molecule with a cut in the place of a hydrogen at one of its carbons; empty where there is none."""
    molecule = Chem.MolFromSmiles(smiles)
    carbons = [atom.GetIdx() for atom in molecule.GetAtoms() if atom.GetAtomicNum() == 6 and atom.GetTotalNumHs()]
    if not carbons:
        return ""
    changed = Chem.RWMol(molecule)
    at, cut = int(rng.choice(carbons)), Chem.Atom(0)
    cut.SetAtomMapNum(1)
    changed.AddBond(at, changed.AddAtom(cut), Chem.BondType.SINGLE)
    atom = changed.GetAtomWithIdx(at)
    if atom.GetNoImplicit():
        atom.SetNumExplicitHs(max(0, atom.GetNumExplicitHs() - 1))
    atom.SetChiralTag(Chem.ChiralType.CHI_UNSPECIFIED)
    with rdBase.BlockLogs():
        try:
            Chem.SanitizeMol(changed)
        except (ValueError, RuntimeError):
            return ""
    return str(Chem.MolToSmiles(changed))


def points_of(context: Context) -> list[str]:
    """The training rows at which steps are made: the same as for steps in what a model reads."""
    rows = drawn(context, context.splits[0], 0)
    order = np.random.default_rng(context.config.seed).permutation(len(rows))
    return [rows[place] for place in np.sort(order[: context.settings.points])]


def steps_of_molecules(context: Context) -> pd.DataFrame:
    """Where each step begins and leads (``row_id``, ``kind``, ``start``, ``end``); none to a molecule of the table."""
    rows = drawn(context, context.splits[0], 0)
    texts = context.table.inputs.iloc[:, 0].astype(str)
    fragments, known = Fragments(tuple(texts.loc[rows])), set(texts)
    new = {ADDED: fragments.frequent} | {kind: fragments.new(kind) for kind in OUT}
    found = []
    for number, row in enumerate(points_of(context)):
        rng, start = np.random.default_rng([context.config.seed, number]), texts.loc[row]
        core = opened(start, rng)
        ends = {WITHIN: fragments.exchanged(rows.index(row))}
        ends |= {kind: [_joined(core, part) for part in parts] if core else [] for kind, parts in new.items()}
        for kind in KINDS:
            free = [text for text in ends[kind] if text and text not in known]
            if free:
                found.append((row, kind, start, free[int(rng.integers(len(free)))]))
    return pd.DataFrame(found, columns=["row_id", "kind", "start", "end"])


def cell_of(context: Context) -> Cell:
    """What makes the steps, and asks the oracle what they change."""
    inputs = {
        "code": code_of(WORK, *OBJECTS),
        "table": context.once("fingerprint", context.table.fingerprint),
        "oracle": inputs_of_oracle(context),
        "rows": digest(drawn(context, context.splits[0], 0)),
        "points": digest(points_of(context)),
        "seed": context.config.seed,
    }
    tags = {"split": context.splits[0].name, "arm": ORACLE, "treatment": STEPS, "size": 0, "seed": 0}
    return Cell(WORK, tags, inputs, (), "steps from molecule to molecule")


def make_steps(context: Context, machine: Machine, cell: Cell, needed: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The steps whose two ends the oracle has a value for, with the ``change``; ``failed`` counts others."""
    made: dict[str, Any] = {}
    with measured(made), asking(context, machine, cell.label) as valued:
        steps = steps_of_molecules(context)
        values = valued([*steps["start"], *steps["end"]]).reshape(2, -1)
        change = values[1] - values[0]
        known = np.isfinite(change)
        made["steps"] = steps[known].assign(change=change[known]).to_dict("list")
        made["failed"] = int((~known).sum())
    return made
