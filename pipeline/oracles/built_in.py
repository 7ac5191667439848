"""The oracles that come with chemtune, a row each; loading this file loads nothing heavy."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class BuiltIn:
    """What is known of an oracle before it is used.

    Attributes
    ----------
    target, units : str
        The column of its values, and what they are measured in.
    does : str
        What it computes, in a line.
    function, version : str
        ``module:function`` from a canonical SMILES to its value, and of what says how values are made, and by which
        versions: values of another version are not its own.
    package, extra : str
        The package that it needs beside those of chemtune, and the extra that brings it; empty where it needs none.
    """

    target: str
    units: str
    does: str
    function: str
    version: str
    package: str = ""
    extra: str = ""

    @property
    def needs(self) -> str:
        return f'pip install "chemtune[{self.extra}]"' if self.extra else "nothing more"


BUILT_IN = {
    "xtb_gap": BuiltIn(
        "gap",
        "eV",
        "HOMO-LUMO gap by GFN2-xTB of one force-field conformer",
        "pipeline.oracles.xtb:gap",
        "pipeline.oracles.xtb:version",
        package="tblite",
        extra="xtb",
    ),
    "logp": BuiltIn(
        "logP",
        "",
        "octanol/water logP by Crippen's atom contributions, as in RDKit",
        "pipeline.oracles.logp:logp",
        "pipeline.oracles.logp:version",
    ),
}
