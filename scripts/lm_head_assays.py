"""Do class weights, or one head for all targets, help `lm-head` on assays with a rare class?

    python scripts/lm_head_assays.py --seeds 2

Three assays of Tox21, named before, 2,500 molecules each; their training rows alone (a random hold-out of a fifth is
never looked at), of which a fifth is held out for validation. On the same rows, from the same start and with the same
steps: a head for the assay; the same with weights by the inverse of the class shares; and a head for all twelve assays
in one training, blanks left out of the loss.
"""

from __future__ import annotations

import argparse
import time
from functools import cache, partial
from typing import Any

import numpy as np
import pandas as pd
import torch
from class_weights import ASSAYS, ROWS
from sklearn.metrics import average_precision_score, log_loss, roc_auc_score

from pipeline.arms.language_model import HeadClassifier, linear_start
from pipeline.lm.defaults import LABEL_SMOOTHING
from pipeline.reporter import Reporter
from pipeline.runs.context import Context, this_machine
from pipeline.runs.fits import new_arm
from pipeline.runs.held_out import inner_folds, training_groups
from pipeline.runs.prepare import load_table, prepare
from pipeline.settings.reading import make_config
from pipeline.tables.catalogue import card
from pipeline.tables.targets import CLASSES


class Weighted(HeadClassifier):
    """`lm-head` whose loss weighs a row by the inverse of the share of its class."""

    def _criterion(self, shares: np.ndarray) -> Any:
        weights = torch.tensor(1 / (len(shares) * shares), dtype=torch.float32)
        return torch.nn.CrossEntropyLoss(weight=weights, label_smoothing=LABEL_SMOOTHING)


class ManyHeads(HeadClassifier):
    """A head with an output for each of several yes-or-no targets, of which some labels are blank."""

    def fit_many(self, X: Any, labels: np.ndarray) -> ManyHeads:
        """Train on labels of shape (n, targets): 1, 0, or NaN where there is none."""
        known = np.isfinite(labels)
        shares = np.nanmean(labels, axis=0)
        wanted = np.where(known, labels, 0.0) * (1 - LABEL_SMOOTHING) + LABEL_SMOOTHING / 2
        targets = torch.tensor(np.stack([wanted, known], axis=2), dtype=torch.float32)
        start, biases = partial(self._starts, labels=labels), np.log(shares / (1 - shares))
        self._fit_head(X, targets, labels.shape[1], _masked_loss, biases, start)
        return self

    @staticmethod
    def _starts(features: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """A linear classifier for each target, on the rows with a label of it."""
        found = []
        for column in labels.T:
            known = np.isfinite(column)
            weights, biases = linear_start(features[known], column[known].astype(int))
            found.append((weights[1] - weights[0], biases[1] - biases[0]))
        return np.array([weights for weights, _ in found]), np.array([bias for _, bias in found])

    def chances(self, X: Any) -> np.ndarray:
        """Of a 1, for each target. Shape (n, targets)."""
        return torch.sigmoid(torch.tensor(self._outputs(X), dtype=torch.float64)).numpy()


def _masked_loss(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Mean over all labels that are there."""
    losses = torch.nn.functional.binary_cross_entropy_with_logits(logits, targets[..., 0], reduction="none")
    return (losses * targets[..., 1]).sum() / targets[..., 1].sum().clamp(min=1)


@cache
def labels_of_all() -> pd.DataFrame:
    """The labels of all twelve assays by canonical SMILES; NaN where blank or where rows of a molecule disagree."""
    tables = {assay: load_table(make_config("tox21", {"target": assay}), Reporter()) for assay in card("tox21").targets}
    return pd.DataFrame(
        {assay: table.frame.set_index("smiles")["target"].astype(float) for assay, table in tables.items()}
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--assays", default=",".join(ASSAYS))
    parser.add_argument("--rows", type=int, default=ROWS)
    parser.add_argument("--seeds", type=int, default=1)
    given = parser.parse_args()
    for seed in range(given.seeds):
        for assay in given.assays.split(","):
            settings = {"target": assay, "arms": ["lm-head"], "max_rows": given.rows, "split": ["random"], "seed": seed}
            _compare(prepare(make_config("tox21", settings), Reporter()), assay, seed)


def _compare(context: Context, assay: str, seed: int) -> None:
    (split,) = context.splits
    fold = split.folds[0]
    machine = this_machine(context.config, context.arms, Reporter())
    X, y = context.table.inputs.loc[list(fold.train)], context.table.targets.loc[list(fold.train)]
    truth = (y.to_numpy() == context.positive).astype(int)
    held = inner_folds(y, training_groups(context, split, fold), CLASSES, seed)[0]
    labels = labels_of_all().loc[X.iloc[:, 0]]
    assert (labels[assay].to_numpy() == truth).all()
    options = new_arm(context, machine, "lm-head", seed, "").get_params(deep=False)
    place = list(labels.columns).index(assay)

    one = {"one assay": HeadClassifier, "weighted": Weighted}
    for name, kind in one.items():
        started = time.perf_counter()
        chances = kind(**options).fit(X[~held], truth[~held]).predict_proba(X[held])[:, 1]
        _say(f"{assay:<10} seed {seed} {name:<10}", truth[held], chances, started)
    started = time.perf_counter()
    many = ManyHeads(**options).fit_many(X[~held], labels.to_numpy()[~held])
    _say(f"{assay:<10} seed {seed} {'all assays':<10}", truth[held], many.chances(X[held])[:, place], started)


def _say(name: str, truth: np.ndarray, chances: np.ndarray, started: float) -> None:
    print(
        f"{name} n {len(truth)} ({truth.sum()} active)  AUROC {roc_auc_score(truth, chances):.3f}  "
        f"AUPRC {average_precision_score(truth, chances):.3f}  log-loss {log_loss(truth, chances):.3f}  "
        f"{time.perf_counter() - started:.0f} s",
        flush=True,
    )


if __name__ == "__main__":
    main()
