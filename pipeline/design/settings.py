"""The settings of a design."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.errors import InputError, unknown
from pipeline.features.notations import CANONICAL, SELFIES
from pipeline.settings.study import StudySettings, study_setting

LM, ANY, SHUFFLED = "lm", "lm-any", "lm-shuffled"
LM_BY_MODEL, ANY_BY_MODEL = "lm-by-model", "lm-any-by-model"
TRAINING, FRAGMENTS, GENETIC, BY_MODEL = "training", "fragments", "genetic", "genetic-by-model"
ARMS = {
    LM: "a language model tuned on the table to write molecules for a stated value",
    ANY: "the same, tuned and asked without a value",
    SHUFFLED: "control: the same as lm, tuned with the values dealt to other molecules",
    LM_BY_MODEL: "of ten times as many texts by lm, those that the fitted model likes best",
    ANY_BY_MODEL: "of ten times as many texts by lm-any, those that the fitted model likes best",
    TRAINING: "molecules drawn from the table at random",
    FRAGMENTS: "fragments of the table's molecules recombined (BRICS), those taken that the fitted model likes best",
    GENETIC: "a graph genetic algorithm that begins with the table's molecules and is scored by the oracle",
    BY_MODEL: "the same, scored by the fitted model; the oracle looks at the best of each generation",
}
RANKED = {LM_BY_MODEL: LM, ANY_BY_MODEL: ANY}  # arms that take the best of what another writes
WRITERS = (LM, ANY, SHUFFLED, *RANKED)
CHOSEN_BY_MODEL = (*RANKED, FRAGMENTS, BY_MODEL)  # arms in which the fitted model chooses what is checked
LEAST_CALLS = 10
BY_TRUTH, OF_MODEL, NEAR, OF_HITS = "oracle", "model", "model-near", "hits"
GRADIENT = "-grpo"  # behind the name of a reward: by policy gradient, and not by expert iteration
REWARDS = {
    BY_TRUTH: "accepted by the oracle",
    f"{BY_TRUTH}{GRADIENT}": "accepted by the oracle, trained by policy gradient (GRPO)",
    OF_MODEL: "accepted by the fitted model",
    f"{OF_MODEL}{GRADIENT}": "accepted by the fitted model, trained by policy gradient (GRPO)",
    NEAR: "accepted by the fitted model, and within its domain",
    OF_HITS: "as like the table's hits as these are to each other: nothing is known of what is no hit",
}


@dataclass(frozen=True)
class Settings(StudySettings):
    """Under ``study: design:`` in a YAML file."""

    want: str = study_setting(
        "", "The value wanted: 2.0, a range (1.8 to 2.2), or a bound (>-1, <3); in the units of the table or others."
    )
    tolerance: float = study_setting(
        0.0,
        "How far from a single value a hit may be, in the units of --want; a quarter of the standard deviation if "
        "not given.",
        least=0,
    )
    n: int = study_setting(
        100, "Molecules of each arm that are checked: calls of the oracle.", least=LEAST_CALLS, quick=20
    )
    oracle: str = study_setting(
        "",
        "What computes the truth: xtb_gap, logp, or your function as MODULE:FUNCTION; none unless the table has one.",
    )
    seconds: float = study_setting(30.0, "Longest time of the oracle for one molecule.", least=0.1)
    model_of: str = study_setting(
        "", "Folder of a fitted model that predicts the property; one is fitted if not given."
    )
    judge: str = study_setting("ensemble", "Arm that is fitted to predict the property.", quick="extratrees")
    arms: tuple[str, ...] = study_setting(tuple(ARMS), f"Which ways to design: {', '.join(ARMS)}.")
    rows: int = study_setting(1000, "Rows of the table that are used, drawn by seed; all if 0.", least=0, quick=300)
    seeds: int = study_setting(3, "Seeds of the arms without a language model.", least=1, quick=2)
    lm_seeds: int = study_setting(1, "Training seeds of the language model.", least=1)
    generator_steps: int = study_setting(
        400, "Optimiser steps of each training of the language model, 16 rows each.", least=1, quick=100
    )
    temperatures: tuple[float, ...] = study_setting((0.7, 1.0), "Temperatures of sampling, in turn.")
    notation: str = study_setting(
        CANONICAL,
        "How the language model writes molecules: canonical (SMILES) or selfies.",
        choices=(CANONICAL, SELFIES),
    )
    reinforce: bool = study_setting(
        False,
        "Train the language model further on what it writes and a verifier accepts: expert iteration, or GRPO.",
    )
    rewards: tuple[str, ...] = study_setting(
        tuple(REWARDS), f"What accepts molecules, with --reinforce: {', '.join(REWARDS)}.", quick=(BY_TRUTH, OF_MODEL)
    )
    rounds: int = study_setting(3, "Rounds of writing and training, with --reinforce.", least=1, quick=2)
    samples: int = study_setting(256, "Molecules written in each round, with --reinforce.", least=16, quick=64)
    contains: tuple[str, ...] = study_setting((), "SMARTS that every design must match.")
    max_weight: float = study_setting(0.0, "Largest molar mass in g/mol; any if not given.", least=0)
    elements: tuple[str, ...] = study_setting((), "Elements that may occur, such as C,N,O,F; all if not given.")
    alerts: tuple[str, ...] = study_setting((), "Filter catalogues of RDKit that must not match, such as PAINS,BRENK.")
    max_sa: float = study_setting(0.0, "Largest SA score, from 1 (easy to make) to 10; any if not given.", least=0)

    def __post_init__(self) -> None:
        super().__post_init__()
        for arm in self.arms:
            if arm not in ARMS:
                raise unknown("arm", arm, ARMS)
        for reward in self.rewards:
            if reward not in REWARDS:
                raise unknown("reward", reward, REWARDS)
        for temperature in self.temperatures:
            if not 0 < temperature <= 5:
                raise InputError(f"a temperature is {temperature}; temperatures lie above 0 and up to 5")
        if 0 < self.rows < LEAST_ROWS:
            raise InputError(f"rows is {self.rows}; it must be 0, for all, or at least {LEAST_ROWS}")


LEAST_ROWS = 30
