"""The whole run: plan it, fill its cells, and write what the folder of a run holds."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from pipeline.arms.catalogue import ARMS
from pipeline.arms.features import descriptors, differential_bits
from pipeline.arms.inputs import ReactionColumns
from pipeline.arms.ladder import (
    CONTROLS,
    HEAD,
    LANGUAGE_MODELS,
    MEANS,
    REACTION_CONTROLS,
    TUNED,
    class_chances,
    code_behind,
    fit_arm,
    fitted_arms,
    is_language_model,
    layers_of,
    make_whole,
    mean_of,
    resolve_arms,
)
from pipeline.arms.own import is_own
from pipeline.cells import cell_id, get_or_make, measured, read_cell, versions
from pipeline.config import RunConfig, config_per_target, merge_settings, write_yaml
from pipeline.errors import InputError, unknown
from pipeline.evaluation.comparison import (
    REFERENCE,
    Comparisons,
    Difference,
    Evaluation,
    compare,
    evaluate,
    metric_table,
)
from pipeline.evaluation.metrics import HIGHER_IS_BETTER, PRIMARY, auroc, rarer_class
from pipeline.evaluation.noise import Noise, best_scores, measurement_noise, negligible
from pipeline.evaluation.verdict import Verdict, Words, verdicts
from pipeline.files import write_atomically, write_csv
from pipeline.lm.defaults import training_settings
from pipeline.lm.pretrained import PLAIN, PretrainedAdapter, pretrained_adapter
from pipeline.lm.weights import weights_identity
from pipeline.prompts.numbers import NumberFormat
from pipeline.prompts.templates import PromptTemplate
from pipeline.reach import code_of
from pipeline.reporter import Reporter
from pipeline.splits.build import build_splits
from pipeline.splits.card import split_card
from pipeline.splits.catalogue import columns_needed, expand_names, makes_folds
from pipeline.splits.splitters import Fold, Split, fold_numbers, hold_out
from pipeline.tables.catalogue import card, is_built_in
from pipeline.tables.context import context_column_name
from pipeline.tables.reaction_table import build_reaction_table, component_column
from pipeline.tables.reading import RawTable, read_table, require_column
from pipeline.tables.table import Table, build_table, check_enough, joined_labels
from pipeline.tables.target_column import TargetSettings
from pipeline.tables.targets import CLASSES, REGRESSION

if TYPE_CHECKING:
    from pipeline.certainty import Certainty
    from pipeline.training_seeds import SeedSpread

COMPARISON_COLUMNS = [column.name for column in fields(Difference)]
INNER_FOLDS = 5  # with three, intervals calibrated on them were wider than they need be
LEAST_PARTS = 3  # of the training rows, to tell what another draw of them would change
INNER_FOLD_ROWS = 1_500  # past this many training rows one inner hold-out is enough to choose a baseline
INNER_HOLD_OUT = 0.2
MOST_HELD_OUT = 0.5
SEED_STEP = 1_000  # from a training seed of an arm to the next one on the same rows
MOST_TRAINED_AGAIN = 1_000  # training rows up to which a language model is trained with a second seed by itself
SETTLED = "machine.json"  # in the folder of a run
AUTO_DTYPE = "auto"
OBJECTS = ("pipeline.tables.table:Table", "pipeline.splits.splitters:Split")  # that every worker is given
WORKERS = ("pipeline.experiment:_fitted_cell", "pipeline.experiment:_mean_cell", *OBJECTS)
EDGE, GROUPS, TWINS = "edge", "groups", "twins"  # what of a split its held-out training rows keep


@dataclass
class Run:
    """A run in the making: the settings, the cleaned table, its splits and arms."""

    config: RunConfig
    table: Table
    splits: list[Split]
    arms: list[str]
    out: Path
    reporter: Reporter
    left_out: list[str] = field(default_factory=list)
    rungs_left_out: list[str] = field(default_factory=list)
    threads: int = field(default_factory=lambda: os.cpu_count() or 1)
    _engines: dict[tuple[int | None, int], Any] = field(default_factory=dict)
    _dtype: str = ""

    @property
    def task(self) -> str:
        return CLASSES if self.config.bins else self.table.task

    @property
    def classes(self) -> tuple[str, ...]:
        return tuple(map(str, range(self.config.bins))) if self.config.bins else self.table.classes

    @property
    def template(self) -> PromptTemplate:
        return template_of(self.table, self.config)

    @property
    def columns(self) -> ReactionColumns | None:
        """Where the components stand in what an arm is given; None for molecules."""
        return ReactionColumns(self.table.components, self.table.names) if self.table.has_reactions else None

    def layers(self, arm: str) -> tuple[int | None, int]:
        """How many layers of the language model an arm uses (None: all), and how many of them it trains."""
        from pipeline.lm.engine import layers_within

        return layers_within(self.config.model, *layers_of(arm))

    def engine(self, arm: str) -> Any:
        """The language model under an arm, or under `pipeline.lm.defaults.WRITER`, loaded when it is first needed."""
        layers = depth, trained = self.layers(arm)
        if layers not in self._engines:
            from pipeline.lm.engine import shared_engine

            engine = self._engines[layers] = shared_engine(self.config.model, trained, self.dtype, depth)
            if engine.remark:
                self.reporter.say(engine.remark)
        return self._engines[layers]

    @property
    def dtype(self) -> str:
        if not self._dtype:
            self._dtype = self.config.dtype if self.config.dtype != AUTO_DTYPE else _probed_dtype()
        return self._dtype


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
    )


def device_kind() -> str:
    """On what the language model runs: ``cuda`` or ``cpu``."""
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def _probed_dtype() -> str:
    import torch

    from pipeline.lm.engine import choose_dtype

    return str(choose_dtype(torch.device(device_kind()))).removeprefix("torch.")


def settle(run: Run) -> None:
    """Take from the folder what an earlier start of the run decided by the machine, or keep there what this one does.

    The number of threads, and for each kind of device the number type where it was left to a probe: timings decide
    that, and on a busy machine a run that goes on must not turn to another one half way.
    """
    path = run.out / SETTLED
    kept = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    run.threads = kept.get("threads", run.threads)
    found = {**kept, "threads": run.threads}
    if run.config.dtype == AUTO_DTYPE and any(map(is_language_model, run.arms)):
        known = kept.get("dtype", {})
        run._dtype = known.get(device_kind()) or run.dtype
        found["dtype"] = {**known, device_kind(): run._dtype}
    if found != kept:
        write_atomically(path, json.dumps(found, indent=1))


# -- preparing -------------------------------------------------------------------------------


@dataclass(frozen=True)
class Job:
    """A table as text, and the settings of a run for each target that the user named."""

    settings: dict[str, Any]
    raw: RawTable
    configs: list[RunConfig]

    def folder(self, config: RunConfig, whole: Path) -> Path:
        """Where what is made of one target belongs: in a folder of its own if there are several."""
        return whole / Path(config.out).name if len(self.configs) > 1 else whole


def open_job(source: str, given: Mapping[str, Any]) -> Job:
    """Read the table that a source (a YAML file or a table) and the options of the command line name."""
    settings = merge_settings(source, given)
    raw = load_raw(settings["table"], settings.get("data_dir", ""))
    configs = config_per_target(settings, list(raw.frame.columns))
    for config in configs:
        require_column(raw, config.target, "--yield" if config.has_reactions else "--target")
    return Job(settings, raw, configs)


def load_raw(table: str, data_dir: str = "") -> RawTable:
    """Read a file, a built-in table or a Hugging Face dataset as text."""
    return read_table(str(card(table).file(data_dir)) if is_built_in(table) else table)


def load_table(config: RunConfig, reporter: Reporter, raw: RawTable | None = None, apart: Sequence[str] = ()) -> Table:
    """Clean the table that the settings name; it is read unless ``raw`` already holds it.

    Parameters
    ----------
    apart : sequence of str
        Columns in which rows of one reaction must agree to be merged.
    """
    raw = load_raw(config.table, config.data_dir) if raw is None else raw
    name = config.table if is_built_in(config.table) else None
    context = [column if column in raw.frame.columns else context_column_name(column) for column in config.context]
    carried = {*context, *map(component_column, config.components)}
    keep = [column for column in columns_needed(config.split) if column not in {*carried, *apart}]
    settings = {name: getattr(config, name) for name in TargetSettings.__dataclass_fields__}
    common: dict[str, Any] = {
        "target": config.target,
        "name": name,
        "property_name": config.property_name or None,
        "context": config.context,
        "keep": list(dict.fromkeys(keep)),
        "min_class_rows": 0 if config.bins else config.min_class_rows,
        "id_column": config.id,
    }
    if config.bins:
        settings["task"] = REGRESSION
    if config.has_reactions:
        return build_reaction_table(
            raw,
            reaction=config.reaction,
            components=config.components,
            yield_unit=config.yield_unit,
            failure_words=config.failure_words,
            success=config.success,
            apart=apart,
            progress=reporter.each("reading reactions"),
            **common,
            **settings,
        )
    return build_table(
        raw,
        smiles=config.smiles or None,
        largest_fragment=config.largest_fragment,
        progress=reporter.each("reading molecules"),
        **common,
        **settings,
    )


def prepare(config: RunConfig, reporter: Reporter, raw: RawTable | None = None) -> Run:
    """Everything before training: the table, the rows that the model cannot take, and the splits."""
    run = start(config, config.arms, reporter, raw)
    make_splits(run)
    return run


def start(config: RunConfig, arms: Sequence[str], reporter: Reporter, raw: RawTable | None = None) -> Run:
    """The cleaned table with the rows that all of the arms can take; no split yet."""
    table = load_table(config, reporter, raw)
    names = resolve_arms(arms, CLASSES if config.bins else table.task, table.has_reactions)
    if config.primary and config.primary not in names:
        raise unknown("primary", config.primary, names)
    if config.positive and config.positive not in table.classes:
        raise unknown("positive", config.positive, table.classes)
    run = Run(config, table, [], names, Path(config.out), reporter)
    limit_rows(run)
    return run


def limit_rows(run: Run) -> None:
    """Leave the rows that all arms can take, and as many of them as the settings allow."""
    config = run.config
    if any(map(is_language_model, run.arms)):
        refuse_long_rows(run)
    if config.max_rows:
        run.table = run.table.sample(config.max_rows, config.seed)
    check_enough(run.table, config.table, config.target)


def make_splits(run: Run) -> None:
    """Make the splits of a run; those of a ladder that the table cannot make are left out, and said to be."""
    config = run.config
    run.splits, run.rungs_left_out = [], []
    for name in expand_names(config.split, run.table):
        try:
            run.splits += build_splits(
                run.table,
                name,
                test_size=config.test_size,
                folds=config.folds,
                seed=config.seed,
                n_train=config.n_train,
                repeats=config.repeats,
            )
        except InputError as error:
            if "ladder" not in config.split:
                raise
            run.rungs_left_out.append(str(error))
    if not run.splits:
        raise InputError(run.rungs_left_out[0])
    for reason in run.rungs_left_out:
        run.reporter.say(f"Left out: {reason}.")
    names = [split.name for split in run.splits]
    repeated = next((name for name in names if names.count(name) > 1), None)
    if repeated:
        raise InputError(f"split {repeated!r} is named more than once")
    if config.bins:
        for split in run.splits:
            for fold in split.folds:
                binned(run.table.targets, fold, config.bins)


def refuse_long_rows(run: Run) -> None:
    """Refuse, for all arms, rows whose prompt and answer do not fit the model's context."""
    from pipeline.lm.engine import prompt_limit

    table = run.table
    answers = run.classes if run.task == CLASSES else NumberFormat.fit(table.targets.to_numpy()).texts()
    count, limit = prompt_limit(run.config.model, run.template, answers)
    reasons = {}
    for row_id, pieces in zip(table.inputs.index, run.template.pieces_all(table.inputs), strict=True):
        tokens = count(pieces)
        if tokens > limit:
            reasons[row_id] = f"prompt of {tokens} tokens; {run.config.model} takes {limit} beside the answer"
    run.table = table.refuse(reasons)
    check_enough(run.table, run.config.table, run.config.target)


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


def fold_targets(run: Run, fold: Fold) -> pd.Series:
    """The targets as the arms of this fold see them."""
    return binned(run.table.targets, fold, run.config.bins) if run.config.bins else run.table.targets


# -- cells -----------------------------------------------------------------------------------


def seed_of(run: Run, split: Split, fold: Fold) -> int:
    """The seed of the arms in a division: another in each, so that what it changes is part of what divisions differ
    in."""
    return run.config.seed + split.folds.index(fold)


def again_trained(run: Run) -> list[tuple[Split, Fold, str, int]]:
    """Which trainings of language models are done with further seeds, counted from 1.

    With ``lm_seeds`` every one on every hold-out; else the primary arm on the first split, with one more seed, if that
    is a hold-out of few enough rows. Divisions have seeds of their own.
    """
    whole = [split for split in run.splits if len(split.folds) == 1]
    arms = [arm for arm in run.arms if arm in TUNED]
    count = run.config.lm_seeds
    if not count:
        small = run.splits[0] in whole and len(run.splits[0].folds[0].train) <= MOST_TRAINED_AGAIN
        whole, arms, count = whole[: int(small)], [arm for arm in arms if arm == primary_arm(run)], 2
    return [(split, split.folds[0], arm, again) for split in whole for arm in arms for again in range(1, count)]


def cell_key(run: Run, split: Split, fold: Fold, arm: str, again: int = 0) -> dict[str, Any]:
    """All that the numbers of a cell depend on, besides the package versions; ``again`` counts further training seeds
    on the same rows."""
    rows = hashlib.sha256(repr((fold.train, fold.test)).encode()).hexdigest()
    key: dict[str, Any] = {
        "table": run.table.fingerprint(),
        "split": split.name,
        "repeat": fold.repeat,
        "fold": fold.fold,
        "rows": rows,
        "groups": hashlib.sha256(repr(sorted(split.groups.items())).encode()).hexdigest(),
        "order": split.order.digest() if split.order else None,
        "arm": arm,
        "task": run.task,
        "bins": run.config.bins,
        "seed": seed_of(run, split, fold) + SEED_STEP * again,
        "code": code_of(*WORKERS, *code_behind(arm, run.table.kind)),
    }
    if is_language_model(arm):
        depth, trained = run.layers(arm)
        settings = training_settings(len(fold.train), arm, run.config.steps or None)
        found = starting_adapter(run, arm)
        key["language_model"] = {
            **language_model_key(run),
            "settings": {name: getattr(settings, name) for name in settings.__dataclass_fields__},
            "start": found.sha256 if found else PLAIN,
            "depth": depth,
            "trained_layers": trained,
            "calibrated": run.config.calibrate_lm and not again,
        }
    return key


def starting_adapter(run: Run, arm: str) -> PretrainedAdapter | None:
    """What the training of an arm, or of the member of a mean, starts from; None if there is nothing to start from."""
    if HEAD not in fitted_arms(arm):
        return None
    settings = training_settings(len(run.table), HEAD)
    return pretrained_adapter(run.config.start, run.config.model, *layers_of(HEAD), settings, run.template)


def language_model_key(run: Run) -> dict[str, Any]:
    """All that the language model and its prompts depend on, whatever is trained."""
    return {
        "model": run.config.model,
        "weights": weights_identity(run.config.model),
        "device": device_kind(),
        "dtype": run.dtype,
        "template": run.template.text,
        "tokenization": run.config.tokenization,
        "shuffle_components": run.config.shuffle_components,
    }


def fits(run: Run) -> list[tuple[Split, Fold, str, int]]:
    """All that is fitted, in the order of work, with the number of the further training seed; means of arms cost
    nothing and are not listed."""
    leaves = list(dict.fromkeys(leaf for arm in run.arms for leaf in fitted_arms(arm)))
    first = [(split, fold, arm, 0) for split in run.splits for fold in split.folds for arm in leaves]
    return [*first, *again_trained(run)]


def missing_cells(run: Run) -> list[tuple[Split, Fold, str]]:
    """Those of `fits` that the folder does not hold yet."""
    return [
        (split, fold, arm)
        for split, fold, arm, again in fits(run)
        if read_cell(run.out / "cells", cell_id(cell_key(run, split, fold, arm, again))) is None
    ]


def fitting_seconds(run: Run) -> float:
    """What all fits of a finished run took: held-out training rows, members of means and further seeds included."""
    cells = [get_cell(run, *fit) for fit in fits(run)]
    return sum(cell["seconds"] + cell.get("validation_seconds", 0.0) for cell in cells)


def get_cell(run: Run, split: Split, fold: Fold, arm: str, again: int = 0) -> dict[str, Any]:
    """A cell from the folder, or made and kept there; ``again`` counts further training seeds on the same rows."""

    def make() -> dict[str, Any]:
        made = _mean_cell(run, split, fold, arm) if arm in MEANS else _fitted_cell(run, split, fold, arm, again)
        return {"row_id": list(fold.test), **made}

    return get_or_make(run.out / "cells", cell_key(run, split, fold, arm, again), make, run.threads)


def _mean_cell(run: Run, split: Split, fold: Fold, arm: str) -> dict[str, Any]:
    """Combine the members' predictions; nothing is fitted."""
    members = [get_cell(run, split, fold, member) for member in MEANS[arm]]
    cell: dict[str, Any] = {
        "seconds": sum(member["seconds"] for member in members),
        "peak_mb": max(member["peak_mb"] for member in members),
    }
    if run.task == CLASSES:
        chances = mean_of([np.array(member["probabilities"]) for member in members])
        cell["probabilities"] = chances.tolist()
        cell["prediction"] = [run.classes[code] for code in chances.argmax(axis=1)]
    else:
        cell["prediction"] = mean_of([np.array(member["prediction"]) for member in members]).tolist()
    cell["parse_failed"] = [False] * len(fold.test)
    for name in ("validation", "without_part"):
        if all(name in member for member in members):
            cell[name] = mean_of([np.array(member[name]) for member in members]).tolist()
    return cell


def _fitted_cell(run: Run, split: Split, fold: Fold, arm: str, again: int) -> dict[str, Any]:
    X, y = run.table.inputs, fold_targets(run, fold)
    seeded = replace(run, config=replace(run.config, seed=seed_of(run, split, fold) + SEED_STEP * again))
    train, test = list(fold.train), list(fold.test)
    groups = training_groups(run, split, fold)
    label = f"{split.name}{split.named(fold)} {arm}" + (f", seed {again + 1}" if again else "")
    cell: dict[str, Any] = {}
    with measured(cell), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # convergence and rank warnings of single fits; results are validated
        model = fit_arm(
            new_arm(seeded, arm, label, split.reach),
            X.loc[train],
            y.loc[train].to_numpy(),
            groups,
            run.table.censoring(train),
        )
        if run.task == CLASSES:
            chances = class_chances(model, run.classes, X.loc[test])
            cell["probabilities"] = chances.tolist()
            cell["prediction"] = [run.classes[code] for code in chances.argmax(axis=1)]
        else:
            cell["prediction"] = [float(value) for value in model.predict(X.loc[test])]
    cell |= _particulars(model, run.task, X.loc[test], y.loc[test])
    if again:
        return cell
    if run.config.keep_models and arm in LANGUAGE_MODELS and hasattr(model, "adapter_"):
        _keep_adapter(run, split, fold, arm, model)
    elif run.config.keep_models and not is_own(arm):
        _keep_baseline(run, split, fold, arm, model)
    if arm not in LANGUAGE_MODELS or run.config.calibrate_lm:
        started = time.perf_counter()
        cell |= _fitted_without(run, seeded, split, fold, arm, y)
        cell["validation_seconds"] = time.perf_counter() - started
    return cell


def new_arm(run: Run, arm: str, label: str, reach: tuple[float, float] = (0.0, 0.0)) -> Any:
    """An unfitted estimator of this run; ``label`` names it in the progress, ``reach`` is that of its split."""
    options: dict[str, Any] = {}
    if is_language_model(arm):
        options = {
            "engine": run.engine,
            "template": run.template,
            "steps": run.config.steps or None,
            "start": run.config.start,
            "reach": reach,
            "progress": lambda done, total: run.reporter.step(label, done, total),
        }
    else:
        run.reporter.step(label, 0, 1)
    return make_whole(arm, run.task, seed=run.config.seed, threads=run.threads, columns=run.columns, **options)


def _particulars(model: Any, task: str, X: Any, truth: pd.Series) -> dict[str, Any]:
    """What single arms know beyond a prediction: bounds, parse failures, the training curve; and the share of the
    true labels that an arm which writes its answers had no way to write."""
    extra: dict[str, Any] = {"parse_failed": [False] * len(X)}
    if hasattr(model, "reading_"):
        extra["parse_failed"] = model.reading_.parse_failed.tolist()
        extra["well_formed"] = float(model.reading_.well_formed.mean())
    if task == REGRESSION and hasattr(model, "lower_"):
        extra |= {"lower": model.lower_.tolist(), "upper": model.upper_.tolist(), "median": model.medians_.tolist()}
    elif task == REGRESSION and hasattr(model, "theta_"):
        mean, deviation = model.predict(X, return_std=True)
        extra |= {"lower": (mean - 1.645 * deviation).tolist(), "upper": (mean + 1.645 * deviation).tolist()}
    if hasattr(model, "curve_"):
        extra["curve"] = [round(value, 5) for value in model.curve_]
    if hasattr(model, "format_"):
        extra["number_format"] = {
            "decimals": model.format_.decimals,
            "low": model.format_.low,
            "high": model.format_.high,
        }
        extra["unreachable"] = float(1 - model.format_.can_write(truth.to_numpy(dtype=np.float64)).mean())
    return extra


def training_groups(run: Run, split: Split, fold: Fold) -> np.ndarray:
    """The group of each training row, groups that share variants of one molecule joined. Shape (n,)."""
    own = np.array([split.groups[row_id] for row_id in fold.train], dtype=object)
    return joined_labels(own, run.table.frame.set_index("row_id")["twins"].loc[list(fold.train)])


def training_folds(run: Run, split: Split, fold: Fold, y: pd.Series) -> tuple[list[np.ndarray], str]:
    """The masks of training rows that are held out in turn, to choose a baseline and to calibrate.

    A baseline is chosen for the kind of test it will face: by folds that keep the groups of the split, or, where the
    split tests one end of an order, by one hold-out of the training rows at that end. Where neither leaves anything to
    hold out (training rows that are one group), the folds keep twins together.

    Parameters
    ----------
    run : Run
        As prepared: with the seed of its settings, not that of a division.
    y : Series
        The targets as the arms of this fold see them, by ``row_id``.

    Returns
    -------
    masks : list of ndarray of bool, shape (training rows,)
    kept : {"edge", "groups", "twins"}
        What of the split they keep: `EDGE`, `GROUPS`, or, which is no test of its kind of shift, `TWINS`.
    """
    train, seed = list(fold.train), seed_of(run, split, fold)
    groups = training_groups(run, split, fold)
    edge = split.beyond_inner_edge(fold, groups)
    if edge is not None and run.table.exact.loc[train][edge].any() and usable_masks([edge], y.loc[train], run.task):
        return [edge], EDGE
    masks = inner_folds(y.loc[train], groups, run.task, seed)
    if masks:
        return masks, GROUPS
    twins = run.table.frame.set_index("row_id")["twins"].loc[train].to_numpy(dtype=object)
    return inner_folds(y.loc[train], twins, run.task, seed), TWINS


def _fitted_without(run: Run, seeded: Run, split: Split, fold: Fold, arm: str, y: pd.Series) -> dict[str, Any]:
    """What an arm predicts that is fitted without some of the training rows.

    ``validation`` are out-of-fold predictions of training rows, for choosing a baseline and for calibration; NaN where
    a row was not predicted. ``without_part``, beyond an edge, are predictions of the test rows without each part of
    `training_parts`. A language model is trained once more alone, without the first of the inner folds.
    """
    train, test = list(fold.train), list(fold.test)
    X, groups = run.table.inputs, training_groups(run, split, fold)
    masks, _ = training_folds(run, split, fold, y)
    parts = training_parts(run, split, fold, y)
    if is_language_model(arm):
        masks, parts = masks[:1], []
    label, tested = f"held-out training rows: {arm}", []

    def held_out(masks: Sequence[np.ndarray], seen: Callable[[Any], None] | None) -> np.ndarray:
        def make(_: int) -> Any:
            return new_arm(seeded, arm, label, split.reach)

        return held_out_predictions(seeded, masks, make, X.loc[train], y.loc[train], groups, seen)

    def predict_test(model: Any) -> None:
        tested.append(_listed(run, _predictions(run, model, X.loc[test])))

    same = len(parts) == len(masks) and all(map(np.array_equal, parts, masks))
    found = {"validation": _listed(run, held_out(masks, predict_test if parts and same else None))}
    if parts and not same:
        held_out(parts, predict_test)
    return found | ({"without_part": tested} if tested else {})


def training_parts(run: Run, split: Split, fold: Fold, y: pd.Series) -> list[np.ndarray]:
    """Masks of the training rows that are left out in turn where a split tests beyond an edge, to see how much hangs on
    the draw of the training rows there: `INNER_FOLDS` parts of whole groups; none where fewer than `LEAST_PARTS` can
    be made."""
    if split.order is None or len(split.folds) > 1:
        return []
    of_training, groups = y.loc[list(fold.train)], training_groups(run, split, fold)
    parts = usable_masks(_in_folds(of_training, groups, run.task, seed_of(run, split, fold)), of_training, run.task)
    return parts if len(parts) >= LEAST_PARTS else []


def held_out_predictions(
    run: Run,
    masks: Sequence[np.ndarray],
    make: Callable[[int], Any],
    X: pd.DataFrame,
    y: pd.Series,
    groups: np.ndarray,
    seen: Callable[[Any], None] | None = None,
) -> np.ndarray:
    """Predict each mask's rows by an arm fitted on the others; NaN where no mask holds a row.

    Parameters
    ----------
    masks : sequence of ndarray of bool, shape (n,)
    make : callable
        From the number of the mask to an unfitted arm.
    y : Series of shape (n,)
        By ``row_id``.
    seen : callable, optional
        Is given each fitted arm.

    Returns
    -------
    ndarray of shape (n, 1), or (n, classes) with probabilities
    """
    result = np.full((len(y), len(run.classes) if run.task == CLASSES else 1), np.nan)
    for number, held in enumerate(masks):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # convergence and rank warnings of single fits; results are scored
            sides = run.table.censoring(list(y.index[~held]))
            model = fit_arm(make(number), X[~held], y[~held].to_numpy(), groups[~held], sides)
            result[held] = _predictions(run, model, X[held])
            if seen is not None:
                seen(model)
    return result


def _predictions(run: Run, model: Any, X: pd.DataFrame) -> np.ndarray:
    """Shape (n, 1), or (n, classes) with probabilities."""
    return class_chances(model, run.classes, X) if run.task == CLASSES else model.predict(X)[:, None]


def _listed(run: Run, predicted: np.ndarray) -> list[Any]:
    """What `_predictions` gives as a cell keeps it: a number for each row, or a list of probabilities."""
    return (predicted if run.task == CLASSES else predicted[:, 0]).tolist()


def inner_folds(y: pd.Series, groups: np.ndarray, task: str, seed: int) -> list[np.ndarray]:
    """Masks of the rows held out within the training rows; whole groups, stratified by class.

    A fold with more than half of the rows (one large group) is left out: what is fitted on the rest says little.
    """
    strata = y.to_numpy() if task == CLASSES else np.zeros(len(y))
    if len(set(groups)) < 2:
        return []
    if len(y) > INNER_FOLD_ROWS:
        masks = [hold_out(groups, strata, INNER_HOLD_OUT, seed)]
    else:
        masks = _in_folds(y, groups, task, seed)
    return usable_masks(masks, y, task)


def _in_folds(y: pd.Series, groups: np.ndarray, task: str, seed: int) -> list[np.ndarray]:
    """The masks of `INNER_FOLDS` folds of whole groups, or of as many as there are groups."""
    k = min(INNER_FOLDS, len(set(groups)))
    numbers = fold_numbers(groups, y.to_numpy() if task == CLASSES else np.zeros(len(y)), k, seed)
    return [numbers == number for number in range(k)]


def usable_masks(masks: list[np.ndarray], y: pd.Series, task: str) -> list[np.ndarray]:
    """Those that hold out some rows, at most half of them, and leave every class something to learn from."""
    labels = y.to_numpy()
    usable = [mask for mask in masks if task != CLASSES or len(set(labels[~mask])) == len(set(labels))]
    return [mask for mask in usable if 0 < mask.mean() <= MOST_HELD_OUT]


def validation_score(validation: list[Any], y: pd.Series, task: str, classes: tuple[str, ...]) -> float:
    """The primary metric on the out-of-fold predictions, larger is better; -inf without any."""
    predicted = np.array(validation, dtype=np.float64)
    if len(predicted) == 0:
        return -np.inf
    known = np.isfinite(predicted if predicted.ndim == 1 else predicted[:, 0])
    if not known.any():
        return -np.inf
    if task == REGRESSION:
        return -float(np.abs(predicted[known] - y.to_numpy(dtype=np.float64)[known]).mean())
    truth, weights = y.to_numpy().astype(str)[known], np.ones((1, int(known.sum())))
    columns = [1] if len(classes) == 2 else range(len(classes))
    values = [auroc(truth == classes[c], predicted[known][:, c], weights)[0] for c in columns]
    finite = [value for value in values if np.isfinite(value)]
    return float(np.mean(finite)) if finite else -np.inf


def _keep_adapter(run: Run, split: Split, fold: Fold, arm: str, model: Any) -> None:
    from safetensors.torch import save

    tensors = {name: tensor.contiguous() for name, tensor in model.adapter_.items()}
    if hasattr(model, "head_"):
        tensors |= {
            f"head.{name}": value.detach().cpu().contiguous() for name, value in model.head_.state_dict().items()
        }
    write_atomically(_model_path(run, split, fold, arm, "safetensors"), save(tensors))


def _keep_baseline(run: Run, split: Split, fold: Fold, arm: str, model: Any) -> None:
    from skops.io import dumps

    model = make_plain(model)
    write_atomically(_model_path(run, split, fold, arm, "skops"), dumps(model))


def make_plain(model: Any) -> Any:
    """A fitted arm without what only the run needs: the engine and the progress callback."""
    for name in ("engine", "progress"):
        if hasattr(model, name):
            setattr(model, name, None)
    return model


def _model_path(run: Run, split: Split, fold: Fold, arm: str, suffix: str) -> Path:
    return run.out / "models" / f"{split.name.replace(':', '_')}-{fold.repeat}-{fold.fold}-{arm}.{suffix}"


# -- the run ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Outcome:
    """What a finished run found; `pipeline.report` turns it into a page."""

    config: RunConfig
    table: Table
    splits: tuple[Split, ...]
    split_cards: tuple[dict[str, Any], ...]
    arms: tuple[str, ...]
    predictions: pd.DataFrame
    metrics: pd.DataFrame
    comparisons: tuple[Comparisons, ...]
    seed_spreads: tuple[SeedSpread, ...]
    certainty: Certainty
    evaluations: tuple[Evaluation, ...]
    verdicts: tuple[Verdict, ...]
    cells: tuple[dict[str, Any], ...]
    left_out: tuple[str, ...]
    rungs_left_out: tuple[str, ...]
    info: dict[str, Any]


def execute(run: Run) -> Outcome:
    """Fill all cells, evaluate them, and write the folder of the run except for the report."""
    from pipeline.training_seeds import train_again  # it builds on this module

    settle(run)
    _write_inputs(run)
    if _needs_features(run):
        label, compute = shared_features(run.table)
        for smiles in run.reporter.each(label)(run.table.frame["smiles"], len(run.table)):
            compute([smiles])
    finished: list[dict[str, Any]] = []
    preferred: dict[str, dict[tuple[int, int], str]] = {}
    for split in run.splits:
        preferred[split.name] = {}
        for fold in split.folds:
            cells = {}
            for arm in run.arms:
                cells[arm] = get_cell(run, split, fold, arm)
                run.reporter.say(_cell_line(run, split, fold, arm, cells[arm]))
            choice = _preferred(run, split, fold, cells)
            if choice:
                preferred[split.name][fold.repeat, fold.fold] = choice
            finished += cells.values()
    train_again(run)
    predictions = _prediction_table(run, finished)
    return _conclude(run, predictions, preferred, finished)


def shared_features(table: Table) -> tuple[str, Callable[[Any], np.ndarray]]:
    """What takes longest to compute of what several arms share, by name, and the function of the structures."""
    return ("fingerprints", differential_bits) if table.has_reactions else ("descriptors", descriptors)


def _needs_features(run: Run) -> bool:
    """Whether an arm that asks for descriptors or fingerprints is still to be fitted."""
    without = (*LANGUAGE_MODELS, *CONTROLS.values(), *REACTION_CONTROLS)
    return any(arm not in without for _, _, arm in missing_cells(run))


def _cell_line(run: Run, split: Split, fold: Fold, arm: str, cell: dict[str, Any]) -> str:
    metric = PRIMARY[run.task]
    where = split.name + split.named(fold)
    predicted = cell["prediction"] if run.task == REGRESSION else cell["probabilities"]
    score = _exact_score(run, list(fold.test), predicted, fold_targets(run, fold))
    if run.task == REGRESSION:
        shown = f"{metric.upper()} {-score:.4g} {run.table.units}".rstrip()
    else:
        shown = f"{metric.upper()} {score:.3f}"
    return f"{where:<20} {arm:<12} {shown:<24} {cell['seconds']:7.1f} s"


def _exact_score(run: Run, row_ids: list[str], predicted: list[Any], y: pd.Series) -> float:
    """`validation_score` over the rows whose target is a value; a bound cannot be scored."""
    exact = run.table.exact.loc[row_ids].to_numpy()
    kept = [value for value, known in zip(predicted, exact, strict=True) if known]
    return validation_score(kept, y.loc[row_ids][exact], run.task, run.classes)


def _preferred(run: Run, split: Split, fold: Fold, cells: dict[str, dict[str, Any]]) -> str | None:
    """The baseline with the best validation score on this fold's training rows."""
    candidates = [arm for arm in run.arms if "validation" in cells[arm] and not is_language_model(arm)]
    if set(candidates) <= set(CONTROLS.values()):
        return None
    y = fold_targets(run, fold)
    scores = {arm: _exact_score(run, list(fold.train), cells[arm]["validation"], y) for arm in candidates}
    return max(scores, key=lambda arm: scores[arm])


def _prediction_table(run: Run, cells: list[dict[str, Any]]) -> pd.DataFrame:
    """One row per prediction, as described in the README."""
    parts = []
    truths: dict[tuple[str, int, int], pd.Series] = {
        (split.name, fold.repeat, fold.fold): fold_targets(run, fold) for split in run.splits for fold in split.folds
    }
    for cell in cells:
        key = cell["key"]
        part = pd.DataFrame({"row_id": cell["row_id"], "prediction": cell["prediction"]})
        part["truth"] = truths[key["split"], key["repeat"], key["fold"]].loc[cell["row_id"]].to_numpy()
        for position, label in enumerate(run.classes if run.task == CLASSES else ()):
            part[f"p_{label}"] = [row[position] for row in cell["probabilities"]]
        part["parse_failed"] = cell["parse_failed"]
        part["unreachable"] = _cannot_write(cell, part["truth"])
        if not run.table.exact.all():
            part["bound"] = run.table.frame.set_index("row_id")["bound"].loc[cell["row_id"]].to_numpy()
        if run.table.scale.transform:
            for column in ("truth", "prediction"):
                part[f"{column}_original"] = run.table.scale.back(part[column])
        part["cell_id"], part["dataset"], part["arm"] = cell["id"], run.table.name, key["arm"]
        part["split"], part["repeat"], part["fold"], part["seed"] = (
            key["split"],
            key["repeat"],
            key["fold"],
            key["seed"],
        )
        parts.append(part)
    frame = pd.concat(parts, ignore_index=True)
    first = ["cell_id", "dataset", "row_id", "split", "repeat", "fold", "seed", "arm", "truth", "prediction"]
    return frame[[*first, *(column for column in frame.columns if column not in first)]]


def _cannot_write(cell: dict[str, Any], truth: pd.Series) -> np.ndarray:
    """Which true labels lie outside of the numbers that the cell's arm could write; none for other arms. Shape (n,)."""
    if "number_format" not in cell:
        return np.zeros(len(truth), dtype=bool)
    return ~NumberFormat(**cell["number_format"]).can_write(truth.to_numpy(dtype=np.float64))


def with_refits(evaluation: Evaluation, cells: Sequence[Mapping[str, Any]]) -> Evaluation:
    """An evaluation with the scores of the arms trained without each part of the training groups, where the cells of
    its split have such predictions."""
    refits = {}
    for cell in cells:
        if cell["key"]["split"] == evaluation.split and "without_part" in cell:
            parts = [evaluation.parts_of(cell["row_id"], np.array(one)) for one in cell["without_part"]]
            refits[cell["key"]["arm"]] = np.array([part.mean() for part in parts])
    if evaluation.only_reference in refits:
        refits[REFERENCE] = refits[evaluation.only_reference]
    return replace(evaluation, refits=refits)


def exact_rows(predictions: pd.DataFrame) -> pd.DataFrame:
    """The predictions that can be scored: those of rows whose truth is a value rather than a bound."""
    return predictions[predictions["bound"] == ""] if "bound" in predictions.columns else predictions


def with_origins(frame: pd.DataFrame, table: Table) -> pd.DataFrame:
    """A table with a ``row_id`` and, behind it, the line of each row in the user's file, its structure as given, and
    the user's id."""
    origins = table.origins.loc[frame["row_id"]].reset_index(drop=True)
    place = list(frame.columns).index("row_id") + 1
    parts = [frame.iloc[:, :place].reset_index(drop=True), origins, frame.iloc[:, place:].reset_index(drop=True)]
    return pd.concat(parts, axis=1)


def refused_rows(table: Table) -> pd.DataFrame:
    """The rows that were left out, with the user's ids where there are some."""
    return table.refused if table.has_ids else table.refused.drop(columns="id")


def _write_inputs(run: Run) -> None:
    write_atomically(run.out / "config.yaml", write_yaml(run.config.as_dict()))
    write_csv(run.out / "refused.csv", refused_rows(run.table))
    splits = pd.concat([split.frame() for split in run.splits], ignore_index=True)
    write_csv(run.out / "splits.csv", with_origins(splits, run.table))


def _conclude(
    run: Run,
    predictions: pd.DataFrame,
    preferred: dict[str, dict[tuple[int, int], str]],
    cells: list[dict[str, Any]],
) -> Outcome:
    from pipeline.certainty import assess, with_calibrated_bounds  # they build on this module
    from pipeline.training_seeds import spreads, with_seeds

    evaluations = [
        evaluate(
            exact_rows(predictions[predictions["split"] == split.name]),
            task=run.task,
            classes=run.classes,
            split=split,
            preferred=preferred[split.name],
            seed=run.config.seed,
            positive=positive_class(run),
        )
        for split in run.splits
    ]
    evaluations = [with_refits(evaluation, cells) for evaluation in evaluations]
    seed_spreads = spreads(run, evaluations)
    evaluations = with_seeds(evaluations, seed_spreads)
    metrics = pd.concat([metric_table(evaluation) for evaluation in evaluations], ignore_index=True)
    lm_arms = [arm for arm in run.arms if is_language_model(arm)]
    primary = primary_arm(run)
    margins = {evaluation.split: practical_margin(run, evaluation) for evaluation in evaluations}
    compared = tuple(
        compare(evaluation, run.arms, lm_arms, primary, margins[evaluation.split]) for evaluation in evaluations
    )
    baselines = [arm for arm in run.arms if not is_language_model(arm)]
    words = Words(
        run.table.units,
        run.table.rows_are,
        REACTION_CONTROLS,
        [name for name, arm in ARMS.items() if arm.reads_text],
        [split.name for split in run.splits if makes_folds(split.name)],
        int(run.table.exact.sum()),
    )
    found = verdicts(compared, lm_arms, words, baselines)
    split_cards = tuple(split_card(run.table, split) for split in run.splits)
    write_csv(run.out / "metrics.csv", metrics)
    certainty = assess(run, cells, evaluations)
    if run.task == REGRESSION:
        predictions = with_calibrated_bounds(predictions, certainty.rows)
    write_atomically(run.out / "predictions.parquet", with_origins(predictions, run.table).to_parquet(index=False))
    write_csv(run.out / "intervals.csv", certainty.intervals)
    write_csv(run.out / "signals.csv", certainty.signals)
    write_atomically(run.out / "certainty.parquet", with_origins(certainty.rows, run.table).to_parquet(index=False))
    pairs = [asdict(pair) for comparisons in compared for pair in comparisons.found]
    write_csv(run.out / "comparisons.csv", pd.DataFrame(pairs, columns=COMPARISON_COLUMNS))
    info = {
        "settings": run.config.as_dict(),
        "table": run.table.fingerprint(),
        "task": run.task,
        "task_reason": run.table.task_reason,
        "rows": {
            "read": run.table.n_read,
            "refused": len(run.table.refused),
            "used": len(run.table),
            "bounds": int((~run.table.exact).sum()),
        },
        "left_out": run.left_out,
        "rungs_left_out": run.rungs_left_out,
        "versions": versions(),
        "hardware": hardware(),
        "dtype": run.dtype if lm_arms else None,
        "seconds": fitting_seconds(run),
        "splits": list(split_cards),
        "preferred_baseline": {
            name: {f"{repeat}/{fold}": arm for (repeat, fold), arm in choices.items()}
            for name, choices in preferred.items()
        },
        "margins": margins,
        "primary": primary,
        "training_seeds": [asdict(one) for one in seed_spreads],
        "positive": positive_class(run),
        "higher_is_better": HIGHER_IS_BETTER,
        "verdicts": [verdict.as_dict() for verdict in found],
        "cells": [
            {
                "id": cell["id"],
                **{name: cell["key"][name] for name in ("split", "repeat", "fold", "arm", "seed")},
                "seconds": cell["seconds"],
                "peak_mb": cell["peak_mb"],
                **{name: cell[name] for name in ("gpu_peak_mb", "well_formed", "unreachable") if name in cell},
                **({"settings": cell["key"]["language_model"]} if "language_model" in cell["key"] else {}),
            }
            for cell in cells
        ],
    }
    write_atomically(run.out / "run.json", json.dumps(info, indent=1, ensure_ascii=False))
    return Outcome(
        run.config,
        run.table,
        tuple(run.splits),
        split_cards,
        tuple(run.arms),
        predictions,
        metrics,
        compared,
        tuple(seed_spreads),
        certainty,
        tuple(evaluations),
        tuple(found),
        tuple(cells),
        tuple(run.left_out),
        tuple(run.rungs_left_out),
        info,
    )


def primary_arm(run: Run) -> str:
    """The arm whose comparison with the preferred baseline is the primary one: the one named, or else the first of the
    language models, `lm-head` before others; empty where there is none."""
    if run.config.primary:
        return run.config.primary
    lm_arms = [arm for arm in run.arms if is_language_model(arm)]
    return HEAD if HEAD in lm_arms else next(iter(lm_arms), "")


def positive_class(run: Run) -> str:
    """Of two classes the one that AUPRC is about: the one named, or else the rarer one."""
    if run.config.positive or run.task != CLASSES or run.config.bins:
        return run.config.positive
    return rarer_class(list(run.table.targets), run.classes)


def practical_margin(run: Run, evaluation: Evaluation) -> float:
    """The difference in the primary metric that makes none in practice: the one given, or else what repeated
    measurements say (`negligible`); 0 for none."""
    if run.config.margin or run.task == CLASSES:
        return run.config.margin
    noise = measurement_noise(run.table.frame)
    if noise is None or REFERENCE not in evaluation.scores:
        return 0.0
    if noise_contradicted(best_possible(run.table, noise, evaluation), evaluation):
        return 0.0
    return negligible(noise, float(evaluation.scores[REFERENCE]["mae"][0]))


def best_possible(table: Table, noise: Noise, evaluation: Evaluation) -> dict[str, float]:
    """The scores of a model without any error of its own on the test rows of a split, by repeated measurements."""
    counts = table.frame.set_index("row_id")["n_values"]
    return best_scores(noise, evaluation.truth, counts.loc[list(evaluation.row_ids)].to_numpy())


def noise_contradicted(best: dict[str, float], evaluation: Evaluation) -> bool:
    """Whether an arm does better than the best possible scores: then the repeated rows do not stand for the tested
    ones, and say nothing of these."""
    return any(
        best[metric] > min(float(scores[metric][0]) for scores in evaluation.scores.values())
        for metric in ("mae", "rmse")
    )


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
