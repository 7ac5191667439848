"""The settings of the study of edges."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.errors import InputError
from pipeline.settings.study import StudySettings, study_setting
from pipeline.studies.oracle import oracle_setting, seconds_setting
from pipeline.tables.kinds import COMPOSITIONS, MOLECULES, REACTIONS, TEXTS

FEW_ARMS = {  # of each kind of rows, as different as they come
    MOLECULES: ("ridge", "extratrees", "gp", "lm-head"),
    REACTIONS: ("components-rf", "components-gp", "lm-head"),
    COMPOSITIONS: ("fractions-ridge", "magpie-extratrees", "magpie-gp", "lm-head"),
    TEXTS: ("word-ridge", "lm-head"),
}
LEAST_EDGE, MOST_EDGE = 50, 95


@dataclass(frozen=True)
class Settings(StudySettings):
    """Under ``stress: edges:`` in a YAML file."""

    arms: tuple[str, ...] = study_setting(
        (), "Arms as for [b]run[/b]; lm-head and a few baselines of the kind of rows if not given."
    )
    directions: int = study_setting(
        3,
        "Directions of the descriptors with much variance, as many with little, as many at random, and as many with "
        "permuted scores; 0 for none.",
        least=0,
        quick=1,
    )
    models: int = study_setting(
        6,
        "Models of each arm, direction and edge, each with a seed and 80 % of the training rows of its own.",
        least=3,
        quick=3,
    )
    edge: float = study_setting(
        70.0, "Percentile of the training labels beyond which none is trained on; mirrored for the lower end."
    )
    test_size: float = study_setting(0.33, "Share of rows that are never trained on; all tests are on these.")
    oracle: str = oracle_setting()
    made: int = study_setting(
        40,
        "Molecules that are made far above the labels, far below, and as many among them, where there is an oracle.",
        least=8,
        quick=20,
    )
    seconds: float = seconds_setting()

    def __post_init__(self) -> None:
        super().__post_init__()
        if not LEAST_EDGE <= self.edge <= MOST_EDGE:
            raise InputError(f"edge is {self.edge:g}; it must be a percentile from {LEAST_EDGE} to {MOST_EDGE}")
