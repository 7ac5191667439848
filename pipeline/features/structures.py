"""Fingerprints and descriptors, computed once per molecule or reaction and shared by all arms."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import cache, lru_cache, partial
from typing import Any

import numpy as np
from rdkit import Chem, rdBase
from rdkit.Chem import Descriptors, Graphs, rdFingerprintGenerator
from rdkit.Chem.EState import EState
from rdkit.Chem.Scaffolds import MurckoScaffold
from rdkit.ML.InfoTheory import entropy
from sklearn.base import BaseEstimator, TransformerMixin

from pipeline.errors import InputError
from pipeline.tables.reactions import split_reaction

FINGERPRINT_SIZE = 2048
# Largest molecules whose costly descriptors are computed; scripts/descriptor_cost.py measures why. Between 65 and 80
# atoms rounding turns RDKit's information content into noise, and it takes the fourth power of the size; distances and
# eigenvalues take its cube; counts over rings grow with the rings, of which a carbon torus has thousands.
INFORMATION_ATOMS = 64
DISTANCE_ATOMS = 400
RINGS = 500
NOT_BONDED = 1e6  # RDKit's distances between fragments are larger
PROPERTIES: dict[str, Callable[[Chem.Mol], float]] = {
    "weight": Descriptors.MolWt,  # type: ignore[attr-defined]
    "logP": Descriptors.MolLogP,  # type: ignore[attr-defined]
    "polar surface": Descriptors.TPSA,  # type: ignore[attr-defined]
    "rings": Descriptors.RingCount,  # type: ignore[attr-defined]
}
MATCHED: dict[str, Callable[[Chem.Mol], float]] = {  # what decoys have in common with those that they stand beside
    **PROPERTIES,
    "donors": Descriptors.NumHDonors,  # type: ignore[attr-defined]
    "acceptors": Descriptors.NumHAcceptors,  # type: ignore[attr-defined]
    "rotatable bonds": Descriptors.NumRotatableBonds,  # type: ignore[attr-defined]
    "charge": Chem.GetFormalCharge,
}
_NEIGHBOUR_BLOCK = 512  # queries compared with the pool at a time
_CACHE_ROWS = 60_000
_cached: dict[str, dict[str, np.ndarray]] = {}


@cache
def _morgan() -> Any:
    return rdFingerprintGenerator.GetMorganGenerator(radius=2, fpSize=FINGERPRINT_SIZE)


def _bits(molecule: Chem.Mol) -> np.ndarray:
    return _morgan().GetFingerprintAsNumPy(molecule).astype(np.uint8)


def _counts(molecule: Chem.Mol) -> np.ndarray:
    return np.minimum(_morgan().GetCountFingerprintAsNumPy(molecule), 65_535).astype(np.uint16)


def is_affordable(name: str, atoms: int, rings: int) -> bool:
    """Whether the descriptor of that name is computed for a molecule of so many atoms and rings."""
    if name in ("Ipc", "AvgIpc"):
        return atoms <= INFORMATION_ATOMS
    if name in ("BalabanJ", "BertzCT") or name.startswith("BCUT2D") or "EState" in name:
        return atoms <= DISTANCE_ATOMS
    return rings <= RINGS or not name.startswith(("NumAliphatic", "NumBridgehead", "NumSaturated", "NumSpiro"))


def _information(molecule: Chem.Mol) -> tuple[float, float]:
    """RDKit's ``Ipc`` and ``AvgIpc``, which it derives from one polynomial that takes most of the time of either."""
    if not hasattr(molecule, "_information"):
        adjacency = np.equal(Chem.GetDistanceMatrix(molecule, False), 1).astype(np.float64)
        polynomial = abs(Graphs.CharacteristicPolynomial(molecule, adjacency))
        average = entropy.InfoEntropy(polynomial)  # type: ignore[attr-defined]
        molecule._information = sum(polynomial) * average, average
    found: tuple[float, float] = molecule._information
    return found


def _states(molecule: Chem.Mol) -> Chem.Mol:
    """The molecule with what RDKit's ``EStateIndices`` computes of it, atom by atom in that order, and keeps there."""
    if not hasattr(molecule, "_eStateIndices"):
        atoms, outer = list(molecule.GetAtoms()), Chem.GetPeriodicTable().GetNOuterElecs
        own = np.zeros(len(atoms))
        for place, atom in enumerate(atoms):
            if degree := atom.GetDegree():
                number, shell = atom.GetAtomicNum(), EState.GetPrincipleQuantumNumber(atom.GetAtomicNum())
                own[place] = (4.0 / (shell * shell) * (outer(number) - atom.GetTotalNumHs()) + 1) / degree
        apart = Chem.GetDistanceMatrix(molecule, useBO=False, useAtomWts=False) + 1
        shares = np.where(apart < NOT_BONDED, (own[:, None] - own[None, :]) / (apart * apart), 0.0)
        molecule._eStateIndices = np.cumsum(shares, axis=1)[:, -1] + own
    return molecule


# The same numbers as RDKit's own functions, in a fraction of their time.
QUICKER: dict[str, Callable[[Chem.Mol], float]] = {
    "Ipc": lambda molecule: _information(molecule)[0],
    "AvgIpc": lambda molecule: _information(molecule)[1],
    **{
        function.__name__: partial(lambda function, molecule: function(_states(molecule), force=0), function)
        for function in (
            EState.MaxAbsEStateIndex,
            EState.MaxEStateIndex,
            EState.MinAbsEStateIndex,
            EState.MinEStateIndex,
        )
    },
}


def _descriptors(molecule: Chem.Mol) -> np.ndarray:
    size = molecule.GetNumAtoms(), molecule.GetRingInfo().NumRings()
    with rdBase.BlockLogs():
        values = [
            _finite(QUICKER.get(name, function), molecule) if is_affordable(name, *size) else np.nan
            for name, function in Descriptors.descList
        ]
    return np.asarray(values, dtype=np.float64)


def _graph_bits(molecule: Chem.Mol) -> np.ndarray:
    try:
        return _bits(MurckoScaffold.MakeScaffoldGeneric(molecule))
    except (ValueError, RuntimeError):  # an atom with more bonds than carbon can have
        return _bits(MurckoScaffold.GetScaffoldForMol(molecule))


def _properties(molecule: Chem.Mol) -> np.ndarray:
    return np.array([_finite(function, molecule) for function in PROPERTIES.values()])


def _matched_properties(molecule: Chem.Mol) -> np.ndarray:
    return np.array([_finite(function, molecule) for function in MATCHED.values()])


def _finite(function: Callable[[Chem.Mol], float], molecule: Chem.Mol) -> float:
    """A descriptor's value, NaN where RDKit cannot compute it for this molecule (no charges, say)."""
    try:
        value = float(function(molecule))
    except (ValueError, RuntimeError, ZeroDivisionError, OverflowError):
        return np.nan
    return value if np.isfinite(value) else np.nan


def computed_once(kind: str, compute: Callable[[str], np.ndarray], smiles: Iterable[str]) -> np.ndarray:
    """A row of numbers for each structure, which is computed when it is first asked for. Shape (n, ...)."""
    known = _cached.setdefault(kind, {})
    if len(known) > _CACHE_ROWS:
        known.clear()
    rows = []
    for text in smiles:
        if text not in known:
            known[text] = compute(text)
        rows.append(known[text])
    return np.stack(rows)


def remembered() -> dict[str, dict[str, np.ndarray]]:
    """What was computed so far, by kind and SMILES, for another process to `remember`."""
    return _cached


def remember(computed: dict[str, dict[str, np.ndarray]]) -> None:
    """Take over what another process has computed."""
    for kind, rows in computed.items():
        _cached.setdefault(kind, {}).update(rows)


def _parsed(compute: Callable[[Chem.Mol], np.ndarray]) -> Callable[[str], np.ndarray]:
    def computed(text: str) -> np.ndarray:
        with rdBase.BlockLogs():
            return compute(Chem.MolFromSmiles(text))

    return computed


def morgan_bits(smiles: Iterable[str]) -> np.ndarray:
    """Morgan fingerprints of radius 2. Shape (n, 2048), 0 or 1."""
    return computed_once("bits", _parsed(_bits), smiles)


def graph_bits(smiles: Iterable[str]) -> np.ndarray:
    """`morgan_bits` of molecules whose atoms are all carbon and whose bonds are all single; of the scaffold as it is
    where that is no molecule. Shape (n, 2048), 0 or 1."""
    return computed_once("graph bits", _parsed(_graph_bits), smiles)


def morgan_counts(smiles: Iterable[str]) -> np.ndarray:
    """Morgan count fingerprints of radius 2. Shape (n, 2048)."""
    return computed_once("counts", _parsed(_counts), smiles)


def descriptors(smiles: Iterable[str]) -> np.ndarray:
    """All of RDKit's 2D descriptors. Shape (n, number of descriptors).

    NaN where one is undefined, or not `is_affordable` for a molecule of that size.
    """
    return computed_once("descriptors", _parsed(_descriptors), smiles)


def descriptor_names() -> list[str]:
    """The columns of `descriptors`: those of `PROPERTIES` by their name there, others as RDKit calls them."""
    words = {function: name for name, function in PROPERTIES.items()}
    return [words.get(function, name) for name, function in Descriptors.descList]


def properties(smiles: Iterable[str]) -> np.ndarray:
    """`PROPERTIES` of molecules. Shape (n, 4)."""
    return computed_once("properties", _parsed(_properties), smiles)


def matched_properties(smiles: Iterable[str]) -> np.ndarray:
    """`MATCHED` of molecules. Shape (n, 8)."""
    return computed_once("matched", _parsed(_matched_properties), smiles)


def differential_bits(reactions: Iterable[str]) -> np.ndarray:
    """Differential reaction fingerprints of reaction SMILES (Probst et al. 2022). Shape (n, 2048), 0 or 1.

    The bits of `drfp.DrfpEncoder.encode` with its defaults; what each molecule contributes is found once.

    Raises
    ------
    InputError
        If the package ``drfp`` is not installed.
    """
    return computed_once("differential", _differential, reactions)


def _differential(reaction: str) -> np.ndarray:
    reactants, agents, products = split_reaction(reaction)
    before = frozenset().union(*(_shingles(part) for part in f"{reactants}.{agents}".split(".") if part))
    after = frozenset().union(*(_shingles(part) for part in products.split(".") if part))
    encoder = _drfp()
    return encoder.fold(encoder.hash(sorted(before ^ after)), length=FINGERPRINT_SIZE)[0]


@lru_cache(maxsize=20_000)
def _shingles(smiles: str) -> frozenset[bytes]:
    return frozenset(_drfp().shingling_from_mol(Chem.MolFromSmiles(smiles)))


@cache
def _drfp() -> Any:
    try:
        from drfp import DrfpEncoder
    except ImportError as error:
        raise InputError(
            "fingerprints of reactions need the package drfp: pip install --no-deps drfp (the packages that it lists "
            "itself are not needed here)"
        ) from error
    return DrfpEncoder


KINDS: dict[str, Callable[[Chem.Mol], np.ndarray]] = {"bits": _bits, "counts": _counts, "descriptors": _descriptors}


def compute_features(smiles: Sequence[str], kinds: Sequence[str]) -> dict[str, list[np.ndarray]]:
    """Features of canonical SMILES, kept nowhere; for use in another process."""
    molecules = [Chem.MolFromSmiles(text) for text in smiles]
    return {kind: [KINDS[kind](molecule) for molecule in molecules] for kind in kinds}


def remember_features(smiles: Sequence[str], features: dict[str, list[np.ndarray]]) -> None:
    """Take in what `compute_features` found, so that the arms need not compute it again."""
    for kind, rows in features.items():
        _cached.setdefault(kind, {}).update(zip(smiles, rows, strict=True))


def forget_features() -> None:
    """Empty the cache, for streams of molecules that never come again."""
    _cached.clear()


def tanimoto(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Tanimoto similarity of rows, for bits or counts: a.b / (a.a + b.b - a.b). Shape (n_a, n_b).

    The inner-product form for counts is that of Ralaivola et al., Neural Networks 2005. Two rows
    without any feature are alike (1).
    """
    x, y = a.astype(np.float32), b.astype(np.float32)
    product = x @ y.T
    total = (x * x).sum(axis=1)[:, None] + (y * y).sum(axis=1)[None, :] - product
    return np.divide(product, total, out=np.ones_like(product), where=total > 0)


def nearest_rows(
    queries: np.ndarray, pool: np.ndarray, apart: tuple[np.ndarray, np.ndarray] | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """``(similarity, index)`` of the most similar row of ``pool`` for each query. Shapes (n,).

    ``apart`` holds a group per query and per row of the pool; rows of a query's own group count as
    having nothing in common with it.
    """
    best = np.empty(len(queries), dtype=np.float64)
    index = np.empty(len(queries), dtype=int)
    for start in range(0, len(queries), _NEIGHBOUR_BLOCK):
        block = slice(start, start + _NEIGHBOUR_BLOCK)
        similarity = tanimoto(queries[block], pool)
        if apart is not None:
            similarity[apart[0][block, None] == apart[1][None, :]] = 0.0
        index[block] = similarity.argmax(axis=1)
        best[block] = similarity.max(axis=1)
    return best, index


class CleanDescriptors(TransformerMixin, BaseEstimator):
    """Impute, standardise and clip descriptors with what the training rows show, and no more.

    Medians fill undefined values; columns are standardised after a signed logarithm tames the
    few that span many orders of magnitude; then clipped to ``limit`` standard deviations.

    Parameters
    ----------
    limit : float
        Clipping bound in training standard deviations.
    """

    def __init__(self, limit: float = 5.0) -> None:
        self.limit = limit

    def fit(self, X: np.ndarray, y: Any = None) -> CleanDescriptors:
        with np.errstate(all="ignore"):
            present = np.isfinite(X).any(axis=0)
        self.median_ = np.zeros(X.shape[1])
        self.median_[present] = np.nanmedian(X[:, present], axis=0)
        self.wide_ = np.nanmax(np.abs(np.where(np.isfinite(X), X, 0)), axis=0) > 1e4
        filled = self._filled(X)
        self.mean_, self.std_ = filled.mean(axis=0), filled.std(axis=0)
        self.kept_ = np.flatnonzero(self.std_ > 1e-9 * (1 + np.abs(self.mean_)))
        return self

    def _filled(self, X: np.ndarray) -> np.ndarray:
        filled = np.where(np.isfinite(X), X, self.median_)
        return np.where(self.wide_, np.sign(filled) * np.log1p(np.abs(filled)), filled)

    def transform(self, X: np.ndarray) -> np.ndarray:
        """Shape (n, kept columns), float64 within ``[-limit, limit]``."""
        scaled = (self._filled(X)[:, self.kept_] - self.mean_[self.kept_]) / self.std_[self.kept_]
        return np.clip(scaled, -self.limit, self.limit)
