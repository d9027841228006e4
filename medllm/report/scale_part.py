"""Speed and memory at the true size of published models, from the newest artifacts/results/*-scale-<shape>.json of each shape."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from medllm.errors import UserError
from medllm.report import format as fmt
from medllm.report.format import need
from medllm.report.parts import Grid, Part
from medllm.report.tables import Row, Table

_TEXT = (
    "공개 모델과 같은 크기의 모델을 무작위 가중치로 만들어 크기, 메모리, 속도만 쟀습니다. 가중치가 무작위이므로 품질은 재지 않았습니다. "
    "값은 회차의 중앙값이고 괄호 안은 10–90 % 범위이며, 배수는 같은 회차에서 잰 기준과의 비율입니다."
)
_TARGETS = {
    "size": "크기", "decode": "생성 속도", "peak_memory": "최대 메모리", "resident_weights": "상주 가중치", "first_token": "첫 토큰",
}  # fmt: skip
_ORIGINS = {"brief": "과제", "ours": "설계"}

Show = Callable[[Any], str]


def _number(digits: int) -> Show:
    return lambda value: fmt.fixed(value, digits)


# Key of a row, head, how to show it. A key that no row has makes no column.
_COLUMNS: tuple[tuple[str, str, Show], ...] = (
    ("engine", "엔진", fmt.plain),
    ("dtype", "dtype", fmt.plain),
    ("parameters", "파라미터", fmt.plain),
    ("bytes", "MB", fmt.megabytes),
    ("bytes_to_a", "크기 A 대비", fmt.percent),
    ("rss_after_load_bytes", "로드 뒤 RSS MB", fmt.megabytes),
    ("peak_rss_bytes", "최대 RSS MB", fmt.megabytes),
    ("peak_rss_to_a", "최대 RSS A 대비", fmt.percent),
    ("peak_rss_to_b", "최대 RSS B 대비", fmt.percent),
    ("resident_weight_bytes", "상주 가중치 MB (계산값)", fmt.megabytes),
    ("resident_weight_to_a", "상주 가중치 A 대비", fmt.percent),
    ("kv_cache_bytes", "KV 캐시 MB (계산값)", fmt.megabytes),
    ("load_s", "로드 s", _number(1)),
    ("decode_tokens_per_s", "decode tok/s", _number(1)),
    ("decode_to_a", "decode A 대비", fmt.times),
    ("decode_to_b", "decode B 대비", fmt.times),
    ("bandwidth_share", "메모리 대역폭 사용", fmt.percent),
)


def scale_parts(results: Path) -> list[Part]:
    """A part for each shape. UserError: a file is not what pipeline.scale writes."""
    newest = {path.stem.partition("-scale-")[2]: path for path in sorted(results.glob("*-scale-*.json"))}
    return [scale_part(path) for _, path in sorted(newest.items())]


def scale_part(path: Path) -> Part:
    """The part of one file."""
    try:
        result = json.loads(path.read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise UserError(f"{path}: not valid JSON ({error.msg}); run python -m pipeline.scale again, or delete it") from error
    rows, conditions, verdicts = (need(result, key, path.name) for key in ("rows", "conditions", "verdicts"))
    told = [f"{key}: {fmt.plain(value)}" for key, value in fmt.flatten(conditions) if key != "device"]
    device = need(conditions, "device", f"{path.name}: conditions")
    return Part(
        title=f"실제 크기에서의 속도와 메모리: {need(result, 'shape', path.name)}",
        text=_TEXT,
        grids=[_rows(rows, path.name)],
        note=f"{path.name[:10]}에 {device}에서 쟀습니다.",
        folded=[_verdicts(verdicts, path.name), *_conditions(told)] if verdicts else _conditions(told),
    )


def _conditions(told: list[str]) -> list[Grid]:
    rows = [Row(label=key, cells=[value]) for key, _, value in (one.partition(": ") for one in told)]
    return [Grid(table=Table(columns=["조건", "값"], rows=rows), title="측정 조건", text_columns=(1,))]


def _spread(row: Mapping[str, Any], key: str, show: Show) -> str:
    """Median with its 10th and 90th percentile where there are such."""
    low, high = row.get(f"{key}_low"), row.get(f"{key}_high")
    return show(row.get(key)) + (f" ({show(low)}~{show(high)})" if low is not None and high is not None else "")


def _rows(rows: list[Mapping[str, Any]], where: str) -> Grid:
    keys = [column for column in _COLUMNS if any(column[0] in row for row in rows)]
    lengths = sorted({int(key.split("_")[1]) for row in rows for key in row if key.startswith("ttft_") and key.endswith("_ms")})
    keys += [(f"ttft_{length}_ms", f"첫 토큰 ms ({length} 토큰)", _number(0)) for length in lengths]
    lines = [
        Row(
            label=need(row, "model", f"{where}: rows"),
            cells=[_spread(row, key, show) for key, _, show in keys],
            tags=[("base", f"기준 {str(row['baseline']).upper()}")] if row.get("baseline") else [],
        )
        for row in rows
    ]
    text = tuple(at for at, (key, _, _) in enumerate(keys, 1) if key in ("engine", "dtype"))
    return Grid(table=Table(columns=["모델", *(head for _, head, _ in keys)], rows=lines), text_columns=text)


def _verdicts(entries: list[Mapping[str, Any]], where: str) -> Grid:
    lines = []
    for entry in entries:
        model, key, value, op, bound, met = (
            need(entry, name, f"{where}: verdicts") for name in ("model", "key", "value", "op", "bound", "met")
        )
        target = entry.get("target", key)
        label = f"{model} · {_TARGETS.get(target, target)}"
        sign = {"<=": "≤", ">=": "≥"}[op]
        cells = [key, _ORIGINS.get(entry.get("origin", ""), fmt.MISSING), fmt.plain(value), f"{sign} {fmt.plain(bound)}"]
        lines.append(Row(label=label, cells=[*cells, fmt.VERDICTS["pass" if met else "fail"]], kind="pass" if met else "fail"))
    met = sum(row.kind == "pass" for row in lines)
    table = Table(columns=["모델 · 목표", "지표", "목표를 정한 곳", "값", "목표치", "판정"], rows=lines)
    return Grid(table=table, title=f"목표별 판정 (달성 {met} / {len(lines)})", text_columns=(1, 2), verdict_column=5)
