"""What the comparisons of several targets of one table say together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pipeline.arms.ladder import is_language_model
from pipeline.evaluation.estimates import LEVEL, Estimate, holm
from pipeline.evaluation.evaluations import CONTROL, REFERENCE, Evaluation
from pipeline.evaluation.metrics import HIGHER_IS_BETTER, LABELS, PRIMARY, RANGE
from pipeline.evaluation.numbers import number, signed
from pipeline.evaluation.over_targets import LEAST_TARGETS, MEAN_METRICS, OverTargets, over_targets
from pipeline.files import write_csv
from pipeline.report.blocks import Grid, Section, Verdict
from pipeline.studies.compare.shown import named
from pipeline.studies.study import Done, write_report
from pipeline.tables.targets import CLASSES

PREFERRED = "preferred baseline"


@dataclass(frozen=True)
class Target:
    """The comparison of one target.

    Attributes
    ----------
    rows : int
        Of the table, with a value of this target.
    counts : mapping
        How many of them each class has; empty for numbers.
    used : mapping
        By split the arm to use; None where none can be named.
    """

    name: str
    task: str
    rows: int
    rows_are: str
    counts: Mapping[str, int]
    seed: int
    evaluations: Mapping[str, Evaluation]
    used: Mapping[str, str | None]


@dataclass(frozen=True)
class Overview:
    """What several targets say together: the words, a section of the page, and ``targets.csv``."""

    sentences: tuple[str, ...]
    section: Section
    table: pd.DataFrame


def overview(done: Sequence[Done]) -> Overview:
    """Over the finished comparisons of the targets of a table."""
    targets = [_target(one) for one in done]
    together = _together(targets)
    sentences = [sentence for found in together for sentence in _sentences(found, targets)]
    untold = [f"{one.name} ({', '.join(_untold(one))})" for one in targets if _untold(one)]
    if untold:
        sentences.append(f"No arm can be recommended on {len(untold)} of {len(targets)} targets: {'; '.join(untold)}.")
    blocks: list[Any] = [Verdict(sentences)] if sentences else []
    for found in together:
        blocks += _grids(found)
    blocks.append(_each(targets))
    tables = [found.table() for found in together]
    return Overview(
        tuple(sentences),
        Section("All targets", blocks, anchor="all-targets"),
        pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(),
    )


def write_reports(done: Sequence[Done], out: Path) -> tuple[Path, Overview | None]:
    """Write the page over one comparison, or over those of several targets with what they say together, which then
    stands in ``targets.csv`` too; returns the path of the page."""
    if len(done) == 1:
        return write_report(done, out), None
    found = overview(done)
    write_csv(out / "targets.csv", found.table)
    return write_report(done, out, [found.section]), found


def _target(done: Done) -> Target:
    context, table = done.context, done.context.table
    classes = context.task == CLASSES and not context.config.bins
    return Target(
        context.config.target,
        context.task,
        len(table),
        table.rows_are,
        dict(Counter(table.targets)) if classes else {},
        context.config.seed,
        {one.split: one for one in done.conclusion.evaluations},
        {verdict["split"]: verdict["use"] for verdict in done.conclusion.info["verdicts"]},
    )


def _together(targets: Sequence[Target]) -> list[OverTargets]:
    """Of each task and split the means over the targets in which every class is tested; none of a single target."""
    found = []
    for task in dict.fromkeys(one.task for one in targets):
        of_task = [one for one in targets if one.task == task]
        for split in dict.fromkeys(split for one in of_task for split in one.evaluations):
            evaluations = {
                one.name: one.evaluations[split]
                for one in of_task
                if split in one.evaluations
                and all(np.isfinite(scores[PRIMARY[task]][0]) for scores in one.evaluations[split].scores.values())
            }
            if len(evaluations) > 1:
                found.append(over_targets(evaluations, of_task[0].seed))
    return found


def _untold(target: Target) -> list[str]:
    return [split for split, arm in target.used.items() if not arm]


def _sentences(found: OverTargets, targets: Sequence[Target]) -> list[str]:
    metric = MEAN_METRICS[found.task][0]
    arms = [arm for arm in found.arms if arm not in (REFERENCE, CONTROL[found.task])]
    if not arms:
        return []
    sign = -1 if HIGHER_IS_BETTER[metric] else 1
    best = min(arms, key=lambda arm: sign * found.samples[arm, metric][0])
    more = ""
    if "auprc" in MEAN_METRICS[found.task]:
        more = f", with a mean {LABELS['auprc']} of {_mean(found, best, 'auprc')}"
    said = [
        f"Over {len(found.targets)} targets on the {found.split} split the mean {LABELS[metric]} is best for {best}: "
        f"{_mean(found, best, metric)}{more}.{_recommended(found, targets)}"
    ]
    language_models = [arm for arm in arms if is_language_model(arm)]
    return said + (_against_preferred(found, language_models) if REFERENCE in found.arms else [])


def _against_preferred(found: OverTargets, arms: Sequence[str]) -> list[str]:
    """Each arm against the preferred baseline, the arms corrected together (Holm)."""
    metric = MEAN_METRICS[found.task][0]
    apart = [found.difference(arm, REFERENCE) for arm in arms]
    levels = [[level for _, level in holm([one.p_difference() for one in kind])] for kind in zip(*apart, strict=True)]
    said = []
    for arm, estimates, own in zip(arms, apart, zip(*levels, strict=True), strict=True):
        answer = _answer(estimates, own, HIGHER_IS_BETTER[metric]) if found.told else "which so few groups cannot tell"
        ranges = _ranged(estimates[0].value, *estimates, signed, levels=own)
        said.append(
            f"{arm} against the {PREFERRED} of each target, {found.split}: {LABELS[metric]} {ranges}, {answer}."
        )
    return said


def _recommended(found: OverTargets, targets: Sequence[Target]) -> str:
    """How often each arm is recommended."""
    used = Counter(str(one.used[found.split]) for one in targets if one.name in found.targets and one.used[found.split])
    if not used:
        return ""
    listed = ", ".join(f"{arm} on {count}" for arm, count in used.most_common())
    return f" Recommended there: {listed}."


def _answer(estimates: tuple[Estimate, Estimate], levels: tuple[float, float], higher: bool) -> str:
    """What the intervals of a difference say, that over molecules and that over targets, at their levels."""
    sides = []
    for one, level in zip(estimates, levels, strict=True):
        low, high = one.interval(level) if one.known else (-np.inf, np.inf)
        sides.append(1 if low > 0 else -1 if high < 0 else 0)
    if not sides[0]:
        return "which other molecules could turn round"
    word = "better" if (sides[0] > 0) == higher else "worse"
    if not estimates[1].known or sides[1] == sides[0]:
        return word
    return f"{word} on these targets; other targets could turn it round"


def _mean(found: OverTargets, arm: str, metric: str) -> str:
    """The mean score of an arm with its intervals, which end where the score does."""
    return _ranged(*found.mean(arm, metric), bounds=RANGE[metric])


def _ranged(
    value: float,
    molecules: Estimate,
    over: Estimate,
    written: Any = number,
    bounds: tuple[float, float] = (-np.inf, np.inf),
    levels: tuple[float, float] = (LEVEL, LEVEL),
) -> str:
    """``0.81 [0.79 to 0.83 over molecules, 0.77 to 0.85 over targets]``."""
    kinds = zip((molecules, over), levels, ("rows", "targets"), strict=True)
    parts = [
        " to ".join(map(written, one.interval(level, bounds))) + f" over {what}"
        for one, level, what in kinds
        if one.known
    ]
    return f"{written(value)} [{', '.join(parts)}]" if parts else written(value)


def _grids(found: OverTargets) -> list[Any]:
    metrics = MEAN_METRICS[found.task]
    sign = -1 if HIGHER_IS_BETTER[metrics[0]] else 1
    arms = sorted(found.arms, key=lambda arm: sign * float(found.samples[arm, metrics[0]][0]))
    rows = []
    for arm in arms:
        cells: list[Any] = []
        for metric in metrics:
            value, molecules, over = found.mean(arm, metric)
            ends = RANGE[metric]
            of_targets = (value, *over.interval(bounds=ends)) if over.known else None
            cells += [(value, *molecules.interval(bounds=ends)), of_targets]
        rows.append((PREFERRED if arm == REFERENCE else named(arm), *cells))
    header = [f"{LABELS[metric]} over {what}" for metric in metrics for what in ("rows", "targets")]
    few = "" if len(found.targets) >= LEAST_TARGETS else f" Over fewer than {LEAST_TARGETS} targets there is none."
    return [
        Grid(
            ("arm", *header),
            rows,
            name="over-targets",
            strong=frozenset(place for place, arm in enumerate(arms) if arm != REFERENCE and is_language_model(arm)),
            caption=f"Means over {len(found.targets)} targets on the {found.split} split, twice each: with the 95 % "
            f"interval for other test rows, and with that for other targets like these.{few}",
        )
    ]


def _each(targets: Sequence[Target]) -> Grid:
    """A row for each target: what it has, and the arm to use with its score on each split."""
    splits = list(dict.fromkeys(split for one in targets for split in one.evaluations))
    classes = any(one.counts for one in targets)
    rows = []
    for one in targets:
        cells = [_use(one, split) for split in splits]
        counts = ", ".join(
            f"{count} of class {label}" for label, count in sorted(one.counts.items(), key=lambda c: c[1])
        )
        rows.append((one.name, one.rows, *((counts,) if classes else ()), *cells))
    header = ("target", targets[0].rows_are, *(("classes",) if classes else ()), *(f"{split}: use" for split in splits))
    words = frozenset(range(2, len(header)))
    return Grid(header, rows, wrapped=words, name="each-target", caption="The arm to use, with its score, by target.")


def _use(target: Target, split: str) -> str:
    if split not in target.evaluations:
        return "not tested"
    arm = target.used[split]
    if not arm:
        return "cannot be told"
    evaluation, metric = target.evaluations[split], PRIMARY[target.task]
    low, high = evaluation.interval(arm, metric)
    score = float(evaluation.scores[arm][metric][0])
    return f"{arm}, {LABELS[metric]} {number(score)} [{number(low)} to {number(high)}]"
