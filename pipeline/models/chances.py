"""What held-out rows make of the probabilities of a model of classes: a temperature, a threshold, and how both hold."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from pipeline.evaluation.calibration import perfect_calibration_error, top_calibration_error, truth_losses
from pipeline.evaluation.intervals import at_temperature, temperature
from pipeline.evaluation.thresholds import choose
from pipeline.runs.certainty import LEAST_RESIDUALS
from pipeline.settings.threshold import Rule
from pipeline.splits.splitters import half_of_groups

LEAST_IN_HALF = LEAST_RESIDUALS // 2  # rows that choose for the other half, and that are judged


def held_out_chances(
    chances: np.ndarray,
    truth: np.ndarray,
    groups: np.ndarray,
    classes: Sequence[str],
    positive: str,
    threshold: str,
    seed: int,
) -> dict[str, Any]:
    """The temperature and the threshold that held-out rows ask for, and what came of them on the same rows.

    What is counted of a half of the groups comes from the temperature and the threshold that the other half chooses,
    so that no row has a part in its own answer.

    Parameters
    ----------
    chances : ndarray of shape (n, classes)
        Of rows held out of a fit.
    truth, groups : ndarray of shape (n,)
    positive : str
        The class that is answered from the threshold on, where there are two.
    threshold : str
        As `Rule.of` reads it.
    seed : int
        Of the halves.

    Returns
    -------
    dict
        ``temperature``: its ``value``, None where ``n`` is less than `LEAST_RESIDUALS`; with `LEAST_IN_HALF` rows in
        each half also ``ece`` and ``log_loss``, each of the chances as they are and at the temperature, and
        ``ece_if_perfect``. Without a temperature chances stay as they are.
        ``threshold``, where the answer is not simply the more probable class: its ``value`` on the scale of the chances
        at the temperature, and how many rows of each class it gets wrong, where there are enough to tell.
    """
    codes = np.array([list(classes).index(label) for label in truth.astype(str)], dtype=int)
    half, rule = half_of_groups(groups, seed), Rule.of(threshold)
    tells = min(half.sum(), (~half).sum()) >= LEAST_IN_HALF
    heat = temperature(chances, codes) if len(codes) >= LEAST_RESIDUALS else None
    scaled, of_others = chances, chances
    found: dict[str, Any] = {"temperature": {"value": heat, "n": len(codes)}}
    if heat is not None:
        scaled = at_temperature(chances, heat)
    if heat is not None and tells:
        of_others = np.empty_like(chances)
        for judged in (half, ~half):
            of_others[judged] = at_temperature(chances[judged], temperature(chances[~judged], codes[~judged]))
        found["temperature"] |= {
            "ece": [top_calibration_error(one, codes) for one in (chances, of_others)],
            "ece_if_perfect": perfect_calibration_error(of_others),
            "log_loss": [float(truth_losses(one, codes).mean()) for one in (chances, of_others)],
        }
    if not rule.even:
        at = list(classes).index(positive)
        found["threshold"] = {
            "rule": threshold,
            "positive": positive,
            "value": choose(rule, codes == at, scaled[:, at]),
            **(_misses(rule, codes == at, of_others[:, at], half) if tells else {}),
        }
    return found


def _misses(rule: Rule, positive: np.ndarray, score: np.ndarray, half: np.ndarray) -> dict[str, Any]:
    """How many rows are answered wrongly, each half by the threshold of the other; nothing where a half that is to
    choose lacks a class."""
    if rule.chosen and any(len(set(positive[part])) < 2 for part in (half, ~half)):
        return {}
    cuts = np.where(half, choose(rule, positive[~half], score[~half]), choose(rule, positive[half], score[half]))
    said = score >= cuts
    return {
        "by_halves": True,
        "positives": int(positive.sum()),
        "missed": int((positive & ~said).sum()),
        "negatives": int((~positive).sum()),
        "false_alarms": int((~positive & said).sum()),
    }
