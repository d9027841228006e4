"""Tables as text cells, shared by HTML and Markdown, and what every table of models needs."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from medllm.report import format as fmt
from medllm.report.chain import WHERE, Model, models_in_order
from medllm.report.format import need

_LOAD = ("answer_budget_ms", "price_per_hour_krw")  # conditions of models under load alone
_TASKS = {
    "answer": "생성 답변", "choice": "객관식", "choice_written": "객관식 (써서 답함)", "paraphrase": "자유 표현", "grounded": "근거 제공",
    "scenario": "상담", "passage": "독해", "interview": "면담 잇기", "solution": "풀이", "term": "의료 용어", "department": "진료과",
    "red_flag": "응급 문장 (모델만)", "patient": "모의 환자", "general": "일반 한국어",
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One line: `label` with `tags` [(kind, text)], text `cells`, and `kind` for its colour.

    `kinds` are those of the single cells: a cell with one is drawn as a mark of that colour. Empty where no cell is.
    """

    label: str
    cells: Sequence[str]
    tags: Sequence[tuple[str, str]] = ()
    kind: str = ""
    kinds: Sequence[str] = ()
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


def model_table(
    compare: Mapping[str, Any],
    heads: Sequence[str],
    cells: Callable[[Model], Sequence[str]],
    *,
    models: Sequence[Model],
    kinds: Sequence[Sequence[str]] | None = None,
) -> Table:
    """One line a model, the champion and the disqualified in their colours; `kinds` are those of the cells, a list a model."""
    rows = [
        Row(
            label=model.name,
            cells=cells(model),
            tags=tags(model, compare),
            kind="champion" if model.name == compare["champion"] else "disqualified" if model.disqualified else "",
            kinds=kinds[at] if kinds is not None else (),
        )
        for at, model in enumerate(models)
    ]
    return Table(columns=["모델", *heads], rows=rows)


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
    for key in ("device", "threads", "engine", "dtype", "prompt_tokens", "answer_tokens", "rounds", *_LOAD, "protocol_version"):
        values = {fmt.plain(m.metrics[key]) for m in models if m.metrics.get(key) is not None}
        if key not in listed and (values or key not in _LOAD):
            rows.append(Row(label=key, cells=[", ".join(sorted(values)) or fmt.MISSING]))
    return Table(columns=["조건", "값"], rows=rows)


def version_table(versions: Mapping[str, str]) -> Table:
    """What the run was made with, in the given order."""
    return Table(columns=["프로그램", "버전"], rows=[Row(label=name, cells=[version]) for name, version in versions.items()])
