"""An answer is right when it holds the right term and no wrong one."""

import pytest

from medllm.data.answers import TermScorer, squeeze
from medllm.data.records import Record

SCORER = TermScorer(
    {
        "department": ["외과", "정형외과", "내과", "이비인후과", "안과"],
        "test": ["당화혈색소 검사", "혈액 검사", "MRI 검사"],
        "term": ["고혈압", "저혈압"],
    }
)


def record(question: str, *must: str, relation: str = "department", answer: str = "답") -> Record:
    return Record(
        id="r", dataset="d", role="medical", kind="qa", source_split="validation", question=question, answer=answer, must=must,
        fact_id=f"{relation}:dis_1" if relation else "",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("question", "must", "relation", "output", "right"),
    [
        ("골절은 무슨 과인가요?", "정형외과", "department", "진료과는 정형외과입니다.", True),
        ("골절은 무슨 과인가요?", "정형외과", "department", "진료과는 외과입니다.", False),
        ("탈장은 무슨 과인가요?", "외과", "department", "진료과는 정형외과입니다.", False),
        ("탈장은 무슨 과인가요?", "외과", "department", "진료과는 외과입니다.", True),
        ("탈장은 무슨 과인가요?", "외과", "department", "외과나 내과로 가세요.", False),
        ("탈장은 무슨 과인가요?", "외과", "department", "외과입니다. 꼭 외과로 가세요.", True),
        ("탈장은 무슨 과인가요?", "외과", "department", "잘 모르겠습니다.", False),
        ("탈장은 무슨 과인가요?", "외과", "department", "", False),
        ("내과가 아니라면 어디인가요?", "외과", "department", "내과가 아니라 외과입니다.", True),
        ("내과가 아니라면 어디인가요?", "외과", "department", "내과입니다.", False),
        ("당뇨병 검사는요?", "당화혈색소 검사", "test", "당화 혈색소검사를 합니다.", True),
        ("당뇨병 검사는요?", "당화혈색소 검사", "test", "당화혈색소 검사와 혈액검사입니다.", False),
        ("뇌 검사는요?", "MRI 검사", "test", "mri검사입니다.", True),
        ("혈압이 높은 것은?", "고혈압", "term", "저혈압이라고 합니다.", False),
    ],
)
def test_right_and_wrong_answers(question: str, must: str, relation: str, output: str, right: bool) -> None:
    assert SCORER.right(record(question, must, relation=relation), output) is right


def test_one_of_several_right_terms_is_enough_and_all_are_allowed() -> None:
    asked = record("귀가 아파요", "이비인후과", "내과")
    for output in ("내과입니다.", "이비인후과입니다.", "이비인후과나 내과입니다."):
        assert SCORER.right(asked, output)
    assert not SCORER.right(asked, "이비인후과나 안과입니다.")


@pytest.mark.parametrize("relation", ["department", "unknown", ""])
def test_without_must_the_whole_reference_counts(relation: str) -> None:
    asked = record("왜 그런가요?", relation=relation, answer="염증 때문입니다.")
    assert SCORER.right(asked, "네, 염증  때문입니다. 쉬세요.")
    assert not SCORER.right(asked, "모릅니다.")


def test_terms_are_collected_by_relation() -> None:
    rows = [
        record("?", "외과"),
        record("?", "두통", relation="symptom"),
        record("?", relation="symptom", answer="복통입니다."),
        record("?", relation="drug_class", answer="해열제입니다."),
        record("?", "내과", relation=""),
    ]
    scorer = TermScorer.of(rows)
    assert scorer.right(record("?", "외과"), "외과와 내과")  # 내과 is no term of a known relation
    assert not scorer.right(record("?", "두통"), "두통")  # 두통 is a symptom, not a department
    assert scorer.right(rows[3], "해열제입니다.")
    assert not scorer.right(rows[3], "진통제입니다.")


def test_squeeze() -> None:
    assert squeeze(" 당화 혈색소\tHbA1c\n") == "당화혈색소hba1c"
