"""Ratios between models: to the baselines, and of a compression step to what it compressed."""

from collections.abc import Mapping
from typing import Any

from medllm.compare.rows import Row

# Steps that promise to make a model smaller or faster; the others train, and have nothing to gain here.
_COMPRESSING = frozenset({"prune", "quantize"})
_UNQUANTISED_GGUF = "f16"


def ratios_to(row: Row, baseline: Row) -> dict[str, float]:
    """Own value / baseline value, of bytes and memory."""
    own, other = row.metrics, baseline.metrics
    return {
        "bytes": own["bytes"] / other["bytes"],
        "peak_rss": own["peak_rss_bytes"] / other["peak_rss_bytes"],
        "resident_weight": own["resident_weight_bytes"] / other["resident_weight_bytes"],
    }


def all_ratios(row: Row, *, a: Row, b: Row) -> dict[str, float]:
    """Bytes, decode and memory against both baselines; decode is the median of same-round ratios."""
    to_a, to_b = ratios_to(row, a), ratios_to(row, b)
    return {
        "bytes_to_a": to_a["bytes"],
        "bytes_to_b": to_b["bytes"],
        "decode_to_a": row.metrics["decode_ratio_to_a"],
        "decode_to_b": row.metrics["decode_ratio_to_b"],
        "peak_rss_to_a": to_a["peak_rss"],
        "peak_rss_to_b": to_b["peak_rss"],
        "resident_weight_to_a": to_a["resident_weight"],
        "resident_weight_to_b": to_b["resident_weight"],
    }


def compression_of(row: Row, rows: Mapping[str, Row]) -> dict[str, Any] | None:
    """What the model's own step gained over the model it compressed, both in one engine: {"against", "bytes", "decode", "gain"}.

    `bytes` is how many times smaller, `decode` how many times faster; a ratio <= 1 in either is no gain. A GGUF is held against the
    unquantised GGUF of the same parent, so that the engine's own speed is not credited to the compression. None where there is
    nothing to hold it against (a training step, a change of engine).
    """
    against = _uncompressed(row, rows)
    if row.lineage.step not in _COMPRESSING or against is None:
        return None
    smaller = against.metrics["bytes"] / row.metrics["bytes"]
    faster = row.metrics["decode_ratio_to_b"] / against.metrics["decode_ratio_to_b"]
    return {"against": against.name, "bytes": smaller, "decode": faster, "gain": smaller > 1 and faster > 1}


def _uncompressed(row: Row, rows: Mapping[str, Row]) -> Row | None:
    parent = rows.get(row.lineage.parent or "")
    if parent is None or parent.deployable == row.deployable:
        return parent
    for other in rows.values():
        sibling = other.deployable == row.deployable and other.lineage.parent == row.lineage.parent and other.name != row.name
        if sibling and other.metrics["dtype"] == _UNQUANTISED_GGUF:
            return other
    return None
