"""Do class weights help on tables with a rare class?

    python scripts/class_weights.py

Three assays of Tox21, 2,500 rows each, their training rows alone (a random hold-out of a fifth is never looked at);
of these an inner hold-out of a fifth that keeps variants of one molecule together: AUROC, AUPRC and the highest
Matthews correlation of a linear model, forests and boosting with and without weights by the inverse of the class
shares. For `lm-head` see `lm_head_assays.py`.
"""

from __future__ import annotations

import numpy as np
from sklearn.metrics import average_precision_score, roc_auc_score

from pipeline.arms.ladder import fit_arm, make_arm
from pipeline.evaluation.thresholds import choose
from pipeline.reporter import Reporter
from pipeline.runs.held_out import inner_folds, training_groups
from pipeline.runs.prepare import prepare
from pipeline.settings.reading import make_config
from pipeline.settings.threshold import Rule
from pipeline.tables.targets import CLASSES

ASSAYS = ("NR-AhR", "SR-ARE", "NR-ER-LBD")
ARMS = ("ridge", "extratrees", "lightgbm")
ROWS = 2_500


def main() -> None:
    for assay in ASSAYS:
        config = make_config("tox21", {"target": assay, "arms": list(ARMS), "max_rows": ROWS, "split": ["random"]})
        context = prepare(config, Reporter())
        (split,) = context.splits
        fold = split.folds[0]
        X, y = context.table.inputs.loc[list(fold.train)], context.table.targets.loc[list(fold.train)]
        groups, truth = training_groups(context, split, fold), y.to_numpy() == context.positive
        masks = inner_folds(y, groups, CLASSES, 0)
        for arm in ARMS:
            for weight in (None, "balanced"):
                scores = np.full(len(y), np.nan)
                for held in masks:
                    model = make_arm(arm, CLASSES, seed=0, threads=2)
                    inner = getattr(model.model, "steps", [("", model.model)])[-1][1]
                    inner.set_params(class_weight=weight)
                    fit_arm(model, X[~held], truth[~held].astype(int), groups[~held], None)
                    scores[held] = model.predict_proba(X[held])[:, 1]
                known = np.isfinite(scores)
                hit, found = truth[known], scores[known]
                cut = choose(Rule("mcc"), hit, found)
                mcc = [float(np.corrcoef(hit, found >= level)[0, 1]) for level in (cut, 0.5)]
                print(
                    f"{assay:<10} {arm:<11} {weight or 'plain':<9} AUROC {roc_auc_score(hit, found):.3f}  "
                    f"AUPRC {average_precision_score(hit, found):.3f}  MCC {mcc[0]:.3f} (at 0.5: {mcc[1]:.3f})",
                    flush=True,
                )


if __name__ == "__main__":
    main()
