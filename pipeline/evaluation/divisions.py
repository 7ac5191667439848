"""The error of a score over several divisions of one table: folds, and hold-outs or folds repeated."""

from __future__ import annotations

import math

import numpy as np

from pipeline.evaluation.estimates import Estimate, effective_number, group_sizes, variance_of_mean

ASSUMED = 1.0  # what another draw of training rows adds, as a share of the test rows' variance, where it is unknown
LEAST = 0.25  # the share that is added where it is estimated, since the estimate is often zero
MIN_AGAIN = 10  # rows that a division must share with others to tell what its training rows did


def effective_tested(groups: np.ndarray, division: np.ndarray) -> float:
    """The number of equal groups that would tell as much as the tested ones, each division counting alike.

    Parameters
    ----------
    groups, division : ndarray of shape (m,)
        As in `over_divisions`.
    """
    weight = 1 / np.bincount(division)[division]
    mass = np.bincount(np.unique(groups.astype(str), return_inverse=True)[1], weight)
    return round(effective_number(mass), 9)  # ten equal groups are ten


def over_divisions(
    scores: np.ndarray, division: np.ndarray, rows: np.ndarray, groups: np.ndarray, everyone: np.ndarray
) -> Estimate:
    """The mean over divisions of the mean of rows' scores, with an error that all tested rows enter.

    Three parts make its variance. (1) The test rows, by the jackknife over groups: how the mean moves without each of
    them; what is common to the rows of a group, or to one row in several repeats, is in it. (2) The training rows,
    which all divisions largely share: a row that is tested by several models tells the models apart from the rows. The
    variance between models that is left, times ``(1 - q) / q`` for test sets of a share q, is that of another table of
    this size, if each training row adds its own small part. It is often estimated as zero, so that a share `LEAST` of
    (1) is added. (3) Where no row is tested twice, as in folds without repeats, nothing tells the models apart: a share
    `ASSUMED` of (1) stands for it. Both shares count by the effective number of groups that are tested over that of
    the table. Degrees of freedom are those of Welch and Satterthwaite.

    It is our own; `tests/evaluation/test_nulls.py` and ``scripts/power.py`` hold it to its level and say what it finds.

    Parameters
    ----------
    scores : ndarray of shape (m,)
        A row's part in a division's score, such as its absolute error; NaN where a division's score is undefined.
    division : ndarray of int, shape (m,)
    rows : ndarray of shape (m,)
        Which row of the table it is.
    groups : ndarray of shape (m,)
        The group of the row.
    everyone : ndarray of shape (n,)
        The group of each row of the table.
    """
    known = np.isfinite(scores)
    if not known.any():
        return Estimate(math.nan, math.nan, math.nan)
    scores, division, rows, groups = scores[known], division[known], rows[known], groups[known]
    _, number = np.unique(division, return_inverse=True)
    size = np.bincount(number)
    weight = 1 / (len(size) * size[number])
    value = float(weight @ scores)
    label, group = np.unique(groups.astype(str), return_inverse=True)
    if len(label) < 2:
        return Estimate(value, math.nan, math.nan)
    mass = np.bincount(group, weight)
    shift = np.bincount(group, weight * (scores - value)) / (1 - mass)  # of the mean without the group
    tested = float(shift @ shift) * (len(label) - 1) / len(label)
    alike = effective_number(mass)
    share = alike / effective_number(group_sizes(everyone))
    between, models = _between_models(scores, number, rows, group)
    added = (LEAST if models else ASSUMED) * share
    of_tested = Estimate(value, math.sqrt(tested * (1 + added)), max(1.0, alike - 1))
    if not models:
        return of_tested
    drawn = float(np.mean(size)) / len(everyone)
    return of_tested.with_more_error(math.sqrt(between * (1 - drawn) / drawn), models)


def _between_models(scores: np.ndarray, division: np.ndarray, rows: np.ndarray, group: np.ndarray) -> tuple[float, int]:
    """The variance between the models of divisions as rows that several of them test show it, and its degrees of
    freedom; 0 of them where too few rows are tested twice."""
    _, row = np.unique(rows.astype(str), return_inverse=True)
    times = np.bincount(row)
    apart = scores - (np.bincount(row, scores) / times)[row]
    raw, noise, share = [], [], []
    for number in range(int(division.max()) + 1):
        again = (division == number) & (times[row] > 1)
        if again.sum() < MIN_AGAIN:
            continue
        raw.append(float(apart[again].mean()) ** 2)
        noise.append(variance_of_mean(apart[again], group[again]))
        share.append(float((1 - 1 / times[row][again]).mean()))
    if len(raw) < 2:
        return 0.0, 0
    return max(0.0, float(np.mean(raw) - np.mean(noise))) / float(np.mean(share)) ** 2, len(raw) - 1
