"""Interval of one share. Standard library only: every process that evaluates a model imports it."""

from math import sqrt
from statistics import NormalDist

CONFIDENCE = 0.95


def wilson_interval(successes: int, n: int) -> tuple[float, float]:
    """Wilson score interval, 95 % (Wilson 1927); n >= 1."""
    if not 0 <= successes <= n or n < 1:
        raise ValueError(f"{successes} of {n} is no share")
    z = NormalDist().inv_cdf((1 + CONFIDENCE) / 2)
    share, weight = successes / n, z * z / n
    centre = (share + weight / 2) / (1 + weight)
    half = z * sqrt(share * (1 - share) / n + weight / (4 * n)) / (1 + weight)
    # The ends are exactly 0 and 1 there; floating point misses them by a hair.
    return (centre - half if successes else 0.0), (centre + half if successes < n else 1.0)
