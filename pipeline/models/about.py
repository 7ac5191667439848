"""What ``model.json`` says of a fitted arm."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from pipeline.cells.cell import versions
from pipeline.features.inputs import ReactionInput
from pipeline.lm.pretrained import PretrainedAdapter
from pipeline.lm.weights import PACKAGED, weights_identity
from pipeline.models.conditions import Conditions
from pipeline.prompts.templates import PromptTemplate
from pipeline.tables.kinds import KINDS
from pipeline.tables.measurements import REFUSE
from pipeline.tables.scales import Scale


def about_model(
    *,
    arm: str,
    task: str,
    classes: Sequence[str],
    target: str,
    rows: str,
    template: PromptTemplate,
    context: Sequence[str],
    n_train: int,
    seed: int,
    source: str,
    fingerprint: str = "",
    smiles: str = "smiles",
    largest_fragment: bool = False,
    refused: int = 0,
    scale: Scale | None = None,
    possible: tuple[float, float] = (-math.inf, math.inf),
    bounds: dict[str, Any] | None = None,
    language_model: dict[str, Any] | None = None,
    calibration: dict[str, Any] | None = None,
    scores: Sequence[dict[str, Any]] = (),
    measured_with: Sequence[str] = (),
    bin_edges: Sequence[float] = (),
    reactions: ReactionInput | None = None,
    conditions: Conditions | None = None,
    notations: Sequence[str] = (),
) -> dict[str, Any]:
    """What ``model.json`` says of a fitted arm, in the order in which it is written."""
    return {
        "arm": arm,
        "task": task,
        "classes": list(classes),
        "target": target,
        "property_name": template.property_name,
        "units": template.units,
        "scale": asdict(scale or Scale("", template.units)),
        "possible": list(possible) if all(map(math.isfinite, possible)) else [],
        "bounds": bounds or {"use": REFUSE, "n": 0},
        "rows": rows,
        "smiles": smiles,
        "context": list(context),
        "conditions": conditions.as_dict() if conditions else {},
        "reactions": asdict(reactions) if reactions else {},
        "largest_fragment": largest_fragment,
        "representation": f"canonical {KINDS[rows].notation}",
        "notations": list(notations),
        "template": template.text,
        "unstated": list(template.unstated),
        "tokenization": template.tokenization,
        "language_model": language_model,
        "n_train": n_train,
        "refused": refused,
        "seed": seed,
        "data": {"source": source, "fingerprint": fingerprint},
        "versions": versions(),
        "calibration": calibration or {"how": "", "n": 0, "metric": "", "value": None},
        "scores": list(scores),
        "measured_with": list(measured_with),
        "bin_edges": list(bin_edges),
    }


def about_language_model(
    model: str, dtype: str, depth: int | None, trained_layers: int, start: PretrainedAdapter | None
) -> dict[str, Any]:
    """Which base model an arm needs, as `load_engine` reads it, and what its training started from."""
    packaged = PACKAGED.get(model)
    return {
        "model": model,
        "weights": weights_identity(model),
        "dtype": dtype,
        "depth": depth,
        "trained_layers": trained_layers,
        "start": start.described if start else "",
        "licence": packaged.licence if packaged else "see its own card",
    }


def prompt_template(about: dict[str, Any]) -> PromptTemplate:
    """The prompt of a saved model."""
    parts = about["reactions"] or {"components": (), "names": ()}
    return PromptTemplate(
        about["property_name"],
        about["units"],
        about["template"],
        about["tokenization"],
        tuple(parts["components"]),
        tuple(parts["names"]),
        unstated=tuple(about.get("unstated", ())),
    )
