"""The settings of the study of rewards."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.errors import unknown
from pipeline.settings.study import lm_steps_setting, study_setting
from pipeline.studies.verifier.settings import ClosedWorldSettings

TRUTH, FAILURES, DECOYS, SUCCESSES = "truth", "failures", "decoys", "successes"
REWARDS = {
    TRUTH: "whether the reaction was measured to succeed",
    FAILURES: "what a verifier says that knows successes and real failures",
    DECOYS: "what a verifier says that knows successes and stand-ins for failures",
    SUCCESSES: "how like the known successes the reaction is: nothing is known of failures",
}


@dataclass(frozen=True)
class Settings(ClosedWorldSettings):
    """Under ``stress: rewards:`` in a YAML file."""

    arms: tuple[str, ...] = study_setting(("drfp-rf",), "The verifier: an arm that is no language model.")
    held_out: str = study_setting(
        "aryl_halide+additive",
        "Components of which combinations are held out, joined by + (default aryl_halide+additive).",
    )
    generator_steps: int = lm_steps_setting(quick=60, what="the generator")
    questions: int = study_setting(1, "Reactions per held-out combination, drawn by seed; 0 for all.", least=0)
    asked: int = study_setting(
        120, "Held-out reactions in all that the generator is tested on, drawn by seed; 0 for all.", least=0, quick=24
    )
    rewards: tuple[str, ...] = study_setting(tuple(REWARDS), f"Rewards: {', '.join(REWARDS)}.", quick=(TRUTH, FAILURES))
    rounds: int = study_setting(4, "Rounds of training by each reward.", least=1, quick=2)
    steps: int = study_setting(6, "Optimiser steps of each round.", least=1, quick=3)
    reactions: int = study_setting(4, "Training reactions of each step, drawn by seed.", least=1, quick=2)
    group: int = study_setting(16, "Proposals for each reaction of a step.", least=2, quick=8)
    rate: float = study_setting(1e-4, "Learning rate of the training by reward.", least=0)
    written: int = study_setting(24, "Proposals for each held-out reaction.", least=2, quick=8)
    best_of: int = study_setting(
        8, "The first so many of them are put in order by a verifier, for comparison.", least=2
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in self.rewards:
            if name not in REWARDS:
                raise unknown("reward", name, REWARDS)
