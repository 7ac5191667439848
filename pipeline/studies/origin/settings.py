"""The settings of the study of origins."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.settings.study import StudySettings, study_setting
from pipeline.tables.kinds import COMPOSITIONS, MOLECULES, REACTIONS, TEXTS

ORIGIN_ARMS = {  # of each kind of rows
    MOLECULES: ("extratrees", "rf-bits"),
    REACTIONS: ("onehot-rf", "drfp-rf"),
    COMPOSITIONS: ("magpie-extratrees",),
    TEXTS: ("word-ridge",),
}


@dataclass(frozen=True)
class Settings(StudySettings):
    """Under ``stress: origin:`` in a YAML file."""

    origin: str = study_setting(
        "",
        "Column that says where a row comes from, such as paper, laboratory, assay or date (by year); that of a "
        "built-in table, or the one that is named so, if not given.",
    )
    arms: tuple[str, ...] = study_setting(
        (),
        "Arms as for [b]run[/b]; the first one is compared with the source. A baseline or two of the kind of rows if "
        "not given.",
    )
    least_rows: int = study_setting(20, "Fewest rows of a source; smaller sources are left out.", least=2)
    folds: int = study_setting(5, "Folds, of random rows and of whole sources.", least=2, quick=3)
    repeats: int = study_setting(
        3, "How often the rows are dealt to folds anew, each time with other training seeds.", least=1, quick=1
    )
