import numpy as np
import pytest

from medllm.statistics import paired_difference, wilson_interval


@pytest.mark.parametrize(
    ("successes", "n", "low", "high"),
    [
        (0, 10, 0.0, 0.27753),  # closed form z^2 / (n + z^2)
        (10, 10, 0.72247, 1.0),
        (5, 10, 0.23659, 0.76341),
        (81, 263, 0.25529, 0.36621),  # Newcombe 1998, table I, method 3
        (15, 148, 0.06238, 0.16054),  # Newcombe 1998
        (1, 29, 0.00611, 0.17176),  # Newcombe 1998
    ],
)
def test_wilson_known_values(successes: int, n: int, low: float, high: float) -> None:
    assert wilson_interval(successes, n) == pytest.approx((low, high), abs=6e-5)


def _simulate(source: np.random.Generator, *, clusters: int, shift: float) -> tuple[list[int], list[int], list[str]]:
    """Two models on 4 questions a fact, each fact with its own difficulty for each model: items of one fact stand or fall together."""
    names = np.repeat(np.arange(clusters), 4)
    skill = source.random((2, clusters)) * 0.6 + 0.3
    skill[0] += shift
    scores = source.random((2, len(names))) < skill[:, names]
    return scores[0].astype(int).tolist(), scores[1].astype(int).tolist(), [str(name) for name in names]


def test_equal_models_are_seldom_told_apart() -> None:
    source = np.random.default_rng(1)
    excluded = 0
    for seed in range(120):
        difference = paired_difference(*_simulate(source, clusters=60, shift=0.0), num_resamples=300, seed=seed)
        excluded += not difference.low <= 0 <= difference.high
    assert excluded / 120 <= 0.12  # nominal 0.05; two and a half standard errors of 120 runs above it is 0.10


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


def test_one_cluster_tells_nothing_and_no_item_is_an_error() -> None:
    alone = paired_difference([1, 1, 0], [1, 0, 0], ["a"] * 3, num_resamples=50, seed=0)
    assert (alone.low, alone.high) == (-1.0, 1.0)
    with pytest.raises(ValueError, match="no items"):
        paired_difference([], [], [], num_resamples=50, seed=0)
    with pytest.raises(ValueError, match="different length"):
        paired_difference([1], [1, 0], ["a", "b"], num_resamples=50, seed=0)
