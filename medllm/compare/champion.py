"""Which model is shipped."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from medllm.compare.gates import Gate
from medllm.compare.rows import Row, accuracy_name

_RULE = (
    "배포할 수 있는(GGUF) 모델 가운데, 실패한 게이트로 실격되지 않았고, 자신의 게이트를 모두 통과했거나 판단 불가여도 추정 차이가 허용 "
    "한계 안에 있으며, 응답 시간(p95) 목표를 지키는 모델 중에서 크기가 가장 작은 것을 고릅니다. "
    "크기가 같으면 정확도가 높은 모델을, 정확도도 같으면 이름순으로 앞선 모델을 고릅니다."
)
_LAST_RESORT = "규칙을 만족하는 모델이 없어 압축하지 않은 teacher의 GGUF({name})를 대신 골랐습니다. 규칙: {rule}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Champion:
    """The chosen model, and the rule in Korean words for the report. `last_resort`: no model met the rule."""

    name: str
    rule: str
    last_resort: bool


def choose_champion(
    rows: Mapping[str, Row], gates: Sequence[Gate], disqualified: Collection[str], *, answer_ms: float, last_resort: str
) -> Champion:
    """The smallest deployable model that all its gates admit and whose p95 answer takes at most `answer_ms`.

    `last_resort` (the teacher in the same engine) when none is left.
    """
    held_back = {gate.model for gate in gates if not gate.admits} | set(disqualified)
    admitted = {gate.model for gate in gates} - held_back
    remaining = [row for name, row in rows.items() if row.deployable and name in admitted and row.metrics["answer_ms_p95"] <= answer_ms]
    if not remaining:
        return Champion(name=last_resort, rule=_LAST_RESORT.format(name=last_resort, rule=_RULE), last_resort=True)
    best = min(remaining, key=lambda row: (row.metrics["bytes"], -row.metrics[accuracy_name(row.metrics)], row.name))
    return Champion(name=best.name, rule=_RULE, last_resort=False)
