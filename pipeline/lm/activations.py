"""Where frozen activations are kept: in memory up to a limit, then in a file that is mapped, up to another."""

from __future__ import annotations

import tempfile
from collections.abc import Collection, Hashable

import torch

MEMORY_BYTES = 2_000_000_000
DISK_BYTES = 20_000_000_000
CHUNK_BYTES = 256_000_000  # the mapped file grows by this


class ActivationStore:
    """Tensors of one width and dtype by key.

    Those that no longer fit into memory go to a temporary file, which has no name and ends with the process;
    those that fit neither there are not kept, and their owner computes them anew.

    Parameters
    ----------
    memory_bytes, disk_bytes : int
        How much is kept in memory and in the file.
    """

    def __init__(self, memory_bytes: int = MEMORY_BYTES, disk_bytes: int = DISK_BYTES) -> None:
        self.memory_bytes, self.disk_bytes = memory_bytes, disk_bytes
        self.clear()

    def clear(self) -> None:
        self._states: dict[Hashable, torch.Tensor] = {}
        self._chunks: list[torch.Tensor] = []
        self._in_memory = self._used_of_chunk = 0

    def __contains__(self, key: Hashable) -> bool:
        return key in self._states

    def __getitem__(self, key: Hashable) -> torch.Tensor:
        return self._states[key]

    def __len__(self) -> int:
        return len(self._states)

    def keep(self, key: Hashable, state: torch.Tensor) -> bool:
        """Keep a tensor.

        Returns
        -------
        bool
            False if there is no room for it any more.
        """
        if self._in_memory + state.nbytes <= self.memory_bytes:
            self._states[key] = state.clone()
            self._in_memory += state.nbytes
            return True
        place = self._place_on_disk(state)
        if place is None:
            return False
        self._states[key] = place.copy_(state)
        return True

    def keep_only(self, keys: Collection[Hashable]) -> None:
        """Give up all others, and the room they took in memory."""
        wanted = {key: self._states[key] for key in keys if key in self._states}
        self.clear()
        for key, state in wanted.items():
            self.keep(key, state)

    def _place_on_disk(self, state: torch.Tensor) -> torch.Tensor | None:
        """A tensor like this one in the mapped file; None if that is full."""
        if not self._chunks or self._used_of_chunk + state.nbytes > CHUNK_BYTES:
            if (len(self._chunks) + 1) * CHUNK_BYTES > self.disk_bytes or state.nbytes > CHUNK_BYTES:
                return None
            with tempfile.NamedTemporaryFile(prefix="chemtune-") as file:  # without a name it lives while it is mapped
                self._chunks.append(torch.from_file(file.name, shared=True, size=CHUNK_BYTES, dtype=torch.uint8))
            self._used_of_chunk = 0
        start = self._used_of_chunk
        self._used_of_chunk += state.nbytes
        room = self._chunks[-1][start : start + state.nbytes]
        return room.view(state.dtype).view(state.shape)
