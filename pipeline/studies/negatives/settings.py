"""The settings of the study of negatives."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.errors import InputError
from pipeline.settings.fields import setting
from pipeline.settings.study import STUDY, StudySettings


@dataclass(frozen=True)
class NegativesSettings(StudySettings):
    """Under ``stress: negatives:`` in a YAML file.

    A reaction is published with probability ``1 / (1 + exp(-(yield - published_from) / published_width))``, yields in
    percent.
    """

    arms: tuple[str, ...] = setting(
        ("classical", "lm-head"),
        "What is trained: names of arms, classical (a few good baselines), or the groups baselines, lm, all.",
        "study",
        panel=STUDY,
    )
    split: tuple[str, ...] = setting(
        ("random",), "Splits as for [b]run[/b] (default random); each has one fixed test set.", "study", panel=STUDY
    )
    success: float = setting(20.0, "Yield in percent from which on a reaction is a success.", "study", panel=STUDY)
    sensitivity: tuple[float, ...] = setting(
        (5.0, 50.0),
        "Other thresholds of success at which the classical models are trained and tested as well.",
        "study",
        panel=STUDY,
        quick=(),
    )
    seeds: int = setting(3, "Training seeds; each draws its own training rows.", "study", panel=STUDY, least=1, quick=1)
    doses: tuple[float, ...] = setting(
        (1.0, 5.0, 10.0, 25.0, 50.0, 100.0),
        "Doses of failures for the classical models, in percent of the failures per success of all training rows.",
        "study",
        panel=STUDY,
        quick=(1, 10, 100),
    )
    lm_doses: tuple[float, ...] = setting(
        (1.0, 10.0, 100.0), "The same for the language model.", "study", panel=STUDY, quick=(10, 100)
    )
    positives: int = setting(
        300,
        "Successes to train on, where a language model is among the arms; 0 for all. Classical models are shown on all "
        "rows as well.",
        "study",
        panel=STUDY,
        least=0,
        quick=150,
    )
    test_rows: int = setting(
        300, "At most this many test rows, drawn by seed; 0 for all.", "study", panel=STUDY, least=0, quick=200
    )
    base_rate: float = setting(
        0.0, "Share of successes expected in use: decisions are shown for it too.", "study", panel=STUDY
    )
    published_from: float = setting(
        50.0, "Yield in percent at which a reaction is as likely published as not.", "study", panel=STUDY
    )
    published_width: float = setting(10.0, "How gradually that changes, in percent.", "study", panel=STUDY)
    lm_steps: int = setting(
        150,
        "Optimiser steps of each training of the language model, 8 rows each.",
        "study",
        panel=STUDY,
        least=1,
        quick=100,
    )
    lm_extras: bool = setting(
        True,
        "Also train the language model to write reactions (each seed), and with the other decoys, unlabelled rows, "
        "published rows and a fixed number of rows (first seed).",
        "study",
        panel=STUDY,
        quick=False,
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        for threshold in (self.success, *self.sensitivity):
            self.check_success(threshold)
        self.check_doses((*self.doses, *self.lm_doses))
        if not 0 <= self.base_rate < 1:
            raise InputError(f"base_rate is {self.base_rate}; it is a share of successes, between 0 and 1")
