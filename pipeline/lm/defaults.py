"""Settings that follow from the number of training rows, with the evidence for them.

Validation parts of the training rows (`scripts/settle_lm_defaults.py`, SmolLM2-135M, top 10 of 30
layers, bf16, one seed each; the test rows were not looked at), mean absolute error:

    table        n    steps  rate   head   text (mean of the distribution; its median)
    freesolv     411  240    1e-3   1.18   1.28 (1.28)
    freesolv     411  480    1e-3   1.09   1.23 (1.27)
    freesolv     411  360    5e-4   1.02   1.28 (1.28)
    freesolv     411  360    2e-3   1.07   1.14 (1.30)
    b3db-logbb   677  360    1e-3   0.430  0.421 (0.433)
    b3db-logbb   677  720    1e-3   0.406  0.446 (0.467)

With one seed, differences under about a tenth say little. What they do say: the head gains from
more steps on more rows, text does not, and the mean of the text distribution is the better point
estimate. The learning rate matters less than either.
"""

from __future__ import annotations

from typing import Any

from pipeline.lm.training import TrainingSettings

# Layers used, from the first, and how many of them, from the last, carry adapters.
LAYERS: dict[str, tuple[int | None, int]] = {"lm-frozen": (None, 10), "lm-head": (5, 5), "lm-text": (None, 10)}
TEXT_STEPS = 360
HEAD_STEPS_AT_300 = 400
HEAD_GROWTH = 0.35
MIN_STEPS, MAX_STEPS = 160, 1_200


def training_settings(n_rows: int, arm: str, steps: int | None = None, **overrides: Any) -> TrainingSettings:
    """How long and how hard to train.

    Parameters
    ----------
    n_rows : int
        Number of training rows.
    arm : {"lm-head", "lm-text"}
    steps : int, optional
        Optimiser steps, if not those that follow from the rows.
    """
    if steps is None:
        growing = round(HEAD_STEPS_AT_300 * (n_rows / 300) ** HEAD_GROWTH)
        steps = min(MAX_STEPS, max(MIN_STEPS, growing))
        if arm == "lm-text":
            steps = min(steps, TEXT_STEPS)
    return TrainingSettings(steps=steps, **overrides)
