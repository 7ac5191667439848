"""How often 95 % intervals of a metric over few training seeds and few test groups hold the truth.

    python scripts/seed_coverage.py

Three ways: percentiles of resamples in which groups and seeds are drawn anew, which is what the failure-mode
experiments did; Student's t from the same test groups alone, as for a run with one seed; and
`pipeline.evaluation.seeded`. Outcomes are binary. Groups differ in how often they succeed, training seeds in how well
they rank and in how readily they accept; the truth is the mean over many seeds on many groups.
"""

from __future__ import annotations

import argparse

import numpy as np

from pipeline.evaluation.bootstrap import group_weights
from pipeline.evaluation.detection import Scored, detection_scores, rests_on
from pipeline.evaluation.estimates import Estimate, percentiles
from pipeline.evaluation.seeded import SHARE, bounded_interval, over_seeds

METRICS = ("auroc", "fpr", "tpr")
RESAMPLES = 300
# groups, rows of each, logit of the share of successes, spread of the seeds
CASES = {
    "3 seeds, 15 groups of 4, seeds differ little": (15, 4, 0.4, 0.1),
    "3 seeds, 15 groups of 4, seeds differ much": (15, 4, 0.4, 0.6),
    "3 seeds, 15 groups of 4, few failures": (15, 4, 2.0, 0.3),
    "3 seeds, 120 single rows, seeds differ much": (120, 1, 0.4, 0.6),
}


def simulated(
    rng: np.random.Generator, groups: int, rows: int, base: float, spread: float, seeds: int
) -> tuple[np.ndarray, np.ndarray, list[np.ndarray]]:
    """Outcomes and groups of the test rows, and the scores of each seed: accepted from 0 on."""
    index = np.repeat(np.arange(groups), rows)
    success = rng.random(groups * rows) < 1 / (1 + np.exp(-base - rng.normal(size=groups)[index]))
    shared = 0.7 * rng.normal(size=groups)[index] + 0.7 * rng.normal(size=groups * rows)
    scores = []
    for _ in range(seeds):
        skill, shift = 1.5 + spread * rng.normal(), 0.2 + spread * rng.normal()
        scores.append(shift + skill * (success - 0.5) + shared + 0.5 * rng.normal(size=groups * rows))
    return success, index.astype(str).astype(object), scores


def drawn_with_seeds(per_seed: list[np.ndarray]) -> tuple[float, float]:
    """Percentiles of resamples in which groups and seeds are drawn anew."""
    stacked = np.stack(per_seed)
    count = len(stacked)
    drawn = np.random.default_rng(0).multinomial(count, np.full(count, 1 / count), size=stacked.shape[1]) / count
    return percentiles((stacked * drawn.T).sum(axis=0)[1:], 0.025)


def intervals(case: tuple[int, int, float, float], rng: np.random.Generator) -> dict[str, list[tuple[float, float]]]:
    """The three intervals of each metric on one simulated test set with three seeds."""
    success, groups, scores = simulated(rng, *case, seeds=3)
    weights = np.vstack([np.ones(len(success)), group_weights(groups, int(rng.integers(2**31)), RESAMPLES)])
    found = [detection_scores(success, np.zeros(len(success)), Scored(score, 0.0), weights) for score in scores]
    held = {}
    for metric in METRICS:
        per_seed = [one[metric] for one in found]
        mean, rests = np.mean(per_seed, axis=0), rests_on(metric, success, groups)
        held[metric] = [
            drawn_with_seeds(per_seed),
            bounded_interval(Estimate.over_groups(float(mean[0]), mean[1:], rests), SHARE, rests),
            bounded_interval(over_seeds(per_seed, rests), SHARE, rests),
        ]
    return held


def truth(case: tuple[int, int, float, float]) -> dict[str, float]:
    """Each metric as the mean over 200 seeds, on 20,000 groups."""
    success, _, scores = simulated(np.random.default_rng(1), 20_000, *case[1:], seeds=200)
    one = np.ones((1, len(success)))
    found = [detection_scores(success, np.zeros(len(success)), Scored(score, 0.0), one) for score in scores]
    return {metric: float(np.mean([scored[metric] for scored in found])) for metric in METRICS}


def coverage(name: str, simulations: int) -> dict[str, np.ndarray]:
    """Share of the simulations in which each interval holds the truth, and its mean width. Shape (2, 3)."""
    case, rng = CASES[name], np.random.default_rng(0)
    right = truth(case)
    made = [intervals(case, rng) for _ in range(simulations)]
    found = {}
    for metric in METRICS:
        low, high = np.moveaxis(np.array([one[metric] for one in made]), -1, 0)
        held = (low <= right[metric]) & (right[metric] <= high)
        found[metric] = np.stack([held.mean(axis=0), np.nanmean(high - low, axis=0)])
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--simulations", type=int, default=1_000)
    simulations = parser.parse_args().simulations
    print(f"truth held by 95 % intervals, of {simulations} simulations, and mean width: drawn anew, one t, seeds and t")
    for name in CASES:
        for metric, (held, width) in coverage(name, simulations).items():
            shown = "  ".join(f"{100 * share:5.1f} % ({wide:.2f})" for share, wide in zip(held, width, strict=True))
            print(f"{name:<48} {metric:<6} {shown}", flush=True)


if __name__ == "__main__":
    main()
