"""Does a signal tell which predictions are wrong? Over many weightings of the rows at once.

Functions take ``weights`` of shape (B, n) and return shape (B,); NaN where a weighting leaves the metric undefined.
"""

from __future__ import annotations

import numpy as np

from pipeline.evaluation.metrics import auroc, divide, tied

LARGE_SHARE = 0.2  # of the test rows have an error that counts as large


def large_errors(errors: np.ndarray) -> np.ndarray:
    """The fifth of the rows with the largest errors; of classes, the rows that are wrong. Bool, shape (n,).

    Parameters
    ----------
    errors : ndarray of shape (n,)
        Absolute errors, or for classes bools that say whether the answer is wrong.
    """
    if errors.dtype == bool:
        return errors
    return errors > np.quantile(errors, 1 - LARGE_SHARE)


def error_auroc(errors: np.ndarray, signal: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Chance that the signal is larger for a row with a large error than for another; 0.5 says nothing."""
    return auroc(large_errors(errors), signal, weights)


def risk_curve(errors: np.ndarray, signal: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Share of rows kept, the least doubtful first, and the mean error of those kept. Shapes (distinct signals,).

    Rows of one signal are kept together.
    """
    order, starts = tied(signal)
    counts = np.diff(np.r_[starts, len(signal)])
    sums = np.add.reduceat(errors[order].astype(np.float64), starts)
    kept = np.cumsum(counts)
    return kept / len(signal), np.cumsum(sums) / kept


def relative_risk(errors: np.ndarray, signal: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Mean error of the rows kept, averaged over how many are kept, over the mean error of all.

    The area under the risk-coverage curve (El-Yaniv and Wiener 2010); 1 is what a signal without meaning has, less is
    better. Rows of one signal count as kept in a random order.
    """
    order, starts = tied(signal)
    mass = np.add.reduceat(weights[:, order], starts, axis=1)
    sums = np.add.reduceat(weights[:, order] * errors[order], starts, axis=1)
    kept, total = np.cumsum(mass, axis=1), np.cumsum(sums, axis=1)
    before = total - sums
    # within a run of equal signals the expected error of the kept goes from that before it to that after it
    risk = 0.5 * (divide(total, kept) + np.where(kept - mass > 0, divide(before, kept - mass), divide(total, kept)))
    mean = divide(total[:, -1], kept[:, -1])
    return divide(np.nansum(mass * risk, axis=1), kept[:, -1] * mean)
