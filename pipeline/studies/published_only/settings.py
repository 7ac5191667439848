"""The settings of the study of published tables."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.errors import InputError
from pipeline.settings.fields import setting
from pipeline.settings.study import STUDY, StudySettings


@dataclass(frozen=True)
class PublishedSettings(StudySettings):
    """Under ``stress: published-only:`` in a YAML file. Rows of one paper are never on both sides."""

    arms: tuple[str, ...] = setting(
        ("classical", "lm-head"),
        "What is trained: names of arms, classical (a few good baselines), or the groups baselines, lm, all.",
        "study",
        panel=STUDY,
    )
    origin: str = setting(
        "origin", "Column that says where in its paper a reaction stands (default origin).", "study", panel=STUDY
    )
    published: str = setting("Scope", "What it says of the published tables (default Scope).", "study", panel=STUDY)
    tested: str = setting(
        "Optimisation", "What it says of the rows to test on (default Optimisation).", "study", panel=STUDY
    )
    paper: str = setting("doi", "Column that names the paper (default doi).", "study", panel=STUDY)
    success: float = setting(20.0, "Yield in percent from which on a reaction is a success.", "study", panel=STUDY)
    folds: int = setting(5, "Into how many folds the papers are dealt.", "study", panel=STUDY, least=2, quick=3)
    seeds: int = setting(
        3,
        "Training seeds of the classical models; each draws its own training rows.",
        "study",
        panel=STUDY,
        least=1,
        quick=1,
    )
    lm_seeds: int = setting(1, "Training seeds of the language model.", "study", panel=STUDY, least=1)
    rows: int = setting(
        0,
        "Train on at most this many rows; 0 for as many as all three sets have.",
        "study",
        panel=STUDY,
        least=0,
        quick=200,
    )
    lm_steps: int = setting(
        150,
        "Optimiser steps of each training of the language model, 8 rows each.",
        "study",
        panel=STUDY,
        least=1,
        quick=60,
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check_success(self.success)
        if self.published == self.tested:
            raise InputError(f"published and tested are both {self.tested!r}; they must differ")
