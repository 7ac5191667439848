"""The settings of the study of steps off the manifold of the data."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.errors import unknown
from pipeline.settings.study import StudySettings, study_setting
from pipeline.studies.off_manifold.models import MODELS
from pipeline.studies.oracle import oracle_setting, seconds_setting


@dataclass(frozen=True)
class Settings(StudySettings):
    """Under ``stress: off-manifold:`` in a YAML file."""

    models: tuple[str, ...] = study_setting(
        tuple(MODELS), "What is moved: a network over descriptors (mlp), the language model (lm-head)."
    )
    split: tuple[str, ...] = study_setting(("random",), "One split as for [b]run[/b], a hold-out.")
    rows: int = study_setting(300, "Training rows; 0 for all.", least=0, quick=100)
    points: int = study_setting(60, "Training molecules at which steps are made.", least=10, quick=30)
    seeds: int = study_setting(4, "Models of each kind, trained on the same rows.", least=3, quick=3)
    oracle: str = oracle_setting()
    arms: tuple[str, ...] = study_setting(
        ("ridge", "extratrees", "gp", "lm-head"),
        "Arms as for [b]run[/b], of which steps from molecule to molecule are asked where there is an oracle.",
        quick=("ridge", "extratrees"),
    )
    seconds: float = seconds_setting()

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in self.models:
            if name not in MODELS:
                raise unknown("model", name, MODELS)
        self.check_one_split(self.split)
