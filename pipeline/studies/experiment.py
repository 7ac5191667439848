"""What a study asks of a table, under the names that its work and its conclusion use."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

from pipeline.runs.context import Context
from pipeline.settings.study import StudySettings
from pipeline.tables.table import Table

Asked = TypeVar("Asked", bound=StudySettings)


@dataclass(frozen=True)
class StudyExperiment(Generic[Asked]):
    """The context of a study by its parts; each study adds what it asks."""

    context: Context

    @property
    def settings(self) -> Asked:
        found: Asked = self.context.settings
        return found

    @property
    def table(self) -> Table:
        return self.context.table

    @property
    def seed(self) -> int:
        return self.context.config.seed

    @property
    def learners(self) -> tuple[str, ...]:
        """What is trained."""
        return self.context.arms
