"""The settings of the study of published tables."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.errors import InputError
from pipeline.settings.study import StudySettings, arms_setting, lm_steps_setting, study_setting, success_setting


@dataclass(frozen=True)
class PublishedSettings(StudySettings):
    """Under ``stress: published-only:`` in a YAML file. Rows of one paper are never on both sides."""

    arms: tuple[str, ...] = arms_setting()
    origin: str = study_setting("origin", "Column that says where in its paper a reaction stands (default origin).")
    published: str = study_setting("Scope", "What it says of the published tables (default Scope).")
    tested: str = study_setting("Optimisation", "What it says of the rows to test on (default Optimisation).")
    paper: str = study_setting("doi", "Column that names the paper (default doi).")
    success: float = success_setting()
    folds: int = study_setting(5, "Into how many folds the papers are dealt.", least=2, quick=3)
    seeds: int = study_setting(
        3, "Training seeds of the classical models; each draws its own training rows.", least=1, quick=1
    )
    lm_seeds: int = study_setting(1, "Training seeds of the language model.", least=1)
    rows: int = study_setting(
        0, "Train on at most this many rows; 0 for as many as all three sets have.", least=0, quick=200
    )
    lm_steps: int = lm_steps_setting(quick=60)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check_success(self.success)
        if self.published == self.tested:
            raise InputError(f"published and tested are both {self.tested!r}; they must differ")
