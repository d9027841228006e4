"""Two models on the same items: difference of their scores with a cluster bootstrap, McNemar's test, flips."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from medllm.statistics.intervals import CONFIDENCE

Floats = NDArray[np.float64]
_BATCH = 500  # resamples drawn at once; bounds the memory, never the result


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """Mean of (model - reference) over `n` items in `clusters` clusters, with its two-sided 95 % interval."""

    estimate: float
    low: float
    high: float
    n: int
    clusters: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Flips:
    """Right answers that became wrong and wrong ones that became right, of `n`. Equal accuracies can hide many (arXiv 2407.09141)."""

    lost: int
    won: int
    n: int

    @property
    def rate(self) -> float:
        """Share of items whose answer changed sides."""
        return (self.lost + self.won) / self.n


def paired_difference(
    model: Sequence[float], reference: Sequence[float], clusters: Sequence[str], *, num_resamples: int, seed: int
) -> Difference:
    """Paired difference of two score vectors over the same items, both (n,); percentile bootstrap over whole clusters.

    Questions about one fact stand or fall together; resampling items as if independent would make the interval too narrow
    (Cameron, Gelbach and Miller 2008). Shares (all scores in [0, 1]) get two clusters of mean size on top, one all won and one all lost,
    as Bonett and Price (2012) add two items: bare, ten equal answers would prove two models equal. One cluster alone says nothing about
    others: the interval is then [-1, 1] for shares, infinite for other scores.
    """
    sums, sizes = _by_cluster(model, reference, clusters)
    n, count = int(sizes.sum()), len(sizes)
    shares = all(0 <= score <= 1 for score in (*model, *reference))
    if count == 1:
        bound = 1.0 if shares else float("inf")
        low, high = -bound, bound
    else:
        lows, highs = cluster_intervals(sums[:, None], sizes, shares=shares, num_resamples=num_resamples, seed=seed)
        low, high = float(lows[0]), float(highs[0])
    return Difference(estimate=float(sums.sum() / n), low=low, high=high, n=n, clusters=count)


def cluster_intervals(sums: Floats, sizes: Floats, *, shares: bool, num_resamples: int, seed: int) -> tuple[Floats, Floats]:
    """Lower and upper ends (comparisons,) of `paired_difference`; sums (clusters, comparisons) of the differences, sizes (clusters,).

    All comparisons see the same resamples. Without the clusters that `shares` adds these are the numbers of scipy.stats.bootstrap.
    """
    if shares:
        size = sizes.mean()
        added = np.broadcast_to(np.array([[size], [-size]]), (2, sums.shape[1]))
        sums, sizes = np.vstack([sums, added]), np.append(sizes, [size, size])
    count = len(sizes)
    source = np.random.default_rng(seed)
    means = np.empty((num_resamples, sums.shape[1]))
    for start in range(0, num_resamples, _BATCH):
        rows = min(_BATCH, num_resamples - start)
        drawn = source.integers(0, count, (rows, count)) + count * np.arange(rows)[:, None]
        weights = np.bincount(drawn.ravel(), minlength=rows * count).reshape(rows, count).astype(np.float64)
        means[start : start + rows] = (weights @ sums) / (weights @ sizes)[:, None]
    low, high = np.quantile(means, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2], axis=0)
    return low, high


def design_effect(model: Sequence[float], reference: Sequence[float], clusters: Sequence[str]) -> float:
    """How much larger the variance of the mean difference is than with as many independent items; 1 when no answer differs."""
    sums, sizes = _by_cluster(model, reference, clusters)
    n, count = sizes.sum(), len(sizes)
    if count < 2:
        raise ValueError("one cluster says nothing about others")
    difference = np.asarray(model, dtype=np.float64) - np.asarray(reference, dtype=np.float64)
    independent = float(difference.var(ddof=1) / n)
    clustered = float(((sums - sizes * difference.mean()) ** 2).sum() / n**2 * count / (count - 1))
    return clustered / independent if independent else 1.0


def mcnemar_p(model: Sequence[int], reference: Sequence[int]) -> float:
    """Exact two-sided p of McNemar's test on 0/1 scores, (n,) each. It takes items as independent; clusters make it optimistic."""
    from scipy.stats import binomtest

    changed = flips(model, reference)
    discordant = changed.lost + changed.won
    return float(binomtest(changed.won, discordant).pvalue) if discordant else 1.0


def flips(model: Sequence[int], reference: Sequence[int]) -> Flips:
    """Answers of the reference that the model lost and won; 0/1 scores, (n,) each."""
    _check_lengths(model, reference)
    if not {*model, *reference} <= {0, 1}:
        raise ValueError("flips need scores of 0 and 1")
    pairs = list(zip(model, reference, strict=True))
    return Flips(lost=pairs.count((0, 1)), won=pairs.count((1, 0)), n=len(pairs))


def _check_lengths(*scores: Sequence[object]) -> None:
    if len({len(one) for one in scores}) > 1:
        raise ValueError(f"scores of different length: {', '.join(str(len(one)) for one in scores)}")
    if not len(scores[0]):
        raise ValueError("no items to compare")


def _by_cluster(model: Sequence[float], reference: Sequence[float], clusters: Sequence[str]) -> tuple[Floats, Floats]:
    """Sum of the differences and number of items of every cluster."""
    _check_lengths(model, reference, clusters)
    difference = np.asarray(model, dtype=np.float64) - np.asarray(reference, dtype=np.float64)
    if not np.isfinite(difference).all():
        raise ValueError("a score is not a finite number")
    _, index = np.unique(np.asarray(clusters), return_inverse=True)
    sums: Floats = np.bincount(index, weights=difference).astype(np.float64)
    return sums, np.bincount(index).astype(np.float64)
