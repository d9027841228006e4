"""The sentences that every form of the report carries."""

from collections.abc import Mapping
from typing import Any

from medllm.report.chain import is_sample

SAMPLE_FIRST_LINE = (
    "data=sample 보고서입니다. 숫자는 파이프라인이라는 기계가 작동한다는 증거일 뿐, 의학적 성능의 증거가 아닙니다. "
    "의료 정확도(medical accuracy)는 측정하지 않았으며(not_measured), 어떤 의료 전문가도 내용을 검토하지 않았습니다."
)
FIRST_LINE = "자동 평가 보고서입니다. 의료 전문가가 내용을 검토하지 않았으며, 여기의 정확도는 임상적 안전성을 뜻하지 않습니다."
USE_NOTICE = (
    "의료 이용 고지: 이 모델은 의료기기가 아니며 진단·처방·응급 판단에 사용할 수 없습니다. "
    "응급 상황에서는 119, 자살·정신건강 위기에서는 109에 연락하십시오."
)
BASELINE_NOTE = "A 대비에는 엔진을 바꾼 효과가 들어 있고, B는 같은 엔진의 기준이므로 B 대비가 압축의 몫입니다."
# The Korean half of medllm.data.pii.PII_DUTY, which the report does not import; a test holds the two together.
PII_DUTY = (
    "AI Hub 데이터에서 개인정보가 발견되었습니다. 이용약관에 따라 해당 데이터의 이용을 멈추고, AI Hub 운영기관(한국지능정보사회진흥원, NIA)"
    "에 즉시 신고한 뒤 내려받은 데이터를 파기해 주십시오."
)
# Measured on tests/data/paraphrases.jsonl; a test holds them to the docstring of medllm/data/paraphrase.py.
PARAPHRASE_RECALL, PARAPHRASE_PRECISION = 0.30, 0.23
_SAMPLE_TASKS = (
    "생성 답변은 학습한 사실을 질문의 앞부분과 끝부분을 새로 짝지어 물은 것이고(두 부분은 따로 학습했습니다), "
    "자유 표현은 어느 부분도 학습하지 않은 말로 물은 것이며, 근거 제공은 학습하지 않은 사실을 다른 사실 둘과 섞어 질문과 함께 준 것이고, "
    "상담은 학습하지 않은 증상군의 대화에서 마지막 답에 알맞은 진료과나 번호가 있는지 본 것입니다."
)
_SAMPLE_LIMIT = (
    "표본 데이터의 문장은 data/knowledge의 표에서 만들었고 응급 문장과 모의 환자는 data/evaluation에 직접 쓴 것이며, "
    "모두 전문의 검수를 받지 않았습니다(reviewed: false)."
)
_LIMITS = (
    "객관식 정확도는 생성 답변 정확도를 대신하지 않습니다. 정확도 목표는 생성 답변으로만 판정하고, "
    "근거 제공과 일반 한국어는 게이트에서 봅니다.",
    "A 대비 배수에는 엔진을 바꾼 효과가 들어 있습니다. 압축의 효과는 B 대비 값으로 보셔야 합니다.",
    "속도와 메모리는 적혀 있는 장치와 조건에서만 유효합니다. 작은 모델에서는 엔진의 고정 비용이 메모리의 대부분입니다.",
)


def task_note(compare: Mapping[str, Any]) -> str:
    """What the accuracies of the sample data ask for; nothing for other data."""
    return _SAMPLE_TASKS if is_sample(compare) else ""


def limits(compare: Mapping[str, Any]) -> tuple[str, ...]:
    """How far the figures carry."""
    return (_SAMPLE_LIMIT, *_LIMITS) if is_sample(compare) else _LIMITS


def first_line(compare: Mapping[str, Any]) -> str:
    """What stands above everything else."""
    return SAMPLE_FIRST_LINE if is_sample(compare) else FIRST_LINE
