"""The settings of the study of negatives."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.errors import InputError
from pipeline.settings.study import StudySettings, arms_setting, study_setting, success_setting
from pipeline.tables.kinds import MOLECULES, REACTIONS

OF_REACTIONS, OF_MOLECULES = (REACTIONS,), (MOLECULES,)


@dataclass(frozen=True)
class NegativesSettings(StudySettings):
    """Under ``stress: negatives:`` in a YAML file.

    A reaction is published with probability ``1 / (1 + exp(-(yield - published_from) / published_width))``, yields in
    percent. Of molecules a positive is what a success is of reactions.
    """

    arms: tuple[str, ...] = arms_setting()
    split: tuple[str, ...] = study_setting(
        ("random",), "Splits as for [b]run[/b] (default random); each has one fixed test set."
    )
    seeds: int = study_setting(3, "Training seeds; each draws its own training rows.", least=1, quick=1)
    doses: tuple[float, ...] = study_setting(
        (1.0, 5.0, 10.0, 25.0, 50.0, 100.0),
        "Doses of failures (negatives) for the classical models, in percent of those per success (positive) of all "
        "training rows.",
        quick=(1, 10, 100),
    )
    lm_doses: tuple[float, ...] = study_setting((1.0, 10.0, 100.0), "The same for the language model.", quick=(10, 100))
    positives: int = study_setting(
        300,
        "Successes (positives) to train on, where a language model is among the arms; 0 for all. Classical models are "
        "shown on all rows as well.",
        least=0,
        quick=150,
    )
    test_rows: int = study_setting(
        300,
        "At most this many test rows, where a language model is among the arms, drawn by seed; 0 for all.",
        least=0,
        quick=200,
    )
    success: float = success_setting(OF_REACTIONS)
    sensitivity: tuple[float, ...] = study_setting(
        (5.0, 50.0),
        "Other thresholds of success at which the classical models are trained and tested as well.",
        quick=(),
        kinds=OF_REACTIONS,
    )
    base_rate: float = study_setting(
        0.0, "Share of successes expected in use: decisions are shown for it too.", kinds=OF_REACTIONS
    )
    published_from: float = study_setting(
        50.0, "Yield in percent at which a reaction is as likely published as not.", kinds=OF_REACTIONS
    )
    published_width: float = study_setting(10.0, "How gradually that changes, in percent.", kinds=OF_REACTIONS)
    lm_steps: int = study_setting(
        150,
        "Optimiser steps of each training of the language model, 8 rows each; of molecules --batch rows each, where "
        "--steps is not given.",
        least=1,
        quick=100,
    )
    lm_extras: bool = study_setting(
        True,
        "Also train the language model to write reactions (each seed), and with the other decoys, unlabelled rows, "
        "published rows and a fixed number of rows (first seed).",
        quick=False,
        kinds=OF_REACTIONS,
    )
    positive: str = study_setting(
        "",
        "The class that is known, of two or more; the rarer one of two if not given.",
        kinds=OF_MOLECULES,
    )
    pool: str = study_setting(
        "",
        "A file of structures to draw decoys from; those of the other built-in tables if not given.",
        kinds=OF_MOLECULES,
    )
    decoy_similarity: float = study_setting(
        0.4,
        "Largest Tanimoto similarity (Morgan, radius 2) of a decoy to any positive of the training rows.",
        kinds=OF_MOLECULES,
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        for threshold in (self.success, *self.sensitivity):
            self.check_success(threshold)
        self.check_doses((*self.doses, *self.lm_doses))
        if not 0 <= self.base_rate < 1:
            raise InputError(f"base_rate is {self.base_rate}; it is a share of successes, between 0 and 1")
        if not 0 < self.decoy_similarity <= 1:
            raise InputError(f"decoy_similarity is {self.decoy_similarity}; it must be above 0 and at most 1")
