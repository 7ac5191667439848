"""Training steps on a GPU, recorded once for each shape of batch and replayed as one launch.

A small model leaves a GPU waiting for Python, which launches over a thousand kernels for each step of `lm-head`, most
of them done in two microseconds. A CUDA graph holds them all. Batches are brought to few shapes (see `Engine.rows`),
since a graph is of one shape and its recording takes longer than a step that is not recorded.
"""

from __future__ import annotations

from collections.abc import Callable

import torch

MOST = 32  # shapes that are recorded; each keeps what its step needs


class RecordedStep:
    """A step that is run as it is on the first batch of a shape, recorded on the second, and replayed from then on.

    Parameters
    ----------
    step : callable
        From CUDA tensors to a scalar; adds to the gradients of the parameters, whose memory must stay the same.
    """

    def __init__(self, step: Callable[..., torch.Tensor]) -> None:
        self.step = step
        # Also the steps that are not recorded run on this stream: PyTorch adds a gradient on the stream on which its
        # parameter was used first, which must be the one that is recorded. It is not to be shared with another
        # training: newer versions clear what products keep for a stream when a graph of it is given up.
        self.stream = torch.cuda.Stream()
        self.pool = torch.cuda.graph_pool_handle()
        self.seen: set[tuple] = set()
        self.recorded: dict[tuple, tuple[torch.cuda.CUDAGraph, list[torch.Tensor], torch.Tensor]] = {}

    def __call__(self, *inputs: torch.Tensor) -> torch.Tensor:
        """The scalar, in memory that the next call may write to."""
        around = torch.cuda.current_stream()
        self.stream.wait_stream(around)
        with torch.cuda.stream(self.stream):
            value = self._run(inputs)
        around.wait_stream(self.stream)
        return value

    def _run(self, inputs: tuple[torch.Tensor, ...]) -> torch.Tensor:
        shape = tuple((tensor.shape, tensor.dtype) for tensor in inputs)
        if shape not in self.seen:
            self.seen.add(shape)
            return self.step(*inputs)  # libraries set themselves up here, which cannot be recorded
        if shape not in self.recorded:
            if len(self.recorded) == MOST:
                return self.step(*inputs)
            self.recorded[shape] = self._record(inputs)
        graph, places, value = self.recorded[shape]
        for place, given in zip(places, inputs, strict=True):
            place.copy_(given)
        graph.replay()
        return value

    def _record(
        self, inputs: tuple[torch.Tensor, ...]
    ) -> tuple[torch.cuda.CUDAGraph, list[torch.Tensor], torch.Tensor]:
        places = [tensor.clone() for tensor in inputs]
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, pool=self.pool, stream=self.stream):
            value = self.step(*places)
        return graph, places, value
