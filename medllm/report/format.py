"""Numbers to text. A missing value is always "-", never 0."""

from collections.abc import Mapping, Sequence
from typing import Any

from medllm.errors import UserError

MISSING = "-"
VERDICTS = {"pass": "달성", "fail": "미달", "not_measured": "미측정"}
GATE_VERDICTS = {"pass": "통과", "fail": "실패", "cannot_tell": "판단 불가"}
_SHARE_UNITS = {"ratio", "fraction", "share", "accuracy"}
_TIMES_UNITS = {"x", "times", "ratio", "×"}


def need(mapping: Mapping[str, Any], key: str, where: str) -> Any:
    """`mapping[key]`; a missing key is a UserError that names the file."""
    if key not in mapping:
        raise UserError(f"{where}: no key {key!r}; run the stage that writes it again (dvc repro)")
    return mapping[key]


def fixed(value: float | None, digits: int = 1) -> str:
    """Thousands separators and `digits` decimals."""
    return MISSING if value is None else f"{value:,.{digits}f}"


def megabytes(value: float | None) -> str:
    """Bytes as MB (10^6), three significant digits below 100."""
    if value is None:
        return MISSING
    mega = value / 1e6
    return fixed(mega, 0 if mega >= 1000 else 1 if mega >= 10 else 2)


def percent(value: float | None, digits: int = 1) -> str:
    """A share of 1 as per cent."""
    return MISSING if value is None else f"{100 * value:.{digits}f} %"


def share_of(right: int, n: int, bounds: Sequence[float]) -> str:
    """A share with its interval in per cent: "95.2 % [93.0–96.9]"."""
    return f"{percent(right / n)} [{interval(bounds, scale=100)}]"


def times(value: float | None) -> str:
    """A factor: "11.0x"."""
    return MISSING if value is None else f"{value:,.{1 if abs(value) >= 10 else 2}f}x"


def interval(bounds: Sequence[float] | None, *, scale: float = 1.0, digits: int = 1) -> str:
    """[low, high] as "low–high"."""
    return MISSING if bounds is None else f"{scale * bounds[0]:,.{digits}f}–{scale * bounds[1]:,.{digits}f}"


def both(left: str, right: str) -> str:
    """Two texts with a bar; "-" when neither is there."""
    return MISSING if left == right == MISSING else f"{left} / {right}"


def plain(value: Any) -> str:
    """Any JSON scalar: integers with separators, floats with four significant digits, text as it is."""
    if value is None or value == "":
        return MISSING
    if isinstance(value, bool):
        return "예" if value else "아니요"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:,.1f}" if abs(value) >= 1000 else f"{value:.4g}"
    if isinstance(value, (list, tuple)):
        return ", ".join(plain(one) for one in value) or MISSING
    return str(value)


def target_value(value: float | None, unit: str, goal: float | None) -> str:
    """A target's number in its unit; a ratio is a per cent when its goal is at most 1, else a factor."""
    if value is None:
        return MISSING
    if unit == "points":
        return f"{100 * value:+.1f} %p"
    if unit in _SHARE_UNITS and (goal is None or goal <= 1):
        return percent(value)
    if unit in _TIMES_UNITS:
        return times(value)
    return f"{plain(value)} {unit}".strip()


def target_gap(value: float, unit: str, goal: float) -> str:
    """How far a value is from its goal, without a sign."""
    gap = abs(value - goal)
    return f"{100 * gap:.2g} %p" if unit == "points" or (unit in _SHARE_UNITS and goal <= 1) else target_value(gap, unit, 2.0)


def target_interval(bounds: Sequence[float] | None, unit: str, goal: float | None) -> str:
    """The interval of a target in the same unit as its value."""
    return MISSING if bounds is None else span([target_value(bound, unit, goal) for bound in bounds])


def span(ends: Sequence[str]) -> str:
    """Two texts with a unit as "low ~ high unit" (a tilde, because ends may be negative)."""
    low, high = ends
    number, _, unit = low.partition(" ")
    return f"{number} ~ {high}" if unit and high.endswith(f" {unit}") else f"{low} ~ {high}"


def metric_delta(value: float | None, metric: str) -> str:
    """A signed difference: percentage points for accuracies and rates, else the bare number."""
    if value is None:
        return MISSING
    return f"{100 * value:+.1f} %p" if "accuracy" in metric or metric.endswith("_rate") else f"{value:+.4g}"


def p_value(value: float | None) -> str:
    """A probability; never "0"."""
    return MISSING if value is None else "< 0.001" if value < 0.001 else f"{value:.3f}"


def flatten(values: Mapping[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    """Nested mappings as sorted (dotted key, scalar) pairs."""
    rows: list[tuple[str, Any]] = []
    for key in sorted(values):
        inner = values[key]
        rows += flatten(inner, f"{prefix}{key}.") if isinstance(inner, Mapping) else [(f"{prefix}{key}", inner)]
    return rows
