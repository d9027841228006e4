"""Percentiles and same-round ratios of benchmark samples."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medllm.benchmark.bandwidth import PROBE

Column = NDArray[np.float64]


def summarise(
    rounds: Sequence[Mapping[str, Mapping[str, Any]]], *, baseline_a: str, baseline_b: str, prompt_tokens: int,
    bytes_read: Mapping[str, float],
) -> dict[str, dict[str, Any]]:  # fmt: skip
    """Per model of `bytes_read` (for a token): medians, 10th and 90th percentiles over rounds, and the same of what is divided by another
    worker's sample of the same round: the ratios to the baselines, and the share of the memory bandwidth."""  # fmt: skip
    keys = ("ttft_s", "answer_s", "decode_tokens_per_s")
    columns = {name: {key: _column(rounds, name, key) for key in keys} for name in bytes_read}
    rate_a, rate_b = (columns[name]["decode_tokens_per_s"] for name in (baseline_a, baseline_b))
    bandwidth = _column(rounds, PROBE, "bandwidth_bytes_per_s")
    result: dict[str, dict[str, Any]] = {}
    for name, column in columns.items():
        ttft, rate = column["ttft_s"], column["decode_tokens_per_s"]
        result[name] = {
            **percentiles("ttft_ms", 1000 * ttft, 50, 95, 99),
            "prefill_tokens_per_s": _percentile(prompt_tokens / ttft, 50),
            **percentiles("answer_ms", 1000 * column["answer_s"], 50, 95),
            **inter_token(np.concatenate([samples[name]["inter_token_s"] for samples in rounds])),
            **spread("decode_tokens_per_s", rate),
            **spread("decode_ratio_to_a", rate / rate_a),
            **spread("decode_ratio_to_b", rate / rate_b),
            "bytes_read_per_token": int(bytes_read[name]),
            **spread("bandwidth_share", bytes_read[name] * rate / bandwidth),
        }
    return result


def inter_token(gaps: Column) -> dict[str, float]:
    """Percentiles of the seconds between tokens, in ms."""
    return percentiles("inter_token_ms", 1000 * gaps, 50, 95, 99)


def percentiles(key: str, values: Column, *percents: int) -> dict[str, float]:
    """`key`_p50 and so on."""
    return {f"{key}_p{percent}": _percentile(values, percent) for percent in percents}


def _column(rounds: Sequence[Mapping[str, Mapping[str, Any]]], name: str, key: str) -> Column:
    return np.array([samples[name][key] for samples in rounds], dtype=np.float64)


def _percentile(values: Column, percent: float) -> float:
    return float(np.percentile(values, percent))


def spread(key: str, values: Column) -> dict[str, float]:
    """Median under `key`, 10th and 90th percentile under `key`_low and `key`_high."""
    return {key: _percentile(values, 50), f"{key}_low": _percentile(values, 10), f"{key}_high": _percentile(values, 90)}
