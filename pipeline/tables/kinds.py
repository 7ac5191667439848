"""What a row of a table can be, and what follows from that for all above."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Kind:
    """What a row is.

    Attributes
    ----------
    name, one : str
        In the plural, and in the singular.
    target_option : str
        The option of the command line that names the column of the target.
    has_scaffolds : bool
        Whether a row has one structure, with a scaffold and properties of a molecule.
    """

    name: str
    one: str
    target_option: str
    has_scaffolds: bool

    def __str__(self) -> str:
        return self.name


MOLECULES = Kind("molecules", "molecule", "--target", has_scaffolds=True)
REACTIONS = Kind("reactions", "reaction", "--yield", has_scaffolds=False)
KINDS = {kind.name: kind for kind in (MOLECULES, REACTIONS)}
