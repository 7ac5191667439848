"""The oracle of a study: which one it is, and what it says of molecules on the scale of the table."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import astuple, dataclass, field, replace
from importlib.util import find_spec
from typing import Any

import numpy as np

from pipeline.errors import InputError
from pipeline.oracles.oracle import SECONDS, Oracle, OracleWorkers, Value, oracle_named
from pipeline.reporter import Reporter
from pipeline.runs.context import Context, Machine
from pipeline.settings.run import RunConfig
from pipeline.settings.study import study_setting
from pipeline.tables.catalogue import card, is_built_in
from pipeline.tables.kinds import MOLECULES
from pipeline.tables.scales import Scale, UnitError, conversion
from pipeline.tables.table import Table
from pipeline.tables.targets import REGRESSION

NONE = "none"  # where not even the oracle of a built-in table is wanted
Valued = Callable[[Sequence[str]], np.ndarray]


def oracle_setting() -> Any:
    """Which oracle a study asks, if any."""
    return study_setting(
        "",
        "What computes true values of further molecules: xtb_gap, logp, your function as MODULE:FUNCTION, or none; "
        "that of a built-in table if not given.",
    )


def seconds_setting() -> Any:
    """How long an oracle may take."""
    return study_setting(SECONDS, "Longest time of the oracle for one molecule.", least=0.1)


def oracle_of(config: RunConfig, named: str) -> Oracle | None:
    """The oracle that was named, or else that of a built-in table; None where there is none, or none is wanted."""
    name = name_of(config, named)
    return oracle_named(name) if name else None


def name_of(config: RunConfig, named: str) -> str:
    """The name of the oracle that would be asked; empty for none."""
    own = card(config.table).oracle if is_built_in(config.table) else ""
    name = named or own
    return "" if name == NONE else name


def with_oracle(context: Context, settings: Any, reporter: Reporter, *packages: str) -> Any:
    """The settings of a study with the name of the oracle that it asks, empty or `NONE` for none.

    That of a built-in table is left out, with a word, where it cannot be asked.

    Parameters
    ----------
    packages : str
        What is needed besides to make molecules.

    Raises
    ------
    InputError
        If the oracle that was named cannot be asked about rows of this table.
    """
    try:
        oracle = oracle_of(context.config, settings.oracle)
        if oracle:
            _check(context, oracle, packages)
    except InputError as error:
        if settings.oracle:
            raise
        reporter.say(f"Left out: what needs the oracle of {context.config.table}; {error}.")
        return replace(settings, oracle=NONE)
    return replace(settings, oracle=oracle.name) if oracle else settings


def _check(context: Context, oracle: Oracle, packages: Sequence[str]) -> None:
    config = context.config
    if config.kind is not MOLECULES:
        raise InputError(f"{config.table}: oracle {oracle.name!r} is for molecules; the table holds {config.kind}")
    if context.task != REGRESSION:
        raise InputError(f"{config.table}: oracle {oracle.name!r} computes numbers; {config.target!r} holds classes")
    if config.beside:
        raise InputError(
            f"{config.table}: oracle {oracle.name!r} knows the molecule alone, and {', '.join(config.beside)} is "
            "stated beside it; leave that out with --context ''"
        )
    check_units(context.table, oracle)
    for package in packages:
        if find_spec(package) is None:
            raise InputError(f'making molecules needs the package {package}: pip install "chemtune[design]"')


def check_units(table: Table, oracle: Oracle) -> None:
    """Raise `InputError` where what an oracle computes cannot be in the units of a table's column."""
    try:
        _factor(table.scale, oracle)
    except UnitError as error:
        raise InputError(
            f"oracle {oracle.name!r} computes {oracle.units}, and the column is in {table.scale.units} ({error}); name "
            "an oracle of the column's property"
        ) from None


def _factor(scale: Scale, oracle: Oracle) -> tuple[float, float]:
    """From what an oracle computes to the values of a column: a factor and what is added; 1 and 0 where one of the two
    has no units."""
    if not oracle.units or not scale.units:
        return 1.0, 0.0
    return conversion(oracle.units, scale.units)


def asked_oracle(context: Context) -> Oracle | None:
    """The oracle of a run whose settings are those of `with_oracle`; None for none."""
    name = context.settings.oracle
    return context.once(("oracle", name), lambda: oracle_named(name)) if name not in ("", NONE) else None


def inputs_of_oracle(context: Context) -> list[Any]:
    """What values of the oracle depend on."""
    oracle = asked_oracle(context)
    return [*astuple(oracle), context.settings.seconds] if oracle else []


@dataclass(frozen=True)
class Truth:
    """What an oracle says of molecules, on the scale on which the values of the table are modelled.

    Attributes
    ----------
    workers : OracleWorkers or None
        None says nothing of any molecule.
    asked : set of str
        The molecules that it was asked about so far.
    """

    workers: OracleWorkers | None
    context: Context
    machine: Machine
    label: str
    asked: set[str] = field(default_factory=set)

    def values(self, smiles: Sequence[str]) -> list[Value]:
        """A value or the reason why there is none, for each molecule."""
        if self.workers is None:
            return [Value(None, "no oracle")] * len(smiles)
        self.asked.update(smiles)
        told = self.machine.reporter.step
        return [self._modelled(one) for one in self.workers.ask(smiles, lambda *done: told(self.label, *done))]

    def _modelled(self, found: Value) -> Value:
        scale, oracle = self.context.table.scale, asked_oracle(self.context)
        if found.value is None or oracle is None:
            return found
        factor, offset = _factor(scale, oracle)
        value = factor * found.value + offset
        if scale.needs_positive and value <= 0:
            return Value(None, f"the oracle says {found.value:g}, of which there is no logarithm")
        return Value(float(scale.forward(value)))

    def numbers(self, smiles: Sequence[str]) -> np.ndarray:
        """NaN where there is no value. Shape (n,)."""
        return numbers_of(self.values(smiles))


def numbers_of(values: Sequence[Value]) -> np.ndarray:
    """NaN where there is no value. Shape (n,)."""
    return np.array([np.nan if one.value is None else one.value for one in values], dtype=np.float64)


@contextmanager
def asking(context: Context, machine: Machine, label: str) -> Iterator[Valued]:
    """The oracle at work in the block: from molecules to their true values as the table's are modelled, NaN for one
    that has none."""
    oracle = asked_oracle(context)
    assert oracle is not None, "no cell asks an oracle where there is none"
    with OracleWorkers(oracle, workers=machine.threads, seconds=context.settings.seconds) as workers:
        yield Truth(workers, context, machine, label).numbers
