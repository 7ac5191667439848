"""From settings to what a run is about: the table is read and cleaned, and its splits are made."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from pipeline.arms.ladder import is_language_model, reads_notation, resolve_arms
from pipeline.arms.spelled import prompts_in
from pipeline.errors import InputError, unknown
from pipeline.features.notations import repeated, representations, unwritable
from pipeline.prompts.numbers import NumberFormat
from pipeline.reporter import Reporter
from pipeline.runs.context import Context
from pipeline.settings.reading import asks_for_all, config_per_target, merge_settings
from pipeline.settings.run import RunConfig
from pipeline.settings.threshold import Rule
from pipeline.splits.build import build_splits
from pipeline.splits.catalogue import columns_needed, expand_names
from pipeline.splits.splitters import Split
from pipeline.tables.catalogue import card, is_built_in
from pipeline.tables.context import context_column_name
from pipeline.tables.kinds import KINDS, MOLECULES, REACTIONS
from pipeline.tables.reaction_table import build_reaction_table, component_column
from pipeline.tables.reading import RawTable, read_table, require_column
from pipeline.tables.table import Table, build_table, check_enough
from pipeline.tables.target_column import TargetSettings
from pipeline.tables.targets import CLASSES, REGRESSION

T = TypeVar("T")


@dataclass(frozen=True)
class Job:
    """A table as text, and the settings of a run for each target that the user named.

    Attributes
    ----------
    of_all : bool
        Whether all targets were asked for, and none by name.
    """

    settings: dict[str, Any]
    raw: RawTable
    configs: list[RunConfig]
    of_all: bool = False

    def each(self, make: Callable[[RunConfig], T], told: Callable[[str], None]) -> Iterator[tuple[RunConfig, T]]:
        """What is made of each target, one after another.

        Where all targets were asked for, those that cannot be used are left out, and ``told`` is given a sentence for
        each.

        Raises
        ------
        InputError
            For a target that was named and cannot be used, or where none is left.
        """
        left = False
        for config in self.configs:
            try:
                made = make(config)
            except InputError as error:
                if len(self.configs) == 1:
                    raise
                if not self.of_all:
                    raise InputError(f"target {config.target!r}: {error}") from None
                told(f"Left out: target {config.target!r}: {error}")
                continue
            left = True
            yield config, made
        if not left:
            raise InputError(f"{self.raw.source}: none of the targets can be used, for the reasons above")

    def folder(self, config: RunConfig, whole: Path) -> Path:
        """Where what is made of one target belongs: in a folder of its own if there are several."""
        return whole / Path(config.out).name if len(self.configs) > 1 else whole


def open_job(source: str, given: Mapping[str, Any], told: Callable[[str], None] = lambda line: None) -> Job:
    """Read the table that a source (a YAML file or a table) and the options of the command line name; ``told`` is given
    a sentence for each setting that was guessed."""
    read = cache(load_raw)
    settings = merge_settings(source, given, told, read)
    raw = read(settings["table"], settings.get("data_dir", ""))
    configs = config_per_target(settings, list(raw.frame.columns))
    for config in configs:
        require_column(raw, config.target, config.kind.target_option)
    return Job(settings, raw, configs, asks_for_all(source, given))


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
    context = [column if column in raw.frame.columns else context_column_name(column) for column in config.beside]
    carried = {*context, *map(component_column, config.components)}
    keep = [column for column in columns_needed(config.split) if column not in {*carried, *apart}]
    settings = {name: getattr(config, name) for name in TargetSettings.__dataclass_fields__}
    common: dict[str, Any] = {
        "target": config.target,
        "name": name,
        "property_name": config.property_name or None,
        "context": config.beside,
        "keep": list(dict.fromkeys(keep)),
        "min_class_rows": 0 if config.bins else config.min_class_rows,
        "id_column": config.id,
    }
    if config.bins:
        settings["task"] = REGRESSION
    progress = reporter.each(f"reading {config.kind}")
    table = _BUILDERS[config.kind](raw, config, apart, progress=progress, **common, **settings)
    if name and card(name).note:
        table = replace(table, remarks=(*table.remarks, card(name).note))
    if name and config.task == card(name).task and config.target in (card(name).target, *card(name).targets):
        return replace(table, task_reason="so its card says")
    return table


def _in_one_column(raw: RawTable, config: RunConfig, apart: Sequence[str], **common: Any) -> Table:
    return build_table(
        raw,
        smiles=config.structure or None,
        kind=config.kind,
        largest_fragment=config.largest_fragment,
        **common,
    )


def _reactions(raw: RawTable, config: RunConfig, apart: Sequence[str], **common: Any) -> Table:
    return build_reaction_table(
        raw,
        reaction=config.reaction,
        components=config.components,
        yield_unit=config.yield_unit,
        failure_words=config.failure_words,
        success=config.success,
        apart=apart,
        **common,
    )


_BUILDERS = dict.fromkeys(KINDS.values(), _in_one_column) | {REACTIONS: _reactions}


def prepare(config: RunConfig, reporter: Reporter, raw: RawTable | None = None) -> Context:
    """Everything before training: the table, the rows that the model cannot take, and the splits."""
    return with_splits(cleaned(config, config.arms, reporter, raw), reporter)


def cleaned(config: RunConfig, arms: Sequence[str], reporter: Reporter, raw: RawTable | None = None) -> Context:
    """The cleaned table with the rows that all of the arms can take; no split yet."""
    table = load_table(config, reporter, raw)
    names = resolve_arms(arms, CLASSES if config.bins else table.task, table.kind)
    if config.primary and config.primary not in names:
        raise unknown("primary", config.primary, names)
    if config.positive and config.positive not in table.classes:
        raise unknown("positive", config.positive, table.classes)
    if not Rule.of(config.threshold).even and (config.bins or len(table.classes)) != 2:
        what = f"{config.bins or len(table.classes)} classes" if config.bins or table.classes else "numbers"
        raise InputError(f"threshold is for two classes; the target {config.target!r} has {what}")
    return with_rows(Context(config, table, (), tuple(names)))


def with_rows(context: Context) -> Context:
    """The rows that all arms can take, and as many of them as the settings allow."""
    config, table = context.config, context.table
    if any(map(reads_notation, context.arms)) and table.kind is MOLECULES:
        reasons = unwritable(list(table.frame["smiles"]), representations(config.representation))
        by_row = dict(zip(table.frame["row_id"], table.frame["smiles"], strict=True))
        table = table.refuse({row_id: reasons[smiles] for row_id, smiles in by_row.items() if smiles in reasons})
        context = replace(context, table=table)
    if any(map(is_language_model, context.arms)):
        table = without_long_rows(context)
    if config.max_rows:
        table = table.sample(config.max_rows, config.seed)
    check_enough(table, config.table, config.target)
    return replace(context, table=table)


def with_splits(context: Context, reporter: Reporter) -> Context:
    """Make the splits of a run; those of a ladder that the table cannot make are left out, and said to be."""
    config, table = context.config, context.table
    splits: list[Split] = []
    left_out = []
    for name in expand_names(config.split, table):
        try:
            splits += build_splits(
                table,
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
            left_out.append(str(error))
    if not splits:
        raise InputError(left_out[0])
    for reason in left_out:
        reporter.say(f"Left out: {reason}.")
    names = [split.name for split in splits]
    repeated = next((name for name in names if names.count(name) > 1), None)
    if repeated:
        raise InputError(f"split {repeated!r} is named more than once")
    made = replace(context, splits=tuple(splits), rungs_left_out=tuple(left_out))
    if config.bins:
        for split in made.splits:
            for fold in split.folds:
                made.targets(fold)  # an error where a class has no row
    return made


def without_long_rows(context: Context) -> Table:
    """The table without the rows whose prompt and answer do not fit the model's context; they are refused."""
    from pipeline.lm.decoders import prompt_limit

    table, model, template = context.table, context.config.model, context.template
    answers = context.classes if context.task == CLASSES else NumberFormat.fit(table.targets.to_numpy()).texts()
    count, limit = prompt_limit(model, template, answers)
    reasons = {}
    for one in representations(context.config.representation):
        row_ids = repeated(table.inputs.index, one.spellings)
        for row_id, pieces in zip(row_ids, prompts_in(template, table.inputs, one, context.config.seed), strict=True):
            tokens = count(pieces)
            if tokens > limit:
                reasons[row_id] = f"prompt of {tokens} tokens; {model} takes {limit} beside the answer"
    left = table.refuse(reasons)
    check_enough(left, context.config.table, context.config.target)
    return left
