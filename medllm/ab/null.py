"""A/A self-test: how often does the procedure tell a model apart from itself?"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from medllm.statistics.intervals import CONFIDENCE, wilson_interval
from medllm.statistics.paired import cluster_intervals

_SPREAD = (1 << 32) - 1  # the bootstrap draws from a stream of its own


@dataclass(frozen=True, slots=True, kw_only=True)
class SelfTest:
    """False positives among `num_experiments` pairs of one model with itself, their share with its Wilson interval."""

    num_experiments: int
    false_positives: int
    low: float
    high: float

    @property
    def rate(self) -> float:
        """Share of pairs that were told apart."""
        return self.false_positives / self.num_experiments

    @property
    def holds(self) -> bool:
        """The promised 5 % lie inside the interval of the share, or above it."""
        return self.low <= 1 - CONFIDENCE


def self_test(scores: Sequence[int], clusters: Sequence[str], *, num_resamples: int, num_experiments: int, seed: int) -> SelfTest:
    """Pairs of simulated arms from the 0/1 scores (n,) of one model, judged like a real pair: does the interval exclude 0?

    Both arms of a pair have the clusters' sizes; each cluster takes its chance from a cluster drawn at random, for either arm anew. So the
    arms are equally good, items of a cluster stand or fall together, and the arms disagree as much as two unrelated models would.
    """
    _, index = np.unique(np.asarray(clusters), return_inverse=True)
    sizes = np.bincount(index)
    chances = np.bincount(index, weights=np.asarray(scores, dtype=np.float64)) / sizes
    source = np.random.default_rng([seed, _SPREAD])
    shape = (len(sizes), num_experiments)
    right = [source.binomial(sizes[:, None], chances[source.integers(0, len(sizes), shape)]) for _ in "ab"]
    sums = (right[1] - right[0]).astype(np.float64)
    if len(sizes) == 1:
        told_apart = 0  # nothing is ever said about one cluster
    else:
        low, high = cluster_intervals(sums, sizes.astype(np.float64), shares=True, num_resamples=num_resamples, seed=seed)
        told_apart = int(((low > 0) | (high < 0)).sum())
    low_share, high_share = wilson_interval(told_apart, num_experiments)
    return SelfTest(num_experiments=num_experiments, false_positives=told_apart, low=low_share, high=high_share)
