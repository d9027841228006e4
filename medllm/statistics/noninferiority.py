"""Is a model not worse than its reference by more than a margin, and how many items does it take to tell?"""

from math import ceil, isfinite, sqrt
from statistics import NormalDist
from typing import Literal

from medllm.statistics.paired import Difference

Verdict = Literal["pass", "fail", "cannot_tell"]
_ROUNDING = 1e-12


def judge(difference: Difference, *, margin: float) -> Verdict:
    """Fail when the whole interval of (model - reference) is below -margin, pass when none of it is, else cannot tell."""
    if difference.high < -margin:
        return "fail"
    return "pass" if difference.low >= -margin else "cannot_tell"


def items_needed(difference: Difference, *, margin: float) -> int | None:
    """Items, clustered alike, at which the same estimate would be judged: `n` when it is already, else at least n + 1.

    The interval narrows with the square root of the items. None when no number would do: an estimate at the margin, or one cluster.
    """
    if judge(difference, margin=margin) != "cannot_tell":
        return difference.n
    gap = difference.estimate + margin
    half = difference.estimate - difference.low if gap > 0 else difference.high - difference.estimate
    if abs(gap) < _ROUNDING or difference.clusters == 1 or not isfinite(half):
        return None
    return max(difference.n + 1, ceil(difference.n * (half / gap) ** 2))


def minimum_detectable_effect(*, discordant_share: float, n: int, power: float, alpha: float, design_effect: float) -> float:
    """Distance from -margin at which the one-sided test of `n` pairs passes with `power`, normal theory.

    It is also the smallest margin that n items can show equal models to keep. `discordant_share` of the items is right in one model
    alone, `design_effect` is that of the clusters (medllm.statistics.paired).
    """
    normal = NormalDist()
    return (normal.inv_cdf(1 - alpha) + normal.inv_cdf(power)) * _standard_error(0.0, discordant_share, n, design_effect)


def power_noninferior(*, difference: float, discordant_share: float, n: int, margin: float, alpha: float, design_effect: float) -> float:
    """Probability that `n` pairs show a true (model - reference) to be above -margin, one-sided at `alpha`, normal theory."""
    error = _standard_error(difference, discordant_share, n, design_effect)
    if not error:
        return float(difference > -margin)
    normal = NormalDist()
    return normal.cdf((difference + margin) / error - normal.inv_cdf(1 - alpha))


def _standard_error(difference: float, discordant_share: float, n: int, design_effect: float) -> float:
    if not abs(difference) <= discordant_share <= 1 or n < 1 or design_effect <= 0:
        raise ValueError(f"difference {difference} of {discordant_share} discordant, n {n}, design effect {design_effect}: cannot be")
    return sqrt((discordant_share - difference**2) * design_effect / n)
