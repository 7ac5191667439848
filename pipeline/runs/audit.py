"""What is in a table, and what could make a model look better than it is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
import pandas as pd
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import r2_score, roc_auc_score
from sklearn.model_selection import cross_val_predict
from sklearn.pipeline import make_pipeline

from pipeline.evaluation.metrics import LABELS
from pipeline.evaluation.noise import measurement_noise, noise_sentence
from pipeline.evaluation.numbers import number
from pipeline.runs.hints import hints
from pipeline.runs.origins import quick_look
from pipeline.splits.groups import scaffold_groups, twin_groups
from pipeline.splits.splitters import fold_numbers
from pipeline.tables.kinds import COMPOSITIONS, KINDS, REACTIONS, TEXTS
from pipeline.tables.merging import shortened
from pipeline.tables.reactions import appearing_rows
from pipeline.tables.table import Table
from pipeline.tables.targets import CLASSES

NOTATION_FOLDS = 5
RARE_ELEMENT = 5  # an element in fewer rows than this is rare
COMMON_VALUE = 0.2  # share of the rows from which on a value that they have in common is said
NOTATION_WARNING = 0.05
_CHANCE = {"AUROC": 0.5, "R2": 0.0}
NOTATION_ROWS = 5_000


def audit_table(table: Table, origins: Mapping[str, pd.Series] | None = None) -> dict[str, Any]:
    """Counts, refusals, duplicates, labels, scaffolds, and whether the notation, or the source of a row, leaks the
    label.

    Parameters
    ----------
    origins : mapping of str to Series, optional
        Columns that say where a row comes from, their cells by line.
    """
    frame = table.frame
    twins = pd.Series(twin_groups(table))
    reasons = table.refused["reason"].str.split(":").str[0]
    return {
        "name": table.name,
        "task": table.task,
        "task_reason": table.task_reason,
        "property": table.property_name,
        "units": table.units,
        "rows_read": table.n_read,
        "hints": hints(table),
        "rows_are": table.rows_are,
        "molecules": len(frame),
        "refused": {str(reason): int(count) for reason, count in reasons.value_counts().items()},
        "first_refused": table.refused.head(5).to_dict("records"),
        "duplicates": {
            "merged_molecules": int((frame["n_merged"] > 1).sum()),
            "merged_rows": table.merged,
            "twin_molecules": int((twins.map(twins.value_counts()) > 1).sum()),
            "conflicts": int(reasons.str.startswith("conflicting classes").sum()),
            "largest_spread": float(frame["spread"].max()),
        },
        "noise": {**asdict(noise), "doubtful": noise.doubtful} if (noise := measurement_noise(frame)) else None,
        "noise_said": noise_sentence(noise, table.units, table.rows_are) if noise else "",
        "labels": _labels(table),
        "floor": _floor(table),
        "bounds": table.bounded,
        "scale": table.scale.explained(),
        **_of_kind(table),
        "notation": notation_leak(table),
        "origins": [
            asdict(look) for name, cells in (origins or {}).items() if (look := quick_look(table, name, cells))
        ],
        "remarks": list(table.remarks),
        "warnings": list(table.warnings),
    }


def _of_kind(table: Table) -> dict[str, Any]:
    """What there is to say of one kind of rows alone."""
    if table.kind is REACTIONS:
        return {"reactions": _reactions(table)}
    if table.kind is COMPOSITIONS:
        return {"compositions": _compositions(table)}
    if table.kind is TEXTS:
        return {"texts": _texts(table)}
    return {"scaffolds": _scaffolds(table.frame, scaffold_groups(table))}


def _compositions(table: Table) -> dict[str, Any]:
    """Elements and chemical systems."""
    systems = table.frame["scaffold"]
    elements = pd.Series([symbol for system in systems for symbol in system.split("-")]).value_counts()
    sizes = systems.value_counts()
    return {
        "elements": len(elements),
        "frequent": {str(symbol): float(count / len(table)) for symbol, count in elements.head(5).items()},
        "rare": int((elements < RARE_ELEMENT).sum()),
        "systems": len(sizes),
        "singletons": int((sizes == 1).sum()),
    }


def _texts(table: Table) -> dict[str, Any]:
    lengths = table.frame["smiles"].str.len()
    return {"shortest": int(lengths.min()), "median": int(lengths.median()), "longest": int(lengths.max())}


def _floor(table: Table) -> dict[str, Any]:
    """The value that many of the rows of a number share, if there is one."""
    if table.task == CLASSES:
        return {}
    counts = table.frame["target"].value_counts()
    share = float(counts.iloc[0] / len(table))
    return {"value": float(counts.index[0]), "share": share} if share >= COMMON_VALUE else {}


def _scaffolds(frame: pd.DataFrame, groups: np.ndarray) -> dict[str, Any]:
    cyclic = frame["scaffold"][frame["scaffold"] != ""].value_counts()
    sizes = pd.Series(groups).value_counts()
    return {
        "groups": len(sizes),
        "acyclic_share": float((frame["scaffold"] == "").mean()),
        "largest": str(cyclic.index[0]) if len(cyclic) else "",
        "largest_share": float(cyclic.iloc[0] / len(frame)) if len(cyclic) else 0.0,
        "singletons": int((sizes == 1).sum()),
    }


def _reactions(table: Table) -> dict[str, Any]:
    """Components and their values, zero yields, and products with elements that come from nowhere."""
    frame = table.frame
    values = {column: table.cells.loc[frame["row_id"], column] for column in table.components}
    return {
        "components": {
            column: {
                "values": int(values[column].nunique()),
                "absent": int((values[column] == "").sum()),
                "holds": "names" if column in table.names else "structures",
            }
            for column in table.components
        },
        "combinations": int(np.prod([float(cells.nunique()) for cells in values.values()])),
        "zero_yields": int((frame["yield"] == 0).sum()) if "yield" in frame else None,
        "appearing": appearing_rows(frame),
    }


def _labels(table: Table) -> dict[str, float]:
    target = table.frame["target"]
    if table.task == CLASSES:
        return {str(label): int(count) for label, count in target.value_counts().items()}
    quantiles = target.quantile([0, 0.25, 0.5, 0.75, 1])
    names = ("min", "lower quartile", "median", "upper quartile", "max")
    return {
        **{name: float(value) for name, value in zip(names, quantiles, strict=True)},
        "mean": float(target.mean()),
        "standard deviation": float(target.std()),
    }


def notation_leak(table: Table, seed: int = 0) -> dict[str, Any]:
    """How well character n-grams predict the label from SMILES as given, and from canonical ones.

    Both are scored out of fold over twin groups (R2, or AUROC averaged over classes). Strings as
    given that predict better than canonical ones carry the label in how they were written.
    """
    used = table.sample(NOTATION_ROWS, seed)
    y = used.frame["target"].to_numpy()
    strata = y if table.task == CLASSES else np.zeros(len(y))
    folds = fold_numbers(twin_groups(used), strata, NOTATION_FOLDS, seed)
    cv = [(np.flatnonzero(folds != k), np.flatnonzero(folds == k)) for k in range(NOTATION_FOLDS)]
    if table.task == CLASSES and any(len(set(y[train])) < len(set(y)) for train, _ in cv):
        return {"metric": "AUROC", "given": None, "canonical": None, "rows": len(used)}
    scores = {name: _gram_score(used.frame[name], y, table.task, cv) for name in ("given", "restated")}
    metric = "AUROC" if table.task == CLASSES else "R2"
    return {"metric": metric, "given": scores["given"], "canonical": scores["restated"], "rows": len(used)}


def _gram_score(texts: pd.Series, y: np.ndarray, task: str, cv: list[Any]) -> float:
    grams = TfidfVectorizer(analyzer="char", ngram_range=(1, 3), lowercase=False, min_df=2)
    if task != CLASSES:
        model = make_pipeline(grams, Ridge(alpha=0.1))
        return float(r2_score(y, cross_val_predict(model, texts, y, cv=cv)))
    model = make_pipeline(grams, LogisticRegression(max_iter=1_000))
    chances = cross_val_predict(model, texts, y, cv=cv, method="predict_proba")
    classes = np.unique(y)
    columns = [1] if len(classes) == 2 else range(len(classes))
    return float(np.mean([roc_auc_score(y == classes[c], chances[:, c]) for c in columns]))


APPEARING_SHOWN = 5


def _reaction_lines(found: dict[str, Any], n: int) -> list[str]:
    parts = [
        f"{name} ({of['values']} {of['holds']}{', absent in ' + str(of['absent']) if of['absent'] else ''})"
        for name, of in found["components"].items()
    ]
    lines = [
        f"Components: {', '.join(parts)}; {found['combinations']} combinations are possible, {n} are in the table.",
    ]
    if found["zero_yields"] is not None:
        lines.append(f"Zero yields: {found['zero_yields']}, kept.")
    appearing = found["appearing"]
    if appearing:
        lines.append("Products with elements that nothing before the arrow holds, by line:")
        lines += [
            f"  line {one['line']}: {', '.join(one['elements'])} in {one['reaction']}"
            for one in appearing[:APPEARING_SHOWN]
        ]
        if len(appearing) > APPEARING_SHOWN:
            lines.append(f"  and {len(appearing) - APPEARING_SHOWN} more (audit --out FOLDER lists all in audit.json)")
    return lines


def audit_lines(found: dict[str, Any]) -> list[str]:
    """The audit in words, a line per finding."""
    units = f" {found['units']}" if found["units"] else ""
    refused = sum(found["refused"].values())
    kind = found["rows_are"]
    lines = [
        f"{found['name']}: {found['molecules']} {kind} from {found['rows_read']} rows, "
        f"{refused} row{'s' * (refused != 1)} refused.",
        f"Task: {found['task']} of {found['property']!r}{units} ({found['task_reason']}).",
    ]
    lines += [f"  refused {count}: {reason}" for reason, count in found["refused"].items()]
    lines += [
        f"    line {row['line']}, {row['column']} = {shortened(str(row['value']))!r}: {row['reason']}"
        for row in found["first_refused"]
    ]
    lines += [f"Read: {remark}." for remark in found["remarks"]]
    same = found["duplicates"]
    twins = {
        "reactions": "reactions were run under more than one context",
        "molecules": "molecules have a salt, tautomer or stereoisomer in the table",
    }.get(kind, f"{kind} stand in more than one row of the table")
    lines.append(
        f"Duplicates: {same['merged_rows']} rows merged into {same['merged_molecules']} {kind}; "
        f"{same['twin_molecules']} {twins}"
        + ("." if "reactions" in found else f"; {same['conflicts']} rows refused for conflicting classes.")
    )
    if found["noise_said"]:
        lines.append(f"Noise: {found['noise_said']}")
    label_text = ", ".join(f"{name} {value:.4g}" for name, value in found["labels"].items())
    lines.append(f"Labels: {label_text}.")
    if found["floor"]:
        lines.append(
            f"One value: {found['floor']['share']:.0%} of the {kind} have exactly {found['floor']['value']:g}: a "
            "number and a class at once."
        )
    if found["scale"]:
        lines.append(f"Scale: the target is {found['scale']}.")
    if found["bounds"]:
        lines.append(f"Bounds: {found['bounds']} targets are bounds (such as >10): trained on, not scored.")
    lines += _reaction_lines(found["reactions"], found["molecules"]) if "reactions" in found else []
    if "scaffolds" in found:
        rings = found["scaffolds"]
        lines.append(
            f"Scaffolds: {rings['groups']} groups ({rings['singletons']} of one molecule), "
            f"{rings['acyclic_share']:.0%} acyclic; the largest, {rings['largest'] or 'none'}, holds "
            f"{rings['largest_share']:.0%} of the molecules."
        )
    lines += _composition_lines(found["compositions"]) if "compositions" in found else []
    if "texts" in found:
        lengths = found["texts"]
        lines.append(
            f"Texts: {lengths['shortest']} to {lengths['longest']} characters, half of them up to {lengths['median']}."
        )
    lines += _notation_lines(found["notation"], kind)
    lines += [_origin_line(look, found) for look in found["origins"]]
    lines += [f"Hint: {hint}." for hint in found["hints"]]
    return lines + [f"Warning: {warning}." for warning in found["warnings"]]


def _composition_lines(found: dict[str, Any]) -> list[str]:
    frequent = ", ".join(f"{symbol} {share:.0%}" for symbol, share in found["frequent"].items())
    return [
        f"Elements: {found['elements']}, most often {frequent}; {found['rare']} in fewer than {RARE_ELEMENT} "
        "compositions.",
        f"Chemical systems: {found['systems']} ({found['singletons']} of one composition).",
    ]


def _notation_lines(note: dict[str, Any], kind: str) -> list[str]:
    """Whether the way in which rows are written gives the label away."""
    notation, lines = KINDS[kind].notation, []
    if note["given"] is None:
        lines.append("Notation: a class is too small to measure whether the notation leaks the label.")
    else:
        lines.append(
            f"Notation: character n-grams predict the label with {note['metric']} {note['given']:.3f} from the "
            f"{_plural(notation)} as given, {note['canonical']:.3f} from canonical ones (out of fold, {note['rows']} "
            f"{kind})."
        )
        given, canonical = (max(note[name], _CHANCE[note["metric"]]) for name in ("given", "canonical"))
        if given - canonical > NOTATION_WARNING:  # below chance neither says anything
            lines.append(
                f"Warning: the strings as given say more than the {kind} do; rows of different sources may be "
                f"written differently. chemtune trains on canonical {_plural(notation)}."
            )
    return lines


def _origin_line(look: dict[str, Any], found: dict[str, Any]) -> str:
    """How far the structure gives away where a row comes from, and that the label."""
    of_classes = found["task"] == CLASSES
    error = LABELS["log_loss" if of_classes else "mae"]
    units = f" {found['units']}" if found["units"] and not of_classes else ""
    said = (
        f"Origin: out of fold on {look['rows']} {found['rows_are']} of the {look['sources']} largest sources in "
        f"{look['column']!r} the structure gives away the source of {look['share']:.0%} (the largest one "
        f"holds {look['largest']:.0%}), and the predicted source alone has an {error} "
        f"of {number(look['error'])}{units}, the mean {number(look['mean'])}, sources dealt to other rows "
        f"{number(look['null_error'])}."
    )
    if not look["shown"]:
        return f"{said} It was not shown that the source is told and says something of the label."
    return (
        f"Warning: {said[0].lower()}{said[1:]} A random split asks for rows of sources that training has seen: split "
        f"by group:{look['column']} beside, or see chemtune stress origin --origin {look['column']!r}."
    )


def _plural(notation: str) -> str:
    return notation if notation.endswith("SMILES") else f"{notation}s"
