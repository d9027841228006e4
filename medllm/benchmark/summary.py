"""Percentiles and same-round ratios of benchmark samples."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Column = NDArray[np.float64]


def summarise(
    rounds: Sequence[Mapping[str, Mapping[str, Any]]], *, baseline_a: str, baseline_b: str, prompt_tokens: int
) -> dict[str, dict[str, Any]]:
    """Per model: medians, 10th and 90th percentiles over rounds, and the same of the ratios to the baselines of the same round."""
    columns = {name: {key: _column(rounds, name, key) for key in ("ttft_s", "answer_s", "decode_tokens_per_s")} for name in rounds[0]}
    rate_a, rate_b = (columns[name]["decode_tokens_per_s"] for name in (baseline_a, baseline_b))
    result: dict[str, dict[str, Any]] = {}
    for name, column in columns.items():
        ttft, rate = column["ttft_s"], column["decode_tokens_per_s"]
        answer_ms = 1000 * column["answer_s"]
        result[name] = {
            "ttft_ms_p50": _percentile(1000 * ttft, 50),
            "ttft_ms_p95": _percentile(1000 * ttft, 95),
            "prefill_tokens_per_s": _percentile(prompt_tokens / ttft, 50),
            "answer_ms_p50": _percentile(answer_ms, 50),
            "answer_ms_p95": _percentile(answer_ms, 95),
            **spread("decode_tokens_per_s", rate),
            **spread("decode_ratio_to_a", rate / rate_a),
            **spread("decode_ratio_to_b", rate / rate_b),
        }
    return result


def _column(rounds: Sequence[Mapping[str, Mapping[str, Any]]], name: str, key: str) -> Column:
    return np.array([samples[name][key] for samples in rounds], dtype=np.float64)


def _percentile(values: Column, percent: float) -> float:
    return float(np.percentile(values, percent))


def spread(key: str, values: Column) -> dict[str, float]:
    """Median under `key`, 10th and 90th percentile under `key`_low and `key`_high."""
    return {key: _percentile(values, 50), f"{key}_low": _percentile(values, 10), f"{key}_high": _percentile(values, 90)}
