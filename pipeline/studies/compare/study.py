"""Fine-tuned language models against classical baselines on random and shifted splits: `chemtune run`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import pandas as pd

from pipeline.cells.cell import Cell
from pipeline.evaluation.metrics import PRIMARY
from pipeline.evaluation.verdict import ladder_sentence
from pipeline.runs.budget import COMPARISON
from pipeline.runs.certainty import plan_distances
from pipeline.runs.certainty_words import sentences
from pipeline.runs.context import Context, Machine
from pipeline.runs.fits import plan_fits, seconds_of
from pipeline.runs.folder import with_origins
from pipeline.runs.hints import seen
from pipeline.studies.compare.findings import COMPARISON_COLUMNS, Findings, exact_score, found_in
from pipeline.studies.compare.info import info_of
from pipeline.studies.compare.page import sections
from pipeline.studies.compare.shift import shift
from pipeline.studies.compare.threshold import threshold_table
from pipeline.studies.study import Conclusion
from pipeline.tables.targets import REGRESSION

NAME = "run"
BUDGET = COMPARISON


def described(context: Context) -> list[str]:
    """What was read, and what is asked."""
    table, config = context.table, context.config
    refused = f", {len(table.refused)} refused (see refused.csv)" if len(table.refused) else ""
    task = f"{config.bins} classes by training quantiles" if config.bins else table.task
    units = f" in {table.units}" if table.units else ""
    bounds = table.bounded
    lines = [
        f"{table.name}: {len(table)} {table.rows_are} from {table.n_read} rows{refused}.",
        f"Task: {task} of {table.property_name!r}{units} ({table.task_reason}).",
    ]
    if table.scale.transform:
        lines.append(f"The target is {table.scale.explained()}.")
    if bounds:
        lines.append(f"{bounds} targets are bounds (such as >10): trained on, not scored.")
    lines += seen(table)
    for split in context.splits:
        groups = len(set(split.groups.values()))
        lines.append(f"Split {split.name} ({split.asked}): train/test {split.sizes()}, {groups} groups.")
        lines += [f"  Note: {note}." for note in split.notes]
    return [*lines, f"Arms: {', '.join(context.arms)}. Seed {config.seed}. Folder: {context.folder}"]


def plan(context: Context, machine: Machine) -> list[Cell]:
    """All that is computed: the fits, and where there is a language model the distances in what it reads."""
    return [*plan_fits(context, machine), *plan_distances(context, machine)]


def line(context: Context, content: Mapping[str, Any]) -> str:
    """The score of a fit; nothing of members of means, further seeds and distances."""
    tags = content["tags"]
    if tags.get("arm") not in context.arms or tags.get("again"):
        return ""
    split, fold = context.division(tags)
    metric = PRIMARY[context.task]
    predicted = content["prediction"] if context.task == REGRESSION else content["probabilities"]
    score = exact_score(context, list(fold.test), predicted, context.targets(fold))
    if context.task == REGRESSION:
        shown = f"{metric.upper()} {-score:.4g} {context.table.units}".rstrip()
    else:
        shown = f"{metric.upper()} {score:.3f}"
    return f"{split.name + split.named(fold):<20} {tags['arm']:<12} {shown:<24} {content['seconds']:7.1f} s"


def title(context: Context) -> str:
    return context.table.name


def facts(context: Context) -> list[str]:
    table, bins = context.table, context.config.bins
    return [
        f"{table.property_name}{f' in {table.units}' if table.units else ''}",
        f"{bins} classes by training quantiles" if bins else context.task,
    ]


def conclude(context: Context, contents: Sequence[Mapping[str, Any]]) -> Conclusion:
    """What was found."""
    found = found_in(context, contents)
    certainty = found.certainty
    pairs = [asdict(pair) for comparisons in found.comparisons for pair in comparisons.found]
    return Conclusion(
        found.metrics,
        with_origins(found.predictions, context.table),
        trained(found),
        _sentences(found),
        tuple(sections(found)),
        {
            "intervals": certainty.intervals,
            "signals": certainty.signals,
            "comparisons": pd.DataFrame(pairs, columns=COMPARISON_COLUMNS),
            **({"thresholds": threshold_table(found)} if found.thresholds else {}),
        },
        {"certainty": with_origins(certainty.rows, context.table)},
        info_of(found),
        found.evaluations,
        shift(found),
    )


def _sentences(found: Findings) -> tuple[str, ...]:
    said = [
        *(verdict.sentence for verdict in found.verdicts),
        ladder_sentence(found.verdicts, found.comparisons),
        *sentences(found.certainty, found.evaluations),
    ]
    return tuple(filter(None, said))


def trained(found: Findings) -> pd.DataFrame:
    """One row per fit, members of means and further seeds included; ``seconds`` holds the inner fits as well."""
    return pd.DataFrame(
        {
            **cell["tags"],
            "seconds": seconds_of(cell),
            **{name: cell[name] for name in ("peak_mb", "gpu_peak_mb") if name in cell},
            "cell_id": cell["id"],
        }
        for cell in found.fits.fitted
    )
