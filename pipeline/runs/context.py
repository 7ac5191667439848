"""What a run is about, and the machine that computes it."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import joblib
import numpy as np
import pandas as pd

from pipeline.arms.ladder import is_language_model, layers_of
from pipeline.cells.store import Store
from pipeline.errors import InputError
from pipeline.evaluation.metrics import rarer_class
from pipeline.features.inputs import ReactionColumns
from pipeline.files import write_atomically
from pipeline.lm.weights import weights_identity
from pipeline.prompts.templates import PromptTemplate
from pipeline.reporter import Reporter
from pipeline.settings.run import RunConfig
from pipeline.splits.splitters import Fold, Split
from pipeline.tables.table import Table
from pipeline.tables.targets import CLASSES

SETTLED = "machine.json"  # in the folder of a run
AUTO_DTYPE = "auto"
T = TypeVar("T")


@dataclass(frozen=True)
class Context:
    """What a run is about: read only, and the same in every process that works on it.

    Attributes
    ----------
    splits : tuple of Split
        None yet where a model is fitted on all rows.
    left_out, rungs_left_out : tuple of str
        What was given up for a budget, and splits that the table cannot make; a line each.
    asked : Context or None
        The run before a budget reduced it; None where nothing was.
    settings : object
        Those of a study beside the settings of a run; None for a comparison of arms.
    """

    config: RunConfig
    table: Table
    splits: tuple[Split, ...]
    arms: tuple[str, ...]
    left_out: tuple[str, ...] = ()
    rungs_left_out: tuple[str, ...] = ()
    settings: Any = None
    asked: Context | None = None
    _kept: dict[Hashable, Any] = field(default_factory=dict, init=False, repr=False, compare=False)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_kept": {}}

    def once(self, name: Hashable, make: Callable[[], T]) -> T:
        """What follows from the context alone and takes a while: made when it is first asked for."""
        if name not in self._kept:
            self._kept[name] = make()
        return self._kept[name]

    @property
    def folder(self) -> Path:
        return Path(self.config.out)

    @property
    def task(self) -> str:
        return CLASSES if self.config.bins else self.table.task

    @property
    def classes(self) -> tuple[str, ...]:
        return tuple(map(str, range(self.config.bins))) if self.config.bins else self.table.classes

    @property
    def positive(self) -> str:
        """Of two classes the one that AUPRC, recall and the threshold are about: the one named, or else the rarer one
        (the upper of two bins); empty for more classes and for numbers."""
        if self.config.positive or self.task != CLASSES:
            return self.config.positive
        if self.config.bins:
            return self.classes[1] if self.config.bins == 2 else ""
        return self.once("positive", lambda: rarer_class(list(self.table.targets), self.classes))

    @property
    def template(self) -> PromptTemplate:
        return template_of(self.table, self.config)

    @property
    def columns(self) -> ReactionColumns | None:
        """Where the components stand in what an arm is given; None for molecules."""
        return ReactionColumns(self.table.components, self.table.names) if self.table.components else None

    def split_named(self, name: str) -> Split:
        return next(split for split in self.splits if split.name == name)

    def division(self, tags: Mapping[str, Any]) -> tuple[Split, Fold]:
        """The split and the fold that the tags of a cell name."""
        split, where = self.split_named(tags["split"]), (tags["repeat"], tags["fold"])
        return split, next(fold for fold in split.folds if (fold.repeat, fold.fold) == where)

    def targets(self, fold: Fold) -> pd.Series:
        """The targets as the arms of this fold see them, by ``row_id``."""
        return binned(self.table.targets, fold, self.config.bins) if self.config.bins else self.table.targets

    def layers(self, arm: str) -> tuple[int | None, int]:
        """How many layers of the language model an arm uses (None: all), and how many of them it trains."""
        from pipeline.lm.decoders import layers_within

        return layers_within(self.config.model, *layers_of(arm))


def template_of(table: Table, config: RunConfig) -> PromptTemplate:
    """How a row of the table is put into words."""
    return PromptTemplate(
        table.property_name,
        table.units,
        config.template,
        config.tokenization,
        table.components,
        table.names,
        config.shuffle_components,
        config.features,
    )


def binned(targets: pd.Series, fold: Fold, bins: int) -> pd.Series:
    """Classes ``0`` (lowest) to ``bins - 1`` by quantiles of the fold's training rows.

    Raises
    ------
    InputError
        If ties in the target leave a class without training or test rows.
    """
    edges = _bin_edges(targets.loc[list(fold.train)], bins)
    labels = _cut(targets, edges)
    for role, ids in (("training", fold.train), ("test", fold.test)):
        missing = set(range(bins)) - set(labels.loc[list(ids)])
        if missing:
            raise InputError(
                f"--bins {bins}: class {min(missing)} has no {role} row "
                f"(cut at {', '.join(f'{edge:.4g}' for edge in edges)}); use fewer bins or another split"
            )
    return labels.astype(str)


def binned_all(targets: pd.Series, bins: int) -> tuple[pd.Series, list[float]]:
    """Classes by quantiles of all rows, for a model that is trained on all of them; and the edges."""
    edges = _bin_edges(targets, bins)
    labels = _cut(targets, edges)
    if labels.nunique() < bins:
        raise InputError(f"--bins {bins}: ties in the target leave only {labels.nunique()} classes; use fewer bins")
    return labels.astype(str), [float(edge) for edge in edges]


def _bin_edges(values: pd.Series, bins: int) -> np.ndarray:
    return np.quantile(values.to_numpy(dtype=np.float64), np.linspace(0, 1, bins + 1)[1:-1])


def _cut(values: pd.Series, edges: np.ndarray) -> pd.Series:
    return pd.Series(np.searchsorted(edges, values.to_numpy(dtype=np.float64), side="left"), index=values.index)


@dataclass(frozen=True)
class Machine:
    """Where cells are computed: with so many threads, the language model in a number type, telling a reporter.

    Attributes
    ----------
    threads : int
        For each cell at a time; sums in another order differ in the last digit.
    dtype : str
        ``float32`` or ``bfloat16``; empty where there is no language model.
    """

    threads: int
    dtype: str = ""
    reporter: Reporter = field(default_factory=Reporter)
    _said: set[str] = field(default_factory=set, init=False, repr=False, compare=False)

    @property
    def has_gpu(self) -> bool:
        """Whether the language model runs on a GPU."""
        return bool(self.dtype) and device_kind() == "cuda"

    def engine(self, context: Context, arm: str) -> Any:
        """The language model under an arm, or under `pipeline.lm.defaults.WRITER`, loaded when it is first needed."""
        from pipeline.lm.engine import shared_engine

        depth, trained = context.layers(arm)
        engine = shared_engine(context.config.model, trained, self.dtype, depth)
        if engine.remark and engine.remark not in self._said:
            self._said.add(engine.remark)
            self.reporter.say(engine.remark)
        return engine


def this_machine(config: RunConfig, arms: tuple[str, ...], reporter: Reporter) -> Machine:
    """The machine as it is: all cores that the process may use, and the faster number type where it is left open."""
    return Machine(cores(), _dtype_here(config) if any(map(is_language_model, arms)) else "", reporter)


def settled(context: Context, reporter: Reporter) -> Machine:
    """The machine as an earlier start of the run in this folder found it, or else as it is; kept in the folder.

    The number of threads, and for each kind of device the number type where it was left to a probe: timings decide
    that, and on a busy machine a run that goes on must not turn to another one half way.
    """
    config, path = context.config, context.folder / SETTLED
    with Store(context.folder).decision():
        kept = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        found = {**kept, "threads": kept.get("threads") or cores()}
        dtype = ""
        if any(map(is_language_model, context.arms)):
            known = kept.get("dtype", {})
            dtype = config.dtype
            if dtype == AUTO_DTYPE:
                dtype = known.get(device_kind()) or _dtype_here(config)
                found["dtype"] = {**known, device_kind(): dtype}
        if found != kept:
            write_atomically(path, json.dumps(found, indent=1))
    return Machine(found["threads"], dtype, reporter)


def cores() -> int:
    """The cores that this process may use, which are fewer than the machine's where it was given some of them."""
    return int(joblib.cpu_count())


def device_kind() -> str:
    """On what the language model runs: ``cuda`` or ``cpu``."""
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def _dtype_here(config: RunConfig) -> str:
    if config.dtype != AUTO_DTYPE:
        return config.dtype
    import torch

    from pipeline.lm.engine import choose_dtype

    return str(choose_dtype(torch.device(device_kind()))).removeprefix("torch.")


def language_model_inputs(context: Context, machine: Machine) -> dict[str, Any]:
    """All that the language model and its prompts depend on, whatever is trained."""
    return {
        "model": context.config.model,
        "weights": weights_identity(context.config.model),
        "device": device_kind(),
        "dtype": machine.dtype,
        "template": context.template.text,
        "tokenization": context.config.tokenization,
        "shuffle_components": context.config.shuffle_components,
        "unstated": context.config.features,
    }


def hardware() -> dict[str, Any]:
    """What the numbers were made on."""
    import torch

    model = ""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        lines = [line for line in cpuinfo.read_text(encoding="utf-8").splitlines() if line.startswith("model name")]
        model = lines[0].partition(":")[2].strip() if lines else ""
    return {
        "machine": platform.machine(),
        "system": platform.system(),
        "processor": model or platform.processor(),
        "cores": os.cpu_count(),
        "torch_threads": torch.get_num_threads(),
        "gpu": torch.cuda.get_device_name(0) if torch.cuda.is_available() else None,
    }
