"""The tables of the report as text cells, shared by HTML and Markdown."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from medllm.report import format as fmt
from medllm.report.chain import WHERE, Model, baselines, models_in_order, same_engine, with_extra_rows
from medllm.report.format import need

TARGETS = {
    "size_int8": "모델 크기 (INT8 = Q8_0)",
    "size": "모델 크기 (champion)",
    "decode_speed": "추론 속도 (decode)",
    "decode_vs_b": "추론 속도, B 대비",
    "peak_memory": "최대 메모리 (프로세스 전체)",
    "resident_weights": "상주 가중치 메모리 (계산값)",
    "accuracy_answer": "생성 답변 정확도",
    "accuracy_vs_teacher": "teacher와의 정확도 차이",
    "medical_accuracy": "의료 정확도",
    "answer_time": "응답 시간 (p95)",
    "cost": "답변당 비용",
    "staff_workload": "상담 인력 업무량",
    "service_24h": "24시간 서비스",
    "emergencies": "응급 신호 감지",
}
_TASKS = {"answer": "생성 답변", "choice": "객관식", "paraphrase": "자유 표현", "grounded": "근거 제공", "scenario": "상담"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One line: `label` with `tags` [(kind, text)], text `cells`, and `kind` for its colour."""

    label: str
    cells: Sequence[str]
    tags: Sequence[tuple[str, str]] = ()
    kind: str = ""
    code: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """Column heads (the first is over the labels) and rows."""

    columns: Sequence[str]
    rows: Sequence[Row]


def tags(model: Model, compare: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Marks beside a model's name."""
    names = compare["baselines"]
    found = [("base", f"기준 {key.upper()}") for key in "ab" if names[key] == model.name]
    if model.name == compare["champion"]:
        found.append(("champion", "champion"))
    if model.disqualified:
        found.append(("fail", "실격"))
    if model.compression_gain is False:
        found.append(("warn", "이득 없음 (no gain)"))
    return found


def _table(compare: Mapping[str, Any], heads: Sequence[str], cells: Callable[[Model], Sequence[str]], *, models: Sequence[Model]) -> Table:
    rows = [
        Row(
            label=model.name,
            cells=cells(model),
            tags=tags(model, compare),
            kind="champion" if model.name == compare["champion"] else "disqualified" if model.disqualified else "",
        )
        for model in models
    ]
    return Table(columns=["모델", *heads], rows=rows)


def gate_word(compare: Mapping[str, Any], model: Model) -> str:
    """The worst verdict over the gates of this model."""
    verdicts = {gate["verdict"] for gate in need(compare, "gates", WHERE) if gate["model"] == model.name}
    for verdict in ("fail", "cannot_tell", "pass"):
        if verdict in verdicts:
            return fmt.GATE_VERDICTS[verdict]
    return fmt.MISSING


def target_table(compare: Mapping[str, Any]) -> Table:
    """The verdict on each target, in the order of the brief, unknown names last."""
    targets = need(compare, "targets", WHERE)
    order = list(TARGETS)
    rows = []
    for name in sorted(targets, key=lambda n: (order.index(_bare(n)) if _bare(n) in order else len(order), n)):
        target = partial(need, targets[name], where=f"{WHERE}: targets.{name}")
        goal, unit, verdict = target("goal"), target("unit"), target("verdict")
        sign = {"<=": "≤", ">=": "≥"}[target("op")]
        cells = [
            fmt.target_value(target("value"), unit, goal),
            fmt.MISSING if goal is None else f"{sign} {fmt.target_value(goal, unit, goal)}",
            fmt.VERDICTS[verdict],
            (target("baseline") or fmt.MISSING).upper(),
            fmt.target_value(target("value_b"), unit, goal),
            fmt.plain(target("n")),
            fmt.target_interval(target("interval"), unit, goal),
            target("note") or fmt.MISSING,
        ]
        sample = "표본 " if name.startswith("sample_") else ""
        rows.append(Row(label=sample + TARGETS.get(_bare(name), name), cells=cells, kind=verdict, code=name))
    return Table(columns=["목표", "값", "목표치", "판정", "기준", "B로 잰 값", "n", "구간", "비고"], rows=rows)


def _bare(name: str) -> str:
    return name.removeprefix("sample_")


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

    return _table(compare, ["단계 · 방법", "엔진", "dtype", "파라미터", "MB", "A 대비", "B 대비"], cells, models=models_in_order(compare))


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
    return _table(compare, heads, cells, models=with_extra_rows(compare))


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
    return _table(compare, heads, cells, models=with_extra_rows(compare))


def with_interval(m: Model, task: str) -> str:
    """Accuracy with its Wilson interval: "95.2 % [93.0–96.9]"."""
    low, high = m.accuracy(task, "_low"), m.accuracy(task, "_high")
    bounds = "" if low is None or high is None else f" [{fmt.interval([low, high], scale=100)}]"
    return fmt.percent(m.accuracy(task)) + bounds


def quality_table(compare: Mapping[str, Any]) -> Table:
    """Accuracies of every model with chance and majority beside the multiple choice, bits per byte and the gates."""
    models = models_in_order(compare)

    def head(task: str) -> str:
        counts = sorted({count for m in models if (count := m.accuracy(task, "_n")) is not None})
        return f"{task_name(task)} (n={', '.join(map(fmt.plain, counts)) or fmt.MISSING})"

    def cells(m: Model) -> list[str]:
        get = m.metrics.get
        return [
            with_interval(m, "answer"),
            with_interval(m, "choice"),
            fmt.both(fmt.percent(get("choice_chance")), fmt.percent(get("choice_majority"))),
            with_interval(m, "paraphrase"),
            with_interval(m, "grounded"),
            fmt.fixed(get("bits_per_byte"), 3),
            fmt.fixed(get("bits_per_byte_general"), 3),
            fmt.percent(get("unanswered_rate")),
            gate_word(compare, m),
        ]

    heads = [
        head("answer"), head("choice"), "우연 / 최빈", head("paraphrase"), head("grounded"),
        "bits/byte", "bits/byte 일반", "무응답", "게이트",
    ]  # fmt: skip
    return _table(compare, heads, cells, models=models)


def gate_table(compare: Mapping[str, Any]) -> Table:
    """Every gate as compare.json gives it."""
    rows = [
        Row(
            label=gate["model"],
            kind=gate["verdict"],
            cells=[
                gate["metric"],
                fmt.metric_delta(gate["estimate"], gate["metric"]),
                fmt.span([fmt.metric_delta(bound, gate["metric"]) for bound in gate["interval"]]),
                fmt.metric_delta(gate["margin"], gate["metric"]).lstrip("+"),
                fmt.plain(gate["n"]),
                fmt.GATE_VERDICTS[gate["verdict"]],
                ", ".join(gate["disqualifies"]) or fmt.MISSING,
            ],
        )
        for gate in need(compare, "gates", WHERE)
    ]
    return Table(columns=["모델", "측정", "추정 차이", "95 % 구간", "허용 한계", "n", "판정", "실격되는 모델"], rows=rows)


def compact_table(compare: Mapping[str, Any]) -> Table:
    """One line a model, for Markdown."""

    def cells(m: Model) -> list[str]:
        get = m.metrics.get
        return [
            fmt.megabytes(get("bytes")),
            fmt.percent(m.ratio("bytes", "a"), 0),
            fmt.fixed(get("decode_tokens_per_s"), 0),
            fmt.times(m.ratio("decode", "a")),
            fmt.times(m.ratio("decode", "b")),
            fmt.megabytes(get("peak_rss_bytes")),
            with_interval(m, "answer"),
            fmt.percent(m.accuracy("paraphrase")),
            fmt.percent(m.accuracy("grounded")),
            fmt.percent(m.accuracy("choice")),
            gate_word(compare, m),
        ]

    heads = [
        "MB", "A 대비", "decode tok/s", "A 대비", "B 대비", "최대 RSS MB", "정확도 (생성 답변)",
        "자유 표현", "근거 제공", "객관식", "게이트",
    ]  # fmt: skip
    return _table(compare, heads, cells, models=models_in_order(compare))


def task_name(task: str) -> str:
    """Korean name of an evaluation task."""
    return _TASKS.get(task, task)


def devices(compare: Mapping[str, Any]) -> str:
    """Every device that a speed or memory figure comes from, by name."""
    found = {row["metrics"]["device"] for row in compare["models"].values() if row["metrics"].get("device")}
    return " / ".join(sorted(found)) or fmt.MISSING


def condition_table(compare: Mapping[str, Any]) -> Table:
    """The conditions of the measurement; those that differ between models list their values."""
    models = models_in_order(compare)
    rows = [Row(label=key, cells=[fmt.plain(value)]) for key, value in fmt.flatten(need(compare, "conditions", WHERE))]
    listed = {row.label for row in rows}
    for key in ("device", "threads", "engine", "dtype", "prompt_tokens", "answer_tokens", "rounds", "protocol_version"):
        values = {fmt.plain(m.metrics[key]) for m in models if m.metrics.get(key) is not None}
        if key not in listed:
            rows.append(Row(label=key, cells=[", ".join(sorted(values)) or fmt.MISSING]))
    return Table(columns=["조건", "값"], rows=rows)
