"""The gates: who may stand in for whom, in a matrix of verdicts and with every figure behind it."""

from collections.abc import Mapping, Sequence
from typing import Any

from medllm.report import format as fmt
from medllm.report.chain import WHERE, models_in_order
from medllm.report.format import need
from medllm.report.parts import Grid, Part
from medllm.report.tables import Row, Table, tags
from medllm.report.verdicts import bare

Gate = Mapping[str, Any]

METRICS = {
    "accuracy_answer": "생성 답변 정확도",
    "accuracy_grounded": "근거 제공 정확도",
    "accuracy_general": "일반 한국어 정확도",
    "red_flags_lost": "응급 신호를 잃었는가",
    "red_flag_sensitivity": "응급 신호 감지율",
    "tokenizer": "토크나이저가 같은가",
    "end_token": "종료 토큰이 같은가",
}
_IDENTITY = {"tokenizer", "end_token"}
_TEXT = (
    "게이트는 모델을 기준 모델 대신 써도 되는지 묻습니다. 정확도는 teacher와 같은 문항끼리 견주고(teacher의 일반 한국어는 base와), "
    "응급 신호는 teacher가 잡는 것을 하나도 잃지 않아야 하며, 토크나이저와 종료 토큰은 부모 모델과 같아야 합니다. "
    "실패하면 그 모델과 그 뒤에 이어지는 모델이 실격됩니다. 판단 불가는 문항이 모자라 차이가 허용 한계 안인지 말할 수 없다는 뜻이며, "
    "추정치가 한계 안이면 후보로 남습니다."
)
_NOTE = (
    "칸의 수는 추정 차이(%p) 또는 잃은 응급 신호의 수입니다. p는 McNemar 검정의 값, p (Holm)은 이 실행의 모든 짝지은 게이트를 함께 "
    "보정한 값입니다. 판정은 p가 아니라 95 % 구간과 허용 한계로 내립니다."
)


def gate_name(metric: str) -> str:
    """Korean name of what a gate asks; the metric itself where there is none."""
    return METRICS.get(bare(metric), metric)


def gates_in_order(compare: Mapping[str, Any]) -> list[Gate]:
    """All gates, models in chain order, questions in the order of METRICS; unknown ones last."""
    models, metrics = [model.name for model in models_in_order(compare)], list(METRICS)
    return sorted(
        need(compare, "gates", WHERE),
        key=lambda gate: (_place(gate["model"], models), _place(bare(gate["metric"]), metrics), gate["metric"]),
    )


def _place(name: str, order: Sequence[str]) -> int:
    return order.index(name) if name in order else len(order)


def effect(gate: Gate) -> str:
    """What a gate found, in a few letters."""
    metric = bare(gate["metric"])
    if metric in _IDENTITY:
        return "다름" if gate["verdict"] == "fail" else "같음"
    if metric == "red_flags_lost":
        return f"{need(gate, 'lost', f'{WHERE}: gates')}개 잃음"
    return delta(gate["estimate"], metric)


def delta(value: float | None, metric: str) -> str:
    """A signed difference in the unit of its gate."""
    return fmt.metric_delta(value, "accuracy" if bare(metric).startswith("red_flag") else metric)


def gate_matrix(compare: Mapping[str, Any]) -> Table:
    """Models by questions: verdict and effect in every cell that was asked."""
    gates = gates_in_order(compare)
    metrics = sorted({gate["metric"] for gate in gates}, key=lambda metric: (_place(bare(metric), list(METRICS)), metric))
    rows = []
    for model in models_in_order(compare):
        own = {gate["metric"]: gate for gate in gates if gate["model"] == model.name}
        if not own:
            continue
        cells = [f"{fmt.GATE_VERDICTS[own[m]['verdict']]} {effect(own[m])}" if m in own else fmt.MISSING for m in metrics]
        kinds = [own[m]["verdict"] if m in own else "" for m in metrics]
        rows.append(Row(label=model.name, cells=cells, kinds=kinds, tags=tags(model, compare)))
    return Table(columns=["모델", *map(gate_name, metrics)], rows=rows)


def gate_details(compare: Mapping[str, Any]) -> Table:
    """Every gate with every figure."""
    rows = []
    for gate in gates_in_order(compare):
        where = f"{WHERE}: gates of {gate['model']}"
        metric = gate["metric"]
        lost, won, clusters = (need(gate, key, where) for key in ("lost", "won", "clusters"))
        cells = [
            gate_name(metric),
            need(gate, "reference", where) or "절대 기준",
            fmt.GATE_VERDICTS[gate["verdict"]],
            effect(gate),
            fmt.MISSING if bare(metric) in _IDENTITY else fmt.span([delta(bound, metric) for bound in gate["interval"]]),
            delta(gate["margin"], metric).lstrip("+") if gate["margin"] else "0",
            f"{fmt.plain(gate['n'])} ({fmt.plain(clusters)})",
            fmt.plain(need(gate, "items_needed", where)),
            f"{lost} / {won}",
            fmt.p_value(need(gate, "p_value", where)),
            fmt.p_value(need(gate, "p_holm", where)),
            "예" if need(gate, "admits", where) else "아니요",
            ", ".join(need(gate, "disqualifies", where)) or fmt.MISSING,
            need(gate, "note", where) or fmt.MISSING,
        ]
        kinds = ["", "", gate["verdict"], *[""] * 11]
        rows.append(Row(label=gate["model"], cells=cells, kinds=kinds))
    heads = [
        "물음", "기준", "판정", "추정 차이", "95 % 구간", "허용 한계", "n (묶음)", "판단에 필요한 문항", "잃음 / 얻음",
        "p (McNemar)", "p (Holm)", "후보로 남음", "실격되는 모델", "비고",
    ]  # fmt: skip
    return Table(columns=["모델", *heads], rows=rows)


def gate_part(compare: Mapping[str, Any]) -> Part:
    """The matrix, and folded all figures."""
    matrix = gate_matrix(compare)
    if not matrix.rows:
        return Part(title="모델마다의 판정", text="게이트가 없습니다.")
    details = gate_details(compare)
    return Part(
        title="모델마다의 판정",
        text=_TEXT,
        grids=[Grid(table=matrix, stacked=True)],
        note=_NOTE,
        folded=[Grid(table=details, title=f"게이트 {len(details.rows)}개의 모든 수치", text_columns=(1, 2, 13, 14), stacked=True)],
    )
