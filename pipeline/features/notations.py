"""One molecule in several notations."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any

import numpy as np
from rdkit import Chem, rdBase

from pipeline.errors import InputError, unknown
from pipeline.tables.molecules import MoleculeError

CANONICAL, RANDOMISED, SELFIES, DEEPSMILES, INCHI, NAME = (
    "canonical",
    "randomised",
    "selfies",
    "deepsmiles",
    "inchi",
    "name",
)
MOST_SPELLINGS = 50
_REMEMBERED = 50_000


@dataclass(frozen=True)
class Representation:
    """How an arm that reads text is shown a molecule.

    Attributes
    ----------
    notation : str
    spellings : int
        SMILES of each molecule; more than one of `RANDOMISED` alone.
    """

    notation: str
    spellings: int = 1

    @classmethod
    def of(cls, text: str) -> Representation:
        """As users write it: a notation, or ``randomised:K``.

        Raises
        ------
        InputError
            For anything else, or where a notation needs a package that is not installed.
        """
        notation, colon, count = text.strip().lower().partition(":")
        if notation not in NOTATIONS:
            raise unknown("representation", text, [*(name for name in NOTATIONS if name != RANDOMISED), "randomised:K"])
        if not colon:
            _WRITERS[notation]()
            return cls(notation)
        if notation != RANDOMISED or not (count.isdigit() and 1 <= int(count) <= MOST_SPELLINGS):
            raise InputError(f"representation {text!r}: a number from 1 to {MOST_SPELLINGS} stands behind randomised:")
        return cls(notation, int(count))

    def __str__(self) -> str:
        return f"{self.notation}:{self.spellings}" if self.notation == RANDOMISED else self.notation

    @property
    def has_symbols(self) -> bool:
        """Whether it is made of symbols of atoms, bonds and rings, as SMILES is."""
        return self.notation not in (INCHI, NAME)

    def texts(self, smiles: str, seed: int = 0) -> list[str]:
        """A molecule in this notation, once or in each of its spellings.

        Raises
        ------
        MoleculeError
            If the notation cannot write it.
        """
        if self.notation == RANDOMISED:
            return random_spellings(smiles, self.spellings, seed)
        return [written(smiles, self.notation)]


@lru_cache(_REMEMBERED)
def written(smiles: str, notation: str) -> str:
    """A canonical SMILES in another notation; raises `MoleculeError` where that cannot write it."""
    with rdBase.BlockLogs():
        return _WRITERS[notation]()(smiles)


@lru_cache(_REMEMBERED)
def _spelled(smiles: str, count: int, seed: int) -> tuple[str, ...]:
    """Different SMILES as long as there are some: a small molecule has few."""
    drawn = int.from_bytes(hashlib.sha256(f"{seed} {smiles}".encode()).digest()[:4], "big") >> 1
    found: dict[str, None] = {}
    with rdBase.BlockLogs():
        molecule = Chem.MolFromSmiles(smiles)
        for start in range(0, 4 * count, count):
            for text in Chem.MolToRandomSmilesVect(molecule, count, randomSeed=drawn + start):
                found.setdefault(text)
    some = list(found)
    return tuple(some[place % len(some)] for place in range(count))


def random_spellings(smiles: str, count: int, seed: int) -> list[str]:
    """So many SMILES of a molecule that begin at random atoms; the same for the same molecule and seed."""
    return list(_spelled(smiles, count, seed))


def other_spellings(smiles: str, count: int, seed: int) -> list[str]:
    """Up to so many different SMILES of a molecule that are not its canonical one; the same for the same seed."""
    drawn = dict.fromkeys(_spelled(smiles, count + 1, seed))
    return [text for text in drawn if text != smiles][:count]


def spelling_of_like_length(smiles: str, seed: int) -> str:
    """Of many random SMILES of a molecule the other one whose length is nearest to that of its canonical SMILES; empty
    where there is no other."""
    others = other_spellings(smiles, MOST_SPELLINGS, seed)
    return min(others, key=lambda text: abs(len(text) - len(smiles)), default="")


def kekulised(smiles: str) -> str:
    """The canonical SMILES with single and double bonds in place of aromatic ones, as many databases write it."""
    molecule = Chem.MolFromSmiles(smiles)
    Chem.Kekulize(molecule, clearAromaticFlags=True)
    return str(Chem.MolToSmiles(molecule))


def unwritable(smiles: Sequence[str], representations: Sequence[Representation]) -> dict[str, str]:
    """Why a molecule cannot be written in one of these notations, for those that cannot."""
    found, others = {}, [one for one in representations if one.notation not in (CANONICAL, RANDOMISED)]
    for text in smiles if others else ():
        for one in others:
            try:
                one.texts(text)
            except MoleculeError as error:
                found[text] = str(error)
                break
    return found


def _canonical() -> Callable[[str], str]:
    return lambda smiles: smiles


def _selfies() -> Callable[[str], str]:
    import selfies

    def write(smiles: str) -> str:
        try:
            return str(selfies.encoder(smiles))
        except selfies.EncoderError as error:
            raise MoleculeError(f"SELFIES cannot write this molecule: {_short(error)}") from None

    return write


def _deepsmiles() -> Callable[[str], str]:
    try:
        import deepsmiles
    except ImportError as error:
        raise _missing("deepsmiles") from error
    converter = deepsmiles.Converter(rings=True, branches=True)
    return lambda smiles: str(converter.encode(smiles))


def _inchi() -> Callable[[str], str]:
    def write(smiles: str) -> str:
        found = Chem.MolToInchi(Chem.MolFromSmiles(smiles))
        if not found:
            raise MoleculeError("InChI cannot write this molecule")
        return str(found)

    return write


def _name() -> Callable[[str], str]:
    try:
        import openclatura
    except ImportError as error:
        raise _missing("openclatura") from error

    def write(smiles: str) -> str:
        try:
            found = openclatura.name(smiles)
        except Exception as error:  # a rule that fails on a molecule may raise anything
            raise MoleculeError(f"no IUPAC name: {_short(error)}") from None
        if found.error or not found.name:
            raise MoleculeError(f"no IUPAC name: {_short(found.error or 'none was found')}")
        return str(found.name)

    return write


def _short(error: object) -> str:
    return " ".join(str(error).split())[:120]


def _missing(package: str) -> InputError:
    return InputError(f"this notation needs the package {package}: pip install 'chemtune[notations]'")


_WRITERS: dict[str, Callable[[], Callable[[str], str]]] = {
    CANONICAL: _canonical,
    RANDOMISED: _canonical,  # see `random_spellings`
    SELFIES: cache(_selfies),
    DEEPSMILES: cache(_deepsmiles),
    INCHI: cache(_inchi),
    NAME: cache(_name),
}
NOTATIONS = tuple(_WRITERS)


def representations(texts: Sequence[str]) -> tuple[Representation, ...]:
    """Those that users name; raises as `Representation.of`, and for one that stands twice."""
    found = tuple(Representation.of(text) for text in texts)
    if len(set(found)) < len(found):
        raise InputError(f"representation {','.join(texts)!r} names a notation twice")
    return found


def repeated(values: Any, times: int) -> Any:
    """Each value so many times in a row, shape (n * times,); None of None."""
    return None if values is None else np.repeat(np.asarray(values), times, axis=0)
