"""What comes first on the page: everything that failed, in words, and that nothing did where nothing did."""

import copy
import re
from typing import Any

import pytest

from medllm.errors import UserError
from medllm.report.findings import Findings, count_line, find_all
from medllm.report.gates_part import gate_details, gate_matrix

SENTENCES = {"em_4": "숨을 안 쉬어요", "em_3": "쓰러졌어요"}
SORTS = {
    "targets": "미달한 목표", "119": "놓친 119 신호", "gates": "실패한 게이트", "champion": "champion의 문제", "untold": "판단 불가",
    "screens": "의심스러운 모델",
}  # fmt: skip


def _sort(found: list[Findings], key: str) -> Findings:
    (one,) = [one for one in found if one.short == SORTS[key]]
    return one


def _texts(compare: dict[str, Any], key: str) -> list[str]:
    return [f"{one.subject} {one.text}".strip() for one in _sort(find_all(compare, SENTENCES), key).found]


@pytest.fixture
def sound(compare: dict[str, Any]) -> dict[str, Any]:
    """A run without any trouble: all targets met, all gates passed, no emergency missed."""
    for target in compare["targets"].values():
        target["verdict"] = "pass"
    for gate in compare["gates"]:
        gate |= {"verdict": "pass", "admits": True, "items_needed": None, "disqualifies": []}
    for row in compare["screens"].values():
        row["suspicious"] = False
    for model in compare["models"].values():
        model["disqualified"] = False
    for level in compare["emergencies"]["levels"].values():
        level["missed"] = []
    compare["champion"] = "student_gguf_q4_0"
    return compare


def test_counts_are_those_of_the_run(compare: dict[str, Any]) -> None:
    line = count_line(find_all(compare, SENTENCES))
    assert line == "미달한 목표 3 · 놓친 119 신호 1 · 실패한 게이트 4 · champion의 문제 1 · 판단 불가 3 · 의심스러운 모델 1"


def test_a_sound_run_has_no_finding_of_any_sort(sound: dict[str, Any]) -> None:
    assert [(sort.count, list(sort.found)) for sort in find_all(sound, {})] == [(0, [])] * 6


def test_missed_target_says_by_how_much(compare: dict[str, Any]) -> None:
    texts = _texts(compare, "targets")
    assert texts[0] == "모델 크기 (champion) 33.0 %입니다. 목표(≤ 25.0 %)에서 8 %p 벗어났습니다."
    assert "재지 않은 목표: 의료 정확도, 상담 인력 업무량, 24시간 서비스." in texts[-1]


def test_target_that_reaches_its_goal_and_fails_says_why(compare: dict[str, Any]) -> None:
    compare["targets"]["emergencies"] |= {"value": 0.99, "verdict": "fail", "note": "119 하나를 놓쳤습니다."}
    assert "응급 신호 감지 값 99.0 %은 목표(≥ 98.0 %)를 채우지만 미달입니다. 119 하나를 놓쳤습니다." in _texts(compare, "targets")


def test_missed_sentences_are_shown_by_their_text(compare: dict[str, Any]) -> None:
    (one,) = _sort(find_all(compare, SENTENCES), "119").found
    assert list(one.quotes) == [("em_4", "숨을 안 쉬어요")]
    assert list(_sort(find_all(compare, {}), "119").found[0].quotes) == [("em_4", "")]


@pytest.mark.parametrize(
    "told",
    [
        "student_gguf_q4_0 · 생성 답변 정확도 teacher 모델보다 9.0 %p 낮습니다(95 % 구간 -10.5 ~ -7.5 %p, 허용 한계 2.0 %p). "
        "실격된 모델: student_gguf_q4_0.",
        "student_gguf_q4_0 · 응급 신호를 잃었는가 teacher 모델이 잡는 응급 신호 1개를 잃었습니다. 실격된 모델: student_gguf_q4_0.",
        "student_bnb_nf4 · 종료 토큰이 같은가 부모 모델 student와 다릅니다(<|endoftext|> → </s>). 실격된 모델: student_bnb_nf4.",
    ],
)
def test_failed_gate_is_a_sentence(compare: dict[str, Any], told: str) -> None:
    assert told in _texts(compare, "gates")


def test_an_untold_gate_says_how_many_items_it_takes(compare: dict[str, Any]) -> None:
    texts = _texts(compare, "untold")
    assert len(texts) == 3
    assert "지금은 420문항이며, 같은 추정치라면 2,310문항이 필요합니다. 추정치가 한계 안이라 후보로 남습니다." in texts[0]
    for gate in compare["gates"]:
        gate |= {"items_needed": None, "admits": False} if gate["verdict"] == "cannot_tell" else {}
    assert "문항을 늘려도 판단할 수 없습니다. 추정치가 한계를 넘어 champion 후보에서 빠집니다." in _texts(compare, "untold")[0]


def test_smaller_models_and_a_champion_of_last_resort_are_explained(compare: dict[str, Any]) -> None:
    smaller = _texts(compare, "champion")[1]
    assert smaller.startswith("student_gguf_q4_0 champion보다 작지만(2.90 MB) 고르지 않았습니다: 생성 답변 정확도 실패")
    mine = [gate for gate in compare["gates"] if gate["model"] == compare["champion"]]
    mine[0] |= {"verdict": "fail", "admits": False}
    assert "마지막 수단으로 골랐습니다" in _texts(compare, "champion")[0]


def test_models_before_recovery_are_no_suspects(compare: dict[str, Any]) -> None:
    sort = _sort(find_all(compare, {}), "screens")
    assert [(one.subject, one.kind) for one in sort.found] == [("student_bnb_nf4", "cannot_tell"), ("", "note")]
    assert "KL 0.720 nats" in sort.found[0].text


def test_matrix_and_details_hold_every_gate_once(compare: dict[str, Any]) -> None:
    matrix, details = gate_matrix(compare), gate_details(compare)
    verdicts = [kind for row in matrix.rows for kind in row.kinds if kind]
    assert len(verdicts) == len(details.rows) == len(compare["gates"])
    assert sorted(verdicts) == sorted(gate["verdict"] for gate in compare["gates"])
    cells = {row.label: dict(zip(matrix.columns[1:], row.cells, strict=True)) for row in matrix.rows}
    assert cells["student_gguf_q4_0"]["생성 답변 정확도"] == "실패 -9.0 %p"
    assert cells["student_gguf_q4_0"]["응급 신호를 잃었는가"] == "실패 1개 잃음"
    assert cells["student_bnb_nf4"]["종료 토큰이 같은가"] == "실패 다름"
    assert cells["teacher_gguf_q4_0"]["응급 신호 감지율"] == "실패 -14.7 %p"
    assert all(len(row.cells) == len(details.columns) - 1 for row in details.rows)


@pytest.mark.parametrize(("key", "where"), [("screens", "key 'screens'"), ("emergencies", "key 'emergencies'"), ("gates", "key 'gates'")])
def test_an_older_file_is_one_line(compare: dict[str, Any], key: str, where: str) -> None:
    older = copy.deepcopy(compare)
    del older[key]
    with pytest.raises(UserError, match=re.escape(f"compare.json: no {where}")):
        find_all(older, {})
