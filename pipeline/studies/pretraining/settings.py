"""The settings of the study of pretraining."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.errors import unknown
from pipeline.settings.study import StudySettings, study_setting
from pipeline.studies.pretraining.starts import ALWAYS, STARTS


@dataclass(frozen=True)
class Settings(StudySettings):
    """Under ``study: pretraining:`` in a YAML file."""

    starts: tuple[str, ...] = study_setting(
        tuple(STARTS),
        "From what the language model is trained; the published weights, random ones and permuted labels are always "
        "there.",
        quick=ALWAYS,
    )
    split: tuple[str, ...] = study_setting(("random",), "One split as for [b]run[/b], a hold-out.")
    sizes: tuple[int, ...] = study_setting((20, 60, 200), "Numbers of training rows.", least=2, quick=(10, 40))
    seeds: int = study_setting(
        3, "Training seeds; each draws its own training rows and takes away another way.", least=1, quick=1
    )
    probed: int = study_setting(
        300, "Training rows on which every layer is asked what it knows; 0 for none.", least=0, quick=60
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in self.starts:
            if name not in STARTS:
                raise unknown("start", name, STARTS)
        self.check_one_split(self.split)
        self.check_sizes(self.sizes)
