import subprocess
import sys

import pytest
from scipy import stats

from medllm.statistics.intervals import wilson_interval


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


@pytest.mark.parametrize("n", [1, 2, 7, 320, 100_000])
def test_wilson_is_that_of_scipy(n: int) -> None:
    for successes in {0, 1, n // 3, n - 1, n}:
        interval = stats.binomtest(successes, n).proportion_ci(method="wilson")
        assert wilson_interval(successes, n) == pytest.approx((interval.low, interval.high), abs=1e-12)
        low, high = wilson_interval(successes, n)
        assert 0 <= low <= successes / n <= high <= 1


@pytest.mark.parametrize(("successes", "n"), [(0, 0), (-1, 3), (4, 3)])
def test_no_share_is_an_error(successes: int, n: int) -> None:
    with pytest.raises(ValueError, match="no share"):
        wilson_interval(successes, n)


def test_an_interval_costs_no_import() -> None:
    code = "import sys, medllm.statistics.intervals; print(*sorted({'numpy', 'scipy', 'statsmodels'} & set(sys.modules)))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.split() == []
