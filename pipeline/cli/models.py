"""Models to take home: fitting, predicting, and what a folder holds."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Optional

import typer
from rich.table import Column
from rich.table import Table as Grid

from pipeline.cli import terminal
from pipeline.cli.app import app
from pipeline.cli.options import OUTPUT, with_output, with_settings
from pipeline.cli.terminal import TerminalReporter, console, errors
from pipeline.errors import InputError
from pipeline.settings.run import RunConfig


@app.command()
@with_settings((RunConfig, "fit"))
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
    given: dict[str, Any] = {},  # noqa: B006 (the options stand in its place)
    merge: Annotated[
        bool,
        typer.Option(
            "--merge",
            help="Also write the layers that the arm uses as a model of their own, the adapter in its weights.",
        ),
    ] = False,
    out: Annotated[
        Optional[Path],
        typer.Option(
            "--out", "-o", help="Folder of the model; models/<table>-<arm> if not given.", rich_help_panel=OUTPUT
        ),
    ] = None,
) -> None:
    """Fit one arm on all rows and save it as a folder to predict with."""
    terminal.begin(run or source)
    from pipeline.files import check_folder
    from pipeline.models.fitting import FinishedRun, fit_model
    from pipeline.models.merged import check_mergeable, write_merged
    from pipeline.runs.prepare import open_job

    check_folder(out)
    finished = FinishedRun.read(run) if run else None
    source, arm, given = _what_to_fit(finished, source, arm, split or "", given)
    if merge:
        check_mergeable(arm)
    job = open_job(source, given, terminal.tell)
    whole = out or Path("models") / f"{Path(job.settings['out']).name}-{arm}"
    reporter = TerminalReporter()

    def saved(config: RunConfig) -> Any:
        with reporter.running():
            fitted = fit_model(config, arm, reporter, finished, job.raw)
            fitted.save(job.folder(config, whole))
            return fitted

    for config, fitted in job.each(saved, reporter.say):
        folder = job.folder(config, whole)
        if merge:
            for written in write_merged(folder):
                console.print(f"Merged weights: {written}", markup=False)
        lines = _model_lines(fitted.about, folder)
        for line in lines:
            console.print(line, markup=False)
        terminal.found.setdefault("models", []).append({"folder": str(folder), "arm": arm, "said": lines})


def _what_to_fit(
    finished: Any, source: str | None, arm: str, split: str, given: dict[str, Any]
) -> tuple[str, str, dict[str, Any]]:
    """The table, the arm and the settings: those of a finished run where the command line says nothing else."""
    best = arm in ("", "best")
    if split and not (finished and best):
        raise InputError("--split says which verdict of a run --arm best follows: give --run, and no other arm")
    if finished:
        source, given = _from_run(finished.settings, source, given)
        if best:
            arm, followed = finished.best_arm(split)
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
    return source, arm, given


def _from_run(settings: dict[str, Any], source: str | None, given: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """The table and all settings of a run, under what the command line says.

    Not those that belong to what the command line replaces: the columns that the splits read to another table, how
    the target is called and measured to another target.
    """
    from pipeline.settings.run import PER_TARGET

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
@with_output
def predict(
    model: Annotated[Path, typer.Argument(help="Folder of a model made by [b]fit[/b].")],
    source: Annotated[
        Optional[str],
        typer.Argument(help="A CSV, TSV (also .gz), Parquet, Excel or SDF file of rows as in training."),
    ] = None,
    smiles: Annotated[
        Optional[list[str]],
        typer.Option(
            help="With a file: its column of SMILES. Without: a molecule (or reaction SMILES); may be repeated."
        ),
    ] = None,
    composition: Annotated[Optional[list[str]], typer.Option(help="The same for a model of formulas.")] = None,
    text: Annotated[Optional[list[str]], typer.Option(help="The same for a model of texts.")] = None,
    out: Annotated[
        Optional[Path], typer.Option("--out", "-o", help="Output: .csv, .tsv (also .gz) or .parquet.")
    ] = None,
    level: Annotated[float, typer.Option(help="Coverage of the interval.", min=0.5, max=0.99)] = 0.9,
    workers: Annotated[int, typer.Option(help="Processes for features of molecules; 0 for one per core.", min=0)] = 0,
) -> None:
    """Predict new molecules, each with an interval, its nearest training molecule and an in-domain flag."""
    if source:
        terminal.begin(source)
    from pipeline.models.card import EXAMPLES
    from pipeline.models.folder import changed_versions, load_model
    from pipeline.models.predicting import Predictor, predict_file

    loaded = load_model(model)
    changed = changed_versions(loaded.about)
    if changed:
        errors.print(f"Note: the model was made with other versions: {', '.join(changed)}.", markup=False)
    rows = _rows_named(loaded, {"smiles": smiles, "composition": composition, "text": text})
    if source is None:
        if not rows:
            example = f'--{loaded.kind.setting} "{EXAMPLES.get(loaded.kind, "A.B>>C")}"'
            raise InputError(f"what to predict? Give a file, or a {loaded.kind.one} with {example}")
        if loaded.context:
            beside = loaded.kind.notation
            raise InputError(f"the model needs {', '.join(loaded.context)} beside the {beside}; give a file")
        if loaded.reactions and len(loaded.reactions.columns) > 1:
            raise InputError(f"the model needs the columns {', '.join(loaded.reactions.columns)}; give a file")
        _print_predictions(Predictor(loaded, level, 1), rows)
        return
    if len(rows) > 1:
        raise InputError(f"{source}: name one column with --{loaded.kind.setting}, not {len(rows)}")
    target = out or Path(f"{Path(source).name.split('.')[0]}-predicted.csv")
    reporter = TerminalReporter()
    with reporter.running():
        summary = predict_file(loaded, source, target, reporter, smiles="".join(rows), level=level, workers=workers)
    console.print(
        f"{summary.predicted} of {summary.rows} rows predicted, {summary.outside} of them outside of the model's "
        f"domain. Written: {summary.out}",
        markup=False,
    )
    terminal.found.update(out=str(summary.out), rows=summary.rows, predicted=summary.predicted, outside=summary.outside)
    for problem, count in summary.problems.most_common(5):
        console.print(f"  {count} without: {problem}", markup=False)


def _rows_named(loaded: Any, named: Mapping[str, list[str] | None]) -> list[str]:
    """What was given by the option that is for the model's kind of rows.

    Raises
    ------
    InputError
        If another option was used: a SMILES can be read as a formula, and a formula as a text.
    """
    own = loaded.kind.setting if loaded.kind.setting in named else "smiles"
    for option, values in named.items():
        if values and option != own:
            raise InputError(f"the model was trained on {loaded.rows_are}; name them with --{own}, not --{option}")
    return named[own] or []


def _print_predictions(predictor: Any, smiles: list[str]) -> None:
    import pandas as pd

    from pipeline.tables.merging import shortened

    column = predictor.reactions.columns[0] if predictor.reactions else "smiles"
    given, context = pd.DataFrame({column: smiles}), pd.DataFrame(index=range(len(smiles)))
    predictor.looks_at(given, context)
    found = predictor.frame(given, context, [""] * len(smiles))
    units, nearest = predictor.model.scale.units, predictor.model.nearest_column
    for text, (_, row) in zip(map(shortened, smiles), found.iterrows(), strict=True):
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
    from pipeline.features.inputs import ReactionInput
    from pipeline.models.card import rows_are, score_lines
    from pipeline.tables.kinds import KINDS

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
        beside = "them" if reactions else f"the {KINDS[rows_are(about)].notation}"
        lines.append(f"Needs the columns {', '.join(about['context'])} beside {beside}.")
    return lines


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
