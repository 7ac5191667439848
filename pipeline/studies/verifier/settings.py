"""The settings of the study of verifiers."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.errors import InputError
from pipeline.studies.settings import StudySettings


@dataclass(frozen=True)
class VerifierSettings(StudySettings):
    """The settings of the experiment, under ``stress: verifier:`` in a YAML file.

    Attributes
    ----------
    arms : tuple of str
        The verifiers: ``baselines``, ``lm``, ``all``, or names of arms. The generator is always a language model.
    held_out : str
        The component whose values are held out.
    propose : tuple of str
        The components to propose.
    success : float
        A yield from which on a reaction is a success, in percent.
    folds : int
        Into which the values of the held-out component are dealt.
    seeds : int
        Training seeds; each draws its own training rows.
    questions : int
        At most so many reactions to propose conditions for, per held-out value; drawn by seed; 0 for all.
    temperatures : tuple of float
        At which the generator is sampled.
    samples : int
        Per reaction and temperature.
    doses : tuple of float
        Percent of the failures of the training rows that verifiers are trained with.
    top : tuple of int
        Proposals of a reaction that are counted, the first by filter.
    positives : int
        Successes that the generator and the verifiers are trained on; 0 for all. Where those with decoys must do with
        fewer, verifiers with as few successes and real failures are trained as well.
    generator_steps, lm_steps : int
        Optimiser steps of the generator and of a verifier that is a language model, 8 rows each.
    """

    arms: tuple[str, ...] = ("all",)
    held_out: str = "aryl_halide"
    propose: tuple[str, ...] = ("ligand", "base")
    success: float = 20.0
    folds: int = 3
    seeds: int = 1
    questions: int = 4
    temperatures: tuple[float, ...] = (0.7, 1.0, 1.3)
    samples: int = 2
    doses: tuple[float, ...] = (1.0, 10.0, 100.0)
    top: tuple[int, ...] = (1, 3)
    positives: int = 300
    generator_steps: int = 150
    lm_steps: int = 150

    def __post_init__(self) -> None:
        self.check_success(self.success)
        self.check_counts("folds", least=2)
        self.check_counts("seeds", "samples", "generator_steps", "lm_steps")
        self.check_counts("questions", "positives", least=0)
        self.check_doses(self.doses)
        for temperature in self.temperatures:
            if not 0 < temperature <= 5:
                raise InputError(f"a temperature is {temperature}; it must be above 0 and up to 5")
        if not self.propose or self.held_out in self.propose:
            raise InputError(f"propose is {', '.join(self.propose)!r}; name components other than {self.held_out!r}")
        if min(self.top) < 1:
            raise InputError(f"top is {min(self.top)}; it must be at least 1")


QUICK = {
    "arms": ("drfp-rf",),
    "folds": 2,
    "questions": 1,
    "doses": (100,),
    "positives": 150,
    "lm_steps": 60,
}
