"""Settings that follow from the number of training rows."""

from __future__ import annotations

from pipeline.lm.training import TrainingSettings

TRAINED_LAYERS = 10


def training_settings(n_rows: int, steps: int | None = None, **overrides: float) -> TrainingSettings:
    """How long and how hard to train on ``n_rows`` rows."""
    if steps is None:
        steps = 480
    return TrainingSettings(steps=steps, **overrides)  # type: ignore[arg-type]
