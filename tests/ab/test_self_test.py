import numpy as np
import pytest

from medllm.ab.null import SelfTest, self_test

KNOBS = {"num_resamples": 1000, "num_experiments": 1000}


def _scores(accuracy: float, *, clusters: int, seed: int) -> tuple[list[int], list[str]]:
    """Clusters of one to four items that mostly stand or fall together."""
    source = np.random.default_rng(seed)
    sizes = source.integers(1, 5, clusters)
    names = np.repeat(np.arange(clusters), sizes)
    together = source.random(clusters)[names] < accuracy
    own = source.random(len(names)) < accuracy
    return np.where(source.random(len(names)) < 0.7, together, own).astype(int).tolist(), [str(name) for name in names]


@pytest.mark.parametrize(("accuracy", "clusters"), [(0.5, 200), (0.9, 120), (0.97, 200), (0.5, 12)])
def test_a_model_is_seldom_told_apart_from_itself(accuracy: float, clusters: int) -> None:
    found = self_test(*_scores(accuracy, clusters=clusters, seed=clusters), seed=5, **KNOBS)
    assert found.holds
    assert found.rate < 0.075
    assert found.low <= found.rate <= found.high
    assert clusters < 100 or found.rate > 0.015  # it can err, so it is a test


def test_edges() -> None:
    sure = self_test([1] * 40, [str(i) for i in range(40)], seed=0, **KNOBS)
    assert (sure.false_positives, sure.holds) == (0, True)
    alone = self_test([1, 0, 1], ["a"] * 3, seed=0, **KNOBS)
    assert (alone.false_positives, alone.low) == (0, 0.0)
    many = _scores(0.5, clusters=40, seed=1)
    assert self_test(*many, seed=1, **KNOBS) == self_test(*many, seed=1, **KNOBS)
    assert SelfTest(num_experiments=1000, false_positives=64, low=0.0505, high=0.081).holds is False
