from dataclasses import replace
from typing import Any

import pytest

from medllm.data.dedup import jaccard, leaking, stem_grams, unique
from medllm.data.leak import HeldOutFact, find_leaks
from medllm.data.records import Record
from medllm.data.split import choose_calibration
from medllm.errors import UserError


def record(record_id: str, **fields: Any) -> Record:
    return Record(
        **{"id": record_id, "dataset": "x", "role": "medical", "kind": "qa", "source_split": "train", "question": "물음", **fields}
    )


@pytest.mark.parametrize(
    ("left", "right", "same"),
    [
        ({"question": "가 나 다"}, {"question": "가나다"}, True),
        ({"options": ("가", "나")}, {"options": ("나", "가")}, True),
        ({"options": ("가", "나")}, {"options": ("가", "다")}, False),
        ({"passage": "글 하나"}, {"passage": "글 둘"}, False),
        ({"fact_id": "a"}, {"fact_id": "b"}, False),
        ({"kind": "solution", "must": ("1",)}, {"kind": "solution", "must": ("2",)}, False),
        ({"kind": "solution", "question": "$x-1$"}, {"kind": "solution", "question": "$x+1$"}, False),
    ],
)
def test_exact_copies(left: dict[str, Any], right: dict[str, Any], same: bool) -> None:
    kept, copies = unique([record("1", **left), record("2", **right)])
    assert (len(kept), len(copies)) == ((1, 1) if same else (2, 0))


def test_without_facts_near_duplicates_need_the_same_answer() -> None:
    stem = "다음 설명에 해당하는 검사는 무엇인가"
    test = [record("t", question=stem, answer="혈액 검사")]
    train = [record("a", question=f"{stem}?", answer="혈액검사"), record("b", question=f"{stem}?", answer="소변 검사")]
    assert leaking(train, test, similarity=0.7) == (set(), {"a"})


def test_problems_that_differ_in_a_number_are_no_near_duplicates() -> None:
    problem = record("t", kind="solution", question="연립방정식 $x+y=12$, $3x-y=20$의 해를 구하시오.", must=("$x=8, y=4$",))
    other = replace(problem, id="a", question=problem.question.replace("$3x-y=20$", "$2x-y=12$"))
    assert jaccard(stem_grams(problem.question), stem_grams(other.question)) > 0.5
    assert leaking([other], [problem], similarity=0.5) == (set(), set())


def test_a_held_out_fact_without_a_subject_is_found_by_its_sentence() -> None:
    fact = HeldOutFact(fact_id="f", subject="", must=(), sentences=("건선은 피부과에서 봅니다.",))
    text = record("x:1", kind="statement", question="", text="흔히 건선은  피부과에서 봅니다!")
    assert list(find_leaks([text], [fact])) == [("x:1", "f")]


@pytest.mark.parametrize(
    ("fields", "leaks"),
    [
        ({"question": "건선은 어디서 보나요?", "answer": "피부과입니다."}, True),
        (
            {"question": "건선은 어디서 보나요?", "answer": "외과입니다.", "options": ("외과", "피부과")},
            False,
        ),  # a wrong option states nothing
        ({"question": "무좀은 어디서 보나요?", "answer": "피부과입니다."}, False),
    ],
)
def test_a_question_states_a_fact_with_its_right_answer(fields: dict[str, Any], leaks: bool) -> None:
    fact = HeldOutFact(fact_id="f", subject="건선", must=("피부과",), sentences=())
    assert list(find_leaks([record("x:1", **fields)], [fact])) == ([("x:1", "f")] if leaks else [])


def test_calibration_takes_turns_between_roles_and_follows_the_seed() -> None:
    train = [record(str(number), role="medical" if number < 20 else "distillation") for number in range(25)]
    assert [item.role for item in choose_calibration(train, count=12, seed=0)] == ["distillation", "medical"] * 5 + ["medical"] * 2
    assert choose_calibration(train, count=6, seed=0) == choose_calibration(train[::-1], count=6, seed=0)
    assert choose_calibration(train, count=6, seed=1) != choose_calibration(train, count=6, seed=0)
    with pytest.raises(UserError, match=r"data\.num_calibration=26"):
        choose_calibration(train, count=26, seed=0)
