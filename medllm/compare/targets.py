"""The targets of the brief, judged on the champion against A with B beside it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from medllm.compare.gates import compare_answers
from medllm.compare.ratios import ratios_to
from medllm.compare.red_flags import Emergencies
from medllm.compare.rows import GATE_TASK, Row, accuracy_name
from medllm.errors import UserError
from medllm.statistics.intervals import wilson_interval

Op = Literal["<=", ">="]
_PLAIN_ACCURACY = "accuracy_answer"
_NOT_MEASURED: dict[str, tuple[Op, str, str]] = {
    "staff_workload": ("<=", "ratio", "상담 시간을 공개된 방식으로 모의실험해야 잴 수 있습니다."),
    "service_24h": (">=", "share", "서비스를 오래 띄워 두는 시험을 해야 잴 수 있습니다."),
}
TARGETS = (
    "size_int8",
    "size",
    "decode_speed",
    "peak_memory",
    "resident_weights",
    "sample_accuracy_answer",
    "sample_accuracy_vs_teacher",
    "decode_vs_b",
    "medical_accuracy",
    "answer_time",
    "cost",
    "staff_workload",
    "service_24h",
    "emergencies",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """One line of the table. `value` None means not measured; `value_b` is the same measure against baseline B; `note` is Korean.

    `barred`: fails whatever the value.
    """

    value: float | None
    op: Op
    unit: str
    n: int | None = None
    interval: tuple[float, float] | None = None
    baseline: Literal["a", "b"] | None = None
    value_b: float | None = None
    note: str = ""
    barred: bool = False

    def as_dict(self, *, goal: float | None) -> dict[str, Any]:
        """JSON form with goal and verdict; the verdict is on the value, the interval stands beside it."""
        if self.value is None or goal is None:
            verdict = "not_measured"
        else:
            reached = self.value <= goal if self.op == "<=" else self.value >= goal
            verdict = "pass" if reached and not self.barred else "fail"
        return {
            "value": self.value,
            "goal": goal,
            "op": self.op,
            "unit": self.unit,
            "n": self.n,
            "interval": None if self.interval is None else list(self.interval),
            "verdict": verdict,
            "baseline": self.baseline,
            "value_b": self.value_b,
            "note": self.note,
        }


def judge_targets(
    rows: Mapping[str, Row],
    *,
    best: Row,
    a: Row,
    b: Row,
    disqualified: set[str],
    emergencies: Emergencies,
    goals: Mapping[str, float],
    num_resamples: int,
    seed: int,
) -> dict[str, dict[str, Any]]:
    """Every target of the champion `best` by name with value, goal, interval and verdict.

    Raises UserError when `goals` lacks a target that was measured, or names one that does not exist.
    """
    found = {
        "size_int8": _size_int8(rows, a=a, b=b, disqualified=disqualified),
        **_machine_targets(best, a=a, b=b),
        "emergencies": _emergencies(best, emergencies),
        **(_no_quality() if _random_weights(rows) else _accuracy_targets(best, a=a, b=b, num_resamples=num_resamples, seed=seed)),
    }
    for name, (op, unit, note) in _NOT_MEASURED.items():
        found[name] = Target(value=None, op=op, unit=unit, note=note)
    _check_goals(goals, found)
    return {name: found[name].as_dict(goal=goals.get(name)) for name in TARGETS}


def goal_of(name: str, goals: Mapping[str, float]) -> float:
    """UserError when the goal is missing."""
    if name not in goals:
        raise UserError(f"compare.goals: {name!r} has no goal; add one")
    return goals[name]


def _emergencies(best: Row, emergencies: Emergencies) -> Target:
    """Sensitivity of rules + model as packaged; one missed 119 fails it whatever the share."""
    if not emergencies.n:
        return Target(value=None, op=">=", unit="share", note="응급 시험 문항이 없어 재지 않았습니다.")
    got, missed = len(emergencies.got(best)), len(emergencies.missed(best, "119"))
    note = (
        f"규칙과 모델을 함께 본 값입니다. 규칙만으로는 {len(emergencies.by_rules())}개를 찾았습니다. 119 단계에서 놓친 것은 {missed}개이며"
        f"(하나라도 있으면 미달), 응급이 아닌 {emergencies.safe}개 가운데 {emergencies.false_alarms}개에서 잘못 울렸습니다. "
        "임상의가 확인하지 않은 문장입니다."
    )
    interval = wilson_interval(got, emergencies.n)
    return Target(value=got / emergencies.n, op=">=", unit="share", n=emergencies.n, interval=interval, note=note, barred=bool(missed))


def _random_weights(rows: Mapping[str, Row]) -> bool:
    """Whether the chain began as the shape of a model alone (`model.weights=random`)."""
    return any(row.lineage.notes.get("random_weights") for row in rows.values())


def _no_quality() -> dict[str, Target]:
    note = "무작위 가중치로 크기와 속도만 잰 실행이므로 품질은 말하지 않습니다."
    units = {"sample_accuracy_answer": "share", "sample_accuracy_vs_teacher": "points", "medical_accuracy": "share"}
    return {name: Target(value=None, op=">=", unit=unit, note=note) for name, unit in units.items()}


def _check_goals(goals: Mapping[str, float], found: Mapping[str, Target]) -> None:
    unknown = sorted(set(goals) - set(TARGETS))
    if unknown:
        raise UserError(f"compare.goals: {unknown[0]!r} is unknown; the targets are {', '.join(TARGETS)}")
    missing = [name for name in TARGETS if found[name].value is not None and name not in goals]
    if missing:
        raise UserError(f"compare.goals: {missing[0]!r} was measured and has no goal; add one")


def _size_int8(rows: Mapping[str, Row], *, a: Row, b: Row, disqualified: set[str]) -> Target:
    """Q8_0 is the INT8 of the brief; of several the smallest, which is the pruned student's."""
    int8 = [row for row in rows.values() if row.deployable and row.metrics["dtype"] == "q8_0"]
    if not int8:
        return Target(value=None, op="<=", unit="ratio", baseline="a", note="목록에 Q8_0 모델이 없습니다.")
    row = min(int8, key=lambda row: (row.metrics["bytes"], row.name))
    note = f"{row.name} 모델의 값입니다." + (" 품질 게이트에서 실격된 모델입니다." if row.name in disqualified else "")
    size = row.metrics["bytes"]
    return Target(value=size / a.metrics["bytes"], op="<=", unit="ratio", baseline="a", value_b=size / b.metrics["bytes"], note=note)


def _machine_targets(best: Row, *, a: Row, b: Row) -> dict[str, Target]:
    """Size, speed, memory, time and cost of the champion."""
    own, to_a, to_b = best.metrics, ratios_to(best, a), ratios_to(best, b)

    def ratio(key: str, note: str) -> Target:
        return Target(value=to_a[key], op="<=", unit="ratio", baseline="a", value_b=to_b[key], note=note)

    def speed(letter: Literal["a", "b"], value_b: float | None) -> Target:
        key = f"decode_ratio_to_{letter}"
        interval = (own[f"{key}_low"], own[f"{key}_high"])
        note = "같은 회차끼리 나눈 비율의 중앙값이며, 구간은 10–90백분위입니다."
        return Target(value=own[key], op=">=", unit="x", n=own["rounds"], interval=interval, baseline=letter, value_b=value_b, note=note)

    return {
        "size": ratio("bytes", "가중치와 토크나이저를 더한 크기입니다."),
        "decode_speed": speed("a", own["decode_ratio_to_b"]),
        "peak_memory": ratio("peak_rss", "프로세스 전체의 최댓값입니다."),
        "resident_weights": ratio("resident_weight", "잰 값이 아니라 파일에서 계산한 가중치 크기이며, KV 캐시와 버퍼는 넣지 않았습니다."),
        "decode_vs_b": speed("b", None),
        "answer_time": Target(
            value=own["answer_ms_p95"],
            op="<=",
            unit="ms",
            n=own["rounds"],
            value_b=b.metrics["answer_ms_p95"],
            note=f"프롬프트 {own['prompt_tokens']}토큰, 답변 {own['answer_tokens']}토큰을 한 사람이 쓸 때의 95백분위입니다.",
        ),
        "cost": _cost(best, a=a, b=b),
    }


def _cost(best: Row, *, a: Row, b: Row) -> Target:
    """Cost of an answer at equal p95, from the throughput of several users; of one user where the model was not put under load."""
    own = best.metrics
    ratio, b_ratio = own.get("cost_ratio_to_a"), b.metrics.get("cost_ratio_to_a")
    if ratio is not None:
        budget = f"{own['answer_budget_ms']:.0f} ms"
        note = f"답변의 p95가 {budget}를 넘지 않는 가장 큰 처리량으로 셈한, 같은 회차의 비율입니다. 기계 값과는 무관합니다."
        interval = (own["cost_ratio_to_a_low"], own["cost_ratio_to_a_high"])
        value_b = ratio / b_ratio if b_ratio else None
        return Target(value=ratio, op="<=", unit="ratio", n=own["load_rounds"], interval=interval, baseline="a", value_b=value_b, note=note)
    if "load_rounds" in own:
        late = f"기준 A({a.name})" if own["users_in_budget"] is not None else "이 모델"
        note = f"{late}의 답변 p95가 한 사람이 쓸 때에도 {own['answer_budget_ms']:.0f} ms를 넘어 같은 p95에서 견줄 수 없습니다."
        return Target(value=None, op="<=", unit="ratio", baseline="a", note=note)
    value, value_b = (own["answer_ms_p50"] / other.metrics["answer_ms_p50"] for other in (a, b))
    note = "이 모델은 여럿이 쓰는 부하를 재지 않아, 한 사람이 쓸 때 답변 하나에 드는 시간의 비율로 대신합니다."
    return Target(value=value, op="<=", unit="ratio", n=own["rounds"], baseline="a", value_b=value_b, note=note)


def _accuracy_targets(best: Row, *, a: Row, b: Row, num_resamples: int, seed: int) -> dict[str, Target]:
    """Sample accuracy on sample data, medical accuracy on any other; the one that was not measured says so."""
    scores, _ = best.scores(GATE_TASK)
    right, n = sum(scores), len(scores)
    accuracy = Target(
        value=right / n,
        op=">=",
        unit="share",
        n=n,
        interval=wilson_interval(right, n),
        note="생성한 답변 기준이며, 구간은 Wilson 95 %입니다.",
    )
    to_a = compare_answers(best, a, GATE_TASK, num_resamples=num_resamples, seed=seed)
    to_b = compare_answers(best, b, GATE_TASK, num_resamples=num_resamples, seed=seed)
    against = Target(
        value=to_a.estimate,
        op=">=",
        unit="points",
        n=to_a.n,
        interval=(to_a.low, to_a.high),
        baseline="a",
        value_b=to_b.estimate,
        note="같은 문항끼리 견준 차이이며, 구간은 사실 단위 부트스트랩 95 %입니다.",
    )
    if accuracy_name(best.metrics) != _PLAIN_ACCURACY:
        medical = Target(value=None, op=">=", unit="share", note="표본 데이터로는 의료 정확도를 알 수 없습니다.")
        return {"sample_accuracy_answer": accuracy, "sample_accuracy_vs_teacher": against, "medical_accuracy": medical}
    elsewhere = "표본 데이터로 실행하지 않았습니다. medical_accuracy를 보십시오."
    return {
        "sample_accuracy_answer": Target(value=None, op=">=", unit="share", note=elsewhere),
        "sample_accuracy_vs_teacher": Target(value=None, op=">=", unit="points", note=elsewhere),
        "medical_accuracy": accuracy,
    }
