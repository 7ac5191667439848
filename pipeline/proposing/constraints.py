"""What a designed molecule must and must not be, besides having the wanted value."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any

from rdkit import Chem, rdBase
from rdkit.Chem import Descriptors
from rdkit.Chem.FilterCatalog import FilterCatalog, FilterCatalogParams

from pipeline.errors import InputError, unknown
from pipeline.tables.molecules import foreign_character

ALERTS = tuple(str(name) for name in FilterCatalogParams.FilterCatalogs.names if name != "ALL")


@dataclass(frozen=True)
class Constraints:
    """Each part is asked only where it is given.

    Attributes
    ----------
    contains : tuple of str
        SMARTS; a molecule must match each.
    max_weight : float
        In g/mol; 0 for any.
    elements : tuple of str
        The elements that may occur besides hydrogen.
    alerts : tuple of str
        Filter catalogues of RDKit; a molecule must match none of their patterns.
    max_sa : float
        Largest synthetic accessibility score (Ertl and Schuffenhauer 2009), from 1 (easy) to 10; 0 for any.

    Raises
    ------
    InputError
        For a SMARTS that cannot be read, an unknown element or catalogue.
    """

    contains: tuple[str, ...] = ()
    max_weight: float = 0.0
    elements: tuple[str, ...] = ()
    alerts: tuple[str, ...] = ()
    max_sa: float = 0.0

    def __post_init__(self) -> None:
        for smarts in self.contains:
            pattern(smarts)
        table = Chem.GetPeriodicTable()
        for symbol in self.elements:
            with rdBase.BlockLogs():
                known = symbol.isalpha() and _is_element(table, symbol)
            if not known:
                raise InputError(f"--elements {symbol!r}: is no element; write symbols, such as C,N,O,F")
        for name in self.alerts:
            if name not in ALERTS:
                raise unknown("filter catalogue (--alerts)", name, ALERTS)

    @property
    def any(self) -> bool:
        """Whether something is asked."""
        return bool(self.contains or self.max_weight or self.elements or self.alerts or self.max_sa)

    def why_not(self, smiles: str) -> str:
        """Why a molecule is not wanted; empty where it is."""
        molecule = Chem.MolFromSmiles(smiles)
        for smarts in self.contains:
            if not molecule.HasSubstructMatch(pattern(smarts)):
                return f"does not contain {smarts}"
        if self.max_weight and Descriptors.MolWt(molecule) > self.max_weight:  # type: ignore[attr-defined]
            return f"heavier than {self.max_weight:g} g/mol"
        strange = sorted({atom.GetSymbol() for atom in molecule.GetAtoms()} - {*self.elements, "H"})
        if self.elements and strange:
            return f"contains {', '.join(strange)}"
        for name in self.alerts:
            if found := _catalogue(name).GetFirstMatch(molecule):
                return f"{name} alert: {found.GetDescription()}"
        if self.max_sa and sa_score(smiles) > self.max_sa:
            return f"SA score above {self.max_sa:g}"
        return ""


def _is_element(table: Any, symbol: str) -> bool:
    try:
        return bool(table.GetAtomicNumber(symbol) > 0)
    except RuntimeError:
        return False


@cache
def pattern(smarts: str) -> Any:
    """A SMARTS as RDKit has it; `InputError` where it is none, or has a character that RDKit would end it at."""
    foreign = foreign_character(smarts)
    if foreign:
        raise InputError(
            f"--contains {smarts!r}: {foreign} is in no SMARTS pattern; write it in plain ASCII, no spaces"
        )
    with rdBase.BlockLogs():
        found = Chem.MolFromSmarts(smarts)
    if found is None or not found.GetNumAtoms():
        raise InputError(f"--contains {smarts!r}: is no SMARTS pattern; write one such as c1ccccc1N=N")
    return found


@cache
def _catalogue(name: str) -> Any:
    return FilterCatalog(FilterCatalogParams(getattr(FilterCatalogParams.FilterCatalogs, name)))


@lru_cache(50_000)
def sa_score(smiles: str) -> float:
    """Synthetic accessibility from 1 (easy) to 10 (hard), by the code and fragments that RDKit ships (Ertl and
    Schuffenhauer, J. Cheminf. 2009, 1, 8)."""
    from rdkit.Contrib.SA_Score import sascorer

    return float(sascorer.calculateScore(Chem.MolFromSmiles(smiles)))
