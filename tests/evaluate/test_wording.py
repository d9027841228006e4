"""Marks of wording, and what is read off generated answers."""

import pytest

from medllm.data.records import Record
from medllm.evaluate.generated import final_answer
from medllm.evaluate.interview import interview_items
from medllm.evaluate.wording import has_foreign_script, is_polite, repeats_itself, wording


@pytest.mark.parametrize(
    ("text", "polite"),
    [
        ("진료과는 내과입니다.", True),
        ("내과로 가세요", True),
        ("내과에 가 보시겠어요? 열이 나면 119를 부르십시오!", True),
        ("내과에서 진료받으시면 됩니다.\n오늘은 쉬시죠.", True),
        ("내과로 가라.", False),
        ("내과입니다. 그냥 쉬어.", False),
        ("내과", False),
        ("", False),
        (" \n", False),
    ],
)
def test_politeness(text: str, polite: bool) -> None:
    assert is_polite(text) is polite


@pytest.mark.parametrize(
    ("text", "repeated"),
    [
        ("진료과는 내과입니다.", False),
        ("내과 내과 내과 내과 내과", True),
        ("가나다라가나다라가나다라가나다라", True),
        ("열이 나면 쉬고 물을 마십니다. 열이 나면 쉬고 물을 마십니다. 열이 나면 쉬고 물을 마십니다.", True),
        ("열이 나면 쉬고 물을 마십니다. 열이 나면 쉬고 약을 먹습니다.", False),
        ("하하하 콜록콜록 기침을 합니다", False),
    ],
)
def test_loops(text: str, repeated: bool) -> None:
    assert repeats_itself(text) is repeated


@pytest.mark.parametrize(
    ("text", "foreign"),
    [
        ("α-차단제를 씁니다. 수치는 5 ㎎/dL입니다.", False),
        ("MRI 검사를 합니다.", False),  # given
        ("CT 검사를 합니다.", False),  # two letters: an abbreviation
        ("ultrasound 검사를 합니다.", True),
        ("内科입니다.", True),
        ("病院へ行く", True),
        ("врач에게 가세요.", True),
        ("ㅠㅠ 아프시겠어요.", False),
        ("123 !? 😀", False),
    ],
)
def test_foreign_script(text: str, foreign: bool) -> None:
    assert has_foreign_script(text, given=["뇌 mri는 무엇인가요?"]) is foreign


def test_marks_of_nothing() -> None:
    assert wording("  ", given=[], ended=False) == {"polite": 0, "repeated": 0, "foreign": 0, "unended": 1, "empty": 1}


@pytest.mark.parametrize(
    ("solution", "final"),
    [
        ("합은 $152$이다.\n정답: $152$", "152"),
        ("정답: 3\n다시 풀면\n정답: $1,000$.", "1000"),
        ("정답은 \\left(2, 3\\right)", "(23)"),
        ("정답 ② ", "②"),
        ("152입니다.", None),
        ("", None),
    ],
)
def test_the_final_answer_of_a_solution(solution: str, final: str | None) -> None:
    assert final_answer(solution) == final


def dialogue(number: int, turns: int = 2) -> Record:
    text = "\n".join(line for turn in range(turns) for line in (f"질문자: {number}의 질문 {turn}", f"답변자: {number}의 답 {turn}"))
    return Record(
        id=f"talk:{number}", dataset="talk", role="baseline_check", kind="dialogue", source_split="validation", text=text,
    )  # fmt: skip


def test_interviews_ask_for_the_next_answer() -> None:
    items = interview_items([dialogue(number) for number in range(6)])
    assert len(items) == 12
    assert items == interview_items([dialogue(number) for number in range(6)])
    for item in items:
        number = item.id.split(":")[1]
        assert item.options[item.answer_index or 0] == item.answer
        assert item.answer.startswith(f"{number}의 답")
        assert len(set(item.options)) == 4
        assert all(not option.startswith(f"{number}의") for option in item.options[1:])
        assert item.answer not in item.question
        assert item.question.endswith("\n답변자:")
        assert item.cluster == f"talk:{number}"
    assert interview_items([dialogue(number) for number in range(3)]) == []
