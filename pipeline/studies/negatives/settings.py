"""The settings of the study of negatives."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.errors import InputError
from pipeline.studies.settings import StudySettings


@dataclass(frozen=True)
class NegativesSettings(StudySettings):
    """The settings of the experiment, under ``stress: negatives:`` in a YAML file.

    Attributes
    ----------
    arms : tuple of str
        What is trained: ``baselines``, ``lm``, ``all``, or names of arms.
    split : tuple of str
        Each has one fixed test set.
    success : float
        A yield from which on a reaction is a success, in percent.
    sensitivity : tuple of float
        Other thresholds of success at which the classical models are trained and tested as well.
    seeds : int
        Training seeds; each draws its own training rows.
    doses, lm_doses : tuple of float
        Percent of the failures of the training rows, for the classical models and the language model.
    positives : int
        Successes to train on; 0 for all. With a language model, classical models are shown on all rows as well. Where
        a way of training must do with fewer, its control with real failures does too.
    test_rows : int
        At most this many test rows, drawn by seed; 0 for all.
    base_rate : float
        Share of successes that the user expects where the model will be used; 0 if not stated.
    published_from, published_width : float
        A reaction is published with probability ``1 / (1 + exp(-(yield - from) / width))``, yields in percent.
    lm_steps : int
        Optimiser steps of each training of the language model, 8 rows each.
    lm_extras : bool
        Also train the language model to write reactions (each seed), and with the other decoys, unlabelled rows,
        published rows and a fixed number of rows (first seed).
    """

    arms: tuple[str, ...] = ("all",)
    split: tuple[str, ...] = ("random",)
    success: float = 20.0
    sensitivity: tuple[float, ...] = (5.0, 50.0)
    seeds: int = 3
    doses: tuple[float, ...] = (1.0, 5.0, 10.0, 25.0, 50.0, 100.0)
    lm_doses: tuple[float, ...] = (1.0, 10.0, 100.0)
    positives: int = 300
    test_rows: int = 300
    base_rate: float = 0.0
    published_from: float = 50.0
    published_width: float = 10.0
    lm_steps: int = 150
    lm_extras: bool = True

    def __post_init__(self) -> None:
        for threshold in (self.success, *self.sensitivity):
            self.check_success(threshold)
        self.check_counts("seeds", "lm_steps")
        self.check_doses((*self.doses, *self.lm_doses))
        if not 0 <= self.base_rate < 1:
            raise InputError(f"base_rate is {self.base_rate}; it is a share of successes, between 0 and 1")
        self.check_counts("positives", "test_rows", least=0)


QUICK = {
    "seeds": 1,
    "lm_doses": (10, 100),
    "doses": (1, 10, 100),
    "positives": 150,
    "test_rows": 200,
    "lm_steps": 100,
    "lm_extras": False,
    "sensitivity": (),
}
