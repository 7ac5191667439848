"""The settings of learning curves."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.settings.study import StudySettings, study_setting
from pipeline.tables.kinds import COMPOSITIONS, MOLECULES, REACTIONS, TEXTS

FEW_ARMS = {  # of each kind of rows
    MOLECULES: ("knn", "ridge", "ensemble", "lm-head"),
    REACTIONS: ("onehot-rf", "drfp-rf", "reaction-ensemble", "lm-head"),
    COMPOSITIONS: ("fractions-ridge", "magpie-extratrees", "magpie-ensemble", "lm-head"),
    TEXTS: ("word-ridge", "ngram-ridge", "lm-head"),
}


@dataclass(frozen=True)
class Settings(StudySettings):
    """Under ``study: learning-curve:`` in a YAML file."""

    arms: tuple[str, ...] = study_setting(
        (), "Arms as for [b]run[/b]; lm-head and a few baselines of the kind of rows if not given."
    )
    split: tuple[str, ...] = study_setting(("random",), "Splits as for [b]run[/b], each a hold-out with one test set.")
    sizes: tuple[int, ...] = study_setting(
        (10, 20, 50, 100, 200, 500), "Numbers of training rows.", least=2, quick=(10, 30, 100)
    )
    seeds: int = study_setting(
        3, "Training seeds; each puts the training rows in an order of its own.", least=1, quick=1
    )
    more: int = study_setting(100, "Further measurements to look ahead at.", least=1)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check_sizes(self.sizes)
