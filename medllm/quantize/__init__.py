"""Quantisation: every method is one function `f(source, prepared, target, *, knobs) -> QuantizeResult` named by its YAML.

`prepared` holds the calibration set, for the methods that calibrate.
"""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class QuantizeResult:
    """What a quantisation wrote. `tensors` counts weights by type, `fallbacks` names those that got another type than asked."""

    scheme: str
    bits_per_weight: float
    bytes: int
    tensors: dict[str, int]
    fallbacks: list[str] = field(default_factory=list)
