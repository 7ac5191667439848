"""A design on a page."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from pipeline.design import figures
from pipeline.design.findings import Findings
from pipeline.design.reinforced import Reinforced
from pipeline.design.settings import ARMS, BY_MODEL, RANKED
from pipeline.design.words import missing
from pipeline.evaluation.numbers import number
from pipeline.report.blocks import Drawn, Figure, Grid, Pairs, Section, Text, Verdict, note
from pipeline.report.drawings import structure
from pipeline.report.sections import warning_notes

SHOWN = 12  # designs that are drawn
HOW = (
    "A hit has a value in the range that was wanted. Every arm may have as many molecules checked; what is no "
    "molecule, was written before or is in the table (in any row of it, or as a tautomer) costs no call, and counts "
    "among the samples. Hits per sample are not known of arms in which a model chooses among texts that are not "
    "checked. Square brackets and ranges are 95 % intervals: over runs with other seeds, or of independent molecules "
    "where there are fewer than three."
)
OF_SETS = (
    "Shares of all that was written; fragments and the genetic algorithm propose molecules alone, so that theirs say "
    "nothing. The rest is of the molecules that were checked. Diversity: one minus the mean Tanimoto similarity of all "
    "pairs. Fréchet distance: to the molecules of the table, over ten descriptors (not that of ChemNet), of as many "
    "molecules of each arm. SA score: 1 is easy to make, 10 hard."
)


def sections(found: Findings, reinforced: Reinforced, said: Sequence[str]) -> list[Section]:
    """All of the page."""
    return [
        Section("", [Verdict(said), note(HOW, missing(found))]),
        _designs(found),
        _curves(found),
        *_gamed(found),
        *reinforced.section(),
        Section("What was written", [_sets(found), Text([OF_SETS])]),
        Section(
            "What was compared",
            [
                Grid((), [(arm, ARMS[arm]) for arm in found.arms], wrapped=frozenset({1})),
                Text([*_constraints(found), *warning_notes(found.experiment.context)]),
            ],
        ),
    ]


def _designs(found: Findings) -> Section:
    """The molecules nearest to what is wanted, each beside the molecule of the table that is most like it."""
    designs = found.designs
    if designs.empty:
        return Section("Designs", [Text(["No new molecule with such a value was found."])])
    table = dict(zip(found.experiment.smiles, found.experiment.values, strict=True))
    units = found.experiment.table.units
    pairs = []
    for row in designs.head(SHOWN).to_dict("records"):
        true = "" if found.judged else f"{number(row['value'])} {units} by the oracle; "
        between = f" ({number(row['lower'])} to {number(row['upper'])})" if np.isfinite(row["lower"]) else ""
        said = f"{true}{number(row['predicted'])}{between} predicted; SA {row['sa_score']:.1f}; {row['designed_by']}"
        near = str(row["nearest"])
        measured = f", {number(table[near])} {units}" if near in table else ""
        pairs.append(
            (
                Drawn(structure(row["smiles"]), "design", said, str(row["smiles"])),
                Drawn(structure(near), "nearest", f"nearest of the table ({row['similarity']:.2f}){measured}", near),
            )
        )
    few = f"The {len(pairs)} of {len(designs)} that come nearest; all are in designs.csv."
    return Section("Designs", [Text([few]), Pairs(pairs)])


def _curves(found: Findings) -> Section:
    goal = found.experiment.goals[0]
    rows = [
        (
            arm,
            found.checks(arm, goal),
            found.experiment.seeds_of(arm),
            found.rate(arm, goal),
            None if arm in RANKED else found.interval(found.per_sample(arm, goal), found.samples(arm, goal)),
        )
        for arm in found.arms
    ]
    header = ("arm", "checked", "seeds", "hits per molecule checked", "hits per sample")
    blocks: list[Any] = [
        Figure("hits", figures.curves(found), "hits found against molecules checked, a line for each arm"),
        Grid(header, rows, name="hits"),
    ]
    if not found.compared.empty:
        columns = (found.compared[name] for name in ("of", "arm", "difference", "low", "high"))
        differences = [(own, arm, (value, low, high)) for own, arm, value, low, high in zip(*columns, strict=True)]
        caption = (
            "Shares of hits among the molecules checked, that of the first arm minus that of the second. Arms in which "
            "the fitted model chooses stand against each other."
        )
        blocks.append(Grid(("arm", "against", "difference"), differences, name="against", caption=caption))
    blocks.append(
        Figure("values", figures.obtained(found), "values of the molecules that were checked, by what was asked for")
    )
    return Section("Hits", blocks)


def _gamed(found: Findings) -> list[Section]:
    rows = found.rewards(BY_MODEL, found.experiment.goals[0])
    if rows.empty or found.judged:
        return []
    text = (
        "The genetic algorithm is scored by the fitted model; of each generation those that the model likes best were "
        "checked. Where the model promises what is not true, its line falls below that of the truth; molecules that "
        "please it are then often far from the table."
    )
    alt = "distance to what is wanted by the model and in truth, by generation"
    return [Section("A model as the judge", [Text([text]), Figure("gamed", figures.gamed(found), alt)])]


def _sets(found: Findings) -> Grid:
    names = ("valid", "unique", "in the table", "not wanted", "new", "diversity", "Fréchet distance", "SA score")
    rows = []
    for (arm, goal), described in found.described_sets.items():
        rows.append((f"{arm}, {goal}", *(None if np.isnan(described[name]) else described[name] for name in names)))
    return Grid(("arm and goal", *names), rows, name="sets")


def _constraints(found: Findings) -> list[str]:
    one = found.experiment.constraints
    parts = [f"contains {', '.join(one.contains)}"] if one.contains else []
    parts += [f"at most {one.max_weight:g} g/mol"] if one.max_weight else []
    parts += [f"elements {', '.join(one.elements)}"] if one.elements else []
    parts += [f"no {', '.join(one.alerts)} alert"] if one.alerts else []
    parts += [f"SA score of at most {one.max_sa:g}"] if one.max_sa else []
    return [f"Wanted besides: {'; '.join(parts)}."] if parts else []
