"""Rows of tokens as a model is given them."""

from __future__ import annotations

from dataclasses import dataclass

import torch


@dataclass
class Rows:
    """Hidden states of a batch, without the shared prefix.

    ``prefix`` has shape (1, P, d), ``hidden`` (B, T, d), ``lengths`` (B,) counts the valid
    positions of each row of ``hidden``; rows are padded on the right.
    """

    prefix: torch.Tensor
    hidden: torch.Tensor
    lengths: torch.Tensor

    @property
    def valid(self) -> torch.Tensor:
        """Shape (B, T): True where a token stands."""
        return torch.arange(self.hidden.shape[1], device=self.hidden.device)[None, :] < self.lengths[:, None]
