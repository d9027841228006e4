import gc
from collections.abc import Iterator

import numpy as np
import pytest
from scipy import stats

from medllm.statistics.multiple import holm


def test_holm_by_hand() -> None:
    adjusted = holm({"b": 0.04, "a": 0.01, "c": 0.03, "d": 0.9})
    assert adjusted == pytest.approx({"b": 0.09, "a": 0.04, "c": 0.09, "d": 0.9})
    assert list(adjusted) == ["b", "a", "c", "d"]
    assert holm({"alone": 0.2}) == {"alone": 0.2}
    assert holm({}) == {}


@pytest.fixture
def _quick_collections() -> Iterator[None]:
    """Statsmodels collects garbage in every call, 50 ms in a process with torch; what is frozen is not looked at."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.mark.usefixtures("_quick_collections")
@pytest.mark.parametrize("true_effects", [0, 3])
def test_family_wise_error_on_simulated_nulls(true_effects: int) -> None:
    source = np.random.default_rng(3)
    p = source.random((2000, 8))
    p[:, :true_effects] *= 1e-6  # found for sure; the others are nulls
    names = [str(i) for i in range(8)]
    families = (holm(dict(zip(names, row, strict=True))) for row in p.tolist())
    any_false = sum(min(adjusted[name] for name in names[true_effects:]) <= 0.05 for adjusted in families)
    assert any_false <= stats.binom.ppf(0.999, 2000, 0.05)
    assert any_false >= stats.binom.ppf(0.001, 2000, 0.04)  # and not for want of any power: independent nulls use up nearly all of it
