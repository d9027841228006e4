"""Size, speed and memory of every model, engine and compression apart."""

from collections.abc import Mapping
from typing import Any

from medllm.report import format as fmt
from medllm.report.chain import WHERE, Model, baselines, models_in_order, same_engine, with_extra_rows
from medllm.report.format import need
from medllm.report.tables import Row, Table, model_table


def size_table(compare: Mapping[str, Any]) -> Table:
    """Step, engine, type, parameters and bytes of every model."""

    def cells(m: Model) -> list[str]:
        get = m.metrics.get
        return [
            f"{m.step} · {m.method}" if m.method else m.step,
            fmt.plain(get("engine")),
            fmt.plain(get("dtype")),
            fmt.plain(get("parameters")),
            fmt.megabytes(get("bytes")),
            fmt.percent(m.ratio("bytes", "a")),
            fmt.percent(m.ratio("bytes", "b")),
        ]

    heads = ["단계 · 방법", "엔진", "dtype", "파라미터", "MB", "A 대비", "B 대비"]
    return model_table(compare, heads, cells, models=models_in_order(compare))


def gain_table(compare: Mapping[str, Any]) -> Table:
    """What each compressing step gained over what it compressed, in one engine: times smaller, times faster."""
    rows = []
    for m in models_in_order(compare):
        if m.compression is not None:
            gain = need(m.compression, "gain", f"{WHERE}: {m.name}.compression")
            cells = [
                m.step,
                need(m.compression, "against", WHERE),
                fmt.times(need(m.compression, "bytes", WHERE)),
                fmt.times(need(m.compression, "decode", WHERE)),
                "이득 있음" if gain else "압축 이득 없음 (no gain)",
            ]
            rows.append(Row(label=m.name, cells=cells, kind="pass" if gain else "warn"))
    return Table(columns=["모델", "단계", "견준 모델", "크기 (몇 배 작은가)", "decode (몇 배 빠른가)", "판정"], rows=rows)


def speed_table(compare: Mapping[str, Any]) -> Table:
    """Decode speed with engine and compression apart, and time to first token."""
    a, b = baselines(compare, models_in_order(compare))

    def shares(m: Model) -> list[str]:
        if same_engine(m, b):
            return [fmt.times(b.ratio("decode", "a")), fmt.times(m.ratio("decode", "b"))]
        return [fmt.MISSING, fmt.times(m.ratio("decode", "a")) if same_engine(m, a) else fmt.MISSING]

    def cells(m: Model) -> list[str]:
        get = m.metrics.get
        low, high = get("decode_tokens_per_s_low"), get("decode_tokens_per_s_high")
        return [
            fmt.fixed(get("decode_tokens_per_s")),
            fmt.MISSING if low is None or high is None else fmt.interval([low, high], digits=0 if high >= 1000 else 1),
            fmt.times(m.ratio("decode", "a")),
            fmt.times(m.ratio("decode", "b")),
            *shares(m),
            fmt.both(fmt.fixed(get("ttft_ms_p50")), fmt.fixed(get("ttft_ms_p95"))),
            fmt.fixed(get("prefill_tokens_per_s"), 0),
            fmt.fixed(get("answer_ms_p95")),
        ]

    heads = [
        "decode tok/s", "10–90 %", "A 대비", "B 대비", "엔진 몫 (A→B)", "압축 몫 (B→)",
        "TTFT ms p50 / p95", "prefill tok/s", "답변 p95 ms",
    ]  # fmt: skip
    return model_table(compare, heads, cells, models=with_extra_rows(compare))


def memory_table(compare: Mapping[str, Any]) -> Table:
    """Whole-process peak (measured) and resident weights (computed from the file), in MB, with ratios."""

    def cells(m: Model) -> list[str]:
        get = m.metrics.get
        return [
            fmt.megabytes(get("rss_import_bytes")),
            fmt.megabytes(get("rss_after_load_bytes")),
            fmt.megabytes(get("peak_rss_bytes")),
            *(fmt.percent(m.ratio("peak_rss", key)) for key in "ab"),
            fmt.megabytes(get("resident_weight_bytes")),
            *(fmt.percent(m.ratio("resident_weight", key)) for key in "ab"),
            fmt.fixed(get("load_s"), 2),
        ]

    heads = ["import 뒤 RSS", "로드 뒤 RSS", "최대 RSS", "A 대비", "B 대비", "상주 가중치 (계산값)", "A 대비", "B 대비", "로드 s"]
    return model_table(compare, heads, cells, models=with_extra_rows(compare))


def load_table(compare: Mapping[str, Any]) -> Table:
    """Several users at once, and what limits a model; no rows where no model was put under load."""

    def cells(m: Model) -> list[str]:
        get = m.metrics.get
        return [
            fmt.plain(get("users_in_budget")),
            fmt.fixed(get("answers_per_s_in_budget"), 2),
            fmt.fixed(get("cost_per_1000_answers"), 2),
            fmt.percent(get("cost_ratio_to_a")),
            fmt.both(fmt.fixed(get("inter_token_ms_p50"), 2), fmt.fixed(get("inter_token_ms_p95"), 2)),
            fmt.percent(get("bandwidth_share")),
        ]

    heads = ["함께 쓰는 사람", "답변/s", "답변 1,000개 값 (원)", "A 대비 값", "토큰 사이 ms p50 / p95", "메모리 대역폭 몫"]
    measured = [m for m in with_extra_rows(compare) if m.metrics.get("answers_per_s_in_budget") is not None]
    return model_table(compare, heads, cells, models=measured)
