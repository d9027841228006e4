"""The verdicts on targets and gates as text."""

from collections.abc import Mapping
from functools import partial
from typing import Any

from medllm.report import format as fmt
from medllm.report.chain import WHERE, Model
from medllm.report.format import need
from medllm.report.tables import Row, Table

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


def gate_word(compare: Mapping[str, Any], model: Model) -> str:
    """The worst verdict over the gates of this model."""
    verdicts = {gate["verdict"] for gate in need(compare, "gates", WHERE) if gate["model"] == model.name}
    for verdict in ("fail", "cannot_tell", "pass"):
        if verdict in verdicts:
            return fmt.GATE_VERDICTS[verdict]
    return fmt.MISSING


def bare(metric: str) -> str:
    """A metric or target without its sample_."""
    return metric.removeprefix("sample_")


def target_name(name: str) -> str:
    """Korean name of a target; the sample's are marked."""
    return ("표본 " if name.startswith("sample_") else "") + TARGETS.get(bare(name), name)


def targets_in_order(compare: Mapping[str, Any]) -> list[tuple[str, Mapping[str, Any]]]:
    """(name, target) in the order of the brief, unknown names last."""
    order = list(TARGETS)
    targets: Mapping[str, Mapping[str, Any]] = need(compare, "targets", WHERE)
    for name, target in targets.items():
        need(target, "verdict", f"{WHERE}: targets.{name}")
    return sorted(targets.items(), key=lambda pair: (order.index(bare(pair[0])) if bare(pair[0]) in order else len(order), pair[0]))


def goal_text(target: Mapping[str, Any]) -> str:
    """The goal with its sign: "≤ 25.0 %"; "-" without one."""
    goal = target["goal"]
    sign = {"<=": "≤", ">=": "≥"}[target["op"]]
    return fmt.MISSING if goal is None else f"{sign} {fmt.target_value(goal, target['unit'], goal)}"


def target_table(compare: Mapping[str, Any]) -> Table:
    """The verdict on each target, in the order of the brief."""
    rows = []
    for name, values in targets_in_order(compare):
        target = partial(need, values, where=f"{WHERE}: targets.{name}")
        goal, unit, verdict = target("goal"), target("unit"), target("verdict")
        cells = [
            fmt.target_value(target("value"), unit, goal),
            goal_text(values),
            fmt.VERDICTS[verdict],
            (target("baseline") or fmt.MISSING).upper(),
            fmt.target_value(target("value_b"), unit, goal),
            fmt.plain(target("n")),
            fmt.target_interval(target("interval"), unit, goal),
            target("note") or fmt.MISSING,
        ]
        rows.append(Row(label=target_name(name), cells=cells, kind=verdict, code=name))
    return Table(columns=["목표", "값", "목표치", "판정", "기준", "B로 잰 값", "n", "구간", "비고"], rows=rows)
