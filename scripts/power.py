"""How often a difference between two arms is found, and how often equal ones are called different, by the test used.

    python scripts/power.py
    python scripts/power.py --edges

Simulated tables of 383 rows (that many molecules has the demo), each row a group or in a hundred groups. Two ridge
regressions see the same features, and the predictions of the first are blurred by noise of a size that makes its mean
absolute error larger by a stated share; or each sees another half of features that matter alike, so that neither is
better over tables. Ways: a hold-out of 77 rows, alone or as one of eight comparisons; five folds, once, twice and
five times; five hold-outs. Beside folds and repeats stands the corrected t of Nadeau and Bengio (2003), which
looks at the scores of divisions alone. The table stands in docs/comparisons.md.

Beyond an edge (``--edges``) two equal learners are tested on the rows with the highest labels, or on those furthest out
in two of the features. The error is taken from the tested rows alone, and with what training without each fifth of the
training groups changes, which is what the project does there.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable

import numpy as np

from pipeline.evaluation.bootstrap import group_draws
from pipeline.evaluation.divisions import over_divisions
from pipeline.evaluation.estimates import Estimate, jackknife
from pipeline.splits.splitters import fold_numbers, hold_out

ROWS, FEATURES = 383, 5
Learner = Callable[[np.ndarray, np.ndarray, np.ndarray, np.ndarray], np.ndarray]
TABLES: dict[str, Callable[[np.random.Generator], np.ndarray]] = {
    "each row a group": lambda rng: np.arange(ROWS),
    "in a hundred groups": lambda rng: rng.integers(0, 100, ROWS),
}
DESIGNS = ((0, 1), (5, 1), (5, 2), (5, 5), (0, 5))  # folds (0: hold-outs of a fifth) and repeats
COMPARISONS = 8
PARTS = 5  # of the training groups, left out in turn beyond an edge
GAINS = (0.0, 0.10, 0.15, 0.30)


def simulated(rng: np.random.Generator, groups: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Noisy labels that depend alike on two halves of the features; rows of a group share a part of both."""
    index, n = np.unique(groups, return_inverse=True)[1], len(groups)
    centres, offsets = rng.normal(size=(index.max() + 1, 2 * FEATURES)), rng.normal(size=index.max() + 1)
    X = centres[index] + 0.5 * rng.normal(size=(n, 2 * FEATURES))
    return X, X @ np.tile(rng.normal(size=FEATURES), 2) + 0.3 * offsets[index] + 0.3 * rng.normal(size=n)


def ridge(X: np.ndarray, y: np.ndarray, train: np.ndarray, test: np.ndarray) -> np.ndarray:
    """Predictions of a ridge regression."""
    fitted, mean = X[train], y[train].mean()
    return mean + X[test] @ np.linalg.solve(fitted.T @ fitted + np.eye(X.shape[1]), fitted.T @ (y[train] - mean))


def masks_of(groups: np.ndarray, folds: int, repeats: int) -> list[np.ndarray]:
    """The test rows of each fold of each repeat, or of each hold-out of a fifth (no folds)."""
    none, masks = np.zeros(len(groups)), []
    for repeat in range(repeats):
        if folds:
            numbers = fold_numbers(groups, none, folds, repeat)
            masks += [numbers == fold for fold in range(folds)]
        else:
            masks.append(hold_out(groups, none, 0.2, repeat))
    return masks


def p_values(rng: np.random.Generator, groups: np.ndarray, gain: float, folds: int, repeats: int) -> tuple[float, ...]:
    """Of this project's test and of the corrected t (NaN for one hold-out), and the ratio of the two errors."""
    X, y = simulated(rng, groups)
    residual = float(np.std(y - ridge(X, y, np.ones(ROWS, dtype=bool), np.arange(ROWS))))
    noise = np.sqrt((1 + gain) ** 2 - 1) * residual * rng.normal(size=ROWS)
    one, two = (X, X) if gain else (X[:, :FEATURES], X[:, FEATURES:])
    masks = masks_of(groups, folds, repeats)
    apart, sums = [], np.zeros(2)
    for mask in masks:
        test = np.flatnonzero(mask)
        first = np.abs(y[test] - ridge(one, y, ~mask, test) - noise[test])
        second = np.abs(y[test] - ridge(two, y, ~mask, test))
        apart.append(first - second)
        sums += first.mean(), second.mean()
    rows = np.concatenate([np.flatnonzero(mask) for mask in masks])
    values, labels = np.concatenate(apart), groups[rows]
    if len(masks) == 1:
        counts, index = group_draws(labels, 0, 500)
        weights = counts[:, index].astype(float)
        found = Estimate.over_groups(float(values.mean()), (weights @ values) / weights.sum(axis=1), labels)
        return found.p_difference(), np.nan, sums[0] / sums[1]
    division = np.repeat(np.arange(len(masks)), [mask.sum() for mask in masks])
    found = over_divisions(values, division, rows, labels, groups)
    means = np.array([one.mean() for one in apart])
    share = float(np.mean([mask.sum() / (~mask).sum() for mask in masks]))
    return found.p_difference(), corrected_t(means, share).p_difference(), sums[0] / sums[1]


def corrected_t(values: np.ndarray, share: float) -> Estimate:
    """The mean over divisions of one table by the corrected resampled t (Nadeau and Bengio 2003), which knows of the
    rows only how many are tested: ``share`` is that number over the number of training rows."""
    error = math.sqrt(float(np.var(values, ddof=1)) * (1 / len(values) + share))
    return Estimate(float(np.mean(values)), error, len(values) - 1)


def neighbours(X: np.ndarray, y: np.ndarray, train: np.ndarray, test: np.ndarray) -> np.ndarray:
    """Means of the five nearest training rows: what is trained on matters more than for a ridge."""
    apart = ((X[test][:, None] - X[train][None]) ** 2).sum(axis=2)
    return y[train][np.argpartition(apart, 5, axis=1)[:, :5]].mean(axis=1)


def highest_labels(X: np.ndarray, y: np.ndarray) -> np.ndarray:
    return y


def furthest_out(X: np.ndarray, y: np.ndarray) -> np.ndarray:
    """By two features, of which each learner sees one."""
    return np.abs(X[:, 0] + X[:, FEATURES])


EDGES: tuple[Callable[[np.ndarray, np.ndarray], np.ndarray], ...] = (highest_labels, furthest_out)
LEARNERS: tuple[Learner, ...] = (ridge, neighbours)


def beyond_edge(
    rng: np.random.Generator,
    groups: np.ndarray,
    learner: Learner,
    order: Callable[[np.ndarray, np.ndarray], np.ndarray],
) -> tuple[Estimate, Estimate]:
    """The difference of two equal learners beyond an edge of a simulated table: by the tested rows alone, and with the
    part of the training rows."""
    X, y = simulated(rng, groups)
    values = order(X, y)
    tested = values > np.quantile(values, 0.8)
    test, train = np.flatnonzero(tested), np.flatnonzero(~np.isin(groups, groups[tested]))

    def apart(rows: np.ndarray) -> np.ndarray:
        one, two = (learner(half, y, rows, test) for half in (X[:, :FEATURES], X[:, FEATURES:]))
        return np.abs(y[test] - one) - np.abs(y[test] - two)

    found, labels = apart(train), groups[test]
    counts, index = group_draws(labels, 0, 500)
    weights = counts[:, index].astype(float)
    alone = Estimate.over_groups(float(found.mean()), (weights @ found) / weights.sum(axis=1), labels)
    parts = fold_numbers(groups[train], np.zeros(len(train)), PARTS, 0)
    without = np.array([apart(train[parts != part]).mean() for part in range(PARTS)])
    return alone, alone.with_more_error(*jackknife(without))


def print_edges(simulations: int) -> None:
    print(f"called different at 5 %, of {simulations} tables: by the tested rows alone, with the training part")
    for name, make in TABLES.items():
        for learner in LEARNERS:
            for order in EDGES:
                called = np.zeros(2)
                for rng in map(np.random.default_rng, range(simulations)):
                    called += [one.p_difference() < 0.05 for one in beyond_edge(rng, make(rng), learner, order)]
                rates = "  ".join(f"{100 * rate:5.1f} %" for rate in called / simulations)
                print(f"{name:<20} {learner.__name__:<11} {order.__name__:<15} {rates}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--simulations", type=int, default=400)
    parser.add_argument("--edges", action="store_true")
    options = parser.parse_args()
    simulations = options.simulations
    if options.edges:
        print_edges(simulations)
        return
    print(f"called different at 5 %, of {simulations} tables: alone, as one of {COMPARISONS}, by the corrected t")
    for name, make in TABLES.items():
        for gain in GAINS:
            for folds, repeats in DESIGNS:
                draws = []
                for simulation in range(simulations):
                    rng = np.random.default_rng(simulation)
                    draws.append(p_values(rng, make(rng), gain, folds, repeats))
                own, corrected, ratio = np.array(draws).T
                design = f"{repeats} x {folds} folds" if folds else f"{repeats} x hold-out"
                shares = [np.mean(own < 0.05), np.mean(own < 0.05 / COMPARISONS), np.mean(corrected < 0.05)]
                said = "  ".join(f"{100 * share:5.1f} %" for share in shares)
                print(f"{name:<20} error x {np.mean(ratio):.2f}  {design:<12} {said}", flush=True)


if __name__ == "__main__":
    main()
