"""The parts behind the verdicts: what is small is marked, what is missed is named, and a run of compare itself makes a page."""

import json
from pathlib import Path
from typing import Any

import pytest
from paper_run import Workspace

from medllm.report import readme_block, write_report
from medllm.report.machine_tables import load_table
from medllm.report.parts import Part
from medllm.report.proof_parts import department_part, detectable_part, emergency_part, screen_part
from medllm.report.skill_parts import skill_parts
from medllm.report.tables import condition_table


def _cells(part: Part) -> dict[str, list[str]]:
    return {row.label: list(row.cells) for grid in part.grids for row in grid.table.rows}


def test_emergencies_by_level(compare: dict[str, Any]) -> None:
    part = emergency_part(compare, {"em_4": "숨을 안 쉬어요"})
    assert _cells(part) == {
        "119 신고": ["4", "3", "3", "75.0 % [30.1–95.4]", "1개"],
        "응급실": ["2", "1", "2", "100.0 % [34.2–100.0]", "0개"],
        "합계": ["6", "4", "5", "83.3 % [43.6–97.0]", "1개"],
    }
    assert "4개 가운데 1개에서 규칙이 잘못 울렸습니다" in part.text
    assert [list(row.cells) for row in part.folded[0].table.rows] == [["119 신고", "숨을 안 쉬어요"]]


def test_no_emergencies_no_table(compare: dict[str, Any]) -> None:
    compare["emergencies"] = {"n": 0, "levels": {}}
    assert "재지 않았습니다" in emergency_part(compare, {}).text


def test_departments_lose_first_and_small_ones_are_marked_and_folded(compare: dict[str, Any]) -> None:
    part = department_part(compare)
    assert _cells(part) == {
        "안과": ["12", "83.3 % [55.2–95.3]", "50.0 % [25.4–74.6]", "-33.3 %p", "문항 적음"],
        "내과": ["60", "96.7 % [88.6–99.1]", "95.0 % [86.3–98.3]", "-1.7 %p", "-"],
    }
    assert list(_cells(part)) == ["안과", "내과"]
    assert [row.label for row in part.folded[0].table.rows] == ["치과"]


@pytest.mark.parametrize(("margin", "word"), [(0.02, "문항 부족"), (0.05, "충분")])
def test_detectable_effect_is_held_against_the_margin(compare: dict[str, Any], margin: float, word: str) -> None:
    compare["detectable"]["accuracy_answer"]["margin"] = margin
    assert _cells(detectable_part(compare))["생성 답변 정확도"][-2:] == ["3.1 %p", word]


def test_screens_of_what_was_made_from_the_teacher(compare: dict[str, Any]) -> None:
    cells = _cells(screen_part(compare))
    assert set(cells) == set(compare["models"]) - {"base"}
    assert cells["pruned"] == ["-", "-", "31.0 %", "143", "의심"]
    assert cells["student"] == ["0.0040", "98.0 %", "2.0 %", "143", "정상"]


def test_skills_of_models_without_metrics_are_dashes(compare: dict[str, Any]) -> None:
    compare["models"]["student"]["metrics"] = {}
    for part in skill_parts(compare):
        assert set(_cells(part)["student"]) <= {"-"}, part.title


def test_what_compare_writes_becomes_a_page(tmp_path: Path, inputs: dict[str, Any]) -> None:
    workspace = Workspace(tmp_path / "run")
    workspace.rows["student_gguf_q8_0"] = ("student", "quantize", 0.7, 400, 4200, "q8_0")
    workspace.write()
    for name in workspace.rows:
        rows = workspace.read_rows(name)
        workspace.write_rows(name, [{"question": "질문", "reference": "답", "redistributable": True, **row} for row in rows])
    compare = json.loads(json.dumps(workspace.compare(), sort_keys=True))
    write_report(tmp_path / "report", **inputs | {"compare": compare, "predictions": workspace.predictions})
    text = (tmp_path / "report" / "index.html").read_text(encoding="utf-8")
    assert "가만히 있다가 픽 쓰러졌는데" not in text, "the model gets it, so it is not missed"
    assert "student_gguf_q8_0 · 생성 답변 정확도</b> teacher 모델보다 27.0\u00a0%p 낮습니다" in text
    assert "<td>2.13.0</td>" in text.replace(' class="text"', "")
    assert "실패한 게이트 1" in readme_block(compare)


def test_several_users_are_shown_of_models_under_load(compare: dict[str, Any]) -> None:
    assert load_table(compare).rows == []
    compare["models"]["student_gguf_q8_0"]["metrics"] |= {
        "users_in_budget": 4, "answers_per_s_in_budget": 31.25, "cost_per_1000_answers": 0.9, "cost_ratio_to_a": 0.08,
        "answer_budget_ms": 3000,
    }  # fmt: skip
    (row,) = load_table(compare).rows
    assert (row.label, list(row.cells)) == ("student_gguf_q8_0", ["4", "31.25", "0.90", "8.0 %", "-", "-"])
    assert {row.label: list(row.cells) for row in condition_table(compare).rows}["answer_budget_ms"] == ["3,000"]
