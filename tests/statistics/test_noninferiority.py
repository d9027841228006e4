import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from medllm.statistics.noninferiority import items_needed, judge, minimum_detectable_effect, power_noninferior
from medllm.statistics.paired import Difference, cluster_intervals

Floats = NDArray[np.float64]


def _difference(estimate: float, low: float, high: float, n: int = 400, clusters: int = 100) -> Difference:
    return Difference(estimate=estimate, low=low, high=high, n=n, clusters=clusters)


def _sums(experiments: int, *, clusters: int, size: int, difference: float, discordant: float, alike: float, seed: int) -> Floats:
    """(clusters, experiments) sums of -1, 0, 1; a share `alike` of the items follows its cluster instead of its own coin."""
    source = np.random.default_rng(seed)
    chances = np.array([(discordant - difference) / 2, 1 - discordant, (discordant + difference) / 2])
    shape = (clusters, size, experiments)
    own, common = (np.searchsorted(chances.cumsum(), source.random(s)) - 1 for s in (shape, (clusters, 1, experiments)))
    drawn = np.where(source.random(shape) < alike, common, own) if alike else own
    return np.asarray(drawn.sum(axis=1, dtype=np.float64))


def _passes(sums: Floats, *, size: int, margin: float) -> float:
    low, _ = cluster_intervals(sums, np.full(len(sums), float(size)), shares=True, num_resamples=1000, seed=0)
    return float((low >= -margin).mean())


@pytest.mark.parametrize(
    ("estimate", "low", "high", "verdict"),
    [
        (0.0, -0.01, 0.01, "pass"),
        (0.0, -0.02, 0.01, "pass"),
        (0.0, -0.021, 0.01, "cannot_tell"),
        (-0.03, -0.05, -0.02, "cannot_tell"),
        (-0.03, -0.05, -0.021, "fail"),
    ],
)
def test_judge(estimate: float, low: float, high: float, verdict: str) -> None:
    assert judge(_difference(estimate, low, high), margin=0.02) == verdict


@pytest.mark.parametrize(
    ("clusters", "size", "difference", "discordant", "alike"),
    [(194, 1, -0.02, 0.02, 0.0), (194, 2, -0.02, 0.05, 0.3), (116, 1, -0.05, 0.08, 0.0), (60, 4, -0.05, 0.2, 0.6), (10, 2, -0.1, 0.2, 0.5),
     (30, 1, -0.05, 0.1, 0.0)],
)  # fmt: skip
def test_a_model_at_the_margin_passes_no_more_often_than_nominal(
    clusters: int, size: int, difference: float, discordant: float, alike: float
) -> None:
    sums = _sums(2000, clusters=clusters, size=size, difference=difference, discordant=discordant, alike=alike, seed=clusters)
    # On the margin itself: what lies exactly there counts as passed, so rounding decides nothing.
    assert _passes(sums, size=size, margin=-difference + 1e-9) <= stats.binom.ppf(0.999, 2000, 0.025) / 2000


@pytest.mark.parametrize(
    ("n", "size", "difference", "discordant", "margin"),
    [(1200, 1, 0.0, 0.05, 0.02), (1200, 1, -0.005, 0.08, 0.03), (1200, 3, 0.0, 0.05, 0.04), (900, 1, -0.5, 0.6, 0.57)],
)
def test_power_is_that_of_theory(n: int, size: int, difference: float, discordant: float, margin: float) -> None:
    alike = 0.0 if size == 1 else 1.0  # whole clusters fall together: the design effect is their size
    sums = _sums(4000, clusters=n // size, size=size, difference=difference, discordant=discordant, alike=alike, seed=n)
    expected = power_noninferior(
        difference=difference, discordant_share=discordant, n=n, margin=margin, alpha=0.025, design_effect=float(size)
    )
    assert 0.7 < expected < 0.98
    assert _passes(sums, size=size, margin=margin) == pytest.approx(expected, abs=0.02)


def test_power_at_the_margin_is_alpha_and_grows() -> None:
    def power(**changed: float) -> float:
        knobs = {"difference": 0.0, "discordant_share": 0.05, "margin": 0.02, "alpha": 0.025, "design_effect": 1.0} | changed
        return power_noninferior(n=int(knobs.pop("n", 400)), **knobs)

    assert power(difference=-0.02) == pytest.approx(0.025)
    assert power() < power(n=800) < power(n=800, margin=0.03)
    assert power(n=800, design_effect=2.0) == pytest.approx(power(n=400))
    assert power(discordant_share=0.0) == 1.0  # no doubt left
    assert power(discordant_share=0.0, margin=0.0) == 0.0
    for wrong in ({"difference": 0.1}, {"n": 0}, {"design_effect": 0.0}, {"discordant_share": 1.1}):
        with pytest.raises(ValueError, match="cannot be"):
            power(**wrong)


@pytest.mark.parametrize(("n", "discordant", "design"), [(320, 0.03, 1.3), (5000, 0.2, 1.0)])
def test_equal_models_keep_the_detectable_margin_with_the_stated_power(n: int, discordant: float, design: float) -> None:
    margin = minimum_detectable_effect(discordant_share=discordant, n=n, power=0.8, alpha=0.025, design_effect=design)
    again = power_noninferior(difference=0.0, discordant_share=discordant, n=n, margin=margin, alpha=0.025, design_effect=design)
    assert again == pytest.approx(0.8)
    assert margin == pytest.approx(2.8016 * np.sqrt(discordant * design / n), rel=1e-4)  # 1.9600 + 0.8416


@pytest.mark.parametrize(
    ("difference", "needed"),
    [
        (_difference(0.0, -0.04, 0.04), 1600),  # half as wide with four times the items
        (_difference(-0.04, -0.08, 0.0), 1600),  # the other side
        (_difference(0.0, -0.0200001, 0.02), 401),
        (_difference(0.0, -0.01, 0.01), 400),
        (_difference(-0.09, -0.10, -0.08), 400),
        (_difference(-0.02, -0.04, 0.01), None),
        (_difference(0.5, -1.0, 1.0, n=3, clusters=1), None),
        (_difference(0.5, -np.inf, np.inf, n=3, clusters=1), None),
    ],
)
def test_items_needed(difference: Difference, needed: int | None) -> None:
    assert items_needed(difference, margin=0.02) == needed


@pytest.mark.parametrize(("true", "margin"), [(0.0, 0.02), (-0.045, 0.02)])
def test_with_the_items_needed_a_model_like_the_estimate_is_judged_as_often_as_not(true: float, margin: float) -> None:
    """The estimate of a larger test is as often better as worse, so the interval clears the margin about half of the time."""
    knobs = {"size": 2, "difference": true, "discordant": 0.12, "alike": 0.5}
    low, high = cluster_intervals(_sums(500, clusters=150, seed=1, **knobs), np.full(150, 2.0), shares=True, num_resamples=1000, seed=0)
    typical = _difference(true, float(np.median(low)), float(np.median(high)), n=300, clusters=150)
    needed = items_needed(typical, margin=margin)
    assert needed is not None
    assert needed > 300

    def decided(items: int) -> float:
        sums = _sums(1000, clusters=items // 2, seed=2, **knobs)
        low, high = cluster_intervals(sums, np.full(len(sums), 2.0), shares=True, num_resamples=500, seed=0)
        return float(((low >= -margin) | (high < -margin)).mean())

    assert decided(needed) == pytest.approx(0.5, abs=0.1)
    assert decided(300) < decided(needed) - 0.1
