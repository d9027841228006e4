from math import comb

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from medllm.statistics.paired import Flips, cluster_intervals, design_effect, flips, mcnemar_p, paired_difference

Floats = NDArray[np.float64]


def _simulate(source: np.random.Generator, *, clusters: int, shift: float) -> tuple[list[int], list[int], list[str]]:
    """Two models on 4 questions a fact, each fact with its own difficulty for each model: items of one fact stand or fall together."""
    names = np.repeat(np.arange(clusters), 4)
    skill = source.random((2, clusters)) * 0.6 + 0.3
    skill[0] += shift
    scores = source.random((2, len(names))) < skill[:, names]
    return scores[0].astype(int).tolist(), scores[1].astype(int).tolist(), [str(name) for name in names]


def _cluster_sums(source: np.random.Generator, *, sizes: Floats, experiments: int) -> Floats:
    """(clusters, experiments) sums of the differences of two equally good models, items of a cluster alike."""
    skill = source.random((2, len(sizes), experiments)) * 0.6 + 0.3
    right = source.binomial(sizes.astype(int)[None, :, None], skill)
    return (right[0] - right[1]).astype(np.float64)


@pytest.mark.parametrize("sizes", [np.full(60, 4.0), np.tile([1.0, 1, 2, 5], 30), np.full(400, 1.0)], ids=["equal", "uneven", "single"])
def test_equal_models_are_told_apart_as_often_as_promised(sizes: Floats) -> None:
    sums = _cluster_sums(np.random.default_rng(1), sizes=sizes, experiments=2000)
    low, high = cluster_intervals(sums, sizes, shares=True, num_resamples=1000, seed=0)
    above, below = int((low > 0).sum()), int((high < 0).sum())
    fewest, most = stats.binom.interval(0.999, 2000, 0.05)
    assert fewest * 0.5 <= above + below <= most  # clusters on top cost a little power, never level
    assert abs(above - below) < 4 * np.sqrt(above + below)


def test_ten_equal_answers_prove_nothing() -> None:
    same = paired_difference([1] * 10, [1] * 10, [str(i) for i in range(10)], num_resamples=2000, seed=0)
    assert same.estimate == 0
    assert -0.35 < same.low < -0.15
    assert 0.15 < same.high < 0.35
    many = paired_difference([1] * 1000, [1] * 1000, [str(i) for i in range(1000)], num_resamples=2000, seed=0)
    assert -0.004 < many.low <= many.high < 0.004


@pytest.mark.parametrize("num_resamples", [2, 300, 1200])
def test_bare_intervals_are_those_of_scipy(num_resamples: int) -> None:
    source = np.random.default_rng(5)
    scores, others = source.normal(size=(2, 90)) * 10
    clusters = [str(one) for one in source.integers(0, 30, 90)]
    ours = paired_difference(scores.tolist(), others.tolist(), clusters, num_resamples=num_resamples, seed=3)
    names, index = np.unique(clusters, return_inverse=True)
    theirs = stats.bootstrap(
        (np.bincount(index, weights=scores - others), np.bincount(index)), lambda s, n, axis: s.sum(axis=axis) / n.sum(axis=axis),
        paired=True, vectorized=True, n_resamples=num_resamples, method="percentile", rng=np.random.default_rng(3),
    ).confidence_interval  # fmt: skip
    assert (ours.low, ours.high, ours.clusters) == pytest.approx((theirs.low, theirs.high, len(names)))


def test_comparisons_do_not_disturb_each_other() -> None:
    sizes = np.tile([1.0, 3], 20)
    sums = _cluster_sums(np.random.default_rng(4), sizes=sizes, experiments=7)
    low, high = cluster_intervals(sums, sizes, shares=True, num_resamples=700, seed=9)
    for i in range(7):
        one = cluster_intervals(sums[:, [i]], sizes, shares=True, num_resamples=700, seed=9)
        assert (low[i], high[i]) == pytest.approx((one[0][0], one[1][0]), abs=1e-12)


def test_independent_items_would_be_too_narrow() -> None:
    model, reference, clusters = _simulate(np.random.default_rng(2), clusters=80, shift=0.0)
    by_cluster = paired_difference(model * 5, reference * 5, clusters * 5, num_resamples=500, seed=0)
    by_item = paired_difference(model * 5, reference * 5, [str(i) for i in range(len(model) * 5)], num_resamples=500, seed=0)
    assert by_cluster.high - by_cluster.low > 1.8 * (by_item.high - by_item.low)
    assert by_cluster.estimate == by_item.estimate == pytest.approx(np.mean(model) - np.mean(reference))


def test_a_worse_model_is_seen_and_the_seed_decides_all() -> None:
    scores = _simulate(np.random.default_rng(3), clusters=100, shift=-0.3)
    first = paired_difference(*scores, num_resamples=400, seed=7)
    assert first == paired_difference(*scores, num_resamples=400, seed=7)
    assert first.high < -0.15
    assert (first.n, first.clusters) == (400, 100)


def test_unequal_cluster_sizes_weigh_items_not_clusters() -> None:
    difference = paired_difference([0] * 9 + [1], [1] * 10, ["a"] * 9 + ["b"], num_resamples=50, seed=0)
    assert difference.estimate == pytest.approx(-0.9)


def test_one_cluster_tells_nothing_and_bad_scores_are_errors() -> None:
    alone = paired_difference([1, 1, 0], [1, 0, 0], ["a"] * 3, num_resamples=50, seed=0)
    assert (alone.low, alone.high) == (-1.0, 1.0)
    unbounded = paired_difference([1.5, 1.0], [0.0, 0.0], ["a"] * 2, num_resamples=50, seed=0)
    assert (unbounded.low, unbounded.high) == (-np.inf, np.inf)
    with pytest.raises(ValueError, match="no items"):
        paired_difference([], [], [], num_resamples=50, seed=0)
    with pytest.raises(ValueError, match="different length"):
        paired_difference([1], [1, 0], ["a", "b"], num_resamples=50, seed=0)
    with pytest.raises(ValueError, match="finite"):
        paired_difference([1, float("nan")], [1, 0], ["a", "b"], num_resamples=50, seed=0)
    with pytest.raises(ValueError, match="0 and 1"):
        mcnemar_p([0.5], [1])  # type: ignore[list-item]


@pytest.mark.parametrize(("copies", "expected"), [(1, 1.0), (5, 5.0)])
def test_design_effect_of_copied_items(copies: int, expected: float) -> None:
    source = np.random.default_rng(6)
    model, reference = source.integers(0, 2, (2, 500))
    names = [str(i) for i in range(500)]
    found = design_effect(np.repeat(model, copies).tolist(), np.repeat(reference, copies).tolist(), np.repeat(names, copies).tolist())
    assert found == pytest.approx(expected, rel=0.01)
    assert design_effect([1, 0], [1, 0], ["a", "b"]) == 1


def _enumerated(lost: int, won: int) -> float:
    """Two-sided p by counting every way that the discordant items could have fallen."""
    n = lost + won
    ways = sum(comb(n, k) for k in range(n + 1) if comb(n, k) <= comb(n, won))
    return ways / 2**n


@pytest.mark.parametrize(("lost", "won"), [(0, 0), (0, 1), (1, 0), (0, 6), (3, 3), (2, 9), (11, 4), (1, 20)])
def test_mcnemar_by_enumeration_and_flips(lost: int, won: int) -> None:
    model, reference = [1] * 5 + [0] * lost + [1] * won + [0] * 7, [1] * 5 + [1] * lost + [0] * won + [0] * 7
    assert mcnemar_p(model, reference) == pytest.approx(_enumerated(lost, won))
    assert flips(model, reference) == Flips(lost=lost, won=won, n=12 + lost + won)
    assert flips(model, reference).rate == pytest.approx((lost + won) / (12 + lost + won))


def test_mcnemar_on_a_thousand_equal_pairs_errs_at_its_attainable_level() -> None:
    n, share = 200, 0.1
    rejects = {(lost, won): _enumerated(lost, won) <= 0.05 for lost in range(60) for won in range(60)}
    level = sum(
        stats.multinomial.pmf([lost, won, n - lost - won], n, [share / 2, share / 2, 1 - share])
        for (lost, won), rejected in rejects.items() if rejected
    )  # fmt: skip
    assert 0.02 < level < 0.05  # exact, so conservative
    source, errors = np.random.default_rng(8), 0
    for _ in range(1000):
        fate = source.choice(3, n, p=[share / 2, share / 2, 1 - share])
        errors += mcnemar_p((fate == 0).astype(int).tolist(), (fate == 1).astype(int).tolist()) <= 0.05
    fewest, most = stats.binom.interval(0.999, 1000, level)
    assert fewest <= errors <= most
