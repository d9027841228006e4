"""What the models can do besides the targets: terminology, consultations, patients, wording and general Korean."""

from collections.abc import Mapping, Sequence
from typing import Any

from medllm.report import format as fmt
from medllm.report.chain import Model, models_in_order
from medllm.report.parts import Grid, Part
from medllm.report.quality_tables import accuracy_table, head, with_interval
from medllm.report.tables import Table, model_table

_WORDING = {
    "polite_rate": "존댓말 ↑", "repetition_rate": "맴도는 답 ↓", "foreign_script_rate": "외국 글자 ↓", "unended_rate": "끝맺지 못함 ↓",
    "contradiction_rate": "틀린 용어를 말함 ↓", "unanswered_rate": "빈 답 ↓",
}  # fmt: skip
_PATIENTS = {
    "key_facts_elicited": "중요한 사실을 물음 ↑", "repeated_question_rate": "되물음 ↓", "unsafe_advice_rate": "위험한 안내 ↓",
}  # fmt: skip


def skill_parts(compare: Mapping[str, Any]) -> list[Part]:
    """One part a skill, every model a line."""
    return [_term_part(compare), _patient_part(compare), _wording_part(compare), _general_part(compare)]


def _term_part(compare: Mapping[str, Any]) -> Part:
    return Part(
        title="의료 용어·진료과·상담·풀이",
        text="의료 용어는 사전의 어느 이름으로든 그것만 말하면 맞은 것이고, 진료과는 진료과를 묻는 문항만 모은 것입니다. 상담은 마지막 "
        "답에 알맞은 진료과나 번호가 있는지, 풀이는 수학 풀이의 끝에 적은 답이 맞는지를 봅니다. 대괄호는 Wilson 95 % 구간(%)입니다.",
        grids=[Grid(table=accuracy_table(compare, ["term", "department", "scenario", "solution", "choice_written"]))],
    )


def _patient_part(compare: Mapping[str, Any]) -> Part:
    def cells(m: Model) -> list[str]:
        return [with_interval(m, "patient"), *_shares(m, list(_PATIENTS)), fmt.fixed(m.metrics.get("interview_turns"))]

    return Part(
        title="모의 환자",
        text="규칙 없이 모델만으로, 각본에 따라 대답하는 환자와 면담합니다. 위험한 안내는 응급인 환자에게 119도 응급실도 말하지 않은 "
        "비율입니다.",
        grids=[Grid(table=_models(compare, [head(compare, "patient"), *_PATIENTS.values(), "면담 차례"], cells))],
    )


def _wording_part(compare: Mapping[str, Any]) -> Part:
    return Part(
        title="말투와 형식",
        text="생성한 모든 답의 비율입니다. ↑는 높을수록, ↓는 낮을수록 좋습니다. 맴도는 답은 같은 말을 되풀이한 것, 외국 글자는 질문에 없던 "
        "외국 글자나 로마자 낱말이 섞인 것입니다.",
        grids=[Grid(table=_models(compare, list(_WORDING.values()), lambda m: _shares(m, list(_WORDING))))],
    )


def _general_part(compare: Mapping[str, Any]) -> Part:
    def cells(m: Model) -> list[str]:
        guesses = [fmt.both(*(fmt.percent(m.metrics.get(f"{task}_{key}")) for key in ("chance", "majority"))) for task in tasks]
        pairs = [cell for task, guess in zip(tasks, guesses, strict=True) for cell in (with_interval(m, task), guess)]
        return [with_interval(m, "general"), *pairs, fmt.fixed(m.metrics.get("bits_per_byte_general"), 3)]

    tasks = ("passage", "interview")
    own = [name for task in tasks for name in (head(compare, task), "우연 / 최빈")]
    heads = [head(compare, "general"), *own, "bits/byte 일반 ↓"]
    return Part(
        title="일반 한국어",
        text="의료를 익히느라 한국어를 잊지 않았는지 봅니다. 독해와 면담 잇기는 객관식이며, 우연은 아무거나 고른 것, 최빈은 가장 흔한 "
        "자리만 고른 것입니다.",
        grids=[Grid(table=_models(compare, heads, cells))],
    )


def _shares(m: Model, names: Sequence[str]) -> list[str]:
    return [fmt.percent(m.metrics.get(name)) for name in names]


def _models(compare: Mapping[str, Any], heads: Sequence[str], cells: Any) -> Table:
    return model_table(compare, heads, cells, models=models_in_order(compare))
