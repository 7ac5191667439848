"""The settings of the study of verifiers."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.errors import InputError
from pipeline.settings.study import StudySettings, arms_setting, lm_steps_setting, study_setting, success_setting


@dataclass(frozen=True)
class ClosedWorldSettings(StudySettings):
    """Of studies in which conditions are proposed for held-out reactions of a table that knows the truth."""

    arms: tuple[str, ...] = arms_setting(quick=("drfp-rf",))
    held_out: str = study_setting(
        "aryl_halide",
        "Component whose values are held out (default aryl_halide), or several joined by + of which combinations are.",
    )
    propose: tuple[str, ...] = study_setting(("ligand", "base"), "Components to propose (default ligand,base).")
    success: float = success_setting()
    folds: int = study_setting(3, "Into how many folds the held-out values are dealt.", least=2, quick=2)
    seeds: int = study_setting(1, "Training seeds; each draws its own training rows.", least=1)
    questions: int = study_setting(
        4, "Reactions to propose conditions for, per held-out value, drawn by seed; 0 for all.", least=0, quick=1
    )
    positives: int = study_setting(300, "Successes to train on; 0 for all.", least=0, quick=150)
    generator_steps: int = study_setting(150, "Optimiser steps of the generator, 8 rows each.", least=1)
    lm_steps: int = lm_steps_setting(quick=60, what="a verifier that is a language model")

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check_success(self.success)
        if not self.propose or set(self.held_out_components) & set(self.propose):
            raise InputError(f"propose is {', '.join(self.propose)!r}; name components other than {self.held_out!r}")

    @property
    def held_out_components(self) -> list[str]:
        return self.held_out.split("+")

    @property
    def held_out_name(self) -> str:
        """In words."""
        return " and ".join(name.replace("_", " ") for name in self.held_out_components)

    @property
    def wanted_name(self) -> str:
        """What is proposed, in words."""
        return " and ".join(name.replace("_", " ") for name in self.propose)


@dataclass(frozen=True)
class VerifierSettings(ClosedWorldSettings):
    """Under ``stress: verifier:`` in a YAML file. The generator is always a language model.

    Where verifiers with decoys must do with fewer successes, such with as few successes and real failures are trained
    as well.
    """

    temperatures: tuple[float, ...] = study_setting((0.7, 1.0, 1.3), "At which the generator is sampled.")
    samples: int = study_setting(2, "Proposals per reaction and temperature.", least=1)
    doses: tuple[float, ...] = study_setting(
        (1.0, 10.0, 100.0),
        "Doses of failures for the verifiers, in percent of the failures per success of all training rows.",
        quick=(100,),
    )
    top: tuple[int, ...] = study_setting(
        (1, 3), "So many proposals of a reaction are counted, the first by filter.", least=1
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check_doses(self.doses)
        for temperature in self.temperatures:
            if not 0 < temperature <= 5:
                raise InputError(f"a temperature is {temperature}; it must be above 0 and up to 5")
