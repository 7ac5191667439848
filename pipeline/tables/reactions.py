"""Reactions: reaction SMILES or named components to canonical ones, each molecule parsed by RDKit."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, ClassVar

import numpy as np
import pandas as pd
from rdkit import Chem

from pipeline.errors import InputError
from pipeline.tables.kinds import REACTIONS, Kind
from pipeline.tables.measurements import MISSING
from pipeline.tables.molecules import MoleculeError, Parent, canonical_smiles, written

ROLES = ("reactants", "agents", "products")
PERCENT, FRACTION = "percent", "fraction"
YIELD_UNITS = (PERCENT, FRACTION)
HIGHEST_YIELD = 110.0  # percent; above 100 by the error of an analysis, further above by a slip
SUCCESS, FAILURE = "success", "failure"


@dataclass(frozen=True)
class Reaction:
    """A reaction as the rest of the program needs it.

    ``smiles`` is the canonical reaction SMILES without atom maps, ``components`` holds each component by
    name: a canonical SMILES (several molecules joined by dots), a name as written, or nothing where
    the reaction has none. ``restated`` is in canonical form what a table gives as the reaction: its SMILES, or its
    components one after the other. ``identity``, ``parent`` and ``scaffold`` play the part they play for a
    molecule: the first names the reaction, and no two reactions share a name by being alike.
    """

    kind: ClassVar[Kind] = REACTIONS
    smiles: str
    identity: str
    components: dict[str, str]
    restated: str = ""

    @property
    def parent(self) -> Parent:
        return Parent(self.smiles, (self.identity, self.identity))

    @property
    def scaffold(self) -> str:
        return ""


_ARROW = re.compile(r"(?<!-)>")  # `->` is a dative bond, in which no part of a reaction SMILES can end
_JOINT = re.compile(r"(\s\|[^|]*\|)|\s*((?<!-)>|\.)\s*")  # the block of a CXSMILES, or what joins parts of a SMILES
OF_REACTION = " of the reaction"


def is_reaction(text: str) -> bool:
    """Whether a SMILES is that of a reaction; dative bonds make none of a molecule."""
    return _ARROW.search(text) is not None


def split_reaction(text: str) -> list[str]:
    """The parts of a reaction SMILES between its arrows; three for a whole one. Dative bonds stay whole."""
    return _ARROW.split(text)


def role_names(taken: Collection[str]) -> dict[str, str]:
    """What the roles of a reaction are called as components, none of them like a column of the user's."""
    names = {}
    for role in ROLES:
        name = role
        while name in taken:
            name += OF_REACTION
        names[role] = name
    return names


def role_of(name: str) -> str:
    """The role that a name of `role_names` stands for."""
    while name.endswith(OF_REACTION):
        name = name.removesuffix(OF_REACTION)
    return name


def without_spaces(text: str) -> str:
    """A reaction SMILES without the white space around its arrows and dots; what stands behind it may lose some."""
    return _JOINT.sub(lambda found: found[1] or found[2], text.strip())


def reaction_roles(text: str) -> dict[str, str]:
    """Canonical SMILES of the reactants, agents and products of a reaction SMILES, by role.

    Atom maps are removed; the molecules of a role stand in the order of their text, so that two ways of writing one
    reaction give the same. Spaces around arrows and dots are passed over, as is what follows the SMILES.

    Raises
    ------
    MoleculeError
        If the text is not of the form ``reactants>agents>products`` (agents may be missing), has no reactant or
        no product, one of its molecules cannot be parsed, or more than a name stands behind it.
    """
    parts = split_reaction(written(without_spaces(text)).smiles)
    if len(parts) != 3:
        raise MoleculeError("not a reaction SMILES: it must read reactants>agents>products or reactants>>products")
    roles = {}
    for role, part in zip(ROLES, parts, strict=True):
        try:
            roles[role] = ".".join(sorted(_canonical(piece) for piece in part.split(".") if piece))
        except MoleculeError as error:
            raise MoleculeError(f"in the {role}: {error}") from None
    for role in ("reactants", "products"):
        if not roles[role]:
            raise MoleculeError(f"a reaction SMILES without {role}")
    return roles


@lru_cache(maxsize=20_000)
def _canonical(smiles: str) -> str:
    try:
        return canonical_smiles(smiles)
    except MoleculeError as error:
        raise MoleculeError(f"{smiles!r}: {error}") from None


def appearing_elements(reaction: str) -> list[str]:
    """Elements of the products that nothing before the arrow holds, by symbol."""
    reactants, agents, products = split_reaction(reaction)
    before = _elements(reactants) | _elements(agents)
    return sorted(_elements(products) - before)


def appearing_rows(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """``line``, ``elements`` and ``reaction`` of each row with such products, by line."""
    found = [
        {"line": int(line), "elements": elements, "reaction": text}
        for line, text in zip(frame["line"], frame["smiles"], strict=True)
        if (elements := appearing_elements(text))
    ]
    return sorted(found, key=lambda one: one["line"])


@lru_cache(maxsize=20_000)
def _elements(smiles: str) -> frozenset[str]:
    molecule = Chem.MolFromSmiles(smiles)
    return frozenset(atom.GetSymbol() for atom in molecule.GetAtoms())


def is_absent(cell: str) -> bool:
    """Whether a component's cell says that the reaction has no such component."""
    return cell.strip().lower() in MISSING


def is_product(column: str) -> bool:
    """Whether a component's column is called product, or product with a number: it stands behind the arrow."""
    return re.fullmatch(r"products?([ _]?\d+)?([ _]smiles)?", column.strip().lower()) is not None


def holds_structures(cells: pd.Series) -> bool:
    """Whether a component column holds SMILES rather than names: at least half of its distinct values parse."""
    values = [value for value in cells.str.strip().unique() if not is_absent(value)]
    parsed = 0
    for value in values:
        try:
            _canonical(value)
            parsed += 1
        except MoleculeError:
            continue
    return bool(values) and parsed >= 0.5 * len(values)


class ReactionReader:
    """Cells of a row to a `Reaction`.

    Parameters
    ----------
    reaction : str
        Column of the reaction SMILES; empty if the components say all.
    structures, names : sequence of str
        Columns of components that hold SMILES, and of those that hold names.
    order : sequence of str
        All columns of components in the order in which they are stated.
    taken : collection of str
        Other columns of the user's, which the roles of a reaction without components are not to be called.
    """

    def __init__(
        self,
        reaction: str,
        structures: Sequence[str] = (),
        names: Sequence[str] = (),
        order: Sequence[str] = (),
        taken: Collection[str] = (),
    ) -> None:
        self.roles = role_names(taken)
        self.reaction = reaction
        self.structures = set(structures)
        self.names = set(names)
        self.order = tuple(order)

    def read(self, cells: Mapping[str, str]) -> Reaction:
        """One row.

        Raises
        ------
        MoleculeError
            With the column that is at fault in `column`.
        """
        components: dict[str, str] = {}
        for column in self.order:
            cell = cells[column].strip()
            if is_absent(cell):
                components[column] = ""
            elif column in self.structures:
                components[column] = _in_column(column, cell)
            else:
                components[column] = " ".join(cell.split())
        if self.reaction:
            try:
                roles = reaction_roles(cells[self.reaction])
            except MoleculeError as error:
                raise ComponentError(self.reaction, str(error)) from None
            smiles = ">".join(roles[role] for role in ROLES)
            restated = smiles
            components = components or {self.roles[role]: roles[role] for role in ROLES}
        else:
            stated = [name for name in self.order if name in self.structures and components[name]]
            left = ".".join(components[name] for name in stated if not is_product(name))
            smiles = f"{left}>>{'.'.join(components[name] for name in stated if is_product(name))}"
            restated = ".".join(components.values())
        if not any(components.values()):
            raise ComponentError(self.order[0], "every component is missing")
        named = sorted((role_of(name) if self.reaction else name, value) for name, value in components.items())
        name = hashlib.sha256(repr((smiles, named)).encode()).hexdigest()[:20]
        return Reaction(smiles, f"reaction-{name}", components, restated)


class ComponentError(MoleculeError):
    """A component that cannot be used; ``column`` says which."""

    def __init__(self, column: str, reason: str) -> None:
        super().__init__(reason)
        self.column = column


def canonical_component(cell: str) -> str:
    """The SMILES of a component as a table of reactions holds it; nothing for a component that is absent.

    Raises
    ------
    MoleculeError
        If it cannot be parsed.
    """
    return "" if is_absent(cell) else ".".join(sorted(_canonical(cell.strip()).split(".")))


def _in_column(column: str, cell: str) -> str:
    try:
        return canonical_component(cell)
    except MoleculeError as error:
        raise ComponentError(column, str(error).split(": ", 1)[-1]) from None


def check_yields(values: np.ndarray, unit: str, source: str, column: str) -> None:
    """Raise `InputError` where a column of yields cannot be in the unit that was stated.

    Parameters
    ----------
    values : ndarray of shape (n,)
        As the column holds them.
    unit : {"percent", "fraction"}
    """
    if not len(values):
        return
    if unit == PERCENT and values.max() <= 1.0:
        raise InputError(
            f"{source}: no yield in {column!r} is above 1, so they look like fractions of 1 and not like percentages; "
            "say --yield-unit fraction"
        )
    if unit == FRACTION and np.mean(values > HIGHEST_YIELD / 100) > 0.05:
        raise InputError(
            f"{source}: {np.mean(values > 1.0):.0%} of the yields in {column!r} are above 1, so they look like "
            "percentages and not like fractions of 1; say --yield-unit percent"
        )
