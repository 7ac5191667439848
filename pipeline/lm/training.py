"""Fine-tuning: batches by length, one optimiser loop, two kinds of loss.

Where a process group is at hand (`torch.distributed`), each process takes its part of every batch and the gradients
are added up, so that several processes train the adapter that one would.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import distributed, nn

from pipeline.lm.defaults import POOLINGS, TrainingSettings
from pipeline.lm.engine import Engine
from pipeline.lm.recorded import RecordedStep
from pipeline.lm.rows import Rows

POOL_BATCHES = 8  # batches of similar length are cut from random pools of this many

# From the upper layers' output and the labels of a batch to a scalar.
Loss = Callable[..., torch.Tensor]
# From the row numbers of a batch to what the loss needs besides.
Labels = Callable[[list[int]], tuple[torch.Tensor, ...]]
# From the activations that would enter the trained layers, and the labels of a batch, to those that do.
Enter = Callable[..., Rows]


def batches(lengths: Sequence[int], size: int, steps: int, seed: int, together: int = 1) -> Iterator[list[int]]:
    """Index lists of rows of similar length; every row comes once per epoch, in a new order.

    Parameters
    ----------
    together : int
        So many rows that follow each other are always in one batch.
    """
    rng = np.random.default_rng(seed)
    produced = 0
    size = max(1, size // together)  # of runs of rows that stand together
    while True:
        order = rng.permutation(len(lengths) // together)
        epoch: list[list[int]] = []
        for start in range(0, len(order), size * POOL_BATCHES):
            pool = sorted(order[start : start + size * POOL_BATCHES].tolist(), key=lambda run: lengths[run * together])
            epoch += [pool[cut : cut + size] for cut in range(0, len(pool), size)]
        for index in rng.permutation(len(epoch)):
            if produced == steps:
                return
            produced += 1
            yield [run * together + place for run in epoch[index] for place in range(together)]


def train(
    engine: Engine,
    texts: Sequence[tuple[int, ...]],
    shared: int,
    loss: Loss,
    labels: Labels,
    parameters: list[nn.Parameter],
    settings: TrainingSettings,
    seed: int,
    progress: Callable[[int, int], None] = lambda done, total: None,
    enter: Enter | None = None,
) -> list[float]:
    """Train adapters (and a head) on the activations that enter the trained layers.

    Parameters
    ----------
    texts : sequence of tuples of token ids
    shared : int
        Number of first tokens all texts have in common.
    loss : callable
        From the upper layers' output and the labels of the batch to a scalar.
    labels : callable
        From the row numbers of the batch to the tensors that the loss needs besides.
    parameters : list of nn.Parameter
        All that is trained.
    progress : callable
        Told after each step how many are done, of how many.
    enter : callable, optional
        Given the activations that enter the trained layers and the labels of the batch, says what enters instead.

    Returns
    -------
    list of float
        The loss at each step.
    """
    optimiser, schedule = _optimiser(parameters, settings, engine.on_gpu)
    torch.manual_seed(seed)
    curve: list[float] = []
    engine.prepare(texts, shared)
    several = distributed.is_available() and distributed.is_initialized()
    records = engine.records and not several
    if records:  # a recorded step writes to the same gradients each time
        for parameter in parameters:
            parameter.grad = torch.zeros_like(parameter)

    gradients = _gradients(engine, loss, enter, optimiser, records)
    step = RecordedStep(gradients) if records else gradients

    def backward(members: list[int]) -> torch.Tensor:
        """The mean loss of a batch, with its gradients in the parameters."""
        rows = engine.rows([texts[row] for row in members], shared)
        return step(rows.prefix, rows.hidden, rows.lengths, *labels(members))

    lengths, together = [len(ids) for ids in texts], settings.together
    for members in batches(lengths, settings.batch_size, settings.steps, seed, together):
        value = _among_processes(backward, members, together, optimiser) if several else backward(members)
        _check_finite(value, len(curve) + 1, settings.steps)
        nn.utils.clip_grad_norm_(parameters, settings.clip)
        optimiser.step()
        schedule.step()
        curve.append(value.item())
        progress(len(curve), settings.steps)
    return curve


def _gradients(
    engine: Engine, loss: Loss, enter: Enter | None, optimiser: Any, records: bool
) -> Callable[..., torch.Tensor]:
    """From a batch to its loss, with the gradients in the parameters."""

    def gradients(
        prefix: torch.Tensor, hidden: torch.Tensor, lengths: torch.Tensor, *given: torch.Tensor
    ) -> torch.Tensor:
        optimiser.zero_grad(set_to_none=not records)
        rows = Rows(prefix, hidden, lengths)
        with engine.precision():
            value = loss(engine.run_upper(enter(rows, *given) if enter else rows), *given)
        value.backward()
        return value.detach()

    return gradients


def _optimiser(parameters: list[nn.Parameter], settings: TrainingSettings, on_gpu: bool) -> tuple[Any, Any]:
    """AdamW, and the cosine schedule of its rate after a warm-up."""
    from transformers import get_cosine_schedule_with_warmup

    optimiser = torch.optim.AdamW(
        parameters, lr=settings.learning_rate, weight_decay=settings.weight_decay, fused=on_gpu or None
    )
    warmup = math.ceil(settings.warmup * settings.steps)
    return optimiser, get_cosine_schedule_with_warmup(optimiser, warmup, settings.steps)


def _check_finite(value: torch.Tensor, step: int, steps: int) -> None:
    if not torch.isfinite(value):
        raise FloatingPointError(
            f"the training loss is {value.item()} at step {step} of {steps}; lower the learning rate or use --dtype "
            "float32"
        )


def _among_processes(
    backward: Callable[[list[int]], torch.Tensor],
    members: list[int],
    together: int,
    optimiser: torch.optim.Optimizer,
) -> torch.Tensor:
    """The mean loss of a batch of which each process takes its part, with the gradients of all in the parameters."""
    rank, processes = distributed.get_rank(), distributed.get_world_size()
    own = [row for place, row in enumerate(members) if place // together % processes == rank]
    parameters = [parameter for group in optimiser.param_groups for parameter in group["params"]]
    if own:
        total = backward(own)
    else:
        optimiser.zero_grad(set_to_none=True)
        total = torch.zeros((), device=parameters[0].device)
    share = len(own) / len(members)
    distributed.all_reduce(total.mul_(share))
    for parameter in parameters:
        parameter.grad = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad.mul_(share)
        distributed.all_reduce(parameter.grad)
    return total


class Head(nn.Module):
    """A linear layer over the pooled last hidden states of a row's own tokens.

    The mean over the tokens, times a power of their number: a property of the whole that does not grow with the
    molecule shows in the mean, one that is made of the contributions of its parts in the sum.

    Parameters
    ----------
    width : int
        Of the hidden states.
    outputs : int
    pooling : {"mean", "sqrt", "sum"}
        The sum over the tokens, divided by their number, by its square root, or not at all.
    typical_length : float
        Mean number of own tokens of the training rows; a row of this length is pooled alike by all three.
    """

    typical_length: torch.Tensor
    power: torch.Tensor

    def __init__(self, width: int, outputs: int, pooling: str = "mean", typical_length: float = 1.0) -> None:
        super().__init__()
        self.linear = nn.Linear(width, outputs)
        nn.init.zeros_(self.linear.weight)
        nn.init.zeros_(self.linear.bias)
        self.register_buffer("typical_length", torch.tensor(float(typical_length)))
        self.register_buffer("power", torch.tensor(POOLINGS[pooling]))

    def features(self, rows: Rows) -> torch.Tensor:
        """What the linear layer sees. Shape (B, width)."""
        size = (rows.lengths / self.typical_length) ** self.power
        return pooled(rows) * size[:, None]

    def set_linear(self, weights: np.ndarray, biases: np.ndarray) -> None:
        """Give the linear layer weights of shape (outputs, width) and biases of shape (outputs,)."""
        with torch.no_grad():
            self.linear.weight.copy_(torch.from_numpy(weights))
            self.linear.bias.copy_(torch.from_numpy(biases))

    def forward(self, rows: Rows) -> torch.Tensor:
        return self.linear(self.features(rows))


def disagreement(outputs: torch.Tensor) -> torch.Tensor:
    """Mean squared difference of a head's outputs, but for a common constant of several, between the two spellings of
    each row, which follow each other.

    Parameters
    ----------
    outputs : tensor of shape (2 n, k)
    """
    if outputs.shape[1] > 1:  # logits: a constant added to all of a row changes no probability
        outputs = outputs - outputs.mean(dim=1, keepdim=True)
    return (outputs[::2] - outputs[1::2]).square().sum(dim=1).mean()


def pooled(rows: Rows) -> torch.Tensor:
    """Mean of the hidden states of each row without its padding and the shared prefix. Shape (B, d), fp32."""
    weight = rows.valid.float()
    return (rows.hidden.float() * weight[:, :, None]).sum(dim=1) / weight.sum(dim=1, keepdim=True)
