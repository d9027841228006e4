"""What the design promises at true scale (section 6), held against the rows that were measured."""

from collections.abc import Mapping, Sequence
from typing import Any

# (target, key of the row, <= or >=, bound). The brief's own targets are for every compressed model, ours for those in 4 bits.
BRIEF = (
    ("size", "bytes_to_a", "<=", 0.5),
    ("decode", "decode_to_a", ">=", 2.0),
    ("peak_memory", "peak_rss_to_a", "<=", 0.3),
)
OURS = (
    ("size", "bytes_to_a", "<=", 0.25),
    ("decode", "decode_to_a", ">=", 6.0),
    ("decode", "decode_to_b", ">=", 2.0),
    ("resident_weights", "resident_weight_to_a", "<=", 0.3),
    ("peak_memory", "peak_rss_to_a", "<=", 0.25),
    ("peak_memory", "peak_rss_to_b", "<=", 0.4),
)
_FIRST_TOKEN = (1.0, "ttft_", "_to_a")  # no worse than A, at every prompt length
_FOUR_BITS = ("q4_", "iq4_")


def verdicts(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """One entry for each target of each row that is no baseline; a ratio measured in rounds carries its p10 and p90."""
    found = []
    for row in rows:
        if row["baseline"]:
            continue
        checks = [("brief", *check) for check in BRIEF]
        if str(row["dtype"]).startswith(_FOUR_BITS):
            checks += [("ours", *check) for check in OURS]
        bound, start, end = _FIRST_TOKEN
        checks += [("ours", "first_token", key, "<=", bound) for key in row if key.startswith(start) and key.endswith(end)]
        found += [_verdict(row, *check) for check in checks]
    return found


def _verdict(row: Mapping[str, Any], origin: str, target: str, key: str, op: str, bound: float) -> dict[str, Any]:
    value = row[key]
    met = value <= bound if op == "<=" else value >= bound
    spread = {end: row[f"{key}_{end}"] for end in ("low", "high") if f"{key}_{end}" in row}
    return {
        "model": row["model"], "origin": origin, "target": target, "key": key, "value": value, **spread, "op": op, "bound": bound,
        "met": bool(met),
    }  # fmt: skip
