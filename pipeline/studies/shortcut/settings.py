"""The settings of the study of a planted marker."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.errors import InputError, unknown
from pipeline.settings.study import StudySettings, study_setting
from pipeline.studies.shortcut.markers import MARKERS

NULL = 0.5  # the strength of a marker that goes with nothing


@dataclass(frozen=True)
class Settings(StudySettings):
    """Under ``stress: shortcut:`` in a YAML file."""

    arms: tuple[str, ...] = study_setting(
        (), "Arms as for [b]run[/b]; lm-head and a few baselines of the kind of rows if not given."
    )
    markers: tuple[str, ...] = study_setting(
        (), f"What is planted: {', '.join(MARKERS)}; all that the table allows if not given."
    )
    strength: tuple[float, ...] = study_setting(
        (0.5, 0.8, 0.95),
        "Chances with which a training row above the median carries the marker, and one below does not; 0.5, which "
        "goes with nothing, is always there.",
        quick=(0.5, 0.95),
    )
    split: tuple[str, ...] = study_setting(("random",), "One split as for [b]run[/b], a hold-out.")
    rows: int = study_setting(0, "Training rows, drawn by seed; all of them if 0.", least=0, quick=100)
    seeds: int = study_setting(3, "Training seeds; each deals the marker to other training rows.", least=1, quick=2)

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in self.markers:
            if name not in MARKERS:
                raise unknown("marker", name, MARKERS)
        for strength in self.strength:
            if not NULL <= strength <= 1:
                raise InputError(f"a strength is {strength}; strengths are chances from {NULL} to 1")
        if max(self.strength) == NULL:
            raise InputError(f"strength is {NULL} alone, a marker that goes with nothing; name one above it")
        if 0 < self.rows < LEAST_ROWS:
            raise InputError(f"rows is {self.rows}; it must be 0, for all, or at least {LEAST_ROWS}")
        self.check_one_split(self.split)

    @property
    def strengths(self) -> tuple[float, ...]:
        """Those that are planted, in order."""
        return tuple(sorted({NULL, *self.strength}))


LEAST_ROWS = 10
