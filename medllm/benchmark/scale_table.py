"""A result of run_scale as Markdown: the conditions in a line, a row a model, and the verdicts."""

from collections.abc import Mapping, Sequence
from typing import Any

_MB = 1e6


def markdown(result: Mapping[str, Any]) -> str:
    """The tables of one result file."""
    conditions = result["conditions"]
    bandwidth = _range(conditions, "bandwidth_bytes_per_s", 1e9, 1)
    head = (
        f"{result['shape']}, {result['date']}: {conditions['device']}; random weights, batch 1, {conditions['rounds']} rounds in turns, "
        f"{conditions['answer_tokens']} new tokens; median (p10-p90); memory read at {bandwidth} GB/s"
    )
    lengths = conditions["prompt_tokens"]
    columns = [*_HEADER, *(f"first token ms at {length}" for length in lengths)]
    rows = [_row(row, lengths) for row in result["rows"]]
    return "\n\n".join([head, _table(columns, rows), _verdicts(result["verdicts"])])


_HEADER = ("model", "type", "MB", "of A", "peak RSS MB", "of A", "of B", "KV MB", "load s", "decode tok/s", "x A", "x B", "bandwidth used")


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    return "\n".join(f"| {' | '.join(cells)} |" for cells in [columns, ["---"] * len(columns), *rows])


def _row(row: Mapping[str, Any], lengths: Sequence[int]) -> list[str]:
    return [
        row["model"], row["dtype"], f"{row['bytes'] / _MB:.0f}", f"{row['bytes_to_a']:.0%}", f"{row['peak_rss_bytes'] / _MB:.0f}",
        f"{row['peak_rss_to_a']:.0%}", f"{row['peak_rss_to_b']:.0%}", f"{row['kv_cache_bytes'] / _MB:.0f}", f"{row['load_s']:.1f}",
        _range(row, "decode_tokens_per_s", 1, 1), _range(row, "decode_to_a", 1, 2), _range(row, "decode_to_b", 1, 2),
        f"{row['bandwidth_share']:.0%}", *(_range(row, f"ttft_{length}_ms", 1, 0) for length in lengths),
    ]  # fmt: skip


def _range(row: Mapping[str, Any], key: str, unit: float, digits: int) -> str:
    middle, low, high = (row[key + end] / unit for end in ("", "_low", "_high"))
    return f"{middle:.{digits}f} ({low:.{digits}f}-{high:.{digits}f})"


def _verdicts(entries: Sequence[Mapping[str, Any]]) -> str:
    rows = [
        [e["model"], e["key"], e["origin"], f"{e['value']:.2f}", f"{e['op']} {e['bound']:g}", "yes" if e["met"] else "no"] for e in entries
    ]
    return _table(("model", "target", "of", "measured", "wanted", "met"), rows)
