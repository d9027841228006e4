"""A row of the knowledge tables in Korean that a clinician can read: names instead of ids, labels instead of column names."""

from collections.abc import Iterator, Mapping
from dataclasses import fields
from typing import Any, Final

from medllm.data.knowledge.facts import Knowledge
from medllm.data.scenarios import Scenario

# Columns as a reader knows them, in the order in which a row is told.
_LABELS: Final[Mapping[str, Mapping[str, str]]] = {
    "redflags": {
        "name": "위험 신호", "level": "안내 단계", "advice": "함께 드리는 안내", "pattern": "찾는 표현(정규식)",
        "exclude": "제외하는 표현(정규식)",
    },
    "drugs": {
        "name": "약 성분", "english": "영어", "brands": "상품명", "drug_class": "약물 분류", "caution": "주의",
    },
    "diseases": {
        "name": "질환", "english": "영어", "department": "먼저 볼 진료과", "broader": "상위 질환", "symptoms": "증상(첫째가 대표)",
        "tests": "검사·시술(첫째가 대표)", "drugs": "쓰이는 약", "kcd": "KCD 코드", "summary": "설명",
    },
    "symptoms": {"name": "증상", "lay": "일상어", "department": "먼저 볼 진료과"},
    "tests": {"name": "검사·시술", "english": "영어", "abbreviation": "약어", "kind": "구분", "purpose": "목적"},
    "departments": {"name": "진료과목", "group": "구분", "hint": "보는 분야"},
    "terms": {"standard": "표준 용어", "lay": "일상어", "english": "영어", "abbreviation": "약어", "old_names": "옛 이름"},
    "kcd": {"id": "KCD 코드", "name": "이름", "version": "판"},
}  # fmt: skip
_WORDS: Final[Mapping[str, Mapping[str, str]]] = {
    "level": {"119": "바로 119에 전화", "er": "바로 응급실", "crisis": "위기 상담 전화"},
    "kind": {"test": "검사", "procedure": "시술·수술"},
    "group": {"medical": "의과", "dental": "치과", "korean_medicine": "한의과"},
    "outcome": {
        "emergency_119": "바로 119에 전화", "er": "바로 응급실", "crisis": "위기 상담 전화", "same_day": "당일 진료",
        "department": "진료과 안내", "self_care": "자가 관리",
    },
    "role": {"user": "사용자", "assistant": "상담"},
    "sex": {"female": "여성", "male": "남성"},
}  # fmt: skip


def row_text(table: str, row: Any, knowledge: Knowledge) -> str:
    """Every filled cell on a line of its own, "label: value"; columns about sources are left to `source_text`."""
    refers = {column.name: column.metadata.get("refers") or "" for column in fields(row)}
    lines = []
    for column, label in _LABELS[table].items():
        value = getattr(row, column)
        items = [value] if isinstance(value, str) else value
        names = [_named(column, refers[column], item, knowledge) for item in items if item]
        if names:
            lines.append(f"{label}: {', '.join(names)}")
    return "\n".join(lines)


def source_text(row: Any, knowledge: Knowledge) -> str:
    """Title and place of every source that the row names, the row's own first."""
    cells = {"source": "", "caution_source": "주의: ", "kcd_source": "KCD 코드: "}
    found = ((label, getattr(row, column, "")) for column, label in cells.items())
    return "\n".join(f"{label}{source.title} - {source.where}" for label, key in found if key and (source := knowledge.sources[key]))


def scenario_text(scenario: Scenario, knowledge: Knowledge) -> str:
    """The whole talk with the patient, the points to ask for, the danger signs and where it ends."""
    return "\n".join(_scenario_lines(scenario, knowledge))


def _scenario_lines(scenario: Scenario, knowledge: Knowledge) -> Iterator[str]:
    patient, outcome = scenario.patient, scenario.outcome
    yield f"제목: {scenario.title}"
    yield f"환자: {patient.age}세 {_WORDS['sex'][patient.sex]}, {patient.context}"
    yield from (f"{_WORDS['role'][turn.role]}: {turn.text}" for turn in scenario.turns)
    if scenario.key_facts:
        yield f"물어야 할 것: {'; '.join(f'{fact.question} ({fact.answer})' for fact in scenario.key_facts)}"
    if scenario.redflags:
        yield f"위험 신호: {', '.join(knowledge.redflags[key].name for key in scenario.redflags)}"
    departments = ", ".join(knowledge.departments[key].name for key in outcome.departments)
    yield f"결론: {_WORDS['outcome'][outcome.kind]}{f' ({departments})' if departments else ''}"


def _named(column: str, table: str, item: str, knowledge: Knowledge) -> str:
    """An id of another table as the name of its row (a code with its name), a word of a closed set in Korean, other text as it is."""
    if not table:
        return _WORDS.get(column, {}).get(item, item)
    name: str = getattr(knowledge, table)[item].name
    return f"{item} {name}" if table == "kcd" else name
