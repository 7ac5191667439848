"""The command line: thin, every verb one function of the package."""

from __future__ import annotations

import json
import os
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import fields, replace
from pathlib import Path
from typing import Annotated, Any, Optional, cast

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Column
from rich.table import Table as Grid

from pipeline import __version__
from pipeline.errors import InputError
from pipeline.reporter import Reporter

app = typer.Typer(
    name="chemtune",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    help="Fine-tune a small language model on a table of molecules or reactions, next to strong classical baselines "
    "on the same rows, and see where each fails.",
)
stress = typer.Typer(no_args_is_help=True, help="Experiments that show where a model fails, and what mends it.")
app.add_typer(stress, name="stress")
_TERMINAL = sys.stdout.isatty()
console = Console(emoji=False, highlight=False, soft_wrap=not _TERMINAL, width=None if _TERMINAL else 220)
errors = Console(stderr=True, emoji=False, highlight=False, soft_wrap=True)

Source = Annotated[
    str,
    typer.Argument(help="A CSV, TSV (also .gz), Parquet, Excel or SDF file, a built-in table, or a Hugging Face id."),
]
SmilesOption = Annotated[Optional[str], typer.Option("--smiles", help="Column that holds the SMILES.")]
TargetOption = Annotated[Optional[str], typer.Option("--target", help="Column that holds the measured value or class.")]
TaskOption = Annotated[Optional[str], typer.Option(help="auto, regression or classes; auto looks at the column.")]
ReactionOption = Annotated[
    Optional[str], typer.Option(help="Column that holds reaction SMILES, for a table of reactions.")
]
ComponentsOption = Annotated[
    Optional[str],
    typer.Option(
        help="Columns that hold one component of a reaction each, such as halide,ligand,base; NAME:name for names."
    ),
]
YieldOption = Annotated[Optional[str], typer.Option("--yield", help="Column that holds the yields of reactions.")]
YieldUnitOption = Annotated[Optional[str], typer.Option(help="percent (default) or fraction.")]
SuccessOption = Annotated[
    Optional[float], typer.Option(help="Predict whether the yield reaches this many percent, instead of the yield.")
]
SuccessFromOption = Annotated[
    Optional[float], typer.Option(help="Yield in percent from which on a reaction is a success.")
]
UnitsOption = Annotated[Optional[str], typer.Option(help="Units of the target, stated in the prompt and the report.")]
NameOption = Annotated[Optional[str], typer.Option("--property-name", help="What the prompt calls the target.")]
ContextOption = Annotated[
    Optional[str],
    typer.Option(
        help="Columns the prompt states and the baselines get, such as solvent,temperature; NAME:number or NAME:name "
        "says what one holds."
    ),
]
TransformOption = Annotated[
    Optional[str],
    typer.Option(help="Model the target as log10 or pIC50 (needs its units); predictions come back in its units."),
]
BoundsOption = Annotated[
    Optional[str],
    typer.Option(
        help="Values such as >10: refuse (default, but for yields limit), limit (train on the limit), or censored "
        "(one-sided where the arm "
        "can, lm-head and blend; others take the limit). Bounds are never scored."
    ),
]
AnnotatedOption = Annotated[
    Optional[str],
    typer.Option(
        help="Values such as 1.2±0.3, 5 µM, ~5: refuse (default, but for yields accept) or accept (the number; units "
        "converted)."
    ),
]
FragmentOption = Annotated[
    Optional[bool], typer.Option("--largest-fragment", help="Keep only the largest fragment of each structure.")
]
TemplateOption = Annotated[
    Optional[str],
    typer.Option(help="Prompt with the fields {property}, {context} and {molecule}, {reaction} or {components}."),
]
TokenizationOption = Annotated[
    Optional[str],
    typer.Option(help="atomwise: each symbol of a SMILES has tokens of its own; model: cut like any text."),
]
StartOption = Annotated[
    Optional[str],
    typer.Option(
        help="What lm-head starts from: auto (adapters that know RDKit's descriptors, where shipped) or plain (none)."
    ),
]
ShuffleOption = Annotated[
    Optional[bool],
    typer.Option(
        "--shuffle-components", help="State the components of each training reaction in a random order of its own."
    ),
]
IdOption = Annotated[
    Optional[str], typer.Option("--id", help="Column with your own name of each row; it stands in all outputs.")
]
DecimalOption = Annotated[
    Optional[str], typer.Option(help="Mark before decimals, . or , ; decided from the column if not given.")
]
ThousandsOption = Annotated[
    Optional[str],
    typer.Option(help="Mark between thousands: , . ' space or none; decided from the column if not given."),
]
RelationOption = Annotated[
    Optional[str], typer.Option(help="Column that says =, > or < of each value, as in exports of databases.")
]
UnitsColumnOption = Annotated[
    Optional[str], typer.Option(help="Column with the unit of each value; all are converted to --units.")
]
ClassRowsOption = Annotated[Optional[int], typer.Option(help="Leave out classes with fewer rows than this.")]
FailureWordsOption = Annotated[
    Optional[str],
    typer.Option(
        help="Words in the column of yields that stand for 0, such as 'trace,NR', instead of the usual list; +n.d. "
        "adds a word to it."
    ),
]
MaxRowsOption = Annotated[Optional[int], typer.Option(help="Use at most this many rows, drawn by seed.")]
ModelOption = Annotated[Optional[str], typer.Option(help="Known model, Hugging Face id, or local folder.")]
DtypeOption = Annotated[
    Optional[str], typer.Option(help="auto (bfloat16 where it is faster here), float32 or bfloat16.")
]
DataDirOption = Annotated[
    Optional[str],
    typer.Option(help="Folder with the files of built-in tables that are not shipped (nicolit, hitea_buchwald)."),
]
StepsOption = Annotated[
    Optional[int], typer.Option(help="Optimiser steps of the LM arms, 16 rows each; 0 follows the rows.")
]


ExecutorOption = Annotated[
    Optional[str],
    typer.Option(help="Who computes: serial (default), processes, ray or slurm; results are the same."),
]
WorkersOption = Annotated[Optional[int], typer.Option(help="Helpers of the executor; one per core if not given.")]
ShardOption = Annotated[
    Optional[str],
    typer.Option(help="Do this share of the work, such as 2/5, under a scheduler of your own; the last one reports."),
]
_EXECUTION = ("executor", "workers", "shard")


def _executor(options: dict[str, Any]) -> Any:
    """The executor that the options of a command name."""
    from pipeline.cells.executors import Executor

    return Executor.of(options["executor"] or "", options["workers"] or 0, options["shard"] or "")


def _settings(options: dict[str, Any], *others: str) -> dict[str, Any]:
    """The options of a command that are settings of a run, under the names of a YAML file."""
    named = {"yield_column": "yield", "id_column": "id"}
    return {named.get(name, name): value for name, value in options.items() if name not in others}


class TerminalReporter(Reporter):
    """Progress bars on a terminal, plain lines elsewhere."""

    def __init__(self) -> None:
        self.progress: Progress | None = None
        self._bars: dict[str, Any] = {}

    @contextmanager
    def running(self) -> Iterator[None]:
        if not console.is_terminal:
            yield
            return
        columns = (TextColumn("{task.description:<28}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        with Progress(*columns, console=console, transient=True) as self.progress:
            yield
        self.progress = None

    def say(self, text: str) -> None:
        self._clear()
        console.print(text, markup=False)

    def _clear(self) -> None:
        if self.progress:
            for bar in self._bars.values():
                self.progress.remove_task(bar)
        self._bars.clear()

    def step(self, label: str, done: int, total: int) -> None:
        if not self.progress:
            return
        if label not in self._bars:
            self._clear()
            self._bars[label] = self.progress.add_task(label, total=total)
        self.progress.update(self._bars[label], completed=done, total=total)

    def each(self, label: str) -> Callable[[Iterable[Any], int], Iterable[Any]]:
        def wrapped(items: Iterable[Any], total: int) -> Iterator[Any]:
            for done, item in enumerate(items):
                if done % 20 == 0:
                    self.step(label, done, total)
                yield item
            self._clear()

        return wrapped


def _begin(source: Any) -> None:
    """A line at once: the libraries alone take seconds to load."""
    console.print(f"Reading {source}", markup=False)


def _quiet_libraries() -> None:
    """Keep the model libraries' own progress bars and advice off the terminal."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ.setdefault("TQDM_DISABLE", "1")  # read when tqdm is first imported
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    warnings.filterwarnings("ignore", category=FutureWarning, module="transformers|peft|torch")


_DEFAULTS = (
    "The defaults are meant to be left alone; those that matter were chosen on validation parts of training rows. "
    "lm-head trains the first 5 layers of the model, from adapters that know RDKit's descriptors where there are some "
    "(--start), and a linear head; it had the smaller errors. lm-text trains the first 10 and writes the answer as "
    "text, with a probability for every answer; more layers made it slower and not measurably better. Both take so "
    "many layers of any --model. Steps follow the number of training rows, 16 rows a step. Each symbol of a SMILES has "
    "tokens of its own, since rings and chains are otherwise cut differently wherever they stand. Why, and what else "
    "was tried: docs/engine.md."
)


@app.command(epilog=_DEFAULTS)
def run(
    source: Annotated[str, typer.Argument(help="A YAML file of settings, or a table as for [b]audit[/b].")],
    smiles: SmilesOption = None,
    target: TargetOption = None,
    id_column: IdOption = None,
    reaction: ReactionOption = None,
    components: ComponentsOption = None,
    yield_column: YieldOption = None,
    yield_unit: YieldUnitOption = None,
    failure_words: FailureWordsOption = None,
    success: SuccessOption = None,
    property_name: NameOption = None,
    units: UnitsOption = None,
    task: TaskOption = None,
    transform: TransformOption = None,
    bounds: BoundsOption = None,
    annotated: AnnotatedOption = None,
    decimal: DecimalOption = None,
    thousands: ThousandsOption = None,
    relation: RelationOption = None,
    units_column: UnitsColumnOption = None,
    min_class_rows: ClassRowsOption = None,
    bins: Annotated[
        Optional[int], typer.Option(help="Make this many classes of a number, by training quantiles.")
    ] = None,
    context: ContextOption = None,
    largest_fragment: FragmentOption = None,
    max_rows: MaxRowsOption = None,
    data_dir: DataDirOption = None,
    split: Annotated[
        Optional[str],
        typer.Option(
            help="Splits: random, scaffold, generic-scaffold, cluster, similarity, size, label-high, label-low, "
            "time:COLUMN, group:COLUMN, column:COLUMN; components or component:COLUMN (reactions); ladder for all that "
            "the table allows; or a splits.csv of an earlier run."
        ),
    ] = None,
    n_train: Annotated[
        Optional[int], typer.Option(help="Train on at most this many rows of each fold, drawn by seed; test rows stay.")
    ] = None,
    test_size: Annotated[Optional[float], typer.Option(help="Share of rows in a hold-out.")] = None,
    folds: Annotated[Optional[int], typer.Option(help="Number of folds; 0 for a hold-out.")] = None,
    repeats: Annotated[
        Optional[int], typer.Option(help="How often to deal the rows anew, each time with another seed of every arm.")
    ] = None,
    margin: Annotated[
        Optional[float],
        typer.Option(
            help="Difference in MAE or AUROC that makes none in practice; from repeated measurements if not given."
        ),
    ] = None,
    primary: Annotated[
        Optional[str],
        typer.Option(help="The arm whose comparison with the preferred baseline is not corrected for the others."),
    ] = None,
    positive: Annotated[
        Optional[str], typer.Option(help="Of two classes the one that AUPRC is about; the rarer one if not given.")
    ] = None,
    arms: Annotated[Optional[str], typer.Option(help="Arms by name, or the groups baselines, lm, all.")] = None,
    model: ModelOption = None,
    dtype: DtypeOption = None,
    template: TemplateOption = None,
    shuffle_components: ShuffleOption = None,
    tokenization: TokenizationOption = None,
    start: StartOption = None,
    steps: StepsOption = None,
    lm_seeds: Annotated[
        Optional[int],
        typer.Option(help="Training seeds of each language model on a hold-out; two of the primary one if not given."),
    ] = None,
    seed: Annotated[Optional[int], typer.Option(help="Seed of the splits and of every arm.")] = None,
    calibrate_lm: Annotated[
        Optional[bool],
        typer.Option("--calibrate-lm", help="Train each language model once more, to calibrate how sure it is."),
    ] = None,
    budget: Annotated[
        Optional[str], typer.Option(help="Time to keep within, such as 10m; says what it left out.")
    ] = None,
    keep_models: Annotated[Optional[bool], typer.Option("--keep-models", help="Keep the fitted arms.")] = None,
    executor: ExecutorOption = None,
    workers: WorkersOption = None,
    shard: ShardOption = None,
    out: Annotated[Optional[str], typer.Option(help="Folder of the run; runs/<table> if not given.")] = None,
) -> None:
    """Compare a fine-tuned language model with classical baselines on random and shifted splits."""
    options = dict(locals())
    given = _settings(options, "source", *_EXECUTION)
    _begin(source)
    how = _executor(options)
    from pipeline.config import budget_seconds, write_yaml
    from pipeline.evaluation.verdict import ladder_sentence
    from pipeline.files import write_atomically
    from pipeline.runs.budget import check_room
    from pipeline.runs.certainty import sentences
    from pipeline.runs.context import settled
    from pipeline.runs.prepare import open_job, prepare
    from pipeline.studies.compare_page import write_report

    job = open_job(source, given)
    configs, folder = job.configs, Path(job.settings["out"])
    share = budget_seconds(configs[0].budget) / len(configs) if configs[0].budget else 0.0
    reporter = TerminalReporter()
    with reporter.running():
        prepared = []
        for config in configs:
            made = prepare(config, reporter, job.raw)
            check_room(made)
            prepared.append((made, settled(made, reporter)))
            _say_plan(reporter, made)
        outcomes = [_within_budget(*one, share, how) for one in prepared]
        if None in outcomes:
            console.print("Other shares are still to be done; the command that does the last one writes the report.")
            return
        if len(configs) > 1:
            write_atomically(folder / "config.yaml", write_yaml(job.settings))
        report = write_report(outcomes, folder)
    for outcome in outcomes:
        name = f"{outcome.config.target}: " if len(outcomes) > 1 else ""
        for sentence in (
            *(verdict.sentence for verdict in outcome.verdicts),
            ladder_sentence(outcome.verdicts, outcome.comparisons),
            *sentences(outcome.certainty, outcome.evaluations),
        ):
            if sentence:
                console.print()
                console.print(f"{name}{sentence}", markup=False)
    console.print(f"\nReport: {report}", markup=False)


def _within_budget(context: Any, machine: Any, seconds: float, how: Any) -> Any:
    """Fill the cells of a run, after a probe and what follows from it for the budget (0 for none)."""
    from pipeline.cells.store import Store
    from pipeline.runs.budget import duration, estimate, fit_budget, probe
    from pipeline.runs.fits import missing_fits
    from pipeline.studies.compare import execute

    if missing_fits(context, machine, Store(context.folder)):
        measured = probe(context, machine)
        if seconds:
            context = fit_budget(context, machine, measured, seconds)
        for note in context.left_out:
            machine.reporter.say(f"Left out for the budget of {context.config.budget}: {note}.")
        total = sum(estimate(context, machine, measured).values())
        machine.reporter.say(f"Estimated time on this machine, from a short probe: {duration(total)}.")
    return execute(context, machine, how)


def _say_plan(reporter: Reporter, prepared: Any) -> None:
    table, config = prepared.table, prepared.config
    refused = f", {len(table.refused)} refused (see refused.csv)" if len(table.refused) else ""
    reporter.say(f"{table.name}: {len(table)} {table.rows_are} from {table.n_read} rows{refused}.")
    task = f"{config.bins} classes by training quantiles" if config.bins else table.task
    reporter.say(
        f"Task: {task} of {table.property_name!r}{f' in {table.units}' if table.units else ''} ({table.task_reason})."
    )
    if table.scale.transform:
        reporter.say(f"The target is {table.scale.explained()}.")
    bounds = int((~table.exact).sum())
    if bounds:
        reporter.say(f"{bounds} targets are bounds (such as >10): trained on, not scored.")
    for remark in table.remarks:
        reporter.say(f"Read: {remark}.")
    for warning in table.warnings:
        reporter.say(f"Warning: {warning}.")
    for split in prepared.splits:
        reporter.say(
            f"Split {split.name} ({split.asked}): train/test {split.sizes()}, {len(set(split.groups.values()))} groups."
        )
        for note in split.notes:
            reporter.say(f"  Note: {note}.")
    reporter.say(f"Arms: {', '.join(prepared.arms)}. Seed {config.seed}. Folder: {prepared.folder}")


@app.command()
def fit(
    source: Annotated[
        Optional[str], typer.Argument(help="A table or YAML file as for [b]run[/b]; with --run, that run's own table.")
    ] = None,
    arm: Annotated[str, typer.Option(help="Which arm to fit, or best: the one the verdict of --run says to use.")] = "",
    run: Annotated[
        Optional[Path],
        typer.Option(
            "--run",
            help="A finished run: all of its settings, where no option here says otherwise, and its scores for the "
            "model card.",
        ),
    ] = None,
    split: Annotated[
        Optional[str],
        typer.Option(
            help="Which split's verdict --arm best follows; of the hardest split tested if not given. The model is "
            "fitted on all rows either way."
        ),
    ] = None,
    smiles: SmilesOption = None,
    target: TargetOption = None,
    id_column: IdOption = None,
    reaction: ReactionOption = None,
    components: ComponentsOption = None,
    yield_column: YieldOption = None,
    yield_unit: YieldUnitOption = None,
    failure_words: FailureWordsOption = None,
    success: SuccessOption = None,
    property_name: NameOption = None,
    units: UnitsOption = None,
    task: TaskOption = None,
    transform: TransformOption = None,
    bounds: BoundsOption = None,
    annotated: AnnotatedOption = None,
    decimal: DecimalOption = None,
    thousands: ThousandsOption = None,
    relation: RelationOption = None,
    units_column: UnitsColumnOption = None,
    min_class_rows: ClassRowsOption = None,
    bins: Annotated[Optional[int], typer.Option(help="Make this many classes of a number, by quantiles.")] = None,
    context: ContextOption = None,
    largest_fragment: FragmentOption = None,
    max_rows: MaxRowsOption = None,
    data_dir: DataDirOption = None,
    model: ModelOption = None,
    dtype: DtypeOption = None,
    template: TemplateOption = None,
    shuffle_components: ShuffleOption = None,
    tokenization: TokenizationOption = None,
    start: StartOption = None,
    steps: StepsOption = None,
    seed: Annotated[Optional[int], typer.Option(help="Seed of the arm and of its calibration.")] = None,
    merge: Annotated[
        bool,
        typer.Option(
            "--merge",
            help="Also write the layers that the arm uses as a model of their own, the adapter in its weights.",
        ),
    ] = False,
    out: Annotated[Optional[Path], typer.Option(help="Folder of the model; models/<table>-<arm> if not given.")] = None,
) -> None:
    """Fit one arm on all rows and save it as a folder to predict with."""
    given = _settings(locals(), "source", "arm", "run", "split", "merge", "out")
    _begin(run or source)
    from pipeline.models.fitting import FinishedRun, fit_model
    from pipeline.models.folder import check_mergeable, write_merged
    from pipeline.runs.prepare import open_job

    finished, best = FinishedRun.read(run) if run else None, arm in ("", "best")
    if split and not (finished and best):
        raise InputError("--split says which verdict of a run --arm best follows: give --run, and no other arm")
    if finished:
        source, given = _from_run(finished.settings, source, given)
        if best:
            arm, followed = finished.best_arm(split or "")
            console.print(followed, markup=False)
        if finished.settings.get("n_train"):
            console.print(
                f"The run trained on at most {finished.settings['n_train']} rows of each division (n_train); "
                "this model is fitted on all rows.",
                markup=False,
            )
    if not source:
        raise InputError("which table? Give a file, a built-in table, or a finished run with --run")
    if arm in ("", "best"):
        raise InputError(
            "which arm? Name one with --arm (such as ensemble or lm-head), or give a finished run with --run"
        )
    if merge:
        check_mergeable(arm)
    job = open_job(source, given)
    whole = out or Path("models") / f"{Path(job.settings['out']).name}-{arm}"
    reporter = TerminalReporter()
    for config in job.configs:
        folder = job.folder(config, whole)
        with reporter.running():
            fitted = fit_model(config, arm, reporter, finished, job.raw)
            fitted.save(folder)
        if merge:
            for written in write_merged(folder):
                console.print(f"Merged weights: {written}", markup=False)
        for line in _model_lines(fitted.about, folder):
            console.print(line, markup=False)


def _from_run(settings: dict[str, Any], source: str | None, given: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """The table and all settings of a run, under what the command line says.

    Not those that belong to what the command line replaces: the columns that the splits read to another table, how
    the target is called and measured to another target.
    """
    from pipeline.config import PER_TARGET

    if source and source.lower().endswith((".yaml", ".yml")):
        raise InputError(
            f"{source}: --run brings settings of its own; give a table beside it, or leave one of the two out"
        )
    named = {key: value for key, value in given.items() if value is not None}
    left = {"table", "out"}  # the model has a folder of its own
    if source:
        left.add("split")
    target = named.get("yield", named.get("target"))
    if target is not None:
        left.add("target")
        if target != settings.get("target"):
            left |= {*PER_TARGET, "yield_unit"}
    kept = {key: value for key, value in settings.items() if key not in left}
    return source or str(settings["table"]), kept | named


@app.command()
def predict(
    model: Annotated[Path, typer.Argument(help="Folder of a model made by [b]fit[/b].")],
    source: Annotated[
        Optional[str],
        typer.Argument(help="A CSV, TSV (also .gz), Parquet, Excel or SDF file of molecules or reactions."),
    ] = None,
    smiles: Annotated[
        Optional[list[str]],
        typer.Option(
            "--smiles",
            help="With a file: its SMILES column. Without: a molecule (or reaction SMILES); may be repeated.",
        ),
    ] = None,
    out: Annotated[Optional[Path], typer.Option(help="Output: .csv, .tsv (also .gz) or .parquet.")] = None,
    level: Annotated[float, typer.Option(help="Coverage of the interval.", min=0.5, max=0.99)] = 0.9,
    workers: Annotated[int, typer.Option(help="Processes for features of molecules; 0 for one per core.", min=0)] = 0,
) -> None:
    """Predict new molecules, each with an interval, its nearest training molecule and an in-domain flag."""
    if source:
        _begin(source)
    from pipeline.models.folder import changed_versions, load_model
    from pipeline.models.predicting import Predictor, predict_file

    loaded = load_model(model)
    changed = changed_versions(loaded.about)
    if changed:
        errors.print(f"Note: the model was made with other versions: {', '.join(changed)}.", markup=False)
    if source is None:
        if not smiles:
            raise InputError('what to predict? Give a file, or a molecule with --smiles "CCO"')
        if loaded.context:
            raise InputError(f"the model needs {', '.join(loaded.context)} beside the SMILES; give a file")
        if loaded.reactions and len(loaded.reactions.columns) > 1:
            raise InputError(f"the model needs the columns {', '.join(loaded.reactions.columns)}; give a file")
        _print_predictions(Predictor(loaded, level, 1), smiles)
        return
    if smiles and len(smiles) > 1:
        raise InputError(f"{source}: name one column with --smiles, not {len(smiles)}")
    target = out or Path(f"{Path(source).name.split('.')[0]}-predicted.csv")
    reporter = TerminalReporter()
    with reporter.running():
        summary = predict_file(
            loaded, source, target, reporter, smiles=smiles[0] if smiles else "", level=level, workers=workers
        )
    console.print(
        f"{summary.predicted} of {summary.rows} rows predicted, {summary.outside} of them outside of the model's "
        f"domain. Written: {summary.out}",
        markup=False,
    )
    for problem, count in summary.problems.most_common(5):
        console.print(f"  {count} without: {problem}", markup=False)


def _print_predictions(predictor: Any, smiles: list[str]) -> None:
    import pandas as pd

    column = predictor.reactions.columns[0] if predictor.reactions else "smiles"
    given, context = pd.DataFrame({column: smiles}), pd.DataFrame(index=range(len(smiles)))
    predictor.looks_at(given, context)
    found = predictor.frame(given, context, [""] * len(smiles))
    units, nearest = predictor.model.scale.units, predictor.model.nearest_column
    for text, (_, row) in zip(smiles, found.iterrows(), strict=True):
        if row["problem"]:
            console.print(f"{text}: {row['problem']}", markup=False)
            continue
        if predictor.model.classes:
            shares = ", ".join(f"{label} {row[f'p_{label}']:.2f}" for label in predictor.model.classes)
            answer = f"{row['prediction']} ({shares})"
        else:
            bounds = "" if pd.isna(row["lower"]) else f" [{row['lower']:.4g} to {row['upper']:.4g}]"
            modelled = predictor.model.scale.transform
            answer = f"{row['prediction']:.4g}{f' {units}' if units else ''}{bounds}"
            answer += f" ({modelled} {row[modelled]:.4g})" if modelled else ""
        where = f"; a training {predictor.model.rows_are.removesuffix('s')}" if row["in_training"] else ""
        where += "" if row["in_domain"] else f"; outside of the model's domain: {row['domain_note']}"
        console.print(
            f"{text}: {answer}; {nearest.replace('_', ' ')} {row[nearest]} (similarity {row['similarity']:.2f}){where}",
            markup=False,
        )
    if (found["problem"] != "").any():
        raise typer.Exit(2)


@app.command()
def show(model: Annotated[Path, typer.Argument(help="Folder of a model made by [b]fit[/b].")]) -> None:
    """Say what a model folder holds, after checking that its files are whole."""
    from pipeline.models.folder import changed_versions, describe_folder

    about = describe_folder(model)
    for line in _model_lines(about, model):
        console.print(line, markup=False)
    changed = changed_versions(about)
    if changed:
        console.print(f"Made with other versions: {', '.join(changed)}.", markup=False)


def _model_lines(about: dict[str, Any], folder: Path) -> list[str]:
    from pipeline.arms.inputs import ReactionInput
    from pipeline.models.card import rows_are, score_lines

    reactions = ReactionInput.stored(about["reactions"])
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    units = f" in {about['units']}" if about["units"] else ""
    lines = [
        f"{folder}: {about['arm']} for {about['property_name']}{units} ({about['task']}), "
        f"{about['n_train']} {rows_are(about)} of {about['data']['source']}, seed {about['seed']}, "
        f"{size / 1e6:.1f} MB.",
        *(line.removeprefix("- ") for line in score_lines(about)),
    ]
    if about["language_model"]:
        lines.append(f"Needs the base model {about['language_model']['model']}.")
    if reactions:
        lines.append(f"Reads reactions from the columns {', '.join(reactions.columns)}.")
    if about["context"]:
        beside = "them" if reactions else "the SMILES"
        lines.append(f"Needs the columns {', '.join(about['context'])} beside {beside}.")
    return lines


@app.command()
def audit(
    source: Source,
    smiles: SmilesOption = None,
    target: TargetOption = None,
    id_column: IdOption = None,
    reaction: ReactionOption = None,
    components: ComponentsOption = None,
    yield_column: YieldOption = None,
    yield_unit: YieldUnitOption = None,
    failure_words: FailureWordsOption = None,
    success: SuccessOption = None,
    units: UnitsOption = None,
    task: TaskOption = None,
    transform: TransformOption = None,
    bounds: BoundsOption = None,
    annotated: AnnotatedOption = None,
    decimal: DecimalOption = None,
    thousands: ThousandsOption = None,
    relation: RelationOption = None,
    units_column: UnitsColumnOption = None,
    min_class_rows: ClassRowsOption = None,
    context: ContextOption = None,
    largest_fragment: FragmentOption = None,
    data_dir: DataDirOption = None,
    out: Annotated[Optional[str], typer.Option(help="Folder for audit.json and refused.csv.")] = None,
) -> None:
    """Look at a table before training: refusals, duplicates, labels, scaffolds, leaks of the notation."""
    given = _settings(locals(), "source", "out")
    _begin(source)
    from pipeline.files import write_atomically, write_csv
    from pipeline.runs.folder import refused_rows
    from pipeline.runs.prepare import load_table, open_job
    from pipeline.tables.audit import audit_lines, audit_table

    job = open_job(source, given)
    reporter = TerminalReporter()
    for config in job.configs:
        with reporter.running():
            table = load_table(config, reporter, job.raw)
            found = audit_table(table)
        for line in audit_lines(found):
            console.print(line, markup=False)
        if not out:
            continue
        folder = job.folder(config, Path(out))
        write_atomically(folder / "audit.json", json.dumps(found, indent=1, ensure_ascii=False))
        write_csv(folder / "refused.csv", refused_rows(table))
        console.print(f"Written: {folder / 'audit.json'}, {folder / 'refused.csv'}", markup=False)


@app.command()
def prompts(
    source: Source,
    smiles: SmilesOption = None,
    target: TargetOption = None,
    id_column: IdOption = None,
    reaction: ReactionOption = None,
    components: ComponentsOption = None,
    yield_column: YieldOption = None,
    yield_unit: YieldUnitOption = None,
    failure_words: FailureWordsOption = None,
    success: SuccessOption = None,
    property_name: NameOption = None,
    units: UnitsOption = None,
    task: TaskOption = None,
    transform: TransformOption = None,
    bounds: BoundsOption = None,
    annotated: AnnotatedOption = None,
    decimal: DecimalOption = None,
    thousands: ThousandsOption = None,
    relation: RelationOption = None,
    units_column: UnitsColumnOption = None,
    min_class_rows: ClassRowsOption = None,
    context: ContextOption = None,
    template: TemplateOption = None,
    largest_fragment: FragmentOption = None,
    data_dir: DataDirOption = None,
    out: Annotated[Optional[Path], typer.Option(help="Write all pairs as JSON lines to this file.")] = None,
    rows: Annotated[int, typer.Option(help="How many to show.")] = 5,
) -> None:
    """Show what the language model will read and write."""
    given = _settings(locals(), "source", "rows", "out")
    from pipeline.files import write_atomically
    from pipeline.prompts.numbers import NumberFormat
    from pipeline.prompts.templates import pairs
    from pipeline.runs.context import template_of
    from pipeline.runs.prepare import load_table, open_job
    from pipeline.tables.targets import CLASSES

    job = open_job(source, given)
    reporter, lines = TerminalReporter(), []
    for config in job.configs:
        with reporter.running():
            table = load_table(config, reporter, job.raw)
        template_used = template_of(table, config)
        values = table.targets.to_numpy()
        form = None if table.task == CLASSES else NumberFormat.fit(values)
        answers = [str(value) if form is None else form.write(value) for value in values]
        dataset = pairs(template_used.render_all(table.inputs), answers, END_MARK)
        lines += [json.dumps(row, ensure_ascii=False) for row in dataset]
        for row in dataset.select(range(min(rows, len(dataset)))):
            console.print(
                f"{row['prompt']}[bold]{_escaped(row['completion'])}[/bold]"
                if console.is_terminal
                else f"{row['prompt']}{row['completion']}",
                markup=console.is_terminal,
            )
        if form is not None:
            console.print(
                f"\nNumbers are written in steps of {form.resolution:g}, fitted on these {len(values)} rows; "
                f"a run fits them on its training rows.",
                markup=False,
            )
    console.print(f"{END_MARK} stands for the end-of-text token of the model in use.", markup=False)
    if out:
        write_atomically(out, "\n".join(lines) + "\n")
        console.print(f"Written: {out} ({len(lines)} pairs)", markup=False)


END_MARK = "<|end|>"


def _escaped(text: str) -> str:
    from rich.markup import escape

    return escape(text)


@app.command()
def data() -> None:
    """List the built-in tables."""
    from pipeline.tables.catalogue import cards

    grid = Grid(
        Column("name", no_wrap=True), "rows", "task", "target", "units", "licence", "citation", title="Built-in tables"
    )
    for card in cards().values():
        grid.add_row(card.name, str(card.rows), card.task, card.property_name, card.units, card.licence, card.citation)
    console.print(grid)


@app.command()
def models() -> None:
    """List the language models known by name."""
    from pipeline.lm.pretrained import ADAPTERS
    from pipeline.lm.weights import DEFAULT_MODEL, PACKAGED, local_folder

    grid = Grid(
        Column("name", no_wrap=True),
        "model",
        "download",
        "licence",
        "on this machine",
        "note",
        title="Models known by name",
    )
    for name, source in PACKAGED.items():
        here = local_folder(name)
        default = " (default)" if name == DEFAULT_MODEL else ""
        grid.add_row(
            name + default,
            source.title,
            f"{source.megabytes} MB",
            source.licence,
            str(here) if here else "no",
            source.note,
        )
    console.print(grid)
    for name, adapter in ADAPTERS.items():
        console.print(f"With {name}, lm-head starts from {adapter.described}.")
    console.print("Any causal language model also works by Hugging Face id or local folder: --model owner/name.")


def _version(value: bool) -> None:
    if value:
        console.print(f"chemtune {__version__}")
        raise typer.Exit


@stress.command("negatives")
def stress_negatives(
    source: Annotated[str, typer.Argument(help="A YAML file of settings, or a table of reactions.")],
    reaction: ReactionOption = None,
    components: ComponentsOption = None,
    yield_column: YieldOption = None,
    yield_unit: YieldUnitOption = None,
    failure_words: FailureWordsOption = None,
    context: ContextOption = None,
    success: SuccessFromOption = None,
    split: Annotated[
        Optional[str], typer.Option(help="Splits as for [b]run[/b] (default random); each has one fixed test set.")
    ] = None,
    arms: Annotated[
        Optional[str],
        typer.Option(help="What is trained: baselines, lm, all (default), or names of arms such as drfp-rf,lm-head."),
    ] = None,
    seeds: Annotated[Optional[int], typer.Option(help="Training seeds; each draws its own training rows.")] = None,
    positives: Annotated[
        Optional[int], typer.Option(help="Successes to train on, where a language model is among the arms.")
    ] = None,
    base_rate: Annotated[
        Optional[float], typer.Option(help="Share of successes expected in use: decisions are shown for it too.")
    ] = None,
    quick: Annotated[bool, typer.Option("--quick", help="One seed, fewer doses, rows and steps.")] = False,
    max_rows: MaxRowsOption = None,
    data_dir: DataDirOption = None,
    model: ModelOption = None,
    dtype: DtypeOption = None,
    template: TemplateOption = None,
    shuffle_components: ShuffleOption = None,
    seed: Annotated[Optional[int], typer.Option(help="Seed of the split, and the first of the training seeds.")] = None,
    executor: ExecutorOption = None,
    workers: WorkersOption = None,
    shard: ShardOption = None,
    out: Annotated[Optional[str], typer.Option(help="Folder; runs/<table>-negatives if not given.")] = None,
) -> None:
    """What happens when only successes were published, and what dose of failures mends it."""
    _run_study("negatives", dict(locals()))


def _run_study(name: str, options: dict[str, Any]) -> None:
    """Run a study with what a YAML file or a table and the options say.

    Options that the study has a setting for are its own, all others those of the run.
    """
    _begin(options["source"])
    how = _executor(options)
    from pipeline.config import make_config, read_stress
    from pipeline.studies.study import run_study, study_named

    study, source = study_named(name), options["source"]
    own = {field.name for field in fields(cast(Any, study.Settings))}
    named = {name: value for name, value in options.items() if name in own and value is not None}
    said = read_stress(source, name) | (dict(study.QUICK) if options["quick"] else {}) | named
    settings = study.Settings.read(said, f"stress: {name}")
    config = make_config(source, _settings(options, "source", "quick", *_EXECUTION, *own))
    if options["out"] is None:
        config = replace(config, out=f"{config.out}-{name}")
    reporter = TerminalReporter()
    with reporter.running():
        done = run_study(study, config, settings, reporter, how)
    if done is None:
        console.print("Other shares are still to be done; the command that does the last one writes the report.")
        return
    found, page = done
    console.print()
    for sentence in found.sentences:
        console.print(sentence, markup=False)
    console.print(f"\nReport: {page}", markup=False)


@stress.command("published-only")
def stress_published_only(
    source: Annotated[str, typer.Argument(help="A YAML file of settings, or a table of reactions with their papers.")],
    reaction: ReactionOption = None,
    components: ComponentsOption = None,
    yield_column: YieldOption = None,
    yield_unit: YieldUnitOption = None,
    failure_words: FailureWordsOption = None,
    context: ContextOption = None,
    origin: Annotated[
        Optional[str], typer.Option(help="Column that says where in its paper a reaction stands (default origin).")
    ] = None,
    published: Annotated[
        Optional[str], typer.Option(help="What it says of the published tables (default Scope).")
    ] = None,
    tested: Annotated[
        Optional[str], typer.Option(help="What it says of the rows to test on (default Optimisation).")
    ] = None,
    paper: Annotated[Optional[str], typer.Option(help="Column that names the paper (default doi).")] = None,
    success: SuccessFromOption = None,
    arms: Annotated[
        Optional[str],
        typer.Option(help="What is trained: baselines, lm, all (default), or names of arms such as components-rf."),
    ] = None,
    folds: Annotated[Optional[int], typer.Option(help="Into how many folds the papers are dealt.")] = None,
    seeds: Annotated[Optional[int], typer.Option(help="Training seeds of the classical models.")] = None,
    lm_seeds: Annotated[Optional[int], typer.Option(help="Training seeds of the language model.")] = None,
    rows: Annotated[
        Optional[int], typer.Option(help="Train on at most this many rows; 0 for as many as all three sets have.")
    ] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Three folds, one seed, fewer rows and steps.")] = False,
    max_rows: MaxRowsOption = None,
    data_dir: DataDirOption = None,
    model: ModelOption = None,
    dtype: DtypeOption = None,
    template: TemplateOption = None,
    shuffle_components: ShuffleOption = None,
    seed: Annotated[Optional[int], typer.Option(help="Seed of the folds, and the first of the training seeds.")] = None,
    executor: ExecutorOption = None,
    workers: WorkersOption = None,
    shard: ShardOption = None,
    out: Annotated[Optional[str], typer.Option(help="Folder; runs/<table>-published-only if not given.")] = None,
) -> None:
    """How wrong models of published tables are about the reactions of unseen papers that also failed."""
    _run_study("published-only", dict(locals()))


@stress.command("verifier")
def stress_verifier(
    source: Annotated[str, typer.Argument(help="A YAML file of settings, or a table of reactions.")],
    reaction: ReactionOption = None,
    components: ComponentsOption = None,
    yield_column: YieldOption = None,
    yield_unit: YieldUnitOption = None,
    failure_words: FailureWordsOption = None,
    held_out: Annotated[
        Optional[str], typer.Option(help="Component whose values are held out (default aryl_halide).")
    ] = None,
    propose: Annotated[Optional[str], typer.Option(help="Components to propose (default ligand,base).")] = None,
    success: SuccessFromOption = None,
    arms: Annotated[
        Optional[str],
        typer.Option(help="The verifiers: baselines, lm, all (default), or names of arms such as drfp-rf."),
    ] = None,
    folds: Annotated[Optional[int], typer.Option(help="Into how many folds the held-out values are dealt.")] = None,
    seeds: Annotated[Optional[int], typer.Option(help="Training seeds.")] = None,
    questions: Annotated[
        Optional[int], typer.Option(help="Reactions to propose conditions for, per held-out value; 0 for all.")
    ] = None,
    positives: Annotated[Optional[int], typer.Option(help="Successes to train on; 0 for all.")] = None,
    quick: Annotated[
        bool,
        typer.Option("--quick", help="Two folds, one reaction per held-out value, a forest as the only verifier."),
    ] = False,
    max_rows: MaxRowsOption = None,
    data_dir: DataDirOption = None,
    model: ModelOption = None,
    dtype: DtypeOption = None,
    seed: Annotated[Optional[int], typer.Option(help="Seed of the folds, and the first of the training seeds.")] = None,
    executor: ExecutorOption = None,
    workers: WorkersOption = None,
    shard: ShardOption = None,
    out: Annotated[Optional[str], typer.Option(help="Folder; runs/<table>-verifier if not given.")] = None,
) -> None:
    """Generate conditions for held-out reactions, filter them by models that check, and look the truth up."""
    _run_study("verifier", dict(locals()))


@app.callback()
def main(
    version: Annotated[
        Optional[bool], typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = None,
) -> None:
    """Set up what all verbs share."""
    _quiet_libraries()


def entry() -> None:
    """The ``chemtune`` command: exit status 0, or 2 with one clear line for bad input."""
    try:
        app()
    except InputError as error:
        errors.print(f"chemtune: {error}", markup=False)
        sys.exit(2)
    except KeyboardInterrupt:
        errors.print("chemtune: stopped; finished cells are kept, the same command goes on from here", markup=False)
        sys.exit(130)
    except OSError as error:
        if error.errno != 28:  # ENOSPC
            raise
        errors.print("chemtune: the disk is full; finished cells are kept, free some space and run again", markup=False)
        sys.exit(2)


if __name__ == "__main__":
    entry()
