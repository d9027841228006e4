"""Intervals: Wilson for one share, cluster bootstrap for the paired difference of two score vectors."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

CONFIDENCE = 0.95


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """Mean of (model - reference) over `n` items in `clusters` clusters, with its two-sided 95 % interval."""

    estimate: float
    low: float
    high: float
    n: int
    clusters: int


def wilson_interval(successes: int, n: int) -> tuple[float, float]:
    """Wilson score interval, 95 % (Wilson 1927); n >= 1."""
    interval = stats.binomtest(successes, n).proportion_ci(confidence_level=CONFIDENCE, method="wilson")
    return float(interval.low), float(interval.high)


def paired_difference(
    model: Sequence[int], reference: Sequence[int], clusters: Sequence[str], *, num_resamples: int, seed: int
) -> Difference:
    """Paired difference of two 0/1 score vectors over the same items, both (n,); percentile bootstrap over whole clusters.

    Questions about one fact stand or fall together; resampling items as if independent would make the interval too narrow
    (Cameron, Gelbach and Miller 2008). One cluster alone says nothing about others: the interval is then [-1, 1].
    """
    if not len(model) == len(reference) == len(clusters):
        raise ValueError(f"scores of different length: {len(model)}, {len(reference)}, clusters {len(clusters)}")
    if not model:
        raise ValueError("no items to compare")
    difference = np.asarray(model, dtype=np.float64) - np.asarray(reference, dtype=np.float64)
    names, index = np.unique(np.asarray(clusters), return_inverse=True)
    sums: NDArray[np.float64] = np.bincount(index, weights=difference).astype(np.float64)
    sizes: NDArray[np.float64] = np.bincount(index).astype(np.float64)
    estimate = float(difference.mean())
    low, high = _bootstrap(sums, sizes, num_resamples=num_resamples, seed=seed) if len(names) > 1 else (-1.0, 1.0)
    return Difference(estimate=estimate, low=low, high=high, n=len(difference), clusters=len(names))


def _bootstrap(sums: NDArray[np.float64], sizes: NDArray[np.float64], *, num_resamples: int, seed: int) -> tuple[float, float]:
    def mean(total: NDArray[np.float64], count: NDArray[np.float64], axis: int) -> NDArray[np.float64]:
        return np.asarray(total.sum(axis=axis) / count.sum(axis=axis))

    interval = stats.bootstrap(
        (sums, sizes),
        mean,
        paired=True,
        vectorized=True,
        n_resamples=num_resamples,
        batch=500,
        confidence_level=CONFIDENCE,
        method="percentile",
        rng=np.random.default_rng(seed),
    ).confidence_interval
    return float(interval.low), float(interval.high)
