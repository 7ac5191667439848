"""The oracle as cells ask it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple
from typing import Any

import numpy as np

from pipeline.design.experiment import Experiment
from pipeline.oracles.oracle import Value
from pipeline.proposing.drawing import Draw
from pipeline.runs.context import Machine


class Truth:
    """On the scale on which the values of the table are modelled; says nothing where there is no oracle."""

    def __init__(self, experiment: Experiment, machine: Machine, label: str) -> None:
        self._workers = experiment.workers(machine.threads)
        self._scale = experiment.table.scale
        self._told = lambda done, total: machine.reporter.step(label, done, total)

    def values(self, smiles: Sequence[str]) -> list[Value]:
        if self._workers is None:
            return [Value(None, "no oracle")] * len(smiles)
        return [self._scaled(one) for one in self._workers.ask(smiles, self._told)]

    def _scaled(self, found: Value) -> Value:
        if found.value is None or not self._scale.transform:
            return found
        if self._scale.needs_positive and found.value <= 0:
            return Value(None, f"the oracle says {found.value:g}, of which there is no logarithm")
        return Value(float(self._scale.forward([found.value])[0]))

    def numbers(self, smiles: Sequence[str]) -> np.ndarray:
        """NaN where there is no value. Shape (n,)."""
        found = self.values(smiles)
        return np.array([np.nan if one.value is None else one.value for one in found], dtype=np.float64)

    def look_at(self, draws: Sequence[Draw]) -> None:
        """Write into draws what their true value is, or why it is not known."""
        found = self.values([draw["smiles"] for draw in draws])
        for draw, value in zip(draws, found, strict=True):
            draw |= {"checked": True, "value": value.value, "no_value": value.reason}


def of_oracle(experiment: Experiment) -> list[Any]:
    """What values of the oracle depend on; nothing where there is none."""
    oracle = experiment.oracle
    return list(astuple(oracle)) if oracle else []
