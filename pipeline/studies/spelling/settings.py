"""The settings of the study of spellings."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.errors import InputError, unknown
from pipeline.features.notations import MOST_SPELLINGS
from pipeline.settings.study import StudySettings, study_setting
from pipeline.studies.spelling.trainings import TRAININGS, USUAL


@dataclass(frozen=True)
class Settings(StudySettings):
    """Under ``stress: spelling:`` in a YAML file."""

    arms: tuple[str, ...] = study_setting(
        ("lm-head", "ngram-ridge", "rf-bits"),
        "Arms as for [b]run[/b]; those that read no text are the control.",
    )
    trainings: tuple[str, ...] = study_setting(
        tuple(TRAININGS),
        "How arms that read text are trained; the usual way is always there.",
        quick=(USUAL, "spellings"),
    )
    split: tuple[str, ...] = study_setting(("random",), "Splits as for [b]run[/b], each a hold-out with one test set.")
    spellings: int = study_setting(
        5, "Other SMILES of each test molecule, and SMILES of each training molecule in the cure.", least=2, quick=3
    )
    rows: int = study_setting(300, "Training rows, drawn by each seed; 0 for all.", least=0, quick=100)
    seeds: int = study_setting(3, "Training seeds; each draws its own training rows and spellings.", least=1, quick=1)

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in self.trainings:
            if name not in TRAININGS:
                raise unknown("training", name, TRAININGS)
        if self.spellings > MOST_SPELLINGS:
            raise InputError(f"spellings is {self.spellings}; it is at most {MOST_SPELLINGS}")
