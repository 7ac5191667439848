"""Models whose inputs can be moved: a network over descriptors, and the language model from its token embeddings."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
import torch
from torch import nn

from pipeline.cells.cell import pinned
from pipeline.features.structures import CleanDescriptors, descriptors
from pipeline.lm.rows import Rows
from pipeline.lm.training import pooled
from pipeline.studies.off_manifold.directions import unit

MLP, LM_HEAD = "mlp", "lm-head"
WIDTH, EPOCHS, RATE, DECAY = 128, 300, 3e-3, 1e-3  # of the network; two hidden layers, whole batches
BATCH = 16


class Moved(Protocol):
    """A model that says a number (of classes the log-odds of the second) of each row, wherever it is moved to."""

    def say(self, rows: np.ndarray, shifts: np.ndarray) -> np.ndarray:
        """Of the rows of these numbers, each moved by a vector of shape (d,). Shape (n,)."""

    def steepest(self, rows: np.ndarray) -> np.ndarray:
        """The unit vector along which it changes most at each of these rows. Shape (n, d)."""


class Network:
    """A network with two hidden layers over standardised descriptors.

    Parameters
    ----------
    places : ndarray of shape (n, d)
    labels : ndarray of shape (n,)
        Standardised numbers, or 0 and 1; None for a network that is not trained.
    """

    def __init__(self, places: np.ndarray, labels: np.ndarray | None, of_classes: bool, seed: int) -> None:
        torch.manual_seed(seed)
        self.places = torch.tensor(places, dtype=torch.float32)
        width = places.shape[1]
        self.layers = nn.Sequential(
            nn.Linear(width, WIDTH), nn.GELU(), nn.Linear(WIDTH, WIDTH), nn.GELU(), nn.Linear(WIDTH, 1)
        )
        if labels is not None:
            with pinned(1, 1):  # sums of one thread, whose numbers hang on no number of cores
                self._train(torch.tensor(labels, dtype=torch.float32), of_classes)

    def _train(self, labels: torch.Tensor, of_classes: bool) -> None:
        optimiser = torch.optim.AdamW(self.layers.parameters(), lr=RATE, weight_decay=DECAY)
        loss = nn.BCEWithLogitsLoss() if of_classes else nn.MSELoss()
        for _ in range(EPOCHS):
            optimiser.zero_grad()
            loss(self.layers(self.places)[:, 0], labels).backward()
            optimiser.step()

    def say(self, rows: np.ndarray, shifts: np.ndarray) -> np.ndarray:
        with torch.no_grad(), pinned(1, 1):
            moved = self.places[rows] + torch.tensor(shifts, dtype=torch.float32)
            return self.layers(moved)[:, 0].numpy().astype(np.float64)

    def steepest(self, rows: np.ndarray) -> np.ndarray:
        places = self.places[rows].clone().requires_grad_()
        (slope,) = torch.autograd.grad(self.layers(places).sum(), places)
        return unit(slope.numpy().astype(np.float64))


class Read:
    """A fitted `lm-head`; all tokens of a molecule are moved alike, where they enter the trained layers.

    Parameters
    ----------
    arm : HeadRegressor or HeadClassifier
    X : DataFrame
        The training rows.
    """

    def __init__(self, arm: Any, X: Any) -> None:
        self.arm = arm
        self.prompts = arm.prompts(X)

    def say(self, rows: np.ndarray, shifts: np.ndarray) -> np.ndarray:
        return self._over(rows, lambda own, places: self._said(own, torch.tensor(shifts[places])).detach())

    def steepest(self, rows: np.ndarray) -> np.ndarray:
        def slopes(own: np.ndarray, places: np.ndarray) -> torch.Tensor:
            shift = torch.zeros(len(own), self.arm.engine.model.config.hidden_size, requires_grad=True)
            (slope,) = torch.autograd.grad(self._said(own, shift).sum(), shift)
            return slope

        return unit(self._over(rows, slopes))

    def _said(self, rows: np.ndarray, shift: torch.Tensor) -> torch.Tensor:
        engine = self.arm.engine
        entering = engine.rows([self.prompts[row] for row in rows], self.arm.shared_)
        hidden = entering.hidden.float() + shift.to(engine.device, torch.float32)[:, None, :]
        with engine.precision():
            left = engine.run_upper(Rows(entering.prefix, hidden, entering.lengths))
        outputs = self.arm.head_(left).float()
        return outputs[:, 1] - outputs[:, 0] if outputs.shape[1] > 1 else outputs[:, 0]

    def _over(self, rows: np.ndarray, function: Callable[[np.ndarray, np.ndarray], torch.Tensor]) -> np.ndarray:
        """What a function says of each batch of rows, which have similar lengths. Shape (n, ...)."""
        order = np.argsort([len(self.prompts[row]) for row in rows], kind="stable")
        found: list[Any] = [None] * len(rows)
        with self.arm.with_adapters():
            for start in range(0, len(order), BATCH):
                places = order[start : start + BATCH]
                values = function(rows[places], places).float().cpu().numpy().astype(np.float64)
                for place, value in zip(places, values, strict=True):
                    found[place] = value
        return np.stack(found)


def places_of_network(smiles: list[str]) -> np.ndarray:
    """Standardised descriptors. Shape (n, d)."""
    found = descriptors(smiles)
    return np.asarray(CleanDescriptors().fit(found).transform(found), dtype=np.float64)


def outputs_without_training(known: list[str], labels: np.ndarray, asked: list[str], seed: int) -> np.ndarray:
    """What a network with its first weights says of molecules, in steps as wide as the labels.

    Parameters
    ----------
    known, labels : list of str, ndarray of shape (n,)
        Training molecules. They set what descriptors are divided by, and the standard deviation of the outputs.
    asked : list of str

    Returns
    -------
    ndarray of shape (len(asked),)
    """
    clean = CleanDescriptors().fit(descriptors(known))
    network = Network(clean.transform(descriptors([*known, *asked])), None, False, seed)
    said = network.say(np.arange(len(known) + len(asked)), np.zeros((1, 1)))
    own, others = said[: len(known)], said[len(known) :]
    return others * (labels.std() / own.std())


def places_of_tokens(arm: Any, X: Any) -> np.ndarray:
    """The mean over a molecule's tokens of what enters the trained layers. Shape (n, d)."""
    prompts, shared = arm.prompts(X), arm.shared()
    with torch.no_grad():
        means = [pooled(arm.engine.rows([one], shared))[0].cpu().numpy() for one in prompts]
    return np.stack(means).astype(np.float64)


MODELS = {
    MLP: "A network with two hidden layers over standardised descriptors, which are moved.",
    LM_HEAD: "The language model; all tokens of a molecule are moved alike where they enter the trained layers.",
}
