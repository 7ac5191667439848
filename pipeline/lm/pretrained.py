"""Adapters that have learned to compute RDKit's descriptors, for `lm-head` to start from, and some that have learned to
write molecules, for `chemtune design`.

A language model has read little chemistry, and a few hundred rows are few to learn it from. What a molecule's
descriptors are is known for any structure, without a measurement, so adapters learn that once
(`scripts/pretrain_adapter.py`) and are shipped; a training then starts from them and not from adapters that do
nothing. docs/engine.md has what that is worth. So it is with SMILES as such, which few rows do not teach to write
(`scripts/pretrain_writer.py`, docs/design.md). No measured value of any table was used.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.defaults import ATOMWISE, AUTO, DEFAULT_MODEL, PLAIN
from pipeline.errors import InputError
from pipeline.files import sha256, shipped_folder
from pipeline.lm.defaults import TrainingSettings
from pipeline.prompts.templates import PromptTemplate

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class PretrainedAdapter:
    """A shipped adapter: its file, and the model, layers and adapter shape that it is for.

    ``corpus`` names the tables whose structures it has seen, ``molecules`` counts them; ``covers`` are the built-in
    tables that have no others. ``knows`` says what it has learned.
    """

    file: str
    sha256: str
    layers: int
    rank: int
    alpha: int
    molecules: int
    corpus: tuple[str, ...]
    covers: tuple[str, ...] = ()
    knows: str = "compute RDKit's descriptors"

    @property
    def described(self) -> str:
        return (
            f"adapters that {self.knows}, learned from the structures of {self.molecules:,} molecules "
            f"({', '.join(self.corpus)}; no measured value)"
        )

    @property
    def path(self) -> Path:
        return shipped_folder("data") / self.file

    def load(self) -> dict[str, torch.Tensor]:
        """The adapter's weights by name, in fp32.

        Raises
        ------
        InputError
            If the file is not the one that was shipped.
        """
        from safetensors.torch import load_file

        if not self.path.is_file() or sha256(self.path) != self.sha256:
            raise InputError(
                f"{self.path}: missing or changed; install chemtune again, or go without it with --start {PLAIN}"
            )
        return {name: tensor.float() for name, tensor in load_file(self.path).items()}

    def header(self) -> dict[str, str]:
        """What the header of the file says."""
        from safetensors import safe_open

        with safe_open(self.path, framework="pt") as file:
            return dict(file.metadata() or {})


ADAPTERS = {
    DEFAULT_MODEL: PretrainedAdapter(
        file="smollm2-135m-descriptors.safetensors",
        sha256="0f314e61545a1f83ce68bba54a5363be33cf0a7ddafb790cdd203a7ca59649a3",
        layers=5,
        rank=16,
        alpha=32,
        molecules=10_843,
        corpus=("lipophilicity", "b3db"),
        covers=("lipophilicity", "b3db", "b3db-logbb"),
    )
}

MOLECULE_WRITERS = {  # the files also hold the layer over the words (`pipeline.arms.writing`)
    DEFAULT_MODEL: PretrainedAdapter(
        file="smollm2-135m-writer.safetensors",
        sha256="7221631cf12e3ce211eb2d11a925462dbd838eaa716b06f5a059189f79321972",
        layers=5,
        rank=16,
        alpha=32,
        molecules=14_774,
        corpus=("lipophilicity", "b3db", "tox21"),
        knows="write molecules",
    )
}


def has_seen(start: str, table: str) -> bool:
    """Whether the adapter with this checksum has seen the structures of a built-in table."""
    return any(adapter.sha256 == start and table in adapter.covers for adapter in ADAPTERS.values())


def described_start(start: str) -> str:
    """In words, what a training started from whose adapter has this checksum; empty for none."""
    return next((adapter.described for adapter in ADAPTERS.values() if adapter.sha256 == start), "")


def pretrained_adapter(
    start: str,
    model: str,
    depth: int | None,
    trained_layers: int,
    settings: TrainingSettings,
    template: PromptTemplate,
    shipped: Mapping[str, PretrainedAdapter] | None = None,
) -> PretrainedAdapter | None:
    """The adapter that a training starts from; None if it starts from adapters that do nothing.

    Parameters
    ----------
    start : {"auto", "plain"}
    model : str
        As it was asked for.
    depth, trained_layers : int
        Layers that are used, and how many of them are trained.
    settings : TrainingSettings
    template : PromptTemplate
        There is none for reactions, and none for molecules that are cut like any text.
    shipped : mapping, optional
        `ADAPTERS` by default, those of `lm-head`; `MOLECULE_WRITERS` for a training to write SMILES.
    """
    shipped = ADAPTERS if shipped is None else shipped
    found = shipped.get(model) if start == AUTO else None
    of_symbols = template.row_field == "molecule" and template.tokenization == ATOMWISE and template.symbols
    if found is None or not of_symbols:
        return None
    wanted = (depth, trained_layers, settings.rank, settings.alpha)
    return found if wanted == (found.layers, found.layers, found.rank, found.alpha) else None
