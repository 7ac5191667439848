"""What is folded on the page of a comparison of arms."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from pipeline.arms.ladder import BLENDS, TUNED, is_language_model
from pipeline.defaults import ATOMWISE
from pipeline.evaluation.comparison import Difference
from pipeline.evaluation.evaluations import CONTROL, REFERENCE, Evaluation
from pipeline.evaluation.metrics import CLASS_METRICS, LABELS, PRIMARY, REGRESSION_METRICS
from pipeline.evaluation.noise import measurement_noise, noise_sentence
from pipeline.evaluation.numbers import number, probability
from pipeline.evaluation.verdict import reference_name
from pipeline.lm.pretrained import described_start
from pipeline.report import figures
from pipeline.report.blocks import (
    Card,
    Cards,
    Code,
    Figure,
    Folded,
    Grid,
    Group,
    Listed,
    Section,
    Text,
    note,
)
from pipeline.report.sections import interval_of
from pipeline.runs.certainty import METHODS, SIGNALS
from pipeline.runs.certainty_words import sentences
from pipeline.studies.compare.findings import Findings, best_possible, noise_contradicted
from pipeline.studies.compare.reading import changes, how_to_read
from pipeline.studies.compare.shown import count_of, named, sorted_arms, task_of
from pipeline.tables.targets import CLASSES, REGRESSION


def comparisons(found: Findings) -> Section:
    blocks: list[Any] = [Text(how_to_read(found))]
    metric = LABELS[PRIMARY[task_of(found)]]
    margins = any(found.margins.values())
    header = ("arm", "other", "difference and interval", "p", *(("p of equivalence",) * margins), "kind", "the arm is")
    groups = [
        Group(verdict.split, [_pair_row(pair, margins) for pair in (*verdict.comparisons, *verdict.against_control)])
        for verdict in found.verdicts
        if verdict.comparisons or verdict.against_control
    ]
    if groups:
        caption = (
            f"Arm minus other in {metric}, same rows. p is adjusted within the comparisons of its kind on this split, "
            "and the interval is as wide as that asks."
        )
        words = frozenset({1, len(header) - 1, len(header) - 2})
        blocks.append(Grid(header, groups, words, name="pairs", caption=caption))
    if len(found.context.arms) > 2:
        drawn = figures.comparison_matrix(
            found.evaluations, found.comparisons, found.context.arms, found.context.table.units
        )
        equivalent = ", grey where they are equivalent" if margins else ""
        blocks += [
            Figure("matrix", drawn, "every arm compared with every other, a panel per split"),
            note(
                "Every arm against every other: blue where the row is better than the column, orange where it is "
                f"worse{equivalent}, pale where the test cannot tell. Each pair has the answer that it has in the "
                "table above; those that are not there are corrected for their number. Numbers, intervals and p "
                "are in comparisons.csv."
            ),
        ]
    changed = changes(found)
    if changed:
        blocks.append(Folded("Changes from split to split", [Text(changed, soft=False)]))
    return Section(
        "How the verdict was reached",
        blocks,
        folded=True,
        anchor="comparisons",
        about="paired comparisons of the arms, and how to read them",
    )


def _pair_row(pair: Difference, margins: bool) -> tuple[Any, ...]:
    equivalent = probability(pair.p_equivalent) if pair.margin else "none"
    return (
        _called(pair.arm),
        _called(pair.other),
        (pair.value, pair.low, pair.high),
        probability(pair.p),
        *((equivalent,) if margins else ()),
        pair.family,
        pair.answer + ", by less than matters" * (pair.small and pair.answer in ("better", "worse")),
    )


def _called(arm: str) -> str:
    return "preferred baseline" if arm == REFERENCE else arm


def all_scores(found: Findings) -> Section:
    task, context = task_of(found), found.context
    names = CLASS_METRICS if task == CLASSES else REGRESSION_METRICS
    alt = f"{LABELS[PRIMARY[task]]} of every arm with its interval, a panel per split"
    order = sorted_arms(found)
    drawn = figures.leaderboard(found.evaluations, found.metrics, order, context.table.units)
    blocks: list[Any] = [Figure("leaderboard", drawn, alt)]
    for evaluation in found.evaluations:
        part = found.metrics[found.metrics["split"] == evaluation.split]
        rows = {(row["arm"], row["metric"]): row for row in part.to_dict("records")}
        table = [(named(arm), *(interval_of(rows[arm, metric]) for metric in names)) for arm in order]
        blocks.append(
            Grid(
                ("arm", *(LABELS[metric] for metric in names)),
                table,
                name="board",
                marked=frozenset(place for place, arm in enumerate(order) if arm in set(evaluation.reference)),
                strong=frozenset(place for place, arm in enumerate(order) if is_language_model(arm)),
                caption=_board_caption(found, evaluation),
            )
        )
    noise = _noise(found)
    if noise:
        how = (
            "From the pooled variance of values that were merged, assuming normal noise of constant variance; the "
            "interval is that of the chi-squared distribution."
        )
        blocks += [Text([f"The noise floor. {' '.join(noise)}"], soft=False), note(how)]
    if task == CLASSES:
        blocks.append(note(_about_classes(found)))
    if len(found.evaluations) > 1:
        alt = f"{LABELS[PRIMARY[task]]} of every arm from split to split"
        blocks.append(Figure("slopes", figures.slopes(found.evaluations, context.arms, context.table.units), alt))
    about = f"{', '.join(LABELS[metric] for metric in names)}; {'the noise floor; ' if noise else ''}a figure"
    return Section("All scores", blocks, folded=True, anchor="leaderboard", about=about)


def _board_caption(found: Findings, evaluation: Evaluation) -> str:
    n, groups = len(set(evaluation.row_ids)), count_of(evaluation.n_groups, "group")
    said = f"{evaluation.split}: {n} test {found.context.table.rows_are} in {groups}"
    said += f", means over {evaluation.divisions} divisions" if evaluation.divisions > 1 else ""
    return said + (f". Marked: preferred by validation, {reference_name(evaluation)}" if evaluation.reference else "")


def _about_classes(found: Findings) -> str:
    first, config = found.evaluations[0], found.context.config
    if len(first.classes) > 2:
        return "AUROC and AUPRC are means over the classes, each against all others."
    said = f"AUPRC is about the class {first.positive or first.classes[1]}"
    if config.bins:
        return f"{said}, the higher values."
    return f"{said}." if config.positive else f"{said}, the rarer one (--positive names another)."


def _noise(found: Findings) -> list[str]:
    """What repeated measurements say, and the scores on each split of a model without an error of its own."""
    table = found.context.table
    noise = measurement_noise(table.frame)
    if noise is None or task_of(found) == CLASSES:
        return []
    said = [noise_sentence(noise, table.units, table.rows_are)]
    for evaluation in found.evaluations if noise.deviation else ():
        best = best_possible(table, noise, evaluation)
        if noise_contradicted(best, evaluation):
            said.append(
                f"On the {evaluation.split} split an arm has smaller errors than noise of that size gives on average: "
                "the estimate does not hold for the tested rows, and no best possible score is given."
            )
            continue
        reached = "would hardly do better than" if noise.doubtful else "would have"
        said.append(
            f"On the {evaluation.split} split a model without an error of its own {reached} MAE "
            f"{number(best['mae'])}, RMSE {number(best['rmse'])} and R² {number(best['r2'])}."
        )
    return said


def certainty(found: Findings) -> Section:
    """What intervals, probabilities and signals of doubt are worth."""
    certainty, context = found.certainty, found.context
    units, blocks = context.table.units, []
    if len(certainty.intervals):
        shown = _worth_a_line(found)
        drawn = figures.certainty_by_split(certainty.intervals, found.evaluations, shown, units)
        used = set(certainty.intervals["method"])
        methods = [f"{name.capitalize()}: {text}." for name, text in METHODS.items() if name in used]
        if any(map(is_language_model, context.arms)) and not context.config.calibrate_lm:
            methods.append("Language models are calibrated with --calibrate-lm, which trains each once more.")
        blocks += [
            Figure("certainty", drawn, "coverage and width of intervals, or calibration error, from split to split"),
            note(
                "Calibrated on predictions of training rows by models that had not seen them and had fewer rows: "
                f"an approximation, for rows drawn like those. {' '.join(methods)}"
            ),
            Folded("All intervals", [_interval_table(found)]),
        ]
    if len(certainty.signals):
        what = "wrong answers than for a right one" if task_of(found) == CLASSES else _LARGE_ERRORS
        signals = [f"{name.capitalize()}: {SIGNALS[name]}." for name in certainty.signals["signal"].unique()]
        how = (
            f"Which predictions to doubt: chance that a signal is larger for one of the {what}; 0.5 says nothing. A "
            "dot: shown to be more than that at the 5 % level, corrected for the number of signals; a cross: not. "
            f"{' '.join(signals)} Numbers are in signals.csv."
        )
        drawn = figures.error_auroc_by_signal(certainty.signals, found.evaluations)
        risk = figures.risk_coverage(certainty.curves, found.evaluations, units)
        blocks += [
            Figure("signals", drawn, "error AUROC of each signal, a panel per split"),
            note(how),
            Figure("risk", risk, "mean error against share of predictions kept, a panel per split"),
        ]
    said = sentences(certainty, found.evaluations)
    return Section(
        "How sure the predictions are",
        [*([Text(said, soft=False)] if said else []), *blocks],
        folded=True,
        anchor="certainty",
        about="intervals, and which predictions to doubt",
    )


_LARGE_ERRORS = "fifth of predictions with the largest errors than for another"


def _worth_a_line(found: Findings) -> list[str]:
    """The arms worth a line in a figure over all splits: the preferred baselines and the language models."""
    preferred = {evaluation.main_baseline for evaluation in found.evaluations} - set(CONTROL.values())
    arms = found.context.arms
    return [arm for arm in arms if arm in preferred or is_language_model(arm)] or list(arms)


def _interval_table(found: Findings) -> Grid:
    """Every metric of every arm and method on every split: a row each with a cell per split."""
    splits = [evaluation.split for evaluation in found.evaluations]
    rows = []
    for (arm, method, metric), part in found.certainty.intervals.groupby(["arm", "method", "metric"], sort=False):
        cells = part.set_index("split").to_dict("index")
        values = [interval_of(cells[split]) if split in cells else None for split in splits]
        rows.append((arm, method, str(metric).replace("_", " "), *values))
    return Grid(("arm", "method", "measure", *splits), rows, frozenset({1, 2}), name="intervals", aligned=False)


def splits(found: Findings) -> Section:
    cards = [
        Card(card["name"], card["asked"], _of_split(card), [f"{note}." for note in card["notes"]])
        for card in found.split_cards
    ]
    return Section("Splits", [Cards(cards, "split-cards")], folded=True, anchor="splits", about="sizes, groups, shifts")


def _of_split(card: dict[str, Any]) -> list[tuple[str, str]]:
    """The facts of a split, as they stand on its card."""
    several = len(card["n_test"]) > 1
    shift = "{:.2f}" if several else "{:+.2f}"
    facts = [
        ("training / test rows", card["sizes"]),
        (
            "groups",
            f"{card['groups']}, {card['test_groups']} of them tested; the largest has "
            f"{count_of(card['largest_group'], 'row')}",
        ),
    ]
    if card["acyclic"] is not None:
        facts.append(
            ("acyclic", f"{100 * card['acyclic']:.0f} % of all, {100 * card['acyclic_test']:.0f} % of tested rows")
        )
    else:
        unseen = ", ".join(f"{name} {100 * share:.0f} %" for name, share in card["unseen"].items())
        facts += [("tested rows with a value not in training", unseen)] if unseen else []
    label = card["label_shift"]
    if "mean" in label:
        said = f"{shift.format(label['mean'])} training standard deviations (KS {label['ks']:.2f})"
    else:
        said = f"class shares differ by up to {100 * label['share']:.0f} points"
    facts.append(("label shift", said))
    if card["properties"]:
        listed = ", ".join(f"{name} {shift.format(value)}" for name, value in card["properties"].items())
        either = ", either way, on average over the divisions" if several else ""
        facts.append(("property shift", f"{listed} training standard deviations{either}"))
        shared = card["shared_scaffolds"]
        ring = (
            "no tested molecule has a ring"
            if shared is None
            else f"{100 * shared:.0f} % of tested molecules with a ring"
        )
        facts.append(("scaffold in training", ring))
    facts.append(("similarity to training", f"quartiles {', '.join(map(number, card['similarity']))}"))
    return facts


def tuning(found: Findings) -> Section:
    """How the language models were trained, one line per arm."""
    used: dict[str, dict[str, Any]] = {}
    for cell in found.cells:
        if cell["tags"]["arm"] in TUNED:
            used.setdefault(cell["tags"]["arm"], cell["inputs"]["language_model"])
    curves = [cell for cell in found.cells if "curve" in cell]
    if not curves:
        return Section("")
    first, config = next(iter(used.values())), found.context.config
    symbols = found.context.table.kind.symbols if config.tokenization == ATOMWISE else ""
    own = f", with each {symbols} in tokens of its own" if symbols else ""
    blocks = [
        Text([f"{first['model']}, {first['dtype']}. Prompt{own}:"], soft=False),
        Code(config.template),
        Listed([_trained_how(arm, about) for arm, about in used.items()]),
        Figure("training", figures.training_curves(curves), "training loss against step"),
    ]
    return Section("Fine-tuning", blocks, folded=True, anchor="training", about="prompt, layers, steps, loss")


def _trained_how(arm: str, about: dict[str, Any]) -> str:
    depth, trained, settings = about["depth"], about["trained_layers"], about["settings"]
    said = f"{arm}: {f'the first {depth} layers alone' if depth else 'all layers'}, LoRA rank {settings['rank']} on "
    said += "all of them" if depth == trained else f"the last {trained}"
    said += f"; {settings['steps']} steps of {settings['batch_size']} rows, learning rate {settings['learning_rate']}"
    start = described_start(about["start"])
    return said + (f"; it starts from {start}" if start else "")


def blends(found: Findings) -> Section:
    """How much of a blend the language model makes where that was chosen on held-out training rows."""
    rows = [
        (cell["tags"]["arm"], _division(found, cell), *_share(cell.get("share")))
        for cell in found.cells
        if cell["tags"]["arm"] in BLENDS and "validation" in cell
    ]
    if not rows:
        return Section("")
    caption = (
        "The share with the smallest error on training rows that neither arm had seen, from 0% to 100%, with its 95% "
        "interval over resampled groups of those rows (0% to 100% where they are in fewer than ten groups, which say "
        "nothing of that). It is not chosen where fewer than ten rows, or one group, were held out. An arm that brings "
        "nothing gets nothing. Whether the blend has smaller errors on the test rows stands among the comparisons."
    )
    header = ("blend", "split", "share of the language model", "held-out rows")
    grid = Grid(header, rows, frozenset({1}), name="blends", caption=caption)
    about = "its share in a blend, chosen on held-out training rows"
    return Section("What the language model adds", [grid], folded=True, anchor="blends", about=about)


def _share(share: Mapping[str, Any] | None) -> tuple[str, int | None]:
    if share is None:
        return "50%, not chosen", None
    return f"{share['value']:.0%} [{share['low']:.0%} to {share['high']:.0%}]", share["n"]


def _division(found: Findings, cell: Mapping[str, Any]) -> str:
    split, fold = found.context.division(cell["tags"])
    return f"{split.name}{split.named(fold)}"


def answers(found: Findings) -> Section:
    """How often lm-text's own answer was none, how much probability it gives to proper ones, and how many of the true
    labels are no answer that it could write."""
    repeated = any(split.repeats > 1 for split in found.context.splits)
    numeric = task_of(found) == REGRESSION
    rows = []
    for cell in (cell for cell in found.cells if "well_formed" in cell):
        tags, n = cell["tags"], len(cell["row_id"])
        row: tuple[Any, ...] = (
            tags["arm"],
            tags["split"],
            f"{tags['repeat'] + 1}.{tags['fold'] + 1}" if repeated else tags["fold"] + 1,
            f"{int(np.sum(cell['parse_failed']))} of {n}",
            f"{cell['well_formed']:.4f}",
        )
        rows.append((*row, f"{round(cell['unreachable'] * n)} of {n}") if numeric else row)
    if not rows:
        return Section("")
    reach = (
        " A label is out of reach where the arm's list of answers, which is made of the training labels, ends before "
        "it: it cannot be written, however good the model."
    )
    caption = (
        "A row counts as a parse failure where the model's own most probable tokens are not one of the answers; it is "
        f"scored as the training mean, or as wrong for classes.{reach if numeric else ''}"
    )
    header = ("arm", "split", "fold", "parse failures", "probability of a well-formed answer")
    grid = Grid((*header, *(("labels out of reach",) * numeric)), rows, frozenset({1}), name="answers", caption=caption)
    return Section("Answers written as text", [grid], folded=True, anchor="answers", about="parse failures of lm-text")
