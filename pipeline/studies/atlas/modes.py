"""What stands in the atlas: the comparison on shifted splits, and every study of a failure mode."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from pipeline.arms.ladder import is_language_model
from pipeline.reporter import Reporter
from pipeline.runs.context import Context
from pipeline.runs.prepare import prepare as prepare_run
from pipeline.settings.fields import quick_values
from pipeline.settings.run import RunConfig
from pipeline.settings.studies import STUDIES
from pipeline.studies.compare import study as comparison
from pipeline.studies.edges.settings import FEW_ARMS as ARMS_OF_EDGES
from pipeline.studies.learning_curve.settings import FEW_ARMS
from pipeline.studies.study import Study, study_named

EDGES = "edges"
SHIFT = "shift"  # the name of the comparison among the failure modes
QUICK_ROWS = 200  # training rows of the comparison with --quick
QUESTIONS = {SHIFT: "How much worse the arms are on rows that are unlike those they were trained on."} | {
    name: row.question for name, row in STUDIES.items() if row.failure_mode
}


@dataclass(frozen=True)
class Asked:
    """A failure mode as it is asked of a table.

    Attributes
    ----------
    given : mapping
        Settings of its study, as a YAML file holds them.
    """

    name: str
    quick: bool
    given: Mapping[str, Any] = field(default_factory=dict)

    @property
    def study(self) -> Study:
        return comparison if self.name == SHIFT else study_named(self.name)

    def prepare(self, config: RunConfig, reporter: Reporter) -> Context:
        """Everything before training; `InputError` where the table does not allow the question."""
        if self.name != SHIFT:
            study = study_named(self.name)
            said = (quick_values(study.Settings) | self._quick(config) if self.quick else {}) | dict(self.given)
            return study.prepare(config, study.Settings.read(said, f"settings of {self.name}"), reporter)
        arms = FEW_ARMS[config.kind] if config.arms == ("all",) else config.arms
        n_train = config.n_train or (QUICK_ROWS if self.quick else 0)
        return prepare_run(replace(config, arms=arms, n_train=n_train), reporter)

    def _quick(self, config: RunConfig) -> dict[str, Any]:
        """What a first look does without besides: the many models of `edges` are baselines alone."""
        if self.name != EDGES:
            return {}
        return {"arms": tuple(arm for arm in ARMS_OF_EDGES[config.kind] if not is_language_model(arm))}
