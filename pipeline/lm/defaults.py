"""Settings that follow from the arm and the number of training rows, with the evidence for them.

Mean absolute error on validation parts of the training rows (SmolLM2-135M, bf16; the test rows were not looked at);
FreeSolv with 411 training rows (kcal/mol), Photoswitch with 245 (nm), seeds 0 and 1 of both the validation part and the
training; `ensemble` on the same rows: 0.62 0.50, 16.3 16.4. `scripts/ablate_lm.py` repeats such runs.

    lm-head                                              steps  FreeSolv    Photoswitch
    last 10 of 30 layers trained, mean over tokens       240    1.15 0.99   18.4 20.6
    first 10 layers, all trained                         240    1.14 1.02   17.3 19.4
    first 5 layers, all trained                          240    1.22 0.93   17.8 18.6
    first 5, each symbol in tokens of its own            480    1.02 0.63   17.4 16.5
    first 3, the same                                    480    1.03 0.74   18.9 16.0
    first 5, the same, sum over tokens                   480    0.73 0.55   19.9 18.7
    first 5, the same, sum by square root of length      480    0.85 0.62   17.8 18.8

The upper layers add nothing that the head can use, and cost most of the time. How a molecule is cut into tokens and
whether the head can add up contributions matter more than all else that was tried (docs/engine.md has the rest).

The last two of these choices again, with the steps below (446, 372 and, for the 715 rows of ESOL, 542), seeds 0, 1, 2:

                          FreeSolv        Photoswitch       ESOL (log mol/L)
    sum over tokens       .74 .57 .69     17.5 18.6 22.5    .53 .50 .48
    mean over tokens      .95 .76 .78     17.8 17.5 20.4    .49 .52 .44
    `ensemble`            .62 .51 .43     16.3 16.2 20.3    .39 .40 .37

The geometric mean of the nine ratios to `ensemble` is 1.23 for the sum (1.07 to 1.61) and 1.29 for the mean (1.00 to
1.84): the sum is the default, and for a property that does not grow with the molecule the mean can be better.

Starting from adapters that know RDKit's descriptors (`pipeline.lm.pretrained`) brought the sum from 1.23 to 1.12:

    sum, that start       .72 .49 .65     17.9 13.8 19.1    .48 .48 .48

Two classes, cut at the median of the training rows, from the same start; mean negative log-probability and accuracy
on validation rows of FreeSolv and ESOL, means over seeds 0, 1, 2 of both:

    training rows                                        50            200
    fine-tuned, cross-entropy                            1.72  .746    0.61  .856
    fine-tuned, labels smoothed by 0.1                   0.52  .766
    logistic regression on the start's features          0.47  .795    0.30  .878
    fine-tuned from that, labels smoothed                0.48  .776    0.31  .863
    halfway between the last two                         0.47  .785    0.28  .894
    the same, penalty of the regression fixed            0.47  .776    0.30  .888
    `ensemble`                                           0.34  .855    0.21  .922

`lm-text`, 360 steps, the last 10 layers trained, seeds 0, 1, 2 (symbols in tokens of their own, which one seed does not
show to help it):

    layers used   FreeSolv         Photoswitch       ESOL             ratio to all layers
    30            1.10 .86 .99     21.0 25.3 23.5    .65 .69 .79      1
    20            1.25 1.10        22.0 20.4                          1.05 (0.77 to 1.44)
    15            1.06 .99 .96     19.6 21.0 28.6    .63 .64 .62      0.96 (0.87 to 1.07)
    10            0.99 .93 1.03    18.0 29.6 31.0    .65 .58 .63      0.99 (0.87 to 1.12)
    5, all        1.16 1.03        28.8 24.8

Ten is the default for its speed. Steps and learning rate were not tried again with ten. With all 30 layers the mean of
the distribution was the better point estimate than the median in 5 of 6 runs, and more than 360 steps made it worse on
B3DB logBB (0.446 against 0.421). Where more than half of the training rows have one value the median is taken: of 736
validation rows of band_gap, 53 % of whose gaps are 0, it has 0.71 eV and the mean 0.90 (one seed).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

POOLINGS = {"mean": 0.0, "sqrt": 0.5, "sum": 1.0}  # the power of the number of tokens that the mean is multiplied by
WRITER = "writer"  # not an arm: all layers, the last 10 tuned, to write conditions or to say how likely a reaction is
# Layers used, from the first (None: all), and how many of them, from the last, may carry adapters. `lm-frozen` has no
# adapters; it is cut where WRITER is, so that the two share an engine.
LAYERS: dict[str, tuple[int | None, int]] = {
    "lm-frozen": (None, 10),
    "lm-head": (5, 5),
    "lm-text": (10, 10),
    WRITER: (None, 10),
}
TEXT_STEPS = 360
HEAD_STEPS_AT_300 = 400
HEAD_GROWTH = 0.35
MIN_STEPS, MAX_STEPS = 160, 1_200
LABEL_SMOOTHING = 0.1
KEPT_OF_START = 0.5  # of the weights, where a head for classes starts from a linear classifier


@dataclass(frozen=True)
class TrainingSettings:
    """How an adapter is trained; the defaults are those of this module.

    ``agreement`` is the weight of the disagreement of a head about two spellings of one row, which follow each other.
    """

    steps: int
    learning_rate: float = 1e-3
    batch_size: int = 16
    rank: int = 16
    alpha: int = 32
    dropout: float = 0.0
    warmup: float = 0.06
    weight_decay: float = 0.01
    clip: float = 1.0
    pooling: str = "sum"
    agreement: float = 0.0

    @property
    def together(self) -> int:
        """How many rows that follow each other stand in one batch: two where they are to agree."""
        return 2 if self.agreement else 1


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
