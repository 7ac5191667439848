"""The settings of the study of verifiers."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.errors import InputError
from pipeline.settings.fields import setting
from pipeline.settings.study import STUDY, StudySettings


@dataclass(frozen=True)
class VerifierSettings(StudySettings):
    """Under ``stress: verifier:`` in a YAML file. The generator is always a language model.

    Where verifiers with decoys must do with fewer successes, such with as few successes and real failures are trained
    as well.
    """

    arms: tuple[str, ...] = setting(
        ("classical", "lm-head"),
        "What is trained: names of arms, classical (a few good baselines), or the groups baselines, lm, all.",
        "study",
        panel=STUDY,
        quick=("drfp-rf",),
    )
    held_out: str = setting(
        "aryl_halide", "Component whose values are held out (default aryl_halide).", "study", panel=STUDY
    )
    propose: tuple[str, ...] = setting(
        ("ligand", "base"), "Components to propose (default ligand,base).", "study", panel=STUDY
    )
    success: float = setting(20.0, "Yield in percent from which on a reaction is a success.", "study", panel=STUDY)
    folds: int = setting(
        3, "Into how many folds the held-out values are dealt.", "study", panel=STUDY, least=2, quick=2
    )
    seeds: int = setting(1, "Training seeds; each draws its own training rows.", "study", panel=STUDY, least=1)
    questions: int = setting(
        4,
        "Reactions to propose conditions for, per held-out value, drawn by seed; 0 for all.",
        "study",
        panel=STUDY,
        least=0,
        quick=1,
    )
    temperatures: tuple[float, ...] = setting(
        (0.7, 1.0, 1.3), "At which the generator is sampled.", "study", panel=STUDY
    )
    samples: int = setting(2, "Proposals per reaction and temperature.", "study", panel=STUDY, least=1)
    doses: tuple[float, ...] = setting(
        (1.0, 10.0, 100.0),
        "Doses of failures for the verifiers, in percent of the failures per success of all training rows.",
        "study",
        panel=STUDY,
        quick=(100,),
    )
    top: tuple[int, ...] = setting(
        (1, 3), "So many proposals of a reaction are counted, the first by filter.", "study", panel=STUDY, least=1
    )
    positives: int = setting(300, "Successes to train on; 0 for all.", "study", panel=STUDY, least=0, quick=150)
    generator_steps: int = setting(150, "Optimiser steps of the generator, 8 rows each.", "study", panel=STUDY, least=1)
    lm_steps: int = setting(
        150,
        "Optimiser steps of a verifier that is a language model, 8 rows each.",
        "study",
        panel=STUDY,
        least=1,
        quick=60,
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check_success(self.success)
        self.check_doses(self.doses)
        for temperature in self.temperatures:
            if not 0 < temperature <= 5:
                raise InputError(f"a temperature is {temperature}; it must be above 0 and up to 5")
        if not self.propose or self.held_out in self.propose:
            raise InputError(f"propose is {', '.join(self.propose)!r}; name components other than {self.held_out!r}")
