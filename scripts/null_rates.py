"""How often two arms of equal error are called different on one test set, by three ways of taking the error.

    python scripts/null_rates.py

Percentiles of bootstrap resamples of whole groups; their spread with Student's t and a degree of freedom less than
there are groups; the same with the effective number of groups, which is what `pipeline.evaluation.estimates` does. The
errors of both arms are normal, and rows of a group share a part of them. The table stands in docs/comparisons.md.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

import numpy as np
from scipy import stats

from pipeline.evaluation.bootstrap import group_draws
from pipeline.evaluation.estimates import effective_degrees, widening

RESAMPLES = 500


def zipf(groups: int, rows: int) -> Callable[[np.random.Generator], np.ndarray]:
    """Groups whose sizes fall as one over their rank."""
    share = 1 / np.arange(1, groups + 1)
    return lambda rng: rng.choice(groups, rows, p=share / share.sum())


TEST_SETS: dict[str, Callable[[np.random.Generator], np.ndarray]] = {
    "100 rows, each a group": lambda rng: np.arange(100),
    "100 rows in 12 groups": lambda rng: np.arange(100) % 12,
    "100 rows in 30 groups, the largest with a quarter": zipf(30, 100),
    "100 rows in 12 groups, the largest with a third": zipf(12, 100),
    "100 rows, half of them in one group": lambda rng: np.maximum(0, np.arange(100) - 49),
}


def p_values(rng: np.random.Generator, groups: np.ndarray) -> tuple[float, float, float]:
    """Of one simulated test set: by percentiles, by t, and by t of the effective number of groups."""
    counts, index = group_draws(groups, int(rng.integers(2**31)), RESAMPLES)
    one, two = (np.abs(rng.normal(size=index.max() + 1)[index] + rng.normal(size=len(groups))) for _ in range(2))
    sums, sizes = np.bincount(index, one - two), np.bincount(index)
    samples = (counts @ sums) / (counts @ sizes)
    tail = min((samples <= 0).sum(), (samples >= 0).sum()) + 1
    distance = -abs(float(np.mean(one - two))) / (samples.std() * widening(groups))
    few, effective = (2 * stats.t.cdf(distance, degrees) for degrees in (len(sizes) - 1, effective_degrees(groups)))
    return 2 * tail / (RESAMPLES + 1), float(few), float(effective)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--simulations", type=int, default=2_000)
    simulations = parser.parse_args().simulations
    print(f"called different at 5 %, of {simulations} simulations: percentiles, t, t of effective groups")
    for name, make in TEST_SETS.items():
        rng = np.random.default_rng(0)
        called = np.mean([np.array(p_values(rng, make(rng))) < 0.05 for _ in range(simulations)], axis=0)
        print(f"{name:<52} {'  '.join(f'{100 * rate:5.1f} %' for rate in called)}", flush=True)


if __name__ == "__main__":
    main()
