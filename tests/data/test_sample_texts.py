"""The hand-written Korean texts of data/knowledge: schema, balance, and nothing that looks like personal data."""

import json
import re
import unicodedata
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

KNOWLEDGE = Path(__file__).parents[2] / "data" / "knowledge"
TOPICS = {"소비자 이해", "사회 및 공공 조사", "소비자 만족도", "매체/브랜드", "학술", "제품 개발", "기업평가", "건강 상담"}
DEPARTMENTS = "내과|외과|신경과|정신건강의학과|이비인후과|안과|피부과|비뇨의학과|산부인과|소아청소년과|가정의학과|119"


def _rows(name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (KNOWLEDGE / name).read_text(encoding="utf-8").splitlines()]


PASSAGES = _rows("passages.jsonl")
QUESTIONS = [question for row in PASSAGES for question in row["questions"]]
INTERVIEWS = _rows("interviews.jsonl")
TURNS = [turn for row in INTERVIEWS for turn in row["script"]]


def test_passages_have_the_schema_and_length() -> None:
    assert [row["id"] for row in PASSAGES] == [f"psg_{number:03d}" for number in range(1, 51)]
    for row in PASSAGES:
        assert set(row) == {"id", "grade", "passage", "questions"}
        assert re.fullmatch(r"(초등학교 [56]|중학교 [1-3]|고등학교 [1-3])학년", row["grade"])
        assert 80 <= len(row["passage"]) <= 160, row["id"]
        assert 2 <= len(row["questions"]) <= 3
        assert len({question["question"] for question in row["questions"]}) == len(row["questions"])
    assert len({row["passage"] for row in PASSAGES}) == len(PASSAGES)


def test_every_question_has_five_options_and_one_valid_answer() -> None:
    for question in QUESTIONS:
        assert set(question) == {"question", "options", "answer", "explanation"}
        assert len(set(question["options"])) == len(question["options"]) == 5
        assert type(question["answer"]) is int
        assert question["answer"] in range(1, 6)
        assert question["explanation"].endswith(".")
        assert not any(re.match(r"[①-⑤\d]", option) for option in question["options"])


def test_the_right_option_is_betrayed_neither_by_position_nor_by_length() -> None:
    positions = Counter(question["answer"] for question in QUESTIONS)
    assert max(positions.values()) - min(positions.values()) <= 1
    lengths = [([len(option) for option in question["options"]], question["answer"] - 1) for question in QUESTIONS]
    longest = sum(sizes[right] > max(sizes[:right] + sizes[right + 1 :]) for sizes, right in lengths)
    assert longest / len(QUESTIONS) <= 0.25


def test_interviews_have_the_schema() -> None:
    ids = [row["id"] for row in INTERVIEWS]
    assert ids == [f"itv_{number:03d}" for number in range(1, 41)] + [f"dlg_{number:03d}" for number in range(1, 21)]
    for row in INTERVIEWS:
        assert set(row) == {"id", "topic", "script"}
        assert row["topic"] in TOPICS
        assert (row["topic"] == "건강 상담") == row["id"].startswith("dlg_")
        assert 4 <= len(row["script"]) <= 6
        for turn in row["script"]:
            assert set(turn) == {"question", "answers"}
            assert 1 <= len(turn["answers"]) <= 2


def test_interview_texts_are_unique_and_polite() -> None:
    lines = [line for turn in TURNS for line in (turn["question"], *turn["answers"])]
    assert [line for line, count in Counter(lines).items() if count > 1] == []
    for line in lines:
        assert line.rstrip(".?").endswith(("다", "요", "까")), line


def test_interviews_use_anonymised_tokens_stuck_to_particles() -> None:
    tokens = [match for row in INTERVIEWS for match in re.findall(r"@[a-z]+\d*\S?", json.dumps(row["script"], ensure_ascii=False))]
    assert len(tokens) >= 20
    assert {re.match(r"@[a-z]+", token)[0] for token in tokens} >= {"@company", "@brand", "@product"}  # type: ignore[index]
    assert all(re.search(r"[가-힣]$", token) for token in tokens), tokens


@pytest.mark.parametrize("row", [row for row in INTERVIEWS if row["id"].startswith("dlg_")], ids=lambda row: row["id"])
def test_health_dialogues_route_and_neither_diagnose_nor_dose(row: dict[str, Any]) -> None:
    said = " ".join(turn["question"] for turn in row["script"])
    assert re.search(DEPARTMENTS, said)
    assert not re.search(r"\d\s*(mg|mL|정|알|번씩)|용량|복용하세요|드세요|진단됩니다|병입니다|증입니다", said)
    assert sum(turn["question"].count("?") for turn in row["script"]) >= 3


@pytest.mark.parametrize("name", ["passages.jsonl", "interviews.jsonl"])
def test_files_are_clean_text(name: str) -> None:
    text = (KNOWLEDGE / name).read_text(encoding="utf-8")
    assert text == unicodedata.normalize("NFC", text)
    assert text.endswith("}\n")
    assert not re.search(r"\d{2,4}[- .]\d{3,4}[- .]\d{4}|\d{6}-?\d{7}|\d{7,}", text)
    assert not re.search(r"[^\S\n ]|  |[\ufeff\u200b-\u200f\u4e00-\u9fff]", text)
