import numpy as np
import pytest
from scipy import special, stats

from medllm.statistics.divergence import kl_divergence, top1_agreement


def _random(positions: int, vocabulary: int, seed: int) -> np.ndarray:
    return special.log_softmax(np.random.default_rng(seed).normal(size=(positions, vocabulary)) * 3, axis=1)


def test_kl_is_the_mean_entropy_of_scipy() -> None:
    p, q = _random(40, 300, 1), _random(40, 300, 2)
    expected = np.mean([stats.entropy(np.exp(a), np.exp(b)) for a, b in zip(p, q, strict=True)])
    assert kl_divergence(p, q) == pytest.approx(expected)
    assert kl_divergence(p.astype(np.float32), q.astype(np.float32)) == pytest.approx(expected, rel=1e-5)
    assert kl_divergence(p, p) == 0
    assert kl_divergence(p, q) != pytest.approx(kl_divergence(q, p))


def test_padding_columns_count_for_nothing() -> None:
    p, q = _random(20, 100, 3), _random(20, 128, 4)
    cut = special.log_softmax(q[:, :100], axis=1)
    expected = np.mean([stats.entropy(np.exp(a), np.exp(b)) for a, b in zip(p, cut, strict=True)])
    assert kl_divergence(p, q) == pytest.approx(expected)
    q[:, 120] = 50.0  # the likeliest column of all, were it not padding
    assert kl_divergence(p, q) == pytest.approx(expected)
    assert top1_agreement(p, q) == pytest.approx((p.argmax(axis=1) == cut.argmax(axis=1)).mean())


def test_impossible_tokens() -> None:
    with np.errstate(divide="ignore"):
        half, sure = np.log([[0.5, 0.5]]), np.log([[1.0, 0.0]])
    assert kl_divergence(sure, half) == pytest.approx(np.log(2))
    assert kl_divergence(half, sure) == np.inf
    assert kl_divergence(sure, sure) == 0
    tiny = np.array([[0.0, -2000.0]])  # exp underflows, the logarithm does not
    assert kl_divergence(np.log([[0.5, 0.5]]), tiny) == pytest.approx(1000 - np.log(2))


def test_top1_agreement() -> None:
    p = np.log([[0.6, 0.4], [0.3, 0.7], [0.9, 0.1], [0.2, 0.8]])
    q = np.log([[0.4, 0.6], [0.1, 0.9], [0.8, 0.2], [0.3, 0.7]])
    assert top1_agreement(p, q) == 0.75


@pytest.mark.parametrize(("p", "q"), [((3, 4), (2, 4)), ((0, 4), (0, 4)), ((3, 0), (3, 4)), ((3,), (3, 4))])
def test_other_shapes_are_errors(p: tuple[int, ...], q: tuple[int, ...]) -> None:
    for measure in (kl_divergence, top1_agreement):
        with pytest.raises(ValueError, match="not the same positions"):
            measure(np.zeros(p), np.zeros(q))
